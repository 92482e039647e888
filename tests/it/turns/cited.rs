//! Citations of what the gateway searched and fetched: how upstream, caller and history have them.
use serde_json::{Value, json};

use super::{blocks, simulated_with, streamed};
use crate::support::gateway::{Gateway, looping};
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{Auto, Upstream};

const OURS: &str = "models: { m: { provider: up, model: up-1, server_tools: gateway } }";
const SEARCH: &str =
    "[sim: call web_search {\"query\":\"x\"}] [sim: then] [sim: say found] [sim: cite]";
const FETCH: &str =
    "[sim: call web_fetch {\"url\":\"https://a.test/\"}] [sim: then] [sim: say read] [sim: cite]";

async fn simulated() -> (Auto, Gateway) {
    simulated_with(OURS, &[]).await
}

fn ask(tools: Value, content: impl Into<Value>) -> Value {
    let content: Value = content.into();
    json!({
        "model": "m", "max_tokens": 100_000, "tools": tools,
        "messages": [{"role": "user", "content": content}],
    })
}

fn search() -> Value {
    json!({"type": "web_search_20250305", "name": "web_search"})
}

fn fetch() -> Value {
    json!({"type": "web_fetch_20250910", "name": "web_fetch", "citations": {"enabled": true}})
}

fn citations(message: &Value) -> Vec<&Value> {
    let texts = blocks(message, "text").into_iter();
    texts.filter_map(|text| text["citations"].as_array()).flatten().collect()
}

/// Goes on with an answer.
fn say(body: &mut Value, message: &Value, next: &str) {
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": next}));
}

/// The last message that a request holds results in.
fn results(request: &Value) -> &Value {
    let messages = request["messages"].as_array().unwrap();
    let holds = |m: &&Value| m["content"][0]["type"] == "tool_result";
    &messages.iter().rev().find(holds).unwrap()["content"][0]["content"]
}

/// `messages` of a request, without its end.
fn messages(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap().split("\"messages\":").nth(1).unwrap();
    text[..text.rfind(']').unwrap()].to_owned()
}

fn is_of(citation: &Value, found: &Value) {
    assert_eq!(citation["type"], "web_search_result_location");
    assert_eq!((&citation["url"], &citation["title"]), (&found["url"], &found["title"]));
    let sealed = citation["encrypted_index"].as_str().unwrap();
    assert!(sealed.starts_with("tidegate."), "{citation}");
    assert_eq!(citation.as_object().unwrap().len(), 5, "{citation}");
}

#[tokio::test]
async fn results_of_gateway_searches_are_cited_like_those_of_the_api() {
    let (upstream, gateway) = simulated().await;
    for declared in [search(), json!({"type": "gateway:web_search"})] {
        let body = ask(json!([declared]), SEARCH);
        for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
            let cited = citations(&message);
            assert_eq!(cited.len(), 2, "{message}");
            let found = &blocks(&message, "web_search_tool_result")[0]["content"];
            cited
                .iter()
                .zip(found.as_array().unwrap())
                .for_each(|(told, found)| is_of(told, found));
            assert_eq!(cited[0]["cited_text"], "One \"snippet\".");
        }
    }
    assert_eq!(
        results(&upstream.requests()[1])[0],
        json!({
            "type": "search_result", "source": "https://a.test/1", "title": "About x",
            "content": [
                {"type": "text", "text": "One \"snippet\"."},
                {"type": "text", "text": "{\"page_age\":\"3 days ago\"}"},
            ],
            "citations": {"enabled": true},
        })
    );
}

