//! A Merkle tree (RFC 6962) that grows leaf by leaf: its root at any size, and the tiles above the leaves. Pure.

use aws_lc_rs::digest::{Context, SHA256};

pub(super) type Hash = [u8; 32];

/// Hashes in a full tile.
const TILE: usize = 256;

/// What is kept of a growing tree: the roots of its complete subtrees, and for each level above the leaves the tile that is being filled.
#[derive(Default)]
pub(super) struct Tree {
    size: i64,
    /// Complete subtrees, the largest first, with their heights.
    peaks: Vec<(u32, Hash)>,
    /// By level - 1: how many tiles are full, and the open one.
    open: Vec<(i64, Vec<Hash>)>,
    full: Vec<(i16, i64, Vec<Hash>)>,
}

impl Tree {
    pub(super) fn size(&self) -> i64 {
        self.size
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let (mut height, mut hash) = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == height) {
            (height, hash) = (height + 1, node(&left, &hash));
            // a subtree of 256^n leaves is the root of a full tile of level n - 1, and a hash of level n
            if height % 8 == 0 {
                self.raise((height / 8) as usize, hash);
            }
        }
        self.peaks.push((height, hash));
    }

    fn raise(&mut self, level: usize, hash: Hash) {
        if self.open.len() < level {
            self.open.resize_with(level, Default::default);
        }
        let (number, hashes) = &mut self.open[level - 1];
        hashes.push(hash);
        if hashes.len() == TILE {
            self.full.push((level as i16, *number, std::mem::take(hashes)));
            *number += 1;
        }
    }

    /// The root over all leaves: of none, the hash of nothing.
    pub(super) fn root(&self) -> Hash {
        let mut hashes = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = hashes.next() else { return digest(&[]) };
        hashes.fold(last, |right, left| node(&left, &right))
    }

    /// The tiles above the leaves that became full since the last call: level, number, hashes.
    pub(super) fn full_tiles(&mut self) -> Vec<(i16, i64, Vec<Hash>)> {
        std::mem::take(&mut self.full)
    }

    /// The begun tiles above the leaves.
    pub(super) fn open_tiles(&self) -> Vec<(i16, i64, Vec<Hash>)> {
        (1..)
            .zip(&self.open)
            .filter(|(_, (_, hashes))| !hashes.is_empty())
            .map(|(level, (number, hashes))| (level, *number, hashes.clone()))
            .collect()
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    digest(&[&[1], left, right])
}

fn digest(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(bytes: &[u8]) -> Hash {
        digest(&[&[0], bytes])
    }

    /// The definition of RFC 6962, §2.1, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => digest(&[]),
            [one] => *one,
            _ => {
                let split = 1 << (leaves.len() - 1).ilog2();
                node(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition_at_every_size() {
        let leaves: Vec<Hash> = (0..600_u32).map(|n| leaf(&n.to_be_bytes())).collect();
        let mut tree = Tree::default();
        for size in 0..leaves.len() {
            assert_eq!(tree.root(), by_definition(&leaves[..size]), "{size}");
            tree.push(leaves[size]);
        }
    }

    /// The roots that the test vectors of Certificate Transparency give for its eight leaves.
    #[test]
    fn known_leaves_have_their_known_roots() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut tree = Tree::default();
        assert_eq!(hex::encode(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        tree.push(leaf(leaves[0]));
        assert_eq!(hex::encode(tree.root()), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        for bytes in &leaves[1..] {
            tree.push(leaf(bytes));
        }
        assert_eq!(hex::encode(tree.root()), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn tiles_hold_the_roots_of_the_full_tiles_below() {
        let mut tree = Tree::default();
        let leaves: Vec<Hash> = (0..(TILE * TILE * 2 + TILE * 3 + 7) as u32).map(|n| leaf(&n.to_be_bytes())).collect();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let (full, open) = (tree.full_tiles(), tree.open_tiles());
        let heads = |range: std::ops::Range<usize>| range.map(|n| by_definition(&leaves[n * TILE..][..TILE])).collect::<Vec<_>>();
        assert_eq!(full, [(1, 0, heads(0..TILE)), (1, 1, heads(TILE..2 * TILE))]);
        let second = (0..2).map(|n| by_definition(&heads(n * TILE..(n + 1) * TILE))).collect::<Vec<_>>();
        assert_eq!(open, [(1, 2, heads(2 * TILE..2 * TILE + 3)), (2, 0, second)]);
        assert!(tree.full_tiles().is_empty());
    }
}
