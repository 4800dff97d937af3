//! An entry as the text that is hashed: one field per line, always these and in this order, so that two entries never read the same.
//!
//! ```text
//! haodian-entry 1
//! book 0198f0c2-…
//! account 5b6c…
//! account-kind MERCHANT_PENDING
//! subject
//! currency CNY
//! seq 12
//! amount-minor -1250
//! …
//! ```
//!
//! `-` stands for what is absent. Each line ends with a line feed; one within a value, a carriage return and a backslash are written `\n`,
//! `\r` and `\\`. The text is what a proof file carries, so that a person reads what is proven.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::tree::{Hash, leaf_hash};

/// What the first line says: what the text is, and which fields follow.
const TITLE: &str = "haodian-entry 1";

/// An entry (分录) with what its posting and its account say about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub book: Uuid,
    pub account: Uuid,
    pub account_kind: String,
    pub subject: String,
    pub currency: String,
    /// Its number in the account, gapless from 1.
    pub seq: i64,
    /// A debit is positive.
    pub amount_minor: i64,
    pub balance_after_minor: i64,
    pub posting: Uuid,
    pub posting_kind: String,
    pub reference: Uuid,
    pub line: i16,
    pub accounting_date: NaiveDate,
    pub business_date: NaiveDate,
    pub recorded_at: DateTime<Utc>,
    pub store: Option<Uuid>,
    pub reversal_of: Option<Uuid>,
    pub hold: Option<Uuid>,
    /// SHA-256 of the posting's metadata.
    pub metadata: Option<Hash>,
}

impl Entry {
    /// The text. Always the same for the same entry.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(768);
        // writing to a String cannot fail
        let _ = self.write(&mut text);
        text
    }

    /// The hash under which the log holds it.
    pub fn leaf(&self) -> Hash {
        leaf_hash(self.text().as_bytes())
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{TITLE}")?;
        writeln!(text, "book {}", self.book)?;
        writeln!(text, "account {}", self.account)?;
        writeln!(text, "account-kind {}", Escaped(&self.account_kind))?;
        writeln!(text, "subject {}", Escaped(&self.subject))?;
        writeln!(text, "currency {}", Escaped(&self.currency))?;
        writeln!(text, "seq {}", self.seq)?;
        writeln!(text, "amount-minor {}", self.amount_minor)?;
        writeln!(text, "balance-after-minor {}", self.balance_after_minor)?;
        writeln!(text, "posting {}", self.posting)?;
        writeln!(text, "posting-kind {}", Escaped(&self.posting_kind))?;
        writeln!(text, "reference {}", self.reference)?;
        writeln!(text, "line {}", self.line)?;
        writeln!(text, "accounting-date {}", self.accounting_date)?;
        writeln!(text, "business-date {}", self.business_date)?;
        writeln!(text, "recorded-at {}", self.recorded_at.format("%Y-%m-%dT%H:%M:%S%.6fZ"))?;
        writeln!(text, "store {}", Maybe(self.store))?;
        writeln!(text, "reversal-of {}", Maybe(self.reversal_of))?;
        writeln!(text, "hold {}", Maybe(self.hold))?;
        writeln!(text, "metadata-sha256 {}", Maybe(self.metadata.map(hex::encode)))
    }

    /// Reads a text back. `None` unless it is exactly what [`Self::text`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != TITLE {
            return None;
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let entry = Self {
            book: value("book")?.parse().ok()?,
            account: value("account")?.parse().ok()?,
            account_kind: unescaped(value("account-kind")?)?,
            subject: unescaped(value("subject")?)?,
            currency: unescaped(value("currency")?)?,
            seq: value("seq")?.parse().ok()?,
            amount_minor: value("amount-minor")?.parse().ok()?,
            balance_after_minor: value("balance-after-minor")?.parse().ok()?,
            posting: value("posting")?.parse().ok()?,
            posting_kind: unescaped(value("posting-kind")?)?,
            reference: value("reference")?.parse().ok()?,
            line: value("line")?.parse().ok()?,
            accounting_date: value("accounting-date")?.parse().ok()?,
            business_date: value("business-date")?.parse().ok()?,
            recorded_at: value("recorded-at")?.parse().ok()?,
            store: maybe(value("store")?)?,
            reversal_of: maybe(value("reversal-of")?)?,
            hold: maybe(value("hold")?)?,
            metadata: match value("metadata-sha256")? {
                "-" => None,
                digits => Some(hash(digits)?),
            },
        };
        // numbers, days and ids have other spellings that read the same
        (entry.text() == text).then_some(entry)
    }
}

