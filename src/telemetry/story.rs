//! `Story`: collects the record of one exchange while it runs.
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;

use crate::catalogue::cost::Tariff;
use crate::error::{Error, ErrorKind, Origin};
use crate::net::headers;
use crate::telemetry::continuity::Continuity;
use crate::telemetry::ids::id;
use crate::telemetry::metrics::{Metrics, TargetMetrics};
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::record::{Attempt, Operation, PassedOver, Record, StageRun, ToolCall, Why};
use crate::telemetry::recording::Recording;
use crate::telemetry::trace;
use crate::telemetry::traced::{Call, Facts};
use crate::telemetry::traceparent::{Propagation, SpanId, Trace};
use crate::telemetry::tracker::Tracker;
use crate::wire::Spent;

/// The record of a running exchange, and its prompt on the way. All parts of the gateway write to it, each fact once.
#[derive(Debug)]
pub struct Story(Mutex<Record>, Mutex<Option<Box<Tracker>>>, OnceLock<Weak<Recording>>);

impl Default for Story {
    /// Returns an empty record, for hooks that run outside of an exchange.
    fn default() -> Self {
        let record = Record::new("", Instant::now(), Operation::Messages);
        Self(Mutex::new(record), Mutex::default(), OnceLock::new())
    }
}

/// One run of a hook of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// The run ended without failure.
    Done,
    /// The run failed.
    Failed,
}

/// The number of an attempt in its story.
#[derive(Debug, Clone, Copy)]
pub struct AttemptId(usize);

impl Story {
    /// Starts the record of a request.
    pub fn begin(request_id: &str, started: Instant, operation: Operation) -> Arc<Self> {
        let record = Record::new(request_id, started, operation);
        Arc::new(Self(Mutex::new(record), Mutex::default(), OnceLock::new()))
    }

    /// Starts the record of a request that this exchange makes, under its own id.
    pub fn within(&self, started: Instant) -> Arc<Self> {
        let (parent, trace) =
            self.read(|outer| (outer.request_id.clone(), outer.trace.as_ref().map(Trace::within)));
        let story = Self::begin(&request_id(), started, Operation::Messages);
        let mut record = story.0.lock();
        (record.parent, record.trace) = (Some(parent), trace);
        drop(record);
        story
    }

    /// Records the place in a trace, if there is one.
    pub(crate) fn trace_as(&self, trace: Option<Trace>) {
        if trace.is_some() {
            self.0.lock().trace = trace;
        }
    }

