//! Certificates, signatures, notices and codes of UnionPay, with keys and certificates that are made here.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rsa::KeyPair;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::certificate::{Certificate, CertificateError, DER_MAX, Trust};
use super::issue::{Statement, element, issue, pem, signed, to_be_signed};
use super::sign::{self, SignatureError, generate, private_pem};
use super::wire::{self, CERTIFICATE, Fields, SIGNATURE};
use super::{Agreement, AgreementError, UnionPay, judge};
use crate::base::clock::Clock;
use crate::channel::ChannelError;
use crate::channel::acquirer::{Acquirer, Fault, HearError, PaymentWord, Spoken, TransferWord};

const COMPANY: &str = "中国银联股份有限公司";
const SUBJECT: &str = "041@8310000000083040@中国银联股份有限公司@00016494";
const ROOT: &str = "CFCA TEST OCA1";
const MERCHANT: &str = "777290058110048";

static ROOT_KEY: LazyLock<KeyPair> = LazyLock::new(generate);
static OTHER_KEY: LazyLock<KeyPair> = LazyLock::new(generate);
static UNIONPAY_KEY: LazyLock<KeyPair> = LazyLock::new(generate);
static OUR_KEY: LazyLock<KeyPair> = LazyLock::new(generate);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn statement<'s>(issuer: &'s str, subject: &'s str) -> Statement<'s> {
    let now = Clock::wall();
    let serial = &[0x12, 0x95, 0x46, 0x44, 0x21];
    Statement { issuer, subject, serial, not_before: now - TimeDelta::days(30), not_after: now + TimeDelta::days(30) }
}

fn root() -> String {
    issue(&statement(ROOT, ROOT), &ROOT_KEY, &ROOT_KEY)
}

fn trust() -> Trust {
    Trust::try_new(&[root()], COMPANY).unwrap()
}

fn certificate() -> String {
    issue(&statement(ROOT, SUBJECT), &UNIONPAY_KEY, &ROOT_KEY)
}

fn union_pay() -> UnionPay {
    let ours = issue(&statement(ROOT, "041@1@好店@2"), &OUR_KEY, &ROOT_KEY);
    UnionPay::try_new(&Agreement {
        base_url: "http://127.0.0.1:1",
        merchant_no: MERCHANT,
        terminal_no: "49000002",
        certificate_pem: &ours,
        private_key_pem: &private_pem(&OUR_KEY),
        issuers_pem: &[root()],
        company: COMPANY,
        notify_url: "http://127.0.0.1:1/notices/unionpay",
        timeout: Duration::from_secs(1),
    })
    .unwrap()
}

