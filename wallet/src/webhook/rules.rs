//! What is told, when it is tried again, which key signs, and how two bodies differ. Pure.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Delivery, SigningKey, WebhookError};
use crate::base::id::DeliveryId;

/// Endpoints that a merchant may have.
pub const ENDPOINTS_MAX: usize = 8;

/// Tries whose end was never stored, after which a delivery is dead.
pub const ATTEMPTS_MAX: i32 = 40;

/// How long after its first try a delivery is tried again.
pub const TRIED_FOR: TimeDelta = TimeDelta::hours(24);

/// How long an endpoint may take nothing before it is paused.
pub const FAILING_MAX: TimeDelta = TimeDelta::days(3);

/// Longest time that an old key may live beside the next one, in hours.
pub const OVERLAP_HOURS_MAX: i32 = 168;

/// The kind of a trial message.
pub const PING: &str = "ping";

/// What an event is about, and so what its message shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noun {
    Order,
    Refund,
    Withdrawal,
    Settlement,
    Store,
    Merchant,
    Application,
    Endpoint,
    /// Nothing: a trial.
    Ping,
}

/// Every kind of event that merchants are told of. A new one is a line here and, if it is about something new, an arm in `payload`.
pub const KINDS: &[(&str, Noun)] = &[
    ("advance.recovered", Noun::Refund),
    ("advance.returned", Noun::Refund),
    ("advance.taken", Noun::Refund),
    ("application.approved", Noun::Application),
    ("application.needs_correction", Noun::Application),
    ("merchant.signed", Noun::Merchant),
    ("order.closed", Noun::Order),
    ("order.created", Noun::Order),
    ("order.paid", Noun::Order),
    ("order.release_confirmed", Noun::Order),
    ("order.released", Noun::Order),
    ("payment.failed", Noun::Order),
    ("payment.surplus", Noun::Order),
    ("refund.bounced", Noun::Refund),
    ("refund.cancelled", Noun::Refund),
    ("refund.failed", Noun::Refund),
    ("refund.paid_by_hand", Noun::Refund),
    ("refund.rerouting", Noun::Refund),
    ("refund.succeeded", Noun::Refund),
    ("settlement.released", Noun::Settlement),
    ("split.finish_refused", Noun::Order),
    ("split.finished", Noun::Order),
    ("split.line_failed", Noun::Order),
    ("split.line_kept", Noun::Order),
    ("split.line_returned", Noun::Order),
    ("split.line_succeeded", Noun::Order),
    ("split.partial", Noun::Order),
    ("split.planned", Noun::Order),
    ("split.return_accepted", Noun::Order),
    ("split.returned", Noun::Order),
    ("split.succeeded", Noun::Order),
    ("store.opened", Noun::Store),
    ("webhook.paused", Noun::Endpoint),
    ("withdrawal.credited_back", Noun::Withdrawal),
    ("withdrawal.failed", Noun::Withdrawal),
    ("withdrawal.returned", Noun::Withdrawal),
    ("withdrawal.succeeded", Noun::Withdrawal),
];

/// What a kind is about; none for what merchants are not told.
pub fn noun(kind: &str) -> Option<Noun> {
    if kind == PING {
        return Some(Noun::Ping);
    }
    KINDS.iter().find(|(name, _)| *name == kind).map(|(_, noun)| *noun)
}

/// The kinds an endpoint asks for, sorted and each once. Empty stays empty: all of them.
pub fn kinds(asked: Vec<String>) -> Result<Vec<String>, WebhookError> {
    let mut kinds = asked;
    kinds.sort_unstable();
    kinds.dedup();
    match kinds.iter().find(|kind| !KINDS.iter().any(|(name, _)| name == kind)) {
        Some(_) => Err(WebhookError::KindUnknown),
        None => Ok(kinds),
    }
}

/// Whether an endpoint with these kinds is told of this one.
pub fn wants(kinds: &[String], kind: &str) -> bool {
    kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind)
}

/// Whether an event was appended before an endpoint was made, by the real time in its id: what is read late is not told to who came later.
/// To the millisecond, as far as the clocks of our machines agree.
pub fn precedes(event: Uuid, created_at: DateTime<Utc>) -> bool {
    let appended = event.get_timestamp().map(|at| at.to_unix());
    appended.is_some_and(|(s, ns)| (s, ns / 1_000_000) < (created_at.timestamp().unsigned_abs(), created_at.timestamp_subsec_millis()))
}

