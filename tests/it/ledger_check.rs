//! `haodian check` finds a row that was corrupted by hand: each corruption on a copy of one good history, each by the rule it breaks.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use tests::{TestApp, TestDatabase, key};

/// (what, how, the rules that must find it)
#[rustfmt::skip]
const CORRUPTIONS: &[(&str, &str, &[&str])] = &[
    ("an entry's amount", "UPDATE entries SET amount_minor = amount_minor + 1 WHERE (book_id, posting_id, line) =
        (SELECT book_id, posting_id, line FROM entries ORDER BY posting_id, line LIMIT 1)", &["L1", "L3", "L5"]),
    ("an account's balance", "UPDATE accounts SET balance_minor = balance_minor - 1 WHERE kind = 'MERCHANT_PENDING'", &["L2", "L3"]),
    ("an entry taken out", "DELETE FROM entries WHERE (book_id, posting_id, line) =
        (SELECT book_id, posting_id, line FROM entries ORDER BY posting_id, line LIMIT 1)", &["L1", "L3", "L5"]),
    ("a running balance", "UPDATE entries SET balance_after_minor = balance_after_minor + 1 WHERE (book_id, account_id, seq) =
        (SELECT book_id, account_id, seq FROM entries WHERE seq = 1 LIMIT 1)", &["L5"]),
    ("a gap in the sequence", "WITH last AS (SELECT book_id, account_id, seq FROM accounts WHERE kind = 'MERCHANT_PENDING' AND seq > 1 LIMIT 1),
        moved AS (UPDATE entries e SET seq = e.seq + 1 FROM last WHERE (e.book_id, e.account_id, e.seq) = (last.book_id, last.account_id, last.seq))
        UPDATE accounts a SET seq = a.seq + 1 FROM last WHERE (a.book_id, a.account_id) = (last.book_id, last.account_id)", &["L5"]),
    ("a right too many", "GRANT UPDATE ON entries TO haodian_app", &["L4"]),
    ("a floor lifted", "UPDATE accounts SET floor_minor = NULL WHERE kind = 'MERCHANT_AVAILABLE'", &["L8"]),
    ("a whole payment taken out", "WITH gone AS (SELECT book_id, posting_id FROM postings WHERE kind = 'PAYMENT' ORDER BY posting_id DESC LIMIT 1),
        legs AS (DELETE FROM entries USING gone WHERE (entries.book_id, entries.posting_id) = (gone.book_id, gone.posting_id))
        DELETE FROM postings USING gone WHERE (postings.book_id, postings.posting_id) = (gone.book_id, gone.posting_id)", &["P1", "L3", "ROLLUP"]),
    ("a payment to another store", "UPDATE postings SET store_id = gen_random_uuid() WHERE kind = 'PAYMENT'", &["P1", "ROLLUP"]),
    ("a posting of nobody", "UPDATE postings SET kind = 'GIFT' WHERE kind = 'PAYMENT'", &["OWNER", "P1"]),
    ("a paid order made unpaid", "UPDATE orders SET status = 'CLOSED', paid_at = NULL WHERE order_id = (SELECT order_id FROM orders WHERE status = 'PAID' LIMIT 1)", &["P8"]),
    ("a success taken back", "UPDATE payment_attempts SET status = 'FAILED' WHERE attempt_id =
        (SELECT attempt_id FROM payment_attempts WHERE status = 'SUCCEEDED' LIMIT 1)", &["P1", "P8"]),
    ("a surplus kept", "UPDATE payment_attempts SET surplus = true WHERE order_id IN (SELECT order_id FROM orders WHERE refunded_minor = 0)", &["P2"]),
    ("a channel transaction lost", "DELETE FROM channel_transactions WHERE attempt_id = (SELECT attempt_id FROM channel_transactions LIMIT 1)", &["P4"]),
    ("an order refunded more than its refunds", "UPDATE orders SET refunded_minor = refunded_minor + 1 WHERE refunded_minor > 0", &["R1"]),
    ("a refund forgotten", "UPDATE refunds SET status = 'FUNDED', resolved_at = NULL", &["R2", "W8"]),
    ("a release of another amount", "UPDATE settlement_batches SET released_minor = released_minor + 1", &["T1"]),
    ("a day released early", "UPDATE settlement_batches SET day = day + 30", &["T4"]),
    ("a withdrawal of another amount", "UPDATE withdrawals SET amount_minor = amount_minor + 1", &["W3"]),
    ("a withdrawal of another bank", "UPDATE withdrawals SET bank = 'DIRECT_BANK'", &["W9"]),
    ("a withdrawal paid and not paid", "UPDATE withdrawals SET status = 'SUBMITTED', resolved_at = NULL", &["W3", "W8"]),
    ("an order that nobody asked for", "DELETE FROM idempotency_keys WHERE entity_id = (SELECT order_id FROM orders LIMIT 1)", &["L6"]),
    ("an accepted request without its order", "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
        SELECT tenant_id, operation, gen_random_uuid(), request_hash, gen_random_uuid(), response, created_at FROM idempotency_keys
        WHERE operation = 'orderCreate' LIMIT 1", &["L6"]),
    ("a number given out and lost", "DELETE FROM request_numbers WHERE request_no = (SELECT request_no FROM request_numbers LIMIT 1)", &["NUMBERS"]),
    ("an event lost", "DELETE FROM outbox WHERE event_id = (SELECT event_id FROM outbox WHERE kind = 'order.paid' LIMIT 1)", &["L11"]),
    ("an event twice", "INSERT INTO outbox (book_id, event_id, kind, subject_id, payload, created_at)
        SELECT book_id, gen_random_uuid(), kind, subject_id, payload, created_at FROM outbox WHERE kind = 'order.paid' LIMIT 1", &["L11"]),
    ("the flow of a day", "UPDATE book_days SET paid_minor = paid_minor + 1", &["ROLLUP"]),
    ("the count of a day", "UPDATE book_days SET paid_count = paid_count + 1", &["ROLLUP"]),
];

#[tokio::test]
async fn every_corruption_is_found_by_the_rules_it_breaks() {
    let app = TestApp::start().await;
    history(&app).await;
    app.drained().await;
    app.stop_all().await;
    let (content, text) = app.check().await;
    assert!(content, "{text}");
    let all: BTreeSet<String> = text.lines().filter_map(rule_of).map(|(_, rule)| rule).collect();
    assert!(all.len() > 10, "{text}");

    let mut missed = Vec::new();
    let mut useful = BTreeSet::new();
    for (what, how, rules) in CORRUPTIONS {
        let copy = app.database().copy().await;
        let changed = sqlx::query(AssertSqlSafe(*how)).execute(copy.owner_pool()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(changed.rows_affected() > 0 || how.starts_with("GRANT"), "{what}: nothing was changed");
        let (content, text) = check(&app, &copy).await;
        let found: BTreeSet<String> = text.lines().filter_map(rule_of).filter(|(violated, _)| *violated).map(|(_, rule)| rule).collect();
        for rule in *rules {
            if content || !found.contains(*rule) {
                missed.push(format!("{what}: {rule} should have found it; found by {found:?}"));
            }
            useful.insert((*rule).to_owned());
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    // what only the engine keeps is damaged in wallet_ledger/check_engine.rs
    assert!(useful.is_subset(&all), "rules that are not in the report: {useful:?} of {all:?}");
    app.start_all().await;
    app.finish().await;
}

/// `FAIL L1  12 checked  every …` → (true, L1).
fn rule_of(line: &str) -> Option<(bool, String)> {
    let mut words = line.split_whitespace();
    let violated = match words.next()? {
        "ok" => false,
        "FAIL" => true,
        _ => return None,
    };
    Some((violated, words.next()?.to_owned()))
}

/// Something of everything: payments in two stores, a refund, a release, a withdrawal.
async fn history(app: &TestApp) {
    let shop = app.signed_merchant_yesterday().await;
    let first = app.order(&shop, "100.00").await;
    app.pay(&first).await;
    app.pay(&app.order_at(&shop, 1, "33.33").await).await;
    app.order(&shop, "5.00").await;
    let refund = serde_json::json!({ "orderId": first.id, "amount": "30.00", "reason": "退货", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", refund, "refund { id }").await;
    app.drained().await;
    app.play_today().await;
    let operator = app.operator().await;
    app.done(&operator, "settlementRun", serde_json::Value::Null, "released").await;
    app.drained().await;
    let withdrawal = serde_json::json!({ "merchantId": shop.merchant, "amount": "50.00", "currency": "CNY", "idempotencyKey": key() });
    app.done(&shop.owner, "withdrawalRequest", withdrawal, "withdrawal { id }").await;
    app.drained().await;
}

/// Runs the checker on a copy.
async fn check(app: &TestApp, copy: &TestDatabase) -> (bool, String) {
    let mut command = app.command("check");
    command.env("DATABASE_URL", copy.url());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}
