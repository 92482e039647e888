//! Turns of a model, made by hand: whole messages, and the frames that they would come as.
use serde_json::{Map, Value, json};

/// A text block.
pub fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// A text block as the gateway writes it, which cites nothing.
pub fn plain_text(text: &str) -> Value {
    json!({"type": "text", "text": text, "citations": null})
}

/// A thinking block.
pub fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": format!("signed {text}")})
}

/// A call, as an upstream sends it.
pub fn call(id: &str, name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}

/// A result, as an upstream takes it.
pub fn result(id: &str, content: Value) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

/// A message of the upstream's.
pub fn message(content: Value, stop_reason: &str) -> Value {
    json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up-1",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 3, "cache_read_input_tokens": 4},
    })
}

/// The frames of a stream of this message.
pub fn frames(message: &Value) -> Vec<String> {
    let mut start = message.clone();
    (start["content"], start["stop_reason"]) = (json!([]), Value::Null);
    start["usage"]["output_tokens"] = 0.into();
    let mut all = vec![json!({"type": "message_start", "message": start})];
    for (index, block) in message["content"].as_array().unwrap().iter().enumerate() {
        all.extend(of_block(index, block));
    }
    let delta =
        json!({"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]});
    all.push(json!({"type": "message_delta", "delta": delta, "usage": message["usage"]}));
    all.push(json!({"type": "message_stop"}));
    all.iter().map(frame).collect()
}

/// The frame of an event's data.
pub fn frame(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// Start, deltas and stop. A block of a type without deltas starts whole.
fn of_block(index: usize, block: &Value) -> Vec<Value> {
    let mut start = block.clone();
    let mut deltas = Vec::new();
    let mut take =
        |field: &str, empty: Value| start.get_mut(field).map(|it| std::mem::replace(it, empty));
    match block["type"].as_str().unwrap() {
        "text" => {
            for citation in
                take("citations", json!([])).iter().filter_map(Value::as_array).flatten()
            {
                deltas.push(json!({"type": "citations_delta", "citation": citation}));
            }
            deltas.push(json!({"type": "text_delta", "text": take("text", "".into())}));
        }
        "thinking" => {
            let thinking = take("thinking", "".into());
            deltas.push(json!({"type": "thinking_delta", "thinking": thinking}));
            let signature = take("signature", "".into());
            deltas.push(json!({"type": "signature_delta", "signature": signature}));
        }
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let input = take("input", Map::new().into()).unwrap_or_default().to_string();
            deltas.push(json!({"type": "input_json_delta", "partial_json": input}));
        }
        _ => {}
    }
    let mut all =
        vec![json!({"type": "content_block_start", "index": index, "content_block": start})];
    all.extend(
        deltas
            .into_iter()
            .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
    );
    all.push(json!({"type": "content_block_stop", "index": index}));
    all
}
