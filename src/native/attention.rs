//! Attention in whole numbers, over any [`Simd`]: scores in bytes, four dimensions to a lane, values mixed in 16 bits, two keys to
//! a lane. While scores are made a lane is a query, while values are mixed it is a dimension; so nothing but the queries is ever
//! turned. The queries of a head share a scale, its keys another, the values of a window a third, each from the range over all of the
//! window's rows, so that no result depends on who else asks. Steps of queries and keys are about as fine as those of the activations
//! that they were made from, those of values finer by far; and no sum of 32 bits overflows.

use super::kernels::Attention;
use super::simd::{ABREAST, Simd};

/// Keys scored at a time.
const KEYS: usize = 6;

/// Registers of queries at a time: with AVX2 they, the sums of six keys and what is multiplied take every register, and one thing is
/// read from memory; sums of five keys are no faster.
const REGISTERS: usize = 2;

/// Rows and columns that are turned at a time; what lanes are a multiple of.
const TURNED: usize = 8;

/// Rows whose range is taken together: the running results are read and written once for so many.
const RANGED: usize = 8;

/// What a query's steps may reach.
const LARGEST_QUERY: f32 = 127.0;

/// What a value's steps may reach; weights get what 32 bits leave.
const LARGEST_VALUE: i32 = 2_047;

/// 2^x over [0, 1]: least squares reweighted towards the largest relative error, 7.5e-5.
const POWER_OF_TWO: [f32; 4] = [0.999_925_2, 0.695_833_56, 0.226_067_16, 0.078_024_52];

/// Memory for the work on one window, reused for the next.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The range of each of the `3 width` columns.
    lowest: Vec<f32>,
    highest: Vec<f32>,
    /// Of each of the first `2 width` columns, queries and keys: what is 0, and how many steps there are to 1.
    zeros: Vec<f32>,
    steps: Vec<f32>,
    /// A head each: what a step of a score is worth, in powers of two.
    score_scales: Vec<f32>,
    /// `padded queries × width / 4` and `padded length × width / 4` fours of dimensions, in bytes.
    queries: Vec<i32>,
    keys: Vec<i32>,
    /// `heads × pairs of keys × size`, in 16 bits.
    values: Vec<i32>,
    /// Of the queries at work: `size / 4 × lanes` fours, `padded length × lanes` scores, `pairs of keys × lanes` weights, and what
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
    // A thousandth less than what overflows nothing: that is more than powers of two are off.
    let heaviest = 0.999 * (i32::MAX / (LARGEST_VALUE * length as i32)).min(32_767) as f32;
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
    /// Queries and keys to bytes, values to 16 bits; what a step of a value is worth.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, attention: Attention<'_>) -> f32 {
        let Attention { projected, width, heads, queries } = attention;
        let (size, length) = (width / heads, projected.len() / (3 * width));
        let (padded, pairs, lanes) = (length.next_multiple_of(KEYS), length.div_ceil(2), REGISTERS * S::COUNT);
        for columns in [&mut self.lowest, &mut self.highest] {
            columns.resize(3 * width, 0.0);
        }
        for columns in [&mut self.zeros, &mut self.steps] {
            columns.resize(2 * width, 0.0);
        }
        self.score_scales.resize(heads, 0.0);
        self.queries.resize(queries.len().next_multiple_of(lanes) * width / 4, 0);
        self.keys.resize(padded * width / 4, 0);
        self.values.resize(pairs * width, 0);
        self.asking.resize(size / 4 * lanes, 0);
        self.scores.resize(padded * lanes, 0.0);
        self.weights.resize(pairs * lanes, 0);
        self.shares.resize(lanes, 0.0);

        ranges(simd, projected, &mut self.lowest, &mut self.highest);
        for head in 0..heads {
            self.scale_of(head, size, width, S::LARGEST_BYTE);
        }
        let part = |row: usize, which: usize| &projected[(3 * row + which) * width..][..width];
        let (zeros, steps) = (self.zeros.split_at(width), self.steps.split_at(width));
        for (&query, fours) in queries.iter().zip(self.queries.chunks_exact_mut(width / 4)) {
            shorten::<S, true>(simd, part(query as usize, 0), zeros.0, steps.0, fours);
        }
        // Beyond the last key there are more of it, whose scores nobody weighs: no score is higher for them.
        for (row, fours) in self.keys.chunks_exact_mut(width / 4).enumerate() {
            shorten::<S, false>(simd, part(row.min(length - 1), 1), zeros.1, steps.1, fours);
        }
        let value_scale = (self.magnitude(2 * width..3 * width) / LARGEST_VALUE as f32).max(f32::MIN_POSITIVE);
        for pair in 0..pairs {
            let second = (2 * pair + 1 < length).then(|| part(2 * pair + 1, 2));
            pair_up(simd, part(2 * pair, 2), second, 1.0 / value_scale, size, &mut self.values, pair, pairs);
        }
        value_scale
    }

    /// The scale of a head's queries, symmetric, and that of its keys, whose columns begin at their lowest value: what is taken off
    /// every key takes as much off all scores of a query, and softmax does not mind.
    fn scale_of(&mut self, head: usize, size: usize, width: usize, largest_byte: f32) {
        let (queries, keys) = (head * size..(head + 1) * size, width + head * size..width + (head + 1) * size);
        let widest = keys.clone().map(|column| self.highest[column] - self.lowest[column]).fold(0.0, f32::max);
        let query = (self.magnitude(queries.clone()) / LARGEST_QUERY).max(f32::MIN_POSITIVE);
        let key = (widest / largest_byte).max(f32::MIN_POSITIVE);
        self.score_scales[head] = query * key * std::f32::consts::LOG2_E / (size as f32).sqrt();
        self.steps[queries.clone()].fill(1.0 / query);
        self.zeros[queries].fill(0.0);
        self.steps[keys.clone()].fill(1.0 / key);
        self.zeros[keys.clone()].copy_from_slice(&self.lowest[keys]);
    }

    /// The largest absolute value of some columns.
    fn magnitude(&self, columns: std::ops::Range<usize>) -> f32 {
        columns.map(|column| self.highest[column].max(-self.lowest[column])).fold(0.0, f32::max)
    }
}

