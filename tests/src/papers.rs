//! Specimen papers (样本) for applications: the three of the demo, drawn once per run by `models/specimens.py`.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Answer, Caller, Folder, Shop, TestApp, eventually, repository, text};

/// Longest the worker may take to read the papers of one application.
pub const READ_LIMIT: Duration = Duration::from_secs(180);

/// A paper with its image.
#[derive(Clone, Debug)]
pub struct Paper {
    /// As the API names it, e.g. `ID_FRONT`.
    pub kind: &'static str,
    /// A JPEG.
    pub image: Vec<u8>,
    claims: Value,
    claims_wrong: Value,
}

impl Paper {
    /// What the paper says, as claims of the API.
    pub fn printed(&self) -> Value {
        as_claims(self.kind, &self.claims)
    }

    /// The same with the mistake that the demo makes, where it makes one.
    pub fn mistyped(&self) -> Value {
        as_claims(self.kind, if self.claims_wrong.is_null() { &self.claims } else { &self.claims_wrong })
    }

    /// What the paper says, but for one value.
    pub fn printed_but(&self, field: &str, value: &str) -> Value {
        let mut claims = self.claims.clone();
        claims[field] = json!(value);
        as_claims(self.kind, &claims)
    }

    /// One value that stands on the paper.
    pub fn value(&self, field: &str) -> &str {
        self.claims[field].as_str().expect("the paper has the field")
    }
}

fn as_claims(kind: &str, claims: &Value) -> Value {
    let fields: &[&str] = match kind {
        "ID_FRONT" => &["name", "id_number"],
        "DEED_NEW" => &["number", "holder", "location"],
        _ => &["code", "name", "legal_person"],
    };
    fields.iter().map(|name| json!({ "name": name, "value": claims[*name] })).collect()
}

/// The demo's licence (clean), deed (blurred) and ID card (clean, with claims that have a wrong number).
pub fn demo() -> &'static [Paper; 3] {
    static PAPERS: OnceLock<[Paper; 3]> = OnceLock::new();
    PAPERS.get_or_init(|| draw(&["--demo"]).try_into().expect("the demo has three papers"))
}

/// Three clean papers of one kind each; not of one person.
pub fn clean() -> &'static [Paper; 3] {
    static PAPERS: OnceLock<[Paper; 3]> = OnceLock::new();
    PAPERS.get_or_init(|| draw(&["--seed", "11"]).try_into().expect("one paper of each kind"))
}

fn draw(arguments: &[&str]) -> Vec<Paper> {
    let out = Folder::new();
    let script = repository().join("models/specimens.py");
    let run = Command::new("/usr/bin/python3")
        .arg(script)
        .arg("--out")
        .arg(out.path())
        .args(arguments)
        .output()
        .expect("Debian's python3 is there");
    assert!(run.status.success(), "specimens.py: {}", String::from_utf8_lossy(&run.stderr));
    let lines = std::fs::read_to_string(out.path().join("claims.jsonl")).expect("specimens come with claims");
    let paper = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line of claims is JSON");
        let kind = match line["doc_type"].as_str() {
            Some("id_front") => "ID_FRONT",
            Some("deed_new") => "DEED_NEW",
            _ => "BUSINESS_LICENCE",
        };
        let image = std::fs::read(out.path().join(line["file"].as_str().expect("a file"))).expect("the image is there");
        Paper { kind, image, claims: line["claims"].clone(), claims_wrong: line["claims_wrong"].clone() }
    };
    lines.lines().map(paper).collect()
}

/// What the upload address answered.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub status: u16,
    pub body: Value,
}

impl TestApp {
    /// A ticket for one paper of an application.
    pub async fn upload_ticket(&self, caller: &Caller, application: &str, kind: &str, claims: &Value) -> Answer {
        let input = json!({ "applicationId": application, "kind": kind, "claims": claims });
        self.mutate(caller, "uploadTicketCreate", input, "ticket { url token maxBytes expiresAt }").await
    }

