//! The body of a forwarded answer: limits its pauses, and ends the record of its exchange.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};

use crate::error::{BoxError, Error, ErrorKind};
use crate::exchange::meter::Meter;
use crate::net::body::Body;
use crate::net::pace::Paced;
use crate::providers::Timeouts;
use crate::telemetry::logs::one_line;
use crate::telemetry::outcome::Ending;
use crate::telemetry::record::Operation;
use crate::telemetry::story::{AttemptId, Story};

/// Ends the record at the end of the body.
pub(super) fn metered(
    answer: Response<Body>,
    meter: Meter,
    story: &Arc<Story>,
    id: AttemptId,
) -> Response<Body> {
    let story = Arc::clone(story);
    answer.map(|body| {
        let body = Paced::new(body, Timeouts::default().idle, broken);
        let mut passing = Passing { body, meter, story, id };
        passing.see_end();
        Body::Stream(Box::pin(passing))
    })
}

fn broken(cause: Option<BoxError>, patience: Duration) -> Error {
    match cause {
        Some(cause) => match cause.downcast::<Error>() {
            // the gateway itself ended the request
            Ok(own) => *own,
            Err(cause) => Error::new(ErrorKind::BadUpstream, "the upstream's answer broke off")
                .with_source(cause),
        },
        None => {
            let message =
                format!("the upstream's answer made no progress for {} s", patience.as_secs());
            Error::new(ErrorKind::Timeout, message)
        }
    }
}

/// The body of a forwarded answer.
struct Passing {
    body: Paced<Body>,
    meter: Meter,
    story: Arc<Story>,
    id: AttemptId,
}

impl Passing {
    /// Ends the record at the end of a body of known length: it is not read further.
    fn see_end(&mut self) {
        if self.body.is_end_stream() {
            self.finish(Ending::Whole);
        }
    }

    fn finish(&mut self, ending: Ending) {
        self.story.attempt_ended(self.id);
        self.meter.finish(ending);
    }

    /// Handles a failure of the body. The status is already sent, so the gateway can only close the
    /// connection and log the error.
    fn broke(&mut self) {
        self.finish(Ending::Broken);
        let Some(error) = self.body.fault().take() else { return };
        let source = error.source.as_deref().map(|e| one_line(&e.to_string()).into_owned());
        let (request_id, route) = self.story.read(|record| {
            let route = match &record.operation {
                Operation::Forward { route, .. } => route.clone(),
                Operation::Messages | Operation::CountTokens => Box::default(),
            };
            (record.request_id.clone(), route)
        });
        let (request_id, route) = (&*request_id, &*route);
        tracing::warn!(request_id, route, error = %error.message, source, "forwarded answer broke");
    }
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.see_end(),
            Poll::Ready(Some(Err(_))) => self.broke(),
            Poll::Ready(None) => self.finish(Ending::Whole),
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
