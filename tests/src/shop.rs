//! Builders: a signed merchant with stores, orders, payments. Everything but the signing goes through the public API.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;
use wallet::base::clock::{Clock, shanghai};
use wallet::base::id::MerchantId;
use wallet::ledger::BookKind;

use crate::{Answer, Caller, TestApp, eventually};

/// Longest a payment may take until its order is paid.
pub const PAY_LIMIT: Duration = Duration::from_secs(120);

/// A signed merchant and the caller who owns it.
#[derive(Clone, Debug)]
pub struct Shop {
    pub owner: Caller,
    /// As the API names it.
    pub merchant: String,
    /// As the database does.
    pub merchant_id: MerchantId,
    /// Ids of the stores, as the API names them.
    pub stores: Vec<String>,
}

/// An order as its cashier sees it.
#[derive(Clone, Debug)]
pub struct OrderHandle {
    pub id: String,
    pub ticket: String,
    pub cashier_url: String,
}

/// A started payment.
#[derive(Clone, Debug)]
pub struct Started {
    pub attempt: String,
    pub pay_url: String,
}

/// How the payer's wallet behaves after 确认支付.
#[derive(Clone, Copy, Debug)]
pub struct Confirm {
    /// How many notices the channel sends: 0 is a lost one, 2 a duplicate.
    pub notices: u32,
    /// How long it waits with the first.
    pub delay_ms: u64,
}

impl Default for Confirm {
    fn default() -> Self {
        Self { notices: 1, delay_ms: 0 }
    }
}

/// A fresh key.
pub fn key() -> String {
    Uuid::now_v7().to_string()
}

impl TestApp {
    /// A merchant that may take payments, with two stores. Applied for through the API, signed by hand: papers take seconds to read.
    pub async fn signed_merchant(&self) -> Shop {
        let owner = self.owner().await;
        self.signed_merchant_of(owner, "好店便利", "6222020200001123456").await
    }

    /// The same for any owner, name and settlement account (one that ends in 0001 is refused by the sandbox bank).
    pub async fn signed_merchant_of(&self, owner: Caller, name: &str, account: &str) -> Shop {
        let (_, merchant) = self.applying_merchant(&owner, name, account).await;
        let merchant_id = self.last_merchant().await;
        // Business time of the system, which may play another day.
        let offset_ms: i64 = sqlx::query_scalar("SELECT COALESCE((SELECT offset_ms FROM sandbox_clock), 0)")
            .fetch_one(self.owner_db())
            .await
            .expect("the sandbox clock can be read");
        let clock = Clock::default();
        clock.set_offset_ms(offset_ms);
        let now = clock.now();
        let mut tx = self.owner_db().begin().await.expect("a transaction opens");
        sqlx::query("UPDATE merchants SET status = 'SIGNED', signed_at = $2 WHERE merchant_id = $1")
            .bind(merchant_id.0)
            .bind(now)
            .execute(&mut *tx)
            .await
            .expect("the merchant is signed");
        sqlx::query("UPDATE applications SET status = 'APPROVED', submitted_at = $2, decided_at = $2 WHERE merchant_id = $1")
            .bind(merchant_id.0)
            .bind(now)
            .execute(&mut *tx)
            .await
            .expect("the application is approved");
        wallet::ledger::open_book_in_tx(&mut tx, merchant_id.book(), BookKind::Merchant, now).await.expect("the book opens");
        tx.commit().await.expect("the merchant is stored");
        self.shop(owner, merchant).await
    }

    /// Opens two stores of a signed merchant.
    pub(crate) async fn shop(&self, owner: Caller, merchant: String) -> Shop {
        let merchant_id = self.last_merchant().await;
        let mut stores = Vec::new();
        for name in ["城西店", "城东店"] {
            let input = json!({ "merchantId": merchant, "name": name, "address": "北京市朝阳区建国路88号" });
            let payload = self.done(&owner, "storeCreate", input, "store { id }").await;
            stores.push(text(&payload["store"]["id"]));
        }
        Shop { owner, merchant, merchant_id, stores }
    }

