//! The client for upstreams: one `Upstream` per origin, connections kept per worker thread.
use std::cell::Cell;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

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
use crate::net::proxy::Proxy;
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
    threads: usize,
    upstreams: DashMap<Origin, Arc<Upstream>>,
    tls: OnceLock<Arc<ClientConfig>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Origin {
    is_tls: bool,
    host: String,
    port: u16,
    trust: Trust,
    /// The proxy on the way, if there is one.
    proxy: Option<Proxy>,
}

/// One origin and the connections to it.
pub struct Upstream {
    origin: Origin,
    tls: Option<Arc<ClientConfig>>,
    shards: Box<[Arc<Shard>]>,
}

/// The connections that a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// A connection that was used before, if there is one.
    Any,
    /// A new connection only.
    New,
}

/// The way in which a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// The awaited part of the response.
    pub awaits: Awaits,
    /// The time until a connection is open.
    pub connect: Duration,
    /// The connections that the request may use.
    pub connections: Connections,
}

/// The reason for a missing response.
#[derive(Debug)]
pub enum Failure {
    /// No connection was opened (refused, unreachable, TLS); the request was not sent.
    Connect(BoxError),
    /// No connection was opened in time; the request was not sent.
    ConnectTimeout,
    /// A connection that was used before broke at once: the upstream had closed it, and has not processed the
    /// request.
    Unprocessed(BoxError),
    /// The connection broke before the head of a response was read. The upstream may have processed the
    /// request.
    Broken(BoxError),
}

impl Client {
    /// Creates a client for this number of worker threads, and one thread more.
    pub fn new(workers: usize) -> Self {
        Self { threads: workers.max(1) + 1, upstreams: DashMap::new(), tls: OnceLock::new() }
    }

    /// Returns the number of the thread that is no worker.
    pub(crate) fn spare(&self) -> usize {
        self.threads - 1
    }

    /// Returns the upstream at an `http` or `https` base URL; the same one for the same origin and trust.
    ///
    /// Fails with a message if the URL has another scheme or no host, or if TLS cannot be set up.
    pub fn upstream(&self, base: &Uri, trust: &Trust) -> Result<Arc<Upstream>, String> {
        self.upstream_by(base, trust, None)
    }

