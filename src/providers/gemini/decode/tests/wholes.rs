//! The parts of an answer, in a stream and as a whole.
use super::*;

#[test]
fn a_whole_answer_has_the_apis_members() {
    let mut body = last(json!([{"text": "Hello"}]), "STOP");
    body["usageMetadata"] = json!({"promptTokenCount": 55, "cachedContentTokenCount": 20, "candidatesTokenCount": 12, "thoughtsTokenCount": 90, "toolUsePromptTokenCount": 3, "totalTokenCount": 160});
    let usage = json!({
        "input_tokens": 38, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20,
        "output_tokens": 102, "output_tokens_details": {"thinking_tokens": 90},
    });
    let expected = json!({
        "type": "message", "role": "assistant", "model": "alias", "content": [text("Hello")],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": usage,
    });
    assert_eq!(whole(&body).unwrap(), expected);
}

#[test]
fn thoughts_and_texts_alternate_by_their_flag() {
    let found = content(json!([
        {"text": "hm", "thought": true}, {"text": " hm", "thought": true}, {"text": "Hello"}, {"text": " there"},
        {"text": "wait", "thought": true}, {"text": "!", "thought": false},
    ]));
    let expected =
        json!([thinking("hm hm", ""), text("Hello there"), thinking("wait", ""), text("!")]);
    assert_eq!(found, expected);
}

#[test]
fn a_call_comes_whole_and_its_arguments_may_be_absent() {
    let found = content(json!([
        {"functionCall": {"name": "f", "args": {"n": 1.0, "s": "é"}}}, {"functionCall": {"name": "g"}},
        {"functionCall": {"name": "h", "args": null}},
    ]));
    let expected =
        json!([call("f", json!({"n": 1.0, "s": "é"})), call("g", json!({})), call("h", json!({}))]);
    assert_eq!(found, expected);
}

#[test]
fn ids_of_calls_are_the_upstreams_and_differ() {
    let body = last(
        json!([
            {"functionCall": {"name": "f", "id": "fc_1"}}, {"functionCall": {"name": "f", "id": "fc_1"}},
            {"functionCall": {"name": "f", "id": "a.b"}}, {"functionCall": {"name": "f", "id": ""}},
        ]),
        "STOP",
    );
    let found = whole(&body).unwrap();
    assert_eq!(found["stop_reason"], "tool_use");
    let ids: Vec<&str> = found["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["id"].as_str().unwrap())
        .collect();
    assert_eq!((ids[0], ids[1], ids[3]), ("fc_1", "fc_1_2", "made"));
    assert_eq!(names::for_upstream(ids[2], Ids::Any), "a.b");
}

#[test]
fn changed_names_of_tools_come_back() {
    let mut names = Names::default();
    let rule = names::NameRule { longest: 9, allows: |c| c.is_ascii_lowercase() };
    let sent = names.forth("1st tool", rule).into_owned();
    let body = last(json!([{"functionCall": {"name": sent}}]), "STOP").to_string();
    let frame = Frame { names, ..frame() };
    let json = decode::message(&mut Gemini::default(), body.as_bytes(), frame).unwrap();
    assert_eq!(message(&json)["content"][0]["name"], "1st tool");
}

#[test]
fn a_signature_of_a_call_is_in_the_thinking_block_before_it() {
    let found = content(json!([
        {"text": "hm", "thought": true},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AbC="},
        {"functionCall": {"name": "g", "args": {}}},
    ]));
    let expected =
        json!([thinking("hm", "functionCall:AbC="), call("f", json!({})), call("g", json!({})),]);
    assert_eq!(found, expected);
    // without a thought, and after a text
    let found = content(json!([
        {"text": "Hello"}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AbC="},
    ]));
    assert_eq!(found[1], thinking("", "functionCall:AbC="));
}

#[test]
fn signatures_of_texts_and_thoughts_are_in_the_block_after_them() {
    let found = content(json!([{"text": "Hello", "thoughtSignature": "AbC="}]));
    assert_eq!(found, json!([text("Hello"), thinking("", "text:AbC=")]));
    let found = content(
        json!([{"text": "hm", "thought": true, "thoughtSignature": "AbC="}, {"text": "Hello"}]),
    );
    assert_eq!(found, json!([thinking("hm", "thought:AbC="), text("Hello")]));
    let found = content(json!([{"text": "Hello"}, {"text": "", "thoughtSignature": "AbC="}]));
    assert_eq!(found, json!([text("Hello"), thinking("", "empty:AbC=")]));
}

#[test]
fn thoughts_whose_text_is_omitted_keep_their_signature() {
    let body = last(
        json!([{"text": "secret", "thought": true}, {"functionCall": {"name": "f"}, "thoughtSignature": "AbC="}]),
        "STOP",
    );
    let frame = Frame { shows_thinking: false, ..frame() };
    let json = decode::message(&mut Gemini::default(), body.to_string().as_bytes(), frame).unwrap();
    assert_eq!(message(&json)["content"][0], thinking("", "functionCall:AbC="));
}

#[test]
fn parts_without_a_counterpart_are_visible_texts() {
    let found = content(json!([
        {"text": "A"},
        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}, "thoughtSignature": "AbC="},
    ]));
    assert_eq!(found, json!([text("A[the gateway left out image/png of the answer]")]));
    let found = content(json!([
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
        {"toolCall": {"toolType": "X"}}, {"future": {}},
    ]));
    let expected = "\n```\nprint(1)\n```\n\n```\n1\n\n```\n[the gateway left out a step of the upstream's own tool]";
    assert_eq!(found, json!([text(expected)]));
}

