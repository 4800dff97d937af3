//! Tamper evidence (防篡改证明): one append-only Merkle log over all entries, a sealed head a day, and proofs that anybody can check.
//!
//! Off the hot path: postings know nothing of it. A worker appends what lies below every running transaction, in stream order (transaction,
//! book, posting, line), with the log's row locked, so that there is one writer; leaves, upper levels and the mark move in one
//! transaction. Entries are hashed with everything their posting and account say about them ([`entry`]); the tree is RFC 6962's ([`tree`]),
//! kept in tiles ([`tiles`]).
//!
//! **Sealing.** Once a day is over for [`SEAL_AFTER`], no book has something booked on it that its day close does not cover, and nothing
//! committed and booked through it lies beyond the mark, the log's head becomes that day's ([`head`]), once and for all. The ledger books
//! nothing on a sealed day; what began before it was sealed has ended by then, since no transaction lives as long as [`SEAL_AFTER`]. So
//! every entry booked through a sealed day has a number below its head's size.
//!
//! **Proofs.** An entry's number needs no row: its tile begins at or before its place in the stream, and its hash stands in that tile. A proof
//! reads the entry and a few tiles. Where the hash is missing, the entry was changed after it was logged.

pub mod audit;
pub mod entry;
mod error;
pub mod file;
pub mod head;
mod repo;
pub mod tiles;
pub mod tree;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use error::ProofError;
pub use file::{Proof, Proven, Unproven, verify};
pub use head::Head;

use crate::base::actor::{Actor, Forbidden};
use crate::base::clock::Clock;
use crate::base::db;
use crate::base::id::{BookId, MerchantId, PostingId};
use crate::base::money::Currency;
use crate::base::page::{FIRST_MAX, Page};
use crate::ledger::{AccountKind, Posting, PostingKind};
use crate::period::last_closable_day;
use entry::Entry;
use file::Path;
use repo::{Grown, Place};
use tiles::{TILE_LEN, TileId, Tiles};
use tree::{Hash, Span};

/// How long after its end a day is sealed at the earliest. Longer than any transaction lives that took its day before midnight: statements,
/// waits for locks and idle transactions are ended after seconds.
pub const SEAL_AFTER: TimeDelta = TimeDelta::minutes(30);

/// Postings appended in one transaction.
const POSTINGS_MAX: i64 = 2_000;

/// Days sealed by one run, so that a clock that jumped is caught up with bit by bit.
const SEALS_MAX: usize = 100;

/// Books looked at by one statement. Most of them are closed or idle.
const BOOKS_PAGE: i64 = 1_000;

/// The service for the log.
#[derive(Clone, Debug)]
pub struct Proofs {
    db: PgPool,
    clock: Clock,
}

/// What is known about something that is or will be proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Proven(Proof),
    /// The log's head of this day is not sealed yet; the proof exists from then on.
    NotSealedYet {
        day: NaiveDate,
    },
}

/// A head with the time it was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    pub head: Head,
    pub sealed_at: DateTime<Utc>,
}

impl Proofs {
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Appends all that can be appended now. Returns how many entries that were.
    pub async fn catch_up(&self) -> Result<u64, ProofError> {
        let mut appended = 0;
        loop {
            match db::retrying(ProofError::retryable, || self.append_once()).await? {
                0 => return Ok(appended),
                entries => appended += entries,
            }
        }
    }

    /// One bounded batch in one transaction.
    async fn append_once(&self) -> Result<u64, ProofError> {
        let mut tx = self.db.begin().await?;
        let appended = append_in_tx(&mut tx).await?;
        tx.commit().await?;
        metrics::counter!("haodian_proof_entries_total").increment(appended);
        Ok(appended)
    }

    /// Seals the days through `through` ([`last_sealable_day`]) in order, and returns their heads. Stops at a day that is not settled.
    ///
    /// Days without a posting are sealed, too, so that each day has its head. The first one is that of the log's first entry.
    pub async fn seal_due(&self, through: NaiveDate) -> Result<Vec<Head>, ProofError> {
        let mut sealed = Vec::new();
        while sealed.len() < SEALS_MAX {
            let day = match repo::last_head(&self.db).await? {
                Some(head) => Some(head.day + TimeDelta::days(1)),
                None => repo::first_day(&self.db).await?,
            };
            let Some(day) = day.filter(|day| *day <= through) else { break };
            if self.anything_open(day).await? {
                break;
            }
            match db::retrying(ProofError::retryable, || self.seal_once(day)).await? {
                Some(head) => sealed.push(head),
                None => break,
            }
        }
        Ok(sealed)
    }

