//! `Passage`: one request's way through the stages, from its body to the last byte of its answer.
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::net::header_edits::HeaderEdits;
use crate::net::headers;
use crate::plugin_host::{Behalf, Reach};
use crate::policy::filter::unreadable;
use crate::policy::script::api::{State, With};
use crate::policy::script::{Call, Decision};
use crate::policy::stage::Stage;
use crate::policy::{Hook, Hooks, Outcome, Pipeline, Verdict, Wishes, stream};
use crate::wire::{Document, Mark, MessagesRequest, Read, Reply, ReplyBody, Step};

/// What the hooks of one request share: its facts, their state, what they asked for.
pub struct Passage {
    pub(super) pipeline: Arc<Pipeline>,
    /// The facts.
    pub ctx: Arc<Context>,
    reach: Option<Arc<Reach>>,
    pub(super) state: State,
    wishes: Mutex<Wishes>,
}

/// Where an attempt goes, as `on_upstream_request` sees it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The provider's name in the config.
    pub provider: &'a str,
    /// The model that the upstream is asked for.
    pub model: &'a str,
    /// What of the request this target does not understand.
    pub unsupported: &'a [String],
    /// What is to become of that: `off`, `warn` or `error`.
    pub strictness: &'a str,
    /// It speaks the Messages API itself.
    pub is_native: bool,
    /// Counted from 1, over all targets and retries.
    pub number: u32,
}

impl Target<'_> {
    /// As hooks see it.
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

impl Passage {
    /// For one request whose plugins reach no model and publish nothing.
    pub fn new(pipeline: &Arc<Pipeline>, ctx: &Arc<Context>) -> Arc<Self> {
        Self::reaching(pipeline, ctx, None)
    }

    /// For one request. [`Pipeline::wants_models`] and [`Pipeline::wants_to_publish`] say whether it
    /// takes a `reach` at all.
    pub fn reaching(
        pipeline: &Arc<Pipeline>,
        ctx: &Arc<Context>,
        reach: Option<Reach>,
    ) -> Arc<Self> {
        Arc::new(Self {
            pipeline: Arc::clone(pipeline),
            ctx: Arc::clone(ctx),
            reach: reach.map(Arc::new),
            state: State::default(),
            wishes: Mutex::default(),
        })
    }

    /// The hooks that any stage defines.
    pub fn hooks(&self) -> Hooks {
        self.pipeline.hooks
    }

    pub(super) fn behalf(&self) -> Behalf {
        Behalf { context: Arc::clone(&self.ctx), reach: self.reach.clone() }
    }

    pub(super) fn script_call<'a>(&'a self, with: &'a With) -> Call<'a> {
        Call { context: &self.ctx, with, state: &self.state }
    }

    fn note_edit(&self, at: At<'_>, before: Mark, request: &MessagesRequest) {
        if before != request.document().mark() {
            self.ctx.story.stage_edited(at.stage.shared_name(), at.hook.as_str());
        }
    }

    fn note_denial(&self, at: At<'_>) {
        self.ctx.story.stage_denied(at.stage.shared_name(), at.hook.as_str());
    }

