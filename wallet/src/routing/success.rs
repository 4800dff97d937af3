//! The effective success rate (有效成功率): PAID / (orders − user-caused), with the interval that the count supports (P9).
//!
//! A rate without its number is an opinion, so a figure carries both. The interval is the exact one at 95 %. What no table names, and an
//! order that found no channel, is ours.

use std::collections::BTreeMap;
use std::fmt;

use super::binomial::{clopper_pearson, exact_low};
use super::name::ChannelName;
use crate::channel::acquirer::Fault;

/// How much of the published interval's chances lie outside it.
const ALPHA: f64 = 0.05;

/// How an order ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Paid,
    /// Not paid, and whose doing that is. None where nothing says so: ours.
    Lost(Option<Fault>),
}

/// Orders that ended, counted. Open ones are no part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    orders: u64,
    paid: u64,
    user_caused: u64,
}

/// Why counts are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{paid} paid and {user_caused} user-caused orders are more than {orders} orders")]
pub struct CountsDisagree {
    orders: u64,
    paid: u64,
    user_caused: u64,
}

impl Counts {
    /// Takes counts as a query gives them.
    pub fn try_new(orders: u64, paid: u64, user_caused: u64) -> Result<Self, CountsDisagree> {
        match paid.checked_add(user_caused) {
            Some(sum) if sum <= orders => Ok(Self { orders, paid, user_caused }),
            _ => Err(CountsDisagree { orders, paid, user_caused }),
        }
    }

    /// Counts more orders that ended alike.
    pub fn add(&mut self, orders: u64, ending: Ending) {
        self.orders += orders;
        match ending {
            Ending::Paid => self.paid += orders,
            Ending::Lost(Some(Fault::User)) => self.user_caused += orders,
            Ending::Lost(Some(Fault::Channel | Fault::Ours) | None) => {}
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { orders: self.orders + other.orders, paid: self.paid + other.paid, user_caused: self.user_caused + other.user_caused }
    }

    /// What the counts say of the rate.
    pub fn figure(self) -> Figure {
        let n = self.orders - self.user_caused;
        let failures = n - self.paid;
        // by the failures: their share is small, and a float is finest near zero
        let (low, high) = clopper_pearson(failures, n, ALPHA);
        Figure { n, failures, low: 1.0 - high, high: 1.0 - low }
    }
}

/// An effective success rate with the exact 95 % interval of it, and the number of orders that it rests on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// Orders that were not the user's to lose.
    pub n: u64,
    /// Those of them that were not paid.
    pub failures: u64,
    /// The interval of Clopper and Pearson.
    pub low: f64,
    pub high: f64,
}

impl Figure {
    /// None: no order counted, so there is no rate, and certainly not 100 %.
    pub fn rate(&self) -> Option<f64> {
        (self.n > 0).then(|| (self.n - self.failures) as f64 / self.n as f64)
    }

    /// Whether the count supports "at least `goal`" at 95 % confidence, one-sided: for 0.99995 without a failure, from 59,914 orders on.
    pub fn supports(&self, goal: f64) -> bool {
        self.n > 0 && exact_low(self.n - self.failures, self.n, ALPHA) >= goal
    }

    /// The rule of three: without a failure in n, the share of failures is below 3 / n at 95 % confidence, one-sided. None where one failed.
    pub fn failures_below(&self) -> Option<f64> {
        (self.failures == 0 && self.n > 0).then(|| (3.0 / self.n as f64).min(1.0))
    }
}

impl fmt::Display for Figure {
    /// Rounds down, so that no figure reads better than it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rate) = self.rate() else { return f.write_str("no orders") };
        let percent = |share: f64| (share * 1e6).floor() / 1e4;
        let (rate, low, high) = (percent(rate), percent(self.low), percent(self.high));
        write!(f, "{rate:.4} % (95 % exact: {low:.4} to {high:.4} %, n = {}, failures = {})", self.n, self.failures)
    }
}

/// The figures of all channels, and of all orders.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub overall: Figure,
    pub channels: BTreeMap<ChannelName, Figure>,
}