    /// A merchant that has only begun to apply: (application, merchant).
    pub async fn applying_merchant(&self, owner: &Caller, name: &str, account: &str) -> (String, String) {
        self.keep_secret(account);
        let input = json!({ "merchantName": name, "settlementAccountName": name, "settlementAccountNumber": account });
        let payload = self.done(owner, "applicationCreate", input, "application { id merchant { id } }").await;
        let application = &payload["application"];
        (text(&application["id"]), text(&application["merchant"]["id"]))
    }

    async fn last_merchant(&self) -> MerchantId {
        let id: Uuid = sqlx::query_scalar("SELECT merchant_id FROM applications ORDER BY created_at DESC, application_id DESC LIMIT 1")
            .fetch_one(self.owner_db())
            .await
            .expect("the application is stored");
        MerchantId(id)
    }

    /// An order of the first store.
    pub async fn order(&self, shop: &Shop, amount: &str) -> OrderHandle {
        self.order_at(shop, 0, amount).await
    }

    /// An order of any of its stores.
    pub async fn order_at(&self, shop: &Shop, store: usize, amount: &str) -> OrderHandle {
        let answer = self.order_with_key(shop, store, amount, &key()).await;
        order_of(&answer)
    }

    /// An order of a product without a split.
    pub async fn order_of_product(&self, shop: &Shop, code: &str, amount: &str) -> OrderHandle {
        let input =
            json!({ "storeId": shop.stores[0], "amount": amount, "subject": "合同款", "productCode": code, "idempotencyKey": key() });
        order_of(&self.mutate(&shop.owner, "orderCreate", input, "order { id ticket cashierUrl }").await)
    }

    /// The whole answer to `orderCreate` with a key of the caller's choice.
    pub async fn order_with_key(&self, shop: &Shop, store: usize, amount: &str, key: &str) -> Answer {
        let input = json!({ "storeId": shop.stores[store], "amount": amount, "currency": "CNY", "subject": "早餐", "idempotencyKey": key });
        self.mutate(&shop.owner, "orderCreate", input, "order { id ticket cashierUrl status }").await
    }

    /// Starts a payment as a customer who has nothing but the ticket.
    pub async fn start_payment(&self, order: &OrderHandle) -> Started {
        let input = json!({ "ticket": order.ticket, "idempotencyKey": key() });
        let payload = self.done(&Caller::nobody(), "paymentStart", input, "attempt { id status payUrl }").await;
        let attempt = &payload["attempt"];
        Started { attempt: text(&attempt["id"]), pay_url: text(&attempt["payUrl"]) }
    }

    /// Presses 确认支付 on the payer's wallet page.
    pub async fn confirm(&self, started: &Started, how: Confirm) {
        let body = json!({ "notices": how.notices, "delay_ms": how.delay_ms });
        let answer = self.http().post(format!("{}/confirm", started.pay_url)).json(&body).send().await.expect("the wallet answers");
        assert!(answer.status().is_success() || answer.status().is_redirection(), "confirm: {}", answer.status());
    }

    /// The payer's page behind what a customer was shown, as the channel's own app would open it.
    pub async fn payer_page(&self, attempt: &Value) -> String {
        let content = text(&attempt["invitation"]["content"]);
        let inside = |field: &str| text(&serde_json::from_str::<Value>(&content).expect("parameters are JSON")[field]);
        let kind = attempt["invitation"]["kind"].as_str().unwrap_or_default();
        let transaction = match (attempt["channel"].as_str().unwrap_or_default(), kind) {
            ("WECHAT_PAY", "CODE") => content.trim_start_matches("weixin://wxpay/bizpayurl?pr=").to_owned(),
            ("WECHAT_PAY", "CALL") => inside("package").trim_start_matches("prepay_id=wx").to_owned(),
            ("UNIONPAY", "CALL") => inside("tn"),
            ("ALIPAY", _) => {
                let opened = self.http().get(&content).send().await.expect("the gateway answers");
                opened.url().path().rsplit('/').next().expect("a path has an end").to_owned()
            }
            _ => content.rsplit('/').next().expect("an address has an end").to_owned(),
        };
        format!("{}/pay/{transaction}", self.sim_url())
    }

