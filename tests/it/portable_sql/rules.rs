//! Rules R1 to R12, each as a function from the tree to the places that break it.

use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Action, ArrayElemTypeDef, BinaryOperator, ColumnOption, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GeneratedAs,
    GrantObjects, ObjectName, ObjectType, Privileges, Statement as Sql, Visit, Visitor,
};

use super::locks;
use super::schema::{self, Schema};
use super::source::{Origin, Statement};

/// Everything the rules look at.
#[derive(Debug)]
pub struct Tree {
    pub migrations: Vec<Statement>,
    pub queries: Vec<Statement>,
}

/// A table that does not lead with a book, on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    pub table: &'static str,
    /// Whether it is a look-up table: keyed by a number given to the outside world, it says which book that belongs to (R2).
    pub looks_up: bool,
    pub why: &'static str,
}

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: &'static str,
    pub file: String,
    pub line: usize,
    /// What was found, with the name that an exception gives.
    pub found: String,
    pub remedy: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}; {}", self.file, self.line, self.rule, self.found, self.remedy)
    }
}

impl Violation {
    fn at(statement: &Statement, line: usize, rule: &'static str, found: impl Into<String>, remedy: &'static str) -> Self {
        Self { rule, file: statement.file.clone(), line, found: found.into(), remedy }
    }

    fn of(statement: &Statement, rule: &'static str, found: impl Into<String>, remedy: &'static str) -> Self {
        Self::at(statement, statement.line, rule, found, remedy)
    }
}

/// What only ever grows: nobody may be granted more than reading and inserting.
const APPEND_ONLY: [&str; 2] = ["entries", "postings"];

/// A statement with one of these comments is used only where the engine has the capability.
const XID_MARK: &str = "capability: xid_watermark";

/// Every place that breaks a rule.
pub fn violations(tree: &Tree, apart: &[Apart]) -> Vec<Violation> {
    let schema = schema::schema(&tree.migrations);
    let mut found = Vec::new();
    keys_lead_with_the_book(&schema, apart, &mut found);
    look_up_tables_name_the_book(&schema, apart, &mut found);
    columns_are_portable(&schema, &mut found);
    for statement in tree.migrations.iter().chain(&tree.queries) {
        readable(statement, &mut found);
        words(statement, &mut found);
        expressions(statement, &mut found);
        match statement.origin {
            Origin::Migration => plain_ddl(statement, &mut found),
            Origin::Query => service_query(statement, &schema, apart, &mut found),
        }
    }
    found
}

/// What cannot be read cannot be checked.
fn readable(statement: &Statement, found: &mut Vec<Violation>) {
    // a DO block is not for the parser; its words are read, and R11 lists where one may stand
    if let (Some(why), false) = (&statement.unread, statement.head().starts_with("DO ")) {
        let what = format!("{}cannot be parsed: {why}", statement.head());
        found.push(Violation::of(statement, "R0", what, "write it plainer, or list it with a reason"));
    }
}

/// R1, for every table that is not listed as standing apart.
fn keys_lead_with_the_book(schema: &Schema, apart: &[Apart], found: &mut Vec<Violation>) {
    let in_book = |name: &str| schema.contains_key(name) && !apart.iter().any(|apart| apart.table == name);
    for (name, table) in schema {
        let mut breach = |file: &str, line: usize, what: String, remedy| {
            found.push(Violation { rule: "R1", file: file.to_owned(), line, found: what, remedy });
        };
        if in_book(name) {
            if !table.columns.get("book_id").is_some_and(|column| column.required) {
                let remedy = "give it book_id uuid NOT NULL, or list it as standing apart with a reason";
                breach(&table.file, table.line, format!("{name} has no book"), remedy);
            }
            if table.keys.is_empty() {
                breach(&table.file, table.line, format!("{name} has no key"), "give it a primary key that begins with book_id");
            }
            for key in table.keys.iter().filter(|key| key.columns.first().is_none_or(|first| first != "book_id")) {
                let what = format!("{name}: {} ({}) does not begin with book_id", key.name, key.columns.join(", "));
                breach(&key.file, key.line, what, "put book_id first, or look the value up in a table of its own (R2)");
            }
        }
        for reference in &table.references {
            let what = format!("{name}: {} ({}) refers to {}", reference.name, reference.columns.join(", "), reference.to);
            let leads = reference.columns.first().is_some_and(|first| first == "book_id");
            match (in_book(name), in_book(&reference.to)) {
                (true, true) if !leads => breach(&reference.file, reference.line, what, "refer by (book_id, …), inside one book"),
                (true, false) | (false, true) => {
                    breach(
                        &reference.file,
                        reference.line,
                        what,
                        "keep the number without a foreign key: the two may live on different nodes",
                    );
                }
                _ => {}
            }
        }
    }
    for listed in apart {
        let remedy = "take it off the list";
        match schema.get(listed.table) {
            None => found.push(Violation {
                rule: "R1",
                file: "the list of tables that stand apart".into(),
                line: 0,
                found: format!("there is no table {} ({})", listed.table, listed.why),
                remedy,
            }),
            Some(table) if !table.keys.is_empty() && table.keys.iter().all(|key| key.columns[0] == "book_id") => {
                found.push(Violation {
                    rule: "R1",
                    file: table.file.clone(),
                    line: table.line,
                    found: format!("{} leads with its book", listed.table),
                    remedy,
                });
            }
            Some(_) => {}
        }
    }
}

