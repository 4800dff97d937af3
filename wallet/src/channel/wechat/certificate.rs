//! The two things that are needed of an X.509 certificate: its serial number and its public key. A bounded walk, no parser.
//!
//! Nothing is verified here. A platform certificate is trusted because it was sealed with our API v3 key, and its times are given beside it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::sign::{KeyError, PublicKey};

/// Longest certificate or key that is read, in bytes.
const DER_MAX: usize = 8 * 1024;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version.
const VERSION: u8 = 0xa0;

/// What is needed of a certificate.
#[derive(Debug)]
pub struct Certificate {
    /// Hexadecimal, upper-case, without leading zeros.
    pub serial: String,
    pub key: PublicKey,
}

impl Certificate {
    pub fn try_from_pem(text: &str) -> Result<Self, KeyError> {
        Self::try_from_der(&pem(text, "CERTIFICATE").ok_or(KeyError::Certificate)?)
    }

    /// RFC 5280, 4.1: a certificate holds `tbsCertificate`, and that the version, serial, algorithm, issuer, validity, subject and key.
    pub fn try_from_der(der: &[u8]) -> Result<Self, KeyError> {
        let (serial, spki) = walk(der).ok_or(KeyError::Certificate)?;
        Ok(Self { serial: serial_text(&hex::encode(serial)), key: PublicKey::try_from_spki(spki)? })
    }
}

/// A serial number in the form in which two are compared.
pub fn serial_text(hexadecimal: &str) -> String {
    hexadecimal.trim_start_matches('0').to_ascii_uppercase()
}

/// Gives the serial number's bytes and the whole SubjectPublicKeyInfo.
fn walk(der: &[u8]) -> Option<(&[u8], &[u8])> {
    if der.len() > DER_MAX {
        return None;
    }
    let certificate = Element::next(der, SEQUENCE)?;
    if !certificate.rest.is_empty() {
        return None;
    }
    let tbs = Element::next(certificate.content, SEQUENCE)?.content;
    let after_version = if tbs.first() == Some(&VERSION) { Element::next(tbs, VERSION)?.rest } else { tbs };
    let serial = Element::next(after_version, INTEGER)?;
    let mut rest = serial.rest;
    for _algorithm_issuer_validity_subject in 0..4 {
        rest = Element::next(rest, SEQUENCE)?.rest;
    }
    Some((serial.content, Element::next(rest, SEQUENCE)?.whole))
}

/// One element of DER: a tag, a length and that many bytes.
struct Element<'d> {
    content: &'d [u8],
    whole: &'d [u8],
    rest: &'d [u8],
}

impl<'d> Element<'d> {
    /// Takes the element at the front, which must have this tag and lie wholly within. Lengths have one form only, below 64 KiB.
    fn next(der: &'d [u8], tag: u8) -> Option<Self> {
        let (head, length) = match *der {
            [t, n @ 0..=0x7f, ..] if t == tag => (2, usize::from(n)),
            [t, 0x81, n @ 0x80..=0xff, ..] if t == tag => (3, usize::from(n)),
            [t, 0x82, high @ 1..=0xff, low, ..] if t == tag => (4, (usize::from(high) << 8) | usize::from(low)),
            _ => return None,
        };
        let (whole, rest) = der.split_at_checked(head + length)?;
        Some(Self { content: &whole[head..], whole, rest })
    }
}

/// The bytes within a PEM text (RFC 7468) that begins with this label. None: another label, or no base64 within.
pub fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let text = text.trim().strip_prefix("-----BEGIN ")?.strip_prefix(label)?.strip_prefix("-----")?;
    let (content, _) = text.split_once(&format!("-----END {label}-----"))?;
    let content: String = content.split_ascii_whitespace().collect();
    if content.len() > DER_MAX * 2 {
        return None;
    }
    BASE64.decode(content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl req -x509 -newkey rsa:2048`; its private key was never kept.
    const SAMPLE: &str = include_str!("testdata/certificate.pem");
    const SAMPLE_SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";

    #[test]
    fn a_certificate_gives_its_serial_and_its_key() {
        let read = Certificate::try_from_pem(SAMPLE).unwrap();
        assert_eq!(read.serial, SAMPLE_SERIAL);
        let der = pem(SAMPLE, "CERTIFICATE").unwrap();
        let (_, spki) = walk(&der).unwrap();
        assert_eq!(spki, pem(include_str!("testdata/public_key.pem"), "PUBLIC KEY").unwrap(), "as openssl tells the key");
    }

    #[test]
    fn a_certificate_cut_short_anywhere_or_with_more_behind_it_is_refused() {
        let der = pem(SAMPLE, "CERTIFICATE").unwrap();
        for length in 0..der.len() {
            assert!(Certificate::try_from_der(&der[..length]).is_err(), "{length}");
        }
        let longer = [&der[..], &[0]].concat();
        assert_eq!(Certificate::try_from_der(&longer).unwrap_err(), KeyError::Certificate);
        let huge = [&der[..], &vec![0; DER_MAX]].concat();
        assert_eq!(Certificate::try_from_der(&huge).unwrap_err(), KeyError::Certificate);
    }

    #[test]
    fn no_byte_of_the_head_can_be_changed_into_a_panic() {
        let der = pem(SAMPLE, "CERTIFICATE").unwrap();
        for at in 0..der.len() {
            for value in [0x00, 0x01, 0x30, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = value;
                let _ = Certificate::try_from_der(&changed);
            }
        }
    }

    #[test]
    fn a_length_has_one_form_only() {
        let next = |der: &[u8]| Element::next(der, SEQUENCE).map(|e| e.content.len());
        assert_eq!(next(&[0x30, 0x01, 0xaa]), Some(1));
        assert_eq!(next(&[&[0x30, 0x81, 0x80][..], &[0; 0x80]].concat()), Some(0x80));
        assert_eq!(next(&[&[0x30, 0x82, 0x01, 0x00][..], &[0; 0x100]].concat()), Some(0x100));
        let refused: [&[u8]; 9] = [
            &[],
            &[0x30],
            &[0x30, 0x02, 0x00],
            &[0x31, 0x00],
            &[0x30, 0x80, 0x00, 0x00],
            &[0x30, 0x81, 0x01, 0xaa],
            &[0x30, 0x82, 0x00, 0x01, 0xaa],
            &[0x30, 0x83, 0x00, 0x00, 0x01, 0xaa],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ];
        for der in refused {
            assert_eq!(next(der), None, "{der:02x?}");
        }
    }

    #[test]
    fn a_text_of_another_label_is_no_key() {
        assert_eq!(pem(SAMPLE, "PUBLIC KEY"), None);
        for text in ["", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----", "MIIB"] {
            assert_eq!(pem(text, "CERTIFICATE"), None, "{text}");
        }
    }

    #[test]
    fn serials_are_compared_in_one_form() {
        assert_eq!(serial_text("00ab01"), "AB01");
        assert_eq!(serial_text("AB01"), "AB01");
    }
}
