//! The blind audit sample (抽检): which automatic approvals a person looks at again. A keyed hash of the version chooses, so that the choice can
//! be drawn again by whoever has the key and foreseen by nobody else.

use std::fmt;

use aws_lc_rs::hmac;
use wallet::base::id::DocumentId;

/// Binds the hash to this use of the key.
const PURPOSE: &[u8] = b"haodian/review/audit-sample/1";

/// Chooses the sample. Clones choose alike.
#[derive(Clone)]
pub struct AuditSample {
    key: hmac::Key,
    bps: u16,
}

impl AuditSample {
    /// Chooses `bps` basis points of all versions, by a key derived from `secret`.
    pub fn new(secret: &[u8; 32], bps: u16) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), bps }
    }

    /// Chooses nothing.
    pub fn none() -> Self {
        Self::new(&[0; 32], 0)
    }

    /// A number drawn for a chosen version; none for those that are not.
    pub(crate) fn draw(&self, document: DocumentId, version: i32) -> Option<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(document.0.as_bytes());
        context.update(&version.to_be_bytes());
        let tag = context.sign();
        let [a, b, c, d, draw, ..] = *tag.as_ref() else { return None };
        let place = u64::from(u32::from_be_bytes([a, b, c, d]));
        // place / 2^32 < bps / 10000, in whole numbers
        (place * 10_000 < u64::from(self.bps) << 32).then_some(draw)
    }
}

impl fmt::Debug for AuditSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditSample({} bps)", self.bps)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn chosen(secret: u8, bps: u16) -> Vec<u128> {
        let sample = AuditSample::new(&[secret; 32], bps);
        (0..20_000).filter(|n| sample.draw(DocumentId(Uuid::from_u128(*n)), 1).is_some()).collect()
    }

    #[test]
    fn about_the_share_is_chosen_and_always_the_same() {
        // fixed ids and keys: nothing here rests on chance
        for (bps, least, most) in [(0, 0, 0), (200, 340, 460), (500, 900, 1100), (10_000, 20_000, 20_000)] {
            let count = chosen(1, bps).len();
            assert!((least..=most).contains(&count), "{bps}: {count}");
        }
        assert_eq!(chosen(1, 300), chosen(1, 300));
        assert!(chosen(1, 500).iter().filter(|n| chosen(2, 500).contains(n)).count() < 200, "another key chooses others");
        let smaller = chosen(1, 200);
        let larger = chosen(1, 500);
        assert!(smaller.iter().all(|n| larger.contains(n)), "a larger share adds to the smaller one");
    }

    #[test]
    fn each_version_is_drawn_for_itself() {
        let sample = AuditSample::new(&[1; 32], 5_000);
        let differ = (0..200).filter(|n| {
            let id = DocumentId(Uuid::from_u128(*n));
            sample.draw(id, 1).is_some() != sample.draw(id, 2).is_some()
        });
        assert!(differ.count() > 50);
    }
}
