//! What `haodian up` shows a newcomer: demo logins, and a cashier link made as any merchant would make one, through the public API.

use std::time::Duration;

use serde_json::{Value, json};

/// Development login codes, and who they are.
pub const LOGINS: [(&str, &str); 4] =
    [("dev:owner:alice", "商户"), ("dev:reviewer:rui", "审核员"), ("dev:operator:ops", "运营"), ("dev:agent:gu", "代理商")];

const LIMIT: Duration = Duration::from_secs(5);

/// A cashier link for a fresh order of the demo merchant's first store; none when there is no such store yet.
pub async fn cashier_url(base: &str) -> Option<String> {
    let client = reqwest::Client::builder().timeout(LIMIT).build().ok()?;
    let ask = async |token: Option<&str>, query: &str, variables: Value| -> Option<Value> {
        let mut request = client.post(format!("{base}/graphql")).json(&json!({"query": query, "variables": variables}));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        answer.get("data").cloned()
    };
    let login = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }";
    let answer = ask(None, login, json!({"input": {"code": LOGINS[0].0}})).await?;
    let token = answer.pointer("/login/accessToken")?.as_str()?.to_owned();
    let answer = ask(Some(&token), "{ viewer { merchants { status stores { id } } } }", json!({})).await?;
    let store = answer
        .pointer("/viewer/merchants")?
        .as_array()?
        .iter()
        .filter(|merchant| merchant["status"] == "SIGNED")
        .find_map(|merchant| merchant.pointer("/stores/0/id")?.as_str())?;
    let create = "mutation($input: OrderCreateInput!) { orderCreate(input: $input) { order { cashierUrl } } }";
    let input = json!({
        "storeId": store, "amount": "12.50", "currency": "CNY", "subject": "一杯拿铁", "idempotencyKey": uuid::Uuid::now_v7(),
    });
    let answer = ask(Some(&token), create, json!({"input": input})).await?;
    answer.pointer("/orderCreate/order/cashierUrl")?.as_str().map(str::to_owned)
}
