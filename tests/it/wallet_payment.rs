//! Orders, payments and refunds on a real database: what the channel says, how often and in which order, and what the books make of it.

mod channel;
mod refund;
mod success;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::TimeDelta;
use reqwest::header::HeaderMap;
use tests::TestDatabase;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::base::id::{AttemptId, BookId, MerchantId, OrderId, StoreId};
use wallet::base::money::Money;
use wallet::channel::Channels;
use wallet::channel::acquirer::{Acquirer, Method};
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::wire::{Notice, NoticeKind, NoticeStatus};
use wallet::channel::sandbox::{ACQUIRER_KEY, Link, PLATFORM_KEY, SandboxAcquirer};
use wallet::ledger;
use wallet::order::{CreateOrder, Order, OrderStatus, Orders};
use wallet::payment::{Attempt, Outcome, Payments, StartPayment, Verdict, Word};
use wallet::refund::Refunds;

const MERCHANT_NO: &str = "1900000001";
const NOTICES: &str = "/notices/sandbox";

fn cny(minor: i64) -> Money {
    Money::cny(minor)
}

fn pkcs8() -> Vec<u8> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec()
}

/// A signed merchant with one store and an open book, and services whose channel is `Scene::at` an address, or nowhere.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
    orders: Orders,
    payments: Payments,
    refunds: Refunds,
    /// The acquirer's own hand.
    acquirer: Signer,
}

impl Scene {
    /// With a channel that nobody reaches: an attempt stays UNKNOWN until the test speaks for the channel.
    async fn open() -> Self {
        Self::at("http://127.0.0.1:1", &pkcs8(), &pkcs8()).await
    }

    async fn at(channel_url: &str, platform: &[u8], acquirer: &[u8]) -> Self {
        let (db, clock) = (tests::database().await, tests::morning());
        let (merchant, store, owner) = tests::sign_merchant(db.pool(), 38, clock.now()).await;
        let acquirer = Signer::try_from_pkcs8(ACQUIRER_KEY, acquirer).unwrap();
        let link = Link::try_new(
            channel_url,
            Arc::new(Signer::try_from_pkcs8(PLATFORM_KEY, platform).unwrap()),
            Verifier::new(ACQUIRER_KEY, &acquirer.public_key()),
            MERCHANT_NO,
            &format!("http://127.0.0.1:1{NOTICES}"),
            Duration::from_secs(5),
        )
        .unwrap();
        let sandbox: Arc<dyn Acquirer> = Arc::new(SandboxAcquirer::new(link));
        let channel = Channels::new([sandbox]);
        let (pool, after) = (db.pool().clone(), Duration::from_secs(5));
        Self {
            orders: Orders::new(pool.clone(), clock.clone()),
            payments: Payments::new(pool.clone(), clock.clone(), channel.clone(), tests::routing(&channel, &clock), after),
            refunds: Refunds::new(pool, clock.clone(), channel, after),
            owner,
            db,
            clock,
            merchant,
            store,
            acquirer,
        }
    }

    fn book(&self) -> BookId {
        self.merchant.book()
    }

    fn pass(&self, time: TimeDelta) {
        self.clock.set_offset_ms(self.clock.offset_ms() + time.num_milliseconds());
    }

    async fn order(&self, minor: i64) -> Order {
        let cmd = CreateOrder {
            merchant: self.merchant,
            store: self.store,
            amount: cny(minor),
            subject: "早餐".to_owned(),
            product: None,
            idempotency_key: Uuid::now_v7(),
        };
        self.orders.create(&self.owner, cmd).await.unwrap()
    }

    async fn start(&self, order: OrderId) -> Attempt {
        let cmd = StartPayment {
            merchant: self.merchant,
            order,
            method: Method::Page,
            wallet: None,
            failed: None,
            payer: None,
            return_url: None,
            idempotency_key: Uuid::now_v7(),
        };
        self.payments.start(&self.owner, cmd).await.unwrap()
    }

    async fn again(&self, order: OrderId) -> Order {
        self.orders.get(&self.owner, self.merchant, order).await.unwrap()
    }

    async fn status(&self, order: OrderId) -> OrderStatus {
        self.again(order).await.status
    }

    async fn attempts(&self, order: OrderId) -> Vec<Attempt> {
        self.payments.of_orders(&[(self.merchant, order)]).await.unwrap()
    }

    /// Speaks for the channel.
    async fn says(&self, attempt: &Attempt, word: Word) -> Verdict {
        let outcome = Outcome { book: self.book(), attempt: attempt.id, word };
        self.payments.apply(&[outcome]).await.unwrap()[0].expect("the attempt is known")
    }

    fn success(&self, attempt: &Attempt, transaction_id: &str) -> Word {
        Word::Succeeded {
            transaction_id: transaction_id.to_owned(),
            amount_minor: attempt.amount.minor,
            currency: "CNY".to_owned(),
            at: self.clock.now(),
        }
    }

    /// An order that is paid, with the attempt that paid it.
    async fn paid(&self, minor: i64) -> (Order, Attempt) {
        let order = self.order(minor).await;
        let attempt = self.start(order.id).await;
        let word = self.success(&attempt, &format!("T{}", attempt.id.simple()));
        assert_eq!(self.says(&attempt, word).await, Verdict::Pay);
        (self.again(order.id).await, attempt)
    }

    /// A signed notice that a payment succeeded, as headers and body.
    fn notice(&self, notice_id: &str, attempt: AttemptId, minor: i64) -> (HeaderMap, Vec<u8>) {
        self.notice_of(NoticeKind::Payment, notice_id, &attempt.simple(), minor)
    }

    /// A signed notice that what we sent under a number succeeded.
    fn notice_of(&self, kind: NoticeKind, notice_id: &str, request_no: &str, minor: i64) -> (HeaderMap, Vec<u8>) {
        let notice = Notice {
            notice_id: notice_id.to_owned(),
            kind,
            merchant_no: MERCHANT_NO.to_owned(),
            request_no: request_no.to_owned(),
            transaction_id: format!("T{request_no}"),
            status: NoticeStatus::Succeeded,
            amount_minor: minor,
            currency: "CNY".to_owned(),
            success_time: Some(self.clock.now()),
            error_code: None,
        };
        let body = serde_json::to_vec(&notice).unwrap();
        (self.acquirer.headers("POST", NOTICES, &self.acquirer.nonce(), &body, Clock::wall()), body)
    }

    /// Outcome and deliveries of a stored notice.
    async fn inbox(&self, notice_id: &str) -> (Option<String>, i32) {
        sqlx::query_as("SELECT outcome, deliveries FROM notices WHERE notice_id = $1")
            .bind(notice_id)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }

    /// Pending, available and refunding, in fen.
    async fn owed(&self) -> [i64; 3] {
        let b = ledger::balances(self.db.pool(), self.merchant).await.unwrap();
        [b.pending, b.available, b.refunding].map(|m| m.minor)
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }

    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }
}
