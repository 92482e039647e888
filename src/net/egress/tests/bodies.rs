//! Tests of bodies: limits on the wire, after decoding, and of time.
use std::io::Write;
use std::time::Duration;

use crate::net::egress::{Limits, Policy, Request, Response};

use super::{Net, anything, get};
use crate::testing::upstream::{Behaviour, Upstream, answer};

const URL: &str = "http://a.example/";

fn bounded(limits: Limits) -> Policy {
    Policy { limits: Limits { total: Duration::from_secs(60), ..limits }, ..anything() }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn encoded(name: &str, body: Vec<u8>) -> Net {
    let head = format!("content-encoding: {name}\r\n");
    let server = Upstream::always(Behaviour::Answer(answer(200, &head, body))).await;
    Net::leading_to(server.address)
}

#[tokio::test]
async fn encodings_are_undone_and_their_header_is_gone() {
    let text = b"a page of some words".repeat(40);
    for (name, body) in [
        ("gzip", gzip(&text)),
        ("GZip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("deflate", deflate(&text)),
        ("deflate, gzip", gzip(&zlib(&text))),
        ("identity", text.clone()),
    ] {
        let Response { body, headers, .. } = encoded(name, body).await.get(URL).await.unwrap();
        assert_eq!(body, text, "{name}");
        assert!(headers.iter().all(|(name, _)| name != "content-encoding"));
    }
}

#[tokio::test]
async fn a_body_that_does_not_match_its_encoding_is_an_error() {
    for (name, body) in
        [("gzip", b"no gzip".to_vec()), ("br", b"\xff\xff\xff".to_vec()), ("lzma", b"x".to_vec())]
    {
        let refusal = encoded(name, body).await.get(URL).await.unwrap_err();
        assert_eq!(refusal.code, "unreachable", "{name}");
    }
    let cut = gzip(&b"some words".repeat(400))[..20].to_vec();
    assert_eq!(encoded("gzip", cut).await.get(URL).await.unwrap_err().code, "unreachable");
}

#[tokio::test]
async fn a_body_is_read_up_to_the_requested_size() {
    let text: Vec<u8> =
        (0..20_000_u32).flat_map(|n| format!("{:05}", n % 99_991).into_bytes()).collect();
    for (wanted, truncated) in
        [(0, true), (1, true), (99_999, true), (100_000, false), (200_000, false)]
    {
        for net in [encoded("identity", text.clone()).await, encoded("gzip", gzip(&text)).await] {
            let request = Request { max_bytes: Some(wanted), ..get(URL) };
            let told = net.fetch(&anything(), request).await.unwrap();
            assert_eq!(told.body, text[..wanted.min(text.len())]);
            assert_eq!(told.truncated, truncated, "{wanted}");
        }
    }
}

#[tokio::test]
async fn the_gateways_own_bound_holds_whatever_is_wanted() {
    let policy = bounded(Limits { decoded: 1000, ..Limits::default() });
    for wanted in [None, Some(5000)] {
        let request = Request { max_bytes: wanted, ..get(URL) };
        let net = encoded("identity", vec![b'x'; 3000]).await;
        let told = net.fetch(&policy, request).await.unwrap();
        assert_eq!((told.body.len(), told.truncated), (1000, true));
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    let bomb = gzip(&vec![0; 6 << 20]);
    assert!(bomb.len() < 10_000);
    let refusal = encoded("gzip", bomb.clone()).await.get(URL).await.unwrap_err();
    assert_eq!((refusal.code, refusal.retryable), ("too_large", false));
    let nested = encoded("gzip, gzip", gzip(&bomb)).await.get(URL).await.unwrap_err();
    assert_eq!(nested.code, "too_large");
    let thrice = encoded("gzip, gzip, gzip", gzip(&gzip(&bomb))).await.get(URL).await.unwrap_err();
    assert_eq!(thrice.code, "too_large");
}

#[tokio::test]
async fn a_bomb_is_stopped_long_before_it_has_gone_off() {
    // 1 GiB, more than the limit of a megabyte
    let policy = bounded(Limits { ratio: usize::MAX, decoded: 1 << 20, ..Limits::default() });
    let part = gzip(&vec![0; 16 << 20]);
    let told = encoded("gzip", part.repeat(64)).await.fetch(&policy, get(URL)).await.unwrap();
    assert_eq!((told.body.len(), told.truncated), (1 << 20, true));
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
    let mut server = Upstream::start().await;
    let net = Net::leading_to(server.address);
    let policy = bounded(Limits { decoded: 100_000, ..Limits::default() });
    let endless = async {
        let mut call = server.call().await;
        call.write("HTTP/1.1 200 OK\r\n\r\n").await;
        while call.is_read(&[b'x'; 4096]).await {}
    };
    let (told, ()) = tokio::join!(net.fetch(&policy, get(URL)), endless);
    let told = told.unwrap();
    assert_eq!((told.body.len(), told.truncated), (100_000, true));
}

#[tokio::test]
async fn an_endless_body_that_decodes_to_nothing_is_refused() {
    let mut server = Upstream::start().await;
    let net = Net::leading_to(server.address);
    let policy = bounded(Limits { encoded: 100_000, ..Limits::default() });
    let nothing = gzip(b"").repeat(200);
    let endless = async {
        let mut call = server.call().await;
        call.write("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n").await;
        while call.is_read(&nothing).await {}
    };
    let (refusal, ()) = tokio::join!(net.fetch(&policy, get(URL)), endless);
    assert_eq!(refusal.unwrap_err().code, "too_large");
}

#[tokio::test]
async fn a_slow_body_is_given_up_in_time() {
    let mut server = Upstream::start().await;
    let net = Net::leading_to(server.address);
    let request = Request { timeout: Some(Duration::from_millis(50)), ..get(URL) };
    let slow = async {
        let mut call = server.call().await;
        call.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
        call.closed().await;
    };
    let policy = anything();
    let (refusal, ()) = tokio::join!(net.fetch(&policy, request), slow);
    let refusal = refusal.unwrap_err();
    assert_eq!((refusal.code, refusal.retryable), ("timeout", true));
    assert_eq!(refusal.message, "no whole answer within 50 ms");
}

#[tokio::test]
async fn a_silent_server_is_given_up_within_the_gateways_own_limit() {
    let server = Upstream::always(Behaviour::Silence).await;
    let policy = Policy {
        limits: Limits { total: Duration::from_millis(50), ..Limits::default() },
        ..anything()
    };
    let request = Request { timeout: Some(Duration::from_secs(3600)), ..get(URL) };
    let refusal = Net::leading_to(server.address).fetch(&policy, request).await.unwrap_err();
    assert_eq!(refusal.code, "timeout");
}

#[tokio::test]
async fn a_truncated_body_is_a_retryable_error() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec();
    let server = Upstream::always(Behaviour::Close(cut)).await;
    let refusal = Net::leading_to(server.address).get(URL).await.unwrap_err();
    assert_eq!((refusal.code, refusal.retryable), ("unreachable", true));
}

#[tokio::test]
async fn a_response_with_an_error_status_is_returned_as_a_response() {
    for status in [204, 404, 429, 500] {
        let server =
            Upstream::always(Behaviour::Answer(answer(status, "retry-after: 3\r\n", ""))).await;
        let told = Net::leading_to(server.address).get(URL).await.unwrap();
        assert_eq!(told.status, status);
        assert!(told.headers.contains(&("retry-after".to_owned(), "3".to_owned())));
    }
}

#[tokio::test]
async fn an_answer_without_a_body_may_still_name_its_encoding() {
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 900\r\n\r\n";
    let server = Upstream::always(Behaviour::Answer(head.into())).await;
    let request = Request { method: "HEAD".to_owned(), ..get(URL) };
    let told = Net::leading_to(server.address).fetch(&anything(), request).await.unwrap();
    assert_eq!((told.status, told.body.len(), told.truncated), (200, 0, false));
    assert_eq!(encoded("gzip", vec![]).await.get(URL).await.unwrap().body.len(), 0);
}
