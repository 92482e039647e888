//! The messages.
use super::*;
use crate::providers::openai::trial::{assistant, call, result, text, user};

const PNG: &str = "iVBORw0KGgo=";

fn data(kind: &str, media_type: &str) -> Value {
    json!({"type": kind, "source": {"type": "base64", "media_type": media_type, "data": PNG}})
}

fn url(kind: &str) -> Value {
    json!({"type": kind, "source": {"type": "url", "url": "https://a.test/x"}})
}

/// Returns the output of a call whose result has this content.
fn output_of(content: Value) -> Value {
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": content});
    outputs(result)[0].clone()
}

fn outputs(result: Value) -> Value {
    let mut found = items(json!([
        user(json!("q")),
        assistant(json!([call("a", json!({}))])),
        user(json!([result])),
    ]));
    let list = found.as_array_mut().unwrap().split_off(2);
    list.into_iter().map(|mut item| item["output"].take()).collect()
}

#[test]
fn a_conversation_with_a_call_becomes_a_flat_list() {
    let body = case(json!({
        "system": "be brief",
        "messages": [
            user(json!("q")),
            assistant(json!([text("let me see"), call("a", json!({"x": 1})), call("b", json!({}))])),
            user(json!([result("b", json!("two")), result("a", json!("one")), text("go on")])),
            assistant(json!("done")),
            user(json!([text("A"), text("B")])),
        ],
    }));
    let expected = json!([
        input(json!([input_text("q")])),
        {"role": "assistant", "content": "let me see"},
        function_call("a", "{\"x\":1}"),
        function_call("b", "{}"),
        output("a", json!("one")),
        output("b", json!("two")),
        input(json!([input_text("go on")])),
        {"role": "assistant", "content": "done"},
        input(json!([input_text("A"), input_text("B")])),
    ]);
    assert_eq!(body.body["input"], expected);
    assert_eq!(body.body["instructions"], "be brief");
    assert_eq!((body.dropped.len(), body.hints.len()), (0, 0));
}

#[test]
fn adjacent_texts_never_run_together() {
    let system = json!([text("x-anthropic-billing-header: cc=1"), text("A"), text("B")]);
    assert_eq!(case(json!({"system": system})).body["instructions"], "A\n\nB");
    assert_eq!(output_of(json!([text("A"), text("B")])), "A\nB");
    let said = items(json!([user(json!("q")), assistant(json!([text("A"), text("B")]))]));
    let said = said.as_array().unwrap();
    assert_eq!((&said[1]["content"], &said[2]["content"]), (&json!("A"), &json!("B")));
}

#[test]
fn a_system_message_in_the_middle_keeps_its_place_as_a_developer_item() {
    let note = json!({"role": "system", "content": "note"});
    let developer = json!({"role": "developer", "content": "note"});
    let found = items(json!([user(json!("a")), note, user(json!("b"))]));
    let expected =
        json!([input(json!([input_text("a")])), developer, input(json!([input_text("b")]))]);
    assert_eq!(found, expected);
    // it never stands between a call and its output
    let turns = json!([
        user(json!("q")),
        assistant(json!([call("a", json!({}))])),
        note,
        user(json!([result("a", json!("r"))])),
    ]);
    let found = items(turns);
    assert_eq!(found.as_array().unwrap()[2..4], [output("a", json!("r")), developer]);
    let more = json!({"messages": [user(json!("a")), note]});
    let body = encoded("vllm", &ModelFacts::default(), &request(more)).unwrap().body;
    let marked = "<system-message>\nnote\n</system-message>";
    assert_eq!(body["input"], json!([input(json!([input_text("a"), input_text(marked)]))]));
}

