//! Payments that their channel divides: over the channels' true wire, against the simulators, which say afterwards what really happened.

mod caps;
mod damage;
mod divide;
mod restart;
mod royalty;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::config::Config;
use api::sim::{Keys, Sim};
use serde_json::{Value, json};
use tests::{Folder, PAY_LIMIT, TestDatabase, eventually};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::clock::Clock;
use wallet::base::id::{MerchantId, OrderId, StoreId, UserId};
use wallet::channel::acquirer::{Invitation, Method, Wallet};
use wallet::channel::sandbox::PLATFORM_KEY;
use wallet::channel::sandbox::sign::Signer;
use wallet::channel::{Channels, Progress};
use wallet::order::{Choice, CreateOrder, Order, OrderStatus, Orders};
use wallet::payment::{PaymentError, Payments, StartPayment};
use wallet::product::Products;
use wallet::refund::Refunds;
use wallet::split::{Line, LineStatus, ReturnSplit, SetAccount, Split, SplitError, Splits};

use super::cny;

/// Receivers get 25 of a hundred, so that a channel that gives 30 divides it; one of them passes a part on.
pub const SHARED: &str = r#"
code = "SHARED"
name = "共享"
settle = "T1"

[collect]
methods = ["IN_APP", "NATIVE", "PAGE"]
amount_minor_min = 1
amount_minor_max = 1_000_000_000
pay_within_min = 30

[fee]
rate = { bps = 100 }
bearer = "MERCHANT"

[[split]]
role = "AGENT"
part = { bps = 2_000 }

[[split.shares]]
role = "BROKER"
part = { bps = 3_000 }

[[split]]
role = "SUPPLIER"
part = { bps = 500 }
"#;

/// The receivers' accounts at WeChat and at Alipay.
const WECHAT_ACCOUNTS: [&str; 3] = ["1900000801", "1900000802", "1900000803"];
const ALIPAY_ACCOUNTS: [&str; 3] = ["2088000000000801", "2088000000000802", "2088000000000803"];
/// An account that no share reaches.
const CLOSED_ACCOUNT: &str = "1900000001";

/// A merchant, three receivers, and services over the channels' simulators.
struct Market {
    db: TestDatabase,
    clock: Clock,
    merchant: MerchantId,
    store: StoreId,
    owner: Actor,
    operator: Actor,
    receivers: Vec<MerchantId>,
    orders: Orders,
    payments: Payments,
    splits: Splits,
    refunds: Refunds,
    channels: Channels,
    sim_url: String,
    http: reqwest::Client,
    config: Config,
    /// What stops the simulators, and when they have stopped.
    sim: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    folder: Folder,
}

impl Market {
    async fn open() -> Self {
        let market = Self::without_accounts().await;
        for (place, receiver) in market.receivers.iter().enumerate() {
            market.account(*receiver, "WECHAT_PAY", WECHAT_ACCOUNTS[place]).await.unwrap();
            market.account(*receiver, "ALIPAY", ALIPAY_ACCOUNTS[place]).await.unwrap();
        }
        market
    }

