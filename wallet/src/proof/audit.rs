//! The log against the books: leaves are computed anew from entries, upper tiles from lower ones, roots from tiles.

use std::ops::Range;

use super::entry::Entry;
use super::head::Head;
use super::repo::{self, LeafTile, Place};
use super::tiles::{TILE_LEN, TileId, Tiles};
use super::tree::{Span, complete_root};
use super::{ProofError, Proofs};

/// Tiles of leaves held in memory at a time.
const TILES_MAX: i64 = 16;

/// What an audit found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Leaves compared.
    pub leaves: u64,
    /// The first difference of each tile that has one, then heads.
    pub differences: Vec<Difference>,
}

/// Where entries and log part ways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// The entry that now stands where leaf `leaf` was logged is not the one that was logged: it was changed, or another was put before it
    /// or taken from before it.
    Leaf { leaf: u64, now: Box<Entry> },
    /// Nothing stands where this leaf was logged.
    Missing { leaf: u64 },
    /// An entry stands after the last one that was logged in the tile.
    Added { tile: u64, now: Box<Entry> },
    /// A full tile has another root than the level above says.
    Root { level: u32, tile: u64 },
    /// The head of a day has another root than the log.
    Head { head: Head },
}

impl Proofs {
    /// Compares tiles of leaves, by their numbers, with the entries of today, with the tiles above them, and with the heads that end in them.
    /// For a person's question or a job at night: reads every entry of the range.
    pub async fn audit(&self, tiles: Range<u64>) -> Result<Audit, ProofError> {
        let mut audit = Audit::default();
        let mark = repo::state(&self.db).await?.mark;
        let mut from = tiles.start;
        while from < tiles.end {
            // one more than is compared: where it begins, the one before it ends
            let read = repo::leaf_tiles(&self.db, from, TILES_MAX + 1).await?;
            let compared = read.len().min(TILES_MAX as usize);
            for (at, tile) in read[..compared].iter().enumerate().filter(|(_, tile)| tile.tile < tiles.end) {
                let end = read.get(at + 1).map_or(mark, |next| next.first.before());
                self.audit_leaves(tile, end, &mut audit).await?;
                self.audit_above(tile, &mut audit).await?;
            }
            if read.len() == compared {
                break;
            }
            from += compared as u64;
        }
        let leaves = tiles.start.saturating_mul(TILE_LEN)..tiles.end.saturating_mul(TILE_LEN);
        for head in repo::heads_ending_in(&self.db, leaves).await? {
            let span = Span::all(head.size);
            if repo::tiles(&self.db, &Tiles::needed(&[span])).await?.root(span) != Some(head.root) {
                audit.differences.push(Difference::Head { head });
            }
        }
        Ok(audit)
    }

    /// Leaves against entries, `end` included.
    async fn audit_leaves(&self, tile: &LeafTile, end: Place, audit: &mut Audit) -> Result<(), ProofError> {
        let (mut at, mut difference) = (0, None);
        // every posting has an entry, so that a tile's entries lie in no more postings than it has leaves; one more shows an excess
        repo::entries_after(&self.db, tile.first.before(), TILE_LEN as i64 + 1, |place, entry| {
            if place > end || difference.is_some() {
                return;
            }
            let now = Box::new(entry);
            match tile.hashes.get(at) {
                Some(leaf) if *leaf == now.leaf() => at += 1,
                Some(_) => difference = Some(Difference::Leaf { leaf: tile.tile * TILE_LEN + at as u64, now }),
                None => difference = Some(Difference::Added { tile: tile.tile, now }),
            }
        })
        .await?;
        if difference.is_none() && at < tile.hashes.len() {
            difference = Some(Difference::Missing { leaf: tile.tile * TILE_LEN + at as u64 });
        }
        audit.leaves += tile.hashes.len() as u64;
        audit.differences.extend(difference);
        Ok(())
    }

    /// A full tile against the level above; where that makes the tile above full, that one against the next.
    async fn audit_above(&self, leaves: &LeafTile, audit: &mut Audit) -> Result<(), ProofError> {
        let (mut id, mut hashes) = (TileId { level: 0, tile: leaves.tile }, leaves.hashes.clone());
        while hashes.len() as u64 == TILE_LEN {
            let above = TileId { level: id.level + 1, tile: id.tile / TILE_LEN };
            let within = (id.tile % TILE_LEN) as usize;
            let next = repo::tiles(&self.db, &[above].into()).await?.get(above).map_or(Vec::new(), <[_]>::to_vec);
            if next.get(within) != Some(&complete_root(&hashes)) {
                audit.differences.push(Difference::Root { level: id.level, tile: id.tile });
            }
            if within as u64 != TILE_LEN - 1 {
                break;
            }
            (id, hashes) = (above, next);
        }
        Ok(())
    }
}
