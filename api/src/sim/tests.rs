//! The simulator over real sockets, spoken to by the platform's own adapter.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;
use wallet::base::money::Money;
use wallet::channel::ChannelError;
use wallet::channel::acquirer::{Acquirer as _, Asked, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, TransferWord};
use wallet::channel::payout::{PayoutOrder, PayoutRail, PayoutStatus};
use wallet::channel::sandbox::wire::{Notice, NoticeKind, NoticeStatus};
use wallet::channel::sandbox::{Link, SandboxAcquirer, SandboxBank};

use super::*;

mod faults;

/// Longest a test waits for something that should come.
const LIMIT: Duration = Duration::from_secs(10);

fn pkcs8() -> Vec<u8> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec()
}

/// Keys of all three parties, and a journal in a folder of its own.
struct World {
    platform: Vec<u8>,
    acquirer: Vec<u8>,
    bank: Vec<u8>,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A running simulator. Its tasks end with the runtime of the test.
struct Running {
    url: String,
    acquirer: SandboxAcquirer,
    bank: SandboxBank,
    server: tokio::task::JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("haodian-sim-{}", Uuid::now_v7().simple()));
        Self { platform: pkcs8(), acquirer: pkcs8(), bank: pkcs8(), folder }
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    fn link(&self, url: &str, key_id: &str, key: &[u8], notify_url: &str) -> Link {
        let signer = Arc::new(Signer::try_from_pkcs8(PLATFORM_KEY, &self.platform).unwrap());
        let verifier = Verifier::new(key_id, &Signer::try_from_pkcs8(key_id, key).unwrap().public_key());
        Link::try_new(url, signer, verifier, "1900000001", notify_url, LIMIT).unwrap()
    }

    async fn start(&self, notify_url: &str) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let platform = Signer::try_from_pkcs8(PLATFORM_KEY, &self.platform).unwrap();
        let keys = Keys {
            acquirer: Signer::try_from_pkcs8(ACQUIRER_KEY, &self.acquirer).unwrap(),
            bank: Signer::try_from_pkcs8(BANK_KEY, &self.bank).unwrap(),
            platform: Verifier::new(PLATFORM_KEY, &platform.public_key()),
            others: Others::default(),
        };
        let sim = Sim::load(keys, "1900000001", &url, &self.journal()).unwrap();
        let server = tokio::spawn(async move { sim.serve(listener, std::future::pending()).await.unwrap() });
        let acquirer = SandboxAcquirer::new(self.link(&url, ACQUIRER_KEY, &self.acquirer, notify_url));
        let bank = SandboxBank::new(self.link(&url, BANK_KEY, &self.bank, notify_url));
        Running { url, acquirer, bank, server }
    }
}

impl Running {
    async fn confirm(&self, pay_url: &str, notices: u32) -> StatusCode {
        let body = serde_json::json!({"notices": notices});
        reqwest::Client::new().post(format!("{pay_url}/confirm")).json(&body).send().await.unwrap().status()
    }
}

/// A platform that takes every notice and shows it to the test.
async fn platform() -> (String, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notices", listener.local_addr().unwrap());
    (url, serve_platform(listener))
}