/// Pauses after the first failures, in seconds; the last one repeats.
const BACKOFF_S: [i64; 10] = [30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800];

/// When a delivery that failed `attempts` times is tried next; none when that would be more than a day after its first try.
///
/// The pause is up to a tenth longer or shorter, by the delivery's id and the number of the attempt: those of one outage do not come back
/// in one moment, and the same question has the same answer.
pub fn next_try(delivery: DeliveryId, attempts: i32, first_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let nth = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
    let seconds = BACKOFF_S[nth.min(BACKOFF_S.len() - 1)];
    let hash = digest(&SHA256, &[delivery.0.as_bytes().as_slice(), &attempts.to_be_bytes()].concat());
    let spread = i64::from(u16::from_be_bytes([hash.as_ref()[0], hash.as_ref()[1]]) % 201) - 100;
    let next = now + TimeDelta::milliseconds(seconds * 1_000 + seconds * spread);
    (next <= first_at + TRIED_FOR).then_some(next)
}

/// Whether an endpoint that has been failing since then is paused.
pub fn to_be_paused(failing_since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - failing_since >= FAILING_MAX
}

/// The keys that count now: those that did not end, the oldest first. The first of them signs.
pub fn live(keys: &[SigningKey], now: DateTime<Utc>) -> Vec<&SigningKey> {
    let mut live: Vec<&SigningKey> = keys.iter().filter(|key| key.ends_at.is_none_or(|end| end > now)).collect();
    live.sort_unstable_by_key(|key| (key.created_at, key.id));
    live
}

/// What a body says otherwise than another one at one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Such as `object.status`.
    pub path: String,
    /// As JSON; none where the field was not there.
    pub sent: Option<String>,
    pub today: Option<String>,
}

/// Fields that tell one message from another, not what it says.
const ENVELOPE: [&str; 2] = ["id", "resendOf"];

/// What the same event would say today compared with what was sent, field by field, in the order of their names.
pub fn diff(sent: &Value, today: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(sent), Some(today), &mut changes);
    changes
}

fn compare(path: &str, sent: Option<&Value>, today: Option<&Value>, changes: &mut Vec<Change>) {
    if let (Some(Value::Object(sent)), Some(Value::Object(today))) = (sent, today) {
        let mut names: Vec<&String> = sent.keys().chain(today.keys().filter(|name| !sent.contains_key(*name))).collect();
        names.sort_unstable();
        for name in names.into_iter().filter(|name| !(path.is_empty() && ENVELOPE.contains(&name.as_str()))) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            compare(&path, sent.get(name), today.get(name), changes);
        }
    } else if sent != today {
        changes.push(Change { path: path.to_owned(), sent: sent.map(Value::to_string), today: today.map(Value::to_string) });
    }
}

