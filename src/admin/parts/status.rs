//! `status`: a gateway at a glance.
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::answer::Answer;
use crate::admin::failure::Failure;
use crate::admin::parts::drain::Readiness;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::time;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    let summary = "Returns the state of the gateway at a glance.";
    let show = Route::get("/api/status", summary, |state, _| Box::pin(async move { show(&state) }));
    vec![show.answers::<Status>(200)]
}

/// The state of a gateway.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Status {
    /// The version of Tidegate.
    version: String,
    /// Whether the gateway takes new work.
    state: Readiness,
    /// The time at which the process began to serve.
    started_at: String,
    /// The time now, as the gateway knows it.
    now: String,
    /// The number of the generation in use.
    generation: u64,
    /// The requests in progress, streams included.
    active_requests: i64,
    /// The ledger.
    ledger: LedgerStatus,
}

/// The state of the ledger.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LedgerStatus {
    /// Whether exchanges are recorded.
    is_on: bool,
    /// The exchanges that wait for the database.
    waiting: i64,
    /// The exchanges written since the start of the process.
    written: u64,
    /// The failed attempts to write since the start of the process.
    failures: u64,
}

fn show(state: &State) -> Result<Answer, Failure> {
    let metrics = &state.shared.metrics;
    let status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: Readiness::of(state.readiness.phase()),
        started_at: time::text(state.started),
        now: time::text(SystemTime::now()),
        generation: state.live.load().number,
        active_requests: metrics.active_requests.get(),
        ledger: LedgerStatus {
            is_on: state.database.is_some(),
            waiting: metrics.ledger.entries.get(),
            written: metrics.ledger.written.get(),
            failures: metrics.ledger.failures.get(),
        },
    };
    Answer::json(&status)
}
