//! Periods: days and months close once and in order, a posting is before a close or on the next day, and the past can be read in two times.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod days;
mod edge;
mod history;
mod months;
mod race;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::PgPool;
use tests::TestDatabase;
use wallet::base::actor::{Actor, Role};
use wallet::base::clock::Clock;
use wallet::base::id::{AttemptId, BookId, MerchantId, StoreId, UserId};
use wallet::base::money::{Currency, Money};
use wallet::ledger::{self, AccountKind, AccountName, BookKind, Posting, recipe};
use wallet::period::Periods;

/// An open book, and a clock that starts in the morning and is moved by hand.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    operator: Actor,
    owner: Actor,
    periods: Periods,
}

impl Scene {
    async fn open() -> Self {
        Self::open_on(NaiveDate::from_ymd_opt(2026, 11, 10).unwrap()).await
    }

    /// Opens the book at ten in the morning of a day in Shanghai.
    async fn open_on(day: NaiveDate) -> Self {
        let (db, clock) = (tests::database().await, Clock::default());
        set_day(&clock, day);
        let merchant = MerchantId::new();
        open_book(db.pool(), merchant.book(), &clock).await;
        let operator = Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] };
        let owner = Actor::Person { id: UserId::new(), role: Role::Owner, merchants: vec![merchant] };
        let periods = Periods::new(db.pool().clone(), clock.clone());
        Self { db, clock, merchant, store: StoreId::new(), operator, owner, periods }
    }

    fn book(&self) -> BookId {
        self.merchant.book()
    }

    fn turn_days(&self, days: i64) {
        self.clock.set_offset_ms(self.clock.offset_ms() + TimeDelta::days(days).num_milliseconds());
    }

    fn day(&self, offset: i64) -> NaiveDate {
        self.clock.today() + TimeDelta::days(offset)
    }

    /// A payment of today.
    async fn pay(&self, minor: i64) -> Posting {
        self.pay_about(minor, self.clock.today()).await
    }

    /// A payment that is written down now and is about another day.
    async fn pay_about(&self, minor: i64, business_date: NaiveDate) -> Posting {
        let posting = payment(self.book(), self.store, minor, "SANDBOX", business_date);
        post(self.db.pool(), &posting, self.clock.today(), self.clock.now()).await;
        posting
    }

    /// Closes the days through yesterday.
    async fn close(&self) -> wallet::period::Closing {
        self.periods.close_days(&self.operator, self.book(), self.day(-1)).await.unwrap()
    }

    /// (accounting date, business date) of a posting as it was written.
    async fn dates(&self, posting: &Posting) -> (NaiveDate, NaiveDate) {
        sqlx::query_as("SELECT accounting_date, business_date FROM postings WHERE reference_id = $1")
            .bind(posting.reference)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }

    /// Fails unless every closed figure is what the entries say.
    async fn assert_closed_figures_are_folds(&self) {
        assert_closed_figures_are_folds(self.db.pool()).await;
    }
}

fn set_day(clock: &Clock, day: NaiveDate) {
    let ten = day.and_hms_opt(2, 0, 0).unwrap().and_utc();
    clock.set_offset_ms((ten - Clock::wall()).num_milliseconds());
}

