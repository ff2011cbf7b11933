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

    /// Whole windows in turn, each part at most `most` pieces (a single longer window is a part of its own).
    pub fn parts(&self, most: usize) -> impl Iterator<Item = Part<'_>> {
        let (mut window, mut start, mut asked) = (0, 0, 0);
        std::iter::from_fn(move || {
            let (mut end, mut pieces) = (window, 0);
            while end < self.lengths.len() && (end == window || pieces + self.lengths[end] <= most) {
                pieces += self.lengths[end];
                end += 1;
            }
            if end == window {
                return None;
            }
            let wanted = asked + self.wanted[asked..].partition_point(|&piece| (piece as usize) < start + pieces);
            let part = Part {
                ids: &self.ids[start..start + pieces],
                types: &self.types[start..start + pieces],
                lengths: &self.lengths[window..end],
                wanted: &self.wanted[asked..wanted],
                start,
            };
            (window, start, asked) = (end, start + pieces, wanted);
            Some(part)
        })
    }

    /// Pieces of the longest window.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }
}

/// Some whole windows of [`Windows`].
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub ids: &'a [u32],
    pub types: &'a [u8],
    pub lengths: &'a [usize],
    /// Indices into the ids of all windows; [`Self::wanted`] counts from this part's first.
    pub wanted: &'a [u32],
    start: usize,
}

impl<'a> Part<'a> {
    /// Indices into `ids` whose logits are wanted, ascending.
    pub fn wanted(self) -> std::iter::Peekable<impl Iterator<Item = usize> + 'a> {
        self.wanted.iter().map(move |&piece| piece as usize - self.start).peekable()
    }
}

/// A network on one thread. May panic (native code): callers catch.
pub trait Network {
    /// Logits of the wanted pieces, row-major `wanted × labels`.
    fn logits(&mut self, windows: &Windows) -> Vec<f32>;
    /// Tokens that it computes for nothing, on top of the windows' own.
    fn padding(&self, windows: &Windows) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_the_whole(lengths in prop::collection::vec(1usize..40, 0..20), most in 1usize..90, every in 1usize..5) {
            let pieces: usize = lengths.iter().sum();
            let windows = Windows {
                ids: (0..pieces as u32).collect(),
                types: (0..pieces).map(|piece| (piece % 4) as u8).collect(),
                lengths: lengths.clone(),
                wanted: (0..pieces as u32).step_by(every).collect(),
            };
            let parts: Vec<Part<'_>> = windows.parts(most).collect();
            prop_assert!(parts.iter().all(|part| part.lengths.len() == 1 || part.ids.len() <= most));
            prop_assert!(parts.iter().all(|part| part.ids.len() == part.lengths.iter().sum::<usize>() && part.types.len() == part.ids.len()));
            prop_assert_eq!(parts.iter().flat_map(|part| part.lengths.to_vec()).collect::<Vec<_>>(), lengths);
            prop_assert_eq!(parts.iter().flat_map(|part| part.ids.to_vec()).collect::<Vec<_>>(), windows.ids.clone());
            let asked: Vec<u32> = parts.iter().flat_map(|part| part.wanted().map(|piece| part.ids[piece]).collect::<Vec<_>>()).collect();
            prop_assert_eq!(asked, windows.wanted);
        }
    }
}
