//! The messages.
use serde_json::Map;

use super::*;
use crate::net::egress::collector::Fetched;
use crate::net::egress::media::{Media, Outcome};
use crate::providers::openai::profile::Profile;
use crate::providers::openai::trial::{assistant, call, result, text, user};

fn called(calls: &[(&str, &str)]) -> Value {
    let call = |(id, arguments): &(&str, &str)| {
        let function = json!({"name": "f", "arguments": arguments});
        json!({"id": id, "type": "function", "function": function})
    };
    let calls: Vec<Value> = calls.iter().map(call).collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

#[test]
fn adjacent_texts_never_run_together() {
    let system = json!([text("x-anthropic-billing-header: cc=1"), text("A"), text("B")]);
    let of = |flavor: &str| case(flavor, json!({"system": system})).body["messages"][0].clone();
    assert_eq!(of("generic"), json!({"role": "system", "content": "A\n\nB"}));
    assert_eq!(of("openai")["content"], json!([text("A"), text("B")]));
    let turns = json!([user(json!([text("A"), text("B")]))]);
    assert_eq!(messages("generic", turns)[0]["content"], "A\n\nB");
    let turns = json!([
        user(json!("q")),
        assistant(json!([call("a", json!({}))])),
        user(json!([result("a", json!([text("A"), text("B")]))])),
    ]);
    assert_eq!(messages("generic", turns)[2]["content"], "A\nB");
}

#[test]
fn a_system_message_in_the_middle_keeps_its_place_and_never_splits_calls_from_results() {
    let turns = json!([
        user(json!("q")),
        assistant(json!([call("a", json!({}))])),
        {"role": "system", "content": "be brief"},
        user(json!([result("a", json!("1"))])),
    ]);
    let begin = [
        json!({"role": "user", "content": "q"}),
        called(&[("a", "{}")]),
        json!({"role": "tool", "tool_call_id": "a", "content": "1"}),
    ];
    let with = |last: Value| Value::from([&begin[..], &[last]].concat());
    let system = json!({"role": "system", "content": "be brief"});
    assert_eq!(messages("openai", turns.clone()), with(system));
    let marked = "<system-message>\nbe brief\n</system-message>";
    assert_eq!(messages("vllm", turns), with(json!({"role": "user", "content": marked})));
}

#[test]
fn results_stand_directly_after_their_calls_in_the_order_of_the_calls() {
    let turns = json!([
        user(json!("q")),
        assistant(json!([
            text("t"),
            call("a", json!({"x": 1})),
            call("b", json!({})),
            call("c", json!({})),
            text("u"),
        ])),
        user(json!([
            text("before"),
            result("b", json!("2")),
            result("a", json!([])),
            text("after"),
        ])),
        assistant(json!("done")),
    ]);
    let mut first = called(&[("a", "{\"x\":1}"), ("b", "{}"), ("c", "{}")]);
    first["content"] = "t\n\nu".into();
    let expected = json!([
        {"role": "user", "content": "q"},
        first,
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "c", "content": "[no result]"},
        {"role": "user", "content": "before\n\nafter"},
        {"role": "assistant", "content": "done"},
    ]);
    assert_eq!(messages("generic", turns), expected);
}

#[test]
fn a_failed_result_says_so_and_an_orphan_becomes_text() {
    let failed = |id: &str, content: &str| {
        let mut failed = result(id, json!(content));
        failed["is_error"] = true.into();
        failed
    };
    let turns = json!([
        user(json!("q")),
        assistant(json!([call("a", json!({})), call("b", json!({}))])),
        user(json!([
            failed("a", "no such file"),
            failed("b", "Error: x"),
            result("zzz", json!("lost"))
        ])),
    ]);
    let found = messages("generic", turns);
    assert_eq!(found[2]["content"], "Error: no such file");
    assert_eq!(found[3]["content"], "Error: x");
    let orphan = json!({"role": "user", "content": "[result of the call zzz]\n\nlost"});
    assert_eq!(found[4], orphan);
}

#[test]
fn a_result_without_content_is_an_empty_message() {
    let turns = json!([
        user(json!("q")),
        assistant(json!([call("a", json!({}))])),
        user(json!([{"type": "tool_result", "tool_use_id": "a"}])),
        assistant(json!([call("b", json!({}))])),
    ]);
    let found = messages("generic", turns);
    assert_eq!(found[2], json!({"role": "tool", "tool_call_id": "a", "content": ""}));
    assert_eq!(found[3]["tool_calls"][0]["id"], "b");
}

