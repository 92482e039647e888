//! Claude on Bedrock: InvokeModel with its event stream, and the native Messages endpoints.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::aws_frames::{chunk, exception};
use crate::support::client::Ask;
use crate::support::events::{EventKind, folded, kinds};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream, chunked};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, grammar, logs};

const KEYS: &str = "credentials: { access_key_id: AKIDEXAMPLE, secret_access_key: secret }";
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\nx-amzn-requestid: aws-1\r\ntransfer-encoding: chunked\r\n\r\n";

/// The events of a stream, as Bedrock sends them.
fn frames() -> Vec<Vec<u8>> {
    FRAMES.iter().map(|frame| chunk(frame.split_once("data: ").unwrap().1.trim())).collect()
}

fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = frames.iter().flat_map(chunked).collect();
    [HEAD.as_bytes(), &body, b"0\r\n\r\n"].concat()
}

fn rejection(status: u16, name: &str, message: &str) -> Vec<u8> {
    let headers = format!(
        "content-type: application/json\r\nx-amzn-requestid: aws-{status}\r\nx-amzn-errortype: {name}:http://internal.amazon.com/\r\n"
    );
    upstream::answer(status, &headers, json!({"message": message}).to_string())
}

/// A Bedrock that answers every route of the runtime.
async fn bedrock() -> Auto {
    Upstream::by(|call: &Call| {
        let target = call.head.target();
        Behaviour::Answer(match () {
            () if target.ends_with("/invoke-with-response-stream") => stream(&frames()),
            () if target.ends_with("/invoke") => upstream::json(200, ANSWER),
            () if target.ends_with("/count-tokens") => upstream::json(200, r#"{"inputTokens":12}"#),
            () => upstream::json(200, r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#),
        })
    })
    .await
}

async fn gateway(up: &Auto, more: &str) -> Gateway {
    let config = format!(
        "{{ type: bedrock, region: us-east-1, base_url: \"http://{}\", {more} }}",
        up.address
    );
    Gateway::with().provider("aws", &config).start().await
}

fn to(model: &str, body: &str) -> String {
    body.replace(r#""model":"m""#, &format!(r#""model":"{model}""#))
}

async fn always(answer: Vec<u8>) -> Auto {
    Upstream::always(Behaviour::Answer(answer)).await
}

#[tokio::test]
async fn a_message_goes_to_invoke_model_signed_and_in_its_form() {
    let up = bedrock().await;
    let gateway = gateway(&up, KEYS).await;
    let asking = Ask::post("/v1/messages?beta=true", to("claude-haiku-4-5", MESSAGE))
        .header("anthropic-version", "2026-10-21")
        .header("anthropic-beta", "claude-code-20250219,context-1m-2025-08-07")
        .header("x-api-key", "callers");
    let answer = asking.send(gateway.address).await;
    assert_eq!(answer.message(), serde_json::from_str::<Value>(ANSWER).unwrap());
    assert_eq!(answer.header("x-tidegate-dropped"), Some("claude-code-20250219"));
    assert_eq!(answer.header("x-tidegate-target"), Some("aws/claude-haiku-4-5"));
    let (head, body) = up.seen().remove(0);
    assert_eq!(
        head.line,
        "POST /model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke HTTP/1.1"
    );
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"max_tokens":16,"messages":[{"role":"user","content":"hi"}],"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["context-1m-2025-08-07"]}"#
    );
    let signed = head.header("authorization").unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signed}");
    assert!(
        signed.contains(
            "/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
        ),
        "{signed}"
    );
    for absent in ["x-api-key", "anthropic-version", "anthropic-beta"] {
        assert_eq!(head.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_stream_of_frames_becomes_server_sent_events() {
    let up = bedrock().await;
    let gateway = gateway(&up, "api_key: bedrock-api-key-x, profile: none").await;
    let streamed = Ask::message(to("claude-opus-5", STREAM)).send(gateway.address).await;
    assert_eq!((streamed.status, streamed.text()), (200, FRAMES.concat()));
    assert_eq!(streamed.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(streamed.header("request-id"), Some("aws-1"));
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.target(), "/model/anthropic.claude-opus-5/invoke-with-response-stream");
    assert_eq!(head.header("authorization"), Some("Bearer bedrock-api-key-x"));
    assert_eq!(head.header("accept"), Some("application/vnd.amazon.eventstream"));
    assert!(!String::from_utf8(body).unwrap().contains("stream"));
}

#[tokio::test]
async fn an_arn_is_one_segment_of_the_path_and_cloud_ids_pass() {
    let up = bedrock().await;
    let gateway = gateway(&up, &format!("{KEYS}, profile: global")).await;
    for (model, path) in [
        (
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            "/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc/invoke",
        ),
        ("eu.anthropic.claude-opus-5", "/model/eu.anthropic.claude-opus-5/invoke"),
        ("claude-opus-4-6", "/model/global.anthropic.claude-opus-4-6-v1/invoke"),
    ] {
        Ask::message(to(model, MESSAGE)).send(gateway.address).await.message();
        assert_eq!(up.seen().pop().unwrap().0.target(), path);
    }
    let refused = Ask::message(to("..", MESSAGE)).send(gateway.address).await;
    refused.refusal(400, "invalid_request_error");
}

#[tokio::test]
async fn an_exception_before_the_message_is_a_status_and_after_it_an_event() {
    let throttled = exception("throttlingException", r#"{"message":"slow down"}"#);
    let up = always(stream(std::slice::from_ref(&throttled))).await;
    let first = gateway(&up, KEYS).await;
    let answer = Ask::message(STREAM).send(first.address).await;
    assert_eq!(answer.error(429), "slow down");
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    let mut late = frames();
    late.truncate(3);
    late.push(throttled);
    late.extend(frames());
    let up = always(stream(&late)).await;
    let second = gateway(&up, KEYS).await;
    let events = Ask::message(STREAM).send(second.address).await.events();
    grammar::check(&events).unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(
        events[3].json()["error"],
        json!({"type": "rate_limit_error", "message": "slow down"})
    );
}

#[tokio::test]
async fn a_damaged_frame_ends_the_stream_with_an_error() {
    let mut damaged = frames();
    let last = damaged[3].len() - 10;
    damaged[3][last] ^= 1;
    let up = always(stream(&damaged)).await;
    let first = gateway(&up, KEYS).await;
    let events = Ask::message(STREAM).send(first.address).await.events();
    grammar::check(&events).unwrap();
    assert_eq!(kinds(&events).last(), Some(&EventKind::Error));
    assert_eq!(events.len(), 4);
    // cut between two frames
    let up = always(stream(&frames()[..5])).await;
    let second = gateway(&up, KEYS).await;
    let events = Ask::message(STREAM).send(second.address).await.events();
    assert_eq!(kinds(&events)[4..], [EventKind::MessageDelta, EventKind::Error]);
}

#[tokio::test]
async fn counts_of_the_cache_come_from_bedrocks_own_metrics() {
    let mut all = frames();
    all[5] = chunk(
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":2,"cacheReadInputTokenCount":40,"cacheWriteInputTokenCount":2}}"#,
    );
    let up = always(stream(&all)).await;
    let gateway = gateway(&up, KEYS).await;
    let events = Ask::message(STREAM).send(gateway.address).await.events();
    let usage = &folded(&events)["usage"];
    assert_eq!(
        (&usage["cache_read_input_tokens"], &usage["cache_creation_input_tokens"]),
        (&json!(40), &json!(2))
    );
    assert_eq!(events[5].json(), json!({"type": "message_stop"}));
    let read = gateway.measured("tidegate_gen_ai_client_token_usage_sum", "cache_read").await;
    assert_eq!(read, 40.0);
}

#[tokio::test]
async fn a_success_that_is_no_message_is_a_502() {
    let unknown = r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#;
    let up = always(upstream::json(200, unknown)).await;
    let gateway = gateway(&up, KEYS).await;
    for body in [MESSAGE, STREAM] {
        let answer = Ask::message(body).send(gateway.address).await;
        let message = answer.refusal(502, "api_error");
        assert!(!message.contains("Unknown"), "{message}");
    }
    let count = Ask::post("/v1/messages/count_tokens", to("claude-haiku-4-5", MESSAGE));
    count.send(gateway.address).await.refusal(502, "api_error");
}

#[tokio::test]
async fn rejections_get_the_envelope_and_their_type() {
    logs::start();
    let table = [
        (400, "ValidationException", "invalid_request_error"),
        (403, "AccessDeniedException", "permission_error"),
        (404, "ResourceNotFoundException", "not_found_error"),
        (424, "ModelErrorException", "api_error"),
        (429, "ThrottlingException", "rate_limit_error"),
        (503, "ServiceUnavailableException", "overloaded_error"),
    ];
    for (status, name, kind) in table {
        let up = always(rejection(status, name, "why")).await;
        let gateway = gateway(&up, KEYS).await;
        for body in [MESSAGE, STREAM] {
            let answer = Ask::message(body).send(gateway.address).await;
            assert_eq!(answer.error(status), "why");
            let json = answer.json();
            assert_eq!(
                (&json["error"]["type"], &json["request_id"]),
                (&kind.into(), &format!("aws-{status}").into())
            );
            assert_eq!(answer.header("request-id"), Some(format!("aws-{status}").as_str()));
        }
        if status == 403 {
            let line = logs::line("upstream_request_id", "aws-403").await;
            let message = line["error"].as_str().unwrap().to_owned();
            assert!(
                message.contains("the upstream rejects the gateway's own credential"),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn tokens_are_counted_for_models_that_bedrock_counts() {
    let up = bedrock().await;
    let gateway = gateway(&up, KEYS).await;
    let count = |model: &str| {
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        Ask::post("/v1/messages/count_tokens", body).send(gateway.address)
    };
    assert_eq!(count("claude-haiku-4-5").await.message(), json!({"input_tokens": 12}));
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.target(), "/model/anthropic.claude-haiku-4-5-20251001-v1:0/count-tokens");
    let body: Value = serde_json::from_slice(&body).unwrap();
    let inner = BASE64_STANDARD.decode(body["input"]["invokeModel"]["body"].as_str().unwrap());
    assert_eq!(
        String::from_utf8(inner.unwrap()).unwrap(),
        r#"{"messages":[{"role":"user","content":"hi"}],"anthropic_version":"bedrock-2023-05-31","max_tokens":1}"#
    );
    assert_eq!(up.count(), 1);
}

#[tokio::test]
async fn guardrails_are_headers_of_the_config_and_signed() {
    let up = bedrock().await;
    let headers = "headers: { x-amzn-bedrock-guardrailidentifier: gr-1, x-amzn-bedrock-guardrailversion: DRAFT }, betas: { claude-code-20250219: keep, effort-2025-11-24: drop }";
    let gateway = gateway(&up, &format!("{KEYS}, {headers}")).await;
    let asking =
        Ask::message(MESSAGE).header("anthropic-beta", "claude-code-20250219, effort-2025-11-24");
    let answer = asking.send(gateway.address).await;
    assert_eq!(answer.header("x-tidegate-dropped"), Some("effort-2025-11-24"));
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.header("x-amzn-bedrock-guardrailidentifier"), Some("gr-1"));
    assert!(
        head.header("authorization")
            .unwrap()
            .contains("x-amzn-bedrock-guardrailidentifier;x-amzn-bedrock-guardrailversion")
    );
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["anthropic_beta"], json!(["claude-code-20250219"]));
}

#[tokio::test]
async fn the_native_endpoints_take_the_api_as_it_is_with_bedrocks_ids() {
    let up = Upstream::by(|call: &Call| {
        Behaviour::Answer(match (call.head.target(), call.text().contains(r#""stream":true"#)) {
            ("/anthropic/v1/messages/count_tokens", _) => {
                upstream::json(200, r#"{"input_tokens":5}"#)
            }
            (_, true) => upstream::stream(&FRAMES),
            _ => upstream::json(200, ANSWER),
        })
    })
    .await;
    let table = [
        ("api: messages", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock"),
        ("api: mantle", "anthropic.claude-haiku-4-5", "bedrock-mantle"),
    ];
    for (api, id, service) in table {
        let gateway = gateway(&up, &format!("{KEYS}, {api}")).await;
        let body = to("claude-haiku-4-5", STREAM);
        let asking =
            Ask::message(body).header("anthropic-beta", "effort-2025-11-24,files-api-2025-04-14");
        let streamed = asking.send(gateway.address).await;
        assert_eq!(streamed.text(), FRAMES.concat());
        assert_eq!(streamed.header("x-tidegate-dropped"), Some("files-api-2025-04-14"));
        let (head, body) = up.seen().pop().unwrap();
        assert_eq!(head.target(), "/anthropic/v1/messages");
        assert_eq!(String::from_utf8(body).unwrap(), to(id, STREAM));
        assert_eq!(head.header("anthropic-beta"), Some("effort-2025-11-24"));
        assert_eq!(head.header("anthropic-version"), Some("2023-06-01"));
        let signed = head.header("authorization").unwrap();
        assert!(signed.contains(&format!("/us-east-1/{service}/aws4_request, SignedHeaders=anthropic-beta;anthropic-version;content-type;host;")), "{signed}");
        let count = Ask::post("/v1/messages/count_tokens", to("claude-haiku-4-5", MESSAGE));
        assert_eq!(count.send(gateway.address).await.message(), json!({"input_tokens": 5}));
    }
}

#[tokio::test]
async fn fields_that_bedrock_lacks_are_left_out_and_named_or_refused() {
    let up = bedrock().await;
    let gateway = gateway(&up, KEYS).await;
    let body = json!({
        "model": "claude-opus-5", "max_tokens": 16, "speed": "fast", "cache_control": {"type": "ephemeral"},
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}],
    });
    let answer = gateway.ask(&body).await;
    assert_eq!(answer.header("x-tidegate-dropped"), Some("tool:web_fetch_20250910, speed"));
    let sent: Value = serde_json::from_slice(&up.seen()[0].1).unwrap();
    for absent in ["tools", "speed", "cache_control"] {
        assert_eq!(sent.get(absent), None, "{absent}");
    }
}
