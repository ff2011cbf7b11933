//! Attention for AVX2, in whole numbers of 16 bits: `vpmaddwd` multiplies sixteen pairs of them where `vfmadd` multiplies eight floats,
//! and its sums, of 32 bits, wait for no earlier ones. A lane is a query; pairs of dimensions, later pairs of keys, lie together in
//! one lane. Every query and every key has a scale of its own, the values of a window share one; steps are chosen so that no sum of
//! 32 bits overflows, and are still finer by far than those of the bytes that the result becomes.

use std::arch::x86_64::*;

use super::kernels::Attention;
use super::simd::Avx2;

/// Keys scored at a time; even, since they go in pairs later.
const KEYS: usize = 6;

/// Dimensions mixed at a time.
const DIMENSIONS: usize = 4;

const LANES: usize = 8;

/// Registers of queries at a time: with them, the sums of six keys and what is multiplied, no register is left.
const REGISTERS: usize = 2;

/// What a value's steps may reach; weights get what 32 bits leave.
const LARGEST_VALUE: i32 = 2_047;

/// 2^x over [-1/2, 1/2]: least squares reweighted towards the largest relative error, 3e-6.
const POWER_OF_TWO: [f32; 5] = [0.999_999_3, 0.693_121_8, 0.240_247_44, 0.055_917_86, 0.009_570_102];

/// Memory for the work on one window, reused for the next.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `heads × padded length × size / 2` pairs of dimensions, and a scale a key.
    keys: Vec<i32>,
    key_scales: Vec<f32>,
    /// `heads × pairs × size` pairs of keys, an even number of them.
    values: Vec<i32>,
    /// `heads × padded queries × size / 2`, as the keys; and a scale a query.
    queries: Vec<i32>,
    query_scales: Vec<f32>,
    /// Of the queries at work: `size / 2 × lanes` pairs, `padded length × lanes` scores, `pairs × lanes` weights.
    asking: Vec<i32>,
    scores: Vec<f32>,
    weights: Vec<i32>,
}

/// Scaled dot-product attention of one window, head by head; as [`super::float::attention`].
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn attention(_: Avx2, attention: Attention<'_>, words: &mut Words, out: &mut [f32]) {
    let Attention { projected, width, heads, queries } = attention;
    let (size, length) = (width / heads, projected.len() / (3 * width));
    let value_scale = words.fill(attention);
    let heaviest = (i32::MAX / (LARGEST_VALUE * length as i32)).min(32_767) as f32;
    for head in 0..heads {
        for begin in (0..queries.len()).step_by(REGISTERS * LANES) {
            let asked = (queries.len() - begin).min(REGISTERS * LANES);
            let mut block = Block { words, size, length, heads, head, begin, heaviest, value_scale };
            let out = &mut out[begin * width + head * size..];
            if asked <= LANES {
                block.compute::<1>(asked, width, out);
            } else {
                block.compute::<REGISTERS>(asked, width, out);
            }
        }
    }
}

impl Words {
    /// Queries, keys and values to 16 bits, head by head; what a step of a value is worth.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn fill(&mut self, attention: Attention<'_>) -> f32 {
        let Attention { projected, width, heads, queries } = attention;
        let (size, length) = (width / heads, projected.len() / (3 * width));
        let (padded, lanes) = (length.next_multiple_of(KEYS), REGISTERS * LANES);
        let asking = queries.len().next_multiple_of(lanes);
        self.keys.resize(padded * width / 2, 0);
        self.key_scales.resize(padded, 0.0);
        let pairs = padded.div_ceil(4) * 2;
        self.values.resize(pairs * width, 0);
        self.queries.resize(asking * width / 2, 0);
        self.query_scales.resize(asking, 0.0);
        self.asking.resize(size / 2 * lanes, 0);
        self.scores.resize(padded * lanes, 0.0);
        self.weights.resize(pairs * lanes, 0);

        let part = |row: usize, which: usize| &projected[(3 * row + which) * width..][..width];
        // What a score adds up, over the dimensions of a head, stays within 32 bits.
        let largest = ((i32::MAX / size as i32) as f32).sqrt().floor().min(32_767.0);
        for (row, scale) in self.key_scales[..length].iter_mut().enumerate() {
            *scale = shorten(part(row, 1), largest, size, &mut self.keys, row, padded);
        }
        for ((row, &query), scale) in queries.iter().enumerate().zip(&mut self.query_scales) {
            *scale = shorten(part(query as usize, 0), largest, size, &mut self.queries, row, asking);
        }
        let highest = (0..length).map(|row| magnitude(part(row, 2))).fold(0.0, f32::max);
        let value_scale = (highest / LARGEST_VALUE as f32).max(f32::MIN_POSITIVE);
        for pair in 0..length.div_ceil(2) {
            let second = (2 * pair + 1 < length).then(|| part(2 * pair + 1, 2));
            pair_up(part(2 * pair, 2), second, 1.0 / value_scale, size, &mut self.values, pair, pairs);
        }
        value_scale
    }
}

