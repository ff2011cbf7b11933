//! What a network is given: windows one after another, flat, and the pieces whose labels are asked for.

/// Windows as one run of pieces, without padding. Filled anew for each batch, its memory kept.
#[derive(Debug, Default)]
pub struct Windows {
    /// Vocabulary ids, the special pieces included.
    pub ids: Vec<u32>,
    /// Token types.
    pub types: Vec<u8>,
    /// Pieces of each window.
    pub lengths: Vec<usize>,
    /// Indices into `ids` whose logits are wanted, ascending: the first pieces of words.
    pub wanted: Vec<u32>,
}

impl Windows {
    pub fn clear(&mut self) {
        self.ids.clear();
        self.types.clear();
        self.lengths.clear();
        self.wanted.clear();
    }

    /// Pieces of the longest window.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }
}

/// A network on one thread. May panic (native code): callers catch.
pub trait Network {
    /// Logits of the wanted pieces, row-major `wanted × labels`.
    fn logits(&mut self, windows: &Windows) -> Vec<f32>;
    /// Tokens that it computes for nothing, on top of the windows' own.
    fn padding(&self, windows: &Windows) -> usize;
}
