//! Upstreams that answer nonsense, half of it, or nothing: what the caller gets.
use tokio::net::TcpListener;

use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{Behaviour, Upstream, answer, broken, json, stream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

/// What a caller of an upstream with this behaviour is told.
async fn told(behaviour: Behaviour, body: &str, status: u16, kind: &str) -> String {
    let up = Upstream::always(behaviour).await;
    let config =
        to(up.address).replace(" up }", " up, timeouts: { first_event: 100ms, total: 100ms } }");
    let gateway = Gateway::start(&config).await;
    let answer = Ask::message(body).send(gateway.address).await;
    let message = answer.refusal(status, kind);
    assert!(!message.contains("127.0.0.1"), "an address: {message}");
    message
}

const JSON: &str = "content-type: application/json\r\n";
const HTML: &str = "<!doctype html><title>hi</title>";

#[tokio::test]
async fn nonsense_instead_of_a_message_is_a_502() {
    let half = &ANSWER[..50];
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}", ANSWER.len());
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n";
    let bomb: String = (0..400).map(|n| format!("x-{n}: 1\r\n")).collect();
    let table = [
        (Behaviour::Answer(answer(200, "content-type: text/html\r\n", HTML)), "not JSON"),
        (Behaviour::Answer(answer(200, JSON, half)), "not JSON, or only a part"),
        (Behaviour::Answer(answer(200, JSON, "")), "not JSON"),
        (Behaviour::Answer(answer(200, "content-encoding: gzip\r\n", "x")), "broke off"),
        (
            Behaviour::Answer(answer(200, "content-encoding: lzma\r\n", "x")),
            "`content-encoding: lzma`",
        ),
        (Behaviour::Close(long.into_bytes()), "broke off"),
        (Behaviour::Close(chunk.into()), "broke off"),
        (Behaviour::Reset(chunk.into()), ""),
        (Behaviour::Close(Vec::new()), "without an answer"),
        (Behaviour::Reset(Vec::new()), "without an answer"),
        (Behaviour::Close(b"HTTP/1.1 200".to_vec()), "without an answer"),
        (Behaviour::Close(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()), "without an answer"),
        (Behaviour::Close(answer(200, &bomb, ANSWER)), "without an answer"),
        (Behaviour::Answer(answer(302, "location: http://x/\r\n", "")), "302"),
    ];
    for (behaviour, expected) in table {
        let shown = format!("{behaviour:?}");
        let message = told(behaviour, MESSAGE, 502, "api_error").await;
        assert!(message.contains(expected), "{shown}: {message}");
    }
}

#[tokio::test]
async fn nonsense_instead_of_a_stream_is_a_502() {
    let whole = FRAMES[0];
    let table = [
        (
            Behaviour::Answer(answer(200, "content-type: text/html\r\n", HTML)),
            "`content-type: text/html`",
        ),
        (Behaviour::Answer(json(200, ANSWER)), "`content-type: application/json`"),
        (Behaviour::Answer(answer(200, "", whole)), "`content-type: none`"),
        (Behaviour::Answer(stream::<&str>(&[])), "broke off"),
        (Behaviour::Answer(stream(&[&whole[..40]])), "broke off"),
        (Behaviour::Close(broken(&[&whole[..40]])), "broke off"),
        (Behaviour::Reset(broken::<&str>(&[])), ""),
        (Behaviour::Close(Vec::new()), "without an answer"),
        (Behaviour::Reset(Vec::new()), "without an answer"),
    ];
    for (behaviour, expected) in table {
        let shown = format!("{behaviour:?}");
        let message = told(behaviour, STREAM, 502, "api_error").await;
        assert!(message.contains(expected), "{shown}: {message}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_too_slow_is_a_504() {
    let begun = [&broken::<&str>(&[])[..], b"8\r\nevent: m"].concat();
    for body in [MESSAGE, STREAM] {
        let message = told(Behaviour::Silence, body, 504, "timeout_error").await;
        assert!(message.contains("within 100 ms"), "{message}");
        // the half of an answer must not be waited for any longer
        let mut up = Upstream::start().await;
        let config =
            to(up.address).replace(" up }", " up, timeouts: { first_event: 50ms, total: 50ms } }");
        let gateway = Gateway::start(&config).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
        let half = if body == STREAM { &begun[..] } else { head.as_bytes() };
        let (answer, mut call) = tokio::join!(Ask::message(body).send(gateway.address), async {
            let mut call = up.call().await;
            call.write(half).await;
            call
        });
        answer.refusal(504, "timeout_error");
        call.closed().await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::with().upstream(address).start().await;
    for body in [MESSAGE, STREAM] {
        let message = Ask::message(body).send(gateway.address).await.refusal(502, "api_error");
        assert_eq!(message, "the upstream cannot be reached");
    }
}

#[tokio::test]
async fn an_error_that_comes_first_is_a_status() {
    let table = [
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("an_error_of_tomorrow", 500),
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("timeout_error", 504),
    ];
    for (kind, status) in table {
        let data =
            format!("{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"no\"}}}}");
        let up = Upstream::always(Behaviour::Answer(stream(&[
            ": hello\n\n",
            &format!("event: error\ndata: {data}\n\n"),
        ])))
        .await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        let answer = Ask::message(STREAM).send(gateway.address).await;
        let data = format!("{},\"request_id\":\"req_up\"}}", data.strip_suffix('}').unwrap());
        assert_eq!((answer.status, answer.text()), (status, data));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("request-id"), Some("req_up"));
    }
}
