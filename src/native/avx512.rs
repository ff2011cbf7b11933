//! The product of bytes with AVX-512 VNNI: `vpdpbusd` multiplies four bytes and adds them to 32 bits.
//!
//! The tile: six rows times 64 columns are 24 sums; with four registers of weights and one of activations that is 29 of 32.

use std::arch::x86_64::*;

use super::float::{Worth, gelu};
use super::kernels::{Activation, CACHE_LINE, Columns, Packing, Rows};
use super::simd::{Avx512, Simd};

pub(super) const PACKING: Packing = Packing { panel: 64, chain: 1, largest_lane_sum: None };

const ROWS: usize = 6;

/// Registers of sums a row.
const PARTS: usize = PACKING.panel / Avx512::COUNT;

/// `out[row, column]` of `rows · columns`, panel by panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn linear(simd: Avx512, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
    match activation {
        Activation::None => panels(simd, rows, columns, |value| value, out),
        Activation::Gelu => panels(simd, rows, columns, |value| gelu(simd, value), out),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn panels(simd: Avx512, rows: Rows<'_>, columns: Columns<'_>, activate: impl Fn(__m512) -> __m512 + Copy, out: &mut [f32]) {
    let (inner, width, count) = (rows.inner, columns.scales.len(), rows.scales.len());
    let size = PACKING.panel * inner;
    for (index, weights) in columns.packed.chunks_exact(size).enumerate() {
        let column = index * PACKING.panel;
        let worth = std::array::from_fn(|part| Worth::of(simd, columns, column + part * Avx512::COUNT));
        let panel = Panel { weights, worth, column };
        let next = columns.packed[(index + 1) * size..].as_ptr();
        for row in (0..count).step_by(ROWS) {
            let out = &mut out[row * width..];
            let ahead = next.wrapping_add((row / ROWS).min(3) * (size / 4));
            match count - row {
                1 => panel.tile::<1>(simd, rows, row, width, activate, ahead, out),
                2 => panel.tile::<2>(simd, rows, row, width, activate, ahead, out),
                3 => panel.tile::<3>(simd, rows, row, width, activate, ahead, out),
                4 => panel.tile::<4>(simd, rows, row, width, activate, ahead, out),
                5 => panel.tile::<5>(simd, rows, row, width, activate, ahead, out),
                _ => panel.tile::<ROWS>(simd, rows, row, width, activate, ahead, out),
            }
        }
    }
}

struct Panel<'a> {
    weights: &'a [i8],
    worth: [Worth<Avx512>; PARTS],
    column: usize,
}

impl Panel<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn tile<const R: usize>(
        &self,
        simd: Avx512,
        rows: Rows<'_>,
        row: usize,
        width: usize,
        activate: impl Fn(__m512) -> __m512,
        ahead: *const i8,
        out: &mut [f32],
    ) {
        let bytes = &rows.bytes[row * rows.inner..(row + R) * rows.inner];
        let sums = products::<R>(bytes, self.weights, rows.inner, ahead);
        let (scales, zeros) = (&rows.scales[row..row + R], &rows.zeros[row..row + R]);
        for (index, sums) in sums.into_iter().enumerate() {
            let out = &mut out[index * width + self.column..][..PACKING.panel];
            for (part, sum) in sums.into_iter().enumerate() {
                let value = self.worth[part].value(simd, _mm512_cvtepi32_ps(sum), scales[index], zeros[index]);
                simd.store(out, part * Avx512::COUNT, activate(value));
            }
        }
    }
}

/// For each row of `inner` bytes the sums of its bytes times the weights of a panel's columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn products<const R: usize>(bytes: &[u8], weights: &[i8], inner: usize, ahead: *const i8) -> [[__m512i; PARTS]; R] {
    let (bytes, weights) = (bytes[..R * inner].as_ptr(), weights[..PACKING.panel * inner].as_ptr());
    let mut sums = [[_mm512_setzero_si512(); PARTS]; R];
    for link in 0..inner / 4 {
        // SAFETY: `link` counts groups of four bytes within the rows and the panel sliced above.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(link * CACHE_LINE));
            let at = weights.add(link * PACKING.panel * 4);
            let parts: [__m512i; PARTS] = std::array::from_fn(|part| _mm512_loadu_si512(at.add(64 * part).cast()));
            for (index, sums) in sums.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(bytes.add(index * inner + link * 4).cast::<i32>().read_unaligned());
                for (sum, part) in sums.iter_mut().zip(parts) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, part);
                }
            }
        }
    }
    sums
}
