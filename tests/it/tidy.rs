//! The tree keeps its own rules: where SQL and GraphQL may stand, what files begin with, generated files up to date.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use tests::{database, repository};

/// Our Rust sources, as (path from the root, text).
pub fn sources() -> Vec<(String, String)> {
    let root = repository();
    let mut found = Vec::new();
    for folder in ["wallet", "merchant", "ai", "api/src", "tests"] {
        collect(&root.join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().display().to_string(), text)
        })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The part before the unit tests of a file.
fn production(text: &str) -> &str {
    text.split_once("#[cfg(test)]").map_or(text, |(before, _)| before)
}

/// Fails with every place that breaks a rule.
fn none(rule: &str, places: Vec<String>) {
    assert!(places.is_empty(), "{rule}:\n  {}", places.join("\n  "));
}

/// Lines of production code that hold one of the words, outside the allowed places and outside comments.
fn uses(words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut places = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !allowed(path)) {
        for (number, line) in production(text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if words.iter().any(|word| code.contains(word)) {
                places.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    places
}

#[test]
fn every_file_says_what_it_is_for() {
    let places = sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    none("a file opens with a //! sentence", places);
}

#[test]
fn sql_stands_in_repositories_only() {
    let allowed = |path: &str| {
        path.ends_with("/repo.rs")
            || path.starts_with("wallet/src/base/")
            || path.starts_with("tests/")
            // creates databases and runs the migrations
            || path == "api/src/launcher/database.rs"
    };
    none("SQL stands in repo.rs files", uses(&["query!(", "query_as!(", "query_scalar!(", "sqlx::query", "raw_sql("], allowed));
}

#[test]
fn graphql_stands_at_the_edge_only() {
    let allowed =
        |path: &str| path.starts_with("api/src/graphql/") || path.starts_with("api/src/http/graphql") || path.starts_with("tests/");
    none("GraphQL stands in api/src/graphql", uses(&["async_graphql"], allowed));
}

#[test]
fn nothing_is_left_to_be_written() {
    let words = ["todo!(", "unimplemented!(", "dbg!("];
    none("no unfinished code", uses(&words, |path| path == "tests/it/tidy.rs"));
}

#[test]
fn nothing_waits_by_sleeping_in_a_test() {
    let allowed = |path: &str| {
        !path.starts_with("tests/")
            || matches!(path, "tests/src/wait.rs" | "tests/src/process.rs" | "tests/it/tidy.rs" | "tests/it/portable_sql.rs")
    };
    none("tests wait on a state with tests::eventually", uses(&["sleep("], allowed));
}

#[test]
fn the_schema_file_is_the_schema() {
    let path = repository().join("api/schema.graphql");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == api::graphql::sdl(), "api/schema.graphql is not the schema of the code; `haodian schema` prints it");
}

#[tokio::test]
async fn every_prepared_query_fits_the_migrated_database() {
    let folder = repository().join(".sqlx");
    let mut stale = Vec::new();
    let mut count = 0;
    let db = database().await;
    for entry in folder.read_dir().expect(".sqlx is committed; `make sqlx` writes it") {
        let path = entry.unwrap().path();
        let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let query = kept["query"].as_str().expect("an entry has its query").to_owned();
        // As the application: a query it has no right to is stale, too, but PREPARE does not check rights.
        if let Err(error) = db.pool().prepare(AssertSqlSafe(query.clone()).into_sql_str()).await {
            stale.push(format!("{}: {error}: {query}", path.display()));
        }
        count += 1;
    }
    assert!(count > 0, ".sqlx is empty; `make sqlx` fills it");
    none("`make sqlx` refreshes what is prepared", stale);
}
