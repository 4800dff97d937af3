//! Whether closed days and months stand as they were closed (L12), and whether their figures are what the entries add up to (L13).

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// Within a scope: the closes of books that changed, and the closed days of entries that changed, of which there should be none but those
/// booked before the close. What each day and month adds up to is for the full check.
pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    let mut closed = repo::closes_in_order(tx, scope).await?;
    let dated = repo::closed_days_stand(tx, scope).await?;
    closed.checked += dated.checked;
    closed.violations.extend(dated.violations);
    let mut rules = vec![closed.result("L12", "days and months close in order and once, and nothing is booked into them afterwards")];
    if scope.is_full() {
        let mut figures = repo::day_figures(tx).await?;
        let months = repo::month_figures(tx).await?;
        figures.checked += months.checked;
        figures.violations.extend(months.violations);
        rules.push(figures.result("L13", "closed days and months say what the entries booked on them add up to"));
    }
    Ok(rules)
}
