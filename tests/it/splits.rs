//! Splits on a real database: money divided level by level, stopped between any two steps, brought back, and checked.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod advances;
mod api;
mod damage;
mod lines;
mod manual;
mod refunds;
mod returns;
mod rounds;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::TimeDelta;
use tests::TestDatabase;
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::clock::Clock;
use wallet::base::id::{BookId, MerchantId, OrderId, StoreId, UserId};
use wallet::base::money::Money;
use wallet::book::Books;
use wallet::book::transfer::Transfers;
use wallet::channel::acquirer::{Acquirer, Method};
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::{ACQUIRER_KEY, Link, PLATFORM_KEY, SandboxAcquirer, SandboxBank};
use wallet::channel::{Channels, Progress};
use wallet::ledger::{AccountKind, Ledger, LedgerLimits};
use wallet::order::{CreateOrder, Order, Orders};
use wallet::payment::{Outcome, Payments, StartPayment, Verdict, Word};
use wallet::refund::{Keeper, Payouts, RefundError, Refunds, RequestRefund};
use wallet::settlement::Settlements;
use wallet::split::{
    CreateRound, FROZEN_FOR, FinishSplit, Line, LineStatus, NewSplit, Parties, Return, ReturnSplit, RulePart, Share, Slice, Split,
    SplitError, Splits, plan_in_tx,
};

fn cny(minor: i64) -> Money {
    Money::cny(minor)
}

fn bps(role: &str, bps: u16, shares: Vec<Share>) -> Share {
    Share { role: role.to_owned(), part: RulePart::Bps(bps), shares }
}

/// A merchant that is paid, three that receive, and services whose channel nobody reaches: the test speaks for it.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
    receivers: Vec<(MerchantId, Actor)>,
    orders: Orders,
    payments: Payments,
    refunds: Refunds,
    transfers: Transfers,
    ledger: Ledger,
    splits: Splits,
}

impl Scene {
    async fn open() -> Self {
        let (db, clock) = (tests::database().await, tests::morning());
        let pool = db.pool().clone();
        let sandbox: Arc<dyn Acquirer> = Arc::new(SandboxAcquirer::new(nowhere()));
        let (channels, after) = (Channels::new([sandbox]), Duration::from_secs(5));
        let (merchant, store, owner) = tests::sign_merchant(&pool, 100, clock.now()).await;
        let mut receivers = Vec::new();
        for _ in 0..3 {
            let (receiver, _, owner) = tests::sign_merchant(&pool, 100, clock.now()).await;
            receivers.push((receiver, owner));
        }
        Self {
            merchant,
            store,
            owner,
            receivers,
            orders: Orders::new(pool.clone(), clock.clone()),
            payments: Payments::new(pool.clone(), clock.clone(), channels.clone(), tests::routing(&channels, &clock), after),
            refunds: Refunds::new(pool.clone(), clock.clone(), channels, after).paying_out(payouts()),
            transfers: Transfers::new(pool.clone(), clock.clone()),
            ledger: Ledger::new(pool.clone(), clock.clone(), LedgerLimits::default()),
            splits: Splits::new(pool, clock.clone()),
            db,
            clock,
        }
    }

    fn turn_days(&self, days: i64) {
        self.clock.set_offset_ms(self.clock.offset_ms() + TimeDelta::days(days).num_milliseconds());
    }

    async fn settle(&self) -> usize {
        Settlements::new(self.db.pool().clone(), self.clock.clone()).release_due().await.unwrap()
    }

