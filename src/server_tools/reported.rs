//! `Reported`: members at the end of a turn that the caller must not lose: later turns may not repeat them.
use serde_json::{Map, Value};

use crate::error::Result;
use crate::wire::{Document, Step};

/// The members of `delta` that describe the end of one turn only.
const OF_ONE_TURN: [&str; 3] = ["stop_reason", "stop_sequence", "stop_details"];
/// The members of an event with a meaning of their own.
const OF_EVENT: [&str; 3] = ["type", "delta", "usage"];

/// The members of the `message_delta` events of earlier turns.
#[derive(Default)]
pub(super) struct Reported {
    /// Members beside `delta`, such as `context_management`.
    beside: Map<String, Value>,
    /// Members of `delta`, such as `container`.
    within: Map<String, Value>,
}

impl Reported {
    /// Adds the end of a turn. Its values replace earlier ones; lists grow.
    pub(super) fn add(&mut self, end: &Document) {
        let members = serde_json::from_slice::<Map<String, Value>>(&end.to_bytes());
        let mut members = members.unwrap_or_default();
        let within = members.remove("delta");
        members.retain(|name, _| !OF_EVENT.contains(&name.as_str()));
        join(&mut self.beside, members);
        if let Some(Value::Object(mut within)) = within {
            within.retain(|name, _| !OF_ONE_TURN.contains(&name.as_str()));
            join(&mut self.within, within);
        }
    }

    /// Records the container of a turn, which may be named at the turn's start.
    pub(super) fn container(&mut self, container: Value) {
        self.within.insert("container".to_owned(), container);
    }

    /// Writes everything that was reported into the last turn's end, which is added first.
    pub(super) fn complete(mut self, end: &mut Document) -> Result<()> {
        if self.beside.is_empty() && self.within.is_empty() {
            return Ok(());
        }
        self.add(end);
        for (name, value) in &self.beside {
            set(end, &[Step::Key(name)], value)?;
        }
        for (name, value) in &self.within {
            set(end, &[Step::Key("delta"), Step::Key(name)], value)?;
        }
        Ok(())
    }
}

/// Sets a member, unless it has this value.
fn set(end: &mut Document, path: &[Step<'_>], value: &Value) -> Result<()> {
    let found = end.get(path)?.and_then(|found| serde_json::from_slice::<Value>(&found).ok());
    match found.as_ref() == Some(value) {
        true => Ok(()),
        false => end.set_value(path, value),
    }
}

/// Joins later members into earlier ones: `null` replaces nothing, lists grow by the items that they do not
/// have yet, and the members of objects are joined.
fn join(earlier: &mut Map<String, Value>, later: Map<String, Value>) {
    for (name, value) in later {
        match (earlier.get_mut(&name), value) {
            (None, value) => {
                earlier.insert(name, value);
            }
            (Some(_), Value::Null) => {}
            (Some(Value::Array(items)), Value::Array(more)) => {
                let fresh = |item: &Value| !items.contains(item);
                let more: Vec<Value> = more.into_iter().filter(fresh).collect();
                items.extend(more);
            }
            // a container is one value: its members belong together
            (Some(Value::Object(members)), Value::Object(more)) if name != "container" => {
                join(members, more);
            }
            (Some(found), value) => *found = value,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn end(value: &Value) -> Document {
        Document::parse(value.to_string().into()).unwrap()
    }

    fn last(earlier: &[Value], last: &Value) -> Value {
        let mut reported = Reported::default();
        earlier.iter().for_each(|earlier| reported.add(&end(earlier)));
        let mut last = end(last);
        reported.complete(&mut last).unwrap();
        serde_json::from_slice(&last.to_bytes()).unwrap()
    }

    #[test]
    fn members_that_a_later_turn_does_not_report_are_kept() {
        let first = json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "container": {"id": "c1"}, "new": 1},
            "usage": {"output_tokens": 1}, "context_management": {"applied_edits": [{"type": "a"}]}});
        for later in [
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "container": null, "new": null},
                "usage": {"output_tokens": 2}, "context_management": {"applied_edits": []}}),
        ] {
            let whole = last(std::slice::from_ref(&first), &later);
            assert_eq!(
                whole["delta"],
                json!({"stop_reason": "end_turn", "container": {"id": "c1"}, "new": 1})
            );
            assert_eq!(whole["context_management"], json!({"applied_edits": [{"type": "a"}]}));
            assert_eq!(whole["usage"], json!({"output_tokens": 2}));
        }
    }

    #[test]
    fn lists_hold_the_items_of_every_turn_once() {
        let turn =
            |edits: Value| json!({"delta": {}, "context_management": {"applied_edits": edits}});
        let whole = last(
            &[
                turn(json!([{"type": "a", "n": 1}])),
                turn(json!([{"type": "a", "n": 1}, {"type": "b"}])),
            ],
            &turn(json!([{"type": "c"}])),
        );
        let edits = json!([{"type": "a", "n": 1}, {"type": "b"}, {"type": "c"}]);
        assert_eq!(whole["context_management"]["applied_edits"], edits);
    }

    #[test]
    fn the_container_of_the_last_turn_that_names_one_wins() {
        let turn = |container: Value| json!({"delta": {"container": container}});
        let whole = last(&[turn(json!({"id": "c1", "skills": []}))], &turn(json!({"id": "c2"})));
        assert_eq!(whole["delta"]["container"], json!({"id": "c2"}));
    }
}
