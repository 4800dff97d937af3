//! The Merkle tree of RFC 6962: what is hashed how, which subtrees a proof is made of, and whether a proof holds. Pure.
//!
//! A leaf is hashed after a zero byte and a node after a one, so that neither can pass for the other. A tree of `n` leaves splits at the
//! largest power of two below `n`; whatever is appended later leaves every complete subtree as it is.

use aws_lc_rs::digest::{self, SHA256};

/// A SHA-256.
pub type Hash = [u8; 32];

/// More hashes than any path of a tree that fits a `u64` has.
pub const PATH_MAX: usize = 64;

/// The hash of bytes as they are.
pub fn sha256(bytes: &[u8]) -> Hash {
    hashed(&[bytes])
}

/// The hash of a leaf that holds these bytes.
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    hashed(&[&[0], bytes])
}

/// The hash of two subtrees beside each other.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hashed(&[&[1], left, right])
}

fn hashed(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Leaves from `from` up to and without `to`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

impl Span {
    /// The whole tree of `size` leaves.
    pub fn all(size: u64) -> Self {
        Self { from: 0, to: size }
    }

    /// Where a span of two leaves or more splits: left of it lies the largest complete subtree that leaves something over.
    fn split(self) -> u64 {
        self.from + (1 << (self.to - self.from - 1).ilog2())
    }

    /// The complete subtrees the span consists of, left to right, the largest first. They exist because a tree only ever splits after a
    /// power of two, which also puts `from` on a multiple of the first subtree's size.
    pub fn subtrees(self) -> impl DoubleEndedIterator<Item = Subtree> {
        let count = self.to - self.from;
        (0..64).rev().filter(move |height| count >> height & 1 == 1).map(move |height| {
            let before = count.checked_shr(height + 1).map_or(0, |larger| larger << height << 1);
            Subtree { height, index: (self.from + before) >> height }
        })
    }
}

/// A subtree without a gap: 2^`height` leaves, and `index` such subtrees before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Subtree {
    pub height: u32,
    pub index: u64,
}

/// The root over subtrees as [`Span::subtrees`] lists them, given their roots; of none it is the hash of nothing.
pub fn root_of(subtrees: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    subtrees.rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(|| sha256(&[]))
}

/// The root over hashes whose number is a power of two.
pub fn complete_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => sha256(&[]),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&complete_root(left), &complete_root(right))
        }
    }
}

/// What shows that leaf number `leaf` (from 0) is in the tree of `size` leaves: the roots of these spans, from the leaf upwards.
pub fn inclusion(leaf: u64, size: u64) -> Vec<Span> {
    let mut path = Vec::new();
    let mut span = Span::all(size);
    while leaf < size && span.to - span.from > 1 {
        let middle = span.split();
        let (inside, beside) = halves(span, middle, leaf < middle);
        path.push(beside);
        span = inside;
    }
    path.reverse();
    path
}

/// What shows that the tree of `old` leaves is the beginning of the tree of `new` leaves: the roots of these spans (RFC 6962 2.1.2).
pub fn consistency(old: u64, new: u64) -> Vec<Span> {
    let mut path = Vec::new();
    let mut span = Span::all(new);
    if old == 0 || old >= new {
        return path;
    }
    // downwards along the edge of the old tree, until its last complete part is all there is
    while span.to != old {
        let middle = span.split();
        let (inside, beside) = halves(span, middle, old <= middle);
        path.push(beside);
        span = inside;
    }
    // the old tree's own root is known to whoever checks
    if span.from > 0 {
        path.push(span);
    }
    path.reverse();
    path
}

fn halves(span: Span, middle: u64, left: bool) -> (Span, Span) {
    let (first, second) = (Span { to: middle, ..span }, Span { from: middle, ..span });
    if left { (first, second) } else { (second, first) }
}

/// Whether a path leads from a leaf's hash to the root (RFC 9162 2.1.3.2).
pub fn includes(leaf: u64, leaf_hash: &Hash, size: u64, path: &[Hash], root: &Hash) -> bool {
    if leaf >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (leaf, size - 1, *leaf_hash);
    for beside in path {
        if last == 0 {
            return false;
        }
        hash = climb(&mut at, &mut last, &hash, beside);
    }
    last == 0 && hash == *root
}

/// Whether a path shows that the old tree is the beginning of the new one (RFC 9162 2.1.4.2).
pub fn consistent(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old == 0 || old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    let (mut at, mut last) = (old - 1, new - 1);
    let levels = at.trailing_ones();
    at >>= levels;
    last >>= levels;
    // where the old tree is one complete subtree, the walk starts at its root
    let (start, path) = match path {
        [] => return false,
        _ if old.is_power_of_two() => (old_root, path),
        [first, rest @ ..] => (first, rest),
    };
    let (mut old_hash, mut new_hash) = (*start, *start);
    for beside in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(beside, &old_hash);
        }
        new_hash = climb(&mut at, &mut last, &new_hash, beside);
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// One step upwards from node `at` of a level whose last node is `last`.
fn climb(at: &mut u64, last: &mut u64, hash: &Hash, beside: &Hash) -> Hash {
    let up = if *at & 1 == 1 || at == last {
        // a right edge without a partner rises until it has one
        let levels = if *at == 0 { 0 } else { at.trailing_zeros() };
        *at >>= levels;
        *last >>= levels;
        node_hash(beside, hash)
    } else {
        node_hash(hash, beside)
    };
    *at >>= 1;
    *last >>= 1;
    up
}

#[cfg(test)]
mod tests;
