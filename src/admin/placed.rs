//! `PlacedProblem`: a mistake in a policy with its line and column, as editors mark it.
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Problem;

/// A mistake in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlacedProblem {
    /// The line, from 1.
    line: usize,
    /// The column, from 1.
    column: usize,
    /// The value expected and the value found. A mistake elsewhere begins with its place.
    message: String,
}

impl PlacedProblem {
    /// Returns the problem of a draft, which is named `file` in its path.
    pub(crate) fn of(problem: &Problem, file: &str) -> Self {
        let Problem { path, message, .. } = problem;
        let place = path.strip_prefix(file).and_then(|rest| rest.strip_prefix(':'));
        let mut numbers = place.into_iter().flat_map(|place| place.split(':')).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(line)), Some(Ok(column))) => Self { line, column, message: message.clone() },
            (Some(Ok(line)), None) => Self { line, column: 1, message: message.clone() },
            _ if path == file || path.is_empty() => {
                Self { line: 1, column: 1, message: message.clone() }
            }
            _ => Self { line: 1, column: 1, message: format!("{path}: {message}") },
        }
    }

    /// Returns the problems of a draft.
    pub(crate) fn all(problems: &[Problem], file: &str) -> Vec<Self> {
        problems.iter().map(|problem| Self::of(problem, file)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_the_draft_has_its_place_and_another_one_its_path() {
        let of = |path: &str| {
            let PlacedProblem { line, column, message } =
                PlacedProblem::of(&Problem::new(path, "wrong"), "a.rhai");
            (line, column, message)
        };
        assert_eq!(of("a.rhai:3:7"), (3, 7, "wrong".to_owned()));
        assert_eq!(of("a.rhai:3"), (3, 1, "wrong".to_owned()));
        assert_eq!(of("a.rhai"), (1, 1, "wrong".to_owned()));
        assert_eq!(of("lib/b.rhai:3:7"), (1, 1, "lib/b.rhai:3:7: wrong".to_owned()));
        assert_eq!(
            of("pipeline[0].with.limit"),
            (1, 1, "pipeline[0].with.limit: wrong".to_owned())
        );
    }
}