#[tokio::test]
async fn a_history_with_citations_is_the_conversation_that_the_upstream_had() {
    let (upstream, gateway) = simulated().await;
    let mut body = ask(json!([search(), fetch()]), SEARCH);
    let mut kinds = Vec::new();
    // searches, cites what is there, searches again, fetches
    for next in ["[sim: say again] [sim: cite]", SEARCH, FETCH, "[sim: say so] [sim: cite 5]"] {
        let answer = streamed(&gateway, &body).await;
        let told = citations(&answer).into_iter().map(|told| told["type"].clone());
        kinds.push(told.collect::<Vec<_>>());
        say(&mut body, &answer, next);
    }
    gateway.ask(&body).await.message();
    let found = "web_search_result_location";
    let four = json!([found, found, found, found]);
    assert_eq!(json!(kinds[..3]), json!([[found, found], [found, found], four]));
    assert_eq!(json!(kinds[3]), json!([found, found, found, found, "char_location"]));
    // the simulator refuses a citation that names no source of its request; and what was sent
    // stays the same bytes, so that a prompt cache holds
    let bodies = upstream.bodies();
    for pair in bodies.windows(2) {
        let (before, after) = (messages(&pair[0]), messages(&pair[1]));
        assert!(after.starts_with(&before), "{before}\n\n{after}");
    }
    let last = std::str::from_utf8(bodies.last().unwrap()).unwrap();
    assert!(!last.contains("web_search_result_location") && !last.contains("tidegate."), "{last}");
}

#[tokio::test]
async fn a_fetched_page_is_cited_by_its_place_in_the_text() {
    let (upstream, gateway) = simulated().await;
    let own = json!({
        "type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "mine"},
        "citations": {"enabled": true},
    });
    let mut body = ask(json!([fetch()]), json!([own, text(FETCH)]));
    for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
        let page = &blocks(&message, "web_fetch_tool_result")[0]["content"]["content"];
        let cited = citations(&message);
        assert_eq!(
            (&cited[0]["document_index"], &cited[0]["cited_text"]),
            (&json!(0), &json!("mine"))
        );
        assert_eq!(cited[1]["type"], "char_location");
        assert_eq!(
            (&cited[1]["document_index"], &cited[1]["document_title"]),
            (&json!(1), &page["title"])
        );
        let data: Vec<char> = page["source"]["data"].as_str().unwrap().chars().collect();
        let end = cited[1]["end_char_index"].as_u64().unwrap() as usize;
        assert_eq!(cited[1]["cited_text"], data[..end].iter().collect::<String>());
        body["stream"] = json!(false);
    }
    let seen = upstream.requests();
    let sent = &results(&seen[1])[0];
    assert_eq!(
        (&sent["type"], &sent["citations"]),
        (&json!("document"), &json!({"enabled": true}))
    );
    let context: Value = serde_json::from_str(sent["context"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&context["url"], &context["content_type"]),
        (&json!("https://a.test/"), &json!("text/html"))
    );
}

#[tokio::test]
async fn pages_are_text_unless_their_declaration_has_citations() {
    let (upstream, gateway) = simulated().await;
    for declared in [
        json!({"type": "web_fetch_20250910", "name": "web_fetch"}),
        json!({"type": "web_fetch_20250910", "name": "web_fetch", "citations": {"enabled": false}}),
        json!({"type": "gateway:web_fetch"}),
    ] {
        let before = upstream.bodies().len();
        let message = gateway.ask(&ask(json!([declared]), FETCH)).await.message();
        assert!(citations(&message).is_empty());
        assert_eq!(results(&upstream.requests()[before + 1])[0]["type"], "text");
    }
}

#[tokio::test]
async fn a_request_that_excludes_citations_gets_its_results_as_text() {
    let lacking = "models:\n  m: { provider: up, model: up-1, server_tools: gateway }\n  lacking: { server_tools: gateway, targets: [{ provider: up }, { provider: sim, unsupported: [\"block:search_result\"] }] }\n  without: { provider: up, unsupported: [\"tool:web_search_*\"] }";
    let (upstream, gateway) = simulated_with(lacking, &[]).await;
    let plain = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}});
    let off = json!({
        "type": "search_result", "source": "s", "title": "t", "content": [text("c")],
        "citations": {"enabled": false},
    });
    let mut formatted = ask(json!([search()]), SEARCH);
    formatted["output_config"] =
        json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    let mut elsewhere = ask(json!([search()]), SEARCH);
    elsewhere["model"] = json!("lacking");
    // an upstream that has no such tool hardly knows its blocks
    let mut without = elsewhere.clone();
    without["model"] = json!("without");
    for body in [
        ask(json!([search()]), json!([plain, text(SEARCH)])),
        ask(json!([search()]), json!([off, text(SEARCH)])),
        formatted,
        elsewhere,
        without,
    ] {
        let before = upstream.bodies().len();
        let message = streamed(&gateway, &body).await;
        assert!(citations(&message).is_empty(), "{message}");
        assert_eq!(results(&upstream.requests()[before + 1])[0]["type"], "text");
    }
}

