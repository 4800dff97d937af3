//! The effective success rate of payments (有效成功率, P9), counted from orders that have come to their end.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};

use super::rules::AttemptStatus;
use super::{PaymentError, Payments, repo};
use crate::base::actor::{Actor, Role};
use crate::base::clock::day_start;
use crate::channel::acquirer::Fault;
use crate::routing::ChannelName;
use crate::routing::success::{Counts, Ending, Report};

/// Most days of one figure.
pub const DAYS_MAX: u64 = 366;

/// Orders that ended alike: their last attempt, or the one that paid.
#[derive(Debug)]
pub struct Ended {
    pub channel: String,
    pub status: AttemptStatus,
    pub error_code: Option<String>,
    /// Whether the customer was shown how to pay.
    pub invited: bool,
    pub orders: i64,
}

impl Payments {
    /// How many of the orders whose last attempt was made in these days were paid, less those that were their customers' to lose. Operators
    /// only. Orders that are still open are no part of it.
    pub async fn effective_success(&self, actor: &Actor, from: NaiveDate, to: NaiveDate) -> Result<Report, PaymentError> {
        actor.require_role(Role::Operator)?;
        let (from, to, now) = (day_start(from), day_start(to + Days::new(1)), self.clock.now());
        let mut channels: BTreeMap<ChannelName, Counts> = BTreeMap::new();
        for ended in repo::ended(&self.db, from, to, now).await? {
            let Ok(name) = ChannelName::try_new(&ended.channel) else { continue };
            let ending = self.ending(&ended);
            channels.entry(name).or_default().add(ended.orders.unsigned_abs(), ending);
        }
        let mut unrouted = Counts::default();
        unrouted.add(repo::ended_unrouted(&self.db, from, to, now).await?.unsigned_abs(), Ending::Lost(Some(Fault::Ours)));
        Ok(Report::of(&channels, unrouted))
    }

    /// Whose doing the end of an order was: what no table names is ours.
    fn ending(&self, ended: &Ended) -> Ending {
        let fault = |code: &str| self.channels.get(&ended.channel).map(|channel| channel.fault(code));
        match ended.status {
            AttemptStatus::Succeeded => Ending::Paid,
            AttemptStatus::Failed => Ending::Lost(ended.error_code.as_deref().and_then(fault)),
            // the customer saw how to pay and let the time pass
            AttemptStatus::ClosedAtChannel if ended.invited => Ending::Lost(Some(Fault::User)),
            AttemptStatus::ClosedAtChannel => Ending::Lost(Some(Fault::Channel)),
            AttemptStatus::Sent | AttemptStatus::UserPending | AttemptStatus::Unknown | AttemptStatus::Conflicted => Ending::Lost(None),
        }
    }
}
