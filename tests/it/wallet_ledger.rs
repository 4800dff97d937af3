//! The ledger and what stands on it (settlement, withdrawals, boards, the checker) on a real database.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod bank;
mod board;
mod check;
mod check_engine;
mod engine;
mod post;
mod services;
mod settle;
mod withdraw;

use chrono::{NaiveDate, TimeDelta};
use tests::TestDatabase;
use wallet::analytics::{self, DayDelta};
use wallet::base::actor::Actor;
use wallet::base::clock::{Clock, business_day};
use wallet::base::db::retrying;
use wallet::base::id::{AttemptId, BookId, MerchantId, OrderId, RefundId, StoreId};
use wallet::base::money::{Currency, Money};
use wallet::ledger::recipe::{self, RefundSource};
use wallet::ledger::{self, Balances, LedgerError, Posting, Rejection};
use wallet::settlement::Settlements;

const CHANNEL: &str = "SANDBOX";

/// A signed merchant with one store and an open book, and a clock that starts in the morning and is moved by hand.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
}

impl Scene {
    async fn open() -> Self {
        let (db, clock) = (tests::database().await, tests::morning());
        let (merchant, store, owner) = tests::sign_merchant(db.pool(), 38, clock.now()).await;
        Self { db, clock, merchant, store, owner }
    }

    fn book(&self) -> BookId {
        self.merchant.book()
    }

    fn settlements(&self) -> Settlements {
        Settlements::new(self.db.pool().clone(), self.clock.clone())
    }

    fn turn_days(&self, days: i64) {
        self.clock.set_offset_ms(self.clock.offset_ms() + TimeDelta::days(days).num_milliseconds());
    }

    async fn balances(&self) -> Balances {
        ledger::balances(self.db.pool(), self.merchant).await.unwrap()
    }

    /// Pending, available, in payout and refunding, in fen.
    async fn owed(&self) -> [i64; 4] {
        let b = self.balances().await;
        [b.pending, b.available, b.in_payout, b.refunding].map(|m| m.minor)
    }

    /// A payment that nothing but the ledger knows of.
    fn bare_payment(&self, minor: i64, fee_minor: i64) -> Posting {
        let today = self.clock.today();
        recipe::payment(self.book(), self.store, AttemptId::new(), Money::cny(minor), Money::cny(fee_minor), CHANNEL, today)
    }

    /// Posts in a transaction of its own.
    async fn post(&self, postings: &[Posting]) -> Vec<Result<(), Rejection>> {
        let outcomes = retrying(LedgerError::retryable, || async {
            let mut tx = self.db.pool().begin().await?;
            let outcomes = ledger::post_in_tx(&mut tx, postings, self.clock.today(), self.clock.now()).await?;
            tx.commit().await?;
            Ok(outcomes)
        })
        .await
        .unwrap();
        outcomes.into_iter().map(|outcome| outcome.map(|_| ())).collect()
    }

    /// A paid order with all its rows, as the payment service leaves them. Returns the order and the attempt that paid it.
    async fn paid(&self, minor: i64, fee_minor: i64) -> (OrderId, AttemptId) {
        let (order, attempt, now) = (OrderId::new(), AttemptId::new(), self.clock.now());
        // of the same look at the clock, which others may turn meanwhile
        let today = business_day(now);
        let mut tx = self.db.pool().begin().await.unwrap();
        let posting = recipe::payment(self.book(), self.store, attempt, Money::cny(minor), Money::cny(fee_minor), CHANNEL, today);
        sqlx::query(PAID)
            .bind(self.book().0)
            .bind(order.0)
            .bind(attempt.0)
            .bind(minor)
            .bind(now)
            .bind(self.store.0)
            .execute(&mut *tx)
            .await
            .unwrap();
        ledger::post_in_tx(&mut tx, std::slice::from_ref(&posting), today, now).await.unwrap().remove(0).unwrap();
        analytics::add_in_tx(&mut tx, &[DayDelta::of(&posting, self.merchant).unwrap()]).await.unwrap();
        tx.commit().await.unwrap();
        (order, attempt)
    }

