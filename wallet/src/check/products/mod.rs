//! Whether what orders froze of their products was kept: the terms, the fee, and every cent that was held.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    if !scope.is_full() {
        return Ok(Vec::new());
    }
    Ok(vec![
        repo::escrows_add_up(tx).await?.result("E1", "what an order was funded with is what was released, returned and is held"),
        repo::releases_fit(tx).await?.result("E3", "every release is booked once, within its stage, and agreed to by whom it has to be"),
        repo::escrow_paths(tx).await?.result("E9", "held money moves by its own order's payment, releases and refunds alone"),
        repo::terms_are_of_the_version(tx).await?.result("PRODUCT", "the terms of every order are those of its product's version"),
        repo::fees_are_frozen(tx).await?.result("FEE", "the fee that was taken is the one that was frozen"),
    ])
}
