//! Closing months.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use uuid::Uuid;
use wallet::base::id::{BookId, MerchantId};
use wallet::base::idempotency::IdempotencyError;
use wallet::base::money::Money;
use wallet::ledger::AccountKind;
use wallet::period::history::ClosedMonth;
use wallet::period::{CloseMonth, Month, PeriodError};

use super::Scene;

fn month(text: &str) -> Month {
    text.parse().unwrap()
}

impl Scene {
    async fn close_month(&self, text: &str) -> Result<Vec<ClosedMonth>, PeriodError> {
        self.close_month_with(text, Uuid::now_v7()).await
    }

    async fn close_month_with(&self, text: &str, idempotency_key: Uuid) -> Result<Vec<ClosedMonth>, PeriodError> {
        let command = CloseMonth { merchant: self.merchant, month: month(text), idempotency_key };
        self.periods.close_month(&self.operator, command).await
    }

    fn set_day(&self, text: &str) {
        super::set_day(&self.clock, text.parse().unwrap());
    }

    /// Fails unless every closed month is what the entries booked in it say.
    async fn assert_closed_months_are_folds(&self) {
        let wrong: Vec<String> = sqlx::query_scalar(
            "WITH booked AS (
                 SELECT e.book_id, e.account_id, e.amount_minor, date_trunc('month', p.accounting_date)::date AS month
                 FROM entries e JOIN postings p USING (book_id, posting_id)
             )
             SELECT format('%s', m.*)
             FROM month_balances m
             CROSS JOIN LATERAL (
                 SELECT COALESCE(sum(amount_minor) FILTER (WHERE b.month < m.month), 0) AS opening,
                        COALESCE(sum(amount_minor) FILTER (WHERE b.month = m.month AND amount_minor > 0), 0) AS debits,
                        COALESCE(-sum(amount_minor) FILTER (WHERE b.month = m.month AND amount_minor < 0), 0) AS credits,
                        COALESCE(sum(amount_minor) FILTER (WHERE b.month <= m.month), 0) AS closing
                 FROM booked b WHERE b.book_id = m.book_id AND b.account_id = m.account_id) AS f
             WHERE (f.opening, f.debits, f.credits, f.closing)
                   IS DISTINCT FROM (m.opening_minor::numeric, m.debits_minor::numeric, m.credits_minor::numeric, m.closing_minor::numeric)
             UNION ALL
             SELECT format('%s of %s has no line in %s', b.account_id, b.book_id, c.month)
             FROM month_closes c JOIN booked b ON b.book_id = c.book_id AND b.month <= c.month
             WHERE NOT EXISTS (SELECT 1 FROM month_balances m WHERE m.book_id = c.book_id AND m.month = c.month AND m.account_id = b.account_id)",
        )
        .fetch_all(self.db.pool())
        .await
        .unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// (account, opening, debits, credits, closing) in fen.
fn lines(month: &ClosedMonth) -> BTreeSet<(AccountKind, i64, i64, i64, i64)> {
    month.lines.iter().map(|l| (l.account, l.opening.minor, l.debits.minor, l.credits.minor, l.closing.minor)).collect()
}

#[tokio::test]
async fn months_are_closed_in_order_and_once() {
    let scene = Scene::open_on("2026-09-20".parse().unwrap()).await;
    scene.pay(100).await;
    scene.set_day("2026-10-03");
    scene.pay(50).await;
    assert!(matches!(scene.close_month("2026-10").await, Err(PeriodError::MonthNotOver { .. })));
    scene.set_day("2026-11-02");
    scene.pay(7).await;
    assert!(matches!(scene.close_month("2026-10").await, Err(PeriodError::EarlierMonthOpen { open }) if open == month("2026-09")));
    assert!(matches!(
        scene
            .periods
            .close_month(&scene.owner, CloseMonth { merchant: scene.merchant, month: month("2026-09"), idempotency_key: Uuid::now_v7() })
            .await,
        Err(PeriodError::Forbidden(_))
    ));
    let september = scene.close_month("2026-09").await.unwrap();
    assert_eq!(september.iter().map(|m| (m.from_month, m.month)).collect::<Vec<_>>(), [(month("2026-09"), month("2026-09"))]);
    let moved = |opening: i64, moved: i64, closing: i64| {
        BTreeSet::from([
            (AccountKind::ChannelReceivable, opening, moved, 0, closing),
            (AccountKind::MerchantPending, -opening, 0, moved, -closing),
        ])
    };
    assert_eq!(lines(&september[0]), moved(0, 100, 100));
    assert_eq!(lines(&scene.close_month("2026-10").await.unwrap()[0]), moved(100, 50, 150));
    for again in ["2026-10", "2026-09"] {
        assert!(
            matches!(scene.close_month(again).await, Err(PeriodError::MonthClosed { closed }) if closed == month("2026-10")),
            "{again}"
        );
    }
    // What is about a closed month is booked in the open one.
    let late = scene.pay_about(3, "2026-09-20".parse().unwrap()).await;
    assert_eq!(scene.dates(&late).await.0, scene.day(0));
    scene.assert_closed_months_are_folds().await;
    scene.assert_closed_figures_are_folds().await;
}

#[tokio::test]
async fn a_key_closes_one_month_and_gives_the_same_answer_again() {
    let scene = Scene::open_on("2026-09-20".parse().unwrap()).await;
    scene.pay(100).await;
    scene.set_day("2026-11-02");
    let key = Uuid::now_v7();
    let closed = scene.close_month_with("2026-09", key).await.unwrap();
    scene.pay(7).await;
    assert_eq!(scene.close_month_with("2026-09", key).await.unwrap(), closed);
    assert!(matches!(scene.close_month_with("2026-10", key).await, Err(PeriodError::Idempotency(IdempotencyError::KeyReused))));
    let audited: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT action, subject_id FROM audit_events").fetch_all(scene.db.owner_pool()).await.unwrap();
    assert_eq!(audited, [("period.month_closed".to_owned(), scene.merchant.0)], "once, by whom it was asked for");
    // A key whose month was refused is free for another try.
    let other = Uuid::now_v7();
    assert!(scene.close_month_with("2026-09", other).await.is_err());
    assert!(scene.close_month_with("2026-10", other).await.is_ok());
}

#[tokio::test]
async fn months_close_by_themselves_where_there_was_something_to_close() {
    let scene = Scene::open_on("2026-06-20".parse().unwrap()).await;
    super::open_book(scene.db.pool(), BookId::new(), &scene.clock).await;
    scene.pay(100).await;
    scene.set_day("2026-09-03");
    scene.pay(50).await;
    scene.set_day("2026-10-06");
    scene.pay(1).await;
    scene.periods.close_due_days("2026-10-05".parse().unwrap()).await.unwrap();
    assert_eq!(scene.periods.close_due_months(month("2026-08")).await.unwrap(), 1);
    assert_eq!(scene.periods.close_due_months(month("2026-08")).await.unwrap(), 0, "a second run finds nothing");
    assert_eq!(scene.periods.close_due_months(month("2026-09")).await.unwrap(), 1);
    let page = scene.periods.closed_months(&scene.owner, scene.merchant, None, 10).await.unwrap();
    let months: Vec<_> = page.items.iter().map(|m| (m.from_month.to_string(), m.month.to_string())).collect();
    assert_eq!(months, [("2026-07".to_owned(), "2026-09".to_owned()), ("2026-06".to_owned(), "2026-06".to_owned())], "newest first");
    let books: i64 = sqlx::query_scalar("SELECT count(DISTINCT book_id) FROM month_closes").fetch_one(scene.db.pool()).await.unwrap();
    assert_eq!(books, 1, "the idle book is left alone");
    scene.assert_closed_months_are_folds().await;
}

#[tokio::test]
async fn several_months_that_were_missed_are_closed_one_after_the_other() {
    let scene = Scene::open_on("2026-06-20".parse().unwrap()).await;
    for (day, minor) in [("2026-06-20", 100), ("2026-07-31", 10), ("2026-08-01", 5), ("2026-10-02", 1)] {
        scene.set_day(day);
        scene.pay(minor).await;
    }
    // nobody closed a day meanwhile: the months close their days
    scene.periods.close_due_days("2026-06-30".parse().unwrap()).await.unwrap();
    assert_eq!(scene.periods.close_due_months(month("2026-09")).await.unwrap(), 1, "what is not closed by the day is not known yet");
    scene.periods.close_due_days("2026-10-01".parse().unwrap()).await.unwrap();
    assert_eq!(scene.periods.close_due_months(month("2026-09")).await.unwrap(), 2);
    scene.assert_closed_months_are_folds().await;
    scene.assert_closed_figures_are_folds().await;
}

/// The trial balance does not add up: somebody changed a closed day behind the services' back.
#[tokio::test]
async fn a_month_whose_debits_and_credits_differ_is_not_closed() {
    let scene = Scene::open_on("2026-09-20".parse().unwrap()).await;
    scene.pay(100).await;
    scene.set_day("2026-10-02");
    scene.close().await;
    sqlx::query("UPDATE day_balances SET debits_minor = debits_minor + 1, balance_minor = balance_minor + 1 WHERE debits_minor > 0")
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    assert!(matches!(scene.close_month("2026-09").await, Err(PeriodError::Unsound(_))));
    assert!(scene.periods.close_due_months(month("2026-09")).await.is_err());
    let closed: i64 = sqlx::query_scalar("SELECT count(*) FROM month_closes").fetch_one(scene.db.pool()).await.unwrap();
    assert_eq!(closed, 0);
}

#[tokio::test]
async fn all_stripes_of_a_merchant_close_a_month_together() {
    let scene = Scene::open_on("2026-09-20".parse().unwrap()).await;
    let second = BookId::new();
    let mut tx = scene.db.pool().begin().await.unwrap();
    wallet::ledger::open_stripe_in_tx(&mut tx, second, wallet::ledger::BookKind::Merchant, scene.merchant.0, 1, scene.clock.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    scene.pay(100).await;
    let today: NaiveDate = scene.day(0);
    super::post(scene.db.pool(), &super::payment(second, scene.store, 30, "SANDBOX", today), today, scene.clock.now()).await;
    scene.set_day("2026-10-02");
    // one of them closed by itself
    sqlx::query("UPDATE books SET owner_id = gen_random_uuid() WHERE book_id = $1")
        .bind(second.0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    assert_eq!(scene.close_month("2026-09").await.unwrap().len(), 1);
    sqlx::query("UPDATE books SET owner_id = $2 WHERE book_id = $1")
        .bind(second.0)
        .bind(scene.merchant.0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    let closed = scene.close_month("2026-09").await.unwrap();
    let sums: Vec<_> = closed.iter().map(|m| (m.stripe, m.lines.iter().map(|l| l.debits.minor).sum::<i64>())).collect();
    assert_eq!(sums, [(0, 100), (1, 30)]);
    assert_eq!(closed[1].lines[0].debits, Money::cny(30));
    // a stripe that came after the month is left out of it, and a book that came later has no such month
    assert!(matches!(scene.close_month("2026-08").await, Err(PeriodError::MonthClosed { .. })));
    let third = BookId::new();
    let mut tx = scene.db.pool().begin().await.unwrap();
    wallet::ledger::open_stripe_in_tx(&mut tx, third, wallet::ledger::BookKind::Merchant, scene.merchant.0, 2, scene.clock.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(scene.close_month("2026-09").await, Err(PeriodError::NotOpenYet { opened }) if opened == scene.day(0)));
    scene.set_day("2026-11-02");
    assert_eq!(scene.close_month("2026-10").await.unwrap().len(), 3);
    let unknown = CloseMonth { merchant: MerchantId::new(), month: month("2026-09"), idempotency_key: Uuid::now_v7() };
    assert!(matches!(scene.periods.close_month(&scene.operator, unknown).await, Err(PeriodError::NotFound)));
}