/// A notice of a payment that went well, unsigned.
fn notice(number: &str) -> Fields {
    let time = wire::stamp(wire::time_of(number).unwrap());
    let fields = [
        ("version", "5.1.0"),
        ("encoding", "UTF-8"),
        ("signMethod", "01"),
        ("merId", MERCHANT),
        ("orderId", number),
        ("txnTime", &time),
        ("txnType", "01"),
        ("txnSubType", "01"),
        ("txnAmt", "1250"),
        ("currencyCode", "156"),
        ("queryId", "951807261002324791038"),
        ("respCode", "00"),
        ("respMsg", "成功[0000000]"),
        ("traceTime", &time[4..]),
    ];
    fields.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn number() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn sealed(mut fields: Fields, pem: &str, key: &KeyPair) -> Vec<u8> {
    fields.insert(CERTIFICATE.to_owned(), pem.to_owned());
    sign::sign(&mut fields, key);
    wire::form(&fields).into_bytes()
}

fn hear(body: &[u8]) -> Result<Spoken, HearError> {
    union_pay().hear(&HeaderMap::new(), body, Clock::wall()).map(|h| h.spoken)
}

#[test]
fn a_certificate_is_read_as_it_was_written() {
    let read = Certificate::try_from_pem(&certificate()).unwrap();
    assert_eq!(read.serial_decimal(), "79813821473");
    let indented = certificate().replace('\n', "\r\n") + "\r\n";
    assert_eq!(Certificate::try_from_pem(&indented).unwrap().serial_decimal(), "79813821473", "with the line ends of another system");
    let long = Statement { serial: &[0x7F; 20], ..statement(ROOT, SUBJECT) };
    // 0x7f repeated twenty times
    let decimal = "727885129180488904360266563744972327436484050815";
    assert_eq!(Certificate::try_from_pem(&issue(&long, &UNIONPAY_KEY, &ROOT_KEY)).unwrap().serial_decimal(), decimal);
    let zero = Statement { serial: &[0], ..statement(ROOT, SUBJECT) };
    assert_eq!(Certificate::try_from_pem(&issue(&zero, &UNIONPAY_KEY, &ROOT_KEY)).unwrap().serial_decimal(), "0");
}

#[test]
fn a_certificate_is_believed_only_from_a_configured_issuer_in_its_time_for_the_company() {
    let now = Clock::wall();
    let good = statement(ROOT, SUBJECT);
    let issued = |statement: &Statement, issuer: &KeyPair| issue(statement, &UNIONPAY_KEY, issuer);
    let past = Statement { not_after: now - TimeDelta::seconds(1), ..good.clone() };
    let future = Statement { not_before: now + TimeDelta::minutes(1), ..good.clone() };
    let cases = [
        ("as issued", issued(&good, &ROOT_KEY), None),
        ("signed by another key under the root's name", issued(&good, &OTHER_KEY), Some(CertificateError::Signature)),
        ("of another root", issued(&statement("CFCA", SUBJECT), &OTHER_KEY), Some(CertificateError::UnknownIssuer)),
        ("self-signed", issue(&statement(SUBJECT, SUBJECT), &UNIONPAY_KEY, &UNIONPAY_KEY), Some(CertificateError::UnknownIssuer)),
        ("expired", issued(&past, &ROOT_KEY), Some(CertificateError::Period)),
        ("not valid yet", issued(&future, &ROOT_KEY), Some(CertificateError::Period)),
        ("of another company", issued(&statement(ROOT, "041@8@好店科技有限公司@1"), &ROOT_KEY), Some(CertificateError::Subject)),
        (
            "of a company that begins alike",
            issued(&statement(ROOT, "041@8@中国银联股份有限公司分公司@1"), &ROOT_KEY),
            Some(CertificateError::Subject),
        ),
        (
            "with the name in another part",
            issued(&statement(ROOT, "中国银联股份有限公司@8@好店@1"), &ROOT_KEY),
            Some(CertificateError::Subject),
        ),
        ("named without parts", issued(&statement(ROOT, COMPANY), &ROOT_KEY), None),
        ("the root itself", root(), Some(CertificateError::Subject)),
    ];
    for (name, pem, error) in cases {
        assert_eq!(trust().check(&pem, now).err(), error, "{name}");
    }
    assert_eq!(Trust::try_new(&[], COMPANY).unwrap().check(&certificate(), now).err(), Some(CertificateError::UnknownIssuer), "no issuer");
}

#[test]
fn an_issuer_that_has_expired_vouches_for_nothing() {
    let now = Clock::wall();
    let past = Statement { not_after: now - TimeDelta::seconds(1), ..statement(ROOT, ROOT) };
    let trust = Trust::try_new(&[issue(&past, &ROOT_KEY, &ROOT_KEY)], COMPANY).unwrap();
    assert_eq!(trust.check(&certificate(), now).err(), Some(CertificateError::Period));
}

#[test]
fn an_issuer_that_renewed_its_key_is_found_by_either() {
    let other = issue(&statement(ROOT, ROOT), &OTHER_KEY, &OTHER_KEY);
    for roots in [[root(), other.clone()], [other, root()]] {
        assert!(Trust::try_new(&roots, COMPANY).unwrap().check(&certificate(), Clock::wall()).is_ok());
    }
}

/// DER of the good certificate.
fn der() -> Vec<u8> {
    signed(&to_be_signed(&statement(ROOT, SUBJECT), &UNIONPAY_KEY), &ROOT_KEY)
}

#[test]
fn no_byte_of_a_certificate_can_be_changed() {
    let (der, now, trust) = (der(), Clock::wall(), trust());
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x01;
        assert!(trust.check(&pem(&changed), now).is_err(), "byte {at}");
    }
}

