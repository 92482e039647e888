//! `drain`: takes a gateway out of service, for a while or for good.
use std::sync::Arc;

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::route::Route;
use crate::admin::state::{Phase, State};
use crate::admin::tag::Tag;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/drain", "Returns whether the gateway takes new work.", |state, _| {
            Box::pin(async move { shown(&state, StatusCode::OK) })
        })
        .answers::<Drain>(200),
        Route::new(
            Method::POST,
            "/api/drain",
            "Drains and stops the gateway, as `SIGTERM` does; or only makes `/readyz` report that it is not ready.",
            |state, call| Box::pin(begin(state, call)),
        )
        .body::<Wish>()
        .answers::<Drain>(202),
        Route::new(
            Method::DELETE,
            "/api/drain",
            "Makes `/readyz` report again that the gateway is ready.",
            |state, call| Box::pin(end(state, call)),
        )
        .answers::<Drain>(200),
    ]
}

/// The wish of an operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Whether the gateway stops. Otherwise it serves on, and only `/readyz` answers 503.
    #[serde(default = "yes")]
    stop: bool,
}

fn yes() -> bool {
    true
}

/// The readiness of a gateway.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Drain {
    /// The state, as `/readyz` reports it.
    state: Readiness,
    /// The requests in progress, streams included.
    active_requests: i64,
}

/// Whether a gateway takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Readiness {
    /// It does.
    Ready,
    /// It serves, and asks for no new work.
    Unready,
    /// It finishes what is open, and ends.
    Draining,
}

impl Readiness {
    pub(super) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Ready => Self::Ready,
            Phase::Unready => Self::Unready,
            Phase::Draining => Self::Draining,
        }
    }

    fn tag(self) -> Tag {
        Tag::of(&[match self {
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Draining => "draining",
        }])
    }
}

fn shown(state: &State, status: StatusCode) -> Result<Answer, Failure> {
    let readiness = Readiness::of(state.readiness.phase());
    let active_requests = state.shared.metrics.active_requests.get();
    let answer = Answer::with(status, &Drain { state: readiness, active_requests })?;
    Ok(answer.tagged(&readiness.tag()))
}

async fn begin(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let wish: Wish = call.body()?;
    call.expects(&Readiness::of(state.readiness.phase()).tag())?;
    if !wish.stop {
        set(&state, Phase::Unready)?;
        return Ok(shown(&state, StatusCode::ACCEPTED)?.detail("unready"));
    }
    state.readiness.set(Phase::Draining);
    Ok(shown(&state, StatusCode::ACCEPTED)?.detail("stop").and_stop())
}

async fn end(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    call.expects(&Readiness::of(state.readiness.phase()).tag())?;
    set(&state, Phase::Ready)?;
    Ok(shown(&state, StatusCode::OK)?.detail("ready"))
}

fn set(state: &State, phase: Phase) -> Result<(), Failure> {
    let message = "the gateway drains, which cannot be undone";
    match state.readiness.set(phase) {
        true => Ok(()),
        false => Err(Failure::new(StatusCode::CONFLICT, message)),
    }
}
