//! SQL of programmes and their movements. Locks: the programme, then the movement, then ledger accounts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Figures, Movement, MovementKind, MovementStatus, Programme, ProgrammeStatus};
use crate::base::id::{BookId, MovementId, ProgrammeId, UserId};
use crate::base::money::{Currency, Money};
use crate::ledger::AccountName;

/// A programme as it lies in its table.
struct Row {
    programme_id: Uuid,
    code: String,
    name: String,
    currency: Currency,
    share_bps: i32,
    order_minor_max: Option<i64>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    status: ProgrammeStatus,
    created_by: Uuid,
    created_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl From<Row> for Programme {
    fn from(r: Row) -> Self {
        Self {
            id: ProgrammeId(r.programme_id),
            code: r.code,
            name: r.name,
            share_bps: r.share_bps,
            order_max: r.order_minor_max.map(|minor| Money { minor, currency: r.currency }),
            starts_at: r.starts_at,
            ends_at: r.ends_at,
            status: r.status,
            created_by: UserId(r.created_by),
            created_at: r.created_at,
            ended_at: r.ended_at,
        }
    }
}

/// Writes a new programme. False: its code is taken.
pub async fn insert_in_tx(tx: &mut PgConnection, programme: &Programme) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO subsidy_programmes (book_id, programme_id, code, name, currency, share_bps, order_minor_max, starts_at, ends_at, status,
                                         created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'ACTIVE', $10, $11)
         ON CONFLICT (book_id, code) DO NOTHING",
        BookId::PLATFORM.0,
        programme.id.0,
        programme.code,
        programme.name,
        programme.order_max.map_or(Currency::Cny, |max| max.currency).as_str(),
        programme.share_bps,
        programme.order_max.map(|max| max.minor),
        programme.starts_at,
        programme.ends_at,
        programme.created_by.0,
        programme.created_at
    )
    .execute(tx)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// One programme, locked.
pub async fn lock_in_tx(tx: &mut PgConnection, programme: ProgrammeId) -> sqlx::Result<Option<Programme>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT programme_id, code, name, currency AS "currency: Currency", share_bps, order_minor_max, starts_at, ends_at,
                  status AS "status: ProgrammeStatus", created_by, created_at, ended_at
           FROM subsidy_programmes
           WHERE book_id = $1 AND programme_id = $2
           FOR UPDATE"#,
        BookId::PLATFORM.0,
        programme.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Programme::from))
}

pub async fn by_id(db: &PgPool, programme: ProgrammeId) -> sqlx::Result<Option<Programme>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT programme_id, code, name, currency AS "currency: Currency", share_bps, order_minor_max, starts_at, ends_at,
                  status AS "status: ProgrammeStatus", created_by, created_at, ended_at
           FROM subsidy_programmes
           WHERE book_id = $1 AND programme_id = $2"#,
        BookId::PLATFORM.0,
        programme.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Programme::from))
}

/// Programmes by code.
pub async fn by_codes_in_tx(tx: &mut PgConnection, codes: &[String]) -> sqlx::Result<Vec<Programme>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT programme_id, code, name, currency AS "currency: Currency", share_bps, order_minor_max, starts_at, ends_at,
                  status AS "status: ProgrammeStatus", created_by, created_at, ended_at
           FROM subsidy_programmes
           WHERE book_id = $1 AND code = ANY($2)"#,
        BookId::PLATFORM.0,
        codes
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(Programme::from).collect())
}

/// Programmes made before the given one, newest first.
pub async fn page(db: &PgPool, before: Option<ProgrammeId>, limit: i64) -> sqlx::Result<Vec<Programme>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT programme_id, code, name, currency AS "currency: Currency", share_bps, order_minor_max, starts_at, ends_at,
                  status AS "status: ProgrammeStatus", created_by, created_at, ended_at
           FROM subsidy_programmes
           WHERE book_id = $1 AND programme_id < $2
           ORDER BY programme_id DESC
           LIMIT $3"#,
        BookId::PLATFORM.0,
        before.map_or(Uuid::max(), |programme| programme.0),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Programme::from).collect())
}

