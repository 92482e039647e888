//! Runs a case: the request through `on_request`, then the subject through its hook.
//!
//! The passage is the same as for live requests. `Seen` records the decisions of the policy.
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::error::{Act, Error, ErrorKind, Scope};
use crate::net::headers;
use crate::policy::cases::case::Case;
use crate::policy::cases::given::{self, GivenCall, GivenTarget};
use crate::policy::cases::ran::{End, Output, Ran, Refusal};
use crate::policy::cases::seen::Seen;
use crate::policy::cases::stream;
use crate::policy::cases::subject::Subject;
use crate::policy::rewording::document_of;
use crate::policy::script::Script;
use crate::policy::script::answer::Content;
use crate::policy::{Hook, Passage, Pipeline, Verdict};
use crate::telemetry::metrics::Metrics;
use crate::wire::message::Fold;
use crate::wire::{MessagesRequest, Reply, ReplyBody, unfold};

/// The result of one hook.
struct Step {
    before: Output,
    after: Output,
    end: End,
    /// The headers that an upstream would receive, if the hook runs before an attempt.
    headers: Option<HeaderMap>,
}

impl Step {
    fn json(before: Bytes, after: Bytes, end: End) -> Self {
        Self { before: Output::Json(before), after: Output::Json(after), end, headers: None }
    }
}

impl Case {
    /// Runs the case. Fails if it cannot be run.
    pub(super) fn run(&self, script: &Script) -> Result<Ran, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|e| Error::new(ErrorKind::Api, e.to_string()))?;
        runtime.block_on(self.run_on_trial(script))
    }

    async fn run_on_trial(&self, script: &Script) -> Result<Ran, Error> {
        let clock = self.ctx.clock().map_err(|fault| Error::invalid(fault.message))?;
        let (request, added) = self.request()?;
        let ctx = Arc::new(self.context()?);
        let with = script.with(&self.ctx.with).map_err(|problems| {
            let said: Vec<String> = problems
                .iter()
                .map(|problem| format!("`with{}` {}", problem.path, problem.message))
                .collect();
            Error::invalid(said.join("; "))
        })?;
        let pipeline = Arc::new(Pipeline::of(script, with, &Metrics::new()));
        let seen = Arc::new(Seen::default());
        let passage = Passage::on_trial(&pipeline, &ctx, clock, seen.watch());
        let trial = Trial { passage, seen };
        let subject = self.subject();
        let (step, route) = match (trial.request(request).await, &subject) {
            ((step, _), Subject::Request) => (step, trial.seen.route(Hook::Request)),
            ((_, Some(request)), subject) => (trial.subject(subject, request).await?, None),
            ((step, None), _) => (Step { end: End::Early(Box::new(step.end)), ..step }, None),
        };
        Ok(trial.ran(step, subject.name(), added, route))
    }
}

/// A running case: the passage of its request, and the steps so far.
struct Trial {
    passage: Arc<Passage>,
    seen: Arc<Seen>,
}

impl Trial {
    /// Returns the result of the case.
    fn ran(
        &self,
        step: Step,
        subject: &'static str,
        added: Vec<&'static str>,
        route: Option<String>,
    ) -> Ran {
        let mut wishes = self.passage.wishes().clone();
        wishes.tags = self.passage.ctx.story.read(|record| record.policy_tags.clone());
        let mut response_headers = HeaderMap::new();
        wishes.response_headers.apply(&mut response_headers);
        let headers = step.headers.unwrap_or_else(|| {
            let mut headers =
                headers::for_attempt(&self.passage.ctx.headers, &headers::ALL_FORWARDS);
            wishes.upstream_headers.apply(&mut headers);
            headers
        });
        // every failure counts, also one that a live request would skip
        let end = self.seen.failure().map_or(step.end, End::Broke);
        let (before, after) = (step.before, step.after);
        Ran { subject, added, before, after, end, route, wishes, headers, response_headers }
    }

    /// Runs `on_request`. Also returns the request, if it continues.
    async fn request(&self, request: MessagesRequest) -> (Step, Option<MessagesRequest>) {
        let before = request.to_bytes();
        let (end, passed) = match self.passage.on_request(request).await {
            Ok((request, Verdict::Continue)) => (End::GoesOn, Some(request)),
            Ok((request, Verdict::Respond(reply))) => (self.answer(*reply, &request).await, None),
            Ok((_, Verdict::Deny(error))) => (self.refused(*error), None),
            Err(error) => (self.refused(error), None),
        };
        let left = self.seen.left(Hook::Request).unwrap_or_else(|| before.clone());
        (Step::json(before, left, end), passed)
    }

    async fn subject(
        &self,
        subject: &Subject<'_>,
        request: MessagesRequest,
    ) -> Result<Step, Error> {
        match subject {
            Subject::Request => Ok(self.request(request).await.0),
            Subject::Upstream(target) => self.upstream(target, request).await,
            Subject::Response(message) => self.response(message).await,
            Subject::Stream(events) => self.stream(events).await,
            Subject::ToolCall(call) => self.tool_call(call),
            Subject::ToolResult(result) => self.tool_result(result),
            Subject::Error(error) => self.error(error),
        }
    }

