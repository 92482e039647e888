//! The connections to one upstream, HTTP/1.1 or 2: kept per worker thread, returned after the whole body.
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use parking_lot::Mutex;

use crate::error::BoxError;
use crate::net::body::Body;
use crate::net::http1::Driven;

/// The longest idle time: the gateway closes earlier than upstreams, which wait a minute or more.
const MAX_IDLE: Duration = Duration::from_secs(50);
/// The most streams on one HTTP/2 connection: the minimum that RFC 9113 (6.5.2) recommends to servers.
const MAX_STREAMS: usize = 100;
/// The most idle connections per worker; further ones are closed after their response.
const MAX_KEPT: usize = 256;

/// The idle connections of one upstream that one worker opened.
#[derive(Default)]
pub struct Shard {
    kept: Mutex<IdleList>,
    shared: Mutex<Vec<Shared>>,
}

#[derive(Default)]
struct IdleList {
    idle: Vec<Idle>,
    /// Whether a task will close connections that are idle for too long.
    is_swept: bool,
}

struct Idle {
    connection: Driven,
    since: Instant,
}

/// An HTTP/2 connection with a count of its open streams: each clone is one stream.
#[derive(Clone)]
pub struct Shared {
    sender: http2::SendRequest<Body>,
    streams: Arc<()>,
    round_trip: Duration,
}

/// A connection to send a request on.
pub enum Connection {
    /// An HTTP/1.1 connection; one request owns it until its response has been read.
    One(Driven),
    /// An HTTP/2 connection, shared among requests.
    Many(Shared),
}

impl Shard {
    /// Returns a connection that was used before. An idle connection is not watched, so the upstream may
    /// have closed it.
    pub fn take(&self) -> Option<Connection> {
        if let Some(shared) = self.take_shared() {
            return Some(shared);
        }
        let mut kept = self.kept.lock();
        // the newest is the least likely to be closed, and the others can grow too old
        let newest = kept.idle.pop()?;
        if newest.since.elapsed() > MAX_IDLE {
            kept.idle.clear();
            return None;
        }
        Some(Connection::One(newest.connection))
    }

    /// Returns an HTTP/2 connection with room for another stream.
    pub fn take_shared(&self) -> Option<Connection> {
        let mut shared = self.shared.lock();
        shared.retain(|shared| !shared.sender.is_closed());
        let free = shared.iter().find(|shared| shared.has_room());
        free.map(|shared| Connection::Many(shared.clone()))
    }

    /// Adds a new HTTP/2 connection, so that later requests share it.
    pub fn share(&self, sender: http2::SendRequest<Body>, round_trip: Duration) -> Connection {
        let fresh = Shared { sender, streams: Arc::new(()), round_trip };
        self.shared.lock().push(fresh.clone());
        Connection::Many(fresh)
    }

    fn give_back(self: &Arc<Self>, connection: Driven) {
        let mut kept = self.kept.lock();
        if kept.idle.len() < MAX_KEPT {
            kept.idle.push(Idle { connection, since: Instant::now() });
        }
        if !std::mem::replace(&mut kept.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes connections that are idle for too long. Returns `false` if none are left.
    fn sweep(&self) -> bool {
        let mut kept = self.kept.lock();
        kept.idle.retain(|idle| idle.since.elapsed() < MAX_IDLE);
        kept.is_swept = !kept.idle.is_empty();
        kept.is_swept
    }
}

/// Closes idle connections in time. The gateway only notices that an upstream closed one when it takes
/// it; a connection that is never taken must not stay half open.
async fn sweep(shard: Weak<Shard>) {
    loop {
        tokio::time::sleep(MAX_IDLE).await;
        if !shard.upgrade().is_some_and(|shard| shard.sweep()) {
            return;
        }
    }
}

impl Shared {
    /// Returns whether one more stream may begin. Beyond the upstream's limit, a request would wait for
    /// other requests to end, which takes minutes.
    fn has_room(&self) -> bool {
        Arc::strong_count(&self.streams) <= MAX_STREAMS
    }

    /// Returns the time that the connection took to open: one round trip.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Returns the sender of requests.
    pub fn sender(&mut self) -> &mut http2::SendRequest<Body> {
        &mut self.sender
    }
}

/// The body of a response. Read to its end, it returns its connection to the pool. Dropped earlier, it
/// closes the connection: so the upstream learns that the client is gone.
pub struct PooledBody {
    body: Incoming,
    /// An exclusive connection, driven by the reader of the body.
    connection: Option<(Driven, Weak<Shard>)>,
    /// Counts as one stream of a shared connection.
    _stream: Option<Arc<()>>,
}

impl PooledBody {
    /// Ties a body to its connection.
    pub fn new(body: Incoming, connection: Connection, shard: &Arc<Shard>) -> Self {
        let (connection, stream) = match connection {
            Connection::One(driven) => (Some((driven, Arc::downgrade(shard))), None),
            Connection::Many(shared) => (None, Some(shared.streams)),
        };
        let mut pooled = Self { body, connection, _stream: stream };
        if pooled.body.is_end_stream() {
            pooled.release();
        }
        pooled
    }

    /// Returns the connection to the pool. It is not ready if the upstream responded before it had read the
    /// whole request, or if the connection has ended.
    fn release(&mut self) {
        if let Some((driven, shard)) = self.connection.take()
            && driven.is_ready()
            && let Some(shard) = shard.upgrade()
        {
            shard.give_back(driven);
        }
    }
}

impl http_body::Body for PooledBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let body = &mut this.body;
        let frame = ready!(match &mut this.connection {
            Some((driven, _)) => driven.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
            None => Pin::new(body).poll_frame(cx),
        });
        if frame.is_none() || this.body.is_end_stream() {
            this.release();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
