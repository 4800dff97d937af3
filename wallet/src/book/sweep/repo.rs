//! SQL of the nightly sweep: which books have fees and were not swept yet.

use chrono::NaiveDate;
use sqlx::PgPool;
use uuid::Uuid;

use crate::base::id::BookId;
use crate::base::money::Currency;

/// Books after `after` whose fee account is not empty and that were not swept on `day`, in id order. The platform's own book is not one.
pub(super) async fn due_books(
    db: &PgPool,
    currency: Currency,
    day: NaiveDate,
    after: Option<BookId>,
    limit: i64,
) -> sqlx::Result<Vec<BookId>> {
    let books = sqlx::query_scalar!(
        "SELECT a.book_id
         FROM accounts a
         WHERE a.book_id > $1 AND a.kind = 'FEE_INCOME' AND a.subject = '' AND a.currency = $2 AND a.balance_minor <> 0
           AND a.book_id <> $3
           AND NOT EXISTS (SELECT 1 FROM transfers t
                           WHERE t.book_id = a.book_id AND t.purpose = 'FEE_SWEEP' AND t.day = $4 AND t.currency = a.currency)
         ORDER BY a.book_id
         LIMIT $5",
        after.map_or(Uuid::nil(), |b| b.0),
        currency.as_str(),
        BookId::PLATFORM.0,
        day,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(books.into_iter().map(BookId).collect())
}
