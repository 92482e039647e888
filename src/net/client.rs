//! The client for upstreams: one `Upstream` per origin, connections kept per worker thread.
use std::cell::Cell;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use http::{Request, Response, Uri, request};
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{self, BoxError};
use crate::net::body::Body;
use crate::net::http1::{Awaits, Driven};
use crate::net::pool::{Connection, PooledBody, Shard};
use crate::net::tls::{self, Trust};
use crate::net::unsent;
use crate::wire::Pieces;

thread_local! {
    /// The shard of every pool that this thread uses. A connection is driven by the thread that opened it.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Sets the worker number of this thread; threads without a number share the first shard.
pub(crate) fn enter_worker(number: usize) {
    WORKER.set(number);
}

/// Creates upstreams. It outlives generations, so that a reload keeps its connections.
pub struct Client {
    workers: usize,
    upstreams: DashMap<Origin, Arc<Upstream>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Origin {
    is_tls: bool,
    host: String,
    port: u16,
    trust: Trust,
}

/// One origin and the connections to it.
pub struct Upstream {
    origin: Origin,
    tls: Option<Arc<ClientConfig>>,
    shards: Box<[Arc<Shard>]>,
}

/// The outcome of a request on a kept connection.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once, and nearly always the large one"
)]
enum Reuse {
    /// The request has its final result.
    Done(Result<Response<PooledBody>, Failure>),
    /// The connection was closed; the next kept one may be open.
    Closed,
    /// The result is unknown: the request needs a new connection.
    Unknown,
}

/// The reason for a missing response.
#[derive(Debug)]
pub enum Failure {
    /// No connection was opened (refused, unreachable, TLS); the request was not sent.
    Connect(BoxError),
    /// No connection was opened in time; the request was not sent.
    ConnectTimeout,
    /// The connection broke before the head of a response was read.
    Broken(BoxError),
}

impl Client {
    /// Creates a client for this number of worker threads.
    pub fn new(workers: usize) -> Self {
        Self { workers: workers.max(1), upstreams: DashMap::new(), tls: OnceLock::new() }
    }

    /// Returns the upstream at an `http` or `https` base URL; the same one for the same origin and trust.
    ///
    /// Fails with a message if the URL has another scheme or no host, or if TLS cannot be set up.
    pub fn upstream(&self, base: &Uri, trust: &Trust) -> Result<Arc<Upstream>, String> {
        let is_tls = match base.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the URL must begin with http:// or https://".to_owned()),
        };
        let host = base.host().ok_or("the URL has no host")?.to_owned();
        let port = base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let origin = Origin { is_tls, host, port, trust: trust.clone() };
        let tls = if is_tls { Some(self.tls(trust)?) } else { None };
        let made = self.upstreams.entry(origin.clone()).or_insert_with(|| {
            let shards = (0..self.workers).map(|_| Arc::default()).collect();
            Arc::new(Upstream { origin, tls, shards })
        });
        Ok(Arc::clone(&made))
    }

    fn tls(&self, trust: &Trust) -> Result<Arc<ClientConfig>, String> {
        if let (Trust::System, Some(config)) = (trust, self.tls.get()) {
            return Ok(Arc::clone(config));
        }
        let config = tls::client(trust).map_err(|e| e.to_string())?;
        if *trust != Trust::System {
            return Ok(config);
        }
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }
}

impl Upstream {
    /// Sends a request and reads the head of its response. If a kept connection turns out to be closed,
    /// the request is built and sent again. `head` builds the head; its URI holds the path only.
    /// The outer error is an error of `head`.
    pub async fn send(
        &self,
        head: impl Fn() -> error::Result<request::Parts>,
        body: Pieces,
        (awaits, connect): (Awaits, Duration),
    ) -> error::Result<Result<Response<PooledBody>, Failure>> {
        let shard = &self.shards[WORKER.get() % self.shards.len()];
        while let Some(kept) = shard.take() {
            let request = Request::from_parts(head()?, body.clone().into());
            match self.send_kept((kept, shard), request, awaits).await {
                Reuse::Done(answered) => return Ok(answered),
                Reuse::Closed => {}
                Reuse::Unknown => break,
            }
        }
        let request = Request::from_parts(head()?, body.into());
        Ok(self.send_fresh(None, request, (awaits, connect)).await)
    }