    /// Does the same as [`Client::upstream`], through a proxy if there is one.
    pub(crate) fn upstream_by(
        &self,
        base: &Uri,
        trust: &Trust,
        proxy: Option<&Proxy>,
    ) -> Result<Arc<Upstream>, String> {
        let is_tls = match base.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the URL must begin with http:// or https://".to_owned()),
        };
        let host = base.host().ok_or("the URL has no host")?.to_owned();
        let port = base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let origin = Origin { is_tls, host, port, trust: trust.clone(), proxy: proxy.cloned() };
        let tls = if is_tls { Some(self.tls(trust)?) } else { None };
        let made = self.upstreams.entry(origin.clone()).or_insert_with(|| {
            let shards = (0..self.threads).map(|_| Arc::default()).collect();
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
    /// Sends a request and reads the head of its response. If a kept connection does not take the request, it
    /// is built again for the next one. `head` builds the head; its URI
    /// holds the path only. The outer error is an error of `head`.
    pub async fn send(
        &self,
        head: impl Fn() -> error::Result<request::Parts>,
        body: Pieces,
        how: Sending,
    ) -> error::Result<Result<Response<PooledBody>, Failure>> {
        let shard = self.shard();
        while how.connections == Connections::Any
            && let Some(mut kept) = shard.take()
        {
            let request = Request::from_parts(head()?, body.clone().into());
            let started = Instant::now();
            let error = match kept.send(request, &self.origin, how.awaits).await {
                Ok(answer) => {
                    return Ok(Ok(answer.map(|body| PooledBody::new(body, kept, shard))));
                }
                Err(error) => error,
            };
            match (Fate::of(&error, &kept, started.elapsed()), &kept) {
                (Fate::NotSent, Connection::One(_)) => {}
                // streams of a connection that ends: a new one is needed
                (Fate::NotSent, Connection::Many(_)) => break,
                (Fate::Unprocessed, _) => return Ok(Err(Failure::Unprocessed(error.into()))),
                (Fate::Unknown, _) => return Ok(Err(Failure::Broken(error.into()))),
            }
        }
        let request = Request::from_parts(head()?, body.into());
        let fresh = match self.fresh(how.connect).await {
            Ok(fresh) => fresh,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(self.send_on(fresh, request, how.awaits).await)
    }

    /// Forwards a request and its body while the body arrives, so it can be sent only once. Uses only new
    /// or shared connections. Otherwise does the same as [`Upstream::send`].
    pub async fn pass(
        &self,
        head: request::Parts,
        body: Body,
        connect: Duration,
    ) -> Result<Response<PooledBody>, Failure> {
        let request = Request::from_parts(head, body);
        let connection = match self.shard().take_shared() {
            Some(shared) => shared,
            None => self.fresh(connect).await?,
        };
        self.send_on(connection, request, Awaits::Whole).await
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        request: Request<Body>,
        awaits: Awaits,
    ) -> Result<Response<PooledBody>, Failure> {
        let answer = connection.send(request, &self.origin, awaits).await;
        let answer = answer.map_err(|e| Failure::Broken(e.into()))?;
        Ok(answer.map(|body| PooledBody::new(body, connection, self.shard())))
    }

    fn shard(&self) -> &Arc<Shard> {
        &self.shards[WORKER.get() % self.shards.len()]
    }

    async fn fresh(&self, connect: Duration) -> Result<Connection, Failure> {
        // boxed: a handshake is rare, and would make the future of every request kilobytes larger
        match tokio::time::timeout(connect, Box::pin(self.open(self.shard()))).await {
            Ok(opened) => opened.map_err(Failure::Connect),
            Err(_) => Err(Failure::ConnectTimeout),
        }
    }

    async fn open(&self, shard: &Arc<Shard>) -> Result<Connection, BoxError> {
        let host = self.origin.host.trim_start_matches('[').trim_end_matches(']');
        let started = Instant::now();
        let mut tcp = match &self.origin.proxy {
            None => TcpStream::connect((host, self.origin.port)).await?,
            Some(proxy) => proxy.connect().await?,
        };
        let round_trip = started.elapsed();
        tcp.set_nodelay(true)?;
        let Some(config) = &self.tls else {
            return Ok(Connection::One(Driven::handshake(tcp, round_trip).await?));
        };
        if let Some(proxy) = &self.origin.proxy {
            proxy.tunnel(&mut tcp, &self.origin.host, self.origin.port).await?;
        }
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await
            .map_err(tls::explain)?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => many(stream, shard, round_trip).await,
            _ => Ok(Connection::One(Driven::handshake(stream, round_trip).await?)),
        }
    }
}

impl Connection {
    /// Returns whether a byte of the response to the last request has arrived. HTTP/2 reports it by the head
    /// only.
    fn has_received(&self) -> bool {
        match self {
            Self::One(driven) => driven.has_received(),
            Self::Many(_) => false,
        }
    }

    fn round_trip(&self) -> Duration {
        match self {
            Self::One(driven) => driven.round_trip(),
            Self::Many(shared) => shared.round_trip(),
        }
    }

    async fn send(
        &mut self,
        request: Request<Body>,
        origin: &Origin,
        awaits: Awaits,
    ) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        match self {
            Self::One(driven) => driven.send(origin.addressed(request), awaits).await,
            Self::Many(shared) => {
                let sender = shared.sender();
                sender.ready().await?;
                let request = without_host(request, origin);
                sender.try_send_request(request).await.map_err(TrySendError::into_error)
            }
        }
    }
}

/// The fate of a request that a kept connection did not answer (RFC 9110, 9.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was not sent, or the upstream reports that it was not taken.
    NotSent,
    /// It was sent, and the upstream has not processed it.
    Unprocessed,
    /// The upstream may have processed it.
    Unknown,
}

/// The time in which the reset of a connection arrives that the upstream closed while it was idle, beside
/// two round trips: the delays of both machines.
const AT_ONCE: Duration = Duration::from_millis(200);
/// The longest round trip that is believed: a connection that was slow to open proves no distance.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(250);

impl Fate {
    fn of(error: &hyper::Error, kept: &Connection, took: Duration) -> Self {
        // an HTTP/2 upstream that refuses a stream has done nothing for it
        if error.is_canceled() || error.is_closed() || unsent::is_unsent(error) {
            return Self::NotSent;
        }
        let is_lost = (error.is_incomplete_message() || is_reset(error))
            && !kept.has_received()
            && took <= AT_ONCE + 2 * kept.round_trip().min(MAX_ROUND_TRIP);
        match is_lost {
            true => Self::Unprocessed,
            false => Self::Unknown,
        }
    }
}

impl Origin {
    /// Returns a request for HTTP/1.1. A proxy without a tunnel needs the whole URL and its own credentials.
    fn addressed(&self, request: Request<Body>) -> Request<Body> {
        let Some(proxy) = self.proxy.as_ref().filter(|_| !self.is_tls) else { return request };
        let mut request = absolute(request, self);
        if let Some(value) = proxy.authorization() {
            request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, value.clone());
        }
        request
    }
}

/// Returns a request for HTTP/2, which does not use `host`.
fn without_host(mut request: Request<Body>, origin: &Origin) -> Request<Body> {
    request.headers_mut().remove(http::header::HOST);
    absolute(request, origin)
}

/// Puts scheme and authority into the URI.
fn absolute(mut request: Request<Body>, origin: &Origin) -> Request<Body> {
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

async fn many<S>(
    stream: S,
    shard: &Arc<Shard>,
    round_trip: Duration,
) -> Result<Connection, BoxError>
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
    Ok(shard.share(sender, round_trip))
}
