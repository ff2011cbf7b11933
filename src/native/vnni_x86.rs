//! The kernels behind [`super::Vnni`], written with the intrinsics of AVX-512. Every function asks for the same features; the
//! lengths were checked by the caller, and pointers are only formed inside slices.
//!
//! The tile: six rows times 64 columns are 24 accumulators; with four registers of weights and one of activations that is 29 of
//! the 32 there are. Rows never meet: a row's result does not depend on its neighbours, to the bit.

use std::arch::x86_64::*;

use super::vnni::{Activation, Attention, Columns, QUERIES, Rows, TILE};

const LANES: usize = 16;
const TILE_ROWS: usize = 6;

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
pub(super) fn linear(rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
    let count = rows.scales.len();
    for panel in 0..columns.scales.len() / TILE {
        let mut row = 0;
        while row < count {
            let tile = (count - row).min(TILE_ROWS);
            match tile {
                6 => linear_tile::<6>(rows, columns, activation, out, row, panel),
                5 => linear_tile::<5>(rows, columns, activation, out, row, panel),
                4 => linear_tile::<4>(rows, columns, activation, out, row, panel),
                3 => linear_tile::<3>(rows, columns, activation, out, row, panel),
                2 => linear_tile::<2>(rows, columns, activation, out, row, panel),
                _ => linear_tile::<1>(rows, columns, activation, out, row, panel),
            }
            row += tile;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn linear_tile<const R: usize>(
    rows: Rows<'_>,
    columns: Columns<'_>,
    activation: Activation,
    out: &mut [f32],
    row: usize,
    panel: usize,
) {
    let inner = rows.inner;
    let bytes = rows.bytes[row * inner..(row + R) * inner].as_ptr();
    let weights = columns.packed[panel * TILE * inner..(panel + 1) * TILE * inner].as_ptr();
    let mut sums = [[_mm512_setzero_si512(); 4]; R];
    for step in 0..inner / 4 {
        // SAFETY: `step` counts groups of four bytes within the panel and the rows that were sliced above.
        unsafe {
            let at = weights.add(step * TILE * 4);
            let panel: [__m512i; 4] = std::array::from_fn(|part| _mm512_loadu_si512(at.add(part * 64).cast()));
            for (index, sums) in sums.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(bytes.add(index * inner + step * 4).cast::<i32>().read_unaligned());
                for (sum, part) in sums.iter_mut().zip(panel) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, part);
                }
            }
        }
    }
    let width = columns.scales.len();
    for part in 0..4 {
        let column = panel * TILE + part * LANES;
        let (scale, sum, bias) = (load(columns.scales, column), load(columns.sums, column), load(columns.bias, column));
        for (index, sums) in sums.iter().enumerate() {
            let row_scale = rows.scales[row + index];
            let offset = _mm512_fnmadd_ps(_mm512_set1_ps(row_scale * rows.zeros[row + index]), sum, bias);
            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[part]), scale);
            let value = _mm512_fmadd_ps(product, _mm512_set1_ps(row_scale), offset);
            let value = if activation == Activation::Gelu { gelu(value) } else { value };
            store(out, (row + index) * width + column, value);
        }
    }
}

/// GELU by quadratics over 32 equal pieces of [-4, 4]; outside, it is x or 0 to within 1.3e-4.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn gelu(x: __m512) -> __m512 {
    let table = |part: &[f32; 32]| (load(part, 0), load(part, LANES));
    let inside = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(3.999)), _mm512_set1_ps(-4.0));
    let index = _mm512_cvttps_epi32(_mm512_fmadd_ps(inside, _mm512_set1_ps(4.0), _mm512_set1_ps(16.0)));
    let pick = |(low, high): (__m512, __m512)| _mm512_permutex2var_ps(low, index, high);
    let (square, linear, constant) = (pick(table(&GELU[2])), pick(table(&GELU[1])), pick(table(&GELU[0])));
    let value = _mm512_fmadd_ps(_mm512_fmadd_ps(square, inside, linear), inside, constant);
    let beyond = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, _mm512_set1_ps(3.999));
    let value = _mm512_mask_mov_ps(value, beyond, x);
    _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, _mm512_set1_ps(-4.0)), _mm512_setzero_ps())
}

