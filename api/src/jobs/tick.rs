//! What happens every so often: settlement, the sandbox's day, upkeep of measurements.

use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wallet::base::clock::{Clock, business_day};
use wallet::period::{self, Month};
use wallet::proof;

use crate::app::App;
use crate::http::chain;
use crate::telemetry;

/// How often books are looked through for money that is due. A look that finds none is one query.
const SETTLE: Duration = Duration::from_secs(5);

/// How often orders are looked through for held money that is due by itself. A look that finds none is one query.
const RELEASE: Duration = Duration::from_secs(5);

/// How often orders are looked through for those whose time is over while they reserve some of a budget. A look that finds none is one query.
const OVERDUE: Duration = Duration::from_secs(5);

/// How often transfers between books that were left half done are finished. A look that finds none is one query.
const TRANSFERS: Duration = Duration::from_secs(5);

/// How often a process looks whether the day has turned, to sweep fees.
const SWEEP: Duration = Duration::from_secs(30);

/// How often it is asked whether another day or month is due to be closed. Costs nothing.
const CLOSE: Duration = Duration::from_secs(5);

/// How often all books are looked through for days and months that were missed. A book that needs nothing is a few index look-ups.
const CLOSE_AGAIN: Duration = Duration::from_secs(600);

/// The same after a book could not be closed.
const CLOSE_RETRY: Duration = Duration::from_secs(60);

/// How often entries are taken into the proof log. A look that finds none is two short queries.
const PROVE: Duration = Duration::from_secs(1);

/// How often a process looks at the sandbox's clock.
const CLOCK: Duration = Duration::from_millis(500);

/// How often histograms are folded, so that they do not grow between two scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sleeps; false when `stop` came first.
pub(super) async fn pause(stop: &CancellationToken, time: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

/// How often holds are looked through for those whose time is over. A look that finds none is one query.
const EXPIRE: Duration = Duration::from_secs(1);

/// Ends the holds whose time is over.
pub async fn expire_holds(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, EXPIRE).await {
        match app.ledger.expire_holds().await {
            Ok(0) => {}
            Ok(holds) => tracing::info!(holds, "holds came to the end of their time"),
            Err(error) => tracing::error!(error = %chain(&error), "holds could not be ended; it is tried again"),
        }
    }
}

/// Releases what is due from pending to available (T+1).
pub async fn settle(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, SETTLE).await {
        match app.settlements.release_due().await {
            Ok(0) => {}
            Ok(days) => tracing::info!(days, "settlement released days"),
            Err(error) => tracing::error!(error = %chain(&error), "settlement failed; it is tried again"),
        }
    }
}

/// Releases what orders hold until a day that has come.
pub async fn release_orders(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, RELEASE).await {
        match app.orders.release_due().await {
            Ok(0) => {}
            Ok(releases) => tracing::info!(releases, "held money of orders was released on its day"),
            Err(error) => tracing::error!(error = %chain(&error), "held money of orders could not be released; it is tried again"),
        }
    }
}

/// Closes orders whose time is over while they reserve some of a subsidy's budget.
pub async fn close_orders(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, OVERDUE).await {
        match app.payments.close_overdue().await {
            Ok(0) => {}
            Ok(orders) => tracing::info!(orders, "orders that nobody paid in time gave up what they reserved"),
            Err(error) => tracing::error!(error = %chain(&error), "orders could not be closed after their time; it is tried again"),
        }
    }
}

