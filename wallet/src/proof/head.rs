//! The head of a day (日封): how many entries the log held when the day was sealed, their root, and one hash to note elsewhere.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::entry;
use super::tree::{Hash, sha256};

/// The head of the log on a sealed day: every entry booked on that day or an earlier one is among its first `size` leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Head {
    pub day: NaiveDate,
    /// Leaves, at least one.
    pub size: u64,
    pub root: Hash,
}

impl Head {
    /// The seal (封签): a hash of day, size and root together, for a root alone says neither how large its tree was nor of which day it is.
    /// Whoever noted it can hold any proof against it.
    pub fn seal(&self) -> Hash {
        sha256(format!("haodian-head 1\nday {}\nsize {}\nroot {}\n", self.day, self.size, hex::encode(self.root)).as_bytes())
    }
}

/// A head as a proof file has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    day: String,
    size: u64,
    root: String,
    seal: String,
}

impl From<Head> for Written {
    fn from(head: Head) -> Self {
        Self { day: head.day.to_string(), size: head.size, root: hex::encode(head.root), seal: hex::encode(head.seal()) }
    }
}

impl TryFrom<Written> for Head {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let day: NaiveDate = written.day.parse().map_err(|_| "the day of a head is not a day such as 2026-11-21")?;
        let root = entry::hash(&written.root).ok_or("the root of a head is not 64 hexadecimal digits in lower case")?;
        let seal = entry::hash(&written.seal).ok_or("the seal of a head is not 64 hexadecimal digits in lower case")?;
        let head = Self { day, size: written.size, root };
        if day.to_string() != written.day || written.size == 0 || i64::try_from(written.size).is_err() {
            return Err("a head has a day such as 2026-11-21 and at least one entry");
        }
        if head.seal() == seal { Ok(head) } else { Err("the seal of a head does not belong to its day, size and root") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by `printf 'haodian-head 1\nday 2026-11-21\nsize 7\nroot %s\n' "$(printf '00%.0s' $(seq 32))" | sha256sum`.
    #[test]
    fn the_seal_of_a_head_never_changes() {
        let head = Head { day: "2026-11-21".parse().unwrap(), size: 7, root: [0; 32] };
        assert_eq!(hex::encode(head.seal()), "1c07117dbcd6c3e8efa1453c731c1c0ef0e5fb36e9cab9410c2e6fccb812358c");
        for other in [Head { size: 8, ..head }, Head { root: [1; 32], ..head }, Head { day: "2026-11-22".parse().unwrap(), ..head }] {
            assert_ne!(other.seal(), head.seal());
        }
    }
}
