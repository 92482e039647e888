//! Search and fetch in the API's own shapes: run by the gateway, or left to an upstream that has them.
use serde_json::{Value, json};

use super::{blocks, kinds, streamed};
use crate::support::gateway::{Gateway, looping};
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{Auto, Upstream};

const OURS: &str = "models: { m: { provider: up, model: up-1, server_tools: gateway } }";

async fn simulated(config: &str) -> (Auto, Gateway) {
    super::simulated_with(config, &[]).await
}

fn ask(tool: Value, text: &str) -> Value {
    json!({
        "model": "m", "max_tokens": 100_000, "tools": [tool],
        "messages": [{"role": "user", "content": text}],
    })
}

fn search() -> Value {
    json!({"type": "web_search_20250305", "name": "web_search"})
}

fn fetch() -> Value {
    json!({"type": "web_fetch_20250910", "name": "web_fetch"})
}

/// Sends an answer back.
fn go_on(body: &mut Value, message: &Value) {
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": "and now?"}));
}

/// What a tool was told of its options.
fn told(text: &Value) -> Value {
    let text = text.as_str().unwrap();
    serde_json::from_str(&text[text.find("{\"").unwrap()..]).unwrap()
}

#[tokio::test]
async fn a_search_looks_like_the_apis_own() {
    let (upstream, gateway) = simulated(OURS).await;
    for declared in [
        search(),
        json!({"type": "web_search_20260318", "name": "web_search"}),
        json!({"type": "web_search_20991231", "name": "web_search"}),
        json!({"type": "gateway:web_search"}),
    ] {
        let body = ask(
            declared,
            "[sim: call web_search {\"query\": \"tides\"}] [sim: then] [sim: say done]",
        );
        for message in [streamed(&gateway, &body).await, gateway.ask(&body).await.message()] {
            let at = ["text", "server_tool_use", "web_search_tool_result", "text"];
            assert_eq!(kinds(&message), at);
            let (used, found) = (&message["content"][1], &message["content"][2]);
            assert_eq!(
                (&used["name"], &used["input"]),
                (&json!("web_search"), &json!({"query": "tides"}))
            );
            assert!(used["id"].as_str().unwrap().starts_with("srvtoolu_"), "{used}");
            assert_eq!(used["caller"], json!({"type": "direct"}));
            assert_eq!(used.as_object().unwrap().len(), 5, "{used}");
            assert_eq!(found["tool_use_id"], used["id"]);
            let first = &found["content"][0];
            assert_eq!(first["type"], "web_search_result");
            assert_eq!(
                (&first["title"], &first["url"]),
                (&json!("About tides"), &json!("https://a.test/1"))
            );
            assert_eq!(
                (&first["page_age"], &found["content"][1]["page_age"]),
                (&json!("3 days ago"), &json!(null))
            );
            assert!(first["encrypted_content"].as_str().unwrap().starts_with("tidegate."));
            let counts = json!({"web_search_requests": 1, "web_fetch_requests": 0});
            assert_eq!(message["usage"]["server_tool_use"], counts);
        }
    }
    let seen = upstream.requests();
    assert_eq!(seen[0]["tools"][0]["name"], "gateway_web_search");
    assert_eq!(seen[0]["tools"][0]["type"], json!(null));
    let result = &seen[1]["messages"][2]["content"][0];
    assert_eq!(result["content"][0]["content"][0]["text"], "One \"snippet\".", "{result}");
    assert!(result["tool_use_id"].as_str().unwrap().starts_with("toolu_"));
}

