//! The product of bytes with AVX-512 VNNI: `vpdpbusd` multiplies four bytes and adds them to 32 bits.
//!
//! The tile: six rows times 64 columns are 24 sums; with four registers of weights and one of activations that is 29 of 32.

use std::arch::x86_64::*;

use super::float::{Worth, gelu};
use super::kernels::{Activation, Columns, Packing, Rows};
use super::simd::{Avx512, Simd};

pub(super) const PACKING: Packing = Packing { panel: 64, chain: 1, largest_lane_sum: None };

const ROWS: usize = 6;

/// `out[row, column]` of `rows · columns`, panel by panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn linear(simd: Avx512, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
    let count = rows.scales.len();
    for panel in 0..columns.scales.len() / PACKING.panel {
        for row in (0..count / ROWS * ROWS).step_by(ROWS) {
            tile::<ROWS>(simd, rows, columns, activation, out, row, panel);
        }
        let row = count / ROWS * ROWS;
        match count - row {
            5 => tile::<5>(simd, rows, columns, activation, out, row, panel),
            4 => tile::<4>(simd, rows, columns, activation, out, row, panel),
            3 => tile::<3>(simd, rows, columns, activation, out, row, panel),
            2 => tile::<2>(simd, rows, columns, activation, out, row, panel),
            1 => tile::<1>(simd, rows, columns, activation, out, row, panel),
            _ => {}
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn tile<const R: usize>(
    simd: Avx512,
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
    let mut results = [[simd.splat(0.0); 4]; R];
    // SAFETY: `simd` proves the instructions. `link` counts groups of four bytes within the panel and the rows sliced above.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); 4]; R];
        for link in 0..inner / 4 {
            let at = weights.add(link * PACKING.panel * 4);
            let mut parts = [_mm512_setzero_si512(); 4];
            for (index, part) in parts.iter_mut().enumerate() {
                *part = _mm512_loadu_si512(at.add(64 * index).cast());
            }
            for (index, sums) in sums.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(bytes.add(index * inner + link * 4).cast::<i32>().read_unaligned());
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, part);
                }
            }
        }
        for (results, sums) in results.iter_mut().zip(sums) {
            for (result, sum) in results.iter_mut().zip(sums) {
                *result = _mm512_cvtepi32_ps(sum);
            }
        }
    }
    let width = columns.scales.len();
    for part in 0..4 {
        let column = panel * PACKING.panel + part * Avx512::COUNT;
        let worth = Worth::of(simd, columns, column);
        for (index, result) in results.iter().enumerate() {
            let row = row + index;
            let value = worth.value(simd, result[part], rows.scales[row], rows.zeros[row]);
            let value = if activation == Activation::Gelu { gelu(simd, value) } else { value };
            simd.store(out, row * width + column, value);
        }
    }
}
