//! `max_uses`: how often a conversation may use a server tool.
use serde_json::{Value, json};

use super::{blocks, simulated, streamed};
use crate::support::client::Ask;

fn ask(options: Value, text: &str) -> Value {
    let mut tool = json!({"type": "gateway:twice"});
    tool.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    json!({
        "model": "m", "max_tokens": 100_000, "tools": [tool],
        "messages": [{"role": "user", "content": text}],
    })
}

fn refused(message: &Value) -> Vec<bool> {
    let results = blocks(message, "mcp_tool_result");
    results.iter().map(|result| result["is_error"] == true).collect()
}

#[tokio::test]
async fn a_call_over_max_uses_returns_an_error_and_the_conversation_goes_on() {
    let (upstream, gateway) = simulated().await;
    // the default of the plugin's schema is 2
    for (options, uses) in
        [(json!({}), 2), (json!({"max_uses": 1}), 1), (json!({"max_uses": 5}), 3)]
    {
        let before = upstream.requests().len();
        let body = ask(options, "[sim: call twice] [sim: turns 3] [sim: then] [sim: say done]");
        let message = streamed(&gateway, &body).await;
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(refused(&message), [0, 1, 2].map(|n| n >= uses));
        assert_eq!(message["usage"]["server_tool_use"]["twice_requests"], uses);
        let sent = &upstream.requests()[before + 3]["messages"][6]["content"][0];
        assert_eq!(sent["is_error"] == true, uses < 3);
        if uses < 3 {
            let text = sent["content"][0]["text"].as_str().unwrap();
            assert!(text.starts_with("max_uses_exceeded: `gateway_twice`"), "{text}");
        }
    }
    let said = gateway.ask(&ask(json!({"max_uses": 6}), "hi")).await.error(400);
    assert!(said.starts_with("`tools[0].max_uses` is 6, at most 5"), "{said}");
}

#[tokio::test]
async fn parallel_calls_share_the_remaining_uses() {
    let (_upstream, gateway) = simulated().await;
    let message = streamed(&gateway, &ask(json!({}), "[sim: call twice] [sim: parallel 3]")).await;
    assert_eq!(refused(&message), [false, false, true]);
}

#[tokio::test]
async fn the_history_counts_too() {
    let (_upstream, gateway) = simulated().await;
    let mut body = ask(json!({}), "[sim: call twice] [sim: then] [sim: say one]");
    for expected in [vec![false], vec![false], vec![true]] {
        let message = streamed(&gateway, &body).await;
        assert_eq!(refused(&message), expected);
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": message["content"]}));
        messages.push(
            json!({"role": "user", "content": "[sim: call twice] [sim: then] [sim: say more]"}),
        );
    }
}

#[tokio::test]
async fn a_native_search_that_is_used_up_says_so_in_its_own_shape() {
    let (_upstream, gateway) = super::simulated_with("models: { m: { provider: sim } }", &[]).await;
    let mut body = ask(json!({}), "[sim: call web_search {\"query\": \"x\"}] [sim: turns 2]");
    body["tools"] = json!([{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]);
    let message = streamed(&gateway, &body).await;
    let results = blocks(&message, "web_search_tool_result");
    assert!(results[0]["content"].is_array());
    let failed = &results[1]["content"];
    let expected = (&json!("web_search_tool_result_error"), &json!("max_uses_exceeded"));
    assert_eq!((&failed["type"], &failed["error_code"]), expected);
    assert_eq!(message["usage"]["server_tool_use"]["web_search_requests"], 1);
    assert_eq!(message["stop_reason"], "end_turn");
}

#[tokio::test]
async fn the_apis_own_tools_have_their_uses_for_each_request_and_ours_for_the_conversation() {
    let (_upstream, gateway) = super::simulated_with("models: { m: { provider: sim } }", &[]).await;
    let native = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 1});
    for (tool, again) in
        [(native, true), (json!({"type": "gateway:web_search", "max_uses": 1}), false)]
    {
        let mut body = ask(json!({}), "[sim: call web_search {\"query\": \"x\"}]");
        body["tools"] = json!([tool]);
        for is_found in [true, again] {
            let message = streamed(&gateway, &body).await;
            let result = blocks(&message, "web_search_tool_result")[0];
            assert_eq!(result["content"].is_array(), is_found, "{result}");
            let text = body["messages"][0]["content"].clone();
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(json!({"role": "assistant", "content": message["content"]}));
            messages.push(json!({"role": "user", "content": text}));
        }
    }
}

