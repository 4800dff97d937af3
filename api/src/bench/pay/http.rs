//! HTTP/1.1 as the load generator speaks it: a connection of its own for each request, kept for the next one. It shares the machine with
//! what it measures, so it does without what a general client does for each request: redirects, proxies, reading addresses, a timer.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::body::{Body, BodyDataStream};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Request, StatusCode, Uri};
use bytes::Bytes;
use futures::StreamExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A server with the connections to it that nobody uses.
#[derive(Debug)]
pub(super) struct Http {
    host: HeaderValue,
    authority: String,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

/// What goes with a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct With<'a> {
    /// An access token. Secret.
    pub token: Option<&'a str>,
    /// The answer is wanted as it comes.
    pub stream: bool,
}

impl Http {
    /// `base_url`: `http://HOST:PORT`.
    pub(super) fn to(base_url: &str) -> Result<Self> {
        let uri: Uri = base_url.parse().context("the address of a server")?;
        ensure!(uri.scheme_str() == Some("http"), "{base_url} is no plain HTTP address");
        let authority = uri.authority().context("an address without a host")?.to_string();
        Ok(Self { host: HeaderValue::from_str(&authority)?, authority, idle: Mutex::default() })
    }

    pub(super) async fn post(&self, path: &str, with: With<'_>, body: &Value) -> Result<Answer<'_>> {
        let mut request = Request::post(path).header(HOST, &self.host).header(CONTENT_TYPE, "application/json");
        if let Some(token) = with.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if with.stream {
            request = request.header(ACCEPT, "text/event-stream");
        }
        let request = request.body(serde_json::to_vec(body)?.into())?;
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await.context("no answer")?;
        let (head, body) = response.into_parts();
        Ok(Answer { status: head.status, body: Body::new(body).into_data_stream(), connection: Some(connection), http: self })
    }

    /// One that was kept and is still open, or a new one.
    async fn connection(&self) -> Result<SendRequest<Body>> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = kept else { break };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(&self.authority).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        // ends with its connection; a failure is the request's, too
        tokio::spawn(driver);
        Ok(connection)
    }
}

/// An answer whose body may still be on its way.
pub(super) struct Answer<'a> {
    pub status: StatusCode,
    body: BodyDataStream,
    connection: Option<SendRequest<Body>>,
    http: &'a Http,
}

impl Answer<'_> {
    /// The next piece of the body. After the last one the connection serves the next request.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if let Some(chunk) = self.body.next().await.transpose()? {
            return Ok(Some(chunk));
        }
        if let Some(connection) = self.connection.take() {
            self.http.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(None)
    }

    pub(super) async fn whole(mut self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}
