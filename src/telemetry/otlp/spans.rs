//! The spans of an exchange, made from its record: one for the exchange, and children for stages, attempts and tools.
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::telemetry::otlp::messages::{Attributes, Kind, Span, Status, StatusCode, Value};
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::record::{Attempt, Operation, Record, StageRun, ToolCall};
use crate::telemetry::traced::{Call, bounded};
use crate::telemetry::traceparent::{Parent, SpanId, Trace};

/// The most tags and names of a list on a span.
const MAX_LISTED: usize = 64;
/// The flag that says that the next one is known.
const KNOWS_REMOTE: u32 = 0x100;
/// The flag of a span whose parent is in another process.
const IS_REMOTE: u32 = 0x200;

/// Returns the number of spans of an exchange.
pub(super) fn number(record: &Record) -> u64 {
    (1 + record.stages.len() + record.attempts.len() + record.tool_calls.len()) as u64
}

/// Returns the spans of an exchange that ended at this time; none if it is not sampled.
pub(super) fn of(record: &Record, ended: SystemTime) -> Vec<Span> {
    let Some(trace) = record.sampled() else { return Vec::new() };
    let started = ended.checked_sub(record.duration).unwrap_or(ended);
    let view = View { record, trace, started };
    let mut all = vec![view.exchange()];
    all.extend(record.stages.iter().map(|run| view.stage(run)));
    let attempts = record.attempts.iter();
    all.extend(attempts.filter_map(|attempt| Some(view.attempt(attempt, attempt.call.as_ref()?))));
    all.extend(record.tool_calls.iter().map(|call| view.tool(call)));
    all
}

/// An exchange in its trace.
struct View<'a> {
    record: &'a Record,
    trace: &'a Trace,
    started: SystemTime,
}

/// The time of a span, from the head of the request on.
#[derive(Clone, Copy)]
struct Period {
    begun: Duration,
    took: Duration,
}

