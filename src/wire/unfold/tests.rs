//! Tests of turning a message into the events of its stream.
use crate::wire::message::Fold;
use crate::wire::unfold::events_of;
use bytes::Bytes;
use serde_json::{Value, json};

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn folding_the_events_of_a_message_gives_the_message() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "abc"},
            {"type": "redacted_thinking", "data": "xyz"},
            {"type": "text", "text": "one\ntwo", "citations": [{"type": "char_location", "n": 1}]},
            {"type": "text", "text": "plain"},
            {"type": "tool_use", "id": "t", "name": "n", "input": {"a": [1, {"b": "c\nd"}]}},
            {"type": "tool_use", "id": "u", "name": "n", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "x"}]},
            {"type": "of_tomorrow", "text": "kept", "deep": {"n": 1.5}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 3, "output_tokens": 7},
    });
    for text in [message.to_string(), serde_json::to_string_pretty(&message).unwrap()] {
        let events = events_of(&Bytes::from(text)).unwrap();
        let mut fold = Fold::default();
        for event in &events {
            // one event, one `data:` line
            assert_eq!(event.frame().iter().filter(|b| **b == b'\n').count(), 3);
            fold.push(event).unwrap();
        }
        assert_eq!(parsed(&fold.finish().unwrap()), message);
    }
}

#[test]
fn the_events_come_in_the_apis_order_and_begin_empty() {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}],
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 3, "output_tokens": 7}});
    let events = events_of(&Bytes::from(message.to_string())).unwrap();
    let data: Vec<Value> = events.iter().map(|event| parsed(&event.data())).collect();
    let names: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(names.iter().zip(&data).all(|(name, data)| data["type"] == *name));
    assert_eq!(data[0]["message"]["content"], json!([]));
    assert_eq!(data[0]["message"]["stop_reason"], Value::Null);
    assert_eq!(data[0]["message"]["usage"], json!({"input_tokens": 3, "output_tokens": 0}));
    assert_eq!(data[1]["content_block"], json!({"type": "text", "text": ""}));
    assert_eq!(data[2]["delta"], json!({"type": "text_delta", "text": "hi"}));
    assert_eq!(data[4]["content_block"]["input"], json!({}));
    assert_eq!(data[5]["index"], 1);
    assert_eq!(data[5]["delta"], json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"}));
    assert_eq!(data[7]["delta"], json!({"stop_reason": "end_turn", "stop_sequence": null}));
    assert_eq!(data[7]["usage"]["output_tokens"], 7);
}
