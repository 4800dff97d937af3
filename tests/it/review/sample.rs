//! Blind samples of automatic approvals, known items among the tasks, and the error rates they give.

use std::collections::BTreeMap;

use ai::document::Field;
use ai::review::{Policy, Verdict};
use chrono::{DateTime, TimeDelta, Utc};
use merchant::onboarding::{ApplicationStatus, Applications, DocumentStatus, Judgement};
use merchant::review::rate::{Subject, interval};
use merchant::review::sample::AuditSample;
use merchant::review::seed::PlantSeed;
use merchant::review::{ReviewError, Risk, TaskStatus};
use uuid::Uuid;
use wallet::base::actor::{Actor, Forbidden};
use wallet::base::clock::Clock;
use wallet::base::id::DocumentId;

use super::*;

/// (n, wrong) by subject, of all that was decided lately.
pub(super) async fn rates(office: &Office) -> BTreeMap<String, (u32, u32)> {
    let operator = office.person("dev:operator:ops").await;
    let (from, to): (DateTime<Utc>, _) = (Clock::wall() - TimeDelta::days(1), Clock::wall() + TimeDelta::days(1));
    let rates = office.reviews.error_rates(&operator, from, to).await.unwrap();
    for rate in &rates {
        assert_eq!((rate.low, rate.high), interval(rate.wrong, rate.n), "{rate:?}");
    }
    rates.into_iter().map(|rate| (format!("{:?}", rate.subject), (rate.n, rate.wrong))).collect()
}

/// An office that samples every approval.
async fn sampling() -> Office {
    let mut office = Office::open().await;
    let everything = AuditSample::new(&[7; 32], 10_000);
    let pool = office.db.pool().clone();
    office.applications = Applications::new(pool, Clock::default(), office.vault.clone(), office.files.clone()).sampling(everything);
    office
}

/// A page on which everything stands as it was typed.
fn clean() -> Judgement {
    let mut judged = judgement(Verdict::Approve);
    let findings = judged.findings.as_mut().unwrap();
    let number: &mut Field = findings.fields.get_mut("id_number").unwrap();
    number.value = "11010519491231002X".to_owned();
    number.canonical = number.value.clone();
    judged
}

#[tokio::test]
async fn a_sampled_approval_stands_whatever_is_said_of_it_and_is_counted() {
    let office = sampling().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let (application, documents) = office.submitted(&owner, "好店一号").await;
    for document in &documents {
        office.judge(document.id, 1, Verdict::Approve).await;
    }
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Approved, "nobody waits for a sample");
    let queue = office.reviews.queue(&rui, None, 10).await.unwrap().items;
    assert_eq!(queue.len(), 3);
    office.assert_sound().await;

    let refused = office.say(&rui, queue[0].id, Some("NOT_ORIGINAL")).await;
    assert_eq!(refused.status, TaskStatus::Decided);
    office.say(&rui, queue[1].id, None).await;
    assert_eq!(office.document(refused.document).await.status, DocumentStatus::Approved, "a sample moves no paper");
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Approved);
    assert_eq!(office.count("SELECT COUNT(*) FROM outbox WHERE kind = 'document.decided'").await, 3);

    let rates = rates(&office).await;
    let kinds: Vec<_> = rates.iter().filter(|(subject, _)| subject.starts_with("Kind")).map(|(_, counts)| *counts).collect();
    assert_eq!(kinds.iter().fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1)), (2, 1), "{rates:?}");
    let operator = office.person("dev:operator:ops").await;
    let failed = office.reviews.failed_audits(&operator, None, 10).await.unwrap().items;
    assert_eq!(failed.iter().map(|f| (f.task, f.reason_code.as_deref())).collect::<Vec<_>>(), [(queue[0].id, Some("NOT_ORIGINAL"))]);
    office.assert_sound().await;
}

#[tokio::test]
async fn a_reviewer_cannot_tell_samples_and_known_items_from_other_tasks() {
    let office = sampling().await;
    let (alice, bob) = (office.person("dev:owner:alice").await, office.person("dev:owner:bob").await);
    let rui = office.person("dev:reviewer:rui").await;
    let operator = office.person("dev:operator:ops").await;
    let (_, sampled) = office.submitted(&alice, "好店一号").await;
    office.applications.apply_decision(sampled[0].id, 1, clean()).await.unwrap();
    let (_, live) = office.submitted(&bob, "好店二号").await;
    office.judge(live[0].id, 1, Verdict::Review).await;
    let seeds = office.reviews.clone().under(Policy { allow_specimen: true, ..Policy::default() });
    seeds.plant(&operator, plant(sampled[0].id, "name")).await.unwrap();

    let tasks = office.reviews.queue(&rui, None, 10).await.unwrap().items;
    assert_eq!(tasks.len(), 3, "{tasks:?}");
    for task in &tasks {
        assert!(!task.reasons.is_empty(), "a task without a reason would give itself away");
        assert_eq!((task.status, task.risk, task.opinions), (TaskStatus::Open, Risk::Normal, 0));
        assert_eq!(task.due_at - task.created_at, TimeDelta::hours(24));
        let view = office.reviews.task(&rui, task.id).await.unwrap();
        assert!(!view.fields.is_empty());
    }
}

