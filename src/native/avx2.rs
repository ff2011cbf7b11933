//! The product of bytes without VNNI: `vpmaddubsw` multiplies bytes and adds pairs to sixteen bits. Eight such results are added
//! before they are widened, which saves seven of eight widenings; that none overflows is seen to when weights are packed: with
//! activations of at most 127, the positive weights of a lane's sixteen add up to at most 258, the negative ones likewise. Their
//! steps are coarser for that, still finer than those of the activations.
//!
//! The tile: three rows times sixteen columns are six sums of 32 bits and six of 16; with two registers of weights, one of
//! activations and one product that is all sixteen registers. That is why the loop is written out: from intrinsics the compiler
//! spills some, or makes a tree of the chain. `cargo bench --bench kernels` tells what a change here is worth.

use std::arch::asm;
use std::arch::x86_64::*;

use super::float::Worth;
use super::gelu::gelu;
use super::kernels::{Activation, CACHE_LINE, Columns, Packing, Rows};
use super::simd::{Avx2, Simd};

pub(super) const PACKING: Packing = Packing { panel: 16, chain: 8, largest_lane_sum: Some(258) };

/// Rows a tile.
const ROWS: usize = 3;

// What the loop in `products` is written for.
const _: () = assert!(PACKING.panel == 16 && PACKING.chain == 8 && ROWS == 3);

