//! Paying out through the bank (银企直连代付): asked for under our number, and asked about under the same.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

use super::client::{Link, amount, failure, known, renminbi, replied};
use super::wire::{Message, WireError, field, read_transfer_status, trx};
use crate::channel::ChannelError;
use crate::channel::acquirer::{HearError, Heard, Reply, Spoken};
use crate::channel::payout::{PayoutOrder, PayoutRail, PayoutState, PayoutStatus};
use crate::channel::sandbox::wire::TransferStatus;
use crate::channel::unionpay::unsent;

/// The name of this bank as one that pays out. As an acquirer it has another: the inboxes are apart, and so are cash and receivable.
pub const RAIL: &str = "DIRECT_BANK";

/// The bank that pays out (付款行).
#[derive(Clone, Debug)]
pub struct DirectBank {
    link: Link,
}

impl DirectBank {
    pub fn new(link: Link) -> Self {
        Self { link }
    }
}

fn status(message: &Message) -> Result<PayoutStatus, WireError> {
    Ok(match read_transfer_status(message.need(field::STATUS)?).ok_or(WireError)? {
        TransferStatus::Accepted => PayoutStatus::Accepted,
        TransferStatus::Succeeded => PayoutStatus::Succeeded,
        TransferStatus::Failed => PayoutStatus::Failed { code: failure(message) },
        TransferStatus::Returned => PayoutStatus::Returned { code: failure(message) },
    })
}

fn state(answer: &Message) -> Result<PayoutState, WireError> {
    Ok(PayoutState { status: status(answer)?, bank_reference: Some(answer.need(field::TRADE_NO)?.to_owned()) })
}

#[async_trait]
impl PayoutRail for DirectBank {
    fn name(&self) -> &'static str {
        RAIL
    }

    async fn payout(&self, order: &PayoutOrder) -> Result<PayoutState, ChannelError> {
        // a name that is changed would pay somebody else, or nobody
        if !self.link.seal.fits(&order.payee_name) {
            return Err(unsent("PAYEE_NAME_NOT_WRITABLE"));
        }
        let more = [
            (field::PAYEE_NAME, order.payee_name.clone()),
            (field::PAYEE_ACCOUNT, order.payee_account.clone()),
            (field::AMOUNT, renminbi(order.amount)?),
            (field::CURRENCY, order.amount.currency.as_str().to_owned()),
            (field::NOTIFY_URL, self.link.notify_url.clone()),
        ];
        let answer = self.link.exchange(trx::PAYOUT, &order.request_no, more).await?;
        if amount(&answer)? != (order.amount.minor, order.amount.currency.as_str().to_owned()) {
            return Err(ChannelError::BadAnswer("it is about another amount"));
        }
        Ok(state(&answer)?)
    }

    async fn query(&self, request_no: &str) -> Result<Option<PayoutState>, ChannelError> {
        let found = known(self.link.exchange(trx::QUERY_PAYOUT, request_no, []).await)?;
        Ok(found.map(|answer| state(&answer)).transpose()?)
    }

    fn hear(&self, _headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
        let (notice_id, message) = self.link.hear(body, now)?;
        if message.get(field::TRX) != Some(trx::PAYOUT_NOTICE) {
            return Err(HearError::Malformed);
        }
        let (amount_minor, currency) = amount(&message)?;
        let spoken = Spoken::Payout {
            request_no: message.need(field::ORDER)?.to_owned(),
            amount_minor,
            currency,
            bank_reference: message.need(field::TRADE_NO)?.to_owned(),
            word: status(&message)?,
        };
        Ok(Heard { notice_id, spoken })
    }

    fn reply(&self, stored: bool) -> Reply {
        replied(stored)
    }
}
