//! The product of bytes with AVX-512 VNNI: `vpdpbusd` multiplies four bytes and adds them to 32 bits.
//!
//! The tile: six rows times 64 columns are 24 sums; with four registers of weights and one of activations that is 29 of 32.

use std::arch::x86_64::*;

use super::float::Worth;
use super::gelu::Gelu;
use super::kernels::{Activation, CACHE_LINE, Columns, Packing, Rows};
use super::simd::{Avx512, Simd};

pub(super) const PACKING: Packing = Packing { panel: 64, chain: 1, largest_lane_sum: None };

/// Rows a tile.
const ROWS: usize = 6;

/// Registers of sums a row.
const PARTS: usize = PACKING.panel / Avx512::COUNT;

/// `out[row, column]` of `rows · columns`, panel by panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn linear(simd: Avx512, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
    match activation {
        Activation::None => panels(simd, rows, columns, |value| value, out),
        Activation::Gelu => {
            let gelu = Gelu::in_registers();
            panels(simd, rows, columns, |value| gelu.of(value), out);
        }
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
        let panel = Panel { simd, rows, weights, next: weights.as_ptr().wrapping_add(size), worth, column, width };
        for row in (0..count).step_by(ROWS) {
            match count - row {
                1 => panel.tile::<1>(row, activate, out),
                2 => panel.tile::<2>(row, activate, out),
                3 => panel.tile::<3>(row, activate, out),
                4 => panel.tile::<4>(row, activate, out),
                5 => panel.tile::<5>(row, activate, out),
                _ => panel.tile::<ROWS>(row, activate, out),
            }
        }
    }
}

/// Columns that lie together, and what they are multiplied by.
struct Panel<'a> {
    simd: Avx512,
    rows: Rows<'a>,
    weights: &'a [i8],
    /// The next panel's weights, only ever prefetched: after the last one there are none.
    next: *const i8,
    worth: [Worth<Avx512>; PARTS],
    /// The first of the columns, of `width`.
    column: usize,
    width: usize,
}

impl Panel<'_> {
    /// `R` rows of `out` from `row` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn tile<const R: usize>(&self, row: usize, activate: impl Fn(__m512) -> __m512, out: &mut [f32]) {
        let Self { simd, rows, width, .. } = *self;
        let bytes = &rows.bytes[row * rows.inner..(row + R) * rows.inner];
        // A tile has a line to bring for each group of four bytes, so four tiles bring the whole of the next panel from the
        // third-level cache; without, its first tile would wait for it.
        let ahead = self.next.wrapping_add((row / ROWS).min(3) * (self.weights.len() / 4));
        let sums = products::<R>(bytes, self.weights, rows.inner, ahead);
        let (scales, zeros) = (&rows.scales[row..row + R], &rows.zeros[row..row + R]);
        for (index, sums) in sums.into_iter().enumerate() {
            let out = &mut out[(row + index) * width + self.column..][..PACKING.panel];
            for (part, sum) in sums.into_iter().enumerate() {
                let value = self.worth[part].value(simd, _mm512_cvtepi32_ps(sum), scales[index], zeros[index]);
                simd.store(out, part * Avx512::COUNT, activate(value));
            }
        }
    }
}

/// For each row of `inner` bytes the sums of its bytes times the weights of a panel's columns; on the way as many lines of the caches
/// as there are groups of four bytes are brought from `ahead` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn products<const R: usize>(bytes: &[u8], weights: &[i8], inner: usize, ahead: *const i8) -> [[__m512i; PARTS]; R] {
    let (bytes, weights) = (bytes[..R * inner].as_ptr(), weights[..PACKING.panel * inner].as_ptr());
    let mut sums = [[_mm512_setzero_si512(); PARTS]; R];
    for link in 0..inner / 4 {
        // SAFETY: `link` counts groups of four bytes within the rows and the panel sliced above; what is
        // prefetched may be no one's memory.
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
