//! One payment as shop and customer see it: order, start, the payer's 确认支付 at the simulator, and the cashier's stream that says paid.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::http::{Http, With};

/// Longest one payment may take.
const TIME_MAX: Duration = Duration::from_secs(60);

const ORDER: &str = "mutation($input: OrderCreateInput!) { orderCreate(input: $input) { order { id ticket } userErrors { code } } }";
const START: &str =
    "mutation($input: PaymentStartInput!) { paymentStart(input: $input) { attempt { invitation { content } } userErrors { code } } }";

const WATCH: &str = "subscription($ticket: String!) { cashierChanged(ticket: $ticket) { status } }";

/// The steps that are timed.
pub(super) const STEPS: [&str; 4] = ["order", "start", "confirm", "paid"];

/// How the customers pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// On the page of whichever channel takes every wallet.
    AnyPage,
    /// With WeChat, by a code.
    WechatCode,
}

/// Who pays whom.
#[derive(Clone, Debug)]
pub(super) struct Shop {
    pub base_url: String,
    /// Where the simulator is.
    pub sim_url: String,
    pub way: Way,
    /// The owner's access token. Secret.
    pub token: String,
    pub stores: Vec<String>,
    /// `parties` of a divided order.
    pub parties: Value,
    /// How many orders of a hundred are divided.
    pub divided_percent: u8,
}

/// How far a payment came. What had a 2xx must be in the books.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    /// The order's id, once `orderCreate` was answered, with its amount in fen.
    pub order: Option<(String, i64)>,
    /// The simulator took the customer's word.
    pub confirmed: bool,
    /// The cashier showed it paid.
    pub paid: bool,
    /// When each of [`STEPS`] ended.
    pub ended: [Option<Instant>; 4],
    pub error: Option<String>,
}

/// The connections of a phase: as many as are in use at a time.
#[derive(Debug)]
pub(super) struct Lines {
    serve: Http,
    sim: Http,
}

impl Shop {
    pub(super) fn lines(&self) -> Result<Lines> {
        Ok(Lines { serve: Http::to(&self.base_url)?, sim: Http::to(&self.sim_url)? })
    }

    /// Plays the `number`th payment.
    pub(super) async fn pay(&self, lines: &Lines, number: usize) -> Trace {
        let mut trace = Trace::default();
        match tokio::time::timeout(TIME_MAX, self.play(lines, number, &mut trace)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => trace.error = Some(format!("{error:#}")),
            Err(_) => trace.error = Some(format!("not over after {} s", TIME_MAX.as_secs())),
        }
        trace
    }

    async fn play(&self, lines: &Lines, number: usize, trace: &mut Trace) -> Result<()> {
        let minor = 1_000 + i64::try_from(number).unwrap_or(0) * 37 % 90_000;
        let mut input = json!({
            "storeId": self.stores[number % self.stores.len()], "amount": format!("{}.{:02}", minor / 100, minor % 100),
            "subject": format!("订单 {number}"), "idempotencyKey": Uuid::now_v7(),
        });
        // evenly spread over the numbers
        if number * usize::from(self.divided_percent) % 100 < usize::from(self.divided_percent) {
            input["productCode"] = "AGENT_COMMISSION".into();
            input["parties"] = self.parties.clone();
        }
        let created = self.ask(lines, Some(&self.token), "orderCreate", ORDER, input).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text was expected");
        let ticket = text(&created["order"]["ticket"])?;
        trace.order = Some((text(&created["order"]["id"])?, minor));
        trace.ended[0] = Some(Instant::now());

        let mut input = json!({ "ticket": ticket, "idempotencyKey": Uuid::now_v7() });
        if self.way == Way::WechatCode {
            input["wallet"] = "WECHAT".into();
            input["method"] = "NATIVE".into();
        }
        let started = self.ask(lines, None, "paymentStart", START, input).await?;
        let invited = text(&started["attempt"]["invitation"]["content"]).context("the channel invited nobody")?;
        // codes and pages of the simulator end with the number of the payment there
        let transaction = invited.rsplit(['/', '=']).next().unwrap_or_default();
        trace.ended[1] = Some(Instant::now());

        // the page of the customer listens while they pay
        let watched = json!({ "query": WATCH, "variables": { "ticket": ticket } });
        let events = lines.serve.post("/graphql", With { stream: true, ..With::default() }, &watched);
        let confirm = async {
            let (path, how) = (format!("/pay/{transaction}/confirm"), json!({ "notices": 1, "delay_ms": 0 }));
            let answer = lines.sim.post(&path, With::default(), &how).await.context("the payer's page did not answer")?;
            let status = answer.status;
            ensure!(status.is_success() || status.is_redirection(), "the payer's page answered {status}");
            answer.whole().await?;
            anyhow::Ok(Instant::now())
        };
        let (events, confirmed) = tokio::join!(events, confirm);
        trace.ended[2] = Some(confirmed?);
        trace.confirmed = true;
        let mut events = events.context("the cashier's stream did not open")?;
        ensure!(events.status.is_success(), "the cashier's stream answered {}", events.status);
        let mut seen = Vec::new();
        while let Some(chunk) = events.chunk().await.context("the cashier's stream broke")? {
            seen.extend_from_slice(&chunk);
            if !trace.paid && seen.windows(PAID.len()).any(|part| part == PAID) {
                trace.ended[3] = Some(Instant::now());
                trace.paid = true;
            }
        }
        // read to its end, so that the connection serves the next request
        ensure!(trace.paid, "the cashier's stream ended before the order was paid");
        Ok(())
    }

    async fn ask(&self, lines: &Lines, token: Option<&str>, field: &str, query: &str, input: Value) -> Result<Value> {
        let body = json!({ "query": query, "variables": { "input": input } });
        let answer = lines.serve.post("/graphql", With { token, stream: false }, &body).await.with_context(|| field.to_owned())?;
        let status = answer.status;
        let whole = answer.whole().await.with_context(|| format!("{field}: {status}"))?;
        let mut answer: Value = serde_json::from_slice(&whole).with_context(|| format!("{field}: {status} without JSON"))?;
        if let Some(error) = answer["errors"].get(0) {
            bail!("{field}: {status} {}", error["extensions"]["code"]);
        }
        let payload = answer["data"][field].take();
        if let Some(error) = payload["userErrors"].get(0) {
            bail!("{field}: {}", error["code"]);
        }
        Ok(payload)
    }
}

/// What the stream says of a paid order.
const PAID: &[u8] = br#""status":"PAID""#;
