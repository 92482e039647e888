//! `on_request` and `on_upstream_request`: stages edit a request, which must stay a valid request.
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::net::headers::{self, Forwards};
use crate::policy::facts::Facts;
use crate::policy::stage::{HookRun, Settled, Stage};
use crate::policy::watch::Ran;
use crate::policy::{Hook, Outcome, Passage, Verdict};
use crate::telemetry::tracker::Tracker;
use crate::wire::{Document, Mark, MessagesRequest, Read};

/// The target of an attempt, as `on_upstream_request` reads it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The provider's name in the config.
    pub provider: &'a str,
    /// The model that the upstream receives.
    pub model: &'a str,
    /// The parts of the request that this target does not support.
    pub unsupported: &'a [String],
    /// The configured reaction to unsupported parts: `off`, `warn` or `error`.
    pub strictness: &'a str,
    /// Whether the target speaks the Messages API itself.
    pub is_native: bool,
    /// The number of the attempt, from 1, over all targets and retries.
    pub number: u32,
    /// The caller's headers that the provider receives beside the usual ones.
    pub forwards: &'a Forwards,
}

impl Target<'_> {
    /// Returns the target as a JSON value for hooks.
    fn facts(&self) -> Value {
        json!({
            "provider": self.provider,
            "model": self.model,
            "unsupported": self.unsupported,
            "strictness": self.strictness,
            "native": self.is_native,
            "number": self.number,
        })
    }
}

/// A hook of a stage.
#[derive(Clone, Copy)]
struct At<'a> {
    stage: &'a Stage,
    hook: Hook,
}

/// The request before a stage.
struct Before {
    mark: Mark,
    /// The body; only in trials.
    body: Option<Bytes>,
}

/// The request after a stage.
struct Left {
    /// The request; `None` if the stage denies it and leaves no valid request.
    request: Option<MessagesRequest>,
    outcome: Outcome,
    /// The body before the stage's route is applied; only in trials.
    body: Option<Bytes>,
}

impl Passage {
    /// Runs `on_request` of every stage for this request, in order, until one ends it.
    ///
    /// Fails with a 500 that names the stage if a stage with `on_error: deny` fails. Fails with a 400 if the
    /// caller's own body is invalid.
    pub async fn on_request(&self, request: MessagesRequest) -> Result<(MessagesRequest, Verdict)> {
        let facts = self.facts();
        let mut request = request;
        if !self.pipeline.hooks.has(Hook::Request) && facts.watch.is_none() {
            return Ok((request, Verdict::Continue));
        }
        let mut started = Instant::now();
        for stage in &self.pipeline.stages {
            if !stage.is_for(Hook::Request, &self.ctx) {
                facts.show_idle(stage.name(), Hook::Request, stage.hooks());
                continue;
            }
            let at = At { stage, hook: Hook::Request };
            let spare = stage.spare(|| request.clone());
            let before = Before::of(&request, facts);
            let (read, document) = request.into_parts();
            stage.begin(facts);
            // scripts run at once: they never wait
            let done = match stage.script(facts) {
                Some((script, call)) => script.on_request(&call, document),
                None => stage.on_request(facts, document).await,
            };
            let done = done
                .and_then(|(document, outcome)| Left::of(stage, document, outcome, read, facts))
                .and_then(Left::routed);
            let ended = Instant::now();
            let took = ended.duration_since(started);
            started = ended;
            let left = match stage.settle(HookRun { hook: at.hook, took, done }, facts, spare)? {
                Settled::Done(left, _) => left,
                Settled::Skipped(spare) => {
                    request = spare;
                    continue;
                }
            };
            self.show_request(at, took, &before, &left);
            self.keep(left.outcome.wishes);
            if matches!(left.outcome.verdict, Verdict::Deny(_)) {
                self.note_denial(at);
            }
            if let Some(request) = &left.request {
                self.note_edit(at, before.mark, request);
            }
            request = match (left.request, left.outcome.verdict) {
                (None, Verdict::Deny(error)) => return Err(*error),
                (None, _) => return Err(Error::new(ErrorKind::Api, "stage left no valid request")),
                (Some(passed), Verdict::Continue) => passed,
                (Some(passed), verdict) => return Ok((passed, verdict)),
            };
        }
        Ok((request, Verdict::Continue))
    }