pub async fn end_in_tx(tx: &mut PgConnection, programme: ProgrammeId, by: UserId, at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE subsidy_programmes SET status = 'ENDED', ended_by = $3, ended_at = $4 WHERE book_id = $1 AND programme_id = $2",
        BookId::PLATFORM.0,
        programme.0,
        by.0,
        at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What became of the money of programmes, from their accounts, the entries of these, and their movements. Programmes that do not exist are left
/// out.
pub async fn figures(db: &PgPool, programmes: &[ProgrammeId]) -> sqlx::Result<HashMap<ProgrammeId, Figures>> {
    let ids: Vec<Uuid> = programmes.iter().map(|p| p.0).collect();
    let accounts: Vec<Uuid> = programmes.iter().map(|&p| AccountName::subsidy(p, Currency::Cny).id(BookId::PLATFORM).0).collect();
    let rows = sqlx::query!(
        r#"WITH wanted AS (
               SELECT * FROM UNNEST($2::uuid[], $3::uuid[]) AS w (programme_id, account_id)
           ), moved AS (
               SELECT m.programme_id, COALESCE(sum(m.amount_minor) FILTER (WHERE m.kind = 'FUNDING'), 0)::bigint AS funded_minor,
                      COALESCE(sum(m.amount_minor) FILTER (WHERE m.kind = 'RETURN'), 0)::bigint AS withdrawn_minor
               FROM wanted w
               JOIN subsidy_movements m ON m.book_id = $1 AND m.programme_id = w.programme_id
               WHERE m.status = 'POSTED'
               GROUP BY m.programme_id
           ), booked AS (
               SELECT w.programme_id, COALESCE(sum(e.amount_minor) FILTER (WHERE e.amount_minor > 0), 0)::bigint AS debit_minor,
                      COALESCE(-sum(e.amount_minor) FILTER (WHERE e.amount_minor < 0), 0)::bigint AS credit_minor
               FROM wanted w
               JOIN entries e ON e.book_id = $1 AND e.account_id = w.account_id
               GROUP BY w.programme_id
           )
           SELECT p.programme_id, p.currency AS "currency: Currency",
                  COALESCE(-a.balance_minor, 0) AS "balance_minor!", COALESCE(a.held_minor, 0) AS "reserved_minor!",
                  COALESCE(m.funded_minor, 0) AS "funded_minor!", COALESCE(m.withdrawn_minor, 0) AS "withdrawn_minor!",
                  COALESCE(b.debit_minor, 0) AS "debit_minor!", COALESCE(b.credit_minor, 0) AS "credit_minor!"
           FROM wanted w
           JOIN subsidy_programmes p ON p.book_id = $1 AND p.programme_id = w.programme_id
           LEFT JOIN accounts a ON a.book_id = $1 AND a.account_id = w.account_id
           LEFT JOIN moved m ON m.programme_id = w.programme_id
           LEFT JOIN booked b ON b.programme_id = w.programme_id"#,
        BookId::PLATFORM.0,
        &ids,
        &accounts
    )
    .fetch_all(db)
    .await?;
    let figures = rows.into_iter().map(|r| {
        let money = |minor| Money { minor, currency: r.currency };
        let figures = Figures {
            funded: money(r.funded_minor),
            reserved: money(r.reserved_minor),
            used: money(r.debit_minor - r.withdrawn_minor),
            returned: money(r.credit_minor - r.funded_minor),
            withdrawn: money(r.withdrawn_minor),
            available: money(r.balance_minor - r.reserved_minor),
        };
        (ProgrammeId(r.programme_id), figures)
    });
    Ok(figures.collect())
}

