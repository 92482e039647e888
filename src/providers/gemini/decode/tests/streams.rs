//! Streams: how chunks follow each other, and how they break.
use super::*;

fn hello() -> [Value; 2] {
    [chunk(json!([{"text": "Hello"}])), chunk(json!([{"text": " there"}]))]
}

#[test]
fn the_last_usage_counts() {
    let mut chunks = hello().to_vec();
    chunks[0]["usageMetadata"] = json!({"promptTokenCount": 55, "thoughtsTokenCount": 30});
    chunks[1]["usageMetadata"] =
        json!({"promptTokenCount": 56, "candidatesTokenCount": 2, "thoughtsTokenCount": 31});
    chunks.push(last(json!([]), "STOP"));
    let usage = streamed(&chunks)["usage"].clone();
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(56), &json!(33)));
    assert_eq!(usage["output_tokens_details"]["thinking_tokens"], 31);
    // after the reason of the end too, and a count that is left out is 0
    chunks.push(json!({"usageMetadata": {"promptTokenCount": 57, "candidatesTokenCount": 9}, "responseId": "r"}));
    let usage = streamed(&chunks)["usage"].clone();
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(57), &json!(9)));
    assert!(usage["output_tokens_details"].is_null());
}

#[test]
fn chunks_without_content_or_parts_do_not_matter() {
    let bare = json!({"candidates": [{"index": 0, "content": {"role": "model"}}]});
    let [one, two] = hello();
    let no_content = json!({"candidates": [{"index": 0}]});
    let end = json!({"candidates": [{"finishReason": "STOP", "index": 0}]});
    let found = streamed(&[bare, one, json!({"responseId": "r"}), no_content, two, end]);
    assert_eq!(found["content"], json!([text("Hello there")]));
}

#[test]
fn a_cut_stream_is_an_error() {
    for chunks in
        [hello().to_vec(), vec![json!({"usageMetadata": {"promptTokenCount": 5}})], vec![]]
    {
        let (kind, status, message) = failure(&chunks);
        assert_eq!((kind, status), ("api_error", 502));
        assert!(message.contains("broke off"), "{message}");
    }
}

#[test]
fn a_list_of_chunks_is_the_same_stream() {
    let [one, two] = hello();
    let list = json!([one, two, last(json!([]), "STOP")]);
    let expected = json!([text("Hello there")]);
    assert_eq!(whole(&list).unwrap()["content"], expected);
    let events = decode::events(&mut Gemini::default(), list.to_string().as_bytes(), frame());
    assert_eq!(fold(&events.unwrap())["content"], expected);
    // as it is indented by the server, although the type says events
    let pretty = serde_json::to_string_pretty(&list).unwrap();
    assert_eq!(fold(&events_of(&pretty, 5).unwrap())["content"], expected);
}

#[test]
fn an_error_without_a_data_field_is_an_error() {
    let error = json!({"error": {"code": 503, "message": "down", "status": "UNAVAILABLE"}});
    let [one, _] = hello();
    for bare in [error.to_string(), serde_json::to_string_pretty(&json!([error])).unwrap()] {
        let text = format!("data: {one}\n\n{bare}\n");
        let found = events_of(&text, 9).unwrap_err();
        assert_eq!((found.kind.as_str(), &*found.message), ("overloaded_error", "down"));
    }
}

#[test]
fn an_event_that_is_no_json_is_an_error() {
    for odd in ["data: oops\n\n", "data: {\"candidates\": [\n\n", "data: 5\n\n"] {
        let [one, _] = hello();
        let found = events_of(&format!("data: {one}\n\n{odd}"), 4096).unwrap_err();
        assert_eq!(found.status().as_u16(), 502, "{odd}");
    }
}

#[test]
fn a_whole_answer_to_a_streaming_request_is_a_stream() {
    let body =
        last(json!([{"text": "Hello"}, {"functionCall": {"name": "f"}}]), "STOP").to_string();
    let events = decode::events(&mut Gemini::default(), body.as_bytes(), frame()).unwrap();
    assert_eq!(fold(&events)["stop_reason"], "tool_use");
}

#[test]
fn a_stream_for_a_whole_answer_is_a_message() {
    let [one, two] = hello();
    let body = sse(&[one, two, last(json!([]), "STOP")]);
    let json = decode::folded(&mut Gemini::default(), body.as_bytes(), frame()).unwrap();
    assert_eq!(message(&json)["content"], json!([text("Hello there")]));
}

#[test]
fn the_gateway_cuts_at_stop_sequences_that_the_upstream_did_not_take() {
    let frame = Frame { stops: vec!["lo th".to_owned()], ..frame() };
    let mut decoder = Translated::new(Gemini::default(), frame);
    decoder.push(Bytes::from(sse(&hello())));
    let mut events = Vec::new();
    while let Some(event) = decoder.next_event().unwrap() {
        events.push(event);
    }
    let found = fold(&events);
    assert_eq!(found["content"], json!([text("Hel")]));
    assert_eq!(
        (&found["stop_reason"], &found["stop_sequence"]),
        (&json!("stop_sequence"), &json!("lo th"))
    );
}
