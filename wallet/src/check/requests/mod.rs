//! Whether every accepted request is in the books exactly once, and nothing is there that nobody asked for.

mod repo;

use sqlx::PgConnection;

use super::{RuleResult, Scope};

/// What a withdrawal may do to the books.
const WITHDRAWALS: [&str; 5] =
    ["WITHDRAWAL_HOLD", "WITHDRAWAL_PAID", "WITHDRAWAL_RETURNED", "WITHDRAWAL_BOUNCED", "WITHDRAWAL_CREDITED_BACK"];

/// What a refund may do to the books.
const REFUNDS: [&str; 6] = ["REFUND", "REFUND_SETTLED", "REFUND_RETURNED", "REFUND_PAID_OUT", "REFUND_BOUNCED", "REFUND_PAID_BY_HAND"];

pub(super) async fn rules(tx: &mut PgConnection, scope: &Scope) -> sqlx::Result<Vec<RuleResult>> {
    let payments = repo::booked_once(tx, scope, &["PAYMENT"]).await?;
    let mut refunds = repo::booked_once(tx, scope, &REFUNDS).await?;
    if scope.is_full() {
        let routes = repo::one_route_at_a_time(tx).await?;
        refunds.checked += routes.checked;
        refunds.violations.extend(routes.violations);
    }
    let settlements = repo::booked_once(tx, scope, &["SETTLEMENT_RELEASE"]).await?;
    let withdrawals = repo::booked_once(tx, scope, &WITHDRAWALS).await?;
    let mut rules = vec![
        payments.result("P1", "every successful attempt is booked once with its amount and store, and nothing else as a payment"),
        refunds.result("R2", "every refund is booked as its status says, and goes one way at a time"),
        settlements.result("T1", "every settlement batch is released once, and nothing else"),
        withdrawals.result("W3", "every withdrawal is booked as held, paid, refused, sent back and credited back, as its status says"),
        repo::kinds_are_known(tx, scope).await?.result("OWNER", "every posting is of a kind that has an owner"),
    ];
    if scope.is_full() {
        rules.extend([
            repo::surplus_given_back(tx).await?.result("P2", "every surplus payment is given back in full"),
            repo::transactions_belong(tx).await?.result("P4", "every channel transaction belongs to one attempt"),
            repo::paid_orders(tx).await?.result("P8", "an order is paid exactly when one attempt paid its amount"),
            repo::refunds_within_payments(tx).await?.result("R1", "refunds stay within their payment and add up to what the order says"),
            repo::returns_belong_to_refunds(tx)
                .await?
                .result("R5", "what receivers give back for a refund is what it takes, and one that came to nothing asks nothing back"),
            repo::payees_are_confirmed(tx)
                .await?
                .result("R7", "a refund paid to an account was confirmed by a second person, for that refund alone"),
            repo::hand_paid_by_two(tx)
                .await?
                .result("R7.HAND", "a refund closed by hand had come back from the bank, and two people said how it was paid"),
            repo::batches_in_order(tx).await?.result("T4", "settlement batches hold whole days before their own and never go back"),
            repo::transit_is_open(tx).await?.result("W8", "what is in transit is what open withdrawals and refunds add up to"),
            repo::cash_of_own_bank(tx).await?.result("W9", "what a bank paid or sent back is booked at that bank, and no other"),
        ]);
    }
    Ok(rules)
}