/// Coefficients of the quadratics, constant term first.
#[rustfmt::skip]
static GELU: [[f32; 32]; 3] = [
    [
        -2.49521192e-02, -4.87038232e-02, -8.76263082e-02, -1.44891277e-01, -2.19374046e-01, -3.02707911e-01, -3.78357261e-01, -4.24886048e-01,
        -4.23881203e-01, -3.69661570e-01, -2.75027275e-01, -1.67836979e-01, -7.83452764e-02, -2.42238138e-02, -3.36099695e-03, -1.20448694e-05,
        -1.20448694e-05, -3.36099695e-03, -2.42238138e-02, -7.83452764e-02, -1.67836979e-01, -2.75027275e-01, -3.69661570e-01, -4.23881203e-01,
        -4.24886048e-01, -3.78357261e-01, -3.02707911e-01, -2.19374046e-01, -1.44891277e-01, -8.76263082e-02, -4.87038232e-02, -2.49521192e-02,
    ],
    [
        -1.19585115e-02, -2.46637091e-02, -4.69658934e-02, -8.22904110e-02, -1.32040143e-01, -1.92712992e-01, -2.53203779e-01, -2.94354230e-01,
        -2.92892575e-01, -2.30222568e-01, -1.03210010e-01, 6.90074489e-02, 2.48259142e-01, 3.92127305e-01, 4.74302083e-01, 4.99164730e-01,
        5.00835299e-01, 5.25697947e-01, 6.07872665e-01, 7.51740873e-01, 9.30992544e-01, 1.10320997e+00, 1.23022258e+00, 1.29289258e+00,
        1.29435420e+00, 1.25320375e+00, 1.19271302e+00, 1.13204014e+00, 1.08229041e+00, 1.04696584e+00, 1.02466369e+00, 1.01195848e+00,
    ],
    [
        -1.43808208e-03, -3.13728326e-03, -6.33233227e-03, -1.17805544e-02, -2.00891364e-02, -3.11345290e-02, -4.32294458e-02, -5.23299500e-02,
        -5.18501066e-02, -3.37352641e-02, 8.90480261e-03, 7.81345442e-02, 1.68011025e-01, 2.63839811e-01, 3.45158696e-01, 3.91994476e-01,
        3.91994476e-01, 3.45158696e-01, 2.63839811e-01, 1.68011025e-01, 7.81345442e-02, 8.90480261e-03, -3.37352641e-02, -5.18501066e-02,
        -5.23299500e-02, -4.32294458e-02, -3.11345290e-02, -2.00891364e-02, -1.17805544e-02, -6.33233227e-03, -3.13728326e-03, -1.43808208e-03,
    ],
];

/// e^x for x at most 0: a power of two times a polynomial over [-ln 2 / 2, ln 2 / 2] (Taylor's, six terms: 3e-6 relative).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn exponential(x: __m512) -> __m512 {
    let x = _mm512_max_ps(x, _mm512_set1_ps(-87.0));
    let power = _mm512_roundscale_ps::<0>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    let rest = _mm512_fnmadd_ps(power, _mm512_set1_ps(std::f32::consts::LN_2), x);
    let mut value = _mm512_set1_ps(1.0 / 120.0);
    for term in [1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        value = _mm512_fmadd_ps(value, rest, _mm512_set1_ps(term));
    }
    _mm512_scalef_ps(value, power)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
pub(super) fn quantize(row: &[f32], bytes: &mut [u8]) -> (f32, f32) {
    let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    for at in (0..row.len()).step_by(LANES) {
        let values = load(row, at);
        low = _mm512_min_ps(low, values);
        high = _mm512_max_ps(high, values);
    }
    let (low, high) = (_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high));
    let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
    let zero = (-low / scale).round_ties_even();
    let (inverse, shift) = (_mm512_set1_ps(1.0 / scale), _mm512_set1_ps(zero));
    for at in (0..row.len()).step_by(LANES) {
        let steps = _mm512_cvtps_epi32(_mm512_fmadd_ps(load(row, at), inverse, shift));
        let narrow = _mm512_cvtusepi32_epi8(_mm512_max_epi32(steps, _mm512_setzero_si512()));
        // SAFETY: the slice is sixteen bytes long.
        unsafe { _mm_storeu_si128(bytes[at..at + LANES].as_mut_ptr().cast(), narrow) }
    }
    (scale, zero)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
