//! Removes the parts of a request that its target does not support.
use serde_json::{Map, Value, json};
use tidegate_sdk::prelude::*;

/// The prefix of content block names.
const BLOCK: &str = "block:";
/// The prefix of tool type names.
const TOOL: &str = "tool:";

/// Removes fields, and tools by their types. A line of text replaces each content block.
pub fn unsupported(request: &mut Request<'_>, names: &[String]) -> Result<()> {
    for name in names.iter().filter(|name| !name.starts_with(BLOCK) && !name.starts_with(TOOL)) {
        request.remove(&format!("/{name}"));
    }
    let named = |prefix| names.iter().filter_map(move |name| name.strip_prefix(prefix));
    let blocks: Vec<&str> = named(BLOCK).collect();
    let tools: Vec<&str> = named(TOOL).collect();
    if !blocks.is_empty() {
        without_blocks(request, &blocks)?;
    }
    if !tools.is_empty() {
        without_tools(request, &tools)?;
    }
    Ok(())
}

fn without_blocks(request: &mut Request<'_>, kinds: &[&str]) -> Result<()> {
    let messages: Vec<Value> = request.get("/messages")?.unwrap_or_default();
    for (n, mut message) in messages.into_iter().enumerate() {
        let Some(content) = message.get_mut("content") else { continue };
        if told_instead(content, kinds) {
            request.set(&format!("/messages/{n}/content"), content)?;
        }
    }
    Ok(())
}

/// Replaces such blocks in a content, also within the results of tools. Returns whether there were
/// any.
fn told_instead(content: &mut Value, kinds: &[&str]) -> bool {
    let Value::Array(blocks) = content else { return false };
    let mut is_changed = false;
    for block in blocks {
        let kind = block["type"].as_str().unwrap_or_default();
        if kinds.contains(&kind) {
            let text = format!("[a block of type {kind} stood here, which this model cannot read]");
            *block = json!({"type": "text", "text": text});
            is_changed = true;
        } else if let Some(inner) = block.get_mut("content") {
            is_changed |= told_instead(inner, kinds);
        }
    }
    is_changed
}

fn without_tools(request: &mut Request<'_>, kinds: &[&str]) -> Result<()> {
    let tools: Vec<Map<String, Value>> = request.get("/tools")?.unwrap_or_default();
    let is_known = |tool: &Map<String, Value>| {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or("custom");
        !kinds.contains(&kind)
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = tools.into_iter().partition(is_known);
    let chosen: Option<String> = request.get("/tool_choice/name")?;
    let is_gone =
        dropped.iter().any(|tool| tool.get("name").and_then(Value::as_str) == chosen.as_deref());
    if kept.is_empty() {
        request.remove("/tools");
        // without tools, the API accepts no tool choice either
        request.remove("/tool_choice");
        return Ok(());
    }
    request.set("/tools", kept)?;
    if chosen.is_some() && is_gone {
        request.set("/tool_choice", json!({"type": "auto"}))?;
    }
    Ok(())
}
