//! `Form`: the path, the headers and the body of a request at each kind of native door.
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::catalogue::billing::Place;
use crate::context::Context;
use crate::error::Result;
use crate::net::egress::collector::Fetched;
use crate::net::headers::{self, Forwards};
use crate::providers::accepts::Accepts;
use crate::providers::dropped::Dropped;
use crate::providers::http::{Base, uri};
use crate::providers::native::betas::{Betas, Chosen};
use crate::providers::native::invoke::{self, Facts};
use crate::providers::native::names::{self, Profile};
use crate::providers::native::rewrite::Rewrite;
use crate::providers::native::urls::{self, Inlined};
use crate::providers::native::vertex::{self, SystemMessages};
use crate::providers::{Attempt, Unfetched};
use crate::wire::{Document, Endpoint, MessagesRequest, Pieces};

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const USER_PROFILE: HeaderName = HeaderName::from_static("anthropic-user-profile-id");
const TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");
const ANTHROPIC: &str = "anthropic-";

/// The fields that the native Messages endpoints of Bedrock take.
pub(in crate::providers) const BEDROCK_FIELDS: &[&str] = &[
    "compaction",
    "context_management",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "safeguards",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

/// The form of requests at one door.
pub(in crate::providers) enum Form {
    /// The routes of the API itself.
    Messages { messages: Uri, count_tokens: Uri },
    /// The routes of the API at Bedrock, with Bedrock's models and fields.
    Bedrock { messages: Uri, count_tokens: Uri, naming: Naming },
    /// InvokeModel: `prefix` is the path before the model.
    Invoke { prefix: String, profile: Profile },
    /// rawPredict: `prefix` is the path before the model.
    Vertex { prefix: String, system: SystemMessages },
}

/// The ids of models at Bedrock's native Messages endpoints.
#[derive(Debug, Clone, Copy)]
pub(in crate::providers) enum Naming {
    /// Ids without profile and version.
    Mantle,
    /// Inference profiles.
    Runtime(Profile),
}

/// The way in which an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events.
    Events,
    /// A whole message.
    Whole,
    /// A count of tokens.
    Count,
    /// AWS's event stream.
    EventStream,
    /// A whole message of InvokeModel.
    Invoked,
    /// An answer of CountTokens.
    InvokedCount,
}

/// A request in the form of its door.
pub(super) struct Encoded {
    pub(super) uri: Uri,
    /// The caller's headers; `None` if they are unchanged.
    pub(super) headers: Option<HeaderMap>,
    pub(super) body: Pieces,
    pub(super) framing: Framing,
    pub(super) dropped: Vec<Dropped>,
}

/// The caller's facts, and the choice among them.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) ctx: &'a Context,
    pub(super) betas: &'a Betas,
    pub(super) forwards: &'a Forwards,
}

impl Caller<'_> {
    /// Returns the headers that this attempt sends.
    fn headers(&self, edited: Option<HeaderMap>) -> HeaderMap {
        edited.unwrap_or_else(|| headers::for_attempt(&self.ctx.headers, self.forwards))
    }

    fn chosen(&self, headers: &HeaderMap) -> Chosen {
        let lists = headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok());
        self.betas.choose(lists)
    }

    /// Chooses among the values of `anthropic-beta`, and puts the rest back.
    fn chosen_in_header(&self, headers: &mut HeaderMap) -> Chosen {
        let chosen = self.chosen(headers);
        match chosen.sent.as_slice() {
            [] => headers.remove(BETA),
            sent => headers.insert(BETA, headers::value(&sent.join(","))),
        };
        chosen
    }
}

impl Form {
    /// Makes the form of a server with the API's own routes.
    ///
    /// Fails with the key that has a wrong value, and a message.
    pub(in crate::providers) fn messages(base: &Base) -> Result<Self, (&'static str, String)> {
        let (messages, count_tokens) = routes(base)?;
        Ok(Self::Messages { messages, count_tokens })
    }

    /// Makes the form of a native Messages endpoint of Bedrock.
    ///
    /// Fails with the key that has a wrong value, and a message.
    pub(in crate::providers) fn bedrock(
        base: &Base,
        naming: Naming,
    ) -> Result<Self, (&'static str, String)> {
        let (messages, count_tokens) = routes(base)?;
        Ok(Self::Bedrock { messages, count_tokens, naming })
    }