/// R2: what is unique everywhere finds its book through a look-up table.
fn look_up_tables_name_the_book(schema: &Schema, apart: &[Apart], found: &mut Vec<Violation>) {
    for (listed, table) in apart.iter().filter(|apart| apart.looks_up).filter_map(|listed| Some((listed, schema.get(listed.table)?))) {
        if !table.columns.get("book_id").is_some_and(|column| column.required) {
            found.push(Violation {
                rule: "R2",
                file: table.file.clone(),
                line: table.line,
                found: format!("{} does not say the book", listed.table),
                remedy: "give the look-up table book_id uuid NOT NULL",
            });
        }
    }
}

/// R8 of the tables: whole minor units, and integers of a stated width.
fn columns_are_portable(schema: &Schema, found: &mut Vec<Violation>) {
    for (name, table) in schema {
        for (column, of) in &table.columns {
            let remedy = if column.ends_with("_minor") && !matches!(of.kind, DataType::BigInt(None)) {
                "money is bigint, in minor units"
            } else if let Some(remedy) = bad_type(&of.kind) {
                remedy
            } else {
                continue;
            };
            found.push(Violation {
                rule: "R8",
                file: table.file.clone(),
                line: table.line,
                found: format!("{name}.{column} is {}", of.kind),
                remedy,
            });
        }
    }
}

/// What is wrong with a type, if anything.
fn bad_type(kind: &DataType) -> Option<&'static str> {
    match kind {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner) | ArrayElemTypeDef::Parenthesis(inner),
        ) => bad_type(inner),
        DataType::Int(_) | DataType::Int2(_) | DataType::Int4(_) | DataType::Int8(_) => Some("write smallint, integer or bigint"),
        DataType::Real
        | DataType::Float(_)
        | DataType::Float4
        | DataType::Float8
        | DataType::Double(_)
        | DataType::DoublePrecision
        | DataType::Numeric(_)
        | DataType::Decimal(_)
        | DataType::Dec(_) => Some("count in whole minor units, as bigint"),
        DataType::Custom(name, _) if schema::name(name) == "money" => Some("count in whole minor units, as bigint"),
        _ => None,
    }
}

