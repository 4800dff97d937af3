//! The ledger checker (账务核对): reads everything that must agree in one snapshot, and names what does not.
//!
//! One `REPEATABLE READ`, read-only transaction, so that a running system may be checked; every rule is one statement. It computes
//! its figures anew and shares no code with the services, so that both cannot be wrong in the same way. It reads whole tables: for
//! tests, after a crash, at night.

mod books;
mod projections;
mod requests;

use sqlx::{PgConnection, PgPool};

/// Violations of a rule that are named; there may be more.
pub const VIOLATIONS_MAX: usize = 20;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckReport {
    pub rules: Vec<RuleResult>,
}

/// What a rule found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleResult {
    /// Stable id such as `L3`.
    pub id: &'static str,
    /// What holds, as a sentence.
    pub name: &'static str,
    /// How many things were looked at.
    pub checked: i64,
    /// What does not agree, with the ids of what is meant. At most [`VIOLATIONS_MAX`], then one line that says there are more.
    pub violations: Vec<String>,
}

impl CheckReport {
    /// Whether everything agrees.
    pub fn is_sound(&self) -> bool {
        self.rules.iter().all(|rule| rule.violations.is_empty())
    }

    /// All violations, each after the id of its rule.
    pub fn violations(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.rules.iter().flat_map(|rule| rule.violations.iter().map(|text| (rule.id, text.as_str())))
    }
}

impl std::fmt::Display for CheckReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for rule in &self.rules {
            let verdict = if rule.violations.is_empty() { "ok  " } else { "FAIL" };
            writeln!(f, "{verdict} {:<7} {:>9} checked  {}", rule.id, rule.checked, rule.name)?;
            for violation in &rule.violations {
                writeln!(f, "       - {violation}")?;
            }
        }
        Ok(())
    }
}

/// What a rule's statement returns: at most one violation more than is shown.
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
        RuleResult { id, name, checked: self.checked, violations }
    }
}

/// Checks every rule in one snapshot. Changes nothing; a violation is no error.
pub async fn run(db: &PgPool) -> sqlx::Result<CheckReport> {
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let report = run_in_tx(&mut tx).await?;
    tx.rollback().await?;
    Ok(report)
}

/// Checks every rule in the running transaction, as it sees the world. One snapshot only if the transaction keeps one.
pub async fn run_in_tx(tx: &mut PgConnection) -> sqlx::Result<CheckReport> {
    books::repo::no_time_limit(tx).await?;
    let mut rules = books::rules(tx).await?;
    rules.extend(requests::rules(tx).await?);
    rules.extend(projections::rules(tx).await?);
    Ok(CheckReport { rules })
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
}
