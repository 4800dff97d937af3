//! What `haodian up` shows a newcomer: demo logins, and a cashier link made as any merchant would make one, through the public API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LauncherError, state};

/// Development login codes beside the demo's owner, and who they are.
pub const LOGINS: [(&str, &str); 3] = [("dev:reviewer:rui", "审核员"), ("dev:operator:ops", "运营"), ("dev:owner:alice", "新商户")];

const LIMIT: Duration = Duration::from_secs(5);

/// What the last demo left for people to look at.
#[derive(Debug, Serialize, Deserialize)]
pub struct Demo {
    /// The login code of the merchant's owner.
    pub owner: String,
}

impl Demo {
    /// Keeps it in the data folder for later starts.
    pub fn write(&self, data_dir: &Path) -> Result<(), LauncherError> {
        state::write(&Self::path(data_dir), self)
    }

    /// The last one of a data folder.
    pub fn read(data_dir: &Path) -> Option<Self> {
        state::read(&Self::path(data_dir))
    }

    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("demo.json")
    }
}

/// A cashier link for a fresh order of the first store of `owner`'s merchant; none when there is no such store yet.
pub async fn cashier_url(base: &str, owner: &str) -> Option<String> {
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
    let answer = ask(None, login, json!({"input": {"code": owner}})).await?;
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
