//! The audit trail (审计): who did what to whom. Append-only by grant; `detail` carries no personal data.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::actor::Actor;

/// Writes one audit event in the running transaction.
pub async fn record_in_tx(
    tx: &mut PgConnection,
    actor: &Actor,
    action: &str,
    subject: Uuid,
    detail: serde_json::Value,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_events (event_id, at, actor_id, actor_role, action, subject_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        at,
        actor.user().map(|u| u.0),
        actor.role_name(),
        action,
        subject,
        detail
    )
    .execute(tx)
    .await?;
    Ok(())
}
