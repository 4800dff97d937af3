//! What a statement locks, and whether its condition says in which book (R4).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Delete, Expr, FromTable, JoinConstraint, JoinOperator, LimitClause, NonBlock, OrderByKind, Query, SetExpr,
    Statement as Sql, TableFactor, TableWithJoins, Update, UpdateTableFromKind, Visit, Visitor,
};

use super::schema::{self, Schema};

/// A table that a statement locks rows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    pub table: String,
    /// Whether the condition or a join compares its `book_id` with something.
    pub in_book: bool,
    /// Whether the condition gives a whole key, so that it locks one row at most; or it says `LIMIT 1`.
    pub one_row: bool,
    /// The columns it sorts by; none where it does not.
    pub order: Option<Vec<String>>,
    /// Whether it passes over what is locked.
    pub skips: bool,
    /// Whether it is an UPDATE or a DELETE rather than a SELECT … FOR.
    pub writes: bool,
}

/// Everything a statement locks.
pub fn locks(statement: &Sql, schema: &Schema) -> Vec<Lock> {
    let mut walk = Walk { schema, found: Vec::new() };
    let _: ControlFlow<()> = statement.visit(&mut walk);
    walk.found
}

struct Walk<'a> {
    schema: &'a Schema,
    found: Vec<Lock>,
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = &*query.body else { return ControlFlow::Continue(()) };
        for clause in &query.locks {
            let scope = Scope::new(&select.from, select.selection.as_ref());
            let of = clause.of.as_ref().map(schema::name);
            for (alias, table) in scope.tables.iter().filter(|(alias, _)| of.as_ref().is_none_or(|of| of == *alias)) {
                self.found.push(Lock {
                    table: table.clone(),
                    in_book: scope.in_book(alias),
                    one_row: scope.one_row(alias, self.schema) || limit_one(query.limit_clause.as_ref()),
                    order: order(query),
                    skips: clause.nonblock == Some(NonBlock::SkipLocked),
                    writes: false,
                });
            }
        }
        ControlFlow::Continue(())
    }

    // UPDATE and DELETE may stand in a WITH, too
    fn pre_visit_statement(&mut self, statement: &Sql) -> ControlFlow<()> {
        let (target, sources, condition) = match statement {
            Sql::Update(Update { table, from, selection, .. }) => {
                let from = match from {
                    Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => from.clone(),
                    None => Vec::new(),
                };
                (table.clone(), from, selection)
            }
            Sql::Delete(Delete { from: FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from), using, selection, .. }) => {
                let Some(table) = from.first() else { return ControlFlow::Continue(()) };
                (table.clone(), using.clone().unwrap_or_default(), selection)
            }
            _ => return ControlFlow::Continue(()),
        };
        let mut all = sources;
        all.push(target.clone());
        let scope = Scope::new(&all, condition.as_ref());
        if let Some((alias, table)) = named(&target.relation) {
            let one_row = scope.one_row(&alias, self.schema);
            let in_book = scope.in_book(&alias);
            self.found.push(Lock { table, in_book, one_row, order: None, skips: false, writes: true });
        }
        ControlFlow::Continue(())
    }
}

/// The columns a query sorts by, without their table's name.
fn order(query: &Query) -> Option<Vec<String>> {
    match &query.order_by.as_ref()?.kind {
        OrderByKind::Expressions(by) => Some(by.iter().map(|by| last_part(&by.expr.to_string())).collect()),
        OrderByKind::All(_) => None,
    }
}

fn last_part(text: &str) -> String {
    text.rsplit('.').next().unwrap_or(text).to_lowercase()
}

fn limit_one(limit: Option<&LimitClause>) -> bool {
    matches!(limit, Some(LimitClause::LimitOffset { limit: Some(limit), .. }) if limit.to_string() == "1")
}

/// A column: the alias it was written with, if any, and its name.
type Column = (Option<String>, String);

/// One side of an equality.
#[derive(Clone, Debug)]
enum Side {
    Column(Column),
    /// A parameter or a literal: one value.
    Value,
    /// One of several values, or something that depends on rows.
    Other,
}

/// The tables of one FROM and the equalities that hold between their rows.
struct Scope {
    /// Alias to table.
    tables: BTreeMap<String, String>,
    equal: Vec<(Side, Side)>,
}

impl Scope {
    fn new(from: &[TableWithJoins], condition: Option<&Expr>) -> Self {
        let mut scope = Self { tables: BTreeMap::new(), equal: Vec::new() };
        for each in from {
            scope.add(each);
        }
        if let Some(condition) = condition {
            scope.conjuncts(condition);
        }
        scope
    }

