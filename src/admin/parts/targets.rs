//! `targets`: the health of every target, and the retry budget of every alias.
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::answer::Answer;
use crate::admin::failure::Failure;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::time;
use crate::models::health::Condition;
use crate::models::outcomes::{LastFailure, RECENT, Recent};
use crate::models::retry_budget::{self, RetryLevel};
use crate::models::{Alias, Target};
use crate::wire::Endpoint;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    let summary = "Returns the aliases with their targets: health, recent attempts, pace.";
    let show =
        Route::get("/api/targets", summary, |state, _| Box::pin(async move { show(&state) }));
    vec![show.answers::<Shown>(200)]
}

/// All aliases.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    /// The aliases in the order of their names.
    aliases: Vec<ShownAlias>,
}

/// An alias.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownAlias {
    /// The name in the config.
    name: String,
    /// The bound of retries and failovers.
    retry_budget: ShownBudget,
    /// The targets in the order of the config.
    targets: Vec<ShownTarget>,
}

/// A retry budget.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownBudget {
    /// The length of the window in milliseconds.
    window_ms: u64,
    /// The requests of the window. Each turn of a tool loop is one.
    requests: u64,
    /// The retries and failovers of the window.
    extra: u64,
    /// The most retries and failovers for these requests.
    most: u64,
}

/// A target of an alias.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownTarget {
    /// `PROVIDER/MODEL`; `*` stands for the model that a client names.
    target: String,
    /// The provider's name in the config.
    provider: String,
    /// The upstream's model; `null` for the one that a client names.
    model: Option<String>,
    /// The share of sessions under `strategy: weighted`.
    weight: u32,
    /// The health for messages.
    messages: ShownHealth,
    /// The health for counts of tokens.
    count_tokens: ShownHealth,
    /// The attempts of the recent time.
    recent: ShownRecent,
    /// The time to the first content of a stream in milliseconds, a moving average; `null` without a recent answer.
    latency_ms: Option<f64>,
    /// The output tokens for each second, a moving average; `null` without a recent answer.
    throughput: Option<f64>,
    /// The last failure; `null` without one.
    last_failure: Option<ShownFailure>,
}

/// The health of a target at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownHealth {
    /// The state.
    state: HealthState,
    /// The milliseconds until a request probes the target; only while it cools down.
    cooling_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum HealthState {
    /// The target is tried.
    Healthy,
    /// The target failed and is passed over.
    Cooling,
    /// The cooldown is over, or one request tests the target: the others pass it over.
    Probing,
}

/// The recent attempts at a target.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownRecent {
    /// The time that counts as recent, in milliseconds.
    window_ms: u64,
    /// The attempts.
    attempts: u64,
    /// Those that failed by the fault of the upstream.
    failures: u64,
    /// The share of failures, from 0 to 1; `null` without an attempt.
    error_rate: Option<f64>,
}

/// The last failure of a target.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownFailure {
    /// The time.
    at: String,
    /// The upstream's status; `null` if it sent none.
    status: Option<u16>,
    /// The kind of the error.
    kind: String,
    /// The message.
    message: String,
}

fn show(state: &State) -> Result<Answer, Failure> {
    let (gateway, now) = (state.live.load(), Instant::now());
    let aliases = gateway.models.all().into_iter().map(|alias| ShownAlias::of(alias, now));
    Answer::json(&Shown { aliases: aliases.collect() })
}

impl ShownAlias {
    fn of(alias: &Alias, now: Instant) -> Self {
        let RetryLevel { requests, extra, most } = alias.retry_budget.level(now);
        let window_ms = time::millis(retry_budget::WINDOW);
        Self {
            name: alias.name.clone(),
            retry_budget: ShownBudget { window_ms, requests, extra, most },
            targets: alias.targets.iter().map(|target| ShownTarget::of(target, now)).collect(),
        }
    }
}

impl ShownTarget {
    fn of(target: &Target, now: Instant) -> Self {
        let health = &target.health;
        let at = |endpoint| ShownHealth::of(health.at(endpoint).condition(now));
        let Recent { attempts, failures } = health.outcomes.recent(now);
        let [latency, throughput] = health.pace.averages(now);
        Self {
            target: target.key.clone(),
            provider: target.provider_name.clone(),
            model: target.model.clone(),
            weight: target.weight,
            messages: at(Endpoint::Messages),
            count_tokens: at(Endpoint::CountTokens),
            recent: ShownRecent {
                window_ms: time::millis(RECENT),
                attempts,
                failures,
                error_rate: (attempts > 0).then(|| failures as f64 / attempts as f64),
            },
            latency_ms: latency.map(|seconds| seconds * 1000.0),
            throughput,
            last_failure: health.outcomes.last_failure().map(ShownFailure::of),
        }
    }
}

impl ShownHealth {
    fn of(condition: Condition) -> Self {
        let (state, cooling_ms) = match condition {
            Condition::Healthy => (HealthState::Healthy, None),
            Condition::Cooling(Duration::ZERO) | Condition::Probing => (HealthState::Probing, None),
            Condition::Cooling(left) => (HealthState::Cooling, Some(time::millis(left).max(1))),
        };
        Self { state, cooling_ms }
    }
}

impl ShownFailure {
    fn of(failure: LastFailure) -> Self {
        let LastFailure { at, status, kind, message } = failure;
        Self { at: time::text(at), status, kind: kind.to_owned(), message }
    }
}