impl View<'_> {
    fn exchange(&self) -> Span {
        let Self { record, trace, .. } = self;
        let operation = operation(record);
        let (kind, parent, is_remote) = match trace.parent {
            Some(Parent::Remote(parent)) => (Kind::Server, Some(parent), IS_REMOTE),
            Some(Parent::Exchange(parent)) => (Kind::Internal, Some(parent), 0),
            None => (Kind::Server, None, 0),
        };
        let name = match operation {
            Some(operation) => named(operation, &record.model),
            None => self.method().to_owned(),
        };
        let is_error = record.status >= 500 || record.ending == Ending::Broken;
        Span {
            span_id: trace.span.bytes(),
            parent_span_id: parent.map(SpanId::bytes).unwrap_or_default(),
            trace_state: trace.state.to_string(),
            kind: kind.into(),
            attributes: self.exchange_attributes().into_vec(),
            status: is_error.then(error),
            flags: u32::from(trace.flags()) | KNOWS_REMOTE | is_remote,
            ..self.span(name, Period { begun: Duration::ZERO, took: record.duration })
        }
    }

    fn exchange_attributes(&self) -> Attributes {
        let record = self.record;
        let cost = record.cost.unwrap_or_default();
        let mut all = Attributes::default()
            .text("http.request.method", self.method())
            .text("http.route", self.route())
            .text("url.path", self.path())
            .int("http.response.status_code", record.status)
            .text("gen_ai.operation.name", operation(record).unwrap_or_default())
            .text("gen_ai.request.model", &record.model)
            .text("gen_ai.conversation.id", record.session.as_deref().unwrap_or_default())
            .text("error.type", &self.error_type())
            .text("tidegate.request_id", &record.request_id)
            .text("tidegate.parent_request_id", record.parent.as_deref().unwrap_or_default())
            .text("tidegate.key", &record.key)
            .text("tidegate.ending", record.ending.as_str())
            .with("tidegate.stream", Value::Bool(record.is_stream))
            .int("tidegate.attempts", record.attempts.len())
            .int("tidegate.turns", record.attempts.last().map_or(0, |last| last.turn))
            .double("tidegate.time_to_first_event", record.first_event.map(|t| t.as_secs_f64()))
            .double("tidegate.cost_usd", Some(cost.nano_dollars as f64 / 1e9))
            .int("tidegate.unpriced_tokens", cost.unpriced)
            .with("tidegate.cost_estimated", Value::Bool(cost.is_estimated))
            .text("tidegate.rerouted_to", record.rerouted.as_deref().unwrap_or_default())
            .list("tidegate.dropped", record.dropped.iter().map(|name| &**name).take(MAX_LISTED))
            .list("tidegate.edited_by", record.editors().into_iter().map(|name| &**name));
        let passed_over = record.passed_over.iter().take(MAX_LISTED).map(|over| {
            let target = over.target.to_str().unwrap_or_default();
            format!("{target}: {}", over.why.as_str())
        });
        let passed_over: Vec<String> = passed_over.collect();
        all = all.list("tidegate.passed_over", passed_over.iter().map(String::as_str));
        // a policy's tag comes before one of the same name
        let others = record.tags.iter().filter(|(name, _)| !record.policy_tags.contains_key(*name));
        let tags = record.policy_tags.iter().chain(others).take(MAX_LISTED);
        tags.fold(all, |all, (name, value)| {
            all.text(format!("tidegate.tag.{}", bounded(name)), value)
        })
    }

    fn attempt(&self, attempt: &Attempt, call: &Call) -> Span {
        let facts = &call.facts;
        let period =
            Period { begun: attempt.begun, took: attempt.duration.unwrap_or(self.record.duration) };
        let is_error = attempt.error.is_some()
            || attempt.outcome.is_some_and(|outcome| outcome != AttemptOutcome::Success);
        let name = match operation(self.record) {
            Some(operation) => named(operation, &facts.model),
            None => self.method().to_owned(),
        };
        Span {
            span_id: call.span.bytes(),
            kind: Kind::Client.into(),
            attributes: self.attempt_attributes(attempt, call).into_vec(),
            status: is_error.then(error),
            ..self.span(name, period)
        }
    }

    fn attempt_attributes(&self, attempt: &Attempt, call: &Call) -> Attributes {
        let facts = &call.facts;
        let first =
            attempt.first_event.filter(|_| attempt.is_stream).map(|time| time.as_secs_f64());
        let finish = if attempt.is_broken() {
            Some("error")
        } else {
            attempt.spent.stop.as_deref().map(bounded)
        };
        let mut all = Attributes::default()
            .text("gen_ai.operation.name", operation(self.record).unwrap_or_default())
            .text("gen_ai.provider.name", &facts.provider)
            .text("gen_ai.request.model", &facts.model)
            .double("gen_ai.request.temperature", facts.temperature)
            .double("gen_ai.request.top_p", facts.top_p)
            .text("gen_ai.request.reasoning.level", facts.effort.as_deref().unwrap_or_default())
            .text("gen_ai.response.id", call.id.as_deref().unwrap_or_default())
            .text("gen_ai.response.model", call.model.as_deref().unwrap_or_default())
            .list("gen_ai.response.finish_reasons", finish)
            .double("gen_ai.response.time_to_first_chunk", first)
            .text("error.type", &attempt_error(attempt))
            .text("tidegate.target", attempt.target.to_str().unwrap_or_default())
            .text("tidegate.outcome", attempt.outcome.map_or("", AttemptOutcome::as_str))
            .int("tidegate.turn", attempt.turn);
        if let Some(status) = attempt.status {
            all = all.int("tidegate.status", status);
        }
        let numbers = [
            ("gen_ai.request.max_tokens", facts.max_tokens),
            ("gen_ai.request.top_k", facts.top_k),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                all = all.with(key, Value::Int(number as i64));
            }
        }
        if self.record.operation == Operation::Messages {
            all = all.with("gen_ai.request.stream", Value::Bool(facts.is_stream));
            all = usage(all, attempt);
        }
        all
    }

    /// Returns the span of a hook's runs. Its length is the time of all runs together.
    fn stage(&self, run: &StageRun) -> Span {
        let begun = run.begun.unwrap_or_default();
        let attributes = Attributes::default()
            .text("tidegate.stage", &run.stage)
            .text("tidegate.hook", run.hook)
            .int("tidegate.runs", run.runs)
            .with("tidegate.edited", Value::Bool(run.edited))
            .with("tidegate.failed", Value::Bool(run.failed))
            .with("tidegate.denied", Value::Bool(run.denied));
        Span {
            kind: Kind::Internal.into(),
            attributes: attributes.into_vec(),
            status: run.failed.then(error),
            ..self.span(named("stage", &run.stage), Period { begun, took: run.took })
        }
    }

    fn tool(&self, call: &ToolCall) -> Span {
        let error_type = if call.is_error { "tool_error" } else { "" };
        let attributes = Attributes::default()
            .text("gen_ai.operation.name", "execute_tool")
            .text("gen_ai.tool.name", &call.tool)
            .text("gen_ai.tool.type", "extension")
            .text("error.type", error_type)
            .int("tidegate.turn", call.turn);
        Span {
            kind: Kind::Internal.into(),
            attributes: attributes.into_vec(),
            status: call.is_error.then(error),
            ..self.span(
                named("execute_tool", &call.tool),
                Period { begun: call.begun, took: call.took },
            )
        }
    }

    /// Returns a child of the exchange without attributes.
    fn span(&self, name: String, period: Period) -> Span {
        let begun = self.started + period.begun;
        Span {
            trace_id: self.trace.id.bytes(),
            span_id: SpanId::random().bytes(),
            parent_span_id: self.trace.span.bytes(),
            name,
            start_time_unix_nano: nanos(begun),
            end_time_unix_nano: nanos(begun + period.took),
            flags: u32::from(self.trace.flags()) | KNOWS_REMOTE,
            ..Span::default()
        }
    }

    fn method(&self) -> &str {
        match &self.record.operation {
            Operation::Messages | Operation::CountTokens => "POST",
            Operation::Forward { route, .. } => route.split(' ').next().unwrap_or_default(),
        }
    }

    fn route(&self) -> &'static str {
        match &self.record.operation {
            Operation::Messages => "/v1/messages",
            Operation::CountTokens => "/v1/messages/count_tokens",
            Operation::Forward { .. } => "",
        }
    }

    fn path(&self) -> &str {
        match &self.record.operation {
            Operation::Messages | Operation::CountTokens => self.route(),
            Operation::Forward { route, .. } => route.split_once(' ').map_or("", |(_, path)| path),
        }
    }

    fn error_type(&self) -> Cow<'static, str> {
        let record = self.record;
        let last = record.attempts.last().and_then(|attempt| attempt.error);
        match record.error {
            Some(kind) => kind.into(),
            None if record.ending == Ending::Broken => last.unwrap_or("api_error").into(),
            None if record.status >= 400 => record.status.to_string().into(),
            None => "".into(),
        }
    }
}