/// Rules that a word alone breaks.
fn words(statement: &Statement, found: &mut Vec<Violation>) {
    let marked = statement.comments.contains(XID_MARK);
    for (at, word) in statement.words.iter().enumerate() {
        let next = statement.words.get(at + 1).map_or("", |next| next.text.as_str());
        let before = at.checked_sub(1).map_or("", |before| statement.words[before].text.as_str());
        let text = word.text.as_str();
        let breach = match text {
            "SERIAL" | "BIGSERIAL" | "SMALLSERIAL" | "SERIAL2" | "SERIAL4" | "SERIAL8" | "SEQUENCE" | "NEXTVAL" | "CURRVAL" | "SETVAL"
            | "LASTVAL" => Some(("R3", "let the application make the id (UUID v7, or from a name)")),
            "GEN_RANDOM_UUID" | "UUID_GENERATE_V4" | "UUIDV4" | "UUIDV7" => {
                Some(("R3", "let the application make the id (UUID v7, or from a name)"))
            }
            "SERIALIZABLE" => Some(("R5", "lock the rows that the decision reads, at READ COMMITTED")),
            "TRIGGER" => Some(("R6", "do it in the statement that writes, and let the checker prove it")),
            "RULE" if before == "CREATE" || before == "REPLACE" => Some(("R6", "do it in the statement that writes")),
            "DEFERRABLE" | "DEFERRED" => Some(("R7", "check at once")),
            "EXCLUDE" if statement.origin == Origin::Migration => Some(("R7", "use a unique key, or check under a lock")),
            "GIST" | "SPGIST" => Some(("R7", "use a B-tree")),
            "LOCK" if next == "TABLE" || at == 0 => Some(("R7", "lock rows")),
            "UNLOGGED" => Some(("R7", "use an ordinary table")),
            "INHERITS" | "INHERIT" => Some(("R7", "use tables of their own")),
            "MERGE" if next == "INTO" => Some(("R7", "use INSERT … ON CONFLICT")),
            "TRANSACTION" if before == "PREPARE" => Some(("R7", "use two postings by way of in-transit accounts")),
            "PREPARED" => Some(("R7", "use two postings by way of in-transit accounts")),
            "CTID" | "XMIN" | "XMAX" | "TABLEOID" => Some(("R7", "name rows by their keys")),
            "LISTEN" | "UNLISTEN" | "NOTIFY" if at == 0 => Some(("R9", "poll; Redis carries the hint")),
            "PG_NOTIFY" => Some(("R9", "poll; Redis carries the hint")),
            "PG_SLEEP" if word.called => Some(("R10", "keep transactions short: wait in the service")),
            "EXTENSION" if before != "IF" => Some(("R12", "do without; an extension is not on every engine")),
            "MATERIALIZED" if next == "VIEW" => Some(("R12", "keep a table that the writer or a reader of the outbox adds to")),
            "GIN_TRGM_OPS" | "SIMILARITY" => Some(("R12", "do without; an extension is not on every engine")),
            _ if transaction_mark(text) && !marked => {
                Some(("R7", "offer a form without it and mark the statement: -- capability: xid_watermark"))
            }
            _ if session_lock(text) => Some(("R9", "hold a row by lease")),
            _ => None,
        };
        if let Some((rule, remedy)) = breach {
            found.push(Violation::at(statement, word.line, rule, text, remedy));
        }
    }
}

/// Whether a word is a type or function of transaction numbers.
fn transaction_mark(word: &str) -> bool {
    word == "XID8"
        || word.starts_with("TXID_")
        || word.starts_with("PG_SNAPSHOT_")
        || matches!(
            word,
            "PG_CURRENT_XACT_ID" | "PG_CURRENT_XACT_ID_IF_ASSIGNED" | "PG_CURRENT_SNAPSHOT" | "PG_VISIBLE_IN_SNAPSHOT" | "PG_XACT_STATUS"
        )
}

/// Whether a word takes or gives back an advisory lock of a session.
fn session_lock(word: &str) -> bool {
    word.contains("_ADVISORY_") && !word.contains("_XACT_")
}

