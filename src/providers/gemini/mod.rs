//! `type: gemini`: Google's Gemini API at AI Studio or at Vertex AI, translated.
mod body;
mod config;
mod contents;
mod count;
mod decode;
mod encode;
mod families;
mod parts;
mod signature;
#[cfg(test)]
mod tests;
mod think;
mod tools;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use ::http::uri::InvalidUri;
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, request};
use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub(crate) use config::Config;

use config::{Backend, SafetySetting};
use encode::{Terms, encode};
use families::Family;

use crate::catalogue::estimate::quick_estimate;
use crate::catalogue::row::Feature;
use crate::catalogue::{Catalogue, Row};
use crate::context::Context;
use crate::error::{Error, Problem, Result};
use crate::net::egress::collector::{Bounds, Collector, Fetched};
use crate::net::headers::{self, Forwards};
use crate::net::http1::Awaits;
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::providers::fixed_headers::FixedHeaders;
use crate::providers::http::{self, Base};
use crate::providers::signer::{Ready, Signer};
use crate::providers::translate::call::{Call, Spare, call};
use crate::providers::translate::client_tools;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::encoded::Encoded;
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::{ModelFacts, Sampling};
use crate::providers::translate::machine::Frame;
use crate::providers::translate::rejected::rejected;
use crate::providers::{Answer, Attempt, Parts, Provider, Settings};
use crate::wire::{Endpoint, MessagesRequest, Reply, ReplyBody};

/// The vendor's name in the table of models.
const FAMILY: &str = "gemini";

/// The fields of the Messages API that have a counterpart.
const FIELDS: [&str; 13] = [
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "service_tier",
    "cache_control",
];

/// The characters of a model's name that are escaped in a path. `:` separates the name from the method.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// The methods of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Generate,
    Stream,
    Count,
}

impl Verb {
    /// Returns the end of the address.
    fn end(self) -> &'static str {
        match self {
            Self::Generate => ":generateContent",
            Self::Stream => ":streamGenerateContent?alt=sse",
            Self::Count => ":countTokens",
        }
    }
}

impl Settings for Config {
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        match Gemini::new(self, path, parts) {
            Ok(provider) => Ok(Arc::new(provider)),
            Err(problem) => Err(vec![problem]),
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.named_files()
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        self.wrong_values()
    }
}

/// A translated upstream.
struct Gemini {
    base: Base,
    /// The path before `/models/…`.
    parent: String,
    backend: Backend,
    signer: Signer,
    fixed: FixedHeaders,
    forwards: Forwards,
    seal: Seal,
    safety: Vec<SafetySetting>,
    catalogue: Arc<Catalogue>,
    collector: Option<Collector>,
    accepts: Accepts,
}

impl Gemini {
    /// Fails with the problem of the first key that has a wrong value.
    fn new(config: &Config, path: &str, parts: &Parts<'_>) -> Result<Self, Problem> {
        let wrong = |(key, message): (&str, String)| Problem::new(format!("{path}.{key}"), message);
        let ca_file = config.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let proxy = http::proxy(&config.proxy).map_err(wrong)?;
        let base = Base::by(&config.address(), ca_file.as_deref(), proxy.as_ref(), parts.client)
            .map_err(wrong)?;
        let signer = config.signer(proxy.as_ref(), parts).map_err(wrong)?;
        let forwards = Forwards::new(&config.forward_headers)
            .map_err(|message| wrong(("forward_headers", message)))?;
        let name = path.rsplit('.').next().unwrap_or(path);
        let backend = config.backend();
        let seal = Seal::new(name, backend.name(), config.secret());
        let accepts = Accepts::translated(&FIELDS, &client_tools::TYPES);
        let accepts = accepts.without(path, &config.unsupported)?;
        let fixed = config.headers.build().map_err(|message| wrong(("headers", message)))?;
        let safety = config.safety_settings.clone();
        let parent = base.path(&config.parent());
        let catalogue = Arc::clone(parts.catalogue);
        Ok(Self {
            base,
            parent,
            backend,
            signer,
            fixed,
            forwards,
            seal,
            safety,
            catalogue,
            collector: parts.collector.cloned(),
            accepts,
        })
    }

