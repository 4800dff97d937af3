//! One signed exchange: verify the raw bytes, do what is asked, sign the answer.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wallet::base::clock::Clock;
use wallet::channel::wechat::code;
use wallet::channel::wechat::sign::{Authorization, SERIAL, SignatureError};
use wallet::channel::wechat::wire::Refusal;

use super::Speaker;
use crate::sim::book::Refused;

/// A refusal: HTTP status and code.
#[derive(Debug)]
pub struct No(pub u16, pub &'static str);

/// What a request asks for, once it is believed.
pub type Answer = Result<(StatusCode, Vec<u8>), No>;

pub const INVALID: No = No(400, "INVALID_REQUEST");
pub const PARAM: No = No(400, "PARAM_ERROR");
pub const UNKNOWN: No = No(404, "RESOURCE_NOT_EXISTS");

impl From<Refused> for No {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound | Refused::NotPaid => UNKNOWN,
            Refused::Reused => Self(403, "OUT_TRADE_NO_USED"),
            Refused::Invalid(_) => PARAM,
            Refused::ExceedsPayment => INVALID,
            Refused::Full | Refused::Unavailable => Self(500, "SYSTEM_ERROR"),
        }
    }
}

/// A request as the parts of its address need it.
pub struct Asked<'a> {
    pub speaker: &'a Speaker,
    pub query: &'a str,
    pub body: &'a [u8],
    /// The key that something in the body is sealed for.
    serial: Option<&'a str>,
}

impl Asked<'_> {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, No> {
        serde_json::from_slice(self.body).map_err(|_| PARAM)
    }

    /// The value of a query that has this one parameter.
    pub fn parameter(&self, name: &str) -> Result<&str, No> {
        self.query.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).filter(|v| !v.contains('&')).ok_or(PARAM)
    }

    /// Opens a name that the merchant sealed.
    pub fn open(&self, sealed: &str) -> Result<String, No> {
        self.serial.and_then(|serial| self.speaker.wechat.platform.open(serial, sealed)).ok_or(PARAM)
    }
}

pub fn ok<T: Serialize>(answer: &T) -> Answer {
    serde_json::to_vec(answer).map(|body| (StatusCode::OK, body)).map_err(|_| No(500, "SYSTEM_ERROR"))
}

/// Answers one request, signed, whatever becomes of it.
pub fn answer(speaker: &Speaker, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let answer = match verified(speaker, method, uri, headers, body) {
        Ok(()) => {
            let serial = headers.get(SERIAL).and_then(|v| v.to_str().ok());
            let asked = Asked { speaker, query: uri.query().unwrap_or_default(), body, serial };
            act(&asked, method, uri.path())
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a request was not signed as agreed");
            Err(No(401, code::SIGN_ERROR))
        }
    };
    let (status, body) = answer.unwrap_or_else(|No(status, code)| {
        let refusal = Refusal { code: code.to_owned(), message: "refused by the simulator".to_owned() };
        let body = serde_json::to_vec(&refusal).expect("wire types are plain data and serialise");
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
    });
    let mut headers = speaker.wechat.platform.signer().headers(&body, Clock::wall());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, headers, body).into_response()
}

fn verified(speaker: &Speaker, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
    let merchant = &speaker.wechat.merchant;
    let signed = Authorization::read(headers, Clock::wall())?;
    if signed.mchid != merchant.mchid || signed.serial != merchant.serial {
        return Err(SignatureError::UnknownKey);
    }
    let target = uri.path_and_query().map_or(uri.path(), |target| target.as_str());
    signed.verify(&merchant.key, method.as_str(), target, body)
}

fn act(asked: &Asked<'_>, method: &Method, path: &str) -> Answer {
    let path: Vec<&str> = path.trim_start_matches("/v3/").split('/').collect();
    match (method.as_str(), &path[..]) {
        ("GET", ["certificates"]) => {
            let wechat = &asked.speaker.wechat;
            ok(&wechat.platform.certificates(&wechat.merchant.api_key).ok_or(No(500, "SYSTEM_ERROR"))?)
        }
        ("POST", ["pay", "transactions", "jsapi"]) => asked.prepay(true),
        ("POST", ["pay", "transactions", "native"]) => asked.prepay(false),
        ("GET", ["pay", "transactions", "out-trade-no", number]) => asked.query(number),
        ("POST", ["pay", "transactions", "out-trade-no", number, "close"]) => asked.close(number),
        ("POST", ["refund", "domestic", "refunds"]) => asked.refund(),
        ("GET", ["refund", "domestic", "refunds", number]) => asked.query_refund(number),
        ("POST", ["profitsharing", "orders"]) => asked.split(),
        ("POST", ["profitsharing", "orders", "unfreeze"]) => asked.unfreeze(),
        ("GET", ["profitsharing", "orders", number]) => asked.query_split(number),
        ("POST", ["profitsharing", "return-orders"]) => asked.return_share(),
        ("GET", ["profitsharing", "return-orders", number]) => asked.query_return(number),
        ("POST", ["profitsharing", "receivers", "add"]) => asked.add_receiver(),
        ("POST", ["fund-app", "mch-transfer", "transfer-bills"]) => asked.transfer(),
        ("GET", ["fund-app", "mch-transfer", "transfer-bills", "out-bill-no", number]) => asked.query_transfer(number),
        _ => Err(UNKNOWN),
    }
}