/// The largest absolute value.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn magnitude(row: &[f32]) -> f32 {
    let sign = _mm256_set1_ps(-0.0);
    let mut highest = _mm256_setzero_ps();
    for eight in row.chunks_exact(LANES) {
        // SAFETY: the chunk is eight values long.
        let values = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
        highest = _mm256_max_ps(highest, _mm256_andnot_ps(sign, values));
    }
    let half = _mm_max_ps(_mm256_castps256_ps128(highest), _mm256_extractf128_ps::<1>(highest));
    let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

/// Sixteen values times `inverse` to whole numbers of 16 bits, in order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn sixteen(values: &[f32], inverse: __m256) -> __m256i {
    let values = &values[..2 * LANES];
    // SAFETY: the slice is sixteen values long.
    let (left, right) = unsafe { (_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(LANES))) };
    let (left, right) = (_mm256_cvtps_epi32(_mm256_mul_ps(left, inverse)), _mm256_cvtps_epi32(_mm256_mul_ps(right, inverse)));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(left, right))
}

/// Eight words of memory.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(words: &mut [i32], value: __m256i) {
    let words = &mut words[..LANES];
    // SAFETY: the slice is eight words long.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), value) };
}

/// A row to 16 bits, of which the largest becomes `largest`: its scale. Each head's part becomes row `at` of its `count`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn shorten(row: &[f32], largest: f32, size: usize, pairs: &mut [i32], at: usize, count: usize) -> f32 {
    let scale = (magnitude(row) / largest).max(f32::MIN_POSITIVE);
    let inverse = _mm256_set1_ps(1.0 / scale);
    for (values, pairs) in row.chunks_exact(size).zip(pairs.chunks_exact_mut(count * size / 2)) {
        let pairs = &mut pairs[at * size / 2..][..size / 2];
        for (values, pairs) in values.chunks_exact(2 * LANES).zip(pairs.chunks_exact_mut(LANES)) {
            store(pairs, sixteen(values, inverse));
        }
    }
    scale
}

/// The values of two keys side by side, dimension by dimension; 0 where there is no second. As [`shorten`] into rows of each head.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn pair_up(first: &[f32], second: Option<&[f32]>, inverse: f32, size: usize, pairs: &mut [i32], at: usize, count: usize) {
    let inverse = _mm256_set1_ps(inverse);
    for (head, pairs) in pairs.chunks_exact_mut(count * size).enumerate().take(first.len() / size) {
        for (index, pairs) in pairs[at * size..][..size].chunks_exact_mut(2 * LANES).enumerate() {
            let from = head * size + index * 2 * LANES;
            let first = sixteen(&first[from..], inverse);
            let second = match second {
                Some(second) => sixteen(&second[from..], inverse),
                None => _mm256_setzero_si256(),
            };
            // Dimensions 0 to 3 and 8 to 11, 4 to 7 and 12 to 15.
            let (low, high) = (_mm256_unpacklo_epi16(first, second), _mm256_unpackhi_epi16(first, second));
            store(pairs, _mm256_permute2x128_si256::<0x20>(low, high));
            store(&mut pairs[LANES..], _mm256_permute2x128_si256::<0x31>(low, high));
        }
    }
}

/// The queries at work, of one head.
struct Block<'a> {
    words: &'a mut Words,
    size: usize,
    length: usize,
    heads: usize,
    head: usize,
    /// The first of the queries.
    begin: usize,
    /// What the largest weight becomes.
    heaviest: f32,
    value_scale: f32,
}

