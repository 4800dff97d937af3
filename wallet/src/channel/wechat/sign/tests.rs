//! Signatures, taken apart and put together wrongly.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use chrono::TimeDelta;

use super::*;
use crate::base::clock::Clock;

/// Three fresh keys, made once, since each takes a while.
fn pkcs8(which: usize) -> &'static [u8] {
    static KEYS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let make = || {
        let der: Pkcs8V1Der = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        der.as_ref().to_vec()
    };
    &KEYS.get_or_init(|| (0..3).map(|_| make()).collect())[which]
}

/// A signer of this serial. Serials that end alike have the same key.
pub(in crate::channel::wechat) fn signer(serial: &str) -> Signer {
    let which = serial.bytes().last().map_or(0, usize::from) % 3;
    Signer::try_from_pkcs8(serial, pkcs8(which)).unwrap()
}

const TARGET: &str = "/v3/pay/transactions/out-trade-no/1?mchid=1900000109";
const BODY: &[u8] = b"{\"amount\":{\"total\":925}}";

fn with(value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

#[test]
fn a_request_is_believed_as_it_was_signed_and_in_no_other_form() {
    let (merchant, wall) = (signer("A1"), Clock::wall());
    let (key, other) = (merchant.public_key().unwrap(), signer("A2").public_key().unwrap());
    let headers = with(merchant.authorization("1900000109", "GET", TARGET, BODY, wall));
    let read = Authorization::read(&headers, wall).unwrap();
    assert_eq!((read.mchid, read.serial), ("1900000109", "A1"));
    let cases = [
        ("as signed", &key, "GET", TARGET, BODY.to_vec(), true),
        ("other method", &key, "POST", TARGET, BODY.to_vec(), false),
        ("other path", &key, "GET", "/v3/pay/transactions/out-trade-no/2?mchid=1900000109", BODY.to_vec(), false),
        ("without the query", &key, "GET", "/v3/pay/transactions/out-trade-no/1", BODY.to_vec(), false),
        ("other body", &key, "GET", TARGET, b"{\"amount\":{\"total\":925} }".to_vec(), false),
        ("no body", &key, "GET", TARGET, Vec::new(), false),
        ("another's key", &other, "GET", TARGET, BODY.to_vec(), false),
    ];
    for (name, key, method, target, body, good) in cases {
        assert_eq!(read.verify(key, method, target, &body).is_ok(), good, "{name}");
    }
    let text = headers[AUTHORIZATION].to_str().unwrap();
    let later = text.replace(&wall.timestamp().to_string(), &(wall.timestamp() + 1).to_string());
    let nonce = text.split("nonce_str=\"").nth(1).unwrap().split('"').next().unwrap();
    let renonced = text.replace(nonce, "00112233445566778899aabbccddeeff");
    for (name, text) in [("other time", later), ("other nonce", renonced)] {
        let headers = with(HeaderValue::from_str(&text).unwrap());
        let read = Authorization::read(&headers, wall).unwrap();
        assert_eq!(read.verify(&key, "GET", TARGET, BODY), Err(SignatureError::Mismatch), "{name}");
    }
}

#[test]
fn an_authorization_has_each_parameter_once() {
    let wall = Clock::wall();
    let good = signer("A1").authorization("1900000109", "GET", TARGET, BODY, wall);
    let good = good.to_str().unwrap();
    let read = |text: &str| Authorization::read(&with(HeaderValue::from_str(text).unwrap()), wall).map(|_| ());
    assert_eq!(read(good), Ok(()));
    let bad = [
        good.replace(SCHEME, "WECHATPAY2-SM2-WITH-SM3"),
        good.replace(SCHEME, ""),
        format!("{good},mchid=\"1900000110\""),
        format!("{good},more=\"1\""),
        format!("{good},"),
        good.replace("mchid=\"1900000109\",", ""),
        good.replace("mchid=\"1900000109\"", "mchid=\"\""),
        good.replace("mchid=\"1900000109\"", "mchid=1900000109"),
        good.replace("signature=\"", "signature=\"%"),
        good.replace("timestamp=\"", "timestamp=\"x"),
        String::new(),
    ];
    for text in bad {
        assert_eq!(read(&text), Err(SignatureError::Malformed), "{text}");
    }
    let mut twice = with(HeaderValue::from_str(good).unwrap());
    twice.append(AUTHORIZATION, HeaderValue::from_str(good).unwrap());
    assert_eq!(Authorization::read(&twice, wall).unwrap_err(), SignatureError::Malformed);
    let far = wall + TimeDelta::seconds(WINDOW_S + 1);
    assert_eq!(Authorization::read(&with(HeaderValue::from_str(good).unwrap()), far).unwrap_err(), SignatureError::Skewed);
}

fn judge(key: &PublicKey, headers: &HeaderMap, body: &[u8], wall: DateTime<Utc>) -> Result<(), SignatureError> {
    Signed::read(headers, wall)?.verify(key, body)
}

#[test]
fn an_answer_is_believed_as_it_was_signed_and_in_no_other_form() {
    let (platform, wall) = (signer("A1"), Clock::wall());
    let key = platform.public_key().unwrap();
    let good = platform.headers(BODY, wall);
    let changed = |name: HeaderName, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    };
    let without = |name: HeaderName| {
        let mut headers = good.clone();
        headers.remove(name);
        headers
    };
    let mut twice = good.clone();
    twice.append(SIGNATURE, good[SIGNATURE].clone());
    let probe = format!("{PROBE}{}", good[SIGNATURE].to_str().unwrap());
    let (edge, late, early) =
        (wall + TimeDelta::seconds(WINDOW_S), wall + TimeDelta::seconds(WINDOW_S + 1), wall - TimeDelta::seconds(WINDOW_S + 1));
    let retimed = (wall.timestamp() + 1).to_string();
    let body = |bytes: &'static [u8]| bytes;
    let cases = [
        ("as signed", good.clone(), BODY, wall, Ok(())),
        ("at the edge of the window", good.clone(), BODY, edge, Ok(())),
        ("late", good.clone(), BODY, late, Err(SignatureError::Skewed)),
        ("early", good.clone(), BODY, early, Err(SignatureError::Skewed)),
        ("other body", good.clone(), body(b"{\"amount\":{\"total\":926}}"), wall, Err(SignatureError::Mismatch)),
        ("no body", good.clone(), body(b""), wall, Err(SignatureError::Mismatch)),
        ("other time", changed(TIMESTAMP, &retimed), BODY, wall, Err(SignatureError::Mismatch)),
        ("no number", changed(TIMESTAMP, "now"), BODY, wall, Err(SignatureError::Malformed)),
        ("other nonce", changed(NONCE, "00"), BODY, wall, Err(SignatureError::Mismatch)),
        ("no nonce", changed(NONCE, ""), BODY, wall, Err(SignatureError::Malformed)),
        ("huge nonce", changed(NONCE, &"0".repeat(HEADER_MAX + 1)), BODY, wall, Err(SignatureError::Malformed)),
        ("by another", signer("A2").headers(BODY, wall), BODY, wall, Err(SignatureError::Mismatch)),
        ("no base64", changed(SIGNATURE, "%"), BODY, wall, Err(SignatureError::Malformed)),
        ("a probe", changed(SIGNATURE, &probe), BODY, wall, Err(SignatureError::Mismatch)),
        ("no serial", without(SERIAL), BODY, wall, Err(SignatureError::Malformed)),
        ("no signature", without(SIGNATURE), BODY, wall, Err(SignatureError::Malformed)),
        ("signed twice", twice, BODY, wall, Err(SignatureError::Malformed)),
    ];
    for (name, headers, body, wall, expected) in cases {
        assert_eq!(judge(&key, &headers, body, wall), expected, "{name}");
    }
}

