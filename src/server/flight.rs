//! Requests under way on one connection, and answers that their caller does not take.
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use parking_lot::Mutex;

use crate::error::BoxError;
use crate::gateway::Live;
use crate::net::body::Body;
use crate::server::routes;

/// Over HTTP/2 an answer goes out in pieces of this size: hyper takes a piece as a whole, and asks
/// for the next one only when the caller has room.
const PIECE: usize = 64 * 1024;

/// What a connection did, counted without a clock.
#[derive(Default)]
pub struct Pulse {
    /// How often bytes came.
    pub reads: AtomicU64,
    /// How many requests came.
    pub requests: AtomicU64,
    /// How many are not answered to the end.
    pub in_flight: AtomicUsize,
    /// The answers under way over HTTP/2.
    held: Mutex<Vec<Weak<Mutex<Held>>>>,
}

impl Pulse {
    /// Drops the answers that their callers have not taken anything of for so long, and with them
    /// what is done upstream. `true` if all that is under way is of this kind.
    ///
    /// Over HTTP/1.1 the socket itself tells of a caller that does not read.
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

    fn hold(&self, body: Body) -> Arc<Mutex<Held>> {
        let held = Held { body: Some(body), rest: Bytes::new(), waits_since: None };
        let held = Arc::new(Mutex::new(held));
        let mut all = self.held.lock();
        // the beats are seconds apart, and many a request is over sooner
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(&held));
        held
    }
}

/// An answer that may be taken away from under a caller who does not take it.
struct Held {
    /// `None` once it was given up.
    body: Option<Body>,
    /// Of a large frame, what has not gone out yet.
    rest: Bytes,
    /// Since when a piece lies with hyper, which asks for another one when it has gone out.
    waits_since: Option<Instant>,
}

impl Held {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.waits_since = None;
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err("the caller took nothing for too long".into())));
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

/// Answers the requests of one connection.
pub struct Handler {
    live: Arc<Live>,
    pulse: Arc<Pulse>,
}

impl Handler {
    /// Counts in `pulse`.
    pub fn new(live: &Arc<Live>, pulse: &Arc<Pulse>) -> Self {
        Self { live: Arc::clone(live), pulse: Arc::clone(pulse) }
    }
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Tracked>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Tracked>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let flight = Flight::begin(&self.pulse);
        let live = Arc::clone(&self.live);
        let is_shared = request.version() == Version::HTTP_2;
        Box::pin(async move {
            let response = routes::handle(live, request).await;
            Ok(response.map(|body| {
                let answer = match is_shared {
                    true => Answer::Held(flight.0.hold(body)),
                    false => Answer::Plain(body),
                };
                Tracked { answer, _flight: flight }
            }))
        })
    }
}

/// A request under way, until its response's body is sent or dropped.
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
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer that counts as a request under way.
pub struct Tracked {
    answer: Answer,
    _flight: Flight,
}

enum Answer {
    /// Over HTTP/1.1.
    Plain(Body),
    /// Over HTTP/2, where one caller that takes nothing says nothing about the others.
    Held(Arc<Mutex<Held>>),
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.answer {
            Answer::Plain(body) => Pin::new(body).poll_frame(cx),
            Answer::Held(held) => held.lock().poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Plain(body) => body.is_end_stream(),
            Answer::Held(held) => held.lock().is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Plain(body) => body.size_hint(),
            Answer::Held(held) => {
                let held = held.lock();
                // asked for before the first piece
                held.body.as_ref().map(Body::size_hint).unwrap_or_default()
            }
        }
    }
}