impl Block<'_> {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn compute<const R: usize>(&mut self, asked: usize, width: usize, out: &mut [f32]) {
        self.turn::<R>();
        self.score::<R>();
        let shares = self.weigh::<R>();
        self.mix::<R>(shares, asked, width, out);
    }

    /// Queries to lanes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn turn<const R: usize>(&mut self) {
        let pairs = self.size / 2;
        let count = self.words.query_scales.len();
        for part in 0..R {
            let queries = &self.words.queries[(self.head * count + self.begin + part * LANES) * pairs..][..LANES * pairs];
            for at in (0..pairs).step_by(LANES) {
                let rows = std::array::from_fn(|lane| {
                    let row = &queries[lane * pairs + at..][..LANES];
                    // SAFETY: the slice is eight words long.
                    unsafe { _mm256_loadu_ps(row.as_ptr().cast()) }
                });
                for (index, column) in transposed(rows).into_iter().enumerate() {
                    store(&mut self.words.asking[(at + index) * R * LANES + part * LANES..], _mm256_castps_si256(column));
                }
            }
        }
    }

    /// Scores of every key, but for the query's scale.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn score<const R: usize>(&mut self) {
        let pairs = self.size / 2;
        let asking = self.words.asking[..pairs * R * LANES].as_ptr();
        let padded = self.words.key_scales.len();
        let keys = &self.words.keys[self.head * padded * pairs..][..padded * pairs];
        let keys = keys.chunks_exact(KEYS * pairs).zip(self.words.key_scales.chunks_exact(KEYS));
        for ((keys, scales), scores) in keys.zip(self.words.scores.chunks_exact_mut(KEYS * R * LANES)) {
            let mut sums = [[_mm256_setzero_si256(); R]; KEYS];
            let keys = keys.as_ptr();
            for pair in 0..pairs {
                // SAFETY: `asking` was sliced to `pairs` times the lanes, `keys` is a chunk of as many pairs a key.
                unsafe {
                    let asking: [__m256i; R] = std::array::from_fn(|part| _mm256_loadu_si256(asking.add((pair * R + part) * LANES).cast()));
                    for (index, sums) in sums.iter_mut().enumerate() {
                        let key = _mm256_set1_epi32(*keys.add(index * pairs + pair));
                        for (sum, asking) in sums.iter_mut().zip(asking) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(asking, key));
                        }
                    }
                }
            }
            for ((sums, &scale), scores) in sums.iter().zip(scales).zip(scores.chunks_exact_mut(R * LANES)) {
                for (&sum, scores) in sums.iter().zip(scores.chunks_exact_mut(LANES)) {
                    let score = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale));
                    // SAFETY: the chunk is eight values long.
                    unsafe { _mm256_storeu_ps(scores.as_mut_ptr(), score) };
                }
            }
        }
    }

    /// Scores to weights, softmax but for the division: what one step of a mixed value is worth, a lane each.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn weigh<const R: usize>(&mut self) -> [__m256; R] {
        let lanes = R * LANES;
        let scores = &self.words.scores[..self.length * lanes];
        // SAFETY (this and the next closure): the slices are eight values long.
        let load = |values: &[f32]| unsafe { _mm256_loadu_ps(values[..LANES].as_ptr()) };
        let unit = _mm256_set1_ps(std::f32::consts::LOG2_E / (self.size as f32).sqrt());
        let scales: [__m256; R] =
            std::array::from_fn(|part| _mm256_mul_ps(load(&self.words.query_scales[self.begin + part * LANES..]), unit));
        let mut highest = [_mm256_set1_ps(f32::NEG_INFINITY); R];
        for scores in scores.chunks_exact(lanes) {
            for (highest, scores) in highest.iter_mut().zip(scores.chunks_exact(LANES)) {
                *highest = _mm256_max_ps(*highest, load(scores));
            }
        }
        let top = _mm256_set1_ps(self.heaviest.log2());
        let mut totals = [_mm256_setzero_si256(); R];
        for (scores, weights) in scores.chunks(2 * lanes).zip(self.words.weights.chunks_exact_mut(lanes)) {
            for part in 0..R {
                let weight = |scores: &[f32]| {
                    let below = _mm256_sub_ps(load(&scores[part * LANES..]), highest[part]);
                    power_of_two(_mm256_fmadd_ps(below, scales[part], top))
                };
                let first = weight(scores);
                let second = if scores.len() > lanes { weight(&scores[lanes..]) } else { _mm256_setzero_si256() };
                totals[part] = _mm256_add_epi32(totals[part], _mm256_add_epi32(first, second));
                store(&mut weights[part * LANES..], _mm256_or_si256(first, _mm256_slli_epi32::<16>(second)));
            }
        }
        if let Some(after) = self.words.weights.get_mut(self.length.div_ceil(2) * lanes..).and_then(|after| after.get_mut(..lanes)) {
            after.fill(0);
        }
        totals.map(|total| _mm256_div_ps(_mm256_set1_ps(self.value_scale), _mm256_cvtepi32_ps(total)))
    }

    /// Values mixed by their weights, to the rows of the queries.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn mix<const R: usize>(&mut self, shares: [__m256; R], asked: usize, width: usize, out: &mut [f32]) {
        // Two at a time; where the last one is of no key, its weights are 0.
        let pairs = self.length.div_ceil(2).next_multiple_of(2);
        let weights = self.words.weights[..pairs * R * LANES].as_ptr();
        let values = self.words.values[self.head * (self.words.values.len() / self.heads)..][..pairs * self.size].as_ptr();
        for begin in (0..self.size).step_by(DIMENSIONS) {
            let mut sums = [[_mm256_setzero_si256(); R]; DIMENSIONS];
            for pair in (0..pairs).step_by(2) {
                // SAFETY: both were sliced to `pairs` rows, an even number, and `begin` is a tile of the `size` values in a row.
                unsafe {
                    for pair in [pair, pair + 1] {
                        let values = values.add(pair * self.size + begin);
                        let weights: [__m256i; R] =
                            std::array::from_fn(|part| _mm256_loadu_si256(weights.add((pair * R + part) * LANES).cast()));
                        for (index, sums) in sums.iter_mut().enumerate() {
                            let value = _mm256_set1_epi32(*values.add(index));
                            for (sum, weight) in sums.iter_mut().zip(weights) {
                                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(weight, value));
                            }
                        }
                    }
                }
            }
            for (part, share) in shares.into_iter().enumerate() {
                let columns = sums.map(|sums| _mm256_mul_ps(_mm256_cvtepi32_ps(sums[part]), share));
                for (lane, four) in rows_of_four(columns).into_iter().enumerate() {
                    let query = part * LANES + lane;
                    if query < asked {
                        let out = &mut out[query * width + begin..][..DIMENSIONS];
                        // SAFETY: the slice is four values long.
                        unsafe { _mm_storeu_ps(out.as_mut_ptr(), four) };
                    }
                }
            }
        }
    }
}

