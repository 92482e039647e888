//! Telemetry of clients: taken from those with a key, stamped with the sender, and relayed to the operator's collector.
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Builder, Gateway};
use crate::support::upstream::{Auto, Behaviour, Upstream, answer};

const KEYS: &str = "keys:\n  - { name: ann@example.com, key: k-ann, tags: { groups: \"dev,ops\", team: ml } }\n  - { name: ci, key: k-ci }\n";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

async fn collecting(status: u16, lines: &str, body: &str) -> Auto {
    Upstream::always(Behaviour::Answer(answer(status, lines, body))).await
}

/// A gateway that relays to a collector, with more keys of `otlp.intake`.
fn relaying(collector: &Auto, more: &str) -> Builder {
    let address = collector.address;
    let intake = format!("otlp: {{ intake: {{ endpoint: \"http://{address}/base/\"{more} }} }}");
    Gateway::with().upstream(address).config(format!("{KEYS}{intake}"))
}

async fn send(gateway: &Gateway, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
    let ask = Ask::post(path, body).header("content-type", kind);
    ask.header("authorization", "Bearer k-ann").send(gateway.address).await
}

fn pair(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// The attributes that name the sender.
fn sender() -> Vec<Value> {
    vec![
        pair("user.id", "ann@example.com"),
        pair("user.email", "ann@example.com"),
        pair("user.groups", "dev,ops"),
        pair("tidegate.tag.groups", "dev,ops"),
        pair("tidegate.tag.team", "ml"),
    ]
}

#[tokio::test]
async fn metrics_reach_the_collector_under_the_name_of_their_sender() {
    let partial = r#"{"partialSuccess":{"rejectedDataPoints":"1"}}"#;
    let lines = "content-type: application/json\r\nset-cookie: a=b\r\n";
    let collector = collecting(200, lines, partial).await;
    let gateway = relaying(&collector, ", headers: { authorization: \"Basic own\" }");
    let gateway = gateway.start().await;
    let point = json!({"asInt": "7", "attributes": [pair("user.id", "eve"), pair("model", "m")]});
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [pair("user.email", "eve@example.com"), pair("service.name", "claude-code")]},
        "scopeMetrics": [{"metrics": [{"name": "tokens", "sum": {"dataPoints": [point]}}]}]}]});
    let found = send(&gateway, "/v1/metrics?a=b", JSON, body.to_string()).await;
    assert_eq!((found.status, &*found.text()), (200, partial));
    assert_eq!((found.header("content-type"), found.header("set-cookie")), (Some(JSON), None));
    assert!(found.header("request-id").is_some());
    let (head, _) = collector.seen().pop().unwrap();
    assert_eq!(head.target(), "/base/v1/metrics");
    assert_eq!(head.header("authorization"), Some("Basic own"));
    assert_eq!((head.header("content-type"), head.header("x-api-key")), (Some(JSON), None));
    let relayed = &collector.requests()[0]["resourceMetrics"][0];
    let list = |first: Value| std::iter::once(first).chain(sender()).collect::<Value>();
    let resource = list(pair("service.name", "claude-code"));
    assert_eq!(relayed["resource"]["attributes"], resource);
    let point = &relayed["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0];
    assert_eq!(point["attributes"], list(pair("model", "m")));
    gateway
        .until_metric(
            "tidegate_client_telemetry_total{signal=\"metrics\",outcome=\"relayed\"}",
            1.0,
        )
        .await;
}

/// A field of protobuf with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn wire_pair(key: &str, value: &str) -> Vec<u8> {
    let value = field(2, &field(1, value.as_bytes()));
    [field(1, key.as_bytes()), value].concat()
}

