//! Bad uploads: a code and a sentence each, nothing stored, and the same ticket still takes the good picture.

use serde_json::json;
use tests::papers;
use tests::{Caller, TestApp};

/// (what, caller, ticket, content type, bytes, status, code)
type Upload<'a> = (&'a str, &'a Caller, &'a str, &'a str, Vec<u8>, u16, &'a str);

#[tokio::test]
async fn every_bad_upload_is_refused_with_a_code_and_stores_nothing() {
    let app = TestApp::start().await;
    app.stop_work().await;
    let owner = app.owner().await;
    let application = app.applying_merchant(&owner, "空白申请", "6222020200001123456").await.0;
    let paper = papers::clean().iter().find(|p| p.kind == "ID_FRONT").unwrap();
    let ticket = ticket(&app, &owner, &application).await;
    let stranger = app.stranger().await;
    let image = || paper.image.clone();
    let before = (app.state().await, stored_files(&app));

    let jpeg = "image/jpeg";
    let cases: Vec<Upload<'_>> = vec![
        ("an empty file", &owner, &ticket, jpeg, Vec::new(), 422, "INPUT_EMPTY"),
        ("a PDF named .jpg", &owner, &ticket, jpeg, b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n".to_vec(), 415, "INPUT_IMAGE_TYPE"),
        ("a web page", &owner, &ticket, jpeg, b"<html><script>alert(1)</script>".to_vec(), 415, "INPUT_IMAGE_TYPE"),
        ("a GIF", &owner, &ticket, jpeg, b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec(), 415, "INPUT_IMAGE_TYPE"),
        ("a truncated JPEG", &owner, &ticket, jpeg, image()[..image().len() / 2].to_vec(), 422, "INPUT_IMAGE_TRUNCATED"),
        ("a JPEG cut after its first bytes", &owner, &ticket, jpeg, image()[..20].to_vec(), 422, "INPUT_IMAGE_DAMAGED"),
        ("200 megapixels", &owner, &ticket, jpeg, header_of(20_000, 10_000), 422, "INPUT_IMAGE_TOO_LARGE"),
        ("65535 × 65535 pixels", &owner, &ticket, jpeg, header_of(65_535, 65_535), 422, "INPUT_IMAGE_TOO_LARGE"),
        ("a stamp", &owner, &ticket, jpeg, header_of(100, 80), 422, "INPUT_IMAGE_TOO_SMALL"),
        ("16 MiB", &owner, &ticket, jpeg, vec![0xFF; 16 * 1024 * 1024], 413, "LIMIT_UPLOAD"),
        ("a form", &owner, &ticket, "multipart/form-data; boundary=x", image(), 415, "INPUT_IMAGE_TYPE"),
        ("no content type", &owner, &ticket, "", image(), 415, "INPUT_IMAGE_TYPE"),
        ("no ticket", &owner, "", jpeg, image(), 403, "AUTH_TICKET_INVALID"),
        ("a forged ticket", &owner, "AAAA", jpeg, image(), 403, "AUTH_TICKET_INVALID"),
        ("somebody else's ticket", &stranger, &ticket, jpeg, image(), 403, "AUTH_TICKET_INVALID"),
    ];
    for (what, caller, ticket, content_type, bytes, status, code) in cases {
        let answer = app.upload(caller, ticket, content_type, bytes).await;
        let error = &answer.body["error"];
        assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{what}: {}", answer.body);
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}: {}", answer.body);
    }
    let nobody = app.upload(&Caller::nobody(), &ticket, jpeg, image()).await;
    assert_eq!((nobody.status, nobody.body["error"]["code"].as_str()), (401, Some("AUTH_TOKEN_INVALID")));
    assert_eq!((app.state().await, stored_files(&app)), before, "a refused upload leaves nothing behind");

    // The same ticket with the good picture, and again: replaced, not doubled.
    for version in 1..=2 {
        let taken = app.upload(&owner, &ticket, jpeg, image()).await;
        assert_eq!(taken.status, 201, "{}", taken.body);
        let shown = app.application(&owner, &application).await;
        assert_eq!((shown["documents"].as_array().unwrap().len(), &shown["documents"][0]["version"]), (1, &json!(version)), "{shown}");
    }
    app.start_work().await;
    app.finish().await;
}

async fn ticket(app: &TestApp, owner: &Caller, application: &str) -> String {
    let claims = json!([{ "name": "name", "value": "张三" }, { "name": "id_number", "value": "11010519491231002X" }]);
    let answer = app.upload_ticket(owner, application, "ID_FRONT", &claims).await;
    tests::text(&answer.field("uploadTicketCreate")["ticket"]["token"])
}

/// How many files the store holds.
fn stored_files(app: &TestApp) -> usize {
    fn count(folder: &std::path::Path) -> usize {
        let Ok(entries) = folder.read_dir() else { return 0 };
        entries.flatten().map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
    }
    count(&app.data_dir().join("files"))
}

/// A JPEG that says it has this size, and has no pixels.
fn header_of(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE0, 0x00, 0x10];
    bytes.extend_from_slice(b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00");
    bytes.extend_from_slice(&[0xFF, 0xC0, 0x00, 0x11, 0x08]);
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&[3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    bytes.extend_from_slice(&[0xFF, 0xDA, 0x00, 0x0C, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 0x3F, 0]);
    bytes.extend_from_slice(&[0; 64]);
    bytes.extend_from_slice(&[0xFF, 0xD9]);
    bytes
}
