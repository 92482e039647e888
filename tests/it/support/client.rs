//! A client of HTTP/1.1 that sends exact bytes and shows exact bytes.
use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::events::{Cutter, Event};
use super::head::{Head, Inlet};
use super::within;

/// A request on its way to be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// A request without a body.
    pub fn new(method: &'static str, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// With a body.
    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// A `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST`.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", target) }
    }

    /// A `POST` to `/v1/messages`.
    pub fn message(body: impl Into<Vec<u8>>) -> Self {
        Self::post("/v1/messages", body)
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// To the admin listener, which is on loopback.
    pub fn admin(self) -> Self {
        self.header("host", "localhost")
    }

    /// The method and the path.
    pub fn line(&self) -> (&'static str, String) {
        (self.method, self.target.clone())
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str("host: gateway.test\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method == "POST" || !self.body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it on a connection of its own and reads the head of the answer.
    pub async fn open(self, address: SocketAddr) -> Incoming {
        let stream = send_bytes(address, &self.to_bytes()).await;
        Incoming::read(stream).await
    }

    /// The same with the whole answer.
    pub async fn send(self, address: SocketAddr) -> Answer {
        let method = self.method;
        let incoming = self.open(address).await;
        match method {
            "HEAD" => Answer {
                status: incoming.status,
                head: incoming.head,
                body: Vec::new(),
                is_whole: true,
            },
            _ => incoming.finish().await,
        }
    }
}

/// Opens a connection and writes.
pub async fn send_bytes(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    within("the gateway to read a request", stream.write_all(bytes)).await.unwrap();
    stream
}

/// An answer whose head has been read.
pub struct Incoming {
    /// The status.
    pub status: u16,
    /// The head.
    pub head: Head,
    inlet: Inlet,
    stream: TcpStream,
    frames: VecDeque<Bytes>,
    cutter: Cutter,
    is_over: bool,
    is_whole: bool,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head.
    pub head: Head,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// It came to its proper end.
    pub is_whole: bool,
}

impl Incoming {
    /// Reads the head of an answer.
    pub async fn read(mut stream: TcpStream) -> Self {
        let mut inlet = Inlet::default();
        let head = within("the head of an answer", inlet.head(&mut stream)).await;
        let head = head.expect("the gateway closed without an answer");
        Self {
            status: head.target().parse().unwrap(),
            head,
            inlet,
            stream,
            frames: VecDeque::new(),
            cutter: Cutter::default(),
            is_over: false,
            is_whole: false,
        }
    }

    /// The next frame of a stream; `None` when it is over.
    pub async fn frame(&mut self) -> Option<Bytes> {
        if self.head.header("transfer-encoding").is_none() {
            // a whole body, which is no stream
            self.is_over = true;
        }
        while self.frames.is_empty() && !self.is_over {
            match within("a frame", self.inlet.chunk(&mut self.stream)).await {
                Some(Some(chunk)) => self.cut(chunk),
                end => (self.is_over, self.is_whole) = (true, end.is_some()),
            }
        }
        self.frames.pop_front()
    }

    fn cut(&mut self, chunk: Vec<u8>) {
        self.cutter.push(&chunk);
        while let Some(frame) = self.cutter.next_frame() {
            self.frames.push_back(frame);
        }
    }

    /// The next event of a stream; `None` when it is over.
    pub async fn event(&mut self) -> Option<Event> {
        self.frame().await.map(Event::from_frame)
    }

    /// Every frame that is still to come.
    pub async fn frames(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(frame) = self.frame().await {
            all.push(Event::from_frame(frame));
        }
        all
    }

    /// The whole answer.
    pub async fn finish(mut self) -> Answer {
        let mut body = Vec::new();
        let is_whole = if self.head.header("transfer-encoding").is_some() {
            loop {
                match within("a chunk", self.inlet.chunk(&mut self.stream)).await {
                    Some(Some(chunk)) => body.extend(chunk),
                    end => break end.is_some(),
                }
            }
        } else {
            let whole = within("a body", self.inlet.body(&self.head, &mut self.stream)).await;
            let is_whole = whole.is_some();
            body = whole.unwrap_or_default();
            is_whole
        };
        Answer { status: self.status, head: self.head, body, is_whole }
    }

    /// The stream came to its proper end, as far as HTTP goes.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body of a success as JSON.
    pub fn message(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The message of an error, whoever made it.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The events of a stream.
    pub fn events(&self) -> Vec<Event> {
        let mut cutter = Cutter::default();
        cutter.push(&self.body);
        let mut events = Vec::new();
        while let Some(frame) = cutter.next_frame() {
            events.push(Event::from_frame(frame));
        }
        assert!(cutter.rest().is_empty(), "the stream ends within a frame: {}", self.text());
        events
    }

    /// It is an error of the gateway's own, in the API's envelope: its message.
    pub fn refusal(&self, status: u16, kind: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["type"], kind);
        let id = body["request_id"].as_str().unwrap();
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(self.header("request-id"), Some(id));
        body["error"]["message"].as_str().unwrap().to_owned()
    }
}
