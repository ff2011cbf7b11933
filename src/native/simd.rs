//! Lanes of f32 under one trait, so that the kernels of [`super::float`] are written once: a value of an implementing type is the
//! proof that the processor has its instructions. Everything is inlined into functions compiled for those instructions.

use std::arch::x86_64::*;

/// Registers that are worked on side by side, so that no running result waits for the one before; rows are a multiple of as many.
pub(super) const ABREAST: usize = 4;

/// Lanes of f32 and what the network does with them.
pub(super) trait Simd: Copy {
    type Lanes: Copy;
    /// As many whole numbers of 32 bits, or twice as many of 16.
    type Words: Copy;
    const COUNT: usize;
    /// The largest byte that a quantized activation takes, and a key of attention; see [`super::avx2`] for why it may be less than
    /// 255. (Two of them times 127 fit 16 bits.)
    const LARGEST_BYTE: f32;

    fn splat(self, value: f32) -> Self::Lanes;
    /// `values[at..at + COUNT]`.
    fn load(self, values: &[f32], at: usize) -> Self::Lanes;
    fn store(self, values: &mut [f32], at: usize, lanes: Self::Lanes);
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    /// `a × b + c`, rounded once.
    fn mul_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;
    fn min(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    fn max(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    /// What is above the next lower whole number.
    fn fraction(self, a: Self::Lanes) -> Self::Lanes;
    /// `a × 2^⌊power⌋` for finite numbers, `a` of about 1 and powers of at most 100; as good as 0 where the result is no normal number.
    fn scale(self, a: Self::Lanes, power: Self::Lanes) -> Self::Lanes;
    fn sum(self, a: Self::Lanes) -> f32;
    fn lowest(self, a: Self::Lanes) -> f32;
    fn highest(self, a: Self::Lanes) -> f32;
    /// To the nearest whole number, those outside of what a byte holds to the nearer end; four bytes a word, in order.
    fn in_bytes<const SIGNED: bool>(self, lanes: [Self::Lanes; ABREAST]) -> Self::Words;
    /// `ABREAST × COUNT` bytes, as [`Self::in_bytes`] unsigned.
    fn store_bytes(self, bytes: &mut [u8], lanes: [Self::Lanes; ABREAST]);
    fn splat_word(self, word: i32) -> Self::Words;
    /// `words[at..at + COUNT]`.
    fn load_words(self, words: &[i32], at: usize) -> Self::Words;
    fn store_words(self, words: &mut [i32], at: usize, lanes: Self::Words);
    fn add_words(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// To `sum` the product of the lower 16 bits, and that of the upper.
    fn add_products(self, sum: Self::Words, a: Self::Words, b: Self::Words) -> Self::Words;
    /// To `sum` the products of its four bytes: the first up to [`Self::LARGEST_BYTE`], the second signed and no -128.
    fn add_byte_products(self, sum: Self::Words, bytes: Self::Words, signed: Self::Words) -> Self::Words;
    /// Whole numbers that fit 16 bits into the lower and the upper half of each word.
    fn side_by_side(self, lower: Self::Words, upper: Self::Words) -> Self::Words;
    fn value(self, words: Self::Words) -> Self::Lanes;
    /// To the nearest whole number.
    fn whole(self, lanes: Self::Lanes) -> Self::Words;

    /// Eight rows of eight words, `stride` apart, to columns, which are rows `turned_stride` apart.
    #[inline(always)]
    fn turn_eight(self, rows: &[i32], stride: usize, turned: &mut [i32], turned_stride: usize) {
        // SAFETY: whatever implements this trait proves AVX2 or what includes it.
        unsafe { turn_eight(rows, stride, turned, turned_stride) }
    }
}

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Proof of AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        (std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni"))
        .then_some(Self(()))
    }
}

/// An operation on lanes alone.
macro_rules! operation {
    ($name:ident($($argument:ident: $type:ident),+) -> $result:ident = $intrinsic:expr) => {
        #[inline(always)]
        fn $name(self, $($argument: Self::$type),+) -> Self::$result {
            // SAFETY: as below.
            unsafe { $intrinsic }
        }
    };
    ($name:ident($($argument:ident),+) = $intrinsic:expr) => {
        #[inline(always)]
        fn $name(self, $($argument: Self::Lanes),+) -> Self::Lanes {
            // SAFETY: a value of this type proves that the processor has the instruction; no memory is touched.
            unsafe { $intrinsic }
        }
    };
    ($name:ident($argument:ident) -> f32 = $intrinsic:expr) => {
        #[inline(always)]
        fn $name(self, $argument: Self::Lanes) -> f32 {
            // SAFETY: as above.
            unsafe { $intrinsic }
        }
    };
}

/// Registers from and to memory.
macro_rules! in_memory {
    ($item:ty, $register:ty, $count:literal, $splat:ident = $set:path, $load:ident = $read:path, $store:ident = $write:path) => {
        #[inline(always)]
        fn $splat(self, value: $item) -> $register {
            // SAFETY: the proof, see `operation`.
            unsafe { $set(value) }
        }

        #[inline(always)]
        fn $load(self, values: &[$item], at: usize) -> $register {
            let lanes = &values[at..at + $count];
            // SAFETY: the slice is as long as the register.
            unsafe { $read(lanes.as_ptr().cast()) }
        }

        #[inline(always)]
        fn $store(self, values: &mut [$item], at: usize, lanes: $register) {
            let place = &mut values[at..at + $count];
            // SAFETY: the slice is as long as the register.
            unsafe { $write(place.as_mut_ptr().cast(), lanes) }
        }
    };
}

impl Simd for Avx2 {
    type Lanes = __m256;
    type Words = __m256i;
    const COUNT: usize = 8;
    const LARGEST_BYTE: f32 = 127.0;

    in_memory!(f32, __m256, 8, splat = _mm256_set1_ps, load = _mm256_loadu_ps, store = _mm256_storeu_ps);
    in_memory!(i32, __m256i, 8, splat_word = _mm256_set1_epi32, load_words = _mm256_loadu_si256, store_words = _mm256_storeu_si256);

    operation!(add(a, b) = _mm256_add_ps(a, b));
    operation!(sub(a, b) = _mm256_sub_ps(a, b));
    operation!(mul(a, b) = _mm256_mul_ps(a, b));
    operation!(div(a, b) = _mm256_div_ps(a, b));
    operation!(mul_add(a, b, c) = _mm256_fmadd_ps(a, b, c));
    operation!(min(a, b) = _mm256_min_ps(a, b));
    operation!(max(a, b) = _mm256_max_ps(a, b));
    operation!(fraction(a) = _mm256_sub_ps(a, _mm256_floor_ps(a)));
    operation!(
        scale(a, power) = {
            let power = _mm256_floor_ps(_mm256_max_ps(power, _mm256_set1_ps(-100.0)));
            let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(power));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent))
        }
    );
    operation!(sum(a) -> f32 = {
        let half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    });
    operation!(lowest(a) -> f32 = {
        let half = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let pair = _mm_min_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_min_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    });
    operation!(highest(a) -> f32 = {
        let half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
    });

    #[inline(always)]
    fn in_bytes<const SIGNED: bool>(self, [a, b, c, d]: [__m256; ABREAST]) -> __m256i {
        // SAFETY: the proof, see `operation`.
        unsafe {
            let halves = |a, b| _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
            let (first, second) = (halves(a, b), halves(c, d));
            let fours = if SIGNED { _mm256_packs_epi16(first, second) } else { _mm256_packus_epi16(first, second) };
            // Packing goes by halves of a register: fours of each lane after those of the other.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            _mm256_permutevar8x32_epi32(fours, order)
        }
    }

    #[inline(always)]
    fn store_bytes(self, bytes: &mut [u8], lanes: [__m256; ABREAST]) {
        let place = &mut bytes[..32];
        // SAFETY: the slice is 32 bytes long.
        unsafe { _mm256_storeu_si256(place.as_mut_ptr().cast(), self.in_bytes::<false>(lanes)) }
    }

    operation!(add_words(a: Words, b: Words) -> Words = _mm256_add_epi32(a, b));
    operation!(add_products(sum: Words, a: Words, b: Words) -> Words = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)));
    operation!(side_by_side(lower: Words, upper: Words) -> Words = _mm256_blend_epi16::<0b1010_1010>(lower, _mm256_slli_epi32::<16>(upper)));
    operation!(value(words: Words) -> Lanes = _mm256_cvtepi32_ps(words));
    operation!(whole(lanes: Lanes) -> Words = _mm256_cvtps_epi32(lanes));
    operation!(add_byte_products(sum: Words, bytes: Words, signed: Words) -> Words = {
        let pairs = _mm256_maddubs_epi16(bytes, signed);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    });
}