/// Adds the tokens by the convention: those of the whole prompt are one number, with cache reads and writes.
fn usage(all: Attributes, attempt: &Attempt) -> Attributes {
    let tokens = attempt.spent.billed();
    if tokens.prompt() == 0 && tokens.output == 0 {
        return all;
    }
    let written = tokens.written();
    all.int("gen_ai.usage.input_tokens", tokens.prompt())
        .int("gen_ai.usage.output_tokens", tokens.output)
        .int("gen_ai.usage.cache_read.input_tokens", tokens.cache_read)
        .int("gen_ai.usage.cache_write.input_tokens", written)
        .int("gen_ai.usage.reasoning.output_tokens", tokens.thinking)
        .int("tidegate.usage.cache_write_1h.input_tokens", tokens.cache_write_1h)
        .with("tidegate.usage.estimated", Value::Bool(attempt.is_cut()))
}

/// Returns the `error.type` of an attempt; empty if it did not fail.
fn attempt_error(attempt: &Attempt) -> Cow<'static, str> {
    match (attempt.error, attempt.outcome, attempt.status) {
        (Some(kind), ..) => kind.into(),
        (None, Some(outcome), Some(status)) if outcome != AttemptOutcome::Success => {
            status.to_string().into()
        }
        _ => "".into(),
    }
}

/// Returns the name of an exchange's operation; `None` on a forwarded route.
fn operation(record: &Record) -> Option<&'static str> {
    match record.operation {
        Operation::Messages => Some("chat"),
        Operation::CountTokens => Some("count_tokens"),
        Operation::Forward { .. } => None,
    }
}

fn named(operation: &str, subject: &str) -> String {
    match subject {
        "" => operation.to_owned(),
        subject => format!("{operation} {}", bounded(subject)),
    }
}

fn error() -> Status {
    Status { message: String::new(), code: StatusCode::Error.into() }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