async fn open_book(db: &PgPool, book: BookId, clock: &Clock) {
    let mut tx = db.begin().await.unwrap();
    ledger::open_book_in_tx(&mut tx, book, BookKind::Merchant, clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// A payment without a fee: one debit of a channel, one credit of pending.
fn payment(book: BookId, store: StoreId, minor: i64, channel: &str, business_date: NaiveDate) -> Posting {
    recipe::payment(book, store, AttemptId::new(), Money::cny(minor), Money::cny(0), channel, business_date)
}

/// Posts in a transaction of its own.
async fn post(db: &PgPool, posting: &Posting, day: NaiveDate, now: DateTime<Utc>) {
    let mut tx = db.begin().await.unwrap();
    ledger::post_in_tx(&mut tx, std::slice::from_ref(posting), day, now).await.unwrap().remove(0).unwrap();
    tx.commit().await.unwrap();
}

fn pending() -> AccountName {
    AccountName::fixed(AccountKind::MerchantPending, Currency::Cny)
}

/// Compares every closed row with the entries, by a query that shares nothing with the close: sums and counts by accounting date, every
/// entry up to a cut-off is of a closed day, and nothing was booked on a day between two rows.
async fn assert_closed_figures_are_folds(db: &PgPool) {
    let wrong: Vec<String> = sqlx::query_scalar(
        "WITH booked AS (
             SELECT e.book_id, e.account_id, e.seq, e.amount_minor, p.posting_id, p.accounting_date AS day, p.business_date, p.recorded_at
             FROM entries e JOIN postings p USING (book_id, posting_id)
         )
         SELECT format('%s of %s: %s', d.account_id, d.day, d.*)
         FROM day_balances d
         CROSS JOIN LATERAL (
             SELECT COALESCE(sum(b.amount_minor) FILTER (WHERE b.day <= d.day), 0) AS balance,
                    COALESCE(sum(b.amount_minor) FILTER (WHERE b.day = d.day AND b.amount_minor > 0), 0) AS debits,
                    COALESCE(-sum(b.amount_minor) FILTER (WHERE b.day = d.day AND b.amount_minor < 0), 0) AS credits,
                    min(b.seq) FILTER (WHERE b.day = d.day) AS first_seq, max(b.seq) FILTER (WHERE b.day = d.day) AS last_seq,
                    min(b.business_date) FILTER (WHERE b.day = d.day) AS business_from, max(b.business_date) FILTER (WHERE b.day = d.day) AS business_to,
                    min(b.recorded_at) FILTER (WHERE b.day = d.day) AS recorded_from, max(b.recorded_at) FILTER (WHERE b.day = d.day) AS recorded_to,
                    count(*) FILTER (WHERE b.seq <= d.cutoff_seq AND b.day > d.day) AS beyond,
                    bool_or(b.seq = d.cutoff_seq + 1 AND b.day <= d.day) AS short
             FROM booked b WHERE b.book_id = d.book_id AND b.account_id = d.account_id) AS f
         WHERE (f.balance, f.debits, f.credits, f.first_seq, f.last_seq, f.business_from, f.business_to, f.recorded_from, f.recorded_to)
               IS DISTINCT FROM (d.balance_minor::numeric, d.debits_minor::numeric, d.credits_minor::numeric, d.first_seq, d.last_seq,
                                 d.business_from, d.business_to, d.recorded_from, d.recorded_to)
            OR f.beyond > 0 OR f.short
         UNION ALL
         SELECT format('%s was booked on %s, which is closed, and is in no row', b.posting_id, b.day)
         FROM booked b JOIN books USING (book_id)
         WHERE b.day <= books.closed_day
           AND NOT EXISTS (SELECT 1 FROM day_balances d WHERE d.book_id = b.book_id AND d.account_id = b.account_id AND d.day = b.day)
         UNION ALL
         SELECT format('%s counts %s postings', c.day, c.postings)
         FROM day_closes c
         WHERE c.postings <> (SELECT count(*) FROM postings p WHERE p.book_id = c.book_id AND p.accounting_date = c.day)
         UNION ALL
         SELECT format('the days before %s do not follow on the last close', c.day)
         FROM (SELECT *, lag(day) OVER (PARTITION BY book_id ORDER BY day) AS last FROM day_closes) AS c
         WHERE c.from_day <> c.last + 1
         UNION ALL
         SELECT format('account %s knows %s, its book %s', a.account_id, a.closed_day, b.closed_day)
         FROM accounts a JOIN books b USING (book_id)
         WHERE a.closed_day IS DISTINCT FROM b.closed_day",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
