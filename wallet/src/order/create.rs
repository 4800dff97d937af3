//! Making orders, many at a time: read keys and contracts → decide in memory → write orders, events and keys → one commit.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::repo::{self, Terms};
use super::{CreateOrder, Order, OrderError, OrderStatus, rules};
use crate::base::batcher::{Batched, Results, lane_of};
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{MerchantId, OrderId, StoreId};
use crate::base::idempotency::{CommandHash, Keys, Scope};
use crate::base::money::Money;
use crate::base::outbox::{self, Event};

/// What its batcher runs. Orders of one merchant share nothing but their keys.
#[derive(Debug)]
pub struct Creation {
    pub db: PgPool,
    pub clock: Clock,
}

impl Batched for Creation {
    type Command = CreateOrder;
    type Answer = Order;
    type Error = OrderError;

    fn lane(&self, command: &CreateOrder) -> u64 {
        lane_of(command.idempotency_key)
    }

    fn bytes(&self, command: &CreateOrder) -> usize {
        size_of::<CreateOrder>() + command.subject.len()
    }

    async fn run(&self, batch: &[CreateOrder]) -> Results<Order, OrderError> {
        match retrying(OrderError::retryable, || self.create(batch)).await {
            Err(error) if error.shared() => {
                tracing::error!(orders = batch.len(), error = &error as &dyn std::error::Error, "no connection to make orders with");
                Ok(batch.iter().map(|_| Err(OrderError::Busy { retry_after: crate::base::db::RETRY_AFTER })).collect())
            }
            result => result,
        }
    }
}

impl Creation {
    /// One transaction of five statements, whatever the number of orders.
    async fn create(&self, batch: &[CreateOrder]) -> Results<Order, OrderError> {
        let now = self.clock.now();
        let scopes: Vec<Scope> = batch.iter().map(scope).collect();
        let stores: Vec<_> = batch.iter().map(|cmd| (cmd.merchant, cmd.store)).collect();
        let mut tx = self.db.begin().await?;
        let keys = Keys::read_in_tx(&mut tx, &scopes).await?;
        let terms = repo::terms_in_tx(&mut tx, &stores).await?;

        let mut making = Making { keys, terms, orders: Vec::new(), now };
        let results = batch.iter().map(|cmd| making.take_in(cmd)).collect();

        repo::insert_in_tx(&mut tx, &making.orders).await?;
        outbox::append_in_tx(&mut tx, &making.orders.iter().map(created).collect::<Vec<_>>()).await?;
        making.keys.write_in_tx(&mut tx, now).await?;
        tx.commit().await?;
        Ok(results)
    }
}

/// A batch in memory: each member sees what those before it did.
struct Making {
    keys: Keys<Order>,
    terms: HashMap<(MerchantId, StoreId), Terms>,
    /// Accepted, to be written.
    orders: Vec<Order>,
    now: DateTime<Utc>,
}

impl Making {
    /// Decides one command. A rejected one leaves nothing, not even its key.
    fn take_in(&mut self, cmd: &CreateOrder) -> Result<Order, OrderError> {
        let hash = CommandHash::of(cmd);
        if let Some(kept) = self.keys.find(scope(cmd), hash)? {
            // a claim commits with its answer: one without was written by hand
            return kept.response.clone().ok_or(OrderError::NotFound);
        }
        let terms = self.terms.get(&(cmd.merchant, cmd.store)).ok_or(OrderError::MerchantNotSigned)?;
        if !terms.signed {
            return Err(OrderError::MerchantNotSigned);
        }
        if !terms.store_exists {
            return Err(OrderError::StoreNotFound);
        }
        let id = OrderId::new();
        let order = Order {
            id,
            merchant: cmd.merchant,
            store: cmd.store,
            subject: cmd.subject.clone(),
            amount: cmd.amount,
            fee_bps: terms.fee_bps,
            status: OrderStatus::Created,
            stripe: rules::stripe(id, terms.stripes),
            refunded: Money { minor: 0, currency: cmd.amount.currency },
            created_at: self.now,
            expires_at: self.now + rules::LIFETIME,
            paid_at: None,
            closed_at: None,
        };
        self.keys.claim(scope(cmd), hash, id.0, Some(order.clone()));
        self.orders.push(order.clone());
        Ok(order)
    }
}

fn scope(cmd: &CreateOrder) -> Scope {
    Scope { tenant: cmd.merchant.0, operation: "orderCreate", key: cmd.idempotency_key }
}

fn created(order: &Order) -> Event {
    Event {
        book: order.merchant.book(),
        kind: "order.created",
        subject: order.id.0,
        payload: serde_json::json!({
            "version": 1,
            "storeId": order.store,
            "amountMinor": order.amount.minor.to_string(),
            "currency": order.amount.currency,
        }),
        at: order.created_at,
    }
}
