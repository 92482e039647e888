//! Keys that end, are disabled, or may use some server tools only.
use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Gateway, looping, simulated_upstream};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn a_key_that_is_disabled_or_expired_is_a_401_until_a_reload_revives_it() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = |ends: &str, disabled: bool| {
        format!(
            "providers: {{ up: {{ type: anthropic, api_key: k, base_url: \"http://{}\" }} }}
models: {{ m: {{ provider: up }} }}
keys: [{{ name: old, key: tg-old, expires: {ends} }}, {{ name: off, key: tg-off, disabled: {disabled} }}]
",
            up.address
        )
    };
    let gateway = Gateway::start(&config("2020-01-31T12:00:00Z", true)).await;
    let ask =
        async |key| Ask::message(MESSAGE).header("x-api-key", key).send(gateway.address).await;
    for (key, part) in
        [("tg-old", "`old` expired at 2020-01-31T12:00:00Z"), ("tg-off", "`off` is disabled")]
    {
        let answer = ask(key).await;
        let message = answer.refusal(401, "authentication_error");
        assert!(message.contains(part), "{message}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        for path in ["/v1/models", "/v1/files"] {
            let asked = Ask::get(path).header("x-api-key", key).send(gateway.address).await;
            asked.refusal(401, "authentication_error");
        }
    }
    assert_eq!(up.count(), 0);
    gateway.reload(&config("2999-01-31", false)).await;
    for key in ["tg-old", "tg-off"] {
        assert_eq!(ask(key).await.status, 200);
    }
}

const KEYS: &str = "keys:
  - { name: all, key: tg-all }
  - { name: some, key: tg-some, tools: [\"da*\", \"gateway:twice\", \"code_execution\"] }
  - { name: none, key: tg-none, tools: [] }
";

async fn ask(gateway: &Gateway, key: &str, tools: Value) -> Answer {
    let body = json!({
        "model": "m", "max_tokens": 100, "tools": tools, "messages": [{"role": "user", "content": "[sim: say ok]"}],
    });
    Ask::message(body.to_string()).header("x-api-key", key).send(gateway.address).await
}

#[tokio::test]
async fn a_server_tool_that_is_not_this_keys_is_forbidden_whoever_runs_it() {
    let upstream = simulated_upstream().await;
    let config = format!("{KEYS}passthrough: up\n");
    let gateway = looping(upstream.address).config(config).start().await;
    let own = json!({"name": "mine", "input_schema": {"type": "object"}});
    for (tool, name, some) in [
        (json!({"type": "gateway:datetime"}), "datetime", true),
        (json!({"type": "gateway:twice"}), "twice", true),
        (json!({"type": "gateway:advisor"}), "advisor", false),
        (json!({"type": "web_search_20250305", "name": "web_search"}), "web_search", false),
        (
            json!({"type": "code_execution_20260521", "name": "code_execution"}),
            "code_execution",
            true,
        ),
        (
            json!({"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}),
            "tool_search_tool_bm25",
            false,
        ),
    ] {
        let tools = json!([own, {"type": "bash_20250124", "name": "bash"}, tool]);
        let before = upstream.count();
        let refused = ask(&gateway, "tg-none", tools.clone()).await;
        let message = refused.refusal(403, "permission_error");
        assert!(
            message.starts_with("`tools[2]`: the key `none`")
                && message.contains(&format!("`{name}`")),
            "{message}"
        );
        assert_eq!(upstream.count(), before);
        let answer = ask(&gateway, "tg-some", tools.clone()).await;
        assert_eq!(answer.status == 200, some, "{tool}: {}", answer.text());
        assert_eq!(ask(&gateway, "tg-all", tools).await.status, 200, "{tool}");
    }
    // tools of the client are no server tools
    let tools = json!([own, {"type": "bash_20250124", "name": "bash"}, {"type": "memory_20250818", "name": "memory"}]);
    assert_eq!(ask(&gateway, "tg-none", tools).await.status, 200);
    // on a route without tools in sight, the key could use any
    let asked = Ask::get("/v1/files").header("x-api-key", "tg-none").send(gateway.address).await;
    assert!(asked.refusal(403, "permission_error").contains("server tools"));
}

#[tokio::test]
async fn mcp_servers_need_the_right_to_their_tools() {
    let upstream = simulated_upstream().await;
    let gateway = looping(upstream.address).config(KEYS).start().await;
    let servers = json!([{"type": "url", "name": "s", "url": "https://mcp.example.com"}]);
    let body = json!({
        "model": "m", "max_tokens": 9, "mcp_servers": servers, "messages": [{"role": "user", "content": "hi"}],
    });
    for (key, status) in [("tg-none", 403), ("tg-some", 403), ("tg-all", 200)] {
        let asked = Ask::message(body.to_string()).header("x-api-key", key);
        assert_eq!(asked.send(gateway.address).await.status, status, "{key}");
    }
}

#[tokio::test]
async fn a_tool_that_a_policy_adds_is_left_out_for_a_key_that_may_not_use_it() {
    let upstream = simulated_upstream().await;
    let policy =
        "fn on_request(request, ctx) { add_tool(#{type: \"gateway:advisor\", model: \"sim\"}); }";
    let gateway = looping(upstream.address).config(KEYS).policy("adds", policy).start().await;
    let names = |body: &Value| -> Vec<String> {
        let tools = body["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let own = json!({"name": "mine", "input_schema": {"type": "object"}});
    for (key, tools, expected) in [
        ("tg-all", json!([own]), vec!["mine", "gateway_advisor"]),
        ("tg-some", json!([own]), vec!["mine"]),
        ("tg-none", json!([]), vec![]),
    ] {
        let answer = ask(&gateway, key, tools).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(names(upstream.requests().last().unwrap()), expected, "{key}");
    }
}
