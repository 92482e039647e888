//! `Exporter`: sends batches of spans to the collector, and tries again while it is away.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use prost::Message;

use crate::error::BoxError;
use crate::net::headers;
use crate::telemetry::exporter::{Dropped, ExporterMetrics};
use crate::telemetry::logs::one_line;
use crate::telemetry::otlp::config::Collector;
use crate::telemetry::otlp::messages::{ExportResponse, PartialSuccess, Resource};
use crate::telemetry::otlp::queue::{Finished, Queue};
use crate::telemetry::otlp::{encode, spans};
use crate::telemetry::outbox::{Entry, Size, Waits};
use crate::telemetry::post::{Destination, Receiver, Sent};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const AGENT: &str = concat!("OTel-OTLP-Exporter-Tidegate/", env!("CARGO_PKG_VERSION"));
/// The waits between the tries of one batch, unless the collector asks for another.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// The most characters of a collector's message in the log.
const MAX_SHOWN: usize = 256;

/// The task that exports.
pub(super) struct Exporter {
    destination: Destination,
    compresses: bool,
    resource: Resource,
    queue: Arc<Queue>,
    metrics: ExporterMetrics,
    /// Whether the last export failed: the log has its begin and its end.
    is_failing: bool,
    /// Whether the log already has a message of a partial success.
    is_partial_logged: bool,
}

impl Exporter {
    /// Fails with a message if the collector's address or its certificate file cannot be used.
    pub(super) fn new(
        collector: Collector,
        queue: Arc<Queue>,
        metrics: ExporterMetrics,
    ) -> Result<Self, String> {
        let Collector { url, mut headers, timeout, ca_file, compresses, resource } = collector;
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        if compresses {
            headers.insert(CONTENT_ENCODING, GZIP);
        }
        Ok(Self {
            destination: Destination::new(Receiver {
                name: "the collector",
                url: &url,
                headers,
                timeout,
                ca_file: ca_file.as_deref(),
                proxy: None,
            })?,
            compresses,
            resource: encode::resource(&resource),
            queue,
            metrics,
            is_failing: false,
            is_partial_logged: false,
        })
    }

    /// Exports until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let batch = self.queue.batch().await;
            if batch.is_empty() {
                return;
            }
            let size = Size::of(&batch);
            match self.encoded(batch).await {
                Ok(body) => self.deliver(&body, size.units).await,
                Err(error) => {
                    self.metrics.dropped(Dropped::Failed, size.units);
                    tracing::error!(error = %error, "spans could not be encoded");
                }
            }
            self.queue.release(size);
        }
    }

    /// Makes the body on a blocking thread: the admin listener shares the runtime.
    async fn encoded(&self, batch: Vec<Entry<Finished>>) -> Result<Bytes, BoxError> {
        let (resource, compresses) = (self.resource.clone(), self.compresses);
        let made = tokio::task::spawn_blocking(move || {
            let spans = batch
                .iter()
                .map(|entry| &entry.item)
                .flat_map(|one| one.story.read(|record| spans::of(record, one.ended)));
            let body = encode::body(&resource, spans.collect());
            if compresses { encode::gzip(&body) } else { Ok(body) }
        });
        Ok(made.await??)
    }

    /// Sends a batch until the collector takes or rejects it, or the tries are used up. After the end of the queue it
    /// does not wait any more.
    async fn deliver(&mut self, body: &Bytes, spans: u64) {
        let mut waits = Waits::new(WAITS);
        let reason = loop {
            let (asked, why) = match self.send(body).await {
                Sent::Taken(partial) => return self.taken(&partial, spans),
                Sent::Rejected(why) => {
                    self.failed(&why);
                    break Dropped::Rejected;
                }
                Sent::Later(asked, why) => (asked, why),
            };
            self.failed(&why);
            if !waits.next(&self.queue, asked).await {
                break Dropped::Failed;
            }
        };
        self.metrics.dropped(reason, spans);
    }

    async fn send(&self, body: &Bytes) -> Sent<PartialSuccess> {
        match self.destination.post(&HeaderMap::new(), body).await {
            Sent::Taken(answer) => judged(&answer),
            Sent::Later(asked, why) => Sent::Later(asked, why),
            Sent::Rejected(why) => Sent::Rejected(why),
        }
    }

    fn taken(&mut self, partial: &PartialSuccess, spans: u64) {
        let rejected = u64::try_from(partial.rejected_spans).unwrap_or_default().min(spans);
        self.metrics.exported.inc_by(spans - rejected);
        self.metrics.dropped(Dropped::Rejected, rejected);
        if rejected > 0 || !partial.error_message.is_empty() {
            self.warn_once(rejected, &partial.error_message);
        }
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!("spans are exported again");
        }
    }

    /// Logs the first partial success.
    fn warn_once(&mut self, rejected: u64, message: &str) {
        if std::mem::replace(&mut self.is_partial_logged, true) {
            return;
        }
        let message: String = message.chars().take(MAX_SHOWN).collect();
        tracing::warn!(
            rejected,
            reply = &*one_line(&message),
            "the collector took a part of the spans; later messages of this kind are not logged"
        );
    }

    /// Counts a failed try. Only the first one in a row is logged.
    fn failed(&mut self, why: &str) {
        self.metrics.failures.inc();
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(why = &*one_line(why), "spans cannot be exported");
        }
    }
}

/// Returns the result that an answer stands for.
fn judged(answer: &Response<Bytes>) -> Sent<PartialSuccess> {
    let status = answer.status();
    let why = format!("the collector answered {}", status.as_u16());
    match status {
        // an unreadable answer of a success takes nothing back
        _ if status.is_success() => {
            let answer = ExportResponse::decode(answer.body().clone()).unwrap_or_default();
            Sent::Taken(answer.partial_success.unwrap_or_default())
        }
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Sent::Later(headers::retry_after(answer.headers()), why),
        _ => Sent::Rejected(why),
    }
}
