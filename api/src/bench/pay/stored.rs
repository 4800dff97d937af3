//! Payments that are stored before anything is measured, made by the services themselves in large batches, so that the books are sound
//! however many there are. Only the channel is not asked: one that invites at once stands in its place.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgPool;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::base::id::{MerchantId, StoreId};
use wallet::base::money::Money;
use wallet::channel::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply, TransferWord,
};
use wallet::channel::{ChannelError, Channels, SANDBOX};
use wallet::order::{CreateOrder, Orders};
use wallet::payment::{Outcome, Payments, StartPayment, Word};
use wallet::product::Products;

use crate::config::Config;

/// Payments that are made together.
const TOGETHER: usize = 500;

/// Stores so many paid orders of a merchant.
pub(super) async fn store(config: &Config, db: &PgPool, merchant: MerchantId, store: StoreId, count: usize) -> Result<()> {
    let clock = Clock::default();
    let products = Products::publish(db, crate::products::load(&config.products.dir)?).await?;
    let channels = Channels::new([Arc::new(Ready) as Arc<dyn Acquirer>]);
    let routing = crate::channel::routing(config, &channels, &clock)?;
    let orders = Orders::selling(db.clone(), clock.clone(), products);
    let payments = Payments::new(db.clone(), clock, channels, routing, Duration::from_secs(3600));
    let make = |from: usize| {
        let (orders, payments) = (&orders, &payments);
        async move {
            let numbers = from..count.min(from + TOGETHER);
            let started = stream::iter(numbers).map(|number| start(orders, payments, merchant, store, number));
            let outcomes: Vec<Outcome> = started.buffer_unordered(TOGETHER).try_collect().await?;
            let verdicts = payments.apply(&outcomes).await?;
            if verdicts.iter().any(Option::is_none) {
                bail!("a payment that was just started is not known");
            }
            anyhow::Ok(())
        }
    };
    // two at a time: one is written while the other is decided
    stream::iter((0..count).step_by(TOGETHER))
        .map(make)
        .buffer_unordered(2)
        .try_collect::<()>()
        .await
        .context("payments to be stored before")
}

/// An order with its attempt, and what the channel is to say of it.
async fn start(orders: &Orders, payments: &Payments, merchant: MerchantId, store: StoreId, number: usize) -> Result<Outcome> {
    let amount = Money::cny(1_000 + i64::try_from(number).unwrap_or(0) * 37 % 90_000);
    let (subject, idempotency_key) = (format!("订单 {number}"), Uuid::now_v7());
    let order = orders.create(&Actor::System, CreateOrder { merchant, store, amount, subject, product: None, idempotency_key }).await?;
    let start = StartPayment {
        merchant,
        order: order.id,
        method: Method::Page,
        wallet: None,
        payer: None,
        return_url: None,
        idempotency_key: Uuid::now_v7(),
        failed: None,
    };
    let attempt = payments.start(&Actor::System, start).await?;
    let word = Word::Succeeded {
        transaction_id: format!("STORED{}", attempt.id.simple()),
        amount_minor: amount.minor,
        currency: amount.currency.as_str().to_owned(),
        at: Clock::wall(),
    };
    Ok(Outcome { book: merchant.book(), attempt: attempt.id, word })
}

/// A channel that invites at once. Nothing else is asked of it.
#[derive(Debug)]
struct Ready;

const NOT_ASKED: ChannelError = ChannelError::BadAnswer("nothing but an invitation comes from here");

#[async_trait]
impl Acquirer for Ready {
    fn name(&self) -> &'static str {
        SANDBOX
    }

    fn methods(&self) -> &'static [Method] {
        &Method::ALL
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        let invitation = Some(Invitation::Url(format!("https://sandbox.invalid/pay/{}", order.request_no)));
        Ok(PaymentState { invitation, word: PaymentWord::Pending })
    }

    async fn query(&self, _payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        Err(NOT_ASKED)
    }

    async fn close(&self, _payment: &Asked) -> Result<PaymentState, ChannelError> {
        Err(NOT_ASKED)
    }

    async fn refund(&self, _order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        Err(NOT_ASKED)
    }

    async fn query_refund(&self, _refund: &Asked, _payment: &Asked, _amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        Err(NOT_ASKED)
    }

    fn refund_closed(&self, _code: &str) -> bool {
        false
    }

    fn hear(&self, _headers: &HeaderMap, _body: &[u8], _now: DateTime<Utc>) -> Result<Heard, HearError> {
        Err(HearError::Foreign)
    }

    fn reply(&self, _stored: bool) -> Reply {
        Reply { status: axum::http::StatusCode::FORBIDDEN, content_type: "text/plain", body: String::new() }
    }

    fn fault(&self, _code: &str) -> Fault {
        Fault::Ours
    }
}