#[test]
fn images_of_results_move_into_the_message_after_all_results() {
    let source = json!({"type": "base64", "media_type": "image/png", "data": "QUJD"});
    let image = json!({"type": "image", "source": source});
    let turns = json!([
        user(json!("q")),
        assistant(json!([call("a", json!({})), call("b", json!({}))])),
        user(json!([
            result("a", json!([text("see"), image])),
            result("b", json!("2")),
            text("and?")
        ])),
    ]);
    let found = messages("openai", turns.clone());
    let line = "see\n[media 1 of the result of call a is in the next message of the user]";
    assert_eq!(found[2], json!({"role": "tool", "tool_call_id": "a", "content": line}));
    assert_eq!(found[3], json!({"role": "tool", "tool_call_id": "b", "content": "2"}));
    let url = "data:image/png;base64,QUJD";
    let parts = json!([
        text("[media 1 of the result of call a]"),
        {"type": "image_url", "image_url": {"url": url}},
        text("and?"),
    ]);
    assert_eq!(found[4], json!({"role": "user", "content": parts}));
    assert_eq!(messages("openrouter", turns)[2]["content"][1]["image_url"]["url"], url);
}

#[test]
fn media_goes_to_servers_that_take_it_and_is_a_visible_line_elsewhere() {
    let block = |kind: &str, source: Value| json!({"type": kind, "title": "T", "source": source});
    let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "UEQ="});
    let url = json!({"type": "url", "url": "https://e.com/x"});
    let parts = |flavor: &str, block: Value| {
        let case = case(flavor, json!({"messages": [user(json!([block]))]}));
        (case.body["messages"][0]["content"].clone(), case.dropped)
    };
    let (content, dropped) = parts("openai", block("document", pdf.clone()));
    let file = json!({"filename": "T", "file_data": "data:application/pdf;base64,UEQ="});
    assert_eq!((&content[0]["file"], dropped.len()), (&file, 0));
    let (content, dropped) = parts("vllm", block("document", pdf));
    assert_eq!(content, "[the gateway left out a block of type `document`: T]");
    assert_eq!(dropped, ["block:document"]);
    let router = parts("openrouter", block("document", url.clone())).0;
    assert_eq!(router[0]["file"]["file_data"], "https://e.com/x");
    assert_eq!(parts("openai", block("document", url.clone())).1, ["block:document"]);
    let openai = parts("openai", block("image", url.clone())).0;
    assert_eq!(openai[0]["image_url"]["url"], "https://e.com/x");
    assert_eq!(parts("ollama", block("image", url)).1, ["block:image"]);
    let file = json!({"type": "file", "file_id": "f"});
    assert_eq!(parts("openai", block("image", file)).1, ["block:image"]);
}

/// Returns the message, the pointers of losses and the missing URLs of a block with the URL `https://e.com/x`. A server
/// without PDF documents gets the URL of a text.
fn with_url(flavor: &str, kind: &str, fetched: &Fetched) -> (Value, Vec<String>, Vec<String>) {
    let url = if flavor == "vllm" { "https://e.com/x.txt" } else { "https://e.com/x" };
    with_block(flavor, kind, url, fetched)
}

fn with_block(
    flavor: &str,
    kind: &str,
    url: &str,
    fetched: &Fetched,
) -> (Value, Vec<String>, Vec<String>) {
    let profile = Profile::build(flavor, &Map::new()).unwrap();
    let source = json!({"type": "url", "url": url});
    let block = json!({"type": kind, "title": "T", "context": "C", "source": source});
    let raw = request(json!({"messages": [user(json!([block, text("?")]))]})).to_string();
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let (facts, seal) = (ModelFacts::default(), seal());
    let terms = Terms { profile: &profile, facts: &facts, seal: &seal, fetched };
    let Encoded { body, dropped, missing, .. } = encode(&conversation, terms).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let pointers = dropped.into_iter().map(|one| one.pointer).collect();
    (body["messages"][0]["content"].clone(), pointers, missing)
}

fn fetched(outcome: Outcome) -> Fetched {
    let urls = ["https://e.com/x", "https://e.com/x.txt"];
    urls.into_iter().map(|url| (url.to_owned(), outcome.clone())).collect()
}

