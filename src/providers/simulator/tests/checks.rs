//! The requests that the simulator rejects, like the real API.
use super::*;

fn conversation(messages: Value) -> Value {
    json!({"model": "sim-1", "max_tokens": 100, "messages": messages})
}

fn with_tools(tools: Value) -> Value {
    let mut body = ask("hello");
    body["tools"] = tools;
    body
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "get_weather", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "ok"})
}

async fn check(body: Value, expect: &str) {
    let (status, error) = refused(&body).await;
    let message = error["error"]["message"].as_str().unwrap();
    assert_eq!(status, 400);
    assert_eq!(error["type"], "error");
    assert_eq!(error["error"]["type"], "invalid_request_error");
    assert!(error["request_id"].as_str().unwrap().starts_with("req_sim_"));
    assert!(message.contains(expect), "`{message}` does not say `{expect}`");
}

#[tokio::test]
async fn calls_and_results_must_belong_together() {
    let hello = json!({"role": "user", "content": "hello"});
    for (assistant, user, expect) in [
        (json!("hi"), json!([result("a")]), "messages.2.content.0: the `tool_result` for `a`"),
        (json!([call("a")]), json!("no result"), "without a `tool_result`"),
        (json!([call("a"), call("b")]), json!([result("a")]), "user's next turn: b"),
        (json!([call("a")]), json!([result("a"), result("a")]), "`a` has two `tool_result`"),
        (json!([call("a"), call("a")]), json!([result("a")]), "two `tool_use` have the id `a`"),
        (
            json!([call("a")]),
            json!([{"type": "text", "text": "first"}, result("a")]),
            "must come first",
        ),
    ] {
        let messages = json!([
            hello,
            {"role": "assistant", "content": assistant},
            {"role": "user", "content": user},
        ]);
        check(conversation(messages), expect).await;
    }
    let unfinished = json!([hello, {"role": "assistant", "content": [call("a")]}]);
    check(conversation(unfinished), "without a `tool_result`").await;
}

#[tokio::test]
async fn turns_in_several_messages_are_one_turn() {
    let messages = json!([
        {"role": "user", "content": "hello"},
        {"role": "system", "content": "be brief"},
        {"role": "assistant", "content": [call("a")]},
        {"role": "assistant", "content": [call("b")]},
        {"role": "user", "content": [result("a")]},
        {"role": "user", "content": [result("b"), {"type": "text", "text": "and now?"}]},
    ]);
    let message = both(&conversation(messages)).await;
    assert_eq!(texts(&message), ["get_weather answered: ok\nget_weather answered: ok"]);
}

#[tokio::test]
async fn messages_must_have_a_known_shape() {
    for (messages, expect) in [
        (json!([]), "at least one message"),
        (json!([{"role": "assistant", "content": "hi"}]), "first message"),
        (json!([{"role": "tool", "content": "hi"}]), "messages.0.role"),
        (json!([{"role": "user", "content": ""}]), "may have no content"),
        (json!([{"role": "user", "content": []}]), "may have no content"),
        (json!([{"role": "user", "content": 7}]), "messages.0.content"),
        (json!([{"role": "user", "content": [{"type": "text", "text": ""}]}]), "must hold text"),
        (json!([{"role": "user", "content": [{"type": "nonsense"}]}]), "`nonsense` is not known"),
        (json!([{"role": "user", "content": [call("a")]}]), "cannot be in a user message"),
    ] {
        check(conversation(messages), expect).await;
    }
}

#[tokio::test]
async fn blocks_of_a_beta_need_its_header() {
    let messages = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [
            {"type": "mcp_tool_use", "id": "m", "name": "x", "server_name": "s", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
            {"type": "text", "text": "done"},
        ]},
        {"role": "user", "content": "more"},
    ]);
    let body = conversation(messages);
    check(body.clone(), "`mcp_tool_use` needs an anthropic-beta").await;
    whole_with(&body, "other-2026-01-01,mcp-client-2026-09-15").await.unwrap();
}

#[tokio::test]
async fn results_of_server_tools_need_their_call() {
    let block = json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []});
    let messages = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": [block]},
        {"role": "user", "content": "more"},
    ]);
    check(conversation(messages), "no call before this `web_search_tool_result`").await;
}