impl Simd for Avx512 {
    type Lanes = __m512;
    type Words = __m512i;
    const COUNT: usize = 16;
    const LARGEST_BYTE: f32 = 255.0;

    in_memory!(f32, __m512, 16, splat = _mm512_set1_ps, load = _mm512_loadu_ps, store = _mm512_storeu_ps);
    in_memory!(i32, __m512i, 16, splat_word = _mm512_set1_epi32, load_words = _mm512_loadu_si512, store_words = _mm512_storeu_si512);

    operation!(add(a, b) = _mm512_add_ps(a, b));
    operation!(sub(a, b) = _mm512_sub_ps(a, b));
    operation!(mul(a, b) = _mm512_mul_ps(a, b));
    operation!(div(a, b) = _mm512_div_ps(a, b));
    operation!(mul_add(a, b, c) = _mm512_fmadd_ps(a, b, c));
    operation!(min(a, b) = _mm512_min_ps(a, b));
    operation!(max(a, b) = _mm512_max_ps(a, b));
    operation!(fraction(a) = _mm512_reduce_ps::<_MM_FROUND_TO_NEG_INF>(a));
    operation!(scale(a, power) = _mm512_scalef_ps(a, power));
    operation!(sum(a) -> f32 = _mm512_reduce_add_ps(a));
    operation!(lowest(a) -> f32 = _mm512_reduce_min_ps(a));
    operation!(highest(a) -> f32 = _mm512_reduce_max_ps(a));

