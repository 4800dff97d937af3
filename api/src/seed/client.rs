//! What the demo calls: the public GraphQL API, the upload address and the payer's wallet page, over HTTP like anybody else.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Longest one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at a state that is awaited: doubled from the first to the longest.
const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(100);

/// One caller of the public API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token: Option<String>,
}

impl Client {
    /// Somebody without a session: a customer.
    pub fn anonymous(base_url: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().context("an HTTP client")?;
        Ok(Self { http, base_url: base_url.trim_end_matches('/').to_owned(), token: None })
    }

    /// Logs in with a development code.
    pub async fn login(&self, code: &str) -> Result<Self> {
        let payload = self.mutate("login", json!({ "code": code }), "accessToken").await?;
        let token = text(&payload["accessToken"])?;
        Ok(Self { token: Some(token), ..self.clone() })
    }

    /// The access token. Secret.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Reads one root field.
    pub async fn query(&self, field: &str, query: &str, variables: Value) -> Result<Value> {
        let mut request = self.http.post(format!("{}/graphql", self.base_url)).json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.with_context(|| format!("{field}: no answer from {}", self.base_url))?;
        let mut body: Value = response.json().await.with_context(|| format!("{field}: the answer is not JSON"))?;
        if let Some(error) = body["errors"].get(0) {
            bail!("{field}: {} ({})", error["message"].as_str().unwrap_or("?"), error["extensions"]["code"].as_str().unwrap_or("?"));
        }
        Ok(body["data"][field].take())
    }

    /// Runs one mutation that must succeed, and gives its payload.
    pub async fn mutate(&self, name: &str, input: Value, selection: &str) -> Result<Value> {
        let (first, rest) = name.split_at(1);
        // a few take no input
        let (variable, argument) = match input {
            Value::Null => (String::new(), ""),
            _ => (format!("($input: {}{rest}Input!)", first.to_uppercase()), "(input: $input)"),
        };
        let text = format!("mutation{variable} {{ {name}{argument} {{ {selection} userErrors {{ code message field }} }} }}");
        let payload = self.query(name, &text, json!({ "input": input })).await?;
        if let Some(error) = payload["userErrors"].get(0) {
            bail!("{name}: {} ({})", error["message"].as_str().unwrap_or("?"), error["code"].as_str().unwrap_or("?"));
        }
        Ok(payload)
    }

    /// Sends a paper to the signed upload address.
    pub async fn upload(&self, url: &str, ticket: &str, image: Vec<u8>) -> Result<Value> {
        let url = if url.starts_with('/') { format!("{}{url}", self.base_url) } else { url.to_owned() };
        let mut request = self.http.post(url).header("content-type", "image/jpeg").header("x-upload-ticket", ticket).body(image);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.context("upload: no answer")?;
        let status = response.status();
        let body: Value = response.json().await.context("upload: the answer is not JSON")?;
        ensure!(status.is_success(), "upload: {status} {body}");
        Ok(body)
    }

    /// Posts JSON to the sandbox: the payer's wallet page, the sandbox clock.
    pub async fn sandbox(&self, url: &str, body: &Value) -> Result<()> {
        let response = self.http.post(url).json(body).send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status();
        ensure!(status.is_success() || status.is_redirection(), "{url}: {status}");
        Ok(())
    }
}

/// Asks until `probe` answers `Some`, at most for `limit`.
pub async fn until<T, F>(limit: Duration, what: &str, mut probe: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let start = Instant::now();
    let mut poll = POLL_FIRST;
    loop {
        if let Some(answer) = probe().await? {
            return Ok(answer);
        }
        ensure!(start.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
        tokio::time::sleep(poll).await;
        poll = (poll * 2).min(POLL_MAX);
    }
}

/// A string that must be there.
pub fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("expected a text, got {value}"))
}

/// Fen from a decimal text such as `12.50`, which the API writes with two places.
pub fn fen(value: &Value) -> Result<i64> {
    let written = value.as_str().with_context(|| format!("expected an amount, got {value}"))?;
    let (yuan, cents) = written.split_once('.').with_context(|| format!("{written} has no two places"))?;
    ensure!(cents.len() == 2, "{written} has no two places");
    let negative = yuan.starts_with('-');
    let yuan: i64 = yuan.trim_start_matches('-').parse().with_context(|| format!("{written} is not an amount"))?;
    let cents: i64 = cents.parse().with_context(|| format!("{written} is not an amount"))?;
    let sum = yuan * 100 + cents;
    Ok(if negative { -sum } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_the_api_are_read_to_the_fen() {
        for (written, expected) in [("0.00", 0), ("12.50", 1_250), ("-0.05", -5), ("1234567.89", 123_456_789)] {
            assert_eq!(fen(&json!(written)).unwrap(), expected, "{written}");
        }
        for wrong in [json!("12.5"), json!("12"), json!(12.5), json!(null), json!("a.bc")] {
            assert!(fen(&wrong).is_err(), "{wrong}");
        }
    }
}
