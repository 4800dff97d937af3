//! A proof as a file that anybody can check, without a database and without us: `haodian verify FILE`.
//!
//! JSON, of two kinds: that an entry is in the head of a day, or that the head of one day is the beginning of a later one's. Whoever
//! checks it trusts nothing in it but a seal they noted before; all other parts are bound to that seal by hashes.

use serde::{Deserialize, Serialize};

use super::entry::{self, Entry};
use super::head::Head;
use super::tree::{self, Hash, PATH_MAX};

/// The largest file that is looked at, in bytes. A proof has some three thousand.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A proof.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "haodian", deny_unknown_fields)]
pub enum Proof {
    /// The entry is leaf number `leaf` (from 0) of the head (存在证明).
    #[serde(rename = "entry-proof 1")]
    Entry {
        /// The lines of [`Entry::text`].
        entry: Vec<String>,
        leaf: u64,
        /// From the leaf upwards.
        path: Path,
        head: Head,
    },
    /// The log of the first head is the beginning of the log of the second: nothing was changed or taken out in between (一致性证明).
    #[serde(rename = "consistency-proof 1")]
    Consistency { from: Head, to: Head, path: Path },
}

/// Hashes as a file has them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Path(pub Vec<Hash>);

impl From<Path> for Vec<String> {
    fn from(path: Path) -> Self {
        path.0.iter().map(hex::encode).collect()
    }
}

impl TryFrom<Vec<String>> for Path {
    type Error = &'static str;

    fn try_from(path: Vec<String>) -> Result<Self, Self::Error> {
        if path.len() > PATH_MAX {
            return Err("the path is longer than that of any log");
        }
        let hashes: Option<_> = path.iter().map(|digits| entry::hash(digits)).collect();
        hashes.map(Self).ok_or("a step of the path is not 64 hexadecimal digits in lower case")
    }
}

/// What a proof that holds shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proven {
    Entry { entry: Box<Entry>, leaf: u64, head: Head },
    Consistency { from: Head, to: Head },
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    #[error("the file is larger than {FILE_BYTES_MAX} bytes, which no proof is")]
    TooLarge,
    #[error("the file is not a proof that this program reads: {0}")]
    Unreadable(String),
    #[error("the entry's lines are not those of an entry in the form of version 1")]
    EntryMalformed,
    #[error("the path does not lead from entry {leaf} to the root of {day}: the entry, its number or the path was changed")]
    NotIncluded { leaf: u64, day: chrono::NaiveDate },
    #[error("the log of {from} is not shown to be the beginning of the log of {to}: a head or the path was changed")]
    NotConsistent { from: chrono::NaiveDate, to: chrono::NaiveDate },
    #[error("the proof is about another seal than the one given: {}", hex::encode(given))]
    OtherSeal { given: Hash },
}

impl Proof {
    /// The text of the file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers serialise") + "\n"
    }
}

impl Proven {
    /// The heads that it is about.
    pub fn heads(&self) -> Vec<Head> {
        match self {
            Self::Entry { head, .. } => vec![*head],
            Self::Consistency { from, to } => vec![*from, *to],
        }
    }
}

/// Checks a proof file; each of `seals`, noted elsewhere, must be the seal of a head in it. Without any, the file is only shown to agree
/// with itself.
pub fn verify(file: &[u8], seals: &[Hash]) -> Result<Proven, Unproven> {
    if file.len() > FILE_BYTES_MAX {
        return Err(Unproven::TooLarge);
    }
    let proof = serde_json::from_slice(file).map_err(|error| Unproven::Unreadable(printable(&error.to_string())))?;
    let proven = match proof {
        Proof::Entry { entry, leaf, path, head } => {
            let mut text = entry.join("\n");
            text.push('\n');
            let entry = Entry::parse(&text).ok_or(Unproven::EntryMalformed)?;
            if !tree::includes(leaf, &entry.leaf(), head.size, &path.0, &head.root) {
                return Err(Unproven::NotIncluded { leaf, day: head.day });
            }
            Proven::Entry { entry: Box::new(entry), leaf, head }
        }
        Proof::Consistency { from, to, path } => {
            if from.day > to.day || !tree::consistent(from.size, &from.root, to.size, &to.root, &path.0) {
                return Err(Unproven::NotConsistent { from: from.day, to: to.day });
            }
            Proven::Consistency { from, to }
        }
    };
    let heads = proven.heads();
    match seals.iter().find(|given| heads.iter().all(|head| head.seal() != **given)) {
        Some(given) => Err(Unproven::OtherSeal { given: *given }),
        None => Ok(proven),
    }
}

/// One line without control characters: what comes from a stranger's file goes to a terminal.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl std::fmt::Display for Proven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry { entry, leaf, head } => {
                write!(
                    f,
                    "entry {} of account {} {} in book {}: {} of {} {} booked on {}, balance after it {}; it is leaf {leaf} of {} in the head of {}, root {}, seal {}",
                    entry.seq,
                    printable(&format!("{} {}", entry.account_kind, entry.subject)).trim_end(),
                    entry.account,
                    entry.book,
                    printable(&entry.posting_kind),
                    decimal(entry.amount_minor),
                    printable(&entry.currency),
                    entry.accounting_date,
                    decimal(entry.balance_after_minor),
                    head.size,
                    head.day,
                    hex::encode(head.root),
                    hex::encode(head.seal()),
                )
            }
            Self::Consistency { from, to } => write!(
                f,
                "the {} entries in the head of {} (seal {}) are unchanged the first of the {} in the head of {} (seal {})",
                from.size,
                from.day,
                hex::encode(from.seal()),
                to.size,
                to.day,
                hex::encode(to.seal()),
            ),
        }
    }
}

/// Minor units as people write them. Every currency of the ledger has hundredths.
fn decimal(minor: i64) -> String {
    format!("{}{}.{:02}", if minor < 0 { "-" } else { "" }, minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests;
