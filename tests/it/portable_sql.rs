//! Every migration and every query keeps to the portable subset of SQL, rules R1 to R12, so that the same schema and services run on
//! PostgreSQL 15 to 18 and on a distributed engine that speaks it (YugabyteDB, Citus). One list says what stands apart, and why.
//!
//! R1 keys lead with the book, references stay inside it · R2 what is unique everywhere has a look-up table · R3 ids come from the
//! application · R4 locks name the book and come in order · R5 nothing rests on SERIALIZABLE · R6 no triggers, append-only by grant ·
//! R7 no deferrable constraints, LOCK TABLE, transaction numbers and the like · R8 money is bigint, integers have a stated width, no
//! division · R9 no LISTEN, no session locks · R10 arrays instead of loops · R11 migrations are plain DDL · R12 no extensions, views
//! that must be refreshed, or partitions. What a machine cannot see (that a look-up row is written first, how long a transaction is
//! open) is for the reader.

mod locks;
mod rules;
mod schema;
mod source;

use std::collections::BTreeSet;

use rules::{Apart, Tree, Violation, violations};
use tests::repository;

use crate::tidy::sources;

/// The tables that do not lead with a book. Everything else must.
const APART: &[Apart] = &[
    own("users", "people, who may own or serve several merchants"),
    own("sessions", "logins of people"),
    own("merchants", "the register of merchants: small, not on the money path, and what a book's number comes from"),
    own("stores", "parts of a merchant, found by (merchant, store)"),
    own("products", "what products say, by version: small, read when a process starts, not on the money path"),
    own("applications", "onboarding: before there is a book"),
    own("documents", "onboarding: before there is a book"),
    own("document_versions", "onboarding: before there is a book"),
    own("document_findings", "onboarding: before there is a book"),
    own("review_tasks", "the reviewers' queue, across all applicants"),
    own("review_opinions", "what each reviewer said of a task"),
    own("review_seeds", "known items among the tasks"),
    own("review_reveals", "which values of a task were shown to whom"),
    own("bad_cases", "pages that were read wrong, across all applicants"),
    own("model_versions", "a handful of manifests"),
    own("model_runs", "comparisons of two versions, across all pages"),
    own("model_promotions", "which version reads papers: a handful of rows"),
    own("model_state", "one row: the version that reads papers"),
    own("audit_events", "what people did, across books; found by its subject"),
    own("idempotency_keys", "keyed by the tenant that chose the key, before it is known which book a command touches"),
    own("jobs", "a queue that any worker takes from; the book is in the row"),
    own("notices", "as they came from outside: the book is known only once they are read"),
    own("outbox_cursors", "where each reader of the outbox stands, across books"),
    own("outbox_state", "one row: in which form the outbox runs"),
    own("sandbox_clock", "one row, development only"),
    own("log_tiles", "one Merkle log over all books: built behind the money path by one writer"),
    own("channel_switches", "what operators decided about channels: a handful of rows"),
    own("log_state", "one row: how far that log has come"),
    own("log_seals", "one row a day: the sealed heads of that log"),
    own("split_buckets", "the pace of requests to a channel: a row for each of our numbers there"),
    own("check_marks", "one row: how far the checker has come"),
    Apart { table: "request_numbers", looks_up: true, why: "which book a number given to the outside world belongs to" },
    Apart { table: "channel_transactions", looks_up: true, why: "a channel's transaction belongs to one attempt, wherever that is" },
];

const fn own(table: &'static str, why: &'static str) -> Apart {
    Apart { table, looks_up: false, why }
}

/// A breach that is meant. It covers what the rule finds with these words in files whose path begins so.
struct Exception {
    rule: &'static str,
    place: &'static str,
    found: &'static str,
    why: &'static str,
}

const fn except(rule: &'static str, place: &'static str, found: &'static str, why: &'static str) -> Exception {
    Exception { rule, place, found, why }
}

