//! A notice that says what is not so, in the counterparty's own hand. The book itself is not touched.

use chrono::{DateTime, Utc};

use super::chaos::rules::Told;
use super::front::{About, Front};
use super::record::{Payment, Payout, Refund};

/// Another merchant of the counterparty's.
const OTHER_MERCHANT: &str = "1900009999";

/// What is told instead of the truth.
pub enum Lie {
    Payment(Payment),
    /// With the payment it is of.
    Refund(Box<(Refund, Payment)>),
    Payout(Payout),
}

impl Lie {
    /// What is so, changed where the lie wants it.
    pub fn about(about: About<'_>, told: Told) -> Self {
        let mut lie = match about {
            About::Payment(p) => Self::Payment(p.clone()),
            About::Refund(r, p) => Self::Refund(Box::new((r.clone(), p.clone()))),
            About::Payout(p) => Self::Payout(p.clone()),
        };
        let (merchants, amount_minor, currency) = match &mut lie {
            Self::Payment(p) => (vec![&mut p.request.merchant_no], &mut p.request.amount_minor, &mut p.request.currency),
            // a refund is told for the merchant of its payment, or for its own
            Self::Refund(both) => {
                let (r, p) = both.as_mut();
                let merchants = vec![&mut p.request.merchant_no, &mut r.request.merchant_no];
                (merchants, &mut r.request.amount_minor, &mut r.request.currency)
            }
            Self::Payout(p) => (vec![&mut p.merchant_no], &mut p.amount_minor, &mut p.currency),
        };
        match told {
            Told::Truth | Told::Nothing => {}
            Told::OtherMerchant => merchants.into_iter().for_each(|merchant| OTHER_MERCHANT.clone_into(merchant)),
            Told::OtherAmount => *amount_minor += 1,
            Told::OtherCurrency => "USD".clone_into(currency),
        }
        lie
    }

    /// As a notice.
    pub fn told(&self, front: &dyn Front, notice_id: &str, now: DateTime<Utc>) -> String {
        let about = match self {
            Self::Payment(p) => About::Payment(p),
            Self::Refund(both) => About::Refund(&both.0, &both.1),
            Self::Payout(p) => About::Payout(p),
        };
        front.notice(notice_id, about, now)
    }
}