#[test]
fn only_the_first_candidate_counts() {
    let mut body = last(json!([{"text": "one"}]), "STOP");
    let mut second = last(json!([{"text": "two"}]), "MAX_TOKENS")["candidates"][0].clone();
    second["index"] = 1.into();
    body["candidates"] = json!([second, body["candidates"][0]]);
    let found = whole(&body).unwrap();
    assert_eq!(
        (&found["content"], &found["stop_reason"]),
        (&json!([text("one")]), &json!("end_turn"))
    );
}

#[test]
fn grounding_is_left_out_wherever_it_comes() {
    let grounding = json!({"webSearchQueries": ["tides"], "groundingChunks": [{"web": {"uri": "https://sea.example/"}}]});
    let mut early = chunk(json!([{"text": "Hello"}]));
    early["candidates"][0]["groundingMetadata"] = grounding;
    let found = streamed(&[early, last(json!([]), "STOP")]);
    assert_eq!(found["content"], json!([text("Hello")]));
}

#[test]
fn members_of_a_wrong_kind_are_absent() {
    let body = json!({
        "candidates": [null, 5, {"content": {"parts": [null, [], {"text": 5}, {"text": "A", "thought": "yes", "thoughtSignature": 5},
            {"functionCall": "f"}, {"text": "B", "thoughtSignature": null}]}, "index": null, "finishReason": "STOP", "finishMessage": 5}],
        "usageMetadata": {"promptTokenCount": "12", "candidatesTokenCount": -3, "thoughtsTokenCount": null},
        "promptFeedback": [], "error": null, "modelVersion": 5,
    });
    let found = whole(&body).unwrap();
    assert_eq!(found["content"], json!([text("AB")]));
    assert_eq!(
        (&found["usage"]["input_tokens"], &found["usage"]["output_tokens"]),
        (&json!(12), &json!(0))
    );
}

#[test]
fn an_answer_without_usage_is_estimated() {
    let found = whole(&last(json!([{"text": "eight by"}]), "STOP")).unwrap();
    assert_eq!(
        (&found["usage"]["input_tokens"], &found["usage"]["output_tokens"]),
        (&json!(7), &json!(2))
    );
}

#[test]
fn arguments_that_are_no_object_are_an_error_that_names_the_tool() {
    for args in [json!("{}"), json!([1]), json!(5), json!(true)] {
        let body = last(json!([{"functionCall": {"name": "f", "args": args}}]), "STOP");
        let error = whole(&body).unwrap_err();
        assert!(error.message.contains("tool `f`"), "{}", error.message);
        assert_eq!(failure(&[body]).0, "api_error");
    }
}

#[test]
fn arguments_in_pieces_are_an_error_because_they_were_not_requested() {
    let piece = json!({"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}], "willContinue": true}});
    let (kind, status, message) = failure(&[chunk(json!([piece]))]);
    assert_eq!((kind, status), ("api_error", 502));
    assert!(message.contains("in pieces"), "{message}");
}
