//! The differences of two JSON values, each with its path, for people: an inserted item of a list is one change.
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// The longest time for the alignment of one list; after it the alignment is coarser.
const TIME: Duration = Duration::from_millis(300);
/// The fields by which the items of a list are the same item, although their contents differ.
const IDENTITY: [&str; 6] = ["type", "role", "name", "id", "tool_use_id", "server_name"];

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The place, as in RFC 6901. An added item has its place in the later value, a removed one that in the earlier.
    pub(crate) path: String,
    /// The earlier value; `None` if it was added.
    pub(crate) before: Option<Value>,
    /// The later value; `None` if it was removed.
    pub(crate) after: Option<Value>,
}

/// The differences of two values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Changes {
    /// The differences in the order of their places.
    pub(crate) list: Vec<Change>,
    /// Whether there are more of them.
    pub(crate) is_cut: bool,
}

/// Returns the differences, at most `most`.
pub(crate) fn changes(before: &Value, after: &Value, most: usize) -> Changes {
    let mut found = Finder { most, changes: Changes::default(), hasher: RandomState::new() };
    found.compare("", before, after);
    found.changes
}

struct Finder {
    most: usize,
    changes: Changes,
    hasher: RandomState,
}

impl Finder {
    fn compare(&mut self, path: &str, before: &Value, after: &Value) {
        if self.changes.is_cut || before == after {
            return;
        }
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.objects(path, before, after),
            (Value::Array(before), Value::Array(after)) => self.lists(path, before, after),
            _ => self.note(path.to_owned(), Some(before), Some(after)),
        }
    }

    fn note(&mut self, path: String, before: Option<&Value>, after: Option<&Value>) {
        if self.changes.list.len() >= self.most {
            self.changes.is_cut = true;
            return;
        }
        self.changes.list.push(Change { path, before: before.cloned(), after: after.cloned() });
    }

    fn objects(&mut self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>) {
        for (name, value) in before {
            let path = below(path, name);
            match after.get(name) {
                Some(later) => self.compare(&path, value, later),
                None => self.note(path, Some(value), None),
            }
        }
        for (name, value) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
            self.note(below(path, name), None, Some(value));
        }
    }

    fn lists(&mut self, path: &str, before: &[Value], after: &[Value]) {
        let keys = |list: &[Value]| -> Vec<u64> {
            list.iter().map(|item| self.hasher.hash_one(item.to_string())).collect()
        };
        let (old, new) = (keys(before), keys(after));
        for op in aligned(&old, &new) {
            let (old, new) = (op.old_range(), op.new_range());
            if let DiffOp::Equal { .. } = op {
                continue;
            }
            let pair = Pair { path, old: old.start, new: new.start };
            self.parts(pair, &before[old], &after[new]);
        }
    }

    /// Compares items in their order.
    fn each(&mut self, pair: Pair<'_>, before: &[Value], after: &[Value]) {
        for (n, (old, new)) in before.iter().zip(after).enumerate() {
            self.compare(&below(pair.path, &(pair.new + n).to_string()), old, new);
        }
    }

    /// Compares parts of two lists that differ. Items are the same by their order if both parts have the same number
    /// of them, else by their identity.
    fn parts(&mut self, pair: Pair<'_>, before: &[Value], after: &[Value]) {
        if before.len() == after.len() {
            self.each(pair, before, after);
            return;
        }
        let keys = |list: &[Value]| -> Vec<u64> {
            list.iter().map(|item| self.hasher.hash_one(identity(item))).collect()
        };
        let (old, new) = (keys(before), keys(after));
        for op in aligned(&old, &new) {
            let (old, new) = (op.old_range(), op.new_range());
            if let DiffOp::Equal { .. } = op {
                let same = Pair { new: pair.new + new.start, ..pair };
                self.each(same, &before[old], &after[new]);
                continue;
            }
            let at = |place: usize| below(pair.path, &place.to_string());
            old.for_each(|n| self.note(at(pair.old + n), Some(&before[n]), None));
            new.for_each(|n| self.note(at(pair.new + n), None, Some(&after[n])));
        }
    }
}

