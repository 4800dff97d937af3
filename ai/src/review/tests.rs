//! The decision table.

use super::*;
use crate::{
    document::{Check, Side},
    error::{Cause, Stage},
    image::ImageError,
};

const NUMBER: &str = "11010519491231002X";
const OTHER_NUMBER: &str = "440524188001010014";

fn field(value: &str, confidence: f32, checks: &[(&str, bool)]) -> Field {
    let checks = checks.iter().map(|(name, passed)| Check { name: (*name).to_owned(), passed: *passed }).collect();
    Field { value: value.to_owned(), canonical: value.to_owned(), raw: value.to_owned(), confidence, quad: Default::default(), checks }
}

fn findings(kind: DocumentKind, fields: Vec<(&str, Field)>) -> Findings {
    Findings {
        kind,
        kind_confidence: 0.95,
        side: Side::None,
        rotation_degrees: 0,
        width: 1000,
        height: 700,
        quad: Default::default(),
        quality: vec![],
        authenticity: vec![],
        seal: None,
        specimen: false,
        fields: fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect(),
        readings: Default::default(),
        lines: vec![],
        stages: vec![],
        models: vec![],
    }
}

fn id_card() -> Findings {
    let number = field(NUMBER, 0.97, &[("check_digit", true)]);
    findings(DocumentKind::IdFront, vec![("name", field("张三", 0.98, &[])), ("id_number", number)])
}

