//! How much of a day's pending money becomes available. Pure.
//!
//! A day releases what was owed when its last entry was booked, less what was released since, and never more than is owed now.
//! Money that a later refund took is therefore not released; should that refund fail, the money comes back as an entry of its
//! own day and is released with that.

use chrono::NaiveDate;

/// A day that may be released, as the books tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DueDay {
    pub day: NaiveDate,
    /// The last entry of the pending account that belongs to the day.
    pub cutoff_seq: i64,
    /// What was owed to the merchant after that entry.
    pub owed_minor: i64,
    /// What earlier runs released after that entry.
    pub released_since_minor: i64,
}

/// A day's release: possibly nothing, which is written down too, so that the day is not looked at again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    pub day: NaiveDate,
    pub cutoff_seq: i64,
    pub released_minor: i64,
}

/// Decides the releases of a book's due days, oldest first. `owed_now_minor` is the pending balance under its lock.
pub fn plan(days: &[DueDay], owed_now_minor: i64) -> Vec<Release> {
    let (mut left, mut released, mut cutoff) = (owed_now_minor.max(0), 0, 0);
    let mut releases = Vec::with_capacity(days.len());
    for day in days {
        let due = day.owed_minor.saturating_sub(day.released_since_minor).saturating_sub(released);
        let amount = due.clamp(0, left);
        left -= amount;
        released += amount;
        // An entry booked around midnight may carry the day before: the cut-off never goes back.
        cutoff = day.cutoff_seq.max(cutoff);
        releases.push(Release { day: day.day, cutoff_seq: cutoff, released_minor: amount });
    }
    releases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: u32, cutoff_seq: i64, owed_minor: i64, released_since_minor: i64) -> DueDay {
        let day = NaiveDate::from_ymd_opt(2026, 11, n).unwrap();
        DueDay { day, cutoff_seq, owed_minor, released_since_minor }
    }

    #[test]
    fn a_day_releases_what_is_left_of_it() {
        let cases: [(&str, Vec<DueDay>, i64, Vec<i64>); 9] = [
            ("nothing due", vec![], 500, vec![]),
            ("a day, nothing since", vec![day(1, 1, 100, 0)], 100, vec![100]),
            ("a day, and money of today", vec![day(1, 1, 100, 0)], 150, vec![100]),
            ("two days at once", vec![day(1, 1, 100, 0), day(2, 2, 150, 0)], 150, vec![100, 50]),
            ("two days at once, and money of today", vec![day(1, 1, 100, 0), day(2, 2, 150, 0)], 190, vec![100, 50]),
            ("the second day, the first released after its cut-off", vec![day(2, 2, 150, 100)], 50, vec![50]),
            ("a refund since took part of it", vec![day(1, 1, 100, 0)], 40, vec![40]),
            ("a refund since took all of it", vec![day(1, 1, 100, 0), day(2, 3, 0, 0)], 0, vec![0, 0]),
            ("a day of refunds only", vec![day(1, 1, 100, 0), day(2, 2, 30, 0)], 30, vec![30, 0]),
        ];
        for (name, days, owed_now, expected) in cases {
            let released: Vec<i64> = plan(&days, owed_now).iter().map(|r| r.released_minor).collect();
            assert_eq!(released, expected, "{name}");
        }
    }

    #[test]
    fn the_cut_off_never_goes_back() {
        let releases = plan(&[day(1, 7, 100, 0), day(2, 5, 80, 0)], 100);
        assert_eq!(releases.iter().map(|r| r.cutoff_seq).collect::<Vec<_>>(), [7, 7]);
    }
}
