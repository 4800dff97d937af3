//! Whether ids and digests follow from what they stand for (L6): a changed amount, account, date or name of an old posting shows here.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    Ok(vec![
        repo::account_ids(tx, scope).await?.result("L6.ACCT", "every account's id follows from its book, kind, subject and currency"),
        repo::posting_digests(tx, scope).await?.result("L6.POST", "every posting's id and digest follow from what was asked and booked"),
    ])
}
