//! Attention in whole numbers of 16 bits, over any [`Simd`]: one instruction multiplies two of them in each lane, where it would
//! multiply one float, and sums of 32 bits wait less for earlier ones. While scores are made a lane is a query, while values are
//! mixed it is a dimension; so nothing but the queries is ever turned. Pairs of dimensions, later pairs of keys, lie together in one
//! lane. Every query and every key has a scale of its own, the values of a window share one; steps are chosen so that no sum of 32
//! bits overflows, and are still finer by far than those of the bytes that the result becomes.

use super::float::range;
use super::kernels::Attention;
use super::simd::Simd;

/// Keys scored at a time.
const KEYS: usize = 6;

/// Registers of queries at a time: with AVX2 they, the sums of six keys and what is multiplied leave no register.
const REGISTERS: usize = 2;

/// Rows and columns that are turned at a time; what lanes are a multiple of.
const TURNED: usize = 8;

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
    /// `heads × pairs of keys × size`.
    values: Vec<i32>,
    /// `heads × padded queries × size / 2`, as the keys; and a scale a query.
    queries: Vec<i32>,
    query_scales: Vec<f32>,
    /// Of the queries at work: `size / 2 × lanes` pairs, `padded length × lanes` scores, `pairs of keys × lanes` weights, and what
    /// one step of a mixed value is worth.
    asking: Vec<i32>,
    scores: Vec<f32>,
    weights: Vec<i32>,
    shares: Vec<f32>,
}

/// Scaled dot-product attention of one window, head by head. Values are mixed `VECTORS` registers of dimensions, which a head's size
/// is a multiple of, by `QUERIES` queries, which divide the lanes of a register, at a time.
#[inline(always)]
pub(super) fn attention<S: Simd, const VECTORS: usize, const QUERIES: usize>(
    simd: S,
    attention: Attention<'_>,
    words: &mut Words,
    out: &mut [f32],
) {
    let Attention { projected, width, heads, queries } = attention;
    let (size, length) = (width / heads, projected.len() / (3 * width));
    let value_scale = words.fill(simd, attention);
    let heaviest = (i32::MAX / (LARGEST_VALUE * length as i32)).min(32_767) as f32;
    for head in 0..heads {
        for begin in (0..queries.len()).step_by(REGISTERS * S::COUNT) {
            let asked = (queries.len() - begin).min(REGISTERS * S::COUNT);
            let mut block = Block { words, size, length, heads, head, begin, heaviest, value_scale };
            let out = &mut out[begin * width + head * size..];
            if asked <= S::COUNT {
                block.compute::<S, 1, VECTORS, QUERIES>(simd, asked, width, out);
            } else {
                block.compute::<S, REGISTERS, VECTORS, QUERIES>(simd, asked, width, out);
            }
        }
    }
}

impl Words {
    /// Queries, keys and values to 16 bits, head by head; what a step of a value is worth.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, attention: Attention<'_>) -> f32 {
        let Attention { projected, width, heads, queries } = attention;
        let (size, length) = (width / heads, projected.len() / (3 * width));
        let (padded, pairs, lanes) = (length.next_multiple_of(KEYS), length.div_ceil(2), REGISTERS * S::COUNT);
        let asking = queries.len().next_multiple_of(lanes);
        self.keys.resize(padded * width / 2, 0);
        self.key_scales.resize(padded, 0.0);
        self.values.resize(pairs * width, 0);
        self.queries.resize(asking * width / 2, 0);
        self.query_scales.resize(asking, 0.0);
        self.asking.resize(size / 2 * lanes, 0);
        self.scores.resize(padded * lanes, 0.0);
        self.weights.resize(pairs * lanes, 0);
        self.shares.resize(lanes, 0.0);

        let part = |row: usize, which: usize| &projected[(3 * row + which) * width..][..width];
        // What a score adds up, over the dimensions of a head, stays within 32 bits.
        let largest = ((i32::MAX / size as i32) as f32).sqrt().floor().min(32_767.0);
        for (row, scale) in self.key_scales[..length].iter_mut().enumerate() {
            *scale = shorten(simd, part(row, 1), largest, size, &mut self.keys, row, padded);
        }
        for ((row, &query), scale) in queries.iter().enumerate().zip(&mut self.query_scales) {
            *scale = shorten(simd, part(query as usize, 0), largest, size, &mut self.queries, row, asking);
        }
        let highest = (0..length).map(|row| magnitude(simd, part(row, 2))).fold(0.0, f32::max);
        let value_scale = (highest / LARGEST_VALUE as f32).max(f32::MIN_POSITIVE);
        for pair in 0..pairs {
            let second = (2 * pair + 1 < length).then(|| part(2 * pair + 1, 2));
            pair_up(simd, part(2 * pair, 2), second, 1.0 / value_scale, size, &mut self.values, pair, pairs);
        }
        value_scale
    }
}