    /// Returns the address of a method of a model.
    ///
    /// Fails with a 400 if the model's name cannot stand in a path.
    fn uri(&self, model: &str, verb: Verb) -> Result<Uri> {
        let mut path = self.parent.clone();
        if !model.contains('/') {
            path.push_str("/models");
        }
        for segment in model.split('/') {
            if matches!(segment, "" | "." | "..") {
                let message = format!("`model` is no name of a model of this upstream: {model:?}");
                return Err(Error::invalid(message));
            }
            path.push('/');
            path.extend(utf8_percent_encode(segment, ESCAPED));
        }
        path.push_str(verb.end());
        path.parse().map_err(|e: InvalidUri| {
            Error::invalid("`model` is too long for an address").with_source(e)
        })
    }

    fn head(&self, uri: &Uri, headers: HeaderMap, ready: &Ready<'_>) -> Result<request::Parts> {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = uri.clone();
        head.headers = headers;
        headers::remove_messages_api(&mut head.headers, &self.forwards);
        self.base.address(&mut head.headers);
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.fixed.set(&mut head.headers);
        ready.sign(&mut head)?;
        Ok(head)
    }

    /// Returns the facts about a model.
    fn known(&self, model: &str, fetched: Fetched) -> Known {
        Known { fetched, ..Known::of(model, self.row(model)) }
    }

    fn row(&self, model: &str) -> Option<&Row> {
        self.catalogue.find(Some(FAMILY), model).map(|row| &**row)
    }

    /// Returns the facts for an encoding. `seal` opens the envelopes of earlier reasoning.
    fn terms<'a>(&'a self, seal: Option<&'a Seal>, known: &'a Known) -> Terms<'a> {
        let Known { family, facts, fetched } = known;
        let (backend, safety) = (self.backend, &*self.safety);
        Terms { backend, family: *family, facts, seal, fetched, safety }
    }

    /// Encodes a request for an answer.
    fn encode_raw(&self, raw: &[u8], fetched: Fetched) -> Result<Encoded> {
        let conversation = Conversation::read(raw)?;
        let known = self.known(&conversation.model, fetched);
        encode(&conversation, self.terms(Some(&self.seal), &known))
    }

    /// Returns the parts of a request that are not counted.
    fn uncounted(&self, raw: &[u8], fetched: Fetched) -> Result<Vec<Dropped>> {
        let conversation = Conversation::read(raw)?;
        let known = self.known(&conversation.model, fetched);
        let counted = count::encode(&conversation, self.terms(Some(&self.seal), &known))?;
        Ok(counted.1)
    }

    async fn generate(&self, ctx: &Context, attempt: &Attempt) -> Result<Answer> {
        let raw = attempt.request.to_bytes();
        let conversation = Conversation::read(&raw)?;
        let known = self.known(&conversation.model, ctx.media.fetched());
        let encoded = encode(&conversation, self.terms(Some(&self.seal), &known))?;
        let Encoded { body, dropped, names, stops, .. } = encoded;
        let is_stream = attempt.request.is_stream();
        let frame = Frame {
            asked_model: attempt.asked_model.clone(),
            model: conversation.model.to_string(),
            estimate: quick_estimate(&attempt.request, self.row(&conversation.model)),
            names,
            stops,
            seal: self.seal.clone(),
            shows_thinking: conversation.shows_thinking(),
        };
        let (awaits, verb) = match is_stream {
            true => (Awaits::FirstEvent, Verb::Stream),
            false => (Awaits::Whole, Verb::Generate),
        };
        let uri = self.uri(&conversation.model, verb)?;
        let pieces = body.clone().into();
        let ready = self.signer.ready(ctx, &pieces).await?;
        let unsigned = || Ok(encode(&conversation, self.terms(None, &known))?.body);
        let sent = Call {
            request_id: &ctx.request_id,
            body,
            spare: Some(Spare { is_needed: is_about_signatures, body: &unsigned }),
            parser: decode::Gemini::default(),
            frame,
            is_stream,
            sending: attempt.sending(awaits),
            timeouts: attempt.timeouts,
        };
        let head = || self.head(&uri, attempt.headers(ctx, &self.forwards), &ready);
        let reply = call(&self.base, head, sent).await.map_err(|error| self.noted(error))?;
        Ok(Answer { reply, dropped })
    }

    async fn count(&self, ctx: &Context, attempt: &Attempt) -> Result<Answer> {
        let raw = attempt.request.to_bytes();
        let conversation = Conversation::read(&raw)?;
        let known = self.known(&conversation.model, ctx.media.fetched());
        let terms = self.terms(Some(&self.seal), &known);
        let (body, dropped) = count::encode(&conversation, terms)?;
        let uri = self.uri(&conversation.model, Verb::Count)?;
        let body = body.into();
        let ready = self.signer.ready(ctx, &body).await?;
        let head = || self.head(&uri, attempt.headers(ctx, &self.forwards), &ready);
        let sending = attempt.sending(Awaits::Whole);
        let sent = self.base.send(head, body.clone(), sending, attempt.timeouts).await;
        let answer = sent.map_err(|error| self.noted(rejected(error, &ctx.request_id)))?;
        let (status, mut headers) = (answer.status, answer.for_caller());
        headers.remove(CONTENT_TYPE);
        let body = ReplyBody::Full(count::answer(&answer.json().await?)?);
        Ok(Answer { reply: Reply { status, headers, body }, dropped })
    }

    /// Notes a rejection of the gateway's own credential: the log says so, and the next request obtains another
    /// token.
    fn noted(&self, error: Error) -> Error {
        match error.answer().map(Response::status) {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                self.signer.forget();
                let message = &error.message;
                let log = format!("{message}: the upstream rejects the gateway's own credential");
                error.with_log(log)
            }
            _ => error,
        }
    }
}

