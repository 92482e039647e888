//! Bad input: what each kind of nonsense from a caller is answered with.
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Answer, Ask, Incoming, send_bytes};
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream, chunked};
use crate::support::{ANSWER, MESSAGE, within};

async fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::with().upstream(upstream.address).start().await
}

#[tokio::test]
async fn an_invalid_request_body_is_rejected_with_the_reason() {
    let mut up = Upstream::start().await;
    let gateway = gateway(&up).await;
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let table: [(&str, &str); 23] = [
        ("", "empty"),
        ("hello", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("\"text\"", "not a JSON object"),
        (&MESSAGE[..40], "ends early"),
        (&MESSAGE.replace("16", "016"), "malformed at line 1, column 28"),
        (&MESSAGE.replace("16", "NaN"), "malformed"),
        (&format!("{MESSAGE}{MESSAGE}"), "the end of the text"),
        (&deep, "nested deeper than 512 levels"),
        (&MESSAGE.replace("{\"model\"", "{\"model\":\"a\",\"model\""), "`model` occurs twice"),
        (
            &MESSAGE.replace("{\"model\"", "{\"mod\\u0065l\":\"a\",\"model\""),
            "`model` occurs twice",
        ),
        (&MESSAGE.replace("\"m\"", "7"), "`model` is a number: it must be a string"),
        (&MESSAGE.replace("\"m\"", "\"\""), "`model` is empty"),
        (&MESSAGE.replace("\"model\"", "\"model_\""), "`model` is missing"),
        (&MESSAGE.replace("max_tokens", "max_token"), "`max_tokens` is missing"),
        (&MESSAGE.replace("16", "\"16\""), "`max_tokens` is a string"),
        (&MESSAGE.replace("16", "-1"), "`max_tokens` is -1"),
        (&MESSAGE.replace("16", "1.5"), "`max_tokens` is 1.5"),
        (&MESSAGE.replace("16", "-2.0e0"), "`max_tokens` is -2.0e0"),
        (&MESSAGE.replace("messages", "message"), "`messages` is missing"),
        (&MESSAGE.replace("[{", "{\"a\":[{").replace("}]", "}]}"), "`messages` is an object"),
        (&MESSAGE.replace("16", "16,\"stream\":\"yes\""), "`stream` is a string"),
        (&MESSAGE.replace("16", "16,\"tools\":{}"), "`tools` is an object"),
    ];
    for (body, expected) in table {
        let answer = Ask::message(body).send(gateway.address).await;
        let message = answer.refusal(400, "invalid_request_error");
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(message.len() < 200, "{message}");
    }
    let answer = Ask::message(&b"{\"model\":\"\xff\"}"[..]).send(gateway.address).await;
    answer.refusal(400, "invalid_request_error");
    assert!(up.is_idle(), "nothing of it may reach an upstream");
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let up = Upstream::start().await;
    let gateway = Gateway::start(&to(up.address).replace("\"*\"", "only")).await;
    let message = Ask::message(MESSAGE).send(gateway.address).await.refusal(404, "not_found_error");
    assert!(message.contains("`m`") && message.contains("GET /v1/models"), "{message}");
    let long = MESSAGE.replace("\"m\"", &format!("\"{}\"", "x".repeat(5000)));
    let message = Ask::message(long).send(gateway.address).await.refusal(404, "not_found_error");
    assert!(message.len() < 300, "{message}");
}

/// Sends while the answer is read, as every real client does.
async fn flood(gateway: &Gateway, head: &str, piece: Vec<u8>, count: usize) -> Answer {
    let stream = send_bytes(gateway.address, head.as_bytes()).await;
    let stream = stream.into_std().unwrap();
    let writer = tokio::net::TcpStream::from_std(stream.try_clone().unwrap()).unwrap();
    let sending = tokio::spawn(async move {
        let mut writer = writer;
        for _ in 0..count {
            // the gateway need not take all of what it has refused
            if writer.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let reader = tokio::net::TcpStream::from_std(stream).unwrap();
    let answer = Incoming::read(reader).await.finish().await;
    sending.abort();
    answer
}

#[tokio::test]
async fn thirty_three_mebibytes_are_too_large() {
    let up = Upstream::start().await;
    let gateway = gateway(&up).await;
    const MIB: usize = 1024 * 1024;
    let declared =
        format!("POST /v1/messages HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n", 33 * MIB);
    let head = "POST /v1/messages HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n";
    let answers = [
        // known from the head: nothing has to be sent
        flood(&gateway, &declared, Vec::new(), 0).await,
        flood(&gateway, &declared, vec![b' '; MIB], 33).await,
        flood(&gateway, head, chunked(vec![b' '; MIB]), 33).await,
    ];
    for answer in answers {
        let message = answer.refusal(413, "request_too_large");
        assert!(message.contains("33554432 bytes"), "{message}");
    }
}

#[tokio::test]
async fn just_under_the_limit_is_taken() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config =
        format!("{}server: {{ workers: 1, max_body_bytes: {} }}\n", to(up.address), MESSAGE.len());
    let gateway = Gateway::start(&config).await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    let answer = Ask::message(format!("{MESSAGE} ")).send(gateway.address).await;
    answer.refusal(413, "request_too_large");
}

#[tokio::test]
async fn an_unknown_or_wrong_request_encoding_is_rejected_with_a_code() {
    let up = Upstream::start().await;
    let gateway = gateway(&up).await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(MESSAGE.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let broken = [&gzip[..gzip.len() - 12], b"xxxxxxxxxxxx"].concat();
    let table = [
        ("lzma", gzip.clone(), "request_body_encoding_unsupported"),
        ("gzip, lzma", gzip.clone(), "request_body_encoding_unsupported"),
        ("gzip", MESSAGE.as_bytes().to_vec(), "request_body_encoding_invalid"),
        ("gzip", broken, "request_body_encoding_invalid"),
        ("gzip", gzip[..gzip.len() / 2].to_vec(), "request_body_encoding_invalid"),
        ("deflate", b"nonsense".to_vec(), "request_body_encoding_invalid"),
        ("br", b"\xff\xff\xff\xff".to_vec(), "request_body_encoding_invalid"),
        ("zstd", MESSAGE.as_bytes().to_vec(), "request_body_encoding_invalid"),
    ];
    for (coding, body, code) in table {
        let answer =
            Ask::message(body).header("content-encoding", coding).send(gateway.address).await;
        answer.refusal(400, "invalid_request_error");
        assert_eq!(answer.json()["error"]["details"]["error_code"], code, "{coding}");
    }
}

#[tokio::test]
async fn a_body_that_grows_over_the_limit_is_too_large() {
    let up = Upstream::start().await;
    let gateway = gateway(&up).await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    let mebibyte = vec![b' '; 1024 * 1024];
    for _ in 0..40 {
        bomb.write_all(&mebibyte).unwrap();
    }
    let ask = Ask::message(bomb.finish().unwrap()).header("content-encoding", "gzip");
    let answer = ask.send(gateway.address).await;
    answer.refusal(413, "request_too_large");
    assert_eq!(
        answer.json()["error"]["details"]["error_code"],
        "request_body_too_large_after_decoding"
    );
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_rejected_without_harm_to_other_clients() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let many: String = (0..300).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(2 * 1024 * 1024));
    for bomb in [many, long] {
        let head =
            format!("POST /v1/messages HTTP/1.1\r\nhost: g\r\n{bomb}content-length: 0\r\n\r\n");
        let answer = flood(&gateway, "", head.into_bytes(), 1).await;
        answer.refusal(431, "invalid_request_error");
    }
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
}

#[tokio::test]
async fn bytes_that_are_not_http_are_rejected_without_harm_to_other_clients() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let table = [
        "\u{16}\u{3}\u{1}nonsense\r\n\r\n",
        "POST /v1/messages HTTP/9.9\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ];
    for bytes in table {
        let mut stream = send_bytes(gateway.address, bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = within("the gateway to close", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        let is_told = answer.starts_with("HTTP/1.1 400 ") && answer.contains("request-id: req_");
        assert!(is_told, "{bytes:?}: {answer}");
    }
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
}

#[tokio::test]
async fn a_caller_that_leaves_within_its_body_reaches_no_upstream() {
    let mut up = Upstream::start().await;
    let gateway = gateway(&up).await;
    let bytes = Ask::message(MESSAGE).to_bytes();
    let stream = send_bytes(gateway.address, &bytes[..bytes.len() - 5]).await;
    gateway.until_metric("tidegate_active_requests", 1.0).await;
    drop(stream);
    gateway.until_metric("tidegate_active_requests", 0.0).await;
    assert!(up.is_idle());
}