    /// Whether a book has something booked through `day` that no close covers.
    async fn anything_open(&self, day: NaiveDate) -> Result<bool, ProofError> {
        let mut after = None;
        while let Some((last, open)) = repo::anything_open(&self.db, day, after, BOOKS_PAGE).await? {
            if open {
                return Ok(true);
            }
            after = Some(last);
        }
        Ok(false)
    }

    /// Seals one day, unless something booked through it is not in the log yet, or another worker was faster.
    async fn seal_once(&self, day: NaiveDate) -> Result<Option<Head>, ProofError> {
        let mut tx = self.db.begin().await?;
        let state = repo::lock_in_tx(&mut tx).await?;
        let last = repo::last_head(&mut *tx).await?;
        if last.is_some_and(|last| last.day >= day) || repo::anything_beyond(&mut tx, state.mark, day).await? {
            return Ok(None);
        }
        let span = Span::all(state.size);
        let tiles = repo::tiles(&mut *tx, &Tiles::needed(&[span])).await?;
        let root = tiles.root(span).ok_or_else(|| ProofError::Altered("the log's last tiles".to_owned()))?;
        let head = Head { day, size: state.size, root };
        repo::insert_head_in_tx(&mut tx, &head, self.clock.now()).await?;
        tx.commit().await?;
        Ok(Some(head))
    }

    /// The proofs of what a posting did to one of a merchant's accounts: one for each line of the bill, which is nearly always one. Each leads
    /// to the first head that holds its entry. For whoever may read the merchant's bill.
    pub async fn entries(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        account: AccountKind,
        kind: PostingKind,
        reference: Uuid,
    ) -> Result<Vec<Answer>, ProofError> {
        actor.require_reader(merchant)?;
        let found = repo::find(&self.db, merchant, account, Currency::Cny, posting_id(kind, reference)).await?;
        let mut answers = Vec::with_capacity(found.len());
        for (place, booked_on) in found {
            answers.push(self.entry(place, booked_on).await?);
        }
        Ok(answers)
    }

    async fn entry(&self, place: Place, booked_on: NaiveDate) -> Result<Answer, ProofError> {
        let state = repo::state(&self.db).await?;
        if place > state.mark {
            return Ok(Answer::NotSealedYet { day: booked_on });
        }
        let entry = self.entry_at(place).await?;
        let altered = || ProofError::Altered(format!("entry {} of account {} in book {}", entry.seq, entry.account, entry.book));
        let hash = entry.leaf();
        let tile = repo::tile_at(&self.db, place).await?.ok_or_else(altered)?;
        let within = tile.hashes.iter().position(|leaf| *leaf == hash).ok_or_else(altered)?;
        let leaf = tile.tile * TILE_LEN + within as u64;
        let Some(head) = repo::head_over(&self.db, leaf).await? else { return Ok(Answer::NotSealedYet { day: booked_on }) };
        let path = self.path(&tree::inclusion(leaf, head.size)).await?;
        // before it leaves: a tile that was changed elsewhere must not become a proof that fails at the merchant's
        if !tree::includes(leaf, &hash, head.size, &path.0, &head.root) {
            return Err(ProofError::Altered(format!("the log below the head of {}", head.day)));
        }
        let lines = entry.text().lines().map(str::to_owned).collect();
        Ok(Answer::Proven(Proof::Entry { entry: lines, leaf, path, head }))
    }

    async fn entry_at(&self, place: Place) -> Result<Entry, ProofError> {
        let mut found = None;
        repo::entries_after(&self.db, place.before(), 1, |at, entry| {
            if at == place {
                found = Some(entry);
            }
        })
        .await?;
        found.ok_or_else(|| ProofError::Altered(format!("a line of posting {} in book {}", place.posting, place.book)))
    }