#[test]
fn an_empty_answer_is_signed_like_any_other() {
    let (platform, wall) = (signer("A1"), Clock::wall());
    assert_eq!(judge(&platform.public_key().unwrap(), &platform.headers(b"", wall), b"", wall), Ok(()));
}

#[test]
fn the_parts_stand_in_the_documented_order_each_ended_by_a_line_feed() {
    let request = request_message("GET", "/v3/certificates", "1554208460", "593BEC0C930BF1AFEB40B4A08C8FB242", b"");
    assert_eq!(request, b"GET\n/v3/certificates\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n\n");
    assert_eq!(
        answer_message("1722850421", "d824f2e086d3c1df967785d13fcd22ef", b"{}"),
        b"1722850421\nd824f2e086d3c1df967785d13fcd22ef\n{}\n"
    );
    let call = call_message("wx8888888888888888", "1414561699", "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", "prepay_id=wx2016");
    assert_eq!(call, b"wx8888888888888888\n1414561699\n5K8264ILTKCH16CQ2502SI8ZNMTM67VS\nprepay_id=wx2016\n");
}

#[test]
fn personal_data_is_sealed_for_the_owner_of_the_key() {
    let sealed = signer("A1").public_key().unwrap().seal("张三").unwrap();
    let private = PrivateDecryptingKey::from_pkcs8(pkcs8(usize::from(b'1') % 3)).unwrap();
    let private = OaepPrivateDecryptingKey::new(private).unwrap();
    let mut out = vec![0; private.min_output_size()];
    let opened = private.decrypt(&OAEP_SHA1_MGF1SHA1, &BASE64.decode(&sealed).unwrap(), &mut out, None).unwrap();
    assert_eq!(opened, "张三".as_bytes());
    assert_ne!(sealed, signer("A1").public_key().unwrap().seal("张三").unwrap(), "never twice the same");
    assert_eq!(signer("A1").public_key().unwrap().seal(&"x".repeat(300)), None, "too long for one block");
}

#[test]
fn keys_of_other_kinds_are_refused_and_none_is_shown() {
    assert_eq!(Signer::try_from_pkcs8("A1", b"not a key").unwrap_err(), KeyError::Private);
    assert_eq!(Signer::try_from_pkcs8("A1\"", pkcs8(0)).unwrap_err(), KeyError::Private, "a serial must fit between quotes");
    assert_eq!(Signer::try_from_pkcs8("", pkcs8(0)).unwrap_err(), KeyError::Private);
    assert_eq!(PublicKey::try_from_spki(pkcs8(0)).unwrap_err(), KeyError::Public);
    assert_eq!(Signer::try_from_pem("A1", "-----BEGIN RSA PRIVATE KEY-----").unwrap_err(), KeyError::Private);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(pkcs8(0)));
    assert_eq!(format!("{:?}", Signer::try_from_pem("A1", &pem).unwrap()), "Signer { serial: \"A1\", .. }");
    let public = PublicKey::try_from_pem(include_str!("../testdata/public_key.pem")).unwrap();
    assert_eq!(format!("{public:?}"), "PublicKey { .. }");
}