    /// Sends bytes to the upload address with a ticket.
    pub async fn upload(&self, caller: &Caller, ticket: &str, content_type: &str, bytes: Vec<u8>) -> Uploaded {
        let length = bytes.len();
        let mut request = self.http().post(format!("{}/uploads", self.url())).header("content-type", content_type);
        request = request.header("x-upload-ticket", ticket).body(bytes);
        if let Some(token) = &caller.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap_or_else(|e| panic!("{length} bytes as {content_type:?} were not answered: {e:?}"));
        let status = response.status().as_u16();
        Uploaded { status, body: response.json().await.unwrap_or(Value::Null) }
    }

    /// Hands in one paper that must be taken; the document's id.
    pub async fn attach(&self, owner: &Caller, application: &str, paper: &Paper, claims: &Value) -> String {
        // Papers say who somebody is and where they live.
        for secret in ["name", "id_number", "holder", "location", "legal_person"].iter().filter_map(|field| paper.claims[field].as_str()) {
            self.keep_secret(secret);
        }
        let ticket = self.upload_ticket(owner, application, paper.kind, claims).await;
        let ticket = text(&ticket.field("uploadTicketCreate")["ticket"]["token"]);
        let uploaded = self.upload(owner, &ticket, "image/jpeg", paper.image.clone()).await;
        assert_eq!(uploaded.status, 201, "{}", uploaded.body);
        text(&uploaded.body["documentId"])
    }

    /// The application as its owner sees it.
    pub async fn application(&self, owner: &Caller, application: &str) -> Value {
        let query = "query($id: ID!) { application(id: $id) { id status merchant { id status }
            documents { id kind status version reasons { code field message } } } }";
        self.read(owner, "application", query, json!({ "id": application })).await
    }

    /// Waits until no paper is being checked any more; the application then.
    pub async fn papers_read(&self, owner: &Caller, application: &str) -> Value {
        eventually(READ_LIMIT, "the papers are read", async || {
            let shown = self.application(owner, application).await;
            let documents = shown["documents"].as_array()?;
            // The application is read before its papers: the last verdict may fall between the two.
            let waiting = shown["status"] == "CHECKING" || documents.iter().any(|d| d["status"] == "CHECKING" || d["status"] == "UPLOADED");
            (!waiting).then_some(shown)
        })
        .await
    }

    /// An application with the demo's papers, read: the deed waits for a person, the ID card's number is to be corrected.
    pub async fn application_in_review(&self, owner: &Caller) -> String {
        let application = self.apply(owner, demo(), Paper::mistyped).await;
        self.papers_read(owner, &application).await;
        application
    }

    /// A submitted application with these papers and what is typed beside each; its id.
    pub async fn apply(&self, owner: &Caller, papers: &[Paper], typed: impl Fn(&Paper) -> Value) -> String {
        let input = json!({ "merchantName": "好店样本商户", "settlementAccountName": "好店样本商户", "settlementAccountNumber": "6222020200001123456" });
        let created = self.done(owner, "applicationCreate", input, "application { id status }").await;
        let application = text(&created["application"]["id"]);
        for paper in papers {
            self.attach(owner, &application, paper, &typed(paper)).await;
        }
        self.done(owner, "applicationSubmit", json!({ "applicationId": application }), "application { status }").await;
        application
    }

    /// A merchant that was signed the long way: three clean papers, read and approved. Takes some seconds.
    pub async fn signed_merchant_through_papers(&self) -> Shop {
        let owner = self.owner().await;
        let application = self.apply(&owner, clean(), Paper::printed).await;
        let read = self.papers_read(&owner, &application).await;
        assert_eq!(read["status"], "APPROVED", "{read}");
        let merchant = text(&read["merchant"]["id"]);
        self.shop(owner, merchant).await
    }
}