/// Whether a delivery may be sent again: one that still waits for its own tries need not be.
pub fn check_resend(delivery: &Delivery) -> Result<(), WebhookError> {
    if delivery.status.is_settled() { Ok(()) } else { Err(WebhookError::StillPending) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::id::SigningKeyId;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn tries_follow_the_steps_and_end_a_day_after_the_first() {
        let first = at("2026-11-21T00:00:00Z");
        for seed in 0..50_u128 {
            let id = DeliveryId(Uuid::from_u128(seed * 7_919));
            let (mut now, mut attempts, mut pauses) = (first, 1, Vec::new());
            while let Some(next) = next_try(id, attempts, first, now) {
                pauses.push((next - now).num_milliseconds());
                now = next;
                attempts += 1;
            }
            assert!(now - first <= TRIED_FOR && now - first > TimeDelta::hours(14), "{seed}: {}", now - first);
            assert!((11..=12).contains(&attempts), "{seed}: {attempts} tries");
            for (pause, seconds) in pauses.iter().zip([30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800]) {
                assert!((seconds * 900..=seconds * 1_100).contains(pause), "{seed}: {pause} ms for {seconds} s");
            }
        }
    }

    #[test]
    fn deliveries_of_one_outage_are_spread_and_one_is_predictable() {
        let now = at("2026-11-21T00:00:00Z");
        let next: Vec<_> = (0..20_u128).map(|n| next_try(DeliveryId(Uuid::from_u128(n)), 1, now, now).unwrap()).collect();
        assert!(next.iter().collect::<std::collections::BTreeSet<_>>().len() > 15, "{next:?}");
        assert_eq!(next[3], next_try(DeliveryId(Uuid::from_u128(3)), 1, now, now).unwrap());
    }

    #[test]
    fn nothing_is_tried_later_than_a_day_after_the_first_try() {
        let (id, first) = (DeliveryId(Uuid::nil()), at("2026-11-21T00:00:00Z"));
        assert_eq!(next_try(id, 3, first, first + TRIED_FOR), None);
        assert_eq!(next_try(id, i32::MAX, first, first + TimeDelta::hours(20)), None);
        assert!(next_try(id, 0, first, first).is_some());
    }

    #[test]
    fn an_endpoint_is_paused_after_three_days_without_success() {
        let since = at("2026-11-18T00:00:00Z");
        assert!(!to_be_paused(since, at("2026-11-20T23:59:59Z")));
        assert!(to_be_paused(since, at("2026-11-21T00:00:00Z")));
    }

    #[test]
    fn the_older_live_key_signs_until_it_ends() {
        let key = |n: u128, created: &str, ends: Option<&str>| SigningKey {
            id: SigningKeyId(Uuid::from_u128(n)),
            public_key: [0; 32],
            created_at: at(created),
            ends_at: ends.map(at),
        };
        let keys = [
            key(3, "2026-11-21T00:00:00Z", None),
            key(1, "2026-11-01T00:00:00Z", Some("2026-11-20T00:00:00Z")),
            key(2, "2026-11-19T00:00:00Z", Some("2026-11-22T00:00:00Z")),
        ];
        let ids = |now: &str| live(&keys, at(now)).iter().map(|k| k.id.0.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids("2026-11-21T12:00:00Z"), [2, 3]);
        assert_eq!(ids("2026-11-22T00:00:00Z"), [3], "a key that ends now has ended");
    }

    #[test]
    fn kinds_are_known_sorted_and_each_once() {
        let some = |names: &[&str]| kinds(names.iter().map(|&n| n.to_owned()).collect());
        assert_eq!(some(&["order.paid", "order.created", "order.paid"]).unwrap(), ["order.created", "order.paid"]);
        assert!(some(&[]).unwrap().is_empty());
        for bad in ["order.*", "ping", "", "order.paid "] {
            assert!(matches!(some(&["order.paid", bad]), Err(WebhookError::KindUnknown)), "{bad}");
        }
        assert!(wants(&[], "order.paid") && wants(&["order.paid".to_owned()], "order.paid"));
        assert!(!wants(&["order.paid".to_owned()], "order.closed"));
        assert!(KINDS.is_sorted_by(|a, b| a.0 < b.0), "kinds stand in the order of their names");
        let guide = include_str!("RECEIVING.md");
        let unnamed: Vec<_> = KINDS.iter().map(|(kind, _)| *kind).filter(|kind| !guide.contains(&format!("`{kind}`"))).collect();
        assert_eq!(unnamed, Vec::<&str>::new(), "RECEIVING.md names each");
    }

    #[test]
    fn an_event_of_before_an_endpoint_is_told_from_one_of_after_it() {
        let made = at("2026-11-21T04:00:00.500Z");
        let event = |text: &str| {
            let time = at(text);
            Uuid::new_v7(uuid::Timestamp::from_unix_time(time.timestamp().unsigned_abs(), time.timestamp_subsec_nanos(), 0, 0))
        };
        for (text, before) in [
            ("2026-11-21T03:59:59.900Z", true),
            ("2026-11-21T04:00:00.499Z", true),
            ("2026-11-21T04:00:00.500Z", false),
            ("2026-11-21T04:00:01.100Z", false),
        ] {
            assert_eq!(precedes(event(text), made), before, "{text}");
        }
        assert!(!precedes(Uuid::nil(), made), "an id without a time");
    }

    #[test]
    fn a_diff_names_each_field_that_is_new_gone_or_other() {
        let sent = json!({ "id": "a", "kind": "order.paid", "object": { "status": "PAID", "refunded": { "amount": "0.00" }, "old": 1 } });
        let today = json!({ "id": "b", "resendOf": "a", "kind": "order.paid", "object": { "status": "PAID", "refunded": { "amount": "1.00" }, "new": null } });
        let change = |path: &str, sent: Option<&str>, today: Option<&str>| Change {
            path: path.to_owned(),
            sent: sent.map(str::to_owned),
            today: today.map(str::to_owned),
        };
        assert_eq!(
            diff(&sent, &today),
            [
                change("object.new", None, Some("null")),
                change("object.old", Some("1"), None),
                change("object.refunded.amount", Some("\"0.00\""), Some("\"1.00\"")),
            ]
        );
        assert_eq!(diff(&sent, &sent), []);
    }
}
