//! Tiles: how the tree is kept. 256 hashes each; level 0 holds leaves, level n the roots of the full tiles of level n - 1. Pure.
//!
//! Only the last tile of a level grows; a full one never changes again. Any complete subtree is found in one tile, so that a proof reads
//! a few tiles whatever the size of the log: at most two a level, and a level more for 256 times the leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Hash, Span, Subtree, complete_root, root_of};

/// Hashes in a full tile.
pub const TILE_LEN: u64 = 1 << TILE_HEIGHT;

/// Levels of the tree within a tile.
const TILE_HEIGHT: u32 = 8;

/// Which tile: its level, and its number on that level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TileId {
    pub level: u32,
    pub tile: u64,
}

/// Some tiles of the log.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Tiles(BTreeMap<TileId, Vec<Hash>>);

impl Tiles {
    /// The tiles that hold what the roots of these spans are made of.
    pub fn needed(spans: &[Span]) -> BTreeSet<TileId> {
        spans.iter().flat_map(|span| span.subtrees()).map(|subtree| place(subtree).0).collect()
    }

    /// The tiles of a log of `size` leaves that are begun and not full: what an append needs.
    pub fn growing(size: u64) -> BTreeSet<TileId> {
        (0..u64::BITS / TILE_HEIGHT)
            .map(|level| (level, size >> (level * TILE_HEIGHT)))
            .filter(|(_, hashes)| hashes % TILE_LEN != 0)
            .map(|(level, hashes)| TileId { level, tile: hashes / TILE_LEN })
            .collect()
    }

    /// Puts a tile in place.
    pub fn insert(&mut self, id: TileId, hashes: Vec<Hash>) {
        self.0.insert(id, hashes);
    }

    pub fn get(&self, id: TileId) -> Option<&[Hash]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    /// Appends a leaf to a log of `size` leaves, and to each level above that it completes a tile for. Says which tiles changed, or `None`
    /// when a tile that it has to continue is not here or has another length.
    pub fn append(&mut self, size: u64, leaf: Hash) -> Option<Vec<TileId>> {
        let (mut index, mut hash) = (size, leaf);
        let mut changed = Vec::with_capacity(1);
        for level in 0.. {
            let id = TileId { level, tile: index / TILE_LEN };
            let hashes = self.0.entry(id).or_default();
            if hashes.len() as u64 != index % TILE_LEN {
                return None;
            }
            hashes.push(hash);
            changed.push(id);
            if hashes.len() as u64 != TILE_LEN {
                break;
            }
            (index, hash) = (id.tile, complete_root(hashes));
        }
        Some(changed)
    }

    /// The root of a span, `None` when a tile is missing or too short.
    pub fn root(&self, span: Span) -> Option<Hash> {
        let roots: Option<Vec<Hash>> = span.subtrees().map(|subtree| self.subtree(subtree)).collect();
        Some(root_of(roots?.into_iter()))
    }

    fn subtree(&self, subtree: Subtree) -> Option<Hash> {
        let (id, first, count) = place(subtree);
        Some(complete_root(self.0.get(&id)?.get(first..first + count)?))
    }
}

/// Where a subtree is kept: the tile, the first hash in it, how many.
fn place(subtree: Subtree) -> (TileId, usize, usize) {
    let (level, within) = (subtree.height / TILE_HEIGHT, subtree.height % TILE_HEIGHT);
    let first = subtree.index << within;
    // both are below 256
    (TileId { level, tile: first / TILE_LEN }, (first % TILE_LEN) as usize, 1 << within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::tree::{consistency, consistent, includes, inclusion, leaf_hash};

    fn log(size: u64) -> (Tiles, Vec<Hash>) {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut tiles = Tiles::default();
        for (number, leaf) in (0..).zip(&leaves) {
            tiles.append(number, *leaf).unwrap();
        }
        (tiles, leaves)
    }

    /// Keeps only what is named.
    fn only(tiles: &Tiles, ids: &BTreeSet<TileId>) -> Tiles {
        Tiles(tiles.0.iter().filter(|(id, _)| ids.contains(id)).map(|(id, hashes)| (*id, hashes.clone())).collect())
    }

    #[test]
    fn an_append_needs_only_the_tiles_that_are_not_full() {
        let (mut whole, mut kept) = (Tiles::default(), Tiles::default());
        for size in 0..70_000_u64 {
            let leaf = leaf_hash(&size.to_be_bytes());
            whole.append(size, leaf).unwrap();
            assert!(kept.append(size, leaf).is_some(), "{size}");
            if size % 97 == 0 || size % 256 > 253 || size % 256 < 2 {
                kept = only(&kept, &Tiles::growing(size + 1));
            }
        }
        let growing = Tiles::growing(70_000);
        assert_eq!(only(&whole, &growing), only(&kept, &growing));
        assert_eq!(growing, BTreeSet::from([(0, 273), (1, 1), (2, 0)].map(|(level, tile)| TileId { level, tile })));
    }

    #[test]
    fn a_tile_of_another_length_is_not_continued() {
        let (mut tiles, _) = log(300);
        assert_eq!(tiles.append(299, leaf_hash(b"")), None);
        assert_eq!(tiles.append(301, leaf_hash(b"")), None);
    }

    #[test]
    fn proofs_read_a_few_tiles_and_hold() {
        let size = 140_000;
        let (tiles, leaves) = log(size);
        let sizes = [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 131_072, 139_999, 140_000];
        for (n, leaf) in sizes.iter().flat_map(|&n| [0, n / 3, n / 2, n - 1].map(|leaf| (n, leaf))) {
            let spans = inclusion(leaf, n);
            let needed = Tiles::needed(&spans);
            assert!(needed.len() <= 6, "{n}: {needed:?}");
            let few = only(&tiles, &needed);
            let path: Vec<Hash> = spans.iter().map(|span| few.root(*span).unwrap()).collect();
            let root = tiles.root(Span::all(n)).unwrap();
            assert!(includes(leaf, &leaves[leaf as usize], n, &path, &root), "leaf {leaf} of {n}");
        }
        for (old, new) in sizes.iter().flat_map(|&old| sizes.map(|new| (old, new))).filter(|(old, new)| old <= new) {
            let spans = consistency(old, new);
            let needed = Tiles::needed(&spans);
            assert!(needed.len() <= 6, "{old} to {new}: {needed:?}");
            let few = only(&tiles, &needed);
            let path: Vec<Hash> = spans.iter().map(|span| few.root(*span).unwrap()).collect();
            let root = |size| tiles.root(Span::all(size)).unwrap();
            assert!(consistent(old, &root(old), new, &root(new), &path), "{old} to {new}");
        }
    }
}
