//! Applications, papers and reviews on a real database.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ai::document::{DocumentKind, Field};
use ai::image::ImageError;
use ai::pipeline::Findings;
use ai::review::{Comparison, Decision, Outcome, Reason, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use merchant::files::FileStore;
use merchant::identity::{DevelopmentLogin, Identity, IdentityError};
use merchant::line::LineProblem;
use merchant::merchants::{CreateStore, MerchantError, MerchantStatus, Merchants};
use merchant::onboarding::{
    Application, ApplicationStatus, Applications, Applied, Attach, ClaimInput, ClaimProblem, CreateApplication, Document, DocumentStatus,
    Judgement, OnboardingError, PAPERS, REVIEW_JOB,
};
use merchant::review::{Decide, QueueCursor, ReviewDecision, ReviewError, Reviews, TaskStatus, View};
use merchant::vault::Vault;
use tests::{TestDatabase, database};
use uuid::Uuid;
use wallet::base::actor::{Actor, Forbidden};
use wallet::base::clock::Clock;
use wallet::base::id::{ApplicationId, DocumentId, MerchantId, StoreId, TaskId};

/// A white page of 320 x 400 pixels.
const PAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAUAAAAGQAQAAAAD31YQoAAAAS0lEQVR42u3KoQEAAAwCIP9/Wl9YWoJMehRRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFEVRFL/iACrpRSOX1xjvAAAAAElFTkSuQmCC";
const ID_NUMBER: &str = "11010519491231002X";
const ACCOUNT: &str = "6222020200112233445";

/// The merchant services over a database and a folder of their own.
pub(crate) struct Office {
    identity: Identity,
    merchants: Merchants,
    pub(crate) applications: Applications,
    pub(crate) reviews: Reviews,
    pub(crate) vault: Vault,
    pub(crate) files: FileStore,
    pub(crate) folder: PathBuf,
    pub(crate) db: TestDatabase,
}

impl Office {
    pub(crate) async fn open() -> Self {
        let db = database().await;
        let clock = Clock::default();
        let vault = Vault::new(&[3; 32]);
        let folder = std::env::temp_dir().join(format!("haodian-office-{}", uuid::Uuid::now_v7()));
        let files = FileStore::local(&folder, vault.clone()).unwrap();
        let pool = db.pool().clone();
        Self {
            identity: Identity::new(pool.clone(), clock.clone(), DevelopmentLogin::Allowed),
            merchants: Merchants::new(pool.clone(), clock.clone(), vault.clone()),
            applications: Applications::new(pool.clone(), clock.clone(), vault.clone(), files.clone()),
            reviews: Reviews::new(pool, clock, vault.clone(), files.clone()),
            vault,
            files,
            folder,
            db,
        }
    }

    /// A person who has just logged in.
    pub(crate) async fn person(&self, code: &str) -> Actor {
        let login = self.identity.login_development(code).await.unwrap();
        self.identity.authenticate(login.token.expose()).await.unwrap().unwrap()
    }

    async fn draft(&self, owner: &Actor, name: &str) -> Application {
        self.applications.create(owner, application(name)).await.unwrap()
    }

    async fn attach(&self, owner: &Actor, application: ApplicationId, kind: DocumentKind) -> Document {
        self.applications.attach(owner, attach(application, kind)).await.unwrap()
    }

    /// A draft with all its papers, in the order they are asked for.
    pub(crate) async fn papers_of_draft(&self, owner: &Actor, name: &str) -> (ApplicationId, Vec<Document>) {
        let draft = self.draft(owner, name).await;
        let mut documents = Vec::new();
        for kind in PAPERS {
            documents.push(self.attach(owner, draft.id, kind).await);
        }
        (draft.id, documents)
    }

    /// A submitted application and its papers.
    pub(crate) async fn submitted(&self, owner: &Actor, name: &str) -> (Application, Vec<Document>) {
        let (id, documents) = self.papers_of_draft(owner, name).await;
        (self.applications.submit(owner, id).await.unwrap(), documents)
    }

    /// Hands a paper in anew.
    pub(crate) async fn replace(&self, owner: &Actor, id: ApplicationId, kind: DocumentKind) -> Result<Document, OnboardingError> {
        self.applications.attach(owner, attach(id, kind)).await
    }

    pub(crate) async fn judge(&self, document: DocumentId, version: i32, verdict: Verdict) -> Applied {
        self.applications.apply_decision(document, version, judgement(verdict)).await.unwrap()
    }

    /// An application whose ID card waits for a person while the rest is approved.
    pub(crate) async fn in_review(&self, owner: &Actor, name: &str) -> (Application, Document, TaskId) {
        let (application, documents) = self.submitted(owner, name).await;
        self.judge(documents[1].id, 1, Verdict::Approve).await;
        self.judge(documents[2].id, 1, Verdict::Approve).await;
        self.judge(documents[0].id, 1, Verdict::Review).await;
        let task = self.task_of(documents[0].id).await;
        (application, documents[0].clone(), task)
    }

    pub(crate) async fn task_of(&self, document: DocumentId) -> TaskId {
        let sql = "SELECT task_id FROM review_tasks WHERE document_id = $1 ORDER BY document_version DESC LIMIT 1";
        TaskId(sqlx::query_scalar(sql).bind(document.0).fetch_one(self.db.pool()).await.unwrap())
    }

    pub(crate) async fn application(&self, id: ApplicationId) -> Application {
        self.applications.get(&Actor::System, id).await.unwrap()
    }

    pub(crate) async fn document(&self, id: DocumentId) -> Document {
        self.applications.document(&Actor::System, id).await.unwrap()
    }

    /// Ends a claim as ten minutes would.
    pub(crate) async fn let_claim_run_out(&self, task: TaskId) {
        sqlx::query("UPDATE review_tasks SET lease_until = $2 WHERE task_id = $1")
            .bind(task.0)
            .bind(Clock::wall() - TimeDelta::seconds(1))
            .execute(self.db.owner_pool())
            .await
            .unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.owner_pool()).await.unwrap()
    }

    async fn event_kinds(&self, merchant: MerchantId) -> Vec<String> {
        sqlx::query_scalar("SELECT kind FROM outbox WHERE book_id = $1 ORDER BY event_id")
            .bind(merchant.0)
            .fetch_all(self.db.pool())
            .await
            .unwrap()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn application(name: &str) -> CreateApplication {
    CreateApplication {
        merchant_name: name.to_owned(),
        settlement_account_name: "张三".to_owned(),
        settlement_account_number: ACCOUNT.to_owned(),
    }
}

fn claims(kind: DocumentKind) -> Vec<ClaimInput> {
    let pairs: &[(&str, &str)] = match kind {
        DocumentKind::IdFront => &[("name", "张三"), ("id_number", ID_NUMBER)],
        DocumentKind::DeedNew => &[("number", "京(2023)朝不动产权第0012345号"), ("holder", "张三"), ("location", "北京市朝阳区甲路1号")],
        _ => &[("code", "91110105MA00000000"), ("name", "好店商贸有限公司"), ("legal_person", "张三")],
    };
    pairs.iter().map(|(name, value)| ClaimInput { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
}

pub(crate) fn attach(application: ApplicationId, kind: DocumentKind) -> Attach {
    Attach { application, kind, claims: claims(kind), image: STANDARD.decode(PAGE).unwrap().into() }
}

pub(crate) fn judgement(verdict: Verdict) -> Judgement {
    let field = |value: &str| Field {
        value: value.to_owned(),
        canonical: value.to_owned(),
        raw: value.to_owned(),
        confidence: 0.7,
        quad: [[9.0, 9.0]; 4],
        checks: Vec::new(),
    };
    let findings = Findings {
        kind: DocumentKind::IdFront,
        kind_confidence: 0.9,
        side: ai::document::Side::None,
        rotation_degrees: 90,
        width: 400,
        height: 320,
        quad: Default::default(),
        quality: Vec::new(),
        authenticity: Vec::new(),
        seal: None,
        specimen: true,
        fields: BTreeMap::from([("name".to_owned(), field("张三")), ("id_number".to_owned(), field("110105194912310021"))]),
        readings: Default::default(),
        lines: Vec::new(),
        stages: Vec::new(),
        models: Vec::new(),
    };
    let reason = Reason { code: "ID_NUMBER_DIFFERS".to_owned(), field: Some("id_number".to_owned()), message: "请核对".to_owned() };
    let compared = |field: &str, outcome, claimed: &str, read: &str| Comparison {
        field: field.to_owned(),
        outcome,
        claimed: claimed.to_owned(),
        read: Some(read.to_owned()),
    };
    let decision = Decision {
        verdict,
        reasons: if verdict == Verdict::Approve { Vec::new() } else { vec![reason] },
        comparisons: vec![
            compared("name", Outcome::Match, "张三", "张三"),
            compared("id_number", Outcome::Differ, ID_NUMBER, "110105194912310021"),
        ],
    };
    Judgement { findings: Some(findings), decision, took_ms: 12 }
}

pub(crate) fn approve(task: TaskId) -> Decide {
    Decide { task, decision: ReviewDecision::Approve, reason_code: None, note: None, idempotency_key: Uuid::now_v7() }
}

pub(crate) fn reject(task: TaskId, code: &str) -> Decide {
    Decide {
        task,
        decision: ReviewDecision::Reject,
        reason_code: Some(code.to_owned()),
        note: Some("看过原图".to_owned()),
        idempotency_key: Uuid::now_v7(),
    }
}

#[tokio::test]
async fn a_handle_keeps_the_role_of_its_first_login() {
    let office = Office::open().await;
    let first = office.identity.login_development("dev:owner:alice").await.unwrap();
    let again = office.identity.login_development("dev:owner:alice").await.unwrap();
    assert_eq!(first.user, again.user);
    assert_ne!(first.token, again.token);
    let refused = office.identity.login_development("dev:reviewer:alice").await;
    assert!(matches!(refused, Err(IdentityError::RoleFixed { .. })), "{refused:?}");
    assert_eq!(office.count("SELECT COUNT(*) FROM sessions").await, 2);
}

#[tokio::test]
async fn a_session_ends_by_logout_and_by_time_and_is_stored_as_a_hash() {
    let office = Office::open().await;
    let one = office.identity.login_development("dev:owner:alice").await.unwrap();
    let two = office.identity.login_development("dev:owner:alice").await.unwrap();
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT token_hash FROM sessions").fetch_all(office.db.pool()).await.unwrap();
    assert!(stored.iter().all(|hash| hash.len() == 32 && hash != one.token.expose().as_bytes()));

    office.identity.logout(one.token.expose()).await.unwrap();
    assert!(office.identity.authenticate(one.token.expose()).await.unwrap().is_none());
    assert!(matches!(office.identity.logout(one.token.expose()).await, Err(IdentityError::NoSession)));
    assert!(office.identity.authenticate(two.token.expose()).await.unwrap().is_some());

    sqlx::query("UPDATE sessions SET expires_at = $1").bind(Clock::wall()).execute(office.db.owner_pool()).await.unwrap();
    assert!(office.identity.authenticate(two.token.expose()).await.unwrap().is_none());
    assert!(office.identity.authenticate("no token at all").await.unwrap().is_none());
}

#[tokio::test]
async fn the_code_login_cannot_be_had_where_it_is_off() {
    let db = database().await;
    let identity = Identity::new(db.pool().clone(), Clock::default(), DevelopmentLogin::Off);
    assert!(identity.development().is_none());
    assert!(matches!(identity.login_development("dev:owner:alice").await, Err(IdentityError::LoginOff)));
}

#[tokio::test]
async fn three_approved_papers_sign_the_merchant_and_open_its_book() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (application, documents) = office.submitted(&owner, "好店一号").await;
    let merchant = application.merchant;
    let store = |name: &str| CreateStore { merchant, name: name.to_owned(), address: "北京市朝阳区甲路1号".to_owned() };

    assert_eq!(application.status, ApplicationStatus::Checking);
    let early = office.merchants.create_store(&owner, store("一店")).await;
    assert!(matches!(early, Err(MerchantError::NotSigned)), "{early:?}");

    for (document, expected) in
        documents.iter().zip([ApplicationStatus::Checking, ApplicationStatus::Checking, ApplicationStatus::Approved])
    {
        let applied = office.judge(document.id, 1, Verdict::Approve).await;
        assert_eq!(applied, Applied::Done { document: DocumentStatus::Approved, application: expected });
    }
    let signed = office.merchants.get(&owner, merchant).await.unwrap();
    assert_eq!((signed.status, signed.fee_bps, signed.settlement_account_tail.as_str()), (MerchantStatus::Signed, 38, "3445"));
    assert!(signed.signed_at.is_some());
    assert_eq!(office.count("SELECT COUNT(*) FROM books").await, 1);
    assert!(office.count("SELECT COUNT(*) FROM accounts").await >= 4);
    assert_eq!(
        office.event_kinds(merchant).await,
        [
            "application.created",
            "application.submitted",
            "document.decided",
            "document.decided",
            "document.decided",
            "application.approved",
            "merchant.signed"
        ]
    );

    let opened = office.merchants.create_store(&owner, store("一店")).await.unwrap();
    assert!(matches!(office.merchants.create_store(&owner, store(" 一店 ")).await, Err(MerchantError::StoreNameTaken)));
    assert_eq!(office.merchants.store(&owner, opened.id).await.unwrap(), opened);
    assert_eq!(office.merchants.stores_of_merchants(&owner, &[merchant]).await.unwrap()[&merchant], [opened]);

    let account = office.merchants.settlement_account(&Actor::System, merchant).await.unwrap();
    assert_eq!((account.holder.as_str(), account.number.as_str()), ("张三", ACCOUNT));
    assert!(matches!(office.merchants.settlement_account(&owner, merchant).await, Err(MerchantError::Forbidden(Forbidden))));
    let late = office.applications.attach(&owner, attach(application.id, DocumentKind::IdFront)).await;
    assert!(matches!(late, Err(OnboardingError::ApplicationApproved)), "{late:?}");
}

#[tokio::test]
async fn a_submission_makes_one_job_for_each_paper_and_needs_all_three() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let draft = office.draft(&owner, "好店一号").await;
    office.attach(&owner, draft.id, DocumentKind::DeedNew).await;
    match office.applications.submit(&owner, draft.id).await {
        Err(OnboardingError::PapersMissing { kinds }) => assert_eq!(kinds, [DocumentKind::IdFront, DocumentKind::BusinessLicence]),
        other => panic!("{other:?}"),
    }
    let id_card = office.attach(&owner, draft.id, DocumentKind::IdFront).await;
    let again = office.attach(&owner, draft.id, DocumentKind::IdFront).await;
    assert_eq!((again.id, again.version, again.status), (id_card.id, 2, DocumentStatus::Uploaded));
    office.attach(&owner, draft.id, DocumentKind::BusinessLicence).await;
    assert_eq!(office.count("SELECT COUNT(*) FROM jobs").await, 0);

    office.applications.submit(&owner, draft.id).await.unwrap();
    let jobs: Vec<(String, uuid::Uuid)> = sqlx::query_as("SELECT kind, book_id FROM jobs").fetch_all(office.db.pool()).await.unwrap();
    assert_eq!(jobs, vec![(REVIEW_JOB.to_owned(), draft.merchant.0); 3]);
    let twice = office.applications.submit(&owner, draft.id).await;
    assert!(matches!(twice, Err(OnboardingError::AlreadySubmitted { status: ApplicationStatus::Checking })), "{twice:?}");
    assert_eq!(office.count("SELECT COUNT(*) FROM jobs").await, 3);

    let loaded = office.applications.load_for_review(again.id).await.unwrap().unwrap();
    assert_eq!((loaded.version, loaded.kind), (2, DocumentKind::IdFront));
    assert_eq!(loaded.claims.0["id_number"], ID_NUMBER);
    assert!(loaded.image.starts_with(b"\xFF\xD8\xFF"), "the stored image is the re-encoded one");
}

#[tokio::test]
async fn a_verdict_twice_or_on_a_replaced_version_changes_nothing() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (application, documents) = office.submitted(&owner, "好店一号").await;
    let id = documents[0].id;
    office.judge(id, 1, Verdict::Reject).await;
    assert_eq!(office.judge(id, 1, Verdict::Approve).await, Applied::AlreadyJudged);
    assert_eq!(office.document(id).await.status, DocumentStatus::Rejected);
    assert!(office.applications.load_for_review(id).await.unwrap().is_none(), "nothing waits");

    let corrected = office.applications.correct_claims(&owner, id, &claims(DocumentKind::IdFront)).await.unwrap();
    assert_eq!((corrected.version, corrected.status), (2, DocumentStatus::Checking));
    assert!(corrected.reasons.is_empty());
    assert_eq!(office.judge(id, 1, Verdict::Approve).await, Applied::Superseded);
    assert_eq!(office.document(id).await.status, DocumentStatus::Checking);
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Checking);
    assert_eq!(office.count("SELECT COUNT(*) FROM document_findings").await, 1);
    assert_eq!(office.count("SELECT COUNT(*) FROM jobs").await, 4);

    // the version judged while the correction came in at the same time: whichever commits first, the newest version counts
    let (one, two) = tokio::join!(office.applications.apply_decision(id, 2, judgement(Verdict::Approve)), async {
        office.applications.correct_claims(&owner, id, &claims(DocumentKind::IdFront)).await
    });
    let document = office.document(id).await;
    match (one.unwrap(), two) {
        (Applied::Done { .. }, Err(OnboardingError::DocumentApproved)) => assert_eq!(document.status, DocumentStatus::Approved),
        (Applied::Superseded, Ok(_)) => assert_eq!((document.status, document.version), (DocumentStatus::Checking, 3)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_paper_asks_for_a_correction_when_nothing_is_being_checked() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (application, documents) = office.submitted(&owner, "好店一号").await;
    office.judge(documents[0].id, 1, Verdict::Reject).await;
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Checking);
    office.judge(documents[1].id, 1, Verdict::Review).await;
    office.judge(documents[2].id, 1, Verdict::Reupload).await;
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::NeedsCorrection);
    let refused = office.document(documents[0].id).await;
    assert_eq!(refused.reasons[0].field.as_deref(), Some("id_number"));

    let replaced = office.attach(&owner, application.id, DocumentKind::BusinessLicence).await;
    assert_eq!((replaced.version, replaced.status), (2, DocumentStatus::Checking));
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Checking);
}

