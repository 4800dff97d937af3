//! X.509 certificates (证书) as far as UnionPay's messages need them: a bounded walk over DER, one chain step, a name and a period.
//!
//! It is no general validator. A certificate is believed when a configured issuer signed exactly its TBS bytes with RSA-SHA256, when both
//! are within their time, and when the subject's common name is the configured company's. Extensions are covered by that signature and
//! not read: the issuers are named one by one, so what a critical extension could forbid is settled by whom we configure. The issuer is
//! the authority that signs UnionPay's message certificates itself (CFCA OCA), not the root above it.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, NaiveDate, Utc};

/// Largest certificate that is looked at, in bytes of DER. UnionPay's have about 1,100.
pub const DER_MAX: usize = 8 * 1024;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xA0;

/// sha256WithRSAEncryption (1.2.840.113549.1.1.11) with its NULL, as it stands inside an AlgorithmIdentifier.
pub(super) const RSA_SHA256: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00];
/// rsaEncryption (1.2.840.113549.1.1.1) with its NULL.
pub(super) const RSA_KEY: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];
/// id-at-commonName (2.5.4.3).
pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Why a certificate is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate is not PEM or DER of the expected form")]
    Malformed,
    #[error("the certificate's issuer is not one of the configured")]
    UnknownIssuer,
    #[error("the certificate is signed with another algorithm than RSA-SHA256")]
    Algorithm,
    #[error("the certificate was not signed by its issuer")]
    Signature,
    #[error("the certificate or its issuer's is not valid at this time")]
    Period,
    #[error("the certificate's subject is somebody else")]
    Subject,
}

use CertificateError::Malformed;

/// What is read of a certificate. Names are kept as DER and compared byte by byte.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The bytes that the issuer signed.
    tbs: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    common_name: String,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    /// RSAPublicKey of PKCS#1.
    public_key: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    /// Reads one PEM block and nothing beside it.
    pub fn try_from_pem(pem: &str) -> Result<Self, CertificateError> {
        let base64 = pem
            .trim()
            .strip_prefix("-----BEGIN CERTIFICATE-----")
            .and_then(|rest| rest.strip_suffix("-----END CERTIFICATE-----"))
            .filter(|text| text.len() <= DER_MAX * 2)
            .ok_or(Malformed)?;
        let base64: String = base64.split_ascii_whitespace().collect();
        Self::try_from_der(&BASE64.decode(base64).map_err(|_| Malformed)?)
    }

    /// Reads DER of at most [`DER_MAX`] bytes, to its last byte.
    pub fn try_from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > DER_MAX {
            return Err(Malformed);
        }
        let mut certificate = Der(der).only(SEQUENCE)?;
        let tbs = certificate.next(SEQUENCE)?;
        let algorithm = certificate.next(SEQUENCE)?;
        let signature = bits(certificate.next(BIT_STRING)?)?;
        certificate.end()?;

        let mut fields = Der(tbs.contents);
        if fields.peek() == Some(VERSION) {
            fields.next(VERSION)?;
        }
        let serial = fields.next(INTEGER)?.contents;
        // RFC 5280 4.1.2.2: at most 20 octets, and positive
        if serial.is_empty() || serial.len() > 20 || serial[0] >= 0x80 {
            return Err(Malformed);
        }
        // RFC 5280 4.1.1.2: the algorithm outside the signed part is the one inside
        if fields.next(SEQUENCE)?.whole != algorithm.whole {
            return Err(Malformed);
        }
        let issuer = fields.next(SEQUENCE)?.whole;
        let mut validity = Der(fields.next(SEQUENCE)?.contents);
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        validity.end()?;
        let subject = fields.next(SEQUENCE)?;
        let mut key = Der(fields.next(SEQUENCE)?.contents);
        if key.next(SEQUENCE)?.contents != RSA_KEY {
            return Err(Malformed);
        }
        let public_key = bits(key.next(BIT_STRING)?)?;
        key.end()?;
        Ok(Self {
            tbs: tbs.whole.to_vec(),
            serial: serial.to_vec(),
            issuer: issuer.to_vec(),
            subject: subject.whole.to_vec(),
            common_name: common_name(subject.contents)?,
            not_before,
            not_after,
            public_key: public_key.to_vec(),
            algorithm: algorithm.contents.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// The serial number in decimal: what UnionPay calls `certId`.
    pub fn serial_decimal(&self) -> String {
        // long division by ten, most significant byte first
        let (mut number, mut digits) = (self.serial.clone(), Vec::new());
        while digits.is_empty() || number.iter().any(|b| *b != 0) {
            let mut rest = 0_u32;
            for byte in &mut number {
                let part = rest * 256 + u32::from(*byte);
                *byte = u8::try_from(part / 10).expect("a rest below ten times 256 plus a byte, over ten, is below 256");
                rest = part % 10;
            }
            digits.push(char::from(b'0' + u8::try_from(rest).expect("a rest of ten is a digit")));
        }
        digits.iter().rev().collect()
    }

    /// The subject's key, as [`UnparsedPublicKey`] takes it.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn valid_at(&self, now: DateTime<Utc>) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The company in the common name. CFCA writes `041@8310000000083040@中国银联股份有限公司@00016494`: the third part names it.
    fn company(&self) -> &str {
        self.common_name.split('@').nth(2).unwrap_or(&self.common_name)
    }
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    issuers: Vec<Certificate>,
    company: String,
}

impl Trust {
    /// From the issuers' certificates in PEM and the company that the subject must name.
    pub fn try_new(issuers_pem: &[String], company: &str) -> Result<Self, CertificateError> {
        let issuers = issuers_pem.iter().map(|pem| Certificate::try_from_pem(pem)).collect::<Result<_, _>>()?;
        Ok(Self { issuers, company: company.to_owned() })
    }

    /// Believes a certificate (PEM) or says why not.
    pub fn check(&self, pem: &str, now: DateTime<Utc>) -> Result<Certificate, CertificateError> {
        let certificate = Certificate::try_from_pem(pem)?;
        if certificate.algorithm != RSA_SHA256 {
            return Err(CertificateError::Algorithm);
        }
        let mut verdict = Err(CertificateError::UnknownIssuer);
        // an authority that renewed its key has two certificates of one name
        for issuer in self.issuers.iter().filter(|i| i.subject == certificate.issuer) {
            verdict = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &issuer.public_key)
                .verify(&certificate.tbs, &certificate.signature)
                .map_err(|_| CertificateError::Signature)
                .and_then(|()| if issuer.valid_at(now) { Ok(()) } else { Err(CertificateError::Period) });
            if verdict.is_ok() {
                break;
            }
        }
        verdict?;
        if !certificate.valid_at(now) {
            return Err(CertificateError::Period);
        }
        if certificate.company() != self.company {
            return Err(CertificateError::Subject);
        }
        Ok(certificate)
    }
}

