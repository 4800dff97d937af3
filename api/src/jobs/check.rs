//! The ledger checker beside everything else: what changed since its last look, every ten seconds and at once while it is behind, by whichever
//! process comes first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wallet::check::marks::{self, Look};

use super::tick::pause;
use crate::app::App;
use crate::http::chain;

/// How often somebody looks where a look can read all that is new.
const PERIOD: Duration = Duration::from_secs(10);

/// Postings of one look: some hundred milliseconds of one core.
const STEP: i64 = 5_000;

/// Looks at once, so that the mark of a new database begins before there is much to read, and until `stop`. A violation is logged as an
/// error and stands in `haodian_check_violations` until a look finds none.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let (mut wait, mut period) = (Duration::ZERO, PERIOD);
    while pause(&stop, wait).await {
        let started = Instant::now();
        let look = tokio::select! {
            // a look changes nothing but its own mark, at its end: it may be left at any moment
            () = stop.cancelled() => return,
            look = marks::run_when_due(&app.reports, period, STEP) => look,
        };
        // what a look left is for whoever left it, at once
        (wait, period) = match &look {
            Ok(Some(look)) if look.more => (Duration::ZERO, Duration::ZERO),
            _ => (PERIOD, PERIOD),
        };
        match look {
            Ok(None) => {}
            Ok(Some(Look { report, behind, .. })) => {
                metrics::histogram!("haodian_check_seconds").record(started.elapsed());
                metrics::gauge!("haodian_check_behind_seconds").set(behind.as_secs_f64());
                for rule in &report.rules {
                    // a number of violations is a small whole number
                    metrics::gauge!("haodian_check_violations", "rule" => rule.id).set(rule.violations.len() as f64);
                }
                for (rule, violation) in report.violations() {
                    tracing::error!(rule, violation, "the books do not hold");
                }
            }
            Err(error) => tracing::error!(error = %chain(&error), "the books could not be checked; it is tried again"),
        }
    }
}