/// The facts for an encoding that the gateway knows beside the request.
struct Known {
    family: Family,
    facts: ModelFacts,
    fetched: Fetched,
}

impl Known {
    /// Returns the facts about a model from its name and its row in the table of models.
    fn of(model: &str, row: Option<&Row>) -> Self {
        let lacks = |feature| row.is_some_and(|row| row.lacks(feature));
        let levels: Vec<String> = row
            .into_iter()
            .flat_map(|row| &row.levels)
            .map(|one| one.as_str().to_owned())
            .collect();
        let facts = ModelFacts {
            max_output: row.and_then(|row| row.max_output),
            efforts: (!levels.is_empty()).then_some(levels),
            sampling: if lacks(Feature::SamplingParams) { Sampling::Never } else { Sampling::Any },
            refuses_stop: lacks(Feature::Stop),
            ..ModelFacts::default()
        };
        Self { family: Family::of(model).with(row), facts, fetched: Fetched::default() }
    }
}

#[async_trait]
impl Provider for Gemini {
    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    fn family(&self) -> Option<&str> {
        Some(FAMILY)
    }

    fn genai_name(&self) -> &str {
        self.backend.genai_name()
    }

    fn losses(&self, request: &MessagesRequest, fetched: &Fetched) -> Vec<Dropped> {
        let fetched = match self.collector {
            Some(_) => fetched.clone(),
            None => Fetched::default(),
        };
        let raw = request.to_bytes();
        let dropped = match request.endpoint {
            Endpoint::Messages => self.encode_raw(&raw, fetched).map(|encoded| encoded.dropped),
            Endpoint::CountTokens => self.uncounted(&raw, fetched),
        };
        dropped.unwrap_or_default()
    }

    fn fetches(&self) -> bool {
        self.collector.is_some()
    }

    async fn fetch(&self, ctx: &Context, request: &MessagesRequest, time: Duration) {
        let Some(collector) = &self.collector else { return };
        let raw = request.to_bytes();
        // a request that cannot be read is refused when it is sent
        if let Ok(encoded) = self.encode_raw(&raw, ctx.media.fetched()) {
            let bounds = Bounds { time, request: raw.len() };
            collector.collect(&ctx.media, encoded.missing, bounds).await;
        }
    }

    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Answer> {
        match attempt.request.endpoint {
            Endpoint::Messages => self.generate(ctx, &attempt).await,
            Endpoint::CountTokens => self.count(ctx, &attempt).await,
        }
    }
}

/// Returns whether the body of a rejection is about a signature in the request.
fn is_about_signatures(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    text.contains("thought signature") || text.contains("thought_signature")
}
