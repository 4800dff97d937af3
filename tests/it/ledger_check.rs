//! `haodian check` finds a row that was corrupted by hand: each corruption on a copy of one good history, each by the rule it breaks.

use sqlx::AssertSqlSafe;
use tests::{TestApp, TestDatabase, key};

/// (what, how, the rule that must find it)
#[rustfmt::skip]
const CORRUPTIONS: &[(&str, &str, &str)] = &[
    ("an entry's amount", "UPDATE entries SET amount_minor = amount_minor + 1 WHERE (book_id, posting_id, line) =
        (SELECT book_id, posting_id, line FROM entries ORDER BY posting_id, line LIMIT 1)", "L"),
    ("an account's balance", "UPDATE accounts SET balance_minor = balance_minor - 1 WHERE kind = 'MERCHANT_PENDING'", "L"),
    ("an entry taken out", "DELETE FROM entries WHERE (book_id, posting_id, line) =
        (SELECT book_id, posting_id, line FROM entries ORDER BY posting_id, line LIMIT 1)", "L"),
    ("a running balance", "UPDATE entries SET balance_after_minor = balance_after_minor + 1 WHERE (book_id, account_id, seq) =
        (SELECT book_id, account_id, seq FROM entries WHERE seq = 1 LIMIT 1)", "L"),
    ("a gap in the sequence", "WITH last AS (SELECT book_id, account_id FROM accounts WHERE kind = 'MERCHANT_PENDING' AND seq > 1 LIMIT 1),
        moved AS (UPDATE entries e SET seq = e.seq + 1 FROM last WHERE (e.book_id, e.account_id) = (last.book_id, last.account_id)
            AND e.seq = (SELECT max(seq) FROM entries x WHERE (x.book_id, x.account_id) = (last.book_id, last.account_id)))
        UPDATE accounts a SET seq = a.seq + 1 FROM last WHERE (a.book_id, a.account_id) = (last.book_id, last.account_id)", "L"),
    ("a whole payment taken out", "WITH gone AS (SELECT book_id, posting_id FROM postings WHERE kind = 'PAYMENT' ORDER BY posting_id DESC LIMIT 1)
        DELETE FROM entries USING gone WHERE (entries.book_id, entries.posting_id) = (gone.book_id, gone.posting_id)", "L"),
    ("a paid order made unpaid", "UPDATE orders SET status = 'CLOSED', paid_at = NULL WHERE order_id = (SELECT order_id FROM orders WHERE status = 'PAID' LIMIT 1)", "L"),
    ("an attempt that failed after all", "UPDATE payment_attempts SET status = 'FAILED' WHERE attempt_id =
        (SELECT attempt_id FROM payment_attempts WHERE status = 'SUCCEEDED' LIMIT 1)", "L"),
    ("an order refunded more than its refunds", "UPDATE orders SET refunded_minor = refunded_minor + 1 WHERE order_id =
        (SELECT order_id FROM orders WHERE refunded_minor > 0 LIMIT 1)", "L"),
    ("a refund forgotten", "UPDATE refunds SET status = 'FUNDED', resolved_at = NULL", "L"),
    ("a withdrawal that never was", "UPDATE withdrawals SET amount_minor = amount_minor + 1", "L"),
    ("an order without the key it was asked for with", "DELETE FROM idempotency_keys WHERE entity_id = (SELECT order_id FROM orders LIMIT 1)", "L"),
    ("an accepted request without its order", "INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
        SELECT tenant_id, operation, gen_random_uuid(), request_hash, gen_random_uuid(), response, created_at FROM idempotency_keys
        WHERE entity_id IN (SELECT order_id FROM orders) LIMIT 1", "L"),
    ("an event lost", "DELETE FROM outbox WHERE event_id = (SELECT event_id FROM outbox WHERE kind = 'order.paid' LIMIT 1)", "L"),
    ("the rollup of a day", "UPDATE book_days SET paid_minor = paid_minor + 1", "L"),
    ("the count of a day", "UPDATE book_days SET paid_count = paid_count + 1", "L"),
    ("a settlement of another amount", "UPDATE settlement_batches SET released_minor = released_minor + 1", "L"),
];

#[tokio::test]
async fn every_corruption_is_found_by_the_rule_it_breaks() {
    let app = TestApp::start().await;
    history(&app).await;
    app.drained().await;
    let (content, text) = app.check().await;
    assert!(content, "{text}");
    let mut missed = Vec::new();
    for (what, how, rule) in CORRUPTIONS {
        let copy = app.database().copy().await;
        let changed = sqlx::query(AssertSqlSafe(*how)).execute(copy.owner_pool()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(changed.rows_affected() > 0, "{what}: nothing was changed");
        let (content, text) = check(&app, &copy).await;
        let found: Vec<&str> = text.lines().filter(|l| l.starts_with("VIOLATED")).filter_map(|l| l.split_whitespace().nth(3)).collect();
        if content || !found.contains(rule) {
            missed.push(format!("{what}: {rule} should have found it, found by {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    app.finish().await;
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
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}
