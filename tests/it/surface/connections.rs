//! How callers connect: HTTP/2 without TLS, TLS, keep-alive, and what a drain does to them.
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidegate::gateway::reload::Reloaded;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::client::{Ask, Incoming, send_bytes};
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, streaming, until, within};

fn request(uri: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(uri).header("content-type", "application/json");
    request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

#[tokio::test]
async fn http_2_without_tls_is_spoken() {
    let up = Upstream::by(|call| {
        let is_stream = call.text().contains("stream");
        Behaviour::Answer(if is_stream {
            upstream::stream(&FRAMES)
        } else {
            upstream::json(200, ANSWER)
        })
    })
    .await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{}/v1/messages?beta=true", gateway.address);
    let send = async |body| {
        let answer = sender.clone().send_request(request(&uri, body)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    // several at once on the one connection
    let (a, b, c) = tokio::join!(send(MESSAGE), send(STREAM), send(MESSAGE));
    assert_eq!(
        (&a[..], &b[..], &c[..]),
        (ANSWER.as_bytes(), FRAMES.concat().as_bytes(), ANSWER.as_bytes())
    );
    for (head, _) in up.seen() {
        assert_eq!(head.line, "POST /v1/messages?beta=true HTTP/1.1");
        assert_eq!(head.header("host"), Some(up.address.to_string().as_str()));
    }
}

#[tokio::test]
async fn over_http_2_the_results_of_batches_come_back_through_the_gateway() {
    let answer = "{\"results_url\":\"https://api.anthropic.com/r\"}";
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, answer))).await;
    let gateway = Gateway::with().upstream(up.address).config("passthrough: up\n").start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{}/v1/messages/batches/b", gateway.address);
    let request = Request::get(uri).body(Full::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("{{\"results_url\":\"http://{}/r\"}}", gateway.address));
}

struct Certificate {
    pem: String,
    key: String,
    der: CertificateDer<'static>,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Certificate {
        pem: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    }
}

async fn tls(address: SocketAddr, trusted: &Certificate, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    within("the TLS handshake", connecting).await.unwrap()
}

#[tokio::test]
async fn tls_is_spoken_with_either_protocol() {
    let answer = "{\"results_url\":\"https://api.anthropic.com/r\"}";
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, answer))).await;
    let made = certificate();
    let config = to(up.address)
        + "passthrough: up\nserver: { workers: 1, tls: { cert: cert.pem, key: key.pem } }\n";
    let files = [("cert.pem", made.pem.as_str()), ("key.pem", made.key.as_str())];
    let gateway = Gateway::with().config(&config).files(&files).start().await;
    let get = |uri: &str| {
        let request = Request::get(uri).header("host", "localhost");
        request.body(Full::<Bytes>::default()).unwrap()
    };
    let stream = tls(gateway.address, &made, b"http/1.1").await;
    let (mut one, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let first = one.send_request(get("/v1/messages/batches/b")).await.unwrap();
    let stream = tls(gateway.address, &made, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut two, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let second = two.send_request(get("https://localhost/v1/messages/batches/b")).await.unwrap();
    for answer in [first, second] {
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "{\"results_url\":\"https://localhost/r\"}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_serves_without_a_restart() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let (old, new) = (certificate(), certificate());
    let config = to(up.address) + "server: { workers: 1, tls: { cert: cert.pem, key: key.pem } }\n";
    let files = [("cert.pem", old.pem.as_str()), ("key.pem", old.key.as_str())];
    let gateway = Gateway::with().config(&config).files(&files).start().await;
    tls(gateway.address, &old, b"http/1.1").await;
    std::fs::write(gateway.folder().join("cert.pem"), &new.pem).unwrap();
    // the pair does not match yet: the last good one serves on
    assert!(matches!(gateway.reload(&config).await, Reloaded::Refused(_)));
    tls(gateway.address, &old, b"http/1.1").await;
    std::fs::write(gateway.folder().join("key.pem"), &new.key).unwrap();
    assert!(matches!(gateway.reload(&config).await, Reloaded::Swapped(_)));
    tls(gateway.address, &new, b"http/1.1").await;
}

#[tokio::test]
async fn a_plaintext_client_on_a_tls_listener_does_not_disturb_other_clients() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let made = certificate();
    let config = to(up.address) + "server: { workers: 1, tls: { cert: cert.pem, key: key.pem } }\n";
    let files = [("cert.pem", made.pem.as_str()), ("key.pem", made.key.as_str())];
    let gateway = Gateway::with().config(&config).files(&files).start().await;
    let _plain = send_bytes(gateway.address, &Ask::message(MESSAGE).to_bytes()).await;
    let stream = tls(gateway.address, &made, b"http/1.1").await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request("/v1/messages", MESSAGE)).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..5 {
        let answer = sender.send_request(request("/v1/messages", MESSAGE)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), ANSWER);
        sender.ready().await.unwrap();
    }
}

#[tokio::test]
async fn a_drain_lets_a_stream_finish_and_accepts_no_new_connections() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).config("drain: 60s\n").start().await;
    let (address, admin) = (gateway.address, gateway.admin);
    let idle = TcpStream::connect(address).await.unwrap();
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    assert_eq!(Ask::get("/readyz").send(admin).await.status, 200);
    let stopping = tokio::spawn(gateway.stop());
    let is_ready = async || Ask::get("/readyz").send(admin).await.status == 200;
    until("`/readyz` to say so", async || !is_ready().await).await;
    until("the listener to close", async || TcpStream::connect(address).await.is_err()).await;
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
        assert_eq!(answer.frame().await.unwrap(), frame);
    }
    assert!(!stopping.is_finished());
    call.finish("0\r\n\r\n").await;
    assert_eq!(answer.frame().await, None);
    assert!(answer.is_whole());
    within("the drain", stopping).await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_the_remaining_streams() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).config("drain: 50ms\n").start().await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    gateway.stop().await;
    assert!(answer.frames().await.is_empty());
    assert!(!answer.is_whole(), "a cut must never look like an end");
    call.closed().await;
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_its_turn() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address) + "server: { workers: 1, max_connections: 1 }\n";
    let gateway = Gateway::start(&config).await;
    let bytes = Ask::message(MESSAGE).to_bytes();
    let first = Incoming::read(send_bytes(gateway.address, &bytes).await).await;
    let second = send_bytes(gateway.address, &bytes).await;
    // the first keeps its place while it lives, though its answer has come
    assert_eq!((first.status, up.count()), (200, 1));
    drop(first);
    assert_eq!(Incoming::read(second).await.status, 200);
}

#[tokio::test]
async fn a_request_that_an_upstream_dies_of_is_sent_twice_at_most() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let kept = async {
        let (one, two) = (up.call().await, up.call().await);
        one.finish(upstream::json(200, ANSWER)).await;
        two.finish(upstream::json(200, ANSWER)).await;
    };
    let ask = || Ask::message(MESSAGE).send(gateway.address);
    // two connections are kept from here on
    let (one, two, ()) = tokio::join!(ask(), ask(), kept);
    assert_eq!((one.status, two.status), (200, 200));
    let dying = async {
        drop(up.call().await);
        drop(up.call().await);
    };
    let (answer, ()) = tokio::join!(ask(), dying);
    answer.refusal(502, "api_error");
    assert!(up.is_idle());
}
