//! Gemini at AI Studio and at Vertex AI: addresses, credentials, counts, signatures, and errors.
use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::head::Head;
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};
use crate::support::{MESSAGE, STREAM};

const KEY: &str = include_str!("../../fixtures/test_account.pem");
const HELLO: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":1,"totalTokenCount":6},"modelVersion":"gemini-3.5-flash"}"#;
const CALLING: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"name":"f","args":{"n":1}},"thoughtSignature":"AbC="}]},"finishReason":"STOP","index":0}]}"#;

/// Returns a stream of this answer, as Gemini sends it.
fn events(body: &str) -> Vec<u8> {
    let text = format!("data: {body}\r\n\r\n");
    upstream::answer(200, "content-type: text/event-stream\r\n", text)
}

/// Returns an AI Studio with this answer.
async fn studio(answer: &'static str) -> Auto {
    Upstream::by(move |call: &Call| {
        let target = call.head.target();
        Behaviour::Answer(match () {
            () if target.contains(":countTokens") => upstream::json(200, r#"{"totalTokens":42}"#),
            () if target.contains(":streamGenerateContent") => events(answer),
            () => upstream::json(200, answer),
        })
    })
    .await
}

async fn gateway(up: &Auto, more: &str) -> Gateway {
    let address = up.address;
    let config = format!(
        "{{ type: gemini, api_key: AIza-1, base_url: \"http://{address}/v1beta/\", {more} }}"
    );
    Gateway::with().provider("google", &config).start().await
}

fn to(model: &str, body: &str) -> String {
    body.replace(r#""model":"m""#, &format!(r#""model":"{model}""#))
}

/// Returns the method's address and the header of the key.
fn addressed(head: &Head) -> (String, Option<&str>) {
    (head.target().to_owned(), head.header("x-goog-api-key"))
}

#[tokio::test]
async fn messages_streams_and_counts_go_to_their_methods_with_the_key() {
    let up = studio(HELLO).await;
    let gateway = gateway(&up, "headers: { x-team: research }").await;
    let answer = Ask::message(to("gemini-3.5-flash", MESSAGE))
        .header("anthropic-beta", "context-1m-2025-08-07")
        .send(gateway.address)
        .await
        .message();
    assert_eq!(answer["content"], json!([{"type": "text", "text": "Hello"}]));
    assert_eq!(
        (&answer["model"], &answer["stop_reason"]),
        (&json!("gemini-3.5-flash"), &json!("end_turn"))
    );
    let streamed = Ask::message(to("models/gemini-3.5-flash", STREAM)).send(gateway.address).await;
    assert!(
        streamed.text().ends_with("data: {\"type\":\"message_stop\"}\n\n"),
        "{}",
        streamed.text()
    );
    let count = Ask::post("/v1/messages/count_tokens", to("gemini-3.5-flash", MESSAGE));
    let count = count.send(gateway.address).await;
    assert_eq!(count.message(), json!({"input_tokens": 42}));
    let seen = up.seen();
    let models = "/v1beta/models/gemini-3.5-flash";
    let expected = ["generateContent", "streamGenerateContent?alt=sse", "countTokens"];
    for ((head, _), method) in seen.iter().zip(expected) {
        assert_eq!(addressed(head), (format!("{models}:{method}"), Some("AIza-1")));
        assert_eq!(
            (head.header("x-team"), head.header("anthropic-beta")),
            (Some("research"), None)
        );
        assert_eq!((head.header("x-api-key"), head.header("anthropic-version")), (None, None));
    }
    let expected = json!({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 16},
    });
    assert_eq!(serde_json::from_slice::<Value>(&seen[0].1).unwrap(), expected);
}

#[tokio::test]
async fn a_name_of_a_model_cannot_leave_its_place_in_the_address() {
    let up = studio(HELLO).await;
    let gateway = gateway(&up, "").await;
    for bad in ["../x", "a/../b", "models//x", "/x", "."] {
        let answer = Ask::message(to(bad, MESSAGE)).send(gateway.address).await;
        assert!(answer.refusal(400, "invalid_request_error").contains("`model`"), "{bad}");
    }
    assert_eq!(up.count(), 0);
    let answer = Ask::message(to("a?b:c d", MESSAGE)).send(gateway.address).await;
    assert_eq!(answer.status, 200);
    assert_eq!(up.seen()[0].0.target(), "/v1beta/models/a%3Fb%3Ac%20d:generateContent");
}

/// Returns the second request of a conversation whose first answer was a call of a tool.
fn continued(answer: &Value) -> String {
    let id = &answer["content"][1]["id"];
    json!({
        "model": answer["model"], "max_tokens": 16, "messages": [
            {"role": "user", "content": "hi"}, {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "r"}]},
        ],
    })
    .to_string()
}

