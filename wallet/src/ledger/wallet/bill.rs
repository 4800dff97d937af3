//! A merchant's bill over its stripes: the lines of k accounts merged into one. Pure.
//!
//! Newest first: of the newest lines not yet shown, one per stripe, the one booked last comes next. So each stripe keeps its own order, which
//! is that of its locks, and stripes are put together by time.
//!
//! The balance after a line is the sum, over the stripes, of the balance after the newest line that is not above it. That is well defined
//! whatever is booked meanwhile: it depends on nothing but how far down each stripe the bill has come, entries are never changed, and
//! a cursor carries exactly these positions. So the first line of a bill ends at the merchant's balance of the same moment, each line
//! begins where the next one ends, and a page goes on where the one before it stopped. The line's number is the number of lines
//! up to it, of all stripes: gapless from 1.

use serde::{Deserialize, Serialize};

use super::BillLine;
use crate::base::money::Money;

/// Where a page of a bill goes on: below these positions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BillCursor {
    /// Of a merchant with one book: below this [`BillLine::seq`].
    Line(i64),
    /// Below these entries of the stripes, in their order. The stripes after the last one named, and those added since, have nothing left.
    Stripes(Vec<i64>),
}

impl BillCursor {
    /// Positions for the query: the first entry of each stripe that is not shown any more.
    pub(super) fn positions(&self) -> &[i64] {
        match self {
            Self::Line(before) => std::slice::from_ref(before),
            Self::Stripes(before) => before,
        }
    }

    fn of(mut positions: &[i64]) -> Self {
        // below its first entry a stripe has nothing left
        while let [left @ .., 1] = positions
            && !left.is_empty()
        {
            positions = left;
        }
        match positions {
            [only] => Self::Line(*only),
            several => Self::Stripes(several.to_vec()),
        }
    }
}

/// The entries of one stripe that may be shown, newest first and without gaps, as bill lines of that stripe alone.
pub(super) type Entries = Vec<BillLine>;

/// Merges the stripes, of which none may be left out, into at most `limit` lines.
pub(super) fn merge(stripes: Vec<Entries>, limit: usize) -> Vec<BillLine> {
    let seq_of = |line: Option<&BillLine>| line.map_or(0, |l| l.seq);
    let balance_of = |line: Option<&BillLine>| line.map_or(0, |l| l.balance_after.minor);
    let mut shown: Vec<i64> = stripes.iter().map(|lines| seq_of(lines.first())).collect();
    let mut total_minor: i64 = stripes.iter().map(|lines| balance_of(lines.first())).sum();
    let mut heads: Vec<_> = stripes.into_iter().map(|lines| lines.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    while merged.len() < limit {
        let newest = heads.iter_mut().enumerate().filter_map(|(stripe, lines)| lines.peek().map(|l| (l.recorded_at, stripe))).max();
        let Some((_, stripe)) = newest else { break };
        let Some(mut line) = heads[stripe].next() else { break };
        line.seq = shown.iter().sum();
        shown[stripe] -= 1;
        line.balance_after = Money { minor: total_minor, ..line.amount };
        line.cursor = BillCursor::of(&shown.iter().map(|seq| seq + 1).collect::<Vec<_>>());
        total_minor -= line.amount.minor;
        merged.push(line);
    }
    merged
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::posting::PostingKind;

    /// A stripe's lines from its amounts and times, newest first.
    fn stripe(booked: &[(i64, i64)]) -> Entries {
        let mut balance = 0;
        let lines = (1..).zip(booked).map(|(seq, &(minor, at_s))| {
            balance += minor;
            BillLine {
                seq,
                cursor: BillCursor::Line(seq),
                kind: PostingKind::Payment,
                reference: Uuid::nil(),
                amount: Money::cny(minor),
                balance_after: Money::cny(balance),
                accounting_date: NaiveDate::default(),
                business_date: NaiveDate::default(),
                recorded_at: DateTime::from_timestamp(at_s, 0).unwrap(),
                store: None,
            }
        });
        let mut lines: Vec<_> = lines.collect();
        lines.reverse();
        lines
    }

    /// What is left of a stripe below a position.
    fn below(entries: &Entries, before: i64) -> Entries {
        entries.iter().filter(|l| l.seq < before).cloned().collect()
    }

    #[test]
    fn one_book_is_shown_as_it_is() {
        let lines = merge(vec![stripe(&[(100, 1), (-30, 2), (5, 3)])], 2);
        let seen: Vec<_> = lines.iter().map(|l| (l.seq, l.amount.minor, l.balance_after.minor, l.cursor.clone())).collect();
        assert_eq!(seen, [(3, 5, 75, BillCursor::Line(3)), (2, -30, 70, BillCursor::Line(2))]);
    }

    #[test]
    fn stripes_are_put_together_by_time_with_a_running_total() {
        let lines = merge(vec![stripe(&[(100, 1), (10, 4)]), stripe(&[]), stripe(&[(50, 2), (-20, 3)])], 10);
        let seen: Vec<_> = lines.iter().map(|l| (l.seq, l.amount.minor, l.balance_after.minor)).collect();
        assert_eq!(seen, [(4, 10, 140), (3, -20, 130), (2, 50, 150), (1, 100, 100)]);
        assert_eq!(lines[0].cursor, BillCursor::Stripes(vec![2, 1, 3]));
        assert_eq!(lines[2].cursor, BillCursor::Line(2), "only the first stripe has something left");
    }

    #[test]
    fn a_cursor_of_one_book_is_a_plain_number_on_the_wire() {
        let (one, many) = (BillCursor::Line(7), BillCursor::Stripes(vec![7, 1, 3]));
        for (cursor, json) in [(one, "7"), (many, "[7,1,3]")] {
            assert_eq!(serde_json::to_string(&cursor).unwrap(), json);
            assert_eq!(serde_json::from_str::<BillCursor>(json).unwrap(), cursor);
        }
    }

    proptest! {
        /// Page by page and in one go the bill is the same; it ends at the total, begins at nothing, and each line begins where the next ends.
        #[test]
        fn a_bill_read_in_pages_is_the_whole_bill(
            booked in prop::collection::vec(prop::collection::vec((-100_i64..100, 0_i64..20), 0..12), 1..5),
            page in 1_usize..7,
        ) {
            let stripes: Vec<Entries> = booked.iter().map(|b| stripe(b)).collect();
            let whole = merge(stripes.clone(), usize::MAX);
            prop_assert_eq!(whole.len(), booked.iter().map(Vec::len).sum::<usize>());
            let total: i64 = booked.iter().flatten().map(|(minor, _)| minor).sum();
            prop_assert_eq!(whole.first().map_or(0, |l| l.balance_after.minor), if whole.is_empty() { 0 } else { total });
            for (line, older) in whole.iter().zip(whole.iter().skip(1)) {
                prop_assert_eq!(line.balance_after.minor - line.amount.minor, older.balance_after.minor);
                prop_assert_eq!(line.seq, older.seq + 1);
            }
            prop_assert_eq!(whole.last().map_or((1, 0), |l| (l.seq, l.balance_after.minor - l.amount.minor)), (1, 0));

            let mut paged: Vec<BillLine> = Vec::new();
            loop {
                let before = |place: usize| paged.last().map_or(i64::MAX, |l| l.cursor.positions().get(place).copied().unwrap_or(0));
                let left = stripes.iter().enumerate().map(|(place, entries)| below(entries, before(place))).collect();
                let lines = merge(left, page);
                if lines.is_empty() {
                    break;
                }
                paged.extend(lines);
            }
            prop_assert_eq!(paged, whole);
        }
    }
}
