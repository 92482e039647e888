//! `count_tokens` answers for every target: by the upstream, or by an estimate that is marked.
use serde_json::json;

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};

const COUNT: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello world"}]}"#;

async fn up(status: u16, body: &str) -> Auto {
    Upstream::always(Behaviour::Answer(upstream::json(status, body))).await
}

async fn counted(up: &Auto, model: &str, body: &str) -> Answer {
    let gateway = Gateway::with()
        .upstream(up.address)
        .model("m", &format!("{{ provider: up, model: {model} }}"))
        .start()
        .await;
    Ask::post("/v1/messages/count_tokens", body).send(gateway.address).await
}

#[tokio::test]
async fn the_upstreams_own_count_is_passed_on_unmarked() {
    let up = up(200, r#"{"input_tokens":5}"#).await;
    let answer = counted(&up, "claude-opus-5", COUNT).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"input_tokens":5}"#));
    assert_eq!(answer.header("x-tidegate-estimated"), None);
}

#[tokio::test]
async fn an_upstream_without_a_count_gets_a_marked_estimate() {
    for (status, body) in [
        (404, "404 page not found"),
        (404, r#"{"detail":"Not Found"}"#),
        (405, "{}"),
        (501, "{}"),
        (200, r#"{"error":"Unexpected endpoint or method. (POST /v1/messages/count_tokens)"}"#),
    ] {
        let up = up(status, body).await;
        for (model, tokens) in [("claude-opus-5", 11), ("gpt-5.4", 9), ("unheard-of", 10)] {
            let answer = counted(&up, model, COUNT).await;
            assert_eq!(answer.status, 200, "{status} {body}: {}", answer.text());
            assert_eq!(answer.json(), json!({"input_tokens": tokens}), "{model}");
            assert_eq!(answer.header("x-tidegate-estimated"), Some("true"));
            assert_eq!(answer.header("x-tidegate-target"), Some(&*format!("up/{model}")));
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn a_count_that_fails_for_another_reason_is_that_failure() {
    let unknown = r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#;
    for (status, body) in [(404, unknown), (401, "{}"), (400, "{}"), (529, "{}")] {
        let up = up(status, body).await;
        let answer = counted(&up, "claude-opus-5", COUNT).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body));
        assert_eq!(answer.header("x-tidegate-estimated"), None);
    }
}

#[tokio::test]
async fn a_large_request_is_estimated_whatever_its_text() {
    let up = up(404, "").await;
    for text in ["a".repeat(1 << 20), "0".repeat(1 << 20), " ".repeat(1 << 20)] {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
        let answer = counted(&up, "gpt-5.4", &body.to_string()).await;
        let tokens = answer.json()["input_tokens"].as_u64().unwrap();
        assert!((8_000..500_000).contains(&tokens), "{tokens}");
    }
}

#[tokio::test]
async fn a_wrong_request_is_refused_before_it_is_estimated() {
    let up = up(404, "").await;
    counted(&up, "gpt-5.4", r#"{"model":"m"}"#).await.refusal(400, "invalid_request_error");
    counted(&up, "gpt-5.4", "{").await.refusal(400, "invalid_request_error");
}
