//! The checker finds what was changed by hand in what channels said, each damage by the rule it breaks.

use super::{CLOSED_ACCOUNT, Market};

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE split_lines SET call_id = NULL WHERE call_id IS NOT NULL", &["S9"]),
    ("UPDATE split_lines SET call_id = gen_random_uuid() WHERE role = 'BROKER'", &["S9"]),
    ("UPDATE split_shares SET outcome = 'FAILED' WHERE outcome = 'SUCCEEDED'", &["S9"]),
    ("UPDATE split_shares SET outcome = 'SUCCEEDED' WHERE outcome = 'FAILED'", &["S9"]),
    ("UPDATE split_shares SET amount_minor = amount_minor + 1", &["S9"]),
    ("UPDATE split_shares SET outcome = NULL", &["S9"]),
    ("UPDATE split_calls SET status = 'FAILED' WHERE kind = 'DIVIDE'", &["S9"]),
    ("UPDATE split_shares SET outcome = 'FAILED' WHERE call_id IN (SELECT call_id FROM split_calls WHERE kind = 'RETURN')", &["S9"]),
    ("UPDATE split_return_lines SET status = 'WAIT'", &["S9"]),
    ("UPDATE split_calls SET status = 'SENT', resolved_at = NULL WHERE kind = 'FINISH'", &["S9"]),
    ("DELETE FROM split_calls WHERE kind = 'FINISH'", &["S9"]),
    ("UPDATE split_slices SET divisible_minor = 100", &["S5"]),
    ("UPDATE split_slices SET channel = 'ALIPAY'", &["S5"]),
    ("UPDATE split_slices SET channel = NULL, transaction_id = NULL, divisible_minor = NULL", &["S5"]),
    ("UPDATE split_slices SET channel = NULL, transaction_id = NULL, divisible_minor = NULL", &["S9"]),
    ("UPDATE payment_attempts SET divisible_minor = NULL, frozen_days = NULL", &["S5"]),
    ("UPDATE split_shares SET account = '1900000801'", &["S5"]),
];

#[tokio::test]
async fn every_damage_to_what_a_channel_said_is_found() {
    let market = Market::open().await;
    market.account(market.receivers[2], "WECHAT_PAY", CLOSED_ACCOUNT).await.unwrap();
    let order = market.paid(10_000).await;
    market.execute(order).await;
    let back = market.give_back(order, 100).await;
    market.execute_return(&back).await;
    market.assert_as_the_channels_did().await;
    tests::every_damage_is_found(&market.db, &["split_calls", "split_slices", "payment_attempts"], DAMAGES).await;
    market.assert_sound().await;
}
