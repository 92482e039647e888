//! Every route of the gateway, under every name that clients have for it.
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn a_message_goes_upstream_and_its_answer_comes_back() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ANSWER));
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.line, "POST /v1/messages HTTP/1.1");
    assert_eq!(body, MESSAGE.as_bytes());
}

#[tokio::test]
async fn every_spelling_of_a_route_reaches_it_and_keeps_its_query() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let table = [
        ("/v1/messages", "/v1/messages"),
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/v1/v1/messages?beta=true&x=%20y", "/v1/messages?beta=true&x=%20y"),
        ("/messages?", "/v1/messages?"),
        ("/v1/messages/count_tokens?beta=true", "/v1/messages/count_tokens?beta=true"),
        ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/messages/count_tokens", "/v1/messages/count_tokens"),
    ];
    for (asked, _) in table {
        assert_eq!(Ask::post(asked, MESSAGE).send(gateway.address).await.status, 200, "{asked}");
    }
    let seen: Vec<String> = up.seen().iter().map(|(head, _)| head.target().to_owned()).collect();
    assert_eq!(seen, table.map(|(_, expected)| expected));
}

#[tokio::test]
async fn a_base_url_with_a_path_stands_before_every_route() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config =
        to(up.address).replace(&up.address.to_string(), &format!("{}/team/a/", up.address));
    let gateway = Gateway::start(&format!("{config}passthrough: up\n")).await;
    Ask::message(MESSAGE).send(gateway.address).await;
    Ask::get("/v1/files?limit=1").send(gateway.address).await;
    let seen: Vec<String> = up.seen().iter().map(|(head, _)| head.target().to_owned()).collect();
    assert_eq!(seen, ["/team/a/v1/messages", "/team/a/v1/files?limit=1"]);
}

#[tokio::test]
async fn tokens_are_counted_by_the_upstream_without_max_tokens() {
    let up =
        Upstream::always(Behaviour::Answer(upstream::json(200, "{\"input_tokens\":14}"))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    // `stream` means nothing here, and must not make anybody wait for events
    let body = r#"{"model":"m","stream":true,"messages":[]}"#;
    let answer = Ask::post("/v1/messages/count_tokens", body).send(gateway.address).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"input_tokens": 14})));
    assert_eq!(answer.header("x-tidegate-target"), Some("up/m"));
    assert_eq!(up.seen()[0].1, body.as_bytes());
}

