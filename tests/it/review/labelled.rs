//! Corrections, and the set that is exported of them.

use std::collections::BTreeMap;

use ai::document::DocumentKind;
use merchant::badcase::{BadCaseError, BadCases, Correct, TrueValue};
use merchant::review::ReviewError;
use uuid::Uuid;
use wallet::base::actor::Forbidden;
use wallet::base::clock::Clock;

use super::*;

fn cases(office: &Office) -> BadCases {
    BadCases::new(office.db.pool().clone(), Clock::default(), office.vault.clone(), office.files.clone())
}

fn correct(task: TaskId, kind: Option<DocumentKind>, values: &[(&str, &str)]) -> Correct {
    let values = values.iter().map(|(field, value)| TrueValue { field: (*field).to_owned(), value: (*value).to_owned() }).collect();
    Correct { task, kind, values, idempotency_key: Uuid::now_v7() }
}

#[tokio::test]
async fn a_correction_is_kept_sealed_with_the_models_and_exported_as_a_specimen() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let operator = office.person("dev:operator:ops").await;
    let (_, _, task) = office.in_review(&owner, "好店一号").await;
    let cases = cases(&office);
    let number = [("id_number", "11010519491231002X")];
    let early = cases.correct(&rui, correct(task, None, &number)).await;
    assert!(matches!(early, Err(BadCaseError::Task(ReviewError::NotClaimed))), "{early:?}");
    office.reviews.claim(&rui, task).await.unwrap();
    let same = cases.correct(&rui, correct(task, None, &[("name", "张三")])).await;
    assert!(matches!(same, Err(BadCaseError::NothingCorrected)), "{same:?}");
    let command = correct(task, None, &number);
    let case = cases.correct(&rui, command.clone()).await.unwrap();
    assert_eq!(cases.correct(&rui, command).await.unwrap(), case, "the same key, the same case");
    assert_eq!((case.kind, case.fields.clone()), (DocumentKind::IdFront, vec!["id_number".to_owned()]));
    assert_eq!(office.count("SELECT COUNT(*) FROM bad_cases").await, 1);
    for table in ["bad_cases", "audit_events", "idempotency_keys"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT to_jsonb(t)::text FROM {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(office.db.owner_pool()).await.unwrap();
        assert!(rows.iter().all(|row| !row.contains(number[0].1) && !row.contains("张三")), "{table} holds a value");
    }

    // a later look adds to the first
    cases.correct(&rui, correct(task, None, &[("address", "北京市朝阳区甲路1号"), ("sex", "")])).await.unwrap();
    let folder = office.folder.join("set");
    for stranger in [&owner, &rui, &Actor::System] {
        assert!(matches!(cases.export(stranger, &folder).await, Err(BadCaseError::Forbidden(Forbidden))));
        assert!(matches!(cases.list(stranger, None, 10).await, Err(BadCaseError::Forbidden(Forbidden))));
    }
    // an export that died has left something
    std::fs::create_dir_all(office.folder.join("set.partial")).unwrap();
    std::fs::write(office.folder.join("set.partial/half.jpg"), b"half").unwrap();
    assert_eq!(cases.export(&operator, &folder).await.unwrap().pages, 1);
    assert!(!office.folder.join("set.partial").exists());
    let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [format!("badcase-{}.jpg", case.id), format!("badcase-{}.json", case.id)]);
    assert!(std::fs::read(folder.join(&names[0])).unwrap().starts_with(&[0xFF, 0xD8, 0xFF]));
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join(&names[1])).unwrap()).unwrap();
    let fields: BTreeMap<String, String> = serde_json::from_value(truth["fields"].clone()).unwrap();
    assert_eq!(
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(),
        [("address", "北京市朝阳区甲路1号"), ("id_number", "11010519491231002X"), ("name", "张三")],
        "what was corrected, and what reader and merchant agree on"
    );
    assert_eq!((&truth["doc_type"], &truth["condition"], &truth["rotation"]), (&"id_front".into(), &"badcase".into(), &270.into()));
    assert_eq!(truth["absent"], serde_json::json!(["sex"]));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(&names[0]))), (0o700, 0o600));

    assert!(matches!(cases.export(&operator, &folder).await, Err(BadCaseError::FolderTaken)));
    assert_eq!(office.count("SELECT COUNT(*) FROM audit_events WHERE action = 'badcases.exported'").await, 1);
    assert_eq!(office.count("SELECT COUNT(*) FROM audit_events WHERE action = 'review.corrected'").await, 2);
    assert_eq!(cases.list(&operator, None, 1).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_page_of_another_kind_starts_its_truth_anew() {
    let office = Office::open().await;
    let owner = office.person("dev:owner:alice").await;
    let rui = office.person("dev:reviewer:rui").await;
    let operator = office.person("dev:operator:ops").await;
    let (_, _, task) = office.in_review(&owner, "好店一号").await;
    office.reviews.claim(&rui, task).await.unwrap();
    let cases = cases(&office);
    cases.correct(&rui, correct(task, None, &[("id_number", "11010519491231002X")])).await.unwrap();
    cases.correct(&rui, correct(task, Some(DocumentKind::TempId), &[("name", "张三")])).await.unwrap();
    let folder = office.folder.join("set");
    cases.export(&operator, &folder).await.unwrap();
    let json = folder.read_dir().unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "json")).unwrap();
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((&truth["doc_type"], &truth["fields"]), (&"temp_id".into(), &serde_json::json!({ "name": "张三" })));
    // a lost claim corrects nothing
    office.let_claim_run_out(task).await;
    let late = cases.correct(&rui, correct(task, None, &[("name", "李四")])).await;
    assert!(matches!(late, Err(BadCaseError::Task(ReviewError::LeaseExpired))), "{late:?}");
}
