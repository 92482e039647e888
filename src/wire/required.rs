//! Members that the API's schema requires in responses; `null` if there is no value.
//!
//! The gateway adds them to responses of its own, never to an upstream's.
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::wire::document::{Document, Kind, Step};

/// Members of a message that arrive at its end, in `message_delta.delta`.
pub(crate) const DELTA: [&str; 4] = ["stop_reason", "stop_sequence", "stop_details", "container"];

/// Members of `message_delta.usage` that may be `null`.
const DELTA_USAGE: [&str; 5] = [
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens_details",
    "server_tool_use",
];

/// Members of a message's `usage`, with their values if no model was called.
const USAGE: [(&str, &str); 10] = [
    ("input_tokens", "0"),
    ("output_tokens", "0"),
    ("cache_creation_input_tokens", "0"),
    ("cache_read_input_tokens", "0"),
    ("cache_creation", r#"{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}"#),
    ("output_tokens_details", "null"),
    ("server_tool_use", "null"),
    ("service_tier", "null"),
    ("inference_geo", "null"),
    ("speed", "null"),
];

/// The `caller` of a tool that the model called directly.
const CALLER: &str = r#"{"type":"direct"}"#;

/// Returns [`CALLER`] as a value.
pub(crate) fn caller() -> Value {
    json!({"type": "direct"})
}

/// Adds missing members to a message that a policy or a plugin wrote in place of the model. Existing
/// members do not change; nor does a text that is no message.
pub(crate) fn completed(message: Bytes) -> Bytes {
    match complete(message.clone()) {
        Ok(complete) => complete,
        Err(_) => message,
    }
}

fn complete(message: Bytes) -> Result<Bytes> {
    let mut message = Document::parse(message)?;
    for field in DELTA.into_iter().chain(["diagnostics"]) {
        add(&mut message, &[Step::Key(field)], "null")?;
    }
    let usage = Step::Key("usage");
    add(&mut message, &[usage], "{}")?;
    if message.kind(&[usage])? == Some(Kind::Object) {
        for (field, value) in USAGE {
            add(&mut message, &[usage, Step::Key(field)], value)?;
        }
    }
    complete_blocks(&mut message, &[Step::Key("content")])?;
    Ok(message.to_bytes())
}

fn complete_blocks(message: &mut Document, content: &[Step<'_>]) -> Result<()> {
    if message.kind(content)? != Some(Kind::Array) {
        return Ok(());
    }
    for n in 0..message.len(content)?.unwrap_or_default() as i64 {
        let block = [content, &[Step::Index(n)]].concat();
        if message.kind(&block)? == Some(Kind::Object) {
            complete_block(message, &block)?;
        }
    }
    Ok(())
}

fn complete_block(message: &mut Document, block: &[Step<'_>]) -> Result<()> {
    let at = |field| [block, &[Step::Key(field)]].concat();
    let kind = message.get(&at("type"))?.unwrap_or_default();
    let kind: String = serde_json::from_slice(&kind).unwrap_or_default();
    let members: &[(&str, &str)] = match kind.as_str() {
        "text" => &[("citations", "null")],
        "thinking" => &[("signature", r#""""#)],
        "tool_use" | "server_tool_use" => &[("input", "{}"), ("caller", CALLER)],
        "mcp_tool_use" => &[("input", "{}")],
        "web_search_tool_result" | "web_fetch_tool_result" => &[("caller", CALLER)],
        "mcp_tool_result" => &[("is_error", "false")],
        _ => &[],
    };
    for (field, value) in members {
        add(message, &at(field), value)?;
    }
    match kind.as_str() {
        "mcp_tool_result" => complete_blocks(message, &at("content")),
        _ => Ok(()),
    }
}

fn add(message: &mut Document, path: &[Step<'_>], value: &'static str) -> Result<()> {
    match message.kind(path)? {
        None => message.set(path, value),
        Some(_) => Ok(()),
    }
}

/// Adds missing members to the usage of a `message_delta`.
pub(crate) fn complete_delta(usage: &mut Map<String, Value>) {
    for field in DELTA_USAGE {
        if !usage.contains_key(field) {
            usage.insert(field.to_owned(), Value::Null);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::completed;

    #[test]
    fn members_that_are_present_keep_their_bytes() {
        let message = r#"{"id": "msg_1", "usage":{"input_tokens":1.50e2,"speed":"fast"},
            "stop_details":{"x":1},"content":[{"type":"text","citations":[ 1 ]},{"type":"tool_use","caller":null}, 5]}"#;
        let complete = completed(message.into());
        let complete = std::str::from_utf8(&complete).unwrap();
        for part in [
            r#""input_tokens":1.50e2"#,
            r#""speed":"fast""#,
            r#""stop_details":{"x":1}"#,
            r#"{"type":"text","citations":[ 1 ]}"#,
            r#"{"type":"tool_use","caller":null,"input":{}}"#,
        ] {
            assert!(complete.contains(part), "{part} in {complete}");
        }
        assert_eq!(completed(complete.to_owned().into()), complete);
    }

    #[test]
    fn a_text_that_is_no_message_stays_as_it_is() {
        for text in ["", "5", "[{}]", "{\"usage\":{\"a\":1,\"a\":2}}", "{"] {
            assert_eq!(completed(text.into()), text);
        }
    }
}
