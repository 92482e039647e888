//! What a case expected, and what it found.
use std::fmt;

use serde_json::Value;

/// Something that is not as a case expected it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `request.messages[0].role`; empty if the whole came out otherwise.
    pub place: String,
    /// What should stand there: JSON, or words.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl Difference {
    /// Of the whole: how it should have ended, and how it did.
    pub(super) fn of_end(expected: &str, found: impl Into<String>) -> Self {
        Self { place: String::new(), expected: expected.to_owned(), found: found.into() }
    }

    /// At a place.
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

/// A text as JSON, or that there is none.
pub(super) fn quoted(text: Option<&str>) -> String {
    text.map_or("nothing".to_owned(), |text| Value::from(text).to_string())
}

/// Where two values differ, each place by itself.
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

/// The same for what may not be there.
fn pair(place: &str, expected: Option<&Value>, found: Option<&Value>) -> Vec<Difference> {
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    match (expected, found) {
        (Some(expected), Some(found)) => differences(place, expected, found),
        _ => vec![Difference::at(place, shown(expected), shown(found))],
    }
}

/// Where the members of a map differ from those that a value has; other members do not count.
pub(super) fn missing(place: &str, expected: &Value, found: &Value) -> Vec<Difference> {
    let Value::Object(fields) = expected else { return differences(place, expected, found) };
    let prefix = if place.is_empty() { String::new() } else { format!("{place}.") };
    fields
        .iter()
        .flat_map(|(key, wanted)| pair(&format!("{prefix}{key}"), Some(wanted), found.get(key)))
        .collect()
}