/// The largest absolute value.
#[inline(always)]
fn magnitude<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (low, high) = range(simd, row);
    high.max(-low)
}

/// A row to 16 bits, of which the largest becomes `largest`: its scale. Each head's part becomes row `at` of its `count`.
#[inline(always)]
fn shorten<S: Simd>(simd: S, row: &[f32], largest: f32, size: usize, pairs: &mut [i32], at: usize, count: usize) -> f32 {
    let scale = (magnitude(simd, row) / largest).max(f32::MIN_POSITIVE);
    let inverse = simd.splat(1.0 / scale);
    for (values, pairs) in row.chunks_exact(size).zip(pairs.chunks_exact_mut(count * size / 2)) {
        let pairs = &mut pairs[at * size / 2..][..size / 2];
        for (values, pairs) in values.chunks_exact(2 * S::COUNT).zip(pairs.chunks_exact_mut(S::COUNT)) {
            let (left, right) = (simd.load(values, 0), simd.load(values, S::COUNT));
            simd.store_words(pairs, 0, simd.in_order(simd.mul(left, inverse), simd.mul(right, inverse)));
        }
    }
    scale
}

/// The values of two keys side by side, dimension by dimension; 0 where there is no second. As [`shorten`] into rows of each head.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "where from, how, where to")]
fn pair_up<S: Simd>(simd: S, first: &[f32], second: Option<&[f32]>, inverse: f32, size: usize, pairs: &mut [i32], at: usize, count: usize) {
    let inverse = simd.splat(inverse);
    for (head, pairs) in pairs.chunks_exact_mut(count * size).enumerate() {
        for (index, pairs) in pairs[at * size..][..size].chunks_exact_mut(S::COUNT).enumerate() {
            let place = head * size + index * S::COUNT;
            let first = simd.whole(simd.mul(simd.load(first, place), inverse));
            let second = match second {
                Some(second) => simd.whole(simd.mul(simd.load(second, place), inverse)),
                None => simd.splat_word(0),
            };
            simd.store_words(pairs, 0, simd.side_by_side(first, second));
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
    #[inline(always)]
    fn compute<S: Simd, const R: usize, const VECTORS: usize, const QUERIES: usize>(
        &mut self,
        simd: S,
        asked: usize,
        width: usize,
        out: &mut [f32],
    ) {
        self.turn::<S, R>(simd);
        self.score::<S, R>(simd);
        self.weigh::<S, R>(simd);
        self.mix::<S, R, VECTORS, QUERIES>(simd, asked, width, out);
    }

    /// Queries to lanes.
    #[inline(always)]
    fn turn<S: Simd, const R: usize>(&mut self, simd: S) {
        let (pairs, lanes) = (self.size / 2, R * S::COUNT);
        let queries = &self.words.queries[(self.head * self.words.query_scales.len() + self.begin) * pairs..][..lanes * pairs];
        for row in (0..lanes).step_by(TURNED) {
            for column in (0..pairs).step_by(TURNED) {
                simd.turn_eight(&queries[row * pairs + column..], pairs, &mut self.words.asking[column * lanes + row..], lanes);
            }
        }
    }

    /// Scores of every key, but for the query's scale.
    #[inline(always)]
    fn score<S: Simd, const R: usize>(&mut self, simd: S) {
        let (pairs, lanes) = (self.size / 2, R * S::COUNT);
        let asking = &self.words.asking[..pairs * lanes];
        let padded = self.words.key_scales.len();
        let keys = &self.words.keys[self.head * padded * pairs..][..padded * pairs];
        let keys = keys.chunks_exact(KEYS * pairs).zip(self.words.key_scales.chunks_exact(KEYS));
        for ((keys, scales), scores) in keys.zip(self.words.scores.chunks_exact_mut(KEYS * lanes)) {
            let keys: [&[i32]; KEYS] = std::array::from_fn(|index| &keys[index * pairs..][..pairs]);
            let mut sums = [[simd.splat_word(0); R]; KEYS];
            for (pair, asking) in asking.chunks_exact(lanes).enumerate().take(pairs) {
                let asking: [S::Words; R] = std::array::from_fn(|part| simd.load_words(asking, part * S::COUNT));
                for (sums, key) in sums.iter_mut().zip(keys) {
                    let key = simd.splat_word(key[pair]);
                    for (sum, asking) in sums.iter_mut().zip(asking) {
                        *sum = simd.add_products(*sum, asking, key);
                    }
                }
            }
            for ((sums, &scale), scores) in sums.iter().zip(scales).zip(scores.chunks_exact_mut(lanes)) {
                for (part, &sum) in sums.iter().enumerate() {
                    simd.store(scores, part * S::COUNT, simd.mul(simd.value(sum), simd.splat(scale)));
                }
            }
        }
    }

    /// Scores to weights, softmax but for the division, which is left to what one step of a mixed value is worth.
    #[inline(always)]
    fn weigh<S: Simd, const R: usize>(&mut self, simd: S) {
        let lanes = R * S::COUNT;
        let scores = &self.words.scores[..self.length * lanes];
        let unit = simd.splat(std::f32::consts::LOG2_E / (self.size as f32).sqrt());
        let scales: [S::Lanes; R] =
            std::array::from_fn(|part| simd.mul(simd.load(&self.words.query_scales, self.begin + part * S::COUNT), unit));
        let mut highest = [simd.splat(f32::NEG_INFINITY); R];
        for scores in scores.chunks_exact(lanes) {
            for (part, highest) in highest.iter_mut().enumerate() {
                *highest = simd.max(*highest, simd.load(scores, part * S::COUNT));
            }
        }
        let top = simd.splat(self.heaviest.log2());
        let mut totals = [simd.splat_word(0); R];
        for (scores, weights) in scores.chunks(2 * lanes).zip(self.words.weights.chunks_exact_mut(lanes)) {
            for part in 0..R {
                let weight = Weight { highest: highest[part], scale: scales[part], top };
                let first = weight.of(simd, simd.load(scores, part * S::COUNT));
                let second = match scores.get(lanes..) {
                    Some(scores) if !scores.is_empty() => weight.of(simd, simd.load(scores, part * S::COUNT)),
                    _ => simd.splat_word(0),
                };
                totals[part] = simd.add_words(totals[part], simd.add_words(first, second));
                simd.store_words(weights, part * S::COUNT, simd.side_by_side(first, second));
            }
        }
        for (part, total) in totals.into_iter().enumerate() {
            let share = simd.div(simd.splat(self.value_scale), simd.value(total));
            simd.store(&mut self.words.shares, part * S::COUNT, share);
        }
    }

    /// Values mixed by their weights, to the rows of the queries.
    #[inline(always)]
    fn mix<S: Simd, const R: usize, const VECTORS: usize, const QUERIES: usize>(
        &mut self,
        simd: S,
        asked: usize,
        width: usize,
        out: &mut [f32],
    ) {
        let (size, lanes) = (self.size, R * S::COUNT);
        let values = &self.words.values[self.head * (self.words.values.len() / self.heads)..];
        let (weights, values) = (self.words.weights.chunks_exact(lanes), values.chunks_exact(size));
        let pairs = self.length.div_ceil(2);
        for first in (0..asked).step_by(QUERIES) {
            for begin in (0..size).step_by(VECTORS * S::COUNT) {
                let mut sums = [[simd.splat_word(0); VECTORS]; QUERIES];
                for (weights, values) in weights.clone().zip(values.clone()).take(pairs) {
                    let (weights, values) = (&weights[first..first + QUERIES], &values[begin..begin + VECTORS * S::COUNT]);
                    let values: [S::Words; VECTORS] = std::array::from_fn(|part| simd.load_words(values, part * S::COUNT));
                    for (sums, &weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_word(weight);
                        for (sum, values) in sums.iter_mut().zip(values) {
                            *sum = simd.add_products(*sum, values, weight);
                        }
                    }
                }
                // Lanes that nobody asks in are no one's.
                for (query, sums) in (first..asked).zip(sums) {
                    let share = simd.splat(self.words.shares[query]);
                    let out = &mut out[query * width + begin..][..VECTORS * S::COUNT];
                    for (part, sum) in sums.into_iter().enumerate() {
                        simd.store(out, part * S::COUNT, simd.mul(simd.value(sum), share));
                    }
                }
            }
        }
    }
}

/// How a query's scores become weights.
#[derive(Clone, Copy)]
struct Weight<S: Simd> {
    highest: S::Lanes,
    scale: S::Lanes,
    /// The binary logarithm of the largest weight.
    top: S::Lanes,
}

impl<S: Simd> Weight<S> {
    /// 2^x to the nearest whole number; x is at most 15.
    #[inline(always)]
    fn of(self, simd: S, score: S::Lanes) -> S::Words {
        let x = simd.mul_add(simd.sub(score, self.highest), self.scale, self.top);
        let x = simd.max(x, simd.splat(-20.0));
        let power = simd.round(x);
        let rest = simd.sub(x, power);
        let mut value = simd.splat(POWER_OF_TWO[4]);
        for term in [POWER_OF_TWO[3], POWER_OF_TWO[2], POWER_OF_TWO[1], POWER_OF_TWO[0]] {
            value = simd.mul_add(value, rest, simd.splat(term));
        }
        simd.whole(simd.scale(value, power))
    }
}