#[tokio::test]
async fn one_of_two_reviewers_gets_the_task_and_a_run_out_claim_is_free() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (rui, lin) = (office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await);
    let (_, _, task) = office.in_review(&owner, "好店一号").await;

    let (one, two) = tokio::join!(office.reviews.claim(&rui, task), office.reviews.claim(&lin, task));
    let (holder, other) = match (one, two) {
        (Ok(_), Err(ReviewError::AlreadyClaimed { .. })) => (&rui, &lin),
        (Err(ReviewError::AlreadyClaimed { .. }), Ok(_)) => (&lin, &rui),
        both => panic!("{both:?}"),
    };
    office.reviews.claim(holder, task).await.expect("one's own claim is renewed");
    assert!(matches!(office.reviews.decide(other, approve(task)).await, Err(ReviewError::AlreadyClaimed { .. })));
    assert!(matches!(office.reviews.release(other, task).await, Err(ReviewError::NotClaimed)));

    office.let_claim_run_out(task).await;
    assert!(matches!(office.reviews.decide(holder, approve(task)).await, Err(ReviewError::LeaseExpired)));
    assert!(matches!(office.reviews.image(holder, task, View::Original).await, Err(ReviewError::LeaseExpired)));
    assert_eq!(office.reviews.queue(holder, None, 10).await.unwrap().items[0].status, TaskStatus::Open);
    office.reviews.claim(other, task).await.unwrap();
    office.reviews.release(other, task).await.unwrap();
    assert!(matches!(office.reviews.decide(other, approve(task)).await, Err(ReviewError::NotClaimed)));
}

