//! The bank's signatures and messages against published vectors, against hostile input, and against time.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::TimeDelta;
use proptest::prelude::*;
use reqwest::header::HeaderMap;
use sm2::dsa::signature::Verifier as _;
use sm2::dsa::{Signature, VerifyingKey};
use sm3::{Digest, Sm3};

use super::sign::{Dialect, KeyError, OpenError, Seal, Terms, WINDOW_S, generate, public_pem};
use super::wire::{BODY_MAX, Charset, Message, WireError, field};
use super::{Agreement, AgreementError, Bank, DirectBank, Link};
use crate::base::clock::Clock;
use crate::channel::acquirer::{Acquirer, Fault, HearError, PaymentWord, Spoken, TransferWord};
use crate::channel::payout::{PayoutRail, PayoutStatus};

static BANK: LazyLock<String> = LazyLock::new(generate);
static OURS: LazyLock<String> = LazyLock::new(generate);

const DIALECTS: [(Dialect, Charset); 4] = [
    (Dialect::Corporate, Charset::Gbk),
    (Dialect::Corporate, Charset::Utf8),
    (Dialect::Acquiring, Charset::Gbk),
    (Dialect::Acquiring, Charset::Utf8),
];

fn terms(dialect: Dialect, charset: Charset) -> Terms {
    Terms { dialect, user_id: "N003261207".to_owned(), charset }
}

/// One who signs as `own`, and believes `other`.
fn seal(own: &str, other: &str, terms: Terms) -> Seal {
    Seal::try_new(own, &public_pem(other).unwrap(), terms).unwrap()
}

fn corporate() -> Terms {
    terms(Dialect::Corporate, Charset::Gbk)
}

fn link() -> Link {
    Link::try_new(&agreement(&OURS, &public_pem(&BANK).unwrap(), corporate())).unwrap()
}

fn agreement<'a>(own: &'a str, other: &'a str, terms: Terms) -> Agreement<'a> {
    Agreement {
        base_url: "http://127.0.0.1:1",
        merchant_no: "7550000201",
        terms,
        private_key_pem: own,
        bank_key_pem: other,
        notify_url: "http://127.0.0.1:1/notices/bank",
        timeout: Duration::from_secs(1),
    }
}

