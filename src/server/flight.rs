//! Requests in progress on one connection, and responses that the client stopped reading.
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::BoxError;
use crate::gateway::Live;
use crate::net::body::{Body, Received};
use crate::server::routes;

/// The size of a response's pieces over HTTP/2. hyper takes a whole piece, and polls for the next one
/// only if the client has room for it.
const PIECE: usize = 64 * 1024;

/// The activity of a connection, counted without a clock.
#[derive(Default)]
pub struct Pulse {
    /// The number of reads with bytes.
    pub reads: AtomicU64,
    /// The number of requests received.
    pub requests: AtomicU64,
    /// The number of requests without a complete response.
    pub in_flight: AtomicUsize,
    /// The value of `reads` when the last response was complete.
    reads_at_rest: AtomicU64,
    /// Wakes the connection if it is to end with the answers that are in progress.
    pub leaving: Notify,
    /// Whether a request was answered before its body was read, so that the client may still send it.
    pub unread: Arc<AtomicBool>,
    /// The HTTP/2 responses in progress.
    held: Mutex<Vec<Weak<Mutex<Held>>>>,
}

impl Pulse {
    /// Drops the responses that their clients have not read from for `patience`, and so ends their work
    /// upstream. Returns `true` if all requests in progress are of this kind.
    ///
    /// Over HTTP/1.1 the socket itself detects a client that does not read.
    pub fn give_up_stuck(&self, patience: Duration) -> bool {
        let mut held = self.held.lock();
        held.retain(|one| one.strong_count() > 0);
        let under_way = held.iter().filter_map(Weak::upgrade);
        let given_up = under_way.filter(|one| {
            let mut one = one.lock();
            let is_stuck = one.waits_since.is_some_and(|since| since.elapsed() >= patience);
            if is_stuck {
                one.body = None;
            }
            is_stuck
        });
        let given_up = given_up.count();
        given_up > 0 && given_up == self.in_flight.load(Relaxed)
    }

    /// Returns whether the client has begun to send a head, or has just connected.
    pub fn awaits_head(&self) -> bool {
        let has_begun = self.reads.load(Relaxed) != self.reads_at_rest.load(Relaxed);
        let is_new = self.requests.load(Relaxed) == 0;
        self.in_flight.load(Relaxed) == 0 && (has_begun || is_new)
    }

    fn hold(&self, body: Body) -> Arc<Mutex<Held>> {
        let held = Held { body: Some(body), rest: Bytes::new(), waits_since: None };
        let held = Arc::new(Mutex::new(held));
        let mut all = self.held.lock();
        // the checks are seconds apart, and many requests end sooner
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(&held));
        held
    }
}

/// A response that can be dropped if the client stops reading.
struct Held {
    /// The body; `None` once it was dropped.
    body: Option<Body>,
    /// The part of a large frame that is not sent yet.
    rest: Bytes,
    /// The time at which hyper got the last piece. hyper polls for another one after sending it.
    waits_since: Option<Instant>,
}

impl Held {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.waits_since = None;
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err("the client stopped reading".into())));
        };
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        self.waits_since = Some(Instant::now());
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_some_and(Body::is_end_stream)
    }
}

/// Handles the requests of one connection.
pub struct Handler {
    live: Arc<Live>,
    pulse: Arc<Pulse>,
    leaving: Arc<AtomicBool>,
}

impl Handler {
    /// Creates a handler that counts in `pulse`, and ends the connection with its answer once `leaving` is true.
    pub fn new(live: &Arc<Live>, pulse: &Arc<Pulse>, leaving: &Arc<AtomicBool>) -> Self {
        Self { live: Arc::clone(live), pulse: Arc::clone(pulse), leaving: Arc::clone(leaving) }
    }
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Tracked>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let flight = Flight::begin(&self.pulse);
        let (live, leaving) = (Arc::clone(&self.live), Arc::clone(&self.leaving));
        let is_shared = request.version() == Version::HTTP_2;
        Box::pin(async move {
            // only HTTP/1.1 has to close the connection if a body is not read
            let unread = (!is_shared).then(|| Arc::clone(&flight.0.unread));
            let request = request.map(|body| Received::new(body, unread));
            let mut response = routes::handle(live, request).await;
            match (leaving.load(Acquire), is_shared) {
                (false, _) => {}
                (true, false) => {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                (true, true) => flight.0.leaving.notify_one(),
            }
            Ok(response.map(|body| {
                let body = match is_shared {
                    true => ResponseBody::Held(flight.0.hold(body)),
                    false => ResponseBody::Plain(body),
                };
                Tracked { body, _flight: flight }
            }))
        })
    }
}

/// A request in progress, until its response's body is sent or dropped.
struct Flight(Arc<Pulse>);

impl Flight {
    fn begin(pulse: &Arc<Pulse>) -> Self {
        pulse.requests.fetch_add(1, Relaxed);
        pulse.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.reads_at_rest.store(self.0.reads.load(Relaxed), Relaxed);
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The body of a response; its request counts as in progress until it is dropped.
pub struct Tracked {
    body: ResponseBody,
    _flight: Flight,
}

enum ResponseBody {
    /// A response over HTTP/1.1.
    Plain(Body),
    /// A response over HTTP/2: one that its client does not read must not affect the others.
    Held(Arc<Mutex<Held>>),
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.body {
            ResponseBody::Plain(body) => Pin::new(body).poll_frame(cx),
            ResponseBody::Held(held) => held.lock().poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            ResponseBody::Plain(body) => body.is_end_stream(),
            ResponseBody::Held(held) => held.lock().is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            ResponseBody::Plain(body) => body.size_hint(),
            ResponseBody::Held(held) => {
                let held = held.lock();
                // hyper calls this before the first piece
                held.body.as_ref().map(Body::size_hint).unwrap_or_default()
            }
        }
    }
}