pub(super) fn add_and_norm(row: &mut [f32], residual: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    let width = row.len() as f32;
    let mut total = _mm512_setzero_ps();
    for at in (0..row.len()).step_by(LANES) {
        let sum = _mm512_add_ps(load(row, at), load(residual, at));
        store(row, at, sum);
        total = _mm512_add_ps(total, sum);
    }
    let mean = _mm512_set1_ps(_mm512_reduce_add_ps(total) / width);
    let mut squares = _mm512_setzero_ps();
    for at in (0..row.len()).step_by(LANES) {
        let distance = _mm512_sub_ps(load(row, at), mean);
        squares = _mm512_fmadd_ps(distance, distance, squares);
    }
    let inverse = _mm512_set1_ps(1.0 / (_mm512_reduce_add_ps(squares) / width + epsilon).sqrt());
    for at in (0..row.len()).step_by(LANES) {
        let unit = _mm512_mul_ps(_mm512_sub_ps(load(row, at), mean), inverse);
        store(row, at, _mm512_fmadd_ps(unit, load(gain, at), load(bias, at)));
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
pub(super) fn dense(row: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
    for (label, out) in out.iter_mut().enumerate() {
        let mut sum = _mm512_setzero_ps();
        for at in (0..row.len()).step_by(LANES) {
            sum = _mm512_fmadd_ps(load(row, at), load(weights, label * row.len() + at), sum);
        }
        *out = _mm512_reduce_add_ps(sum) + bias[label];
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
pub(super) fn attention(attention: Attention<'_>, scratch: &mut [f32], out: &mut [f32]) {
    let Attention { projected, width, heads, queries } = attention;
    let (stride, size) = (3 * width, width / heads);
    let length = projected.len() / stride;
    let padded = length.next_multiple_of(LANES);
    let (keys, scores) = scratch.split_at_mut(size * padded);
    let scale = 1.0 / (size as f32).sqrt();
    for head in 0..heads {
        for row in 0..length {
            let key = &projected[row * stride + width + head * size..][..size];
            for (dimension, &value) in key.iter().enumerate() {
                keys[dimension * padded + row] = value * scale;
            }
        }
        for dimension in 0..size {
            keys[dimension * padded + length..(dimension + 1) * padded].fill(0.0);
        }
        for (block, asked) in queries.chunks(QUERIES).enumerate() {
            // The last block asks its last query again: six at a time, always.
            let rows: [usize; QUERIES] = std::array::from_fn(|index| asked[index.min(asked.len() - 1)] as usize);
            let asking: [&[f32]; QUERIES] = rows.map(|row| &projected[row * stride + head * size..][..size]);
            scores_of(asking, keys, padded, scores);
            let sums: [f32; QUERIES] = std::array::from_fn(|index| softmax(&mut scores[index * padded..(index + 1) * padded], length));
            for part in (0..size).step_by(2 * LANES) {
                let mixed = mix(scores, padded, length, projected, stride, 2 * width + head * size + part);
                for index in 0..asked.len() {
                    let inverse = _mm512_set1_ps(1.0 / sums[index]);
                    let at = (block * QUERIES + index) * width + head * size + part;
                    store(out, at, _mm512_mul_ps(mixed[index][0], inverse));
                    store(out, at + LANES, _mm512_mul_ps(mixed[index][1], inverse));
                }
            }
        }
    }
}

/// Six queries against all keys (`size × padded`), to `6 × padded`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn scores_of(queries: [&[f32]; QUERIES], keys: &[f32], padded: usize, scores: &mut [f32]) {
    let mut at = 0;
    while at < padded {
        if padded - at >= 2 * LANES {
            let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
            for dimension in 0..queries[0].len() {
                let (one, two) = (load(keys, dimension * padded + at), load(keys, dimension * padded + at + LANES));
                for (sums, query) in sums.iter_mut().zip(queries) {
                    let value = _mm512_set1_ps(query[dimension]);
                    sums[0] = _mm512_fmadd_ps(value, one, sums[0]);
                    sums[1] = _mm512_fmadd_ps(value, two, sums[1]);
                }
            }
            for (index, [one, two]) in sums.into_iter().enumerate() {
                store(scores, index * padded + at, one);
                store(scores, index * padded + at + LANES, two);
            }
            at += 2 * LANES;
        } else {
            let mut sums = [_mm512_setzero_ps(); QUERIES];
            for dimension in 0..queries[0].len() {
                let one = load(keys, dimension * padded + at);
                for (sum, query) in sums.iter_mut().zip(queries) {
                    *sum = _mm512_fmadd_ps(_mm512_set1_ps(query[dimension]), one, *sum);
                }
            }
            for (index, sum) in sums.into_iter().enumerate() {
                store(scores, index * padded + at, sum);
            }
            at += LANES;
        }
    }
}

/// Scores to exponentials in place, those from `length` on to 0; their sum.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn softmax(scores: &mut [f32], length: usize) -> f32 {
    scores[length..].fill(f32::NEG_INFINITY);
    let mut highest = _mm512_set1_ps(f32::NEG_INFINITY);
    for at in (0..scores.len()).step_by(LANES) {
        highest = _mm512_max_ps(highest, load(scores, at));
    }
    let highest = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
    let mut total = _mm512_setzero_ps();
    for at in (0..scores.len()).step_by(LANES) {
        let value = exponential(_mm512_sub_ps(load(scores, at), highest));
        store(scores, at, value);
        total = _mm512_add_ps(total, value);
    }
    scores[length..].fill(0.0);
    _mm512_reduce_add_ps(total)
}

/// Six rows of weights times 32 columns of the values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn mix(scores: &[f32], padded: usize, length: usize, values: &[f32], stride: usize, column: usize) -> [[__m512; 2]; QUERIES] {
    let mut sums = [[_mm512_setzero_ps(); 2]; QUERIES];
    for row in 0..length {
        let (one, two) = (load(values, row * stride + column), load(values, row * stride + column + LANES));
        for (index, sums) in sums.iter_mut().enumerate() {
            let weight = _mm512_set1_ps(scores[index * padded + row]);
            sums[0] = _mm512_fmadd_ps(weight, one, sums[0]);
            sums[1] = _mm512_fmadd_ps(weight, two, sums[1]);
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn load(values: &[f32], at: usize) -> __m512 {
    let lanes = &values[at..at + LANES];
    // SAFETY: the slice is sixteen values long.
    unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
fn store(values: &mut [f32], at: usize, lanes: __m512) {
    let place = &mut values[at..at + LANES];
    // SAFETY: the slice is sixteen values long.
    unsafe { _mm512_storeu_ps(place.as_mut_ptr(), lanes) }
}
