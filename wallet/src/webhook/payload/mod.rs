//! What a message says: public ids, amounts as strings, times in Shanghai's offset, no personal data. Version 1.
//!
//! `object` is what the event is about as it stands when the message is written, which may be later than the event: a message
//! `order.created` may show an order that is paid by then. `facts` are the event's own and never change.

pub mod repo;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::repo::Subjects;
use super::rules::{self, Noun};
use super::{Naming, Outside};
use crate::base::clock::shanghai;
use crate::base::id::{ApplicationId, AttemptId, BookId, DeliveryId, EndpointId, MerchantId, OrderId, RefundId, StoreId, WithdrawalId};
use crate::base::money::{Currency, Money};
use crate::order::rules::presented;

/// The version of this form.
const VERSION: u32 = 1;

/// An event in the form of a message, without the delivery it goes out in.
#[derive(Clone, Debug)]
pub struct Message {
    pub event: Uuid,
    pub book: BookId,
    pub kind: String,
    pub subject: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub facts: Value,
}

/// Who is told, and whether again.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    pub delivery: DeliveryId,
    pub resend_of: Option<DeliveryId>,
}

impl Message {
    /// Reads back what stays the same from a body that was sent: the time and the facts.
    pub fn again(body: &Value, event: Uuid, book: BookId, kind: &str, subject: Uuid, sent_at: DateTime<Utc>) -> Self {
        let occurred_at = body["occurredAt"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
        Self {
            event,
            book,
            kind: kind.to_owned(),
            subject,
            occurred_at: occurred_at.unwrap_or(sent_at),
            facts: body.get("facts").cloned().unwrap_or_else(|| json!({})),
        }
    }

    /// The whole body.
    pub fn body(&self, envelope: Envelope, subjects: &Subjects, naming: Naming, now: DateTime<Utc>) -> Value {
        let merchant = self.book.merchant();
        json!({
            "version": VERSION,
            "id": naming(Outside::Delivery(self.book, envelope.delivery)),
            "resendOf": envelope.resend_of.map(|first| naming(Outside::Delivery(self.book, first))),
            "eventId": self.event,
            "kind": self.kind,
            "occurredAt": time(self.occurred_at),
            "merchantId": naming(Outside::Merchant(merchant)),
            "object": object(rules::noun(&self.kind).unwrap_or(Noun::Ping), self.book, self.subject, subjects, naming, now),
            "facts": self.facts,
        })
    }
}

/// Amounts of payloads, in minor units there, and what they are called outside.
const AMOUNTS: [(&str, &str); 8] = [
    ("amountMinor", "amount"),
    ("feeMinor", "fee"),
    ("heldMinor", "held"),
    ("ownMinor", "own"),
    ("releasedMinor", "released"),
    ("remainderMinor", "remainder"),
    ("returnedMinor", "returned"),
    ("subsidyMinor", "subsidy"),
];

/// The parts of an event's payload that are its own and may leave the house. What is not named here stays inside.
pub fn facts(book: BookId, payload: &Value, naming: Naming) -> Value {
    let mut facts = Map::new();
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    if let Some(attempt) = text("attemptId").and_then(|id| id.parse().ok()) {
        facts.insert("attemptId".to_owned(), naming(Outside::Attempt(book, AttemptId(attempt))).into());
    }
    if let Some(receiver) = text("receiverId").and_then(|id| id.parse().ok()) {
        facts.insert("receiverId".to_owned(), naming(Outside::Merchant(MerchantId(receiver))).into());
    }
    for name in ["lineId", "returnId"] {
        if let Some(id) = text(name).and_then(|id| id.parse::<Uuid>().ok()) {
            facts.insert(name.to_owned(), id.simple().to_string().into());
        }
    }
    for name in ["channel", "errorCode", "day", "productCode", "role", "stage"] {
        if let Some(value) = text(name) {
            facts.insert(name.to_owned(), value.into());
        }
    }
    let currency = text("currency").and_then(|c| c.parse::<Currency>().ok());
    for (inside, outside) in AMOUNTS {
        if let (Some(minor), Some(currency)) = (text(inside).and_then(|minor| minor.parse().ok()), currency) {
            facts.insert(outside.to_owned(), money(Money { minor, currency }));
        }
    }
    Value::Object(facts)
}

fn object(noun: Noun, book: BookId, subject: Uuid, subjects: &Subjects, naming: Naming, now: DateTime<Utc>) -> Value {
    let merchant: MerchantId = book.merchant();
    match noun {
        Noun::Order => {
            let id = naming(Outside::Order(book, OrderId(subject)));
            let Some(order) = subjects.orders.get(&(book, subject)) else { return json!({ "type": "Order", "id": id }) };
            json!({
                "type": "Order",
                "id": id,
                "storeId": naming(Outside::Store(merchant, order.store)),
                "status": presented(order.status, order.expires_at, now).as_str(),
                "amount": money(order.amount),
                "refunded": money(order.refunded),
                "createdAt": time(order.created_at),
                "expiresAt": time(order.expires_at),
                "paidAt": order.paid_at.map(time),
                "closedAt": order.closed_at.map(time),
            })
        }
        Noun::Refund => {
            let id = naming(Outside::Refund(book, RefundId(subject)));
            let Some(refund) = subjects.refunds.get(&(book, subject)) else { return json!({ "type": "Refund", "id": id }) };
            json!({
                "type": "Refund",
                "id": id,
                "orderId": naming(Outside::Order(book, refund.order)),
                "status": refund.status.as_str(),
                "amount": money(refund.amount),
                "errorCode": refund.error_code,
                "createdAt": time(refund.created_at),
                "resolvedAt": refund.resolved_at.map(time),
            })
        }
        Noun::Withdrawal => {
            let id = naming(Outside::Withdrawal(book, WithdrawalId(subject)));
            let Some(withdrawal) = subjects.withdrawals.get(&(book, subject)) else { return json!({ "type": "Withdrawal", "id": id }) };
            json!({
                "type": "Withdrawal",
                "id": id,
                "status": withdrawal.status.as_str(),
                "amount": money(withdrawal.amount),
                "errorCode": withdrawal.error_code,
                "createdAt": time(withdrawal.created_at),
                "resolvedAt": withdrawal.resolved_at.map(time),
            })
        }
        // the day and the amount are facts of the event: a release never changes
        Noun::Settlement => json!({ "type": "Settlement" }),
        Noun::Store => json!({ "type": "Store", "id": naming(Outside::Store(merchant, StoreId(subject))) }),
        Noun::Merchant => json!({ "type": "Merchant", "id": naming(Outside::Merchant(merchant)) }),
        Noun::Application => json!({ "type": "Application", "id": naming(Outside::Application(ApplicationId(subject))) }),
        Noun::Endpoint => json!({ "type": "WebhookEndpoint", "id": naming(Outside::Endpoint(book, EndpointId(subject))) }),
        Noun::Ping => Value::Null,
    }
}

fn money(money: Money) -> Value {
    json!({ "amount": money.decimal(), "currency": money.currency.as_str() })
}

/// Such as `2026-11-21T12:00:00.000+08:00`.
fn time(at: DateTime<Utc>) -> String {
    at.with_timezone(&shanghai()).to_rfc3339_opts(SecondsFormat::Millis, false)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::repo::OrderNow;
    use super::*;
    use crate::order::OrderStatus;

    fn naming(what: Outside) -> String {
        match what {
            Outside::Merchant(_) => "M".to_owned(),
            Outside::Store(..) => "S".to_owned(),
            Outside::Order(..) => "O".to_owned(),
            Outside::Attempt(..) => "A".to_owned(),
            Outside::Delivery(_, id) => format!("D{}", id.0.as_u128()),
            _ => "X".to_owned(),
        }
    }

    #[test]
    fn a_paid_order_is_told_in_the_public_form() {
        let (book, order) = (BookId(Uuid::from_u128(1)), Uuid::from_u128(2));
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = OrderNow {
            store: StoreId(Uuid::from_u128(3)),
            status: OrderStatus::Paid,
            amount: Money::cny(1_250),
            refunded: Money::cny(0),
            created_at: at("2026-11-20T15:59:59.5Z"),
            expires_at: at("2026-11-20T16:29:59.5Z"),
            paid_at: Some(at("2026-11-20T16:00:10Z")),
            closed_at: None,
        };
        let subjects = Subjects { orders: HashMap::from([((book, order), now)]), ..Subjects::default() };
        let payload = json!({
            "version": 1, "storeId": Uuid::from_u128(3), "attemptId": Uuid::from_u128(4), "channel": "SANDBOX", "amountMinor": "1250",
            "feeMinor": "5", "currency": "CNY", "errorCode": null, "payerName": "张三"
        });
        let message = Message {
            event: Uuid::from_u128(9),
            book,
            kind: "order.paid".to_owned(),
            subject: order,
            occurred_at: at("2026-11-20T16:00:10Z"),
            facts: facts(book, &payload, naming),
        };
        let envelope = Envelope { delivery: DeliveryId(Uuid::from_u128(7)), resend_of: None };
        let body = message.body(envelope, &subjects, naming, at("2026-11-20T16:00:11Z"));
        let expected = json!({
            "version": 1, "id": "D7", "resendOf": null, "eventId": "00000000-0000-0000-0000-000000000009", "kind": "order.paid",
            "occurredAt": "2026-11-21T00:00:10.000+08:00", "merchantId": "M",
            "object": {
                "type": "Order", "id": "O", "storeId": "S", "status": "PAID",
                "amount": { "amount": "12.50", "currency": "CNY" }, "refunded": { "amount": "0.00", "currency": "CNY" },
                "createdAt": "2026-11-20T23:59:59.500+08:00", "expiresAt": "2026-11-21T00:29:59.500+08:00",
                "paidAt": "2026-11-21T00:00:10.000+08:00", "closedAt": null,
            },
            "facts": {
                "attemptId": "A", "channel": "SANDBOX",
                "amount": { "amount": "12.50", "currency": "CNY" }, "fee": { "amount": "0.05", "currency": "CNY" },
            },
        });
        assert_eq!(body, expected);
        // and again from what was sent
        let again = Message::again(&body, message.event, book, "order.paid", order, at("2027-01-01T00:00:00Z"));
        let resent = Envelope { delivery: DeliveryId(Uuid::from_u128(8)), resend_of: Some(envelope.delivery) };
        let second = again.body(resent, &subjects, naming, at("2026-11-20T16:00:11Z"));
        assert_eq!((&second["id"], &second["resendOf"]), (&json!("D8"), &json!("D7")));
        assert_eq!(rules::diff(&body, &second), []);
    }

    #[test]
    fn every_kind_has_a_body_and_what_is_gone_is_still_named() {
        let book = BookId(Uuid::from_u128(1));
        for &(kind, noun) in rules::KINDS.iter().chain(&[(rules::PING, Noun::Ping)]) {
            let message = Message {
                event: Uuid::nil(),
                book,
                kind: kind.to_owned(),
                subject: Uuid::nil(),
                occurred_at: DateTime::UNIX_EPOCH,
                facts: json!({}),
            };
            let envelope = Envelope { delivery: DeliveryId(Uuid::nil()), resend_of: None };
            let body = message.body(envelope, &Subjects::default(), naming, DateTime::UNIX_EPOCH);
            assert_eq!((&body["kind"], body["object"].is_null()), (&json!(kind), noun == Noun::Ping), "{kind}");
        }
    }

    #[test]
    fn a_part_of_a_split_is_told_with_who_has_it_and_nothing_of_the_inside() {
        let (book, line, receiver) = (BookId(Uuid::from_u128(1)), Uuid::from_u128(0xAB), Uuid::from_u128(7));
        let payload = json!({
            "version": 1, "lineId": line, "role": "AGENT", "receiverId": receiver, "amountMinor": "1000", "returnedMinor": "250",
            "currency": "CNY", "errorCode": null, "rounds": 1, "jobId": Uuid::nil()
        });
        let amount = |text: &str| json!({ "amount": text, "currency": "CNY" });
        let expected = json!({
            "lineId": "000000000000000000000000000000ab", "role": "AGENT", "receiverId": "M", "amount": amount("10.00"),
            "returned": amount("2.50")
        });
        assert_eq!(facts(book, &payload, naming), expected);
    }
}
