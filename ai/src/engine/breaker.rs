//! The circuit breaker (熔断) of one runtime: after some failures in a row, or one run that
//! hangs, it is left out for a while, then tried with one run.

use std::time::{Duration, Instant};

/// Failures in a row after which a runtime is left out.
const FAILURES_MAX: u32 = 3;
/// How long it is left out before one run tries it again.
const PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    closed_from: Option<Instant>,
    /// Taken out by an operator until put back.
    suspended: bool,
}

impl Breaker {
    /// Whether the runtime may be asked now. After the pause this lets one caller through; the others wait for its outcome.
    pub(super) fn permits(&mut self, now: Instant) -> bool {
        match self.closed_from {
            _ if self.suspended => false,
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                self.closed_from = Some(now + PAUSE);
                true
            }
        }
    }

    pub(super) fn succeeded(&mut self) {
        (self.failures, self.closed_from) = (0, None);
    }

    /// Whether this failure is the one that takes the runtime out; one that hangs does at once, because each costs a whole time budget.
    pub(super) fn failed(&mut self, now: Instant, hangs: bool) -> bool {
        self.failures = if hangs { FAILURES_MAX } else { self.failures.saturating_add(1) };
        let out = self.failures >= FAILURES_MAX;
        let newly = out && self.closed_from.is_none();
        if out {
            self.closed_from = Some(now + PAUSE);
        }
        newly
    }

    pub(super) fn suspend(&mut self, suspended: bool) {
        self.suspended = suspended;
        if !suspended {
            self.succeeded();
        }
    }

    pub(super) fn is_out(&self) -> bool {
        self.suspended || self.closed_from.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_take_it_out_and_one_success_brings_it_back() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        assert!(!breaker.failed(start, false) && !breaker.failed(start, false));
        breaker.succeeded();
        assert!(!breaker.failed(start, false) && !breaker.failed(start, false) && breaker.permits(start));
        assert!(breaker.failed(start, false), "the third in a row");
        assert!(!breaker.permits(start + PAUSE - Duration::from_millis(1)));
        let later = start + PAUSE;
        assert!(breaker.permits(later), "one run tries it");
        assert!(!breaker.permits(later), "and only one");
        assert!(!breaker.failed(later, false), "it was out already");
        assert!(!breaker.permits(later + PAUSE - Duration::from_millis(1)));
        assert!(breaker.permits(later + PAUSE));
        breaker.succeeded();
        assert!(breaker.permits(later) && !breaker.is_out());
    }

    #[test]
    fn a_run_that_hangs_takes_it_out_at_once() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        assert!(breaker.failed(start, true) && breaker.is_out());
        assert!(!breaker.permits(start + PAUSE - Duration::from_millis(1)) && breaker.permits(start + PAUSE));
    }

    #[test]
    fn a_suspended_runtime_stays_out_until_it_is_put_back() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.suspend(true);
        assert!(!breaker.permits(start + PAUSE * 9) && breaker.is_out());
        breaker.suspend(false);
        assert!(breaker.permits(start));
    }
}