    /// Calls `read` with the record.
    pub fn read<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.0.lock())
    }

    /// Records the client's key, before the request is read.
    pub fn identify(&self, key: &str) {
        let mut record = self.0.lock();
        record.key = key.into();
        record.is_identified = true;
    }

    /// Records the session and the user that the client names.
    pub fn belongs(&self, session: Option<&str>, user: Option<&str>) {
        let mut record = self.0.lock();
        record.session = session.map(Into::into);
        record.user = user.map(Into::into);
    }

    /// Records the client's key and the model that the client requested.
    pub fn name(&self, key: &str, model: &str) {
        self.identify(key);
        let mut record = self.0.lock();
        record.model = model.into();
    }

    /// Follows the prompt of the exchange up to its end.
    pub(crate) fn follow(&self, tracker: Tracker) {
        *self.1.lock() = Some(Box::new(tracker));
    }

    /// Calls `note` with the prompt, if it is followed.
    pub(crate) fn prompt(&self, note: impl FnOnce(&mut Tracker)) {
        if let Some(tracker) = &mut *self.1.lock() {
            note(tracker);
        }
    }

    /// Has the parts of the gateway record their edits. The owner of the recording keeps it.
    pub(crate) fn record_in(&self, recording: &Arc<Recording>) {
        // an exchange has one recording
        let _ = self.2.set(Arc::downgrade(recording));
    }

    /// Returns the recording, if the exchange is recorded.
    pub(crate) fn recording(&self) -> Option<Arc<Recording>> {
        self.2.get()?.upgrade()
    }

    /// Adds tags; existing tags do not change.
    pub fn tag(&self, tags: &BTreeMap<String, String>) {
        if tags.is_empty() {
            return;
        }
        let mut record = self.0.lock();
        for (name, value) in tags {
            record.tags.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Records that the client requests `x-tidegate-trace`.
    pub fn wants_trace(&self) {
        self.0.lock().is_traced = true;
    }

    /// Adds tags set by a policy.
    pub fn tag_by_policy(&self, tags: BTreeMap<String, String>) {
        if !tags.is_empty() {
            self.0.lock().policy_tags.extend(tags);
        }
    }

    /// Records a run of a hook.
    pub fn stage_ran(&self, stage: &Arc<str>, hook: &'static str, took: Duration, run: Run) {
        let mut record = self.0.lock();
        let begun = record.sampled().map(|_| record.started.elapsed().saturating_sub(took));
        let row = row(&mut record.stages, stage, hook);
        row.begun = row.begun.or(begun);
        row.runs += 1;
        row.took += took;
        row.failed |= run == Run::Failed;
    }

    /// Records that a hook edited its subject.
    pub fn stage_edited(&self, stage: &Arc<str>, hook: &'static str) {
        row(&mut self.0.lock().stages, stage, hook).edited = true;
    }

    /// Records that a hook refused the request or a target.
    pub fn stage_denied(&self, stage: &Arc<str>, hook: &'static str) {
        row(&mut self.0.lock().stages, stage, hook).denied = true;
    }

    /// Records a call of a server tool.
    pub fn tool_called(&self, tool: &str, took: Duration, is_error: bool) {
        let mut record = self.0.lock();
        let turn = record.attempts.last().map_or(0, |attempt| attempt.turn);
        let begun = record.started.elapsed().saturating_sub(took);
        record.tool_calls.push(ToolCall { tool: tool.into(), turn, begun, took, is_error });
    }

    /// Records parts of the request that are not sent to a target.
    pub fn dropped(&self, names: &[String]) {
        let mut record = self.0.lock();
        for name in names {
            if !record.dropped.iter().any(|known| **known == **name) {
                record.dropped.push(name.as_str().into());
            }
        }
    }

    /// Records that a budget sent the request to another alias.
    pub fn rerouted(&self, alias: &str) {
        self.0.lock().rerouted = Some(alias.into());
    }

    /// Records a time for which the request waited.
    pub fn waited(&self, time: Duration) {
        if !time.is_zero() {
            self.0.lock().waited += time;
        }
    }

    /// Records a target that is passed over.
    pub fn passed_over(&self, target: HeaderValue, why: Why) {
        let mut record = self.0.lock();
        let after = record.attempts.len();
        record.passed_over.push(PassedOver { after, target, why });
    }

    /// Returns the number of calls of upstreams.
    pub fn attempts(&self) -> u32 {
        self.0.lock().attempts.len() as u32
    }

    /// Returns the last attempt.
    pub fn last_tried(&self) -> Option<Tried> {
        let record = self.0.lock();
        let last = record.attempts.last()?;
        let attempts = record.attempts.len() as u32;
        Some(Tried { model: last.model.clone(), target: last.target.clone(), attempts })
    }

    /// Starts an attempt.
    pub fn attempt(&self, to: AttemptStart<'_>) -> AttemptId {
        let mut record = self.0.lock();
        let begun = record.started.elapsed();
        record.attempts.push(Attempt {
            turn: to.turn,
            model: to.model.into(),
            target: to.target,
            metrics: to.metrics.cloned(),
            outcome: None,
            status: None,
            error: None,
            upstream_id: None,
            begun,
            first_event: None,
            duration: None,
            spent: Spent::default(),
            is_settled: false,
            given_up: None,
            relayed: 0,
            tariff: to.tariff,
            cost: None,
            is_stream: false,
            call: None,
        });
        AttemptId(record.attempts.len() - 1)
    }

    /// Records the first event of an attempt, or its whole response. On a forwarded route the response may be
    /// an error.
    pub fn attempt_answered(&self, id: AttemptId, status: StatusCode, headers: &HeaderMap) {
        let outcome = match status.as_u16() {
            408 | 504 => AttemptOutcome::TimedOut,
            500.. => AttemptOutcome::Failed,
            400.. => AttemptOutcome::Refused,
            _ => AttemptOutcome::Success,
        };
        self.attempt_over(id, Some(outcome), |attempt, took| {
            attempt.status = Some(status.as_u16());
            attempt.upstream_id = upstream_id(headers);
            attempt.first_event = Some(took);
        });
        self.prompt_answered(id);
    }

    /// Compares the prompt that an upstream answered. Without a breakpoint the prompt is not followed any further.
    fn prompt_answered(&self, id: AttemptId) {
        let mut followed = self.1.lock();
        let Some(tracker) = &mut *followed else { return };
        let mut record = self.0.lock();
        let record = &mut *record;
        let target = &record.attempts[id.0].target;
        let Some(answered) = tracker.answered(target, record.rerouted.as_deref()) else {
            *followed = None;
            return;
        };
        match &mut record.continuity {
            Some(continuity) => continuity.follow(answered.own, id.0),
            first => *first = Some(Continuity::new(answered, id.0)),
        }
    }

    /// Records that the answer of an attempt is a stream.
    pub fn attempt_streams(&self, id: AttemptId) {
        self.0.lock().attempts[id.0].is_stream = true;
    }

    /// Records the failure of an attempt before its first event.
    pub fn attempt_failed(&self, id: AttemptId, error: &Error) {
        self.attempt_over(id, outcome(error), |attempt, took| {
            attempt.status = Some(error.status().as_u16());
            attempt.error = Some(error.kind.as_str());
            attempt.upstream_id = error.answer().and_then(|answer| upstream_id(answer.headers()));
            attempt.duration = Some(took);
        });
    }

    fn attempt_over(
        &self,
        id: AttemptId,
        outcome: Option<AttemptOutcome>,
        note: impl FnOnce(&mut Attempt, Duration),
    ) {
        let mut record = self.0.lock();
        let now = record.started.elapsed();
        let attempt = &mut record.attempts[id.0];
        attempt.outcome = outcome;
        let begun = attempt.begun;
        note(attempt, now.saturating_sub(begun));
        if let (Some(metrics), Some(outcome)) = (&attempt.metrics, outcome) {
            metrics.attempted(outcome);
        }
    }

    /// Records the failure of an attempt after its first event, which counted as a success.
    pub fn attempt_broke(&self, id: AttemptId, error: &Error) {
        let mut record = self.0.lock();
        let now = record.started.elapsed();
        let attempt = &mut record.attempts[id.0];
        attempt.error = Some(error.kind.as_str());
        attempt.duration.get_or_insert(now.saturating_sub(attempt.begun));
    }

    /// Records the tokens that an upstream reports. A later report of a counter overwrites an earlier one.
    pub fn attempt_used(&self, id: AttemptId, read: impl FnOnce(&mut Spent)) {
        read(&mut self.0.lock().attempts[id.0].spent);
    }

    /// Puts an attempt into the trace. Returns the headers for its upstream; `None` without a trace. `facts` reads the
    /// request, if the spans are exported.
    pub(crate) fn attempt_traced(
        &self,
        id: AttemptId,
        facts: impl FnOnce() -> Facts,
    ) -> Option<Propagation> {
        let mut record = self.0.lock();
        let span = SpanId::random();
        let propagation = record.trace.as_ref()?.propagation(span);
        let call = record.sampled().map(|_| Box::new(Call::new(span, facts())));
        record.attempts[id.0].call = call;
        Some(propagation)
    }

    /// Records the facts of an upstream's report: of a whole message, or of one event of its stream.
    pub(crate) fn attempt_reported(&self, id: AttemptId, data: &[u8]) {
        if let Some(call) = &mut self.0.lock().attempts[id.0].call {
            call.answered(data);
        }
    }

    /// Records that the upstream's last report of tokens came.
    pub fn attempt_settled(&self, id: AttemptId) {
        self.0.lock().attempts[id.0].is_settled = true;
    }

    /// Records that the gateway gave up a call because of the client, with the estimated tokens of the prompt.
    pub fn attempt_given_up(&self, id: AttemptId, prompt: u64) {
        self.0.lock().attempts[id.0].given_up = Some(prompt);
    }

    /// Records text that an upstream sent in a stream.
    pub fn attempt_relayed(&self, id: AttemptId, bytes: usize) {
        self.0.lock().attempts[id.0].relayed += bytes;
    }

    /// Records the end of an attempt's response.
    pub fn attempt_ended(&self, id: AttemptId) {
        let mut record = self.0.lock();
        let now = record.started.elapsed();
        let attempt = &mut record.attempts[id.0];
        attempt.duration.get_or_insert(now.saturating_sub(attempt.begun));
    }

    /// Records the status that the client receives.
    pub fn answered(&self, status: u16) {
        self.0.lock().status = status;
    }

    /// Records the error that the client receives.
    pub fn refused(&self, error: &Error) {
        let mut record = self.0.lock();
        record.status = error.status().as_u16();
        record.error = Some(error.kind.as_str());
    }

    /// Records that the response is a stream of events.
    pub fn streams(&self) {
        self.0.lock().is_stream = true;
    }

    /// Records the first event that the client receives.
    pub fn first_event(&self) {
        let mut record = self.0.lock();
        let now = record.started.elapsed();
        record.first_event.get_or_insert(now);
    }

    /// Ends the record, adds it to the metrics and writes its line to the log.
    pub fn end(&self, ending: Ending, metrics: &Metrics) {
        *self.1.lock() = None;
        let mut record = self.0.lock();
        record.duration = record.started.elapsed();
        record.ending = ending;
        let now = record.duration;
        for attempt in &mut record.attempts {
            attempt.duration.get_or_insert(now.saturating_sub(attempt.begun));
        }
        record.settle();
        record.report(metrics);
    }

    /// Returns the value of `x-tidegate-trace`, if the client requests it.
    pub fn trace(&self) -> Option<HeaderValue> {
        let record = self.0.lock();
        record.is_traced.then(|| trace::header(&record, record.started.elapsed()))
    }
}

/// The target of an attempt.
#[derive(Debug)]
pub struct AttemptStart<'a> {
    /// The turn of the tool loop, counted from 1.
    pub turn: u32,
    /// The model's name that was looked up in the config.
    pub model: &'a str,
    /// `<provider>/<model>`
    pub target: HeaderValue,
    /// The target's counters.
    pub metrics: Option<&'a Arc<TargetMetrics>>,
    /// The target's rates; `None` on a forwarded route.
    pub(crate) tariff: Option<Arc<Tariff>>,
}