#[tokio::test]
async fn a_turn_that_the_caller_carries_on_has_no_new_uses_of_the_apis_own_tools() {
    let (_upstream, gateway) = super::simulated_with("models: { m: { provider: sim } }", &[]).await;
    let search = "[sim: call web_search {\"query\": \"x\"}]";
    let text =
        format!("{search} [sim: call weather] [sim: then] {search} [sim: then] [sim: say done]");
    let mut body = ask(json!({}), &text);
    body["tools"] = json!([
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 1},
        {"name": "weather", "input_schema": {"type": "object"}},
    ]);
    let message = streamed(&gateway, &body).await;
    assert!(blocks(&message, "web_search_tool_result")[0]["content"].is_array());
    let id = blocks(&message, "tool_use")[0]["id"].clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    let result = json!({"type": "tool_result", "tool_use_id": id, "content": "sunny"});
    messages.push(json!({"role": "user", "content": [result]}));
    let message = streamed(&gateway, &body).await;
    let found = &blocks(&message, "web_search_tool_result")[0]["content"];
    assert_eq!(found["error_code"], "max_uses_exceeded", "{message}");
}

#[tokio::test]
async fn calls_that_a_caller_does_not_see_count_as_well() {
    let add = r#"fn on_request(request, ctx) {
        let tools = request.tools;
        tools.push(#{ "type": "gateway:twice" });
        request.tools = tools;
    }"#;
    let (upstream, gateway) = super::simulated_with("", &[("policies/add.rhai", add)]).await;
    let text = "[sim: call twice] [sim: call weather] [sim: then] [sim: say on] [sim: call twice] [sim: parallel 2] [sim: then] [sim: say done]";
    let mut body = ask(json!({}), text);
    body["tools"] = json!([{"name": "weather", "input_schema": {"type": "object"}}]);
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["usage"]["server_tool_use"], json!(null), "{message}");
    let id = blocks(&message, "tool_use")[0]["id"].clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    let result = json!({"type": "tool_result", "tool_use_id": id, "content": "sunny"});
    messages.push(json!({"role": "user", "content": [result]}));
    let message = streamed(&gateway, &body).await;
    assert_eq!(blocks(&message, "text").len(), message["content"].as_array().unwrap().len());
    assert!(!message.to_string().contains("twice"), "{message}");
    let seen = upstream.requests();
    let results = seen.last().unwrap()["messages"][4]["content"].as_array().unwrap().clone();
    let refused: Vec<bool> = results.iter().map(|result| result["is_error"] == true).collect();
    assert_eq!(refused, [false, true], "{results:?}");
}

#[tokio::test]
async fn a_tool_gets_the_conversation_only_where_its_options_ask() {
    let (upstream, gateway) = simulated().await;
    for asks in [true, false] {
        let before = upstream.requests().len();
        let mut body = ask(json!({"forward_transcript": asks}), "[sim: say hm] [sim: call twice]");
        body["system"] = json!("be kind");
        let message = streamed(&gateway, &body).await;
        let text = blocks(&message, "mcp_tool_result")[0]["content"][0]["text"].as_str().unwrap();
        let got: Value = serde_json::from_str(text).unwrap();
        let sent = &upstream.requests()[before + 1]["messages"];
        match asks {
            true => {
                assert_eq!(got["transcript"]["system"], "be kind");
                let told = got["transcript"]["messages"].as_array().unwrap();
                assert_eq!(told.as_slice(), &sent.as_array().unwrap()[..2]);
            }
            false => assert_eq!(got["transcript"], json!(null)),
        }
    }
    let body = ask(json!({"transcript": {"messages": []}}), "hi");
    assert!(gateway.ask(&body).await.error(400).starts_with("`tools[0].transcript` is not known"));
}

#[tokio::test]
async fn the_history_counts_however_its_roles_are_written() {
    let (_upstream, gateway) = simulated().await;
    let mut body = ask(json!({"max_uses": 1}), "[sim: call twice] [sim: then] [sim: say one]");
    let message = streamed(&gateway, &body).await;
    assert_eq!(refused(&message), [false]);
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages
        .push(json!({"role": "user", "content": "[sim: call twice] [sim: then] [sim: say on]"}));
    let body = body.to_string().replace("\"user\"", "\"us\\u0065r\"");
    assert!(body.contains("us\\u0065r"), "{body}");
    let message = Ask::message(body).send(gateway.address).await.message();
    assert_eq!(refused(&message), [true], "{message}");
}
