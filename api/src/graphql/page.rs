//! Relay connections: `first` rows (1 to 100) after an opaque cursor.

use async_graphql::OutputType;
use async_graphql::connection::{Connection, Edge, EmptyFields};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wallet::base::page::{FIRST_MAX, Page};

use super::error::input;

/// A connection of `N`, whose edges carry nothing but cursor and node.
pub type Nodes<N> = Connection<String, N, EmptyFields, EmptyFields>;

/// Which rows a caller asks for, checked.
#[derive(Clone, Copy, Debug)]
pub struct Window<C> {
    pub first: i64,
    pub after: Option<C>,
}

impl<C: DeserializeOwned> Window<C> {
    /// Checks `first` and reads the cursor.
    pub fn read(first: i32, after: Option<String>) -> async_graphql::Result<Self> {
        let first = i64::from(first);
        if !(1..=FIRST_MAX).contains(&first) {
            return Err(input("first", "first 须在 1 到 100 之间"));
        }
        let after = after
            .map(|cursor| decode(&cursor).ok_or_else(|| input("after", "after 不是本接口给出的游标，请原样传回 endCursor")))
            .transpose()?;
        Ok(Self { first, after })
    }
}

/// Builds the connection: `cursor` gives the keyset of a row, `node` its outside form.
pub fn connection<T, C: Serialize, N: OutputType>(
    page: Page<T>,
    has_previous: bool,
    cursor: impl Fn(&T) -> C,
    node: impl Fn(T) -> N,
) -> Nodes<N> {
    let mut connection = Connection::new(has_previous, page.has_next);
    connection.edges.extend(page.items.into_iter().map(|item| {
        let cursor = encode(&cursor(&item));
        Edge::new(cursor, node(item))
    }));
    connection
}

fn encode<C: Serialize>(cursor: &C) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&("1", cursor)).expect("keysets are plain data and serialise"))
}

fn decode<C: DeserializeOwned>(cursor: &str) -> Option<C> {
    if cursor.len() > 256 {
        return None;
    }
    let (version, keyset): (String, C) = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    (version == "1").then_some(keyset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_foreign_one_does_not() {
        assert_eq!(decode::<i64>(&encode(&42_i64)), Some(42));
        assert_eq!(decode::<i64>("garbage"), None);
        assert_eq!(decode::<i64>(&encode(&"text")), None);
    }

    #[test]
    fn a_page_is_between_one_and_a_hundred_rows() {
        for (first, fine) in [(1, true), (100, true), (0, false), (-1, false), (101, false)] {
            assert_eq!(Window::<i64>::read(first, None).is_ok(), fine, "{first}");
        }
    }
}
