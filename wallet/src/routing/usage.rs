//! What was used of the candidates' quotas (额度): money of the day, and requests of the last second. In memory, exact, and bounded (C7).
//!
//! Money counts from when a candidate is given it, and is not given back when nobody pays: channels differ in whether they do, and a quota
//! that is used too little harms nobody.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::candidate::Candidate;
use super::name::CandidateName;
use crate::base::clock::business_day;

/// A second is counted in slots of this length, so that a limit holds in *any* second and not only in those of the clock.
const SLOT_MS: i64 = 100;

/// The slots that any second may touch.
const SLOTS: usize = 11;

/// What one candidate was given.
#[derive(Clone, Debug, Default)]
struct Used {
    /// The day that the amount belongs to.
    day: NaiveDate,
    minor: i64,
    /// The newest slot, by number since 1970, and the requests of it and those before it.
    slot: i64,
    requests: [u32; SLOTS],
}

impl Used {
    fn minor_on(&self, day: NaiveDate) -> i64 {
        if self.day == day { self.minor } else { 0 }
    }

    /// Requests of the slots that a second ending in this slot may touch.
    fn in_second(&self, slot: i64) -> u32 {
        let gone = usize::try_from(slot - self.slot).unwrap_or(0);
        self.requests.iter().take(SLOTS.saturating_sub(gone)).fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Forgets what is older than a second. A clock that went back counts in the newest slot.
    fn advance(&mut self, slot: i64) {
        let gone = usize::try_from(slot - self.slot).unwrap_or(0).min(SLOTS);
        self.requests.rotate_right(gone % SLOTS);
        self.requests[..gone].fill(0);
        self.slot = self.slot.max(slot);
    }
}

/// What the candidates were given. At most one entry per candidate.
#[derive(Clone, Debug, Default)]
pub struct Usage(HashMap<CandidateName, Used>);

/// The quota that a payment would break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exceeded {
    /// The day has this much left.
    Daily {
        left_minor: i64,
    },
    PerSecond,
}

impl Usage {
    /// Whether a candidate may be given a payment of that amount now.
    pub fn allows(&self, candidate: &Candidate, amount_minor: i64, now: DateTime<Utc>) -> Result<(), Exceeded> {
        let used = self.0.get(&candidate.name);
        if let Some(limit) = candidate.daily_minor_max {
            let left_minor = limit.saturating_sub(used.map_or(0, |u| u.minor_on(business_day(now))));
            if amount_minor > left_minor {
                return Err(Exceeded::Daily { left_minor: left_minor.max(0) });
            }
        }
        let asked = used.map_or(0, |u| u.in_second(slot_of(now)));
        if asked >= candidate.per_second_max { Err(Exceeded::PerSecond) } else { Ok(()) }
    }

    /// Counts a payment that a candidate was given, and its request.
    pub fn give(&mut self, candidate: &CandidateName, amount_minor: i64, now: DateTime<Utc>) {
        self.add(candidate, business_day(now), amount_minor);
        let used = self.0.entry(candidate.clone()).or_default();
        used.advance(slot_of(now));
        used.requests[0] = used.requests[0].saturating_add(1);
    }

    /// Adds money to a day without a request: what the attempts of the day had taken before the process started. An older day is ignored.
    pub fn add(&mut self, candidate: &CandidateName, day: NaiveDate, amount_minor: i64) {
        let used = self.0.entry(candidate.clone()).or_default();
        if day > used.day {
            (used.day, used.minor) = (day, 0);
        }
        if day == used.day {
            used.minor = used.minor.saturating_add(amount_minor.max(0));
        }
    }
}

fn slot_of(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis().div_euclid(SLOT_MS)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::properties::candidate;
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_daily_limit_is_used_up_to_the_fen_and_starts_anew_at_midnight_in_shanghai() {
        let limited = Candidate { daily_minor_max: Some(1_000), ..candidate("A", "WECHAT") };
        let mut usage = Usage::default();
        let evening = at("2026-11-20T15:59:00Z");
        usage.give(&limited.name, 600, evening);
        assert_eq!(usage.allows(&limited, 400, evening), Ok(()));
        assert_eq!(usage.allows(&limited, 401, evening), Err(Exceeded::Daily { left_minor: 400 }));
        usage.add(&limited.name, business_day(evening), 500);
        assert_eq!(usage.allows(&limited, 1, evening), Err(Exceeded::Daily { left_minor: 0 }));
        let midnight = at("2026-11-20T16:00:00Z");
        assert_eq!(usage.allows(&limited, 1_000, midnight), Ok(()));
        usage.give(&limited.name, 1, midnight);
        usage.add(&limited.name, business_day(evening), 999);
        assert_eq!(usage.allows(&limited, 999, midnight), Ok(()), "yesterday's money is not today's");
    }

    #[test]
    fn no_second_holds_more_requests_than_the_limit() {
        let limited = Candidate { per_second_max: 5, ..candidate("A", "WECHAT") };
        let start = at("2026-11-20T04:00:00.950Z");
        let mut usage = Usage::default();
        let mut given = Vec::new();
        for ms in 0..5_000 {
            let now = start + TimeDelta::milliseconds(ms);
            if usage.allows(&limited, 1, now).is_ok() {
                usage.give(&limited.name, 1, now);
                given.push(ms);
            }
        }
        assert!(given.windows(6).all(|six| six[5] - six[0] >= 1_000), "{given:?}");
        assert!(given.len() >= 20, "the limit is used: {given:?}");
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_second_quota() {
        let limited = Candidate { per_second_max: 2, ..candidate("A", "WECHAT") };
        let now = at("2026-11-20T04:00:00Z");
        let mut usage = Usage::default();
        usage.give(&limited.name, 1, now);
        usage.give(&limited.name, 1, now - TimeDelta::seconds(30));
        assert_eq!(usage.allows(&limited, 1, now - TimeDelta::seconds(30)), Err(Exceeded::PerSecond));
        assert_eq!(usage.allows(&limited, 1, now), Err(Exceeded::PerSecond));
        assert_eq!(usage.allows(&limited, 1, now + TimeDelta::milliseconds(1_100)), Ok(()));
    }
}