#[tokio::test]
async fn tools_must_be_known_and_have_one_name_each() {
    let schema = json!({"type": "object"});
    for (tools, expect) in [
        (json!([{"type": "gateway:datetime"}]), "`gateway:datetime` is not known"),
        (json!([{"type": "mcp_toolset", "mcp_server_name": "x"}]), "`mcp_toolset` is not known"),
        (
            json!([{"name": "a", "input_schema": schema}, {"name": "a", "input_schema": schema}]),
            "must be unique",
        ),
        (json!([{"name": "a"}]), "tools.0.custom.input_schema"),
        (json!([{"name": "a b", "input_schema": schema}]), "tools.0.custom.name"),
        (
            json!([{"name": "a", "input_schema": schema, "timezone": "UTC"}]),
            "tools.0.custom.timezone: Extra inputs",
        ),
    ] {
        check(with_tools(tools), expect).await;
    }
    let known = json!([
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "custom", "name": "a", "input_schema": {"type": "object"}},
    ]);
    whole(&with_tools(known)).await.unwrap();
}

#[tokio::test]
async fn a_tool_choice_must_name_a_tool_that_is_there() {
    for (choice, tools, expect) in [
        (json!({"type": "tool", "name": "nope"}), json!([weather()]), "is named `nope`"),
        (json!({"type": "any"}), json!([]), "only with `tools`"),
        (json!("get_weather"), json!([weather()]), "tool_choice.type"),
    ] {
        let mut body = with_tools(tools);
        body["tool_choice"] = choice;
        check(body, expect).await;
    }
}

#[tokio::test]
async fn thinking_must_come_back_untouched() {
    let body = ask_with_tools("[sim: thinking] [sim: redacted] what time is it?");
    let message = both(&body).await;
    let kinds: Vec<&Value> =
        message["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "text", "tool_use"]);
    let good = next_round(&body, &message, "noon");
    both(&good).await;

    for (pointer, value, expect) in [
        ("/messages/1/content/0/signature", json!("sim1.00.11"), "Invalid signature in thinking"),
        ("/messages/1/content/0/thinking", json!("edited"), "Invalid signature in thinking"),
        ("/messages/1/content/0/signature", json!(""), "signature: Field required"),
        ("/messages/1/content/1/data", json!("edited"), "Invalid data in redacted_thinking"),
    ] {
        let mut edited = good.clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        check(edited, expect).await;
    }
}

#[tokio::test]
async fn a_tool_loop_with_thinking_must_keep_its_thinking() {
    let mut body = ask_with_tools("what time is it?");
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    let message = both(&body).await;
    assert!(message["usage"]["output_tokens_details"]["thinking_tokens"].as_u64().unwrap() > 0);
    let mut next = next_round(&body, &message, "noon");
    both(&next).await;
    next["messages"][1]["content"].as_array_mut().unwrap().remove(0);
    check(next, "Expected `thinking`").await;
}

#[tokio::test]
async fn omitted_thinking_still_has_its_signature() {
    let mut body = ask("hello");
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2000, "display": "omitted"});
    let message = both(&body).await;
    let block = &message["content"][0];
    assert_eq!(block["thinking"], "");
    let mut next = next_round(&body, &message, "");
    next["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "more"}));
    both(&next).await;
    next["messages"][1]["content"][0]["thinking"] = "invented".into();
    check(next, "Invalid signature").await;
}

#[tokio::test]
async fn threads_are_refused_with_the_code_that_clients_understand() {
    let mut body = ask("hello");
    body["thread"] = json!({"type": "create"});
    let (status, error) = refused(&body).await;
    assert_eq!(status, 400);
    assert_eq!(error["error"]["details"]["error_code"], "thread_unsupported_request");
}

#[tokio::test]
async fn fields_of_the_gateway_must_not_get_here() {
    let mut body = ask("hello");
    body["gateway"] = json!({"tags": {}});
    check(body, "gateway: Extra inputs").await;
}

#[tokio::test]
async fn count_tokens_is_as_strict() {
    let body = conversation(json!([]));
    let sent = simulator().send(&context(""), attempt(&body, Endpoint::CountTokens)).await;
    let error = sent.err().expect("it was accepted");
    assert_eq!(error.status(), 400);
}
