//! Versions of the models: promoted by two people on a run that was not worse, rolled back by one.

use std::collections::BTreeMap;

use merchant::models::{
    DecidePromotion, KindScore, ModelError, Models, NewRun, Promotion, PromotionStatus, Propose, RollBack, Run, Score, Version,
};
use uuid::Uuid;
use wallet::base::actor::Forbidden;

use super::*;

fn version(digit: char) -> Version {
    Version { id: digit.to_string().repeat(64), manifest: format!("# {digit}") }
}

fn score(fields_right: u32) -> Score {
    Score(BTreeMap::from([("id_front".to_owned(), KindScore { pages: 4, failed: 0, kind_right: 4, fields: 24, fields_right })]))
}

struct Desk {
    office: Office,
    models: Models,
    ops: Actor,
    second: Actor,
}

impl Desk {
    async fn open() -> Self {
        let office = Office::open().await;
        let models = Models::new(office.db.pool().clone(), version('0').id);
        let (ops, second) = (office.person("dev:operator:ops").await, office.person("dev:operator:two").await);
        Self { office, models, ops, second }
    }

    async fn run(&self, baseline: char, candidate: char, right: (u32, u32)) -> Run {
        let new = NewRun {
            baseline: version(baseline),
            candidate: version(candidate),
            set: "e".repeat(64),
            baseline_score: score(right.0),
            candidate_score: score(right.1),
        };
        self.models.record_run(&self.ops, new).await.unwrap()
    }

    async fn propose(&self, run: &Run) -> Result<Promotion, ModelError> {
        self.models.propose(&self.ops, Propose { run: run.id, idempotency_key: Uuid::now_v7() }).await
    }

    async fn decide(&self, who: &Actor, promotion: &Promotion, approve: bool) -> Result<Promotion, ModelError> {
        self.models.decide(who, DecidePromotion { promotion: promotion.id, approve, idempotency_key: Uuid::now_v7() }).await
    }

    async fn roll_back(&self) -> Result<Promotion, ModelError> {
        self.models.roll_back(&self.ops, RollBack { reason: "识别变差".to_owned(), idempotency_key: Uuid::now_v7() }).await
    }

    async fn current(&self) -> Option<char> {
        self.models.current().await.unwrap().map(|version| version.id.chars().next().unwrap())
    }
}

#[tokio::test]
async fn a_version_is_promoted_by_two_people_and_rolled_back_by_one() {
    let desk = Desk::open().await;
    assert_eq!(desk.current().await, None, "what the program was built with");
    assert!(matches!(desk.roll_back().await, Err(ModelError::NothingToRollBack)));
    let better = desk.run('0', '1', (20, 22)).await;
    assert!(better.not_worse);
    let proposed = desk.propose(&better).await.unwrap();
    assert!(matches!(desk.propose(&better).await, Err(ModelError::Pending)));
    assert!(matches!(desk.decide(&desk.ops, &proposed, true).await, Err(ModelError::SecondPersonNeeded)));
    assert_eq!(desk.current().await, None);
    let done = desk.decide(&desk.second, &proposed, true).await.unwrap();
    assert_eq!((done.status, desk.current().await), (PromotionStatus::Done, Some('1')));
    assert!(matches!(desk.decide(&desk.second, &proposed, true).await, Err(ModelError::AlreadyDecided)));

    // the next is compared with what reads papers now, not with what once did
    let old = desk.run('0', '2', (20, 24)).await;
    assert!(matches!(desk.propose(&old).await, Err(ModelError::Outdated)));
    let next = desk.propose(&desk.run('1', '2', (22, 22)).await).await.unwrap();
    desk.decide(&desk.second, &next, true).await.unwrap();
    assert_eq!(desk.current().await, Some('2'));

    let back = desk.roll_back().await.unwrap();
    assert_eq!((back.replaces.as_deref(), desk.current().await), (Some(version('2').id.as_str()), Some('1')));
    assert!(matches!(desk.roll_back().await, Err(ModelError::NothingToRollBack)), "twice would bring the bad one back");
    assert_eq!(desk.models.promotions(&desk.ops, None, 10).await.unwrap().items.len(), 3);
    for action in ["models.promoted", "models.rolled_back", "models.proposed", "models.compared"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM audit_events WHERE action = '{action}' AND actor_id IS NOT NULL"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(desk.office.db.owner_pool()).await.unwrap();
        assert!(count > 0, "{action} is on record with a name");
    }
    desk.office.assert_sound().await;
}

#[tokio::test]
async fn what_is_worse_what_is_late_and_whoever_may_not_are_refused() {
    let desk = Desk::open().await;
    let worse = desk.run('0', '1', (20, 19)).await;
    assert!(!worse.not_worse);
    assert!(matches!(desk.propose(&worse).await, Err(ModelError::Worse)));
    let reviewer = desk.office.person("dev:reviewer:rui").await;
    let good = desk.run('0', '1', (20, 20)).await;
    let refused = desk.models.propose(&reviewer, Propose { run: good.id, idempotency_key: Uuid::now_v7() }).await;
    assert!(matches!(refused, Err(ModelError::Forbidden(Forbidden))));
    assert!(matches!(desk.models.runs(&reviewer, None, 5).await, Err(ModelError::Forbidden(Forbidden))));
    let missing = desk.models.propose(&desk.ops, Propose { run: Uuid::now_v7(), idempotency_key: Uuid::now_v7() }).await;
    assert!(matches!(missing, Err(ModelError::NotFound)));
    let itself = NewRun {
        baseline: version('0'),
        candidate: version('0'),
        set: "e".repeat(64),
        baseline_score: score(1),
        candidate_score: score(1),
    };
    assert!(matches!(desk.models.record_run(&desk.ops, itself.clone()).await, Err(ModelError::SameVersion)));
    let empty = NewRun { candidate: version('1'), baseline_score: Score::default(), candidate_score: Score::default(), ..itself };
    assert!(matches!(desk.models.record_run(&desk.ops, empty).await, Err(ModelError::NoPages)));

    // refused by the second person: another may be proposed
    let first = desk.propose(&good).await.unwrap();
    desk.decide(&desk.second, &first, false).await.unwrap();
    let second = desk.propose(&good).await.unwrap();
    // whoever proposed may take it back
    desk.decide(&desk.ops, &second, false).await.unwrap();
    assert_eq!(desk.current().await, None);
    desk.office.assert_sound().await;
}

#[tokio::test]
async fn two_who_confirm_at_once_promote_once_and_a_key_is_one_act() {
    let desk = Desk::open().await;
    let run = desk.run('0', '1', (20, 20)).await;
    let command = Propose { run: run.id, idempotency_key: Uuid::now_v7() };
    let (one, two) = tokio::join!(desk.models.propose(&desk.ops, command.clone()), desk.models.propose(&desk.ops, command));
    let proposed = one.unwrap();
    assert_eq!(two.unwrap(), proposed);
    let third = desk.office.person("dev:operator:three").await;
    let (one, two) = tokio::join!(desk.decide(&desk.second, &proposed, true), desk.decide(&third, &proposed, true));
    let outcomes = [one.is_ok(), two.is_ok()];
    assert_eq!(outcomes.iter().filter(|ok| **ok).count(), 1, "{outcomes:?}");
    assert_eq!(desk.current().await, Some('1'));
    desk.office.assert_sound().await;
}
