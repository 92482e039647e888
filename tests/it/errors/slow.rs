//! Callers that are too slow to send or to take what is theirs.
use bytes::Bytes;
use h2::client;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Ask, Incoming, send_bytes};
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, streaming, within};

#[tokio::test]
async fn a_head_that_never_ends_is_hung_up_on() {
    let up = Upstream::start().await;
    let config = to(up.address) + "server: { workers: 1, header_timeout: 40ms }\n";
    let gateway = Gateway::start(&config).await;
    for begun in ["", "POST", "POST /v1/messages HTTP/1.1\r\nhost: g\r\n", "PRI * HTTP/2.0\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        // on a busy machine it has hung up before this is written
        let _ = stream.write_all(begun.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = within("the gateway to hang up", stream.read_to_end(&mut answer)).await;
    }
}

#[tokio::test]
async fn a_second_head_that_never_ends_is_hung_up_on_too() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address) + "server: { workers: 1, header_timeout: 400ms }\n";
    let gateway = Gateway::start(&config).await;
    let bytes = [&Ask::message(MESSAGE).to_bytes()[..], b"POST /v1/mess"].concat();
    let mut stream = send_bytes(gateway.address, &bytes).await;
    let mut answer = Vec::new();
    let _ = within("the gateway to hang up", stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_slow_head_costs_a_slow_answer_nothing() {
    let mut up = Upstream::start().await;
    let config =
        to(up.address) + "server: { workers: 1, header_timeout: 200ms, ping_interval: 60ms }\n";
    let gateway = Gateway::start(&config).await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    // more than two header timeouts later it streams on
    for _ in 0..8 {
        assert!(answer.frame().await.unwrap().starts_with(b"event: ping"));
    }
    call.chunk(FRAMES[1..].concat()).await;
    call.finish("0\r\n\r\n").await;
    let rest = answer.frames().await;
    assert_eq!(rest.last().unwrap().frame(), FRAMES[5]);
}

#[tokio::test]
async fn a_body_that_stops_is_a_408() {
    let mut up = Upstream::start().await;
    let config = to(up.address) + "server: { workers: 1, body_timeout: 40ms }\n";
    let gateway = Gateway::start(&config).await;
    let bytes = Ask::message(MESSAGE).to_bytes();
    for sent in [bytes.len() - MESSAGE.len(), bytes.len() - 1] {
        let stream = send_bytes(gateway.address, &bytes[..sent]).await;
        let answer = Incoming::read(stream).await.finish().await;
        answer.refusal(408, "timeout_error");
    }
    assert!(up.is_idle());
}

#[tokio::test]
async fn a_caller_that_stops_reading_loses_its_stream() {
    let mut up = Upstream::start().await;
    let config = to(up.address) + "server: { workers: 1, body_timeout: 50ms }\n";
    let gateway = Gateway::start(&config).await;
    let (answer, mut call) = streaming(&gateway, &mut up).await;
    let frame = format!("event: ping\ndata: \"{}\"\n\n", "x".repeat(256 * 1024));
    let chunk = upstream::chunked(frame);
    // fills every buffer on the way, and ends because the gateway gives up
    within("the gateway to give up", async { while call.is_read(&chunk).await {} }).await;
    gateway.until_metric("tidegate_active_requests", 0.0).await;
    drop(answer);
}

const IMPATIENT: &str = "server: { workers: 1, body_timeout: 100ms, header_timeout: 400ms }\n";

/// Asks for a stream over HTTP/2; nobody reads what comes.
async fn ask(sender: &mut client::SendRequest<Bytes>, gateway: &Gateway) -> client::ResponseFuture {
    let uri = format!("http://{}/v1/messages", gateway.address);
    let request = Request::post(uri).body(()).unwrap();
    *sender = sender.clone().ready().await.unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(STREAM.as_bytes()), true).unwrap();
    response
}

#[tokio::test]
async fn the_gateway_closes_an_http_2_connection_that_grants_no_window() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).config(IMPATIENT).start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let mut builder = client::Builder::new();
    builder.initial_window_size(0);
    let (mut sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = ask(&mut sender, &gateway).await;
    let mut call = up.call().await;
    call.begin_stream().await;
    call.chunk(FRAMES[0]).await;
    let answer = within("the head", response).await.unwrap();
    call.closed().await;
    // whether it ends with an error or not depends on what was on the way
    let _ = within("the connection to end", connection).await.unwrap();
    gateway.until_metric("tidegate_active_requests", 0.0).await;
    drop(answer);
}

#[tokio::test]
async fn an_unread_http_2_stream_does_not_hold_up_the_others() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).config(IMPATIENT).start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let mut builder = client::Builder::new();
    builder.initial_connection_window_size(8 * 1024 * 1024);
    let (mut sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    tokio::spawn(connection);
    let stuck = ask(&mut sender, &gateway).await;
    let mut stuck_call = up.call().await;
    stuck_call.begin_stream().await;
    stuck_call.chunk(FRAMES[0]).await;
    let read = ask(&mut sender, &gateway).await;
    let mut call = up.call().await;
    call.begin_stream().await;
    call.chunk(FRAMES[0]).await;
    let (_stuck, read) = (stuck.await.unwrap(), read.await.unwrap());
    let mut body = read.into_body();
    let data = within("a frame", body.data()).await.unwrap().unwrap();
    assert_eq!(data, FRAMES[0]);
    let frame = format!("event: ping\ndata: \"{}\"\n\n", "x".repeat(64 * 1024));
    let chunk = upstream::chunked(frame);
    within("the gateway to give up", async { while stuck_call.is_read(&chunk).await {} }).await;
    gateway.until_metric("tidegate_active_requests", 1.0).await;
    call.chunk(FRAMES[1..].concat()).await;
    call.finish("0\r\n\r\n").await;
    let mut rest = Vec::new();
    while let Some(data) = within("the rest", body.data()).await {
        rest.extend_from_slice(&data.unwrap());
    }
    assert_eq!(rest, FRAMES[1..].concat().as_bytes());
}
