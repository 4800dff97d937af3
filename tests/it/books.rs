//! Books on a real database: a merchant spread over stripes, money between books and what a crash leaves of it, and the nightly sweep.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod stripes;
mod sweep;
mod transfer;

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
use wallet::channel::Channels;
use wallet::channel::acquirer::{Acquirer, Method};
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::{ACQUIRER_KEY, BANK_KEY, Link, PLATFORM_KEY, SandboxAcquirer, SandboxBank};
use wallet::ledger::{AccountKind, Wallets};
use wallet::order::{CreateOrder, Order, Orders};
use wallet::payment::{Attempt, Outcome, Payments, StartPayment, Verdict, Word};
use wallet::refund::Refunds;
use wallet::settlement::Settlements;
use wallet::withdrawal::{RequestWithdrawal, Withdrawal, WithdrawalError, Withdrawals};

fn cny(minor: i64) -> Money {
    Money::cny(minor)
}

/// A signed merchant, and services whose channel nobody reaches: the test speaks for it.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
    operator: Actor,
    books: Books,
    transfers: Transfers,
    orders: Orders,
    payments: Payments,
    refunds: Refunds,
    withdrawals: Withdrawals,
    wallets: Wallets,
}

impl Scene {
    async fn open() -> Self {
        let (db, clock) = (tests::database().await, tests::morning());
        let pool = db.pool().clone();
        let sandbox: Arc<dyn Acquirer> = Arc::new(SandboxAcquirer::new(nowhere(ACQUIRER_KEY)));
        let (channels, bank) = (Channels::new([sandbox]), SandboxBank::new(nowhere(BANK_KEY)));
        let after = Duration::from_secs(5);
        let mut scene = Self {
            merchant: MerchantId::new(),
            store: StoreId::new(),
            owner: Actor::System,
            operator: Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] },
            books: Books::new(pool.clone(), clock.clone()),
            transfers: Transfers::new(pool.clone(), clock.clone()),
            orders: Orders::new(pool.clone(), clock.clone()),
            payments: Payments::new(pool.clone(), clock.clone(), channels.clone(), tests::routing(&channels, &clock), after),
            refunds: Refunds::new(pool.clone(), clock.clone(), channels, after),
            withdrawals: Withdrawals::new(pool.clone(), clock.clone(), bank),
            wallets: Wallets::new(pool),
            db,
            clock,
        };
        (scene.merchant, scene.store, scene.owner) = scene.sign().await;
        scene
    }

    /// With the merchant spread over so many stripes.
    async fn striped(stripes: i16) -> Self {
        let scene = Self::open().await;
        assert_eq!(scene.books.set_stripes(&scene.operator, scene.merchant, stripes).await.unwrap(), stripes);
        scene
    }

    /// Signs a merchant with one store.
    async fn sign(&self) -> (MerchantId, StoreId, Actor) {
        tests::sign_merchant(self.db.pool(), 100, self.clock.now()).await
    }

    fn turn_day(&self) {
        self.clock.set_offset_ms(self.clock.offset_ms() + TimeDelta::days(1).num_milliseconds());
    }

    async fn settle(&self) -> usize {
        Settlements::new(self.db.pool().clone(), self.clock.clone()).release_due().await.unwrap()
    }

    async fn order(&self, minor: i64) -> Order {
        let (merchant, store) = (self.merchant, self.store);
        let cmd =
            CreateOrder {
                merchant, store, amount: cny(minor), subject: "早餐".to_owned(), product: None, idempotency_key: Uuid::now_v7()
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

    /// Speaks for the channel: the attempt succeeded.
    async fn says_paid(&self, attempt: &Attempt) -> Verdict {
        let word = Word::Succeeded {
            transaction_id: format!("T{}", attempt.id.simple()),
            amount_minor: attempt.amount.minor,
            currency: "CNY".to_owned(),
            at: self.clock.now(),
        };
        let outcome = Outcome { book: self.merchant.book(), attempt: attempt.id, word };
        self.payments.apply(&[outcome]).await.unwrap()[0].expect("the attempt is known")
    }

    async fn pay(&self, minor: i64) -> Order {
        let order = self.order(minor).await;
        let attempt = self.start(order.id).await;
        assert_eq!(self.says_paid(&attempt).await, Verdict::Pay);
        self.orders.get(&self.owner, self.merchant, order.id).await.unwrap()
    }

    /// Pays orders until each stripe has taken one of `minor`; gives them in the order of their stripes.
    async fn pay_each_stripe(&self, stripes: i16, minor: i64) -> Vec<Order> {
        let mut paid: Vec<Option<Order>> = (0..stripes).map(|_| None).collect();
        while let Some(stripe) = paid.iter().position(Option::is_none) {
            let order = self.order(minor).await;
            if usize::try_from(order.stripe) != Ok(stripe) {
                continue;
            }
            let attempt = self.start(order.id).await;
            assert_eq!(self.says_paid(&attempt).await, Verdict::Pay);
            paid[stripe] = Some(self.orders.get(&self.owner, self.merchant, order.id).await.unwrap());
        }
        paid.into_iter().flatten().collect()
    }

    async fn withdraw(&self, minor: i64) -> Result<Withdrawal, WithdrawalError> {
        let (merchant, account_tail) = (self.merchant, "3456".to_owned());
        let cmd = RequestWithdrawal { merchant, amount: cny(minor), account_tail, idempotency_key: Uuid::now_v7() };
        self.withdrawals.request(&self.owner, cmd).await
    }

    /// Pending, available, in payout and refunding of the merchant, in fen.
    async fn owed(&self) -> [i64; 4] {
        let b = self.wallets.balances(&self.owner, self.merchant).await.unwrap();
        [b.pending, b.available, b.in_payout, b.refunding].map(|m| m.minor)
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

    /// What a kind of account stands at in each stripe.
    async fn in_stripes(&self, stripes: i16, kind: AccountKind) -> Vec<i64> {
        let mut minors = Vec::new();
        for stripe in 0..stripes {
            minors.push(self.stands_at(self.merchant.stripe(stripe), kind).await);
        }
        minors
    }

    /// What is between books, over all of them.
    async fn in_transit(&self) -> i64 {
        let totals = self.books.totals(&self.operator).await.unwrap();
        totals.iter().filter(|t| t.kind == AccountKind::BooksInTransit).map(|t| t.amount.minor).sum()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }

    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }
}

/// A link to a port where nobody listens.
fn nowhere(key: &str) -> Link {
    let pkcs8 = || Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
    let other = Signer::try_from_pkcs8(key, &pkcs8()).unwrap();
    Link::try_new(
        "http://127.0.0.1:1",
        Arc::new(Signer::try_from_pkcs8(PLATFORM_KEY, &pkcs8()).unwrap()),
        Verifier::new(key, &other.public_key()),
        "1900000001",
        "http://127.0.0.1:1/notices/sandbox",
        Duration::from_secs(5),
    )
    .unwrap()
}