    /// What the stages have asked for so far.
    pub fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock()
    }

    /// The stages that define a hook and are for this request.
    pub(super) fn stages(&self, hook: Hook) -> impl Iterator<Item = &Stage> {
        self.pipeline.stages.iter().filter(move |stage| stage.is_for(hook, &self.ctx))
    }

    /// Keeps what a stage asked for; counts count at once.
    pub(super) fn keep(&self, mut wishes: Wishes) {
        if wishes.is_empty() {
            return;
        }
        for (name, count) in &std::mem::take(&mut wishes.counts) {
            self.pipeline.metrics.count(name, *count);
            *self.wishes().counts.entry(name.clone()).or_default() += count;
        }
        self.ctx.story.tag_by_policy(std::mem::take(&mut wishes.tags));
        self.wishes().extend(wishes);
    }

    /// Runs `on_request` of every stage that is for this request, in order, until one ends it.
    ///
    /// Fails with a 500 that names the stage if one broke that fails closed, and with a 400 if the
    /// caller's own body is at fault.
    pub async fn on_request(&self, request: MessagesRequest) -> Result<(MessagesRequest, Verdict)> {
        let mut request = request;
        if !self.pipeline.hooks.has(Hook::Request) {
            return Ok((request, Verdict::Continue));
        }
        let mut started = Instant::now();
        for stage in self.stages(Hook::Request) {
            let spare = stage.spare(|| (Some(request.clone()), Outcome::default()));
            let (read, document) = request.into_parts();
            let before = read.mark();
            // a script's at once: there is nothing to wait for
            let done = match stage.script(&self.ctx, &self.state) {
                Some((script, call)) => script.on_request(&call, document),
                None => stage.on_request(self, document).await,
            };
            let done =
                done.and_then(|(document, outcome)| routed_by(stage, document, outcome, read));
            let ended = Instant::now();
            let took = ended.duration_since(started);
            started = ended;
            let (passed, outcome) = stage.settle((Hook::Request, took), &self.ctx, spare, done)?;
            self.keep(outcome.wishes);
            let at = At { stage, hook: Hook::Request };
            if matches!(outcome.verdict, Verdict::Deny(_)) {
                self.note_denial(at);
            }
            request = match (passed, outcome.verdict) {
                (None, Verdict::Deny(error)) => return Err(*error),
                (None, _) => return Err(Error::new(ErrorKind::Api, "a stage left no request")),
                (Some(passed), Verdict::Continue) => passed,
                (Some(passed), verdict) => return Ok((passed, verdict)),
            };
            self.note_edit(at, before, &request);
        }
        Ok((request, Verdict::Continue))
    }

    /// Runs `on_upstream_request` of every stage before an attempt, and gives the request and the
    /// headers that the attempt sends, `None` for those that the caller sent.
    ///
    /// Fails as [`Passage::on_request`] does, and with a stage's refusal.
    pub async fn on_upstream_request(
        &self,
        request: MessagesRequest,
        target: Target<'_>,
    ) -> Result<(MessagesRequest, Option<HeaderMap>)> {
        let is_understood = target.unsupported.is_empty();
        let stages = self.stages(Hook::UpstreamRequest);
        let stages: Vec<&Stage> =
            stages.filter(|stage| !(is_understood && stage.is_for_unsupported())).collect();
        if stages.is_empty() && self.wishes().upstream_headers.is_empty() {
            return Ok((request, None));
        }
        let mut request = request;
        let mut headers = headers::for_attempt(&self.ctx.headers);
        self.wishes().upstream_headers.apply(&mut headers);
        let facts = target.facts();
        for stage in stages {
            let spare = stage.spare(|| (Some(request.clone()), Outcome::default()));
            let (read, document) = request.into_parts();
            let before = read.mark();
            let work = async {
                let edited = stage.on_upstream_request(self, document, &facts).await?;
                let (document, outcome) = edited;
                refuse_ends(stage, Hook::UpstreamRequest, &outcome)?;
                Ok((left_by(stage, (document, &outcome), read)?, outcome))
            };
            let guarded = stage.guard(Hook::UpstreamRequest, &self.ctx, spare, work).await?;
            let (passed, mut outcome) = guarded;
            // a header of one attempt is not for the next one
            std::mem::take(&mut outcome.wishes.upstream_headers).apply(&mut headers);
            self.keep(outcome.wishes);
            let at = At { stage, hook: Hook::UpstreamRequest };
            if let Verdict::Deny(error) = outcome.verdict {
                self.note_denial(at);
                return Err(*error);
            }
            let nothing = || Error::new(ErrorKind::Api, "a stage left no request");
            request = passed.ok_or_else(nothing)?;
            self.note_edit(at, before, &request);
        }
        Ok((request, Some(headers)))
    }

    /// The hooks over texts, events and the message of an answer, before it goes out.
    pub async fn on_reply(self: &Arc<Self>, reply: Reply) -> Result<Reply> {
        let Reply { status, headers, body } = reply;
        let body = match body {
            ReplyBody::Full(message) => ReplyBody::Full(self.on_message(message).await?),
            ReplyBody::Events(events) => ReplyBody::Events(stream::through(self, events)),
        };
        Ok(Reply { status, headers, body })
    }

    /// Returns the headers that stages set or remove in the answer.
    pub fn response_headers(&self) -> HeaderEdits {
        self.wishes().response_headers.clone()
    }

    /// `on_text` and `on_response` over a message that has not been sent.
    async fn on_message(&self, message: Bytes) -> Result<Bytes> {
        if !self.pipeline.hooks.has_any(&[Hook::Text, Hook::Response]) {
            return Ok(message);
        }
        let mut document = Document::parse(message).map_err(|e| {
            Error::new(ErrorKind::BadUpstream, "the answer is no JSON object").with_source(e)
        })?;
        for stage in self.stages(Hook::Text) {
            let spare = stage.spare(|| (document.clone(), Outcome::default()));
            let work = || self.on_texts(stage, document);
            let (edited, outcome) = stage.guard_now(Hook::Text, &self.ctx, spare, work)?;
            document = self.passed(edited, outcome)?;
        }
        for stage in self.stages(Hook::Response) {
            let spare = stage.spare(|| (document.clone(), Outcome::default()));
            let work = async {
                let (document, outcome) = stage.on_response(self, document).await?;
                refuse_ends(stage, Hook::Response, &outcome)?;
                Ok((document, outcome))
            };
            let guarded = stage.guard(Hook::Response, &self.ctx, spare, work).await?;
            let (edited, outcome) = guarded;
            document = self.passed(edited, outcome)?;
        }
        Ok(document.to_bytes())
    }

    fn passed(&self, message: Document, outcome: Outcome) -> Result<Document> {
        self.keep(outcome.wishes);
        match outcome.verdict {
            Verdict::Deny(error) => Err(*error),
            Verdict::Continue | Verdict::Respond(_) => Ok(message),
        }
    }

    /// `on_text` over each text block of a message.
    fn on_texts(&self, stage: &Stage, message: Document) -> Result<(Document, Outcome)> {
        let mut message = message;
        let mut outcome = Outcome::default();
        let Some((script, call)) = stage.script(&self.ctx, &self.state) else {
            return Ok((message, outcome));
        };
        let blocks = message.len(&[Step::Key("content")])?.unwrap_or_default();
        for n in 0..blocks as i64 {
            let [content, block] = [Step::Key("content"), Step::Index(n)];
            let kind = message.get(&[content, block, Step::Key("type")])?;
            let text = message.get(&[content, block, Step::Key("text")])?;
            let (Some(b"\"text\""), Some(text)) = (kind.as_deref(), text) else { continue };
            let text: String = serde_json::from_slice(&text).map_err(|_| unreadable())?;
            let (changed, decision, asked) = script.on_text(&call, &text)?;
            outcome.wishes.extend(asked.wishes);
            if let Decision::Deny(error) = decision {
                outcome.verdict = Verdict::Deny(error);
                break;
            }
            if let Some(changed) = changed {
                message.set_value(&[content, block, Step::Key("text")], &changed)?;
            }
        }
        Ok((message, outcome))
    }

    /// `on_error`: stages may reword what the caller reads. A stage that breaks here changes nothing:
    /// the error that it was about is worth more.
    pub fn on_error(&self, error: Error) -> Error {
        if !self.pipeline.hooks.has(Hook::Error) {
            return error;
        }
        let mut error = error;
        for stage in self.stages(Hook::Error) {
            let Some((script, call)) = stage.script(&self.ctx, &self.state) else { continue };
            let told = told(&error);
            let work = || {
                let shown = json!({
                    "status": error.status().as_u16(),
                    "type": error.kind.as_str(),
                    "message": told,
                });
                let document = Document::parse(shown.to_string().into())?;
                let done = script.run(Hook::Error, &call, document)?;
                self.keep(done.asked.wishes);
                let text = done.document.field("message").unwrap_or_default();
                Ok(serde_json::from_slice::<String>(&text).ok())
            };
            let reworded = stage.guard_now(Hook::Error, &self.ctx, Some(None), work);
            if let Ok(Some(message)) = reworded
                && message != told
            {
                reword(&mut error, message);
            }
        }
        error
    }
}

