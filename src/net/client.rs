//! The client for upstreams: one `Upstream` an origin, connections kept per worker thread.
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
    /// Which shard of every pool this thread uses: a connection is driven on the thread that opened it.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Tells this thread which worker it is; threads that never say share the first shard.
pub fn enter_worker(number: usize) {
    WORKER.set(number);
}

/// Makes upstreams; outlives generations, so that a reload keeps its connections.
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

/// What became of a request on a kept connection.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once, and nearly always the large one"
)]
enum Kept {
    /// It is decided.
    Answered(Result<Response<PooledBody>, Failure>),
    /// The connection had been closed: the next one may live.
    Gone,
    /// Only a fresh connection will tell.
    Lost,
}

/// Why no answer came.
#[derive(Debug)]
pub enum Failure {
    /// No connection: refused, unreachable, TLS; the request was not sent.
    Connect(BoxError),
    /// It did not stand in time; the request was not sent.
    ConnectTimeout,
    /// The connection broke before the head of an answer was read.
    Broken(BoxError),
}

impl Client {
    /// A client for so many worker threads.
    pub fn new(workers: usize) -> Self {
        Self { workers: workers.max(1), upstreams: DashMap::new(), tls: OnceLock::new() }
    }

    /// The upstream at an `http` or `https` base URL; the same one for the same origin and trust.
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
    /// Sends a request and reads the head of its answer. Should a kept connection turn out to be
    /// closed, the request is made anew and sent again: `head` makes its head, whose URI holds the
    /// path only. The outer error is that of `head`.
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
                Kept::Answered(answered) => return Ok(answered),
                Kept::Gone => {}
                Kept::Lost => break,
            }
        }
        let request = Request::from_parts(head()?, body.into());
        Ok(self.send_fresh(None, request, (awaits, connect)).await)
    }

    /// Passes a request on whose body comes as it is sent on, once: only fresh or shared connections
    /// are used. Otherwise as [`Upstream::send`].
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
    ) -> Kept {
        match kept.send(request, &self.origin, awaits).await {
            Ok(answer) => Kept::Answered(Ok(answer.map(|body| PooledBody::new(body, kept, shard)))),
            // nothing was sent
            Err(e) if e.is_canceled() || e.is_closed() || unsent::is_unsent(&e) => match kept {
                Connection::One(_) => Kept::Gone,
                Connection::Many(_) => Kept::Lost,
            },
            // probably closed while it lay idle; should the request itself be what an upstream
            // dies of, it must not die of it on every connection: once more, on a fresh one
            Err(e) if e.is_incomplete_message() || is_reset(&e) => Kept::Lost,
            Err(e) => Kept::Answered(Err(Failure::Broken(e.into()))),
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

/// HTTP/2 carries scheme and authority in the URI, not in `host`.
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
