//! The SQL of the mark: where it stands, what is kept with it.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Fold, Scope, Since};
use crate::base::clock::Clock;

/// What lies before a look.
pub(super) struct Ahead {
    pub(super) since: Since,
    pub(super) more: bool,
    pub(super) behind: Duration,
}

/// From the mark to the oldest transaction that may still be running, or to the end of the transaction with the `step`th posting. A mark of
/// `0`: nothing was looked at before, and everything is.
pub(super) async fn ahead(tx: &mut PgConnection, step: Option<i64>) -> sqlx::Result<Ahead> {
    let row = sqlx::query!(
        r#"WITH known AS (
               SELECT COALESCE((SELECT mark FROM check_marks), '0'::xid8) AS mark, pg_snapshot_xmin(pg_current_snapshot()) AS oldest
           ), stepped AS MATERIALIZED (
               SELECT mark, oldest,
                      (SELECT (p.xid::text::bigint + 1)::text::xid8
                       FROM postings p
                       WHERE p.xid > mark AND p.xid < oldest AND mark > '0'::xid8 AND $1::bigint IS NOT NULL
                       ORDER BY p.xid
                       OFFSET $1 - 1
                       LIMIT 1) AS step_end
               FROM known
           )
           SELECT mark::text AS "mark!", COALESCE(step_end, oldest)::text AS "end!",
                  EXISTS (SELECT FROM postings p WHERE p.xid >= step_end AND p.xid < oldest) AS "more!",
                  (SELECT p.recorded_at FROM postings p WHERE p.xid > mark AND p.xid < oldest ORDER BY p.xid LIMIT 1) AS first_recorded_at
           FROM stepped"#,
        step
    )
    .fetch_one(tx)
    .await?;
    let behind = row.first_recorded_at.and_then(|at| (Clock::wall() - at).to_std().ok()).unwrap_or_default();
    Ok(Ahead { since: Since { mark: row.mark, end: row.end }, more: row.more, behind })
}

/// An account with what is stored and what was added up.
pub(super) struct Folded {
    pub(super) kind: String,
    pub(super) stored_minor: i64,
    pub(super) fold: Fold,
}

/// The accounts of the scope, each folded on from what was kept of it, with all entries the snapshot sees.
pub(super) fn folded<'a>(tx: &'a mut PgConnection, scope: &'a Scope) -> BoxStream<'a, sqlx::Result<Folded>> {
    sqlx::query!(
        r#"WITH touched AS (
               SELECT book_id, account_id, 0::bigint AS base_seq, 0::bigint AS base_minor FROM accounts WHERE $1::text IS NULL
               UNION ALL
               SELECT t.book_id, t.account_id, COALESCE(c.seq, 0), COALESCE(c.fold_minor, 0)
               FROM (SELECT DISTINCT e.book_id, e.account_id
                     FROM postings p
                     JOIN entries e USING (book_id, posting_id)
                     WHERE $1 IS NOT NULL AND p.xid > $1::text::xid8 AND p.xid < $2::text::xid8) AS t
               LEFT JOIN checked_accounts c USING (book_id, account_id)
           )
           SELECT t.book_id AS "book_id!", t.account_id AS "account_id!", COALESCE(a.kind, 'missing') AS "kind!",
                  COALESCE(a.balance_minor, 0) AS "stored_minor!",
                  COALESCE(max(e.seq), t.base_seq) AS "seq!", (t.base_minor + COALESCE(sum(e.amount_minor), 0))::bigint AS "fold_minor!"
           FROM touched t
           LEFT JOIN accounts a USING (book_id, account_id)
           LEFT JOIN entries e ON e.book_id = t.book_id AND e.account_id = t.account_id AND e.seq > t.base_seq
           GROUP BY t.book_id, t.account_id, t.base_seq, t.base_minor, a.kind, a.balance_minor"#,
        scope.after(),
        scope.before()
    )
    .fetch(tx)
    .map_ok(|row| Folded {
        kind: row.kind,
        stored_minor: row.stored_minor,
        fold: Fold { book: row.book_id, account: row.account_id, seq: row.seq, fold_minor: row.fold_minor },
    })
    .boxed()
}

/// Moves the mark to just below the end of what was looked at, unless another check moved it meanwhile.
pub(super) async fn move_mark_in_tx(tx: &mut PgConnection, since: &Since) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "INSERT INTO check_marks AS m (mark, checked_at)
         VALUES (($2::text::bigint - 1)::text::xid8, now())
         ON CONFLICT (singleton) DO UPDATE
         SET mark = excluded.mark, checked_at = excluded.checked_at
         WHERE m.mark = $1::text::xid8",
        since.mark,
        since.end
    )
    .execute(tx)
    .await?
    .rows_affected();
    Ok(moved == 1)
}

/// Keeps the sums. The mark's row is locked by [`move_mark_in_tx`], so that nobody else is at it.
pub(super) async fn keep_folds_in_tx(tx: &mut PgConnection, folds: &[Fold]) -> sqlx::Result<()> {
    let books: Vec<Uuid> = folds.iter().map(|f| f.book).collect();
    let accounts: Vec<Uuid> = folds.iter().map(|f| f.account).collect();
    let seqs: Vec<i64> = folds.iter().map(|f| f.seq).collect();
    let sums: Vec<i64> = folds.iter().map(|f| f.fold_minor).collect();
    sqlx::query!(
        "INSERT INTO checked_accounts (book_id, account_id, seq, fold_minor)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
         ON CONFLICT (book_id, account_id) DO UPDATE SET seq = excluded.seq, fold_minor = excluded.fold_minor",
        &books,
        &accounts,
        &seqs,
        &sums
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether nobody looked within `period`. Whoever is told so has the turn.
pub(super) async fn claim(db: &PgPool, period: Duration) -> sqlx::Result<bool> {
    let turn = sqlx::query!(
        "INSERT INTO check_marks AS m (mark, checked_at) VALUES ('0', now())
         ON CONFLICT (singleton) DO UPDATE SET checked_at = excluded.checked_at
         WHERE m.checked_at <= now() - make_interval(secs => $1)",
        period.as_secs_f64()
    )
    .execute(db)
    .await?
    .rows_affected();
    Ok(turn == 1)
}
