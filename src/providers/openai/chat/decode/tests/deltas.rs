//! Streams of chunks, with the deviations of real servers.
use super::*;

fn content(message: &Value) -> Vec<Value> {
    message["content"].as_array().unwrap().clone()
}

#[test]
fn a_stream_with_a_tool_call_and_late_usage_becomes_a_message() {
    let text = concat!(
        "data: {\"id\":\"\",\"model\":\"\",\"object\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null},\"finish_reason\":null}]}\n\n",
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\",\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}}],\"obfuscation\":\"xx\"}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":2}}}\n\n",
        "data: [DONE]\n\n",
    );
    let expected = json!({
        "type": "message", "role": "assistant", "model": "alias",
        "content": [tool_use("call_a", "f", json!({"a": 1}))],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 16, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4,
            "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 2}},
    });
    for size in [1, 7, 64, usize::MAX] {
        assert_eq!(fold(&events_of(text, size, frame()).unwrap()), expected, "{size}");
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(fold(&events_of(&crlf, size, frame()).unwrap()), expected, "{size}");
    }
    let kinds: Vec<&str> = events_of(text, usize::MAX, frame())
        .unwrap()
        .iter()
        .map(|event| event.kind.as_str())
        .collect();
    let expected = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn roles_and_nulls_open_no_block() {
    let message = streamed(&[
        delta(json!({"role": "", "content": "", "tool_calls": null, "refusal": null})),
        delta(json!({"role": "tool", "content": "a"})),
        json!({"index": 1, "delta": {"content": "another choice"}}),
        delta(json!({"content": "b", "function_call": null})),
        end("stop"),
    ]);
    assert_eq!(content(&message), [json!({"type": "text", "text": "ab"})]);
    assert_eq!(message["stop_reason"], "end_turn");
}

#[test]
fn reasoning_is_found_under_every_name_and_once() {
    for fields in [
        json!({"reasoning_content": "r"}),
        json!({"reasoning": "r"}),
        json!({"reasoning": "r", "reasoning_content": "r"}),
        json!({"reasoning": "r", "reasoning_details": [{"type": "reasoning.text", "text": "r", "index": 0}]}),
        json!({"reasoning_details": [{"type": "reasoning.text", "text": "r", "index": 0}]}),
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "r"}]}]}),
    ] {
        let message =
            streamed(&[delta(fields.clone()), delta(json!({"content": "t"})), end("stop")]);
        let blocks = content(&message);
        assert_eq!((blocks.len(), &blocks[0]["thinking"]), (2, &json!("r")), "{fields}");
        assert!(blocks[0]["signature"].as_str().unwrap().starts_with("tidegate."));
    }
}

#[test]
fn details_of_reasoning_travel_in_the_signature() {
    let detail = |text: &str, more: Value| {
        let mut detail = json!({"type": "reasoning.text", "text": text, "index": 0, "format": "x"});
        detail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        delta(json!({"reasoning": text, "reasoning_details": [detail]}))
    };
    let message = streamed(&[
        detail("a", json!({})),
        detail("b", json!({"signature": "sig"})),
        call(json!(0), json!("id"), json!("f"), json!("{}")),
        end("tool_calls"),
    ]);
    let blocks = content(&message);
    let payload = frame().seal.open("m", blocks[0]["signature"].as_str().unwrap()).unwrap();
    let expected = json!([
        {"type": "reasoning.text", "text": "ab", "index": 0, "format": "x", "signature": "sig"},
    ]);
    assert_eq!(serde_json::from_str::<Value>(&payload).unwrap(), expected);
    assert_eq!(blocks[0]["thinking"], "ab");
}

