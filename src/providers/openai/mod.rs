//! `type: openai`: servers that speak OpenAI's Chat Completions or Responses, translated.
mod chat;
mod config;
mod draft;
mod facts;
mod media;
mod members;
mod parameters;
mod pieces;
mod profile;
mod reasoning;
mod responses;
mod tools;
#[cfg(test)]
mod trial;
mod turn;
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request};
use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use config::Config;
#[cfg(test)]
pub(super) use profile::flavors;

use crate::catalogue::estimate::quick_estimate;
use crate::catalogue::{Catalogue, Row};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Problem, Result, Secret};
use crate::net::egress::collector::{Bounds, Collector, Fetched};
use crate::net::headers::{self, Forwards};
use crate::net::http1::Awaits;
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::providers::fixed_headers::FixedHeaders;
use crate::providers::http::{self, Base, secret_value};
use crate::providers::openai::config::Api;
use crate::providers::openai::draft::Terms;
use crate::providers::openai::profile::{Auth, Profile, Switch};
use crate::providers::openai::responses::encoder::Purpose;
use crate::providers::translate::call::{Call, Spare, call};
use crate::providers::translate::client_tools;
use crate::providers::translate::conversation::Conversation;
use crate::providers::translate::decode::Parser;
use crate::providers::translate::encoded::Encoded;
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::facts::ModelFacts;
use crate::providers::translate::machine::Frame;
use crate::providers::translate::rejected::rejected;
use crate::providers::{Answer, Attempt, Parts, Provider, Settings};
use crate::wire::{Endpoint, MessagesRequest, Reply, ReplyBody};

/// Azure's header of the key.
const API_KEY: HeaderName = HeaderName::from_static("api-key");

impl Settings for Config {
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        match OpenAi::new(self, path, parts) {
            Ok(provider) => Ok(Arc::new(provider)),
            Err(problem) => Err(vec![problem]),
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.ca_file.as_deref().into_iter().collect()
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        self.wrong_values()
    }
}

/// A translated upstream.
struct OpenAi {
    base: Base,
    uri: Uri,
    /// The route that counts tokens.
    count_uri: Option<Uri>,
    api: Api,
    auth: Option<(HeaderName, HeaderValue)>,
    own: FixedHeaders,
    forwards: Forwards,
    profile: Profile,
    seal: Seal,
    accepts: Accepts,
    catalogue: Arc<Catalogue>,
    collector: Option<Collector>,
    /// The vendor of the server's models in the table; `None` if they may be anybody's.
    family: Option<&'static str>,
    /// The server's name in OpenTelemetry's conventions.
    genai_name: String,
}

impl OpenAi {
    /// Fails with the problem of the first key that has a wrong value.
    fn new(config: &Config, path: &str, parts: &Parts<'_>) -> Result<Self, Problem> {
        let wrong = |(key, message): (&str, String)| Problem::new(format!("{path}.{key}"), message);
        let profile = Profile::build(&config.flavor(), &config.profile)
            .map_err(|message| wrong(("profile", message)))?;
        let ca_file = config.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let proxy = http::proxy(&config.proxy).map_err(wrong)?;
        let base = Base::by(&config.address(), ca_file.as_deref(), proxy.as_ref(), parts.client)
            .map_err(wrong)?;
        let api = config.api();
        let uri_of = |route: &str| -> Result<Uri, Problem> {
            let query =
                config.api_version.as_ref().map(|version| format!("?api-version={version}"));
            let route = format!("{}{}", base.path(route), query.unwrap_or_default());
            let message = "its path, or `api_version`, cannot be used in an address";
            route.parse().map_err(|_| wrong(("base_url", message.to_owned())))
        };
        let (backend, route) = match api {
            Api::Chat => ("chat", "/chat/completions"),
            Api::Responses => ("responses", "/responses"),
        };
        let uri = uri_of(route)?;
        let counts = profile.counts.then(|| uri_of("/responses/input_tokens"));
        let count_uri = counts.transpose()?;
        let auth =
            auth(&config.api_key, profile.auth).map_err(|message| wrong(("api_key", message)))?;
        let forwards = Forwards::new(&config.forward_headers)
            .map_err(|message| wrong(("forward_headers", message)))?;
        let name = path.rsplit('.').next().unwrap_or(path);
        let seal = Seal::new(name, backend, config.api_key.expose());
        let accepts = accepts(api, &profile).without(path, &config.unsupported)?;
        let own = config.headers.build().map_err(|message| wrong(("headers", message)))?;
        let catalogue = Arc::clone(parts.catalogue);
        let collector = parts.collector.cloned();
        let family = family(&config.flavor());
        Ok(Self {
            base,
            uri,
            count_uri,
            api,
            auth,
            own,
            forwards,
            profile,
            seal,
            accepts,
            catalogue,
            collector,
            family,
            genai_name: genai_name(config.flavor()),
        })
    }

