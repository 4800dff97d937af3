//! `GET /reviews/{id}/image?ticket=…&view=…`: the picture of a review task, to the reviewer the link was made for, for five minutes; with
//! `view=seal_removed` without its red seal.
//!
//! An `<img>` sends no token, so the link itself is the permission: it names task and viewer, and the service checks that this viewer still holds
//! the task. Each look is on record there.

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use merchant::review::View;
use serde::Deserialize;
use wallet::base::actor::{Actor, Role};

use super::Edge;
use super::problem::Problem;
use crate::graphql::id::GlobalId;
use crate::ticket::TicketError;

#[derive(Debug, Deserialize)]
pub struct Link {
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    view: String,
}

/// `GET /reviews/{id}/image`.
pub async fn get(State(edge): State<Edge>, Path(id): Path<String>, Query(link): Query<Link>) -> Result<Response, Problem> {
    let grant = edge.app.tickets.open_image(&link.ticket).map_err(|error| match error {
        TicketError::Expired => Problem::new(StatusCode::FORBIDDEN, "AUTH_TICKET_EXPIRED", "图片链接已过期，请刷新审核页面"),
        TicketError::Invalid => Problem::new(StatusCode::FORBIDDEN, "AUTH_TICKET_INVALID", "图片链接无效，请从审核页面打开"),
    })?;
    let viewer = Actor::Person { id: grant.viewer, role: Role::Reviewer, merchants: Vec::new() };
    if GlobalId::decode(&id) != Some(GlobalId::Task(grant.task)) {
        return Err(Problem::not_found("找不到该图片，请从审核页面打开"));
    }
    let view = if link.view == View::SealRemoved.as_str() { View::SealRemoved } else { View::Original };
    let jpeg = edge.app.reviews.image(&viewer, grant.task, view).await.map_err(|error| Problem::of(&error))?;
    let headers = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "no-store"), (header::CONTENT_DISPOSITION, "inline")];
    Ok((headers, jpeg).into_response())
}
