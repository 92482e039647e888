//! `Edits`: what a stage changes, in the order in which it does.
use std::collections::BTreeMap;

use serde_json::{Number, Value, json};
use tidegate_sdk::prelude::*;

/// What to change. Places are JSON pointers into the request: `/metadata/user_id`. The members are
/// done in this order: `rename`, `remove`, `set`, `default`, `cap`, `system`.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Edits {
    /// New places by old ones. What stands at a new place already stays, and the old one goes.
    pub rename: BTreeMap<String, String>,
    /// Places whose value is taken out.
    pub remove: Vec<String>,
    /// Values by their places, whatever stands there.
    pub set: BTreeMap<String, Value>,
    /// Values by their places, where nothing (or `null`) stands.
    pub default: BTreeMap<String, Value>,
    /// The largest numbers by their places: larger ones are lowered. Where no number stands nothing happens.
    pub cap: BTreeMap<String, Number>,
    /// Text around the system prompt.
    pub system: System,
}

/// Text around the system prompt; it becomes the system prompt where there is none.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct System {
    /// Before it.
    pub prepend: Option<String>,
    /// Behind it, so that an upstream's prompt cache still finds its beginning.
    pub append: Option<String>,
}

/// What a text of a system prompt is parted by from another.
const BETWEEN: &str = "\n\n";

impl Edits {
    /// Fails with the first pointer that is none.
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

    /// Makes them; a refusal where a part of the request is in the way.
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
            // what is no number is for the upstream to refuse
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
                    // the border has no way to push others back
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

/// Puts a JSON text at a pointer, after the objects that are missing on the way there. `false` if
/// something that can hold no member stands in the way.
fn put(request: &mut Request<'_>, pointer: &str, json: &str) -> bool {
    let ends = pointer.match_indices('/').skip(1).map(|(at, _)| at);
    for parent in ends.map(|at| &pointer[..at]) {
        if is_absent(request, parent) && request.set_text(parent, "{}").is_err() {
            return false;
        }
    }
    request.set_text(pointer, json).is_ok()
}

/// The caller's request has something else where the operator expects an object.
fn blocked(pointer: &str) -> Action {
    let message = format!("nothing can be set at `{pointer}`: leave out what stands in its way");
    Action::Deny(400, message)
}
