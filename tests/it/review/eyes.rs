//! Two people where the risk is high, leases that run out, and decisions sent twice.

use ai::review::{Reason, Verdict};
use merchant::onboarding::DocumentStatus;
use merchant::review::{Decide, ReviewDecision, ReviewError, Risk, TaskStatus};
use uuid::Uuid;
use wallet::base::actor::Actor;
use wallet::base::id::{DocumentId, TaskId};

use super::*;

/// A page that may be a copy: two people must agree.
async fn risky(office: &Office, owner: &Actor, name: &str) -> (DocumentId, TaskId) {
    let (_, documents) = office.submitted(owner, name).await;
    let mut judged = judgement(Verdict::Review);
    judged.decision.reasons.push(Reason { code: "PHOTOCOPY".to_owned(), field: None, message: "像复印件".to_owned() });
    office.applications.apply_decision(documents[0].id, 1, judged).await.unwrap();
    (documents[0].id, office.task_of(documents[0].id).await)
}

#[tokio::test]
async fn two_who_agree_decide_a_risky_page_and_nobody_counts_twice() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (rui, lin) = (office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await);
    let (document, task) = risky(&office, &owner, "好店一号").await;

    let first = office.say(&rui, task, None).await;
    assert_eq!((first.risk, first.status, first.opinions, first.decision), (Risk::High, TaskStatus::Open, 1, None));
    assert_eq!(office.document(document).await.status, DocumentStatus::InReview, "one opinion moves nothing");
    assert!(matches!(office.reviews.claim(&rui, task).await, Err(ReviewError::SecondPersonNeeded)));
    assert!(office.reviews.queue(&rui, None, 10).await.unwrap().items.iter().all(|t| t.id != task));
    assert!(office.reviews.queue(&lin, None, 10).await.unwrap().items.iter().any(|t| t.id == task));
    office.assert_sound().await;

    let second = office.say(&lin, task, None).await;
    assert_eq!((second.status, second.opinions, second.decision), (TaskStatus::Decided, 2, Some(ReviewDecision::Approve)));
    assert_eq!(office.document(document).await.status, DocumentStatus::Approved);
    office.assert_sound().await;
}

#[tokio::test]
async fn a_third_person_settles_what_two_do_not_agree_on_and_the_one_outvoted_is_counted() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let people =
        [office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await, office.person("dev:reviewer:mei").await];
    let (document, task) = risky(&office, &owner, "好店一号").await;
    assert_eq!(office.say(&people[0], task, None).await.status, TaskStatus::Open);
    assert_eq!(office.say(&people[1], task, Some("NOT_ORIGINAL")).await.status, TaskStatus::Open);
    for done in &people[..2] {
        assert!(matches!(office.reviews.claim(done, task).await, Err(ReviewError::SecondPersonNeeded)));
    }
    let settled = office.say(&people[2], task, Some("NOT_ORIGINAL")).await;
    assert_eq!((settled.status, settled.decision), (TaskStatus::Decided, Some(ReviewDecision::Reject)));
    assert_eq!(office.document(document).await.reasons[0].code, "NOT_ORIGINAL");
    office.assert_sound().await;

    let rates = sample::rates(&office).await;
    let of = |who: &Actor| rates[&format!("{:?}", merchant::review::rate::Subject::Reviewer(who.user().unwrap()))];
    assert_eq!([of(&people[0]), of(&people[1]), of(&people[2])], [(1, 1), (1, 0), (1, 0)]);
}

#[tokio::test]
async fn what_a_replaced_page_was_said_to_be_is_not_carried_over() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let (document, task) = risky(&office, &owner, "好店一号").await;
    office.say(&rui, task, None).await;
    let application = office.document(document).await.application;
    let kind = office.document(document).await.kind;
    office.applications.attach(&owner, crate::merchant_rules::attach(application, kind)).await.unwrap();
    office.judge(document, 2, Verdict::Review).await;
    let next = office.task_of(document).await;
    assert_ne!(next, task);
    // a new picture is a new page: who judged the old one may judge it
    assert_eq!(office.say(&rui, next, None).await.status, TaskStatus::Decided);
    office.assert_sound().await;
}

#[tokio::test]
async fn a_heartbeat_keeps_a_claim_and_brings_none_back() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (rui, lin) = (office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await);
    let (_, _, task) = office.in_review(&owner, "好店一号").await;
    assert!(matches!(office.reviews.renew(&rui, task).await, Err(ReviewError::NotClaimed)));
    let claimed = office.reviews.claim(&rui, task).await.unwrap();
    let renewed = office.reviews.renew(&rui, task).await.unwrap();
    let since = |task: &merchant::review::Task| task.claimed_at.map(|at| at.timestamp_micros());
    assert!(renewed.lease_until >= claimed.lease_until && since(&renewed) == since(&claimed), "the hold began when it was claimed");
    assert!(matches!(office.reviews.renew(&lin, task).await, Err(ReviewError::AlreadyClaimed { .. })));

    // the holder dies: nothing but time gives the task back, and a colleague takes it
    office.let_claim_run_out(task).await;
    assert!(matches!(office.reviews.renew(&rui, task).await, Err(ReviewError::LeaseExpired)));
    office.reviews.claim(&lin, task).await.unwrap();
    assert!(matches!(office.reviews.decide(&rui, approve(task)).await, Err(ReviewError::AlreadyClaimed { .. })));
    assert_eq!(office.count("SELECT COUNT(*) FROM review_opinions").await, 0);
    office.reviews.decide(&lin, approve(task)).await.unwrap();
    office.assert_sound().await;
}

#[tokio::test]
async fn a_decision_sent_twice_is_one_and_another_under_its_key_is_refused() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let (_, _, task) = office.in_review(&owner, "好店一号").await;
    office.reviews.claim(&rui, task).await.unwrap();
    let command = Decide { idempotency_key: Uuid::now_v7(), ..approve(task) };
    let (one, two) = tokio::join!(office.reviews.decide(&rui, command.clone()), office.reviews.decide(&rui, command.clone()));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(office.count("SELECT COUNT(*) FROM review_opinions").await, 1);
    assert_eq!(office.count("SELECT COUNT(*) FROM audit_events WHERE action = 'review.decided'").await, 1);
    let other = Decide { note: Some("别的".to_owned()), ..command };
    assert!(matches!(office.reviews.decide(&rui, other).await, Err(ReviewError::Idempotency(_))));
}
