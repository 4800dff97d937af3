//! One signed exchange with WeChat Pay, and the platform keys that its answers are judged by.
//!
//! Keys are downloaded before the first call, and again when a serial number comes that is not known, at most once a minute. A notice
//! cannot wait for a download: it is refused, the next call renews the keys, and WeChat sends it again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::code;
use super::keys::{Keys, PUBLIC_KEY_ID};
use super::seal::ApiKey;
use super::sign::{SERIAL, SignatureError, Signer};
use super::wire::{BODY_MAX, Certificates, Refusal};
use crate::base::clock::Clock;
use crate::channel::ChannelError;

/// Shortest time between two renewals of the keys that an unknown serial number caused.
const RENEWAL_GAP: Duration = Duration::from_secs(60);
/// Shortest time between two tries to get any keys at all, so that callers who waited for one that failed do not all repeat it.
const FIRST_GAP: Duration = Duration::from_secs(1);

/// A link that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the addresses of the channel and of the notices must be URLs that begin with http:// or https://")]
    Url,
    #[error("the merchant number must be digits")]
    MerchantNumber,
    #[error("could not set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// How WeChat Pay is reached and how its word is checked.
#[derive(Debug)]
pub struct Link {
    base: Url,
    http: Client,
    mchid: String,
    signer: Signer,
    api_key: ApiKey,
    keys: RwLock<Arc<Keys>>,
    /// When keys were last asked for in vain, or because of an unknown serial number. Held while they are downloaded.
    renewed_at: tokio::sync::Mutex<Option<Instant>>,
    /// A notice came that was signed with an unknown key.
    renewal_wanted: AtomicBool,
}

/// An answer as it came.
struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// An answer whose signature was right.
pub enum Said<A> {
    Yes(A),
    /// It was refused, with this code.
    No(String),
}

impl<A> Said<A> {
    /// Takes a refusal as the channel's last word where its code is one, and as no word where it is not.
    pub fn settled(self) -> Result<A, ChannelError> {
        match self {
            Self::Yes(answer) => Ok(answer),
            Self::No(code) if code::definitive(&code) => Err(ChannelError::Refused { code }),
            Self::No(code) if code == code::SIGN_ERROR => {
                Err(ChannelError::BadAnswer("our signature was refused; compare keys and clocks"))
            }
            Self::No(_) => Err(ChannelError::BadAnswer("it was refused with a code that settles nothing")),
        }
    }

    /// Takes "not found" as the answer None. Another refused question says nothing about what was asked for.
    pub fn found(self) -> Result<Option<A>, ChannelError> {
        match self {
            Self::Yes(answer) => Ok(Some(answer)),
            Self::No(code) if code::not_found(&code) => Ok(None),
            Self::No(_) => Err(ChannelError::BadAnswer("the question was refused")),
        }
    }
}

