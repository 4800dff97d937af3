//! The pace of requests to a channel (S5): a token bucket for each of our numbers there, in PostgreSQL, so that it is one bucket however
//! many processes work. It stands in real time, by the database's clock.
//!
//! Of the requests that a second may have, a third may come at once and the rest as the bucket fills again: no second, wherever it begins,
//! has more than there may be. A process that dies between taking a token and asking has wasted the token.

mod repo;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Whether so many requests may be made at `now`, of `per_s` in a second. `full_at`: when the bucket is full again. The new `full_at`, or how
/// long to wait. Pure.
fn take_from(full_at: DateTime<Utc>, now: DateTime<Utc>, per_s: u32, requests: i32) -> Result<DateTime<Utc>, Duration> {
    let at_once = i32::try_from((per_s / 3).max(1)).unwrap_or(1).max(requests);
    let refill_per_s = per_s.saturating_sub(per_s / 3).max(1);
    let token = TimeDelta::nanoseconds(1_000_000_000_i64.div_euclid(refill_per_s.into()) + 1);
    let next = full_at.max(now) + token * requests;
    match (next - (now + token * at_once)).to_std() {
        Ok(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(next),
    }
}

/// Takes tokens of a number of ours at a channel, for requests that belong together: all or none, for who takes one by one and begins anew
/// where the next is not there never comes to the last. None: they were taken; else how long to wait.
pub async fn take(db: &PgPool, channel: &str, payee_no: &str, per_s: u32, requests: i32) -> sqlx::Result<Option<Duration>> {
    let mut tx = db.begin().await?;
    let (full_at, now) = repo::lock_in_tx(&mut tx, channel, payee_no).await?;
    match take_from(full_at, now, per_s, requests) {
        Ok(full_at) => {
            repo::update_in_tx(&mut tx, channel, payee_no, full_at).await?;
            tx.commit().await?;
            Ok(None)
        }
        Err(wait) => Ok(Some(wait)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_has_more_requests_than_there_may_be(per_s in 1_u32..100, pauses_ms in prop::collection::vec((0_i64..80, 1..3_i32), 1..600)) {
            let (mut now, mut full_at) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
            let mut made: Vec<DateTime<Utc>> = Vec::new();
            for (pause, requests) in pauses_ms {
                // two at once are more than a channel of less than six gives
                let requests = if per_s < 6 { 1 } else { requests };
                now += TimeDelta::milliseconds(pause);
                match take_from(full_at, now, per_s, requests) {
                    Ok(next) => {
                        full_at = next;
                        made.extend((0..requests).map(|_| now));
                    }
                    Err(wait) => {
                        prop_assert!(take_from(full_at, now + TimeDelta::from_std(wait).unwrap(), per_s, requests).is_ok(), "what it says is enough");
                    }
                }
            }
            for (place, at) in made.iter().enumerate() {
                let within = made[place..].iter().filter(|later| **later - *at < TimeDelta::seconds(1)).count();
                prop_assert!(within <= per_s as usize, "{within} of {per_s}");
            }
        }
    }

    #[test]
    fn who_waits_gets_on_however_many_are_made_at_once() {
        for requests in [1, 2] {
            let (mut now, mut full_at, mut made) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH, 0);
            while now < DateTime::UNIX_EPOCH + TimeDelta::seconds(10) {
                match take_from(full_at, now, 30, requests) {
                    Ok(next) => (full_at, made) = (next, made + requests),
                    Err(wait) => now += TimeDelta::from_std(wait).unwrap(),
                }
            }
            assert!((200..=300).contains(&made), "{made}");
        }
    }
}
