//! `Change`: one difference of two JSON values in an answer of the API, with values of bounded length.
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::wire::diff;

/// The most changes of one step.
const MOST: usize = 200;
/// The most bytes of a value that a list shows.
const VALUE: usize = 2048;
/// The bytes before the first difference of two long texts that are shown.
const CONTEXT: usize = 256;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The kind: `add`, `remove` or `replace`.
    op: Op,
    /// The place as a JSON pointer. The place of a removed item is that before the change; of any other, that after it.
    /// It is empty for a piece of a stream.
    path: String,
    /// The value before: a text as it is, any other value as JSON.
    before: Option<String>,
    /// The value after.
    after: Option<String>,
    /// Whether a value is longer. Two long texts are shown from a little before their first difference.
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    Add,
    Remove,
    Replace,
}

/// The length of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Only the part around the difference.
    Short,
    /// The whole value.
    Whole,
}

/// Returns the differences of two values, and whether there are more of them.
pub(crate) fn between(before: &Value, after: &Value, cut: Cut) -> (Vec<Change>, bool) {
    let found = diff::changes(before, after, MOST);
    let all = found.list.into_iter().map(|change| {
        let diff::Change { path, before, after } = change;
        Change::new(path, before.map(shown), after.map(shown), cut)
    });
    (all.collect(), found.is_cut)
}

impl Change {
    /// Returns the edit of a piece of a stream.
    pub(crate) fn piece(before: &str, after: &str, cut: Cut) -> Self {
        let after = Some(after.to_owned()).filter(|after| !after.is_empty());
        Self::new(String::new(), Some(before.to_owned()), after, cut)
    }

    /// Returns whether the change is at this place.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.path == path
    }

    fn new(path: String, before: Option<String>, after: Option<String>, cut: Cut) -> Self {
        let op = match (&before, &after) {
            (None, _) => Op::Add,
            (_, None) => Op::Remove,
            _ => Op::Replace,
        };
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|it| it.len() > VALUE);
        let is_cut = cut == Cut::Short && (is_long(&before) || is_long(&after));
        let from = match (&before, &after) {
            (Some(before), Some(after)) if is_cut => common(before, after).saturating_sub(CONTEXT),
            _ => 0,
        };
        let cut = |text: String| if is_cut { part(&text, from) } else { text };
        Self { op, path, before: before.map(cut), after: after.map(cut), is_cut }
    }
}

fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Returns the bytes that two texts have in common at their beginning.
fn common(before: &str, after: &str) -> usize {
    before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count()
}

/// Returns a part of a text, with signs where something is left out.
fn part(text: &str, from: usize) -> String {
    let from = text.floor_char_boundary(from.min(text.len()));
    let to = text.floor_char_boundary((from + VALUE).min(text.len()));
    let (head, tail) = (if from > 0 { "…" } else { "" }, if to < text.len() { "…" } else { "" });
    format!("{head}{}{tail}", &text[from..to])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_text_is_shown_around_its_first_difference() {
        let long = |end: &str| format!("{}{end}{}", "ä".repeat(50_000), "b".repeat(50_000));
        let (before, after) = (json!({ "t": long("x") }), json!({ "t": long("yy") }));
        let (changes, is_cut) = between(&before, &after, Cut::Short);
        let change = &changes[0];
        assert!(change.is_cut && !is_cut && change.op == Op::Replace);
        let (before_text, after_text) =
            (change.before.as_ref().unwrap(), change.after.as_ref().unwrap());
        assert!(before_text.contains("äxb") && after_text.contains("äyyb"));
        assert!(before_text.starts_with('…') && before_text.ends_with('…'));
        assert!(before_text.len() < VALUE + 10, "{}", before_text.len());
        let (whole, _) = between(&before, &after, Cut::Whole);
        assert_eq!(whole[0].after.as_ref().unwrap(), &long("yy"));
    }

    #[test]
    fn a_short_value_is_whole_and_a_text_has_no_quotes() {
        let (changes, _) = between(&json!({ "a": "x" }), &json!({ "b": [1, "y"] }), Cut::Short);
        let shown: Vec<_> = changes
            .iter()
            .map(|it| (&*it.path, it.before.as_deref(), it.after.as_deref()))
            .collect();
        assert_eq!(shown, [("/a", Some("x"), None), ("/b", None, Some("[1,\"y\"]"))]);
        assert!(changes.iter().all(|change| !change.is_cut));
        let dropped = Change::piece("x", "", Cut::Short);
        assert_eq!((dropped.op, dropped.after), (Op::Remove, None));
    }
}
