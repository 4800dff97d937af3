//! The ledger checker (账务核对): reads everything that must agree in one snapshot, and names what does not.
//!
//! `REPEATABLE READ`, read-only transactions, so that a running system may be checked: one for everything, one for each group of rules where
//! only what changed is looked at. It computes its figures anew and shares no code with the services, so that both cannot be wrong in the
//! same way. There are two ways to look:
//!
//! | | reads | for |
//! |---|---|---|
//! | [`run`] | whole tables, and believes nothing it kept itself | tests, after a crash, at night |
//! | [`marks::run`] | the postings of transactions since the last look, the accounts they touched, what hangs on them | every ten seconds, and at once while it is behind |
//!
//! Both judge by the same statements; only L3 is written twice. A snapshot holds back what vacuum may clean for as long as it is kept.

mod advances;
mod books;
mod commands;
mod holds;
pub mod marks;
mod names;
mod periods;
mod products;
mod projections;
mod proofs;
mod readers;
mod repo;
mod requests;
mod reviews;
mod server;
mod splits;
mod subsidies;
mod transfers;
mod webhooks;

use serde::Serialize;
use sqlx::{PgConnection, PgPool};

pub use server::THROW_AWAY;

/// Violations of a rule that are named; there may be more.
pub const VIOLATIONS_MAX: usize = 20;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckReport {
    pub rules: Vec<RuleResult>,
}

/// What a rule found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RuleResult {
    /// Stable id such as `L3`.
    pub id: &'static str,
    /// What holds, as a sentence.
    pub name: &'static str,
    /// How many things were looked at.
    pub checked: i64,
    /// What does not agree, with the ids of what is meant. At most [`VIOLATIONS_MAX`], then one line that says there are more.
    pub violations: Vec<String>,
    /// What is worth knowing and is no violation, such as how far a reader is behind.
    pub notes: Vec<String>,
    /// Why the rule was not judged here. None: it was.
    pub not_judged: Option<String>,
}

impl RuleResult {
    fn noting(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }

    fn verdict(&self) -> &'static str {
        match (&self.not_judged, self.violations.is_empty()) {
            (_, false) => "FAIL",
            (Some(_), true) => "n/a ",
            (None, true) => "ok  ",
        }
    }
}

impl CheckReport {
    /// Whether everything that was judged agrees.
    pub fn is_sound(&self) -> bool {
        self.rules.iter().all(|rule| rule.violations.is_empty())
    }

    fn sort(&mut self) {
        self.rules.sort_by(|a, b| order_of(a.id).cmp(&order_of(b.id)));
    }

    /// All violations, each after the id of its rule.
    pub fn violations(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.rules.iter().flat_map(|rule| rule.violations.iter().map(|text| (rule.id, text.as_str())))
    }
}

impl std::fmt::Display for CheckReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for rule in &self.rules {
            writeln!(f, "{} {:<7} {:>9} checked  {}", rule.verdict(), rule.id, rule.checked, rule.name)?;
            for violation in &rule.violations {
                writeln!(f, "       - {violation}")?;
            }
            for note in rule.not_judged.iter().chain(&rule.notes) {
                writeln!(f, "         {note}")?;
            }
        }
        Ok(())
    }
}

/// What a rule's statement returns: at most one violation more than is shown.
#[derive(Debug, Default)]
struct Found {
    checked: i64,
    violations: Vec<String>,
}

impl Found {
    fn result(self, id: &'static str, name: &'static str) -> RuleResult {
        let mut violations = self.violations;
        if violations.len() > VIOLATIONS_MAX {
            violations.truncate(VIOLATIONS_MAX);
            violations.push("and more".to_owned());
        }
        RuleResult { id, name, checked: self.checked, violations, notes: Vec::new(), not_judged: None }
    }
}

/// Which postings a check reads: all that its snapshot sees, or those of whole transactions since a mark.
///
/// Transaction ids go as text: the statements cast them to `xid8`, and no mark means everything.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Scope {
    since: Option<Since>,
}

/// Transactions above `mark` and below `end`, the oldest that may still be running.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Since {
    mark: String,
    end: String,
}

impl Scope {
    const FULL: Self = Self { since: None };

    fn is_full(&self) -> bool {
        self.since.is_none()
    }

    fn after(&self) -> Option<&str> {
        self.since.as_ref().map(|since| since.mark.as_str())
    }