const EXCEPTIONS: &[Exception] = &[
    // what the parser does not know; the rules over words read these all the same
    except(
        "R0",
        "api/migrations/0001_books.sql",
        "GRANT HAODIAN_APP TO CURRENT_USER",
        "the parser knows grants of rights only, not of roles",
    ),
    except("R0", "api/migrations/0009_proofs.sql", "ALTER COLUMN HASHES SET STORAGE", "the parser does not know SET STORAGE"),
    except("R0", "wallet/src/base/outbox/form.rs", "INSERT INTO OUTBOX_CURSORS", "the parser takes the ON of ON CONFLICT for a name"),
    except("R0", "api/src/bench/repo.rs", "ALTER SYSTEM", "the parser does not know ALTER SYSTEM"),
    // the capability xid_watermark: engines without it use the queue form of the outbox and read no stream of postings
    except("R7", "api/migrations/0002_commands.sql", "XID8", XID),
    except("R7", "api/migrations/0002_commands.sql", "PG_CURRENT_XACT_ID", XID),
    except("R7", "api/migrations/0005_ledger_engine.sql", "XID8", XID),
    except("R7", "api/migrations/0005_ledger_engine.sql", "PG_CURRENT_XACT_ID", XID),
    except("R7", "api/migrations/0009_proofs.sql", "XID8", XID),
    except("R7", "api/migrations/0010_check_marks.sql", "XID8", XID),
    except("R7", "wallet/src/proof/", "XID8", "reads the stream of postings by mark"),
    except("R7", "wallet/src/proof/", "PG_SNAPSHOT_XMIN", "reads the stream of postings by mark"),
    except("R7", "wallet/src/proof/", "PG_CURRENT_SNAPSHOT", "reads the stream of postings by mark"),
    except("R7", "wallet/src/check/", "XID8", "checks what changed since a mark"),
    except("R7", "wallet/src/check/", "PG_SNAPSHOT_", "checks what changed since a mark"),
    except("R7", "wallet/src/check/", "PG_CURRENT_SNAPSHOT", "checks what changed since a mark"),
    except("R7", "wallet/src/check/", "XID8", "the full check reads no mark; the incremental one is for engines that have it"),
    except("R7", "wallet/src/check/", "PG_SNAPSHOT_XM", "where the incremental check ends, and what no reader can have reached"),
    except("R7", "wallet/src/check/", "PG_CURRENT_SNAPSHOT", "where the incremental check ends, and what no reader can have reached"),
    // one-time work, by an operator or a migration
    except(
        "R4",
        "wallet/src/base/outbox/form.rs",
        "outbox is locked",
        "moves what waits from one form of the outbox to the other, while nothing else runs",
    ),
    except(
        "R11",
        "api/migrations/0001_books.sql",
        "CREATE ROLE",
        "a role is made once for a cluster, and CREATE ROLE has no IF NOT EXISTS",
    ),
    except(
        "R11",
        "api/migrations/0005_ledger_engine.sql",
        "CREATE FUNCTION PG_TEMP",
        "renames what is stored, once; gone with the session",
    ),
    except("R11", "api/migrations/0005_ledger_engine.sql", "CREATE TEMPORARY TABLE", "renames what is stored, once; gone at commit"),
    except("R11", "api/migrations/0005_ledger_engine.sql", "UPDATE", "renames what is stored, once; a new database has no rows"),
    except("R11", "api/migrations/0009_proofs.sql", "INSERT INTO LOG_STATE", "the one row of the table"),
    except("R11", "api/migrations/0021_jobs_end.sql", "DELETE", "jobs that have ended go, once; a new database has no rows"),
    except("R11", "api/migrations/0024_transfer_jobs.sql", "DELETE", "jobs of a kind that is no more go, once; a new database has no rows"),
    except(
        "R11",
        "api/migrations/0025_review.sql",
        "INSERT INTO REVIEW_OPINIONS",
        "carries over what is stored, once; a new database has no rows",
    ),
    except("R11", "api/migrations/0025_review.sql", "UPDATE", "carries over what is stored, once; a new database has no rows"),
    except("R11", "api/migrations/0027_models.sql", "INSERT INTO MODEL_STATE", "the one row of the table"),
    except("R11", "api/migrations/0012_channels.sql", "UPDATE", "carries over what is stored, once; a new database has no rows"),
    except(
        "R11",
        "api/migrations/0018_refund_routes.sql",
        "INSERT INTO REFUND_ROUTES",
        "carries over what is stored, once; a new database has no rows",
    ),
    except(
        "R11",
        "api/migrations/0030_hot_rows.sql",
        "INSERT INTO PAYMENT_DECISIONS",
        "carries over what is stored, once; a new database has no rows",
    ),
    // sums for a comparison inside the statement: sum(bigint) is numeric, and nothing is stored
    except("R8", "wallet/src/check/", "NUMERIC[]", "compares sums, which are numeric; stores none"),
    // a bench's own throw-away cluster, plain PostgreSQL
    except("R7", "api/src/bench/repo.rs", "DDL", "prepares the bench's own throw-away cluster"),
    except("R12", "api/src/bench/repo.rs", "EXTENSION", "counts statements on the bench's own throw-away cluster"),
];

