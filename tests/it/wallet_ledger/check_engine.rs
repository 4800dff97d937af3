//! The checker finds what was changed by hand in what the engine keeps, and, where it was changed since the last look, finds it in a look.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{HoldId, MerchantId, TransferId, UserId, WithdrawalId};
use wallet::base::money::Currency;
use wallet::book::transfer::{Purpose, SendTransfer, Transfers};
use wallet::check::{self, CheckReport, marks};
use wallet::ledger::{
    self, AccountKind, AccountName, BookKind, Capture, Command, Ledger, LedgerLimits, Part, PlaceHold, Reverse, SetFloor, recipe,
};
use wallet::period::{Month, Periods};
use wallet::proof::Proofs;

use super::check::busy_scene;
use super::{Scene, cny};

/// A withdrawal that stands for nothing but its hold's capture.
const WITHDRAWAL: &str = "WITH key AS (
         INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
         VALUES ($1, 'withdrawalRequest', gen_random_uuid(), sha256('x'), $2, '{}', $4)
     ), number AS (
         INSERT INTO request_numbers (request_no, book_id, kind, subject_id) VALUES (replace($2::text, '-', ''), $1, 'WITHDRAWAL', $2)
     )
     INSERT INTO withdrawals (book_id, withdrawal_id, amount_minor, currency, status, account_tail, created_at)
     VALUES ($1, $2, $3, 'CNY', 'HELD', '3456', $4)";

impl Scene {
    fn engine(&self) -> Ledger {
        Ledger::new(self.db.pool().clone(), self.clock.clone(), LedgerLimits::default())
    }