#[test]
fn a_certificate_cut_short_or_drawn_out_is_refused_without_a_panic() {
    let der = der();
    for length in 0..der.len() {
        assert!(Certificate::try_from_der(&der[..length]).is_err(), "{length} bytes");
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert!(Certificate::try_from_der(&longer).is_err(), "a byte behind the end");
    assert!(Certificate::try_from_der(&vec![0x30; DER_MAX + 1]).is_err(), "too long");
    let inner = &der[4..];
    for head in [
        vec![0x30, 0x80],                         // no length at all
        vec![0x30, 0x83, 0, der[2], der[3]],      // three bytes of length
        vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], // more than there is
        vec![0x30, 0x82, 0xFF, 0xFF],
        vec![0x30, 0x7F],
        vec![0x31, 0x82, der[2], der[3]], // a set
        vec![0x3F, 0x82, der[2], der[3]], // a tag of several bytes
    ] {
        assert!(Certificate::try_from_der(&[&head, inner].concat()).is_err(), "{head:02x?}");
    }
}

#[test]
fn lengths_that_are_not_in_their_shortest_form_are_refused() {
    // the same serial number with a length of two bytes for one, inside a part that is signed again
    let plain = to_be_signed(&statement(ROOT, SUBJECT), &UNIONPAY_KEY);
    let serial = element(0x02, statement(ROOT, SUBJECT).serial);
    let at = plain.windows(serial.len()).position(|w| w == serial).unwrap();
    for head in [vec![0x02, 0x81, 5], vec![0x02, 0x82, 0, 5]] {
        let contents = [&plain[4..at], &head, &plain[at + 2..]].concat();
        let certificate = signed(&element(0x30, &contents), &ROOT_KEY);
        assert_eq!(Certificate::try_from_der(&certificate).err(), Some(CertificateError::Malformed), "{head:02x?}");
    }
}

#[test]
fn a_certificate_signed_with_sha_1_is_refused() {
    let with = |der: &[u8]| {
        let (sha256, sha1) =
            (super::certificate::RSA_SHA256, [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x05, 0x05, 0x00]);
        let mut der = der.to_vec();
        while let Some(at) = der.windows(sha256.len()).position(|w| w == sha256) {
            der[at..at + sha1.len()].copy_from_slice(&sha1);
        }
        der
    };
    assert_eq!(trust().check(&pem(&with(&der())), Clock::wall()).err(), Some(CertificateError::Algorithm));
}

#[test]
fn two_common_names_are_one_too_many() {
    let plain = to_be_signed(&statement(ROOT, SUBJECT), &UNIONPAY_KEY);
    let name =
        |n: &str| element(0x31, &element(0x30, &[element(0x06, super::certificate::COMMON_NAME), element(0x0C, n.as_bytes())].concat()));
    let one = element(0x30, &name(SUBJECT));
    let two = element(0x30, &[name("好店"), name(SUBJECT)].concat());
    let at = plain.windows(one.len()).position(|w| w == one).unwrap();
    let contents = [&plain[4..at], &two, &plain[at + one.len()..]].concat();
    let der = signed(&element(0x30, &contents), &ROOT_KEY);
    assert_eq!(Certificate::try_from_der(&der).err(), Some(CertificateError::Malformed));
}