#[tokio::test]
async fn an_approval_by_a_person_signs_and_a_rejection_names_its_reason() {
    let office = Office::open().await;
    let (alice, bob) = (office.person("dev:owner:alice").await, office.person("dev:owner:bob").await);
    let rui = office.person("dev:reviewer:rui").await;

    let (application, document, task) = office.in_review(&alice, "好店一号").await;
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::InReview);
    office.reviews.claim(&rui, task).await.unwrap();
    office.reviews.decide(&rui, approve(task)).await.unwrap();
    assert_eq!(office.document(document.id).await.status, DocumentStatus::Approved);
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::Approved);
    assert_eq!(office.merchants.get(&alice, application.merchant).await.unwrap().status, MerchantStatus::Signed);
    assert!(matches!(office.reviews.decide(&rui, approve(task)).await, Err(ReviewError::AlreadyDecided)));

    let (application, document, task) = office.in_review(&bob, "好店二号").await;
    office.reviews.claim(&rui, task).await.unwrap();
    let bare = Decide { reason_code: None, ..reject(task, "") };
    assert!(matches!(office.reviews.decide(&rui, bare).await, Err(ReviewError::ReasonRequired)));
    assert!(matches!(office.reviews.decide(&rui, reject(task, "NO_SUCH_CODE")).await, Err(ReviewError::UnknownReason)));
    let decided = office.reviews.decide(&rui, reject(task, "UNREADABLE")).await.unwrap();
    assert_eq!((decided.status, decided.reason_code.as_deref()), (TaskStatus::Decided, Some("UNREADABLE")));
    let refused = office.document(document.id).await;
    assert_eq!((refused.status, refused.reasons[0].code.as_str()), (DocumentStatus::Rejected, "UNREADABLE"));
    assert_eq!(office.application(application.id).await.status, ApplicationStatus::NeedsCorrection);
    assert_eq!(office.count("SELECT COUNT(*) FROM audit_events WHERE action = 'review.decided'").await, 2);
}

