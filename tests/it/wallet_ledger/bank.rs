//! A bank for tests: signs like the sandbox, answers what the test tells it to, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wallet::base::clock::Clock;
use wallet::channel::bank::sign::{Dialect, Terms, generate, public_pem};
use wallet::channel::bank::wire::Charset;
use wallet::channel::bank::{self, DirectBank};
use wallet::channel::sandbox::sign::{NONCE, Signer, Verifier};
use wallet::channel::sandbox::wire::{Notice, NoticeKind, NoticeStatus, PayoutAnswer, PayoutRequest, Refusal, TransferStatus, code};
use wallet::channel::sandbox::{BANK_KEY, Link, PLATFORM_KEY, SandboxBank};

const MERCHANT_NO: &str = "M1";
const NOTICES: &str = "/notices/bank";

/// How the bank behaves when it is asked for a payout it does not know yet.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// Takes it in; the result comes later.
    Accepts,
    Pays,
    /// Refuses it with a signed word.
    Refuses(&'static str),
    /// Takes it in and says nothing: the line breaks.
    AcceptsSilently,
    /// The line breaks before it understood anything.
    Deaf,
}

#[derive(Default)]
struct Ledger {
    moods: VecDeque<Mood>,
    payouts: HashMap<String, (PayoutRequest, TransferStatus)>,
    /// Request numbers in the order they were asked for.
    asked: Vec<String>,
}

/// The bank, listening until the test ends.
#[derive(Clone)]
pub struct Bank {
    ledger: Arc<Mutex<Ledger>>,
    signer: Arc<Signer>,
    link: Link,
}

/// Direct bank at an address where nobody answers.
pub fn direct_bank() -> DirectBank {
    let (ours, theirs) = (generate(), generate());
    let link = bank::Link::try_new(&bank::Agreement {
        base_url: "http://127.0.0.1:1",
        merchant_no: MERCHANT_NO,
        terms: Terms { dialect: Dialect::Acquiring, user_id: String::new(), charset: Charset::Gbk },
        private_key_pem: &ours,
        bank_key_pem: &public_pem(&theirs).expect("a key has a public half"),
        notify_url: "http://127.0.0.1:1/notices/direct_bank",
        timeout: Duration::from_secs(1),
    });
    DirectBank::new(link.expect("the link can be made"))
}

/// A link to nobody: every call ends without an answer.
pub fn dead_link() -> Link {
    let (ours, theirs) = (signer(PLATFORM_KEY), signer(BANK_KEY));
    let verifier = Verifier::new(BANK_KEY, &theirs.public_key());
    Link::try_new("http://127.0.0.1:1", Arc::new(ours), verifier, MERCHANT_NO, "http://127.0.0.1:1/notices", Duration::from_secs(1))
        .expect("the link can be made")
}

fn signer(key_id: &str) -> Signer {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key can be made");
    Signer::try_from_pkcs8(key_id, pkcs8.as_ref()).expect("the key can be used")
}

