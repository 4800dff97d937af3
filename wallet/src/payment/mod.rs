//! Payments (支付): attempts to pay an order through a channel, and what the channel says of them.
//!
//! Attempt: SENT → USER_PENDING or UNKNOWN → SUCCEEDED, FAILED, CLOSED_AT_CHANNEL or CONFLICTED. Starting is two transactions around
//! one call: the attempt is stored as SENT with the job that will ask for it, then the channel is called with no transaction open,
//! then its answer is stored. No answer leaves UNKNOWN, and only the channel's word resolves that.
//!
//! One order has at most one live attempt that anybody was invited to pay. Starting again in the same way goes on with it; starting in
//! another way closes it first. Where a channel refused by its own doing, or gave no answer and so invited nobody, the same start goes on
//! at another channel: the silent attempt stays in the books, is closed there, and a success of both is given back once (P2).

mod batch;
mod error;
mod process;
pub(crate) mod repo;
mod route;
pub mod rules;
mod start;
pub mod success;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

pub use error::PaymentError;
pub use process::{CloseOrder, Processed};
pub use route::{ChannelLine, Routing, Switch};
pub use rules::{AttemptStatus, Verdict, Wish, Word};

pub use start::{Preparation, Prepared, Record, Recording, Said};

use crate::base::batcher::{self, Batcher};
use crate::base::clock::Clock;
use crate::base::id::{AttemptId, BookId, MerchantId, OrderId};
use crate::base::money::Money;
use crate::base::reads::Reads;
use crate::channel::Channels;
use crate::channel::acquirer::{Asked, Invitation, Method, PaymentState, PaymentWord, Wallet};
use crate::channel::inbox::{self, Inbox};

/// Kind of the job that asks what became of an attempt.
pub const QUERY_JOB: &str = "payment_query";

/// A payment attempt (支付尝试).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub id: AttemptId,
    pub merchant: MerchantId,
    pub order: OrderId,
    pub channel: String,
    /// What the payer pays: the cash part of a subsidised order.
    pub amount: Money,
    pub status: AttemptStatus,
    pub method: Method,
    /// Whose app the customer said to pay from.
    #[serde(default)]
    pub wallet: Option<Wallet>,
    /// The line of the routing table that took it.
    #[serde(default)]
    pub candidate: String,
    /// How the customer is brought to pay, once the channel has told.
    pub invitation: Option<Invitation>,
    /// The channel's own id, once it has the money.
    pub transaction_id: Option<String>,
    pub error_code: Option<String>,
    /// Money that came too often or too late, and goes back by itself.
    pub surplus: bool,
    /// Set: the channel keeps the money frozen until it is divided there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Freeze>,
    pub sent_at: DateTime<Utc>,
    /// When the channel took the money.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// When we learnt of the final state.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// By what rules a channel keeps a payment frozen, as they were when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Most that it gives to receivers, in minor units.
    pub divisible_minor: i64,
    /// Days after the payment from which it does not keep it.
    pub days: u16,
}

impl Attempt {
    /// As its channel finds it again.
    pub(crate) fn asked(&self) -> Asked {
        Asked { request_no: self.id.simple(), sent_at: self.sent_at }
    }
}

/// Starts to pay an order.
#[derive(Clone, Debug, Serialize)]
pub struct StartPayment {
    pub merchant: MerchantId,
    pub order: OrderId,
    pub method: Method,
    /// Whose app the customer pays from. None: nobody said, so it must be payable from every wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Wallet>,
    /// Who pays, by the channel's own id, where the method needs it; the scanned code for [`Method::Barcode`]. Not kept.
    #[serde(skip)]
    pub payer: Option<String>,
    /// Where the channel's page leads back to. Not part of what the key stands for.
    #[serde(skip)]
    pub return_url: Option<String>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
    /// The attempt of this very start that came to nothing at its channel: the next one goes elsewhere.
    #[serde(skip)]
    pub failed: Option<AttemptId>,
}

/// The channel's word on one attempt.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub book: BookId,
    pub attempt: AttemptId,
    pub word: Word,
}

/// The service for payments.
#[derive(Clone, Debug)]
pub struct Payments {
    db: PgPool,
    clock: Clock,
    channels: Channels,
    routing: Arc<Routing>,
    preparation: Batcher<Preparation>,
    recording: Batcher<Recording>,
    inbox: Batcher<Inbox>,
    reading: Reads<(MerchantId, OrderId), Vec<Attempt>, PaymentError>,
}

impl Payments {
    /// `query_after`: how long after sending the channel is asked, if it has not told by itself.
    pub fn new(db: PgPool, clock: Clock, channels: Channels, routing: Routing, query_after: std::time::Duration) -> Self {
        let routing = Arc::new(routing);
        let query_after = TimeDelta::from_std(query_after).unwrap_or(TimeDelta::seconds(5));
        let preparation =
            Preparation { db: db.clone(), clock: clock.clone(), channels: channels.clone(), routing: routing.clone(), query_after };
        let stored = db.clone();
        let reading = Reads::new("attempts_read", move |orders: Vec<(MerchantId, OrderId)>| {
            let db = stored.clone();
            async move {
                let mut found: HashMap<_, Vec<Attempt>> = HashMap::new();
                for attempt in repo::of_orders(&db, &orders).await? {
                    found.entry((attempt.merchant, attempt.order)).or_default().push(attempt);
                }
                Ok(found)
            }
        });
        let recording = Recording { db: db.clone(), clock: clock.clone() };
        Self {
            preparation: Batcher::new("payment_prepare", batcher::COMMANDS, preparation),
            recording: Batcher::new("payment_record", batcher::COMMANDS, recording),
            inbox: Batcher::new("payment_notice", inbox::LIMITS, Inbox { db: db.clone() }),
            reading,
            db,
            clock,
            channels,
            routing,
        }
    }

    /// The acquirers it pays through.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Attempts by id, for loaders that have checked who asks. Missing ones are left out; no order is promised.
    pub async fn by_ids(&self, ids: &[(MerchantId, AttemptId)]) -> Result<Vec<Attempt>, PaymentError> {
        Ok(repo::by_ids(&self.db, ids).await?)
    }

    /// Attempts of one order, for whoever has checked who asks; oldest first.
    pub async fn of_order(&self, merchant: MerchantId, order: OrderId) -> Result<Vec<Attempt>, PaymentError> {
        Ok(self.reading.get((merchant, order)).await?.unwrap_or_default())
    }

    /// Attempts of orders, for loaders that have checked who asks; oldest first.
    pub async fn of_orders(&self, orders: &[(MerchantId, OrderId)]) -> Result<Vec<Attempt>, PaymentError> {
        Ok(repo::of_orders(&self.db, orders).await?)
    }
}

/// An answer or a query's result as a word to be judged.
fn word_of(state: PaymentState) -> Word {
    match state.word {
        PaymentWord::Pending => Word::Pending { invitation: state.invitation },
        PaymentWord::Succeeded { transaction_id, amount_minor, currency, at } => {
            Word::Succeeded { transaction_id, amount_minor, currency, at }
        }
        PaymentWord::Failed { code } => Word::Failed { code },
        PaymentWord::Closed => Word::Closed,
    }
}
