//! Whether the server and the schema keep what the books rest on: rights (L4), durability (L10), whole numbers (L15), no deadlocks (L16).

mod repo;

use sqlx::PgConnection;

use super::RuleResult;

/// The comment on a database whose loss does not matter. Only its owner can put it there, and a copy does not inherit it.
pub const THROW_AWAY: &str = "throw-away";

pub(super) async fn rules(tx: &mut PgConnection) -> sqlx::Result<Vec<RuleResult>> {
    let deadlocks = repo::deadlocks(tx).await?;
    let mut durable = repo::durable(tx).await?.result("L10", "the server forces every commit to the disk");
    if repo::marked(tx, THROW_AWAY).await? {
        let off =
            durable.violations.drain(..).map(|text| format!("not judged: the database is marked {THROW_AWAY}; {text}")).collect::<Vec<_>>();
        durable.not_judged = (!off.is_empty()).then(|| off.join("; "));
    }
    Ok(vec![
        repo::rights_are_few(tx).await?.result("L4", "the application may neither change nor delete what is written once"),
        durable,
        repo::money_is_whole(tx).await?.result("L15", "every amount is a whole number: bigint, and no column is a fraction"),
        deadlocks.result("L16", "no transactions of this database ever waited for each other in a circle"),
    ])
}