impl Bank {
    /// Opens for business in the given moods, one per payout call; then it accepts.
    pub async fn open(moods: &[Mood]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("the port is known"));
        let bank_signer = Arc::new(signer(BANK_KEY));
        let verifier = Verifier::new(BANK_KEY, &bank_signer.public_key());
        let notices = format!("http://127.0.0.1:1{NOTICES}");
        let link = Link::try_new(&url, Arc::new(signer(PLATFORM_KEY)), verifier, MERCHANT_NO, &notices, Duration::from_secs(5))
            .expect("the link can be made");
        let ledger = Arc::new(Mutex::new(Ledger { moods: moods.iter().copied().collect(), ..Ledger::default() }));
        let bank = Self { ledger, signer: bank_signer, link };
        let listening = bank.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bank = listening.clone();
                tokio::spawn(async move { bank.serve(stream).await });
            }
        });
        bank
    }

    pub fn client(&self) -> SandboxBank {
        SandboxBank::new(self.link.clone())
    }

    /// The request numbers of payout calls, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.ledger.lock().unwrap().asked.clone()
    }

    /// Decides a payout that was taken in.
    pub fn decide(&self, request_no: &str, status: TransferStatus) {
        self.ledger.lock().unwrap().payouts.get_mut(request_no).expect("the bank knows the payout").1 = status;
    }

    /// A signed notice about a payout, as headers and body.
    pub fn notice(&self, notice_id: &str, request_no: &str, amount_minor: i64, status: NoticeStatus) -> (HeaderMap, Vec<u8>) {
        let notice = Notice {
            notice_id: notice_id.to_owned(),
            kind: NoticeKind::Payout,
            merchant_no: MERCHANT_NO.to_owned(),
            request_no: request_no.to_owned(),
            transaction_id: format!("B{request_no}"),
            status,
            amount_minor,
            currency: "CNY".to_owned(),
            success_time: None,
            error_code: matches!(status, NoticeStatus::Failed | NoticeStatus::Returned).then(|| code::ACCOUNT_CLOSED.to_owned()),
        };
        let body = serde_json::to_vec(&notice).expect("a notice serialises");
        (self.signer.headers("POST", NOTICES, &self.signer.nonce(), &body, Clock::wall()), body)
    }

    /// One exchange per connection.
    async fn serve(&self, mut stream: TcpStream) {
        let Some((method, path, headers, body)) = read_request(&mut stream).await else { return };
        let answer = if method == "POST" { self.payout(&body) } else { self.query(&path) };
        let Some((status, body)) = answer else { return };
        let nonce = headers.get(NONCE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let signed = self.signer.headers(&status.to_string(), &path, nonce, &body, Clock::wall());
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
        for (name, value) in &signed {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().expect("signature headers are ASCII")));
        }
        head.push_str("\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&body).await;
        let _ = stream.shutdown().await;
    }

    fn payout(&self, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let request: PayoutRequest = serde_json::from_slice(body).expect("the platform sends what was agreed");
        let mut ledger = self.ledger.lock().unwrap();
        ledger.asked.push(request.request_no.clone());
        let mood = ledger.moods.pop_front().unwrap_or(Mood::Accepts);
        let status = match mood {
            Mood::Deaf => return None,
            Mood::Refuses(code) => return Some(refusal(code)),
            Mood::Accepts | Mood::AcceptsSilently => TransferStatus::Accepted,
            Mood::Pays => TransferStatus::Succeeded,
        };
        let (request, status) = ledger.payouts.entry(request.request_no.clone()).or_insert((request, status));
        let answer = answer(request, *status);
        if matches!(mood, Mood::AcceptsSilently) { None } else { Some(answer) }
    }

    fn query(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let ledger = self.ledger.lock().unwrap();
        let known = path.rsplit('/').next().and_then(|request_no| ledger.payouts.get(request_no));
        Some(known.map_or_else(|| refusal(code::NOT_FOUND), |(request, status)| answer(request, *status)))
    }
}

fn answer(request: &PayoutRequest, status: TransferStatus) -> (u16, Vec<u8>) {
    let answer = PayoutAnswer {
        merchant_no: request.merchant_no.clone(),
        request_no: request.request_no.clone(),
        bank_reference: format!("B{}", request.request_no),
        status,
        amount_minor: request.amount_minor,
        currency: request.currency.clone(),
        success_time: None,
        error_code: matches!(status, TransferStatus::Failed | TransferStatus::Returned).then(|| code::ACCOUNT_CLOSED.to_owned()),
    };
    (200, serde_json::to_vec(&answer).expect("an answer serialises"))
}

fn refusal(code: &str) -> (u16, Vec<u8>) {
    let status = if code == self::code::NOT_FOUND { 404 } else { 422 };
    (status, serde_json::to_vec(&Refusal { code: code.to_owned(), message: String::new() }).expect("a refusal serialises"))
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, String, HeaderMap, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?)))
        .collect();
    let length: usize = headers.get("content-length").and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some((method, path, headers, bytes[head_end + 4..].to_vec()))
}
