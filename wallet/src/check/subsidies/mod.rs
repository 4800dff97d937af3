//! Whether programmes paid what orders say, got back what refunds say, and keep what open orders were promised.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};
use crate::base::id::BookId;

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    let mut booked = repo::booked_as_said(tx, BookId::PLATFORM.0).await?;
    let budgets = repo::budgets_add_up(tx).await?;
    booked.checked += budgets.checked;
    booked.violations.extend(budgets.violations);
    Ok(vec![
        repo::refunds_are_cut(tx).await?.result("R4", "the parts of a subsidised order's refunds are its cash and its subsidy, to the fen"),
        booked.result(
            "R4.BUDGET",
            "a budget is what was put in and came back, less what orders used and what was taken out, each booked once",
        ),
        repo::reserved_by_orders(tx).await?.result(
            "R4.HELD",
            "each subsidised order holds its part while it is open, used it when it is paid, and gave it up when it closed",
        ),
    ])
}
