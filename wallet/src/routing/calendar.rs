//! When a channel takes payments: its daily hours and announced maintenance, on the clocks of Asia/Shanghai.

use chrono::{NaiveDateTime, NaiveTime};
use serde::{Deserialize, Serialize};

/// Hours of every day (服务时段), from the first moment to before the second. `22:00` to `02:00` runs over midnight; `00:00` as an end is
/// the day's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    pub from: NaiveTime,
    pub to: NaiveTime,
}

impl Hours {
    pub fn contain(&self, time: NaiveTime) -> bool {
        if self.from < self.to { self.from <= time && time < self.to } else { self.from <= time || time < self.to }
    }
}

/// Maintenance that a channel announced (系统维护公告), from the first moment to before the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    pub from: NaiveDateTime,
    pub until: NaiveDateTime,
}

impl Maintenance {
    pub fn contains(&self, at: NaiveDateTime) -> bool {
        self.from <= at && at < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_hold_their_first_moment_and_not_their_last() {
        let cases = [
            ("08:00", "22:00", "07:59:59", false),
            ("08:00", "22:00", "08:00:00", true),
            ("08:00", "22:00", "21:59:59", true),
            ("08:00", "22:00", "22:00:00", false),
            ("22:00", "02:00", "23:30:00", true),
            ("22:00", "02:00", "01:59:59", true),
            ("22:00", "02:00", "02:00:00", false),
            ("22:00", "02:00", "12:00:00", false),
            ("08:00", "00:00", "23:59:59", true),
            ("08:00", "00:00", "00:00:00", false),
        ];
        for (from, to, time, inside) in cases {
            let hours = Hours { from: from.parse().unwrap(), to: to.parse().unwrap() };
            assert_eq!(hours.contain(time.parse().unwrap()), inside, "{time} in {from} to {to}");
        }
    }

    #[test]
    fn maintenance_holds_its_first_moment_and_not_its_last() {
        let window = Maintenance { from: "2026-12-01T01:00:00".parse().unwrap(), until: "2026-12-01T03:00:00".parse().unwrap() };
        let cases = [("00:59:59", false), ("01:00:00", true), ("02:59:59", true), ("03:00:00", false)];
        for (time, inside) in cases {
            assert_eq!(window.contains(format!("2026-12-01T{time}").parse().unwrap()), inside, "{time}");
        }
        assert!(!window.contains("2026-12-02T02:00:00".parse().unwrap()));
    }
}
