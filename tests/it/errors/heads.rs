//! Heads that never become a request: what their callers are told, and what goes out when.
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Ask, Incoming, send_bytes};
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, logs, until, within};

const TOO_LARGE: &str = "send at most 100 headers, and no more than about 400 KB in all";
const UNREADABLE: &str = "not valid HTTP/1";

async fn gateway() -> (Auto, Gateway) {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    (up, gateway)
}

fn many() -> String {
    let many: String = (0..101).map(|n| format!("x-{n}: secret\r\n")).collect();
    format!("POST /v1/messages HTTP/1.1\r\n{many}\r\n")
}

#[tokio::test]
async fn an_unreadable_request_head_is_rejected_with_the_reason() {
    logs::start();
    let (_up, gateway) = gateway().await;
    let long = format!("GET /v1/models HTTP/1.1\r\nx: secret{}\r\n\r\n", "x".repeat(1024 * 1024));
    let path = format!("GET /v1/secret{} HTTP/1.1\r\nhost: g\r\n\r\n", "a".repeat(65_535));
    let table: [(&str, u16, &str); 12] = [
        (&many(), 431, TOO_LARGE),
        (&many().replace("HTTP/1.1", "HTTP/1.0"), 431, TOO_LARGE),
        (&long, 431, TOO_LARGE),
        (&path, 414, "send at most 65534 bytes"),
        ("\u{0}secret\r\n\r\n", 400, UNREADABLE),
        ("\u{16}\u{3}\u{1}\u{0}\u{5}secret\r\n\r\n", 400, "a TLS handshake"),
        ("POST /secret HTTP/9.9\r\n\r\n", 400, UNREADABLE),
        ("POST / HTTP/1.1\r\ncontent-length: secret\r\n\r\n", 400, UNREADABLE),
        ("POST / HTTP/1.0\r\ncontent-length: secret\r\n\r\n", 400, UNREADABLE),
        ("POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400, UNREADABLE),
        ("POST / HTTP/1.1\r\ntransfer-encoding: secret\r\n\r\n", 400, UNREADABLE),
        ("POST / HTTP/1.1\r\nsecret header\r\n\r\n", 400, UNREADABLE),
    ];
    for (head, status, part) in table {
        let stream = send_bytes(gateway.address, head.as_bytes()).await;
        let answer = within("a refusal", Incoming::read(stream).await.finish()).await;
        let message = answer.refusal(status, "invalid_request_error");
        assert!(message.contains(part), "{head:.40}: {message}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(answer.header("date").is_some());
        let id = answer.header("request-id").unwrap();
        let line = logs::line("request_id", id).await;
        assert_eq!(line["status"], status);
        assert_eq!(logs::count("request_id", id, "request refused"), 1);
        assert!(!format!("{line}{message}").contains("secret"), "{line}");
    }
}

#[tokio::test]
async fn requests_before_an_unreadable_head_receive_complete_responses() {
    let (_up, gateway) = gateway().await;
    let bad = "GET /v1/models HTTP/1.1\r\nbad header\r\n\r\n";
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let length = MESSAGE.len();
        let good = format!(
            "POST /v1/messages {version}\r\nconnection: keep-alive\r\ncontent-length: {length}\r\n\r\n{MESSAGE}"
        );
        // both at once: the second one is read when the first is answered
        let mut stream = send_bytes(gateway.address, format!("{good}{good}{bad}").as_bytes()).await;
        let mut text = String::new();
        within("the gateway to close", stream.read_to_string(&mut text)).await.unwrap();
        let answers: Vec<&str> = text.split(version).skip(1).collect();
        assert_eq!(answers.len(), 3, "{text}");
        for answer in &answers[..2] {
            assert!(answer.starts_with(" 200 OK\r\n") && answer.ends_with(ANSWER), "{text}");
        }
        assert!(answers[2].starts_with(" 400 Bad Request\r\n"), "{text}");
        assert!(answers[2].contains("connection: close\r\n"), "{text}");
        assert!(answers[2].contains(UNREADABLE), "{text}");
    }
}

#[tokio::test]
async fn a_caller_that_sends_on_still_gets_its_answer() {
    let (_up, gateway) = gateway().await;
    // nothing is read before all of it is written, as simple clients do
    let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(6 * 1024 * 1024));
    let stream = send_bytes(gateway.address, head.as_bytes()).await;
    let answer = within("a refusal", Incoming::read(stream).await.finish()).await;
    assert!(answer.refusal(431, "invalid_request_error").contains(TOO_LARGE));
}

#[tokio::test]
async fn a_refused_caller_that_never_leaves_is_hung_up_on() {
    let up = Upstream::start().await;
    let config = format!("{}server: {{ workers: 1, header_timeout: 50ms }}\n", to(up.address));
    let gateway = Gateway::start(&config).await;
    let mut stream = send_bytes(gateway.address, many().as_bytes()).await;
    until("the gateway to hang up", async || stream.write_all(b"x").await.is_err()).await;
}

#[tokio::test]
async fn an_answer_of_ours_is_never_taken_for_one_of_hypers() {
    // the upstream's own refusals look like it but for the id that ours have
    let up = Upstream::always(Behaviour::Answer(upstream::json(400, ""))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!((answer.status, answer.text().as_str()), (400, ""));
}
