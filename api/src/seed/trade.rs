//! The trade (交易): two stores, two hundred payments from sixteen customers at a time, a refund, the release and a withdrawal.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::client::{Client, fen, text, until};
use super::report::{Steps, seconds};

/// Payments of the demo.
pub const PAYMENTS: usize = 200;
/// Customers at a time.
const CALLERS: usize = 16;
/// The payment whose notice is sent twice.
const TWICE: usize = 7;
/// The payment whose notice comes after a query has resolved it.
const LATE: usize = 0;
/// How long after the worker's query that notice is sent.
const LATE_AFTER_QUERY: Duration = Duration::from_secs(5);
/// Longest until all payments are in.
const PAID_LIMIT: Duration = Duration::from_secs(120);
/// Longest for each step after that.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// What was sold, as the customers saw it.
#[derive(Debug)]
pub struct Sales {
    /// Order ids with their amounts in fen.
    orders: Vec<(String, i64)>,
    /// What was given back, in fen.
    refunded: i64,
    /// When the notice of the payment that was resolved by a query will have come.
    late_notice: Instant,
}

impl Sales {
    pub fn flow(&self) -> i64 {
        self.orders.iter().map(|(_, amount)| amount).sum()
    }

    pub fn count(&self) -> usize {
        self.orders.len()
    }

    pub fn refunded(&self) -> i64 {
        self.refunded
    }

    /// Waits until the late notice has come: it must have changed nothing.
    pub async fn late_notice(&self, steps: &mut Steps) {
        tokio::time::sleep_until(self.late_notice.into()).await;
        steps.done("迟到的通知已到，账目不变 the late notice has come");
    }
}

/// Opens the two stores.
pub async fn open_stores(owner: &Client, merchant: &str) -> Result<Vec<String>> {
    let mut stores = Vec::new();
    for (name, address) in [("城西店", "杭州市西湖区文三路 1 号"), ("城东店", "杭州市上城区清江路 2 号")] {
        let payload =
            owner.mutate("storeCreate", json!({ "merchantId": merchant, "name": name, "address": address }), "store { id }").await?;
        stores.push(text(&payload["store"]["id"])?);
    }
    Ok(stores)
}

/// Two hundred payments. The one whose notice is late starts first, so that waiting for it costs little.
pub async fn sell(customer: &Client, owner: &Client, stores: &[String], query_after_ms: u64, steps: &mut Steps) -> Result<Sales> {
    // The notice follows well after the worker has asked.
    let late_delay = Duration::from_millis(query_after_ms) + LATE_AFTER_QUERY;
    let confirm = json!({ "notices": 1, "delay_ms": u64::try_from(late_delay.as_millis())? });
    let late = pay(customer, owner, stores, LATE, &confirm).await?;
    let late_notice = Instant::now() + late_delay;
    let (watcher, ticket) = (customer.clone(), late.ticket.clone());
    let resolved = tokio::spawn(async move {
        until_paid(&watcher, &ticket).await?;
        anyhow::Ok(Instant::now())
    });

    let started = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (customer, owner, stores) = (customer.clone(), owner.clone(), stores.to_vec());
        callers.spawn(async move {
            let mut paid = Vec::new();
            for number in (0..PAYMENTS).filter(|n| n % CALLERS == caller && *n != LATE) {
                let notices = if number == TWICE { 2 } else { 1 };
                paid.push(pay(&customer, &owner, &stores, number, &json!({ "notices": notices, "delay_ms": 0 })).await?);
            }
            anyhow::Ok(paid)
        });
    }
    let mut sales: Vec<Sale> = Vec::new();
    while let Some(paid) = callers.join_next().await {
        sales.extend(paid.context("a customer's task")??);
    }
    // One after the other: those behind are paid meanwhile.
    for sale in &sales {
        until_paid(customer, &sale.ticket).await?;
    }
    let took = started.elapsed();
    steps.note(&format!(
        "{} 笔已支付 payments in {}: {:.1} 笔/秒 payments/s with {CALLERS} customers at a time",
        sales.len(),
        seconds(took),
        sales.len() as f64 / took.as_secs_f64()
    ));
    steps.note(&format!("第 {TWICE} 笔被通知两次，只入账一次 payment {TWICE} was notified twice and is booked once"));

    let resolved = resolved.await.context("the watcher of the silent payment")??;
    ensure!(resolved < late_notice, "the silent payment was resolved by its notice, not by a query");
    let before = seconds(late_notice - resolved);
    steps.note(&format!("未收到通知的一笔由主动查询确认 the silent payment was resolved by a query, {before} before its notice"));
    sales.push(late);
    steps.done(&format!("{} 笔支付完成 payments done", sales.len()));
    Ok(Sales { orders: sales.into_iter().map(|s| (s.order, s.amount)).collect(), refunded: 0, late_notice })
}

/// One payment on its way.
#[derive(Debug)]
struct Sale {
    order: String,
    ticket: String,
    amount: i64,
}

/// The shop makes an order, the customer starts to pay with its ticket and presses 确认支付.
async fn pay(customer: &Client, owner: &Client, stores: &[String], number: usize, confirm: &Value) -> Result<Sale> {
    let amount = amount_of(number);
    // Every third sale is made in the second store.
    let store = &stores[usize::from(number.is_multiple_of(3)) % stores.len()];
    let input = json!({
        "storeId": store, "amount": format!("{}.{:02}", amount / 100, amount % 100), "currency": "CNY",
        "subject": format!("演示订单 {}", number + 1), "idempotencyKey": Uuid::now_v7(),
    });
    let created = owner.mutate("orderCreate", input, "order { id ticket }").await?;
    let ticket = text(&created["order"]["ticket"])?;
    let input = json!({ "ticket": ticket, "idempotencyKey": Uuid::now_v7() });
    let started = customer.mutate("paymentStart", input, "attempt { payUrl }").await?;
    let pay_url = text(&started["attempt"]["payUrl"]).context("the channel gave no payment page")?;
    customer.sandbox(&format!("{pay_url}/confirm"), confirm).await?;
    Ok(Sale { order: text(&created["order"]["id"])?, ticket, amount })
}

