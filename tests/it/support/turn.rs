//! Turns of a model, made by hand: whole messages, and the events that they would come as.
use serde_json::{Value, json};
use tidegate::error::Result;
use tidegate::plugin_host::published::Published;
use tidegate::server_tools::citations::Sources;
use tidegate::server_tools::history;
use tidegate::server_tools::images::Images;
use tidegate::server_tools::tool::{Face, ServerTool};
use tidegate::wire::message::Fold;
use tidegate::wire::{Event, MessagesRequest, unfold};

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

/// A call, as an upstream tells it.
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

/// The events of a message.
pub fn events(message: &Value) -> Vec<Event> {
    unfold::events_of(&message.to_string().into()).unwrap()
}

/// The same as text.
pub fn frames(message: &Value) -> Vec<String> {
    let text = |event: &Event| String::from_utf8(event.frame().to_vec()).unwrap();
    events(message).iter().map(text).collect()
}

/// The message that events stand for.
pub fn folded(events: &[Event]) -> Value {
    let mut fold = Fold::default();
    for event in events {
        fold.push(event).unwrap();
    }
    serde_json::from_slice(&fold.finish().unwrap()).unwrap()
}

/// What an upstream gets of a history, where nothing can be cited and no file is kept.
pub fn restored(request: &mut MessagesRequest) -> Result<()> {
    let files = Published::default();
    history::restore(request, Sources::default(), Images::new(&files, true)).map(drop)
}

/// A server tool that the caller declared.
pub fn shown(name: &str) -> ServerTool {
    ServerTool {
        name: name.to_owned(),
        upstream_name: format!("gateway_{name}"),
        options: "{}".into(),
        face: Face::of(name),
        max_uses: None,
        counts_history: true,
        wants_transcript: false,
    }
}

/// A server tool that a policy added.
pub fn hidden(name: &str) -> ServerTool {
    ServerTool { face: Face::Hidden, ..shown(name) }
}
