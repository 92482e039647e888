//! Tests of the writer of streams.
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Composer, Delta, text_delta};
use crate::testing::{grammar, seen};
use crate::wire::{Event, EventKind};

/// A call of the composer, in any order.
#[derive(Debug, Clone, Copy)]
enum Call {
    Start,
    Block(&'static str),
    Delta(Delta),
    Close,
    End,
    Stop,
    Ping,
    Unknown,
    Pass(EventKind),
}

const BLOCKS: [&str; 6] =
    ["text", "thinking", "redacted_thinking", "tool_use", "mcp_tool_use", "future_block"];

fn call() -> impl Strategy<Value = Call> {
    let deltas = [
        Delta::Text,
        Delta::Citation,
        Delta::Thinking,
        Delta::Signature,
        Delta::Input,
        Delta::Unknown("future_delta", "future"),
    ];
    let passing = [
        EventKind::MessageStart,
        EventKind::ContentBlockStart,
        EventKind::ContentBlockDelta,
        EventKind::ContentBlockStop,
    ];
    prop_oneof![
        2 => Just(Call::Start),
        6 => prop::sample::select(BLOCKS.to_vec()).prop_map(Call::Block),
        8 => prop::sample::select(deltas.to_vec()).prop_map(Call::Delta),
        6 => Just(Call::Close),
        1 => Just(Call::End),
        1 => Just(Call::Stop),
        1 => Just(Call::Ping),
        1 => Just(Call::Unknown),
        4 => prop::sample::select(passing.to_vec()).prop_map(Call::Pass),
    ]
}

fn message() -> Vec<u8> {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 1, "output_tokens": 1},
    })
    .to_string()
    .into_bytes()
}

fn block(kind: &str, index: u64) -> Value {
    match kind {
        "text" => json!({"type": kind, "text": ""}),
        "thinking" => json!({"type": kind, "thinking": "", "signature": ""}),
        "tool_use" | "mcp_tool_use" => {
            json!({"type": kind, "id": format!("c{index}"), "name": "now", "input": {}})
        }
        _ => json!({"type": kind}),
    }
}

const END: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}"#;

/// Returns an upstream's event with the index that the composer expects.
fn passing(kind: EventKind, index: u64) -> Event {
    let mut data = json!({"type": kind.as_str(), "index": index});
    match kind {
        EventKind::MessageStart => data["message"] = serde_json::from_slice(&message()).unwrap(),
        EventKind::ContentBlockStart => data["content_block"] = block("future_block", index),
        EventKind::ContentBlockDelta => data["delta"] = json!({"type": "future_delta"}),
        _ => {}
    }
    Event::new(kind, data.to_string().as_bytes())
}

/// Makes the call. Returns the written events, or `None` if the call was out of order.
fn made(composer: &mut Composer, call: Call) -> Option<Vec<Event>> {
    let index = composer.index();
    match call {
        Call::Start => composer.start(&message()),
        Call::Block(kind) => composer.block(block(kind, index).to_string().as_bytes()),
        Call::Delta(Delta::Citation) => composer.delta_json(Delta::Citation, b"{\"cited\":1}"),
        // whole inputs only: the order does not depend on their content
        Call::Delta(Delta::Input) => composer.delta(Delta::Input, ""),
        Call::Delta(delta) => composer.delta(delta, "wörd \"quoted\"\n"),
        Call::Close => composer.close(),
        Call::End => composer.end(END.as_bytes()),
        Call::Stop => composer.stop(),
        Call::Ping => composer.pass(Event::ping()),
        Call::Unknown => composer.unknown("future_event", b"{\"type\":\"future_event\"}"),
        Call::Pass(kind) => composer.pass(passing(kind, index)),
    }
    composer.take().ok()
}

/// Returns the calls that end a stream from its present position.
const ENDS: [Call; 6] =
    [Call::Start, Call::Delta(Delta::Signature), Call::Close, Call::End, Call::Stop, Call::Stop];

proptest! {
    #[test]
    fn any_calls_in_any_order_write_a_stream_in_order(calls in prop::collection::vec(call(), 0..60)) {
        let mut composer = Composer::new();
        let calls = calls.into_iter().chain(ENDS);
        // a client that has received the end reads no more
        let mut events: Vec<Event> = Vec::new();
        for call in calls {
            if events.last().is_some_and(|last| last.kind == EventKind::MessageStop) {
                prop_assert!(!matches!(call, Call::Start | Call::Block(_) | Call::End | Call::Stop)
                    || made(&mut composer, call).is_none());
                continue;
            }
            events.extend(made(&mut composer, call).unwrap_or_default());
        }
        prop_assert_eq!(grammar::check(&seen(&events)), Ok(()));
    }
}

#[test]
fn a_call_out_of_order_writes_nothing_more_until_its_error_is_taken() {
    let mut composer = Composer::new();
    composer.start(&message());
    composer.delta(Delta::Text, "too early");
    composer.block(br#"{"type":"text","text":""}"#);
    let error = composer.take().unwrap_err();
    assert!(error.message.contains("`content_block_delta` cannot come between two content blocks"));
    assert_eq!(composer.take().unwrap().len(), 1);
}

#[test]
fn a_thinking_block_is_signed_once_and_last() {
    let thinking = || {
        let mut composer = Composer::new();
        composer.start(&message());
        composer.block(br#"{"type":"thinking","thinking":"","signature":""}"#);
        composer
    };
    let mut unsigned = thinking();
    unsigned.close();
    assert!(unsigned.take().unwrap_err().message.contains("has no signature"));
    let mut twice = thinking();
    twice.delta(Delta::Signature, "s");
    twice.delta(Delta::Signature, "s");
    assert!(twice.take().unwrap_err().message.contains("`signature_delta` does not fit"));
}

#[test]
fn deltas_are_written_as_the_api_writes_them() {
    let event = text_delta(7, "a\n\"b\"");
    let data = r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"a\n\"b\""}}"#;
    assert_eq!(&event.data()[..], data.as_bytes());
    assert_eq!(event.kind, EventKind::ContentBlockDelta);
}

#[test]
fn a_caller_may_choose_the_form_of_frames() {
    let mut lengths = Vec::new();
    let mut composer = Composer::framed_by(|name, data| {
        lengths.push(data.len());
        Event::from_frame(format!("event: {name}\r\ndata: {}\r\n\r\n", data.len()).into())
    });
    composer.start(b"{}");
    composer.unknown("future_event", b"{}");
    let events = composer.take().unwrap();
    assert_eq!(&events[1].frame()[..], b"event: future_event\r\ndata: 2\r\n\r\n");
    assert_eq!(lengths, [37, 2]);
}
