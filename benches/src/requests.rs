//! Request bodies of a given size that look like real conversations, the same in each run.
use serde_json::{Value, json};

use crate::answers::{TOOL, words};

/// The size in bytes below which a body is one question. A larger one is a conversation with tools.
const CONVERSATION_BYTES: usize = 16 * 1024;

/// Returns a Messages request of exactly `bytes` bytes, or of the smallest possible size.
pub fn body(model: &str, bytes: usize) -> Vec<u8> {
    let is_stream = model != "bench";
    let mut messages = Vec::new();
    let mut request = if model.starts_with("bench-tool-") {
        // appended messages are then at the end
        let tools = json!([{"type": format!("gateway:{TOOL}")}]);
        json!({"model": model, "max_tokens": 1024, "tools": tools, "stream": true, "messages": []})
    } else if bytes < CONVERSATION_BYTES {
        json!({"model": model, "messages": [], "max_tokens": 1024})
    } else {
        conversation(model)
    };
    if is_stream {
        request["stream"] = json!(true);
    }
    let mut len = request.to_string().len();
    // the longest turn is under 6 KiB; the last turn fills the rest
    while bytes > CONVERSATION_BYTES && len + 6 * 1024 < bytes {
        let turn = turn(messages.len());
        len += turn.to_string().len() + 1;
        messages.push(turn);
    }
    if messages.len() % 2 == 1 {
        messages.push(json!({"role": "assistant", "content": words(3, 20)}));
    }
    messages.push(json!({"role": "user", "content": ""}));
    request["messages"] = Value::Array(messages);
    let missing = bytes.saturating_sub(request.to_string().len());
    let mut text = words(5, missing / 2);
    text.truncate(missing);
    if let Some(last) = request["messages"].as_array_mut().and_then(|all| all.last_mut()) {
        last["content"] = json!(text);
    }
    request.to_string().into_bytes()
}

/// Returns a request without messages; the order of the fields is that of a coding agent.
fn conversation(model: &str) -> Value {
    json!({
        "model": model,
        "messages": [],
        "system": [
            {"type": "text", "text": "You are a careful assistant for people who work on code."},
            {"type": "text", "text": paragraphs(7, 4), "cache_control": {"type": "ephemeral"}},
        ],
        "tools": [
            tool("read_file", &["path", "offset", "limit"]),
            tool("edit_file", &["path", "old_text", "new_text"]),
            tool("search", &["pattern", "path", "glob"]),
            tool("run_command", &["command", "timeout"]),
        ],
        "metadata": {"user_id": "user_4f1d_account__session_9a7c1e52-6d1b-4a57-8f0e-1c2d3e4f5a6b"},
        "max_tokens": 1024,
    })
}

fn tool(name: &str, fields: &[&str]) -> Value {
    let property = |field: &&str| {
        let schema = json!({"type": "string", "description": words(field.len(), 14)});
        ((*field).to_owned(), schema)
    };
    let properties: serde_json::Map<String, Value> = fields.iter().map(property).collect();
    json!({
        "name": name,
        "description": paragraphs(name.len(), 1),
        "input_schema": {"type": "object", "properties": properties, "required": [fields[0]]},
    })
}

/// Returns the `n`-th message: a question or a tool's result, then an answer with a tool call.
fn turn(n: usize) -> Value {
    let result_of = |n: usize| format!("toolu_01A09q90qw90lq9178{n:05}");
    match n % 4 {
        0 => json!({"role": "user", "content": paragraphs(n, 1 + n % 3)}),
        1 => json!({"role": "assistant", "content": [
            {"type": "text", "text": paragraphs(n, 1)},
            {"type": "tool_use", "id": result_of(n), "name": "read_file",
                "input": {"path": format!("src/part_{n}/mod.rs"), "offset": n, "limit": 200}},
        ]}),
        2 => json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": result_of(n - 1), "content": code(n)},
        ]}),
        _ => json!({"role": "assistant", "content": [{"type": "text", "text": paragraphs(n, 2)}]}),
    }
}

/// Returns paragraphs of about a kilobyte, with the line ends and quotes that JSON has to escape.
fn paragraphs(seed: usize, count: usize) -> String {
    let paragraph = |n: usize| format!("On \"{}\": {}.", words(seed + n, 2), words(seed + n, 200));
    (0..count).map(paragraph).collect::<Vec<_>>().join("\n\n")
}

/// Returns a listing of 60 lines.
fn code(seed: usize) -> String {
    let line = |n: usize| format!("    let value_{n} = read(\"{}\")?;\n", words(seed + n, 3));
    (0..60).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_that_was_asked_for_and_is_a_conversation() {
        for bytes in [300, 4096, 100 * 1024, 1024 * 1024] {
            let body = body("bench-64", bytes);
            assert_eq!(body.len(), bytes);
            let request: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(request["stream"], true);
            let messages = request["messages"].as_array().unwrap();
            let is_turn = |(n, turn): (usize, &Value)| turn["role"] == ["user", "assistant"][n % 2];
            assert!(messages.iter().enumerate().all(is_turn));
        }
    }
}
