//! Business time. The day is Asia/Shanghai; the sandbox may shift it, never the clock that guards signatures.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, TimeDelta, Utc};

/// Seconds that Asia/Shanghai is ahead of UTC. China has had no daylight saving time since 1991.
const SHANGHAI_S: i32 = 8 * 3600;

/// Tells the time of business. Clones share one offset, so that a sandbox day change reaches every service of the process.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The present moment, to the microsecond that PostgreSQL keeps.
    pub fn now(&self) -> DateTime<Utc> {
        let now = Self::wall() + TimeDelta::milliseconds(self.offset_ms.load(Ordering::Relaxed));
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// The real time, for signatures and leases: replay windows must not follow a sandbox day.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn wall() -> DateTime<Utc> {
        Utc::now()
    }

    /// Today in Asia/Shanghai.
    pub fn today(&self) -> NaiveDate {
        business_day(self.now())
    }

    /// Shifts business time against real time. Development only.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }
}

/// Asia/Shanghai as an offset.
pub fn shanghai() -> FixedOffset {
    FixedOffset::east_opt(SHANGHAI_S).expect("eight hours is a valid offset")
}

/// The Asia/Shanghai day that a moment belongs to.
pub fn business_day(at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&shanghai()).date_naive()
}

/// When a day of Asia/Shanghai begins.
pub fn day_start(day: NaiveDate) -> DateTime<Utc> {
    (day.and_time(NaiveTime::MIN) - TimeDelta::seconds(i64::from(shanghai().local_minus_utc()))).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_turns_at_midnight_in_shanghai() {
        let cases = [("2026-11-20T15:59:59Z", "2026-11-20"), ("2026-11-20T16:00:00Z", "2026-11-21")];
        for (at, day) in cases {
            assert_eq!(business_day(at.parse().unwrap()).to_string(), day, "{at}");
        }
    }
}
