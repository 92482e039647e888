//! Compares the values that a case expects with those that it finds.
use std::fmt;

use serde_json::Value;

/// A value that differs from the expectation of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The place, such as `request.messages[0].role`; empty if the whole case ended differently.
    pub place: String,
    /// The expected value: JSON or words.
    pub expected: String,
    /// The value that was found.
    pub found: String,
}

impl Difference {
    /// Returns the difference of a case that ended in another way than expected.
    pub(super) fn of_end(expected: &str, found: impl Into<String>) -> Self {
        Self { place: String::new(), expected: expected.to_owned(), found: found.into() }
    }

    /// Returns the difference at a place.
    pub(super) fn at(place: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self { place: place.to_owned(), expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, expected, found } = self;
        match place.as_str() {
            "" => write!(f, "expected {expected}, but {found}"),
            place => write!(f, "{place}: expected {expected}, found {found}"),
        }
    }
}

/// Returns a text as JSON, or `nothing`.
pub(super) fn quoted(text: Option<&str>) -> String {
    text.map_or("nothing".to_owned(), |text| Value::from(text).to_string())
}

/// Returns the differences of two values, each with its own place.
pub(super) fn differences(place: &str, expected: &Value, found: &Value) -> Vec<Difference> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let added = found.keys().filter(|key| !expected.contains_key(*key));
            let keys = expected.keys().chain(added);
            keys.flat_map(|key| pair(&format!("{place}.{key}"), expected.get(key), found.get(key)))
                .collect()
        }
        (Value::Array(expected), Value::Array(found)) => (0..expected.len().max(found.len()))
            .flat_map(|at| pair(&format!("{place}[{at}]"), expected.get(at), found.get(at)))
            .collect(),
        _ if expected == found => Vec::new(),
        _ => vec![Difference::at(place, expected, found)],
    }
}

/// Returns the differences of two values that may be absent.
fn pair(place: &str, expected: Option<&Value>, found: Option<&Value>) -> Vec<Difference> {
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    match (expected, found) {
        (Some(expected), Some(found)) => differences(place, expected, found),
        _ => vec![Difference::at(place, shown(expected), shown(found))],
    }
}

/// Returns the differences between the members of `expected` and those of `found`. Members that only
/// `found` has are ignored.
pub(super) fn missing(place: &str, expected: &Value, found: &Value) -> Vec<Difference> {
    let Value::Object(fields) = expected else { return differences(place, expected, found) };
    let prefix = if place.is_empty() { String::new() } else { format!("{place}.") };
    fields
        .iter()
        .flat_map(|(key, wanted)| pair(&format!("{prefix}{key}"), Some(wanted), found.get(key)))
        .collect()
}
