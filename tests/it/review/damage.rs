//! The checker finds what was changed by hand.

use ai::review::{Policy, Reason, Verdict};
use merchant::models::{DecidePromotion, KindScore, Models, NewRun, Propose, Score, Version};
use merchant::onboarding::Applications;
use merchant::review::sample::AuditSample;
use merchant::review::seed::PlantSeed;
use uuid::Uuid;
use wallet::base::clock::Clock;

use super::*;

#[tokio::test]
async fn every_kind_of_damage_to_reviews_and_models_is_found_by_its_rule() {
    let mut office = Office::open().await;
    let (alice, bob) = (office.person("dev:owner:alice").await, office.person("dev:owner:bob").await);
    let (rui, lin) = (office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await);
    let (ops, two) = (office.person("dev:operator:ops").await, office.person("dev:operator:two").await);
    // one page waits, one was decided by one person, one by two, one is sampled, one planted
    let (_, documents) = office.submitted(&alice, "好店一号").await;
    office.judge(documents[0].id, 1, Verdict::Review).await;
    let (_, _, decided) = office.in_review(&bob, "好店二号").await;
    office.say(&rui, decided, None).await;
    let mut risky = judgement(Verdict::Review);
    risky.decision.reasons.push(Reason { code: "PHOTOCOPY".to_owned(), field: None, message: "像复印件".to_owned() });
    office.applications.apply_decision(documents[1].id, 1, risky).await.unwrap();
    let risky = office.task_of(documents[1].id).await;
    office.say(&rui, risky, None).await;
    office.say(&lin, risky, None).await;
    let everything = AuditSample::new(&[7; 32], 10_000);
    office.applications =
        Applications::new(office.db.pool().clone(), Clock::default(), office.vault.clone(), office.files.clone()).sampling(everything);
    office.judge(documents[2].id, 1, Verdict::Approve).await;
    let source = sqlx::query_scalar("SELECT document_id FROM review_tasks WHERE task_id = $1").bind(decided.0);
    let document = wallet::base::id::DocumentId(source.fetch_one(office.db.pool()).await.unwrap());
    let reviews = office.reviews.clone().under(Policy { allow_specimen: true, ..Policy::default() });
    reviews.plant(&ops, PlantSeed { document, field: "name".to_owned(), idempotency_key: Uuid::now_v7() }).await.unwrap();
    // and models were promoted
    let models = Models::new(office.db.pool().clone(), "0".repeat(64));
    let score = Score([("id_front".to_owned(), KindScore { pages: 1, ..KindScore::default() })].into());
    let version = |digit: &str| Version { id: digit.repeat(64), manifest: format!("# {digit}") };
    let new = NewRun {
        baseline: version("0"),
        candidate: version("1"),
        set: "e".repeat(64),
        baseline_score: score.clone(),
        candidate_score: score,
    };
    let run = models.record_run(&ops, new).await.unwrap();
    let promotion = models.propose(&ops, Propose { run: run.id, idempotency_key: Uuid::now_v7() }).await.unwrap();
    let command = DecidePromotion { promotion: promotion.id, approve: true, idempotency_key: Uuid::now_v7() };
    models.decide(&two, command).await.unwrap();
    office.assert_sound().await;

    let damage = [
        ("a task lost", "UPDATE review_tasks SET status = 'SUPERSEDED' WHERE status = 'OPEN' AND purpose = 'LIVE'", "D1"),
        ("a paper moved under its task", "UPDATE documents SET status = 'CHECKING' WHERE status = 'IN_REVIEW'", "D1"),
        ("a version moved under its task", "UPDATE documents SET version = 2 WHERE status = 'IN_REVIEW'", "D1"),
        ("an opinion lost", "DELETE FROM review_opinions WHERE round = 1", "D2"),
        ("an opinion turned round", "UPDATE review_opinions SET decision = 'REJECT', reason_code = 'EXPIRED' WHERE round = 2", "D2"),
        ("an opinion not counted", "UPDATE review_tasks SET opinions = 0 WHERE status = 'DECIDED'", "D2"),
        ("one pair of eyes for two", "UPDATE review_tasks SET risk = 'HIGH' WHERE status = 'DECIDED' AND opinions = 1", "D2"),
        (
            "a decision nobody made",
            "UPDATE review_tasks SET decision = 'REJECT', reason_code = 'EXPIRED' WHERE status = 'DECIDED' AND risk = 'HIGH'",
            "D2",
        ),
        (
            "a paper against its review",
            "UPDATE documents SET status = 'REJECTED' FROM review_tasks t
             WHERE t.document_id = documents.document_id AND t.status = 'DECIDED'",
            "D3",
        ),
        ("a sample of what was not approved", "UPDATE document_findings SET verdict = 'review' WHERE verdict = 'approve'", "D3"),
        ("a known item without its answer", "DELETE FROM review_seeds", "D4"),
        ("a live task that is called known", "UPDATE review_tasks SET purpose = 'SEED' WHERE status = 'DECIDED'", "D4"),
        ("models of no promotion", "UPDATE model_state SET version_id = repeat('0', 64)", "M1"),
        ("a promotion forgotten", "UPDATE model_state SET version_id = NULL, promotion_id = NULL", "M1"),
        ("a run made better", "UPDATE model_runs SET not_worse = false", "M1"),
        ("a run of another version", "UPDATE model_runs SET candidate_id = baseline_id, baseline_id = candidate_id", "M1"),
    ];
    for (what, how, rule) in damage {
        let mut tx = office.db.owner_pool().begin().await.unwrap();
        let changed = sqlx::query(how).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(changed.rows_affected() > 0, "{what}: nothing was changed");
        let report = wallet::check::run_in_tx(&mut tx).await.unwrap();
        assert!(report.violations().any(|(id, _)| id == rule), "{what}: {rule} should have found it:\n{report}");
        tx.rollback().await.unwrap();
    }
}