#[test]
fn what_is_no_pem_is_no_certificate() {
    let good = certificate();
    for (name, text) in [
        ("empty", String::new()),
        ("a key", private_pem(&OUR_KEY)),
        ("two blocks", format!("{good}\n{good}")),
        ("not base64", good.replace('M', "!")),
        ("without its end", good.replace("-----END CERTIFICATE-----", "")),
        ("endless", format!("-----BEGIN CERTIFICATE-----{}-----END CERTIFICATE-----", "A".repeat(DER_MAX * 2 + 4))),
    ] {
        assert_eq!(Certificate::try_from_pem(&text).err(), Some(CertificateError::Malformed), "{name}");
    }
}

#[test]
fn the_signed_text_is_the_sorted_fields_hashed_and_written_in_hexadecimal() {
    let fields: Fields = [("b", "2="), ("signature", "x"), ("a", "1"), ("B", "中")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(wire::joined(&fields), "B=中&a=1&b=2=");
    let mut fields = notice(&number());
    sign::sign(&mut fields, &UNIONPAY_KEY);
    let hashed = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, wire::joined(&fields).as_bytes()));
    use aws_lc_rs::signature::KeyPair as _;
    let key = UNIONPAY_KEY.public_key().as_ref();
    assert_eq!(sign::rsa_sha256_matches(key, hashed.as_bytes(), &fields[SIGNATURE]), Ok(()));
}

#[test]
fn a_message_is_believed_only_as_it_was_signed() {
    let (now, trust) = (Clock::wall(), trust());
    let mut good = notice(&number());
    good.insert(CERTIFICATE.to_owned(), certificate());
    sign::sign(&mut good, &UNIONPAY_KEY);
    assert_eq!(sign::verify_by_certificate(&good, &trust, now), Ok(()));
    for name in good.keys() {
        let mut changed = good.clone();
        changed.insert(name.clone(), "1".to_owned());
        assert!(sign::verify_by_certificate(&changed, &trust, now).is_err(), "another {name}");
        let mut missing = good.clone();
        missing.remove(name);
        assert!(sign::verify_by_certificate(&missing, &trust, now).is_err(), "without {name}");
    }
    let mut more = good.clone();
    more.insert("origRespCode".to_owned(), "00".to_owned());
    assert_eq!(sign::verify_by_certificate(&more, &trust, now), Err(SignatureError::Mismatch), "one field more");

    let mut by_other = good.clone();
    sign::sign(&mut by_other, &OTHER_KEY);
    assert_eq!(sign::verify_by_certificate(&by_other, &trust, now), Err(SignatureError::Mismatch), "another's key");
    by_other.insert(CERTIFICATE.to_owned(), issue(&statement("CFCA", SUBJECT), &OTHER_KEY, &OTHER_KEY));
    sign::sign(&mut by_other, &OTHER_KEY);
    let unknown = Err(SignatureError::Certificate(CertificateError::UnknownIssuer));
    assert_eq!(sign::verify_by_certificate(&by_other, &trust, now), unknown, "another's key and root");

    for (name, field, value) in [("another algorithm", "signMethod", "11"), ("another version", "version", "5.0.0")] {
        let mut other = good.clone();
        other.insert(field.to_owned(), value.to_owned());
        sign::sign(&mut other, &UNIONPAY_KEY);
        assert_eq!(sign::verify_by_certificate(&other, &trust, now), Err(SignatureError::Malformed), "{name}, well signed");
    }
}