fn claims(pairs: &[(&str, &str)]) -> Claims {
    Claims(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn right_claims() -> Claims {
    claims(&[("name", "张三"), ("id_number", NUMBER)])
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 6, 1).unwrap()
}

/// The shipped policy, but for the thresholds that were measured: the table below is about the rules.
fn by_hand() -> Policy {
    Policy { calibrated: BTreeMap::new(), ..Policy::default() }
}

fn decided(findings: &Findings, claims: &Claims) -> Decision {
    decide(findings, DocumentKind::IdFront, claims, &by_hand(), today())
}

/// Verdict and reasons as `CODE(field)`.
fn short(decision: &Decision) -> (Verdict, Vec<String>) {
    let reason = |reason: &Reason| match &reason.field {
        Some(field) => format!("{}({field})", reason.code),
        None => reason.code.clone(),
    };
    (decision.verdict, decision.reasons.iter().map(reason).collect())
}

#[track_caller]
fn check(findings: &Findings, claims: &Claims, verdict: Verdict, reasons: &[&str]) {
    let decision = decided(findings, claims);
    assert_eq!(short(&decision), (verdict, reasons.iter().map(|reason| (*reason).to_owned()).collect()));
}

#[test]
fn a_side_that_shows_nothing_of_what_is_compared_goes_back_at_once() {
    let cover = |side, fields| Findings { side, ..findings(DocumentKind::DeedNew, fields) };
    let told = claims(&[("number", "川（2023）成都市不动产权第0012345号"), ("holder", "张三"), ("location", "样本路88号")]);
    let decided = |page: &Findings, told: &Claims| decide(page, DocumentKind::DeedNew, told, &by_hand(), today());
    let printed = || vec![("print_number", field("D44060645462", 0.99, &[]))];
    for told in [&told, &Claims::default()] {
        let decision = decided(&cover(Side::Cover, printed()), told);
        assert_eq!((decision.verdict, decision.reasons[0].code.as_str()), (Verdict::Reupload, "WRONG_SIDE"));
        assert_eq!(decision.reasons[0].message, "上传的是不动产权证书的扉页，请拍摄载有权利人和坐落的内页上传");
    }
    assert_eq!(decided(&cover(Side::None, printed()), &told).verdict, Verdict::Review, "a table of which nothing was read");
    let with_holder = vec![("holder", field("张三", 0.99, &[]))];
    assert_eq!(decided(&cover(Side::Cover, with_holder), &told).verdict, Verdict::Review, "something of it is there");
    let back = Findings { side: Side::Back, ..findings(DocumentKind::TempId, vec![("issuer", field("沈阳市公安局", 0.99, &[]))]) };
    let decision = decide(&back, DocumentKind::TempId, &right_claims(), &by_hand(), today());
    assert_eq!((decision.verdict, decision.reasons[0].code.as_str()), (Verdict::Reupload, "WRONG_SIDE"));
    let own = Findings { side: Side::Back, ..findings(DocumentKind::IdBack, vec![]) };
    let told = claims(&[("issuer", "沈阳市公安局"), ("valid_period", "2020.01.01-2040.01.01")]);
    assert_eq!(decide(&own, DocumentKind::IdBack, &told, &by_hand(), today()).verdict, Verdict::Review, "the side that was asked for");
}

#[test]
fn everything_equal_is_approved() {
    check(&id_card(), &right_claims(), Verdict::Approve, &[]);
    let outcomes: Vec<Outcome> = decided(&id_card(), &right_claims()).comparisons.iter().map(|c| c.outcome).collect();
    assert_eq!(outcomes, [Outcome::Match, Outcome::Match]);
}

#[test]
fn a_proven_number_that_differs_is_refused_without_showing_it() {
    let wrong = claims(&[("name", "张三"), ("id_number", OTHER_NUMBER)]);
    check(&id_card(), &wrong, Verdict::Reject, &["ID_NUMBER_DIFFERS(id_number)"]);
    let message = &decided(&id_card(), &wrong).reasons[0].message;
    assert_eq!(message, "身份证号码与证件不一致，请核对填写的号码后重新提交");
    assert!(!message.contains(NUMBER) && !message.contains(OTHER_NUMBER));
}

#[test]
fn a_differing_number_that_is_not_proven_goes_to_a_person() {
    let wrong = claims(&[("name", "张三"), ("id_number", OTHER_NUMBER)]);
    let mut doubtful = id_card();
    doubtful.fields.get_mut("id_number").unwrap().confidence = 0.7;
    check(&doubtful, &wrong, Verdict::Review, &["ID_NUMBER_DIFFERS(id_number)"]);
    let mut failed = id_card();
    failed.fields.get_mut("id_number").unwrap().checks[0].passed = false;
    check(&failed, &wrong, Verdict::Review, &["ID_NUMBER_DIFFERS(id_number)", "CHECK_FAILED(id_number)"]);
    let mut blurred = id_card();
    blurred.quality = vec![QualityFlag::Blurred];
    check(&blurred, &wrong, Verdict::Review, &["BLURRED", "ID_NUMBER_DIFFERS(id_number)"]);
    let mut faint = id_card();
    faint.fields.get_mut("id_number").unwrap().confidence = 0.3;
    check(&faint, &wrong, Verdict::Review, &["FIELD_UNREADABLE(id_number)", "LOW_CONFIDENCE(id_number)"]);
}

#[test]
fn a_name_that_differs_goes_to_a_person() {
    check(&id_card(), &claims(&[("name", "张叁"), ("id_number", NUMBER)]), Verdict::Review, &["NAME_DIFFERS(name)"]);
}

#[test]
fn missing_and_doubtful_fields_go_to_a_person() {
    let mut page = id_card();
    page.fields.remove("name");
    check(&page, &right_claims(), Verdict::Review, &["FIELD_UNREADABLE(name)"]);
    assert_eq!(decided(&page, &right_claims()).comparisons[0].outcome, Outcome::Absent);
    let mut page = id_card();
    page.fields.get_mut("name").unwrap().confidence = 0.4;
    check(&page, &right_claims(), Verdict::Review, &["LOW_CONFIDENCE(name)"]);
    check(&id_card(), &claims(&[("id_number", NUMBER)]), Verdict::Review, &["CLAIM_MISSING(name)"]);
    check(&id_card(), &claims(&[("id_number", NUMBER), ("name", "  ")]), Verdict::Review, &["CLAIM_MISSING(name)"]);
}

#[test]
fn a_poor_picture_goes_to_a_person_even_when_everything_is_equal() {
    for (flag, code) in
        [(QualityFlag::Blurred, "BLURRED"), (QualityFlag::Dark, "DARK"), (QualityFlag::Glare, "GLARE"), (QualityFlag::Small, "TOO_SMALL")]
    {
        let mut page = id_card();
        page.quality = vec![flag];
        check(&page, &right_claims(), Verdict::Review, &[code]);
    }
}

#[test]
fn the_wrong_paper_is_refused_unless_the_picture_is_poor() {
    let mut page = id_card();
    page.kind = DocumentKind::BusinessLicence;
    check(&page, &right_claims(), Verdict::Reject, &["KIND_MISMATCH"]);
    page.kind_confidence = 0.3;
    check(&page, &right_claims(), Verdict::Review, &["KIND_MISMATCH"]);
    page.kind_confidence = 0.95;
    page.kind = DocumentKind::Other;
    page.quality = vec![QualityFlag::Blurred];
    check(&page, &right_claims(), Verdict::Review, &["BLURRED", "KIND_MISMATCH"]);
}

#[test]
fn a_specimen_passes_only_where_allowed() {
    let mut page = id_card();
    page.specimen = true;
    check(&page, &right_claims(), Verdict::Review, &["SPECIMEN_NOT_ALLOWED"]);
    let policy = Policy { allow_specimen: true, ..by_hand() };
    let decision = decide(&page, DocumentKind::IdFront, &right_claims(), &policy, today());
    assert_eq!(decision.verdict, Verdict::Approve);
}

#[test]
fn an_expired_licence_is_refused() {
    let licence = |term: &str| {
        findings(
            DocumentKind::BusinessLicence,
            vec![
                ("code", field("91440300708461136T", 0.97, &[("check_digit", true)])),
                ("name", field("样本有限公司", 0.97, &[])),
                ("legal_person", field("张三", 0.97, &[])),
                ("term", field(term, 0.97, &[])),
            ],
        )
    };
    let claims = claims(&[("code", "91440300708461136T"), ("name", "样本有限公司"), ("legal_person", "张三")]);
    for (term, verdict) in [
        ("2019年3月5日至2026年6月1日", Verdict::Approve),
        ("2019年3月5日至2026年5月31日", Verdict::Reject),
        ("2019年3月5日至长期", Verdict::Approve),
        ("无法辨认", Verdict::Approve),
    ] {
        let decision = decide(&licence(term), DocumentKind::BusinessLicence, &claims, &by_hand(), today());
        assert_eq!(decision.verdict, verdict, "{term}");
    }
}

#[test]
fn a_failed_stage_is_never_an_empty_result() {
    let broken = StageError { stage: Stage::Decode, cause: Cause::Image(ImageError::Truncated) };
    assert_eq!(short(&stage_failed(&broken)), (Verdict::Reupload, vec!["IMAGE_UNREADABLE".to_owned()]));
    let failed = StageError { stage: Stage::Detect, cause: Cause::Shape(vec![1, 2]) };
    assert_eq!(short(&stage_failed(&failed)), (Verdict::Review, vec!["STAGE_FAILED".to_owned()]));
}

#[test]
fn the_policy_is_data() {
    let text = serde_json::to_string(&Policy::default()).unwrap();
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), Policy::default());
    assert!(serde_json::from_str::<Policy>(r#"{"confidence_minimum": 1}"#).is_err(), "a misspelt key is an error");
    assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
}

#[test]
fn what_only_a_person_can_judge_goes_to_a_person_with_advice() {
    let uncertain = Findings { kind_confidence: 0.4, ..id_card() };
    check(&uncertain, &right_claims(), Verdict::Review, &["KIND_UNCERTAIN"]);
    let several = Findings { quality: vec![QualityFlag::Several], ..id_card() };
    check(&several, &right_claims(), Verdict::Review, &["SEVERAL_DOCUMENTS"]);
    let signs = Findings { authenticity: vec![AuthenticityFlag::PartlyOccluded, AuthenticityFlag::Edited], ..id_card() };
    check(&signs, &right_claims(), Verdict::Review, &["PARTLY_OCCLUDED", "EDITED"]);
    for findings in [uncertain, several, signs] {
        // Every one of these says what to do, and none says what a differing field would.
        assert!(decided(&findings, &right_claims()).reasons.iter().all(|reason| reason.message.contains("上传")));
    }
    assert!(QualityFlag::Several.advice().contains("一个证件"));
}

#[test]
fn the_thresholds_that_were_measured_keep_the_stated_risk_and_take_the_place_of_the_one_by_hand() {
    let policy = Policy::default();
    assert!(!policy.calibrated.is_empty());
    for (kind, threshold) in &policy.calibrated {
        let bound = calibrate::upper_bound(threshold.wrong, threshold.pages, calibrate::CONFIDENCE);
        assert!(bound <= RISK && (bound - threshold.bound).abs() < 1e-3, "{kind}: {threshold:?} {bound}");
        assert_eq!(policy.confidence_min(*kind), threshold.confidence_min);
    }
    let threshold = Threshold { confidence_min: 0.98, pages: 100, wrong: 0, bound: 0.03 };
    let strict = Policy { calibrated: BTreeMap::from([(DocumentKind::IdFront, threshold)]), ..Policy::default() };
    let decision = decide(&id_card(), DocumentKind::IdFront, &right_claims(), &strict, today());
    assert_eq!(short(&decision), (Verdict::Review, vec!["LOW_CONFIDENCE(id_number)".to_owned()]));
    assert_eq!(strict.confidence_min(DocumentKind::IdBack), strict.confidence_min);
}

/// The share of misread pages for which `[calibrated]` of the policy was chosen.
const RISK: f64 = 0.05;