/// The places of two parts of a list.
#[derive(Clone, Copy)]
struct Pair<'a> {
    path: &'a str,
    old: usize,
    new: usize,
}

fn aligned(before: &[u64], after: &[u64]) -> Vec<DiffOp> {
    capture_diff_slices_deadline(Algorithm::Myers, before, after, Some(Instant::now() + TIME))
}

/// Returns the fields by which an item is the same item.
fn identity(item: &Value) -> String {
    let fields = IDENTITY.iter().map(|name| item.get(name).map(Value::to_string));
    let texts: Vec<String> = fields.map(Option::unwrap_or_default).collect();
    texts.join("\n")
}

fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(before: &Value, after: &Value) -> Vec<String> {
        let changes = changes(before, after, 100);
        assert!(!changes.is_cut);
        let shown = changes.list.iter().map(|change| {
            let op = match (&change.before, &change.after) {
                (None, _) => "add",
                (_, None) => "remove",
                _ => "replace",
            };
            format!("{op} {}", change.path)
        });
        shown.collect()
    }

    fn message(role: &str, text: &str) -> Value {
        json!({ "role": role, "content": [{ "type": "text", "text": text }] })
    }

    #[test]
    fn an_inserted_message_is_one_change() {
        let all: Vec<Value> = (0..50)
            .map(|n| message(if n % 2 == 0 { "user" } else { "assistant" }, &n.to_string()))
            .collect();
        for place in [0, 25, 50] {
            let mut more = all.clone();
            more.insert(place, message("user", "new"));
            let (before, after) = (json!({ "messages": all }), json!({ "messages": more }));
            assert_eq!(found(&before, &after), [format!("add /messages/{place}")]);
            assert_eq!(found(&after, &before), [format!("remove /messages/{place}")]);
        }
    }

    #[test]
    fn a_changed_text_is_one_change_at_its_place() {
        let before = json!({ "messages": [message("user", "a"), message("assistant", "b")] });
        let mut after = before.clone();
        after["messages"][0]["content"][0]["text"] = json!("A");
        assert_eq!(found(&before, &after), ["replace /messages/0/content/0/text"]);
        // it is the same message, although another one follows
        after["messages"].as_array_mut().unwrap().push(message("user", "c"));
        after["messages"][1]["content"][0]["text"] = json!("B");
        let changes = [
            "replace /messages/0/content/0/text",
            "replace /messages/1/content/0/text",
            "add /messages/2",
        ];
        assert_eq!(found(&before, &after), changes);
    }

    #[test]
    fn a_tool_is_the_same_by_its_name() {
        let tool = |name: &str, text: &str| json!({ "name": name, "description": text });
        let before = json!({ "tools": [tool("a", "1"), tool("b", "2"), tool("c", "3")] });
        let after = json!({ "tools": [tool("b", "other"), tool("c", "3")] });
        assert_eq!(found(&before, &after), ["remove /tools/0", "replace /tools/0/description"]);
    }

    #[test]
    fn fields_are_compared_without_their_order_and_names_are_escaped() {
        let before = json!({ "a": 1, "b/~": { "x": null }, "c": [1] });
        let after = json!({ "c": { "0": 1 }, "b/~": {}, "d": true, "a": 1 });
        assert_eq!(found(&before, &after), ["remove /b~1~0/x", "replace /c", "add /d"]);
        assert!(found(&before, &before).is_empty());
        assert_eq!(found(&json!(1), &json!("1")), ["replace "]);
    }

    #[test]
    fn the_number_of_changes_is_bounded() {
        let (before, after): (Vec<_>, Vec<_>) = ((0..500).collect(), (500..1000).collect());
        let changes = changes(&json!(before), &json!(after), 10);
        assert_eq!((changes.list.len(), changes.is_cut), (10, true));
    }
}