impl Link {
    /// Prepares a link; opens no connection. `timeout` covers one exchange.
    pub fn try_new(
        base_url: &str,
        mchid: &str,
        signer: Signer,
        api_key: ApiKey,
        pinned: Keys,
        timeout: Duration,
    ) -> Result<Self, LinkError> {
        let base = web_address(base_url)?;
        if mchid.is_empty() || !mchid.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LinkError::MerchantNumber);
        }
        let http = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(64)
            .build()?;
        let keys = RwLock::new(Arc::new(pinned));
        let (renewed_at, renewal_wanted) = (tokio::sync::Mutex::new(None), AtomicBool::new(false));
        Ok(Self { base, http, mchid: mchid.to_owned(), signer, api_key, keys, renewed_at, renewal_wanted })
    }

    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    pub fn api_key(&self) -> &ApiKey {
        &self.api_key
    }

    /// Checks a notice on its raw bytes, with the keys at hand.
    pub fn verify_notice(&self, headers: &HeaderMap, body: &[u8], wall: DateTime<Utc>) -> Result<(), SignatureError> {
        let judged = self.keys().verify(headers, body, wall);
        if judged == Err(SignatureError::UnknownKey) && renewable(headers) {
            self.renewal_wanted.store(true, Ordering::Relaxed);
        }
        judged
    }

    /// The serial number of a platform key, and a text sealed for its owner.
    pub async fn seal(&self, text: &str) -> Result<(String, String), ChannelError> {
        self.ready().await?;
        let keys = self.keys();
        let (serial, key) = keys.sealing(Clock::wall()).ok_or(ChannelError::BadAnswer("there is no key to seal with"))?;
        let sealed = key.seal(text).ok_or(ChannelError::BadAnswer("the text is too long to be sealed"))?;
        Ok((serial.to_owned(), sealed))
    }

    pub async fn get<A: DeserializeOwned>(&self, target: &str) -> Result<Said<A>, ChannelError> {
        read(self.call(Method::GET, target, Vec::new(), None).await?)
    }

    pub async fn post<Q: Serialize, A: DeserializeOwned>(&self, target: &str, request: &Q) -> Result<Said<A>, ChannelError> {
        read(self.call(Method::POST, target, json(request), None).await?)
    }

    /// Posts a request that holds something sealed with the key of this serial number.
    pub async fn post_sealed<Q: Serialize, A: DeserializeOwned>(
        &self,
        target: &str,
        request: &Q,
        serial: &str,
    ) -> Result<Said<A>, ChannelError> {
        read(self.call(Method::POST, target, json(request), Some(serial)).await?)
    }

    /// Posts a request whose success has no content.
    pub async fn post_silent<Q: Serialize>(&self, target: &str, request: &Q) -> Result<Said<()>, ChannelError> {
        let answer = self.call(Method::POST, target, json(request), None).await?;
        match answer.status {
            StatusCode::NO_CONTENT if answer.body.is_empty() => Ok(Said::Yes(())),
            status if status.is_client_error() => refused(&answer),
            _ => Err(ChannelError::BadAnswer("its status is not as agreed")),
        }
    }

    /// One signed exchange whose answer's signature was right and that is no "not now".
    async fn call(&self, method: Method, target: &str, body: Vec<u8>, sealed_for: Option<&str>) -> Result<Raw, ChannelError> {
        self.ready().await?;
        let answer = self.exchange(method, target, body, sealed_for).await?;
        let keys = self.keys();
        let mut judged = keys.verify(&answer.headers, &answer.body, Clock::wall());
        if judged == Err(SignatureError::UnknownKey) && renewable(&answer.headers) {
            self.renew(&keys).await?;
            judged = self.keys().verify(&answer.headers, &answer.body, Clock::wall());
        }
        match judged {
            Ok(()) => {}
            // what stands before the channel may fail without a signature: no word was given
            Err(_) if answer.status.is_server_error() => return Err(not_now(answer.status)),
            Err(_) => return Err(ChannelError::BadAnswer("its signature is not right")),
        }
        if answer.status.is_server_error() || matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
            return Err(not_now(answer.status));
        }
        Ok(answer)
    }

    /// One signed request, and whatever comes back.
    async fn exchange(&self, method: Method, target: &str, body: Vec<u8>, sealed_for: Option<&str>) -> Result<Raw, ChannelError> {
        let url = self.base.join(target).map_err(|_| ChannelError::BadAnswer("the address cannot be formed"))?;
        let sent = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut authorization = self.signer.authorization(&self.mchid, method.as_str(), &sent, &body, Clock::wall());
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static("haodian")),
        ]);
        // tells WeChat which of its keys we sealed with, or want it to sign with
        let keys = self.keys();
        if let Some(serial) = sealed_for.or_else(|| keys.public_key_id()) {
            headers.insert(SERIAL, HeaderValue::from_str(serial).map_err(|_| ChannelError::BadAnswer("a key has no fit name"))?);
        }
        let response = self.http.request(method, url).headers(headers).body(body).send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Raw { status, headers, body: bounded(response).await? })
    }

    /// Sees that there are keys to judge an answer by before anything is sent that cannot be taken back.
    async fn ready(&self) -> Result<(), ChannelError> {
        let keys = self.keys();
        if !keys.usable(Clock::wall()) {
            return self.renew(&keys).await;
        }
        if self.renewal_wanted.swap(false, Ordering::Relaxed)
            && let Err(error) = self.renew(&keys).await
        {
            tracing::warn!(error = %error, "could not renew the platform keys of WeChat Pay");
        }
        Ok(())
    }

    /// Downloads the certificates, unless another caller has done so since `had` was taken, or it is too early to ask again.
    ///
    /// The answer may be signed with a certificate that stands in itself: it is believed for being sealed with our API v3 key, and then
    /// the answer's signature is checked with what it brought ("获取平台证书列表").
    async fn renew(&self, had: &Arc<Keys>) -> Result<(), ChannelError> {
        let mut renewed_at = self.renewed_at.lock().await;
        let keys = self.keys();
        if !Arc::ptr_eq(&keys, had) {
            return Ok(());
        }
        let first = !keys.usable(Clock::wall());
        let gap = if first { FIRST_GAP } else { RENEWAL_GAP };
        if renewed_at.is_some_and(|at| at.elapsed() < gap) {
            return if first { Err(ChannelError::NoAnswer("the platform keys could not be had just now".into())) } else { Ok(()) };
        }
        let fetched = self.download(&keys).await;
        if !first || fetched.is_err() {
            *renewed_at = Some(Instant::now());
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fetched?);
        Ok(())
    }

    async fn download(&self, keys: &Keys) -> Result<Keys, ChannelError> {
        let answer = self.exchange(Method::GET, "/v3/certificates", Vec::new(), None).await?;
        if answer.status != StatusCode::OK {
            return Err(not_now(answer.status));
        }
        let certificates: Certificates = parse(&answer.body)?;
        let wall = Clock::wall();
        let renewed = keys.renewed(&certificates, &self.api_key, wall).map_err(ChannelError::BadAnswer)?;
        let judged = renewed.verify(&answer.headers, &answer.body, wall);
        judged.map(|()| renewed).map_err(|_| ChannelError::BadAnswer("the signature of the certificates is not right"))
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether the unknown serial number of a message may be that of a new certificate.
fn renewable(headers: &HeaderMap) -> bool {
    headers.get(SERIAL).and_then(|v| v.to_str().ok()).is_some_and(|serial| !serial.starts_with(PUBLIC_KEY_ID))
}

/// Reads an address that begins with http:// or https://.
pub fn web_address(text: &str) -> Result<Url, LinkError> {
    text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https")).ok_or(LinkError::Url)
}

fn json<Q: Serialize>(request: &Q) -> Vec<u8> {
    serde_json::to_vec(request).expect("wire types are plain data and serialise")
}

fn no_answer(error: reqwest::Error) -> ChannelError {
    ChannelError::NoAnswer(Box::new(error.without_url()))
}

fn not_now(status: StatusCode) -> ChannelError {
    ChannelError::NoAnswer(format!("status {status}").into())
}

/// Reads a body of at most [`BODY_MAX`] bytes.
async fn bounded(mut response: Response) -> Result<Vec<u8>, ChannelError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(ChannelError::BadAnswer("it is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<A: DeserializeOwned>(body: &[u8]) -> Result<A, ChannelError> {
    serde_json::from_slice(body).map_err(|_| ChannelError::BadAnswer("its content is not as agreed"))
}

fn read<A: DeserializeOwned>(answer: Raw) -> Result<Said<A>, ChannelError> {
    match answer.status {
        StatusCode::OK => parse(&answer.body).map(Said::Yes),
        status if status.is_client_error() => refused(&answer),
        _ => Err(ChannelError::BadAnswer("its status is not as agreed")),
    }
}

/// Reads a signed refusal. Some codes mean "not now" whatever the status.
fn refused<A>(answer: &Raw) -> Result<Said<A>, ChannelError> {
    let refusal: Refusal = parse(&answer.body)?;
    if code::not_now(&refusal.code) { Err(not_now(answer.status)) } else { Ok(Said::No(refusal.code)) }
}
