//! A client of HTTP/1.1 that sends exact bytes and shows exact bytes.
use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::Value;
use tidegate::wire::sse::Cutter;
use tidegate::wire::{Event, EventKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A first line and the headers below it.
#[derive(Debug, Clone)]
pub struct Head {
    /// `POST /v1/messages HTTP/1.1`, `HTTP/1.1 200 OK`.
    pub line: String,
    /// In their order, names as they were written.
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Self { line, headers: headers.collect() }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// What the first line asks for.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// Reads heads and bodies; keeps what came beyond them.
#[derive(Default)]
pub struct Inlet {
    buffer: Vec<u8>,
}

impl Inlet {
    /// The next head; `None` if the peer closes before it is whole.
    pub async fn head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Option<Head> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more(stream).await?;
        };
        let rest = self.buffer.split_off(end + 4);
        let head = std::mem::replace(&mut self.buffer, rest);
        Some(Head::parse(std::str::from_utf8(&head[..end]).unwrap()))
    }

    /// The body behind a request's head.
    pub async fn body(
        &mut self,
        head: &Head,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Vec<u8>> {
        if head.header("transfer-encoding").is_some() {
            let mut whole = Vec::new();
            while let Some(chunk) = self.chunk(stream).await? {
                whole.extend(chunk);
            }
            return Some(whole);
        }
        let length = head.header("content-length").map_or(0, |length| length.parse().unwrap());
        self.exactly(length, stream).await
    }

    /// The next chunk; `Some(None)` at the clean end, `None` at a break.
    pub async fn chunk(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Option<Vec<u8>>> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                break end;
            }
            self.more(stream).await?;
        };
        let size = std::str::from_utf8(&self.buffer[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        self.buffer.drain(..end + 2);
        let mut chunk = self.exactly(size + 2, stream).await?;
        chunk.truncate(size);
        Some((size > 0).then_some(chunk))
    }

    async fn exactly(
        &mut self,
        length: usize,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more(stream).await?;
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    async fn more(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Option<()> {
        match stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

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

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: gateway.test\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method == "POST" {
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
            status: head.status(),
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
        while self.frames.is_empty() && !self.is_over {
            match within("a frame", self.inlet.chunk(&mut self.stream)).await {
                Some(Some(chunk)) => self.cut(chunk),
                end => (self.is_over, self.is_whole) = (true, end.is_some()),
            }
        }
        self.frames.pop_front()
    }

    fn cut(&mut self, chunk: Vec<u8>) {
        self.cutter.push(chunk.into());
        while let Some(frame) = self.cutter.next_frame().unwrap() {
            self.frames.push_back(frame);
        }
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

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The events of a stream.
    pub fn events(&self) -> Vec<Event> {
        let mut cutter = Cutter::default();
        cutter.push(self.body.clone().into());
        let mut events = Vec::new();
        while let Some(frame) = cutter.next_frame().unwrap() {
            events.push(Event::from_frame(frame));
        }
        assert!(cutter.finish().is_empty(), "the stream ends within a frame: {}", self.text());
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

/// The kinds of events, for a comparison at a glance.
pub fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}