    async fn upstream(
        &self,
        target: &Map<String, Value>,
        request: MessagesRequest,
    ) -> Result<Step, Error> {
        let target = GivenTarget::of(target)?;
        let before = request.to_bytes();
        Ok(match self.passage.on_upstream_request(request, target.target()).await {
            Ok((request, headers)) => {
                Step { headers, ..Step::json(before, request.to_bytes(), End::GoesOn) }
            }
            Err(error) => {
                let left = self.seen.left(Hook::UpstreamRequest);
                let left = left.unwrap_or_else(|| before.clone());
                Step::json(before, left, self.refused(error))
            }
        })
    }

    fn tool_call(&self, given: &Map<String, Value>) -> Result<Step, Error> {
        let given = GivenCall::of("tool_call", given)?;
        let before = given.call().document()?.to_bytes();
        // `seen` records a failure
        let _ = self.passage.on_tool_call(given.call());
        let left = self.seen.left(Hook::ToolCall).unwrap_or_else(|| before.clone());
        Ok(Step::json(before, left, self.seen.end(Hook::ToolCall)))
    }

    fn tool_result(&self, given: &Map<String, Value>) -> Result<Step, Error> {
        let given = GivenCall::of("tool_result", given)?;
        let (call, output) = (given.call(), given.output()?);
        let before = call.with_result(&output)?.to_bytes();
        // `seen` records a failure
        let _ = self.passage.on_tool_result(&call, output);
        let left = self.seen.left(Hook::ToolResult).unwrap_or_else(|| before.clone());
        Ok(Step::json(before, left, self.seen.end(Hook::ToolResult)))
    }

    fn error(&self, given: &Map<String, Value>) -> Result<Step, Error> {
        let error = given::error(given)?;
        let before = document_of(&error);
        let after = document_of(&self.passage.on_error(error));
        Ok(Step::json(before, after, End::GoesOn))
    }

    async fn response(&self, message: &Value) -> Result<Step, Error> {
        let content = match message {
            Value::String(text) => Content::Text(text.clone()),
            message => Content::message(message.clone())
                .map_err(|message| Error::invalid(message.replace("`respond`", "`response`")))?,
        };
        let message = content.into_json("claude-x");
        let (after, failure) = self.replied(ReplyBody::Full(message.clone())).await;
        let before = Output::Json(message);
        let after = after.unwrap_or_else(|| before.clone());
        let end = failure.map_or(End::GoesOn, |error| End::of(&error));
        Ok(Step { before, after, end, headers: None })
    }

    async fn stream(&self, events: &Value) -> Result<Step, Error> {
        let events = stream::events(events).map_err(Error::invalid)?;
        let body = futures_util::stream::iter(events.clone().into_iter().map(Ok)).boxed();
        let (after, failure) = self.replied(ReplyBody::Events(body)).await;
        let after = after.unwrap_or(Output::Stream(Vec::new()));
        let end = failure.map_or(End::GoesOn, |error| End::of(&error));
        Ok(Step { before: Output::Stream(events), after, end, headers: None })
    }

    /// Sends a policy's own answer through the hooks, in the form that the request asks for.
    async fn answer(&self, reply: Reply, request: &MessagesRequest) -> End {
        let body = match (reply.body, request.is_stream()) {
            (ReplyBody::Full(message), true) => match unfold::events_of(&message) {
                Ok(events) => ReplyBody::Events(
                    futures_util::stream::iter(events.into_iter().map(Ok)).boxed(),
                ),
                Err(error) => return self.refused(error),
            },
            (body, _) => body,
        };
        match self.replied(body).await {
            (_, Some(error)) => End::of(&error),
            (after, None) => End::Answered(after.as_ref().map(Output::message).unwrap_or_default()),
        }
    }

    /// Sends an answer through the hooks. Returns the part that arrives, and the error that ends it.
    async fn replied(&self, body: ReplyBody) -> (Option<Output>, Option<Error>) {
        let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body };
        match self.passage.on_reply(reply).await {
            Ok(reply) => arrived(reply.body).await,
            Err(error) => (None, Some(self.passage.on_error(error))),
        }
    }

    /// Returns the end of a case that ends with an error, with the message of `on_error`. Passing over a
    /// target is not yet an error of the request.
    fn refused(&self, error: Error) -> End {
        let is_of_target = error.stage().is_some_and(|stage| stage.scope == Scope::Target);
        End::of(&if is_of_target { error } else { self.passage.on_error(error) })
    }
}

impl End {
    /// Returns the end for an error: the denial of a policy, or a failure.
    fn of(error: &Error) -> Self {
        match error.stage() {
            Some(stage) if stage.act == Act::Decided => Self::Denied(Refusal::of(error)),
            _ => Self::Broke(error.message.clone()),
        }
    }
}

impl Output {
    /// Returns the message; a stream is folded into one.
    fn message(&self) -> Value {
        let events = match self {
            Self::Json(message) => return serde_json::from_slice(message).unwrap_or_default(),
            Self::Stream(events) => events,
        };
        let mut fold = Fold::default();
        let is_whole = events.iter().all(|event| fold.push(event).is_ok());
        let message = if is_whole { fold.finish().ok() } else { None };
        message.and_then(|message| serde_json::from_slice(&message).ok()).unwrap_or_default()
    }
}

async fn arrived(body: ReplyBody) -> (Option<Output>, Option<Error>) {
    let mut stream = match body {
        ReplyBody::Full(message) => return (Some(Output::Json(message)), None),
        ReplyBody::Events(stream) => stream,
    };
    let mut events = Vec::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(event) => events.push(event),
            Err(error) => return (Some(Output::Stream(events)), Some(error)),
        }
    }
    (Some(Output::Stream(events)), None)
}