    fn before(&self) -> Option<&str> {
        self.since.as_ref().map(|since| since.end.as_str())
    }
}

/// Checks every rule over everything in one snapshot. Changes nothing; a violation is no error.
pub async fn run(db: &PgPool) -> sqlx::Result<CheckReport> {
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let report = run_in_tx(&mut tx).await?;
    tx.rollback().await?;
    Ok(report)
}

/// Checks every rule in the running transaction, as it sees the world. One snapshot only if the transaction keeps one.
pub async fn run_in_tx(tx: &mut PgConnection) -> sqlx::Result<CheckReport> {
    repo::prepare_in_tx(tx, true).await?;
    let mut report = CheckReport { rules: Vec::new() };
    for place in 0..GROUPS {
        report.rules.extend(group(tx, &Scope::FULL, place).await?);
    }
    report.sort();
    Ok(report)
}

/// The groups of rules that are judged one after another. The statements of a group see one snapshot.
const GROUPS: usize = 7;

/// The rules of one group that can be judged within the scope.
async fn group(tx: &mut PgConnection, scope: &Scope, place: usize) -> sqlx::Result<Vec<RuleResult>> {
    let mut rules = Vec::new();
    match place {
        0 => rules.extend(books::rules(tx, scope).await?),
        1 => rules.extend(names::rules(tx, scope).await?),
        2 => {
            rules.extend(holds::rules(tx, scope).await?);
            rules.extend(periods::rules(tx, scope).await?);
        }
        3 => rules.extend(transfers::rules(tx, scope).await?),
        4 => {
            rules.extend(splits::rules(tx, scope).await?);
            rules.extend(subsidies::rules(tx, scope).await?);
            rules.extend(advances::rules(tx, scope).await?);
            rules.extend(proofs::rules(tx, scope).await?);
        }
        5 => {
            rules.extend(readers::rules(tx).await?);
            rules.extend(server::rules(tx).await?);
            rules.extend(requests::rules(tx, scope).await?);
        }
        _ => {
            rules.extend(commands::rules(tx, scope).await?);
            rules.extend(products::rules(tx, scope).await?);
            rules.extend(projections::rules(tx, scope).await?);
            rules.extend(webhooks::rules(tx, scope).await?);
            rules.extend(reviews::rules(tx, scope).await?);
        }
    }
    Ok(rules)
}

/// `L2` before `L10` before `P1`.
fn order_of(id: &str) -> (String, u32, &str) {
    let letters = id.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    let (family, rest) = id.split_at(id.find(|c: char| c.is_ascii_digit()).unwrap_or(letters.len()));
    let number = rest.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (family.to_owned(), number, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize) -> RuleResult {
        Found { checked: 30, violations: (0..count).map(|n| format!("number {n}")).collect() }.result("X1", "something holds")
    }

    #[test]
    fn a_report_names_what_it_found_and_says_when_there_is_more() {
        assert!(CheckReport { rules: vec![found(0)] }.is_sound());
        assert!(!CheckReport { rules: vec![found(0), found(1)] }.is_sound());
        assert_eq!(found(VIOLATIONS_MAX).violations.len(), VIOLATIONS_MAX);
        let many = found(VIOLATIONS_MAX + 1).violations;
        assert_eq!((many.len(), many.last().map(String::as_str)), (VIOLATIONS_MAX + 1, Some("and more")));
        let text = CheckReport { rules: vec![found(0), found(1)] }.to_string();
        assert_eq!(
            text,
            "ok   X1             30 checked  something holds\nFAIL X1             30 checked  something holds\n       - number 0\n"
        );
    }

    #[test]
    fn what_was_not_judged_says_why_and_is_not_called_right() {
        let rule = RuleResult { not_judged: Some("marked throw-away".to_owned()), ..found(0) };
        assert_eq!(
            CheckReport { rules: vec![rule] }.to_string(),
            "n/a  X1             30 checked  something holds\n         marked throw-away\n"
        );
    }

    #[test]
    fn rules_stand_in_the_order_of_their_numbers() {
        let mut ids = ["L10", "T4", "L6.POST", "OWNER", "L2", "L6", "P1"];
        ids.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        assert_eq!(ids, ["L2", "L6", "L6.POST", "L10", "OWNER", "P1", "T4"]);
    }
}
