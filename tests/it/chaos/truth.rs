//! The acquirer's and the bank's truth beside the platform's books.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tests::TestApp;

/// A payment, refund or payout as it really went.
#[derive(Debug, Deserialize)]
struct Truth {
    what: String,
    request_no: String,
    amount_minor: i64,
    status: String,
    moved: bool,
    came_back: bool,
}

/// The same in our books: status, amount, and how often each kind of posting names it.
#[derive(Debug)]
struct Ours {
    status: String,
    /// Of a payment.
    channel: String,
    amount_minor: i64,
    postings: BTreeMap<String, i64>,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Found {
    /// A sentence for each disagreement.
    pub wrong: Vec<String>,
    pub paid: usize,
    pub refunded: usize,
    pub paid_out: usize,
    pub came_back: usize,
    /// Paid, and waiting for a person since the acquirer lied about it.
    pub conflicted: usize,
}

/// The truth as it is told.
pub async fn text(app: &TestApp) -> String {
    app.http().get(format!("{}/control/truth", app.sim_url())).send().await.unwrap().text().await.unwrap()
}

async fn truth(app: &TestApp) -> Vec<Truth> {
    read(&text(app).await)
}

fn read(text: &str) -> Vec<Truth> {
    serde_json::from_str(text).unwrap()
}

/// Numbers of the payments that are decided at the acquirer.
pub fn decided(text: &str) -> Vec<String> {
    let decided = |t: &Truth| t.what == "PAYMENT" && t.status != "USER_PENDING";
    read(text).into_iter().filter(decided).map(|t| t.request_no).collect()
}

/// Numbers of the payments that were paid.
pub fn paid(text: &str) -> Vec<String> {
    read(text).into_iter().filter(|t| t.what == "PAYMENT" && t.status == "SUCCEEDED").map(|t| t.request_no).collect()
}

/// Numbers of the refunds that the payer has.
pub async fn moved_refunds(app: &TestApp) -> BTreeSet<String> {
    truth(app).await.into_iter().filter(|t| t.what == "REFUND" && t.moved).map(|t| t.request_no).collect()
}

/// Whether a payout came back, or may yet, and the platform does not know.
pub async fn stale_withdrawal(app: &TestApp) -> bool {
    let back: BTreeSet<String> = truth(app).await.into_iter().filter(|t| t.came_back).map(|t| t.request_no).collect();
    let known = "SELECT replace(withdrawal_id::text, '-', '') FROM withdrawals WHERE status = 'CREDITED_BACK'";
    let known: Vec<String> = sqlx::query_scalar(known).fetch_all(app.owner_db()).await.unwrap();
    back != known.into_iter().collect()
}

/// Compares by number: what moved is booked exactly once, what did not move is not booked, and nothing else is there.
pub async fn compare(app: &TestApp) -> Found {
    let mut found = Found::default();
    let truth: BTreeMap<(String, String), Truth> =
        truth(app).await.into_iter().map(|t| ((t.what.clone(), t.request_no.clone()), t)).collect();
    let ours = ours(app).await;
    for (what, number) in truth.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let key = (what.clone(), number.clone());
        let (theirs, ours) = (truth.get(&key), ours.get(&key));
        if !found.agree(what, theirs, ours) {
            found.wrong.push(format!("{what} {number}: {theirs:?} is not {ours:?}"));
        }
    }
    found
}

impl Found {
    fn agree(&mut self, what: &str, theirs: Option<&Truth>, ours: Option<&Ours>) -> bool {
        // a number is given out before it is used, never the other way round
        let Some(ours) = ours else { return false };
        let (moved, came_back) = theirs.map_or((false, false), |t| (t.moved, t.came_back));
        let booked: Vec<(&str, i64)> = ours.postings.iter().map(|(kind, times)| (kind.as_str(), *times)).collect();
        let same_amount = theirs.is_none_or(|t| t.amount_minor == ours.amount_minor);
        let (count, agrees) = match (what, moved, came_back, ours.status.as_str()) {
            ("PAYMENT", true, _, "SUCCEEDED") => (&mut self.paid, booked == [("PAYMENT", 1)]),
            ("PAYMENT", true, _, "CONFLICTED") => (&mut self.conflicted, booked.is_empty()),
            ("PAYMENT", false, _, "FAILED" | "CLOSED_AT_CHANNEL") => return booked.is_empty() && same_amount,
            // UnionPay closes nothing on request: what nobody paid is over when its time to pay is
            ("PAYMENT", false, _, "SENT" | "UNKNOWN" | "USER_PENDING") if ours.channel == "UNIONPAY" => return booked.is_empty(),
            ("REFUND", true, _, "SUCCEEDED") => (&mut self.refunded, booked == [("REFUND", 1), ("REFUND_SETTLED", 1)]),
            // the payer's account is closed there: the money waits for another
            ("REFUND", false, _, "REROUTE") => return booked == [("REFUND", 1)] && same_amount,
            ("REFUND", false, _, "FAILED") => return booked == [("REFUND", 1), ("REFUND_RETURNED", 1)],
            ("PAYOUT", true, _, "SUCCEEDED") => (&mut self.paid_out, booked == [("WITHDRAWAL_HOLD", 1), ("WITHDRAWAL_PAID", 1)]),
            ("PAYOUT", false, true, "CREDITED_BACK") => {
                let all = [("WITHDRAWAL_BOUNCED", 1), ("WITHDRAWAL_CREDITED_BACK", 1), ("WITHDRAWAL_HOLD", 1), ("WITHDRAWAL_PAID", 1)];
                (&mut self.came_back, booked == all)
            }
            ("PAYOUT", false, false, "FAILED") => return booked == [("WITHDRAWAL_HOLD", 1), ("WITHDRAWAL_RETURNED", 1)],
            _ => return false,
        };
        *count += 1;
        agrees && same_amount
    }
}

/// What it is, number, status, channel, amount, and how often a kind of posting names it.
type Row = (String, String, String, String, i64, Option<String>, i64);

async fn ours(app: &TestApp) -> BTreeMap<(String, String), Ours> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT r.what, replace(r.id::text, '-', ''), r.status, r.channel, r.amount_minor, p.kind, count(p.posting_id)
         FROM (SELECT 'PAYMENT' AS what, attempt_id AS id, status, channel, amount_minor FROM payment_attempts
               UNION ALL SELECT 'REFUND', refund_id, status, '', amount_minor FROM refunds
               UNION ALL SELECT 'PAYOUT', withdrawal_id, status, bank, amount_minor FROM withdrawals) AS r
         LEFT JOIN postings p ON p.reference_id = r.id
         GROUP BY r.what, r.id, r.status, r.channel, r.amount_minor, p.kind",
    )
    .fetch_all(app.owner_db())
    .await
    .unwrap();
    let mut ours = BTreeMap::new();
    for (what, number, status, channel, amount_minor, kind, times) in rows {
        let row = ours.entry((what, number)).or_insert_with(|| Ours { status, channel, amount_minor, postings: BTreeMap::new() });
        row.postings.extend(kind.map(|kind| (kind, times)));
    }
    ours
}