#[test]
fn cache_breakpoints_make_the_system_prompt_an_item() {
    let marked = json!({"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}});
    let more = json!({"system": [text("A"), marked], "messages": [user(json!([marked]))]});
    let facts = ModelFacts { takes_breakpoints: true, ..ModelFacts::default() };
    let found = with_facts(&facts, more.clone());
    let point =
        json!({"type": "input_text", "text": "B", "prompt_cache_breakpoint": {"mode": "explicit"}});
    let expected = json!([
        {"role": "developer", "content": [input_text("A"), point]},
        {"role": "user", "content": [point]},
    ]);
    assert_eq!((&found.body["input"], found.body.get("instructions")), (&expected, None));
    assert_eq!(found.body["prompt_cache_options"], json!({"mode": "explicit"}));
    assert!(found.hints.is_empty());
    let without = case(more);
    assert_eq!(without.body["instructions"], "A\n\nB");
    assert_eq!(without.body.get("prompt_cache_options"), None);
    assert_eq!((without.hints, without.dropped.len()), (vec!["cache_control".to_owned()], 0));
}

#[test]
fn images_are_strings_and_documents_are_files() {
    let titled = |mut block: Value, title: &str, context: &str| {
        block["title"] = title.into();
        block["context"] = context.into();
        block
    };
    let found = items(json!([user(json!([
        data("image", "image/png"),
        url("image"),
        data("document", "application/pdf"),
        titled(data("document", "application/pdf"), "Q3", "the report"),
        url("document"),
        titled(url("document"), "Q3", ""),
    ]))]));
    let of = |kind: &str| format!("data:{kind};base64,{PNG}");
    let pdf = of("application/pdf");
    let expected = json!([
        {"type": "input_image", "image_url": of("image/png"), "detail": "auto"},
        {"type": "input_image", "image_url": "https://a.test/x", "detail": "auto"},
        {"type": "input_file", "filename": "document.pdf", "file_data": pdf},
        input_text("the report"),
        {"type": "input_file", "filename": "Q3", "file_data": pdf},
        {"type": "input_file", "file_url": "https://a.test/x"},
        input_text("[document: Q3]"),
        {"type": "input_file", "file_url": "https://a.test/x"},
    ]);
    assert_eq!(found[0]["content"], expected);
}

#[test]
fn documents_and_search_results_that_are_text_stay_text() {
    let document = json!({"type": "document", "title": "T", "context": "C", "source": {"type": "text", "media_type": "text/plain", "data": "words"}});
    let parts = json!({"type": "document", "title": "T", "source": {"type": "content", "content": [text("a"), url("image")]}});
    let found = json!({"type": "search_result", "title": "S", "source": "https://s.test", "content": [text("hit")]});
    let content = items(json!([user(json!([document, parts, found]))]))[0]["content"].clone();
    let expected = json!([
        input_text("[document: T]\nC\nwords"),
        input_text("[document: T]\n"),
        input_text("a"),
        {"type": "input_image", "image_url": "https://a.test/x", "detail": "auto"},
        input_text("[search result: S]\nhttps://s.test\nhit"),
    ]);
    assert_eq!(content, expected);
    assert_eq!(output_of(json!([found])), "[search result: S]\nhttps://s.test\nhit");
}

#[test]
fn blocks_without_a_counterpart_become_visible_lines() {
    let file = json!({"type": "image", "source": {"type": "file", "file_id": "f"}});
    let odd = json!({"type": "container_upload", "file_id": "f"});
    let found = case(json!({"messages": [user(json!([file, odd]))]}));
    assert_eq!(found.dropped, ["block:image", "block:container_upload"]);
    let text = found.body["input"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("`image`"), "{text}");
    let more = json!({"messages": [user(json!([data("document", "application/pdf")]))]});
    let found = encoded("vllm", &ModelFacts::default(), &request(more)).unwrap();
    assert_eq!(found.dropped, ["block:document"]);
}

#[test]
fn results_keep_their_images_and_documents_inside() {
    let found = output_of(json!([
        text("see"),
        data("image", "image/png"),
        text("and"),
        data("document", "application/pdf"),
    ]));
    let kinds: Vec<&str> =
        found.as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["input_text", "input_image", "input_text", "input_file"]);
}

#[test]
fn a_failed_call_says_so() {
    let failed = |content: Value| {
        let mut result = result("a", content);
        result["is_error"] = true.into();
        outputs(result)[0].clone()
    };
    assert_eq!(failed(json!("no")), "Error: no");
    assert_eq!(failed(json!("Error: no")), "Error: no");
    assert_eq!(failed(json!([])), "Error");
    let image = failed(json!([data("image", "image/png")]));
    assert_eq!(image[0], input_text("Error"));
    assert_eq!(image[1]["type"], "input_image");
}

#[test]
fn every_call_has_one_output_and_every_output_a_call() {
    assert_eq!(output_of(Value::Null), "");
    let found = items(json!([
        user(json!("q")),
        assistant(json!([call("a", json!({})), call("b", json!({}))])),
        user(json!([
            result("b", json!("r")),
            result("b", json!("again")),
            result("c", json!("lost"))
        ])),
    ]));
    let orphans = json!([
        input_text("[result of the call b]"),
        input_text("again"),
        input_text("[result of the call c]"),
        input_text("lost"),
    ]);
    let expected = [output("a", json!("[no result]")), output("b", json!("r")), input(orphans)];
    assert_eq!(found.as_array().unwrap()[3..], expected);
}

#[test]
fn an_empty_input_is_an_object_and_numbers_stay_as_they_are() {
    for none in [Value::Null, json!("")] {
        let found = items(json!([user(json!("q")), assistant(json!([call("a", none)]))]));
        assert_eq!(found[1]["arguments"], "{}");
    }
    let raw = r#"{"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"z": 1.0, "a": 10000000000000000000001}}]}]}"#;
    let profile =
        crate::providers::openai::profile::Profile::build("openai", &serde_json::Map::new());
    let (profile, facts, seal, fetched) =
        (profile.unwrap(), ModelFacts::default(), seal(), Default::default());
    let terms = Terms { profile: &profile, facts: &facts, seal: &seal, fetched: &fetched };
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let body = encode(&conversation, terms, Purpose::Answer).unwrap().body;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["input"][1]["arguments"], r#"{"z": 1.0, "a": 10000000000000000000001}"#);
}

#[test]
fn long_ids_are_the_same_in_a_call_and_its_output() {
    let long = "toolu_".repeat(20);
    let found = items(json!([
        user(json!("q")),
        assistant(json!([call(&long, json!({}))])),
        user(json!([result(&long, json!("r"))])),
    ]));
    let id = found[1]["call_id"].as_str().unwrap();
    assert!(id.len() <= 64 && found[2]["call_id"] == id);
}

#[test]
fn calls_of_the_apis_own_tools_in_the_history_become_text() {
    let found = items(json!([
        user(json!("q")),
        assistant(json!([
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "tides"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
                {"type": "web_search_result", "title": "Sea", "url": "https://sea.test", "encrypted_content": "x"}]},
            {"type": "text", "text": "high", "citations": [{"type": "web_search_result_location"}]},
        ])),
        user(json!("more")),
    ]));
    let texts: Vec<&str> = found.as_array().unwrap()[1..4]
        .iter()
        .map(|item| item["content"].as_str().unwrap())
        .collect();
    assert!(texts[0].contains("tides") && texts[1].contains("- Sea: https://sea.test"));
    assert_eq!(texts[2], "high");
}

#[test]
fn a_last_message_of_the_assistant_is_reported() {
    let found = case(json!({"messages": [user(json!("q")), assistant(json!("It is"))]}));
    assert_eq!(found.dropped, ["prefill"]);
    let called = json!({"messages": [user(json!("q")), assistant(json!([call("a", json!({}))]))]});
    assert!(case(called).dropped.is_empty());
}

#[test]
fn a_request_without_content_is_refused() {
    let facts = ModelFacts { takes_breakpoints: true, ..ModelFacts::default() };
    let marked = json!([{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]);
    for more in [
        json!({"messages": []}),
        json!({"messages": [], "system": "s"}),
        json!({"messages": [], "system": marked}),
        json!({"messages": [user(json!(""))]}),
    ] {
        let error = encoded("openai", &facts, &request(more)).err().unwrap();
        assert!(error.message.contains("`messages`"));
    }
}
