//! The product of bytes with AVX-512 VNNI: `vpdpbusd` multiplies four bytes and adds them to 32 bits.
//!
//! The tile: six rows times 64 columns are 24 sums; with four registers of weights and one of activations that is 29 of 32.

use std::arch::x86_64::*;
use std::sync::LazyLock;

use super::float::Worth;
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
            let gelu = GELU.in_registers();
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

/// GELU in pieces of straight lines, looked up in registers: x Φ(x) = x / 2 + g(|x|), and g(x) = x (Φ(x) - 1/2) bends little. Two
/// multiplications, where a polynomial takes eight, and the products wait for every one of them.
static GELU: LazyLock<Lines> = LazyLock::new(Lines::of_gelu);

/// Lines a unit: each is right around its multiple of 1/8.
const LINES_A_UNIT: f32 = 8.0;

/// The last line: from there on Φ is taken for 1, which is 7e-5 off.
const LAST_LINE: usize = 31;

/// A float whose last bit is worth one line: what is added to it is rounded to the nearest, and the last bits say which that is.
const LINE_NUMBER: f32 = (3 << 22) as f32 / LINES_A_UNIT;

struct Lines {
    starts: [f32; LAST_LINE + 1],
    slopes: [f32; LAST_LINE + 1],
}

impl Lines {
    /// Each through the two points that make the largest error the smallest (Chebyshev's): 8e-4 where g bends most, at 0.
    fn of_gelu() -> Self {
        let mut lines = Self { starts: [0.0; LAST_LINE + 1], slopes: [0.5; LAST_LINE + 1] };
        for line in 0..LAST_LINE {
            let (middle, half) = (line as f64 / f64::from(LINES_A_UNIT), 0.5 / f64::from(LINES_A_UNIT));
            // Below 0 there is nothing: the first line is half as long.
            let (begin, end) = ((middle - half).max(0.0), middle + half);
            let (centre, reach) = ((begin + end) / 2.0, (end - begin) / 2.0 * std::f64::consts::FRAC_1_SQRT_2);
            let (low, high) = (centre - reach, centre + reach);
            let slope = (even_part(high) - even_part(low)) / (high - low);
            (lines.starts[line], lines.slopes[line]) = ((even_part(low) - slope * low) as f32, slope as f32);
        }
        lines
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn in_registers(&self) -> Gelu {
        let halves = |values: &[f32; LAST_LINE + 1]| {
            // SAFETY: two registers of sixteen values.
            unsafe { [_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(16))] }
        };
        Gelu { starts: halves(&self.starts), slopes: halves(&self.slopes) }
    }
}

/// g(x) = x (Φ(x) - 1/2), by the series Φ(x) = 1/2 + φ(x) Σ xⁿ / n!! over odd n (Abramowitz and Stegun, 26.2.11).
fn even_part(x: f64) -> f64 {
    let (mut term, mut sum) = (x, 0.0);
    for n in 1..80 {
        sum += term;
        term *= x * x / f64::from(2 * n + 1);
    }
    x * sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// [`Lines`] as they are looked up.
#[derive(Clone, Copy)]
struct Gelu {
    starts: [__m512; 2],
    slopes: [__m512; 2],
}

impl Gelu {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn of(self, x: __m512) -> __m512 {
        let size = _mm512_abs_ps(x);
        let within = _mm512_min_ps(size, _mm512_set1_ps(LAST_LINE as f32 / LINES_A_UNIT));
        let line = _mm512_castps_si512(_mm512_add_ps(within, _mm512_set1_ps(LINE_NUMBER)));
        let start = _mm512_permutex2var_ps(self.starts[0], line, self.starts[1]);
        let slope = _mm512_permutex2var_ps(self.slopes[0], line, self.slopes[1]);
        _mm512_fmadd_ps(slope, size, _mm512_fmadd_ps(x, _mm512_set1_ps(0.5), start))
    }
}