    /// Runs `on_upstream_request` of every stage before an attempt. Returns the request and the headers for
    /// the attempt; the headers are `None` if they are those that the caller sent.
    ///
    /// Fails as [`Passage::on_request`] does, and if a stage denies the attempt.
    pub async fn on_upstream_request(
        &self,
        request: MessagesRequest,
        target: Target<'_>,
    ) -> Result<(MessagesRequest, Option<HeaderMap>)> {
        let is_understood = target.unsupported.is_empty();
        let stages = self.stages(Hook::UpstreamRequest);
        let stages: Vec<&Stage> =
            stages.filter(|stage| !(is_understood && stage.is_for_unsupported())).collect();
        self.ctx.story.prompt(Tracker::begin_attempt);
        if stages.is_empty() && self.wishes().upstream_headers.is_empty() {
            self.ctx.story.prompt(|prompt| prompt.sends(&request));
            return Ok((request, None));
        }
        let facts = self.facts();
        let mut request = request;
        let mut headers = headers::for_attempt(&self.ctx.headers, target.forwards);
        self.wishes().upstream_headers.apply(&mut headers);
        let target = target.facts();
        for stage in stages {
            let at = At { stage, hook: Hook::UpstreamRequest };
            let spare = stage.spare(|| request.clone());
            let before = Before::of(&request, facts);
            let (read, document) = request.into_parts();
            let work = async {
                let (document, outcome) =
                    stage.on_upstream_request(facts, document, &target).await?;
                stage.refuse_ends(at.hook, &outcome)?;
                Left::of(stage, document, outcome, read, facts)
            };
            let (mut left, took) = match stage.guard(at.hook, facts, spare, work).await? {
                Settled::Done(left, took) => (left, took),
                Settled::Skipped(spare) => {
                    request = spare;
                    continue;
                }
            };
            self.show_request(at, took, &before, &left);
            // a header of one attempt does not apply to the next one
            std::mem::take(&mut left.outcome.wishes.upstream_headers).apply(&mut headers);
            self.keep(left.outcome.wishes);
            if let Verdict::Deny(error) = left.outcome.verdict {
                self.note_denial(at);
                return Err(*error);
            }
            let nothing = || Error::new(ErrorKind::Api, "stage left no valid request");
            request = left.request.ok_or_else(nothing)?;
            self.note_edit(at, before.mark, &request);
        }
        self.ctx.story.prompt(|prompt| prompt.sends(&request));
        Ok((request, Some(headers)))
    }

    fn note_edit(&self, at: At<'_>, before: Mark, request: &MessagesRequest) {
        if before != request.document().mark() {
            at.stage.note_edit(at.hook, &self.ctx);
            at.stage.note_prompt(at.hook, &self.ctx, request);
        }
    }

    fn note_denial(&self, at: At<'_>) {
        at.stage.note_denial(at.hook, &self.ctx);
    }

    fn show_request(&self, at: At<'_>, time: Duration, before: &Before, left: &Left) {
        let (Some(watch), Some(before), Some(body)) =
            (self.facts().watch, &before.body, &left.body)
        else {
            return;
        };
        let outcome = &left.outcome;
        let ran = Ran {
            time,
            before: before.clone(),
            left: body.clone(),
            after: left.request.as_ref().map_or_else(|| body.clone(), MessagesRequest::to_bytes),
            decision: (&outcome.verdict).into(),
            route: outcome.route.as_deref(),
            wishes: &outcome.wishes,
        };
        watch.show_run(at.stage.name(), at.hook, ran);
    }
}

impl Before {
    fn of(request: &MessagesRequest, facts: Facts<'_>) -> Self {
        let body = facts.watch.map(|_| request.to_bytes());
        Self { mark: request.document().mark(), body }
    }
}

impl Left {
    /// Checks that the stage left a valid request, unless the stage denies it.
    fn of(
        stage: &Stage,
        document: Document,
        outcome: Outcome,
        read: Read,
        facts: Facts<'_>,
    ) -> Result<Self> {
        let body = facts.watch.map(|_| document.to_bytes());
        let request = match (read.with(document), &outcome.verdict) {
            (Ok(request), _) => Some(request),
            (Err(_), Verdict::Deny(_)) => None,
            (Err(error), _) => return Err(no_request(stage, &outcome, &error)),
        };
        Ok(Self { request, outcome, body })
    }

    /// Sets the model that the stage routes to.
    fn routed(mut self) -> Result<Self> {
        if let (Some(request), Some(model)) = (&mut self.request, &self.outcome.route) {
            request.set_model(model)?;
        }
        Ok(self)
    }
}

/// Returns the error of a stage that leaves an invalid request: the stage is at fault.
fn no_request(stage: &Stage, outcome: &Outcome, error: &Error) -> Error {
    let is_missing = |field: &str| error.message.starts_with(&format!("`{field}` is missing"));
    let removed = outcome.removed.iter().rev().find(|(field, _)| is_missing(field));
    let removed = removed.map_or(String::new(), |(_, place)| format!(" (removed at {place})"));
    let (name, found) = (stage.name(), &error.message);
    let message = format!("stage `{name}` left a request that cannot be sent: {found}{removed}");
    Error::new(ErrorKind::Api, message)
}
