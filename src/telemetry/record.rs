//! `Record`: all facts about one exchange. Metrics, the log, the trace header and policies read it.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::catalogue::billing::Amount;
use crate::catalogue::cost::{Charge, Tariff};
use crate::catalogue::price::today;
use crate::telemetry::continuity::Continuity;
use crate::telemetry::inference::Inference;
use crate::telemetry::logs::one_line;
use crate::telemetry::metrics::{Finished, Metrics, TargetMetrics};
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::traced::Call;
use crate::telemetry::traceparent::{Trace, TraceId};
use crate::wire::{Spent, Usage};

/// The recorded status if the client left before a response; nginx and others use the same.
const CALLER_LEFT: u16 = 499;
/// The bytes of a token, where a count never came.
const BYTES_A_TOKEN: usize = 4;

/// One exchange; holds no body and no credential.
#[derive(Debug, Clone)]
pub struct Record {
    /// `req_…`
    pub request_id: Box<str>,
    /// The id of the request that caused this one, such as the request of a plugin's model call.
    pub parent: Option<Box<str>>,
    /// The time at which the head of the request had been read.
    pub started: Instant,
    /// The kind of exchange.
    pub operation: Operation,
    /// The name of the client's key; empty until the client is known.
    pub key: Box<str>,
    /// Whether the client is known. It stays unknown if it sent no valid key.
    pub is_identified: bool,
    /// The session that the client names in a header.
    pub session: Option<Box<str>>,
    /// `metadata.user_id`, if the ledger keeps it.
    pub user: Option<Box<str>>,
    /// The model that the client requested; empty until the body has been read.
    pub model: Box<str>,
    /// Tags of the key and of the request.
    pub tags: BTreeMap<String, String>,
    /// Tags set by policies. They are labels of metrics, so a client cannot choose them.
    pub policy_tags: BTreeMap<String, String>,
    /// The stages that ran: one entry for each hook of a stage, in the order of the first run.
    pub stages: Vec<StageRun>,
    /// Every call of an upstream, in order.
    pub attempts: Vec<Attempt>,
    /// The time for which the request waited for limits, for targets and between retries.
    pub waited: Duration,
    /// Targets that were passed over.
    pub passed_over: Vec<PassedOver>,
    /// Calls of server tools, in the order in which they ended.
    pub tool_calls: Vec<ToolCall>,
    /// Parts of the request that were not sent to a target.
    pub dropped: Vec<Box<str>>,
    /// The alias that a budget sent the request to, since it was used up.
    pub rerouted: Option<Box<str>>,
    /// The status that the client received.
    pub status: u16,
    /// The kind of the error that ended the exchange.
    pub error: Option<&'static str>,
    /// The time from the head of the request to the first event, for a streamed response.
    pub first_event: Option<Duration>,
    /// The time from the head of the request to the last byte of the response.
    pub duration: Duration,
    /// Whether the response was a stream of events.
    pub is_stream: bool,
    /// Whether the client requests `x-tidegate-trace`.
    pub is_traced: bool,
    /// The way in which the exchange ended.
    pub ending: Ending,
    /// The cost; `None` until the end.
    pub cost: Option<Cost>,
    /// The place in a trace; `None` without `otlp`.
    pub(crate) trace: Option<Trace>,
    /// Whether the prompt goes on where the session's previous one ended; `None` without a session, or without
    /// a breakpoint of the prompt cache.
    pub continuity: Option<Continuity>,
}

/// The cost of an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Nano-dollars of all tokens and calls with a price.
    pub nano_dollars: i64,
    /// The tokens of models without a price.
    pub unpriced: u64,
    /// Whether some tokens are the gateway's estimate, since the upstream's report never came.
    pub is_estimated: bool,
}

/// The kind of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/messages`
    Messages,
    /// `POST /v1/messages/count_tokens`
    CountTokens,
    /// A forwarded route, with its method and path and the provider.
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
    /// The number of runs: `on_event` runs for each event.
    pub runs: u32,
    /// The time of all runs together.
    pub took: Duration,
    /// Whether a run edited its subject.
    pub edited: bool,
    /// Whether a run failed.
    pub failed: bool,
    /// Whether the stage refused the request or a target.
    pub denied: bool,
    /// The time from the head of the request to the first run, in a traced exchange.
    pub begun: Option<Duration>,
}

