//! The adapter and the simulator over real sockets; and the adapter before servers that answer as they should not.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::Router;
use axum::http::Uri;
use axum::routing::post;
use bytes::Bytes;
use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;
use wallet::base::clock::Clock;
use wallet::base::money::Money;
use wallet::channel::ChannelError;
use wallet::channel::acquirer::{
    Acquirer, Asked, HearError, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Spoken, TransferWord,
};
use wallet::channel::unionpay::sign;
use wallet::channel::wechat::sign::{SERIAL, Signer};
use wallet::channel::wechat::split::{NewReceiver, ReturnOrder, ShareOutcome, SplitOrder};
use wallet::channel::wechat::transfer::TransferOrder;
use wallet::channel::wechat::wire::{BODY_MAX, Call, Personal, Receiver, ReceiverType};
use wallet::channel::wechat::{Agreement, WechatPay};

use super::super::{Keys, Others};
use super::*;

/// Longest a test waits for something that should come.
const LIMIT: Duration = Duration::from_secs(10);
const MCHID: &str = "1900000109";
const APPID: &str = "wx8888888888888888";
const MERCHANT: &str = "5157F09EFDC096DE";

type Notices = mpsc::UnboundedReceiver<(HeaderMap, Bytes)>;

/// One of three keys, made once, since each takes a while: the merchant's, a public key's of the platform, and a stranger's.
fn pkcs8(whose: usize) -> &'static [u8] {
    static KEYS: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    let make = |_| {
        let der: Pkcs8V1Der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        der.as_ref().to_vec()
    };
    &KEYS.get_or_init(|| std::array::from_fn(make))[whose]
}

fn api_key() -> ApiKey {
    ApiKey::try_new(&[7; 32]).unwrap()
}

/// Where the sandbox's keys come from, which nobody uses here.
fn sandbox_keys() -> Keys {
    use wallet::channel::sandbox::sign::{Signer, Verifier};
    let signer = |name: &str| {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::try_from_pkcs8(name, pkcs8.as_ref()).unwrap()
    };
    Keys {
        acquirer: signer("acquirer"),
        bank: signer("bank"),
        platform: Verifier::new("platform", &signer("platform").public_key()),
        others: Others::default(),
    }
}

