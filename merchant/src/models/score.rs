//! What a version read right on a labelled set, and whether another is nowhere worse. Pure.

use std::collections::BTreeMap;

use ai::document::{DocumentKind, text};
use ai::pipeline::Findings;
use serde::{Deserialize, Serialize};

/// Counts of one version over a set, by the true kind of each page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score(pub BTreeMap<String, KindScore>);

/// Counts over the pages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindScore {
    pub pages: u32,
    /// Pages that could not be read at all.
    pub failed: u32,
    pub kind_right: u32,
    /// Values whose truth is known, and those that were read exactly.
    pub fields: u32,
    pub fields_right: u32,
}

impl Score {
    pub fn pages(&self) -> u32 {
        self.0.values().map(|kind| kind.pages).sum()
    }

    /// Counts one page; `findings` are none where it could not be read. An empty true value is right where nothing was read.
    pub fn add(&mut self, kind: DocumentKind, truth: &BTreeMap<String, String>, findings: Option<&Findings>) {
        let score = self.0.entry(kind.as_str().to_owned()).or_default();
        score.pages += 1;
        score.failed += u32::from(findings.is_none());
        score.kind_right += u32::from(findings.is_some_and(|f| f.kind == kind));
        for (name, value) in truth {
            let read = findings.and_then(|f| f.fields.get(name));
            let same = |read: &str| text::normalise(read) == text::normalise(value);
            let right = match read {
                Some(field) => same(&field.value) || same(&field.raw),
                None => value.is_empty(),
            };
            score.fields += 1;
            score.fields_right += u32::from(right);
        }
    }

    /// Whether no kind has fewer pages of the right kind, fewer right values, or more failures than in `other`, on the same set.
    pub fn not_worse_than(&self, other: &Self) -> bool {
        other.0.iter().all(|(kind, before)| {
            self.0.get(kind).is_some_and(|now| {
                now.pages == before.pages
                    && now.fields == before.fields
                    && now.failed <= before.failed
                    && now.kind_right >= before.kind_right
                    && now.fields_right >= before.fields_right
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(kinds: &[(&str, [u32; 5])]) -> Score {
        let one =
            |[pages, failed, kind_right, fields, fields_right]: [u32; 5]| KindScore { pages, failed, kind_right, fields, fields_right };
        Score(kinds.iter().map(|(kind, counts)| ((*kind).to_owned(), one(*counts))).collect())
    }

    #[test]
    fn a_gain_in_one_kind_makes_up_for_no_loss_in_another() {
        let before = score(&[("deed_new", [10, 1, 9, 60, 50]), ("id_front", [10, 0, 10, 60, 60])]);
        for (now, expected) in [
            (score(&[("deed_new", [10, 1, 9, 60, 50]), ("id_front", [10, 0, 10, 60, 60])]), true),
            (score(&[("deed_new", [10, 0, 10, 60, 58]), ("id_front", [10, 0, 10, 60, 60])]), true),
            (score(&[("deed_new", [10, 0, 10, 60, 60]), ("id_front", [10, 0, 10, 60, 59])]), false),
            (score(&[("deed_new", [10, 2, 9, 60, 50]), ("id_front", [10, 0, 10, 60, 60])]), false),
            (score(&[("deed_new", [10, 1, 8, 60, 50]), ("id_front", [10, 0, 10, 60, 60])]), false),
            (score(&[("deed_new", [10, 1, 9, 60, 50])]), false),
            (score(&[("deed_new", [10, 1, 9, 60, 50]), ("id_front", [9, 0, 9, 54, 54])]), false),
        ] {
            assert_eq!(now.not_worse_than(&before), expected, "{now:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_right_when_nothing_was_read() {
        let truth = BTreeMap::from([("name".to_owned(), "张三".to_owned()), ("former_name".to_owned(), String::new())]);
        let mut failed = Score::default();
        failed.add(DocumentKind::HouseholdMember, &truth, None);
        assert_eq!(failed, score(&[("household_member", [1, 1, 0, 2, 1])]));
        assert_eq!(failed.pages(), 1);
    }
}