#[test]
fn kinds_that_interleave_become_blocks_without_gaps() {
    let message = streamed(&[
        delta(json!({"reasoning": "r1"})),
        delta(json!({"content": "t1"})),
        delta(json!({"reasoning": "r2"})),
        call(json!(0), json!("id"), json!("f"), json!("{}")),
        delta(json!({"content": "t2"})),
        end("tool_calls"),
    ]);
    let kinds: Vec<Value> = content(&message).iter().map(|block| block["type"].clone()).collect();
    assert_eq!(kinds, ["thinking", "text", "thinking", "tool_use", "text"]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of the deviations of servers")]
fn calls_are_told_apart_by_index_id_and_name() {
    let (f, g) = (tool_use("a", "f", json!({"x": 1})), tool_use("b", "g", json!({"y": 2})));
    let pieces = |first: [Value; 4], second: [Value; 4], third: [Value; 4], fourth: [Value; 4]| {
        let piece = |[index, id, name, args]: [Value; 4]| call(index, id, name, args);
        content(&streamed(&[piece(first), piece(second), piece(third), piece(fourth), end("stop")]))
    };
    let (none, zero) = (Value::Null, json!(0));
    let at = |index: i32, id: &str, name: &str, args: &str| {
        [json!(index), json!(id), json!(name), json!(args)]
    };
    // in order, interleaved, from 1 and with a jump, one index for all
    let normal = [
        at(0, "a", "f", ""),
        at(0, "", "", "{\"x\":1}"),
        at(1, "b", "g", "{\"y\""),
        at(1, "", "", ":2}"),
    ];
    let interleaved = [
        at(0, "a", "f", "{\"x\""),
        at(1, "b", "g", "{\"y\""),
        at(0, "", "", ":1}"),
        at(1, "", "", ":2}"),
    ];
    let jumping = [
        at(1, "a", "f", "{"),
        at(1, "", "", "\"x\":1}"),
        at(7, "b", "g", "{\"y\":"),
        at(7, "", "", "2}"),
    ];
    let one_index = [
        at(0, "a", "f", "{\"x\""),
        at(0, "a", "", ":1}"),
        at(0, "b", "g", "{\"y\":2"),
        at(0, "b", "", "}"),
    ];
    let repeated = [
        at(0, "a", "f", "{\"x\""),
        at(0, "a", "f", ":1}"),
        at(1, "b", "g", "{\"y\":2"),
        at(1, "b", "g", "}"),
    ];
    let changing_ids = [
        at(0, "a", "f", "{\"x\""),
        at(0, "a2", "", ":1}"),
        at(1, "b", "g", "{\"y\":2"),
        at(1, "b9", "", "}"),
    ];
    let by_id = [
        [none.clone(), json!("a"), json!("f"), json!("{\"x\"")],
        [none.clone(), json!("a"), none.clone(), json!(":1}")],
        [none.clone(), json!("b"), json!("g"), json!("{\"y\":2")],
        [none.clone(), none.clone(), none.clone(), json!("}")],
    ];
    let late_name = [
        [zero.clone(), json!("a"), none.clone(), json!("{\"x\"")],
        [zero.clone(), none.clone(), json!("f"), json!(":1}")],
        at(1, "b", "", "{\"y\":2"),
        at(1, "", "g", "}"),
    ];
    for [a, b, c, d] in
        [normal, interleaved, jumping, one_index, repeated, changing_ids, by_id, late_name]
    {
        assert_eq!(
            pieces(a.clone(), b.clone(), c.clone(), d.clone()),
            [f.clone(), g.clone()],
            "{a:?} {b:?} {c:?} {d:?}"
        );
    }
}

#[test]
fn a_call_without_id_gets_one_and_equal_ids_are_made_unique() {
    let blocks = content(&streamed(&[
        call(json!(0), Value::Null, json!("f"), json!("{}")),
        call(json!(1), json!("same"), json!("g"), json!("{}")),
        call(json!(2), json!("same"), json!("h"), json!("{}")),
        call(json!(3), json!("functions.x:0"), json!("i"), json!("{}")),
        end("tool_calls"),
    ]));
    assert!(blocks[0]["id"].as_str().unwrap().starts_with("toolu_"));
    assert_eq!((&blocks[1]["id"], &blocks[2]["id"]), (&json!("same"), &json!("same_2")));
    let mapped = blocks[3]["id"].as_str().unwrap();
    assert_eq!(
        crate::providers::translate::names::for_upstream(
            mapped,
            crate::providers::translate::names::Ids::Any
        ),
        "functions.x:0"
    );
}

#[test]
fn arguments_are_an_object_a_text_or_nothing() {
    for (arguments, input) in [
        (json!("{\"a\":1}"), json!({"a": 1})),
        (json!({"a": 1}), json!({"a": 1})),
        (json!(""), json!({})),
        (Value::Null, json!({})),
        (json!("\"{\\\"a\\\":1}\""), json!({"a": 1})),
    ] {
        let message = streamed(&[
            call(json!(0), json!("i"), json!("f"), arguments.clone()),
            end("tool_calls"),
        ]);
        assert_eq!(content(&message), [tool_use("i", "f", input)], "{arguments}");
        assert_eq!(message["stop_reason"], "tool_use");
    }
}

#[test]
fn an_old_function_call_and_a_name_in_pieces_are_calls() {
    let message = streamed(&[
        delta(json!({"function_call": {"name": "get_", "arguments": ""}})),
        delta(json!({"function_call": {"name": "time"}})),
        delta(json!({"function_call": {"arguments": "{}"}})),
        end("function_call"),
    ]);
    let blocks = content(&message);
    assert_eq!(
        (&blocks[0]["name"], &message["stop_reason"]),
        (&json!("get_time"), &json!("tool_use"))
    );
}

#[test]
fn every_reason_of_the_end_has_a_stop_reason() {
    for (reason, expected) in [
        ("stop", "end_turn"),
        ("eos", "end_turn"),
        ("tool_calls", "end_turn"),
        ("", "end_turn"),
        ("a new one", "end_turn"),
        ("length", "max_tokens"),
        ("model_length", "max_tokens"),
        ("content_filter", "refusal"),
        ("sensitive", "refusal"),
    ] {
        let message = streamed(&[delta(json!({"content": "x"})), end(reason)]);
        assert_eq!(message["stop_reason"], expected, "{reason}");
        let called = streamed(&[call(json!(0), json!("i"), json!("f"), json!("{}")), end(reason)]);
        let expected = if expected == "end_turn" { "tool_use" } else { expected };
        assert_eq!(called["stop_reason"], expected, "{reason} after a call");
    }
    let refused = streamed(&[
        delta(json!({"refusal": "no, "})),
        delta(json!({"refusal": "sorry"})),
        end("stop"),
    ]);
    assert_eq!(
        (&refused["stop_reason"], &refused["stop_details"]["explanation"]),
        (&json!("refusal"), &json!("no, sorry"))
    );
    let vllm = json!({"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"});
    let stopped = streamed(&[delta(json!({"content": "x"})), vllm]);
    assert_eq!(
        (&stopped["stop_reason"], &stopped["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    let token = json!({"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": 128009});
    assert_eq!(streamed(&[delta(json!({"content": "x"})), token])["stop_reason"], "end_turn");
}

#[test]
fn an_error_reason_is_an_error_and_no_success() {
    for reason in ["error", "network_error", "abort"] {
        let text = format!(
            "data: {}\n\ndata: {}\n\n",
            json!({"choices": [delta(json!({"content": "x"}))]}),
            json!({"choices": [end(reason)]})
        );
        let error = events_of(&text, usize::MAX, frame()).unwrap_err();
        assert!(error.message.contains(reason), "{}", error.message);
    }
}

#[test]
fn a_cut_stream_is_an_error_and_an_end_without_done_is_fine() {
    let text = format!("data: {}\n\n", json!({"choices": [delta(json!({"content": "x"}))]}));
    assert!(events_of(&text, usize::MAX, frame()).unwrap_err().message.contains("broke off"));
    let ended = format!("{text}data: {}\n\n", json!({"choices": [end("stop")]}));
    assert_eq!(fold(&events_of(&ended, usize::MAX, frame()).unwrap())["stop_reason"], "end_turn");
    let done = format!("{text}data: [DONE]\n\n");
    assert_eq!(fold(&events_of(&done, usize::MAX, frame()).unwrap())["stop_reason"], "end_turn");
}

#[test]
fn an_error_within_a_stream_has_its_status_and_its_words() {
    for (event, status) in [
        (json!({"error": {"message": "slow down", "code": 429}}), 429),
        (json!({"error": {"message": "slow down", "type": "rate_limit_exceeded"}}), 429),
        (
            json!({"error": {"message": "slow down", "code": "503"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}),
            502,
        ),
        (json!({"error": "slow down"}), 502),
        (json!({"x_groq": {"error": "slow down"}, "choices": []}), 502),
        (
            json!({"choices": [{"index": 0, "error": {"message": "slow down", "code": 502}, "finish_reason": "error"}]}),
            502,
        ),
    ] {
        let error = events_of(&format!("data: {event}\n\n"), usize::MAX, frame()).unwrap_err();
        assert_eq!(error.message, "slow down", "{event}");
        assert_eq!(error.upstream().unwrap().status.unwrap().as_u16(), status, "{event}");
    }
    let named = "event: error\ndata: {\"message\": \"slow down\", \"code\": 429}\n\n";
    assert_eq!(events_of(named, usize::MAX, frame()).unwrap_err().message, "slow down");
    let bare = "{\"error\": {\"message\": \"slow down\", \"code\": 429}}\n";
    assert_eq!(events_of(bare, usize::MAX, frame()).unwrap_err().message, "slow down");
}

#[test]
fn usage_is_read_wherever_a_server_puts_it() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 3});
    let text = |chunks: &[Value]| {
        let mut text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        text.push_str("data: [DONE]\n\n");
        let message = fold(&events_of(&text, usize::MAX, frame()).unwrap());
        (message["usage"]["input_tokens"].clone(), message["usage"]["output_tokens"].clone())
    };
    let hello = json!({"choices": [delta(json!({"content": "hello!!!"}))]});
    let stop = json!({"choices": [end("stop")]});
    let beside = json!({"choices": [end("stop")], "usage": usage});
    let groq = json!({"choices": [end("stop")], "x_groq": {"usage": usage}});
    let early = json!({"choices": [delta(json!({"content": "h"}))], "usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    let last = json!({"choices": [], "usage": usage});
    let null = json!({"choices": [], "usage": null});
    let expected = (json!(10), json!(3));
    assert_eq!(text(&[hello.clone(), beside]), expected);
    assert_eq!(text(&[hello.clone(), groq]), expected);
    assert_eq!(text(&[early, stop.clone(), last, null]), expected);
    // none: an estimate
    assert_eq!(text(&[hello, stop]), (json!(7), json!(2)));
}

#[test]
fn content_after_the_reason_of_the_end_is_no_part_of_the_answer() {
    let message = streamed(&[
        delta(json!({"content": "a"})),
        end("stop"),
        delta(json!({"content": "b"})),
        end("length"),
    ]);
    assert_eq!(content(&message), [json!({"type": "text", "text": "a"})]);
    assert_eq!(message["stop_reason"], "end_turn");
}

#[test]
fn the_gateway_applies_stop_sequences_and_says_so() {
    let frame = Frame { stops: vec!["END".to_owned()], ..frame() };
    let text = format!(
        "data: {}\n\ndata: {}\n\n",
        json!({"choices": [delta(json!({"content": "one E"}))]}),
        json!({"choices": [delta(json!({"content": "ND two"}))]})
    );
    let message = fold(&events_of(&text, usize::MAX, frame).unwrap());
    assert_eq!(message["content"], json!([{"type": "text", "text": "one "}]));
    assert_eq!(
        (&message["stop_reason"], &message["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
}

#[test]
fn hidden_reasoning_keeps_its_signature() {
    let frame = Frame { shows_thinking: false, ..frame() };
    let text = format!(
        "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
        json!({"choices": [delta(json!({"reasoning_content": "secret thought"}))]}),
        json!({"choices": [delta(json!({"content": "t"}))]})
    );
    let message = fold(&events_of(&text, usize::MAX, frame).unwrap());
    assert_eq!(message["content"][0]["thinking"], "");
    let signature = message["content"][0]["signature"].as_str().unwrap();
    assert_eq!(super::frame().seal.open("m", signature).as_deref(), Some("secret thought"));
}
