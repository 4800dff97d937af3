//! Keyset pages: `first` rows after a cursor, and whether more follow.

/// Most rows one page may ask for.
pub const FIRST_MAX: i64 = 100;

/// A page of rows in their order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub has_next: bool,
}

impl<T> Page<T> {
    /// From a query that asked for `first + 1` rows.
    pub fn from_rows(mut rows: Vec<T>, first: i64) -> Self {
        let first = usize::try_from(first.max(0)).unwrap_or(0);
        let has_next = rows.len() > first;
        rows.truncate(first);
        Self { items: rows, has_next }
    }
}