/// Finishes transfers between books that nobody finished, and raises the alarm about what is too long on its way.
pub async fn finish_transfers(app: Arc<App>, stop: CancellationToken) {
    let age_max = chrono::TimeDelta::seconds(i64::from(app.config.work.transfer_alarm_s));
    while pause(&stop, TRANSFERS).await {
        match app.transfers.finish_left_behind().await {
            Ok(0) => {}
            Ok(arrived) => tracing::info!(arrived, "transfers between books that were left behind have arrived"),
            Err(error) => tracing::error!(error = %chain(&error), "transfers between books could not be finished; it is tried again"),
        }
        match app.transfers.open().await {
            Ok(open) if open.age() > age_max => {
                tracing::error!(open = open.count, oldest_s = open.age().num_seconds(), "money has been between books for too long");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(error = %chain(&error), "what is between books could not be read"),
        }
    }
}

/// Sweeps fees to the platform's book, once after each midnight in Shanghai. Another process that did it first leaves nothing to do.
pub async fn sweep_fees(app: Arc<App>, stop: CancellationToken) {
    let mut swept = None;
    while pause(&stop, SWEEP).await {
        let today = app.clock.today();
        if swept == Some(today) {
            continue;
        }
        match app.books.sweep_fees().await {
            Ok(books) => {
                swept = Some(today);
                tracing::info!(books, day = %today, "fees swept to the platform's book");
            }
            Err(error) => tracing::error!(error = %chain(&error), "fees could not be swept; it is tried again"),
        }
    }
}

/// Closes days and months that are over.
pub async fn close_periods(app: Arc<App>, stop: CancellationToken) {
    let mut looked = None;
    while pause(&stop, CLOSE).await {
        let due @ (day, month) = due_periods(&app);
        if looked.is_some_and(|(last, again)| last == due && Instant::now() < again) {
            continue;
        }
        let mut again = CLOSE_AGAIN;
        match app.periods.close_due_days(day).await {
            Ok(0) => {}
            Ok(books) => tracing::info!(books, %day, "days closed"),
            Err(error) => {
                again = CLOSE_RETRY;
                tracing::error!(error = %chain(&error), "a day could not be closed; it is tried again");
            }
        }
        if let Some(month) = month {
            match app.periods.close_due_months(month).await {
                Ok(0) => {}
                Ok(months) => tracing::info!(months, %month, "months closed"),
                Err(error) => {
                    again = CLOSE_RETRY;
                    tracing::error!(error = %chain(&error), "a month could not be closed; it is tried again");
                }
            }
        }
        looked = Some((due, Instant::now() + again));
    }
}

/// The last day and the last month to be closed. A sandbox may play a later day; closing is for good, so what is not over in reality
/// waits. Production's two clocks are one.
fn due_periods(app: &App) -> (NaiveDate, Option<Month>) {
    let (now, config) = (app.clock.now().min(Clock::wall()), &app.config.period);
    let day = period::last_closable_day(now, TimeDelta::minutes(config.day_close_after_min.into()));
    let month = (config.month_close_day > 0).then(|| period::last_closable_month(business_day(now), config.month_close_day));
    (day, month)
}

/// Takes entries into the proof log, and seals the days that are due.
pub async fn prove(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, PROVE).await {
        if let Err(error) = app.proofs.catch_up().await {
            tracing::error!(error = %chain(&error), "entries could not be taken into the proof log; it is tried again");
            continue;
        }
        // as with closing: a sealed day never opens again, so what is not over in reality waits
        let through = proof::last_sealable_day(app.clock.now().min(Clock::wall()));
        match app.proofs.seal_due(through).await {
            Ok(heads) => {
                for head in heads {
                    tracing::info!(day = %head.day, size = head.size, seal = hex::encode(head.seal()), "day sealed");
                }
            }
            Err(error) => tracing::error!(error = %chain(&error), "a day could not be sealed; it is tried again"),
        }
    }
}

/// Follows the sandbox's day, in development only. The row is the truth; every process comes after it.
pub async fn follow_clock(app: Arc<App>, stop: CancellationToken) {
    if !app.config.development() {
        return;
    }
    while pause(&stop, CLOCK).await {
        if let Err(error) = app.follow_sandbox_clock().await {
            tracing::warn!(error = %error, "the sandbox clock could not be read");
        }
    }
}

/// How often a process looks at what operators decided about channels. One short query.
const SWITCHES: Duration = Duration::from_millis(500);

/// Follows what operators decided about channels: every process that starts payments does.
pub async fn follow_switches(app: Arc<App>, stop: CancellationToken) {
    while pause(&stop, SWITCHES).await {
        if let Err(error) = app.payments.follow_switches().await {
            tracing::warn!(error = %chain(&error), "the channels' switches could not be read");
        }
    }
}

/// Folds measurements.
pub async fn upkeep(stop: CancellationToken) {
    while pause(&stop, UPKEEP).await {
        telemetry::recorder().run_upkeep();
    }
}