/// The last attempt of an exchange.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The model's name that was looked up in the config.
    pub model: Box<str>,
    /// `<provider>/<model>`
    pub target: HeaderValue,
    /// The number of calls of upstreams.
    pub attempts: u32,
}

/// Returns a new id: `req_` and 24 characters.
pub(crate) fn request_id() -> String {
    id("req_")
}

/// Returns the id that an upstream gives to a request.
fn upstream_id(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get(headers::REQUEST_ID).and_then(|id| id.to_str().ok()).map(Into::into)
}

fn row<'a>(rows: &'a mut Vec<StageRun>, stage: &Arc<str>, hook: &'static str) -> &'a mut StageRun {
    let found = rows.iter().position(|row| row.hook == hook && Arc::ptr_eq(&row.stage, stage));
    let at = found.unwrap_or_else(|| {
        rows.push(StageRun {
            stage: Arc::clone(stage),
            hook,
            runs: 0,
            took: Duration::ZERO,
            edited: false,
            failed: false,
            denied: false,
            begun: None,
        });
        rows.len() - 1
    });
    &mut rows[at]
}

/// Returns the outcome that a failed attempt counts as; `None` if the client is at fault.
fn outcome(error: &Error) -> Option<AttemptOutcome> {
    let status = error.upstream().and_then(|upstream| upstream.status);
    match (error.kind, status) {
        (ErrorKind::Timeout, _) => Some(AttemptOutcome::TimedOut),
        _ if matches!(error.origin, Origin::Caller) => None,
        (_, Some(status)) if !status.is_server_error() => Some(AttemptOutcome::Refused),
        _ => Some(AttemptOutcome::Failed),
    }
}
