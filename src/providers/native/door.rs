//! `Door`: the provider of every native upstream. It encodes, signs, sends, and guards the answer.
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};

use crate::catalogue::billing::Place;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::net::body::Body;
use crate::net::egress::collector::{Bounds, Collector, Fetched};
use crate::net::headers::{self, Forwards, REQUEST_ID};
use crate::net::http1::Awaits;
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::providers::fixed_headers::FixedHeaders;
use crate::providers::frames::Frames;
use crate::providers::http::{Base, Rejection, UpstreamAnswer, uri};
use crate::providers::native::betas::Betas;
use crate::providers::native::failure::{self, Wraps};
use crate::providers::native::form::{Caller, Encoded, Form, Framing};
use crate::providers::native::guard::{self, Guarded};
use crate::providers::native::invoke;
use crate::providers::native::invoked::Invoked;
use crate::providers::native::urls;
use crate::providers::signer::{Ready, Signer};
use crate::providers::{Answer, Attempt, Credentials, Provider, Unfetched, refusal};
use crate::wire::{Endpoint, MessagesRequest, Pieces, Reply, ReplyBody};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version for a caller that names none (plain curl).
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
/// The id of a request at AWS.
const AWS_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The type of an error of AWS.
const AWS_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The trust in the answers of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::providers) enum Trust {
    /// The API's own host, whose answers define the API: they pass as they are.
    Api,
    /// A server that speaks the API: streams are guarded, and its own JSON errors are wrapped.
    Server,
    /// A cloud: the same, and every foreign error is wrapped.
    Cloud,
}

/// A native upstream.
pub(in crate::providers) struct Door {
    pub(in crate::providers) base: Base,
    pub(in crate::providers) signer: Signer,
    pub(in crate::providers) form: Form,
    pub(in crate::providers) betas: Betas,
    pub(in crate::providers) fixed: FixedHeaders,
    pub(in crate::providers) accepts: Accepts,
    pub(in crate::providers) forwards: Forwards,
    pub(in crate::providers) trust: Trust,
    pub(in crate::providers) collector: Option<Collector>,
    /// The upstream's name in OpenTelemetry's conventions.
    pub(in crate::providers) genai_name: &'static str,
}

impl Door {
    /// Returns the head of a request, signed.
    fn head(&self, ctx: &Context, encoded: &Encoded, ready: &Ready<'_>) -> Result<request::Parts> {
        let caller = match &encoded.headers {
            Some(edited) => edited.clone(),
            None => headers::for_attempt(&ctx.headers, &self.forwards),
        };
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = encoded.uri.clone();
        head.headers = self.headers(caller);
        head.headers.insert(CONTENT_TYPE, JSON);
        match encoded.framing {
            Framing::EventStream => head.headers.insert(ACCEPT, EVENT_STREAM),
            Framing::Invoked | Framing::InvokedCount => head.headers.insert(ACCEPT, JSON),
            Framing::Events | Framing::Whole | Framing::Count => {
                head.headers.entry(VERSION).or_insert(DEFAULT_VERSION);
                None
            }
        };
        ready.sign(&mut head)?;
        Ok(head)
    }

    /// Adds the headers of every request to the caller's.
    fn headers(&self, mut headers: HeaderMap) -> HeaderMap {
        self.base.address(&mut headers);
        self.fixed.set(&mut headers);
        headers
    }

    /// Reads the answer to a request, and checks it.
    async fn read(&self, answer: UpstreamAnswer, framing: Framing) -> Result<ReplyBody> {
        Ok(match (framing, self.trust) {
            (Framing::Events, Trust::Api) => ReplyBody::Events(answer.events(Frames::default())?),
            (Framing::Events, _) => {
                ReplyBody::Events(answer.events(Guarded::new(Frames::default()))?)
            }
            (Framing::EventStream, _) => {
                ReplyBody::Events(answer.events(Guarded::new(Invoked::default()))?)
            }
            (Framing::InvokedCount, _) => {
                ReplyBody::Full(invoke::count_answer(&answer.json().await?)?)
            }
            (Framing::Whole, Trust::Api) | (Framing::Count, Trust::Api | Trust::Server) => {
                ReplyBody::Full(answer.json().await?)
            }
            (Framing::Count, Trust::Cloud) => ReplyBody::Full(guard::count(answer.json().await?)?),
            (Framing::Whole | Framing::Invoked, _) => {
                ReplyBody::Full(guard::message(answer.json().await?)?)
            }
        })
    }

