//! GELU, x Φ(x), on the way of products to memory: as a polynomial over any [`Simd`], and with AVX-512 in pieces of straight lines.

use std::arch::x86_64::*;
use std::sync::LazyLock;

use super::simd::Simd;

/// Where GELU's polynomial ends: beyond, Φ is taken for what it is there, 1.6e-4 from 0 or 1, and the polynomial's end 9e-5 more.
const GELU_END: f32 = 3.6;

/// (Φ(x) - 1/2) / x as a polynomial in x², least squares reweighted towards the largest error of x² times it: 3.3e-4.
const GELU: [f32; 6] = [0.397_163_84, -0.063_448_65, 8.188_896e-3, -6.750_276e-4, 3.123_900_6e-5, -6.109_379e-7];

/// x Φ(x).
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let above = simd.max(x, simd.splat(-GELU_END));
    let inside = simd.min(above, simd.splat(GELU_END));
    let square = simd.mul(inside, inside);
    let mut value = simd.splat(GELU[5]);
    for index in (0..5).rev() {
        value = simd.mul_add(value, square, simd.splat(GELU[index]));
    }
    simd.mul(above, simd.mul_add(inside, value, simd.splat(0.5)))
}

/// GELU in pieces of straight lines, looked up in registers: x Φ(x) = x / 2 + g(|x|), and g(x) = x (Φ(x) - 1/2) bends little. Two
/// multiplications, where a polynomial takes eight, and the products wait for every one of them.
static LINES: LazyLock<Lines> = LazyLock::new(Lines::of_gelu);

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
pub(super) struct Gelu {
    starts: [__m512; 2],
    slopes: [__m512; 2],
}

impl Gelu {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn in_registers() -> Self {
        let halves = |values: &[f32; LAST_LINE + 1]| {
            // SAFETY: two registers of sixteen values.
            unsafe { [_mm512_loadu_ps(values.as_ptr()), _mm512_loadu_ps(values.as_ptr().add(16))] }
        };
        Self { starts: halves(&LINES.starts), slopes: halves(&LINES.slopes) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn of(self, x: __m512) -> __m512 {
        let size = _mm512_abs_ps(x);
        let within = _mm512_min_ps(size, _mm512_set1_ps(LAST_LINE as f32 / LINES_A_UNIT));
        let line = _mm512_castps_si512(_mm512_add_ps(within, _mm512_set1_ps(LINE_NUMBER)));
        let start = _mm512_permutex2var_ps(self.starts[0], line, self.starts[1]);
        let slope = _mm512_permutex2var_ps(self.slopes[0], line, self.slopes[1]);
        _mm512_fmadd_ps(slope, size, _mm512_fmadd_ps(x, _mm512_set1_ps(0.5), start))
    }
}
