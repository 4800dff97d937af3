//! Delivering notices: signed anew each time, again with back-off until they are answered with 2xx, and taken up after a restart.
//!
//! No order is promised between notices. At most [`IN_FLIGHT_MAX`] are on their way at once; the others wait.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use wallet::base::clock::Clock;

use super::book::{Book, Refused, Unfinished};
use super::record::Notice;
use super::{Party, Sim};

/// How long a refund or payout takes.
const SETTLES_AFTER: Duration = Duration::from_millis(200);

/// How long after the platform's question a held-back notice comes.
pub const LATE_AFTER: Duration = Duration::from_millis(300);

/// Longest a payer may hold back a notice.
pub const DELAY_MAX: Duration = Duration::from_secs(600);

/// Longest answer to a notice that is read, in bytes.
const ANSWER_MAX: u64 = 4_096;

/// Tries for one delivery; after that the platform has to ask.
const TRIES_MAX: u32 = 20;

const IN_FLIGHT_MAX: usize = 64;

/// Longest that a notice is held back behind others.
const HELD_MAX: Duration = Duration::from_secs(3);

static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(IN_FLIGHT_MAX));

/// Sends notices.
#[derive(Debug)]
pub struct Notifier {
    http: reqwest::Client,
    /// Deliveries made, by all.
    sent: watch::Sender<u64>,
}

impl Notifier {
    pub fn try_new() -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(IN_FLIGHT_MAX)
            .build()?;
        Ok(Self { http, sent: watch::Sender::default() })
    }

    /// One delivery, signed with the time it has, or had so long `ago`. Whether it was taken.
    async fn send(&self, sim: &Sim, notice: &Notice, ago: Duration) -> bool {
        let (Ok(url), Some(front)) = (notice.url.parse::<reqwest::Url>(), sim.front(notice.party)) else { return false };
        let at = Clock::wall() - ago;
        let (headers, body) = (front.headers(&url, &notice.body, at), front.delivered(&notice.body, at));
        let answered = match self.http.post(url).headers(headers).body(body).send().await {
            Ok(answer) => {
                let status = answer.status();
                let taken = answer.content_length().is_none_or(|length| length <= ANSWER_MAX)
                    && answer.bytes().await.is_ok_and(|body| front.taken(status, &body));
                if !taken {
                    tracing::debug!(notice_id = notice.notice_id, status = status.as_u16(), "a notice was not taken");
                }
                taken
            }
            Err(error) => {
                tracing::debug!(notice_id = notice.notice_id, error = &error as &dyn std::error::Error, "a notice was not answered");
                false
            }
        };
        self.sent.send_modify(|sent| *sent += 1);
        answered
    }

    /// Until so many others were delivered, or nobody sends any more.
    async fn hold_back(&self, behind: u32) {
        let mut sent = self.sent.subscribe();
        let enough = *sent.borrow() + u64::from(behind);
        _ = tokio::time::timeout(HELD_MAX, sent.wait_for(|sent| *sent >= enough)).await;
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
        tokio::time::sleep(after + Duration::from_millis(notice.delay_ms)).await;
        if notice.behind > 0 {
            sim.notifier.hold_back(notice.behind).await;
        }
        let mut tries = 0;
        while notice.left > 0 {
            let place = PLACES.acquire().await;
            let taken = sim.notifier.send(&sim, &notice, Duration::ZERO).await;
            drop(place);
            if taken || notice.once {
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
            if sim.book().delivered(&notice.notice_id, notice.left).is_err() {
                // the journal is full or gone: this notice would come again after a restart, which is allowed
                return;
            }
        }
        if let Some(ago_ms) = notice.replay_ms {
            _ = sim.notifier.send(&sim, &notice, Duration::from_millis(ago_ms)).await;
        }
    });
}

/// What comes to its result by itself.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Refund,
    Payout,
}

/// Lets a refund or payout come to its result, and tells the platform.
pub fn settle(sim: &Arc<Sim>, what: What, party: Party, request_no: String) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        tokio::time::sleep(SETTLES_AFTER).await;
        let now = sim.clock.now();
        let settled = match what {
            What::Refund => sim.book().settle_refund(party, &request_no, now),
            What::Payout => sim.book().settle_payout(party, &request_no, now),
        };
        tell(&sim, settled);
        let returning = if matches!(what, What::Payout) { sim.book().payout(party, &request_no).and_then(Book::returning) } else { None };
        if let Some(((party, request_no), after)) = returning {
            give_back(&sim, party, request_no, after);
        }
    });
}

/// Tells what was just kept.
fn tell(sim: &Arc<Sim>, kept: Result<Option<Notice>, Refused>) {
    match kept {
        Ok(Some(notice)) => deliver(sim, notice, Duration::ZERO),
        Ok(None) => {}
        Err(refused) => tracing::error!(?refused, "a result could not be kept"),
    }
}

/// Lets a payout that was paid come back.
fn give_back(sim: &Arc<Sim>, party: Party, request_no: String, after: Duration) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let returned = sim.book().return_payout(party, &request_no, sim.clock.now());
        tell(&sim, returned);
    });
}

/// Lets a payment that was closed or declined succeed all the same. A restart before forgets it, and it stays as it was.
pub fn pay_after_all(sim: &Arc<Sim>, party: Party, request_no: String, after: Duration) {
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let paid = sim.book().pay_after_all(party, &request_no, sim.clock.now());
        tell(&sim, paid);
    });
}

/// Takes up what the process before this one left undone.
pub fn take_up(sim: &Arc<Sim>) {
    let Unfinished { notices, refunds, payouts, returning } = sim.book().unfinished();
    if !notices.is_empty() {
        tracing::info!(notices = notices.len(), "taking up notices that were not delivered");
    }
    for notice in notices {
        deliver(sim, notice, Duration::ZERO);
    }
    for (party, request_no) in refunds {
        settle(sim, What::Refund, party, request_no);
    }
    for (party, request_no) in payouts {
        settle(sim, What::Payout, party, request_no);
    }
    for ((party, request_no), after) in returning {
        give_back(sim, party, request_no, after);
    }
}
