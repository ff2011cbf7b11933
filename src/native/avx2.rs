//! The product of bytes without VNNI: `vpmaddubsw` multiplies bytes and adds pairs to sixteen bits. Four such results are added
//! before they are widened, which saves three of four widenings; that none overflows is seen to when weights are packed: with
//! activations of at most 127, the positive weights of a lane's eight add up to at most 258, the negative ones likewise.
//!
//! The tile: three rows times sixteen columns are six sums of 32 bits and six of 16; with two registers of weights, one of
//! activations and one product that is all sixteen registers.

use std::arch::asm;
use std::arch::x86_64::*;

use super::float::{Worth, gelu};
use super::kernels::{Activation, Columns, Packing, Rows};
use super::simd::{Avx2, Simd};

pub(super) const PACKING: Packing = Packing { panel: 16, chain: 4, largest_lane_sum: Some(258) };

const ROWS: usize = 3;

/// `out[row, column]` of `rows · columns`, panel by panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn linear(simd: Avx2, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
    let count = rows.scales.len();
    for panel in 0..columns.scales.len() / PACKING.panel {
        for row in (0..count / ROWS * ROWS).step_by(ROWS) {
            tile::<ROWS>(simd, rows, columns, activation, out, row, panel);
        }
        let row = count / ROWS * ROWS;
        match count - row {
            2 => tile::<2>(simd, rows, columns, activation, out, row, panel),
            1 => tile::<1>(simd, rows, columns, activation, out, row, panel),
            _ => {}
        }
    }
}

/// `words + pairs of bytes × weights`. Two instructions of assembly, since the compiler would turn the chain of sums into a
/// tree, for which there are too few registers.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply_add(bytes: __m256i, weights: __m256i, mut words: __m256i) -> __m256i {
    // SAFETY: called from `tile` only, which holds the proof of AVX2; no memory is touched.
    unsafe {
        asm!(
            "vpmaddubsw {product}, {bytes}, {weights}",
            "vpaddw {words}, {words}, {product}",
            product = out(ymm_reg) _,
            bytes = in(ymm_reg) bytes,
            weights = in(ymm_reg) weights,
            words = inout(ymm_reg) words,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    words
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn tile<const R: usize>(
    simd: Avx2,
    rows: Rows<'_>,
    columns: Columns<'_>,
    activation: Activation,
    out: &mut [f32],
    row: usize,
    panel: usize,
) {
    let inner = rows.inner;
    let bytes = rows.bytes[row * inner..(row + R) * inner].as_ptr();
    let weights = columns.packed[panel * PACKING.panel * inner..(panel + 1) * PACKING.panel * inner].as_ptr();
    let mut results = [[simd.splat(0.0); 2]; R];
    // SAFETY: `simd` proves the instructions. `link` counts groups of four bytes within the panel and the rows sliced above:
    // `inner` is a multiple of a chain's sixteen bytes.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let mut sums = [[_mm256_setzero_si256(); 2]; R];
        for chain in 0..inner / (4 * PACKING.chain) {
            let mut words = [[_mm256_setzero_si256(); 2]; R];
            for link in 0..PACKING.chain {
                let group = chain * PACKING.chain + link;
                let at = weights.add(group * PACKING.panel * 4);
                let (left, right) = (_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(32).cast()));
                for (index, words) in words.iter_mut().enumerate() {
                    let four = _mm256_set1_epi32(bytes.add(index * inner + group * 4).cast::<i32>().read_unaligned());
                    if link == 0 {
                        *words = [_mm256_maddubs_epi16(four, left), _mm256_maddubs_epi16(four, right)];
                    } else {
                        *words = [multiply_add(four, left, words[0]), multiply_add(four, right, words[1])];
                    }
                }
            }
            for (sums, words) in sums.iter_mut().zip(words) {
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(words[0], ones));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(words[1], ones));
            }
        }
        for (results, sums) in results.iter_mut().zip(sums) {
            *results = [_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])];
        }
    }
    let width = columns.scales.len();
    for part in 0..2 {
        let column = panel * PACKING.panel + part * Avx2::COUNT;
        let worth = Worth::of(simd, columns, column);
        for (index, result) in results.iter().enumerate() {
            let row = row + index;
            let value = worth.value(simd, result[part], rows.scales[row], rows.zeros[row]);
            let value = if activation == Activation::Gelu { gelu(simd, value) } else { value };
            simd.store(out, row * width + column, value);
        }
    }
}