impl Report {
    /// `channels`: each order with the channel of its last attempt. `unrouted`: orders that never had one.
    pub fn of(channels: &BTreeMap<ChannelName, Counts>, unrouted: Counts) -> Self {
        let all = channels.values().fold(unrouted, |sum, counts| sum.plus(*counts));
        Self { overall: all.figure(), channels: channels.iter().map(|(name, counts)| (name.clone(), counts.figure())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(orders: u64, paid: u64, user_caused: u64) -> Figure {
        Counts::try_new(orders, paid, user_caused).unwrap().figure()
    }

    #[test]
    fn what_the_user_caused_is_no_part_of_the_rate() {
        let some = figure(1_000, 900, 90);
        assert_eq!((some.n, some.failures, some.rate()), (910, 10, Some(900.0 / 910.0)));
        assert_eq!(figure(1_000, 900, 100).rate(), Some(1.0));
    }

    #[test]
    fn a_code_that_nobody_mapped_is_ours() {
        let mut counts = Counts::default();
        for ending in [Ending::Paid, Ending::Lost(None), Ending::Lost(Some(Fault::Ours)), Ending::Lost(Some(Fault::Channel))] {
            counts.add(1, ending);
        }
        counts.add(1, Ending::Lost(Some(Fault::User)));
        assert_eq!(counts, Counts::try_new(5, 1, 1).unwrap());
        assert_eq!((counts.figure().n, counts.figure().failures), (4, 3));
    }

    #[test]
    fn counts_that_disagree_are_refused() {
        assert!(Counts::try_new(10, 10, 0).is_ok());
        let told = Counts::try_new(10, 9, 2).unwrap_err().to_string();
        assert_eq!(told, "9 paid and 2 user-caused orders are more than 10 orders");
        assert!(Counts::try_new(10, u64::MAX, 2).is_err());
    }

    #[test]
    fn no_orders_have_no_rate() {
        let none = figure(5, 0, 5);
        assert_eq!((none.n, none.rate(), none.low, none.high), (0, None, 0.0, 1.0));
        assert_eq!((none.supports(0.0), none.failures_below(), none.to_string().as_str()), (false, None, "no orders"));
    }

    #[test]
    fn the_headline_needs_sixty_thousand_orders_without_a_failure() {
        // ledger §7: n >= 60,000 by the rule of three; exactly, ln(0.05) / ln(0.99995) = 59,913.2
        assert!(figure(59_914, 59_914, 0).supports(0.999_95));
        assert!(!figure(59_913, 59_913, 0).supports(0.999_95));
        assert!(!figure(60_000, 59_999, 0).supports(0.999_95));
        // with one failure about 4.744 / 0.00005
        assert!(figure(94_890, 94_889, 0).supports(0.999_95));
        assert!(!figure(94_870, 94_869, 0).supports(0.999_95));
        assert_eq!(figure(60_000, 60_000, 0).failures_below(), Some(0.000_05));
        assert_eq!(figure(60_000, 59_999, 0).failures_below(), None);
        assert!(figure(1, 1, 0).failures_below() == Some(1.0));
    }

    #[test]
    fn the_rule_of_three_is_just_above_the_exact_bound() {
        for n in [10, 100, 10_000, 3_000_000] {
            let none = figure(n, n, 0);
            let exact = 1.0 - exact_low(n, n, ALPHA);
            let rule = none.failures_below().unwrap();
            assert!(rule > exact && rule < exact * 1.16, "{n}: {rule} for {exact}");
        }
    }

    #[test]
    fn a_figure_never_reads_better_than_it_is() {
        assert_eq!(figure(3_000_000, 2_999_999, 0).to_string(), "99.9999 % (95 % exact: 99.9998 to 99.9999 %, n = 3000000, failures = 1)");
        assert_eq!(figure(20, 20, 0).to_string(), "100.0000 % (95 % exact: 83.1566 to 100.0000 %, n = 20, failures = 0)");
        assert_eq!(figure(100, 90, 0).to_string(), "90.0000 % (95 % exact: 82.3777 to 95.0995 %, n = 100, failures = 10)");
    }

    #[test]
    fn the_whole_is_the_sum_of_the_channels_and_of_what_found_none() {
        let name = |text| ChannelName::try_new(text).unwrap();
        let counts = |o, p, u| Counts::try_new(o, p, u).unwrap();
        let channels = BTreeMap::from([(name("ALIPAY"), counts(100, 90, 5)), (name("WECHAT"), counts(200, 198, 1))]);
        let report = Report::of(&channels, counts(3, 0, 0));
        assert_eq!((report.overall.n, report.overall.failures), (297, 9));
        assert_eq!((report.channels[&name("ALIPAY")].n, report.channels[&name("ALIPAY")].failures), (95, 5));
        assert_eq!(report.channels.len(), 2);
    }
}
