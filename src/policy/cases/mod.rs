//! Cases in `policies/<name>.cases.yaml`: requests, answers, streams, calls and errors, each with its result.
mod case;
mod compare;
mod expect;
mod given;
mod ran;
mod run;
mod seen;
mod stream;
mod subject;

use std::path::Path;

pub(crate) use compare::Difference;

use crate::error::Problem;
use crate::policy::cases::case::{Case, Fault};
use crate::policy::script::Script;

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaseResult {
    /// The case's `name`.
    pub name: String,
    /// The line of the file where the case begins.
    pub line: u64,
    /// The differences from the expectation; empty if the case passes.
    pub differences: Vec<Difference>,
}

#[cfg(test)]
impl CaseResult {
    /// Returns the differences, one per line; `None` if the case passes.
    pub(crate) fn failure(&self) -> Option<String> {
        let lines: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Runs every case of a file against a policy. Must not be called from within a runtime. `path` is the
/// name of the file in messages.
///
/// Fails if the file cannot be read as cases, or has none.
pub(crate) fn run_cases(
    script: &Script,
    yaml: &str,
    path: &Path,
) -> Result<Vec<CaseResult>, Problem> {
    let shown = path.display().to_string();
    let cases: Vec<Case> = serde_saphyr::from_str(yaml).map_err(|e| unreadable(&e, &shown))?;
    if cases.is_empty() {
        return Err(Problem::new(shown, "the file has no cases: add one or remove the file"));
    }
    for case in &cases {
        if let Some(Fault { line, message }) = case.fault() {
            let name = &case.name.value;
            return Err(Problem::new(
                format!("{shown}:{line}"),
                format!("case `{name}`: {message}"),
            ));
        }
    }
    let results = cases.iter().map(|case| CaseResult {
        name: case.name.value.clone(),
        line: case.name.referenced.line(),
        differences: match case.run(script) {
            Ok(ran) => case.expect.compare(&ran),
            Err(error) => case.expect.compare_error(&error.message),
        },
    });
    Ok(results.collect())
}

fn unreadable(error: &serde_saphyr::Error, path: &str) -> Problem {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default();
    // the message begins with the place
    let message = match message.strip_prefix("error: line ") {
        Some(placed) => placed.split_once(": ").map_or(placed, |(_, message)| message),
        None => message,
    };
    match error.location() {
        Some(at) => Problem::new(format!("{path}:{}:{}", at.line(), at.column()), message),
        None => Problem::new(path, message),
    }
}
