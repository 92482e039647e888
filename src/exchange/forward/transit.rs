//! Counts an exchange on a route that is only forwarded, once, when it is over; bounds its answer.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};

use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::exchange::Inbound;
use crate::exchange::meter::CALLER_LEFT;
use crate::gateway::Gateway;
use crate::net::body::Body;
use crate::net::pace::Paced;
use crate::providers::Timeouts;
use crate::telemetry::logs::one_line;
use crate::telemetry::record::Ending;

/// What is known of a forwarded exchange under way.
pub struct Transit {
    /// Kept to the end: a generation lives as long as its last request.
    gateway: Arc<Gateway>,
    request_id: Box<str>,
    route: Box<str>,
    started: Instant,
    status: u16,
    is_finished: bool,
}

impl Transit {
    /// Begins to count.
    pub fn start(gateway: &Arc<Gateway>, inbound: &Inbound, path: &str) -> Self {
        gateway.shared.metrics.active_requests.inc();
        let route: String = path.chars().take(128).collect();
        Self {
            gateway: Arc::clone(gateway),
            request_id: inbound.request_id.as_str().into(),
            route: format!("{} {}", inbound.head.method, one_line(&route)).into(),
            started: inbound.started,
            status: CALLER_LEFT,
            is_finished: false,
        }
    }

    /// Takes the answer: counts it when its body is over.
    pub fn settle(mut self, answered: Result<Response<Body>>) -> Result<Response<Body>> {
        match answered {
            Err(error) => {
                self.status = error.status().as_u16();
                self.finish(Ending::Whole);
                Err(error)
            }
            Ok(response) => {
                self.status = response.status().as_u16();
                Ok(response.map(|body| {
                    let body = Paced::new(body, Timeouts::default().idle, broken);
                    let mut passing = Passing { body, transit: self };
                    passing.see_end();
                    Body::Stream(Box::pin(passing))
                }))
            }
        }
    }

    fn finish(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let metrics = &self.gateway.shared.metrics;
        metrics.active_requests.dec();
        let provider = self.gateway.passthrough.as_ref();
        let provider = provider.map_or("", |passthrough| passthrough.name.as_str());
        metrics.forwarded(provider, self.status, ending);
        tracing::debug!(
            request_id = &*self.request_id,
            route = &*self.route,
            provider,
            status = self.status,
            ending = ending.as_str(),
            millis = self.started.elapsed().as_millis() as u64,
            "forwarded exchange over"
        );
    }
}

impl Drop for Transit {
    /// Only counters: who is dropped before its end has lost its caller.
    fn drop(&mut self) {
        self.finish(Ending::CallerLeft);
    }
}

fn broken(cause: Option<BoxError>, patience: std::time::Duration) -> Error {
    match cause {
        Some(cause) => {
            Error::new(ErrorKind::BadUpstream, "the upstream's answer broke off").with_source(cause)
        }
        None => {
            let message =
                format!("the upstream's answer made no progress for {} s", patience.as_secs());
            Error::new(ErrorKind::Timeout, message)
        }
    }
}

/// An answer on its way.
struct Passing {
    body: Paced<Body>,
    transit: Transit,
}

impl Passing {
    /// A body of known length is not asked for more than that.
    fn see_end(&mut self) {
        if self.body.is_end_stream() {
            self.transit.finish(Ending::Whole);
        }
    }

    /// The status is out: all that is left is to break off, and to say so in the log.
    fn broke(&mut self) {
        self.transit.finish(Ending::Broken);
        if let Some(error) = self.body.fault().take() {
            let source = error.source.as_deref().map(|e| one_line(&e.to_string()).into_owned());
            let (request_id, route) = (&*self.transit.request_id, &*self.transit.route);
            tracing::warn!(request_id, route, error = %error.message, source, "forwarded answer broke");
        }
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.see_end(),
            Poll::Ready(Some(Err(_))) => self.broke(),
            Poll::Ready(None) => self.transit.finish(Ending::Whole),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