#[tokio::test]
async fn a_decision_on_a_replaced_paper_is_refused() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let (application, document, task) = office.in_review(&owner, "好店一号").await;
    office.reviews.claim(&rui, task).await.unwrap();
    office.attach(&owner, application.id, DocumentKind::IdFront).await;

    assert!(matches!(office.reviews.decide(&rui, approve(task)).await, Err(ReviewError::Superseded)));
    assert!(matches!(office.reviews.claim(&rui, task).await, Err(ReviewError::Superseded)));
    assert!(office.reviews.queue(&rui, None, 10).await.unwrap().items.is_empty());
    assert_eq!(office.document(document.id).await.status, DocumentStatus::Checking);
    office.judge(document.id, 2, Verdict::Review).await;
    assert_ne!(office.task_of(document.id).await, task, "the new version has a task of its own");
}

#[tokio::test]
async fn a_reviewer_sees_masked_values_until_the_task_is_theirs() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let (rui, lin) = (office.person("dev:reviewer:rui").await, office.person("dev:reviewer:lin").await);
    let (_, _, task) = office.in_review(&owner, "好店一号").await;
    let number = async |actor: &Actor| {
        let view = office.reviews.task(actor, task).await.unwrap();
        let field = view.fields.iter().find(|f| f.name == "id_number").unwrap().clone();
        (field.masked, field.claimed.unwrap(), field.read.unwrap(), field.outcome)
    };
    let masked = (true, "110***********002X".to_owned(), "110***********0021".to_owned(), Some(Outcome::Differ));
    assert_eq!(number(&rui).await, masked);
    assert!(matches!(office.reviews.image(&rui, task, View::Original).await, Err(ReviewError::NotClaimed)));

    let number_alone = ["id_number".to_owned()];
    assert!(matches!(office.reviews.reveal(&rui, task, &number_alone).await, Err(ReviewError::NotClaimed)));
    office.reviews.claim(&rui, task).await.unwrap();
    assert_eq!(number(&rui).await, masked, "a claim shows no value by itself");
    for wrong in [&[][..], &["holder".to_owned()], &["id_number".to_owned(), "x".to_owned()]] {
        assert!(matches!(office.reviews.reveal(&rui, task, wrong).await, Err(ReviewError::UnknownField)), "{wrong:?}");
    }
    assert!(matches!(office.reviews.reveal(&lin, task, &number_alone).await, Err(ReviewError::AlreadyClaimed { .. })));
    office.reviews.reveal(&rui, task, &number_alone).await.unwrap();
    let shown = "SELECT COUNT(*) FROM audit_events WHERE action = 'review.revealed' AND detail -> 'fields' = '[\"id_number\"]'";
    assert_eq!(office.count(shown).await, 1);
    let name = office.reviews.task(&rui, task).await.unwrap().fields[0].clone();
    assert_eq!((name.name, name.claimed.as_deref()), ("name", Some("张**")), "one value shown shows no other");
    assert_eq!(number(&rui).await, (false, ID_NUMBER.to_owned(), "110105194912310021".to_owned(), Some(Outcome::Differ)));
    assert_eq!(number(&lin).await, masked);
    assert!(matches!(office.reviews.image(&lin, task, View::Original).await, Err(ReviewError::AlreadyClaimed { .. })));

    let view = office.reviews.task(&rui, task).await.unwrap();
    let image = office.reviews.image(&rui, task, View::Original).await.unwrap();
    assert!(office.reviews.image(&rui, task, View::SealRemoved).await.unwrap().starts_with(&[0xFF, 0xD8]));
    let facts = ai::image::inspect(&image).unwrap();
    assert_eq!((facts.width, facts.height), (view.image_width, view.image_height), "the image is given upright");
    assert_eq!(office.count("SELECT COUNT(*) FROM audit_events WHERE action = 'review.image_viewed'").await, 2);

    office.reviews.release(&rui, task).await.unwrap();
    assert_eq!(number(&rui).await, masked, "what was shown is hidden again with the claim");
}