    fn head(&self, ctx: &Context, attempt: &Attempt, uri: &Uri) -> request::Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = uri.clone();
        head.headers = self.headers(attempt.headers(ctx, &self.forwards));
        head
    }

    fn headers(&self, mut headers: HeaderMap) -> HeaderMap {
        headers::remove_messages_api(&mut headers, &self.forwards);
        self.base.address(&mut headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = &self.auth {
            headers.insert(name.clone(), value.clone());
        }
        self.own.set(&mut headers);
        headers
    }

    fn row(&self, model: &str) -> Option<&Row> {
        self.catalogue.find(self.family, model).map(|row| &**row)
    }

    fn terms<'a>(&'a self, facts: &'a ModelFacts, fetched: &'a Fetched) -> Terms<'a> {
        Terms { profile: &self.profile, facts, seal: &self.seal, fetched }
    }

    fn encode(&self, conversation: &Conversation<'_>, fetched: &Fetched) -> Result<Encoded> {
        let facts = facts::facts(self.row(&conversation.model), self.api);
        let terms = self.terms(&facts, fetched);
        match self.api {
            Api::Chat => chat::encode::encode(conversation, terms),
            Api::Responses => responses::encode::encode(conversation, terms, Purpose::Answer),
        }
    }

    /// Encodes a request for Responses, whatever the API of the answers is.
    fn encode_for(&self, raw: &[u8], fetched: &Fetched, purpose: Purpose) -> Result<Encoded> {
        let conversation = Conversation::read(raw)?;
        let facts = facts::facts(self.row(&conversation.model), Api::Responses);
        responses::encode::encode(&conversation, self.terms(&facts, fetched), purpose)
    }

    /// Encodes a request for the route of its endpoint. Without a route for counts, the losses are those of the answer.
    fn encode_request(&self, request: &MessagesRequest, fetched: &Fetched) -> Result<Encoded> {
        let raw = request.to_bytes();
        match (request.endpoint, &self.count_uri) {
            (Endpoint::CountTokens, Some(_)) => self.encode_for(&raw, fetched, Purpose::Count),
            _ => self.encode(&Conversation::read(&raw)?, fetched),
        }
    }

    /// Counts the tokens of a request.
    async fn count(&self, ctx: &Context, attempt: &Attempt) -> Result<Answer> {
        let Some(route) = self.count_uri.clone() else {
            let message = "this upstream has no route that counts tokens";
            return Err(Error::new(ErrorKind::NotSupported, message));
        };
        let encoded = self.encode_request(&attempt.request, &ctx.media.fetched())?;
        let Encoded { body, dropped, .. } = encoded;
        let head = || Ok(self.head(ctx, attempt, &route));
        let sending = attempt.sending(Awaits::Whole);
        let answer = self.base.send(head, body.into(), sending, attempt.timeouts).await;
        let answer = answer.map_err(|error| rejected(error, &ctx.request_id))?;
        let (status, mut headers) = (answer.status, answer.for_caller());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = ReplyBody::Full(responses::count::answer(&answer.json().await?)?);
        Ok(Answer { reply: Reply { status, headers, body }, dropped })
    }

    /// Sends a request whose answer `parser` reads.
    async fn answer<P: Parser>(
        &self,
        ctx: &Context,
        attempt: &Attempt,
        encoded: Ready,
        parser: P,
    ) -> Result<Reply> {
        let is_stream = attempt.request.is_stream();
        let without = || {
            let spare =
                self.encode_for(&encoded.raw, &encoded.fetched, Purpose::WithoutReasoning)?;
            Ok(spare.body)
        };
        let spare = Spare { is_needed: responses::refused::is_about_reasoning, body: &without };
        let sent = Call {
            request_id: &ctx.request_id,
            body: encoded.body,
            spare: (self.api == Api::Responses).then_some(spare),
            parser,
            frame: encoded.frame,
            is_stream,
            sending: attempt.sending(if is_stream { Awaits::FirstEvent } else { Awaits::Whole }),
            timeouts: attempt.timeouts,
        };
        call(&self.base, || Ok(self.head(ctx, attempt, &self.uri)), sent).await
    }
}

/// An encoded request.
struct Ready {
    /// The client's own request.
    raw: Bytes,
    /// The contents of its URLs.
    fetched: Fetched,
    body: Bytes,
    frame: Frame,
}