/// `out[row, column]` of `rows · columns`, panel by panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn linear(simd: Avx2, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
    match activation {
        Activation::None => panels(simd, rows, columns, |value| value, out),
        Activation::Gelu => panels(simd, rows, columns, |value| gelu(simd, value), out),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn panels(simd: Avx2, rows: Rows<'_>, columns: Columns<'_>, activate: impl Fn(__m256) -> __m256, out: &mut [f32]) {
    let (inner, width, count) = (rows.inner, columns.scales.len(), rows.scales.len());
    let size = PACKING.panel * inner;
    // Lines of the next panel that a tile brings from the third-level cache: without, this one's first tile would wait for its own.
    let share = (size / CACHE_LINE).div_ceil(count.div_ceil(ROWS).max(1));
    for (panel, weights) in columns.packed.chunks_exact(size).enumerate() {
        let column = panel * PACKING.panel;
        let mut ahead = columns.packed[(panel + 1) * size..].chunks(CACHE_LINE).take(size / CACHE_LINE);
        let worth: [Worth<Avx2>; 2] = std::array::from_fn(|part| Worth::of(simd, columns, column + part * Avx2::COUNT));
        for row in (0..count).step_by(ROWS) {
            for line in ahead.by_ref().take(share) {
                _mm_prefetch::<_MM_HINT_T0>(line.as_ptr());
            }
            // Where the rows end early, the last one is computed again.
            let row = |index: usize| (row + index).min(count - 1);
            let bytes: [*const u8; ROWS] = std::array::from_fn(|index| rows.bytes.as_ptr().wrapping_add(row(index) * inner));
            // SAFETY: `inner` is a multiple of a chain's 32 bytes, and not 0 where there are panels; the rows are among `count` of as
            // many bytes, and the panel is as many for each of its columns.
            let sums = unsafe { products(bytes, weights.as_ptr(), inner / (4 * PACKING.chain)) };
            for (index, sums) in sums.into_iter().enumerate() {
                let row = row(index);
                let (scale, zero) = (rows.scales[row], rows.zeros[row]);
                let out = &mut out[row * width + column..][..PACKING.panel];
                for part in 0..2 {
                    let value = worth[part].value(simd, _mm256_cvtepi32_ps(sums[part]), scale, zero);
                    simd.store(out, part * Avx2::COUNT, activate(value));
                }
            }
        }
    }
}

/// Products of a row's four bytes and the weights, added to the row's words; the first ones of a chain are its words.
#[rustfmt::skip]
macro_rules! row {
    (0, $bytes:literal, $left:literal, $right:literal) => {
        concat!(
            "vpbroadcastd {four}, [{", $bytes, "}]\n",
            "vpmaddubsw {", $left, "}, {four}, {weights_left}\n",
            "vpmaddubsw {", $right, "}, {four}, {weights_right}\n",
        )
    };
    ($link:literal, $bytes:literal, $left:literal, $right:literal) => {
        concat!(
            "vpbroadcastd {four}, [{", $bytes, "} + 4 * ", $link, "]\n",
            "vpmaddubsw {product}, {four}, {weights_left}\n",
            "vpmaddubsw {four}, {four}, {weights_right}\n",
            "vpaddw {", $left, "}, {", $left, "}, {product}\n",
            "vpaddw {", $right, "}, {", $right, "}, {four}\n",
        )
    };
}

/// One group of four bytes of all three rows.
#[rustfmt::skip]
macro_rules! link {
    ($link:tt) => {
        concat!(
            "vmovdqu {weights_left}, [{weights} + 64 * ", $link, "]\n",
            "vmovdqu {weights_right}, [{weights} + 64 * ", $link, " + 32]\n",
            row!($link, "first", "first_left", "first_right"),
            row!($link, "second", "second_left", "second_right"),
            row!($link, "third", "third_left", "third_right"),
        )
    };
}

/// The words of a row's chain, widened, to its sums.
#[rustfmt::skip]
macro_rules! widen {
    ($words:literal, $sums:literal) => {
        concat!(
            "vpmaddwd {", $words, "}, {", $words, "}, [{ones}]\n",
            "vpaddd {", $sums, "}, {", $sums, "}, {", $words, "}\n",
        )
    };
}

/// Sixteen ones of 16 bits.
#[repr(align(32))]
struct Ones([i16; 16]);

static ONES: Ones = Ones([1; 16]);

/// For each row the sums of its bytes times the weights of sixteen columns.
///
/// # Safety
/// Each of `bytes` points to 32 bytes a chain, `weights` to 512, and there is at least one chain.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn products(bytes: [*const u8; ROWS], weights: *const i8, chains: usize) -> [[__m256i; 2]; ROWS] {
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    let [[sum_0, sum_1], [sum_2, sum_3], [sum_4, sum_5]] = &mut sums;
    // SAFETY: called by holders of the proof of AVX2; what is read is what the pointers were promised to have.
    unsafe {
        asm!(
            "2:",
            link!(0), link!(1), link!(2), link!(3), link!(4), link!(5), link!(6), link!(7),
            widen!("first_left", "sum_0"), widen!("first_right", "sum_1"),
            widen!("second_left", "sum_2"), widen!("second_right", "sum_3"),
            widen!("third_left", "sum_4"), widen!("third_right", "sum_5"),
            "add {first}, 32",
            "add {second}, 32",
            "add {third}, 32",
            "add {weights}, 512",
            "dec {chains}",
            "jnz 2b",
            first = inout(reg) bytes[0] => _,
            second = inout(reg) bytes[1] => _,
            third = inout(reg) bytes[2] => _,
            weights = inout(reg) weights => _,
            chains = inout(reg) chains => _,
            ones = in(reg) ONES.0.as_ptr(),
            weights_left = out(ymm_reg) _,
            weights_right = out(ymm_reg) _,
            four = out(ymm_reg) _,
            product = out(ymm_reg) _,
            first_left = out(ymm_reg) _,
            first_right = out(ymm_reg) _,
            second_left = out(ymm_reg) _,
            second_right = out(ymm_reg) _,
            third_left = out(ymm_reg) _,
            third_right = out(ymm_reg) _,
            sum_0 = inout(ymm_reg) *sum_0,
            sum_1 = inout(ymm_reg) *sum_1,
            sum_2 = inout(ymm_reg) *sum_2,
            sum_3 = inout(ymm_reg) *sum_3,
            sum_4 = inout(ymm_reg) *sum_4,
            sum_5 = inout(ymm_reg) *sum_5,
            options(pure, readonly, nostack)
        );
    }
    sums
}