fn message(fields: &[(&'static str, &str)]) -> Message {
    Message::new(fields.iter().map(|(name, value)| (*name, (*value).to_owned())))
}

#[test]
fn sm3_gives_the_standard_s_digests() {
    // GB/T 32905-2016, annex A: the two examples
    let examples = [
        ("abc".to_owned(), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        ("abcd".repeat(16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
    ];
    for (text, expected) in examples {
        assert_eq!(hex::encode(Sm3::digest(text.as_bytes())), expected);
    }
}

#[test]
fn sm2_believes_the_standard_s_signature_and_no_other() {
    // GM/T 0003.5-2012, annex A.2: the recommended curve, user id 1234567812345678, message "message digest"
    let private = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8";
    let public = "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020\
                  ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13";
    let (r, s) = (
        "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3",
        "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa",
    );
    let bytes = |text: &str| hex::decode(text).unwrap();
    let key = sm2::SecretKey::from_slice(&bytes(private)).unwrap();
    assert_eq!(hex::encode(key.public_key().to_sec1_bytes()), public, "the private key's public half");
    let verifier = |id: &str| VerifyingKey::from_sec1_bytes(id, &bytes(public)).unwrap();
    let signature = Signature::from_slice(&bytes(&format!("{r}{s}"))).unwrap();
    assert!(verifier("1234567812345678").verify(b"message digest", &signature).is_ok());
    assert!(verifier("1234567812345678").verify(b"message digesT", &signature).is_err());
    assert!(verifier("ALICE123@YAHOO.COM").verify(b"message digest", &signature).is_err(), "the user id is under the signature");
    // the same two numbers in the other dialect's form
    let der = signature.to_der();
    assert_eq!(hex::encode(der.as_ref()), format!("3046022100{r}022100{s}"));
    assert_eq!(Signature::from_der(der.as_ref()).unwrap(), signature);
}

#[test]
fn each_dialect_is_understood_by_itself_alone() {
    let now = Clock::wall();
    let said = message(&[(field::TRX, "PAY"), (field::SUBJECT, "咖啡 & <茶>"), (field::AMOUNT, "12.50")]);
    for (dialect, charset) in DIALECTS {
        let bytes = seal(&BANK, &OURS, terms(dialect, charset)).seal(said.clone(), now).unwrap();
        for (other, heard_as) in DIALECTS {
            let opened = seal(&OURS, &BANK, terms(other, heard_as)).open(&bytes, now);
            let understood = opened.is_ok_and(|m| m.get(field::SUBJECT) == Some("咖啡 & <茶>"));
            assert_eq!(understood, (other, heard_as) == (dialect, charset), "{dialect:?} {charset:?} heard as {other:?} {heard_as:?}");
        }
        let signature = Message::read(&bytes, charset).unwrap().get(field::SIGN).map(|s| BASE64.decode(s).unwrap()).unwrap();
        assert_eq!(dialect == Dialect::Corporate, signature.len() == 64, "{dialect:?}");
    }
    let gbk = seal(&BANK, &OURS, corporate()).seal(said, now).unwrap();
    assert!(gbk.windows(4).any(|w| w == [0xbf, 0xa7, 0xb7, 0xc8]), "咖啡 in GBK");
    let other_id = Terms { user_id: "N003261208".to_owned(), ..corporate() };
    assert!(matches!(seal(&OURS, &BANK, other_id).open(&gbk, now), Err(OpenError::Unsigned)), "another user id");
    let filled = Terms { user_id: "N003261207000000".to_owned(), ..corporate() };
    assert!(seal(&OURS, &BANK, filled).open(&gbk, now).is_ok(), "filled up with 0 to 16");
}

#[test]
fn a_message_is_believed_only_as_it_was_signed_and_in_its_time() {
    let now = Clock::wall();
    let (bank, ours) = (seal(&BANK, &OURS, corporate()), seal(&OURS, &BANK, corporate()));
    let bytes = bank.seal(message(&[(field::TRX, "PAY"), (field::AMOUNT, "12.50")]), now).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let sign_at = text.find("<SIGN>").unwrap();
    let time = |at: i64| ours.open(&bytes, now + TimeDelta::seconds(at)).map(|_| ());
    assert_eq!(time(WINDOW_S - 1), Ok(()));
    assert_eq!(time(-(WINDOW_S - 1)), Ok(()));
    assert_eq!(time(WINDOW_S + 2), Err(OpenError::Unsigned), "too late");
    assert_eq!(time(-(WINDOW_S + 2)), Err(OpenError::Unsigned), "too early");
    let cases = [
        ("another amount", text.replace("12.50", "92.50"), OpenError::Unsigned),
        ("a field more", text.replace("<TRX>", "<STATUS>PAID</STATUS><TRX>"), OpenError::Unsigned),
        ("a field less", text.replace("<AMOUNT>12.50</AMOUNT>", ""), OpenError::Unsigned),
        ("another time", text.replace("<TIME>2", "<TIME>3"), OpenError::Unsigned),
        ("no signature", format!("{}{}", &text[..sign_at], &text[text.find("</SIGN>").unwrap() + 7..]), OpenError::Unsigned),
        ("no base64", text.replace("<SIGN>", "<SIGN>!"), OpenError::Unsigned),
        ("no XML", "{}".to_owned(), OpenError::Malformed),
    ];
    for (name, text, expected) in cases {
        assert_eq!(ours.open(text.as_bytes(), now).map(|_| ()), Err(expected), "{name}");
    }
    assert_eq!(seal(&OURS, &OURS, corporate()).open(&bytes, now).map(|_| ()), Err(OpenError::Unsigned), "another's key");
    let reordered = text.replace("<AMOUNT>12.50</AMOUNT>", "").replace("<TRX>", "<AMOUNT>12.50</AMOUNT>\n  <TRX>");
    assert!(ours.open(reordered.as_bytes(), now).is_ok(), "the order of fields and the space between them mean nothing");
    // a line feed in a value would be a border under the signature
    assert!(bank.seal(message(&[(field::TRX, "PAY\nSTATUS=PAID")]), now).is_none());
}

#[test]
fn hostile_xml_is_refused_whatever_it_means() {
    let of = |inside: &str| format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><BANKMSG>{inside}</BANKMSG>");
    let read = |text: &str| Message::read(text.as_bytes(), Charset::Utf8);
    let good = read(&of("\n <A>1</A>\n <B_2>&lt;&amp;&gt;&quot;&apos;</B_2><C></C>\n")).unwrap_or_default();
    assert_eq!((good.get("A"), good.get("B_2"), good.get("C")), (Some("1"), Some("<&>\"'"), Some("")));
    let many: String = (0..49).map(|n| format!("<F{n}>1</F{n}>")).collect();
    let deep = format!("{}1{}", "<A>".repeat(10_000), "</A>".repeat(10_000));
    let bad = [
        ("an entity of its own", of("<A>&e;</A>").replace("<BANKMSG>", "<!DOCTYPE A [<!ENTITY e \"x\">]><BANKMSG>")),
        ("an unknown entity", of("<A>&e;</A>")),
        ("a number for a character", of("<A>&#65;</A>")),
        ("a bare ampersand", of("<A>1&2</A>")),
        ("a field twice", of("<A>1</A><A>2</A>")),
        ("a field within a field", of("<A><B>1</B></A>")),
        ("depth", of(&deep)),
        ("an attribute", of("<A x=\"1\">1</A>")),
        ("a comment", of("<A>1<!-- --></A>")),
        ("a section", of("<A><![CDATA[1]]></A>")),
        ("an instruction", of("<?x y?><A>1</A>")),
        ("an empty element", of("<A/>")),
        ("another end", of("<A>1</B>")),
        ("no end", of("<A>1")),
        ("text between fields", of("<A>1</A>x<B>2</B>")),
        ("a small letter", of("<a>1</a>")),
        ("a number for a name", of("<1>1</1>")),
        ("a long name", of(&format!("<{0}>1</{0}>", "A".repeat(33)))),
        ("a long value", of(&format!("<A>{}</A>", "x".repeat(2_049)))),
        ("a control character", of("<A>1\u{1}</A>")),
        ("a line feed", of("<A>1\n2</A>")),
        ("many fields", of(&many)),
        ("another root", of("<A>1</A>").replace("BANKMSG", "MSG")),
        ("something behind it", format!("{}x", of("<A>1</A>"))),
        ("two of them", of("<A>1</A></BANKMSG><BANKMSG><B>2</B>")),
        ("another charset", of("<A>1</A>").replace("UTF-8", "GBK")),
        ("no declaration", "<BANKMSG><A>1</A></BANKMSG>".to_owned()),
        ("too long", of(&" ".repeat(BODY_MAX))),
        ("nothing", String::new()),
    ];
    for (name, text) in bad {
        assert_eq!(read(&text).map(|_| ()), Err(WireError), "{name}");
    }
}

#[test]
fn bytes_that_no_text_of_the_charset_encodes_to_are_refused() {
    let of = |inside: &[u8]| [&b"<?xml version=\"1.0\" encoding=\"GBK\"?><BANKMSG><A>"[..], inside, b"</A></BANKMSG>"].concat();
    let read = |inside: &[u8]| Message::read(&of(inside), Charset::Gbk).ok().and_then(|m| m.get("A").map(str::to_owned));
    assert_eq!(read(&[0xba, 0xc3, 0xb5, 0xea]).as_deref(), Some("好店"));
    let bad: [(&str, &[u8]); 4] = [
        ("half a character", &[0xba]),
        ("a character that swallows the end tag's beginning", &[0xba, b'<']),
        ("another way to write the euro sign", &[0xa2, 0xe3]),
        ("four bytes, which GBK has not", &[0x81, 0x30, 0x84, 0x36]),
    ];
    for (name, bytes) in bad {
        assert_eq!(read(bytes), None, "{name}");
    }
    assert_eq!(Charset::Gbk.fitted("咖啡😀"), "咖啡?");
    assert_eq!(Charset::Gbk.fitted("\u{e78d}\u{fe10}"), "?\u{fe10}", "two characters of the same bytes");
    assert_eq!(Charset::Utf8.fitted("咖啡😀"), "咖啡😀");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_again(a in "[^\\p{Cc}]{0,40}", b in "[ -~]{0,40}") {
        for charset in [Charset::Gbk, Charset::Utf8] {
            let said = message(&[("A", &charset.fitted(&a)), ("B", &b)]);
            let bytes = said.write(charset).unwrap();
            prop_assert!(Message::read(&bytes, charset).ok() == Some(said));
        }
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for charset in [Charset::Gbk, Charset::Utf8] {
            let head = format!("<?xml version=\"1.0\" encoding=\"{}\"?><BANKMSG>", charset.name());
            let framed = [head.as_bytes(), &bytes, b"</BANKMSG>"].concat();
            for bytes in [&bytes, &framed] {
                if let Ok(read) = Message::read(bytes, charset) {
                    prop_assert!(read.write(charset).is_ok());
                }
            }
        }
    }
}

#[test]
fn a_notice_is_heard_as_what_it_says_and_only_about_us() {
    let now = Clock::wall();
    let bank = seal(&BANK, &OURS, corporate());
    let paid = [
        (field::TRX, "PAYMENT_NOTICE"),
        (field::MERCHANT, "7550000201"),
        (field::SERIAL, "N1"),
        (field::ORDER, "r1"),
        (field::TRADE_NO, "T1"),
        (field::STATUS, "PAID"),
        (field::AMOUNT, "12.50"),
        (field::CURRENCY, "CNY"),
        (field::DONE_TIME, "20261121160000"),
    ];
    let at = "2026-11-21T08:00:00Z".parse().unwrap();
    let with = |changes: &[(&'static str, &str)]| {
        let mut said = message(&paid);
        changes.iter().for_each(|(name, value)| said.set(name, (*value).to_owned()));
        bank.seal(said, now).unwrap()
    };
    let (acquirer, rail) = (Bank::new(link()), DirectBank::new(link()));
    let none = HeaderMap::new();
    let hear = |body: &[u8]| acquirer.hear(&none, body, now).map(|h| (h.notice_id, h.spoken));
    let word = PaymentWord::Succeeded { transaction_id: "T1".to_owned(), amount_minor: 1250, currency: "CNY".to_owned(), at };
    assert_eq!(hear(&with(&[])), Ok(("N1".to_owned(), Spoken::Payment { request_no: "r1".to_owned(), word })));
    let refund = Spoken::Refund {
        request_no: "r1".to_owned(),
        amount_minor: 1250,
        currency: "CNY".to_owned(),
        word: TransferWord::Failed { code: "ACCOUNT_CLOSED".to_owned() },
    };
    let failed = [(field::TRX, "REFUND_NOTICE"), (field::STATUS, "FAIL"), (field::ERRCODE, "ACCOUNT_CLOSED")];
    assert_eq!(hear(&with(&failed)).map(|h| h.1), Ok(refund));
    let back = with(&[(field::TRX, "PAYOUT_NOTICE"), (field::STATUS, "RETURNED"), (field::ERRCODE, "ACCOUNT_CLOSED")]);
    let returned = Spoken::Payout {
        request_no: "r1".to_owned(),
        amount_minor: 1250,
        currency: "CNY".to_owned(),
        bank_reference: "T1".to_owned(),
        word: PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() },
    };
    assert_eq!(rail.hear(&none, &back, now).map(|h| h.spoken), Ok(returned));
    assert!(matches!(hear(&back), Ok((_, Spoken::Other { .. }))), "a payout is not the acquirer's affair");
    assert_eq!(rail.hear(&none, &with(&[]), now), Err(HearError::Malformed), "nor a payment the rail's");

    let cases = [
        ("another merchant", with(&[(field::MERCHANT, "7550000202")]), HearError::Foreign),
        ("an answer", with(&[(field::TRX, "PAY")]), HearError::Malformed),
        ("no number", with(&[(field::ORDER, "")]), HearError::Malformed),
        ("no id", with(&[(field::SERIAL, "")]), HearError::Malformed),
        ("a long id", with(&[(field::SERIAL, &"N".repeat(65))]), HearError::Malformed),
        ("no such state", with(&[(field::STATUS, "GONE")]), HearError::Malformed),
        ("success without its time", with(&[(field::DONE_TIME, "")]), HearError::Malformed),
        ("three decimals", with(&[(field::AMOUNT, "12.500")]), HearError::Malformed),
        ("a refund that came back", with(&[(field::TRX, "REFUND_NOTICE"), (field::STATUS, "RETURNED")]), HearError::Malformed),
        ("our own hand", seal(&OURS, &BANK, corporate()).seal(message(&paid), now).unwrap(), HearError::Signature),
        ("no XML", b"{}".to_vec(), HearError::Malformed),
    ];
    for (name, body, expected) in cases {
        assert_eq!(hear(&body).map(|_| ()), Err(expected), "{name}");
    }
    let late = acquirer.hear(&none, &with(&[]), now + TimeDelta::seconds(WINDOW_S + 2));
    assert_eq!(late, Err(HearError::Signature), "replayed after its time");
}

#[test]
fn faults_are_named_and_what_nobody_named_is_ours() {
    let cases = [("BALANCE_INSUFFICIENT", Fault::User), ("PAYER_DECLINED", Fault::User), ("BUSY", Fault::Channel), ("X", Fault::Ours)];
    for (code, fault) in cases {
        assert_eq!(Bank::new(link()).fault(code), fault, "{code}");
    }
}

#[test]
fn keys_and_user_ids_are_checked_when_the_agreement_is_read_and_never_shown() {
    let shown = format!("{:?} {:?}", link(), Bank::new(link()));
    assert!(!shown.contains("key") && !shown.contains("seal"), "{shown}");
    let public = public_pem(&BANK).unwrap();
    let told = |own: &str, other: &str, terms| match Link::try_new(&agreement(own, other, terms)) {
        Err(AgreementError::Key(error)) => Some(error),
        _ => None,
    };
    let rsa = crate::channel::unionpay::sign::private_pem(&crate::channel::unionpay::sign::generate());
    assert_eq!(told(&rsa, &public, corporate()), Some(KeyError::Private), "a key of another kind");
    assert_eq!(told(&OURS, &BANK, corporate()), Some(KeyError::Public), "a private key where a public one belongs");
    for id in ["", "N0032612070000000", "N 1"] {
        assert_eq!(told(&OURS, &public, Terms { user_id: id.to_owned(), ..corporate() }), Some(KeyError::UserId), "{id}");
    }
    let acquiring = Terms { user_id: String::new(), ..terms(Dialect::Acquiring, Charset::Gbk) };
    assert_eq!(told(&OURS, &public, acquiring), None, "the acquiring dialect needs none");
}
