//! The cashier (收银台): the page an order's ticket opens. What it shows and hears comes by GraphQL, like everything else.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{Edge, pages};

/// `GET /cashier/{ticket}`: the page. It asks for the order itself; a ticket that opens nothing is told by the status, too.
pub async fn page(State(edge): State<Edge>, Path(ticket): Path<String>) -> Response {
    let status = if edge.app.tickets.open_order(&ticket).is_ok() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    pages::page("cashier.html", status)
}