fn signature(up: &Auto, request: usize) -> Value {
    let parts = up.requests()[request]["contents"][1]["parts"].clone();
    let call = parts.as_array().unwrap().iter().find(|part| !part["functionCall"].is_null());
    call.unwrap()["thoughtSignature"].clone()
}

#[tokio::test]
async fn a_signature_goes_back_to_the_upstream_and_the_client_never_reads_it() {
    let up = studio(CALLING).await;
    let gateway = gateway(&up, "").await;
    let answer = Ask::message(to("gemini-3.5-flash", MESSAGE)).send(gateway.address).await;
    assert!(answer.text().contains("\"signature\":\"tidegate."), "{}", answer.text());
    let answer = answer.message();
    assert_eq!(answer["content"][0]["thinking"], "hm");
    assert_eq!(answer["stop_reason"], "tool_use");
    Ask::message(continued(&answer)).send(gateway.address).await.message();
    assert_eq!(signature(&up, 1), "AbC=");
    // another model did not make it
    let other = continued(&answer).replace("gemini-3.5-flash", "gemini-3-pro");
    Ask::message(other).send(gateway.address).await.message();
    assert_eq!(signature(&up, 2), "skip_thought_signature_validator");
}

#[tokio::test]
async fn an_upstream_that_refuses_its_signature_receives_the_request_once_more_without_it() {
    let up = Upstream::by(|call: &Call| {
        let body = String::from_utf8_lossy(&call.body);
        let refusal = r#"{"error":{"code":400,"message":"Corrupted thought signature.","status":"INVALID_ARGUMENT"}}"#;
        Behaviour::Answer(match body.contains("AbC=") {
            true => upstream::json(400, refusal),
            false => upstream::json(200, CALLING),
        })
    })
    .await;
    let gateway = gateway(&up, "").await;
    let answer =
        Ask::message(to("gemini-3.5-flash", MESSAGE)).send(gateway.address).await.message();
    let again = Ask::message(continued(&answer)).send(gateway.address).await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!((up.count(), signature(&up, 2)), (3, json!("skip_thought_signature_validator")));
}

#[tokio::test]
async fn a_refusal_of_a_signature_that_was_not_sent_is_passed_on() {
    let refusal = r#"{"error":{"code":400,"message":"Function call is missing a thought_signature in functionCall parts.","status":"INVALID_ARGUMENT"}}"#;
    let up = Upstream::always(Behaviour::Answer(upstream::json(400, refusal))).await;
    let gateway = gateway(&up, "").await;
    let answer = Ask::message(to("gemini-3.5-flash", MESSAGE)).send(gateway.address).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert!(message.contains("missing a thought_signature"), "{message}");
    assert_eq!(up.count(), 1);
}

async fn refused(status: u16, body: &'static str) -> Answer {
    let up = Upstream::always(Behaviour::Answer(upstream::json(status, body))).await;
    let gateway = gateway(&up, "").await;
    Ask::message(to("gemini-3.5-flash", MESSAGE)).send(gateway.address).await
}