#[async_trait]
impl Provider for OpenAi {
    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    fn counts(&self, _model: &str) -> bool {
        self.count_uri.is_some()
    }

    fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    fn family(&self) -> Option<&str> {
        self.family
    }

    fn genai_name(&self) -> &str {
        &self.genai_name
    }

    fn losses(&self, request: &MessagesRequest, fetched: &Fetched) -> Vec<Dropped> {
        let fetched = if self.collector.is_some() { fetched } else { &Fetched::default() };
        let encoded = self.encode_request(request, fetched);
        encoded.map(|encoded| encoded.dropped).unwrap_or_default()
    }

    fn fetches(&self) -> bool {
        self.collector.is_some()
    }

    async fn fetch(&self, ctx: &Context, request: &MessagesRequest, time: Duration) {
        let Some(collector) = &self.collector else { return };
        // a request that cannot be read is refused when it is sent
        if let Ok(encoded) = self.encode_request(request, &ctx.media.fetched()) {
            let bounds = Bounds { time, request: request.to_pieces().len() };
            collector.collect(&ctx.media, encoded.missing, bounds).await;
        }
    }

    async fn send(&self, ctx: &Context, attempt: Attempt) -> Result<Answer> {
        if attempt.request.endpoint == Endpoint::CountTokens {
            return self.count(ctx, &attempt).await;
        }
        let (raw, fetched) = (attempt.request.to_bytes(), ctx.media.fetched());
        let (encoded, frame) = {
            let conversation = Conversation::read(&raw)?;
            let encoded = self.encode(&conversation, &fetched)?;
            let frame = Frame {
                asked_model: attempt.asked_model.clone(),
                model: conversation.model.to_string(),
                estimate: quick_estimate(&attempt.request, self.row(&conversation.model)),
                names: encoded.names.clone(),
                stops: encoded.stops.clone(),
                seal: self.seal.clone(),
                shows_thinking: conversation.shows_thinking(),
            };
            (encoded, frame)
        };
        let Encoded { body, dropped, prefill, .. } = encoded;
        let ready = Ready { raw, fetched, body, frame };
        let reply = match self.api {
            Api::Chat => {
                let parser = chat::decode::Chat::new(&self.profile, prefill);
                self.answer(ctx, &attempt, ready, parser).await?
            }
            Api::Responses => {
                let parser = responses::decode::Responses::default();
                self.answer(ctx, &attempt, ready, parser).await?
            }
        };
        Ok(Answer { reply, dropped })
    }
}

/// Returns the vendor of a flavor's models; `None` for servers that run anybody's.
fn family(flavor: &str) -> Option<&'static str> {
    match flavor {
        "openai" | "azure" => Some("openai"),
        "groq" => Some("groq"),
        "deepseek" => Some("deepseek"),
        "mistral" => Some("mistral"),
        "xai" => Some("xai"),
        _ => None,
    }
}

/// Returns the name of a flavor in OpenTelemetry's conventions. They allow others than those that they list.
fn genai_name(flavor: String) -> String {
    match flavor.as_str() {
        "azure" => "azure.ai.openai".to_owned(),
        "mistral" => "mistral_ai".to_owned(),
        "xai" => "x_ai".to_owned(),
        _ => flavor,
    }
}

/// Returns the header of the credential; `None` without a key.
fn auth(key: &Secret, auth: Auth) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    if key.is_empty() {
        return Ok(None);
    }
    let wrong = || "has characters that no header may have".to_owned();
    match auth {
        Auth::ApiKey => Ok(Some((API_KEY, secret_value(key).ok_or_else(wrong)?))),
        Auth::Bearer => {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok(Some((AUTHORIZATION, value)))
        }
    }
}

/// Returns the part of the Messages API that a profile carries. Blocks are not listed: the encoder turns those
/// without a counterpart into visible text.
fn accepts(api: Api, profile: &Profile) -> Accepts {
    let is_responses = api == Api::Responses;
    let mut fields = vec![
        "system",
        "tools",
        "tool_choice",
        "output_config",
        "output_format",
        "metadata",
        "stop_sequences",
        "temperature",
        "top_p",
        "cache_control",
        // the encoder names a tier that the server lacks; `auto` is every server's own choice
        "service_tier",
    ];
    if is_responses || profile.reasoning != Switch::None {
        fields.push("thinking");
    }
    if profile.top_k {
        fields.push("top_k");
    }
    let mut tools = client_tools::TYPES.to_vec();
    let has_search = is_responses && profile.web_search;
    if has_search {
        tools.push(responses::SEARCH_TYPES);
    }
    Accepts { has_server_tools: has_search, ..Accepts::translated(&fields, &tools) }
}
