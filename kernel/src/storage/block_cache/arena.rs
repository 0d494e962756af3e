//! The memory of a cache's blocks.
//!
//! It grows with the cache, by pieces: the first has [`FIRST`] blocks, each later one as many as all before it. So a cache that
//! is hardly used takes little, and one that grows does not scatter over the memory of programs.

use alloc::vec::Vec;

use super::BLOCK_LEN;

/// Blocks of the first piece.
const FIRST: usize = 16;

/// Blocks of [`BLOCK_LEN`] bytes, known by their numbers from 0 on.
pub(super) struct Arena {
    pieces: Vec<Vec<u8>>,
    len: usize,
    most: usize,
}

/// The piece of a block, and its number there.
fn piece(block: usize) -> (usize, usize) {
    match (block / FIRST).checked_ilog2() {
        None => (0, block),
        Some(power) => (power as usize + 1, block - (FIRST << power)),
    }
}

impl Arena {
    /// An arena for at most this many blocks.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            pieces: Vec::new(),
            len: 0,
            most,
        }
    }

    /// Blocks that there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// One block more, which is all zeros, unless there is no memory for it.
    pub(super) fn grow(&mut self) -> Option<usize> {
        let (number, _) = piece(self.len);
        if number == self.pieces.len() {
            let blocks = (FIRST << number.saturating_sub(1)).min(self.most - self.len);
            let mut piece = Vec::new();
            piece.try_reserve_exact(blocks * BLOCK_LEN).ok()?;
            self.pieces.try_reserve(1).ok()?;
            self.pieces.push(piece);
        }
        let piece = &mut self.pieces[number];
        if piece.capacity() - piece.len() < BLOCK_LEN {
            return None;
        }
        piece.resize(piece.len() + BLOCK_LEN, 0);
        self.len += 1;
        Some(self.len - 1)
    }

    /// The bytes of a block that there is.
    pub(super) fn block(&mut self, block: usize) -> &mut [u8] {
        let (number, within) = piece(block);
        &mut self.pieces[number][within * BLOCK_LEN..][..BLOCK_LEN]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_apart_and_bounded() {
        for most in [0, 1, 15, 16, 17, 100] {
            let mut arena = Arena::new(most);
            for block in 0..most {
                assert_eq!(arena.grow(), Some(block));
                arena.block(block).fill(block as u8 + 1);
            }
            assert_eq!(arena.grow(), None);
            assert_eq!(arena.len(), most);
            let is_whole = |block: usize, arena: &mut Arena| {
                arena.block(block) == [block as u8 + 1; BLOCK_LEN]
            };
            assert!((0..most).all(|block| is_whole(block, &mut arena)));
            let reserved: usize = arena.pieces.iter().map(Vec::capacity).sum();
            assert!(reserved <= most * BLOCK_LEN);
        }
    }
}
