//! The steps of a drain: served for a delay, then without a listener until the deadline.
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::client::{Ask, Incoming, send_bytes};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, streaming, until, within};

/// The connections whose requests are in the kernel when the listener closes.
const WAITING: usize = 200;

fn request(address: SocketAddr) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://{address}/v1/messages"));
    let request = request.header("host", "x").header("content-type", "application/json");
    request.body(Full::new(Bytes::from_static(MESSAGE.as_bytes()))).unwrap()
}

async fn answering() -> Auto {
    Upstream::by(|call| {
        let is_stream = call.text().contains("stream");
        Behaviour::Answer(match is_stream {
            true => upstream::stream(&FRAMES),
            false => upstream::json(200, ANSWER),
        })
    })
    .await
}

/// A gateway that drains, and serves on for `delay`.
struct Leaving {
    address: SocketAddr,
    stopping: JoinHandle<()>,
}

impl Leaving {
    /// Begins the drain, and returns once `/readyz` says so.
    async fn begin(gateway: Gateway) -> Self {
        let (address, admin) = (gateway.address, gateway.admin);
        let stopping = tokio::spawn(gateway.stop());
        let ready = async || Ask::get("/readyz").send(admin).await.status;
        until("`/readyz` to be 503", async || ready().await == 503).await;
        Self { address, stopping }
    }
}

#[tokio::test]
async fn an_idle_connection_and_a_new_one_are_served_once_more_while_the_delay_runs() {
    let up = answering().await;
    let gateway = Gateway::with().upstream(up.address).config("drain: { delay: 1h }\n");
    let gateway = gateway.start().await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut kept, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    let before = kept.send_request(request(gateway.address)).await.unwrap();
    assert_eq!(before.headers().get("connection"), None);
    before.into_body().collect().await.unwrap();

    let leaving = Leaving::begin(gateway).await;
    kept.ready().await.unwrap();
    let answer = kept.send_request(request(leaving.address)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["connection"]),
        (200, &"close".parse().unwrap())
    );
    answer.into_body().collect().await.unwrap();
    within("the connection to end", ended).await.unwrap().unwrap();

    for body in [MESSAGE, STREAM, "no JSON"] {
        let bytes = Ask::message(body).to_bytes();
        let answer = Incoming::read(send_bytes(leaving.address, &bytes).await).await.finish().await;
        assert_eq!(answer.head.header("connection"), Some("close"), "{body}");
        assert_eq!(answer.status, if body == "no JSON" { 400 } else { 200 });
        assert!(answer.is_whole, "{body}");
    }
    assert!(!leaving.stopping.is_finished());
    leaving.stopping.abort();
}

#[tokio::test]
async fn http_2_gets_its_answer_and_a_goaway_while_the_delay_runs() {
    let up = answering().await;
    let gateway = Gateway::with().upstream(up.address).config("drain: { delay: 1h }\n");
    let gateway = gateway.start().await;
    let open = async |address| {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) =
            http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        (sender, tokio::spawn(connection))
    };
    let ask = async |sender: &http2::SendRequest<Full<Bytes>>, address| {
        let answer = sender.clone().send_request(request(address)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("connection")), (200, None));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), ANSWER);
    };
    let (idle, idle_ended) = open(gateway.address).await;
    ask(&idle, gateway.address).await;
    let leaving = Leaving::begin(gateway).await;
    assert!(!idle_ended.is_finished(), "an idle connection is kept");
    ask(&idle, leaving.address).await;
    within("the idle connection to end", idle_ended).await.unwrap().unwrap();
    let (new, new_ended) = open(leaving.address).await;
    ask(&new, leaving.address).await;
    within("the new connection to end", new_ended).await.unwrap().unwrap();
    assert!(!leaving.stopping.is_finished());
    leaving.stopping.abort();
}

#[tokio::test]
async fn after_the_delay_the_listener_closes_and_a_stream_ends_as_it_would() {
    let mut up = Upstream::start().await;
    let drain = "drain: { delay: 50ms, deadline: 1h }\n";
    let gateway = Gateway::with().upstream(up.address).config(drain).start().await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    let idle = send_bytes(gateway.address, b"").await;
    let leaving = Leaving::begin(gateway).await;
    let closed = async || TcpStream::connect(leaving.address).await.is_err();
    until("the listener to close", closed).await;
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
        assert_eq!(answer.frame().await.unwrap(), frame);
    }
    assert!(!leaving.stopping.is_finished());
    call.finish("0\r\n\r\n").await;
    assert_eq!(answer.frame().await, None);
    assert!(answer.is_whole());
    // the idle connection does not hold up the end
    within("the drain", leaving.stopping).await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_request_that_has_arrived_when_the_listener_closes_is_answered() {
    let up = answering().await;
    let gateway = Gateway::with().upstream(up.address).config("drain: 1h\n").start().await;
    let address = gateway.address;
    let bytes = Ask::message(MESSAGE).header("connection", "close").to_bytes();
    let sent = tokio::task::spawn_blocking(move || {
        let send = |_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&bytes).unwrap();
            stream
        };
        (0..WAITING).map(send).collect::<Vec<_>>()
    });
    let sent = sent.await.unwrap();
    gateway.stop().await;
    for (n, mut stream) in sent.into_iter().enumerate() {
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        assert!(
            read.is_ok() && answer.starts_with("HTTP/1.1 200"),
            "request {n}: {read:?} {answer}"
        );
    }
}