#[tokio::test]
async fn errors_of_google_are_the_apis_with_googles_words() {
    let quota = r#"[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"39s"}]}}]"#;
    let answer = refused(429, quota).await;
    assert_eq!(answer.refusal(429, "rate_limit_error"), "Quota exceeded");
    assert_eq!(answer.header("retry-after"), Some("39"));
    let key = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
    let answer = refused(400, key).await;
    assert_eq!(answer.refusal(401, "authentication_error"), "API key not valid.");
    let long = r#"{"error":{"code":400,"message":"The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#;
    let message = refused(400, long).await.refusal(400, "invalid_request_error");
    assert!(
        message.starts_with("prompt is too long: 1196265 tokens > 1048575 maximum"),
        "{message}"
    );
    let short = r#"{"error":{"code":400,"message":"The input token count exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#;
    let message = refused(400, short).await.refusal(400, "invalid_request_error");
    assert!(message.starts_with("prompt is too long: "), "{message}");
}

#[tokio::test]
async fn an_error_within_a_success_is_a_status_before_the_first_content() {
    let busy = r#"{"error":{"code":429,"message":"busy","status":"RESOURCE_EXHAUSTED"}}"#;
    let up = studio(busy).await;
    let gateway = gateway(&up, "").await;
    for body in [MESSAGE, STREAM] {
        let answer = Ask::message(to("gemini-3.5-flash", body)).send(gateway.address).await;
        assert_eq!(answer.refusal(429, "rate_limit_error"), "busy");
    }
}

#[tokio::test]
async fn a_list_of_chunks_in_place_of_events_is_a_stream() {
    let list = format!("[{HELLO}]");
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &list))).await;
    let gateway = gateway(&up, "").await;
    let answer = Ask::message(to("gemini-3.5-flash", STREAM)).send(gateway.address).await;
    assert!(answer.text().contains("Hello") && answer.text().contains("message_stop"));
}

#[tokio::test]
async fn lost_parts_are_named_in_the_header_and_hints_are_not() {
    let up = studio(HELLO).await;
    let gateway = gateway(&up, "").await;
    let body = json!({
        "model": "gemini-3.8-flash", "max_tokens": 16, "top_k": 5, "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}],
    });
    let answer = Ask::message(body.to_string()).send(gateway.address).await;
    assert_eq!(answer.header("x-tidegate-dropped"), Some("top_k"));
}

#[tokio::test]
async fn vertex_has_a_token_the_path_of_the_project_and_no_ids() {
    let up = Upstream::by(|call: &Call| {
        let token = r#"{"access_token":"ya29.x","expires_in":3599}"#;
        let target = call.head.target();
        Behaviour::Answer(match () {
            () if target == "/token" => upstream::json(200, token),
            () if target.contains(":countTokens") => upstream::json(200, r#"{"totalTokens":42}"#),
            () => upstream::json(200, CALLING),
        })
    })
    .await;
    let account = json!({
        "type": "service_account", "private_key": KEY, "client_email": "gateway@p.iam.gserviceaccount.com",
        "token_uri": format!("http://{}/token", up.address),
    });
    let config = format!(
        "{{ type: gemini, base_url: \"http://{}/v1beta1\", vertex: {{ project: my-project, credentials: account.json }} }}",
        up.address
    );
    let gateway = Gateway::with().provider("gcp", &config);
    let gateway = gateway.file("account.json", account.to_string()).start().await;
    let answer =
        Ask::message(to("gemini-3.5-flash", MESSAGE)).send(gateway.address).await.message();
    Ask::message(continued(&answer)).send(gateway.address).await.message();
    let count = Ask::post("/v1/messages/count_tokens", to("gemini-3.5-flash", MESSAGE));
    assert_eq!(count.send(gateway.address).await.message(), json!({"input_tokens": 42}));
    let seen = up.seen();
    let models =
        "/v1beta1/projects/my-project/locations/global/publishers/google/models/gemini-3.5-flash";
    assert_eq!(seen[1].0.target(), format!("{models}:generateContent"));
    assert_eq!(seen[3].0.target(), format!("{models}:countTokens"));
    assert_eq!(seen[1].0.header("authorization"), Some("Bearer ya29.x"));
    let body = String::from_utf8_lossy(&seen[2].1);
    assert!(!body.contains("\"id\"") && body.contains("AbC="), "{body}");
}
