//! `haodian check`: the ledger checker's report as a table.

use std::process::ExitCode;

use wallet::check::CheckReport;

/// Violations of one rule that are printed; the rest are counted.
const SHOWN_MAX: usize = 20;

/// Runs the checker on a database; exit code 1 when a rule is violated.
pub async fn run(url: &str) -> anyhow::Result<ExitCode> {
    // opened once for its sentence: the pool would only say that it timed out
    api::launcher::database::open(url).await?;
    let db = wallet::base::db::connect(url, 2).await?;
    let started = std::time::Instant::now();
    let report = wallet::check::run(&db, None).await?;
    print!("{}", table(&report));
    let violated = report.rules.iter().filter(|rule| !rule.violations.is_empty()).count();
    println!("{} rules, {violated} violated, {:.1} s", report.rules.len(), started.elapsed().as_secs_f64());
    Ok(if violated == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(report: &CheckReport) -> String {
    let mut text = String::new();
    for rule in &report.rules {
        let verdict = if rule.violations.is_empty() { "ok" } else { "VIOLATED" };
        text.push_str(&format!("{verdict:<9} {:>9} checked  {}  {}\n", rule.checked, rule.id, rule.name));
        for violation in rule.violations.iter().take(SHOWN_MAX) {
            text.push_str(&format!("          - {violation}\n"));
        }
        if rule.violations.len() > SHOWN_MAX {
            text.push_str(&format!("          - and {} more\n", rule.violations.len() - SHOWN_MAX));
        }
    }
    text
}
