//! The consequences of a change to a paper: where its application stands now, and, when the last paper is approved, the signed merchant
//! with its open book. Runs in the transaction of the change, under the application's lock.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use wallet::base::actor::Actor;
use wallet::base::audit;
use wallet::base::outbox::{self, Event};
use wallet::ledger::{self, BookKind};

use super::{Application, ApplicationStatus, OnboardingError, repo, rules};
use crate::merchants;

/// An event about an application: ids and status, nothing personal.
pub(super) fn event(application: &Application, kind: &'static str, at: DateTime<Utc>) -> Event {
    Event {
        book: application.merchant.book(),
        kind,
        subject: application.id.0,
        payload: json!({
            "application_id": application.id,
            "merchant_id": application.merchant,
            "status": application.status.as_str(),
        }),
        at,
    }
}

/// Draws the application's status from its papers and writes it with its events. Call it with the application locked and the paper
/// already written. Returns the new status.
pub(crate) async fn settle_in_tx(
    tx: &mut PgConnection,
    actor: &Actor,
    application: &Application,
    now: DateTime<Utc>,
) -> Result<ApplicationStatus, OnboardingError> {
    let documents = repo::documents_of_applications(&mut *tx, None, &[application.id]).await?;
    let status = rules::application_status(&documents.iter().map(|d| d.status).collect::<Vec<_>>());
    let kind = match status {
        same if same == application.status => return Ok(status),
        // a submitted application has no paper that waits to be handed in
        ApplicationStatus::Draft => return Ok(application.status),
        ApplicationStatus::Checking => "application.checking",
        ApplicationStatus::InReview => "application.in_review",
        ApplicationStatus::NeedsCorrection => "application.needs_correction",
        ApplicationStatus::Approved => "application.approved",
    };
    repo::update_application_in_tx(tx, application.id, status, now).await?;
    let moved = Application { status, ..application.clone() };
    outbox::append_in_tx(tx, &[event(&moved, kind, now)]).await?;
    if status == ApplicationStatus::Approved {
        sign_in_tx(tx, actor, &moved, now).await?;
    }
    Ok(status)
}

/// Signs the merchant and opens its book.
async fn sign_in_tx(tx: &mut PgConnection, actor: &Actor, application: &Application, now: DateTime<Utc>) -> Result<(), OnboardingError> {
    let merchant = application.merchant;
    if !merchants::repo::sign_in_tx(tx, merchant, now).await? {
        return Ok(());
    }
    ledger::open_book_in_tx(tx, merchant.book(), BookKind::Merchant, now).await?;
    let signed = Event {
        book: merchant.book(),
        kind: "merchant.signed",
        subject: merchant.0,
        payload: json!({ "merchant_id": merchant, "application_id": application.id }),
        at: now,
    };
    outbox::append_in_tx(tx, &[signed]).await?;
    let detail = json!({ "application_id": application.id });
    audit::record_in_tx(tx, actor, "merchant.signed", merchant.0, detail, now).await?;
    Ok(())
}