#[test]
fn forms_come_back_as_they_went_and_bad_ones_are_refused() {
    let fields: Fields =
        [("respMsg", "成功 [0000000]&a=b%+"), ("k", ""), ("p", "a\r\nb/=")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(wire::read_form(wire::form(&fields).as_bytes()), Ok(fields));
    let plain: Fields = [("signature", "ab+/=="), ("k", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(wire::read_plain(wire::plain(&plain).as_bytes()), Ok(plain));
    let many: Vec<String> = (0..129).map(|n| format!("k{n}=v")).collect();
    let cases: [(&str, &[u8]); 9] = [
        ("empty", b""),
        ("no value", b"a"),
        ("no name", b"=a"),
        ("a name twice", b"a=1&a=2"),
        ("a name twice, once escaped", b"a=1&%61=2"),
        ("half an escape", b"a=%6"),
        ("no escape", b"a=%zz"),
        ("not UTF-8 when read", b"a=%ff"),
        ("not UTF-8 as it is", b"a=\xff"),
    ];
    for (name, body) in cases {
        assert!(wire::read_form(body).is_err(), "{name}");
    }
    assert!(wire::read_form(many.join("&").as_bytes()).is_err(), "too many fields");
    assert!(wire::read_form(&vec![b'a'; wire::BODY_MAX + 1]).is_err(), "too long");
}

#[test]
fn a_number_tells_its_time_and_times_are_those_of_shanghai() {
    // the example of RFC 9562 A.6: 2022-02-22T19:22:22Z
    assert_eq!(wire::time_of("017f22e279b07cc398c4dc0c0c07398f"), Some(at("2022-02-22T19:22:22Z")));
    for other in
        ["", "017f22e2", "017F22E279B07CC398C4DC0C0C07398F", "017f22e279b04cc398c4dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"]
    {
        assert_eq!(wire::time_of(other), None, "{other}");
    }
    assert_eq!(wire::stamp(at("2026-11-20T16:00:00Z")), "20261121000000");
    assert_eq!(wire::read_stamp("20261121000000"), Some(at("2026-11-20T16:00:00Z")));
    for bad in ["2026112100000", "20261121000061", "20261321000000", "2026-11-210000", "+0261121000000"] {
        assert_eq!(wire::read_stamp(bad), None, "{bad}");
    }
    let sent = at("2026-12-31T15:59:50Z");
    assert_eq!(wire::read_trace_time("0101000010", sent), Some(at("2026-12-31T16:00:10Z")), "paid in the new year");
    assert_eq!(wire::read_trace_time("1231235959", at("2026-12-31T16:00:10Z")), Some(at("2026-12-31T15:59:59Z")), "begun in the old year");
    assert_eq!(wire::read_trace_time("0230000000", sent), None, "no such day");
}

#[test]
fn amounts_are_digits_only() {
    assert_eq!(wire::read_amount("1250"), Some(1250));
    for bad in ["", "-1", "+1", "1.0", "1e3", " 1", "1234567890123"] {
        assert_eq!(wire::read_amount(bad), None, "{bad:?}");
    }
}

#[test]
fn a_notice_is_heard_as_what_it_says() {
    let number = number();
    let heard = union_pay().hear(&HeaderMap::new(), &sealed(notice(&number), &certificate(), &UNIONPAY_KEY), Clock::wall()).unwrap();
    assert_eq!(heard.notice_id, "951807261002324791038");
    let word = PaymentWord::Succeeded {
        transaction_id: "951807261002324791038".to_owned(),
        amount_minor: 1250,
        currency: "CNY".to_owned(),
        at: wire::time_of(&number).unwrap(),
    };
    assert_eq!(heard.spoken, Spoken::Payment { request_no: number.clone(), word });

    let with = |changes: &[(&str, &str)]| {
        let mut fields = notice(&number);
        fields.extend(changes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        hear(&sealed(fields, &certificate(), &UNIONPAY_KEY))
    };
    let failed = Spoken::Payment { request_no: number.clone(), word: PaymentWord::Failed { code: "64".to_owned() } };
    assert_eq!(with(&[("respCode", "64"), ("reqReserved", "BARCODE")]), Ok(failed));
    let pending = Spoken::Payment { request_no: number.clone(), word: PaymentWord::Pending };
    assert_eq!(with(&[("respCode", "64")]), Ok(pending), "in the app another card may still pay");
    let refund = |word| Spoken::Refund { request_no: number.clone(), amount_minor: 1250, currency: "CNY".to_owned(), word };
    assert_eq!(with(&[("txnType", "04")]), Ok(refund(TransferWord::Succeeded { at: wire::time_of(&number).unwrap() })));
    assert_eq!(with(&[("txnType", "04"), ("respCode", "60")]), Ok(refund(TransferWord::Failed { code: "60".to_owned() })));
    assert_eq!(with(&[("txnType", "99")]), Ok(Spoken::Other { kind: "TXN_TYPE_99".to_owned() }));
}

#[test]
fn a_notice_that_is_not_ours_or_not_as_agreed_is_refused() {
    let number = number();
    for (name, field, value, error) in [
        ("another merchant", "merId", "777290058110049", HearError::Foreign),
        ("another currency", "currencyCode", "840", HearError::Malformed),
        ("no amount", "txnAmt", "", HearError::Malformed),
        ("an amount in yuan", "txnAmt", "12.50", HearError::Malformed),
        ("a number of somebody else's", "orderId", "20261121000001", HearError::Malformed),
        ("another time", "txnTime", "20200101000000", HearError::Malformed),
        ("no id", "queryId", "", HearError::Malformed),
        ("an id with a line feed", "queryId", "1\n2", HearError::Malformed),
        ("no time of payment", "traceTime", "", HearError::Malformed),
        ("charged without an end", "respCode", "74", HearError::Malformed),
    ] {
        let mut fields = notice(&number);
        fields.insert(field.to_owned(), value.to_owned());
        assert_eq!(hear(&sealed(fields, &certificate(), &UNIONPAY_KEY)), Err(error), "{name}");
    }
    let good = || notice(&number);
    assert_eq!(hear(&sealed(good(), &certificate(), &OTHER_KEY)), Err(HearError::Signature), "another's key");
    let foreign = issue(&statement("CFCA", SUBJECT), &OTHER_KEY, &OTHER_KEY);
    assert_eq!(hear(&sealed(good(), &foreign, &OTHER_KEY)), Err(HearError::Signature), "another root");
    let impostor = issue(&statement(ROOT, "041@1@好店@2"), &OUR_KEY, &ROOT_KEY);
    assert_eq!(hear(&sealed(good(), &impostor, &OUR_KEY)), Err(HearError::Signature), "a customer of the same authority, such as we are");
    assert_eq!(hear(wire::form(&good()).as_bytes()), Err(HearError::Signature), "unsigned");
    assert_eq!(hear(b"{}"), Err(HearError::Malformed), "no form");
    assert_eq!(hear(&vec![b'a'; wire::BODY_MAX + 1]), Err(HearError::Malformed), "too long");
    let late = union_pay().hear(&HeaderMap::new(), &sealed(good(), &certificate(), &UNIONPAY_KEY), Clock::wall() + TimeDelta::days(31));
    assert_eq!(late, Err(HearError::Signature), "after the certificate's end");
}

#[test]
fn codes_settle_a_payment_only_when_they_end_it() {
    let sent = at("2026-11-21T08:00:00Z");
    let mut fields = notice(&number());
    fields.insert("traceTime".to_owned(), "1121160500".to_owned());
    let mut counter = fields.clone();
    counter.insert("reqReserved".to_owned(), "BARCODE".to_owned());
    let early = sent + TimeDelta::minutes(10);
    let late = sent + judge::PAY_TIME + judge::PAY_GRACE + TimeDelta::seconds(1);
    let edge = late - TimeDelta::seconds(1);
    let failed = || Some(PaymentWord::Failed { code: "64".to_owned() });
    let cases = [
        ("declined in the app, in time", &fields, "64", early, Some(PaymentWord::Pending)),
        ("declined in the app, at the last moment", &fields, "64", edge, Some(PaymentWord::Pending)),
        ("declined in the app, time over", &fields, "64", late, failed()),
        ("declined at the counter", &counter, "64", early, failed()),
        ("accepted", &counter, "05", early, Some(PaymentWord::Pending)),
        ("accepted, time over", &fields, "05", late, Some(PaymentWord::Pending)),
        ("busy", &counter, "06", early, Some(PaymentWord::Pending)),
        ("too often", &counter, "37", early, Some(PaymentWord::Pending)),
        ("charged too late", &counter, "42", late, None),
        ("charged and not booked", &counter, "75", early, None),
    ];
    for (name, fields, code, now, word) in cases {
        assert_eq!(judge::payment(fields, code, sent, now).ok(), word, "{name}");
    }
    for code in ["00", "A6"] {
        let paid = judge::payment(&fields, code, sent, early).unwrap();
        assert!(matches!(paid, PaymentWord::Succeeded { amount_minor: 1250, at, .. } if at == sent + TimeDelta::minutes(5)), "{paid:?}");
    }
    fields.insert("currencyCode".to_owned(), "840".to_owned());
    let paid = judge::payment(&fields, "00", sent, early).unwrap();
    assert!(matches!(&paid, PaymentWord::Succeeded { currency, .. } if currency == "840"), "{paid:?}");
}

#[test]
fn an_answer_refuses_only_with_a_code_that_says_so() {
    let answered = |code: &str| judge::answered(&[("respCode".to_owned(), code.to_owned())].into());
    for code in ["02", "03", "04", "05", "06", "37", "42", "74", "83", "99"] {
        assert!(matches!(answered(code), Err(ChannelError::NoAnswer(_))), "{code}");
    }
    for code in ["11", ""] {
        assert!(matches!(answered(code), Err(ChannelError::BadAnswer(_))), "{code}");
    }
    for code in ["10", "12", "31", "33", "36", "45", "61", "64"] {
        assert!(matches!(answered(code), Ok(judge::Answered::Refused(c)) if c == code), "{code}");
    }
    assert!(matches!(answered("00"), Ok(judge::Answered::Taken)));
    assert!(matches!(answered("34"), Ok(judge::Answered::NotFound)));
}

#[test]
fn faults_are_named_and_what_nobody_named_is_ours() {
    for (code, fault) in [
        ("64", Fault::User),
        ("65", Fault::User),
        ("84", Fault::User),
        ("87", Fault::User),
        ("30", Fault::User),
        ("83", Fault::Channel),
        ("06", Fault::Channel),
        ("38", Fault::Channel),
        ("10", Fault::Ours),
        ("36", Fault::Ours),
        ("SPLIT_NOT_OFFERED", Fault::Ours),
        ("064", Fault::Ours),
        ("+64", Fault::Ours),
        ("", Fault::Ours),
        ("新", Fault::Ours),
    ] {
        assert_eq!(judge::fault(code), fault, "{code}");
    }
}

#[test]
fn the_answer_to_a_notice_is_200_when_it_is_stored() {
    let union_pay = union_pay();
    assert_eq!((union_pay.reply(true).status, union_pay.reply(true).body.as_str()), (StatusCode::OK, "ok"));
    assert_eq!(union_pay.reply(false).status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn keys_and_addresses_are_checked_when_the_agreement_is_read_and_never_shown() {
    let (ours, key, roots) = (issue(&statement(ROOT, "好店"), &OUR_KEY, &ROOT_KEY), private_pem(&OUR_KEY), [root()]);
    let good = || Agreement {
        base_url: "https://gateway.95516.com",
        merchant_no: MERCHANT,
        terminal_no: "49000002",
        certificate_pem: &ours,
        private_key_pem: &key,
        issuers_pem: &roots,
        company: COMPANY,
        notify_url: "https://pay.example/notices/unionpay",
        timeout: Duration::from_secs(1),
    };
    let shown = format!("{:?}", UnionPay::try_new(&good()).unwrap());
    assert!(!shown.contains("key") && !shown.contains("PRIVATE"), "{shown}");
    let url = UnionPay::try_new(&Agreement { base_url: "ftp://x", ..good() });
    assert!(matches!(url, Err(AgreementError::Url)));
    let key = UnionPay::try_new(&Agreement { private_key_pem: &ours, ..good() });
    assert!(matches!(key, Err(AgreementError::Key(_))));
    let certificate = UnionPay::try_new(&Agreement { certificate_pem: "x", ..good() });
    assert!(matches!(certificate, Err(AgreementError::Certificate(_))));
}
