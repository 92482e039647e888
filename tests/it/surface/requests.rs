//! A request's body: what arrives upstream is what the caller sent.
use std::io::Write;

use async_compression::tokio::bufread;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Ask, Incoming, send_bytes};
use crate::support::gateway::{Gateway, to};
use crate::support::head::Inlet;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, within};

/// A body that any rewriting would change.
const ODD: &str = "\u{20}{ \"messages\" : [{\"role\":\"user\",\"content\":\"\\u0041\\/é\"}],\r\n\t\"temperature\": 1.50e0, \"big\": 123456789012345678901234567890, \"unknown\": {\"a\":1,\"a\":2}, \"max_tokens\":16,\"mod\\u0065l\":\"fast\"}\n";

#[tokio::test]
async fn an_unedited_body_arrives_byte_for_byte() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    assert_eq!(Ask::message(ODD).send(gateway.address).await.status, 200);
    assert_eq!(up.seen()[0].1, ODD.as_bytes());
}

#[tokio::test]
async fn an_alias_changes_only_the_name_of_the_model() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address) + "  fast: { provider: up, model: claude-opus-4-6 }\n";
    let gateway = Gateway::start(&config).await;
    let answer = Ask::message(ODD).send(gateway.address).await;
    assert_eq!(answer.header("x-tidegate-target"), Some("up/claude-opus-4-6"));
    let expected = ODD.replace("\"fast\"", "\"claude-opus-4-6\"");
    assert_eq!(String::from_utf8(up.seen()[0].1.clone()).unwrap(), expected.trim());
}

#[tokio::test]
async fn a_long_body_under_an_alias_arrives_whole_and_again_where_the_upstream_hung_up() {
    let long = ODD.replace("\"user\"", &format!("\"user\",\"pad\":\"{}\"", "é".repeat(300_000)));
    let expected = long.replace("\"fast\"", "\"claude-opus-4-6\"");
    let mut up = Upstream::start().await;
    let config = to(up.address) + "  fast: { provider: up, model: claude-opus-4-6 }\n";
    let gateway = Gateway::start(&config).await;
    for calls in [1, 2] {
        let (answer, ()) = tokio::join!(Ask::message(&*long).send(gateway.address), async {
            for n in 1..=calls {
                let call = up.call().await;
                assert_eq!(
                    call.head.header("content-length"),
                    Some(&*(expected.trim().len().to_string()))
                );
                assert!(call.text() == expected.trim());
                match n == calls {
                    true => call.finish(upstream::json(200, ANSWER)).await,
                    // the connection that was kept turns out to be closed
                    false => call.reset(),
                }
            }
        });
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_body_in_chunks_arrives_whole() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let head = "POST /v1/messages HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks: Vec<u8> = MESSAGE.as_bytes().chunks(7).flat_map(upstream::chunked).collect();
    let bytes = [head.as_bytes(), &chunks, b"0\r\n\r\n"].concat();
    let stream = send_bytes(gateway.address, &bytes).await;
    let answer = Incoming::read(stream).await;
    assert_eq!(answer.status, 200);
    assert_eq!(up.seen()[0].1, MESSAGE.as_bytes());
}

#[tokio::test]
async fn only_an_authorized_client_receives_100_continue() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address) + "keys: [{ name: a, key: k }]\n";
    let gateway = Gateway::start(&config).await;
    let ask = Ask::message(MESSAGE).header("expect", "100-continue");
    let refused = ask.clone().to_bytes();
    let head = &refused[..refused.len() - MESSAGE.len()];
    let answer = Incoming::read(send_bytes(gateway.address, head).await).await;
    assert_eq!(answer.status, 401);
    let asked = ask.header("x-api-key", "k").to_bytes();
    let head = &asked[..asked.len() - MESSAGE.len()];
    let mut stream = send_bytes(gateway.address, head).await;
    let go_on = within("`100 Continue`", Inlet::default().head(&mut stream)).await.unwrap();
    assert_eq!(go_on.line, "HTTP/1.1 100 Continue");
    stream.write_all(MESSAGE.as_bytes()).await.unwrap();
    assert_eq!(Incoming::read(stream).await.status, 200);
    let (head, body) = up.seen().remove(0);
    assert_eq!((head.header("expect"), body), (None, MESSAGE.as_bytes().to_vec()));
}

async fn encoded(encoder: impl AsyncRead) -> Vec<u8> {
    let mut out = Vec::new();
    Box::pin(encoder).read_to_end(&mut out).await.unwrap();
    out
}

#[tokio::test]
async fn encoded_bodies_are_understood() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let plain = MESSAGE.as_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(plain).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    raw.write_all(plain).unwrap();
    let brotli = encoded(bufread::BrotliEncoder::new(plain)).await;
    let zstd = encoded(bufread::ZstdEncoder::new(plain)).await;
    let twice = encoded(bufread::BrotliEncoder::new(&gzip[..])).await;
    let table = [
        ("gzip", gzip.clone()),
        ("GZIP", gzip.clone()),
        ("x-gzip", gzip),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
        ("br", brotli),
        ("zstd", zstd),
        ("gzip, br", twice),
        ("identity", plain.to_vec()),
    ];
    for (n, (coding, body)) in table.into_iter().enumerate() {
        let answer =
            Ask::message(body).header("content-encoding", coding).send(gateway.address).await;
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
        let (head, body) = up.seen().remove(n);
        assert_eq!((body, head.header("content-encoding")), (plain.to_vec(), None), "{coding}");
    }
}

#[tokio::test]
async fn a_policy_that_answers_leaves_no_tokens_to_count() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = "fn on_request(request, ctx) { respond(\"pong\"); }";
    let gateway = Gateway::with().upstream(up.address).policy("pong", policy).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.json()["content"][0]["text"], "pong");
    let answer = Ask::post("/v1/messages/count_tokens", MESSAGE).send(gateway.address).await;
    assert_eq!(answer.json(), serde_json::json!({"input_tokens": 0}));
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn a_policy_that_names_no_model_of_ours_is_not_the_callers_fault() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = "fn on_request(request, ctx) { route(\"nope\"); }";
    let gateway = {
        let provider = format!("{{ type: anthropic, base_url: \"http://{}\" }}", up.address);
        let config =
            format!("providers: {{ up: {provider} }}\nmodels: {{ m: {{ provider: up }} }}\n");
        Gateway::with().config(&config).policy("lost", policy).start().await
    };
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert!(answer.refusal(500, "api_error").contains("`nope`"));
}

#[tokio::test]
async fn a_whole_number_of_tokens_passes_in_each_of_its_forms() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for number in ["1.0e1", "10.0", "1E2", "0", "18446744073709551616", "1e400"] {
        let body = MESSAGE.replace("16", number);
        let answer = Ask::message(body.clone()).send(gateway.address).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
        assert!(String::from_utf8(up.bodies().pop().unwrap().to_vec()).unwrap().contains(number));
    }
}
