//! What callers were told beside what the books say: every answered order is there with its amount, every confirmed one is paid, once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::customer::Trace;
use super::load::Played;
use crate::seed::client::{Client, fen};

/// Longest until what was confirmed is paid, and what is to be divided is.
const PAID_LIMIT: Duration = Duration::from_secs(90);

/// Orders of one page.
const PAGE: usize = 100;

/// What the comparison found. Everything but `orders`, `paid`, `unanswered` and `divided` must be zero.
#[derive(Clone, Default, PartialEq, Eq, Debug, serde::Serialize)]
pub(super) struct Comparison {
    /// Answered with 2xx.
    pub orders: usize,
    /// Paid in the books.
    pub paid: usize,
    /// In the books although no answer came: a caller may try them again under their key.
    pub unanswered: usize,
    /// Answered with 2xx and not in the books.
    pub missing: usize,
    /// With another amount than was asked for.
    pub amount_differs: usize,
    /// Confirmed by the customer and not paid, or shown paid and not paid.
    pub unpaid: usize,
    /// Paid by more than one attempt.
    pub paid_twice: usize,
    /// Paid orders whose money has come to all who share it.
    pub divided: usize,
    /// Paid orders that were to be divided and are not.
    pub undivided: usize,
    /// All tries to pay.
    #[serde(skip)]
    pub tries: Vec<Try>,
    /// When each divided order was paid, and when its split had finished.
    #[serde(skip)]
    pub splits: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

/// A try to pay.
#[derive(Clone, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Try {
    pub channel: String,
    pub status: String,
    pub sent_at: DateTime<Utc>,
}

impl Comparison {
    pub(super) fn agrees(&self) -> bool {
        [self.missing, self.amount_differs, self.unpaid, self.paid_twice, self.undivided] == [0; 5]
    }
}

/// Reads the merchant's orders since `since` through the public API until everything confirmed is paid and divided, or the
/// time is over, and compares.
pub(super) async fn compare(owner: &Client, merchant: &str, since: DateTime<Utc>, played: &[Played]) -> Result<Comparison> {
    let deadline = Instant::now() + PAID_LIMIT;
    loop {
        let found = once(owner, merchant, since, played).await?;
        if found.unpaid + found.undivided == 0 || Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn once(owner: &Client, merchant: &str, since: DateTime<Utc>, played: &[Played]) -> Result<Comparison> {
    let told = |trace: &'_ Trace| trace.order.as_ref().map(|(id, minor)| (id.clone(), (*minor, trace.confirmed || trace.paid)));
    let told: HashMap<String, (i64, bool)> = played.iter().filter_map(|p| told(&p.trace)).collect();
    let mut found = Comparison { orders: told.len(), ..Comparison::default() };
    let (mut seen, mut after) = (0, Value::Null);
    // newest first, so what was there before comes after all of ours
    'pages: loop {
        let query =
            "query($id: ID!, $first: Int!, $after: String) { node(id: $id) { ... on Merchant { orders(first: $first, after: $after) {
            nodes { id status createdAt paidAt amount { amount } attempts { channel status sentAt } split { finishedAt } }
            pageInfo { hasNextPage endCursor } } } } }";
        let page = owner.query("node", query, json!({ "id": merchant, "first": PAGE, "after": after })).await?;
        let page = &page["orders"];
        for order in page["nodes"].as_array().context("a page of orders")? {
            if order["createdAt"].as_str().context("a time")?.parse::<DateTime<Utc>>()? < since {
                break 'pages;
            }
            let Some((minor, paid)) = order["id"].as_str().and_then(|id| told.get(id)) else {
                found.unanswered += 1;
                continue;
            };
            seen += 1;
            let is_paid = order["status"] == "PAID";
            let tries: Vec<Try> = serde_json::from_value(order["attempts"].clone()).context("tries to pay")?;
            let successes = tries.iter().filter(|a| a.status == "SUCCEEDED").count();
            found.tries.extend(tries);
            found.paid += usize::from(is_paid);
            found.amount_differs += usize::from(fen(&order["amount"]["amount"])? != *minor);
            found.unpaid += usize::from(*paid && !is_paid);
            found.paid_twice += usize::from(successes > 1);
            if is_paid && !order["split"].is_null() {
                let paid_at = order["paidAt"].as_str().context("when it was paid")?.parse()?;
                match order["split"]["finishedAt"].as_str() {
                    Some(finished_at) => found.splits.push((paid_at, finished_at.parse()?)),
                    None => found.undivided += 1,
                }
            }
        }
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    (found.missing, found.divided) = (told.len() - seen, found.splits.len());
    Ok(found)
}
