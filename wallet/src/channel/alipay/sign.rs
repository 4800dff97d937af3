//! RSA2 (SHA256withRSA): what of a request, an answer and a notice is signed, and by whom (Alipay open platform, 签名与验签).
//!
//! A request and a notice are signed as sorted `name=value` pairs, an answer as the raw bytes of one member. Nothing is parsed and
//! written again before it is judged. An answer carries nothing of its request, so the caller compares the numbers inside.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::raw;

/// Parameters by name, each once, in the order in which they are signed.
pub type Params = BTreeMap<String, String>;

/// Name of the parameter and the member that hold a signature.
pub const SIGN: &str = "sign";
/// Name of the parameter that says how it was made.
pub const SIGN_TYPE: &str = "sign_type";
/// The only kind of signature that is made and believed.
pub const RSA2: &str = "RSA2";

/// The member that stands in an answer whose method the gateway could not name.
const ERROR_MEMBER: &str = "error_response";

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the private key must be an RSA key of at least 2048 bits, PKCS#8 or PKCS#1, in PEM or bare base64")]
    Private,
    #[error("the public key must be an RSA key of at least 2048 bits, in PEM or bare base64")]
    Public,
}

/// The signature is missing, or is not that of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is missing or does not match")]
pub struct Unsigned;

/// Signs as one party.
pub struct Signer {
    key: RsaKeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// From the text of a key as the open platform's key tool writes it (应用私钥).
    pub fn try_new(text: &str) -> Result<Self, KeyError> {
        let der = der(text).ok_or(KeyError::Private)?;
        let key = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).map_err(|_| KeyError::Private)?;
        Ok(Self { key, random: SystemRandom::new() })
    }

    /// The public key that belongs to it, in bare base64: what the other party is given.
    pub fn public_key(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().expect("the key was read, so it can be written");
        BASE64.encode(der.as_ref())
    }

    /// The signature of `content`, in base64.
    pub fn sign(&self, content: &[u8]) -> String {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, content, &mut signature)
            .expect("a key of at least 2048 bits has room for a SHA-256 digest, and the buffer has the length of its modulus");
        BASE64.encode(signature)
    }

    /// Signs a request: everything that is not empty, `sign_type` included.
    pub fn sign_request(&self, params: &mut Params) {
        let sign = self.sign(request_content(params).as_bytes());
        params.insert(SIGN.to_owned(), sign);
    }

    /// Signs a notice: everything but `sign_type`.
    pub fn sign_notice(&self, params: &mut Params) {
        let sign = self.sign(notice_content(params).as_bytes());
        params.insert(SIGN.to_owned(), sign);
    }

    /// An answer to `method` with its signature.
    pub fn sign_answer(&self, method: &str, member: &str) -> String {
        format!("{{\"{}\":{member},\"{SIGN}\":\"{}\"}}", member_name(method), self.sign(member.as_bytes()))
    }
}

/// Knows one party's public key.
#[derive(Clone)]
pub struct Verifier {
    key: ParsedPublicKey,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// From the text of a key as the open platform shows it (支付宝公钥).
    pub fn try_new(text: &str) -> Result<Self, KeyError> {
        let der = der(text).ok_or(KeyError::Public)?;
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).map_err(|_| KeyError::Public)?;
        Ok(Self { key })
    }

    /// Believes `content` or not.
    pub fn verify(&self, content: &[u8], signature: &str) -> Result<(), Unsigned> {
        let signature = BASE64.decode(signature).map_err(|_| Unsigned)?;
        self.key.verify_sig(content, &signature).map_err(|_| Unsigned)
    }

    /// Believes a request or not.
    pub fn verify_request(&self, params: &Params) -> Result<(), Unsigned> {
        self.verify(request_content(params).as_bytes(), signature_of(params)?)
    }

    /// Believes a notice or not.
    pub fn verify_notice(&self, params: &Params) -> Result<(), Unsigned> {
        self.verify(notice_content(params).as_bytes(), signature_of(params)?)
    }

    /// The member of an answer to `method` that is signed, as it stands in the body.
    pub fn verify_answer<'b>(&self, method: &str, body: &'b [u8]) -> Result<&'b [u8], Unsigned> {
        let members = raw::members(body).ok_or(Unsigned)?;
        let one = |name: &str| {
            let mut found = members.iter().filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value);
            // a second one would leave open which of them is signed
            found.next().filter(|_| found.next().is_none())
        };
        let named = member_name(method);
        let member = match (one(&named), one(ERROR_MEMBER)) {
            (Some(member), None) | (None, Some(member)) => member,
            _ => return Err(Unsigned),
        };
        let signature: String = one(SIGN).and_then(|text| serde_json::from_slice(text).ok()).ok_or(Unsigned)?;
        self.verify(member, &signature)?;
        Ok(member)
    }
}