#[tokio::test]
async fn a_compressed_body_in_protobuf_is_stamped_too() {
    let collector = collecting(200, "content-type: application/x-protobuf\r\n", "").await;
    let gateway = relaying(&collector, ", signals: [logs, traces]").start().await;
    let record = |list: &[Vec<u8>]| -> Vec<u8> {
        let list = list.iter().flat_map(|pair| field(6, pair));
        [field(5, &field(1, b"hello")), list.collect()].concat()
    };
    let client = record(&[wire_pair("user.id", "eve"), wire_pair("a", "b")]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&field(1, &field(2, &field(2, &client)))).unwrap();
    let ask = Ask::post("/v1/logs", gzip.finish().unwrap()).header("content-encoding", "gzip");
    let ask = ask.header("content-type", PROTOBUF).header("x-api-key", "k-ci");
    let found = ask.send(gateway.address).await;
    assert_eq!((found.status, found.header("content-type")), (200, Some(PROTOBUF)));
    let own = wire_pair("user.id", "ci");
    let log = field(2, &field(2, &record(&[wire_pair("a", "b"), own.clone()])));
    let expected = field(1, &[log, field(1, &field(1, &own))].concat());
    assert_eq!(collector.bodies(), [expected]);
    // metrics are not among the signals
    assert_eq!(send(&gateway, "/v1/metrics", PROTOBUF, "").await.status, 200);
    assert_eq!(collector.count(), 1);
    gateway
        .until_metric(
            "tidegate_client_telemetry_total{signal=\"metrics\",outcome=\"dropped\"}",
            1.0,
        )
        .await;
}

#[tokio::test]
async fn the_client_gets_the_collectors_status_unless_it_is_about_the_gateway() {
    for (theirs, ours, outcome) in [
        (202, 202, "relayed"),
        (400, 400, "rejected"),
        (429, 429, "rejected"),
        (503, 503, "rejected"),
        (401, 502, "rejected"),
        (302, 502, "rejected"),
    ] {
        let collector = collecting(theirs, "retry-after: 7\r\nlocation: /x\r\n", "{}").await;
        let gateway = relaying(&collector, "").start().await;
        let found = send(&gateway, "/v1/metrics", JSON, "{}").await;
        assert_eq!(found.status, ours, "{theirs}: {}", found.text());
        assert_eq!(found.header("location"), None, "{theirs}");
        let wait = (ours == theirs).then_some("7");
        assert_eq!(found.header("retry-after"), wait, "{theirs}");
        let name =
            format!("tidegate_client_telemetry_total{{signal=\"metrics\",outcome=\"{outcome}\"}}");
        gateway.until_metric(&name, 1.0).await;
    }
    let collector = Upstream::always(Behaviour::Reset(Vec::new())).await;
    let gateway = relaying(&collector, "").start().await;
    let found = send(&gateway, "/v1/metrics", JSON, "{}").await;
    found.refusal(503, "overloaded_error");
    assert_eq!(found.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn without_a_collector_telemetry_is_taken_and_dropped() {
    let up = collecting(200, "", "{}").await;
    let gateway = Gateway::with().upstream(up.address).config(format!("{KEYS}passthrough: up"));
    let gateway = gateway.start().await;
    for (path, kind, body) in [
        ("/v1/metrics", JSON, "{}"),
        ("/v1/logs", PROTOBUF, ""),
        ("/v1/traces", "application/json; charset=utf-8", "{}"),
        ("/v1/v1/metrics", JSON, "{}"),
    ] {
        let found = send(&gateway, path, kind, "anything").await;
        assert_eq!((found.status, &*found.text()), (200, body), "{path}");
    }
    let stranger = Ask::post("/v1/metrics", "{}").header("x-api-key", "k-x").send(gateway.address);
    stranger.await.refusal(401, "authentication_error");
    let read = Ask::get("/v1/metrics").header("x-api-key", "k-ci").send(gateway.address).await;
    assert_eq!((read.status, read.header("allow")), (405, Some("POST")));
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_export_is_refused() {
    let collector = collecting(200, "", "").await;
    let gateway = relaying(&collector, "").config("server: { max_body_bytes: 64 }").start().await;
    for (kind, body, status, error) in [
        (JSON, "[]", 400, "invalid_request_error"),
        (JSON, "{", 400, "invalid_request_error"),
        (PROTOBUF, "\u{a}\u{7f}", 400, "invalid_request_error"),
        ("text/plain", "{}", 415, "invalid_request_error"),
        (JSON, &*" ".repeat(65), 413, "request_too_large"),
    ] {
        let found = send(&gateway, "/v1/metrics", kind, body).await;
        found.refusal(status, error);
    }
    assert_eq!(collector.count(), 0);
    let name = "tidegate_client_telemetry_total{signal=\"metrics\",outcome=\"malformed\"}";
    gateway.until_metric(name, 5.0).await;
}