/// What is left to read of a DER value.
struct Der<'d>(&'d [u8]);

/// One element: with its head, and without.
#[derive(Clone, Copy)]
struct Element<'d> {
    tag: u8,
    whole: &'d [u8],
    contents: &'d [u8],
}

impl<'d> Der<'d> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element, whatever its tag. Lengths are definite, of at most two bytes, and in the shortest form, as DER asks.
    fn any(&mut self) -> Result<Element<'d>, CertificateError> {
        let (tag, length, head) = match *self.0 {
            [tag, short @ ..=0x7F, ..] => (tag, usize::from(short), 2),
            [tag, 0x81, long @ 0x80..=0xFF, ..] => (tag, usize::from(long), 3),
            [tag, 0x82, high @ 1..=0xFF, low, ..] => (tag, usize::from(u16::from_be_bytes([high, low])), 4),
            _ => return Err(Malformed),
        };
        // tags of several bytes occur in no certificate
        if tag & 0x1F == 0x1F {
            return Err(Malformed);
        }
        let whole = self.0.get(..head + length).ok_or(Malformed)?;
        self.0 = &self.0[whole.len()..];
        Ok(Element { tag, whole, contents: &whole[head..] })
    }

    fn next(&mut self, tag: u8) -> Result<Element<'d>, CertificateError> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(Malformed) }
    }

    /// The contents of the one element that there is.
    fn only(mut self, tag: u8) -> Result<Der<'d>, CertificateError> {
        let element = self.next(tag)?;
        self.end()?;
        Ok(Der(element.contents))
    }

    fn end(&self) -> Result<(), CertificateError> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// The bytes of a bit string that has no unused bits.
fn bits(element: Element<'_>) -> Result<&[u8], CertificateError> {
    match element.contents {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Malformed),
    }
}

/// The one common name of a subject.
fn common_name(subject: &[u8]) -> Result<String, CertificateError> {
    let (mut sets, mut found) = (Der(subject), None);
    while sets.peek().is_some() {
        let mut set = Der(sets.next(SET)?.contents);
        while set.peek().is_some() {
            let mut attribute = Der(set.next(SEQUENCE)?.contents);
            let (kind, value) = (attribute.next(OID)?, attribute.any()?);
            attribute.end()?;
            if kind.contents != COMMON_NAME {
                continue;
            }
            let text = std::str::from_utf8(value.contents).map_err(|_| Malformed)?;
            // UTF8String; PrintableString, TeletexString and IA5String hold ASCII only
            if !(value.tag == 0x0C || (matches!(value.tag, 0x13 | 0x14 | 0x16) && text.is_ascii())) {
                return Err(Malformed);
            }
            // of two names, the one that is checked may not be the one that was vouched for
            if found.replace(text.to_owned()).is_some() {
                return Err(Malformed);
            }
        }
    }
    found.ok_or(Malformed)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 4.1.2.5): with seconds, in UTC, nothing else.
fn time(der: &mut Der) -> Result<DateTime<Utc>, CertificateError> {
    let element = der.any()?;
    let digits = element.contents.strip_suffix(b"Z").filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(Malformed)?;
    let two = |at: usize| u32::from(digits[at] - b'0') * 10 + u32::from(digits[at + 1] - b'0');
    let (year, rest) = match (element.tag, digits.len()) {
        (UTC_TIME, 12) => (if two(0) >= 50 { 1900 + two(0) } else { 2000 + two(0) }, 2),
        (GENERALIZED_TIME, 14) => (two(0) * 100 + two(2), 4),
        _ => return Err(Malformed),
    };
    let year = i32::try_from(year).map_err(|_| Malformed)?;
    NaiveDate::from_ymd_opt(year, two(rest), two(rest + 2))
        .and_then(|day| day.and_hms_opt(two(rest + 4), two(rest + 6), two(rest + 8)))
        .map(|t| t.and_utc())
        .ok_or(Malformed)
}