/// Waits until the payer's page shows that the order is paid.
async fn until_paid(customer: &Client, ticket: &str) -> Result<()> {
    until(PAID_LIMIT, "the order is paid", || async {
        let query = "query($ticket: String!) { cashier(ticket: $ticket) { status } }";
        let shown = customer.query("cashier", query, json!({ "ticket": ticket })).await?;
        Ok((shown["status"] == "PAID").then_some(()))
    })
    .await
}

/// Sizes of a street's shops, from ¥1.00 to some ¥600, the same in each run.
fn amount_of(number: usize) -> i64 {
    let n = i64::try_from(number).unwrap_or(0);
    match n % 10 {
        0..=5 => 300 + n * 37 % 4_700,
        6..=8 => 5_000 + n * 131 % 15_000,
        _ => 20_000 + n * 977 % 40_000,
    }
}

/// Gives part of the largest order back.
pub async fn refund_part(owner: &Client, sales: &mut Sales, steps: &mut Steps) -> Result<()> {
    let (order, amount) = sales.orders.iter().max_by_key(|(_, amount)| *amount).context("something was sold")?;
    let part = amount / 3;
    let input = json!({
        "orderId": order, "amount": format!("{}.{:02}", part / 100, part % 100), "reason": "部分商品缺货", "idempotencyKey": Uuid::now_v7(),
    });
    owner.mutate("refundRequest", input, "refund { id status }").await?;
    let query = "query($id: ID!) { node(id: $id) { ... on Order { refunded { amount } refunds { status errorCode } } } }";
    until(STEP_LIMIT, "the refund succeeds", || async {
        let shown = owner.query("node", query, json!({ "id": order })).await?;
        let refund = &shown["refunds"][0];
        ensure!(refund["status"] != "FAILED", "the refund failed: {}", refund["errorCode"]);
        Ok((refund["status"] == "SUCCEEDED").then_some(()))
    })
    .await?;
    sales.refunded = part;
    steps.done(&format!("部分退款 partial refund of {} out of {}", yuan(part), yuan(*amount)));
    Ok(())
}

/// T+1: yesterday's money becomes available.
pub async fn settle(operator: &Client, owner: &Client, merchant: &str, steps: &mut Steps) -> Result<()> {
    operator.mutate("settlementRun", Value::Null, "released").await?;
    let released = until(STEP_LIMIT, "yesterday's money is released", || async {
        let (pending, available) = wallet(owner, merchant).await?;
        Ok((pending == 0 && available > 0).then_some(available))
    })
    .await?;
    steps.done(&format!("时钟回到今天，T+1 结算 back to today, settlement released {}", yuan(released)));
    Ok(())
}

/// Withdraws half of it and waits until the bank has paid.
pub async fn withdraw(owner: &Client, merchant: &str, steps: &mut Steps) -> Result<()> {
    let (_, available) = wallet(owner, merchant).await?;
    let amount = available / 2;
    let input = json!({
        "merchantId": merchant, "amount": format!("{}.{:02}", amount / 100, amount % 100), "currency": "CNY", "idempotencyKey": Uuid::now_v7(),
    });
    let requested = owner.mutate("withdrawalRequest", input, "withdrawal { id }").await?;
    let id = text(&requested["withdrawal"]["id"])?;
    until(STEP_LIMIT, "the withdrawal is paid", || async {
        let query = "query($id: ID!) { node(id: $id) { ... on Withdrawal { status errorCode } } }";
        let shown = owner.query("node", query, json!({ "id": id })).await?;
        ensure!(shown["status"] != "FAILED", "the withdrawal failed: {}", shown["errorCode"]);
        Ok((shown["status"] == "SUCCEEDED").then_some(()))
    })
    .await?;
    let (_, left) = wallet(owner, merchant).await?;
    ensure!(left == available - amount, "{} should be left and {} is", yuan(available - amount), yuan(left));
    steps.done(&format!("提现到账 withdrawal of {} paid, {} left", yuan(amount), yuan(left)));
    Ok(())
}

/// Pending and available, in fen.
async fn wallet(owner: &Client, merchant: &str) -> Result<(i64, i64)> {
    let query = "query($id: ID!) { node(id: $id) { ... on Merchant { wallet { pending { amount } available { amount } } } } }";
    let shown = owner.query("node", query, json!({ "id": merchant })).await?;
    Ok((fen(&shown["wallet"]["pending"]["amount"])?, fen(&shown["wallet"]["available"]["amount"])?))
}

/// `¥12.50`.
pub fn yuan(fen: i64) -> String {
    format!("¥{}.{:02}", fen / 100, fen % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_mixed_and_in_range() {
        let sizes: Vec<i64> = (0..PAYMENTS).map(amount_of).collect();
        assert!(sizes.iter().all(|s| (100..=60_000).contains(s)), "{sizes:?}");
        let distinct: std::collections::BTreeSet<_> = sizes.iter().collect();
        assert!(distinct.len() > PAYMENTS / 2);
        assert_eq!((yuan(1_250), yuan(5)), ("¥12.50".to_owned(), "¥0.05".to_owned()));
    }
}