#[tokio::test]
async fn a_fetched_page_looks_like_the_apis_own() {
    let (_upstream, gateway) = simulated(OURS).await;
    let text = "[sim: call web_fetch {\"url\": \"https://long.test/\"}]";
    let mut cited = fetch();
    cited["citations"] = json!({"enabled": true});
    for (declared, citations) in [
        (fetch(), json!(null)),
        (json!({"type": "gateway:web_fetch"}), json!(null)),
        (cited, json!({"enabled": true})),
    ] {
        let message = streamed(&gateway, &ask(declared, text)).await;
        let found = &blocks(&message, "web_fetch_tool_result")[0]["content"];
        assert_eq!(
            (&found["type"], &found["url"]),
            (&json!("web_fetch_result"), &json!("https://long.test/"))
        );
        assert_eq!(found["retrieved_at"], "2026-11-21T12:00:00Z");
        let document = &found["content"];
        assert_eq!((&document["type"], &document["title"]), (&json!("document"), &json!("A page")));
        assert_eq!(document["source"]["media_type"], "text/plain");
        assert!(document["source"]["data"].as_str().unwrap().starts_with("# A page\n"));
        assert_eq!(document["citations"], citations);
        let counts = json!({"web_search_requests": 0, "web_fetch_requests": 1});
        assert_eq!(message["usage"]["server_tool_use"], counts);
    }
}

#[tokio::test]
async fn options_of_the_apis_own_become_the_plugins() {
    let (_upstream, gateway) = simulated(OURS).await;
    let place = json!({"type": "approximate", "city": "Kiel"});
    let mut declared = search();
    declared["max_uses"] = json!(3);
    declared["allowed_domains"] = json!(["a.test"]);
    declared["blocked_domains"] = json!(null);
    declared["user_location"] = place.clone();
    declared["allowed_callers"] = json!(["direct"]);
    let message =
        gateway.ask(&ask(declared, "[sim: call web_search {\"query\": \"x\"}]")).await.message();
    let opaque = &blocks(&message, "web_search_tool_result")[0]["content"][1]["encrypted_content"];
    use base64::Engine;
    let hidden = opaque.as_str().unwrap().strip_prefix("tidegate.").unwrap();
    let hidden = base64::engine::general_purpose::STANDARD_NO_PAD.decode(hidden).unwrap();
    let hidden: Value = serde_json::from_slice(&hidden).unwrap();
    assert_eq!(
        told(&hidden["snippet"]),
        json!({"max_uses": 3, "max_chars": null, "allowed_domains": ["a.test"], "blocked_domains": null, "user_location": place})
    );
    for (tokens, chars) in [(100, 400), (1_000_000, 100_000)] {
        let mut declared = fetch();
        declared["max_content_tokens"] = json!(tokens);
        let body = ask(declared, "[sim: call web_fetch {\"url\": \"https://a.test/\"}]");
        let message = gateway.ask(&body).await.message();
        let found = &blocks(&message, "web_fetch_tool_result")[0]["content"];
        assert_eq!(told(&found["content"]["source"]["data"])["max_chars"], chars);
    }
}

#[tokio::test]
async fn a_native_tool_field_that_the_gateway_does_not_support_is_rejected_by_name() {
    let (upstream, gateway) = simulated(OURS).await;
    for (name, field, value) in [
        ("web_search", "allowed_callers", json!(["code_execution_20260120"])),
        ("web_search", "response_inclusion", json!("excluded")),
        ("web_search", "strict", json!(true)),
        ("web_search", "defer_loading", json!(true)),
        ("web_search", "max_uses", json!(101)),
        ("web_search", "max_content_tokens", json!(5)),
        ("web_search", "future", json!(1)),
        ("web_fetch", "url_sources", json!({})),
        ("web_fetch", "citations", json!(true)),
        ("web_fetch", "max_content_tokens", json!("many")),
    ] {
        let mut declared = if name == "web_search" { search() } else { fetch() };
        declared[field] = value;
        let said = gateway.ask(&ask(declared, "hi")).await.error(400);
        assert!(said.starts_with(&format!("`tools[0].{field}`")), "{said}");
    }
    let mut both = search();
    both["allowed_domains"] = json!(["a.test"]);
    both["blocked_domains"] = json!(["b.test"]);
    let said = gateway.ask(&ask(both, "hi")).await.error(400);
    assert!(said.contains("both `allowed_domains` and `blocked_domains`"), "{said}");
    let mut twice = ask(search(), "hi");
    twice["tools"].as_array_mut().unwrap().push(json!({"type": "gateway:web_search"}));
    assert!(gateway.ask(&twice).await.error(400).contains("a second time"));
    assert!(upstream.bodies().is_empty());
}