    /// Returns whether every route of the API is there, in the API's own form.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Messages { .. })
    }

    /// Returns the place where the upstream runs a model. Mantle and the API itself have one price everywhere.
    pub(super) fn place(&self, model: &str) -> Place {
        match self {
            Self::Messages { .. } | Self::Bedrock { naming: Naming::Mantle, .. } => Place::Global,
            Self::Bedrock { naming: Naming::Runtime(profile), .. }
            | Self::Invoke { profile, .. } => names::place(&names::bedrock(model, *profile)),
            Self::Vertex { prefix, .. } if prefix.contains("/locations/global/") => Place::Global,
            Self::Vertex { .. } => Place::Region,
        }
    }

    /// Returns whether the upstream counts the tokens of a model, as far as that is known.
    pub(super) fn counts(&self, model: &str) -> bool {
        match self {
            Self::Invoke { profile, .. } => {
                invoke::counted(&names::bedrock(model, *profile)).is_ok()
            }
            Self::Messages { .. } | Self::Bedrock { .. } | Self::Vertex { .. } => true,
        }
    }

    /// Returns whether the door takes no URL of an image or a document.
    pub(super) fn lacks_urls(&self) -> bool {
        matches!(self, Self::Invoke { .. } | Self::Vertex { .. })
    }

    /// Returns the losses of a request with these contents of URLs, apart from its betas.
    pub(super) fn losses(
        &self,
        request: &MessagesRequest,
        accepts: &Accepts,
        fetched: &Fetched,
    ) -> Vec<Dropped> {
        let mut document = request.document().clone();
        let mut of_urls = Vec::new();
        if self.lacks_urls()
            && request.may_have_url_sources()
            && let Ok(inlined) = urls::inlined(document.clone(), fetched, Unfetched::Line)
        {
            (document, of_urls) = (inlined.document, inlined.dropped);
        }
        let lost = match self {
            Self::Messages { .. } => return Vec::new(),
            Self::Bedrock { .. } => {
                cut(document, &Chosen::default(), accepts).map(|cut| cut.dropped)
            }
            Self::Invoke { profile, .. } => {
                let id = names::bedrock(request.model(), *profile);
                let invocation = invoke::rewritten(document, &id, &Facts::default(), accepts);
                invocation.map(|invocation| invocation.dropped)
            }
            Self::Vertex { .. } => {
                let rewrite = vertex::rewritten(document, None, None, &Chosen::default(), accepts);
                rewrite.map(|rewrite| rewrite.dropped)
            }
        };
        // a request that cannot be read is refused when it is sent
        of_urls.into_iter().chain(lost.unwrap_or_default()).collect()
    }

    /// Encodes a request.
    ///
    /// Fails with a 400 if the request cannot have this form, with a 501 for a count that the upstream does
    /// not offer.
    pub(super) fn encode(
        &self,
        attempt: Attempt,
        caller: Caller<'_>,
        accepts: &Accepts,
    ) -> Result<Encoded> {
        match self {
            Self::Messages { messages, count_tokens } => {
                let route = route(attempt.request.endpoint, messages, count_tokens);
                as_it_is(attempt, caller, route)
            }
            Self::Bedrock { messages, count_tokens, naming } => {
                let mut attempt = attempt;
                let named = match naming {
                    Naming::Mantle => names::mantle(attempt.request.model()),
                    Naming::Runtime(profile) => names::bedrock(attempt.request.model(), *profile),
                };
                let named = named.into_owned();
                attempt.request.set_model(&named)?;
                let route = route(attempt.request.endpoint, messages, count_tokens);
                of_bedrock(attempt, caller, route, accepts)
            }
            Self::Invoke { prefix, profile } => {
                let id = names::bedrock(attempt.request.model(), *profile).into_owned();
                invocation(attempt, caller, Model { prefix, id: &id }, accepts)
            }
            Self::Vertex { prefix, system } => {
                let id = names::vertex(attempt.request.model()).into_owned();
                prediction(attempt, caller, Model { prefix, id: &id }, accepts, *system)
            }
        }
    }
}

/// A model by its id, and the path before it.
#[derive(Clone, Copy)]
struct Model<'a> {
    prefix: &'a str,
    id: &'a str,
}

fn routes(base: &Base) -> Result<(Uri, Uri), (&'static str, String)> {
    let route = |endpoint: Endpoint| {
        let uri = base.path(endpoint.path()).parse::<Uri>();
        uri.map_err(|e| ("base_url", format!("its path cannot be used: {e}")))
    };
    Ok((route(Endpoint::Messages)?, route(Endpoint::CountTokens)?))
}

fn route<'a>(endpoint: Endpoint, messages: &'a Uri, count_tokens: &'a Uri) -> &'a Uri {
    match endpoint {
        Endpoint::Messages => messages,
        Endpoint::CountTokens => count_tokens,
    }
}

fn with_query(route: &Uri, ctx: &Context) -> Result<Uri> {
    match &ctx.query {
        None => Ok(route.clone()),
        query => uri(route.path(), query.as_deref()),
    }
}

fn framing(request: &MessagesRequest) -> Framing {
    match request.endpoint {
        Endpoint::CountTokens => Framing::Count,
        Endpoint::Messages if request.is_stream() => Framing::Events,
        Endpoint::Messages => Framing::Whole,
    }
}

/// Leaves bytes and headers as they are, unless a beta must go.
fn as_it_is(attempt: Attempt, caller: Caller<'_>, route: &Uri) -> Result<Encoded> {
    let uri = with_query(route, caller.ctx)?;
    let framing = framing(&attempt.request);
    if caller.betas.takes_all() {
        let (headers, body) = (attempt.headers, attempt.request.to_pieces());
        return Ok(Encoded { uri, headers, body, framing, dropped: Vec::new() });
    }
    let mut headers = caller.headers(attempt.headers);
    let chosen = caller.chosen_in_header(&mut headers);
    let mut rewrite = Rewrite::new(attempt.request.document().clone());
    rewrite.without_betas(&chosen.dropped, &chosen.sent)?;
    let Rewrite { document, dropped } = rewrite;
    Ok(Encoded { uri, headers: Some(headers), body: document.to_pieces(), framing, dropped })
}

