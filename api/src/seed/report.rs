//! What the demo prints: each step with its time, and the daily board beside its recount.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Prints steps as they end, with the time each took.
#[derive(Debug)]
pub struct Steps {
    started: Instant,
    step: Instant,
    number: u32,
    silent: bool,
}

impl Steps {
    pub fn start() -> Self {
        let now = Instant::now();
        Self { started: now, step: now, number: 0, silent: false }
    }

    /// Steps that print nothing: a benchmark's preparations.
    pub fn silent() -> Self {
        Self { silent: true, ..Self::start() }
    }

    /// Ends a step: one line with its time.
    pub fn done(&mut self, what: &str) {
        self.number += 1;
        if !self.silent {
            println!("  {:>2}. [{:>8}] {what}", self.number, seconds(self.step.elapsed()));
        }
        self.step = Instant::now();
    }

    /// A line below the step in progress.
    pub fn note(&self, what: &str) {
        if !self.silent {
            println!("      {what}");
        }
    }

    pub fn total(&self) -> Duration {
        self.started.elapsed()
    }
}

/// `1.23 s`.
pub fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// A table with its first column on the left and figures on the right. Chinese characters are two columns wide.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> =
        (0..head.len()).map(|i| rows.iter().map(|r| columns(&r[i])).chain([columns(head[i])]).max().unwrap_or(0)).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<&str>| {
        let _ = write!(text, "     ");
        for (i, cell) in cells.iter().enumerate() {
            let gap = " ".repeat(widths[i].saturating_sub(columns(cell)));
            let _ = if i == 0 { write!(text, " {cell}{gap}") } else { write!(text, "  {gap}{cell}") };
        }
        text.push('\n');
    };
    line(head.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    text
}

/// How many columns a terminal gives the text.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if matches!(c, '\u{2e80}'..='\u{ffef}') { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_chinese_text() {
        let text = table(&["项目", "board"], &[vec!["流水 flow".into(), "1.00".into()], vec!["a".into(), "12.00".into()]]);
        let widths: Vec<usize> = text.lines().map(columns).collect();
        assert_eq!(widths, [widths[0]; 3], "{text}");
    }
}
