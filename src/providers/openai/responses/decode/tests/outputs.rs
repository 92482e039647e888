//! The items of an answer. A stream and a whole answer with the same items are the same message.
use super::made::*;
use super::*;

/// Returns the content and the reason of the end, which a stream and a whole answer must share.
fn both(output: &[Value]) -> (Vec<Value>, String) {
    let answer = response(output);
    let found = whole(&answer).unwrap();
    let by_events = streamed(&events(&answer)).unwrap();
    assert_eq!(found, by_events);
    (content(&found), found["stop_reason"].as_str().unwrap().to_owned())
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn tool_use(id: &str, name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input})
}

#[test]
fn reasoning_text_and_a_call_become_three_blocks() {
    let answer = response(&[
        thinks(&["Let me see."]),
        says(&[said("Hello.")]),
        calls("call_1", "f", "{\"a\":1}"),
    ]);
    let found = streamed(&events(&answer)).unwrap();
    let blocks = content(&found);
    assert_eq!(
        (&blocks[0]["type"], &blocks[0]["thinking"]),
        (&json!("thinking"), &json!("Let me see."))
    );
    assert_eq!(payload(&blocks[0]), json!({"id": "rs_1", "e": "gA", "n": [11]}));
    assert_eq!(blocks[1..], [text("Hello."), tool_use("call_1", "f", json!({"a": 1}))]);
    let expected = json!({
        "type": "message", "role": "assistant", "model": "alias", "content": blocks,
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 20, "cache_creation_input_tokens": 6, "cache_read_input_tokens": 64,
            "output_tokens": 40, "output_tokens_details": {"thinking_tokens": 22}},
    });
    assert_eq!(found, expected);
    assert_eq!(whole(&answer).unwrap(), expected);
}

#[test]
fn the_parts_of_a_summary_have_a_blank_line_between_them() {
    let (blocks, _) = both(&[thinks(&["One.", "Two."]), says(&[said("x")])]);
    assert_eq!(blocks[0]["thinking"], "One.\n\nTwo.");
    assert_eq!(payload(&blocks[0])["n"], json!([4, 4]));
}

#[test]
fn reasoning_without_a_summary_is_a_block_all_the_same() {
    let (blocks, _) = both(&[thinks(&[]), calls("a", "f", "{}")]);
    assert_eq!(
        (&blocks[0]["thinking"], payload(&blocks[0])),
        (&json!(""), json!({"id": "rs_1", "e": "gA", "n": []}))
    );
    // two of them are two blocks
    let (blocks, _) =
        both(&[thinks(&["x"]), with(thinks(&["y"]), json!({"id": "rs_2"})), says(&[said("t")])]);
    let ids: Vec<Value> = blocks[..2].iter().map(|block| payload(block)["id"].clone()).collect();
    assert_eq!(ids, ["rs_1", "rs_2"]);
    // nothing at all is no block
    let empty = with(thinks(&[]), json!({"encrypted_content": null}));
    assert_eq!(both(&[empty, says(&[said("t")])]).0, [text("t")]);
}

#[test]
fn raw_reasoning_of_an_open_model_is_thinking_that_does_not_go_back() {
    let raw = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "",
        "content": [{"type": "reasoning_text", "text": "hm"}]});
    let (blocks, _) = both(&[raw, says(&[said("x")])]);
    assert_eq!((&blocks[0]["thinking"], payload(&blocks[0])), (&json!("hm"), Value::Null));
}

#[test]
fn a_hidden_summary_keeps_its_payload() {
    let hidden = Frame { shows_thinking: false, ..frame() };
    let text = body(&events(&response(&[thinks(&["secret"]), says(&[said("x")])])));
    let blocks = content(&fold(&sent(&text, usize::MAX, hidden).unwrap()));
    assert_eq!((&blocks[0]["thinking"], &payload(&blocks[0])["e"]), (&json!(""), &json!("gA")));
}

#[test]
fn the_phase_of_the_next_message_travels_with_the_reasoning() {
    let commentary = with(says(&[said("Looking.")]), json!({"phase": "commentary"}));
    let last = with(says(&[said("Found.")]), json!({"id": "msg_2", "phase": "final_answer"}));
    let (blocks, _) = both(&[thinks(&["x"]), commentary, last]);
    assert_eq!(payload(&blocks[0])["phase"], "commentary");
    assert_eq!(blocks[1..], [text("Looking."), text("Found.")]);
    let (blocks, _) = both(&[thinks(&["x"]), calls("a", "f", "{}")]);
    assert_eq!(payload(&blocks[0]).get("phase"), None);
}

