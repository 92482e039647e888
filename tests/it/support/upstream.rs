//! An upstream of raw TCP that the test leads: it sees the exact request, and answers byte by byte.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::head::{Head, Inlet};
use super::within;

/// Listens on loopback. What comes in is taken by [`Self::call`], or answered by itself.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One request, and the connection that waits for its answer. Dropped, it closes the connection
/// without a word.
pub struct Call {
    /// Method, target, headers, as they came.
    pub head: Head,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    stream: TcpStream,
    back: oneshot::Sender<TcpStream>,
}

/// What an upstream that answers by itself does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Writes these bytes, and keeps the connection.
    Answer(Vec<u8>),
    /// Writes these bytes (perhaps none) and closes.
    Close(Vec<u8>),
    /// Resets the connection, after these bytes.
    Reset(Vec<u8>),
    /// Says nothing, until the peer closes.
    Silence,
    /// Sends the request to this address, passes the answer on as it comes, and closes.
    Relay(SocketAddr),
}

impl Upstream {
    /// One that the test leads.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, sender));
        Self { address, calls }
    }

    /// The next request.
    pub async fn call(&mut self) -> Call {
        within("a request to the upstream", self.calls.recv()).await.unwrap()
    }

    /// Nothing came that was not taken.
    pub fn is_idle(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    /// One that does the same with every request.
    pub async fn always(behaviour: Behaviour) -> Auto {
        Self::by(move |_| behaviour.clone()).await
    }

    /// One that goes through a list; its last entry serves for ever.
    pub async fn script(list: Vec<Behaviour>) -> Auto {
        let at = Mutex::new(0);
        Self::by(move |_| {
            let mut at = at.lock().unwrap();
            *at += 1;
            list[(*at - 1).min(list.len() - 1)].clone()
        })
        .await
    }

    /// One that decides by the request.
    pub async fn by(decide: impl Fn(&Call) -> Behaviour + Send + 'static) -> Auto {
        let mut upstream = Self::start().await;
        let address = upstream.address;
        let seen: Seen = Arc::default();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(call) = upstream.calls.recv().await {
                log.lock().unwrap().push((call.head.clone(), call.body.clone()));
                let behaviour = decide(&call);
                tokio::spawn(call.behave(behaviour));
            }
        });
        Auto { address, seen }
    }
}

/// Heads and bodies, in the order in which they came.
type Seen = Arc<Mutex<Vec<(Head, Vec<u8>)>>>;

/// An upstream that answers by itself.
pub struct Auto {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Seen,
}

impl Auto {
    /// Every request so far: head and body.
    pub fn seen(&self) -> Vec<(Head, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }

    /// The bodies so far.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.seen.lock().unwrap().iter().map(|(_, body)| Bytes::from(body.clone())).collect()
    }

    /// The bodies so far, as JSON.
    pub fn requests(&self) -> Vec<Value> {
        self.bodies().iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn accept(listener: TcpListener, sender: mpsc::UnboundedSender<Call>) {
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        tokio::spawn(read_calls(stream, connection, sender.clone()));
    }
}

async fn read_calls(mut stream: TcpStream, connection: usize, sender: mpsc::UnboundedSender<Call>) {
    stream.set_nodelay(true).unwrap();
    loop {
        let mut inlet = Inlet::default();
        let Some(head) = inlet.head(&mut stream).await else { return };
        let Some(body) = inlet.body(&head, &mut stream).await else { return };
        let (back, returned) = oneshot::channel();
        if sender.send(Call { head, body, connection, stream, back }).is_err() {
            return;
        }
        let Ok(again) = returned.await else { return };
        stream = again;
    }
}

impl Call {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Writes a part of an answer.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within("the gateway to read", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Writes a part of an answer; `false` once the gateway has hung up.
    pub async fn is_read(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Writes a part of an answer, as one chunk.
    pub async fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(chunked(bytes)).await;
    }

    /// The head of a stream whose events follow in chunks.
    pub async fn begin_stream(&mut self) {
        self.write(STREAM_HEAD).await;
    }

    /// Ends a stream.
    pub async fn end_stream(self) {
        self.finish("0\r\n\r\n").await;
    }

    /// Answers with a stream of these frames.
    pub async fn frames(self, frames: &[impl AsRef<str>]) {
        self.behave(Behaviour::Answer(stream(frames))).await;
    }

    /// Writes the rest of an answer and lets the connection serve the next request.
    pub async fn finish(mut self, bytes: impl AsRef<[u8]>) {
        self.write(bytes).await;
        let _ = self.back.send(self.stream);
    }

    /// Resets the connection.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the gateway has closed the connection.
    pub async fn closed(&mut self) {
        let mut byte = [0];
        let read = within("the gateway to close", self.stream.read(&mut byte)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "the gateway sent more");
    }

    pub async fn behave(mut self, behaviour: Behaviour) {
        match behaviour {
            // who leaves before the end of an answer is none of this upstream's business
            Behaviour::Answer(bytes) => {
                if self.stream.write_all(&bytes).await.is_ok() {
                    let _ = self.back.send(self.stream);
                }
            }
            Behaviour::Close(bytes) => {
                let _ = self.stream.write_all(&bytes).await;
            }
            Behaviour::Reset(bytes) => {
                let _ = self.stream.write_all(&bytes).await;
                self.reset();
            }
            Behaviour::Silence => {
                let _ = self.stream.read(&mut [0]).await;
            }
            Behaviour::Relay(address) => {
                let mut target = TcpStream::connect(address).await.unwrap();
                target.write_all(&self.request()).await.unwrap();
                let _ = tokio::io::copy(&mut target, &mut self.stream).await;
            }
        }
    }

    /// The request anew, for a connection that ends with it.
    fn request(&self) -> Vec<u8> {
        let mut head = format!("{}\r\nconnection: close\r\n", self.head.line);
        let framing = ["connection", "content-length", "transfer-encoding"];
        let is_kept = |name: &str| !framing.iter().any(|it| it.eq_ignore_ascii_case(name));
        for (name, value) in self.head.headers.iter().filter(|(name, _)| is_kept(name)) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        [head.as_bytes(), &self.body].concat()
    }
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nrequest-id: req_up\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk.
pub fn chunked(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// An answer of JSON.
pub fn json(status: u16, body: &str) -> Vec<u8> {
    answer(status, "content-type: application/json\r\nrequest-id: req_up\r\n", body)
}

/// An answer with head lines of its own.
pub fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A whole stream of events.
pub fn stream<S: AsRef<str>>(frames: &[S]) -> Vec<u8> {
    let frames: Vec<u8> = frames.iter().flat_map(|frame| chunked(frame.as_ref())).collect();
    [STREAM_HEAD.as_bytes(), &frames, b"0\r\n\r\n"].concat()
}

/// The beginning of a stream of events, to break off behind it.
pub fn broken<S: AsRef<str>>(frames: &[S]) -> Vec<u8> {
    let frames: Vec<u8> = frames.iter().flat_map(|frame| chunked(frame.as_ref())).collect();
    [STREAM_HEAD.as_bytes(), &frames].concat()
}
