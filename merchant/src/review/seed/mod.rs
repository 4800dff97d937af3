//! Known items (已知答案): operators plant copies of approved pages beside a claim with one character changed, and the right answer is to refuse.
//! They measure reviewers; a wrong decision changes nobody's papers. The operator names the field and never sees a value.

mod repo;

use ai::document::DocumentKind;
use ai::pipeline::Findings;
use ai::review::{self, Claims, Comparison, Verdict};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::audit;
use wallet::base::id::{DocumentId, TaskId};
use wallet::base::idempotency::{self, Claim};

use super::opinion::scope_of;
use super::repo::{NewTask, open_in_tx};
use super::{Purpose, ReviewDecision, ReviewError, Reviews, Risk, operator};
use crate::onboarding::{VersionRow, claims_place as version_claims_place, findings_place};
use crate::vault::Place;

/// Characters that a Chinese one is changed for: common in names and places, so that the change does not look planted.
const COMMON: [char; 12] = ['林', '伟', '杰', '明', '海', '东', '春', '华', '平', '文', '兴', '安'];

/// Plants a known item.
#[derive(Clone, Debug, Serialize)]
pub struct PlantSeed {
    /// An approved paper that the pipeline read.
    pub document: DocumentId,
    /// Which of its claims is changed.
    pub field: String,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// A known item as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    pub task: TaskId,
    pub kind: DocumentKind,
    pub field: String,
    /// The right decision.
    pub answer: ReviewDecision,
    pub planted_at: DateTime<Utc>,
}

/// Where a known item's claims are sealed.
pub(super) fn claims_place(task: TaskId) -> Place<'static, TaskId> {
    Place { table: "review_seeds", column: "claims", row: task }
}

/// Where its comparison is sealed.
pub(super) fn comparison_place(task: TaskId) -> Place<'static, TaskId> {
    Place { table: "review_seeds", column: "comparison", row: task }
}

impl Reviews {
    /// Plants a known item among the tasks. The pipeline's own policy judges the changed claims first: what it would decide alone no
    /// reviewer would ever be shown. Operators only.
    pub async fn plant(&self, actor: &Actor, command: PlantSeed) -> Result<Seed, ReviewError> {
        let by = operator(actor)?;
        let now = self.clock.now();
        let scope = scope_of(by, "reviewSeedPlant", command.idempotency_key);
        let task = TaskId::new();
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, &command, task.0, now).await? {
            return Ok(told);
        }
        let source = repo::approved_page(&mut tx, command.document).await?.ok_or(ReviewError::NotFound)?;
        let row = VersionRow(command.document, source.version);
        let findings = source.findings_sealed.as_deref().filter(|_| source.approved).ok_or(ReviewError::NotPlantable)?;
        let findings: Findings = self.vault.open_json(&findings_place(row), findings)?;
        let mut claims: Claims = self.vault.open_json(&version_claims_place(row), &source.claims_sealed)?;
        if findings.kind != source.kind || !findings.fields.contains_key(&command.field) {
            return Err(ReviewError::NotPlantable);
        }
        let claim = claims.0.get_mut(&command.field).ok_or(ReviewError::UnknownField)?;
        *claim = spoilt(claim, task.0).ok_or(ReviewError::NotPlantable)?;
        let decision = review::decide(&findings, source.kind, &claims, &self.policy, self.clock.today());
        if decision.verdict != Verdict::Review {
            return Err(ReviewError::DecidedAlone);
        }
        let new = NewTask {
            id: task,
            document: command.document,
            version: source.version,
            purpose: Purpose::Seed,
            risk: Risk::of(&decision.reasons),
            reasons: &decision.reasons,
        };
        open_in_tx(&mut tx, &new, now).await?;
        let seed = Seed { task, kind: source.kind, field: command.field, answer: ReviewDecision::Reject, planted_at: now };
        let comparisons: &[Comparison] = &decision.comparisons;
        let sealed = (self.vault.seal_json(&claims_place(task), &claims)?, self.vault.seal_json(&comparison_place(task), &comparisons)?);
        repo::insert_in_tx(&mut tx, &seed, &sealed.0, &sealed.1, by).await?;
        let detail = json!({ "document_id": command.document, "version": source.version, "field": seed.field });
        audit::record_in_tx(&mut tx, actor, "review.seed_planted", task.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &seed).await?;
        tx.commit().await?;
        Ok(seed)
    }
}

/// The value with one character changed into another of its sort; none where it has no letter, digit or Chinese character.
fn spoilt(value: &str, seed: Uuid) -> Option<String> {
    let mut characters: Vec<char> = value.chars().collect();
    let places: Vec<usize> =
        (0..characters.len()).filter(|at| characters[*at].is_ascii_alphanumeric() || is_chinese(characters[*at])).collect();
    // a name begins with its surname: the first character is left, where there is another
    let places = if places.len() > 1 { &places[1..] } else { &places[..] };
    let draw = usize::from(seed.as_bytes()[15]);
    let at = *places.get(draw % places.len().max(1))?;
    let next = |c: char, first: u8, count: u8, step: u8| char::from(first + (c as u8 - first + step) % count);
    characters[at] = match characters[at] {
        c @ '0'..='9' => next(c, b'0', 10, 1 + (draw % 9) as u8),
        c @ 'A'..='Z' => next(c, b'A', 26, 1),
        c @ 'a'..='z' => next(c, b'a', 26, 1),
        c => *COMMON.iter().cycle().skip(draw % COMMON.len()).find(|other| **other != c)?,
    };
    Some(characters.into_iter().collect())
}

fn is_chinese(c: char) -> bool {
    ('\u{4E00}'..='\u{9FFF}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_character_changes_and_keeps_its_sort() {
        for value in ["张三丰", "11010519491231002X", "北京市朝阳区甲路1号", "好", "AB-12", "林林"] {
            for draw in 0..=255u8 {
                let mut bytes = [0; 16];
                bytes[15] = draw;
                let changed = spoilt(value, Uuid::from_bytes(bytes)).unwrap();
                let differing: Vec<_> = value.chars().zip(changed.chars()).filter(|(a, b)| a != b).collect();
                assert_eq!((value.chars().count(), differing.len()), (changed.chars().count(), 1), "{value} {changed}");
                let (from, to) = differing[0];
                assert_eq!((from.is_ascii_digit(), is_chinese(from)), (to.is_ascii_digit(), is_chinese(to)), "{value} {changed}");
            }
        }
        assert_eq!(spoilt("——", Uuid::nil()), None);
        assert_eq!(spoilt("", Uuid::nil()), None);
    }
}