#[test]
fn a_server_without_pdf_documents_needs_the_content_of_texts_only() {
    for (url, is_needed) in [
        ("https://e.com/x.pdf", false),
        ("https://e.com/x", false),
        ("https://e.com/x.MD?y=1", true),
        ("https://e.com/x.csv", true),
    ] {
        for flavor in ["vllm", "generic", "ollama", "llamacpp", "lmstudio"] {
            let (content, _, missing) = with_block(flavor, "document", url, &Fetched::default());
            assert_eq!(!missing.is_empty(), is_needed, "{flavor} {url}");
            let (_, lost, _) = with_block(flavor, "document", url, &Fetched::Assumed);
            assert_eq!(lost.is_empty(), is_needed, "{flavor} {url}");
            assert!(content.to_string().contains("block of type"), "{content}");
        }
        // a server that takes images from their address, or none, needs nothing
        let (_, _, missing) = with_block("deepseek", "image", url, &Fetched::default());
        assert!(missing.is_empty());
    }
}

#[test]
fn a_url_that_the_gateway_fetched_is_sent_as_its_content() {
    let gif = Media::Image { media_type: "image/gif", data: "R0lG".to_owned() };
    let (content, lost, missing) = with_url("ollama", "image", &fetched(Ok(gif)));
    assert_eq!(content[0]["image_url"]["url"], "data:image/gif;base64,R0lG");
    assert!(lost.is_empty() && missing.is_empty());
    let pdf = || Media::Pdf("UERG".to_owned());
    let content = with_url("openai", "document", &fetched(Ok(pdf()))).0;
    let file = json!({"filename": "T", "file_data": "data:application/pdf;base64,UERG"});
    assert_eq!((&content[0], &content[1]["file"]), (&text("C"), &file));
    // a text is carried even by a server without PDF documents
    for flavor in ["openai", "vllm"] {
        let words = fetched(Ok(Media::Text("words".to_owned())));
        let (content, lost, _) = with_url(flavor, "document", &words);
        let content = content.to_string();
        assert!(content.contains("[document: T]\\nwords") && lost.is_empty(), "{content}");
    }
    let (content, lost, _) = with_url("vllm", "document", &fetched(Ok(pdf())));
    assert!(content.to_string().contains("it takes no PDF documents"), "{content}");
    assert_eq!(lost, ["/messages/0/content/0/source/url"]);
}

#[test]
fn a_url_without_content_is_asked_for_and_its_failure_is_shown() {
    let (_, lost, missing) = with_url("ollama", "image", &Fetched::default());
    assert_eq!((lost.len(), missing), (1, vec!["https://e.com/x".to_owned()]));
    let failed = fetched(Err("the server answered 404".to_owned()));
    let (content, lost, missing) = with_url("openai", "document", &failed);
    let line = "[the gateway left out a block of type `document`: T: the server answered 404]";
    assert!(content.as_str().unwrap().contains(line), "{content}");
    assert_eq!(lost, ["/messages/0/content/0/source/url"]);
    assert!(missing.is_empty());
    for (flavor, kind) in [("ollama", "image"), ("openai", "document"), ("vllm", "document")] {
        let (_, lost, missing) = with_url(flavor, kind, &Fetched::Assumed);
        assert!(lost.is_empty() && missing.is_empty(), "{flavor} {kind}");
    }
    // a server that reads addresses needs nothing
    let (_, lost, missing) = with_url("openai", "image", &Fetched::default());
    assert!(lost.is_empty() && missing.is_empty());
}

#[test]
fn text_documents_and_search_results_are_texts() {
    let plain = json!({"type": "text", "media_type": "text/plain", "data": "body"});
    let parts = json!({"type": "content", "content": [text("one"), text("two")]});
    let blocks = json!([
        {"type": "document", "title": "T", "context": "C", "source": plain},
        {"type": "document", "title": "U", "source": parts},
        {"type": "search_result", "title": "S", "source": "https://e.com", "content": [text("hit")],
            "citations": {"enabled": true}},
    ]);
    let case = case("generic", json!({"messages": [user(blocks)]}));
    let expected = "[document: T]\nC\nbody\n\n[document: U]\n\n\none\n\ntwo\n\n[search result: S]\nhttps://e.com\nhit";
    assert_eq!(case.body["messages"][0]["content"], expected);
    assert_eq!(case.dropped, ["citations"]);
}

#[test]
fn the_history_of_server_tools_is_a_digest() {
    let hit = json!({"type": "web_search_result", "title": "T", "url": "https://e.com", "encrypted_content": "zzz"});
    let turns = json!([
        user(json!("q")),
        assistant(json!([
            {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [hit]},
            {"type": "text", "text": "found", "citations": [{"type": "x"}]},
        ])),
        user(json!("more")),
    ]);
    let expected = "[the tool `web_search` was called with {\"query\":\"x\"}]\n\n[the tool's result]\n- T: https://e.com\n\nfound";
    assert_eq!(messages("generic", turns)[1]["content"], expected);
}

