//! `cache: "auto"`: sets a breakpoint of the upstream's prompt cache after the static part of the prompt.
use memchr::memmem;
use serde_json::Value;

use crate::error::Result;
use crate::wire::{Document, Kind, Step};

const KEY: &str = "cache_control";
const BREAKPOINT: &str = r#"{"type":"ephemeral"}"#;

/// Marks the end of `system`, or of `tools` if there is no `system`. Does nothing if the request
/// already has a breakpoint.
pub(crate) fn add(document: &mut Document) -> Result<()> {
    let has_own = [KEY, "system", "tools", "messages"]
        .into_iter()
        .any(|field| document.field(field).is_some_and(|text| has_breakpoint(field, &text)));
    if has_own {
        return Ok(());
    }
    match document.kind(&[Step::Key("system")])? {
        Some(Kind::String) if add_to_text(document)? => Ok(()),
        Some(Kind::Array) if add_to_last(document, "system")? => Ok(()),
        _ => add_to_last(document, "tools").map(|_| ()),
    }
}

/// Returns whether a field has a breakpoint. It searches the text first, and parses it only if the
/// key occurs.
fn has_breakpoint(field: &str, text: &[u8]) -> bool {
    if field == KEY {
        return text != b"null";
    }
    if memmem::find(text, b"\"cache_control\"").is_none() {
        return false;
    }
    // an unreadable value stays unchanged
    serde_json::from_slice(text).map_or(true, |value| is_marked(&value))
}

/// Returns whether a value holds a breakpoint. A tool's schema or input may have a field of this
/// name, which is no breakpoint.
fn is_marked(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_marked),
        Value::Object(map) => map.iter().any(|(key, value)| match key.as_str() {
            KEY => value.is_object(),
            "input_schema" | "input" => false,
            _ => is_marked(value),
        }),
        _ => false,
    }
}

/// Adds a breakpoint to a string, which becomes a block. An empty string cannot be cached.
fn add_to_text(document: &mut Document) -> Result<bool> {
    let text = document.field("system").unwrap_or_default();
    if &text[..] == b"\"\"" {
        return Ok(false);
    }
    let mut blocks = br#"[{"type":"text","text":"#.to_vec();
    blocks.extend_from_slice(&text);
    blocks.extend_from_slice(br#","cache_control":{"type":"ephemeral"}}]"#);
    document.set(&[Step::Key("system")], blocks)?;
    Ok(true)
}

/// Adds a breakpoint to the last item that may have one. Empty texts and tools with `defer_loading`
/// may not.
fn add_to_last(document: &mut Document, field: &str) -> Result<bool> {
    let list = Step::Key(field);
    let count = document.len(&[list])?.unwrap_or_default() as i64;
    for n in (0..count).rev() {
        let at = |key| [list, Step::Index(n), Step::Key(key)];
        let is_object = document.kind(&[list, Step::Index(n)])? == Some(Kind::Object);
        let is_empty = document.get(&at("text"))?.as_deref() == Some(b"\"\"");
        let is_deferred = document.get(&at("defer_loading"))?.as_deref() == Some(b"true");
        if is_object && !is_empty && !is_deferred {
            document.set(&at(KEY), BREAKPOINT)?;
            return Ok(true);
        }
    }
    Ok(false)
}
