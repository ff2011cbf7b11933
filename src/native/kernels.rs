//! The kernels of the int8 network as safe functions: a value of [`Kernels`] is the proof that the processor has the instructions,
//! and every length is checked before the fast code runs. Whoever computes with int8 calls these.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
#[cfg(target_arch = "x86_64")]
use super::{attention, avx2, avx512, float};

/// Widths of matrices are multiples of this: every set of kernels packs whole panels.
pub const UNIT: usize = 64;

/// Bytes of a line of the processor's caches. Weights that begin with one are fastest: no register is then read from two.
pub const CACHE_LINE: usize = 64;

/// Proof that the processor multiplies bytes fast enough for the int8 network to be worth it: AVX-512 VNNI, or AVX2. Without
/// either there is no value of this type.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(Set);

#[derive(Clone, Copy, Debug)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// How weights must lie in memory, and what they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Output columns that lie together.
    pub panel: usize,
    /// Groups of four bytes whose products are added before they are widened to 32 bits.
    pub chain: usize,
    /// What the positive weights of one lane's chain may add up to at most, and the negative ones; `None`: anything.
    pub largest_lane_sum: Option<i32>,
}

/// Activations as bytes: `value = scale × (byte − zero)`, scale and zero a row's own.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Row-major, `rows × inner`.
    pub bytes: &'a [u8],
    pub scales: &'a [f32],
    pub zeros: &'a [f32],
    /// Bytes a row; a multiple of [`UNIT`].
    pub inner: usize,
}

/// Weights as bytes: `value = scale × byte`, the scale an output column's own.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// `columns / panel` panels of `inner / 4 × panel × 4` bytes: the four bytes that one instruction multiplies lie together.
    pub packed: &'a [i8],
    pub scales: &'a [f32],
    /// Scale times the sum of the column's bytes: what a row's zero contributes.
    pub sums: &'a [f32],
    pub bias: &'a [f32],
}

/// What happens to a product on its way to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    /// x Φ(x), Hendrycks and Gimpel, 2016; with AVX-512 at most 8e-4 off, with AVX2 3.3e-4 for |x| up to 3.6 and beyond 2.6e-4 of
    /// |x|: well under a byte's step.
    Gelu,
}

/// Attention of one window: queries, keys and values side by side in each row.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// Row-major, `length × 3 width`: query, key, value.
    pub projected: &'a [f32],
    pub width: usize,
    pub heads: usize,
    /// The rows that ask; their results are written in this order.
    pub queries: &'a [u32],
}

impl Attention<'_> {
    fn length(&self) -> usize {
        self.projected.len() / (3 * self.width)
    }
}

/// Memory for the attention of one window, reused for the next; it keeps the size of the largest.
#[derive(Debug, Default)]
pub struct Scratch {
    #[cfg(target_arch = "x86_64")]
    words: attention::Words,
}

/// The kernels, compiled for one set of instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($module:ident, $simd:ty, $linear:path, $attention:path, $features:literal) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) fn linear(simd: $simd, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
                $linear(simd, rows, columns, activation, out);
            }

            #[target_feature(enable = $features)]
            pub(super) fn quantize(simd: $simd, row: &[f32], bytes: &mut [u8]) -> (f32, f32) {
                float::quantize(simd, row, bytes)
            }

            #[target_feature(enable = $features)]
            pub(super) fn add_and_norm(simd: $simd, row: &mut [f32], residual: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
                float::add_and_norm(simd, row, residual, gain, bias, epsilon);
            }

            #[target_feature(enable = $features)]
            pub(super) fn attention(simd: $simd, attention: Attention<'_>, scratch: &mut Scratch, out: &mut [f32]) {
                $attention(simd, attention, &mut scratch.words, out);
            }

            #[target_feature(enable = $features)]
            pub(super) fn dense(simd: $simd, row: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
                float::dense(simd, row, weights, bias, out);
            }
        }
    };
}