#[test]
fn reasoning_goes_back_to_the_server_that_made_it_and_to_no_other() {
    let own = seal().close("m", "");
    let foreign = Seal::new("other", "chat", "key").close("m", "");
    let turn = |signature: &str| {
        let thinking = json!({"type": "thinking", "thinking": "why", "signature": signature});
        json!([
            user(json!("q")),
            assistant(json!([thinking, call("a", json!({}))])),
            user(json!([result("a", json!("1"))])),
        ])
    };
    let sent = |flavor: &str, signature: &str| messages(flavor, turn(signature))[1].clone();
    assert_eq!(sent("deepseek", &own)["reasoning_content"], "why");
    // DeepSeek demands the member; a foreign or native signature counts as absent
    assert_eq!(sent("deepseek", &foreign)["reasoning_content"], "");
    assert_eq!(sent("deepseek", "EqQBCkYIARgCKkB")["reasoning_content"], "");
    assert_eq!(sent("vllm", &own)["reasoning"], "why");
    assert_eq!(sent("vllm", &foreign).get("reasoning"), None);
    assert_eq!(sent("openai", &own).get("reasoning_content"), None);
    let details = r#"[{"type":"reasoning.text","text":"why","signature":"s"}]"#;
    let router = sent("openrouter", &seal().close("m", details));
    let expected = json!([{"type": "reasoning.text", "text": "why", "signature": "s"}]);
    assert_eq!(router["reasoning_details"], expected);
}

#[test]
fn a_prefill_is_continued_where_the_server_can() {
    let turns = json!({"messages": [user(json!("q")), assistant(json!("The answer is"))]});
    assert_eq!(case("openai", turns.clone()).dropped, ["prefill"]);
    assert_eq!(case("mistral", turns.clone()).body["messages"][1]["prefix"], true);
    let vllm = case("vllm", turns).body;
    assert_eq!(vllm["continue_final_message"], true);
    assert_eq!(vllm["add_generation_prompt"], false);
}

#[test]
fn consecutive_messages_of_one_role_are_merged() {
    let turns = json!([
        user(json!("a")),
        user(json!("b")),
        assistant(json!("c")),
        assistant(json!("d")),
        user(json!("e")),
    ]);
    let expected = json!([
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c\n\nd"},
        {"role": "user", "content": "e"},
    ]);
    assert_eq!(messages("generic", turns), expected);
}

#[test]
fn numbers_and_keys_of_inputs_stay_as_the_client_wrote_them() {
    let raw = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"z": 1.0, "a": 10000000000000000000001}}]}]}"#;
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let profile = Profile::build("generic", &Map::new()).unwrap();
    let (facts, seal, fetched) = (ModelFacts::default(), seal(), Fetched::default());
    let terms = Terms { profile: &profile, facts: &facts, seal: &seal, fetched: &fetched };
    let body: Value = serde_json::from_slice(&encode(&conversation, terms).unwrap().body).unwrap();
    let arguments = &body["messages"][1]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(arguments, r#"{"z": 1.0, "a": 10000000000000000000001}"#);
}

#[test]
fn ids_that_a_server_refuses_are_mapped_alike_in_calls_and_results() {
    let long = "toolu_".repeat(10);
    let turns = json!([
        user(json!("q")),
        assistant(json!([call(&long, json!({}))])),
        user(json!([result(&long, json!("1"))])),
    ]);
    for (flavor, longest) in [("openai", 40), ("mistral", 9)] {
        let found = messages(flavor, turns.clone());
        let id = found[1]["tool_calls"][0]["id"].as_str().unwrap();
        assert!(id.len() <= longest && found[2]["tool_call_id"] == id, "{flavor}: {found}");
    }
}

#[test]
fn a_request_without_content_is_refused() {
    let refused = |messages: Value| {
        let request = request(json!({"messages": messages}));
        encoded("generic", &ModelFacts::default(), &request).err().unwrap()
    };
    assert_eq!(refused(json!([{"role": "user", "content": []}])).kind.status(), 400);
    let error = refused(json!([{"role": "robot", "content": "x"}]));
    assert!(error.message.contains("messages[0].role"), "{}", error.message);
}
