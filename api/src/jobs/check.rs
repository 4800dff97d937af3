//! The ledger checker beside everything else: what changed since its last look, every ten seconds, by whichever process comes first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wallet::check::marks;

use super::tick::pause;
use crate::app::App;
use crate::http::chain;

/// How often somebody looks. A look reads what was posted since the last one: of a minute with a thousand payments a second that would take
/// a core for five seconds at a stretch.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks at once, so that the mark of a new database begins before there is much to read, and until `stop`. A violation is logged as an
/// error and stands in `haodian_check_violations` until a look finds none.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut wait = Duration::ZERO;
    while pause(&stop, wait).await {
        wait = PERIOD;
        let started = Instant::now();
        let report = tokio::select! {
            // a look changes nothing but its own mark, at its end: it may be left at any moment
            () = stop.cancelled() => return,
            report = marks::run_when_due(&app.reports, PERIOD) => report,
        };
        match report {
            Ok(None) => {}
            Ok(Some(report)) => {
                metrics::histogram!("haodian_check_seconds").record(started.elapsed());
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
