//! OpenRouter's `reasoning_details`: they go back to the server unchanged, so that it can go on with them.
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::providers::translate::ops::Op;

/// The details since the last block of another kind.
#[derive(Default)]
pub(super) struct Details(Vec<Map<String, Value>>);

impl Details {
    /// Takes a list of details, and returns the text in them.
    pub(super) fn push(&mut self, raw: &RawValue) -> Option<String> {
        let list: Vec<Map<String, Value>> = serde_json::from_str(raw.get()).ok()?;
        let mut text = String::new();
        for detail in list {
            for key in ["text", "summary"] {
                text.push_str(detail.get(key).and_then(Value::as_str).unwrap_or_default());
            }
            self.add(detail);
        }
        (!text.is_empty()).then_some(text)
    }

    /// Adds a detail. The pieces of one detail have its index and its type.
    fn add(&mut self, detail: Map<String, Value>) {
        let is_same = |known: &Map<String, Value>| {
            detail.contains_key("index")
                && known.get("index") == detail.get("index")
                && known.get("type") == detail.get("type")
        };
        let Some(known) = self.0.iter_mut().rfind(|known| is_same(known)) else {
            self.0.push(detail);
            return;
        };
        for (key, value) in detail {
            match (known.get_mut(&key), value) {
                (Some(Value::String(old)), Value::String(new))
                    if matches!(&*key, "text" | "summary" | "data") =>
                {
                    old.push_str(&new);
                }
                (Some(_), Value::Null) => {}
                (_, value) => {
                    known.insert(key, value);
                }
            }
        }
    }

    /// Returns the step that ends the reasoning with its details; `None` if there are none.
    pub(super) fn take(&mut self) -> Option<Op> {
        let details = std::mem::take(&mut self.0);
        // a list of objects always serializes
        (!details.is_empty())
            .then(|| Op::Signature(serde_json::to_string(&details).unwrap_or_default()))
    }
}
