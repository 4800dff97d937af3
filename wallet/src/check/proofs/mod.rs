//! Whether the Merkle log holds exactly the entries, and whether tiles and sealed roots follow from one another (L17).
//!
//! Written anew from RFC 6962 and the text of an entry, without the log's own code. The leaves are hashed and compared by the database. The
//! tree over them is built here in one pass over the leaf tiles: what is kept meanwhile is the upper tiles, one byte for eight entries.

mod merkle;
mod repo;

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::PgConnection;

use super::{RuleResult, Scope};
use merkle::{Hash, Tree};

const NAME: &str = "the log holds every entry up to its place, numbered without gaps, and sealed roots follow from them";

/// Within a scope: the leaves from the tile on in which its first entry lies. Upper tiles and seals need every leaf before them.
pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    let start = repo::start(tx, scope).await?;
    let mut found = repo::leaves_are_entries(tx, &start, scope).await?;
    if scope.is_full() {
        found.violations.extend(tree_violations(tx).await?);
    }
    Ok(vec![found.result("L17", NAME)])
}

/// Builds the tree over the leaf tiles as they are kept, and compares upper tiles and sealed roots with it.
async fn tree_violations(tx: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let mut upper: BTreeMap<(i16, i64), Vec<u8>> = repo::upper_tiles(tx).await?;
    let mut seals = repo::seals(tx).await?.into_iter().peekable();
    let mut violations = Vec::new();
    let mut tree = Tree::default();
    {
        let mut tiles = repo::leaf_tiles(tx);
        while let Some(leaves) = tiles.try_next().await? {
            let leaves: Vec<Hash> = leaves.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
            let mut pushed = 0;
            while let Some(seal) = seals.next_if(|seal| seal.size <= tree.size() + (leaves.len() - pushed) as i64) {
                // sizes are compared above and do not go back, so this stays within the tile
                let upto = pushed + usize::try_from(seal.size - tree.size()).unwrap_or(0);
                for leaf in &leaves[pushed..upto] {
                    tree.push(*leaf);
                }
                pushed = upto;
                if seal.size != tree.size() || tree.root()[..] != seal.root[..] {
                    violations.push(format!("the sealed root of {} does not follow from its {} entries", seal.day, seal.size));
                }
            }
            for leaf in &leaves[pushed..] {
                tree.push(*leaf);
            }
            for (level, number, hashes) in tree.full_tiles() {
                compare(&mut violations, upper.remove(&(level, number)), level, number, &hashes);
            }
        }
    }
    for (level, number, hashes) in tree.open_tiles() {
        compare(&mut violations, upper.remove(&(level, number)), level, number, &hashes);
    }
    violations.extend(upper.keys().map(|(level, number)| format!("tile {number} of level {level} stands over nothing")));
    violations.extend(seals.map(|seal| format!("the seal of {} stands on {} entries, the log has {}", seal.day, seal.size, tree.size())));
    Ok(violations)
}

fn compare(violations: &mut Vec<String>, kept: Option<Vec<u8>>, level: i16, number: i64, hashes: &[Hash]) {
    if kept.as_deref() != Some(hashes.as_flattened()) {
        violations.push(format!("tile {number} of level {level} does not follow from the tiles below it"));
    }
}