/// A hook of a stage.
#[derive(Clone, Copy)]
struct At<'a> {
    stage: &'a Stage,
    hook: Hook,
}

/// What the caller would read.
fn told(error: &Error) -> String {
    #[derive(serde::Deserialize)]
    struct Inner {
        message: String,
    }
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: Inner,
    }
    let answer = error.answer().map(|answer| answer.body());
    let envelope = answer.and_then(|body| serde_json::from_slice::<Envelope>(body).ok());
    envelope.map_or_else(|| error.message.clone(), |envelope| envelope.error.message)
}

/// In the upstream's own answer too, whose other bytes stay as they are.
fn reword(error: &mut Error, message: String) {
    if let Some(answer) = error.answer_mut() {
        let path = [Step::Key("error"), Step::Key("message")];
        let edited = Document::parse(answer.body().clone()).and_then(|mut body| {
            body.set_value(&path, &message)?;
            Ok(body.to_bytes())
        });
        if let Ok(body) = edited {
            *answer.body_mut() = body;
        }
    }
    error.message = message;
}

/// What a stage leaves must still be a request; that it is not is the stage's fault.
pub(super) fn still_a_request(
    stage: &Stage,
    edited: (Document, &Outcome),
    read: Read,
) -> Result<MessagesRequest> {
    let (document, outcome) = edited;
    read.with(document).map_err(|e| {
        let name = stage.name();
        let removed = outcome
            .removed
            .iter()
            .rev()
            .find(|(field, _)| e.message.starts_with(&format!("`{field}` is missing")));
        let removed = removed.map_or(String::new(), |(_, place)| format!(" (removed at {place})"));
        let message =
            format!("stage `{name}` left a request that cannot be sent: {}{removed}", e.message);
        Error::new(ErrorKind::Api, message)
    })
}