/// The lowest and the highest value of each column, of which a register's lanes are a divisor.
#[inline(always)]
fn ranges<S: Simd>(simd: S, rows: &[f32], lowest: &mut [f32], highest: &mut [f32]) {
    let width = lowest.len();
    lowest.copy_from_slice(&rows[..width]);
    highest.copy_from_slice(&rows[..width]);
    for rows in rows.chunks(RANGED * width) {
        for at in (0..width).step_by(S::COUNT) {
            let (mut low, mut high) = (simd.load(lowest, at), simd.load(highest, at));
            for row in rows.chunks_exact(width) {
                let values = simd.load(row, at);
                (low, high) = (simd.min(low, values), simd.max(high, values));
            }
            simd.store(lowest, at, low);
            simd.store(highest, at, high);
        }
    }
}

/// A row to bytes by the zeros and steps of its columns.
#[inline(always)]
fn shorten<S: Simd, const SIGNED: bool>(simd: S, row: &[f32], zeros: &[f32], steps: &[f32], fours: &mut [i32]) {
    for (index, fours) in fours.chunks_exact_mut(S::COUNT).enumerate() {
        let mut lanes = [simd.splat(0.0); ABREAST];
        for (part, lanes) in lanes.iter_mut().enumerate() {
            let at = (index * ABREAST + part) * S::COUNT;
            *lanes = simd.mul(simd.sub(simd.load(row, at), simd.load(zeros, at)), simd.load(steps, at));
        }
        simd.store_words(fours, 0, simd.in_bytes::<SIGNED>(lanes));
    }
}