/// Rules over expressions: marks by the highest id (R3), types and division (R8).
fn expressions(statement: &Statement, found: &mut Vec<Violation>) {
    struct Walk(Vec<(&'static str, String, &'static str)>);
    impl Visitor for Walk {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if schema::name(&function.name) == "max" => {
                    if let FunctionArguments::List(list) = &function.args
                        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice()
                    {
                        let column = argument.to_string().to_lowercase();
                        let column = column.rsplit('.').next().unwrap_or_default();
                        if column == "id" || column == "xid" || column.ends_with("_id") {
                            self.0.push((
                                "R3",
                                format!("max({column})"),
                                "the highest id is no mark: commits do not come in the order of ids",
                            ));
                        }
                    }
                }
                Expr::Cast { data_type, .. } => {
                    if let Some(remedy) = bad_type(data_type) {
                        self.0.push(("R8", format!("a cast to {data_type}"), remedy));
                    }
                }
                Expr::BinaryOp { op: BinaryOperator::Divide, .. } => {
                    self.0.push(("R8", format!("division: {expr}"), "divide in Rust, where the rounding has a name"));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut walk = Walk(Vec::new());
    if let Some(parsed) = &statement.parsed {
        let _: ControlFlow<()> = parsed.visit(&mut walk);
    }
    found.extend(walk.0.into_iter().map(|(rule, what, remedy)| Violation::of(statement, rule, what, remedy)));
}

/// Rules of migrations: identity (R3), grants (R6), partitions (R7, R12), and nothing but plain DDL (R11).
fn plain_ddl(statement: &Statement, found: &mut Vec<Violation>) {
    let plain = match &statement.parsed {
        Some(Sql::CreateTable(create)) => {
            for column in &create.columns {
                let identity = column.options.iter().any(|option| {
                    matches!(
                        &option.option,
                        ColumnOption::Generated { generated_as: GeneratedAs::Always | GeneratedAs::ByDefault, generation_expr: None, .. }
                    )
                });
                if identity && !matches!(column.data_type, DataType::BigInt(None)) {
                    found.push(Violation::of(
                        statement,
                        "R3",
                        format!("identity {} {}", column.name, column.data_type),
                        "identity is bigint",
                    ));
                }
            }
            if create.partition_by.is_some() {
                found.push(Violation::of(statement, "R12", format!("{} has partitions", create.name), "keep the table whole"));
            }
            if create.partition_of.is_some() && create.partition_by.is_some() {
                found.push(Violation::of(statement, "R7", format!("{} has partitions of partitions", create.name), "keep the table whole"));
            }
            !create.temporary && create.query.is_none()
        }
        Some(Sql::Grant(grant)) => {
            let changes = match &grant.privileges {
                Privileges::All { .. } => true,
                Privileges::Actions(actions) => {
                    actions.iter().any(|a| matches!(a, Action::Update { .. } | Action::Delete | Action::Truncate))
                }
            };
            let tables: &[ObjectName] = match &grant.objects {
                Some(GrantObjects::Tables(tables)) => tables,
                _ => &[],
            };
            for table in tables.iter().map(schema::name).filter(|table| changes && APPEND_ONLY.contains(&table.as_str())) {
                found.push(Violation::of(
                    statement,
                    "R6",
                    format!("{table} may be changed"),
                    "grant SELECT and INSERT only: it is append-only by grant",
                ));
            }
            if matches!(grant.objects, Some(GrantObjects::AllTablesInSchema { .. })) && changes {
                found.push(Violation::of(statement, "R6", "all tables may be changed", "grant table by table"));
            }
            true
        }
        Some(Sql::AlterTable(_) | Sql::CreateIndex(_) | Sql::Revoke(_) | Sql::Comment { .. }) => true,
        Some(Sql::Drop { object_type, .. }) => matches!(object_type, ObjectType::Table | ObjectType::Index),
        _ => false,
    };
    if !plain && statement.unread.is_none() | statement.head().starts_with("DO ") {
        found.push(Violation::of(
            statement,
            "R11",
            format!("not plain DDL: {}", statement.head().trim_end()),
            "use plain DDL, or list it with a reason",
        ));
    }
}

/// Rules of the services' statements: locks (R4), append-only tables (R6), no DDL (R7), no statement in a loop (R10).
fn service_query(statement: &Statement, schema: &Schema, apart: &[Apart], found: &mut Vec<Violation>) {
    const DDL: [&str; 10] = ["CREATE ", "ALTER ", "DROP ", "TRUNCATE ", "GRANT ", "REVOKE ", "REINDEX ", "VACUUM ", "REFRESH ", "DO "];
    if DDL.iter().any(|verb| statement.head().starts_with(verb)) {
        found.push(Violation::of(statement, "R7", format!("DDL: {}", statement.head().trim_end()), "DDL stands in migrations"));
    }
    if statement.in_loop {
        found.push(Violation::of(statement, "R10", "a statement in a loop", "send one statement with arrays, UNNEST($1::…[])"));
    }
    let Some(parsed) = &statement.parsed else { return };
    for lock in locks::locks(parsed, schema) {
        if lock.writes && APPEND_ONLY.contains(&lock.table.as_str()) {
            found.push(Violation::of(statement, "R6", format!("{} is changed", lock.table), "it is append-only: correct by a new posting"));
        }
        if !schema.contains_key(&lock.table) || apart.iter().any(|apart| apart.table == lock.table) {
            continue;
        }
        if !lock.in_book {
            found.push(Violation::of(
                statement,
                "R4",
                format!("{} is locked without its book", lock.table),
                "compare book_id in the condition or the join",
            ));
        }
        if lock.writes || lock.one_row || lock.skips {
            continue;
        }
        match &lock.order {
            None => {
                found.push(Violation::of(
                    statement,
                    "R4",
                    format!("rows of {} are locked in no order", lock.table),
                    "ORDER BY the key, as every other statement does",
                ));
            }
            // the one order of the whole system
            Some(order) if lock.table == "accounts" && !["account_id", "book_id,account_id"].contains(&order.join(",").as_str()) => {
                found.push(Violation::of(
                    statement,
                    "R4",
                    format!("accounts are locked by {}", order.join(", ")),
                    "ORDER BY book_id, account_id",
                ));
            }
            Some(_) => {}
        }
    }
}