/// One call of an upstream.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The turn of the tool loop, counted from 1.
    pub turn: u32,
    /// The model's name that was looked up in the config.
    pub model: Box<str>,
    /// `<provider>/<model>`
    pub target: HeaderValue,
    /// The target's counters; `None` on a forwarded route.
    pub metrics: Option<Arc<TargetMetrics>>,
    /// The outcome; `None` while the upstream works, or if the client left before its end.
    pub outcome: Option<AttemptOutcome>,
    /// The upstream's status, or the gateway's own if the upstream sent none.
    pub status: Option<u16>,
    /// The `error.type` of a failure.
    pub error: Option<&'static str>,
    /// The `request-id` of the upstream's response.
    pub upstream_id: Option<Box<str>>,
    /// The time from the head of the request to the start of this attempt.
    pub begun: Duration,
    /// The time from the start of the attempt to its first event, or to its whole response.
    pub first_event: Option<Duration>,
    /// The time from the start of the attempt to its end.
    pub duration: Option<Duration>,
    /// The tokens that the upstream reported, and the facts that decide their price.
    pub spent: Spent,
    /// Whether the last report of the tokens came. Until then they are a part only.
    pub is_settled: bool,
    /// The estimated tokens of the prompt, if the gateway gave up the call before the upstream reported any.
    pub given_up: Option<u64>,
    /// Whether the answer is a stream.
    pub is_stream: bool,
    /// The bytes of text that the upstream sent so far, in a stream.
    pub relayed: usize,
    /// The rates of the target; `None` on a forwarded route.
    pub(crate) tariff: Option<Arc<Tariff>>,
    /// The share of the exchange's cost; `None` until the end, and on a forwarded route.
    pub cost: Option<Cost>,
    /// The facts for its span, in a traced exchange.
    pub(crate) call: Option<Box<Call>>,
}

/// A target that was not called.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// The number of earlier attempts.
    pub after: usize,
    /// `<provider>/<model>`
    pub target: HeaderValue,
    /// The reason.
    pub why: Why,
}

/// The reason for passing over a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The target is cooling down after a failure.
    Cooling,
    /// A limit of the target is reached.
    Limit,
    /// The retry budget of the alias is used up.
    RetryBudget,
    /// The stage of this name refused the target.
    Stage(Arc<str>),
}

impl Why {
    /// Returns the word of the trace header.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cooling => "cooling",
            Self::Limit => "limit",
            Self::RetryBudget => "retry_budget",
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
    /// The time from the head of the request to the start of the call.
    pub begun: Duration,
    /// The duration of the call.
    pub took: Duration,
    /// Whether the result is an error for the model.
    pub is_error: bool,
}

impl Attempt {
    /// Returns whether the upstream works, or worked, on an answer whose last report of tokens never came.
    pub fn is_cut(&self) -> bool {
        let is_broken = self.outcome == Some(AttemptOutcome::Success) && self.tariff.is_some();
        !self.is_settled && (is_broken || self.given_up.is_some())
    }

    /// Replaces the tokens of an answer that was cut by an estimate, unless the upstream reported more: for output
    /// a token for 4 bytes of text.
    fn estimate(&mut self) {
        if !self.is_cut() {
            return;
        }
        let tokens = &mut self.spent.tokens;
        if tokens.prompt() == 0 {
            tokens.input = self.given_up.unwrap_or_default();
        }
        tokens.output = tokens.output.max((self.relayed / BYTES_A_TOKEN) as u64);
    }

    /// Returns whether the answer broke off after its first event.
    pub(super) fn is_broken(&self) -> bool {
        self.outcome == Some(AttemptOutcome::Success) && self.error.is_some()
    }

    fn inference(&self, trace: Option<TraceId>) -> Inference {
        let has_failed = self.outcome.is_some_and(|outcome| outcome != AttemptOutcome::Success);
        Inference {
            tokens: self.spent.billed(),
            duration: self.duration.unwrap_or_default(),
            // a whole answer has its first event at its end
            first_chunk: self.first_event.filter(|_| self.is_stream),
            error: self.error.or(has_failed.then_some("_OTHER")),
            trace,
        }
    }

    /// Returns the cost; `None` on a forwarded route.
    pub(crate) fn charge(&self) -> Option<Charge> {
        self.tariff.as_ref().map(|tariff| tariff.charge(&self.spent, today()))
    }
}

impl Record {
    /// Estimates the tokens of answers that were cut, and sets the cost.
    pub(super) fn settle(&mut self) {
        if self.operation == Operation::Messages {
            self.attempts.iter_mut().for_each(Attempt::estimate);
        }
        let mut total = Amount::default();
        let mut sum = Cost::default();
        for attempt in &mut self.attempts {
            let Some(charge) = attempt.charge() else { continue };
            total += charge.total();
            // the exchange is rounded once, so each attempt has the difference of two rounded sums
            let cost = Cost {
                nano_dollars: total.nano_dollars() - sum.nano_dollars,
                unpriced: charge.unpriced,
                is_estimated: attempt.is_cut(),
            };
            sum.nano_dollars += cost.nano_dollars;
            sum.unpriced = sum.unpriced.saturating_add(cost.unpriced);
            sum.is_estimated |= cost.is_estimated;
            attempt.cost = Some(cost);
        }
        self.cost = Some(sum);
        self.settle_continuity();
    }