fn serve_platform(listener: TcpListener) -> mpsc::UnboundedReceiver<(HeaderMap, Bytes)> {
    async fn take(State(seen): State<mpsc::UnboundedSender<(HeaderMap, Bytes)>>, headers: HeaderMap, body: Bytes) -> StatusCode {
        seen.send((headers, body)).unwrap();
        StatusCode::NO_CONTENT
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = Router::new().route("/notices", post(take)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    receiver
}

async fn next(notices: &mut mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) -> (HeaderMap, Bytes, Notice) {
    let (headers, body) = tokio::time::timeout(LIMIT, notices.recv()).await.expect("a notice comes").unwrap();
    let notice = serde_json::from_slice(&body).unwrap();
    (headers, body, notice)
}

fn number() -> String {
    Uuid::now_v7().simple().to_string()
}

fn order(request_no: &str, minor: i64) -> PaymentOrder {
    PaymentOrder {
        request_no: request_no.to_owned(),
        amount: Money::cny(minor),
        description: "咖啡".to_owned(),
        method: Method::Page,
        payer: None,
        return_url: None,
        expires_at: Clock::wall() + chrono::TimeDelta::minutes(30),
        split: false,
    }
}

fn asked(request_no: &str) -> Asked {
    Asked { request_no: request_no.to_owned(), sent_at: Clock::wall() }
}

fn page(payment: &PaymentState) -> &str {
    payment.invitation.as_ref().and_then(|invitation| invitation.url()).unwrap()
}

#[tokio::test]
async fn a_payment_is_made_once_confirmed_and_notified_as_often_as_wished() {
    let (world, (notify_url, mut notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let request_no = number();
    let first = sim.acquirer.pay(&order(&request_no, 1_250)).await.unwrap();
    assert_eq!(first.word, PaymentWord::Pending);
    assert_eq!(sim.acquirer.pay(&order(&request_no, 1_250)).await.unwrap(), first, "the same request gives the same payment");
    let other = sim.acquirer.pay(&order(&request_no, 1_251)).await;
    assert!(matches!(other, Err(ChannelError::BadAnswer(_))), "a number is never used for something else: {other:?}");

    assert_eq!(sim.confirm(page(&first), 2).await, StatusCode::OK);
    assert_eq!(sim.confirm(page(&first), 5).await, StatusCode::OK, "a second click changes nothing");
    let (headers, body, notice) = next(&mut notices).await;
    let (_, again, _) = next(&mut notices).await;
    assert_eq!(body, again, "a notice never changes");
    assert_eq!((notice.kind, notice.status, notice.amount_minor), (NoticeKind::Payment, NoticeStatus::Succeeded, 1_250));
    let heard = sim.acquirer.hear(&headers, &body, Clock::wall()).unwrap();
    assert_eq!(heard.notice_id, notice.notice_id);
    assert_eq!(sim.acquirer.hear(&headers, &body[1..], Clock::wall()), Err(wallet::channel::acquirer::HearError::Signature));
    assert!(sim.bank.hear(&headers, &body, Clock::wall()).is_err(), "the bank did not sign it");
    let found = sim.acquirer.query(&asked(&request_no)).await.unwrap().unwrap();
    assert!(matches!(found.word, PaymentWord::Succeeded { amount_minor: 1_250, .. }));
}

#[tokio::test]
async fn a_notice_held_back_comes_late_after_the_platform_asked() {
    let (world, (notify_url, mut notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let request_no = number();
    let payment = sim.acquirer.pay(&order(&request_no, 100)).await.unwrap();
    sim.confirm(page(&payment), 0).await;
    assert!(notices.try_recv().is_err());
    let found = sim.acquirer.query(&asked(&request_no)).await.unwrap().unwrap();
    assert!(matches!(found.word, PaymentWord::Succeeded { .. }));
    assert_eq!(next(&mut notices).await.2.request_no, request_no);
}

#[tokio::test]
async fn closing_bars_what_nobody_has_paid() {
    let (world, (notify_url, _notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let (open, paid, never) = (number(), number(), number());
    let payment = sim.acquirer.pay(&order(&open, 100)).await.unwrap();
    assert_eq!(sim.acquirer.close(&asked(&open)).await.unwrap().word, PaymentWord::Closed);
    sim.confirm(page(&payment), 1).await;
    assert_eq!(sim.acquirer.query(&asked(&open)).await.unwrap().unwrap().word, PaymentWord::Closed, "a closed payment cannot be paid");
    let payment = sim.acquirer.pay(&order(&paid, 100)).await.unwrap();
    sim.confirm(page(&payment), 1).await;
    assert!(matches!(sim.acquirer.close(&asked(&paid)).await.unwrap().word, PaymentWord::Succeeded { .. }), "the payer was faster");
    assert_eq!(sim.acquirer.query(&asked(&never)).await.unwrap(), None);
    assert_eq!(sim.acquirer.close(&asked(&never)).await.unwrap().word, PaymentWord::Closed);
    assert_eq!(sim.acquirer.pay(&order(&never, 100)).await.unwrap().word, PaymentWord::Closed, "it comes too late");
}

#[tokio::test]
async fn a_declined_payment_has_failed() {
    let (world, (notify_url, mut notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let request_no = number();
    let payment = sim.acquirer.pay(&order(&request_no, 100)).await.unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.post(format!("{}/decline", page(&payment))).body("code=BALANCE_TOO_LOW").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "a page is led back to the page");
    let found = sim.acquirer.query(&asked(&request_no)).await.unwrap().unwrap();
    assert_eq!(found.word, PaymentWord::Failed { code: "BALANCE_TOO_LOW".to_owned() });
    assert_eq!(next(&mut notices).await.2.status, NoticeStatus::Failed);
}

#[tokio::test]
async fn refunds_never_exceed_the_payment() {
    let (world, (notify_url, mut notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let request_no = number();
    let refund = |minor| RefundOrder {
        request_no: number(),
        payment: asked(&request_no),
        transaction_id: String::new(),
        paid: Money::cny(1_000),
        amount: Money::cny(minor),
        reason: "退货".to_owned(),
        shares: Vec::new(),
    };
    let payment = sim.acquirer.pay(&order(&request_no, 1_000)).await.unwrap();
    let refused = sim.acquirer.refund(&refund(1)).await;
    assert!(matches!(refused, Err(ChannelError::Refused { ref code }) if code == "PAYMENT_NOT_PAID"), "{refused:?}");
    sim.confirm(page(&payment), 1).await;
    next(&mut notices).await;
    let part = refund(600);
    assert_eq!(sim.acquirer.refund(&part).await.unwrap(), TransferWord::Accepted);
    let refused = sim.acquirer.refund(&refund(401)).await;
    assert!(matches!(refused, Err(ChannelError::Refused { ref code }) if code == "AMOUNT_EXCEEDS_PAYMENT"), "{refused:?}");
    let (_, _, notice) = next(&mut notices).await;
    assert_eq!((notice.kind, notice.request_no, notice.amount_minor), (NoticeKind::Refund, part.request_no.clone(), 600));
    let repeated = sim.acquirer.refund(&part).await.unwrap();
    assert!(matches!(repeated, TransferWord::Succeeded { .. }), "the same number is the same refund");
}

#[tokio::test]
async fn payouts_succeed_but_for_a_closed_account_and_no_payee_is_kept() {
    let (world, (notify_url, mut notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    for (account, expected) in [
        ("6222021234567890123", PayoutStatus::Succeeded),
        ("6222021234567890001", PayoutStatus::Failed { code: "ACCOUNT_CLOSED".to_owned() }),
    ] {
        let payout = PayoutOrder {
            request_no: number(),
            payee_name: "张样本".to_owned(),
            payee_account: account.to_owned(),
            amount: Money::cny(5_000),
        };
        assert!(!format!("{payout:?}").contains(account) && !format!("{payout:?}").contains("张样本"));
        assert_eq!(sim.bank.payout(&payout).await.unwrap().status, PayoutStatus::Accepted);
        let (headers, body, notice) = next(&mut notices).await;
        sim.bank.hear(&headers, &body, Clock::wall()).unwrap();
        assert_eq!(notice.kind, NoticeKind::Payout);
        assert_eq!(sim.bank.query(&payout.request_no).await.unwrap().unwrap().status, expected, "{account}");
        let changed = PayoutOrder { payee_account: "6222029999999999999".to_owned(), ..payout };
        assert!(matches!(sim.bank.payout(&changed).await, Err(ChannelError::BadAnswer(_))), "another payee is another payout");
    }
    let journal = std::fs::read_to_string(world.journal()).unwrap();
    assert!(!journal.contains("张样本") && !journal.contains("622202"), "no payee lies on the disk");
}

#[tokio::test]
async fn only_the_platform_is_listened_to_and_only_the_acquirer_is_believed() {
    let (world, (notify_url, _notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let unsigned = reqwest::Client::new().get(format!("{}/acquirer/v1/payments/{}", sim.url, number())).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    let stranger =
        World { platform: pkcs8(), acquirer: world.acquirer.clone(), bank: world.bank.clone(), folder: world.folder.join("none") };
    let forged = SandboxAcquirer::new(stranger.link(&sim.url, ACQUIRER_KEY, &world.acquirer, &notify_url));
    let refused = forged.pay(&order(&number(), 100)).await;
    assert!(matches!(refused, Err(ChannelError::BadAnswer(_))), "{refused:?}");
    let deceived = SandboxAcquirer::new(world.link(&sim.url, ACQUIRER_KEY, &world.bank, &notify_url));
    let disbelieved = deceived.pay(&order(&number(), 100)).await;
    assert!(matches!(disbelieved, Err(ChannelError::BadAnswer(_))), "{disbelieved:?}");
    sim.server.abort();
    _ = sim.server.await;
    let silent = sim.acquirer.query(&asked(&number())).await;
    assert!(matches!(silent, Err(ChannelError::NoAnswer(_))), "{silent:?}");
}

#[tokio::test]
async fn a_restart_remembers_and_delivers_what_was_left_even_after_a_torn_line() {
    let world = World::new();
    // a platform that is not there yet; nobody else listens on this loopback address
    let listener = TcpListener::bind("127.77.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let notify_url = format!("http://{address}/notices");
    let (request_no, open_no) = (number(), number());
    let before = {
        // the first process has a runtime of its own, which dies with all its tasks
        let (world, notify_url, request_no, open_no) = (&world, notify_url.clone(), request_no.clone(), open_no.clone());
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let sim = world.start(&notify_url).await;
                    let payment = sim.acquirer.pay(&order(&request_no, 777)).await.unwrap();
                    sim.acquirer.pay(&order(&open_no, 888)).await.unwrap();
                    sim.confirm(page(&payment), 1).await;
                    sim.acquirer.query(&asked(&request_no)).await.unwrap().unwrap()
                })
            });
            first.join().unwrap()
        })
    };
    std::fs::OpenOptions::new().append(true).open(world.journal()).unwrap().write_all(b"{\"payment\":{\"request\":{\"mer").unwrap();

    let mut notices = serve_platform(TcpListener::bind(address).await.unwrap());
    let sim = world.start(&notify_url).await;
    assert_eq!(next(&mut notices).await.2.request_no, request_no);
    let after = sim.acquirer.query(&asked(&request_no)).await.unwrap().unwrap();
    assert_eq!(after.word, before.word);
    assert_eq!(sim.acquirer.query(&asked(&open_no)).await.unwrap().unwrap().word, PaymentWord::Pending);
    assert_eq!(sim.acquirer.pay(&order(&open_no, 888)).await.unwrap().word, PaymentWord::Pending);
    drop(sim);
    let journal = std::fs::read_to_string(world.journal()).unwrap();
    assert!(journal.lines().all(|line| serde_json::from_str::<record::Line>(line).is_ok()), "the torn line is gone");
}

#[tokio::test]
async fn the_payers_page_says_what_is_paid_and_leads_back() {
    let (world, (notify_url, _notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let asked = PaymentOrder {
        description: "<b>面</b>".to_owned(),
        return_url: Some("http://127.0.0.1:1/cashier/x".to_owned()),
        ..order(&number(), 1_250)
    };
    let payment = sim.acquirer.pay(&asked).await.unwrap();
    let show = || async { reqwest::get(page(&payment)).await.unwrap().text().await.unwrap() };
    let shown = show().await;
    assert!(shown.contains("¥12.50") && shown.contains("确认支付") && shown.contains("放弃"), "{shown}");
    assert!(shown.contains("&lt;b&gt;面&lt;/b&gt;") && !shown.contains("<b>"), "{shown}");
    let answer = reqwest::Client::new().post(format!("{}/confirm", page(&payment))).send().await.unwrap();
    assert!(answer.status().is_success());
    let shown = show().await;
    assert!(shown.contains("支付成功") && shown.contains("http://127.0.0.1:1/cashier/x"), "{shown}");
    let none = reqwest::get(format!("{}/pay/T0", sim.url)).await.unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_day_can_be_moved() {
    let (world, (notify_url, _notices)) = (World::new(), platform().await);
    let sim = world.start(&notify_url).await;
    let (day_ms, request_no) = (86_400_000_i64, number());
    let client = reqwest::Client::new();
    let moved = client.post(format!("{}/control/clock", sim.url)).json(&control::Offset { offset_ms: day_ms }).send().await.unwrap();
    assert!(moved.status().is_success());
    let payment = sim.acquirer.pay(&order(&request_no, 100)).await.unwrap();
    sim.confirm(page(&payment), 1).await;
    let PaymentWord::Succeeded { at, .. } = sim.acquirer.query(&asked(&request_no)).await.unwrap().unwrap().word else {
        panic!("it was paid")
    };
    let ahead = at - Clock::wall();
    assert!((82_800_000..=day_ms).contains(&ahead.num_milliseconds()), "{ahead}");
}