/// A running simulator, an adapter for its merchant, and the notices that come.
struct World {
    url: String,
    notify_url: String,
    wechat: Arc<Wechat>,
    adapter: WechatPay,
    notices: Notices,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn agreement(url: &str, notify_url: &str) -> Agreement {
    Agreement {
        base_url: url.to_owned(),
        mchid: MCHID.to_owned(),
        appid: APPID.to_owned(),
        signer: Signer::try_from_pkcs8(MERCHANT, pkcs8(0)).unwrap(),
        api_key: api_key(),
        public_keys: Vec::new(),
        notify_url: notify_url.to_owned(),
        share_max_bps: 3_000,
        timeout: LIMIT,
        open_for: TimeDelta::minutes(30),
        clock: Clock::default(),
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

impl World {
    async fn new() -> Self {
        let (sender, notices) = mpsc::unbounded_channel();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            sender.send((headers, body)).unwrap();
            StatusCode::NO_CONTENT
        };
        let notify_url = format!("{}/notices", serve(Router::new().route("/notices", post(take))).await);
        let merchant = Merchant {
            mchid: MCHID.to_owned(),
            appid: APPID.to_owned(),
            serial: MERCHANT.to_owned(),
            key: Signer::try_from_pkcs8(MERCHANT, pkcs8(0)).unwrap().public_key().unwrap(),
            api_key: api_key(),
        };
        let platform = [0, 1].map(|_| sign::private_pem(&sign::generate()));
        let wechat = Arc::new(Wechat::new(merchant, Platform::try_new([&platform[0], &platform[1]]).unwrap()));
        let folder = std::env::temp_dir().join(format!("haodian-wechat-{}", Uuid::now_v7().simple()));
        let keys = Keys { others: Others { wechat: Some(Arc::clone(&wechat)), ..Others::default() }, ..sandbox_keys() };
        let router = Sim::load(keys, MCHID, "http://127.0.0.1", &folder.join("journal.jsonl")).unwrap().router();
        let url = serve(router).await;
        let adapter = WechatPay::try_new(agreement(&url, &notify_url)).unwrap();
        Self { url, notify_url, wechat, adapter, notices, folder }
    }

    fn agreement(&self) -> Agreement {
        agreement(&self.url, &self.notify_url)
    }

    async fn told(&self, path: &str, body: serde_json::Value) -> StatusCode {
        reqwest::Client::new().post(format!("{}{path}", self.url)).json(&body).send().await.unwrap().status()
    }

    async fn rotate(&self) {
        assert_eq!(self.told("/control/wechat/rotate", json!({})).await, StatusCode::NO_CONTENT);
    }

    /// The payer pays what was shown to them, and `notices` are sent.
    async fn confirm(&self, state: &PaymentState, notices: u32) {
        let path = format!("/pay/{}/confirm", shown(state));
        assert_eq!(self.told(&path, json!({ "notices": notices })).await, StatusCode::OK);
    }

    async fn notice(&mut self) -> (HeaderMap, Bytes) {
        tokio::time::timeout(LIMIT, self.notices.recv()).await.expect("a notice comes").unwrap()
    }

    fn heard(&self, notice: &(HeaderMap, Bytes)) -> Result<Spoken, HearError> {
        self.adapter.hear(&notice.0, &notice.1, Clock::wall()).map(|heard| heard.spoken)
    }

    /// A payment of 9.25 that was made, with its transaction id.
    async fn paid(&self, order: &PaymentOrder) -> String {
        let state = self.adapter.pay(order).await.unwrap();
        self.confirm(&state, 0).await;
        match self.word(&order.request_no).await {
            PaymentWord::Succeeded { transaction_id, .. } => transaction_id,
            other => panic!("{other:?}"),
        }
    }

    async fn word(&self, request_no: &str) -> PaymentWord {
        self.adapter.query(&asked(request_no)).await.unwrap().unwrap().word
    }
}

/// The simulator's id of a payment, in what the payer is shown.
fn shown(state: &PaymentState) -> String {
    match state.invitation.as_ref().unwrap() {
        Invitation::Code(url) => url.strip_prefix("weixin://wxpay/bizpayurl?pr=").unwrap().to_owned(),
        Invitation::Call(text) => {
            let call: Call = serde_json::from_str(text).unwrap();
            call.package.strip_prefix("prepay_id=wx").unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn number() -> String {
    Uuid::now_v7().simple().to_string()
}

fn asked(request_no: &str) -> Asked {
    Asked { request_no: request_no.to_owned(), sent_at: Clock::wall() }
}

fn order(method: Method) -> PaymentOrder {
    PaymentOrder {
        request_no: number(),
        amount: Money::cny(925),
        description: "咖啡".to_owned(),
        method,
        payer: (method == Method::InApp).then(|| "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned()),
        return_url: None,
        expires_at: Clock::wall() + TimeDelta::minutes(15),
        split: false,
    }
}

fn bad<T: std::fmt::Debug>(result: Result<T, ChannelError>) -> bool {
    matches!(result, Err(ChannelError::BadAnswer(_)))
}

#[tokio::test]
async fn a_payment_is_made_in_the_app_and_by_code_and_told_by_a_notice() {
    let mut world = World::new().await;
    for method in [Method::InApp, Method::Native] {
        let order = order(method);
        assert_eq!(world.adapter.query(&asked(&order.request_no)).await.unwrap(), None, "not known yet");
        let state = world.adapter.pay(&order).await.unwrap();
        assert_eq!(state.word, PaymentWord::Pending);
        assert_eq!(shown(&world.adapter.pay(&order).await.unwrap()), shown(&state), "asked again");
        assert_eq!(world.word(&order.request_no).await, PaymentWord::Pending);
        world.confirm(&state, 2).await;
        let word = world.word(&order.request_no).await;
        let PaymentWord::Succeeded { amount_minor, ref currency, .. } = word else { panic!("{word:?}") };
        assert_eq!((amount_minor, currency.as_str()), (925, "CNY"));
        let (first, again) = (world.notice().await, world.notice().await);
        assert_eq!(world.heard(&first), Ok(Spoken::Payment { request_no: order.request_no.clone(), word }));
        assert_eq!(world.heard(&again), world.heard(&first));
        assert!(bad(world.adapter.pay(&order).await), "it is paid: only a question tells");
    }
}

#[tokio::test]
async fn a_number_is_not_used_for_something_else() {
    let world = World::new().await;
    let first = order(Method::Native);
    world.adapter.pay(&first).await.unwrap();
    assert!(bad(world.adapter.pay(&PaymentOrder { amount: Money::cny(926), ..first }).await));
}

#[tokio::test]
async fn what_is_closed_cannot_be_paid_late() {
    let world = World::new().await;
    let order = order(Method::Native);
    let state = world.adapter.pay(&order).await.unwrap();
    let closed = PaymentState { invitation: None, word: PaymentWord::Closed };
    assert_eq!(world.adapter.close(&asked(&order.request_no)).await.unwrap(), closed);
    world.confirm(&state, 1).await;
    assert_eq!(world.word(&order.request_no).await, PaymentWord::Closed);
    assert_eq!(world.adapter.close(&asked(&order.request_no)).await.unwrap(), closed, "closed again");
    assert!(bad(world.adapter.pay(&order).await), "a closed number takes no payment");
}

#[tokio::test]
async fn closing_gives_way_to_a_payer_who_was_faster() {
    let world = World::new().await;
    let paid = order(Method::Native);
    world.paid(&paid).await;
    let word = world.adapter.close(&asked(&paid.request_no)).await.unwrap().word;
    assert!(matches!(word, PaymentWord::Succeeded { amount_minor: 925, .. }), "{word:?}");
    let unknown = |minutes| Asked { request_no: number(), sent_at: Clock::wall() - TimeDelta::minutes(minutes) };
    assert!(bad(world.adapter.close(&unknown(39)).await), "closing an unknown number bars nothing");
    let over = world.adapter.close(&unknown(41)).await.unwrap();
    assert_eq!(over.word, PaymentWord::Closed, "but its own expiry does");
    let declined = order(Method::Native);
    let state = world.adapter.pay(&declined).await.unwrap();
    world.told(&format!("/pay/{}/decline", shown(&state)), json!({})).await;
    let failed = PaymentWord::Failed { code: "PAYERROR".to_owned() };
    assert_eq!(world.adapter.close(&asked(&declined.request_no)).await.unwrap().word, failed);
}

#[tokio::test]
async fn a_part_is_refunded_and_told_by_a_notice() {
    let mut world = World::new().await;
    let paid = order(Method::Native);
    let transaction_id = world.paid(&paid).await;
    _ = world.notice().await;
    let refund = RefundOrder {
        request_no: number(),
        payment: asked(&paid.request_no),
        transaction_id,
        paid: paid.amount,
        amount: Money::cny(100),
        reason: "退货".to_owned(),
        shares: Vec::new(),
    };
    let (number_of, payment) = (asked(&refund.request_no), asked(&paid.request_no));
    assert_eq!(world.adapter.query_refund(&number_of, &payment, Money::cny(100)).await.unwrap(), None);
    assert_eq!(world.adapter.refund(&refund).await.unwrap(), TransferWord::Accepted);
    let notice = world.notice().await;
    let word = world.adapter.query_refund(&number_of, &payment, Money::cny(100)).await.unwrap().unwrap();
    assert!(matches!(word, TransferWord::Succeeded { .. }), "{word:?}");
    let request_no = refund.request_no.clone();
    let spoken = Spoken::Refund { request_no, amount_minor: 100, currency: "CNY".to_owned(), word: word.clone() };
    assert_eq!(world.heard(&notice), Ok(spoken));
    assert_eq!(world.adapter.refund(&refund).await.unwrap(), word, "asked again");
    assert!(bad(world.adapter.query_refund(&number_of, &asked(&number()), Money::cny(100)).await), "of another payment");
    assert!(matches!(world.word(&paid.request_no).await, PaymentWord::Succeeded { amount_minor: 925, .. }), "still a success");
    let other = RefundOrder { amount: Money::cny(101), ..refund.clone() };
    assert!(bad(world.adapter.refund(&other).await), "the number stands for other content");
    let wrong_total = RefundOrder { request_no: number(), paid: Money::cny(926), ..refund.clone() };
    assert!(bad(world.adapter.refund(&wrong_total).await));
    let too_much = RefundOrder { request_no: number(), amount: Money::cny(826), ..refund };
    assert!(bad(world.adapter.refund(&too_much).await));
}

#[tokio::test]
async fn a_notice_is_believed_from_the_platform_and_about_us_only() {
    let mut world = World::new().await;
    world.paid(&order(Method::Native)).await;
    let (headers, body) = world.notice().await;
    assert!(world.heard(&(headers.clone(), body.clone())).is_ok());
    let forged = Bytes::from(String::from_utf8(body.to_vec()).unwrap().replace("TRANSACTION.SUCCESS", "TRANSACTION.SUCCES5"));
    assert_eq!(world.heard(&(headers.clone(), forged)), Err(HearError::Signature), "altered");
    let stranger = Signer::try_from_pkcs8(world.wechat.platform.signer().serial(), pkcs8(2)).unwrap();
    assert_eq!(world.heard(&(stranger.headers(&body, Clock::wall()), body.clone())), Err(HearError::Signature), "another's key");
    let key = world.wechat.platform.signer();
    let public_keys = || vec![(key.serial().to_owned(), key.public_key().unwrap())];
    let others = [
        Agreement { mchid: "1900000110".to_owned(), public_keys: public_keys(), ..world.agreement() },
        Agreement { appid: "wx8888888888888889".to_owned(), public_keys: public_keys(), ..world.agreement() },
        Agreement { api_key: ApiKey::try_new(&[8; 32]).unwrap(), public_keys: public_keys(), ..world.agreement() },
    ];
    for other in others {
        let other = WechatPay::try_new(other).unwrap();
        assert_eq!(other.hear(&headers, &body, Clock::wall()), Err(HearError::Foreign), "{other:?}");
    }
}

#[tokio::test]
async fn the_platform_renews_its_keys_while_we_ask() {
    let mut world = World::new().await;
    let order = order(Method::Native);
    let state = world.adapter.pay(&order).await.unwrap();
    world.rotate().await;
    assert_eq!(world.word(&order.request_no).await, PaymentWord::Pending, "the next key was published before");
    world.rotate().await;
    world.confirm(&state, 1).await;
    let notice = world.notice().await;
    assert_eq!(world.heard(&notice), Err(HearError::Signature), "signed with a key that came later");
    assert!(matches!(world.word(&order.request_no).await, PaymentWord::Succeeded { .. }), "which this call has got");
    assert!(world.heard(&notice).is_ok(), "so that the notice is taken when it comes again");
    world.rotate().await;
    assert!(matches!(world.word(&order.request_no).await, PaymentWord::Succeeded { .. }));
    world.rotate().await;
    assert!(bad(world.adapter.query(&asked(&order.request_no)).await), "keys are asked for once a minute at most");
}

#[tokio::test]
async fn an_unknown_key_in_an_answer_is_downloaded_at_once() {
    let world = World::new().await;
    let order = order(Method::Native);
    world.adapter.pay(&order).await.unwrap();
    world.rotate().await;
    world.rotate().await;
    assert_eq!(world.word(&order.request_no).await, PaymentWord::Pending);
}

#[tokio::test]
async fn certificates_that_our_key_does_not_open_are_believed_by_nobody() {
    let world = World::new().await;
    let adapter = WechatPay::try_new(Agreement { api_key: ApiKey::try_new(&[8; 32]).unwrap(), ..world.agreement() }).unwrap();
    let order = order(Method::Native);
    assert!(bad(adapter.pay(&order).await));
    assert_eq!(world.adapter.query(&asked(&order.request_no)).await.unwrap(), None, "nothing was asked for before there were keys");
}

#[tokio::test]
async fn a_merchant_whose_signature_is_wrong_is_told_so_and_nothing_is_done() {
    let world = World::new().await;
    let key = world.wechat.platform.signer();
    let public_keys = || vec![(key.serial().to_owned(), key.public_key().unwrap())];
    let others = [
        Agreement { signer: Signer::try_from_pkcs8(MERCHANT, pkcs8(2)).unwrap(), public_keys: public_keys(), ..world.agreement() },
        Agreement { signer: Signer::try_from_pkcs8("AA", pkcs8(0)).unwrap(), public_keys: public_keys(), ..world.agreement() },
        Agreement { mchid: "1900000110".to_owned(), public_keys: public_keys(), ..world.agreement() },
    ];
    for other in others {
        let (other, order) = (WechatPay::try_new(other).unwrap(), order(Method::Native));
        let error = other.pay(&order).await.unwrap_err();
        assert!(error.to_string().contains("our signature was refused"), "{error}");
        assert_eq!(world.adapter.query(&asked(&order.request_no)).await.unwrap(), None);
    }
    let app = WechatPay::try_new(Agreement { appid: "wx8888888888888889".to_owned(), ..world.agreement() }).unwrap();
    let refused = app.pay(&order(Method::Native)).await;
    assert!(matches!(refused, Err(ChannelError::Refused { code }) if code == "APPID_MCHID_NOT_MATCH"), "a definitive refusal");
}

#[tokio::test]
async fn a_payment_is_split_finished_and_a_share_comes_back() {
    let world = World::new().await;
    let transaction_id = world.paid(&PaymentOrder { split: true, ..order(Method::Native) }).await;
    let share =
        |account: &str, kind, amount| Receiver { kind, account: Personal(account.to_owned()), amount, description: "分账".to_owned() };
    let (shop, person) = (share("1900000210", ReceiverType::MerchantId, 200), share("o-0001", ReceiverType::PersonalOpenid, 50));
    let split = SplitOrder { request_no: number(), transaction_id: transaction_id.clone(), receivers: vec![shop, person], finish: false };
    assert!(bad(world.adapter.split(&split).await), "the receivers are not known");
    for (receiver, name) in split.receivers.iter().zip([Some(Personal("好店有限公司".to_owned())), None]) {
        let new = NewReceiver { kind: receiver.kind, account: receiver.account.clone(), name, relation: "SUPPLIER".to_owned() };
        world.adapter.add_receiver(&new).await.unwrap();
    }
    assert_eq!(world.adapter.query_split(&split.request_no, &transaction_id).await.unwrap(), None);
    let begun = world.adapter.split(&split).await.unwrap();
    assert!(!begun.finished && begun.shares.iter().all(|s| s.outcome == ShareOutcome::Pending), "{begun:?}");
    let done = world.adapter.query_split(&split.request_no, &transaction_id).await.unwrap().unwrap();
    let outcomes: Vec<_> = done.shares.iter().map(|s| (s.amount_minor, s.outcome.clone())).collect();
    let failed = ShareOutcome::Failed { code: "ACCOUNT_ABNORMAL".to_owned() };
    assert_eq!((done.finished, outcomes), (true, vec![(200, ShareOutcome::Succeeded), (50, failed)]));
    assert!(!world.adapter.split(&split).await.unwrap().finished, "asked again");
    let too_much =
        SplitOrder { request_no: number(), receivers: vec![Receiver { amount: 726, ..split.receivers[0].clone() }], ..split.clone() };
    assert!(matches!(world.adapter.split(&too_much).await, Err(ChannelError::Refused { code }) if code == "NOT_ENOUGH"));

    let rest = number();
    assert!(world.adapter.unfreeze(&rest, &transaction_id, "完结").await.unwrap().shares.is_empty());
    assert!(world.adapter.query_split(&rest, &transaction_id).await.unwrap().unwrap().finished);
    let late = SplitOrder { request_no: number(), ..split.clone() };
    assert!(matches!(world.adapter.split(&late).await, Err(ChannelError::Refused { code }) if code == "NOT_ENOUGH"), "it is finished");

    let back = ReturnOrder {
        request_no: number(),
        split_no: split.request_no.clone(),
        from_mchid: "1900000210".to_owned(),
        amount_minor: 150,
        reason: "退货".to_owned(),
    };
    assert_eq!(world.adapter.query_return(&back.request_no, &back.split_no).await.unwrap(), None);
    assert_eq!(world.adapter.return_share(&back).await.unwrap(), TransferWord::Accepted);
    let word = world.adapter.query_return(&back.request_no, &back.split_no).await.unwrap().unwrap();
    assert!(matches!(word, TransferWord::Succeeded { .. }), "{word:?}");
    let more = ReturnOrder { request_no: number(), amount_minor: 51, ..back };
    assert!(matches!(world.adapter.return_share(&more).await, Err(ChannelError::Refused { code }) if code == "NOT_ENOUGH"));
}

#[tokio::test]
async fn a_transfer_reaches_a_named_payee_or_fails() {
    let mut world = World::new().await;
    let transfer = TransferOrder {
        request_no: number(),
        openid: Personal("o-MYE42l80oelYMDE34nYD456Xoy".to_owned()),
        payee_name: Some(Personal("张三".to_owned())),
        amount: Money::cny(30_000),
        remark: "报销".to_owned(),
        scene: "1005".to_owned(),
        reports: Vec::new(),
    };
    assert_eq!(world.adapter.query_transfer(&transfer.request_no, transfer.amount).await.unwrap(), None);
    let taken = world.adapter.transfer(&transfer).await.unwrap();
    assert_eq!((taken.word, taken.package_info.is_some()), (TransferWord::Accepted, true));
    let notice = world.notice().await;
    assert_eq!(world.heard(&notice), Ok(Spoken::Other { kind: "MCHTRANSFER.BILL.FINISHED".to_owned() }));
    let word = world.adapter.query_transfer(&transfer.request_no, transfer.amount).await.unwrap().unwrap();
    assert!(matches!(word, TransferWord::Succeeded { .. }), "{word:?}");
    assert!(bad(world.adapter.query_transfer(&transfer.request_no, Money::cny(30_001)).await), "another amount");
    let again = world.adapter.transfer(&transfer).await.unwrap();
    assert_eq!(again.word, TransferWord::Accepted, "a success is told with its time only");
    let lost = TransferOrder { request_no: number(), openid: Personal("o-0001".to_owned()), payee_name: None, ..transfer };
    world.adapter.transfer(&lost).await.unwrap();
    _ = world.notice().await;
    let word = world.adapter.query_transfer(&lost.request_no, lost.amount).await.unwrap().unwrap();
    assert_eq!(word, TransferWord::Failed { code: "PAYEE_ACCOUNT_ABNORMAL".to_owned() });
    let failed = world.adapter.transfer(&lost).await.unwrap().word;
    assert_eq!(failed, TransferWord::Failed { code: "PAYEE_ACCOUNT_ABNORMAL".to_owned() });
}

/// A server that answers everything alike, and the adapter before it, which knows its key.
async fn before(status: u16, body: &str, signed: bool) -> WechatPay {
    let (platform, body) = (Arc::new(Signer::try_from_pkcs8("PUB_KEY_ID_01", pkcs8(1)).unwrap()), body.to_owned());
    let public_keys = vec![("PUB_KEY_ID_01".to_owned(), platform.public_key().unwrap())];
    let answer = move |headers: HeaderMap, uri: Uri| async move {
        assert!(headers.get(SERIAL).is_some_and(|id| id == "PUB_KEY_ID_01"), "the platform is told which key to sign with");
        assert_ne!(uri.path(), "/v3/certificates", "a public key needs no certificate");
        let mut headers = if signed { platform.headers(body.as_bytes(), Clock::wall()) } else { HeaderMap::new() };
        headers.insert(header::LOCATION, HeaderValue::from_static("/elsewhere"));
        (StatusCode::from_u16(status).unwrap(), headers, body)
    };
    let url = serve(Router::new().fallback(answer)).await;
    WechatPay::try_new(Agreement { public_keys, ..agreement(&url, "http://127.0.0.1/notices") }).unwrap()
}

#[tokio::test]
async fn only_a_signed_and_definitive_word_decides() {
    let code = r#"{"code_url":"weixin://1"}"#;
    let huge = format!(r#"{{"code_url":"{}"}}"#, "x".repeat(BODY_MAX));
    let refusal = |code: &str| format!(r#"{{"code":"{code}","message":"x"}}"#);
    let (definitive, busy) = (refusal("NO_AUTH"), refusal("FREQUENCY_LIMITED"));
    let cases: [(&str, u16, &str, bool, &str); 16] = [
        ("an answer", 200, code, true, "yes"),
        ("unsigned", 200, code, false, "bad"),
        ("a redirect", 302, code, true, "bad"),
        ("too long", 200, &huge, true, "bad"),
        ("a field twice", 200, r#"{"code_url":"a","code_url":"b"}"#, true, "bad"),
        ("not what was asked for", 200, r#"{"prepay_id":"1"}"#, true, "bad"),
        ("nothing", 204, "", true, "bad"),
        ("refused", 403, &definitive, true, "refused"),
        ("refused unsigned", 403, &definitive, false, "bad"),
        ("an ambiguous refusal", 400, &refusal("INVALID_REQUEST"), true, "bad"),
        ("an unknown refusal", 400, &refusal("SOMETHING_NEW"), true, "bad"),
        ("a refusal without a code", 400, "{}", true, "bad"),
        ("busy", 403, &busy, true, "none"),
        ("too many", 429, &refusal("RULE_LIMIT"), true, "none"),
        ("an outage", 502, "<html>", false, "none"),
        ("a refusal with an outage", 500, &definitive, true, "none"),
    ];
    for (name, status, body, signed, expected) in cases {
        let said = before(status, body, signed).await.pay(&order(Method::Native)).await;
        let word = match said {
            Ok(_) => "yes",
            Err(ChannelError::Refused { .. }) => "refused",
            Err(ChannelError::BadAnswer(_)) => "bad",
            Err(ChannelError::NoAnswer(_)) => "none",
            Err(ChannelError::Conflicted { .. }) => "conflicted",
        };
        assert_eq!(word, expected, "{name}");
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_taken() {
    let request_no = number();
    let body = |mchid: &str, appid: &str, number: &str| {
        json!({"mchid": mchid, "appid": appid, "out_trade_no": number, "trade_state": "NOTPAY"}).to_string()
    };
    let cases = [
        (body(MCHID, APPID, &request_no), true),
        (body("1900000110", APPID, &request_no), false),
        (body(MCHID, "wx8888888888888889", &request_no), false),
        (body(MCHID, APPID, &number()), false),
        (body(MCHID, APPID, &request_no).replace("NOTPAY", "SUCCESS"), false),
        (body(MCHID, APPID, &request_no).replace("NOTPAY", "SOMETHING"), false),
    ];
    for (body, good) in cases {
        let said = before(200, &body, true).await.query(&asked(&request_no)).await;
        assert_eq!((said.is_ok(), bad(said)), (good, !good), "{body}");
    }
    let refused = before(403, r#"{"code":"NO_AUTH"}"#, true).await.query(&asked(&request_no)).await;
    assert!(bad(refused), "a refused question says nothing about what was asked for");
}

#[tokio::test]
async fn an_answer_about_another_refund_share_or_transfer_is_not_taken() {
    let (payment, transaction_id) = (number(), "4200001".to_owned());
    let refund = RefundOrder {
        request_no: number(),
        payment: asked(&payment),
        transaction_id: transaction_id.clone(),
        paid: Money::cny(925),
        amount: Money::cny(100),
        reason: String::new(),
        shares: Vec::new(),
    };
    let refunded = json!({
        "refund_id": "1", "out_refund_no": refund.request_no, "transaction_id": transaction_id, "out_trade_no": payment,
        "status": "PROCESSING", "amount": {"refund": 100, "total": 925, "currency": "CNY"},
    });
    let share = Receiver {
        kind: ReceiverType::MerchantId,
        account: Personal("1900000210".to_owned()),
        amount: 200,
        description: "分账".to_owned(),
    };
    let split = SplitOrder { request_no: number(), transaction_id: transaction_id.clone(), receivers: vec![share], finish: true };
    let shared = json!({
        "transaction_id": transaction_id, "out_order_no": split.request_no, "order_id": "1", "state": "PROCESSING",
        "receivers": [{"type": "MERCHANT_ID", "account": "1900000210", "amount": 200, "result": "PENDING"}],
    });
    let back = ReturnOrder {
        request_no: number(),
        split_no: split.request_no.clone(),
        from_mchid: "1900000210".to_owned(),
        amount_minor: 150,
        reason: String::new(),
    };
    let returned = json!({
        "out_order_no": back.split_no, "out_return_no": back.request_no, "return_mchid": "1900000210", "amount": 150,
        "result": "PROCESSING",
    });
    let changed = |good: &serde_json::Value, at: &str, value: serde_json::Value| {
        let mut body = good.clone();
        *body.pointer_mut(at).unwrap() = value;
        body.to_string()
    };
    assert!(before(200, &refunded.to_string(), true).await.refund(&refund).await.is_ok());
    for (at, value) in [
        ("/out_refund_no", json!("x")),
        ("/out_trade_no", json!("x")),
        ("/transaction_id", json!("x")),
        ("/amount/total", json!(926)),
        ("/status", json!("SUCCESS")),
    ] {
        assert!(bad(before(200, &changed(&refunded, at, value), true).await.refund(&refund).await), "{at}");
    }
    for (at, value) in [("/amount/refund", json!(101)), ("/amount/currency", json!("HKD"))] {
        let said = before(200, &changed(&refunded, at, value), true).await.refund(&refund).await;
        assert!(matches!(said, Err(ChannelError::Conflicted { .. })), "{at}: {said:?}");
    }
    assert!(before(200, &shared.to_string(), true).await.split(&split).await.is_ok());
    assert!(before(200, &changed(&shared, "/receivers", json!([])), true).await.split(&split).await.is_ok(), "shares may be left out");
    for (at, value) in [
        ("/out_order_no", json!("x")),
        ("/transaction_id", json!("x")),
        ("/receivers/0/amount", json!(201)),
        ("/receivers/0/account", json!("1900000211")),
        ("/receivers/0/type", json!("PERSONAL_OPENID")),
    ] {
        assert!(bad(before(200, &changed(&shared, at, value), true).await.split(&split).await), "{at}");
    }
    assert!(before(200, &returned.to_string(), true).await.return_share(&back).await.is_ok());
    for (at, value) in [
        ("/out_order_no", json!("x")),
        ("/out_return_no", json!("x")),
        ("/return_mchid", json!("x")),
        ("/amount", json!(151)),
        ("/result", json!("SUCCESS")),
    ] {
        assert!(bad(before(200, &changed(&returned, at, value), true).await.return_share(&back).await), "{at}");
    }
}

#[tokio::test]
async fn certificates_are_believed_only_with_a_signature_by_one_of_them() {
    let wechat = World::new().await.wechat.clone();
    for honest in [true, false] {
        let wechat = Arc::clone(&wechat);
        let answer = move |uri: Uri| async move {
            let signer = wechat.platform.signer();
            let body = if uri.path() == "/v3/certificates" {
                serde_json::to_string(&wechat.platform.certificates(&api_key()).unwrap()).unwrap()
            } else {
                r#"{"code_url":"weixin://1"}"#.to_owned()
            };
            let stranger = Signer::try_from_pkcs8(signer.serial(), pkcs8(2)).unwrap();
            let signer = if honest { &signer } else { &stranger };
            (signer.headers(body.as_bytes(), Clock::wall()), body)
        };
        let url = serve(Router::new().fallback(answer)).await;
        let adapter = WechatPay::try_new(agreement(&url, "http://127.0.0.1/notices")).unwrap();
        let said = adapter.pay(&order(Method::Native)).await;
        assert_eq!(said.is_ok(), honest);
        if let Err(error) = said {
            assert!(error.to_string().contains("the signature of the certificates"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_or_silent_gives_no_answer() {
    let silent = serve(Router::new().fallback(std::future::pending::<StatusCode>)).await;
    for url in [silent.as_str(), "http://127.0.0.1:9"] {
        let short = Agreement { timeout: Duration::from_millis(200), ..agreement(url, "http://127.0.0.1/notices") };
        let said = WechatPay::try_new(short).unwrap().pay(&order(Method::Native)).await;
        assert!(matches!(said, Err(ChannelError::NoAnswer(_))), "{said:?}");
    }
}

#[tokio::test]
async fn callers_that_waited_for_keys_in_vain_do_not_all_ask_again() {
    let (count, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let paths = Arc::clone(&seen);
    let answer = move |uri: Uri| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        if uri.path() != "/v3/certificates" {
            paths.fetch_add(1, Ordering::SeqCst);
        }
        StatusCode::BAD_GATEWAY
    };
    let url = serve(Router::new().fallback(answer)).await;
    let adapter = WechatPay::try_new(agreement(&url, "http://127.0.0.1/notices")).unwrap();
    let orders: Vec<_> = (0..5).map(|_| order(Method::Native)).collect();
    let said = futures::future::join_all(orders.iter().map(|order| adapter.pay(order))).await;
    assert!(said.iter().all(|said| matches!(said, Err(ChannelError::NoAnswer(_)))), "{said:?}");
    assert_eq!((count.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (1, 0), "one download, and no payment without a key");
}
