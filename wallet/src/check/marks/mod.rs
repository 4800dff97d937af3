//! The incremental check: what changed since the last look, from a mark that is moved afterwards.
//!
//! Shape: the mark (a transaction id) and the oldest transaction that may still be running are read first: what lies between them is the
//! scope, and changes no more. Each group of rules then judges the postings of those transactions, the accounts they touched, and what is
//! cheap to judge as a whole, in a `REPEATABLE READ`, read-only transaction of its own: a snapshot that is kept keeps every row version that
//! payments leave behind, and they search through those. Where nothing is wrong, a last transaction moves the mark and keeps, for each
//! touched account, the sum of its entries as this check added it up. The mark is moved from where it was read only: of two checks at once,
//! one keeps its figures. A violation leaves the mark where it is, so that it is named again until it is repaired.
//!
//! What it finds of the past: an account that is touched goes on from the sum this check kept itself, so a history that was rewritten up to
//! its last entry shows at the joint. A change further back that leaves the last entry as it was is for the full check, which believes
//! nothing that was kept.
//!
//! | only in the full check | why |
//! |---|---|
//! | L6 (keys), L18, NUMBERS, H1 to H3, P2, P4, P8, R1, T4, W8, E1, E3, E9, PRODUCT, FEE, L11, ROLLUP, L13 | their rows carry no mark to begin from |
//! | L17: upper tiles, seals | they stand on every leaf before them |
//! | L17: leaves that came into the log after a look at their postings, up to the tile in which the next look begins | the log keeps no place for the checker |
//! | L1: an entry without a posting; L3, L5, L8: an account that nothing was posted to | nothing leads to them |

mod repo;

use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgPool};

use super::{CheckReport, Found, GROUPS, RuleResult, Scope, Since, VIOLATIONS_MAX, books, group};

/// Rules that say something about the server as it is, not about what changed: they do not hold the mark back.
const NOT_OF_THE_SCOPE: [&str; 5] = ["L4", "L10", "L14", "L15", "L16"];

/// The sum of an account's entries up to `seq`, as the check added it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fold {
    book: uuid::Uuid,
    account: uuid::Uuid,
    seq: i64,
    fold_minor: i64,
}

/// A look beside everything else works a tenth of the time: after each group of rules it rests nine times as long as the group took. So it
/// takes a twentieth of two cores from payments whatever their number, falls behind in a peak that it cannot follow, and catches up after it.
const REST: u32 = 9;

/// What a look beside everything else came to.
#[derive(Debug)]
pub struct Look {
    pub report: CheckReport,
    /// Whether the mark was moved and postings were left above it.
    pub more: bool,
    /// How long ago the first posting that it read was recorded. Zero: there was none.
    pub behind: Duration,
}

/// Looks at what changed since the last look, and moves the mark unless something is wrong. The first look is at everything.
pub async fn run(db: &PgPool) -> sqlx::Result<CheckReport> {
    Ok(look(db, None).await?.report)
}

/// The same at a gentle pace, unless this or another process looked within `period`. Reads `step` postings at the most, and what else their
/// last transaction posted.
pub async fn run_when_due(db: &PgPool, period: Duration, step: i64) -> sqlx::Result<Option<Look>> {
    if repo::claim(db, period).await? { look(db, Some(step.max(1))).await.map(Some) } else { Ok(None) }
}

/// `step`: how many postings at the most, with rests.
async fn look(db: &PgPool, step: Option<i64>) -> sqlx::Result<Look> {
    let ahead = {
        let mut connection = db.acquire().await?;
        repo::ahead(&mut connection, step).await?
    };
    let scope = Scope::from(&ahead.since);
    let (mut report, mut folds) = (CheckReport { rules: Vec::new() }, Vec::new());
    for place in 0..=GROUPS {
        let began = Instant::now();
        judge(db, &scope, place, &mut report, &mut folds).await?;
        // the first look is over sooner than it would be with rests
        if step.is_some() && !scope.is_full() && place < GROUPS {
            tokio::time::sleep(began.elapsed() * REST).await;
        }
    }
    report.sort();
    let mut moved = false;
    if report.rules.iter().all(|rule| rule.violations.is_empty() || NOT_OF_THE_SCOPE.contains(&rule.id)) {
        let mut tx = db.begin().await?;
        if repo::move_mark_in_tx(&mut tx, &ahead.since).await? {
            repo::keep_folds_in_tx(&mut tx, &folds).await?;
            tx.commit().await?;
            moved = true;
        }
    }
    Ok(Look { report, more: ahead.more && moved, behind: ahead.behind })
}

/// Looks in the running transaction, as it sees the world, and leaves the mark where it is.
pub async fn run_in_tx(tx: &mut PgConnection) -> sqlx::Result<CheckReport> {
    let scope = Scope::from(&repo::ahead(tx, None).await?.since);
    super::repo::prepare_in_tx(tx, scope.is_full()).await?;
    let mut report = CheckReport { rules: Vec::new() };
    for place in 0..=GROUPS {
        judge_in_tx(tx, &scope, place, &mut report, &mut Vec::new()).await?;
    }
    report.sort();
    Ok(report)
}

/// Judges one group of rules in a snapshot of its own.
async fn judge(db: &PgPool, scope: &Scope, place: usize, report: &mut CheckReport, folds: &mut Vec<Fold>) -> sqlx::Result<()> {
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    super::repo::prepare_in_tx(&mut tx, scope.is_full()).await?;
    judge_in_tx(&mut tx, scope, place, report, folds).await?;
    tx.rollback().await
}

/// Judges one group of rules; after the last of them come the folds, whose rule a full check judges by itself.
async fn judge_in_tx(
    tx: &mut PgConnection,
    scope: &Scope,
    place: usize,
    report: &mut CheckReport,
    folds: &mut Vec<Fold>,
) -> sqlx::Result<()> {
    if place < GROUPS {
        report.rules.extend(group(tx, scope, place).await?);
        return Ok(());
    }
    let (folded, judged) = folds_in_tx(tx, scope).await?;
    *folds = folded;
    if !scope.is_full() {
        report.rules.push(judged);
    }
    Ok(())
}

impl From<&Since> for Scope {
    fn from(since: &Since) -> Self {
        if since.mark == "0" { Self::FULL } else { Self { since: Some(since.clone()) } }
    }
}

/// Folds the accounts of the scope on from where they were kept (L3). In memory: some fifty bytes for each account that was touched.
async fn folds_in_tx(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<(Vec<Fold>, RuleResult)> {
    let mut found = Found::default();
    let mut folds = Vec::new();
    {
        let mut rows = repo::folded(tx, scope);
        while let Some(row) = rows.try_next().await? {
            found.checked += 1;
            if row.stored_minor != row.fold.fold_minor && found.violations.len() <= VIOLATIONS_MAX {
                let (account, book) = (row.fold.account, row.fold.book);
                let (stored, sum) = (row.stored_minor, row.fold.fold_minor);
                found.violations.push(format!("{} account {account} of book {book} stores {stored}, its entries sum to {sum}", row.kind));
            }
            folds.push(row.fold);
        }
    }
    Ok((folds, found.result("L3", books::FOLDS)))
}
