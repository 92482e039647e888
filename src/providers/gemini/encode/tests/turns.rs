//! Turns, calls and results.
use super::*;

#[test]
fn consecutive_messages_of_one_role_are_one_content() {
    let found = contents(json!([
        user(json!("a")),
        user(json!([{"type": "text", "text": "b"}, {"type": "text", "text": ""}])),
        assistant(json!("c")),
        assistant(json!("d")),
        user(json!("e")),
    ]));
    let expected = json!([
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_message_without_content_does_not_separate_its_neighbours() {
    let found = contents(json!([user(json!("a")), assistant(json!("")), user(json!("b"))]));
    assert_eq!(found, json!([{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]));
}

#[test]
fn a_conversation_that_the_assistant_begins_has_a_line_of_the_user_in_front() {
    let found = contents(json!([assistant(json!("a")), user(json!("b"))]));
    assert_eq!(found[0]["role"], "user");
    assert_eq!(found[1], json!({"role": "model", "parts": [{"text": "a"}]}));
}

#[test]
fn a_last_message_of_the_assistant_is_sent_and_named() {
    let case = case(json!({"messages": [user(json!("a")), assistant(json!("b"))]}));
    assert_eq!(case.body["contents"][1], json!({"role": "model", "parts": [{"text": "b"}]}));
    assert_eq!(case.dropped, ["prefill"]);
}

#[test]
fn responses_stand_directly_after_their_calls_in_the_order_of_these() {
    let input = json!({"n": 1});
    let found = unsigned(contents(json!([
        user(json!("go")),
        assistant(json!([
            {"type": "text", "text": "both"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": input},
            call("t2", "g"),
        ])),
        user(json!([
            {"type": "text", "text": "before"}, result("t2", json!("two")), result("t1", json!("one")),
            {"type": "text", "text": "after"},
        ])),
    ])));
    let expected = json!([
        {"text": "both"},
        {"functionCall": {"name": "f", "args": {"n": 1}, "id": "t1"}},
        {"functionCall": {"name": "g", "args": {}, "id": "t2"}},
    ]);
    assert_eq!(found[1]["parts"], expected);
    let expected = json!([
        {"functionResponse": {"name": "f", "response": {"output": "one"}, "id": "t1"}},
        {"functionResponse": {"name": "g", "response": {"output": "two"}, "id": "t2"}},
        {"text": "before"}, {"text": "after"},
    ]);
    assert_eq!(found[2], json!({"role": "user", "parts": expected}));
}

#[test]
fn results_in_several_messages_are_one_content() {
    let found = contents(json!([
        user(json!("go")),
        assistant(json!([call("t1", "f"), call("t2", "g")])),
        user(json!([result("t1", json!("one"))])),
        user(json!([result("t2", json!("two"))])),
    ]));
    assert_eq!(found.as_array().unwrap().len(), 3);
    assert_eq!(found[2]["parts"][1]["functionResponse"]["response"], json!({"output": "two"}));
}

#[test]
fn results_are_texts_under_the_documented_keys() {
    let of = |block: Value| {
        let found = contents(json!([
            user(json!("go")),
            assistant(json!([call("t", "f")])),
            user(json!([block]))
        ]));
        found[2]["parts"][0]["functionResponse"]["response"].clone()
    };
    let texts = json!([{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]);
    assert_eq!(of(result("t", texts)), json!({"output": "A\nB"}));
    assert_eq!(of(result("t", json!("{\"a\":1}"))), json!({"output": "{\"a\":1}"}));
    assert_eq!(of(result("t", json!(""))), json!({"output": ""}));
    assert_eq!(of(result("t", json!([]))), json!({"output": ""}));
    assert_eq!(of(json!({"type": "tool_result", "tool_use_id": "t"})), json!({"output": ""}));
    let mut failed = result("t", json!("no"));
    failed["is_error"] = true.into();
    assert_eq!(of(failed.clone()), json!({"error": "no"}));
    failed["content"] = json!("");
    assert_eq!(of(failed), json!({"error": "Error"}));
    let search = json!([{"type": "search_result", "title": "T", "source": "u", "content": [{"type": "text", "text": "x"}]}]);
    assert_eq!(of(result("t", search)), json!({"output": "[search result: T]\nu\nx"}));
}

#[test]
fn a_call_without_a_result_has_a_response_that_says_so() {
    for rest in [vec![], vec![user(json!("never mind"))]] {
        let mut messages = vec![user(json!("go")), assistant(json!([call("t", "f")]))];
        messages.extend(rest);
        let found = contents(messages.into());
        let response = json!({"name": "f", "response": {"output": "[no result]"}, "id": "t"});
        assert_eq!(found[2]["parts"][0]["functionResponse"], response);
        assert_eq!(found.as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_result_without_a_call_and_a_second_result_are_visible_texts() {
    let found = contents(json!([
        user(json!([result("x", json!("lost"))])),
        assistant(json!([call("t", "f")])),
        user(json!([result("t", json!("one")), result("t", json!("two"))])),
    ]));
    let expected = json!([{"text": "[result of the call x]"}, {"text": "lost"}]);
    assert_eq!(found[0]["parts"], expected);
    let rest = json!([{"text": "[result of the call t]"}, {"text": "two"}]);
    assert_eq!(json!(found[2]["parts"].as_array().unwrap()[1..]), rest);
}

#[test]
fn vertex_receives_no_ids() {
    let messages = json!([
        user(json!("go")),
        assistant(json!([call("t", "f")])),
        user(json!([result("t", json!("r"))]))
    ]);
    let text = Given::vertex(NEW).contents(messages.clone()).to_string();
    assert!(!text.contains("\"id\""), "{text}");
    assert!(contents(messages).to_string().contains("\"id\":\"t\""));
}

#[test]
fn an_id_of_the_upstream_that_the_messages_api_does_not_allow_comes_back_unchanged() {
    let id = names::for_client("call.f:0".to_owned());
    let found = contents(json!([
        user(json!("go")),
        assistant(json!([call(&id, "f")])),
        user(json!([result(&id, json!("r"))])),
    ]));
    assert_eq!(found[1]["parts"][0]["functionCall"]["id"], "call.f:0");
    assert_eq!(found[2]["parts"][0]["functionResponse"]["id"], "call.f:0");
}

#[test]
fn changed_names_are_the_same_in_declaration_call_and_response() {
    let case = case(json!({
        "tools": [{"name": "1st", "input_schema": {}}],
        "messages": [
            user(json!("go")), assistant(json!([call("t", "1st")])), user(json!([result("t", json!("r"))])),
        ],
    }));
    let name = &case.body["tools"][0]["functionDeclarations"][0]["name"];
    assert_ne!(name, "1st");
    assert_eq!(case.body["contents"][1]["parts"][0]["functionCall"]["name"], *name);
    assert_eq!(case.body["contents"][2]["parts"][0]["functionResponse"]["name"], *name);
}

#[test]
fn arguments_keep_their_bytes_and_are_an_object() {
    let input = r#"{"n":1.0e0,"big":12345678901234567890123,"z":{},"a":[]}"#;
    let raw = format!(
        r#"{{"model":"{NEW}","messages":[{{"role":"user","content":"go"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{input}}},{{"type":"tool_use","id":"u","name":"g","input":""}}]}}]}}"#
    );
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let (facts, fetched) = (ModelFacts::default(), Fetched::default());
    let terms = Terms {
        backend: Backend::Studio,
        family: Family::of(NEW),
        facts: &facts,
        seal: None,
        fetched: &fetched,
        safety: &[],
    };
    let body = encode(&conversation, terms).unwrap().body;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains(&format!(r#""args":{input}"#)), "{text}");
    assert!(text.contains(r#""name":"g","args":{}"#), "{text}");
}

#[test]
fn an_instruction_in_the_middle_is_a_marked_text_at_its_place() {
    let found = contents(json!([
        user(json!("a")), {"role": "system", "content": "be brief"}, user(json!("b")),
    ]));
    let marked = json!({"text": "<system-message>\nbe brief\n</system-message>"});
    assert_eq!(found, json!([{"role": "user", "parts": [{"text": "a"}, marked, {"text": "b"}]}]));
}

#[test]
fn an_instruction_in_the_middle_is_never_in_the_content_of_responses() {
    let system = json!({"role": "system", "content": [{"type": "text", "text": "be brief"}]});
    let marked = json!({"text": "<system-message>\nbe brief\n</system-message>"});
    let response =
        json!({"functionResponse": {"name": "f", "response": {"output": "r"}, "id": "t"}});
    let calls = assistant(json!([call("t", "f")]));
    let results = user(json!([result("t", json!("r")), {"type": "text", "text": "x"}]));
    // after the results
    let found = contents(json!([user(json!("a")), calls, results, system, user(json!("y"))]));
    assert_eq!(found[2], json!({"role": "user", "parts": [response, {"text": "x"}]}));
    assert_eq!(found[3], json!({"role": "user", "parts": [marked, {"text": "y"}]}));
    // between call and results: the results still stand directly after the call
    let found = contents(json!([user(json!("a")), calls, system, results]));
    assert_eq!(found[2], json!({"role": "user", "parts": [response]}));
    assert_eq!(found[3], json!({"role": "user", "parts": [marked, {"text": "x"}]}));
}

#[test]
fn the_history_of_server_tools_is_visible_text() {
    let found = contents(json!([
        user(json!("go")),
        assistant(json!([
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "tides"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [
                {"type": "web_search_result", "title": "Sea", "url": "https://sea.example", "encrypted_content": "x"}]},
            {"type": "text", "text": "done"},
        ])),
        user(json!("ok")),
    ]));
    let expected = json!([
        {"text": "[the tool `web_search` was called with {\"query\":\"tides\"}]"},
        {"text": "[the tool's result]\n- Sea: https://sea.example"},
        {"text": "done"},
    ]);
    assert_eq!(found[1]["parts"], expected);
}
