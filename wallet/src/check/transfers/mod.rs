//! Whether each book keeps to itself (L19): its postings, its stripes, and the one way money takes from book to book.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    let mut kept = repo::postings_keep_to_their_book(tx, scope).await?;
    for part in
        [repo::stripes_stand_in_a_row(tx).await?, repo::transfers_have_their_legs(tx, scope).await?, repo::transit_adds_up(tx).await?]
    {
        kept.checked += part.checked;
        kept.violations.extend(part.violations);
    }
    Ok(vec![kept.result("L19", "postings keep to their book, and money goes to another only by a transfer with its two legs")])
}