#[tokio::test]
async fn failures_have_the_apis_shapes_and_codes() {
    let (upstream, gateway) = simulated(OURS).await;
    for (tool, call, kind, code) in [
        (
            search(),
            "web_search {\"query\": \"fail query_too_long\"}",
            "web_search",
            "query_too_long",
        ),
        (search(), "web_search {\"query\": \"fail of_its_own\"}", "web_search", "unavailable"),
        (search(), "web_search {\"q\": 1}", "web_search", "invalid_tool_input"),
        (
            fetch(),
            "web_fetch {\"url\": \"https://fail.test/url_not_accessible\"}",
            "web_fetch",
            "url_not_accessible",
        ),
        (
            fetch(),
            "web_fetch {\"url\": \"https://fail.test/content_too_large\"}",
            "web_fetch",
            "content_too_large",
        ),
    ] {
        let before = upstream.requests().len();
        let mut body = ask(tool, &format!("[sim: call {call}] [sim: then] [sim: say sorry]"));
        let message = streamed(&gateway, &body).await;
        let result = blocks(&message, &format!("{kind}_tool_result"))[0];
        let mut told = result["content"].clone();
        let kept = told.as_object_mut().unwrap().remove("tidegate").unwrap();
        assert!(kept.as_str().unwrap().starts_with("tidegate."), "{kept}");
        assert_eq!(told, json!({"type": format!("{kind}_tool_result_error"), "error_code": code}));
        assert_eq!(message["content"].as_array().unwrap().last().unwrap()["text"], "sorry");
        let sent = &upstream.requests()[before + 1]["messages"][2]["content"][0];
        assert_eq!(sent["is_error"], true, "{sent}");
        // the model keeps the words; a client that drops them keeps the code
        go_on(&mut body, &message);
        gateway.ask(&body).await.message();
        assert_eq!(&upstream.requests()[before + 2]["messages"][2]["content"][0], sent);
        for block in body["messages"][1]["content"].as_array_mut().unwrap() {
            block["content"].as_object_mut().map(|content| content.remove("tidegate"));
        }
        gateway.ask(&body).await.message();
        let left = &upstream.requests()[before + 3]["messages"][2]["content"][0];
        assert_eq!((&left["is_error"], &left["content"][0]["text"]), (&json!(true), &json!(code)));
    }
}

#[tokio::test]
async fn a_result_of_another_form_is_not_lost() {
    let (upstream, gateway) = simulated(OURS).await;
    for (query, results) in [("nothing", 0), ("plain", 1)] {
        let before = upstream.requests().len();
        let mut body = ask(search(), &format!("[sim: call web_search {{\"query\": \"{query}\"}}]"));
        let message = streamed(&gateway, &body).await;
        let found = blocks(&message, "web_search_tool_result")[0];
        assert_eq!(found["content"].as_array().unwrap().len(), results);
        go_on(&mut body, &message);
        gateway.ask(&body).await.message();
        let seen = upstream.requests();
        assert_eq!(seen[before + 2]["messages"][2], seen[before + 1]["messages"][2]);
    }
}

#[tokio::test]
async fn a_history_of_ours_is_the_conversation_that_the_upstream_had() {
    let (upstream, gateway) = simulated(OURS).await;
    let text = "[sim: call web_search {\"query\":\"x\"}] [sim: call web_fetch {\"url\":\"https://long.test/\"}]";
    let mut body = ask(search(), text);
    body["tools"].as_array_mut().unwrap().push(fetch());
    let message = streamed(&gateway, &body).await;
    assert_eq!(blocks(&message, "server_tool_use").len(), 2);
    go_on(&mut body, &message);
    gateway.ask(&body).await.message();
    let bodies = upstream.bodies();
    // byte for byte: its prompt cache holds
    let before = std::str::from_utf8(&bodies[1]).unwrap().split("\"messages\":").nth(1).unwrap();
    let before = before[..before.rfind(']').unwrap()].to_owned();
    let after = std::str::from_utf8(bodies.last().unwrap()).unwrap();
    assert!(after.contains(&before), "{before}\n\n{after}");
    assert!(!after.contains("server_tool_use") && !after.contains("srvtoolu_"), "{after}");
}