#[tokio::test]
async fn hello_is_answered_without_a_key() {
    let gateway = Gateway::start("providers: { up: { type: anthropic } }\nmodels: { m: { provider: up } }\nkeys: [{ name: a, key: secret }]\n").await;
    for (method, path) in
        [("GET", "/"), ("HEAD", "/"), ("HEAD", "/api/hello"), ("GET", "/api/hello")]
    {
        assert_eq!(
            Ask::new(method, path).send(gateway.address).await.status,
            200,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_wrong_method_is_rejected_with_the_allowed_one() {
    let gateway = Gateway::start("providers: { up: { type: anthropic } }\nmodels: { m: { provider: up } }\npassthrough: up\n").await;
    for path in ["/v1/messages", "/messages", "/v1/messages/count_tokens"] {
        let answer = Ask::get(path).send(gateway.address).await;
        let message = answer.refusal(405, "invalid_request_error");
        assert!(message.contains("allows POST, not GET"), "{message}");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
}

#[tokio::test]
async fn models_are_only_read() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for target in ["/v1/models", "/v1/models/m"] {
        assert_eq!(Ask::new("HEAD", target).send(gateway.address).await.status, 200);
        let answer = Ask::post(target, MESSAGE).send(gateway.address).await;
        answer.refusal(405, "invalid_request_error");
        assert_eq!(answer.header("allow"), Some("GET"));
    }
}

#[tokio::test]
async fn unknown_routes_return_404() {
    let gateway =
        Gateway::start("providers: { up: { type: anthropic } }\nmodels: { m: { provider: up } }\n")
            .await;
    for path in ["/v2/messages", "/favicon.ico", "/v1/files", "/v1/messages/batches", "/messagesX"]
    {
        let message = Ask::get(path).send(gateway.address).await.refusal(404, "not_found_error");
        assert!(message.contains(path) || path.starts_with("/messages/"), "{message}");
    }
    let message = Ask::get("/v1/files").send(gateway.address).await.refusal(404, "not_found_error");
    assert!(message.contains("`passthrough:`"), "{message}");
}

const MODELS: &str = "providers: { up: { type: anthropic } }
models:
  claude-b: { provider: up }
  claude-a: { provider: up }
  other: { provider: up }
  claude-c: { provider: up }
  \"claude-*\": { provider: up }
keys:
  - { name: all, key: k-all }
  - { name: few, key: k-few, models: [\"claude-*\"] }
";

async fn listed(gateway: &Gateway, key: &str, query: &str) -> Value {
    let ask = Ask::get(&format!("/v1/models{query}")).header("x-api-key", key);
    let answer = ask.send(gateway.address).await;
    assert_eq!(answer.status, 200);
    let page = answer.json();
    let ids: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(page["first_id"], ids.first().map_or(Value::Null, |id| (*id).clone()));
    assert_eq!(page["last_id"], ids.last().map_or(Value::Null, |id| (*id).clone()));
    json!([ids, page["has_more"]])
}

#[tokio::test]
async fn models_are_the_aliases_that_this_caller_may_use() {
    let gateway = Gateway::start(MODELS).await;
    let table = [
        ("k-all", "", json!([["claude-a", "claude-b", "claude-c", "other"], false])),
        ("k-few", "", json!([["claude-a", "claude-b", "claude-c"], false])),
        ("k-all", "?limit=2", json!([["claude-a", "claude-b"], true])),
        ("k-all", "?limit=2&after_id=claude-b", json!([["claude-c", "other"], false])),
        ("k-all", "?limit=2&before_id=other", json!([["claude-b", "claude-c"], true])),
        ("k-all", "?after_id=other", json!([[], false])),
        ("k-all", "?after_id=other&before_id=claude-a", json!([[], false])),
        ("k-all", "?lifecycle[]=active&limit=1", json!([["claude-a"], true])),
        (
            "k-all",
            "?lifecycle%5B%5D=retired&lifecycle[]=active&limit=1",
            json!([["claude-a"], true]),
        ),
        ("k-all", "?lifecycle[]=deprecated", json!([[], false])),
        ("k-few", "?limit=1000", json!([["claude-a", "claude-b", "claude-c"], false])),
    ];
    for (key, query, expected) in table {
        assert_eq!(listed(&gateway, key, query).await, expected, "{key} {query}");
    }
    for limit in ["0", "1001", "many", "-1", ""] {
        let ask = Ask::get(&format!("/v1/models?limit={limit}")).header("x-api-key", "k-all");
        let message = ask.send(gateway.address).await.refusal(400, "invalid_request_error");
        assert!(message.contains("from 1 to 1000"), "{message}");
    }
}

#[tokio::test]
async fn an_unknown_stage_of_a_models_life_is_a_400() {
    let gateway = Gateway::start(MODELS).await;
    let ask = Ask::get("/v1/models?lifecycle[]=new").header("x-api-key", "k-all");
    let message = ask.send(gateway.address).await.refusal(400, "invalid_request_error");
    let wanted = "`lifecycle[]` is `new`: it must be one of `active`, `deprecated`, `retired`";
    assert_eq!(message, wanted);
}

#[tokio::test]
async fn one_model_has_the_shape_of_the_api() {
    let gateway = Gateway::start(MODELS).await;
    let get = async |id: &str, key: &str| {
        Ask::get(&format!("/v1/models/{id}")).header("x-api-key", key).send(gateway.address).await
    };
    let model = get("claude-a", "k-few").await.json();
    assert_eq!((&model["type"], &model["id"]), (&json!("model"), &json!("claude-a")));
    assert!(model["display_name"].is_string() && model["created_at"].is_string());
    // only a wildcard knows it, but it can be used
    assert_eq!(get("claude-opus-4-6", "k-few").await.json()["id"], "claude-opus-4-6");
    get("other", "k-few").await.refusal(403, "permission_error");
    get("nope", "k-all").await.refusal(404, "not_found_error");
}

#[tokio::test]
async fn a_model_with_a_slash_in_its_name_is_found_as_clients_write_it() {
    let gateway = Gateway::start(
        "providers: { up: { type: anthropic } }\nmodels: { \"team/fast+1\": { provider: up } }\n",
    )
    .await;
    for path in ["/v1/models/team%2Ffast+1", "/v1/models/team%2ffast%2B1", "/v1/models/team/fast+1"]
    {
        let answer = Ask::get(path).send(gateway.address).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!("team/fast+1")), "{path}");
    }
}
