//! Runs a case: `on_request` over its request, then the hook that it is about.
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind};
use crate::net::headers;
use crate::policy::cases::case::Case;
use crate::policy::cases::ran::{End, Output, Ran};
use crate::policy::cases::stream;
use crate::policy::cases::subject::Subject;
use crate::policy::script::answer::Content;
use crate::policy::script::{Call, Decision, Script};
use crate::policy::{Hook, Outcome, Passage, Pipeline, Verdict};
use crate::telemetry::metrics::Metrics;
use crate::wire::{Document, Reply, ReplyBody};

/// What one hook came to.
struct Step {
    before: Output,
    after: Output,
    end: End,
    route: Option<String>,
}

impl Step {
    fn json(before: Bytes, document: &Document, end: End) -> Self {
        let after = Output::Json(document.to_bytes());
        Self { before: Output::Json(before), after, end, route: None }
    }
}

impl Case {
    /// Runs it. Fails if the script breaks in `on_request`, or the case cannot be run.
    pub(super) fn run(&self, script: &Script) -> Result<Ran, Error> {
        let clock = self.ctx.clock().map_err(|fault| Error::invalid(fault.message))?;
        let script = &script.at(clock);
        let document = Document::parse(self.body())?;
        let ctx = Arc::new(self.ctx.context(&document)?);
        let with = script.with(&self.ctx.with).map_err(|problems| {
            let said: Vec<String> = problems
                .iter()
                .map(|problem| format!("`with{}` {}", problem.path, problem.message))
                .collect();
            Error::invalid(said.join("; "))
        })?;
        let pipeline = Arc::new(Pipeline::of(script, with.clone(), &Metrics::new()));
        let passage = Passage::new(&pipeline, &ctx);
        let call = Call { context: &ctx, with: &with, state: &passage.state };
        let hooks = Hooked { script, call: &call, passage: &passage };
        let subject = self.subject();
        let mut step = hooks.request(document)?;
        if !matches!(subject, Subject::Request) {
            step = match step.end {
                End::GoesOn => hooks
                    .subject(&subject, &step.after)
                    .unwrap_or_else(|error| Step { end: End::of(error), ..step }),
                end => Step { end: End::Early(Box::new(end)), ..step },
            };
        }
        let mut wishes = passage.wishes().clone();
        wishes.tags = ctx.story.read(|record| record.policy_tags.clone());
        let (mut to_upstream, mut response_headers) =
            (headers::for_attempt(&ctx.headers), HeaderMap::new());
        wishes.upstream_headers.apply(&mut to_upstream);
        wishes.response_headers.apply(&mut response_headers);
        let Step { before, after, end, route } = step;
        let subject = subject.name();
        let headers = to_upstream;
        Ok(Ran { subject, before, after, end, route, wishes, headers, response_headers })
    }
}

/// The hooks of a script, called as a pipeline with nothing else would.
struct Hooked<'a> {
    script: &'a Script,
    call: &'a Call<'a>,
    passage: &'a Arc<Passage>,
}

