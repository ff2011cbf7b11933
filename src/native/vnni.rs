//! The kernels of the int8 network as safe functions: a value of [`Vnni`] is the proof that the processor has the instructions,
//! and every length is checked before the fast code runs. Whoever computes with int8 calls these.

/// Output columns that a packed matrix keeps together: four registers of sixteen lanes.
pub const TILE: usize = 64;

/// Proof that the processor multiplies bytes with AVX-512 VNNI. Without it there is no value of this type.
#[derive(Clone, Copy, Debug)]
pub struct Vnni(Proof);

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
struct Proof;
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug)]
enum Proof {}

/// Activations as bytes: `value = scale × (byte − zero)`, scale and zero a row's own.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Row-major, `rows × inner`.
    pub bytes: &'a [u8],
    pub scales: &'a [f32],
    pub zeros: &'a [f32],
    /// Bytes a row; a multiple of 4.
    pub inner: usize,
}

/// Weights as bytes: `value = scale × byte`, the scale an output column's own.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// `columns / TILE` panels of `inner / 4 × TILE × 4` bytes: the four bytes that one instruction multiplies lie together.
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
    /// x Φ(x), Hendrycks and Gimpel, 2016; at most 1e-4 off, well under a byte's step.
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

/// Queries that attention computes at a time.
pub(super) const QUERIES: usize = 6;

macro_rules! kernel {
    ($self:ident, $name:ident($($argument:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a value of `Vnni` proves that `detect` found every feature that the kernels are compiled for, and the lengths
        // that they rely on were checked just before.
        unsafe { super::vnni_x86::$name($($argument),*) }
        #[cfg(not(target_arch = "x86_64"))]
        match $self.0 {}
    }};
}

impl Vnni {
    /// The proof, where the processor has the instructions.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni")
            && std::is_x86_feature_detected!("fma")
        {
            return Some(Self(Proof));
        }
        None
    }

    /// `out[row, column] = activation(rows · columns + bias)`, row-major. Panics where a length does not fit.
    pub fn linear(self, rows: Rows<'_>, columns: Columns<'_>, activation: Activation, out: &mut [f32]) {
        let (count, width) = (rows.scales.len(), columns.scales.len());
        assert!(rows.inner.is_multiple_of(4) && width.is_multiple_of(TILE), "inner {} and outer {width} fit the tiles", rows.inner);
        assert!(rows.bytes.len() == count * rows.inner && rows.zeros.len() == count, "a scale and a zero for each of {count} rows");
        assert!(columns.packed.len() == width * rows.inner, "{} weights for {width} columns", columns.packed.len());
        assert!(columns.sums.len() == width && columns.bias.len() == width, "a sum and a bias for each of {width} columns");
        assert!(out.len() == count * width, "room for {count} rows of {width}");
        kernel!(self, linear(rows, columns, activation, out))
    }

    /// One row to bytes over its own range (0 always included): its scale and zero. `row` is a multiple of 16 long.
    pub fn quantize(self, row: &[f32], bytes: &mut [u8]) -> (f32, f32) {
        assert!(row.len() == bytes.len() && row.len().is_multiple_of(16), "{} values to {} bytes", row.len(), bytes.len());
        kernel!(self, quantize(row, bytes))
    }

    /// `row = norm(row + residual) × gain + bias` (Ba et al., "Layer Normalization", 2016).
    pub fn add_and_norm(self, row: &mut [f32], residual: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
        let width = row.len();
        assert!(width.is_multiple_of(16) && residual.len() == width && gain.len() == width && bias.len() == width, "width {width}");
        kernel!(self, add_and_norm(row, residual, gain, bias, epsilon))
    }

    /// Scaled dot-product attention (Vaswani et al., 2017) of one window; `out` is `queries × width`. `scratch` grows as needed.
    pub fn attention(self, attention: Attention<'_>, scratch: &mut Vec<f32>, out: &mut [f32]) {
        let Attention { projected, width, heads, queries } = attention;
        assert!(width % heads == 0 && (width / heads).is_multiple_of(32), "{heads} heads over a width of {width}");
        let length = projected.len() / (3 * width);
        assert!(projected.len() == length * 3 * width && out.len() == queries.len() * width, "whole rows");
        assert!(queries.iter().all(|&row| (row as usize) < length), "queries are rows of the window");
        if queries.is_empty() {
            return;
        }
        let padded = length.next_multiple_of(16);
        scratch.resize((width / heads + QUERIES) * padded, 0.0);
        kernel!(self, attention(attention, scratch, out))
    }

    /// `out[label] = row · weights[label] + bias[label]`.
    pub fn dense(self, row: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
        let width = row.len();
        assert!(width.is_multiple_of(16) && weights.len() == width * bias.len() && out.len() == bias.len(), "width {width}");
        kernel!(self, dense(row, weights, bias, out))
    }
}