    /// A refund with all its rows, still to be sent. `voids`: it takes back all of a payment of the same day.
    async fn refunded(&self, (order, attempt): (OrderId, AttemptId), minor: i64, from: RefundSource, voids: bool) -> RefundId {
        let (refund, now) = (RefundId::new(), self.clock.now());
        let posting = recipe::refund(self.book(), self.store, refund, Money::cny(minor), Money::cny(0), from, business_day(now));
        let mut tx = self.db.pool().begin().await.unwrap();
        sqlx::query(
            "INSERT INTO refunds (book_id, refund_id, order_id, attempt_id, amount_minor, currency, reason, status, created_at)
             VALUES ($1, $2, $3, $4, $5, 'CNY', '不要了', 'FUNDED', $6)",
        )
        .bind(self.book().0)
        .bind(refund.0)
        .bind(order.0)
        .bind(attempt.0)
        .bind(minor)
        .bind(now)
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query("UPDATE orders SET refunded_minor = refunded_minor + $3 WHERE book_id = $1 AND order_id = $2")
            .bind(self.book().0)
            .bind(order.0)
            .bind(minor)
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("INSERT INTO request_numbers (request_no, book_id, kind, subject_id) VALUES ($1, $2, 'REFUND', $3)")
            .bind(refund.simple())
            .bind(self.book().0)
            .bind(refund.0)
            .execute(&mut *tx)
            .await
            .unwrap();
        ledger::post_in_tx(&mut tx, std::slice::from_ref(&posting), business_day(now), now).await.unwrap().remove(0).unwrap();
        let delta = DayDelta { voided_count: i64::from(voids), ..DayDelta::of(&posting, self.merchant).unwrap() };
        analytics::add_in_tx(&mut tx, &[delta]).await.unwrap();
        tx.commit().await.unwrap();
        refund
    }

    /// Fails with what the checker found, if it found anything.
    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }

    /// The same for scenes whose payments nothing but the ledger knows of.
    async fn assert_books_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        let broken: Vec<_> = report.violations().filter(|(rule, _)| rule.starts_with('L')).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }

    fn day(&self, offset: i64) -> NaiveDate {
        self.clock.today() + TimeDelta::days(offset)
    }
}

/// All rows of a paid order but those of the ledger and the rollup.
const PAID: &str = "WITH paid_order AS (
         INSERT INTO orders (book_id, order_id, store_id, subject, amount_minor, currency, fee_bps, status, created_at, expires_at, paid_at)
         VALUES ($1, $2, $6, '早餐', $4, 'CNY', 38, 'PAID', $5, $5 + interval '30 minutes', $5)
     ), attempt AS (
         INSERT INTO payment_attempts (book_id, attempt_id, order_id, channel, amount_minor, currency, status, channel_transaction_id,
                                       sent_at, succeeded_at, resolved_at)
         VALUES ($1, $3, $2, 'SANDBOX', $4, 'CNY', 'SUCCEEDED', $3::text, $5, $5, $5)
     ), transaction AS (
         INSERT INTO channel_transactions (channel, transaction_id, book_id, attempt_id) VALUES ('SANDBOX', $3::text, $1, $3)
     ), number AS (
         INSERT INTO request_numbers (request_no, book_id, kind, subject_id) VALUES (replace($3::text, '-', ''), $1, 'PAYMENT', $3)
     ), key AS (
         INSERT INTO idempotency_keys (tenant_id, operation, key, request_hash, entity_id, response, created_at)
         VALUES ($1, 'orderCreate', $3, sha256('x'), $2, '{}', $5)
     )
     INSERT INTO outbox (book_id, event_id, kind, subject_id, payload, created_at)
     SELECT $1, gen_random_uuid(), kind, $2, '{}', $5 FROM (VALUES ('order.created'), ('order.paid')) AS event (kind)";

fn cny(minor: i64) -> Money {
    Money { minor, currency: Currency::Cny }
}
