//! The client of the checks: a connection for each request, headers as given, the answer byte by byte.
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::error::BoxError;
use crate::net::tls::{self, Trust};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The framing of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// With `content-length`.
    Length,
    /// In chunks.
    Chunked,
}

/// A request. `@MODEL@` and `@MARK@` in its body stand for the model and the mark of the answer.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub target: String,
    /// Headers that replace the usual ones of the same name.
    pub headers: Vec<(&'static str, String)>,
    /// A usual header that is left out.
    pub without: Option<&'static str>,
    /// The body.
    pub body: String,
    /// The framing of the body.
    pub framing: Framing,
}

impl Ask {
    /// Makes a `POST`.
    pub(super) fn post(target: &str, body: &str) -> Self {
        Self {
            method: Method::POST,
            target: target.to_owned(),
            headers: Vec::new(),
            without: None,
            body: body.to_owned(),
            framing: Framing::Length,
        }
    }

    /// Makes a request for a message.
    pub(super) fn message(body: &str) -> Self {
        Self::post("/v1/messages", body)
    }

    /// Makes a `GET`.
    pub(super) fn get(target: &str) -> Self {
        Self { method: Method::GET, ..Self::post(target, "") }
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// The gateway under test, and the headers for it.
pub(super) struct Client {
    url: Url,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    /// The client's key, if there is one.
    pub key: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The answer is complete by the rules of HTTP.
    Clean,
    /// The connection broke within the answer.
    Cut,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it came.
    pub body: Bytes,
    /// The end.
    pub end: End,
}

/// An answer that is still arriving. Dropped, it closes the connection.
pub(super) struct Arriving {
    status: u16,
    headers: HeaderMap,
    body: Incoming,
    received: Vec<u8>,
    connection: Connection,
}

struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Makes a client.
    ///
    /// Fails if the URL is no `http` or `https` URL with a host, or if it has a password.
    pub(super) fn new(
        url: &Url,
        key: Option<&str>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Self, BoxError> {
        let host = url.host_str().ok_or("expected a URL with a host")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("expected a URL without a user and a password".into());
        }
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let mut config = (*tls::client(&Trust::System)?).clone();
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(TlsConnector::from(Arc::new(config)))
            }
            scheme => return Err(format!("expected `http` or `https`, found `{scheme}`").into()),
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            url: url.clone(),
            tls,
            key: key.map(str::to_owned),
            headers: headers.to_vec(),
        })
    }

    /// Sends a request whose body is complete, and returns its answer when the head is there.
    pub(super) async fn open(&self, ask: &Ask) -> Result<Arriving, BoxError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = match &self.tls {
            None => connected(http1::handshake(TokioIo::new(stream)).await?),
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())?;
                let stream = tls.connect(name, stream).await?;
                connected(http1::handshake(TokioIo::new(stream)).await?)
            }
        };
        let (head, body) = sender.send_request(self.request(ask)?).await?.into_parts();
        let status = head.status.as_u16();
        Ok(Arriving { status, headers: head.headers, body, received: Vec::new(), connection })
    }

    fn request(&self, ask: &Ask) -> Result<Request<Body>, BoxError> {
        let target = format!("{}{}", self.url.path().trim_end_matches('/'), ask.target);
        let bytes = Bytes::from(ask.body.clone());
        let body = match ask.framing {
            Framing::Length => Full::new(bytes).boxed_unsync(),
            Framing::Chunked => {
                let frames = [bytes].map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
                StreamBody::new(stream::iter(frames)).boxed_unsync()
            }
        };
        let mut request = Request::builder().method(&ask.method).uri(target).body(body)?;
        let headers = request.headers_mut();
        let host = match self.url.port() {
            Some(port) => format!("{}:{port}", self.url.host_str().unwrap_or_default()),
            None => self.url.host_str().unwrap_or_default().to_owned(),
        };
        headers.insert(HOST, HeaderValue::from_str(&host)?);
        for (name, value) in [
            ("accept", "application/json"),
            ("anthropic-version", "2023-06-01"),
            ("content-type", "application/json"),
            ("user-agent", concat!("tidegate-conform/", env!("CARGO_PKG_VERSION"))),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let Some(key) = &self.key {
            headers.insert("x-api-key", HeaderValue::from_str(key)?);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        let replaced = ask.headers.iter().map(|(name, _)| *name);
        for name in replaced.chain(ask.without) {
            headers.remove(name);
        }
        for (name, value) in &ask.headers {
            headers.append(*name, HeaderValue::from_str(value)?);
        }
        Ok(request)
    }
}

fn connected<T>(
    pair: (SendRequest<Body>, http1::Connection<T, Body>),
) -> (SendRequest<Body>, Connection)
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = pair;
    let task = tokio::spawn(async move {
        // the reader of the body sees the failure as well
        let _ = connection.await;
    });
    (sender, Connection(task))
}

impl Arriving {
    /// Returns the status.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Reads until the body has these bytes.
    ///
    /// Fails if the body ends before.
    pub(super) async fn until(&mut self, needle: &[u8]) -> Result<(), End> {
        while memmem::find(&self.received, needle).is_none() {
            match self.body.frame().await {
                Some(Ok(frame)) => self.take(frame),
                Some(Err(_)) => return Err(End::Cut),
                None => return Err(End::Clean),
            }
        }
        Ok(())
    }

    /// Reads the rest.
    pub(super) async fn whole(mut self) -> Answer {
        let end = loop {
            match self.body.frame().await {
                Some(Ok(frame)) => self.take(frame),
                Some(Err(_)) => break End::Cut,
                None => break End::Clean,
            }
        };
        drop(self.connection);
        let body = Bytes::from(self.received);
        Answer { status: self.status, headers: self.headers, body, end }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        if let Ok(data) = frame.into_data() {
            self.received.extend_from_slice(&data);
        }
    }
}

impl Answer {
    /// Returns the first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