fn plant(document: DocumentId, field: &str) -> PlantSeed {
    PlantSeed { document, field: field.to_owned(), idempotency_key: Uuid::now_v7() }
}

#[tokio::test]
async fn a_wrong_answer_to_a_known_item_touches_nobody_and_counts_against_the_reviewer() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (rui, lin) = (office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await);
    let operator = office.person("dev:operator:ops").await;
    let (application, documents) = office.submitted(&owner, "好店一号").await;
    let document = documents[0].id;
    let reviews = office.reviews.clone().under(Policy { allow_specimen: true, ..Policy::default() });
    assert!(matches!(reviews.plant(&operator, plant(document, "name")).await, Err(ReviewError::NotPlantable)), "not approved");
    office.applications.apply_decision(document, 1, clean()).await.unwrap();
    for stranger in [&owner, &rui, &Actor::System] {
        assert!(matches!(reviews.plant(stranger, plant(document, "name")).await, Err(ReviewError::Forbidden(Forbidden))));
    }
    assert!(matches!(reviews.plant(&operator, plant(document, "sex")).await, Err(ReviewError::NotPlantable)), "never claimed");
    let command = plant(document, "name");
    let seed = reviews.plant(&operator, command.clone()).await.unwrap();
    assert_eq!(reviews.plant(&operator, command).await.unwrap(), seed, "the same key, the same item");
    let other = reviews.plant(&operator, plant(document, "name")).await.unwrap();
    assert_eq!(office.count("SELECT COUNT(*) FROM review_tasks").await, 2);

    // the claim has one wrong character, and that is what the page shows
    reviews.claim(&rui, seed.task).await.unwrap();
    let name = reviews.task(&rui, seed.task).await.unwrap().fields.into_iter().find(|f| f.name == "name").unwrap();
    assert!(name.near_name && name.diff.unwrap().edits == 1);
    office.say(&rui, seed.task, None).await;
    office.say(&lin, other.task, Some("CLAIMS_DIFFER")).await;
    assert_eq!(office.document(document).await.status, DocumentStatus::Approved);
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Checking);

    let rates = rates(&office).await;
    let of = |who: &Actor| rates[&format!("{:?}", Subject::Reviewer(who.user().unwrap()))];
    assert_eq!((of(&rui), of(&lin)), ((1, 1), (1, 0)));
    assert!(!rates.keys().any(|subject| subject.starts_with("Kind") || subject.starts_with("Flag")), "{rates:?}");
    // who has judged the page is not asked about it again
    let again = reviews.plant(&operator, plant(document, "name")).await.unwrap();
    assert!(office.reviews.queue(&rui, None, 10).await.unwrap().items.is_empty());
    assert!(matches!(office.reviews.claim(&rui, again.task).await, Err(ReviewError::SecondPersonNeeded)));
    office.assert_sound().await;
}

#[tokio::test]
async fn a_flag_is_wrong_as_often_as_people_approve_its_pages() {
    let office = Office::open().await;
    let (alice, bob) = (office.person("dev:owner:alice").await, office.person("dev:owner:bob").await);
    let rui = office.person("dev:reviewer:rui").await;
    let (_, _, one) = office.in_review(&alice, "好店一号").await;
    let (_, _, two) = office.in_review(&bob, "好店二号").await;
    office.say(&rui, one, None).await;
    office.say(&rui, two, Some("CLAIMS_DIFFER")).await;
    assert_eq!(rates(&office).await, BTreeMap::from([(format!("{:?}", Subject::Flag("ID_NUMBER_DIFFERS".to_owned())), (2, 1))]));

    let operator = office.person("dev:operator:ops").await;
    let now = Clock::wall();
    for (from, to) in [(now, now), (now, now - TimeDelta::days(1)), (now - TimeDelta::days(367), now)] {
        assert!(matches!(office.reviews.error_rates(&operator, from, to).await, Err(ReviewError::Span)));
    }
    assert!(matches!(office.reviews.error_rates(&rui, now - TimeDelta::days(1), now).await, Err(ReviewError::Forbidden(Forbidden))));
}
