//! The checker finds what was changed by hand: every rule, in books that were sound before.

use sqlx::AssertSqlSafe;
use uuid::Uuid;
use wallet::channel::sandbox::wire::TransferStatus;
use wallet::ledger::recipe::RefundSource;
use wallet::withdrawal::{Payee, RequestWithdrawal, Withdrawals};

use super::bank::{Bank, Mood};
use super::{Scene, cny};

/// Two paid orders, one refunded in part, a settled day, a paid withdrawal, one that is held and one that came back.
pub(super) async fn busy_scene() -> Scene {
    let scene = Scene::open().await;
    let paid = scene.paid(10_000, 38).await;
    scene.turn_days(1);
    scene.settlements().release_due().await.unwrap();
    scene.paid(5_000, 19).await;
    scene.refunded(paid, 1_000, RefundSource::Available, false).await;
    let bank = Bank::open(&[Mood::Pays, Mood::Pays]).await;
    let withdrawals = Withdrawals::new(scene.db.pool().clone(), scene.clock.clone(), bank.client());
    for minor in [3_000, 2_000, 1_500] {
        let command = RequestWithdrawal {
            merchant: scene.merchant,
            amount: cny(minor),
            account_tail: "3456".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        let held = withdrawals.request(&scene.owner, command).await.unwrap();
        if minor != 2_000 {
            let payee = Payee { name: "好店便利".to_owned(), account: "6222020200001123456".to_owned() };
            withdrawals.submit(scene.book(), held.id, payee).await.unwrap();
        }
        if minor == 1_500 {
            bank.decide(&held.id.simple(), TransferStatus::Returned);
            withdrawals.query(scene.book(), held.id).await.unwrap();
        }
    }
    scene
}

#[tokio::test]
async fn every_kind_of_damage_is_found_by_its_rule() {
    let scene = busy_scene().await;
    scene.assert_sound().await;
    // What is done by hand, and the rules that must notice. The constraints that forbid it are dropped first: the checker must not rely on them.
    let damage: [(&str, &[&str]); 29] = [
        ("UPDATE entries SET amount_minor = amount_minor + 1 WHERE seq = 1 AND amount_minor = 10000", &["L1", "L3", "L5", "P1"]),
        ("UPDATE entries SET balance_after_minor = balance_after_minor - 1 WHERE seq = 2 AND amount_minor > 0", &["L5"]),
        ("UPDATE entries SET seq = 99 WHERE amount_minor = -38", &["L5"]),
        ("DELETE FROM entries WHERE amount_minor = -38", &["L1", "L3", "L5"]),
        ("UPDATE accounts SET balance_minor = balance_minor - 1 WHERE kind = 'MERCHANT_AVAILABLE'", &["L2", "L3"]),
        ("UPDATE accounts SET seq = seq + 1 WHERE kind = 'FEE_INCOME'", &["L5"]),
        ("UPDATE accounts SET floor_minor = NULL WHERE kind = 'MERCHANT_PENDING'", &["L8"]),
        ("GRANT UPDATE ON entries TO haodian_app", &["L4"]),
        (
            "DELETE FROM entries e USING postings p WHERE p.posting_id = e.posting_id AND p.kind = 'WITHDRAWAL_PAID'",
            &["L1", "L3", "L5", "W3"],
        ),
        ("UPDATE postings SET kind = 'BONUS' WHERE kind = 'SETTLEMENT_RELEASE'", &["OWNER", "T1"]),
        ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'PAYMENT'", &["P1"]),
        ("UPDATE postings SET store_id = gen_random_uuid() WHERE kind = 'PAYMENT'", &["P1", "ROLLUP"]),
        ("UPDATE payment_attempts SET status = 'FAILED' WHERE amount_minor = 5000", &["P1", "P4", "P8"]),
        ("UPDATE payment_attempts SET amount_minor = 5001 WHERE amount_minor = 5000", &["P1", "P8"]),
        ("UPDATE payment_attempts SET surplus = true WHERE amount_minor = 5000", &["P2", "P8", "L11"]),
        ("DELETE FROM channel_transactions", &["P4"]),
        ("UPDATE orders SET status = 'CLOSED', paid_at = NULL WHERE amount_minor = 5000", &["P8", "L11"]),
        ("UPDATE orders SET refunded_minor = 0 WHERE amount_minor = 10000", &["R1"]),
        ("UPDATE refunds SET status = 'SUCCEEDED'", &["R2", "W8", "L11"]),
        ("UPDATE settlement_batches SET released_minor = released_minor + 1", &["T1"]),
        ("UPDATE settlement_batches SET day = day + 5", &["T4"]),
        ("UPDATE withdrawals SET status = 'FAILED' WHERE amount_minor = 3000", &["W3", "L11"]),
        ("UPDATE withdrawals SET status = 'RETURNED' WHERE amount_minor = 3000", &["W3", "W8", "L11"]),
        ("UPDATE withdrawals SET status = 'SUCCEEDED' WHERE amount_minor = 1500", &["W3", "L11"]),
        ("DELETE FROM outbox WHERE kind = 'withdrawal.credited_back'", &["L11"]),
        ("UPDATE withdrawals SET amount_minor = 1999 WHERE amount_minor = 2000", &["W3", "W8"]),
        ("DELETE FROM idempotency_keys WHERE operation = 'withdrawalRequest'", &["L6"]),
        ("DELETE FROM request_numbers WHERE kind = 'WITHDRAWAL'", &["NUMBERS"]),
        ("DELETE FROM outbox WHERE kind = 'order.paid'", &["L11"]),
    ];
    let constraints: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname)
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u')",
    )
    .fetch_all(scene.db.owner_pool())
    .await
    .unwrap();
    for statement in constraints {
        sqlx::query(AssertSqlSafe(statement)).execute(scene.db.owner_pool()).await.unwrap();
    }
    scene.assert_sound().await;
    for (statement, rules) in damage {
        let mut tx = scene.db.owner_pool().begin().await.unwrap();
        let changed = sqlx::query(statement).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        assert!(changed.rows_affected() > 0 || statement.starts_with("GRANT"), "{statement} changes something");
        let report = wallet::check::run_in_tx(&mut tx).await.unwrap();
        tx.rollback().await.unwrap();
        for rule in rules {
            assert!(report.violations().any(|(id, _)| id == *rule), "{statement} is found by {rule}:\n{report}");
        }
    }
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_posting_made_twice_past_its_constraint_is_found() {
    let scene = busy_scene().await;
    let owner = scene.db.owner_pool();
    sqlx::query(
        "INSERT INTO postings (book_id, posting_id, kind, reference_id, store_id, accounting_date, business_date, recorded_at, digest)
         SELECT book_id, gen_random_uuid(), kind, reference_id, store_id, accounting_date, business_date, recorded_at, digest
         FROM postings WHERE kind = 'PAYMENT' LIMIT 1",
    )
    .execute(owner)
    .await
    .unwrap();
    let report = wallet::check::run(scene.db.pool()).await.unwrap();
    assert!(report.violations().any(|(rule, text)| rule == "P1" && text.ends_with("is booked 2 times")), "{report}");
    assert!(report.violations().any(|(rule, text)| rule == "L1" && text.ends_with("has 0 entries")), "{report}");
}

#[tokio::test]
async fn violations_are_bounded_however_much_is_broken() {
    let scene = Scene::open().await;
    for _ in 0..30 {
        scene.post(&[scene.bare_payment(100, 0)]).await;
    }
    let report = wallet::check::run(scene.db.pool()).await.unwrap();
    let payments = report.rules.iter().find(|rule| rule.id == "P1").unwrap();
    assert_eq!((payments.checked, payments.violations.len()), (30, 21));
    assert_eq!(payments.violations.last().map(String::as_str), Some("and more"));
}