#[tokio::test]
async fn the_queue_is_read_in_pages_by_due_time() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let (_, documents) = office.submitted(&owner, "好店一号").await;
    for document in &documents {
        office.judge(document.id, 1, Verdict::Review).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = office.reviews.queue(&rui, after, 2).await.unwrap();
        seen.extend(page.items.iter().map(|task| task.document));
        after = page.items.last().map(QueueCursor::from);
        if !page.has_next {
            break;
        }
    }
    assert_eq!(seen, documents.iter().map(|d| d.id).collect::<Vec<_>>());
    for stranger in [owner, office.person("dev:operator:ops").await, Actor::System] {
        assert!(matches!(office.reviews.queue(&stranger, None, 2).await, Err(ReviewError::Forbidden(Forbidden))));
    }
}

#[tokio::test]
async fn what_belongs_to_another_looks_like_what_is_missing() {
    let office = Office::open().await;
    let (alice, mallory) = (office.person("dev:owner:alice").await, office.person("dev:owner:mallory").await);
    let (application, documents) = office.submitted(&alice, "好店一号").await;
    for id in [application.id, ApplicationId::new()] {
        assert!(matches!(office.applications.get(&mallory, id).await, Err(OnboardingError::NotFound)));
        assert!(matches!(office.applications.submit(&mallory, id).await, Err(OnboardingError::NotFound)));
        assert!(matches!(office.applications.attach(&mallory, attach(id, DocumentKind::IdFront)).await, Err(OnboardingError::NotFound)));
    }
    for id in [documents[0].id, DocumentId::new()] {
        assert!(matches!(office.applications.document(&mallory, id).await, Err(OnboardingError::NotFound)));
        let corrected = office.applications.correct_claims(&mallory, id, &claims(DocumentKind::IdFront)).await;
        assert!(matches!(corrected, Err(OnboardingError::NotFound)));
    }
    for id in [application.merchant, MerchantId::new()] {
        assert!(matches!(office.merchants.get(&mallory, id).await, Err(MerchantError::NotFound)));
        let store = CreateStore { merchant: id, name: "一店".to_owned(), address: "北京市朝阳区".to_owned() };
        assert!(matches!(office.merchants.create_store(&mallory, store).await, Err(MerchantError::NotFound)));
    }
    assert!(matches!(office.merchants.store(&mallory, StoreId::new()).await, Err(MerchantError::NotFound)));
    assert!(office.merchants.merchants_by_ids(&mallory, &[application.merchant]).await.unwrap().is_empty());
    assert!(office.applications.applications_of_merchants(&mallory, &[application.merchant]).await.unwrap().is_empty());
    assert!(office.applications.documents_of_applications(&mallory, &[application.id]).await.unwrap().is_empty());
    let reviewer = office.person("dev:reviewer:rui").await;
    assert!(matches!(office.applications.submit(&reviewer, application.id).await, Err(OnboardingError::Forbidden(Forbidden))));
    assert!(matches!(office.reviews.task(&reviewer, TaskId::new()).await, Err(ReviewError::NotFound)));
    assert!(office.applications.documents_of_applications(&reviewer, &[application.id]).await.unwrap().is_empty());
    assert!(matches!(office.applications.document(&reviewer, documents[0].id).await, Err(OnboardingError::Forbidden(Forbidden))));
}