/// 2^x to the nearest whole number, for x up to 15.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn power_of_two(x: __m256) -> __m256i {
    let x = _mm256_max_ps(x, _mm256_set1_ps(-20.0));
    let power = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
    let rest = _mm256_sub_ps(x, power);
    let mut value = _mm256_set1_ps(POWER_OF_TWO[4]);
    for term in [POWER_OF_TWO[3], POWER_OF_TWO[2], POWER_OF_TWO[1], POWER_OF_TWO[0]] {
        value = _mm256_fmadd_ps(value, rest, _mm256_set1_ps(term));
    }
    let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(power));
    _mm256_cvtps_epi32(_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), exponent)))
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed(rows: [__m256; LANES]) -> [__m256; LANES] {
    let [a, b, c, d, e, f, g, h] = rows;
    let pairs = |x, y| (_mm256_castps_pd(_mm256_unpacklo_ps(x, y)), _mm256_castps_pd(_mm256_unpackhi_ps(x, y)));
    let fours = |(x_low, x_high), (y_low, y_high)| {
        [
            _mm256_unpacklo_pd(x_low, y_low),
            _mm256_unpackhi_pd(x_low, y_low),
            _mm256_unpacklo_pd(x_high, y_high),
            _mm256_unpackhi_pd(x_high, y_high),
        ]
        .map(|four| _mm256_castpd_ps(four))
    };
    let (upper, lower) = (fours(pairs(a, b), pairs(c, d)), fours(pairs(e, f), pairs(g, h)));
    std::array::from_fn(|column| {
        let (upper, lower) = (upper[column % 4], lower[column % 4]);
        if column < 4 { _mm256_permute2f128_ps::<0x20>(upper, lower) } else { _mm256_permute2f128_ps::<0x31>(upper, lower) }
    })
}

/// Four columns of eight lanes to eight rows of four.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn rows_of_four(columns: [__m256; DIMENSIONS]) -> [__m128; LANES] {
    let [a, b, c, d] = columns;
    let (ab_low, ab_high) = (_mm256_castps_pd(_mm256_unpacklo_ps(a, b)), _mm256_castps_pd(_mm256_unpackhi_ps(a, b)));
    let (cd_low, cd_high) = (_mm256_castps_pd(_mm256_unpacklo_ps(c, d)), _mm256_castps_pd(_mm256_unpackhi_ps(c, d)));
    let rows = [
        _mm256_unpacklo_pd(ab_low, cd_low),
        _mm256_unpackhi_pd(ab_low, cd_low),
        _mm256_unpacklo_pd(ab_high, cd_high),
        _mm256_unpackhi_pd(ab_high, cd_high),
    ]
    .map(|row| _mm256_castpd_ps(row));
    std::array::from_fn(|lane| if lane < 4 { _mm256_castps256_ps128(rows[lane]) } else { _mm256_extractf128_ps::<1>(rows[lane - 4]) })
}