fn of_bedrock(
    attempt: Attempt,
    caller: Caller<'_>,
    route: &Uri,
    accepts: &Accepts,
) -> Result<Encoded> {
    let uri = with_query(route, caller.ctx)?;
    let framing = framing(&attempt.request);
    let mut headers = caller.headers(attempt.headers);
    let chosen = caller.chosen_in_header(&mut headers);
    let Rewrite { document, dropped } = cut(attempt.request.into_parts().1, &chosen, accepts)?;
    Ok(Encoded { uri, headers: Some(headers), body: document.to_pieces(), framing, dropped })
}

/// Cuts a request down to the fields and tools of Bedrock's native Messages endpoints.
fn cut(document: Document, chosen: &Chosen, accepts: &Accepts) -> Result<Rewrite> {
    let mut rewrite = Rewrite::new(document);
    rewrite.without_betas(&chosen.dropped, &chosen.sent)?;
    rewrite.folded_format()?;
    rewrite.without_tools(accepts)?;
    rewrite.without_in_cache_control(&["scope"])?;
    rewrite.only_fields(BEDROCK_FIELDS)?;
    Ok(rewrite)
}

/// Puts the contents of URLs into a request. Returns it with the blocks that have none.
fn with_contents(attempt: Attempt, caller: Caller<'_>) -> Result<(Document, Vec<Dropped>)> {
    let has_urls = attempt.request.may_have_url_sources();
    let document = attempt.request.into_parts().1;
    if !has_urls {
        return Ok((document, Vec::new()));
    }
    let fetched = caller.ctx.media.fetched();
    let Inlined { document, dropped, .. } = urls::inlined(document, &fetched, attempt.unfetched)?;
    Ok((document, dropped))
}

fn invocation(
    attempt: Attempt,
    caller: Caller<'_>,
    model: Model<'_>,
    accepts: &Accepts,
) -> Result<Encoded> {
    let Model { prefix, id } = model;
    let mut attempt = attempt;
    let endpoint = attempt.request.endpoint;
    let is_stream = attempt.request.is_stream();
    let (id, action, framing) = match (endpoint, is_stream) {
        (Endpoint::CountTokens, _) => (invoke::counted(id)?, "count-tokens", Framing::InvokedCount),
        (_, true) => (id, "invoke-with-response-stream", Framing::EventStream),
        (_, false) => (id, "invoke", Framing::Invoked),
    };
    let uri = uri(&format!("{prefix}/{}/{action}", invoke::segment(id)?), None)?;
    let mut headers = caller.headers(attempt.headers.take());
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let facts = Facts {
        version: text(VERSION).map(ToOwned::to_owned),
        betas: caller.chosen(&headers),
        user_profile: text(USER_PROFILE).map(ToOwned::to_owned),
    };
    let native: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(ANTHROPIC)).cloned().collect();
    for name in native {
        headers.remove(name);
    }
    let (document, mut dropped) = with_contents(attempt, caller)?;
    let invocation = invoke::rewritten(document, id, &facts, accepts)?;
    dropped.extend(invocation.dropped);
    headers.extend(invocation.tier.map(|tier| (TIER, tier)));
    let body = match endpoint {
        Endpoint::Messages => invocation.document.to_pieces(),
        Endpoint::CountTokens => invoke::count_body(invocation.document)?.into(),
    };
    Ok(Encoded { uri, headers: Some(headers), body, framing, dropped })
}

fn prediction(
    attempt: Attempt,
    caller: Caller<'_>,
    model: Model<'_>,
    accepts: &Accepts,
    system: SystemMessages,
) -> Result<Encoded> {
    let Model { prefix, id } = model;
    let mut attempt = attempt;
    let framing = framing(&attempt.request);
    let (name, action) = match framing {
        Framing::Count => ("count-tokens".into(), "rawPredict"),
        Framing::Events => (vertex::segment(id)?, "streamRawPredict"),
        _ => (vertex::segment(id)?, "rawPredict"),
    };
    let uri = uri(&format!("{prefix}/{name}:{action}"), None)?;
    let mut headers = caller.headers(attempt.headers.take());
    let chosen = caller.chosen_in_header(&mut headers);
    let version = headers.get(VERSION).and_then(|value| value.to_str().ok());
    let count = (framing == Framing::Count).then_some(id);
    let (document, mut dropped) = with_contents(attempt, caller)?;
    let rewrite = vertex::rewritten(document, count, version, &chosen, accepts)?;
    let mut document = rewrite.document;
    dropped.extend(rewrite.dropped);
    if system == SystemMessages::Demote {
        vertex::demote_system(&mut document)?;
    }
    Ok(Encoded { uri, headers: Some(headers), body: document.to_pieces(), framing, dropped })
}
