//! Streams in cases: pieces of text, events as maps, or SSE text.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::policy::trial;
use crate::wire::Event;

/// Returns the events of a case's `stream`.
pub(super) fn events(given: &Value) -> Result<Vec<Event>, String> {
    match given {
        Value::String(text) if is_sse(text) => trial::events(text).map_err(|e| e.message),
        Value::String(text) => Ok(message(&[text])),
        Value::Array(items) => {
            let pieces: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            match pieces.len() {
                n if n == items.len() && n > 0 => Ok(message(&pieces)),
                0 => items.iter().map(event).collect(),
                _ => Err("`stream` mixes texts and events".to_owned()),
            }
        }
        _ => Err("`stream` is a text, a list of texts, or a list of events".to_owned()),
    }
}

fn is_sse(text: &str) -> bool {
    text.starts_with("event:") || text.starts_with("data:")
}

fn event(data: &Value) -> Result<Event, String> {
    let kind = data["type"].as_str().ok_or("an event of `stream` needs a `type`")?;
    Ok(Event::from_frame(format!("event: {kind}\ndata: {data}\n\n").into()))
}

/// Returns the events of a message with one text block; its text arrives in these pieces.
fn message(pieces: &[&str]) -> Vec<Event> {
    let message = json!({
        "id": "msg_case", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    let start = json!({"type": "message_start", "message": message});
    let open = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let pieces = pieces.iter().map(|text| {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    });
    let end = [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    let all = [start, open].into_iter().chain(pieces).chain(end);
    all.filter_map(|data| event(&data).ok()).collect()
}

/// Returns the data of each event.
pub(super) fn data(events: &[Event]) -> Vec<Value> {
    events.iter().map(|event| serde_json::from_slice(&event.data()).unwrap_or_default()).collect()
}

/// Returns the text of each block that has text.
pub(super) fn texts(events: &[Event]) -> Vec<String> {
    let mut texts = BTreeMap::<u64, String>::new();
    for data in data(events) {
        let index = data["index"].as_u64().unwrap_or_default();
        for text in [&data["content_block"]["text"], &data["delta"]["text"]] {
            if let Some(text) = text.as_str() {
                texts.entry(index).or_default().push_str(text);
            }
        }
    }
    texts.into_values().collect()
}