    /// Spreads the paying merchant over stripes.
    async fn stripe(&self, stripes: i16) {
        let operator = Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] };
        let books = Books::new(self.db.pool().clone(), self.clock.clone());
        assert_eq!(books.set_stripes(&operator, self.merchant, stripes).await.unwrap(), stripes);
    }

    /// A paid order: of `minor`, one in a hundred is the fee.
    async fn pay(&self, minor: i64) -> Order {
        let cmd = CreateOrder {
            merchant: self.merchant,
            store: self.store,
            amount: cny(minor),
            subject: "房租".to_owned(),
            product: None,
            idempotency_key: Uuid::now_v7(),
        };
        let order = self.orders.create(&self.owner, cmd).await.unwrap();
        let cmd = StartPayment {
            merchant: self.merchant,
            order: order.id,
            method: Method::Page,
            wallet: None,
            failed: None,
            payer: None,
            return_url: None,
            idempotency_key: Uuid::now_v7(),
        };
        let attempt = self.payments.start(&self.owner, cmd).await.unwrap();
        let word = Word::Succeeded {
            transaction_id: format!("T{}", attempt.id.simple()),
            amount_minor: minor,
            currency: "CNY".to_owned(),
            at: self.clock.now(),
        };
        let outcome = Outcome { book: self.merchant.book(), attempt: attempt.id, word };
        assert_eq!(self.payments.apply(&[outcome]).await.unwrap(), [Some(Verdict::Pay)]);
        self.orders.get(&self.owner, self.merchant, order.id).await.unwrap()
    }

    /// Plans a paid order's split, as the payment would in its own transaction. `roles` are bound to the receivers in their order.
    async fn plan(&self, order: &Order, rule: Vec<Share>, roles: &[&str], at_once: bool) {
        let parties: Parties = roles.iter().zip(&self.receivers).map(|(role, (id, _))| ((*role).to_owned(), *id)).collect();
        let fee = order.amount.share_bps_half_up(order.fee_bps).minor;
        let attempt = self.payments.of_orders(&[(self.merchant, order.id)]).await.unwrap()[0].id;
        let slices = vec![Slice::of_ledger(attempt, order.amount.minor - fee)];
        let now = self.clock.now();
        let new = NewSplit { order, slices, rule, parties, at_once, frozen_until: now + FROZEN_FOR };
        let mut tx = self.db.pool().begin().await.unwrap();
        let booking = plan_in_tx(&mut tx, &[new], now).await.unwrap();
        booking.write_in_tx(&mut tx, now).await.unwrap().unwrap();
        tx.commit().await.unwrap();
    }

    /// A paid order of 100.00 whose agent gets a tenth of what the fee leaves and passes three tenths of that on; a supplier gets a fifth.
    async fn planned(&self, at_once: bool) -> OrderId {
        let order = self.pay(10_000).await;
        let rule = vec![bps("AGENT", 1_000, vec![bps("BROKER", 3_000, vec![])]), bps("SUPPLIER", 2_000, vec![])];
        self.plan(&order, rule, &["AGENT", "BROKER", "SUPPLIER"], at_once).await;
        order.id
    }

    async fn round(&self, order: OrderId, minor: Option<i64>, finish: bool) -> Result<Split, SplitError> {
        let cmd = CreateRound { merchant: self.merchant, order, amount: minor.map(cny), finish, idempotency_key: Uuid::now_v7() };
        self.splits.split(&self.owner, cmd).await
    }

    async fn finish(&self, order: OrderId) -> Result<Split, SplitError> {
        let cmd = FinishSplit { merchant: self.merchant, order, idempotency_key: Uuid::now_v7() };
        self.splits.finish(&self.owner, cmd).await
    }

    async fn give_back(&self, order: OrderId, minor: i64) -> Result<Return, SplitError> {
        let cmd = ReturnSplit { merchant: self.merchant, order, amount: cny(minor), idempotency_key: Uuid::now_v7() };
        self.splits.give_back(&self.owner, cmd).await
    }

    async fn refund(&self, order: OrderId, minor: i64) -> Result<wallet::refund::Refund, RefundError> {
        let cmd = RequestRefund {
            merchant: self.merchant,
            order,
            amount: cny(minor),
            reason: "退租".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        self.refunds.request(&self.owner, cmd).await
    }

    async fn execute(&self, order: OrderId) {
        assert_eq!(self.splits.execute(self.merchant.book(), order).await.unwrap(), Progress::Settled);
    }

    async fn split(&self, order: OrderId) -> Split {
        self.splits.get(&self.owner, self.merchant, order).await.unwrap()
    }

    async fn lines(&self, order: OrderId) -> Vec<Line> {
        self.splits.lines(&self.owner, self.merchant, order, None, 100).await.unwrap().items
    }

    /// Role, amount and state of each line.
    async fn told(&self, order: OrderId) -> Vec<(String, i64, LineStatus)> {
        let mut told: Vec<_> = self.lines(order).await.into_iter().map(|line| (line.role, line.amount.minor, line.status)).collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }

    /// What an account of one book stands at, on its own side.
    async fn stands_at(&self, book: BookId, kind: AccountKind) -> i64 {
        let minor: Option<i64> = sqlx::query_scalar("SELECT balance_minor FROM accounts WHERE book_id = $1 AND kind = $2 AND subject = ''")
            .bind(book.0)
            .bind(kind.as_str())
            .fetch_optional(self.db.pool())
            .await
            .unwrap();
        i64::from(kind.side()) * minor.unwrap_or(0)
    }

    /// Pending of the merchant and of each receiver.
    async fn pending(&self) -> [i64; 4] {
        let of = async |merchant: MerchantId| self.stands_at(merchant.book(), AccountKind::MerchantPending).await;
        let receivers = &self.receivers;
        [of(self.merchant).await, of(receivers[0].0).await, of(receivers[1].0).await, of(receivers[2].0).await]
    }

    /// What the merchant has frozen, and everybody together.
    async fn frozen(&self) -> (i64, i64) {
        let all: i64 = sqlx::query_scalar(
            "SELECT COALESCE(-sum(balance_minor), 0)::bigint FROM accounts WHERE kind IN ('SPLIT_FROZEN', 'BOOKS_IN_TRANSIT')",
        )
        .fetch_one(self.db.pool())
        .await
        .unwrap();
        (self.stands_at(self.merchant.book(), AccountKind::SplitFrozen).await, all)
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }

    async fn by_owner(&self, sql: &'static str) {
        assert!(sqlx::query(sql).execute(self.db.owner_pool()).await.unwrap().rows_affected() > 0, "{sql}");
    }

    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }
}

/// A bank that nobody reaches: the test speaks for it. Payees lie open.
fn payouts() -> Payouts {
    let keeper = Keeper { seal: Arc::new(|_, plain| Some(plain.to_vec())), open: Arc::new(|_, sealed| Some(sealed.to_vec())) };
    Payouts { rails: SandboxBank::new(nowhere()).into(), keeper, original_days: [("ALIPAY".to_owned(), 1)].into(), original_days_else: 180 }
}

/// A link to a port where nobody listens.
fn nowhere() -> Link {
    let pkcs8 = || Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
    let other = Signer::try_from_pkcs8(ACQUIRER_KEY, &pkcs8()).unwrap();
    Link::try_new(
        "http://127.0.0.1:1",
        Arc::new(Signer::try_from_pkcs8(PLATFORM_KEY, &pkcs8()).unwrap()),
        Verifier::new(ACQUIRER_KEY, &other.public_key()),
        "1900000001",
        "http://127.0.0.1:1/notices/sandbox",
        Duration::from_secs(5),
    )
    .unwrap()
}
