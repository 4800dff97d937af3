//! Where money moves: a thousand merchants' books, chosen evenly, by popularity, or always the same one.

use std::sync::Arc;

use chrono::NaiveDate;
use wallet::base::id::{AttemptId, BatchId, BookId, MerchantId, StoreId};
use wallet::base::money::{AMOUNT_MINOR_MAX, Money};
use wallet::ledger::{Posting, recipe};

/// How many merchants' books there are.
pub(super) const BOOKS: usize = 1_000;
/// Transfers are of up to so many minor units: what [`Books::funding`] put in lasts for a hundred million of them.
const AMOUNT_MINOR: u64 = 10_000;

/// Which book the next transfer is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// Each as likely as any other.
    Uniform,
    /// The n-th is chosen 1/n times as often as the first (Zipf, exponent 1).
    Zipf,
    /// Always the same: every transfer waits for the same two accounts.
    Hot,
}

impl Choice {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf 1.0",
            Self::Hot => "one hot book",
        }
    }
}

/// What a transfer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Two legs between two accounts that may not go below zero: pending becomes available.
    Transfer,
    /// Three legs: a payment with a fee.
    Payment,
}

/// The books of a run.
pub(super) struct Books {
    pub ids: Vec<BookId>,
    /// How likely the first n together are, by popularity.
    cumulative: Vec<f64>,
    day: NaiveDate,
}

impl Books {
    pub(super) fn new(day: NaiveDate) -> Self {
        let ids = (0..BOOKS).map(|_| MerchantId::new().book()).collect();
        Self { ids, cumulative: zipf(BOOKS), day }
    }

    /// Puts the means into every book: payments of the largest amount, without a fee.
    pub(super) fn funding(&self) -> Vec<Posting> {
        let all = Money::cny(AMOUNT_MINOR_MAX);
        self.ids
            .iter()
            .map(|book| recipe::payment(*book, StoreId::new(), AttemptId::new(), all, Money::cny(0), "BENCH", self.day))
            .collect()
    }

    /// An endless row of transfers, another for each `seed`.
    pub(super) fn transfers(self: &Arc<Self>, choice: Choice, shape: Shape, seed: u64) -> impl Iterator<Item = Posting> + Send + use<> {
        let (books, mut random) = (Arc::clone(self), Random(seed));
        std::iter::repeat_with(move || {
            let share = random.share();
            let place = match choice {
                Choice::Uniform => (share * BOOKS as f64) as usize,
                Choice::Zipf => books.cumulative.partition_point(|sum| *sum < share),
                Choice::Hot => 0,
            };
            let book = books.ids[place.min(BOOKS - 1)];
            let amount = Money::cny(1 + random.below(AMOUNT_MINOR).cast_signed());
            match shape {
                Shape::Transfer => recipe::settlement_release(book, BatchId::new(), amount, books.day),
                Shape::Payment => {
                    let fee = Money::cny(1 + amount.minor * 6 / 1000);
                    let amount = Money::cny(amount.minor + 1);
                    recipe::payment(book, StoreId(book.0), AttemptId::new(), amount, fee, "BENCH", books.day)
                }
            }
        })
    }
}

/// Sums of 1/1, 1/2, 1/3 …, as shares of their total.
fn zipf(count: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=count)
        .map(|n| {
            sum += 1.0 / n as f64;
            sum
        })
        .collect();
    sums.into_iter().map(|part| part / sum).collect()
}

/// SplitMix64: the same seed, the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From 0 up to, not including, 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const DRAWN: usize = 100_000;

    fn drawn(choice: Choice) -> Vec<usize> {
        let books = Arc::new(Books::new("2026-11-21".parse().unwrap()));
        let places: HashMap<_, _> = books.ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let mut times = vec![0; BOOKS];
        books.transfers(choice, Shape::Transfer, 7).take(DRAWN).for_each(|posting| times[places[&posting.book]] += 1);
        times
    }

    #[test]
    fn books_are_chosen_evenly_by_popularity_or_always_the_first() {
        let even = drawn(Choice::Uniform);
        assert!(even.iter().all(|times| (40..=180).contains(times)), "100 each, give or take");
        let popular = drawn(Choice::Zipf);
        // the share of the first of a thousand is 1/7.485
        let expected = |n: f64| DRAWN as f64 / 7.485 / n;
        for n in [1, 2, 10] {
            let times = popular[n - 1] as f64;
            assert!((times / expected(n as f64) - 1.0).abs() < 0.1, "the {n}-th was chosen {times} times");
        }
        assert_eq!(drawn(Choice::Hot)[0], DRAWN);
    }

    #[test]
    fn every_transfer_balances_and_moves_something() {
        let books = Arc::new(Books::new("2026-11-21".parse().unwrap()));
        for (shape, legs) in [(Shape::Transfer, 2), (Shape::Payment, 3)] {
            for posting in books.transfers(Choice::Zipf, shape, 1).take(10_000) {
                assert_eq!(posting.legs.len(), legs, "{posting:?}");
                assert_eq!(posting.legs.iter().map(|leg| leg.amount.minor).sum::<i64>(), 0, "{posting:?}");
            }
        }
    }
}
