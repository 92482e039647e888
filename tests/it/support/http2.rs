//! Upstreams of HTTP/2: one that the test leads, and one of bare frames.
use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::tls::Authority;
use super::within;

/// An upstream of HTTP/2 that the test leads.
pub struct Upstream2 {
    /// Where it listens.
    pub address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call2>,
}

/// One request.
pub struct Call2 {
    /// Its head.
    pub head: http::request::Parts,
    /// Its body.
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    respond: SendResponse<Bytes>,
}

impl Upstream2 {
    /// Shows this certificate.
    pub async fn start(authority: &Authority) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let address = authority
            .listen(move |connection, stream| serve(connection, stream, sender.clone()))
            .await;
        Self { address, calls }
    }

    /// The next request.
    pub async fn call(&mut self) -> Call2 {
        within("a request to the upstream", self.calls.recv()).await.unwrap()
    }
}

async fn serve(
    connection: usize,
    stream: TlsStream<TcpStream>,
    sender: mpsc::UnboundedSender<Call2>,
) {
    let Ok(mut server) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = server.accept().await {
        let sender = sender.clone();
        tokio::spawn(read(connection, request, respond, sender));
    }
}

async fn read(
    connection: usize,
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
    sender: mpsc::UnboundedSender<Call2>,
) {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = incoming.data().await {
        incoming.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    let _ = sender.send(Call2 { head, body, connection, respond });
}

impl Call2 {
    /// The whole answer.
    pub fn answer(mut self, body: &str) {
        let mut stream = self.respond.send_response(head("application/json"), false).unwrap();
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).unwrap();
    }

    /// The head of a stream of events.
    pub fn begin_stream(mut self) -> Sending {
        Sending(self.respond.send_response(head("text/event-stream"), false).unwrap())
    }

    /// Says that nothing was done with the request.
    pub fn refuse(mut self) {
        self.respond.send_reset(Reason::REFUSED_STREAM);
    }
}

/// An answer under way.
pub struct Sending(SendStream<Bytes>);

impl Sending {
    /// One frame.
    pub fn frame(&mut self, frame: &str) {
        self.0.send_data(Bytes::copy_from_slice(frame.as_bytes()), false).unwrap();
    }

    /// The last frame.
    pub fn end(mut self, frame: &str) {
        self.0.send_data(Bytes::copy_from_slice(frame.as_bytes()), true).unwrap();
    }

    /// Waits until the gateway gives this stream up.
    pub async fn reset(mut self) -> Reason {
        let reset = std::future::poll_fn(|cx| self.0.poll_reset(cx));
        within("the gateway to reset the stream", reset).await.unwrap()
    }
}

fn head(kind: &str) -> Response<()> {
    let head = Response::builder().header("content-type", kind).header("request-id", "req_up");
    head.body(()).unwrap()
}

/// An upstream of bare frames: answers the first request of each connection with `answer`, and any
/// further one with a GOAWAY that says the first was the last.
pub async fn one_a_connection(authority: &Authority, answer: &'static str) -> SocketAddr {
    authority
        .listen(move |_, mut stream| async move {
            // ends with an error when the gateway closes
            let _ = frames(&mut stream, answer).await;
        })
        .await
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

async fn frames(stream: &mut TlsStream<TcpStream>, answer: &str) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, b"")).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        stream.read_exact(&mut vec![0; length]).await?;
        match (head[3], head[4]) {
            (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, b"")).await?,
            (DATA, flags) if flags & END_STREAM != 0 && id == 1 => {
                // `:status: 200`, and `content-type` by its index in the static table
                let kind = b"application/json";
                let fields = [b"\x88\x0f\x10", &[kind.len() as u8][..], kind].concat();
                stream.write_all(&frame(HEADERS, END_HEADERS, 1, &fields)).await?;
                stream.write_all(&frame(DATA, END_STREAM, 1, answer.as_bytes())).await?;
            }
            (HEADERS, _) if id != 1 => {
                // the last stream that was worked on, and no error
                stream.write_all(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).await?;
            }
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