/// A movement as it lies in its table.
struct MovementRow {
    movement_id: Uuid,
    programme_id: Uuid,
    kind: MovementKind,
    amount_minor: i64,
    currency: Currency,
    bank: String,
    bank_reference: String,
    status: MovementStatus,
    proposed_by: Uuid,
    proposed_at: DateTime<Utc>,
    decided_by: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
}

impl From<MovementRow> for Movement {
    fn from(r: MovementRow) -> Self {
        Self {
            id: MovementId(r.movement_id),
            programme: ProgrammeId(r.programme_id),
            kind: r.kind,
            amount: Money { minor: r.amount_minor, currency: r.currency },
            bank: r.bank,
            bank_reference: r.bank_reference,
            status: r.status,
            proposed_by: UserId(r.proposed_by),
            proposed_at: r.proposed_at,
            decided_by: r.decided_by.map(UserId),
            decided_at: r.decided_at,
        }
    }
}

/// Writes a proposed movement under a fresh id. False: the bank's number was written down already.
pub async fn insert_movement_in_tx(tx: &mut PgConnection, movement: &Movement) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO subsidy_movements (book_id, movement_id, programme_id, kind, amount_minor, currency, bank, bank_reference, status, proposed_by,
                                        proposed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'PROPOSED', $9, $10)
         ON CONFLICT DO NOTHING",
        BookId::PLATFORM.0,
        movement.id.0,
        movement.programme.0,
        movement.kind.as_str(),
        movement.amount.minor,
        movement.amount.currency.as_str(),
        movement.bank,
        movement.bank_reference,
        movement.proposed_by.0,
        movement.proposed_at
    )
    .execute(tx)
    .await?
    .rows_affected();
    Ok(inserted == 1)
}

/// The programme of a movement. Read before it is locked: a movement never changes its programme.
pub async fn programme_of_in_tx(tx: &mut PgConnection, movement: MovementId) -> sqlx::Result<Option<ProgrammeId>> {
    let programme = sqlx::query_scalar!(
        "SELECT programme_id FROM subsidy_movements WHERE book_id = $1 AND movement_id = $2",
        BookId::PLATFORM.0,
        movement.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(programme.map(ProgrammeId))
}

/// One movement, locked.
pub async fn lock_movement_in_tx(tx: &mut PgConnection, movement: MovementId) -> sqlx::Result<Option<Movement>> {
    let row = sqlx::query_as!(
        MovementRow,
        r#"SELECT movement_id, programme_id, kind AS "kind: MovementKind", amount_minor, currency AS "currency: Currency", bank, bank_reference,
                  status AS "status: MovementStatus", proposed_by, proposed_at, decided_by, decided_at
           FROM subsidy_movements
           WHERE book_id = $1 AND movement_id = $2
           FOR UPDATE"#,
        BookId::PLATFORM.0,
        movement.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Movement::from))
}

pub async fn decide_movement_in_tx(tx: &mut PgConnection, movement: &Movement) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE subsidy_movements SET status = $3, decided_by = $4, decided_at = $5 WHERE book_id = $1 AND movement_id = $2",
        BookId::PLATFORM.0,
        movement.id.0,
        movement.status.as_str(),
        movement.decided_by.map(|user| user.0),
        movement.decided_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Movements of a programme written down before the given one, newest first.
pub async fn movements(db: &PgPool, programme: ProgrammeId, before: Option<MovementId>, limit: i64) -> sqlx::Result<Vec<Movement>> {
    let rows = sqlx::query_as!(
        MovementRow,
        r#"SELECT movement_id, programme_id, kind AS "kind: MovementKind", amount_minor, currency AS "currency: Currency", bank, bank_reference,
                  status AS "status: MovementStatus", proposed_by, proposed_at, decided_by, decided_at
           FROM subsidy_movements
           WHERE book_id = $1 AND programme_id = $2 AND movement_id < $3
           ORDER BY movement_id DESC
           LIMIT $4"#,
        BookId::PLATFORM.0,
        programme.0,
        before.map_or(Uuid::max(), |movement| movement.0),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Movement::from).collect())
}