// The registers of values and the queries of a tile of attention: 16 sums of 32 registers, 8 of 16.
#[cfg(target_arch = "x86_64")]
compiled!(with_avx512, Avx512, avx512::linear, attention::attention::<_, 2, 8>, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
#[cfg(target_arch = "x86_64")]
compiled!(with_avx2, Avx2, avx2::linear, attention::attention::<_, 4, 2>, "avx2,fma");

macro_rules! call {
    ($self:ident, $name:ident($($argument:expr),*)) => {
        match $self.0 {
            // SAFETY: the set holds the proof of the very instructions that the function is compiled for.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(simd) => unsafe { with_avx512::$name(simd, $($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => unsafe { with_avx2::$name(simd, $($argument),*) },
        }
    };
}

impl Kernels {
    /// The fastest set that the processor has.
    pub fn detect() -> Option<Self> {
        Self::every().into_iter().next()
    }

    /// Every set that the processor has, the fastest first.
    pub fn every() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        return [Avx512::detect().map(Set::Avx512), Avx2::detect().map(Set::Avx2)].into_iter().flatten().map(Self).collect();
        #[cfg(not(target_arch = "x86_64"))]
        Vec::new()
    }

    /// The instructions, for reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "avx2",
        }
    }

    /// How [`Self::linear`] wants its weights.
    pub fn packing(self) -> Packing {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => avx512::PACKING,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => avx2::PACKING,
        }
    }

    /// `out[row, column] = activation(rows · columns + bias)`, row-major. The columns were packed as [`Self::packing`] says, the
    /// rows are of [`Self::quantize`]. Panics where a length does not fit.
    pub fn linear(self, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
        let (count, width) = (rows.scales.len(), columns.scales.len());
        assert!(rows.inner.is_multiple_of(UNIT) && width.is_multiple_of(UNIT), "inner {} and outer {width} fit the panels", rows.inner);
        assert!(rows.bytes.len() == count * rows.inner && rows.zeros.len() == count, "a scale and a zero for each of {count} rows");
        assert!(columns.packed.len() == width * rows.inner, "{} weights for {width} columns", columns.packed.len());
        assert!(columns.sums.len() == width && columns.bias.len() == width, "a sum and a bias for each of {width} columns");
        assert!(out.len() == count * width, "room for {count} rows of {width}");
        call!(self, linear(rows, columns, activation, out));
    }

    /// One row to bytes over its own range (0 always included): its scale and zero.
    pub fn quantize(self, row: &[f32], bytes: &mut [u8]) -> (f32, f32) {
        assert!(row.len() == bytes.len() && row.len().is_multiple_of(UNIT), "{} values to {} bytes", row.len(), bytes.len());
        call!(self, quantize(row, bytes))
    }

    /// `row = norm(row + residual) × gain + bias` (Ba et al., "Layer Normalization", 2016).
    pub fn add_and_norm(self, row: &mut [f32], residual: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
        let width = row.len();
        assert!(width.is_multiple_of(UNIT) && residual.len() == width && gain.len() == width && bias.len() == width, "width {width}");
        call!(self, add_and_norm(row, residual, gain, bias, epsilon));
    }

    /// Scaled dot-product attention (Vaswani et al., 2017) of one window; `out` is `queries × width`.
    pub fn attention(self, attention: Attention<'_>, scratch: &mut Scratch, out: &mut [f32]) {
        let Attention { projected, width, heads, queries } = attention;
        let even = width.is_multiple_of(UNIT) && width % heads == 0 && (width / heads).is_multiple_of(32);
        assert!(even, "{heads} heads over a width of {width}");
        let length = attention.length();
        assert!(projected.len() == length * 3 * width && out.len() == queries.len() * width, "whole rows");
        assert!(queries.iter().all(|&row| (row as usize) < length), "queries are rows of the window");
        if queries.is_empty() {
            return;
        }
        call!(self, attention(attention, scratch, out));
    }

    /// `out[label] = row · weights[label] + bias[label]`.
    pub fn dense(self, row: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
        let width = row.len();
        assert!(width.is_multiple_of(UNIT) && weights.len() == width * bias.len() && out.len() == bias.len(), "width {width}");
        call!(self, dense(row, weights, bias, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers of -1 to 1, the same for the same seed.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed | 1;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .take(count)
        .collect()
    }

    fn near(found: &[f32], plain: &[f64], bound: f64) -> Result<(), TestCaseError> {
        prop_assert_eq!(found.len(), plain.len());
        for (found, plain) in found.iter().zip(plain) {
            prop_assert!((f64::from(*found) - plain).abs() < bound, "{} is not {}", found, plain);
        }
        Ok(())
    }

    /// One head's attention of one query, in f64.
    fn plain_attention(attention: Attention<'_>, query: usize, head: usize) -> Vec<f64> {
        let (stride, size) = (3 * attention.width, attention.width / attention.heads);
        let part =
            |row: usize, which: usize, at: usize| f64::from(attention.projected[row * stride + which * attention.width + head * size + at]);
        let scores: Vec<f64> = (0..attention.length())
            .map(|row| (0..size).map(|at| part(query, 0, at) * part(row, 1, at)).sum::<f64>() / (size as f64).sqrt())
            .collect();
        let highest = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
        let total: f64 = weights.iter().sum();
        (0..size).map(|at| weights.iter().enumerate().map(|(row, weight)| weight / total * part(row, 2, at)).sum()).collect()
    }

    /// Queries and keys as a head has them in bytes: the former in steps of a 127th of the largest, the latter from each column's
    /// lowest value on, in steps of the widest column's range over the largest byte.
    fn in_steps(attention: Attention<'_>, largest_byte: f32) -> Vec<f32> {
        let Attention { projected, width, heads, .. } = attention;
        let (size, rows, mut rounded) = (width / heads, attention.length(), projected.to_vec());
        for head in 0..heads {
            let at = |which: usize, row: usize, column: usize| (3 * row + which) * width + head * size + column;
            let all = |which: usize, column: usize| (0..rows).map(move |row| projected[at(which, row, column)]);
            let lowest = |column: usize| all(1, column).fold(f32::MAX, f32::min);
            let largest = (0..size).flat_map(|column| all(0, column)).fold(0.0, |largest: f32, query| largest.max(query.abs()));
            let widest = (0..size).map(|column| all(1, column).fold(f32::MIN, f32::max) - lowest(column)).fold(0.0, f32::max);
            let (query_step, key_step) = (largest / 127.0, widest / largest_byte);
            for (row, column) in (0..rows).flat_map(|row| (0..size).map(move |column| (row, column))) {
                let (query, key, zero) = (at(0, row, column), at(1, row, column), lowest(column));
                rounded[query] = (projected[query] / query_step).round_ties_even() * query_step;
                rounded[key] = zero + if key_step > 0.0 { ((projected[key] - zero) / key_step).round_ties_even() * key_step } else { 0.0 };
            }
        }
        rounded
    }

    #[test]
    fn a_window_of_zeros_attends_to_zeros() {
        let (projected, queries) = (vec![0.0; 5 * 3 * 64], [0, 1, 2, 3, 4]);
        for kernels in Kernels::every() {
            let mut out = vec![f32::NAN; 5 * 64];
            let attention = Attention { projected: &projected, width: 64, heads: 2, queries: &queries };
            kernels.attention(attention, &mut Scratch::default(), &mut out);
            assert!(out.iter().all(|&value| value == 0.0));
        }
    }

    /// Every weight and every value as large as can be: no sum overflows.
    #[test]
    fn a_window_of_one_value_attends_to_it() {
        for length in [1, 2, 31, 32, 33, 128, 512] {
            for query in [3.0, -3.0] {
                let mut projected = vec![-5.0; length * 3 * 64];
                for (index, row) in projected.chunks_exact_mut(3 * 64).enumerate() {
                    row[..64].fill(query);
                    row[64..2 * 64].fill(if index == 0 { -3.0 } else { 3.0 });
                }
                let queries: Vec<u32> = (0..length as u32).collect();
                for kernels in Kernels::every() {
                    let mut out = vec![f32::NAN; length * 64];
                    let attention = Attention { projected: &projected, width: 64, heads: 2, queries: &queries };
                    kernels.attention(attention, &mut Scratch::default(), &mut out);
                    assert!(out.iter().all(|value| (value + 5.0).abs() < 5e-3), "{kernels:?}, {length}: {out:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn attention_is_the_plain_one(
            length in 1usize..70,
            heads in 1usize..3,
            size in 1usize..3,
            every in 1usize..4,
            // Of every key: softmax does not mind it, steps must not.
            offset in prop::sample::select(vec![0.0f32, 300.0]),
            seed in any::<u64>(),
        ) {
            let (heads, size) = (heads * 2, size * 32);
            let width = heads * size;
            let mut projected: Vec<f32> = numbers(length * 3 * width, seed).into_iter().map(|number| number * 3.0).collect();
            projected.chunks_exact_mut(3 * width).for_each(|row| row[width..2 * width].iter_mut().for_each(|key| *key += offset));
            let queries: Vec<u32> = (0..length as u32).step_by(every).collect();
            let attention = Attention { projected: &projected, width, heads, queries: &queries };
            let plain = |attention: Attention<'_>| -> Vec<f64> {
                queries.iter().flat_map(|&query| (0..heads).flat_map(move |head| plain_attention(attention, query as usize, head))).collect()
            };
            let earlier = numbers((length + 13) * 6 * width, seed ^ 1);
            for kernels in Kernels::every() {
                let mut scratch = Scratch::default();
                // What an earlier, longer and wider window left behind does no harm.
                let all: Vec<u32> = (0..length as u32 + 13).collect();
                let longer = Attention { projected: &earlier, width: 2 * width, heads, queries: &all };
                kernels.attention(longer, &mut scratch, &mut vec![0.0; (length + 13) * 2 * width]);
                let mut out = vec![f32::NAN; queries.len() * width];
                kernels.attention(attention, &mut scratch, &mut out);
                // A step of the values in 16 bits is 1.5e-3 here, and now and then a query or a key falls to the next step.
                let largest_byte = if kernels.name() == "avx2" { 127.0 } else { 255.0 };
                near(&out, &plain(Attention { projected: &in_steps(attention, largest_byte), ..attention }), 2e-2)?;
                near(&out, &plain(attention), 0.2)?;
            }
        }

        #[test]
        fn whoever_else_asks_does_not_matter(length in 1usize..70, first in 0usize..70, seed in any::<u64>()) {
            let (width, heads) = (128, 4);
            let projected = numbers(length * 3 * width, seed);
            let all: Vec<u32> = (0..length as u32).collect();
            let some: Vec<u32> = all.iter().copied().skip(first % length).step_by(3).collect();
            for kernels in Kernels::every() {
                let mut scratch = Scratch::default();
                let (mut among_all, mut among_some) = (vec![0.0; length * width], vec![0.0; some.len() * width]);
                kernels.attention(Attention { projected: &projected, width, heads, queries: &all }, &mut scratch, &mut among_all);
                kernels.attention(Attention { projected: &projected, width, heads, queries: &some }, &mut scratch, &mut among_some);
                for (row, found) in some.iter().zip(among_some.chunks(width)) {
                    prop_assert_eq!(found, &among_all[*row as usize * width..][..width]);
                }
            }
        }

        #[test]
        fn a_row_survives_bytes_to_within_a_step(units in 1usize..5, shift in -2.0f32..2.0, seed in any::<u64>()) {
            let row: Vec<f32> = numbers(units * UNIT, seed).into_iter().map(|number| number * 4.0 + shift).collect();
            for kernels in Kernels::every() {
                let mut bytes = vec![0; row.len()];
                let (scale, zero) = kernels.quantize(&row, &mut bytes);
                let back: Vec<f32> = bytes.iter().map(|&byte| scale * (f32::from(byte) - zero)).collect();
                near(&back, &row.iter().copied().map(f64::from).collect::<Vec<_>>(), f64::from(scale) * 1.01)?;
                prop_assert!(kernels.packing().largest_lane_sum.is_none() || bytes.iter().all(|&byte| byte <= 127));
            }
        }

        #[test]
        fn norm_and_head_are_the_plain_ones(units in 1usize..7, labels in 1usize..20, seed in any::<u64>()) {
            let width = units * UNIT;
            let all = numbers(width * (4 + labels) + labels, seed);
            let (row, rest) = all.split_at(width);
            let (residual, rest) = rest.split_at(width);
            let (gain, rest) = rest.split_at(width);
            let (bias, rest) = rest.split_at(width);
            let (weights, head_bias) = rest.split_at(width * labels);
            let sums: Vec<f64> = row.iter().zip(residual).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            let mean = sums.iter().sum::<f64>() / width as f64;
            let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / width as f64;
            let plain: Vec<f64> = sums
                .iter()
                .zip(gain)
                .zip(bias)
                .map(|((sum, gain), bias)| (sum - mean) / (variance + 1e-12).sqrt() * f64::from(*gain) + f64::from(*bias))
                .collect();
            let logits: Vec<f64> = weights
                .chunks_exact(width)
                .zip(head_bias)
                .map(|(weights, bias)| weights.iter().zip(row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() + f64::from(*bias))
                .collect();
            for kernels in Kernels::every() {
                let mut normed = row.to_vec();
                kernels.add_and_norm(&mut normed, residual, gain, bias, 1e-12);
                near(&normed, &plain, 1e-4)?;
                let mut out = vec![0.0; labels];
                kernels.dense(row, weights, head_bias, &mut out);
                near(&out, &logits, 1e-3)?;
            }
        }
    }
}
