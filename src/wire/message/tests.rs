//! Tests of folding events into a message, and of usage during the fold.
use crate::error::ErrorKind;
use crate::wire::message::Fold;
use crate::wire::{Event, EventKind, Usage, usage};
use serde_json::{Map, Value, json};

fn event(data: &Value) -> Event {
    let kind = data["type"].as_str().unwrap();
    Event::from_frame(format!("event: {kind}\ndata: {data}\n\n").into())
}

fn start() -> Value {
    json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": [],
        "stop_reason": null, "stop_sequence": null, "vendor": {"n": 1},
        "usage": {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 5},
    }})
}

fn end() -> [Value; 2] {
    let delta = json!({"type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": null},
        "usage": {"output_tokens": 9, "input_tokens": null}});
    [delta, json!({"type": "message_stop"})]
}

/// Folds blocks with these deltas and returns the content.
fn content(blocks: &[(Value, Vec<Value>)]) -> Value {
    let mut fold = Fold::default();
    let mut events = vec![start()];
    for (n, (block, deltas)) in blocks.iter().enumerate() {
        events.push(json!({"type": "content_block_start", "index": n, "content_block": block}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": n, "delta": delta}));
            events.push(json!({"type": "ping"}));
        }
        events.push(json!({"type": "content_block_stop", "index": n}));
    }
    events.extend(end());
    for data in &events {
        fold.push(&event(data)).unwrap();
    }
    assert!(fold.is_complete());
    assert_eq!(fold.stop_reason(), "end_turn");
    let message: Value = serde_json::from_slice(&fold.finish().unwrap()).unwrap();
    assert_eq!(message["id"], "msg_1");
    assert_eq!(message["vendor"], json!({"n": 1}));
    assert_eq!(message["stop_reason"], "end_turn");
    let usage = json!({"input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": 5});
    assert_eq!(message["usage"], usage);
    message["content"].clone()
}

#[test]
fn deltas_fold_into_their_blocks() {
    let citation = json!({"type": "char_location", "cited_text": "x", "start_char_index": 0});
    let found = content(&[
        (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            vec![
                json!({"type": "thinking_delta", "thinking": "let me "}),
                json!({"type": "thinking_delta", "thinking": "see"}),
                json!({"type": "signature_delta", "signature": "c2ln"}),
            ],
        ),
        (json!({"type": "redacted_thinking", "data": "opaque"}), vec![]),
        (
            json!({"type": "text", "text": ""}),
            vec![
                json!({"type": "text_delta", "text": "a\"é"}),
                json!({"type": "citations_delta", "citation": citation}),
                json!({"type": "text_delta", "text": "\nb"}),
                json!({"type": "a_delta_of_tomorrow", "what": [1]}),
            ],
        ),
        (
            json!({"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}),
            ["", "{\"city\": \"Ly", "on\", \"n\": 1.0}"]
                .map(|part| json!({"type": "input_json_delta", "partial_json": part}))
                .to_vec(),
        ),
        (json!({"type": "tool_use", "id": "toolu_2", "name": "t", "input": {}}), vec![]),
    ]);
    let expected = json!([
        {"type": "thinking", "thinking": "let me see", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "text", "text": "a\"é\nb", "citations": [citation]},
        {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {"city": "Lyon", "n": 1.0}},
        {"type": "tool_use", "id": "toolu_2", "name": "t", "input": {}},
    ]);
    assert_eq!(found, expected);
}

#[test]
fn events_of_tomorrow_change_nothing() {
    let mut fold = Fold::default();
    fold.push(&event(&start())).unwrap();
    fold.push(&event(&json!({"type": "an_event_of_tomorrow", "x": 1}))).unwrap();
    fold.push(&Event::from_frame(": a comment\n\n".into())).unwrap();
    assert!(!fold.is_complete() && fold.blocks.is_empty());
}

#[test]
fn a_stream_without_its_end_is_no_message() {
    let mut fold = Fold::default();
    fold.push(&event(&start())).unwrap();
    assert_eq!(fold.finish().unwrap_err().kind, ErrorKind::BadUpstream);
}

#[test]
fn an_error_event_ends_the_fold_with_its_own_kind() {
    let told = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    let error = Fold::default().push(&event(&told)).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Overloaded, "busy"));
}

#[test]
fn an_unreadable_event_is_an_error_and_not_a_panic() {
    let delta = json!({"type": "content_block_delta", "index": 0, "delta": {"text": "x"}});
    assert!(Fold::default().push(&event(&delta)).is_err(), "a delta before its block");
    for data in ["", "{", "[]", "{\"message\":1}", "{}"] {
        for kind in ["message_start", "content_block_start", "content_block_delta", "message_delta"]
        {
            let frame = format!("event: {kind}\ndata: {data}\n\n");
            assert!(
                Fold::default().push(&Event::from_frame(frame.into())).is_err(),
                "{kind} {data}"
            );
        }
    }
}

#[test]
fn a_call_that_the_model_was_cut_off_in_keeps_the_input_of_its_start() {
    let mut fold = Fold::default();
    let block = json!({"type": "tool_use", "id": "t", "name": "t", "input": {}});
    let part = json!({"type": "input_json_delta", "partial_json": "{\"a\":"});
    for data in [
        start(),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": part}),
    ] {
        fold.push(&event(&data)).unwrap();
    }
    let whole: Value = serde_json::from_slice(&fold.blocks[0].json().unwrap()).unwrap();
    assert_eq!(whole["input"], json!({}));
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn a_later_usage_overwrites_and_null_does_not() {
    let mut usage = map(json!({"input_tokens": 7, "output_tokens": 1, "service_tier": "standard"}));
    let newer = map(json!({"input_tokens": null, "output_tokens": 9, "iterations": null}));
    usage::overwrite(&mut usage, &newer);
    let expected = json!({"input_tokens": 7, "output_tokens": 9, "service_tier": "standard", "iterations": null});
    assert_eq!(Value::Object(usage), expected);
}

#[test]
fn turns_add_up() {
    let mut total = map(json!({
        "input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": null, "tier": "a",
        "server_tool_use": {"web_search_requests": 1}, "list": [1],
    }));
    let turn = map(json!({
        "input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 5, "tier": "b", "new": 4,
        "server_tool_use": {"web_search_requests": 2, "datetime_requests": 1}, "list": [2],
    }));
    usage::add(&mut total, &turn);
    usage::add(&mut total, &map(json!({"input_tokens": null})));
    let expected = json!({
        "input_tokens": 10, "output_tokens": 3, "cache_read_input_tokens": 5, "tier": "b", "new": 4,
        "server_tool_use": {"web_search_requests": 3, "datetime_requests": 1}, "list": [1, 2],
    });
    assert_eq!(Value::Object(total), expected);
}

#[test]
fn metering_reads_messages_and_events_and_survives_nonsense() {
    let mut usage = crate::wire::Spent::default();
    usage.update(start().to_string().as_bytes());
    usage.update(end()[0].to_string().as_bytes());
    for nonsense in ["", "{", "[]", "{\"usage\":7}", "{\"usage\":{\"output_tokens\":\"many\"}}"] {
        usage.update(nonsense.as_bytes());
    }
    assert_eq!(usage.tokens, Usage { input: 7, output: 9, cache_read: 5, ..Usage::default() });
}

#[test]
fn an_error_event_has_the_envelope_of_an_error_answer() {
    let error = crate::error::Error::new(ErrorKind::BadUpstream, "it broke \"off\"");
    let event = Event::error(&error, "req_1");
    assert_eq!(event.kind, EventKind::Error);
    let data: Value = serde_json::from_slice(&event.data()).unwrap();
    let expected = json!({"type": "error", "error": {"type": "api_error", "message": "it broke \"off\""}, "request_id": "req_1"});
    assert_eq!(data, expected);
    assert!(event.frame().ends_with(b"\n\n"));
}

#[test]
fn the_usage_of_a_whole_message_is_its_own_wherever_it_stands() {
    let read = |message: &str| {
        let mut usage = crate::wire::Spent::default();
        usage.update_whole(message.as_bytes());
        (usage.tokens.input, usage.tokens.output)
    };
    let cases = [
        (r#"{"content":[],"usage":{"input_tokens":1,"output_tokens":2}}"#, (1, 2)),
        (r#"{"usage":{"input_tokens":1,"output_tokens":2},"content":[]} "#, (1, 2)),
        (r#"{"usage": {"input_tokens":1},"x":[{"usage":{"input_tokens":9}}]}"#, (1, 0)),
        (r#"{"usage":{"input_tokens":1},"x":{"usage":{"input_tokens":9}}}"#, (1, 0)),
        (r#"{"x":{"usage":{"input_tokens":9}}}"#, (0, 0)),
        (r#"{"usage":{"input_tokens":1},"text":"\"usage\":{\"input_tokens\":9}}"}"#, (1, 0)),
        (r#"{"usage" : {"input_tokens":1}}"#, (1, 0)),
        (r#"{"usage":null}"#, (0, 0)),
    ];
    for (message, expected) in cases {
        assert_eq!(read(message), expected, "{message}");
    }
}
