//! `Record`: everything that is known of one exchange. Metrics, the log, the trace header and policies read it.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::telemetry::logs::one_line;
use crate::telemetry::metrics::{AttemptOutcome, Metrics, TargetMetrics};
use crate::wire::Usage;

/// The status in the record of a caller that left before an answer, as nginx and others note it.
const CALLER_LEFT: u16 = 499;

/// One exchange; no body, no credential.
#[derive(Debug, Clone)]
pub struct Record {
    /// `req_…`
    pub request_id: Box<str>,
    /// The request that made this one: a plugin's model call has one.
    pub parent: Option<Box<str>>,
    /// When the head of the request had been read.
    pub started: Instant,
    /// The kind of exchange.
    pub operation: Operation,
    /// The name of the caller's key; empty until the caller is known.
    pub key: Box<str>,
    /// The model that the caller asked for; empty until the body has been read.
    pub model: Box<str>,
    /// Tags of the key and of the request.
    pub tags: BTreeMap<String, String>,
    /// Tags that policies set; they are labels of metrics, which a caller may not choose.
    pub policy_tags: BTreeMap<String, String>,
    /// The stages that ran, each hook of a stage once, in the order in which they ran first.
    pub stages: Vec<StageRun>,
    /// Every call of an upstream, in order.
    pub attempts: Vec<Attempt>,
    /// Targets that were passed over.
    pub passed_over: Vec<PassedOver>,
    /// Calls of server tools, in the order in which they ended.
    pub tool_calls: Vec<ToolCall>,
    /// Parts of the request that a target did not get.
    pub dropped: Vec<Box<str>>,
    /// The status that the caller received.
    pub status: u16,
    /// From the head of the request to the first event, where the answer streamed.
    pub first_event: Option<Duration>,
    /// From the head of the request to the last byte of the answer.
    pub duration: Duration,
    /// The answer was a stream of events.
    pub is_stream: bool,
    /// The caller wants `x-tidegate-trace`.
    pub is_traced: bool,
    /// How the exchange ended.
    pub ending: Ending,
}

/// The kind of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
    /// A route that is only forwarded: its method and path, and the provider.
    Forward {
        /// `GET /v1/files`
        route: Box<str>,
        /// The provider's name in the config; empty if there is none.
        provider: Box<str>,
    },
}

/// All runs of one hook of one stage.
#[derive(Debug, Clone)]
pub struct StageRun {
    /// The stage's name.
    pub stage: Arc<str>,
    /// `on_request`
    pub hook: &'static str,
    /// How often the hook ran: `on_event` runs for each event.
    pub runs: u32,
    /// The time of all runs together.
    pub took: Duration,
    /// Some run edited its subject.
    pub edited: bool,
    /// Some run failed.
    pub failed: bool,
    /// The stage refused the request, or a target.
    pub denied: bool,
}

/// One call of an upstream.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The turn of the tool loop, counted from 1.
    pub turn: u32,
    /// The model's name, as it was looked up in the config.
    pub model: Box<str>,
    /// `<provider>/<model>`
    pub target: HeaderValue,
    /// The target's counters; none on a route that is only forwarded.
    pub metrics: Option<Arc<TargetMetrics>>,
    /// How it went; `None` while the upstream works, or if the caller left meanwhile.
    pub outcome: Option<AttemptOutcome>,
    /// The upstream's status, or the gateway's own where the upstream gave none.
    pub status: Option<u16>,
    /// The `error.type` of a failure.
    pub error: Option<&'static str>,
    /// From the head of the request to the begin of this attempt.
    pub begun: Duration,
    /// From the begin of the attempt to its first event, or to its whole answer.
    pub first_event: Option<Duration>,
    /// From the begin of the attempt to its end.
    pub duration: Option<Duration>,
    /// The tokens that the upstream reported.
    pub usage: Usage,
}

/// A target that was not called.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// How many attempts there had been before.
    pub after: usize,
    /// `<provider>/<model>`
    pub target: HeaderValue,
    /// The reason.
    pub why: Why,
}

/// Why a target was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It failed a moment ago.
    Cooling,
    /// The stage of this name refused it.
    Stage(Arc<str>),
}

impl Why {
    /// Returns the word of the trace header.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cooling => "cooling",
            Self::Stage(stage) => stage,
        }
    }
}

/// One call of a server tool.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The tool's name after `gateway:`.
    pub tool: Box<str>,
    /// The turn of the tool loop, counted from 1.
    pub turn: u32,
    /// How long it took.
    pub took: Duration,
    /// The result is an error that the model reads.
    pub is_error: bool,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The caller received all of it, an error answer included.
    Whole,
    /// The caller left before the end.
    CallerLeft,
    /// The upstream broke off after the first event.
    Broken,
}

