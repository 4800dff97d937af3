//! Payment orders (支付订单): what a customer is asked to pay, with amount and fee rate frozen when it is made.
//!
//! CREATED ↔ PAYING → PAID or CLOSED. Orders are made in batches of five statements; only [`crate::payment`] moves the state.
//!
//! An order freezes what it needs of its product ([`crate::product`]). Where that holds the money, the payment goes to an account of the
//! order, and [`release`] or a refund takes it out: funded = released + returned + held, each never below zero (E1).

mod create;
mod error;
pub mod release;
pub(crate) mod repo;
pub mod rules;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

pub use create::Creation;
pub use error::OrderError;
pub use release::{Release, ReleaseOrder, Released};
pub use rules::{Escrow, OrderStatus};

use crate::base::actor::Actor;
use crate::base::batcher::{self, Batcher};
use crate::base::clock::Clock;
use crate::base::id::{BookId, MerchantId, OrderId, StoreId};
use crate::base::money::Money;
use crate::base::page::{FIRST_MAX, Page};
use crate::base::reads::Reads;
use crate::product::ability::Settle;
use crate::product::{Frozen, Products};
use crate::split::rule::Share;
use crate::subsidy::reservation::Subsidy;

/// An order as its merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: OrderId,
    pub merchant: MerchantId,
    pub store: StoreId,
    /// What the customer buys, in the merchant's words.
    pub subject: String,
    /// What it costs: what the payer pays, and what a programme pays for him.
    pub amount: Money,
    /// The rate at which the fee (手续费) is taken, in basis points. Frozen.
    pub fee_bps: i32,
    pub status: OrderStatus,
    /// Which of the merchant's stripes holds its money. Frozen, so that a retry finds it whatever became of their number.
    #[serde(default)]
    pub stripe: i16,
    /// What was given back or is on its way back.
    pub refunded: Money,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// When the channel took the money.
    pub paid_at: Option<DateTime<Utc>>,
    pub closed_at: Option<DateTime<Utc>>,
    /// What it was made as. Frozen.
    #[serde(default)]
    pub product: Frozen,
    /// What is kept of its money, where the product holds it.
    #[serde(default, skip_serializing_if = "Escrow::is_empty")]
    pub escrow: Escrow,
    /// What a programme pays of it, reserved when it was made. Frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsidy: Option<Subsidy>,
}

impl Order {
    /// The book its money is in. Its own row is in the merchant's book, like all that is not an entry.
    pub fn money_book(&self) -> BookId {
        self.merchant.stripe(self.stripe)
    }

    /// How its money is divided: the rule, and who fills its roles. None: the merchant keeps all of it.
    pub fn split(&self) -> Option<(&[Share], &BTreeMap<String, MerchantId>)> {
        let terms = &self.product.terms;
        (!terms.split.is_empty()).then_some((terms.split.as_slice(), &terms.parties))
    }

    /// How its payment is divided: not where the order holds it, which is divided when it is released, nor where it is the merchant's at once.
    pub fn divided_when_paid(&self) -> Option<(&[Share], &BTreeMap<String, MerchantId>)> {
        let terms = &self.product.terms;
        self.split().filter(|_| terms.hold.is_none() && terms.settle == Settle::T1)
    }

    /// What a programme pays of it.
    pub fn subsidy(&self) -> Money {
        Money { minor: self.subsidy.map_or(0, |subsidy| subsidy.minor), ..self.amount }
    }

    /// What its payer pays: all that a channel is ever asked for.
    pub fn payable(&self) -> Money {
        Money { minor: self.amount.minor - self.subsidy().minor, ..self.amount }
    }

    /// What is kept in its escrow account.
    pub fn held(&self) -> Money {
        Money { minor: self.escrow.held_minor(), ..self.amount }
    }
}

/// Asks a customer for money.
#[derive(Clone, Debug, Serialize)]
pub struct CreateOrder {
    pub merchant: MerchantId,
    pub store: StoreId,
    pub amount: Money,
    pub subject: String,
    /// None: the plain store payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Choice>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// The product of a new order, and who fills the roles of its split.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    pub code: String,
    pub parties: BTreeMap<String, MerchantId>,
}

/// Where a page of orders begins: after the order made at this time with this id, newest first.
pub type OrderCursor = (DateTime<Utc>, OrderId);

/// The service for orders.
#[derive(Clone, Debug)]
pub struct Orders {
    db: PgPool,
    clock: Clock,
    creation: Batcher<Creation>,
    reading: Reads<(MerchantId, OrderId), Order, OrderError>,
}

impl Orders {
    /// Sells the plain store payment alone.
    pub fn new(db: PgPool, clock: Clock) -> Self {
        Self::selling(db, clock, Products::default())
    }

    pub fn selling(db: PgPool, clock: Clock, products: Products) -> Self {
        let creation = Batcher::new("order_create", batcher::COMMANDS, Creation { db: db.clone(), clock: clock.clone(), products });
        let stored = db.clone();
        let reading = Reads::new("order_read", move |ids: Vec<(MerchantId, OrderId)>| {
            let db = stored.clone();
            async move { Ok(repo::by_ids(&db, &ids).await?.into_iter().map(|order| ((order.merchant, order.id), order)).collect()) }
        });
        Self { db, clock, creation, reading }
    }

    /// Makes an order for a store of a signed merchant. Only the merchant's owner and the platform may.
    pub async fn create(&self, actor: &Actor, cmd: CreateOrder) -> Result<Order, OrderError> {
        actor.require_owner(cmd.merchant)?;
        rules::check(cmd.amount, &cmd.subject)?;
        Ok(self.creation.submit(cmd).await?)
    }

    /// One order, for whoever may pay or watch it. Another merchant's order and a missing one look the same.
    pub async fn get(&self, actor: &Actor, merchant: MerchantId, order: OrderId) -> Result<Order, OrderError> {
        if actor.require_payer(merchant, order).is_err() && actor.require_reader(merchant).is_err() {
            return Err(OrderError::NotFound);
        }
        self.fetch(merchant, order).await
    }

    /// The newest `first` orders of a merchant, or those after `before`. At most [`FIRST_MAX`].
    pub async fn list(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        before: Option<OrderCursor>,
        first: i64,
    ) -> Result<Page<Order>, OrderError> {
        actor.require_reader(merchant)?;
        let first = first.clamp(1, FIRST_MAX);
        let rows = repo::page(&self.db, merchant.book(), before, first + 1).await?;
        let now = self.clock.now();
        Ok(Page::from_rows(rows.into_iter().map(|o| seen(o, now)).collect(), first))
    }

    /// Orders by id, for loaders that have checked who asks. Missing ones are left out; no order is promised.
    pub async fn by_ids(&self, ids: &[(MerchantId, OrderId)]) -> Result<Vec<Order>, OrderError> {
        let now = self.clock.now();
        Ok(repo::by_ids(&self.db, ids).await?.into_iter().map(|o| seen(o, now)).collect())
    }

    async fn fetch(&self, merchant: MerchantId, order: OrderId) -> Result<Order, OrderError> {
        let found = self.reading.get((merchant, order)).await?.ok_or(OrderError::NotFound)?;
        Ok(seen(found, self.clock.now()))
    }
}

fn seen(order: Order, now: DateTime<Utc>) -> Order {
    let status = rules::presented(order.status, order.expires_at, now);
    let closed_at = if status == OrderStatus::Closed { order.closed_at.or(Some(order.expires_at)) } else { order.closed_at };
    Order { status, closed_at, ..order }
}
