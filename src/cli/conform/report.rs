//! The result of a run: as a table for the terminal, and as JSON.
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::conform::facts::{Facts, Finding, Severity};

/// The width of the table.
const WIDTH: usize = 80;
/// The column in which explanations begin.
const INDENT: usize = 16;

/// The result of one check.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The group of the check.
    pub group: &'static str,
    /// The name, the weight and the explanation of the check.
    pub facts: Facts,
    /// The difference, if the check failed.
    pub finding: Option<Finding>,
}

/// The results of all checks.
#[derive(Debug, Clone)]
pub struct Report {
    /// The gateway under test.
    pub url: String,
    /// The results in the order of the checks.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Returns the results of the checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.finding.is_some())
    }

    /// Reports whether every check of the severity `must` passed.
    pub fn conforms(&self) -> bool {
        self.failures(Severity::Must) == 0
    }

    fn failures(&self, severity: Severity) -> usize {
        self.failed().filter(|outcome| outcome.facts.severity == severity).count()
    }

    /// Returns the report as JSON.
    pub fn json(&self) -> Value {
        let checks = self.outcomes.iter().map(|Outcome { group, facts, finding }| {
            let mut check = json!({
                "id": facts.id,
                "group": group,
                "severity": facts.severity.as_str(),
                "explanation": facts.explains,
                "passed": finding.is_none(),
            });
            if let Some(finding) = finding {
                check["expected"] = finding.expected.as_str().into();
                check["found"] = finding.found.as_str().into();
            }
            check
        });
        json!({
            "url": self.url,
            "conforms": self.conforms(),
            "passed": self.outcomes.len() - self.failed().count(),
            "failed": {"must": self.failures(Severity::Must), "should": self.failures(Severity::Should)},
            "checks": checks.collect::<Vec<_>>(),
        })
    }

    /// Returns the report as a table of at most 80 columns.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for outcome in &self.outcomes {
            if outcome.group != group {
                group = outcome.group;
                let _ = writeln!(text, "\n{group}");
            }
            outcome.write(&mut text);
        }
        let (must, should) = (self.failures(Severity::Must), self.failures(Severity::Should));
        let passed = self.outcomes.len() - must - should;
        let _ =
            writeln!(text, "\n{passed} passed, {must} of `must` and {should} of `should` failed");
        text
    }
}

impl Outcome {
    fn write(&self, text: &mut String) {
        let result = if self.finding.is_none() { "pass" } else { "FAIL" };
        let (id, severity) = (self.facts.id, self.facts.severity.as_str());
        let _ = writeln!(text, "  {result}  {severity:<8}{id}");
        wrap(text, self.facts.explains);
        if let Some(finding) = &self.finding {
            wrap(text, &format!("expected: {}", finding.expected));
            wrap(text, &format!("found: {}", finding.found));
        }
    }
}

/// Writes a paragraph in the column of explanations. A word that is too long is cut.
fn wrap(text: &mut String, paragraph: &str) {
    let width = WIDTH - INDENT;
    let mut line = String::new();
    for word in paragraph.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        let used = line.chars().count();
        if used > 0 && used + 1 + rest.len() > width {
            let _ = writeln!(text, "{:INDENT$}{line}", "");
            line.clear();
        } else if used > 0 {
            line.push(' ');
        }
        while rest.len() > width {
            let more = rest.split_off(width);
            let _ = writeln!(text, "{:INDENT$}{}", "", rest.iter().collect::<String>());
            rest = more;
        }
        line.extend(rest);
    }
    let _ = writeln!(text, "{:INDENT$}{line}", "");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::conform::facts::must;

    #[test]
    fn a_table_is_at_most_80_columns_wide_and_loses_no_text() {
        let found = format!("a long word {} and more {}", "é".repeat(150), "words ".repeat(30));
        let finding = Finding { expected: "x".repeat(80), found: found.clone() };
        let facts = must("some-check", "An explanation.");
        let outcome = Outcome { group: "group", facts, finding: Some(finding) };
        let report = Report { url: String::new(), outcomes: vec![outcome] };
        let text = report.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let squeezed = |text: &str| text.replace([' ', '\n'], "");
        assert!(squeezed(&text).contains(&squeezed(&found)), "{text}");
        assert!(!report.conforms());
    }
}
