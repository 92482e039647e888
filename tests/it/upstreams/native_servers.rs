//! Other servers with a Messages endpoint of their own, and the guard against their deviations.
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::client::Ask;
use crate::support::events::{EventKind, kinds};
use crate::support::gateway::Gateway;
use crate::support::head::{Head, Inlet};
use crate::support::tls::Authority;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, grammar};

async fn always(answer: Vec<u8>) -> Auto {
    Upstream::always(Behaviour::Answer(answer)).await
}

async fn gateway(up: &Auto, more: &str) -> Gateway {
    let config = format!("{{ type: anthropic, base_url: \"http://{}\", {more} }}", up.address);
    Gateway::with().provider("up", &config).start().await
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[tokio::test]
async fn a_call_without_input_and_an_end_without_a_block_are_mended() {
    let stop = event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#);
    let call = event(
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"x1","name":"get_weather"}}"#,
    );
    let input = event(
        "content_block_delta",
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"\"}"}}"#,
    );
    let end = event(
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#,
    );
    let frames = [
        FRAMES[0].to_owned(),
        call.clone(),
        input.clone(),
        stop.clone(),
        end.clone(),
        FRAMES[5].to_owned(),
    ];
    let up = always(upstream::stream(&frames)).await;
    let first = gateway(&up, "").await;
    let events = Ask::message(STREAM).send(first.address).await.events();
    grammar::check(&events).unwrap();
    assert_eq!(events[1].json()["content_block"]["input"], json!({}));
    assert_eq!(events[2].frame(), input.as_bytes());
    let empty = [FRAMES[0].to_owned(), stop, FRAMES[4].to_owned(), FRAMES[5].to_owned()];
    let up = always(upstream::stream(&empty)).await;
    let second = gateway(&up, "").await;
    let events = Ask::message(STREAM).send(second.address).await.events();
    grammar::check(&events).unwrap();
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn a_stream_out_of_order_ends_with_an_error_or_is_a_502() {
    let wrong = [FRAMES[0], FRAMES[1], FRAMES[1], FRAMES[3], FRAMES[4], FRAMES[5]];
    let up = always(upstream::stream(&wrong)).await;
    let first = gateway(&up, "").await;
    let events = Ask::message(STREAM).send(first.address).await.events();
    grammar::check(&events).unwrap();
    assert_eq!(
        kinds(&events),
        [EventKind::MessageStart, EventKind::ContentBlockStart, EventKind::Error]
    );
    let early = event("message_start", r#"{"type":"message_start","message":{}}"#);
    let up = always(upstream::stream(&[early])).await;
    let second = gateway(&up, "").await;
    Ask::message(STREAM).send(second.address).await.refusal(502, "api_error");
}

#[tokio::test]
async fn a_whole_answer_that_is_no_message_is_a_502() {
    let up = always(upstream::json(200, r#"{"choices":[{"message":{"content":"hi"}}]}"#)).await;
    let gateway = gateway(&up, "").await;
    let message = Ask::message(MESSAGE).send(gateway.address).await.refusal(502, "api_error");
    assert_eq!(message, "the upstream answered 200 without a message");
}

#[tokio::test]
async fn a_context_error_of_llama_cpp_is_worded_as_clients_expect() {
    let overflow = r#"{"error":{"code":400,"message":"request (20028 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":20028,"n_ctx":4096}}"#;
    let up = always(upstream::json(400, overflow)).await;
    let gateway = gateway(&up, "").await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert!(answer.error(400).starts_with("prompt is too long: 20028 tokens > 4096 maximum"));
    let json = answer.json();
    assert_eq!(
        (&json["type"], &json["error"]["type"], &json["request_id"]),
        (&"error".into(), &"invalid_request_error".into(), &"req_up".into())
    );
}

#[tokio::test]
async fn betas_and_headers_of_the_config_reach_a_server() {
    let up = always(upstream::json(200, ANSWER)).await;
    let more = "betas: { effort-2025-11-24: drop, advisor-tool-2026-03-01: drop, a-1: a-2 }, headers: { x-team: research, x-app: gateway }";
    let gateway = gateway(&up, more).await;
    let body = r#"{"model":"m","max_tokens":16,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"advisor_20260301","name":"advisor"}]}"#;
    let asking = Ask::message(body)
        .header("anthropic-beta", "effort-2025-11-24,a-1,b-1")
        .header("anthropic-beta", "advisor-tool-2026-03-01")
        .header("x-app", "cli");
    let answer = asking.send(gateway.address).await;
    assert_eq!(
        answer.header("x-tidegate-dropped"),
        Some("effort-2025-11-24, advisor-tool-2026-03-01, tool:advisor_20260301")
    );
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.header("anthropic-beta"), Some("a-2,b-1"));
    assert_eq!((head.header("x-team"), head.header("x-app")), (Some("research"), Some("gateway")));
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap().get("tools"), None);
}

/// A proxy that opens tunnels to one address, whatever host it is told, and shows what it was told.
async fn tunnels(
    to: SocketAddr,
    answer: &'static str,
) -> (SocketAddr, mpsc::UnboundedReceiver<Head>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let head = Inlet::default().head(&mut client).await.unwrap();
            sender.send(head).unwrap();
            client.write_all(answer.as_bytes()).await.unwrap();
            let mut upstream = TcpStream::connect(to).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut upstream).await });
        }
    });
    (address, heads)
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url_or_opens_a_tunnel() {
    let up = always(upstream::json(200, ANSWER)).await;
    // without TLS the proxy itself sees the request
    let plain = format!(
        "{{ type: anthropic, api_key: k, base_url: \"http://upstream.test:8080/a\", proxy: \"http://us:pw@{}\" }}",
        up.address
    );
    let first = Gateway::with().provider("up", &plain).start().await;
    assert_eq!(Ask::message(MESSAGE).send(first.address).await.text(), ANSWER);
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.line, "POST http://upstream.test:8080/a/v1/messages HTTP/1.1");
    assert_eq!(head.header("host"), Some("upstream.test:8080"));
    assert_eq!(head.header("proxy-authorization"), Some("Basic dXM6cHc="));
    assert_eq!(body, MESSAGE.as_bytes());
    // with TLS it sees the host only
    let authority = Authority::new("http/1.1");
    let door = authority.door(up.address).await;
    let (proxy, mut heads) =
        tunnels(door, "HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n").await;
    let tls = format!(
        "{{ type: anthropic, api_key: k, base_url: \"https://localhost:9\", ca_file: ca.pem, proxy: \"http://us:pw@{proxy}\" }}"
    );
    let second =
        Gateway::with().provider("up", &tls).file("ca.pem", authority.pem.as_str()).start().await;
    assert_eq!(Ask::message(MESSAGE).send(second.address).await.text(), ANSWER);
    let head = heads.recv().await.unwrap();
    assert_eq!(head.line, "CONNECT localhost:9 HTTP/1.1");
    assert_eq!(head.header("proxy-authorization"), Some("Basic dXM6cHc="));
    let (head, _) = up.seen().remove(1);
    assert_eq!(
        (head.line.as_str(), head.header("proxy-authorization")),
        ("POST /v1/messages HTTP/1.1", None)
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_an_upstream_that_cannot_be_reached() {
    let authority = Authority::new("http/1.1");
    let (proxy, _heads) = tunnels(
        authority.door(always(Vec::new()).await.address).await,
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
    )
    .await;
    let config = format!(
        "{{ type: anthropic, base_url: \"https://localhost:9\", ca_file: ca.pem, proxy: \"http://{proxy}\" }}"
    );
    let gateway = Gateway::with()
        .provider("up", &config)
        .file("ca.pem", authority.pem.as_str())
        .start()
        .await;
    let message = Ask::message(MESSAGE).send(gateway.address).await.refusal(502, "api_error");
    assert_eq!(message, "the upstream cannot be reached");
}

#[tokio::test]
async fn a_caller_without_a_credential_of_its_own_uses_the_providers_key() {
    let up = always(upstream::json(200, ANSWER)).await;
    let gateway = gateway(&up, "credentials: caller, api_key: up-key").await;
    Ask::message(MESSAGE).send(gateway.address).await.message();
    let (head, _) = up.seen().remove(0);
    assert_eq!((head.header("x-api-key"), head.header("authorization")), (Some("up-key"), None));
}
