//! The checker finds what was changed by hand in programmes, their money and their orders, each damage by the rule it breaks.

use wallet::refund::{Outcome, Word};
use wallet::subsidy::MovementKind;

use super::subsidy::Budget;

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE refunds SET subsidy_minor = subsidy_minor + 1 WHERE NOT subsidy_returned AND subsidy_minor > 0", &["R4"]),
    ("UPDATE refunds SET subsidy_minor = subsidy_minor - 20 WHERE subsidy_returned", &["R4", "R4.BUDGET", "R2"]),
    ("UPDATE refunds SET subsidy_minor = amount_minor WHERE NOT subsidy_returned AND subsidy_minor > 0", &["R4"]),
    ("UPDATE refunds SET subsidy_returned = false WHERE subsidy_returned", &["R4", "R4.BUDGET"]),
    ("UPDATE refunds SET subsidy_returned = true WHERE NOT subsidy_returned AND subsidy_minor > 0", &["R4", "R4.BUDGET"]),
    ("UPDATE orders SET subsidy_minor = subsidy_minor + 100 WHERE status = 'PAID' AND programme_id IS NOT NULL", &["R4", "R4.BUDGET", "R4.HELD", "P8"]),
    ("UPDATE orders SET subsidy_minor = 0, programme_id = NULL WHERE status = 'PAID'", &["R4.BUDGET", "R4.HELD", "P8"]),
    ("UPDATE orders SET programme_id = gen_random_uuid() WHERE status = 'PAID' AND programme_id IS NOT NULL", &["R4.BUDGET", "R4.HELD"]),
    ("UPDATE orders SET subsidy_minor = subsidy_minor + 1 WHERE status = 'CREATED' AND programme_id IS NOT NULL", &["R4.HELD"]),
    ("UPDATE orders SET status = 'CLOSED', closed_at = created_at WHERE status = 'CREATED' AND programme_id IS NOT NULL", &["R4.HELD"]),
    ("UPDATE holds SET state = 'VOIDED', resolved_at = created_at WHERE state = 'HELD'", &["R4.HELD", "L7"]),
    ("DELETE FROM holds WHERE state = 'VOIDED'", &["R4.HELD"]),
    ("UPDATE holds SET hold_id = gen_random_uuid() WHERE state = 'HELD'", &["R4.HELD"]),
    ("UPDATE holds SET captured_minor = captured_minor - 1 WHERE state = 'CAPTURED'", &["R4.HELD", "L7"]),
    ("UPDATE accounts SET held_minor = held_minor - 1 WHERE kind = 'SUBSIDY'", &["R4.HELD", "L7"]),
    ("UPDATE accounts SET balance_minor = balance_minor - 1 WHERE kind = 'SUBSIDY'", &["R4.BUDGET", "L3"]),
    ("UPDATE accounts SET floor_minor = NULL WHERE kind = 'SUBSIDY'", &["L8"]),
    ("UPDATE subsidy_movements SET amount_minor = amount_minor + 1 WHERE status = 'POSTED'", &["R4.BUDGET"]),
    ("UPDATE subsidy_movements SET status = 'REJECTED' WHERE status = 'POSTED'", &["R4.BUDGET"]),
    ("UPDATE subsidy_movements SET status = 'POSTED' WHERE status = 'REJECTED'", &["R4.BUDGET"]),
    ("UPDATE subsidy_movements SET movement_id = gen_random_uuid() WHERE status = 'POSTED'", &["R4.BUDGET", "L6"]),
    ("DELETE FROM subsidy_programmes", &["R4.BUDGET", "L6"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'SUBSIDY_USED'", &["R4.BUDGET"]),
    ("UPDATE postings SET kind = 'TRANSFER_IN' WHERE kind = 'SUBSIDY_RETURNED'", &["R4.BUDGET", "L19"]),
    ("UPDATE postings SET kind = 'SUBSIDY_FUNDED' WHERE kind = 'SUBSIDY_USED'", &["R4.BUDGET", "L19"]),
];

#[tokio::test]
async fn every_damage_to_a_subsidy_is_found_by_the_rules_it_breaks() {
    let b = Budget::open(1_000, None, 10_000, &[]).await;
    let wrong = b.propose(MovementKind::Funding, 500, "IN-X").await.unwrap();
    b.decide(&b.other, &wrong, false).await.unwrap();
    let paid = b.scene.paid("DEAL", &[], 2_000).await;
    let back = b.scene.refund(paid.id, 500).await.unwrap();
    let outcome = Outcome { book: b.scene.merchant.book(), refund: back.id, word: Word::Succeeded { at: b.scene.now() } };
    b.scene.refunds.send(b.scene.merchant.book(), back.id).await.unwrap();
    b.scene.refunds.apply(&[outcome]).await.unwrap();
    b.scene.refund(paid.id, 500).await.unwrap();
    let closed = b.order(700).await;
    let close = wallet::payment::CloseOrder { merchant: b.scene.merchant, order: closed.id, idempotency_key: uuid::Uuid::now_v7() };
    b.scene.payments.close_order(&b.scene.owner, close).await.unwrap();
    b.order(800).await;
    b.scene.assert_sound().await;
    tests::every_damage_is_found(&b.scene.db, &["orders", "refunds", "holds", "accounts", "subsidy_movements"], DAMAGES).await;
    b.scene.assert_sound().await;
}
