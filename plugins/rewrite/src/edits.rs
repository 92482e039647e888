//! `Edits`: the changes of a stage, in the order in which they are applied.
use std::collections::BTreeMap;

use serde_json::{Number, Value, json};
use tidegate_sdk::prelude::*;

/// The changes. Places are JSON pointers into the request: `/metadata/user_id`. The members are
/// applied in this order: `rename`, `remove`, `set`, `default`, `cap`, `system`.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Edits {
    /// New places by old ones. A value that is already at a new place stays, and the old one is
    /// removed.
    pub rename: BTreeMap<String, String>,
    /// Places whose values are removed.
    pub remove: Vec<String>,
    /// Values by their places. They replace existing values.
    pub set: BTreeMap<String, Value>,
    /// Values by their places, used if the place is empty or `null`.
    pub default: BTreeMap<String, Value>,
    /// The largest numbers by their places: larger numbers are lowered. A place without a number is
    /// left alone.
    pub cap: BTreeMap<String, Number>,
    /// Text around the system prompt.
    pub system: System,
}

/// Text around the system prompt. It becomes the system prompt if there is none.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct System {
    /// Text before the system prompt.
    pub prepend: Option<String>,
    /// Text after the system prompt, so that an upstream's prompt cache still finds its beginning.
    pub append: Option<String>,
}

/// The separator between the texts of a system prompt.
const BETWEEN: &str = "\n\n";

impl Edits {
    /// Fails with the first invalid pointer.
    pub fn check(&self) -> Result<()> {
        let renamed = self.rename.iter().flat_map(|(from, to)| [("rename", from), ("rename", to)]);
        let removed = self.remove.iter().map(|pointer| ("remove", pointer));
        let set = self.set.keys().map(|pointer| ("set", pointer));
        let defaults = self.default.keys().map(|pointer| ("default", pointer));
        let caps = self.cap.keys().map(|pointer| ("cap", pointer));
        for (member, pointer) in renamed.chain(removed).chain(set).chain(defaults).chain(caps) {
            if !pointer.starts_with('/') || pointer.len() == 1 {
                let message = format!(
                    "`{member}`: `{pointer}` is no place in a request: write a JSON pointer such as `/max_tokens`"
                );
                return Err(Problem::new("invalid_config", message));
            }
        }
        Ok(())
    }

    /// Applies the edits. Returns a rejection if a part of the request prevents them.
    pub fn apply(&self, request: &mut Request<'_>) -> Result<Option<Action>> {
        for (from, to) in &self.rename {
            let Some(value) = request.text(from) else { continue };
            request.remove(from);
            if is_absent(request, to) && !put(request, to, &value) {
                return Ok(Some(blocked(to)));
            }
        }
        for pointer in &self.remove {
            request.remove(pointer);
        }
        for (pointer, value) in &self.set {
            if !put(request, pointer, &value.to_string()) {
                return Ok(Some(blocked(pointer)));
            }
        }
        for (pointer, value) in &self.default {
            if is_absent(request, pointer) && !put(request, pointer, &value.to_string()) {
                return Ok(Some(blocked(pointer)));
            }
        }
        for (pointer, most) in &self.cap {
            // the upstream rejects a value that is no number
            let found = request.get::<f64>(pointer).ok().flatten();
            if found.zip(most.as_f64()).is_some_and(|(found, most)| found > most) {
                request.set(pointer, most)?;
            }
        }
        self.system.apply(request)
    }
}

impl System {
    fn apply(&self, request: &mut Request<'_>) -> Result<Option<Action>> {
        if self.prepend.is_none() && self.append.is_none() {
            return Ok(None);
        }
        let around = [self.prepend.as_deref(), self.append.as_deref()];
        match request.get::<Value>("/system")?.unwrap_or_default() {
            Value::Array(mut blocks) => {
                if let Some(text) = &self.append {
                    request.set("/system/-", block(text))?;
                }
                if let Some(text) = &self.prepend {
                    // the interface cannot insert at the front of a list
                    blocks.insert(0, block(text));
                    blocks.extend(self.append.as_deref().map(block));
                    request.set("/system", blocks)?;
                }
            }
            Value::String(own) => {
                let own = Some(own.as_str()).filter(|own| !own.is_empty());
                let texts = [around[0], own, around[1]];
                request.set("/system", joined(&texts))?;
            }
            Value::Null => request.set("/system", joined(&around))?,
            _ => return Ok(Some(blocked("/system"))),
        }
        Ok(None)
    }
}

fn block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn joined(texts: &[Option<&str>]) -> String {
    texts.iter().copied().flatten().collect::<Vec<_>>().join(BETWEEN)
}

fn is_absent(request: &Request<'_>, pointer: &str) -> bool {
    request.text(pointer).is_none_or(|text| text == "null")
}

/// Sets a JSON text at a pointer, and creates the missing objects on the way there. Returns `false`
/// if a value on the way can hold no member.
fn put(request: &mut Request<'_>, pointer: &str, json: &str) -> bool {
    let ends = pointer.match_indices('/').skip(1).map(|(at, _)| at);
    for parent in ends.map(|at| &pointer[..at]) {
        if is_absent(request, parent) && request.set_text(parent, "{}").is_err() {
            return false;
        }
    }
    request.set_text(pointer, json).is_ok()
}

/// Returns the rejection for a caller's request with another value in the place of an expected
/// object.
fn blocked(pointer: &str) -> Action {
    let message = format!("nothing can be set at `{pointer}`: leave out the value in its way");
    Action::Deny(400, message)
}
