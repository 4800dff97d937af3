//! Lines of splits (分账明细), as the payer and as their receivers see them.

pub(crate) mod repo;

use chrono::{DateTime, Utc};

use super::state::LineStatus;
use crate::base::id::{AttemptId, MerchantId, OrderId, SplitCallId, SplitLineId};
use crate::base::money::Money;
use crate::base::outbox::Event;

/// A line (分账明细): what one receiver gets of one payment in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: SplitLineId,
    /// Who was paid by the customer.
    pub merchant: MerchantId,
    pub order: OrderId,
    pub round: i16,
    /// The payment whose money it is.
    pub attempt: AttemptId,
    /// The line it is paid from. None: it is paid from the order's money.
    pub parent: Option<SplitLineId>,
    pub role: String,
    pub receiver: MerchantId,
    /// With what the receiver passes on.
    pub amount: Money,
    pub passes_on: bool,
    /// The request that carries it to the channel. None: the ledger alone moves it, or it waits.
    pub call: Option<SplitCallId>,
    pub status: LineStatus,
    pub error_code: Option<String>,
    /// What arrived: all or nothing.
    pub succeeded_minor: i64,
    pub returning_minor: i64,
    pub returned_minor: i64,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub resolved_at: Option<DateTime<Utc>>,
    /// When the receiver of a line that passes on could use what is its own.
    pub kept_at: Option<DateTime<Utc>>,
}

/// A line as its receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareOf {
    pub line: SplitLineId,
    pub receiver: MerchantId,
    pub payer_name: String,
    pub role: String,
    pub amount: Money,
    pub received: Money,
    pub returned: Money,
    /// What others have of it now.
    pub passed_on: Money,
    pub status: LineStatus,
    pub created_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

/// Where a page of a receiver's shares begins: after the one made at this time with this id, newest first.
pub type LineCursor = (DateTime<Utc>, SplitLineId);

/// An event about a line; its subject is the order.
pub(super) fn line_event(kind: &'static str, line: &Line, at: DateTime<Utc>) -> Event {
    Event {
        book: line.merchant.book(),
        kind,
        subject: line.order.0,
        payload: serde_json::json!({
            "version": 1,
            "lineId": line.id,
            "role": line.role,
            "receiverId": line.receiver,
            "amountMinor": line.amount.minor.to_string(),
            "returnedMinor": line.returned_minor.to_string(),
            "currency": line.amount.currency,
            "errorCode": line.error_code,
        }),
        at,
    }
}