#[test]
fn each_part_of_a_message_is_a_block() {
    assert_eq!(both(&[says(&[said("A"), said(""), said("B")])]).0, [text("A"), text("B")]);
    assert_eq!(both(&[says(&[])]), (vec![], "end_turn".to_owned()));
}

#[test]
fn a_refusal_is_text_and_the_reason_of_the_end() {
    let answer = response(&[says(&[refused("I cannot.")])]);
    let found = whole(&answer).unwrap();
    assert_eq!(found, streamed(&events(&answer)).unwrap());
    assert_eq!(
        (content(&found), &found["stop_reason"]),
        (vec![text("I cannot.")], &json!("refusal"))
    );
    let details = json!({"type": "refusal", "category": null, "explanation": "I cannot."});
    assert_eq!(found["stop_details"], details);
}

#[test]
fn calls_have_the_id_that_their_results_need() {
    let (blocks, reason) = both(&[calls("call_1", "f", "{\"a\":1}"), calls("call_2", "g", "{}")]);
    let expected = [tool_use("call_1", "f", json!({"a": 1})), tool_use("call_2", "g", json!({}))];
    assert_eq!((&blocks[..], &*reason), (&expected[..], "tool_use"));
}

#[test]
fn a_call_without_arguments_has_an_empty_input() {
    for arguments in [json!(""), Value::Null, json!("{}")] {
        let call = with(calls("a", "f", ""), json!({"arguments": arguments}));
        assert_eq!(both(&[call, says(&[said("x")])]).0[0], tool_use("a", "f", json!({})));
    }
}

#[test]
fn annotations_are_left_out_and_their_text_stays() {
    let note = json!([{"type": "url_citation", "url": "https://a.test", "title": "A", "start_index": 0, "end_index": 2}]);
    let part = with(said("Hello."), json!({"annotations": note}));
    let answer = response(&[says(&[part])]);
    let mut all = events(&answer);
    let added = json!({"type": "response.output_text.annotation.added", "output_index": 0, "annotation": note[0]});
    all.insert(6, added);
    assert_eq!(content(&streamed(&all).unwrap()), [text("Hello.")]);
    assert_eq!(content(&whole(&answer).unwrap()), [text("Hello.")]);
}

#[test]
fn the_servers_searches_become_blocks_and_are_counted() {
    let action = json!({"type": "search", "query": "tides", "sources": [{"type": "url", "url": "https://sea.test"}]});
    let queries = json!({"type": "search", "queries": ["a", "b"]});
    let answer = response(&[
        searches("ws_1", action),
        searches("ws_2", json!({"type": "open_page", "url": "https://sea.test"})),
        with(searches("ws_3", queries), json!({"status": "failed"})),
        says(&[said("high")]),
    ]);
    let found = streamed(&events(&answer)).unwrap();
    assert_eq!(found, whole(&answer).unwrap());
    let call = |id: &str, query: &str| json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": query}});
    let hit = json!({"type": "web_search_result", "url": "https://sea.test", "title": "https://sea.test", "encrypted_content": "", "page_age": null});
    let result = |id: &str, content: Value| json!({"type": "web_search_tool_result", "tool_use_id": id, "content": content});
    let expected = [
        call("srvtoolu_ws_1", "tides"),
        result("srvtoolu_ws_1", json!([hit])),
        call("srvtoolu_ws_3", "a; b"),
        result(
            "srvtoolu_ws_3",
            json!({"type": "web_search_tool_result_error", "error_code": "unavailable"}),
        ),
        text("high"),
    ];
    assert_eq!(content(&found), expected);
    assert_eq!(found["usage"]["server_tool_use"], json!({"web_search_requests": 2}));
    assert_eq!(found["stop_reason"], "end_turn");
}

#[test]
fn items_of_other_tools_are_ignored() {
    let odd = json!({"type": "mcp_list_tools", "id": "m", "tools": []});
    assert_eq!(both(&[odd, says(&[said("x")])]).0, [text("x")]);
}
