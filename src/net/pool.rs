//! The connections to one upstream: kept per worker thread, HTTP/1.1 or 2, given back when read to the end.
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

/// Upstreams close idle connections after a minute or more; leave before they do.
const MAX_IDLE: Duration = Duration::from_secs(50);
/// Streams on one HTTP/2 connection; the least that RFC 9113 (6.5.2) recommends servers to allow.
const MAX_STREAMS: usize = 100;
/// Per worker; further ones are closed when their answer has been read.
const MAX_KEPT: usize = 256;

/// The idle connections of one upstream that one worker opened.
#[derive(Default)]
pub struct Shard {
    kept: Mutex<Kept>,
    shared: Mutex<Vec<Shared>>,
}

#[derive(Default)]
struct Kept {
    idle: Vec<Idle>,
    /// A task will look after them.
    is_swept: bool,
}

struct Idle {
    connection: Driven,
    since: Instant,
}

/// An HTTP/2 connection, and a count of the streams that are open on it: who holds a clone.
#[derive(Clone)]
pub struct Shared {
    sender: http2::SendRequest<Body>,
    streams: Arc<()>,
}

/// A connection that a request may be sent on.
pub enum Connection {
    /// Of HTTP/1.1, ours alone until the answer has been read.
    One(Driven),
    /// Of HTTP/2, shared.
    Many(Shared),
}

impl Shard {
    /// A connection that was used before. Nobody looks after it while it is idle: it may have been
    /// closed.
    pub fn take(&self) -> Option<Connection> {
        if let Some(shared) = self.take_shared() {
            return Some(shared);
        }
        let mut kept = self.kept.lock();
        // the newest is the least likely to be closed, and lets the others age
        let newest = kept.idle.pop()?;
        if newest.since.elapsed() > MAX_IDLE {
            kept.idle.clear();
            return None;
        }
        Some(Connection::One(newest.connection))
    }

    /// An HTTP/2 connection that has room for a stream.
    pub fn take_shared(&self) -> Option<Connection> {
        let mut shared = self.shared.lock();
        shared.retain(|shared| !shared.sender.is_closed());
        let free = shared.iter().find(|shared| shared.has_room());
        free.map(|shared| Connection::Many(shared.clone()))
    }

    /// Offers a fresh HTTP/2 connection to the requests that follow, too.
    pub fn share(&self, sender: http2::SendRequest<Body>) -> Connection {
        let fresh = Shared { sender, streams: Arc::new(()) };
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

    /// Closes what has been idle for too long; `false` if nothing is left to look after.
    fn sweep(&self) -> bool {
        let mut kept = self.kept.lock();
        kept.idle.retain(|idle| idle.since.elapsed() < MAX_IDLE);
        kept.is_swept = !kept.idle.is_empty();
        kept.is_swept
    }
}

/// An upstream that closes an idle connection is noticed by nobody until the connection is taken:
/// those that never are must not stay half open.
async fn sweep(shard: Weak<Shard>) {
    loop {
        tokio::time::sleep(MAX_IDLE).await;
        if !shard.upgrade().is_some_and(|shard| shard.sweep()) {
            return;
        }
    }
}

impl Shared {
    /// One more stream may begin: beyond what the upstream allows, requests would wait for others'
    /// to end, which takes minutes.
    fn has_room(&self) -> bool {
        Arc::strong_count(&self.streams) <= MAX_STREAMS
    }

    /// Where requests are sent.
    pub fn sender(&mut self) -> &mut http2::SendRequest<Body> {
        &mut self.sender
    }
}

/// An answer's body. Read to the end, it gives its connection back; dropped before, it closes it,
/// which is how an upstream learns that the caller is gone.
pub struct PooledBody {
    body: Incoming,
    /// Ours alone, and driven by who reads the body.
    connection: Option<(Driven, Weak<Shard>)>,
    /// Counts as a stream of a shared connection.
    _stream: Option<Arc<()>>,
}

impl PooledBody {
    /// Ties a body to the connection it comes on.
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

    /// One that is not ready was answered before all of its request was sent, or has ended.
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