    fn add(&mut self, from: &TableWithJoins) {
        self.factor(&from.relation);
        for join in &from.joins {
            self.factor(&join.relation);
            let (JoinOperator::Join(constraint) | JoinOperator::Inner(constraint)) = &join.join_operator else { continue };
            match constraint {
                JoinConstraint::On(condition) => self.conjuncts(condition),
                JoinConstraint::Using(columns) => {
                    for column in columns.iter().map(schema::name) {
                        self.equal.push((Side::Column((None, column)), Side::Other));
                    }
                }
                JoinConstraint::Natural | JoinConstraint::None => {}
            }
        }
    }

    fn factor(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => self.add(table_with_joins),
            _ => self.tables.extend(named(factor)),
        }
    }

    /// Takes a condition apart at its ANDs; what stands under OR or NOT does not hold for every row.
    fn conjuncts(&mut self, condition: &Expr) {
        match condition {
            Expr::Nested(inner) => self.conjuncts(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.conjuncts(left);
                self.conjuncts(right);
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (&**left, &**right) {
                (Expr::Tuple(left), Expr::Tuple(right)) => {
                    self.equal.extend(left.iter().map(side).zip(right.iter().map(side)));
                }
                (Expr::Tuple(left), _) => self.equal.extend(left.iter().map(|left| (side(left), Side::Other))),
                _ => self.equal.push((side(left), side(right))),
            },
            Expr::InSubquery { expr, negated: false, .. } | Expr::InList { expr, negated: false, .. } => match &**expr {
                Expr::Tuple(parts) => self.equal.extend(parts.iter().map(|part| (side(part), Side::Other))),
                one => self.equal.push((side(one), Side::Other)),
            },
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, .. } => self.equal.push((side(left), Side::Other)),
            _ => {}
        }
    }

    fn in_book(&self, alias: &str) -> bool {
        let says =
            |side: &Side| matches!(side, Side::Column((of, name)) if name == "book_id" && of.as_deref().is_none_or(|of| of == alias));
        self.equal.iter().any(|(left, right)| says(left) || says(right))
    }

    /// Whether the equalities give a whole key of the table, directly or by way of a row that is given.
    fn one_row(&self, alias: &str, schema: &Schema) -> bool {
        let mut given: BTreeSet<(String, String)> = BTreeSet::new();
        let mut rows: BTreeSet<&str> = BTreeSet::new();
        loop {
            let before = (given.len(), rows.len());
            for (left, right) in self.equal.iter().flat_map(|(left, right)| [(left, right), (right, left)]) {
                let Side::Column(column) = left else { continue };
                let fixed = match right {
                    Side::Value => true,
                    Side::Column(other) => {
                        self.owners(other, schema).iter().any(|owned| given.contains(owned) || rows.contains(owned.0.as_str()))
                    }
                    Side::Other => false,
                };
                if fixed {
                    given.extend(self.owners(column, schema));
                }
            }
            for (alias, table) in &self.tables {
                let keys = schema.get(table).map(|table| table.keys.as_slice()).unwrap_or_default();
                if keys.iter().any(|key| key.columns.iter().all(|column| given.contains(&(alias.clone(), column.clone())))) {
                    rows.insert(alias);
                }
            }
            if rows.contains(alias) {
                return true;
            }
            if (given.len(), rows.len()) == before {
                return false;
            }
        }
    }

    /// Which tables of the scope a column may be of.
    fn owners(&self, (of, name): &Column, schema: &Schema) -> Vec<(String, String)> {
        let owns = |alias: &str, table: &str| match of {
            Some(of) => of == alias,
            None => schema.get(table).is_some_and(|table| table.columns.contains_key(name)),
        };
        self.tables.iter().filter(|(alias, table)| owns(alias, table)).map(|(alias, _)| (alias.clone(), name.clone())).collect()
    }
}

/// Alias and name of a plain table.
fn named(factor: &TableFactor) -> Option<(String, String)> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let table = schema::name(name);
            Some((alias.as_ref().map_or_else(|| table.clone(), |alias| alias.name.value.to_lowercase()), table))
        }
        _ => None,
    }
}

fn side(expr: &Expr) -> Side {
    match expr {
        Expr::Identifier(ident) => Side::Column((None, ident.value.to_lowercase())),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [of, name] => Side::Column((Some(of.value.to_lowercase()), name.value.to_lowercase())),
            _ => Side::Other,
        },
        Expr::Value(_) => Side::Value,
        Expr::Cast { expr, .. } | Expr::Nested(expr) => side(expr),
        _ => Side::Other,
    }
}