impl Hooked<'_> {
    fn request(&self, document: Document) -> Result<Step, Error> {
        let before = document.to_bytes();
        if !self.script.hooks().has(Hook::Request) {
            return Ok(Step::json(before, &document, End::GoesOn));
        }
        let (document, outcome) = self.script.on_request(self.call, document)?;
        Ok(self.over_request(before, &document, outcome))
    }

    fn over_request(&self, before: Bytes, document: &Document, outcome: Outcome) -> Step {
        self.passage.keep(outcome.wishes);
        let end = match outcome.verdict {
            Verdict::Continue => End::GoesOn,
            Verdict::Deny(error) => End::Denied(*error),
            Verdict::Respond(reply) => End::Answered(match reply.body {
                ReplyBody::Full(message) => serde_json::from_slice(&message).unwrap_or_default(),
                ReplyBody::Events(_) => Value::Null,
            }),
        };
        Step { route: outcome.route, ..Step::json(before, document, end) }
    }

    fn subject(&self, subject: &Subject<'_>, request: &Output) -> Result<Step, Error> {
        let Output::Json(request) = request else { return Err(unusable("request")) };
        match subject {
            Subject::Request => Err(unusable("request")),
            Subject::Upstream(target) => self.upstream(target, request.clone()),
            Subject::Response(message) => self.response(message),
            Subject::Stream(events) => self.stream(events),
            Subject::ToolCall(call) => {
                let usual = json!({"tool": "", "id": "toolu_case", "input": {}, "options": {}});
                self.document(Hook::ToolCall, usual, call)
            }
            Subject::ToolResult(result) => {
                let usual = json!({"tool": "", "id": "toolu_case", "input": {}, "content": [], "is_error": false});
                self.document(Hook::ToolResult, usual, result)
            }
            Subject::Error(error) => {
                let usual = json!({"status": 500, "type": "api_error", "message": ""});
                self.document(Hook::Error, usual, error)
            }
        }
    }

    fn upstream(&self, target: &Map<String, Value>, request: Bytes) -> Result<Step, Error> {
        let document = Document::parse(request.clone())?;
        if !self.script.hooks().has(Hook::UpstreamRequest) {
            return Ok(Step::json(request, &document, End::GoesOn));
        }
        let usual = json!({
            "provider": "", "model": "", "unsupported": [], "strictness": "warn", "native": true,
            "number": 1,
        });
        let target = filled(usual, target);
        let (document, outcome) = self.script.on_upstream_request(self.call, document, &target)?;
        Ok(self.over_request(request, &document, outcome))
    }

    /// A hook over a document that has no verdicts of its own.
    fn document(
        &self,
        hook: Hook,
        usual: Value,
        given: &Map<String, Value>,
    ) -> Result<Step, Error> {
        let mut value = filled(usual, given);
        // a result's content may be written as a text
        if let Some(text) = value["content"].as_str() {
            value["content"] = json!([{"type": "text", "text": text}]);
        }
        let before = Bytes::from(value.to_string());
        let document = Document::parse(before.clone())?;
        if !self.script.hooks().has(hook) {
            return Ok(Step::json(before, &document, End::GoesOn));
        }
        let done = self.script.run(hook, self.call, document)?;
        self.passage.keep(done.asked.wishes);
        let end = match done.decision {
            Decision::Continue | Decision::Drop => End::GoesOn,
            Decision::Deny(error) => End::Denied(*error),
            Decision::Respond(content) => {
                let content = content.into_tool_result();
                End::Answered(serde_json::from_str(&content).unwrap_or_default())
            }
        };
        Ok(Step::json(before, &done.document, end))
    }

    fn response(&self, message: &Value) -> Result<Step, Error> {
        let content = match message {
            Value::String(text) => Content::Text(text.clone()),
            message => Content::message(message.clone())
                .map_err(|told| Error::invalid(told.replace("`respond`", "`response`")))?,
        };
        let message = content.into_json("claude-x");
        let (after, failure) = self.answered(ReplyBody::Full(message.clone()))?;
        Ok(Step {
            before: Output::Json(message.clone()),
            after: after.unwrap_or(Output::Json(message)),
            end: failure.map_or(End::GoesOn, End::of),
            route: None,
        })
    }

    fn stream(&self, events: &Value) -> Result<Step, Error> {
        let events = stream::events(events).map_err(Error::invalid)?;
        let body = futures_util::stream::iter(events.clone().into_iter().map(Ok)).boxed();
        let (after, failure) = self.answered(ReplyBody::Events(body))?;
        Ok(Step {
            before: Output::Stream(events),
            after: after.unwrap_or(Output::Stream(Vec::new())),
            end: failure.map_or(End::GoesOn, End::of),
            route: None,
        })
    }

    /// What arrives of an answer, and the error that ends it.
    fn answered(&self, body: ReplyBody) -> Result<(Option<Output>, Option<Error>), Error> {
        let reply = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|e| Error::new(ErrorKind::Api, e.to_string()))?;
        Ok(runtime.block_on(async {
            match self.passage.on_reply(reply).await {
                Ok(reply) => arrived(reply.body).await,
                Err(error) => (None, Some(self.passage.on_error(error))),
            }
        }))
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

/// What a case leaves out is as usual.
fn filled(usual: Value, given: &Map<String, Value>) -> Value {
    let mut value = usual;
    for (key, given) in given {
        value[key] = given.clone();
    }
    value
}

fn unusable(what: &str) -> Error {
    Error::invalid(format!("the case's `{what}` cannot be run"))
}
