//! A trial: a request, and an answer, on their way through the stages of a pipeline.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};

use crate::context::{Caller, Context};
use crate::error::{Error, ErrorKind, Result};
use crate::net::headers;
use crate::policy::{Passage, Target, Verdict};
use crate::wire::{Event, MessagesRequest, Reply, ReplyBody};

/// The client of a trial.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    /// The name of its key.
    pub(crate) key: String,
    /// The tags of its key.
    pub(crate) tags: BTreeMap<String, String>,
    /// The headers of its request.
    pub(crate) headers: HeaderMap,
}

/// The input of a trial.
pub(crate) struct Input {
    /// The request.
    pub(crate) request: MessagesRequest,
    /// The target of an attempt, `provider/model`; without it the hooks before an attempt do not run.
    pub(crate) target: Option<String>,
    /// The answer; without it the hooks over answers run only for the answer of a policy.
    pub(crate) answer: Option<Given>,
}

/// An answer of an upstream, or of a policy.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    /// A whole message.
    Message(Bytes),
    /// The events of a stream.
    Stream(Vec<Event>),
}

/// The result of a trial.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// The request that would be sent; `None` if a stage ended it.
    pub(crate) request: Option<Bytes>,
    /// The message of `on_error` for a denial or a failure, if it differs.
    pub(crate) reworded: Option<String>,
    /// The answer.
    pub(crate) answer: Option<Followed>,
}

/// An answer that went through the stages.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The answer before all stages.
    pub(crate) before: Given,
    /// The part of it that arrives.
    pub(crate) after: Given,
    /// The duration.
    pub(crate) took: Duration,
    /// The error that ended it.
    pub(crate) failure: Option<Error>,
}

impl Client {
    /// Returns the facts of its request.
    pub(crate) fn context(self, request: &MessagesRequest) -> Context {
        let Self { key, tags, headers } = self;
        Context {
            request_id: "req_eval".to_owned(),
            started: Instant::now(),
            caller: Arc::new(Caller { key: key.clone(), tags, ..Caller::default() }),
            headers: headers::for_stages(headers),
            query: None,
            credential: None,
            session: key,
            model: request.model().to_owned(),
            media: Arc::default(),
            story: Arc::default(),
            admission: None,
        }
    }
}

/// Sends the input through the stages.
pub(crate) async fn run(passage: &Arc<Passage>, input: Input) -> Ran {
    let Input { request, target, answer } = input;
    let mut ran = Ran::default();
    let answer = match passage.on_request(request).await {
        Ok((request, Verdict::Continue)) => match attempt(passage, request, target).await {
            Ok(request) => {
                ran.request = Some(request.to_bytes());
                answer
            }
            Err(error) => ran.refused(passage, error),
        },
        Ok((_, Verdict::Respond(reply))) => Some(Given::of(*reply)),
        Ok((_, Verdict::Deny(error))) => ran.refused(passage, *error),
        Err(error) => ran.refused(passage, error),
    };
    if let Some(answer) = answer {
        ran.answer = Some(follow(passage, answer).await);
    }
    ran
}

/// Returns whether the error is a failure, not a denial. A denial without a kind of its own is a 400.
pub(crate) fn is_breakage(error: &Error) -> bool {
    error.status.is_none() && error.kind == ErrorKind::Api
}

impl Ran {
    /// Runs `on_error` over a denial or a failure. No answer follows.
    fn refused(&mut self, passage: &Passage, error: Error) -> Option<Given> {
        let message = error.message.clone();
        let reworded = passage.on_error(error).message;
        self.reworded = (reworded != message).then_some(reworded);
        None
    }
}

impl Given {
    /// Returns the answer of a policy, which is a whole message.
    fn of(reply: Reply) -> Self {
        match reply.body {
            ReplyBody::Full(message) => Self::Message(message),
            ReplyBody::Events(_) => Self::Stream(Vec::new()),
        }
    }
}

/// Runs the hooks before an attempt, if there is a target.
async fn attempt(
    passage: &Passage,
    mut request: MessagesRequest,
    target: Option<String>,
) -> Result<MessagesRequest> {
    let Some(target) = target else { return Ok(request) };
    let (provider, model) = target.split_once('/').unwrap_or((&target, request.model()));
    let (provider, model) = (provider.to_owned(), model.to_owned());
    request.set_model(&model)?;
    let target = Target {
        provider: &provider,
        model: &model,
        unsupported: &[],
        strictness: "off",
        is_native: true,
        number: 1,
        forwards: &headers::ALL_FORWARDS,
    };
    passage.on_upstream_request(request, target).await.map(|(request, _)| request)
}

/// Sends an answer through the stages.
async fn follow(passage: &Arc<Passage>, answer: Given) -> Followed {
    let (started, before) = (Instant::now(), answer.clone());
    let body = match answer {
        Given::Message(message) => ReplyBody::Full(message),
        Given::Stream(events) => {
            ReplyBody::Events(futures_util::stream::iter(events.into_iter().map(Ok)).boxed())
        }
    };
    let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body };
    let passed = passage.on_reply(reply).await.map_err(|error| passage.on_error(error));
    let (after, failure) = match passed {
        Ok(reply) => collected(reply.body).await,
        Err(error) => (before.clone(), Some(error)),
    };
    Followed { before, after, took: started.elapsed(), failure }
}

/// Returns the part of an answer that arrives, and the error that ends it.
async fn collected(body: ReplyBody) -> (Given, Option<Error>) {
    let mut stream = match body {
        ReplyBody::Full(message) => return (Given::Message(message), None),
        ReplyBody::Events(stream) => stream,
    };
    let mut events = Vec::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(event) => events.push(event),
            Err(error) => return (Given::Stream(events), Some(error)),
        }
    }
    (Given::Stream(events), None)
}
