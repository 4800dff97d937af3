//! A minute of attempts, counted by when they began, and how long a channel takes to answer. Pure; bounded by its two constants.
//!
//! **Delayed feedback (C1).** Failures may come at once while successes take long, or the other way round: a hanging channel gives no
//! failure at all for seconds. So an outcome is put down to the moment the attempt *began*, every attempt that began counts, and of those
//! still open as many count as failed as are more than this channel's usual delays explain, given their age.

use chrono::{DateTime, Utc};

use super::binomial::wilson;

/// Attempts are counted in buckets of this length.
const BUCKET_MS: i64 = 250;

/// A minute of them.
const BUCKETS: usize = 240;

/// An answer that took longer is slow.
const SLOW_MS: i64 = 3_000;

/// From so many attempts on, bounds are looked at.
const COUNT_MIN: f64 = 5.0;

/// How sure a bound must be, in standard deviations: 99.9 %, as it is looked at again and again.
const SURE: f64 = 3.29;

/// Answers of which nobody knows better are taken to come within 2^13 ms, longer than any call waits; this many are taken for known.
const PRIOR_BIN: usize = 13;
const PRIOR: u32 = 20;

/// Answers are counted by powers of two of their milliseconds, up to two minutes.
const BINS: usize = 18;

/// From so many answers on, old ones count half.
const ANSWERS_MAX: u32 = 8_192;

/// How long answers take, as a histogram that forgets.
#[derive(Clone, Debug)]
pub(super) struct Delays {
    bins: [u32; BINS],
    count: u32,
}

impl Default for Delays {
    fn default() -> Self {
        Self { bins: [0; BINS], count: 0 }
    }
}

impl Delays {
    /// Takes in how long an answer took.
    pub(super) fn add(&mut self, delay_ms: i64) {
        if self.count >= ANSWERS_MAX {
            self.bins.iter_mut().for_each(|n| *n /= 2);
            self.count = self.bins.iter().sum();
        }
        let bits = 64 - u64::try_from(delay_ms.saturating_sub(1)).unwrap_or(0).leading_zeros();
        self.bins[usize::try_from(bits).unwrap_or(BINS).min(BINS - 1)] += 1;
        self.count += 1;
    }

    /// The share of answers that have come by that age.
    fn come_by(&self, age_ms: i64) -> f64 {
        let bins = (0..BINS).take_while(|&bin| 1_i64 << bin <= age_ms).count();
        let come: u32 = self.bins[..bins].iter().sum();
        let prior = if bins > PRIOR_BIN { PRIOR } else { 0 };
        f64::from(come + prior) / f64::from(self.count + PRIOR)
    }
}

/// What became of an attempt, as the window counts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Count {
    /// Answered after so many milliseconds.
    Good {
        delay_ms: i64,
    },
    Bad,
    /// The user's doing, or never sent: as if it had not been.
    LeftOut,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    began: u32,
    good: u32,
    slow: u32,
    bad: u32,
}

/// What a window shows at a moment.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Signs {
    /// Attempts that count.
    pub(super) count: u64,
    /// A share of failures that is surely exceeded, now or at some time in the window.
    pub(super) failing: f64,
    /// The same for slow answers.
    pub(super) slow: f64,
}

/// The attempts of the last minute. Holds no memory before the first one.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    buckets: Vec<Bucket>,
    /// The number of the newest bucket, since 1970.
    newest: i64,
}

impl Window {
    /// Takes in that an attempt began.
    pub(super) fn begin(&mut self, at: DateTime<Utc>) {
        self.advance(at);
        if let Some(bucket) = self.bucket(at) {
            bucket.began = bucket.began.saturating_add(1);
        }
    }

    /// Takes in what became of an attempt that began then. One that is older than the window is past counting.
    pub(super) fn end(&mut self, began: DateTime<Utc>, count: Count) {
        let Some(bucket) = self.bucket(began) else { return };
        match count {
            Count::Good { delay_ms } => {
                bucket.good += 1;
                bucket.slow += u32::from(delay_ms > SLOW_MS);
            }
            Count::Bad => bucket.bad += 1,
            Count::LeftOut => bucket.began = bucket.began.saturating_sub(1),
        }
    }

    pub(super) fn clear(&mut self) {
        self.buckets.clear();
    }

    /// The bounds over every stretch from now back to a moment of the window, the worst of them: a channel that broke a second ago shows in
    /// the last second, however good the minute before was.
    pub(super) fn signs(&mut self, now: DateTime<Utc>, delays: &Delays) -> Signs {
        if self.buckets.is_empty() {
            return Signs::default();
        }
        self.advance(now);
        let now_ms = now.timestamp_millis();
        let (mut count, mut bad, mut slow, mut overdue) = (0_u64, 0_u32, 0_u32, 0.0_f64);
        let mut signs = Signs::default();
        for number in (self.newest - BUCKETS as i64 + 1..=self.newest).rev() {
            let bucket = self.buckets[place(number)];
            if bucket.began == 0 {
                continue;
            }
            let lasting = bucket.began.saturating_sub(bucket.bad);
            let open = lasting.saturating_sub(bucket.good);
            let age_ms = (now_ms - (number + 1) * BUCKET_MS).max(0);
            // not held at zero bucket by bucket: that would count each bucket's noise as failures
            overdue += f64::from(open) - f64::from(lasting) * (1.0 - delays.come_by(age_ms));
            count += u64::from(bucket.began);
            bad += bucket.bad;
            slow += bucket.slow;
            let (n, failed) = (count as f64, f64::from(bad) + overdue.max(0.0));
            if n >= COUNT_MIN && failed > 0.0 {
                signs.failing = signs.failing.max(wilson(failed, n, SURE).0);
            }
            if n >= COUNT_MIN && slow > 0 {
                signs.slow = signs.slow.max(wilson(f64::from(slow), n, SURE).0);
            }
        }
        Signs { count, ..signs }
    }