/// What a stage leaves, for the model that it wants.
fn routed_by(
    stage: &Stage,
    document: Document,
    outcome: Outcome,
    read: Read,
) -> Result<(Option<MessagesRequest>, Outcome)> {
    let mut left = left_by(stage, (document, &outcome), read)?;
    if let (Some(request), Some(model)) = (&mut left, &outcome.route) {
        request.set_model(model)?;
    }
    Ok((left, outcome))
}

/// What a stage leaves; nothing where it refuses, and has made no request of it before.
fn left_by(
    stage: &Stage,
    (document, outcome): (Document, &Outcome),
    read: Read,
) -> Result<Option<MessagesRequest>> {
    match (still_a_request(stage, (document, outcome), read), &outcome.verdict) {
        (Err(_), Verdict::Deny(_)) => Ok(None),
        (left, _) => left.map(Some),
    }
}

/// A plugin decides freely; some of it has no meaning once a target is chosen.
fn refuse_ends(stage: &Stage, hook: Hook, outcome: &Outcome) -> Result<()> {
    let wrong = match (&outcome.route, &outcome.verdict) {
        (Some(_), _) => "routes",
        (None, Verdict::Respond(_)) => "answers",
        _ => return Ok(()),
    };
    let (name, hook) = (stage.name(), hook.as_str());
    let message = format!("stage `{name}` {wrong} in `{hook}`: that works in `on_request` only");
    Err(Error::new(ErrorKind::Api, message))
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passage").field("request_id", &self.ctx.request_id).finish_non_exhaustive()
    }
}
