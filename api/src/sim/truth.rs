//! What really happened at the counterparties, for tests that compare it with the platform's books.

use serde::Serialize;
use wallet::channel::sandbox::wire::{PaymentStatus, TransferStatus};

use super::Party;
use super::record::{Payment, Payout, Refund};

/// A payment, a refund or a payout.
#[derive(Clone, Debug, Serialize)]
pub struct Truth {
    pub party: Party,
    /// `PAYMENT`, `REFUND`, `PAYOUT`; of splits `SHARE`, `FREED` and `SHARE_BACK`.
    pub what: &'static str,
    /// The platform's number.
    pub request_no: String,
    /// The number of the payment that a refund is of, or the number that the counterparty gave the payment that is split.
    pub of: Option<String>,
    /// Whose share it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub amount_minor: i64,
    pub currency: String,
    pub status: String,
    /// Whether the money is with whom it should have gone to: the platform, the payer or the payee.
    pub moved: bool,
    /// Whether it was there once and came back.
    pub came_back: bool,
}

impl Truth {
    pub fn of_payment(p: &Payment) -> Self {
        Self {
            party: p.party,
            what: "PAYMENT",
            request_no: p.request.request_no.clone(),
            of: None,
            account: None,
            amount_minor: p.request.amount_minor,
            currency: p.request.currency.clone(),
            status: text(&p.status),
            moved: p.status == PaymentStatus::Succeeded,
            came_back: false,
        }
    }

    pub fn of_refund(r: &Refund) -> Self {
        Self {
            party: r.party,
            what: "REFUND",
            request_no: r.request.request_no.clone(),
            of: Some(r.request.payment_request_no.clone()),
            account: None,
            amount_minor: r.request.amount_minor,
            currency: r.request.currency.clone(),
            status: text(&r.status),
            moved: r.status == TransferStatus::Succeeded,
            came_back: false,
        }
    }

    pub fn of_payout(p: &Payout) -> Self {
        Self {
            party: p.party,
            what: "PAYOUT",
            request_no: p.request_no.clone(),
            of: None,
            account: None,
            amount_minor: p.amount_minor,
            currency: p.currency.clone(),
            status: text(&p.status),
            moved: p.status == TransferStatus::Succeeded,
            came_back: p.status == TransferStatus::Returned,
        }
    }
}

/// What a split did with a part of a payment.
#[derive(Clone, Debug)]
pub struct Shared<'s> {
    pub party: Party,
    pub what: &'static str,
    pub request_no: &'s str,
    pub transaction_id: &'s str,
    pub account: Option<&'s str>,
    pub amount_minor: i64,
    pub moved: bool,
}

impl Shared<'_> {
    pub fn truth(&self) -> Truth {
        Truth {
            party: self.party,
            what: self.what,
            request_no: self.request_no.to_owned(),
            of: Some(self.transaction_id.to_owned()),
            account: self.account.map(str::to_owned),
            amount_minor: self.amount_minor,
            currency: "CNY".to_owned(),
            status: if self.moved { "SUCCEEDED" } else { "FAILED" }.to_owned(),
            moved: self.moved,
            came_back: false,
        }
    }
}

/// As the wire spells it.
fn text(status: &impl Serialize) -> String {
    serde_json::to_value(status).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}