#[tokio::test]
async fn blocks_of_a_native_upstream_stay_as_they_are() {
    let (upstream, gateway) = simulated("").await;
    let theirs = json!([
        {"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": [
            {"type": "web_search_result", "title": "t", "url": "https://a.test", "encrypted_content": "EqgfCioIARgB", "page_age": null},
        ]},
        {"type": "text", "text": "found"},
    ]);
    let mut body = ask(search(), "hi");
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": theirs}));
    messages.push(json!({"role": "user", "content": "and now?"}));
    gateway.ask(&body).await.message();
    let seen = upstream.requests();
    assert_eq!((&seen[0]["messages"], &seen[0]["tools"]), (&body["messages"], &body["tools"]));
}

#[tokio::test]
async fn the_alias_decides_whether_the_gateway_or_the_upstream_runs_server_tools() {
    let targets = "  both:\n    targets: [{ provider: up, model: a }, { provider: sim }]\n  lacks: { provider: up, unsupported: [\"tool:web_search_*\"] }\n  native: { provider: sim, server_tools: native }\n  ours: { provider: up, server_tools: gateway }";
    let models =
        format!("models:\n  up: {{ provider: up }}\n  sim: {{ provider: sim }}\n{targets}");
    let (upstream, gateway) = simulated(&models).await;
    let text = "[sim: call web_search {\"query\": \"x\"}] [sim: then] [sim: say done]";
    for (model, is_ours) in [
        ("up", false),
        ("sim", true),
        ("both", true),
        ("lacks", true),
        ("native", false),
        ("ours", true),
    ] {
        let mut body = ask(search(), if is_ours { text } else { "hi" });
        body["model"] = model.into();
        let before = upstream.requests().len();
        let message = gateway.ask(&body).await.message();
        let found = blocks(&message, "web_search_tool_result").len();
        assert_eq!(found, usize::from(is_ours), "{model}: {message}");
        for seen in &upstream.requests()[before..] {
            assert_eq!(seen["tools"][0]["type"] == json!(null), is_ours, "{model}");
        }
    }
}

#[tokio::test]
async fn a_choice_of_the_apis_own_tool_is_rewritten_with_it() {
    let (upstream, gateway) = simulated(OURS).await;
    let mut body = ask(search(), "hi");
    body["tool_choice"] =
        json!({"type": "tool", "name": "web_search", "disable_parallel_tool_use": true});
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "end_turn");
    let seen = upstream.requests();
    assert_eq!(
        seen[0]["tool_choice"],
        json!({"type": "tool", "name": "gateway_web_search", "disable_parallel_tool_use": true})
    );
    assert_eq!(seen[1]["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
}

#[tokio::test]
async fn an_upstreams_own_server_tools_stream_beside_ours() {
    let mut upstream = Upstream::start().await;
    let gateway = looping(upstream.address).start().await;
    let native = json!({"type": "server_tool_use", "id": "srvtoolu_9", "name": "web_search", "input": {"query": "x"}});
    let found =
        json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_9", "content": []});
    let body = json!({
        "model": "m", "max_tokens": 9,
        "tools": [search(), {"type": "gateway:datetime"}],
        "messages": [{"role": "user", "content": "hi"}],
    });
    let first =
        message(json!([native, found, call("c1", "gateway_datetime", json!({}))]), "tool_use");
    let led = async {
        upstream.call().await.frames(&frames(&first)).await;
        let second = upstream.call().await;
        let sent = second.json();
        second.frames(&frames(&message(json!([text("noon")]), "end_turn"))).await;
        sent
    };
    let (message, sent) = tokio::join!(streamed(&gateway, &body), led);
    let at =
        ["server_tool_use", "web_search_tool_result", "mcp_tool_use", "mcp_tool_result", "text"];
    assert_eq!(kinds(&message), at);
    assert_eq!(message["content"][0]["id"], "srvtoolu_9");
    assert_eq!(sent["messages"][1]["content"], first["content"]);
    assert_eq!(sent["tools"][0], search());
}