#[tokio::test]
async fn bad_input_is_refused_by_name_and_leaves_nothing() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let refused = office.applications.create(&owner, application("店")).await;
    match refused {
        Err(OnboardingError::Line(line)) => {
            assert_eq!((line.field, line.problem), ("merchant_name", LineProblem::Length { min: 2, max: 64 }));
        }
        other => panic!("{other:?}"),
    }
    let short = CreateApplication { settlement_account_number: "1234567".to_owned(), ..application("好店一号") };
    assert!(matches!(office.applications.create(&owner, short).await, Err(OnboardingError::SettlementAccountNumber)));
    assert_eq!(office.count("SELECT COUNT(*) FROM merchants").await, 0);

    let draft = office.draft(&owner, "好店一号").await;
    assert!(matches!(office.applications.create(&owner, application(" 好店一号")).await, Err(OnboardingError::MerchantNameTaken)));

    let page = STANDARD.decode(PAGE).unwrap();
    type Refusal = fn(&ImageError) -> bool;
    let images: [(Vec<u8>, Refusal); 4] = [
        (Vec::new(), |e| matches!(e, ImageError::Empty)),
        (b"%PDF-1.7 named .jpg".to_vec(), |e| matches!(e, ImageError::UnsupportedType { .. })),
        (page[..page.len() / 2].to_vec(), |_| true),
        (b"no image".to_vec(), |e| matches!(e, ImageError::NotAnImage)),
    ];
    for (image, expected) in images {
        let command = Attach { image: image.into(), ..attach(draft.id, DocumentKind::IdFront) };
        match office.applications.attach(&owner, command).await {
            Err(OnboardingError::Image(error)) => assert!(expected(&error), "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    let unasked = office.applications.prepare_attach(&owner, draft.id, DocumentKind::Other, &[]).await;
    assert!(matches!(unasked, Err(OnboardingError::KindNotAsked { .. })));
    let unclaimed = office.applications.prepare_attach(&owner, draft.id, DocumentKind::IdFront, &[]).await;
    match unclaimed {
        Err(OnboardingError::Claim(claim)) => assert_eq!((claim.field.as_str(), claim.problem), ("name", ClaimProblem::Missing)),
        other => panic!("{other:?}"),
    }
    assert_eq!(office.count("SELECT COUNT(*) FROM documents").await, 0);
    assert_eq!(std::fs::read_dir(&office.folder).unwrap().count(), 0, "no file was written");
}

#[tokio::test]
async fn nothing_personal_is_stored_in_the_clear() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    office.in_review(&owner, "好店一号").await;
    for table in ["merchants", "document_versions", "document_findings", "documents", "review_tasks", "outbox", "audit_events", "jobs"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT to_jsonb(t)::text FROM {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(office.db.owner_pool()).await.unwrap();
        assert!(!rows.is_empty() || table == "jobs", "{table}");
        for secret in ["张三", ID_NUMBER, ACCOUNT, "110105194912310021"] {
            // bytea columns are shown in hexadecimal
            let hidden = hex::encode(secret);
            assert!(rows.iter().all(|row| !row.contains(secret) && !row.contains(&hidden)), "{table} holds {secret}");
        }
    }
    // what was found and handed in cannot be rewritten with the application's rights
    for sql in ["DELETE FROM document_findings", "UPDATE document_findings SET took_ms = 0", "UPDATE document_versions SET width = 1"] {
        assert!(sqlx::query(sql).execute(office.db.pool()).await.is_err(), "{sql}");
    }
}