impl Ending {
    /// Returns the name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::CallerLeft => "caller_left",
            Self::Broken => "broken",
        }
    }
}

impl Record {
    /// Begins a record.
    pub(super) fn new(request_id: &str, started: Instant, operation: Operation) -> Self {
        Self {
            request_id: request_id.into(),
            parent: None,
            started,
            operation,
            key: Box::default(),
            model: Box::default(),
            tags: BTreeMap::new(),
            policy_tags: BTreeMap::new(),
            stages: Vec::new(),
            attempts: Vec::new(),
            passed_over: Vec::new(),
            tool_calls: Vec::new(),
            dropped: Vec::new(),
            status: CALLER_LEFT,
            first_event: None,
            duration: Duration::ZERO,
            is_stream: false,
            is_traced: false,
            ending: Ending::CallerLeft,
        }
    }

    /// Returns the tokens of all attempts.
    pub fn usage(&self) -> Usage {
        self.attempts.iter().fold(Usage::default(), |sum, attempt| sum.plus(attempt.usage))
    }

    /// Returns the tokens of each turn.
    pub fn turns(&self) -> Vec<Usage> {
        let mut turns = Vec::new();
        for attempt in &self.attempts {
            let at = (attempt.turn.max(1) - 1) as usize;
            if turns.len() <= at {
                turns.resize(at + 1, Usage::default());
            }
            turns[at] = turns[at].plus(attempt.usage);
        }
        turns
    }

    /// Returns the stages that edited the request, each once, in the order of their first edit.
    pub fn editors(&self) -> Vec<&Arc<str>> {
        let mut editors: Vec<&Arc<str>> = Vec::new();
        let of_request = |run: &&StageRun| {
            run.edited && matches!(run.hook, "on_request" | "on_upstream_request")
        };
        for run in self.stages.iter().filter(of_request) {
            if !editors.contains(&&run.stage) {
                editors.push(&run.stage);
            }
        }
        editors
    }

    /// Adds the finished exchange to the metrics and writes its line to the log.
    pub fn report(&self, metrics: &Metrics) {
        match &self.operation {
            Operation::Forward { provider, .. } => {
                metrics.forwarded(provider, self.status, self.ending);
                let outcomes = self.attempts.iter().filter_map(|attempt| attempt.outcome);
                outcomes.for_each(|outcome| metrics.attempted(provider, outcome));
            }
            Operation::Messages | Operation::CountTokens => self.observe(metrics),
        }
        self.log();
    }

    /// An exchange counts under its last target, its tokens under the targets that used them.
    fn observe(&self, metrics: &Metrics) {
        match self.attempts.last().and_then(|attempt| attempt.metrics.as_ref()) {
            Some(target) => target.observe(self),
            None => metrics.target("", "", "").observe(self),
        }
        for (n, attempt) in self.attempts.iter().enumerate() {
            let Some(target) = &attempt.metrics else { continue };
            let is_of = |other: &&Attempt| {
                other.metrics.as_ref().is_some_and(|own| Arc::ptr_eq(own, target))
            };
            if self.attempts[..n].iter().any(|earlier| is_of(&earlier)) {
                continue;
            }
            let own = self.attempts[n..].iter().filter(is_of);
            target.used(own.fold(Usage::default(), |sum, own| sum.plus(own.usage)));
        }
        if !self.policy_tags.is_empty() {
            metrics.policies().tagged(&self.policy_tags, &self.usage());
        }
    }

    fn log(&self) {
        let route = match &self.operation {
            Operation::Messages | Operation::CountTokens => None,
            Operation::Forward { route, .. } => Some(&**route),
        };
        let usage = self.usage();
        let upstream = self.attempts.last().and_then(|attempt| attempt.target.to_str().ok());
        let tags = || self.tags.iter().chain(&self.policy_tags).collect::<BTreeMap<_, _>>();
        tracing::debug!(
            request_id = &*self.request_id,
            parent = self.parent.as_deref(),
            route,
            key = &*self.key,
            model = &*one_line(&self.model),
            upstream,
            tags = ?tags(),
            status = self.status,
            ending = self.ending.as_str(),
            millis = self.duration.as_millis() as u64,
            input_tokens = usage.input,
            output_tokens = usage.output,
            attempts = self.attempts.len(),
            turns = self.attempts.last().map_or(0, |attempt| attempt.turn),
            tool_calls = self.tool_calls.len(),
            "exchange over"
        );
    }
}
