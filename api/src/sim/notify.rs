//! Delivering notices: signed anew each time, again with back-off until they are answered with 2xx, and taken up after a restart.
//!
//! No order is promised between notices. At most [`IN_FLIGHT_MAX`] are on their way at once; the others wait.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Semaphore;
use wallet::base::clock::Clock;

use super::record::Notice;
use super::{Party, Sim};

/// How long a refund or payout takes.
const SETTLES_AFTER: Duration = Duration::from_millis(200);

/// How long after the platform's question a held-back notice comes.
pub const LATE_AFTER: Duration = Duration::from_millis(300);

/// Longest a payer may hold back a notice.
pub const DELAY_MAX: Duration = Duration::from_secs(600);

/// Tries for one delivery; after that the platform has to ask.
const TRIES_MAX: u32 = 20;

const IN_FLIGHT_MAX: usize = 64;

static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(IN_FLIGHT_MAX));

/// Sends notices.
#[derive(Debug)]
pub struct Notifier {
    http: reqwest::Client,
}

impl Notifier {
    pub fn try_new() -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(IN_FLIGHT_MAX)
            .build()?;
        Ok(Self { http })
    }

    /// One delivery. Whether it was answered with 2xx.
    async fn send(&self, sim: &Sim, notice: &Notice) -> bool {
        let Ok(url) = notice.url.parse::<reqwest::Url>() else { return false };
        let signer = sim.signer(notice.party);
        let mut headers = signer.headers("POST", url.path(), &signer.nonce(), notice.body.as_bytes(), Clock::wall());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.http.post(url).headers(headers).body(notice.body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                tracing::debug!(notice_id = notice.notice_id, status = answer.status().as_u16(), "a notice was not taken");
                false
            }
            Err(error) => {
                tracing::debug!(notice_id = notice.notice_id, error = &error as &dyn std::error::Error, "a notice was not answered");
                false
            }
        }
    }
}

/// 1 s, 2 s, 5 s, 10 s, 30 s, then every minute.
fn backoff(tries: u32) -> Duration {
    Duration::from_secs(match tries {
        0 | 1 => 1,
        2 => 2,
        3 => 5,
        4 => 10,
        5 => 30,
        _ => 60,
    })
}

/// Delivers a notice in the background, as often as it wants to be.
pub fn deliver(sim: &Arc<Sim>, mut notice: Notice, after: Duration) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let mut tries = 0;
        while notice.left > 0 {
            let place = PLACES.acquire().await;
            let taken = sim.notifier.send(&sim, &notice).await;
            drop(place);
            if taken {
                notice.left -= 1;
                tries = 0;
            } else {
                tries += 1;
                if tries < TRIES_MAX {
                    tokio::time::sleep(backoff(tries)).await;
                    continue;
                }
                tracing::warn!(notice_id = notice.notice_id, "a notice is given up; the platform has to ask");
                notice.left = 0;
            }
            if sim.state().delivered(&notice.notice_id, notice.left).is_err() {
                // the journal is full or gone: this notice would come again after a restart, which is allowed
                return;
            }
        }
    });
}

/// Lets a refund or payout come to its result, and tells the platform.
pub fn settle(sim: &Arc<Sim>, party: Party, request_no: String) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        tokio::time::sleep(SETTLES_AFTER).await;
        let now = sim.clock.now();
        let settled = match party {
            Party::Acquirer => sim.state().settle_refund(&request_no, now),
            Party::Bank => sim.state().settle_payout(&request_no, now),
        };
        match settled {
            Ok(Some(notice)) => deliver(&sim, notice, Duration::ZERO),
            Ok(None) => {}
            Err(refused) => tracing::error!(?refused, "a result could not be kept"),
        }
    });
}

/// Takes up what the process before this one left undone.
pub fn take_up(sim: &Arc<Sim>) {
    let (notices, refunds, payouts) = sim.state().unfinished();
    if !notices.is_empty() {
        tracing::info!(notices = notices.len(), "taking up notices that were not delivered");
    }
    for notice in notices {
        deliver(sim, notice, Duration::ZERO);
    }
    for request_no in refunds {
        settle(sim, Party::Acquirer, request_no);
    }
    for request_no in payouts {
        settle(sim, Party::Bank, request_no);
    }
}