    /// Returns the error of a rejection. If the gateway's own credential was rejected, the log says so, and
    /// the next request obtains another one.
    fn rejected(&self, ctx: &Context, rejection: Rejection) -> Error {
        let Rejection { status, headers, body } = rejection;
        let aws =
            headers.get(AWS_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"ExpiredToken"));
        if status == StatusCode::UNAUTHORIZED || aws {
            self.signer.forget();
        }
        let wraps = match self.trust {
            Trust::Api => None,
            Trust::Server => Some(Wraps::Objects),
            Trust::Cloud => Some(Wraps::All),
        };
        let error = match (wraps, body) {
            (Some(wraps), Ok(body)) => {
                let (headers, body) =
                    failure::wrapped(wraps, status, &headers, body, &ctx.request_id);
                let mut answer = Response::new(body);
                (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
                refusal(answer)
            }
            (_, body) => Rejection { status, headers, body }.into_error(),
        };
        let is_ours = !matches!(self.signer, Signer::Caller(_));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_ours => {
                let message = &error.message;
                let log = format!("{message}: the upstream rejects the gateway's own credential");
                error.with_log(log)
            }
            _ => error,
        }
    }
}

#[async_trait]
impl Provider for Door {
    fn family(&self) -> Option<&str> {
        Some("anthropic")
    }

    fn place(&self, model: &str) -> Place {
        self.form.place(model)
    }

    fn genai_name(&self) -> &str {
        self.genai_name
    }

    fn credentials(&self) -> Credentials {
        match self.signer {
            Signer::Caller(_) => Credentials::Caller,
            _ => Credentials::Own,
        }
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    fn counts(&self, model: &str) -> bool {
        self.form.counts(model)
    }

    fn losses(&self, request: &MessagesRequest, fetched: &Fetched) -> Vec<Dropped> {
        let fetched = if self.collector.is_some() { fetched } else { &Fetched::default() };
        self.form.losses(request, &self.accepts, fetched)
    }

    fn fetches(&self) -> bool {
        self.collector.is_some() && self.form.lacks_urls()
    }

    async fn fetch(&self, ctx: &Context, request: &MessagesRequest, time: Duration) {
        let Some(collector) = &self.collector else { return };
        let (document, fetched) = (request.document().clone(), ctx.media.fetched());
        let inlined = urls::inlined(document, &fetched, Unfetched::Unchanged);
        // a request that cannot be read is refused when it is sent
        if let Ok(inlined) = inlined {
            let bounds = Bounds { time, request: request.to_pieces().len() };
            collector.collect(&ctx.media, inlined.missing, bounds).await;
        }
    }

    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Answer> {
        let is_stream =
            attempt.request.endpoint == Endpoint::Messages && attempt.request.is_stream();
        let awaits = if is_stream { Awaits::FirstEvent } else { Awaits::Whole };
        let (how, timeouts) = (attempt.sending(awaits), attempt.timeouts);
        let caller = Caller { ctx, betas: &self.betas, forwards: &self.forwards };
        let mut encoded = self.form.encode(attempt, caller, &self.accepts)?;
        let dropped = std::mem::take(&mut encoded.dropped);
        let ready = self.signer.ready(ctx, &encoded.body).await?;
        let head = || self.head(ctx, &encoded, &ready);
        let answered = self.base.ask(head, encoded.body.clone(), how, timeouts).await?;
        let answer = answered.map_err(|rejection| self.rejected(ctx, rejection))?;
        let (status, mut headers) = (answer.status, answer.for_caller());
        if let Some(id) = answer.header(&AWS_ID) {
            headers.entry(REQUEST_ID).or_insert_with(|| id.clone());
        }
        let body = self.read(answer, encoded.framing).await?;
        Ok(Answer { reply: Reply { status, headers, body }, dropped })
    }

    async fn forward(&self, ctx: &Context, request: Request<Body>) -> Result<Response<Body>> {
        if !self.form.is_plain() || self.signer.needs_whole_body() {
            let message = format!("this provider has no route `{}`", request.uri().path());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let (mut head, body) = request.into_parts();
        head.uri = uri(&self.base.path(head.uri.path()), ctx.query.as_deref())?;
        let mut own = self.headers(headers::for_attempt(&ctx.headers, &self.forwards));
        own.entry(VERSION).or_insert(DEFAULT_VERSION);
        let described = std::mem::replace(&mut head.headers, own);
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = described.get(&name) {
                head.headers.insert(name, value.clone());
            }
        }
        let ready = self.signer.ready(ctx, &Pieces::from(Bytes::new())).await?;
        ready.sign(&mut head)?;
        self.base.pass(head, body).await
    }
}
