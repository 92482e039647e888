//! `generation`: the config in use, the problems of the last reload, and a reload on demand.
use std::sync::Arc;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::tag::Tag;
use crate::admin::time;
use crate::error::Problem;
use crate::gateway::reload::{LastTry, Reloaded};

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/generation",
            "Returns the generation in use, and the result of the last reload.",
            |state, _| Box::pin(async move { show(&state) }),
        )
        .answers::<Generation>(200),
        Route::new(
            Method::POST,
            "/api/generation/reload",
            "Reloads the config, the policies and the plugins, as `SIGHUP` does.",
            |state, call| Box::pin(reload(state, call)),
        )
        .answers::<ReloadResult>(200),
    ]
}

/// The generation in use.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Generation {
    /// The number; starts at 1 and grows with every reload that succeeds.
    number: u64,
    /// The time at which it was built.
    built_at: String,
    /// The SHA-256 of the files that the last attempt read.
    config_digest: String,
    /// The last attempt to build a generation.
    last_reload: LastReload,
    /// The generations that still serve a request, the current one included.
    live: i64,
}

/// The last attempt to build a generation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LastReload {
    /// Whether its generation is in use.
    is_successful: bool,
    /// The time at which it ended.
    at: String,
    /// Its duration in milliseconds; `null` for the start of the process.
    took_ms: Option<u64>,
    /// The problems; empty if it was successful.
    problems: Vec<ShownProblem>,
    /// The changed settings that only a restart applies.
    needs_restart: Vec<String>,
}

/// A mistake in the config, a policy or a plugin.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownProblem {
    /// The place, such as `models.fast.targets[0].provider` or `policies/x.rhai:3:7`.
    path: String,
    /// The value expected and the value found.
    message: String,
}

/// The result of a reload.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReloadResult {
    /// Whether a new generation is in use.
    is_successful: bool,
    /// The problems; empty if it was successful. The last good generation stays in use then.
    problems: Vec<ShownProblem>,
    /// The generation in use.
    generation: Generation,
}

impl ShownProblem {
    pub(super) fn of(problem: &Problem) -> Self {
        Self { path: problem.path.clone(), message: problem.message.clone() }
    }
}

fn show(state: &State) -> Result<Answer, Failure> {
    let (generation, tag) = current(state);
    Ok(Answer::json(&generation)?.tagged(&tag))
}

/// Returns the generation in use, and its version.
fn current(state: &State) -> (Generation, Tag) {
    let (gateway, last) = (state.live.load(), state.reloader.last());
    let LastTry { digest, at, took, problems, needs_restart } = last;
    let config_digest = hex::encode(digest);
    let (number, at) = (gateway.number, time::text(at));
    let tag = Tag::of(&[&number.to_string(), &config_digest, &at]);
    let generation = Generation {
        number,
        built_at: time::text(gateway.built),
        config_digest,
        last_reload: LastReload {
            is_successful: problems.is_empty(),
            at,
            took_ms: took.map(time::millis),
            problems: problems.iter().map(ShownProblem::of).collect(),
            needs_restart: needs_restart.iter().map(|name| (*name).to_owned()).collect(),
        },
        live: state.shared.metrics.generations_live.get(),
    };
    (generation, tag)
}

async fn reload(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let (before, tag) = current(&state);
    call.expects(&tag)?;
    let problems = match state.reloader.reload().await {
        Reloaded::Refused(problems) => problems,
        Reloaded::Swapped(_) | Reloaded::Unchanged => Vec::new(),
    };
    let (generation, tag) = current(&state);
    let detail = match problems.len() {
        0 => format!("generation {} -> {}", before.number, generation.number),
        found => format!("generation {} stays: {found} problems", before.number),
    };
    let result = ReloadResult {
        is_successful: problems.is_empty(),
        problems: problems.iter().map(ShownProblem::of).collect(),
        generation,
    };
    Ok(Answer::json(&result)?.tagged(&tag).detail(detail))
}
