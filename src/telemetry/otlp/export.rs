//! `Exporter`: sends batches of spans to the collector, and tries again while it is away.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use prost::Message;

use crate::error::BoxError;
use crate::net::client::{Client, Connections, Failure, Sending, Upstream};
use crate::net::headers;
use crate::net::http1::Awaits;
use crate::net::tls::Trust;
use crate::telemetry::exporter::{Dropped, ExporterMetrics};
use crate::telemetry::logs::one_line;
use crate::telemetry::otlp::config::Collector;
use crate::telemetry::otlp::messages::{ExportResponse, PartialSuccess, Resource};
use crate::telemetry::otlp::queue::{Entry, Held, Queue};
use crate::telemetry::otlp::{encode, spans};
use crate::wire::Pieces;

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
/// The longest wait that a collector may ask for.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// The largest answer of a collector that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The most characters of a collector's message in the log.
const MAX_SHOWN: usize = 256;

/// The task that exports.
pub(super) struct Exporter {
    upstream: Arc<Upstream>,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
    compresses: bool,
    resource: Resource,
    queue: Arc<Queue>,
    metrics: ExporterMetrics,
    /// Whether the last export failed: the log has its begin and its end.
    is_failing: bool,
    /// Whether the log already has a message of a partial success.
    is_partial_logged: bool,
}

/// The result of one try.
enum Sent {
    /// The collector took the batch, maybe without some spans.
    Taken(PartialSuccess),
    /// The collector may take the batch later, after this time if it says so.
    Later(Option<Duration>, String),
    /// The collector does not take the batch.
    Rejected(String),
}

impl Exporter {
    /// Fails with a message if the collector's address or its certificate file cannot be used.
    pub(super) fn new(
        collector: Collector,
        queue: Arc<Queue>,
        metrics: ExporterMetrics,
    ) -> Result<Self, String> {
        let Collector { url, mut headers, timeout, ca_file, compresses, resource } = collector;
        let base: Uri = url.as_str().parse().map_err(|_| "it is no URL".to_owned())?;
        let uri: Uri = url.path().parse().map_err(|_| "its path is malformed".to_owned())?;
        let trust = ca_file.as_deref().map_or(Ok(Trust::System), Trust::read)?;
        let host = base.authority().map(|authority| headers::value(authority.as_str()));
        headers.extend(host.map(|host| (HOST, host)));
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        if compresses {
            headers.insert(CONTENT_ENCODING, GZIP);
        }
        Ok(Self {
            // connections of its own: those of the workers belong to their threads
            upstream: Client::new(1).upstream(&base, &trust)?,
            uri,
            headers,
            timeout,
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
            let held = Held::of(&batch);
            match self.encoded(batch).await {
                Ok(body) => self.deliver(&body, held.spans).await,
                Err(error) => {
                    self.metrics.dropped(Dropped::Failed, held.spans);
                    tracing::error!(error = %error, "spans could not be encoded");
                }
            }
            self.queue.release(held);
        }
    }

    /// Makes the body on a blocking thread: the admin listener shares the runtime.
    async fn encoded(&self, batch: Vec<Entry>) -> Result<Bytes, BoxError> {
        let (resource, compresses) = (self.resource.clone(), self.compresses);
        let made = tokio::task::spawn_blocking(move || {
            let spans = batch
                .iter()
                .flat_map(|entry| entry.story.read(|record| spans::of(record, entry.ended)));
            let body = encode::body(&resource, spans.collect());
            if compresses { encode::gzip(&body) } else { Ok(body) }
        });
        Ok(made.await??)
    }

    /// Sends a batch until the collector takes or rejects it, or the tries are used up. After the end of the queue it
    /// does not wait any more.
    async fn deliver(&mut self, body: &Bytes, spans: u64) {
        let mut waits = WAITS.into_iter();
        let reason = loop {
            let (after, why) = match self.send(body).await {
                Sent::Taken(partial) => return self.taken(&partial, spans),
                Sent::Rejected(why) => {
                    self.failed(&why);
                    break Dropped::Rejected;
                }
                Sent::Later(after, why) => (after, why),
            };
            self.failed(&why);
            let Some(usual) = waits.next().filter(|_| !self.queue.is_closed()) else {
                break Dropped::Failed;
            };
            let wait = after.map_or_else(|| jittered(usual), |own| own.min(MAX_WAIT));
            self.queue.pause(wait).await;
        };
        self.metrics.dropped(reason, spans);
    }

    async fn send(&self, body: &Bytes) -> Sent {
        let head = || {
            let (mut head, ()) = Request::new(()).into_parts();
            (head.method, head.uri) = (Method::POST, self.uri.clone());
            head.headers = self.headers.clone();
            Ok(head)
        };
        let how =
            Sending { awaits: Awaits::Whole, connect: self.timeout, connections: Connections::Any };
        let exchange = async {
            let sent = self.upstream.send(head, Pieces::from(body.clone()), how).await;
            let answer = match sent {
                Ok(Ok(answer)) => answer,
                Ok(Err(failure)) => return Sent::Later(None, unreachable(failure)),
                Err(error) => return Sent::Rejected(error.message),
            };
            let (head, body) = answer.into_parts();
            // the status decides also if the body cannot be read
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            judged(&Response::from_parts(head, body))
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            let millis = self.timeout.as_millis();
            Sent::Later(None, format!("the collector gave no answer within {millis} ms"))
        })
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
fn judged(answer: &Response<Bytes>) -> Sent {
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

fn unreachable(failure: Failure) -> String {
    match failure {
        Failure::Connect(error) => format!("the collector cannot be reached: {error}"),
        Failure::ConnectTimeout => "the collector did not take a connection in time".to_owned(),
        Failure::Unprocessed(error) | Failure::Broken(error) => {
            format!("the collector closed the connection without an answer: {error}")
        }
    }
}

/// Returns a wait between half and one and a half of this one, so that gateways do not return all at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64())
}