    /// Sets the tokens of the prompt cache that were lost by a break, and their cost.
    fn settle_continuity(&mut self) {
        let Some(continuity) = &mut self.continuity else { return };
        let compared = &self.attempts[continuity.attempt];
        continuity.keep(&self.attempts[continuity.last].spent);
        continuity.lose(&compared.spent);
        if let (1.., Some(tariff)) = (continuity.lost, &compared.tariff) {
            let extra = tariff.lost(&compared.spent, continuity.lost, today());
            continuity.cost_nano = extra.nano_dollars();
        }
    }

    /// Starts a record.
    pub(super) fn new(request_id: &str, started: Instant, operation: Operation) -> Self {
        Self {
            request_id: request_id.into(),
            parent: None,
            started,
            operation,
            key: Box::default(),
            is_identified: false,
            session: None,
            user: None,
            model: Box::default(),
            tags: BTreeMap::new(),
            policy_tags: BTreeMap::new(),
            stages: Vec::new(),
            attempts: Vec::new(),
            waited: Duration::ZERO,
            passed_over: Vec::new(),
            tool_calls: Vec::new(),
            dropped: Vec::new(),
            rerouted: None,
            status: CALLER_LEFT,
            error: None,
            first_event: None,
            duration: Duration::ZERO,
            is_stream: false,
            is_traced: false,
            ending: Ending::CallerLeft,
            cost: None,
            trace: None,
            continuity: None,
        }
    }

    /// Returns the place in a trace whose spans are exported.
    pub(crate) fn sampled(&self) -> Option<&Trace> {
        let is_known = self.is_identified || self.parent.is_some();
        self.trace.as_ref().filter(|trace| match is_known {
            true => trace.is_sampled,
            false => trace.is_sampled_unknown,
        })
    }

    /// Returns the tokens of all attempts.
    pub fn usage(&self) -> Usage {
        self.attempts.iter().fold(Usage::default(), |sum, attempt| sum.plus(attempt.spent.billed()))
    }

    /// Returns the cost so far.
    pub fn cost(&self) -> Cost {
        let mut total = Amount::default();
        let mut cost = Cost::default();
        for attempt in &self.attempts {
            let Some(charge) = attempt.charge() else { continue };
            total += charge.total();
            cost.unpriced = cost.unpriced.saturating_add(charge.unpriced);
            cost.is_estimated |= attempt.is_cut();
        }
        Cost { nano_dollars: total.nano_dollars(), ..cost }
    }

    /// Returns the time that the gateway itself took until now: the time outside of attempts and waits.
    pub fn own_time(&self) -> Duration {
        let now = self.started.elapsed();
        let waits = self.attempts.iter().map(|attempt| {
            let took = attempt.duration.or(attempt.first_event);
            took.unwrap_or_else(|| now.saturating_sub(attempt.begun))
        });
        now.saturating_sub(waits.sum()).saturating_sub(self.waited)
    }

    /// Returns the tokens of each turn.
    pub fn turns(&self) -> Vec<Usage> {
        let mut turns = Vec::new();
        for attempt in &self.attempts {
            let at = (attempt.turn.max(1) - 1) as usize;
            if turns.len() <= at {
                turns.resize(at + 1, Usage::default());
            }
            turns[at] = turns[at].plus(attempt.spent.billed());
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

    /// Counts an exchange under its last target, and its tokens under the targets that used them.
    fn observe(&self, metrics: &Metrics) {
        let finished = Finished {
            status: self.status,
            duration: self.duration,
            first_event: self.first_event,
            stream_ended: self.is_stream.then_some(self.ending),
            trace: self.sampled().map(|trace| trace.id),
        };
        match self.attempts.last().and_then(|attempt| attempt.metrics.as_ref()) {
            Some(target) => target.observe(&finished),
            None => metrics.target("", "", "").observe(&finished),
        }
        for (n, attempt) in self.attempts.iter().enumerate() {
            let Some(target) = &attempt.metrics else { continue };
            if self.operation == Operation::Messages {
                target.inferred(&attempt.inference(finished.trace));
            }
            let is_of = |other: &&Attempt| {
                other.metrics.as_ref().is_some_and(|own| Arc::ptr_eq(own, target))
            };
            if self.attempts[..n].iter().any(|earlier| is_of(&earlier)) {
                continue;
            }
            let own = self.attempts[n..].iter().filter(is_of);
            target.used(own.fold(Usage::default(), |sum, own| sum.plus(own.spent.billed())));
            let costs = self.attempts[n..].iter().filter(is_of).filter_map(Attempt::charge);
            target.cost(&costs.fold(Charge::default(), |sum, own| sum + own));
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
            rerouted = self.rerouted.as_deref(),
            tags = ?tags(),
            status = self.status,
            ending = self.ending.as_str(),
            millis = self.duration.as_millis() as u64,
            input_tokens = usage.input,
            output_tokens = usage.output,
            attempts = self.attempts.len(),
            turns = self.attempts.last().map_or(0, |attempt| attempt.turn),
            tool_calls = self.tool_calls.len(),
            "exchange ended"
        );
    }
}