/// The values of two keys side by side, dimension by dimension; 0 where there is no second. Each head's part becomes row
/// `at` of its `count`.
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
        let highest = self.score::<S, R>(simd);
        self.weigh::<S, R>(simd, highest);
        self.mix::<S, R, VECTORS, QUERIES>(simd, asked, width, out);
    }

    /// Queries to lanes.
    #[inline(always)]
    fn turn<S: Simd, const R: usize>(&mut self, simd: S) {
        let (fours, stride, lanes) = (self.size / 4, self.heads * self.size / 4, R * S::COUNT);
        let queries = &self.words.queries[self.begin * stride + self.head * fours..];
        for row in (0..lanes).step_by(TURNED) {
            for column in (0..fours).step_by(TURNED) {
                simd.turn_eight(&queries[row * stride + column..], stride, &mut self.words.asking[column * lanes + row..], lanes);
            }
        }
    }

    /// Scores of every key in steps, and the highest of each query.
    #[inline(always)]
    fn score<S: Simd, const R: usize>(&mut self, simd: S) -> [S::Lanes; R] {
        let (fours, stride, lanes) = (self.size / 4, self.heads * self.size / 4, R * S::COUNT);
        let (asking, own) = (&self.words.asking[..fours * lanes], self.head * fours..(self.head + 1) * fours);
        let mut highest = [simd.splat(f32::NEG_INFINITY); R];
        let keys = self.words.keys.chunks_exact(KEYS * stride);
        for (keys, scores) in keys.zip(self.words.scores.chunks_exact_mut(KEYS * lanes)) {
            let keys: [&[i32]; KEYS] = std::array::from_fn(|index| &keys[index * stride..(index + 1) * stride][own.clone()]);
            let mut sums = [[simd.splat_word(0); R]; KEYS];
            for (four, asking) in asking.chunks_exact(lanes).enumerate().take(fours) {
                let asking: [S::Words; R] = std::array::from_fn(|part| simd.load_words(asking, part * S::COUNT));
                for (sums, key) in sums.iter_mut().zip(keys) {
                    let key = simd.splat_word(key[four]);
                    for (sum, asking) in sums.iter_mut().zip(asking) {
                        *sum = simd.add_byte_products(*sum, key, asking);
                    }
                }
            }
            for (sums, scores) in sums.iter().zip(scores.chunks_exact_mut(lanes)) {
                for (part, &sum) in sums.iter().enumerate() {
                    let score = simd.value(sum);
                    highest[part] = simd.max(highest[part], score);
                    simd.store(scores, part * S::COUNT, score);
                }
            }
        }
        highest
    }

    /// Scores to weights, softmax but for the division, which is left to what one step of a mixed value is worth.
    #[inline(always)]
    fn weigh<S: Simd, const R: usize>(&mut self, simd: S, highest: [S::Lanes; R]) {
        let lanes = R * S::COUNT;
        let scores = &self.words.scores[..self.length * lanes];
        let (scale, top) = (simd.splat(self.words.score_scales[self.head]), simd.splat(self.heaviest.log2()));
        let mut totals = [simd.splat_word(0); R];
        for (scores, weights) in scores.chunks(2 * lanes).zip(self.words.weights.chunks_exact_mut(lanes)) {
            for part in 0..R {
                let weight = Weight { highest: highest[part], scale, top };
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
    /// What a step is worth, in powers of two.
    scale: S::Lanes,
    /// The binary logarithm of the largest weight.
    top: S::Lanes,
}

impl<S: Simd> Weight<S> {
    /// 2^x to the nearest whole number; x is at most 15.
    #[inline(always)]
    fn of(self, simd: S, score: S::Lanes) -> S::Words {
        let x = simd.mul_add(simd.sub(score, self.highest), self.scale, self.top);
        let rest = simd.fraction(x);
        let [constant, linear, square, cube] = POWER_OF_TWO.map(|term| simd.splat(term));
        let value = simd.mul_add(simd.mul_add(simd.mul_add(cube, rest, square), rest, linear), rest, constant);
        simd.whole(simd.scale(value, x))
    }
}