/// 64 hexadecimal digits in lower case.
pub(super) fn hash(digits: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    hex::decode_to_slice(digits, &mut hash).ok()?;
    (!digits.bytes().any(|digit| digit.is_ascii_uppercase())).then_some(hash)
}

fn maybe(value: &str) -> Option<Option<Uuid>> {
    match value {
        "-" => Some(None),
        id => id.parse().ok().map(Some),
    }
}

/// What may be absent.
struct Maybe<T>(Option<T>);

impl<T: std::fmt::Display> std::fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Text that keeps to its line.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::proof) fn example() -> Entry {
        Entry {
            book: Uuid::from_u128(0x0198_f0c2_0000_7000_8000_0000_0000_0001),
            account: Uuid::from_u128(2),
            account_kind: "MERCHANT_PENDING".to_owned(),
            subject: String::new(),
            currency: "CNY".to_owned(),
            seq: 12,
            amount_minor: -1250,
            balance_after_minor: -99_001,
            posting: Uuid::from_u128(3),
            posting_kind: "PAYMENT".to_owned(),
            reference: Uuid::from_u128(4),
            line: 2,
            accounting_date: "2026-11-21".parse().unwrap(),
            business_date: "2026-11-20".parse().unwrap(),
            recorded_at: "2026-11-20T16:00:00.000123Z".parse().unwrap(),
            store: None,
            reversal_of: Some(Uuid::from_u128(5)),
            hold: None,
            metadata: Some([0xab; 32]),
        }
    }

    /// The format is a promise to everyone who keeps a proof: this text and this hash never change. The hash was computed by
    /// `printf '\0%s' "$text" | sha256sum` over the lines below, each with its line feed (the subject is empty, its line ends in a space).
    #[test]
    fn the_text_of_an_entry_never_changes() {
        let text = "haodian-entry 1
book 0198f0c2-0000-7000-8000-000000000001
account 00000000-0000-0000-0000-000000000002
account-kind MERCHANT_PENDING
subject\x20
currency CNY
seq 12
amount-minor -1250
balance-after-minor -99001
posting 00000000-0000-0000-0000-000000000003
posting-kind PAYMENT
reference 00000000-0000-0000-0000-000000000004
line 2
accounting-date 2026-11-21
business-date 2026-11-20
recorded-at 2026-11-20T16:00:00.000123Z
store -
reversal-of 00000000-0000-0000-0000-000000000005
hold -
metadata-sha256 abababababababababababababababababababababababababababababababab
";
        assert_eq!(example().text(), text);
        assert_eq!(hex::encode(example().leaf()), "f643ba6b82328a4eeb0c269e4427b794302f36e32cb7fd6ce8459ada6ba7c616");
    }

    #[test]
    fn only_the_one_spelling_is_read() {
        let text = example().text();
        assert_eq!(Entry::parse(&text), Some(example()));
        let changes: [(&str, &str); 14] = [
            ("haodian-entry 1", "haodian-entry 2"),
            ("seq 12", "seq +12"),
            ("seq 12", "seq 012"),
            ("seq 12", "seq  12"),
            ("-1250\n", "-1250\r\n"),
            ("-1250\n", "-1250 \n"),
            ("abab", "ABAB"),
            ("2026-11-21\n", "2026-11-021\n"),
            ("000123Z", "000123+00:00"),
            ("000123Z", "0001230Z"),
            ("store -", "store"),
            ("0198f0c2-0000-7000-8000-000000000001", "0198f0c2000070008000000000000001"),
            ("subject \n", "subject \\x\n"),
            ("hold -\n", ""),
        ];
        for (from, to) in changes {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from:?}");
            assert_eq!(Entry::parse(&changed), None, "{to:?}");
        }
        assert_eq!(Entry::parse(&format!("{text}more 1\n")), None);
        assert_eq!(Entry::parse(text.trim_end()), None);
        assert_eq!(Entry::parse(""), None);
    }

    proptest! {
        #[test]
        fn a_text_is_read_back_whatever_stands_in_it(subject in any::<String>(), kind in "[\\\\\\n\\r a-z]{0,9}", amount in any::<i64>(), micros in 0_i64..4_000_000_000_000_000) {
            let recorded_at = DateTime::from_timestamp_micros(micros).unwrap();
            let entry = Entry { subject, posting_kind: kind, amount_minor: amount, recorded_at, ..example() };
            prop_assert_eq!(Entry::parse(&entry.text()), Some(entry));
        }

        #[test]
        fn no_text_makes_the_reader_stumble(text in any::<String>()) {
            prop_assert_eq!(Entry::parse(&text), None);
        }
    }
}