const XID: &str = "the mark of a transaction, where the engine has one (capability xid_watermark)";

/// The real tree: migrations, prepared queries, and literals of the sources, each statement once.
fn tree() -> Tree {
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let files = |folder: &str, ending: &str| {
        let mut paths: Vec<_> = repository().join(folder).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|of| of == ending));
        paths.sort();
        paths
    };
    let named = |folder: &str, path: &std::path::Path| format!("{folder}/{}", path.file_name().unwrap().display());
    let migrations =
        files("api/migrations", "sql").iter().flat_map(|path| source::migration(&named("api/migrations", path), &read(path))).collect();
    let mut seen = BTreeSet::new();
    let mut queries = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.starts_with("tests/") && !path.ends_with("/tests.rs")) {
        seen.extend(
            source::literals(&text).iter().filter(|literal| source::is_sql(&literal.text)).map(|literal| source::squeezed(&literal.text)),
        );
        queries.extend(source::rust(&path, &text));
    }
    for path in files(".sqlx", "json") {
        let kept: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
        let text = kept["query"].as_str().expect("an entry has its query");
        // most of them stand in a source, where the place is plainer
        if seen.insert(source::squeezed(text)) {
            queries.extend(source::query(&named(".sqlx", &path), 1, text));
        }
    }
    Tree { migrations, queries }
}

fn covers(exception: &Exception, violation: &Violation) -> bool {
    exception.rule == violation.rule && violation.file.starts_with(exception.place) && violation.found.contains(exception.found)
}

#[test]
fn the_whole_tree_keeps_to_the_portable_subset() {
    let tree = tree();
    assert!(tree.migrations.len() > 50 && tree.queries.len() > 100, "the statements were not found");
    let found = violations(&tree, APART);
    let places: Vec<String> = found.iter().filter(|v| !EXCEPTIONS.iter().any(|e| covers(e, v))).map(ToString::to_string).collect();
    assert!(places.is_empty(), "{} places break the portable subset of SQL:\n  {}", places.len(), places.join("\n  "));
    let stale: Vec<String> = EXCEPTIONS
        .iter()
        .filter(|e| !found.iter().any(|v| covers(e, v)))
        .map(|e| format!("{} in {} by {:?} ({})", e.rule, e.place, e.found, e.why))
        .collect();
    assert!(stale.is_empty(), "nothing breaks these any more, take them off the list:\n  {}", stale.join("\n  "));
}

/// A small tree: these tables, and what a case adds to them.
const TABLES: &str = "
    CREATE TABLE books (book_id uuid PRIMARY KEY, closed_day date);
    CREATE TABLE accounts (book_id uuid NOT NULL REFERENCES books, account_id uuid NOT NULL, balance_minor bigint NOT NULL,
                           PRIMARY KEY (book_id, account_id), CONSTRAINT accounts_name UNIQUE (book_id, balance_minor));
    CREATE TABLE entries (book_id uuid NOT NULL, account_id uuid NOT NULL, seq bigint NOT NULL, PRIMARY KEY (book_id, account_id, seq),
                          FOREIGN KEY (book_id, account_id) REFERENCES accounts);
    CREATE TABLE users (user_id uuid PRIMARY KEY);
    CREATE TABLE numbers (number text PRIMARY KEY, book_id uuid NOT NULL);
    GRANT SELECT, INSERT ON entries TO haodian_app;
    GRANT SELECT, INSERT, UPDATE ON accounts TO haodian_app;";

const TABLES_APART: [Apart; 2] = [own("users", "people"), Apart { table: "numbers", looks_up: true, why: "numbers" }];

/// What the rules find in the small tree with a migration and a query more.
fn found_with(migration: &str, query: &str) -> Vec<Violation> {
    let mut migrations = source::migration("0001.sql", TABLES);
    migrations.extend(source::migration("0002.sql", migration));
    violations(&Tree { migrations, queries: source::query("repo.rs", 7, query) }, &TABLES_APART)
}

