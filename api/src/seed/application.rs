//! The application (进件): three papers, one read at once, one for a person, one with a wrong number that the owner corrects.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, text, until};
use super::papers::Paper;
use super::report::Steps;

/// Longest the worker may take to read three papers.
const READ_LIMIT: Duration = Duration::from_secs(180);

/// Applies with the papers and sees the application through; the signed merchant's id.
pub async fn sign(owner: &Client, reviewer: &Client, papers: &[Paper], run: &str, steps: &mut Steps) -> Result<String> {
    let account =
        format!("62220202{:0>8}", run.bytes().fold(0_u32, |n, b| n.wrapping_mul(31).wrapping_add(u32::from(b))) % 9_000 + 11_000_000);
    let input = json!({ "merchantName": format!("好店演示商户 {run}"), "settlementAccountName": "好店演示商户", "settlementAccountNumber": account });
    let created = owner.mutate("applicationCreate", input, "application { id merchant { id } }").await?;
    let application = text(&created["application"]["id"])?;
    let merchant = text(&created["application"]["merchant"]["id"])?;
    for paper in papers {
        attach(owner, &application, paper).await.with_context(|| format!("the {} is handed in", paper.kind))?;
    }
    steps.done("商户进件并上传三张证件 merchant applied, three papers uploaded");

    owner.mutate("applicationSubmit", json!({ "applicationId": application }), "application { status }").await?;
    let documents = until(READ_LIMIT, "the papers are read", || async {
        let documents = documents(owner, &application).await?;
        let settled = documents.iter().all(|d| !matches!(d["status"].as_str(), Some("UPLOADED" | "CHECKING")));
        Ok(settled.then_some(documents))
    })
    .await?;
    for document in &documents {
        steps.note(&format!("{:<17} {:<10} {}", show(&document["kind"]), show(&document["status"]), reasons(document)));
    }
    steps.done("证件识别完成 papers read: one approved, one for review, one refused");
    expect(&documents, "BUSINESS_LICENCE", &["APPROVED"])?;
    expect(&documents, "DEED_NEW", &["IN_REVIEW"])?;
    let card = expect(&documents, "ID_FRONT", &["REJECTED", "REUPLOAD"])?;

    review(reviewer, steps).await?;
    correct(owner, papers, card, steps).await?;
    until(READ_LIMIT, "the merchant is signed", || async {
        let shown = owner
            .query("application", "query($id: ID!) { application(id: $id) { status merchant { status } } }", json!({ "id": application }))
            .await?;
        Ok((shown["status"] == "APPROVED" && shown["merchant"]["status"] == "SIGNED").then_some(()))
    })
    .await?;
    steps.done("身份证更正后通过，商户签约 number corrected, merchant signed");
    Ok(merchant)
}

/// Uploads one paper with what its owner typed beside it.
async fn attach(owner: &Client, application: &str, paper: &Paper) -> Result<()> {
    let input = json!({ "applicationId": application, "kind": paper.kind, "claims": paper.typed() });
    let payload = owner.mutate("uploadTicketCreate", input, "ticket { url token maxBytes }").await?;
    let ticket = &payload["ticket"];
    owner.upload(&text(&ticket["url"])?, &text(&ticket["token"])?, paper.image.clone()).await?;
    Ok(())
}

/// The reviewer finds the deed's task, claims it, looks at what is shown masked, and approves.
async fn review(reviewer: &Client, steps: &mut Steps) -> Result<()> {
    let mut after = Value::Null;
    let task = loop {
        let query = "query($after: String) { reviewQueue(first: 100, after: $after) {
            nodes { id status document { kind } } pageInfo { hasNextPage endCursor } } }";
        let page = reviewer.query("reviewQueue", query, json!({ "after": after })).await?;
        let found = page["nodes"].as_array().into_iter().flatten().find(|t| t["status"] == "OPEN" && t["document"]["kind"] == "DEED_NEW");
        if let Some(task) = found {
            break text(&task["id"])?;
        }
        ensure!(page["pageInfo"]["hasNextPage"] == true, "the review queue has no task for the deed");
        after = page["pageInfo"]["endCursor"].clone();
    };
    let claimed = reviewer
        .mutate("reviewClaim", json!({ "taskId": task }), "task { reasons { code field message } fields { label claimed read outcome } }")
        .await?;
    for field in claimed["task"]["fields"].as_array().into_iter().flatten().filter(|f| !f["claimed"].is_null()) {
        steps.note(&format!(
            "{}：填写 typed {} | 读出 read {} | {}",
            show(&field["label"]),
            show(&field["claimed"]),
            show(&field["read"]),
            show(&field["outcome"])
        ));
    }
    let decision = json!({
        "taskId": task, "decision": "APPROVE", "reasonCode": "CONSISTENT", "note": "放大后可辨认，与填写一致", "idempotencyKey": Uuid::now_v7(),
    });
    reviewer.mutate("reviewDecide", decision, "task { status }").await?;
    steps.done("审核员领取并通过不动产权证书 reviewer claimed and approved the deed");
    Ok(())
}

/// The owner types the number as it stands on the card.
async fn correct(owner: &Client, papers: &[Paper], card: &Value, steps: &mut Steps) -> Result<()> {
    let reasons = card["reasons"].as_array().context("reasons")?;
    let Some(named) = reasons.iter().find(|r| r["field"] == "id_number") else {
        bail!("the refusal does not name the field id_number: {}", card["reasons"]);
    };
    steps.note(&format!("拒绝原因 refused: {} {} — {}", show(&named["field"]), show(&named["code"]), show(&named["message"])));
    let paper = papers.iter().find(|p| p.kind == "ID_FRONT").context("the ID card is among the papers")?;
    owner
        .mutate("documentClaimsCorrect", json!({ "documentId": card["id"], "claims": paper.printed() }), "document { status version }")
        .await?;
    Ok(())
}

async fn documents(owner: &Client, application: &str) -> Result<Vec<Value>> {
    let query = "query($id: ID!) { application(id: $id) { documents { id kind status reasons { code field message } } } }";
    let shown = owner.query("application", query, json!({ "id": application })).await?;
    shown["documents"].as_array().cloned().context("documents")
}

/// The paper of this kind, which must have one of these states.
fn expect<'a>(documents: &'a [Value], kind: &str, states: &[&str]) -> Result<&'a Value> {
    let document = documents.iter().find(|d| d["kind"] == kind).with_context(|| format!("no {kind} in the application"))?;
    let status = document["status"].as_str().unwrap_or("?");
    ensure!(states.contains(&status), "{kind} should be {} and is {status}: {}", states.join(" or "), reasons(document));
    Ok(document)
}

fn reasons(document: &Value) -> String {
    let reasons = document["reasons"].as_array().into_iter().flatten();
    reasons.map(|r| format!("{} {}", show(&r["field"]), show(&r["code"])).trim().to_owned()).collect::<Vec<_>>().join(", ")
}

fn show(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}