    /// Closes and seals what is over, and looks for the first time; then a hold that is used in part, a reversal in part, a credit line, a
    /// transfer that arrived and one that is under way.
    async fn with_everything() -> Self {
        let scene = busy_scene().await;
        let other = MerchantId::new();
        let mut tx = scene.db.pool().begin().await.unwrap();
        ledger::open_book_in_tx(&mut tx, other.book(), BookKind::Merchant, scene.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        scene.turn_days(35);
        let yesterday = scene.day(-1);
        let periods = Periods::new(scene.db.pool().clone(), scene.clock.clone());
        periods.close_due_days(yesterday).await.unwrap();
        periods.close_due_months(Month::of(yesterday).previous()).await.unwrap();
        let proofs = Proofs::new(scene.db.pool().clone(), scene.clock.clone());
        // a day is sealed when all of it is in the log, and the log stops where any transaction of the server is under way
        scene.readable().await;
        proofs.catch_up().await.unwrap();
        assert!(!proofs.seal_due(yesterday).await.unwrap().is_empty());
        sound(&marks::run(scene.db.pool()).await.unwrap());

        let (engine, book, today, now) = (scene.engine(), scene.book(), scene.clock.today(), scene.clock.now());
        let payment = scene.paid(20_000, 76).await;
        let available = AccountName::fixed(AccountKind::MerchantAvailable, Currency::Cny);
        let (hold, withdrawal) = (HoldId::new(), WithdrawalId::new());
        let expires_at = now + chrono::TimeDelta::hours(1);
        let place = PlaceHold { book, hold, account: available.clone(), amount_minor: 500, reference: hold.0, expires_at };
        engine.execute(Command::Hold(place)).await.unwrap();
        sqlx::query(WITHDRAWAL).bind(book.0).bind(withdrawal.0).bind(200_i64).bind(now).execute(scene.db.owner_pool()).await.unwrap();
        let mut capture = recipe::withdrawal_hold(book, withdrawal, cny(200), today);
        capture.hold = Some(Capture { hold, last: false });
        engine.post(capture).await.unwrap();
        let of = recipe::payment(book, scene.store, payment.1, cny(20_000), cny(76), "SANDBOX", today).id();
        let part = Part::Lines(vec![(1, 100), (2, 100)]);
        let reverse = Reverse { book, of, reference: Uuid::now_v7(), part, business_date: today, metadata: None };
        engine.execute(Command::Reverse(reverse)).await.unwrap();
        let floor = SetFloor { book, account: available, floor_minor: Some(-1_000), reference: Uuid::now_v7() };
        engine.execute(Command::SetFloor(floor)).await.unwrap();
        let transfers = Transfers::new(scene.db.pool().clone(), scene.clock.clone());
        let transfer = |minor| SendTransfer {
            id: TransferId::new(),
            purpose: Purpose::BetweenBooks,
            from: book,
            from_account: AccountKind::MerchantAvailable,
            to: other.book(),
            to_account: AccountKind::MerchantAvailable,
            amount: cny(minor),
            day: today,
        };
        transfers.run(transfer(70)).await.unwrap();
        transfers.send(transfer(30)).await.unwrap();
        scene.readable().await;
        proofs.catch_up().await.unwrap();
        scene
    }

    /// Waits until no transaction that began before the last posting runs any more, of other tests of this server neither.
    async fn readable(&self) {
        let sql = "SELECT count(*) FROM postings WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())";
        tests::eventually(std::time::Duration::from_secs(60), "postings can be read by mark", async || {
            (self.count(sql).await == 0).then_some(())
        })
        .await;
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }
}

fn sound(report: &CheckReport) {
    assert!(report.is_sound(), "{report}");
}

/// What is done by hand, the rules that must notice over everything, and those that must notice in a look at what changed.
type Damage = (&'static str, &'static [&'static str], &'static [&'static str]);

/// `NEW` stands for what was posted since the last look.
#[rustfmt::skip]
const DAMAGES: &[Damage] = &[
    ("UPDATE entries e SET amount_minor = amount_minor + 1 FROM postings p WHERE p.posting_id = e.posting_id AND e.line = 1 AND p.kind = 'PAYMENT' AND NEW",
        &["L1", "L3", "L5", "L6.POST", "L17", "P1"], &["L1", "L3", "L5", "L6.POST", "L17", "P1"]),
    ("DELETE FROM entries e USING postings p WHERE p.posting_id = e.posting_id AND e.line = 2 AND p.kind = 'TRANSFER_OUT' AND NEW",
        &["L1", "L3", "L19"], &["L1", "L19"]),
    ("UPDATE accounts SET balance_minor = balance_minor - 1 WHERE kind = 'MERCHANT_PENDING'", &["L2", "L3"], &["L2", "L3"]),
    ("UPDATE entries e SET balance_after_minor = balance_after_minor + 1 FROM postings p WHERE p.posting_id = e.posting_id AND NEW AND e.line = 1",
        &["L5", "L17"], &["L5", "L17"]),
    // rewritten up to the last entry that was looked at: the joint does not fit
    ("UPDATE entries e SET balance_after_minor = balance_after_minor - 7 FROM checked_accounts c, accounts a
        WHERE c.account_id = e.account_id AND c.seq = e.seq AND a.account_id = e.account_id AND a.kind = 'MERCHANT_AVAILABLE' AND c.seq > 0", &["L5"], &["L5"]),
    ("UPDATE postings p SET business_date = business_date - 1 WHERE NEW", &["L6.POST", "L17"], &["L6.POST", "L17"]),
    ("UPDATE postings SET business_date = business_date - 1 WHERE kind = 'PAYMENT'", &["L6.POST", "L13", "L17", "ROLLUP"], &["L6.POST"]),
    ("UPDATE accounts SET subject = 'X' WHERE kind = 'FEE_INCOME'", &["L6.ACCT"], &["L6.ACCT"]),
    ("UPDATE holds SET captured_minor = captured_minor - 1 WHERE state = 'HELD'", &["L7"], &["L7"]),
    ("UPDATE holds SET state = 'VOIDED', resolved_at = now() WHERE state = 'HELD'", &["L7"], &["L7"]),
    ("UPDATE holds SET expires_at = created_at - interval '1 hour'", &["L7"], &["L7"]),
    ("UPDATE accounts SET held_minor = 0 WHERE held_minor > 0", &["L7"], &["L7"]),
    ("UPDATE postings SET hold_id = gen_random_uuid() WHERE hold_id IS NOT NULL", &["L7", "L6.POST"], &["L7", "L6.POST"]),
    ("UPDATE accounts SET floor_minor = NULL WHERE kind = 'MERCHANT_PENDING'", &["L8"], &["L8"]),
    ("DELETE FROM floor_changes", &["L8"], &["L8"]),
    ("UPDATE entries e SET balance_after_minor = 1 FROM postings p, accounts a
        WHERE p.posting_id = e.posting_id AND a.account_id = e.account_id AND a.kind = 'MERCHANT_PENDING' AND NEW", &["L5", "L8"], &["L5", "L8"]),
    ("UPDATE entries e SET amount_minor = e.amount_minor * 1000 FROM postings p WHERE p.posting_id = e.posting_id AND p.kind = 'REVERSAL'", &["L9", "L3"], &["L9", "L3"]),
    ("UPDATE entries e SET amount_minor = -e.amount_minor FROM postings p WHERE p.posting_id = e.posting_id AND p.kind = 'REVERSAL'", &["L9"], &["L9"]),
    ("UPDATE postings SET reversal_of = posting_id WHERE kind = 'REVERSAL'", &["L9"], &["L9"]),
    ("GRANT DELETE ON day_balances TO haodian_app", &["L4"], &["L4"]),
    ("GRANT UPDATE (root) ON log_seals TO haodian_app", &["L4"], &["L4"]),
    ("DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS NULL', current_database());
        EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$", &["L10"], &["L10"]),
    ("UPDATE postings p SET accounting_date = (SELECT min(day) FROM day_closes) WHERE NEW", &["L12", "L13", "L17"], &["L12", "L17"]),
    ("UPDATE books SET closed_day = closed_day + 1", &["L12"], &["L12"]),
    ("UPDATE accounts SET closed_day = NULL WHERE kind = 'MERCHANT_PENDING'", &["L12"], &["L12"]),
    ("DELETE FROM day_closes c WHERE day = (SELECT min(day) FROM day_closes d WHERE d.book_id = c.book_id AND d.day > (SELECT min(day) FROM day_closes f WHERE f.book_id = c.book_id))",
        &["L12"], &["L12"]),
    ("UPDATE day_closes SET postings = postings + 1", &["L13"], &[]),
    ("UPDATE day_balances SET balance_minor = balance_minor + 1", &["L13"], &[]),
    ("UPDATE day_balances SET cutoff_seq = cutoff_seq - 1", &["L13"], &[]),
    ("UPDATE month_balances SET debits_minor = debits_minor + 1, credits_minor = credits_minor + 1", &["L13"], &[]),
    ("INSERT INTO outbox_cursors (consumer, xid, event_id) VALUES ('gone', '900000000000', gen_random_uuid())", &["L14"], &["L14"]),
    ("ALTER TABLE withdrawals ADD COLUMN bonus_minor real", &["L15"], &["L15"]),
    ("UPDATE log_tiles SET hashes = set_byte(hashes, octet_length(hashes) - 1, get_byte(hashes, octet_length(hashes) - 1) # 1) WHERE level = 0", &["L17"], &["L17"]),
    ("UPDATE log_state SET size = size + 1", &["L17"], &["L17"]),
    ("UPDATE log_seals SET root = sha256('x') WHERE day = (SELECT max(day) FROM log_seals)", &["L17"], &[]),
    ("INSERT INTO log_tiles (level, tile, hashes) VALUES (1, 0, sha256('x'))", &["L17"], &[]),
    ("INSERT INTO notices (channel, notice_id, content, body, received_at, processed_at, outcome)
        SELECT 'BANK', 'n', convert_to(format('{\"kind\":\"PAYOUT\",\"request_no\":\"%s\",\"status\":\"SUCCEEDED\",\"amount_minor\":200,\"currency\":\"CNY\"}',
            replace(withdrawal_id::text, '-', '')), 'UTF8'), '', now(), now(), 'APPLIED' FROM withdrawals WHERE amount_minor = 200", &["L18"], &[]),
    ("UPDATE transfers SET amount_minor = amount_minor + 1", &["L19"], &["L19"]),
    ("DELETE FROM transfers WHERE status = 'SENT'", &["L19"], &["L19"]),
    ("UPDATE books SET stripe = 1 WHERE book_id = (SELECT max(book_id::text)::uuid FROM books)", &["L19"], &["L19"]),
    ("UPDATE postings SET kind = 'TRANSFER_IN' WHERE kind = 'TRANSFER_OUT'", &["L19", "L6.POST"], &["L19", "L6.POST"]),
    ("UPDATE entries e SET account_id = (SELECT a.account_id FROM accounts a WHERE a.book_id <> e.book_id AND a.kind = 'MERCHANT_PENDING' LIMIT 1)
        FROM postings p WHERE p.posting_id = e.posting_id AND p.kind = 'PAYMENT' AND e.line = 2 AND NEW", &["L1", "L19"], &["L1", "L19"]),
    ("UPDATE idempotency_keys SET response = NULL WHERE operation = 'withdrawalRequest'", &["L6"], &[]),
    ("DELETE FROM postings p WHERE NEW AND kind = 'PAYMENT'", &["P1", "L1", "L17"], &[]),
];

#[tokio::test]
async fn every_damage_to_what_the_engine_keeps_is_found_over_everything_and_where_it_is_new_by_a_look() {
    let scene = Scene::with_everything().await;
    let owner = scene.db.owner_pool();
    sound(&check::run(scene.db.pool()).await.unwrap());
    let constraints: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname)
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u')",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    for statement in constraints {
        sqlx::query(AssertSqlSafe(statement)).execute(owner).await.unwrap();
    }
    let mut missed = Vec::new();
    for (statement, over_everything, by_a_look) in DAMAGES {
        let statement = statement.replace("NEW", "p.xid > (SELECT mark FROM check_marks)");
        let mut tx = owner.begin().await.unwrap();
        let changed = tx.execute(AssertSqlSafe(statement.clone())).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        let silent = ["GRANT", "DO", "ALTER"].iter().any(|word| statement.starts_with(word));
        assert!(changed.rows_affected() > 0 || silent, "{statement} changes something");
        for (report, rules) in
            [(check::run_in_tx(&mut tx).await.unwrap(), over_everything), (marks::run_in_tx(&mut tx).await.unwrap(), by_a_look)]
        {
            let found: Vec<_> = report.violations().map(|(rule, _)| rule).collect();
            missed.extend(
                rules.iter().filter(|rule| !found.contains(rule)).map(|rule| format!("{rule} misses {statement}; found by {found:?}")),
            );
        }
        tx.rollback().await.unwrap();
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    sound(&check::run(scene.db.pool()).await.unwrap());
    sound(&marks::run(scene.db.pool()).await.unwrap());
}

#[tokio::test]
async fn a_look_reads_what_is_new_and_leaves_its_mark_where_something_is_wrong() {
    let scene = Scene::with_everything().await;
    let checked = |report: &CheckReport, id: &str| report.rules.iter().find(|rule| rule.id == id).unwrap().checked;
    let first = marks::run(scene.db.pool()).await.unwrap();
    sound(&first);
    assert_eq!(checked(&first, "L1"), 6, "payment, capture, reversal, two legs of one transfer and one of another");
    let second = marks::run(scene.db.pool()).await.unwrap();
    assert_eq!((checked(&second, "L1"), checked(&second, "L3")), (0, 0));
    scene.paid(900, 3).await;
    scene.readable().await;
    sqlx::query("UPDATE accounts SET balance_minor = balance_minor - 5 WHERE kind = 'MERCHANT_PENDING'")
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    for _ in 0..2 {
        let report = marks::run(scene.db.pool()).await.unwrap();
        assert!(report.violations().any(|(rule, _)| rule == "L3"), "a violation is named again until it is repaired: {report}");
    }
    sqlx::query("UPDATE accounts SET balance_minor = balance_minor + 5 WHERE kind = 'MERCHANT_PENDING'")
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    let repaired = marks::run(scene.db.pool()).await.unwrap();
    sound(&repaired);
    assert_eq!((checked(&repaired, "L1"), checked(&repaired, "L3")), (1, 3));
}

#[tokio::test]
async fn looks_in_steps_judge_every_posting_and_every_leaf_of_the_log_and_stay_at_the_one_that_is_wrong() {
    let scene = Scene::with_everything().await;
    let pool = scene.db.pool();
    sound(&marks::run(pool).await.unwrap());
    for _ in 0..5 {
        scene.paid(900, 3).await;
    }
    scene.readable().await;
    let (before, proofs) = (leaves(pool).await, Proofs::new(pool.clone(), scene.clock.clone()));
    proofs.catch_up().await.unwrap();
    assert_eq!(leaves(pool).await, before + 15, "three entries each");

    let last_leaf =
        "UPDATE log_tiles SET hashes = set_byte(hashes, octet_length(hashes) - 1, get_byte(hashes, octet_length(hashes) - 1) # 1)
                     WHERE level = 0 AND tile = (SELECT max(tile) FROM log_tiles WHERE level = 0)";
    sqlx::query(last_leaf).execute(scene.db.owner_pool()).await.unwrap();
    let step = async || marks::run_when_due(pool, Duration::ZERO, 2).await.unwrap().unwrap();
    let checked = |look: &marks::Look, id: &str| look.report.rules.iter().find(|rule| rule.id == id).unwrap().checked;
    for place in 1..=2 {
        let look = step().await;
        sound(&look.report);
        assert_eq!((checked(&look, "L1"), checked(&look, "L17"), look.more), (2, before + 6 * place, true));
    }
    for _ in 0..2 {
        let look = step().await;
        assert_eq!((checked(&look, "L1"), look.more), (1, false));
        assert!(
            look.report.violations().any(|(rule, text)| rule == "L17" && text.contains("is not the hash of its entry")),
            "{}",
            look.report
        );
    }
    sqlx::query(last_leaf).execute(scene.db.owner_pool()).await.unwrap();
    let look = step().await;
    sound(&look.report);
    assert_eq!((checked(&look, "L1"), checked(&look, "L17")), (1, before + 15));
    let idle = step().await;
    assert_eq!((checked(&idle, "L1"), idle.more, idle.behind), (0, false, Duration::ZERO));
}

async fn leaves(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT COALESCE(sum(octet_length(hashes) / 32), 0)::bigint FROM log_tiles WHERE level = 0")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_look_finds_by_key_what_changed_and_reads_through_nothing_that_grows() {
    let scene = Scene::with_everything().await;
    sound(&marks::run(scene.db.pool()).await.unwrap());
    scene.paid(900, 3).await;
    scene.readable().await;
    let mut tx = scene.db.owner_pool().begin().await.unwrap();
    let look = marks::run_in_tx(&mut tx).await.unwrap();
    sound(&look);
    assert_eq!(look.rules.iter().find(|rule| rule.id == "L1").unwrap().checked, 1);
    let read_through: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_stat_xact_user_tables
         WHERE seq_scan > 0 AND relname IN ('postings', 'entries', 'accounts', 'orders', 'payment_attempts', 'refunds', 'outbox', 'notices',
                                            'idempotency_keys', 'request_numbers', 'holds', 'log_tiles', 'checked_accounts')",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    assert!(read_through.is_empty(), "read from one end to the other: {read_through:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn checks_that_run_while_load_runs_find_nothing() {
    let scene = std::sync::Arc::new(Scene::with_everything().await);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|n| {
            let (scene, stop) = (scene.clone(), stop.clone());
            tokio::spawn(async move {
                let transfers = Transfers::new(scene.db.pool().clone(), scene.clock.clone());
                let proofs = Proofs::new(scene.db.pool().clone(), scene.clock.clone());
                let other: Uuid = sqlx::query_scalar("SELECT book_id FROM books WHERE book_id <> $1 LIMIT 1")
                    .bind(scene.book().0)
                    .fetch_one(scene.db.pool())
                    .await
                    .unwrap();
                let mut rounds = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let paid = scene.paid(1_000 + n, 4).await;
                    scene.refunded(paid, 100, recipe::RefundSource::Pending, false).await;
                    let transfer = SendTransfer {
                        id: TransferId::new(),
                        purpose: Purpose::BetweenBooks,
                        from: scene.book(),
                        from_account: AccountKind::MerchantPending,
                        to: wallet::base::id::BookId(other),
                        to_account: AccountKind::MerchantPending,
                        amount: cny(5),
                        day: scene.clock.today(),
                    };
                    transfers.run(transfer).await.unwrap();
                    if n == 0 {
                        proofs.catch_up().await.unwrap();
                    }
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let periods = Periods::new(scene.db.pool().clone(), scene.clock.clone());
    let operator = Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] };
    for round in 0..8 {
        if round % 3 == 2 {
            scene.turn_days(1);
            // the worker's ticks: what ran out ends, and the day that is over is closed
            scene.engine().expire_holds().await.unwrap();
            periods.close_days(&operator, scene.book(), scene.day(-1)).await.unwrap();
        }
        let (full, look) = tokio::join!(check::run(scene.db.pool()), marks::run(scene.db.pool()));
        sound(&full.unwrap());
        sound(&look.unwrap());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0, "the load ran");
    }
    sound(&check::run(scene.db.pool()).await.unwrap());
    sound(&marks::run(scene.db.pool()).await.unwrap());
}

#[tokio::test]
async fn a_deadlock_is_counted_and_named() {
    let scene = Scene::open().await;
    sound(&check::run(scene.db.pool()).await.unwrap());
    let (mut one, mut other) = (scene.db.pool().begin().await.unwrap(), scene.db.pool().begin().await.unwrap());
    let take = |n: i64| sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(n);
    take(1).execute(&mut *one).await.unwrap();
    take(2).execute(&mut *other).await.unwrap();
    let (first, second) = tokio::join!(take(2).execute(&mut *one), take(1).execute(&mut *other));
    assert!(first.is_err() != second.is_err(), "one of them is ended");
    drop((one, other));
    tests::eventually(std::time::Duration::from_secs(30), "the server counts the deadlock", async || {
        let report = check::run(scene.db.pool()).await.unwrap();
        report.violations().any(|(rule, _)| rule == "L16").then_some(())
    })
    .await;
}
