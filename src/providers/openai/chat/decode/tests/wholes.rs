//! Whole answers, and the same answers as streams.
use super::*;

fn answer(message: Value, reason: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 10}}})
}

#[test]
fn a_whole_answer_has_its_blocks_in_order_and_its_usage() {
    let body = answer(
        json!({"role": "assistant", "content": "text", "refusal": null, "annotations": [], "reasoning_content": "why",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"city\":\"Paris\"}"}}]}),
        "tool_calls",
    );
    let message = whole(&body).unwrap();
    let kinds: Vec<&Value> =
        message["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    assert_eq!(message["content"][2], tool_use("call_1", "f", json!({"city": "Paris"})));
    let usage = json!({"input_tokens": 46, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 64,
        "output_tokens": 30, "output_tokens_details": {"thinking_tokens": 10}});
    assert_eq!((&message["usage"], &message["stop_reason"]), (&usage, &json!("tool_use")));
}

#[test]
fn an_answer_without_content_has_no_block() {
    for content in [json!(""), Value::Null, json!([])] {
        let message = whole(&answer(json!({"content": content}), "stop")).unwrap();
        assert_eq!(
            (&message["content"], &message["stop_reason"]),
            (&json!([]), &json!("end_turn"))
        );
    }
}

#[test]
fn two_calls_with_one_id_are_two_calls() {
    let call = |name: &str, arguments: &str| json!({"id": "same", "function": {"name": name, "arguments": arguments}});
    let calls = json!([call("f", "{\"a\":1}"), call("g", "{\"b\":2}"), call("g", "{\"b\":3}")]);
    let message = whole(&answer(json!({"tool_calls": calls}), "tool_calls")).unwrap();
    let expected = json!([
        tool_use("same", "f", json!({"a": 1})),
        tool_use("same_2", "g", json!({"b": 2})),
        tool_use("same_3", "g", json!({"b": 3})),
    ]);
    assert_eq!(message["content"], expected);
}

#[test]
fn only_the_first_choice_counts() {
    let body = json!({"choices": [
        {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"},
        {"index": 0, "message": {"content": "a"}, "finish_reason": "length"},
    ]});
    let message = whole(&body).unwrap();
    assert_eq!(message["content"], json!([{"type": "text", "text": "a"}]));
    assert_eq!(message["stop_reason"], "max_tokens");
}

#[test]
fn arguments_that_are_no_object_are_an_error_that_names_the_tool() {
    for arguments in ["{\"a\":", "not json", "[1]", "12"] {
        let calls = json!([{"id": "i", "function": {"name": "weather", "arguments": arguments}}]);
        let error = whole(&answer(json!({"tool_calls": calls}), "tool_calls")).unwrap_err();
        assert!(error.message.contains("`weather`"), "{}", error.message);
        assert_eq!(error.kind.status(), 502);
        // the limit of tokens cut it
        let message =
            whole(&answer(json!({"content": "t", "tool_calls": calls}), "length")).unwrap();
        assert_eq!(message["content"], json!([{"type": "text", "text": "t"}]));
        assert_eq!(message["stop_reason"], "max_tokens");
    }
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for body in [json!({"choices": []}), json!({}), json!({"object": "list", "data": []})] {
        assert!(whole(&body).unwrap_err().message.contains("`choices`"), "{body}");
    }
    assert_eq!(whole(&json!([1])).unwrap_err().kind.status(), 502);
    let error = whole(&json!({"error": {"message": "no credit", "code": "insufficient_quota"}}))
        .unwrap_err();
    assert_eq!((error.kind.as_str(), &*error.message), ("billing_error", "no credit"));
}

#[test]
fn a_server_that_repeats_the_prefill_does_not_repeat_it_to_the_client() {
    let profile = Profile::build("llamacpp", &Map::new()).unwrap();
    let mut parser = Chat::new(&profile, Some("The answer is".to_owned()));
    let body = answer(json!({"content": "The answer is 42"}), "stop").to_string();
    let json = decode::message(&mut parser, body.as_bytes(), frame()).unwrap();
    assert_eq!(message(&json)["content"][0]["text"], " 42");
}

#[test]
fn odd_counts_are_never_below_zero() {
    let odd = |usage: Value| {
        let body = json!({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage});
        whole(&body).unwrap()["usage"].clone()
    };
    let usage = odd(
        json!({"prompt_tokens": 5, "completion_tokens": -3, "prompt_tokens_details": {"cached_tokens": 9}}),
    );
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(0), &json!(0)));
    let usage =
        odd(json!({"prompt_tokens": 5.0, "completion_tokens": null, "prompt_cache_hit_tokens": 2}));
    assert_eq!((&usage["input_tokens"], &usage["cache_read_input_tokens"]), (&json!(3), &json!(2)));
    // xAI counts reasoning beside the completion
    let usage = odd(
        json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 3}}),
    );
    assert_eq!(usage["output_tokens"], 5);
}

#[test]
fn a_whole_answer_in_the_place_of_a_stream_becomes_events() {
    let body = answer(json!({"content": "hi"}), "stop").to_string();
    let events = decode::events(&mut parser("generic"), body.as_bytes(), frame()).unwrap();
    assert_eq!(fold(&events), whole(&answer(json!({"content": "hi"}), "stop")).unwrap());
}

#[test]
fn a_stream_in_the_place_of_a_whole_answer_is_folded() {
    let text = format!(
        "data: {}\n\ndata: {}\n\n",
        json!({"choices": [delta(json!({"content": "hi"}))]}),
        json!({"choices": [end("stop")]})
    );
    let json = decode::folded(&mut parser("generic"), text.as_bytes(), frame()).unwrap();
    assert_eq!(message(&json)["content"], json!([{"type": "text", "text": "hi"}]));
}
