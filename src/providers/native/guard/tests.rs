//! The grammar guard: order passes byte for byte, known deviations are mended, the rest is an error.
use proptest::prelude::*;

use super::*;
use crate::providers::frames::Frames;
use crate::testing::{self, grammar};

fn start() -> String {
    event(
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#,
    )
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn block(index: u64, block: &str) -> String {
    event(
        "content_block_start",
        &format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#),
    )
}

fn delta(index: u64, delta: &str) -> String {
    event(
        "content_block_delta",
        &format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#),
    )
}

fn stop(index: u64) -> String {
    event("content_block_stop", &format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
}

fn end() -> String {
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#;
    [event("message_delta", end), event("message_stop", r#"{"type":"message_stop"}"#)].concat()
}

const TEXT: &str = r#"{"type":"text","text":""}"#;
const HELLO: &str = r#"{"type":"text_delta","text":"hello"}"#;

fn guarded(frames: &[String]) -> Result<Vec<Event>> {
    let mut guard = Guarded::new(Frames::default());
    guard.push(frames.concat().into());
    let mut events = Vec::new();
    while let Some(event) = guard.next_event()? {
        events.push(event);
    }
    events.extend(guard.finish().unwrap());
    Ok(events)
}

fn refused(frames: &[String]) -> String {
    let error = guarded(frames).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadUpstream);
    error.message
}

#[test]
fn a_stream_in_order_passes_byte_for_byte() {
    let frames = [
        ": comment\n\n".to_owned(),
        start(),
        event("ping", r#"{"type": "ping"}"#),
        block(0, r#"{"type":"thinking","thinking":"","signature":""}"#),
        delta(0, r#"{"type":"thinking_delta","thinking":"a \"b\" \u00e9"}"#),
        delta(0, r#"{ "type" : "signature_delta", "signature":"x"}"#),
        stop(0),
        block(1, TEXT),
        delta(1, HELLO),
        delta(1, r#"{"type":"citations_delta","citation":{"type":"page_location"}}"#),
        delta(1, r#"{"type":"future_delta","x":[1]}"#),
        stop(1),
        event("future_event", r#"{"type":"future_event"}"#),
        block(2, r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{}}"#),
        delta(2, r#"{"type":"input_json_delta","partial_json":""}"#),
        delta(2, r#"{"type":"input_json_delta","partial_json":"{\"a\":1}"}"#),
        stop(2),
        block(3, r#"{"type":"future_block"}"#),
        delta(3, r#"{"type":"future_delta"}"#),
        stop(3),
        end(),
    ];
    let events = guarded(&frames).unwrap();
    let passed: Vec<u8> = events.iter().flat_map(|event| event.frame().to_vec()).collect();
    assert_eq!(String::from_utf8(passed).unwrap(), frames.concat());
}

#[test]
fn missing_members_of_blocks_and_ends_without_a_block_are_mended() {
    let frames = [
        start(),
        stop(0),
        block(0, r#"{"type":"tool_use","id":"c1","name":"f"}"#),
        delta(0, r#"{"type":"input_json_delta","partial_json":"{}"}"#),
        stop(0),
        stop(0),
        block(1, r#"{"type":"text"}"#),
        stop(1),
        end(),
    ];
    let events = guarded(&frames).unwrap();
    let seen = testing::seen(&events);
    grammar::check(&seen).unwrap();
    assert_eq!(seen.len(), 8);
    assert_eq!(seen[1].json()["content_block"]["input"], json!({}));
    assert_eq!(seen[4].json()["content_block"]["text"], "");
    // an empty answer of llama.cpp
    let empty = guarded(&[start(), stop(0), end()]).unwrap();
    grammar::check(&testing::seen(&empty)).unwrap();
}

fn check_refused(table: Vec<(Vec<String>, &str)>) {
    for (frames, part) in table {
        let message = refused(&frames);
        assert!(message.contains(part), "{message} for {frames:?}");
    }
}

#[test]
fn any_other_event_out_of_order_is_an_error() {
    check_refused(vec![
        (vec![block(0, TEXT)], "`content_block_start` cannot come before `message_start`"),
        (vec![start(), start()], "`message_start` cannot come between two content blocks"),
        (
            vec![start(), delta(0, HELLO)],
            "`content_block_delta` cannot come between two content blocks",
        ),
        (vec![start(), block(1, TEXT)], "`content_block_start` has the index 1: expected 0"),
        (
            vec![start(), block(0, TEXT), block(1, TEXT)],
            "`content_block_start` cannot come within a content block",
        ),
        (
            vec![start(), block(0, TEXT), delta(1, HELLO)],
            "`content_block_delta` has the index 1: expected 0",
        ),
        (
            vec![start(), block(0, TEXT), stop(1)],
            "`content_block_stop` has the index 1: expected 0",
        ),
        (
            vec![start(), event("message_stop", r#"{"type":"message_stop"}"#)],
            "`message_stop` cannot come between",
        ),
        (
            vec![start(), block(0, TEXT), end()],
            "`message_delta` cannot come within a content block",
        ),
        (vec![start(), end(), end()], "`message_delta` cannot come after `message_stop`"),
        (vec![start(), end(), stop(0)], "`content_block_stop` cannot come after `message_stop`"),
        (
            vec![event("message_start", r#"{"type":"message_start","message":{"id":"x"}}"#)],
            "`message_start` cannot be read",
        ),
        (
            vec![start(), event("message_delta", r#"{"type":"message_delta","delta":{}}"#)],
            "`message_delta` cannot be read",
        ),
    ]);
}

#[test]
fn an_event_with_content_out_of_the_grammar_is_an_error() {
    let call = r#"{"type":"tool_use","id":"c1","name":"f","input":{}}"#;
    let broken = |data: &str| event("content_block_delta", data);
    check_refused(vec![
        (vec![start(), block(0, call), delta(0, HELLO)], "a delta does not fit its content block"),
        (
            vec![
                start(),
                block(0, TEXT),
                delta(0, r#"{"type":"input_json_delta","partial_json":"{}"}"#),
            ],
            "does not fit",
        ),
        (
            vec![start(), block(0, TEXT), delta(0, r#"{"type":"text_delta","text":5}"#)],
            "a `text_delta` has no `text`",
        ),
        (
            vec![start(), block(0, TEXT), delta(0, r#"{"text":"x"}"#)],
            "`content_block_delta` cannot be read",
        ),
        (
            vec![
                start(),
                block(0, TEXT),
                broken(
                    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"b\"}}",
                ),
            ],
            "cannot be read",
        ),
        (
            vec![
                start(),
                block(0, TEXT),
                broken(
                    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\tb\"}}",
                ),
            ],
            "cannot be read",
        ),
        (vec![start(), block(0, TEXT), broken("not json")], "`content_block_delta` cannot be read"),
        (
            vec![
                start(),
                block(0, TEXT),
                event("content_block_stop", r#"{"type":"content_block_delta","index":0}"#),
            ],
            "the data of `content_block_stop` has another type",
        ),
        (vec![start(), block(0, "{}")], "a content block has no `type`"),
        (
            vec![start(), block(0, r#"{"type":"tool_use","name":"f"}"#)],
            "a `tool_use` block has no `id` or no `name`",
        ),
        (
            vec![start(), block(0, r#"{"type":"tool_use","id":"c","name":"f","input":"{}"}"#)],
            "`input` of a content block has a wrong type",
        ),
    ]);
}

#[test]
fn after_the_message_only_comments_pass() {
    let comment = ": goodbye\n\n".to_owned();
    let late = [event("ping", "{}"), event("error", "{}"), event("future_event", "{}")];
    let frames = [start(), end(), late.concat(), comment.clone()];
    let passed: Vec<u8> =
        guarded(&frames).unwrap().iter().flat_map(|event| event.frame().to_vec()).collect();
    assert_eq!(String::from_utf8(passed).unwrap(), [start(), end(), comment].concat());
}

#[test]
fn an_error_event_gets_the_envelope() {
    let table = [
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"x"},"extra":1}"#,
            "overloaded_error",
            "x",
        ),
        (
            r#"{"error":{"code":500,"message":"boom","type":"server_error"}}"#,
            "server_error",
            "boom",
        ),
        (r#"{"error":"boom"}"#, "api_error", "boom"),
        (r#"{"message":"boom","error":{"type":"weird"}}"#, "api_error", "boom"),
        ("boom", "api_error", "the upstream reported an error"),
    ];
    for (data, kind, message) in table {
        let events = guarded(&[event("error", data)]).unwrap();
        let json = testing::seen(&events)[0].json();
        assert_eq!(
            (&json["type"], &json["error"]["type"], &json["error"]["message"]),
            (&"error".into(), &kind.into(), &message.into())
        );
    }
    let own = event("error", table[0].0);
    assert_eq!(guarded(std::slice::from_ref(&own)).unwrap()[0].frame(), own.as_bytes());
}

#[test]
fn a_whole_answer_is_a_message_or_an_error() {
    let good = r#"{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"x"}],"usage":{"output_tokens":1.0}}"#;
    assert_eq!(message(good.into()).unwrap(), good);
    let call =
        r#"{"type":"message","content":[{"type":"tool_use","id":"c","name":"f"}],"usage":{}}"#;
    let mended = message(call.into()).unwrap();
    assert!(std::str::from_utf8(&mended).unwrap().contains(r#""name":"f","input":{}}"#));
    for bad in [
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"error","content":[],"usage":{}}"#,
        r#"{"type":"message","content":[{}],"usage":{}}"#,
        r#"{"type":"message","content":[]}"#,
        "[]",
        "5",
    ] {
        let error = message(bad.into()).unwrap_err();
        assert_eq!(error.message, "the upstream answered 200 without a message", "{bad}");
    }
    assert!(count(r#"{"input_tokens":5}"#.into()).is_ok());
    assert!(count(r#"{"Output":{}}"#.into()).is_err());
}

/// Any event of a small alphabet.
fn any_event() -> impl Strategy<Value = String> {
    let index = 0u64..3;
    prop_oneof![
        Just(start()),
        Just(end()),
        Just(event("ping", r#"{"type": "ping"}"#)),
        Just(event("error", r#"{"error":{"message":"x"}}"#)),
        index.clone().prop_map(|n| block(n, TEXT)),
        index.clone().prop_map(|n| block(n, r#"{"type":"text"}"#)),
        index.clone().prop_map(|n| delta(n, HELLO)),
        index.prop_map(stop),
    ]
}

proptest! {
    #![proptest_config(testing::cases())]
    #[test]
    fn any_events_are_in_the_grammar_or_end_with_an_error(frames in proptest::collection::vec(any_event(), 0..12)) {
        let mut guard = Guarded::new(Frames::default());
        guard.push(frames.concat().into());
        let mut events = Vec::new();
        while let Ok(Some(event)) = guard.next_event() {
            let is_error = event.kind == EventKind::Error;
            events.push(event);
            if is_error {
                break;
            }
        }
        // the rest of the gateway ends a stream that stops here with an `error` event
        if events.last().is_none_or(|event| !matches!(event.kind, EventKind::Error | EventKind::MessageStop)) {
            events.push(Event::new(EventKind::Error, br#"{"type":"error","error":{"type":"api_error","message":"x"}}"#));
        }
        if events.iter().any(|event| event.kind == EventKind::MessageStart) {
            prop_assert_eq!(grammar::check(&testing::seen(&events)), Ok(()));
        }
    }
}
