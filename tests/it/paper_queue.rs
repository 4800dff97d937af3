//! The queue of papers that wait to be read: what an application is told, and when no more are taken.

use std::time::Duration;

use ai::review::Verdict;
use merchant::onboarding::queue::WAITING_MAX;
use merchant::onboarding::{ApplicationStatus, OnboardingError, REVIEW_JOB, Waiting};
use sqlx::PgPool;
use wallet::base::id::ApplicationId;

use super::merchant_rules::Office;

async fn waiting(office: &Office, id: ApplicationId) -> Option<Waiting> {
    office.applications.waiting(&[id]).await.unwrap().remove(&id)
}

/// Jobs of papers that are nobody's, due a second ago.
pub(super) async fn fill(db: &PgPool, papers: i64) {
    sqlx::query(
        "INSERT INTO jobs (job_id, kind, book_id, subject_id, run_at, created_at)
         SELECT gen_random_uuid(), $1, gen_random_uuid(), gen_random_uuid(), now() - interval '1 second', now() FROM generate_series(1, $2)",
    )
    .bind(REVIEW_JOB)
    .bind(papers)
    .execute(db)
    .await
    .unwrap();
}

async fn run(office: &Office, sql: &'static str) {
    sqlx::query(sql).execute(office.db.pool()).await.unwrap();
}

#[tokio::test]
async fn an_application_is_told_how_many_papers_are_read_before_its_own_and_how_long_that_takes() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:qia").await;
    let (first, papers) = office.submitted(&owner, "排在前面的店").await;
    let (second, _) = office.submitted(&owner, "排在后面的店").await;
    let told = |ahead, seconds| Some(Waiting { ahead, expected: Duration::from_secs(seconds) });
    // due at this moment: what the test itself takes is no wait
    run(&office, "UPDATE jobs SET run_at = run_at + interval '1 minute'").await;
    assert_eq!(waiting(&office, first.id).await, told(0, 4), "three papers, two at a time, two seconds each as long as none was read");
    assert_eq!(waiting(&office, second.id).await, told(3, 6));

    // what was read counts from here on: twelve milliseconds a paper
    office.judge(papers[0].id, 1, Verdict::Approve).await;
    sqlx::query("DELETE FROM jobs WHERE subject_id = $1").bind(papers[0].id.0).execute(office.db.pool()).await.unwrap();
    let told = |ahead, ms| Some(Waiting { ahead, expected: Duration::from_millis(ms) });
    assert_eq!((waiting(&office, first.id).await, waiting(&office, second.id).await), (told(0, 12), told(2, 36)));

    run(&office, "UPDATE jobs SET run_at = run_at - interval '16 minutes'").await;
    let stuck = waiting(&office, second.id).await.unwrap();
    assert!(stuck.expected >= Duration::from_secs(900), "nothing was read for a quarter of an hour, and nobody is told seconds: {stuck:?}");

    run(&office, "DELETE FROM jobs").await;
    assert_eq!(waiting(&office, second.id).await, None);
}

#[tokio::test]
async fn when_too_many_papers_wait_no_more_are_taken_and_nothing_is_lost() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:qib").await;
    let (under_way, document, _) = office.in_review(&owner, "在审的店").await;
    let (waits, _) = office.submitted(&owner, "刚提交的店").await;
    let papers = office.papers_of_draft(&owner, "草稿的店").await;
    fill(office.db.pool(), WAITING_MAX).await;

    let refused = office.applications.submit(&owner, papers.0).await;
    let Err(OnboardingError::QueueFull { retry_after }) = refused else { panic!("{refused:?}") };
    assert!((Duration::from_secs(30)..=Duration::from_secs(3_600)).contains(&retry_after), "{retry_after:?}");
    assert_eq!(office.application(papers.0).await.status, ApplicationStatus::Draft);
    let replaced = office.replace(&owner, under_way.id, document.kind).await;
    assert!(matches!(replaced, Err(OnboardingError::QueueFull { .. })), "{replaced:?}");
    assert_eq!(office.document(document.id).await.version, 1);
    assert!(waiting(&office, waits.id).await.is_some(), "who waits goes on waiting");

    run(&office, "DELETE FROM jobs").await;
    assert_eq!(office.applications.submit(&owner, papers.0).await.unwrap().status, ApplicationStatus::Checking);
    assert_eq!(office.replace(&owner, under_way.id, document.kind).await.unwrap().version, 2);
}
