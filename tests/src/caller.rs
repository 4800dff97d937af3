//! Callers and what they are answered: GraphQL text in, the answer out with its status.

use anyhow::Context;
use serde_json::{Value, json};

use crate::TestApp;

/// Somebody who calls the public API, with or without a session.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    pub token: Option<String>,
}

impl Caller {
    /// Without a session: a customer, or an intruder.
    pub fn nobody() -> Self {
        Self { name: "nobody".to_owned(), token: None }
    }
}

/// What the API answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// The exact body, for comparisons byte for byte.
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// The data of one root field.
    ///
    /// # Panics
    /// When there are top-level errors.
    pub fn field(&self, name: &str) -> &Value {
        assert!(self.body.get("errors").is_none(), "{name}: {} {}", self.status, self.text);
        &self.body["data"][name]
    }

    /// All codes in it: of top-level errors first, then of the `userErrors` of each root field.
    pub fn codes(&self) -> Vec<String> {
        let code = |v: &Value| v.as_str().unwrap_or("(no code)").to_owned();
        let mut codes: Vec<String> = self.body["errors"].as_array().into_iter().flatten().map(|e| code(&e["extensions"]["code"])).collect();
        for payload in self.body["data"].as_object().into_iter().flat_map(|o| o.values()) {
            codes.extend(payload["userErrors"].as_array().into_iter().flatten().map(|e| code(&e["code"])));
        }
        codes
    }
}

/// `mutation($input: OrderCreateInput!) { orderCreate(input: $input) { … userErrors { … } } }`, without input for the few that take none.
pub fn mutation_text(name: &str, input: &Value, selection: &str) -> String {
    let (first, rest) = name.split_at(1);
    let (variable, argument) = match input {
        Value::Null => (String::new(), ""),
        _ => (format!("($input: {}{rest}Input!)", first.to_uppercase()), "(input: $input)"),
    };
    format!("mutation{variable} {{ {name}{argument} {{ {selection} userErrors {{ code message field retryable }} }} }}")
}

impl TestApp {
    /// Sends GraphQL text as the caller.
    ///
    /// # Panics
    /// When there is no answer, or one that is not JSON.
    pub async fn gql(&self, caller: &Caller, query: &str, variables: Value) -> Answer {
        self.try_gql(caller, query, variables).await.unwrap_or_else(|e| panic!("{} got no answer: {e:?}", caller.name))
    }

    /// The same where the server may be down.
    pub async fn try_gql(&self, caller: &Caller, query: &str, variables: Value) -> anyhow::Result<Answer> {
        let request = self.http().post(format!("{}/graphql", self.url())).json(&json!({ "query": query, "variables": variables }));
        let request = match &caller.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).with_context(|| format!("{status}: not JSON: {text}"))?;
        Ok(Answer { status, text, body })
    }

    /// Runs one mutation and gives the whole answer.
    pub async fn mutate(&self, caller: &Caller, name: &str, input: Value, selection: &str) -> Answer {
        let query = mutation_text(name, &input, selection);
        self.gql(caller, &query, json!({ "input": input })).await
    }

    /// Runs one mutation that must succeed; its payload.
    ///
    /// # Panics
    /// When it was refused.
    pub async fn done(&self, caller: &Caller, name: &str, input: Value, selection: &str) -> Value {
        let answer = self.mutate(caller, name, input, selection).await;
        let payload = answer.field(name);
        assert_eq!(payload["userErrors"], json!([]), "{} as {}", name, caller.name);
        payload.clone()
    }

    /// Reads one root field that must be there.
    pub async fn read(&self, caller: &Caller, field: &str, query: &str, variables: Value) -> Value {
        self.gql(caller, query, variables).await.field(field).clone()
    }

    /// Logs in with a development code such as `dev:owner:alice`.
    pub async fn login(&self, code: &str) -> Caller {
        let payload = self.done(&Caller::nobody(), "login", json!({ "code": code }), "accessToken").await;
        let token = payload["accessToken"].as_str().expect("a login gives a token").to_owned();
        self.keep_secret(&token);
        Caller { name: code.to_owned(), token: Some(token) }
    }

    /// The owner most tests act as.
    pub async fn owner(&self) -> Caller {
        self.login("dev:owner:alice").await
    }

    /// Another owner: everything of [`Self::owner`] is none of theirs.
    pub async fn stranger(&self) -> Caller {
        self.login("dev:owner:mallory").await
    }

    pub async fn reviewer(&self) -> Caller {
        self.login("dev:reviewer:rui").await
    }

    pub async fn operator(&self) -> Caller {
        self.login("dev:operator:ops").await
    }

    pub async fn agent(&self) -> Caller {
        self.login("dev:agent:gu").await
    }
}