    fn advance(&mut self, now: DateTime<Utc>) {
        let number = number_of(now);
        if self.buckets.is_empty() {
            self.buckets = vec![Bucket::default(); BUCKETS];
            self.newest = number;
        }
        let from = (self.newest + 1).max(number - BUCKETS as i64 + 1);
        for passed in from..=number {
            self.buckets[place(passed)] = Bucket::default();
        }
        self.newest = self.newest.max(number);
    }

    fn bucket(&mut self, at: DateTime<Utc>) -> Option<&mut Bucket> {
        let number = number_of(at);
        let held = number <= self.newest && number > self.newest - BUCKETS as i64;
        if held { self.buckets.get_mut(place(number)) } else { None }
    }
}

fn number_of(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis().div_euclid(BUCKET_MS)
}

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(BUCKETS as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
    }

    /// Delays as of a channel that has always answered within 100 ms.
    fn quick() -> Delays {
        let mut delays = Delays::default();
        (0..4_000).for_each(|_| delays.add(100));
        delays
    }

    #[test]
    fn answers_are_due_when_this_channel_usually_gives_them() {
        let quick = quick();
        assert!(quick.come_by(0) == 0.0 && quick.come_by(127) == 0.0);
        assert!(quick.come_by(128) > 0.99 && quick.come_by(10_000) == 1.0);
        let unknown = Delays::default();
        assert_eq!((unknown.come_by(8_191), unknown.come_by(8_192)), (0.0, 1.0), "nothing is due before anything is known");
        let mut turned = quick.clone();
        (0..40_000).for_each(|_| turned.add(1_000));
        assert!(turned.come_by(512) < 0.05, "what was learnt long ago is forgotten: {}", turned.come_by(512));
        assert!(turned.count <= ANSWERS_MAX);
    }

    #[test]
    fn delays_of_any_length_have_a_bin() {
        let mut delays = Delays::default();
        for ms in [i64::MIN, -5, 0, 1, 2, 3, 131_072, 131_073, i64::MAX] {
            delays.add(ms);
        }
        assert_eq!((delays.bins[0], delays.bins[1], delays.bins[2], delays.bins[17]), (4, 1, 1, 3));
    }

    #[test]
    fn failures_that_come_fast_do_not_outweigh_successes_that_come_slowly() {
        let mut window = Window::default();
        (0..100).for_each(|_| window.begin(at(0)));
        (0..5).for_each(|_| window.end(at(0), Count::Bad));
        let signs = window.signs(at(10), &quick());
        assert!(signs.count == 100 && signs.failing < 0.02, "five of a hundred, not five of five: {signs:?}");
    }

    #[test]
    fn what_hangs_shows_before_it_times_out() {
        let mut window = Window::default();
        (0..100).for_each(|_| window.begin(at(0)));
        let quick = quick();
        assert!(window.signs(at(200), &quick).failing < 0.02);
        assert!(window.signs(at(600), &quick).failing > 0.3);
        assert!(window.signs(at(5_000), &Delays::default()).failing < 0.02);
    }

    #[test]
    fn a_bad_second_shows_in_a_good_minute_and_goes_with_it() {
        let mut window = Window::default();
        let mut each = |ms: i64, n: u32, count| {
            (0..n).for_each(|_| window.begin(at(ms)));
            (0..n).for_each(|_| window.end(at(ms), count));
        };
        (0..50).for_each(|s| each(s * 1_000, 100, Count::Good { delay_ms: 50 }));
        each(50_000, 100, Count::Bad);
        let delays = Delays::default();
        assert!(window.signs(at(50_100), &delays).failing > 0.9);
        assert_eq!(window.signs(at(50_100), &delays).count, 5_100);
        assert_eq!(window.signs(at(111_000), &delays), Signs::default());
        window.end(at(50_000), Count::Bad);
        assert_eq!(window.signs(at(111_000), &delays), Signs::default(), "what is past is not counted");
    }

    #[test]
    fn what_is_left_out_never_was_and_slow_is_not_failed() {
        let mut window = Window::default();
        (0..100).for_each(|_| window.begin(at(0)));
        (0..50).for_each(|_| window.end(at(0), Count::LeftOut));
        (0..50).for_each(|_| window.end(at(0), Count::Good { delay_ms: SLOW_MS + 1 }));
        let signs = window.signs(at(4_000), &Delays::default());
        assert!(signs.count == 50 && signs.failing == 0.0 && signs.slow > 0.8, "{signs:?}");
    }

    #[test]
    fn a_clock_that_goes_back_harms_nothing() {
        let mut window = Window::default();
        window.begin(at(100_000));
        window.begin(at(99_000));
        window.begin(at(-1_000_000));
        assert_eq!(window.signs(at(0), &Delays::default()).count, 2);
        window.begin(at(100_000) + TimeDelta::days(300));
        assert_eq!(window.signs(at(0), &Delays::default()).count, 1);
    }
}