fn signature_of(params: &Params) -> Result<&str, Unsigned> {
    if params.get(SIGN_TYPE).map(String::as_str) != Some(RSA2) {
        return Err(Unsigned);
    }
    params.get(SIGN).map(String::as_str).ok_or(Unsigned)
}

/// `alipay.trade.query` is answered in `alipay_trade_query_response`.
fn member_name(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// What of a request is signed: all that is not empty.
fn request_content(params: &Params) -> String {
    joined(params.iter().filter(|(name, value)| *name != SIGN && !value.is_empty()))
}

/// What of a notice is signed: all that came, the way the signature was made aside.
fn notice_content(params: &Params) -> String {
    joined(params.iter().filter(|(name, _)| *name != SIGN && *name != SIGN_TYPE))
}

fn joined<'p>(pairs: impl Iterator<Item = (&'p String, &'p String)>) -> String {
    pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The bytes of a key from PEM or bare base64.
fn der(text: &str) -> Option<Vec<u8>> {
    let base64: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(base64).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::Pkcs8V1Der;
    use aws_lc_rs::rsa::KeySize;

    use super::*;

    /// A new key, in bare base64.
    pub fn key() -> String {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        BASE64.encode(der.as_ref())
    }

    fn pair() -> (Signer, Verifier) {
        let signer = Signer::try_new(&key()).unwrap();
        let verifier = Verifier::try_new(&signer.public_key()).unwrap();
        (signer, verifier)
    }

    pub fn params(pairs: &[(&str, &str)]) -> Params {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_request_is_signed_sorted_without_its_signature_and_without_what_is_empty() {
        let given =
            params(&[("method", "m"), ("app_id", "a"), ("sign", "x"), ("sign_type", "RSA2"), ("return_url", ""), ("biz_content", "{}")]);
        assert_eq!(request_content(&given), "app_id=a&biz_content={}&method=m&sign_type=RSA2");
    }

    #[test]
    fn a_notice_is_signed_sorted_and_decoded_without_the_way_it_was_signed() {
        let given = params(&[("subject", "茶 & 水"), ("app_id", "a"), ("sign", "x"), ("sign_type", "RSA2"), ("passback", "")]);
        assert_eq!(notice_content(&given), "app_id=a&passback=&subject=茶 & 水");
    }

    #[test]
    fn a_request_is_believed_only_as_it_was_signed() {
        let (signer, verifier) = pair();
        let mut good = params(&[("app_id", "2021"), ("method", "alipay.trade.query"), ("sign_type", "RSA2"), ("biz_content", "{\"a\":1}")]);
        signer.sign_request(&mut good);
        assert_eq!(verifier.verify_request(&good), Ok(()));
        for name in ["app_id", "method", "sign_type", "biz_content", "sign"] {
            let mut changed = good.clone();
            changed.insert(name.to_owned(), "other".to_owned());
            assert_eq!(verifier.verify_request(&changed), Err(Unsigned), "{name} changed");
            changed.remove(name);
            assert_eq!(verifier.verify_request(&changed), Err(Unsigned), "{name} removed");
        }
        let mut more = good.clone();
        more.insert("notify_url".to_owned(), "http://elsewhere".to_owned());
        assert_eq!(verifier.verify_request(&more), Err(Unsigned), "a parameter more");
        assert_eq!(pair().1.verify_request(&good), Err(Unsigned), "another's key");
    }

    #[test]
    fn an_answer_is_judged_on_its_bytes_as_they_stand() {
        let (signer, verifier) = pair();
        let method = "alipay.trade.query";
        // spaces, an escaped slash, braces and quotes inside a string: re-serialising would change each of them
        let member = r#"{"code" : "10000","msg":"a\/b \"} \\", "list":[{"x":1.50}],"unicode":"茶\u8336"}"#;
        let body = signer.sign_answer(method, member);
        assert_eq!(verifier.verify_answer(method, body.as_bytes()), Ok(member.as_bytes()));
        let sign = signer.sign(member.as_bytes());
        let escaped = sign.replace('/', "\\/");
        let good = [
            format!(" {{ \"sign\" : \"{escaped}\" ,\n\"alipay_trade_query_response\" : {member} , \"alipay_cert_sn\":\"1\" }} "),
            format!("{{\"error_response\":{member},\"sign\":\"{sign}\"}}"),
        ];
        for body in good {
            assert_eq!(verifier.verify_answer(method, body.as_bytes()), Ok(member.as_bytes()), "{body}");
        }
        let bad = [
            body.replace("10000", "10001"),
            body.replace("\"code\" :", "\"code\":"),
            body.replace("alipay_trade_query", "alipay_trade_refund"),
            format!("{{\"alipay_trade_query_response\":{member}}}"),
            format!("{{\"alipay_trade_query_response\":{member},\"sign\":\"\"}}"),
            format!("{{\"alipay_trade_query_response\":{member},\"sign\":null}}"),
            format!("{{\"alipay_trade_query_response\":{{}},\"alipay_trade_query_response\":{member},\"sign\":\"{sign}\"}}"),
            format!("{{\"alipay_trade_query_response\":{member},\"error_response\":{{}},\"sign\":\"{sign}\"}}"),
            format!("{{\"alipay_trade_query_response\":{member},\"sign\":\"{sign}\",\"sign\":\"{sign}\"}}"),
            format!("{{\"nested\":{{\"alipay_trade_query_response\":{member}}},\"sign\":\"{sign}\"}}"),
            body.trim_end_matches('}').to_owned(),
            format!("{body}{body}"),
            String::new(),
        ];
        for body in bad {
            assert_eq!(verifier.verify_answer(method, body.as_bytes()), Err(Unsigned), "{body}");
        }
        assert_eq!(pair().1.verify_answer(method, body.as_bytes()), Err(Unsigned), "another's key");
    }

    #[test]
    fn keys_are_read_from_pem_and_bare_base64_and_garbage_is_none() {
        let text = key();
        let signer = Signer::try_new(&text).unwrap();
        let wrapped: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\r\n-----END PRIVATE KEY-----\n", wrapped.join("\r\n"));
        assert_eq!(Signer::try_new(&pem).unwrap().public_key(), signer.public_key());
        // PKCS#1 is what stands inside PKCS#8, after 26 bytes of header for a key of 2048 bits
        let pkcs1 = BASE64.encode(&BASE64.decode(&text).unwrap()[26..]);
        assert_eq!(Signer::try_new(&pkcs1).unwrap().public_key(), signer.public_key());
        for bad in ["", "not a key", "AAAA", &signer.public_key()] {
            assert_eq!(Signer::try_new(bad).err(), Some(KeyError::Private), "{bad}");
        }
        for bad in ["", "not a key", "AAAA", &text] {
            assert_eq!(Verifier::try_new(bad).err(), Some(KeyError::Public), "{bad}");
        }
        assert!(!format!("{signer:?}").contains(&text[40..60]), "a key never shows");
    }
}
