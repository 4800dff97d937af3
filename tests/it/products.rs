//! Payment products: what a file says is what happens to an order's money, through the public API and on a real database.

mod catalogue;
mod check;
mod hold;
mod journey;
mod subsidy;
mod subsidy_damage;
mod subsidy_journey;
mod subsidy_refund;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tests::{Folder, TestDatabase, repository};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::base::id::{MerchantId, OrderId, StoreId};
use wallet::base::money::Money;
use wallet::channel::acquirer::Method;
use wallet::ledger;
use wallet::order::{Choice, CreateOrder, Order, OrderError, Orders, ReleaseOrder, Released};
use wallet::payment::{Outcome, Payments, StartPayment, Verdict, Word};
use wallet::product::Products;
use wallet::refund::{Refund, RefundError, Refunds, RequestRefund};
use wallet::split::Splits;

use crate::batching::world::nowhere;

fn cny(minor: i64) -> Money {
    Money::cny(minor)
}

/// A folder of products: the shipped ones and more. A file of the same name takes the place of the shipped one.
fn folder(more: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    for entry in repository().join("products").read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    for (name, text) in more {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A signed merchant, an agent who is one too, and the services with a channel that nobody reaches: the test speaks for it.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
    agent: MerchantId,
    orders: Orders,
    payments: Payments,
    refunds: Refunds,
    splits: Splits,
}

impl Scene {
    /// With the shipped products, those that hold and divide also without dividing (`DEPOSIT`, `LEASE`), and more.
    async fn open(more: &[(&str, &str)]) -> Self {
        let undivided = |file: &str, from: &str, to: &str| {
            let text = std::fs::read_to_string(repository().join("products").join(file)).unwrap();
            text.split("[[split]]").next().unwrap().replace(&format!("code = \"{from}\""), &format!("code = \"{to}\""))
        };
        let deposit = undivided("deposit_to_commission.toml", "DEPOSIT_TO_COMMISSION", "DEPOSIT");
        let lease = undivided("rent.toml", "RENT", "LEASE");
        let more: Vec<_> = more.iter().copied().chain([("deposit.toml", deposit.as_str()), ("lease.toml", lease.as_str())]).collect();
        let (db, clock) = (tests::database().await, tests::morning());
        let (merchant, store, owner) = tests::sign_merchant(db.pool(), 38, clock.now()).await;
        let (agent, _, _) = tests::sign_merchant(db.pool(), 38, clock.now()).await;
        let products = Products::publish(db.pool(), api::products::load(folder(&more).path()).unwrap()).await.unwrap();
        let (channels, after) = (nowhere(), Duration::from_secs(5));
        Self {
            orders: Orders::selling(db.pool().clone(), clock.clone(), products),
            payments: Payments::new(db.pool().clone(), clock.clone(), channels.clone(), tests::routing(&channels, &clock), after),
            refunds: Refunds::new(db.pool().clone(), clock.clone(), channels, after),
            splits: Splits::new(db.pool().clone(), clock.clone()),
            db,
            clock,
            merchant,
            store,
            owner,
            agent,
        }
    }

    fn pass(&self, time: TimeDelta) {
        self.clock.set_offset_ms(self.clock.offset_ms() + time.num_milliseconds());
    }

    /// The command for an order of a product; its roles go to the agent.
    fn create(&self, code: &str, roles: &[&str], minor: i64) -> CreateOrder {
        let parties = roles.iter().map(|role| ((*role).to_owned(), self.agent)).collect();
        CreateOrder {
            merchant: self.merchant,
            store: self.store,
            amount: cny(minor),
            subject: "合同款".to_owned(),
            product: Some(Choice { code: code.to_owned(), parties }),
            idempotency_key: Uuid::now_v7(),
        }
    }

    async fn order(&self, code: &str, roles: &[&str], minor: i64) -> Order {
        self.orders.create(&self.owner, self.create(code, roles, minor)).await.unwrap()
    }

    /// An order of a product that is paid.
    async fn paid(&self, code: &str, roles: &[&str], minor: i64) -> Order {
        let order = self.order(code, roles, minor).await;
        self.pay(&order).await;
        self.again(order.id).await
    }

    /// Starts to pay an order, and speaks for the channel.
    async fn pay(&self, order: &Order) {
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
        let (transaction_id, at) = (format!("T{}", attempt.id.simple()), self.clock.now());
        let word = Word::Succeeded { transaction_id, amount_minor: order.payable().minor, currency: "CNY".to_owned(), at };
        let verdicts = self.payments.apply(&[Outcome { book: self.merchant.book(), attempt: attempt.id, word }]).await.unwrap();
        assert_eq!(verdicts, [Some(Verdict::Pay)]);
    }

    async fn again(&self, order: OrderId) -> Order {
        self.orders.get(&self.owner, self.merchant, order).await.unwrap()
    }

    async fn release(&self, actor: &Actor, order: OrderId, stage: Option<&str>, minor: Option<i64>) -> Result<Released, OrderError> {
        let (stage, amount) = (stage.map(str::to_owned), minor.map(cny));
        let cmd = ReleaseOrder { merchant: self.merchant, order, stage, amount, idempotency_key: Uuid::now_v7() };
        self.orders.release(actor, cmd).await
    }

    async fn refund(&self, order: OrderId, minor: i64) -> Result<Refund, RefundError> {
        let reason = "不租了".to_owned();
        let cmd = RequestRefund { merchant: self.merchant, order, amount: cny(minor), reason, idempotency_key: Uuid::now_v7() };
        self.refunds.request(&self.owner, cmd).await
    }

    /// The payer of an order, who has its ticket.
    fn payer(&self, order: OrderId) -> Actor {
        Actor::Customer { merchant: self.merchant, order }
    }

    /// Pending, available, and fees, in fen.
    async fn stands(&self) -> [i64; 3] {
        let b = ledger::balances(self.db.pool(), self.merchant).await.unwrap();
        let fees: Option<i64> =
            sqlx::query_scalar("SELECT -balance_minor FROM accounts WHERE book_id = $1 AND kind = 'FEE_INCOME' AND subject = ''")
                .bind(self.merchant.0)
                .fetch_optional(self.db.pool())
                .await
                .unwrap();
        [b.pending.minor, b.available.minor, fees.unwrap_or(0)]
    }

    /// What an order's escrow account says: funded, released, returned, held.
    async fn escrow(&self, order: OrderId) -> [i64; 4] {
        let order = self.again(order).await;
        let e = order.escrow;
        [e.funded_minor, e.released_minor, e.returned_minor, order.held().minor]
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.unwrap()
    }

    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
