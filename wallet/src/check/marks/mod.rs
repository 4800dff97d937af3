//! The incremental check: what changed since the last look, in one snapshot, from a mark that is moved afterwards.
//!
//! Shape: one `REPEATABLE READ`, read-only transaction reads the mark (a transaction id) and judges the postings of transactions above it
//! and below the oldest one that may still be running, the accounts they touched, and what is cheap to judge as a whole. Where nothing is
//! wrong, a second transaction moves the mark and keeps, for each touched account, the sum of its entries as this check added it up. The
//! mark is moved from where it was read only: of two checks at once, one keeps its figures. A violation leaves the mark where it is,
//! so that it is named again until it is repaired.
//!
//! What it finds of the past: an account that is touched goes on from the sum this check kept itself, so a history that was rewritten up to
//! its last entry shows at the joint. A change further back that leaves the last entry as it was is for the full check, which believes
//! nothing that was kept.
//!
//! | only in the full check | why |
//! |---|---|
//! | L6 (keys), L18, NUMBERS, H1 to H3, P2, P4, P8, R1, T4, W8, E1, E3, E9, PRODUCT, FEE, L11, ROLLUP, L13 | their rows carry no mark to begin from |
//! | L17: upper tiles, seals | they stand on every leaf before them |
//! | L1: an entry without a posting; L3, L5, L8: an account that nothing was posted to | nothing leads to them |

mod repo;

use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgPool};

use super::{CheckReport, Found, Pace, RuleResult, Scope, Since, VIOLATIONS_MAX, books, rules};

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

/// Looks at what changed since the last look, and moves the mark unless something is wrong. The first look is at everything.
pub async fn run(db: &PgPool) -> sqlx::Result<CheckReport> {
    look(db, false).await
}

async fn look(db: &PgPool, gentle: bool) -> sqlx::Result<CheckReport> {
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let looked = look_in_tx(&mut tx, gentle).await?;
    tx.rollback().await?;
    if looked.report.rules.iter().all(|rule| rule.violations.is_empty() || NOT_OF_THE_SCOPE.contains(&rule.id)) {
        let mut tx = db.begin().await?;
        if repo::move_mark_in_tx(&mut tx, &looked.since).await? {
            repo::keep_folds_in_tx(&mut tx, &looked.folds).await?;
            tx.commit().await?;
        }
    }
    Ok(looked.report)
}

/// Looks in the running transaction, as it sees the world, and leaves the mark where it is.
pub async fn run_in_tx(tx: &mut PgConnection) -> sqlx::Result<CheckReport> {
    Ok(look_in_tx(tx, false).await?.report)
}

/// What a look saw.
struct Looked {
    report: CheckReport,
    since: Since,
    folds: Vec<Fold>,
}

async fn look_in_tx(tx: &mut PgConnection, gentle: bool) -> sqlx::Result<Looked> {
    let since = repo::since_in_tx(tx).await?;
    let scope = if since.mark == "0" { Scope::FULL } else { Scope { since: Some(since.clone()) } };
    super::repo::prepare_in_tx(tx, scope.is_full()).await?;
    // the first look is over sooner than it would be with rests, and its snapshot with it
    let mut pace = Pace::new(gentle && !scope.is_full());
    let mut report = rules(tx, &scope, &mut pace).await?;
    let (folds, judged) = folds_in_tx(tx, &scope).await?;
    if !scope.is_full() {
        report.rules.push(judged);
        report.sort();
    }
    Ok(Looked { report, since, folds })
}

/// The same at a gentle pace, unless this or another process looked within `period`.
pub async fn run_when_due(db: &PgPool, period: Duration) -> sqlx::Result<Option<CheckReport>> {
    if repo::claim(db, period).await? { look(db, true).await.map(Some) } else { Ok(None) }
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