    #[inline(always)]
    fn in_bytes<const SIGNED: bool>(self, [a, b, c, d]: [__m512; ABREAST]) -> __m512i {
        // SAFETY: the proof, see `operation`.
        unsafe {
            let halves = |a, b| _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
            let (first, second) = (halves(a, b), halves(c, d));
            let fours = if SIGNED { _mm512_packs_epi16(first, second) } else { _mm512_packus_epi16(first, second) };
            // Packing goes by quarters of a register.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, fours)
        }
    }

    #[inline(always)]
    fn store_bytes(self, bytes: &mut [u8], lanes: [__m512; ABREAST]) {
        let place = &mut bytes[..64];
        // SAFETY: the slice is 64 bytes long.
        unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), self.in_bytes::<false>(lanes)) }
    }

    operation!(add_words(a: Words, b: Words) -> Words = _mm512_add_epi32(a, b));
    operation!(add_products(sum: Words, a: Words, b: Words) -> Words = _mm512_dpwssd_epi32(sum, a, b));
    operation!(side_by_side(lower: Words, upper: Words) -> Words = _mm512_mask_blend_epi16(0xaaaa_aaaa, lower, _mm512_slli_epi32::<16>(upper)));
    operation!(value(words: Words) -> Lanes = _mm512_cvtepi32_ps(words));
    operation!(whole(lanes: Lanes) -> Words = _mm512_cvtps_epi32(lanes));
    operation!(add_byte_products(sum: Words, bytes: Words, signed: Words) -> Words = _mm512_dpbusd_epi32(sum, bytes, signed));
}

/// As [`Simd::turn_eight`].
#[inline]
#[target_feature(enable = "avx2")]
fn turn_eight(rows: &[i32], stride: usize, turned: &mut [i32], turned_stride: usize) {
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(|row| {
        let row = &rows[row * stride..][..8];
        // SAFETY: the slice is eight words long.
        unsafe { _mm256_loadu_ps(row.as_ptr().cast()) }
    });
    let pairs = |x, y| (_mm256_castps_pd(_mm256_unpacklo_ps(x, y)), _mm256_castps_pd(_mm256_unpackhi_ps(x, y)));
    let fours = |(x_low, x_high), (y_low, y_high)| {
        [
            _mm256_unpacklo_pd(x_low, y_low),
            _mm256_unpackhi_pd(x_low, y_low),
            _mm256_unpacklo_pd(x_high, y_high),
            _mm256_unpackhi_pd(x_high, y_high),
        ]
        .map(|four| _mm256_castpd_ps(four))
    };
    let (upper, lower) = (fours(pairs(a, b), pairs(c, d)), fours(pairs(e, f), pairs(g, h)));
    for column in 0..8 {
        let (upper, lower) = (upper[column % 4], lower[column % 4]);
        let eight = if column < 4 { _mm256_permute2f128_ps::<0x20>(upper, lower) } else { _mm256_permute2f128_ps::<0x31>(upper, lower) };
        let place = &mut turned[column * turned_stride..][..8];
        // SAFETY: the slice is eight words long.
        unsafe { _mm256_storeu_ps(place.as_mut_ptr().cast(), eight) }
    }
}
