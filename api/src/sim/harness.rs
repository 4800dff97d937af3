//! What tests of one counterparty need around it: a simulator that plays only that one, and a platform that takes notices and waits.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;
use wallet::base::clock::Clock;
use wallet::channel::acquirer::Asked;
use wallet::channel::sandbox::sign::{Signer, Verifier};

use super::{Keys, Others, Sim};

/// Longest that something may take.
pub const LIMIT: Duration = Duration::from_secs(10);

/// A running simulator and the notices that its platform gets. Its tasks end with the runtime of the test.
pub struct Playing {
    pub url: String,
    pub notify_url: String,
    pub notices: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    pub folder: PathBuf,
}

impl Drop for Playing {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Serves on a free port; the address.
pub async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

impl Playing {
    /// Plays these; the platform answers each notice so.
    pub async fn begin(others: Others, merchant_no: &str, answer: (StatusCode, &'static str)) -> Self {
        let (sender, notices) = mpsc::unbounded_channel();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            sender.send((headers, body)).unwrap();
            answer
        };
        let notify_url = served(Router::new().route("/notices", post(take))).await + "/notices";
        let folder = std::env::temp_dir().join(format!("haodian-sim-{}", Uuid::now_v7().simple()));
        let sandbox = || {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Signer::try_from_pkcs8("sandbox", pkcs8.as_ref()).unwrap()
        };
        let platform = Verifier::new("platform", &sandbox().public_key());
        let keys = Keys { acquirer: sandbox(), bank: sandbox(), platform, others };
        // bound first: the simulator writes its own address into what it answers
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Sim::load(keys, merchant_no, &url, &folder.join("journal.jsonl")).unwrap().router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, notify_url, notices, folder }
    }

    /// The payer decides; what the page answers.
    pub async fn decide(&self, transaction_id: &str, what: &str, body: serde_json::Value) -> StatusCode {
        let url = format!("{}/pay/{transaction_id}/{what}", self.url);
        reqwest::Client::new().post(url).json(&body).send().await.unwrap().status()
    }

    pub async fn confirm(&self, transaction_id: &str) {
        assert_eq!(self.decide(transaction_id, "confirm", serde_json::json!({})).await, StatusCode::OK);
    }

    /// Goes on with these sections as profile.
    pub async fn profile(&self, sections: &str) {
        let text = format!("about = \"a test\"\nseed = 1\n{sections}");
        let answer = reqwest::Client::new().post(format!("{}/control/profile", self.url)).body(text).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// The next notice.
    pub async fn next(&mut self) -> (HeaderMap, Bytes) {
        tokio::time::timeout(LIMIT, self.notices.recv()).await.expect("a notice comes").unwrap()
    }
}

/// A number as the platform gives it.
pub fn number() -> String {
    Uuid::now_v7().simple().to_string()
}

/// What was asked for just now.
pub fn asked(request_no: &str) -> Asked {
    Asked { request_no: request_no.to_owned(), sent_at: Clock::wall() }
}
