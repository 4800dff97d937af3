//! `POST /uploads`: one paper as the raw bytes of a JPEG or PNG, on a ticket that says which and carries what was typed.
//!
//! Checked in the order of cost: who, what for, which type, how much, whether it can be an image at all; only then is anything decoded or
//! stored. The answer to a refusal is one sentence with a code, the field where there is one, and the remedy.

use std::time::Duration;

use ai::image::ImageError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use merchant::identity::IdentityError;
use merchant::onboarding::{Attach, ClaimInput, OnboardingError};
use serde_json::json;
use tracing::Instrument;
use wallet::base::actor::Actor;

use super::Edge;
use super::body::{self, BodyError, Limits};
use super::problem::{Problem, chain};
use crate::graphql::id::GlobalId;
use crate::graphql::onboarding::image;
use crate::ticket::{TicketError, UploadGrant};

/// Most bytes of a paper.
pub const UPLOAD_BYTES_MAX: usize = 15 * 1024 * 1024;

/// A slow phone network carries 15 MiB in two minutes.
const BODY: Limits = Limits { bytes_max: UPLOAD_BYTES_MAX, time_max: Duration::from_secs(120) };

/// The header with the upload ticket.
const TICKET: HeaderName = HeaderName::from_static("x-upload-ticket");

/// `POST /uploads`.
pub async fn post(State(edge): State<Edge>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (actor, grant) = match admit(&edge, &parts.headers).await {
        Ok(admitted) => admitted,
        Err(problem) => {
            // a phone that is still sending would meet a closed connection instead of the reason
            body::throw_away(&parts.headers, body).await;
            return Err(problem);
        }
    };
    let place = edge.uploads.enter().ok_or_else(Problem::busy)?;
    let image = body::read(&parts.headers, body, BODY).await.map_err(|error| match error {
        BodyError::TooLong => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "LIMIT_UPLOAD", "图片超过 15 MB，请压缩或重新拍摄后上传").field("image")
        }
        BodyError::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, "LIMIT_TIME", "图片上传超时，请在网络良好时重试").field("image"),
        BodyError::Broken => Problem::new(StatusCode::BAD_REQUEST, "INPUT_REQUEST", "图片没有传完，请重新上传").field("image"),
    })?;
    ai::image::inspect(&image).map_err(|error| refused_image(&error))?;
    let claims = grant.claims.into_iter().map(|(name, value)| ClaimInput { name, value }).collect();
    let command = Attach { application: grant.application, kind: grant.kind, claims, image };
    let app = edge.app.clone();
    // on a task of its own: a phone that loses its network now has handed the paper in all the same
    let attached = edge.runner.tasks.spawn(
        async move {
            let _place = place;
            app.applications.attach(&actor, command).await
        }
        .in_current_span(),
    );
    match attached.await {
        Ok(Ok(document)) => {
            let answer = json!({
                "documentId": GlobalId::Document(document.id).encode().0,
                "kind": document.kind.as_str().to_ascii_uppercase(),
                "status": document.status.as_str(),
            });
            Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
        }
        Ok(Err(OnboardingError::Image(error))) => Err(refused_image(&error)),
        Ok(Err(error)) => Err(Problem::of(&error)),
        Err(broken) => Err(Problem::failed(&broken)),
    }
}

/// Everything that can be said before the first byte of the picture.
async fn admit(edge: &Edge, headers: &HeaderMap) -> Result<(Actor, UploadGrant), Problem> {
    let actor = authenticate(edge, headers).await?;
    let grant = grant(edge, headers, &actor)?;
    content_type(headers)?;
    Ok((actor, grant))
}

async fn authenticate(edge: &Edge, headers: &HeaderMap) -> Result<Actor, Problem> {
    let token = super::bearer(headers).ok().flatten().ok_or_else(Problem::unauthenticated)?;
    match edge.app.identity.authenticate(token).await {
        Ok(Some(actor)) => Ok(actor),
        Ok(None) => Err(Problem::unauthenticated()),
        Err(IdentityError::Busy { .. }) => Err(Problem::busy()),
        Err(error) => {
            tracing::error!(error = %chain(&error), "a caller could not be authenticated");
            Err(Problem::internal())
        }
    }
}

/// What the ticket permits, if it was given to this caller. Somebody else's ticket is no better than a forged one.
fn grant(edge: &Edge, headers: &HeaderMap, actor: &Actor) -> Result<UploadGrant, Problem> {
    let invalid = || {
        let message = "上传凭证无效，请重新获取后上传";
        Problem::new(StatusCode::FORBIDDEN, "AUTH_TICKET_INVALID", message).field("X-Upload-Ticket")
    };
    let ticket = headers.get(&TICKET).and_then(|v| v.to_str().ok()).ok_or_else(invalid)?;
    match edge.app.tickets.open_upload(ticket) {
        Ok(grant) if actor.user() == Some(grant.user) => Ok(grant),
        Ok(_) | Err(TicketError::Invalid) => Err(invalid()),
        Err(TicketError::Expired) => {
            let message = "上传凭证已过期，请重新获取后上传";
            Err(Problem::new(StatusCode::FORBIDDEN, "AUTH_TICKET_EXPIRED", message).field("X-Upload-Ticket"))
        }
    }
}

fn content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    match given.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "image/jpeg" | "image/png" => Ok(()),
        _ => Err(refused_image(&ImageError::NotAnImage)),
    }
}

/// Why these bytes are not taken as a picture of a paper: another type is 415, anything else 422.
fn refused_image(error: &ImageError) -> Problem {
    let status = match error {
        ImageError::NotAnImage | ImageError::UnsupportedType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem { status, ..Problem::told(image(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_come_in() {
        let cases = [
            ("image/jpeg", true),
            ("image/png", true),
            ("IMAGE/JPEG; q=1", true),
            ("image/gif", false),
            ("application/pdf", false),
            ("multipart/form-data; boundary=x", false),
            ("image/jpegx", false),
            ("", false),
        ];
        for (given, fine) in cases {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, given.parse().unwrap())]);
            assert_eq!(content_type(&headers).is_ok(), fine, "{given}");
        }
    }

    #[test]
    fn every_bad_file_has_a_code_of_its_own() {
        let cases: [(&[u8], u16, &str); 5] = [
            (b"", 422, "INPUT_EMPTY"),
            (b"%PDF-1.7 renamed to .jpg", 415, "INPUT_IMAGE_TYPE"),
            (b"hello", 415, "INPUT_IMAGE_TYPE"),
            (b"GIF89a", 415, "INPUT_IMAGE_TYPE"),
            (b"\xFF\xD8\xFF\xE0 and nothing after it", 422, "INPUT_IMAGE_"),
        ];
        for (bytes, status, code) in cases {
            let problem = refused_image(&ai::image::inspect(bytes).expect_err("no picture"));
            assert_eq!(problem.status.as_u16(), status, "{:?}", problem.code);
            assert!(problem.code.starts_with(code), "{:?}", problem.code);
            assert_eq!(problem.field.as_deref(), Some("image"));
        }
    }
}
