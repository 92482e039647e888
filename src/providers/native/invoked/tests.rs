//! Frames of Bedrock: a real one, damaged ones, exceptions, and usage that comes at the end.
use proptest::prelude::*;

use super::*;
use crate::testing;
use crate::testing::aws_frames::{self, frame};

/// `{"type":"ping"}` in a frame that botocore and Anthropic's SDK read.
const PING: &str = "000000860000004bba8a02430b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573223a2265794a306558426c496a6f6963476c755a794a39222c2270223a2261626364227ddc9d8443";

fn json_chunk(event: Value) -> Vec<u8> {
    aws_frames::chunk(&event.to_string())
}

/// Decodes bytes that arrive in pieces of this size.
fn decoded(bytes: &[u8], size: usize) -> Result<Vec<Event>> {
    let (mut decoder, mut events) = (Invoked::default(), Vec::new());
    for piece in bytes.chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event()? {
            events.push(event);
        }
    }
    events.extend(decoder.finish().unwrap());
    Ok(events)
}

fn stream() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_bdrk_1", "usage": {"input_tokens": 3, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hé\n"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop", "usage": {"cache_read_input_tokens": 7}, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2, "cacheReadInputTokenCount": 5, "cacheWriteInputTokenCount": 0}}),
    ]
}

#[test]
fn a_real_frame_is_read_and_a_flipped_bit_is_not() {
    let real = hex::decode(PING).unwrap();
    let events = decoded(&real, real.len()).unwrap();
    assert_eq!(events[0].frame(), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    for byte in 0..real.len() {
        let mut damaged = real.clone();
        damaged[byte] ^= 0x10;
        // a longer length makes the frame incomplete, which the end of the body reports
        let read = decoded(&damaged, 7);
        assert!(read.is_err() || read.unwrap().is_empty(), "byte {byte}");
    }
    assert!(decoded(&[0xff; 16], 16).unwrap_err().message.contains("too long"));
    assert!(decoded(&[0; 16], 16).unwrap_err().message.contains("damaged"));
}

#[test]
fn counts_of_the_cache_at_the_end_complete_the_usage() {
    let bytes: Vec<u8> =
        stream().iter().flat_map(|event| aws_frames::chunk(&event.to_string())).collect();
    let events = decoded(&bytes, bytes.len()).unwrap();
    let seen = testing::seen(&events);
    assert_eq!(seen.len(), 6);
    // the API's own member of `message_stop` has precedence, Bedrock's own counts are the rest
    assert_eq!(
        seen[4].json()["usage"],
        json!({"output_tokens": 2, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 0})
    );
    assert_eq!(
        seen[5].json(),
        json!({"type": "message_stop", "usage": {"cache_read_input_tokens": 7}})
    );
    assert_eq!(seen[2].json(), stream()[2]);
}

#[test]
fn a_usage_that_has_the_counts_keeps_them() {
    let mut events = stream();
    events[4]["usage"] = json!({"output_tokens": 2, "cache_read_input_tokens": 1, "cache_creation_input_tokens": null});
    let bytes: Vec<u8> =
        events.iter().flat_map(|event| aws_frames::chunk(&event.to_string())).collect();
    let usage = &testing::seen(&decoded(&bytes, 64).unwrap())[4].json()["usage"];
    assert_eq!(
        *usage,
        json!({"output_tokens": 2, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 0})
    );
}

#[test]
fn a_stream_that_ends_early_keeps_its_last_event() {
    let bytes: Vec<u8> =
        stream()[..5].iter().flat_map(|event| aws_frames::chunk(&event.to_string())).collect();
    let events = decoded(&bytes, 10).unwrap();
    assert_eq!(events.last().unwrap().kind, EventKind::MessageDelta);
}

#[test]
fn exceptions_become_the_errors_of_the_api() {
    let message = json!({"message": "Too many requests, please wait"});
    let table = [
        ("validationException", message.clone(), "invalid_request_error"),
        ("throttlingException", message.clone(), "rate_limit_error"),
        ("modelTimeoutException", message.clone(), "timeout_error"),
        ("modelStreamErrorException", message.clone(), "api_error"),
        ("internalServerException", message.clone(), "api_error"),
        ("serviceUnavailableException", message.clone(), "overloaded_error"),
        ("newException", message, "api_error"),
    ];
    for (name, payload, kind) in table {
        let events =
            testing::seen(&decoded(&aws_frames::exception(name, &payload.to_string()), 9).unwrap());
        let error = json!({"type": kind, "message": "Too many requests, please wait"});
        assert_eq!(events[0].json(), json!({"type": "error", "error": error}), "{name}");
    }
    let model = json!({"message": "outer", "originalStatusCode": 400, "originalMessage": "inner"});
    let events =
        decoded(&aws_frames::exception("modelStreamErrorException", &model.to_string()), 99)
            .unwrap();
    let expected = json!({"type": "invalid_request_error", "message": "inner"});
    assert_eq!(testing::seen(&events)[0].json()["error"], expected);
    let events = decoded(&aws_frames::exception("throttlingException", "null"), 99).unwrap();
    let expected = json!({"type": "rate_limit_error", "message": "the upstream reported `throttlingException`"});
    assert_eq!(testing::seen(&events)[0].json()["error"], expected);
    let headers = [
        (":message-type", "error"),
        (":error-code", "InternalFailure"),
        (":error-message", "sorry"),
    ];
    let events = decoded(&frame(&headers, ""), 99).unwrap();
    let expected = json!({"type": "api_error", "message": "sorry"});
    assert_eq!(testing::seen(&events)[0].json()["error"], expected);
}

#[test]
fn signs_of_life_and_frames_of_other_types_are_left_out() {
    let other = frame(&[(":message-type", "event"), (":event-type", "initial-response")], "{}");
    let bytes = [
        other,
        json_chunk(json!({"x": 1})),
        json_chunk(json!({"type": 5})),
        json_chunk(json!({"type": "a\nb"})),
    ];
    assert!(decoded(&bytes.concat(), 50).unwrap().is_empty());
    let future = decoded(&json_chunk(json!({"type": "future_event"})), 50).unwrap();
    assert_eq!(future[0].frame(), "event: future_event\ndata: {\"type\":\"future_event\"}\n\n");
    for payload in
        ["{}", "{\"bytes\":\"%\"}", "{\"bytes\":\"e30\"}", "", "{\"bytes\":\"bm90IGpzb24=\"}"]
    {
        let headers = [(":message-type", "event"), (":event-type", "chunk")];
        assert!(decoded(&frame(&headers, payload), 50).is_err(), "{payload}");
    }
}

proptest! {
    #![proptest_config(testing::cases())]
    #[test]
    fn the_size_of_the_pieces_makes_no_difference(size in 1usize..300) {
        let bytes: Vec<u8> = stream().iter().flat_map(|event| aws_frames::chunk(&event.to_string())).collect();
        prop_assert_eq!(decoded(&bytes, size).unwrap(), decoded(&bytes, bytes.len()).unwrap());
    }

    #[test]
    fn any_bytes_are_an_error_or_wait_for_more(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decoded(&bytes, 13);
    }
}