    /// Presses 放弃.
    pub async fn decline(&self, started: &Started, code: &str) {
        let url = format!("{}/decline", started.pay_url);
        let answer = self.http().post(url).json(&json!({ "code": code })).send().await.expect("the wallet answers");
        assert!(answer.status().is_success() || answer.status().is_redirection(), "decline: {}", answer.status());
    }

    /// Starts, confirms and waits until the order is paid.
    pub async fn pay(&self, order: &OrderHandle) -> Started {
        self.pay_with(order, Confirm::default()).await
    }

    /// The same with a wallet that behaves as told.
    pub async fn pay_with(&self, order: &OrderHandle, how: Confirm) -> Started {
        let started = self.start_payment(order).await;
        self.confirm(&started, how).await;
        self.until_order(order, "PAID").await;
        started
    }

    /// Waits until the payer's page would show this status.
    pub async fn until_order(&self, order: &OrderHandle, status: &str) {
        eventually(PAY_LIMIT, &format!("the order is {status}"), async || {
            let query = "query($ticket: String!) { cashier(ticket: $ticket) { status } }";
            let shown = self.read(&Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await;
            (shown["status"] == status).then_some(())
        })
        .await;
    }

    /// The wallet of a merchant: (pending, available, in payout), as the API writes them.
    pub async fn wallet(&self, shop: &Shop) -> (String, String, String) {
        let query = "query($id: ID!) { node(id: $id) { ... on Merchant { wallet {
            pending { amount } available { amount } inPayout { amount } } } } }";
        let node = self.read(&shop.owner, "node", query, json!({ "id": shop.merchant })).await;
        let amount = |name: &str| text(&node["wallet"][name]["amount"]);
        (amount("pending"), amount("available"), amount("inPayout"))
    }

    /// A signed merchant of a system that plays yesterday.
    pub async fn signed_merchant_yesterday(&self) -> Shop {
        self.play_yesterday().await;
        self.signed_merchant().await
    }

    /// Plays yesterday at ten in the morning of Shanghai, so that no test straddles midnight.
    pub async fn play_yesterday(&self) {
        let now = Clock::wall().with_timezone(&shanghai());
        let ten = (now.date_naive() - TimeDelta::days(1)).and_hms_opt(10, 0, 0).expect("ten is an hour");
        self.play((ten - now.naive_local()).num_milliseconds()).await;
    }

    /// Plays the present.
    pub async fn play_today(&self) {
        self.play(0).await;
    }

    /// Plays a later moment of the present.
    pub async fn play_ahead(&self, by: TimeDelta) {
        self.play(by.num_milliseconds()).await;
    }

    /// The day the system plays, e.g. `2026-11-20`.
    pub async fn today(&self) -> String {
        let shown = self.read(&Caller::nobody(), "sandbox", "{ sandbox { today } }", json!({})).await;
        text(&shown["today"])
    }

    /// Shifts business time at the server, the worker and the simulator.
    async fn play(&self, offset_ms: i64) {
        let operator = self.operator().await;
        self.done(&operator, "sandboxClockSet", json!({ "offsetMs": offset_ms.to_string() }), "sandbox { offsetMs }").await;
        let url = format!("{}/control/clock", self.sim_url());
        let answer = self.http().post(url).json(&json!({ "offset_ms": offset_ms })).send().await.expect("the simulator answers");
        assert!(answer.status().is_success(), "control/clock: {}", answer.status());
        self.until_played(offset_ms).await;
    }

    async fn until_played(&self, offset_ms: i64) {
        let expected = offset_ms.to_string();
        eventually(Duration::from_secs(60), "the server plays the day", async || {
            let shown = self.read(&Caller::nobody(), "sandbox", "{ sandbox { offsetMs } }", json!({})).await;
            (shown["offsetMs"] == expected).then_some(())
        })
        .await;
    }
}

/// The order in an answer to `orderCreate`.
pub fn order_of(answer: &Answer) -> OrderHandle {
    let payload = answer.field("orderCreate");
    assert_eq!(payload["userErrors"], json!([]));
    let order = &payload["order"];
    OrderHandle { id: text(&order["id"]), ticket: text(&order["ticket"]), cashier_url: text(&order["cashierUrl"]) }
}

/// A string that must be there.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