#[tokio::test]
async fn citations_without_their_source_are_left_out() {
    let (upstream, gateway) = simulated().await;
    let mut body = ask(json!([search()]), SEARCH);
    let answer = streamed(&gateway, &body).await;
    say(&mut body, &answer, "and now?");
    let mut forgotten = body.clone();
    forgotten["messages"][1]["content"]
        .as_array_mut()
        .unwrap()
        .retain(|block| block["type"] == "text");
    let mut undeclared = body.clone();
    undeclared["tools"] = json!([{"type": "gateway:datetime"}]);
    let mut bare = body.clone();
    bare.as_object_mut().unwrap().remove("tools");
    for body in [forgotten, undeclared, bare] {
        gateway.ask(&body).await.message();
        let sent = upstream.bodies().pop().unwrap();
        let sent = std::str::from_utf8(&sent).unwrap().replace(r#","citations":null"#, "");
        assert!(sent.contains("Source 1 says so."), "{sent}");
        assert!(!sent.contains("citations") && !sent.contains("result_location"), "{sent}");
    }
}

#[tokio::test]
async fn a_source_that_has_moved_is_named_where_it_stands() {
    let (upstream, gateway) = simulated().await;
    let own = |n: usize| {
        json!({
            "type": "search_result", "source": format!("kb:{n}"), "title": "mine",
            "content": [text("c")], "citations": {"enabled": true},
        })
    };
    let mut body = ask(json!([search()]), SEARCH);
    let answer = streamed(&gateway, &body).await;
    say(&mut body, &answer, "[sim: say more] [sim: cite 2]");
    // a client that puts something before what was said
    body["messages"][0]["content"] = json!([own(1), text(SEARCH)]);
    let answer = streamed(&gateway, &body).await;
    let sent = upstream.requests().pop().unwrap();
    let told = &sent["messages"][3]["content"][1]["citations"][0];
    assert_eq!(
        (&told["search_result_index"], &told["source"]),
        (&json!(1), &json!("https://a.test/1"))
    );
    assert_eq!(citations(&answer)[0]["url"], "https://a.test/1");
    // its own are counted as it sees them
    say(&mut body, &answer, "");
    body["messages"].as_array_mut().unwrap().pop();
    let asks = json!([own(2), text("[sim: say more] [sim: cite 4]")]);
    body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": asks}));
    let answer = streamed(&gateway, &body).await;
    let own = citations(&answer)[0].clone();
    assert_eq!((&own["source"], &own["search_result_index"]), (&json!("kb:2"), &json!(1)));
    say(&mut body, &answer, "hm");
    gateway.ask(&body).await.message();
    let sent = upstream.requests().pop().unwrap();
    let back = sent["messages"].as_array().unwrap().iter().rev().nth(1).unwrap();
    assert_eq!(back["content"][1]["citations"][0]["search_result_index"], 3, "{back}");
}

#[tokio::test]
async fn a_citation_of_a_hidden_result_is_left_out() {
    let mut upstream = Upstream::start().await;
    let add = r#"fn on_request(request, ctx) {
        let tools = request.tools;
        tools.push(#{ "type": "gateway:echo" });
        request.tools = tools;
    }
    fn on_tool_result(result, ctx) {
        result.content = [#{ type: "search_result", source: "s", title: "t", citations: #{ enabled: true },
            content: [#{ type: "text", text: "secret" }] }];
    }"#;
    let gateway = looping(upstream.address).config(OURS).policy("add", add).start().await;
    let body = ask(json!([search()]), "hi");
    let told = json!({
        "type": "search_result_location", "cited_text": "secret", "source": "s", "title": "t",
        "search_result_index": 0, "start_block_index": 0, "end_block_index": 1,
    });
    let last = json!([{"type": "text", "text": "so it is", "citations": [told]}]);
    let led = async {
        let first = message(json!([call("c1", "gateway_echo", json!({"text": "x"}))]), "tool_use");
        upstream.call().await.frames(&frames(&first)).await;
        upstream.call().await.frames(&frames(&message(last, "end_turn"))).await;
    };
    let (answer, ()) = tokio::join!(streamed(&gateway, &body), led);
    assert_eq!(answer["content"][0]["text"], "so it is");
    assert!(citations(&answer).is_empty() && !answer.to_string().contains("secret"), "{answer}");
}

/// Adds a tool that the caller does not see, and what it finds.
const FINDS: &str = r#"fn on_request(request, ctx) {
        let tools = request.tools;
        tools.push(#{ "type": "gateway:echo" });
        request.tools = tools;
    }
    fn on_tool_result(result, ctx) {
        result.content = [
            #{ type: "search_result", source: "s", title: "t", citations: #{ enabled: true },
                content: [#{ type: "text", text: "secret" }] },
            #{ type: "document", source: #{ type: "text", media_type: "text/plain", data: "secret" },
                citations: #{ enabled: true } },
        ];
    }"#;

#[tokio::test]
async fn hidden_results_of_a_mixed_turn_are_not_counted_as_sources_of_the_caller() {
    let files = [("policies/add.rhai", FINDS)];
    let (upstream, gateway) = simulated_with(OURS, &files).await;
    let lookup = json!({"name": "lookup", "input_schema": {"type": "object"}});
    let mut body = ask(
        json!([lookup]),
        "[sim: call echo {\"text\":\"x\"}] [sim: call lookup] [sim: then] [sim: say so] [sim: cite]",
    );
    let answer = streamed(&gateway, &body).await;
    let id = &blocks(&answer, "tool_use")[0]["id"];
    let own = json!([
        {"type": "search_result", "source": "kb:1", "title": "mine", "content": [text("c")],
            "citations": {"enabled": true}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "mine"},
            "citations": {"enabled": true}},
    ]);
    let result = json!({"type": "tool_result", "tool_use_id": id, "content": own});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": answer["content"]}));
    messages.push(json!({"role": "user", "content": [result]}));
    let whole = gateway.ask(&body).await.message();
    let answer = streamed(&gateway, &body).await;
    for answer in [&whole, &answer] {
        let told = citations(answer);
        assert_eq!(told.len(), 2, "{answer}");
        assert_eq!(
            (&told[0]["source"], &told[0]["search_result_index"]),
            (&json!("kb:1"), &json!(0))
        );
        assert_eq!(
            (&told[1]["cited_text"], &told[1]["document_index"]),
            (&json!("mine"), &json!(0))
        );
    }
    assert!(upstream.requests()[1].to_string().contains("secret"));
    say(&mut body, &answer, "hm");
    // one that has forgotten what was hidden has nothing else to count
    let other = looping(upstream.address).config(OURS).files(&files).start().await;
    for (gateway, index) in [(&gateway, 1), (&other, 0)] {
        gateway.ask(&body).await.message();
        let sent = upstream.requests().pop().unwrap();
        let mut told = Vec::new();
        for block in sent["messages"][3]["content"].as_array().unwrap() {
            told.extend(block["citations"].as_array().into_iter().flatten().cloned());
        }
        assert_eq!(
            (&told[0]["search_result_index"], &told[1]["document_index"]),
            (&json!(index), &json!(index))
        );
    }
}

#[tokio::test]
async fn hidden_results_are_not_counted_as_sources_of_the_caller_once_every_plugin_is_gone() {
    let (upstream, gateway) = simulated_with(OURS, &[("policies/add.rhai", FINDS)]).await;
    let lookup = json!({"name": "lookup", "input_schema": {"type": "object"}});
    let calls = "[sim: call echo {\"text\":\"x\"}] [sim: then] [sim: call lookup] [sim: then] [sim: say so] [sim: cite]";
    let mut body = ask(json!([lookup]), calls);
    let answer = streamed(&gateway, &body).await;
    let id = &blocks(&answer, "tool_use")[0]["id"];
    let own = json!([{"type": "search_result", "source": "kb:1", "title": "mine",
        "content": [text("c")], "citations": {"enabled": true}}]);
    let result = json!({"type": "tool_result", "tool_use_id": id, "content": own});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": answer["content"]}));
    messages.push(json!({"role": "user", "content": [result]}));
    let mut sent = Vec::new();
    for is_bare in [false, true] {
        if is_bare {
            gateway.reload_bare().await;
        }
        let answer = streamed(&gateway, &body).await;
        let told = citations(&answer);
        assert_eq!(told.len(), 1, "{answer}");
        let named = (&told[0]["source"], &told[0]["search_result_index"]);
        assert_eq!(named, (&json!("kb:1"), &json!(0)));
        sent.push(upstream.requests().pop().unwrap()["messages"].clone());
    }
    assert!(sent[0].to_string().contains("secret"));
    assert_eq!(sent[0], sent[1]);
}

#[tokio::test]
async fn documents_of_another_tool_can_be_cited_next_to_search_results() {
    let add = r#"fn on_tool_result(result, ctx) {
        if result.tool == "echo" {
            result.content = [#{ type: "document",
                source: #{ type: "text", media_type: "text/plain", data: "d" } }];
        }
    }"#;
    let (upstream, gateway) = simulated_with(OURS, &[("policies/add.rhai", add)]).await;
    let both = "[sim: call web_search {\"query\":\"x\"}] [sim: then] [sim: call echo {\"text\":\"x\"}] [sim: then] [sim: say so] [sim: cite]";
    let body = ask(json!([search(), {"type": "gateway:echo"}]), both);
    for answer in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
        // those of what the caller does not see are left out
        assert_eq!(citations(&answer).len(), 2, "{answer}");
    }
    let sent = upstream.requests().pop().unwrap();
    let document = &results(&sent)[0];
    let expected = (&json!("document"), &json!({"enabled": true}));
    assert_eq!((&document["type"], &document["citations"]), expected);
    // where nothing of ours can be cited, a tool's blocks stay as it made them
    let body = ask(json!([{"type": "gateway:echo"}]), "[sim: call echo {\"text\":\"x\"}]");
    gateway.ask(&body).await.message();
    assert_eq!(results(&upstream.requests().pop().unwrap())[0]["citations"], json!(null));
}

#[tokio::test]
async fn a_request_without_tools_cites_as_its_caller_counts() {
    let (upstream, gateway) = simulated().await;
    let mut body = ask(json!([fetch()]), FETCH);
    let answer = streamed(&gateway, &body).await;
    let own = json!({
        "type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "mine"},
        "citations": {"enabled": true},
    });
    say(&mut body, &answer, "");
    body["messages"][2]["content"] = json!([own, text("[sim: say so] [sim: cite]")]);
    body.as_object_mut().unwrap().remove("tools");
    let whole = gateway.ask(&body).await.message();
    let answer = streamed(&gateway, &body).await;
    for answer in [&whole, &answer] {
        let told = citations(answer)[0];
        assert_eq!((&told["cited_text"], &told["document_index"]), (&json!("mine"), &json!(1)));
    }
    say(&mut body, &answer, "hm");
    gateway.ask(&body).await.message();
    let sent = upstream.requests().pop().unwrap();
    let back = sent["messages"].as_array().unwrap().iter().rev().nth(1).unwrap();
    assert_eq!(back["content"][1]["citations"][0]["document_index"], 0, "{back}");
}