    /// Forwards a request and its body while the body arrives, so it can be sent only once. Uses only new
    /// or shared connections. Otherwise does the same as [`Upstream::send`].
    pub async fn pass(
        &self,
        head: request::Parts,
        body: Body,
        connect: Duration,
    ) -> Result<Response<PooledBody>, Failure> {
        let shard = &self.shards[WORKER.get() % self.shards.len()];
        let request = Request::from_parts(head, body);
        self.send_fresh(shard.take_shared(), request, (Awaits::Whole, connect)).await
    }

    async fn send_fresh(
        &self,
        shared: Option<Connection>,
        request: Request<Body>,
        (awaits, connect): (Awaits, Duration),
    ) -> Result<Response<PooledBody>, Failure> {
        let shard = &self.shards[WORKER.get() % self.shards.len()];
        // boxed: a handshake is rare, and would make the future of every request kilobytes larger
        let mut fresh = match shared {
            Some(shared) => shared,
            None => match tokio::time::timeout(connect, Box::pin(self.open(shard))).await {
                Ok(opened) => opened.map_err(Failure::Connect)?,
                Err(_) => return Err(Failure::ConnectTimeout),
            },
        };
        let answer = fresh.send(request, &self.origin, awaits).await;
        let answer = answer.map_err(|e| Failure::Broken(e.into()))?;
        Ok(answer.map(|body| PooledBody::new(body, fresh, shard)))
    }

    /// Sends a request on a connection that was used before.
    async fn send_kept(
        &self,
        (mut kept, shard): (Connection, &Arc<Shard>),
        request: Request<Body>,
        awaits: Awaits,
    ) -> Reuse {
        match kept.send(request, &self.origin, awaits).await {
            Ok(answer) => Reuse::Done(Ok(answer.map(|body| PooledBody::new(body, kept, shard)))),
            // the request was not sent
            Err(e) if e.is_canceled() || e.is_closed() || unsent::is_unsent(&e) => match kept {
                Connection::One(_) => Reuse::Closed,
                Connection::Many(_) => Reuse::Unknown,
            },
            // The connection was probably closed while idle. But the request itself may crash the
            // upstream: retry it once only, on a new connection.
            Err(e) if e.is_incomplete_message() || is_reset(&e) => Reuse::Unknown,
            Err(e) => Reuse::Done(Err(Failure::Broken(e.into()))),
        }
    }

    async fn open(&self, shard: &Arc<Shard>) -> Result<Connection, BoxError> {
        let host = self.origin.host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.origin.port)).await?;
        tcp.set_nodelay(true)?;
        let Some(config) = &self.tls else {
            return Ok(Connection::One(Driven::handshake(tcp).await?));
        };
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await
            .map_err(tls::explain)?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => many(stream, shard).await,
            _ => Ok(Connection::One(Driven::handshake(stream).await?)),
        }
    }
}

impl Connection {
    async fn send(
        &mut self,
        request: Request<Body>,
        origin: &Origin,
        awaits: Awaits,
    ) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        match self {
            Self::One(driven) => driven.send(request, awaits).await,
            Self::Many(shared) => {
                let sender = shared.sender();
                sender.ready().await?;
                let request = absolute(request, origin);
                sender.try_send_request(request).await.map_err(TrySendError::into_error)
            }
        }
    }
}

/// Puts scheme and authority into the URI, since HTTP/2 does not use `host`.
fn absolute(mut request: Request<Body>, origin: &Origin) -> Request<Body> {
    request.headers_mut().remove(http::header::HOST);
    let scheme = if origin.is_tls { "https" } else { "http" };
    let authority = match origin.port {
        443 if origin.is_tls => origin.host.clone(),
        port => format!("{}:{port}", origin.host),
    };
    let path = request.uri().path_and_query().cloned();
    let whole = Uri::builder().scheme(scheme).authority(authority);
    if let Some(path) = path
        && let Ok(uri) = whole.path_and_query(path).build()
    {
        *request.uri_mut() = uri;
    }
    request
}

fn is_reset(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return matches!(io.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
        }
        source = cause.source();
    }
    false
}

async fn many<S>(stream: S, shard: &Arc<Shard>) -> Result<Connection, BoxError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(true)
        .keep_alive_timeout(Duration::from_secs(20))
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(shard.share(sender))
}
