//! `cache: "auto"`: a breakpoint of the upstream's prompt cache behind what does not change.
use memchr::memmem;
use serde_json::Value;

use crate::error::Result;
use crate::wire::{Document, Kind, Step};

const KEY: &str = "cache_control";
const BREAKPOINT: &str = r#"{"type":"ephemeral"}"#;

/// Marks the end of `system`, or of `tools` where there is none. Who has set a breakpoint itself
/// knows better: then nothing changes.
pub fn add(document: &mut Document) -> Result<()> {
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

/// A search first: what has no such key is not parsed.
fn has_breakpoint(field: &str, text: &[u8]) -> bool {
    if field == KEY {
        return text != b"null";
    }
    if memmem::find(text, b"\"cache_control\"").is_none() {
        return false;
    }
    // what cannot be read is left alone
    serde_json::from_slice(text).map_or(true, |value| is_marked(&value))
}

/// What a tool takes, or was given, may have a field of that name and is no breakpoint.
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

/// A string becomes a block; an empty one cannot be cached.
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

/// The last that may have one: no empty text, no tool that is only loaded when it is searched for.
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
