//! Responses with a content coding that the gateway did not request, and rejections whose body cannot be
//! passed on.
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use flate2::Compression;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream, answer};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

const JSON: &str = "content-type: application/json\r\nrequest-id: req_up\r\nretry-after: 7\r\n";
const REFUSAL: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"later"},"request_id":"req_up"}"#;

async fn encoded(coding: &str, text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let mut encoder: Box<dyn AsyncRead + Unpin> = match coding {
        "gzip" => Box::new(GzipEncoder::new(text)),
        "deflate" => Box::new(ZlibEncoder::new(text)),
        "zstd" => Box::new(ZstdEncoder::new(text)),
        _ => Box::new(BrotliEncoder::new(text)),
    };
    let mut all = Vec::new();
    encoder.read_to_end(&mut all).await.unwrap();
    all
}

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

#[tokio::test]
async fn a_compressed_message_and_a_compressed_stream_are_decoded() {
    for coding in CODINGS {
        let of = async |kind: &str, text: &str| {
            let headers = format!("content-type: {kind}\r\ncontent-encoding: {coding}\r\n");
            Behaviour::Answer(answer(200, &headers, encoded(coding, text).await))
        };
        let stream = of("text/event-stream", &FRAMES.concat()).await;
        let whole = of("application/json", ANSWER).await;
        let up = Upstream::by(move |call| match call.text().contains("stream") {
            true => stream.clone(),
            false => whole.clone(),
        })
        .await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        for (body, wanted) in [(MESSAGE, ANSWER.to_owned()), (STREAM, FRAMES.concat())] {
            let answer = Ask::message(body).send(gateway.address).await;
            assert_eq!((answer.status, answer.text()), (200, wanted), "{coding}");
            assert_eq!(answer.header("content-encoding"), None);
        }
    }
}

#[tokio::test]
async fn an_event_of_a_compressed_stream_arrives_before_the_next_one_is_sent() {
    use std::io::Write;
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let (mut reader, ()) = tokio::join!(Ask::message(STREAM).open(gateway.address), async {
        let mut call = up.call().await;
        call.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(FRAMES[0].as_bytes()).unwrap();
        encoder.flush().unwrap();
        call.chunk(&encoder.get_ref()[..]).await;
        tokio::spawn(async move { call.closed().await });
    });
    assert_eq!(reader.frame().await.unwrap(), FRAMES[0].as_bytes());
}

#[tokio::test]
async fn a_compressed_rejection_is_decoded_and_judged_by_its_status() {
    for coding in CODINGS {
        let headers = format!("{JSON}content-encoding: {coding}\r\n");
        let body = encoded(coding, REFUSAL).await;
        let up = Upstream::always(Behaviour::Answer(answer(529, &headers, body))).await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        assert_eq!((answer.status, answer.text()), (529, REFUSAL.to_owned()), "{coding}");
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("request-id"), Some("req_up"));
    }
}

#[tokio::test]
async fn a_rejection_that_cannot_be_passed_on_keeps_status_and_headers() {
    let large = "x".repeat(1_100_000);
    let cut = format!("HTTP/1.1 429 No\r\n{JSON}content-length: 100\r\n\r\n{{");
    let table = [
        (Behaviour::Answer(answer(429, JSON, large)), "larger than 1 MiB"),
        (Behaviour::Close(cut.clone().into_bytes()), "cut off"),
        (Behaviour::Reset(cut.into_bytes()), "cut off"),
        (
            Behaviour::Answer(answer(429, &format!("{JSON}content-encoding: gzip\r\n"), "x")),
            "unreadable",
        ),
        (
            Behaviour::Answer(answer(429, &format!("{JSON}content-encoding: lzma\r\n"), "x")),
            "`content-encoding: lzma`",
        ),
    ];
    for (behaviour, expected) in table {
        let a = Upstream::always(behaviour).await;
        let gateway = Gateway::with().upstream(a.address).start().await;
        for body in [MESSAGE, STREAM] {
            let answer = Ask::message(body).send(gateway.address).await;
            let message = answer.error(429);
            assert!(message.contains(expected), "{expected}: {message}");
            assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
            assert_eq!(answer.json()["request_id"], "req_up");
            assert_eq!(answer.header("request-id"), Some("req_up"));
            assert_eq!(answer.header("retry-after"), Some("7"));
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        // the status decides, so another target is tried
        let b = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
        let provider = |up: &upstream::Auto| {
            format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", up.address)
        };
        let gateway = Gateway::with().provider("a", &provider(&a)).provider("b", &provider(&b));
        let model = "{ targets: [{ provider: a, model: m }, { provider: b, model: m }] }";
        let gateway = gateway.model("m", model).start().await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        assert_eq!(answer.header("x-tidegate-target"), Some("b/m"), "{expected}");
    }
}

#[tokio::test]
async fn a_rejection_with_an_incomplete_body_keeps_its_status() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let (answer, ()) = tokio::join!(Ask::message(MESSAGE).send(gateway.address), async {
        let mut call = up.call().await;
        call.write(format!("HTTP/1.1 529 No\r\n{JSON}content-length: 100\r\n\r\n{{")).await;
        call.closed().await;
    });
    let message = answer.error(529);
    assert!(message.contains("not complete within 5 s"), "{message}");
    assert_eq!(answer.header("retry-after"), Some("7"));
}