fn shown(found: &[Violation]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn each_rule_catches_what_breaks_it_in_a_migration() {
    let cases = [
        ("R0", "CREATE TABLE (", "cannot be parsed"),
        ("R1", "CREATE TABLE t (id uuid PRIMARY KEY);", "t has no book"),
        (
            "R1",
            "CREATE TABLE t (book_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (id, book_id));",
            "t_pkey (id, book_id) does not begin",
        ),
        ("R1", "CREATE TABLE t (book_id uuid NOT NULL, id uuid UNIQUE, PRIMARY KEY (book_id, id));", "t_id_key (id)"),
        ("R1", "CREATE TABLE t (book_id uuid NOT NULL, id uuid);", "t has no key"),
        (
            "R1",
            "CREATE TABLE t (book_id uuid, id uuid, PRIMARY KEY (book_id, id)); ALTER TABLE t ALTER COLUMN book_id DROP NOT NULL;",
            "no book",
        ),
        ("R1", "CREATE UNIQUE INDEX one_balance ON accounts (balance_minor);", "one_balance (balance_minor)"),
        ("R1", "ALTER TABLE accounts ADD CONSTRAINT one UNIQUE (account_id);", "one (account_id)"),
        ("R1", "ALTER TABLE accounts ADD COLUMN owner uuid REFERENCES users;", "refers to users"),
        ("R1", "ALTER TABLE users ADD COLUMN book uuid REFERENCES books;", "refers to books"),
        ("R1", "ALTER TABLE entries ADD COLUMN of uuid REFERENCES accounts;", "entries_of_fkey (of) refers to accounts"),
        ("R1", "DROP TABLE users;", "there is no table users"),
        ("R2", "ALTER TABLE numbers DROP COLUMN book_id;", "numbers does not say the book"),
        ("R3", "ALTER TABLE accounts ADD COLUMN n bigserial;", "BIGSERIAL"),
        ("R3", "CREATE SEQUENCE s;", "SEQUENCE"),
        ("R3", "CREATE TABLE t (book_id uuid PRIMARY KEY, n integer GENERATED ALWAYS AS IDENTITY);", "identity n INTEGER"),
        ("R3", "ALTER TABLE accounts ADD COLUMN other uuid DEFAULT gen_random_uuid();", "GEN_RANDOM_UUID"),
        ("R6", "CREATE TRIGGER t BEFORE UPDATE ON entries FOR EACH ROW EXECUTE FUNCTION f();", "TRIGGER"),
        ("R6", "GRANT SELECT, DELETE ON entries TO haodian_app;", "entries may be changed"),
        ("R6", "GRANT ALL ON entries TO haodian_app;", "entries may be changed"),
        ("R6", "GRANT UPDATE ON ALL TABLES IN SCHEMA public TO haodian_app;", "all tables may be changed"),
        ("R7", "ALTER TABLE entries ADD CONSTRAINT c UNIQUE (book_id, seq) DEFERRABLE INITIALLY DEFERRED;", "DEFERRABLE"),
        ("R7", "CREATE TABLE t (book_id uuid PRIMARY KEY, EXCLUDE USING gist (book_id WITH =));", "EXCLUDE"),
        ("R7", "CREATE INDEX i ON accounts USING gist (balance_minor);", "GIST"),
        ("R7", "CREATE UNLOGGED TABLE t (book_id uuid PRIMARY KEY);", "UNLOGGED"),
        ("R7", "CREATE TABLE t (book_id uuid PRIMARY KEY) INHERITS (books);", "INHERITS"),
        ("R7", "CREATE TABLE t PARTITION OF books FOR VALUES IN ('a') PARTITION BY LIST (closed_day);", "partitions of partitions"),
        ("R7", "ALTER TABLE accounts ADD COLUMN mark xid8 DEFAULT pg_current_xact_id();", "PG_CURRENT_XACT_ID"),
        ("R7", "DO $$ BEGIN LOCK TABLE accounts; END $$;", "LOCK"),
        ("R8", "ALTER TABLE accounts ADD COLUMN held_minor integer;", "accounts.held_minor is INTEGER"),
        ("R8", "ALTER TABLE accounts ADD COLUMN rate numeric(10, 4);", "accounts.rate is NUMERIC"),
        ("R8", "ALTER TABLE accounts ADD COLUMN rate double precision;", "accounts.rate is DOUBLE"),
        ("R8", "ALTER TABLE accounts ADD COLUMN price money;", "accounts.price is money"),
        ("R8", "ALTER TABLE accounts ADD COLUMN n int;", "accounts.n is INT"),
        ("R11", "DO $$ BEGIN NULL; END $$;", "not plain DDL: DO"),
        ("R11", "UPDATE accounts SET balance_minor = 0;", "not plain DDL: UPDATE"),
        ("R11", "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;", "not plain DDL: CREATE FUNCTION"),
        ("R12", "CREATE EXTENSION pg_trgm;", "EXTENSION"),
        ("R12", "CREATE MATERIALIZED VIEW v AS SELECT * FROM books;", "MATERIALIZED"),
        (
            "R12",
            "CREATE TABLE t (book_id uuid NOT NULL, day date NOT NULL, PRIMARY KEY (book_id, day)) PARTITION BY RANGE (day);",
            "has partitions",
        ),
        ("R12", "CREATE INDEX i ON users USING gin (name gin_trgm_ops);", "GIN_TRGM_OPS"),
    ];
    for (rule, migration, what) in cases {
        let found = found_with(migration, "");
        assert!(found.iter().any(|v| v.rule == rule && v.found.contains(what)), "{rule} lets pass: {migration}\n{:#?}", shown(&found));
    }
}

#[test]
fn each_rule_catches_what_breaks_it_in_a_query() {
    let cases = [
        ("R0", "SELECT (", "cannot be parsed"),
        ("R3", "SELECT max(e.account_id) FROM entries e", "max(account_id)"),
        ("R3", "SELECT nextval('s')", "NEXTVAL"),
        ("R4", "SELECT * FROM accounts WHERE account_id = $1 FOR UPDATE", "accounts is locked without its book"),
        ("R4", "SELECT * FROM accounts WHERE book_id = $1 OR account_id = $2 ORDER BY account_id FOR UPDATE", "without its book"),
        ("R4", "SELECT * FROM accounts a JOIN books b ON b.book_id = $1 ORDER BY a.account_id FOR NO KEY UPDATE OF a", "without its book"),
        ("R4", "SELECT * FROM accounts WHERE book_id = $1 FOR NO KEY UPDATE", "locked in no order"),
        ("R4", "SELECT * FROM accounts WHERE book_id = $1 AND account_id = ANY($2::uuid[]) FOR SHARE", "locked in no order"),
        ("R4", "WITH l AS (SELECT * FROM accounts WHERE book_id = $1 FOR KEY SHARE) SELECT * FROM l", "locked in no order"),
        ("R4", "SELECT * FROM accounts WHERE book_id = $1 ORDER BY balance_minor FOR UPDATE", "locked by balance_minor"),
        ("R4", "UPDATE accounts SET balance_minor = 0 WHERE account_id = $1", "accounts is locked without its book"),
        ("R4", "DELETE FROM accounts a USING users u WHERE a.account_id = u.user_id", "accounts is locked without its book"),
        ("R5", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SERIALIZABLE"),
        ("R6", "UPDATE entries SET seq = 1 WHERE book_id = $1", "entries is changed"),
        ("R6", "WITH gone AS (DELETE FROM entries WHERE book_id = $1 RETURNING seq) SELECT * FROM gone", "entries is changed"),
        ("R7", "LOCK TABLE accounts IN EXCLUSIVE MODE", "LOCK"),
        ("R7", "MERGE INTO accounts USING users ON true WHEN MATCHED THEN DO NOTHING", "MERGE"),
        ("R7", "PREPARE TRANSACTION 'a'", "TRANSACTION"),
        ("R7", "COMMIT PREPARED 'a'", "PREPARED"),
        ("R7", "SELECT pg_snapshot_xmin(pg_current_snapshot())", "PG_SNAPSHOT_XMIN"),
        ("R7", "SELECT xmin FROM accounts", "XMIN"),
        ("R7", "TRUNCATE accounts", "DDL: TRUNCATE"),
        ("R8", "SELECT balance_minor / 100 FROM accounts", "division"),
        ("R8", "SELECT balance_minor::numeric FROM accounts", "a cast to NUMERIC"),
        ("R8", "SELECT $1::float8[]", "a cast to FLOAT8[]"),
        ("R9", "LISTEN changes", "LISTEN"),
        ("R9", "SELECT pg_notify('changes', '')", "PG_NOTIFY"),
        ("R9", "SELECT pg_try_advisory_lock(1)", "PG_TRY_ADVISORY_LOCK"),
        ("R10", "SELECT pg_sleep(1)", "PG_SLEEP"),
    ];
    for (rule, query, what) in cases {
        let found = found_with("", query);
        assert!(found.iter().any(|v| v.rule == rule && v.found.contains(what)), "{rule} lets pass: {query}\n{:#?}", shown(&found));
    }
    let looped = source::rust(
        "repo.rs",
        "async fn f() {\n    for id in ids {\n        sqlx::query!(\"DELETE FROM users WHERE user_id = $1\", id);\n    }\n}",
    );
    let found = violations(&Tree { migrations: source::migration("0001.sql", TABLES), queries: looped }, &TABLES_APART);
    assert_eq!(shown(&found), ["repo.rs:3: R10: a statement in a loop; send one statement with arrays, UNNEST($1::…[])"]);
}

#[test]
fn what_is_portable_passes() {
    let migrations = [
        "CREATE TABLE t (book_id uuid NOT NULL, id uuid NOT NULL, n bigint GENERATED ALWAYS AS IDENTITY, fee_minor bigint, PRIMARY KEY (book_id, id),
                         FOREIGN KEY (book_id, id) REFERENCES accounts); CREATE INDEX t_by_n ON t (n) WHERE n > 0;",
        // what one migration broke and a later one mended
        "ALTER TABLE accounts ADD COLUMN rate numeric, ADD CONSTRAINT one UNIQUE (account_id);
         ALTER TABLE accounts DROP COLUMN rate; ALTER TABLE accounts DROP CONSTRAINT one;",
        "CREATE UNIQUE INDEX i ON accounts (balance_minor); DROP INDEX i;",
    ];
    for migration in migrations {
        assert_eq!(shown(&found_with(migration, "")), [""; 0], "{migration}");
    }
    let queries = [
        "SELECT * FROM accounts WHERE book_id = $1 AND account_id = $2 FOR UPDATE",
        "SELECT a.* FROM UNNEST($1::uuid[], $2::uuid[]) AS u(book_id, account_id) JOIN accounts a USING (book_id, account_id)
         ORDER BY a.book_id, a.account_id FOR NO KEY UPDATE OF a",
        "SELECT a.* FROM accounts a JOIN numbers n ON n.book_id = a.book_id AND n.account = a.account_id WHERE n.number = $1 FOR UPDATE OF a",
        "SELECT * FROM accounts WHERE (book_id, account_id) IN (SELECT b, c FROM UNNEST($1::uuid[], $2::uuid[]) AS w(b, c)) ORDER BY account_id FOR UPDATE",
        "SELECT * FROM users ORDER BY user_id LIMIT 5 FOR UPDATE SKIP LOCKED",
        "UPDATE accounts a SET balance_minor = u.b FROM UNNEST($1::uuid[], $2::bigint[]) AS u(k, b) WHERE a.book_id = u.k AND a.account_id = $3",
        "-- capability: xid_watermark\nSELECT pg_snapshot_xmin(pg_current_snapshot())::text AS \"mark!: String\"",
        "SELECT max(seq), sum(seq)::bigint FROM entries WHERE book_id = $1",
        "SELECT pg_advisory_xact_lock($1)",
    ];
    for query in queries {
        assert_eq!(shown(&found_with("", query)), [""; 0], "{query}");
    }
}

#[test]
fn a_violation_names_the_file_the_line_and_the_remedy() {
    let found = found_with(
        "\n\nALTER TABLE accounts ADD COLUMN x bigint;\nCREATE INDEX i ON accounts\n USING gist (x);",
        "SELECT 1 -- one\n  , pg_notify('a', 'b')",
    );
    assert_eq!(shown(&found), ["0002.sql:5: R7: GIST; use a B-tree", "repo.rs:8: R9: PG_NOTIFY; poll; Redis carries the hint"]);
}

#[test]
fn literals_are_told_from_comments_characters_lifetimes_and_tests() {
    let text = "//! \"SELECT 1\"\nfn f<'a>(q: char) -> &'a str {\n    let _ = ('\"', '\\'', r#\"SELECT \"a\"\"#); /* \"no\" */\n    \"SELECT 2 \\\n     FROM t\"\n}\n#[cfg(test)]\nmod tests { const X: &str = \"SELECT 3\"; }";
    let found: Vec<(usize, String)> = source::literals(text).into_iter().map(|l| (l.line, l.text)).collect();
    assert_eq!(found, [(3, "SELECT \"a\"".to_owned()), (4, "SELECT 2 \n     FROM t".to_owned())]);
    assert!(
        source::is_sql("SELECT 1")
            && source::is_sql("-- a mark\n WITH a AS (SELECT 1)")
            && !source::is_sql("Select a shop")
            && !source::is_sql("SELECTED")
    );
}