    async fn without_accounts() -> Self {
        let (db, clock, folder) = (tests::database().await, tests::morning(), Folder::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sim_url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        tests::lay_keys(&config.keys_dir());
        config.channel.sandbox_url.clone_from(&sim_url);
        config.channel.connected = ["WECHAT_PAY", "ALIPAY"].map(str::to_owned).to_vec();
        config.channel.timeout_ms = 2_000;
        let sim = play(&config, listener, &folder);
        let platform = Arc::new(Signer::load(PLATFORM_KEY, &config.keys_dir().join("platform.pk8")).unwrap());
        let channels = api::channel::connect(&config, &platform, &clock).unwrap();

        std::fs::create_dir(folder.path().join("products")).unwrap();
        for entry in tests::repository().join("products").read_dir().unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join("products").join(path.file_name().unwrap())).unwrap();
        }
        std::fs::write(folder.path().join("products/shared.toml"), SHARED).unwrap();
        let products = api::products::load(&folder.path().join("products")).unwrap();
        let products = Products::publish(db.pool(), products).await.unwrap();
        let (merchant, store, owner) = tests::sign_merchant(db.pool(), 100, clock.now()).await;
        let mut receivers = Vec::new();
        for _ in 0..3 {
            receivers.push(tests::sign_merchant(db.pool(), 100, clock.now()).await.0);
        }
        let (pool, after) = (db.pool().clone(), Duration::from_secs(5));
        let market = Self {
            orders: Orders::selling(pool.clone(), clock.clone(), products),
            payments: Payments::new(pool.clone(), clock.clone(), channels.clone(), tests::routing(&channels, &clock), after),
            refunds: Refunds::new(pool.clone(), clock.clone(), channels.clone(), after),
            splits: Splits::through(pool, clock.clone(), channels.clone()),
            operator: Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] },
            // simulators that are started anew know nothing of connections from before
            http: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap(),
            db,
            clock,
            merchant,
            store,
            owner,
            receivers,
            channels,
            sim_url,
            config,
            sim: Some(sim),
            folder,
        };
        market.control("clock", json!({ "offset_ms": market.clock.offset_ms() }).to_string()).await;
        market
    }

    /// Stops the simulators and starts them anew, at the same address, with what their journal holds.
    async fn restart(&mut self) {
        let (stop, stopped) = self.sim.take().unwrap();
        stop.send(()).unwrap();
        stopped.await.unwrap();
        let listener = TcpListener::bind(self.sim_url.trim_start_matches("http://")).await.unwrap();
        self.sim = Some(play(&self.config, listener, &self.folder));
    }

    /// Tells the simulators something.
    async fn control(&self, what: &str, body: String) {
        let request = self.http.post(format!("{}/control/{what}", self.sim_url)).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{what}: {}", answer.text().await.unwrap());
    }

    async fn account(&self, merchant: MerchantId, channel: &str, account: &str) -> Result<(), SplitError> {
        let cmd = SetAccount { merchant, channel: channel.to_owned(), account: account.to_owned() };
        self.splits.set_account(&self.operator, cmd).await.map(|_| ())
    }

    async fn order(&self, code: &str, minor: i64) -> Order {
        let roles = match code {
            "SHARED" => &["AGENT", "BROKER", "SUPPLIER"][..],
            "STORE_PAYMENT" => &[],
            _ => &["AGENT", "BROKER"],
        };
        let parties = roles.iter().zip(&self.receivers).map(|(role, party)| ((*role).to_owned(), *party)).collect();
        let cmd = CreateOrder {
            merchant: self.merchant,
            store: self.store,
            amount: cny(minor),
            subject: "服务费".to_owned(),
            product: Some(Choice { code: code.to_owned(), parties }),
            idempotency_key: Uuid::now_v7(),
        };
        self.orders.create(&self.owner, cmd).await.unwrap()
    }

    /// Starts to pay: in WeChat's own app, or on Alipay's page.
    async fn start(&self, order: OrderId, channel: &str) -> Result<wallet::payment::Attempt, PaymentError> {
        let wechat = channel == "WECHAT_PAY";
        let cmd = StartPayment {
            merchant: self.merchant,
            order,
            method: if wechat { Method::InApp } else { Method::Page },
            wallet: Some(if wechat { Wallet::Wechat } else { Wallet::Alipay }),
            failed: None,
            payer: wechat.then(|| "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned()),
            return_url: None,
            idempotency_key: Uuid::now_v7(),
        };
        self.payments.start(&self.owner, cmd).await
    }

    /// The payer does as invited and says yes.
    async fn confirm(&self, invitation: &Invitation) {
        let transaction = match invitation {
            Invitation::Call(call) => {
                let call: Value = serde_json::from_str(call).unwrap();
                call["package"].as_str().unwrap().trim_start_matches("prepay_id=wx").to_owned()
            }
            Invitation::Code(code) if code.starts_with("weixin://") => code.rsplit('=').next().unwrap().to_owned(),
            Invitation::Url(url) | Invitation::Code(url) => {
                self.http.get(url).send().await.unwrap().url().path().rsplit('/').next().unwrap().to_owned()
            }
            Invitation::Wait => panic!("nobody was invited"),
        };
        let url = format!("{}/pay/{transaction}/confirm", self.sim_url);
        let answer = self.http.post(url).json(&json!({ "notices": 0 })).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// An order that was paid by WeChat or Alipay, and learnt of by asking.
    async fn paid_with(&self, minor: i64, channel: &str) -> OrderId {
        let order = self.order("SHARED", minor).await;
        let attempt = self.start(order.id, channel).await.unwrap();
        assert_eq!(attempt.channel, channel);
        self.confirm(attempt.invitation.as_ref().unwrap()).await;
        self.payments.query(self.merchant.book(), attempt.id).await.unwrap();
        assert_eq!(self.orders.get(&self.owner, self.merchant, order.id).await.unwrap().status, OrderStatus::Paid);
        order.id
    }

    async fn paid(&self, minor: i64) -> OrderId {
        self.paid_with(minor, "WECHAT_PAY").await
    }

    /// Runs the job until it says that nothing is left, however often it wants to be run again.
    async fn execute(&self, order: OrderId) {
        eventually(PAY_LIMIT, "the split comes to its end", async || {
            (self.splits.execute(self.merchant.book(), order).await.unwrap() == Progress::Settled).then_some(())
        })
        .await;
    }

    async fn split(&self, order: OrderId) -> Split {
        self.splits.get(&self.owner, self.merchant, order).await.unwrap()
    }

    async fn lines(&self, order: OrderId) -> Vec<Line> {
        self.splits.lines(&self.owner, self.merchant, order, None, 100).await.unwrap().items
    }

    async fn told(&self, order: OrderId) -> Vec<(String, i64, LineStatus)> {
        let mut told: Vec<_> = self.lines(order).await.into_iter().map(|line| (line.role, line.amount.minor, line.status)).collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }

    async fn give_back(&self, order: OrderId, minor: i64) -> wallet::split::Return {
        let cmd = ReturnSplit { merchant: self.merchant, order, amount: cny(minor), idempotency_key: Uuid::now_v7() };
        self.splits.give_back(&self.owner, cmd).await.unwrap()
    }

    async fn execute_return(&self, back: &wallet::split::Return) {
        eventually(PAY_LIMIT, "the return comes to its end", async || {
            (self.splits.execute_return(self.merchant.book(), back.id).await.unwrap() == Progress::Settled).then_some(())
        })
        .await;
    }

    /// Pending of the merchant and of the receivers.
    async fn pending(&self) -> [i64; 4] {
        let mut all = [0; 4];
        for (place, merchant) in [self.merchant].iter().chain(&self.receivers).enumerate() {
            all[place] = wallet::ledger::balances(self.db.pool(), *merchant).await.unwrap().pending.minor;
        }
        all
    }

    /// What the simulators did with shares, and what our rows say: what, number, account, amount, whether it moved (S9).
    async fn truth(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let told: Value = self.http.get(format!("{}/control/truth", self.sim_url)).send().await.unwrap().json().await.unwrap();
        let of_splits = |t: &&Value| ["SHARE", "FREED", "SHARE_BACK"].contains(&t["what"].as_str().unwrap());
        let line = |t: &Value| {
            let account = t["account"].as_str().unwrap_or("");
            let (what, number) = (t["what"].as_str().unwrap(), t["request_no"].as_str().unwrap());
            format!("{what} {number} {account} {} {}", t["amount_minor"], t["moved"])
        };
        let theirs = told.as_array().unwrap().iter().filter(of_splits).map(line).collect();
        let ours: Vec<String> = sqlx::query_scalar(
            "SELECT CASE c.kind WHEN 'DIVIDE' THEN 'SHARE' WHEN 'FINISH' THEN 'FREED' ELSE 'SHARE_BACK' END || ' ' ||
                    replace(c.call_id::text, '-', '') || ' ' || COALESCE(s.account, '') || ' ' || COALESCE(s.amount_minor, 0) || ' ' ||
                    CASE WHEN c.kind = 'FINISH' OR s.outcome = 'SUCCEEDED' THEN 'true' ELSE 'false' END
             FROM split_calls c LEFT JOIN split_shares s USING (book_id, call_id)
             WHERE c.status = 'DONE'",
        )
        .fetch_all(self.db.pool())
        .await
        .unwrap();
        (theirs, ours.into_iter().collect())
    }

    async fn assert_as_the_channels_did(&self) {
        let (theirs, ours) = self.truth().await;
        assert_eq!(theirs, ours);
        self.assert_sound().await;
    }

    async fn assert_sound(&self) {
        let report = wallet::check::run(self.db.pool()).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }
}

/// Plays the channels, until it is told to stop.
fn play(config: &Config, listener: TcpListener, folder: &Folder) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let keys = Keys::load(&config.keys_dir(), config.channel.bank.terms()).unwrap();
    let (merchant_no, url) = (&config.channel.merchant_no, &config.channel.sandbox_url);
    let sim = Sim::load(keys, merchant_no, url, &folder.path().join("journal.jsonl")).unwrap();
    let (stop, told) = oneshot::channel();
    // a market that is gone stops nobody: its tasks end with the runtime
    let stopped = async move {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    (stop, tokio::spawn(async move { sim.serve(listener, stopped).await.unwrap() }))
}

/// Of 99.00: 19.80 to the agent, who passes 5.94 on, and 4.95 to the supplier.
const DIVIDED: [i64; 4] = [7_425, 1_386, 594, 495];

fn arrived() -> Vec<(String, i64, LineStatus)> {
    [("AGENT", 1_980), ("BROKER", 594), ("SUPPLIER", 495)].map(|(role, minor)| (role.to_owned(), minor, LineStatus::Succeeded)).to_vec()
}