    /// The proof that the log of one sealed day is the beginning of a later one's. For everybody who is logged in.
    pub async fn consistency(&self, actor: &Actor, from: NaiveDate, to: NaiveDate) -> Result<Answer, ProofError> {
        require_person(actor)?;
        let (from, to) = (from.min(to), from.max(to));
        let Some(older) = repo::head_of(&self.db, from).await? else { return Ok(Answer::NotSealedYet { day: from }) };
        let Some(newer) = repo::head_of(&self.db, to).await? else { return Ok(Answer::NotSealedYet { day: to }) };
        let path = self.path(&tree::consistency(older.size, newer.size)).await?;
        if !tree::consistent(older.size, &older.root, newer.size, &newer.root, &path.0) {
            return Err(ProofError::Altered(format!("the log between the heads of {from} and {to}")));
        }
        Ok(Answer::Proven(Proof::Consistency { from: older, to: newer, path }))
    }

    async fn path(&self, spans: &[Span]) -> Result<Path, ProofError> {
        let tiles = repo::tiles(&self.db, &Tiles::needed(spans)).await?;
        let path: Option<Vec<Hash>> = spans.iter().map(|span| tiles.root(*span)).collect();
        path.map(Path).ok_or_else(|| ProofError::Altered("a tile of the log".to_owned()))
    }

    /// The sealed heads below `before`, newest first. For everybody who is logged in: a head says nothing about anyone.
    pub async fn seals(&self, actor: &Actor, before: Option<NaiveDate>, first: i64) -> Result<Page<Seal>, ProofError> {
        require_person(actor)?;
        let first = first.clamp(1, FIRST_MAX);
        let rows = repo::heads(&self.db, before, first + 1).await?;
        Ok(Page::from_rows(rows.into_iter().map(|(head, sealed_at)| Seal { head, sealed_at }).collect(), first))
    }
}

/// The last day that may be sealed: yesterday, once [`SEAL_AFTER`] has passed since midnight in Asia/Shanghai.
pub fn last_sealable_day(now: DateTime<Utc>) -> NaiveDate {
    last_closable_day(now, SEAL_AFTER)
}

/// The id of a posting from what it is.
fn posting_id(kind: PostingKind, reference: Uuid) -> PostingId {
    let (book, business_date) = (BookId(Uuid::nil()), NaiveDate::default());
    Posting { book, kind, reference, store: None, business_date, legs: Vec::new(), hold: None, metadata: None }.id()
}

/// Lets people with a session and the platform itself in.
fn require_person(actor: &Actor) -> Result<(), Forbidden> {
    match actor {
        Actor::Person { .. } | Actor::System => Ok(()),
        Actor::Customer { .. } => Err(Forbidden),
    }
}

/// Appends the next entries below every running transaction: at most [`POSTINGS_MAX`] postings, each of them whole. Returns how many entries
/// were appended; none when the log is as far as it can be.
///
/// Waits for another writer. Until the transaction commits, the log is as it was.
pub async fn append_in_tx(tx: &mut PgConnection) -> Result<u64, ProofError> {
    let state = repo::lock_in_tx(tx).await?;
    if state.mark.xid >= state.horizon {
        return Err(ProofError::MarkAhead);
    }
    let (mut leaves, mut firsts, mut mark) = (Vec::new(), BTreeMap::new(), state.mark);
    repo::entries_after(&mut *tx, state.mark, POSTINGS_MAX, |place, entry| {
        let number = state.size + leaves.len() as u64;
        if number.is_multiple_of(TILE_LEN) {
            firsts.insert(number / TILE_LEN, place);
        }
        leaves.push(entry.leaf());
        mark = place.after_posting();
    })
    .await?;
    if leaves.is_empty() {
        return Ok(0);
    }
    let broken = || ProofError::Altered("the log's last tiles".to_owned());
    let mut tiles = repo::tiles(&mut *tx, &Tiles::growing(state.size)).await?;
    let mut changed = std::collections::BTreeSet::new();
    for (number, leaf) in (state.size..).zip(&leaves) {
        changed.extend(tiles.append(number, *leaf).ok_or_else(broken)?);
    }
    let grown: Option<Vec<Grown<'_>>> =
        changed.into_iter().map(|id| Some(Grown { id, hashes: tiles.get(id)?, first: first(id, &firsts) })).collect();
    if !repo::write_tiles_in_tx(tx, &grown.ok_or_else(broken)?).await? {
        return Err(broken());
    }
    repo::advance_in_tx(tx, state.size + leaves.len() as u64, mark).await?;
    Ok(leaves.len() as u64)
}

/// The place of the first leaf of a tile that was begun now.
fn first(id: TileId, firsts: &BTreeMap<u64, Place>) -> Option<Place> {
    (id.level == 0).then(|| firsts.get(&id.tile).copied()).flatten()
}
