//! Reading a request's body: at most so many bytes in at most so long.
//!
//! A body that is too long is read on for a while and thrown away before the answer goes out: a client that is still sending would
//! otherwise meet a closed connection instead of the reason.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

/// Most bytes thrown away for the sake of a readable answer.
const DISCARD_MAX: u64 = 64 * 1024 * 1024;

/// Longest that is spent on throwing away.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// What one route takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes_max: usize,
    /// From the head of the request to the last byte of its body.
    pub time_max: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is longer than this route takes")]
    TooLong,
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the connection broke")]
    Broken,
}

/// Reads the whole body within the limits.
pub async fn read(headers: &HeaderMap, body: Body, limits: Limits) -> Result<Bytes, BodyError> {
    let deadline = Instant::now() + limits.time_max;
    let declared = declared_length(headers);
    let mut stream = body.into_data_stream();
    let too_long = |length: u64| length > limits.bytes_max as u64;
    if declared.is_some_and(too_long) {
        discard_declared(headers, &mut stream, declared).await;
        return Err(BodyError::TooLong);
    }
    let mut bytes = BytesMut::with_capacity(declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
    loop {
        match timeout_at(deadline, stream.next()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(Some(Ok(chunk))) if too_long((bytes.len() + chunk.len()) as u64) => {
                discard(&mut stream, (bytes.len() + chunk.len()) as u64).await;
                return Err(BodyError::TooLong);
            }
            Ok(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
        }
    }
}

/// Throws away the body of a request that is refused for another reason.
pub async fn throw_away(headers: &HeaderMap, body: Body) {
    discard_declared(headers, &mut body.into_data_stream(), declared_length(headers)).await;
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Throws away what comes, unless that is more than we would wait for, or nothing: with `Expect: 100-continue` the client waits for our word.
async fn discard_declared(headers: &HeaderMap, stream: &mut axum::body::BodyDataStream, declared: Option<u64>) {
    if !headers.contains_key(header::EXPECT) && declared.is_none_or(|length| length <= DISCARD_MAX) {
        discard(stream, 0).await;
    }
}

/// Throws away what still comes, within bounds.
async fn discard(stream: &mut axum::body::BodyDataStream, mut seen: u64) {
    let deadline = Instant::now() + DISCARD_TIME;
    while seen <= DISCARD_MAX {
        match timeout_at(deadline, stream.next()).await {
            Ok(Some(Ok(chunk))) => seen += chunk.len() as u64,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes_max: 8, time_max: Duration::from_millis(50) };

    fn chunks(chunks: &'static [&'static [u8]]) -> Body {
        Body::from_stream(futures::stream::iter(chunks.iter().map(|&chunk| Ok::<_, std::io::Error>(Bytes::from_static(chunk)))))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_whatever_it_declares() {
        let long: &[&[u8]] = &[b"1234", b"5678", b"9"];
        let fits: &[&[u8]] = &[b"1234", b"5678"];
        let cases = [
            (long, None, Err(BodyError::TooLong)),
            (fits, None, Ok(8)),
            (fits, Some("8"), Ok(8)),
            (fits, Some("9"), Err(BodyError::TooLong)),
            (&[], Some("0"), Ok(0)),
        ];
        for (sent, declared, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(declared) = declared {
                headers.insert(header::CONTENT_LENGTH, declared.parse().unwrap());
            }
            let read = read(&headers, chunks(sent), LIMITS).await.map(|bytes| bytes.len());
            assert_eq!(read, expected, "{declared:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_stops_coming_is_given_up() {
        let body = Body::from_stream(
            futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"1")) }).chain(futures::stream::pending()),
        );
        assert_eq!(read(&HeaderMap::new(), body, LIMITS).await, Err(BodyError::TooSlow));
    }
}
