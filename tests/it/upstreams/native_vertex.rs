//! Claude on Vertex AI: rawPredict, tokens of Google, and both kinds of error bodies.
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

const KEY: &str = include_str!("../../fixtures/test_account.pem");
const MODELS: &str = "/v1/projects/my-project/locations/global/publishers/anthropic/models";

fn account(server: &Auto) -> String {
    json!({
        "type": "service_account",
        "private_key_id": "kid-1",
        "private_key": KEY,
        "client_email": "gateway@p.iam.gserviceaccount.com",
        "token_uri": format!("http://{}/token", server.address),
    })
    .to_string()
}

/// A Google that hands out tokens, and a Vertex AI with this answer to a message.
async fn google(answer: Vec<u8>) -> Auto {
    Upstream::by(move |call: &Call| {
        let target = call.head.target();
        Behaviour::Answer(match () {
            () if target == "/token" => {
                upstream::json(200, r#"{"access_token":"ya29.x","expires_in":3599}"#)
            }
            () if target.ends_with(":streamRawPredict") => upstream::stream(&FRAMES),
            () if target.ends_with("/count-tokens:rawPredict") => {
                upstream::json(200, r#"{"input_tokens":9}"#)
            }
            () => answer.clone(),
        })
    })
    .await
}

async fn gateway(up: &Auto, more: &str) -> Gateway {
    let config = format!(
        "{{ type: vertex, project: my-project, base_url: \"http://{}/v1\", credentials: account.json, {more} }}",
        up.address
    );
    Gateway::with().provider("gcp", &config).file("account.json", account(up)).start().await
}

fn to(model: &str, body: &str) -> String {
    body.replace(r#""model":"m""#, &format!(r#""model":"{model}""#))
}

/// The calls that were no request for a token.
fn calls(up: &Auto) -> Vec<(crate::support::head::Head, Vec<u8>)> {
    up.seen().into_iter().filter(|(head, _)| head.target() != "/token").collect()
}

#[tokio::test]
async fn messages_streams_and_counts_go_to_raw_predict_with_one_token() {
    let up = google(upstream::json(200, ANSWER)).await;
    let gateway = gateway(&up, "").await;
    let asking = Ask::post("/v1/messages?beta=true", to("claude-haiku-4-5", MESSAGE)).header(
        "anthropic-beta",
        "web-search-2025-03-05,skills-2025-10-02,advanced-tool-use-2025-11-20",
    );
    let answer = asking.send(gateway.address).await;
    assert_eq!(answer.message(), serde_json::from_str::<Value>(ANSWER).unwrap());
    assert_eq!(answer.header("x-tidegate-dropped"), Some("skills-2025-10-02"));
    let streamed = Ask::message(to("claude-opus-5-5", STREAM)).send(gateway.address).await;
    assert_eq!(streamed.text(), FRAMES.concat());
    let count = Ask::post("/v1/messages/count_tokens", to("claude-haiku-4-5", MESSAGE));
    assert_eq!(count.send(gateway.address).await.message(), json!({"input_tokens": 9}));
    let seen = calls(&up);
    assert_eq!((seen.len(), up.count()), (3, 4), "one token serves all");
    let (head, body) = &seen[0];
    assert_eq!(head.target(), format!("{MODELS}/claude-haiku-4-5@20251001:rawPredict"));
    assert_eq!(head.header("authorization"), Some("Bearer ya29.x"));
    assert_eq!(
        head.header("anthropic-beta"),
        Some("web-search-2025-03-05,tool-search-tool-2025-10-19")
    );
    assert_eq!(
        std::str::from_utf8(body).unwrap(),
        r#"{"max_tokens":16,"messages":[{"role":"user","content":"hi"}],"anthropic_version":"vertex-2023-10-16"}"#
    );
    let (head, body) = &seen[1];
    assert_eq!(head.target(), format!("{MODELS}/claude-opus-5-5:streamRawPredict"));
    assert!(std::str::from_utf8(body).unwrap().contains(r#""stream":true"#));
    let (head, body) = &seen[2];
    assert_eq!(head.target(), format!("{MODELS}/count-tokens:rawPredict"));
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        (&body["model"], &body["anthropic_version"]),
        (&"claude-haiku-4-5@20251001".into(), &"vertex-2023-10-16".into())
    );
}

#[tokio::test]
async fn errors_of_google_are_wrapped_and_anthropics_own_pass() {
    let quota = r#"[{"error":{"code":429,"message":"Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"39s"}]}}]"#;
    let up = google(upstream::json(429, quota)).await;
    let first = gateway(&up, "").await;
    let answer = Ask::message(MESSAGE).send(first.address).await;
    assert!(answer.error(429).starts_with("Quota exceeded"));
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    assert_eq!(answer.header("retry-after"), Some("39"));
    let own = r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: required"},"request_id":"req_vrtx_1"}"#;
    let up = google(upstream::json(400, own)).await;
    let second = gateway(&up, "").await;
    let answer = Ask::message(MESSAGE).send(second.address).await;
    assert_eq!((answer.status, answer.text().as_str()), (400, own));
}

#[tokio::test]
async fn a_rejected_token_is_replaced() {
    let missing = r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}"#;
    let up = google(upstream::json(401, missing)).await;
    let gateway = gateway(&up, "").await;
    for _ in 0..2 {
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
    }
    assert_eq!(up.count(), 4, "each attempt obtained a token");
}

#[tokio::test]
async fn without_a_token_the_answer_is_a_502_that_names_no_address() {
    let up = Upstream::by(|_| {
        let refusal = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
        Behaviour::Answer(upstream::json(400, refusal))
    })
    .await;
    let gateway = gateway(&up, "").await;
    let message = Ask::message(MESSAGE).send(gateway.address).await.refusal(502, "api_error");
    assert_eq!(message, "the gateway has no credential for the upstream");
}

#[tokio::test]
async fn system_messages_are_demoted_if_the_config_says_so() {
    let up = google(upstream::json(200, ANSWER)).await;
    let gateway = gateway(&up, "system_messages: demote, location: us-east5").await;
    let body = json!({"model": "claude-opus-5", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]});
    gateway.ask(&body).await.message();
    let (head, body) = calls(&up).remove(0);
    assert!(head.target().starts_with("/v1/projects/my-project/locations/us-east5/"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["messages"][1], json!({"role": "user", "content": "<system>b</system>"}));
}
