//! One signed exchange with the gateway: a request out, the raw bytes of the answer judged, its code sorted into word, refusal or silence.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sign::{Params, RSA2, SIGN_TYPE, Signer, Verifier};
use super::wire::{BODY_MAX, Outcome, code, time_text};
use super::{SetupError, fault, form, raw};
use crate::base::clock::Clock;
use crate::channel::ChannelError;

/// The one parameter that travels in the body.
const BIZ_CONTENT: &str = "biz_content";

/// Why a call gave no answer to read.
#[derive(Debug)]
pub enum Unanswered {
    /// Signed: the business was not done, with its business code (sub_code). What that proves is for the caller.
    Said(String),
    Failed(ChannelError),
}

impl From<ChannelError> for Unanswered {
    fn from(error: ChannelError) -> Self {
        Self::Failed(error)
    }
}

impl Unanswered {
    /// For a request to do something: a refusal where the code is one.
    pub fn refusal(self) -> ChannelError {
        match self {
            Self::Said(code) if fault::definitive(&code) => ChannelError::Refused { code },
            Self::Said(code) => {
                tracing::warn!(code, "Alipay said no with a code that proves nothing");
                match code.as_str() {
                    code::CONTEXT_INCONSISTENT | code::DISCORDANT_REPEAT_REQUEST => {
                        ChannelError::BadAnswer("the request number stands for other content")
                    }
                    _ => ChannelError::BadAnswer("it says no with a code that proves nothing"),
                }
            }
            Self::Failed(error) => error,
        }
    }

    /// For a question: a refused question says nothing about what was asked for.
    pub fn question(self) -> ChannelError {
        match self {
            Self::Said(code) => {
                tracing::warn!(code, "Alipay refused a question");
                ChannelError::BadAnswer("the question was refused")
            }
            Self::Failed(error) => error,
        }
    }
}

/// How the gateway is reached and how its word is checked.
#[derive(Debug)]
pub struct Gateway {
    url: Url,
    http: Client,
    app_id: String,
    notify_url: String,
    signer: Signer,
    verifier: Verifier,
}

impl Gateway {
    pub fn try_new(
        url: &str,
        app_id: &str,
        notify_url: &str,
        signer: Signer,
        verifier: Verifier,
        timeout: Duration,
    ) -> Result<Self, SetupError> {
        let web = |text: &str| text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"));
        let url = web(url).filter(|url| url.query().is_none() && url.fragment().is_none()).ok_or(SetupError::Url)?;
        web(notify_url).ok_or(SetupError::Url)?;
        let http = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(64)
            .build()?;
        Ok(Self { url, http, app_id: app_id.to_owned(), notify_url: notify_url.to_owned(), signer, verifier })
    }

    /// The key that notices are judged with.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// An address that asks for `method` when the customer's browser goes there.
    pub fn link<Q: Serialize>(&self, method: &str, content: &Q, return_url: Option<&str>) -> String {
        let mut url = self.url.clone();
        url.set_query(Some(&form::encode(&self.signed(method, content, return_url))));
        url.into()
    }

    /// Asks for `method`.
    pub async fn call<Q: Serialize, A: DeserializeOwned>(&self, method: &str, content: &Q) -> Result<A, Unanswered> {
        let mut params = self.signed(method, content, None);
        let body: Params = params.remove_entry(BIZ_CONTENT).into_iter().collect();
        let mut url = self.url.clone();
        url.set_query(Some(&form::encode(&params)));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        let request = self.http.post(url).header(CONTENT_TYPE, form).body(form::encode(&body));
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let body = bounded(response).await?;
        let member = match self.verifier.verify_answer(method, &body) {
            Ok(member) => raw::text_numbers(member),
            // what stands before the gateway may fail without a signature: no word was given
            Err(_) if busy(status) => return Err(silent(&format!("status {status}")).into()),
            Err(_) => return Err(ChannelError::BadAnswer("its signature is not right").into()),
        };
        let outcome: Outcome = parse(&member)?;
        let said = outcome.sub_code.unwrap_or_default();
        match outcome.code.as_str() {
            code::SUCCESS => Ok(parse(&member)?),
            code::UNAVAILABLE | code::LIMITED => Err(silent(&format!("code {}", outcome.code)).into()),
            _ if fault::unknown_for_now(&said) => Err(silent(&said).into()),
            code::BUSINESS if said.starts_with("ACQ.") || !said.is_empty() && !said.contains('.') => Err(Unanswered::Said(said)),
            // missing or wrong parameters, signature, rights: says nothing about the same request sent before
            code => {
                tracing::error!(code, said, "Alipay does not take our request; compare keys, clock and contract");
                Err(ChannelError::BadAnswer("our request was refused; compare keys, clock and contract").into())
            }
        }
    }

    fn signed<Q: Serialize>(&self, method: &str, content: &Q, return_url: Option<&str>) -> Params {
        let content = serde_json::to_string(content).expect("wire types are plain data and serialise");
        let mut params: Params = [
            ("app_id", self.app_id.as_str()),
            ("method", method),
            ("format", "JSON"),
            ("charset", "utf-8"),
            (SIGN_TYPE, RSA2),
            ("timestamp", &time_text(Clock::wall())),
            ("version", "1.0"),
            ("notify_url", &self.notify_url),
            (BIZ_CONTENT, &content),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        if let Some(url) = return_url {
            params.insert("return_url".to_owned(), url.to_owned());
        }
        self.signer.sign_request(&mut params);
        params
    }
}

fn busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

fn silent(why: &str) -> ChannelError {
    ChannelError::NoAnswer(why.into())
}

fn no_answer(error: reqwest::Error) -> ChannelError {
    ChannelError::NoAnswer(Box::new(error.without_url()))
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

fn parse<A: DeserializeOwned>(member: &[u8]) -> Result<A, ChannelError> {
    serde_json::from_slice(member).map_err(|_| ChannelError::BadAnswer("its content is not as agreed"))
}
