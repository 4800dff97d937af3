//! The daily board (日报) beside the totals recomputed from entries, and beside what the customers paid: equal to the cent, or an error.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::{Client, fen};
use super::report::{Steps, table};
use super::trade::Sales;

/// A figure of the board: its label, where it stands in the answer, and what the demo itself knows of it.
type Figure = (&'static str, &'static str, Option<i64>);

/// Prints the board of the day and fails when any figure differs from its recount, or from what was sold.
pub async fn compare(owner: &Client, merchant: &str, day: &str, sales: &Sales, steps: &mut Steps) -> Result<()> {
    let figures = "signedStores activeStores activityRate flow { amount } count refunded { amount } refundCount fee { amount }
        averageTicket { amount } averagePerActiveStore { amount }";
    let query = format!(
        "query($day: Date!, $merchant: ID!) {{ dailyBoard(day: $day, merchantId: $merchant) {{ asOf {figures}
            recount {{ {figures} }} stores {{ store {{ name }} count flow {{ amount }} }} }} }}"
    );
    let board = owner.query("dailyBoard", &query, json!({ "day": day, "merchant": merchant })).await?;
    let known: [Figure; 10] = [
        ("签约门店 signed stores", "signedStores", Some(2)),
        ("活跃门店 active stores", "activeStores", Some(2)),
        ("活跃率 activity rate", "activityRate", None),
        ("流水 flow", "flow", Some(sales.flow())),
        ("笔数 payments", "count", i64::try_from(sales.count()).ok()),
        ("退款 refunded", "refunded", Some(sales.refunded())),
        ("退款笔数 refunds", "refundCount", Some(1)),
        ("手续费 fee", "fee", None),
        ("笔均 average ticket", "averageTicket", None),
        ("店均 average per active store", "averagePerActiveStore", None),
    ];
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for (label, name, expected) in known {
        let (kept, recounted) = (&board[name], &board["recount"][name]);
        if kept.is_null() || kept != recounted {
            wrong.push(format!("{label}: {} on the board, {} recounted", shown(kept), shown(recounted)));
        }
        if let Some(expected) = expected {
            let value = number(kept).with_context(|| label.to_owned())?;
            if value != expected {
                wrong.push(format!("{label}: {value} on the board, {expected} known to the demo"));
            }
        }
        let mark = if kept == recounted { "=" } else { "≠" };
        rows.push(vec![label.to_owned(), shown(kept), mark.to_owned(), shown(recounted)]);
    }
    steps.note(&format!("日报 daily board of {day}, as of {}", shown(&board["asOf"])));
    print!("{}", table(&["指标 figure", "日报 board", "", "由分录重算 from entries"], &rows));
    ensure!(wrong.is_empty(), "the daily board is wrong: {}", wrong.join("; "));
    steps.done("日报与分录重算逐分一致 board and recount are equal to the cent");
    Ok(())
}

/// A figure as text, whether it is an amount, a number or a rate.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(money) => money.get("amount").map(shown).unwrap_or_default(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A figure in fen or as a count.
fn number(value: &Value) -> Result<i64> {
    match value {
        Value::Object(money) => fen(&money["amount"]),
        other => other.as_i64().with_context(|| format!("not a number: {other}")),
    }
}
