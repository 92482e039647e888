//! The built-in simulator: an upstream without a model, for first steps, demos and tests.
//!
//! It repeats the user's text and calls tools on request. It is as strict about a request as the
//! real API, and always returns the same bytes for the same request. Directives in the user's text
//! select its other functions: `docs/reference/simulator.md`.
mod answer;
mod ask;
mod check;
mod directives;
mod faults;
mod frames;
mod history;
mod input;
mod play;
mod seed;
mod sources;
mod tokens;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Problem, Result};
use crate::providers::accepts::Accepts;
use crate::providers::simulator::answer::SimulatedAnswer;
use crate::providers::simulator::ask::Ask;
use crate::providers::simulator::directives::Script;
use crate::providers::simulator::faults::{Failure, Fault};
use crate::providers::simulator::frames::{Head, Pieces};
use crate::providers::simulator::play::Tempo;
use crate::providers::simulator::seed::Seed;
use crate::providers::simulator::tokens::Input;
use crate::providers::{Answer, Attempt, Parts, Provider, Settings, Timeouts};
use crate::wire::message::Fold;
use crate::wire::{Endpoint, Event, EventKind, Reply, ReplyBody};

/// The built-in simulator: it answers without a model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The time between two events of a stream, unless the request has its own.
    #[serde(default, with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pace: Duration,
    /// The parts of the Messages API that the simulator treats as not understood.
    #[serde(default)]
    unsupported: Vec<String>,
}

impl Settings for Config {
    fn build(&self, path: &str, _: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        let Simulator { pace, accepts } = Simulator::new(self.pace);
        let accepts = accepts.without(path, &self.unsupported).map_err(|problem| vec![problem])?;
        Ok(Arc::new(Simulator { pace, accepts }))
    }
}

/// The provider. It keeps no state between requests.
pub(crate) struct Simulator {
    pace: Duration,
    accepts: Accepts,
}

impl Simulator {
    /// Makes a simulator. `pace` is the time between two events of a stream, unless a request has
    /// its own.
    pub(crate) fn new(pace: Duration) -> Self {
        Self { pace, accepts: Accepts { is_native: true, cites: true, ..Accepts::default() } }
    }
}

#[async_trait]
impl Provider for Simulator {
    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    fn genai_name(&self) -> &str {
        "tidegate.simulator"
    }

    async fn send(&self, ctx: &Context, mut attempt: Attempt) -> Result<Answer> {
        let seed = Seed::of(&mut attempt.request)?;
        let plan = self
            .plan(&attempt, &betas(&attempt.headers(ctx, self.forwards())), &seed)
            .map_err(|failure| failure.answer(&seed))?;
        let Timeouts { first_event, total, .. } = attempt.timeouts;
        let limit = if attempt.request.is_stream() { first_event.min(total) } else { total };
        wait(plan.wait, limit).await?;
        let body = match plan.outcome {
            Outcome::Json(body) => ReplyBody::Full(body),
            Outcome::Refused(failure) => return Err(failure.answer(&seed)),
            Outcome::Events(items) if attempt.request.is_stream() => {
                ReplyBody::Events(play::play(with_end(items), plan.tempo))
            }
            Outcome::Events(items) => ReplyBody::Full(folded(items)?),
        };
        let mut headers = HeaderMap::new();
        if let Ok(id) = HeaderValue::try_from(seed.id("req", 0)) {
            headers.insert("request-id", id);
        }
        Ok(Reply { status: StatusCode::OK, headers, body }.into())
    }
}

/// The plan of an answer, with its times.
struct Plan {
    /// The delay before everything else.
    wait: Duration,
    tempo: Tempo,
    outcome: Outcome,
}

/// The response to the caller.
enum Outcome {
    /// A whole body.
    Json(Bytes),
    /// An error response.
    Refused(Failure),
    /// A message, as its events.
    Events(Vec<Result<Event>>),
}

impl Simulator {
    /// Plans the answer without waiting: no clock, no I/O.
    fn plan(&self, attempt: &Attempt, betas: &str, seed: &Seed) -> Result<Plan, Failure> {
        let request = &attempt.request;
        let body: Value = serde_json::from_slice(&request.to_bytes())
            .map_err(|e| Failure::invalid(format!("the body cannot be read: {e}")))?;
        check::check(&body, betas)?;
        let turns =
            history::turns(body["messages"].as_array().map(Vec::as_slice).unwrap_or_default());
        let asking = ask::asking_turn(&turns).map(|at| history::own_text(&turns[at]));
        let script = Script::parse(&asking.unwrap_or_default(), request.model())
            .map_err(Failure::invalid)?;
        let ask = Ask::read(&body, &turns, &script).map_err(Failure::invalid)?;
        let input = Input::of(&body);
        let mut tempo = Tempo {
            first_event: ask.step.first_event,
            pace: script.pace.unwrap_or(self.pace),
            timeouts: attempt.timeouts,
        };
        let mut wait = ask.step.wait;
        if !request.is_stream() {
            wait += std::mem::take(&mut tempo.first_event);
        }
        let outcome = match (&ask.step.fault, request.endpoint) {
            (Some(Fault::Status(failure)), _) => Outcome::Refused(failure.clone()),
            (_, Endpoint::CountTokens) => {
                Outcome::Json(json!({"input_tokens": input.total()}).to_string().into())
            }
            (Some(Fault::Event(failure, _)), _) if !request.is_stream() => {
                Outcome::Refused(failure.clone())
            }
            (fault, _) => {
                let answer = SimulatedAnswer::to(&ask, &body["thinking"], seed);
                let pieces = if request.is_stream() { Pieces::Words } else { Pieces::Whole };
                let is_beta = !betas.is_empty();
                let head = Head { seed, model: ask.model, input, is_beta };
                let error = |failure: &Failure| {
                    frames::event("error", &failure.envelope(seed), script.framing)
                };
                Outcome::Events(match frames::events(&head, &answer, pieces, script.framing) {
                    Ok(events) => with_fault(events, fault.as_ref(), error),
                    Err(error) => vec![Err(error)],
                })
            }
        };
        Ok(Plan { wait, tempo, outcome })
    }
}

/// Returns the events up to a fault. The fault always comes before `message_stop`.
fn with_fault(
    events: Vec<Event>,
    fault: Option<&Fault>,
    error: impl Fn(&Failure) -> Event,
) -> Vec<Result<Event>> {
    let (after, end) = match fault {
        None | Some(Fault::Status(_)) => (events.len(), None),
        Some(Fault::Event(failure, after)) => (*after, Some(Ok(error(failure)))),
        Some(Fault::Break(after)) => (*after, Some(Err(faults::lost()))),
        Some(Fault::End(after)) => (*after, None),
    };
    let after = if fault.is_some() { after.min(events.len() - 1) } else { after };
    events.into_iter().take(after).map(Ok).chain(end).collect()
}

/// Adds the error for a stream that ends before its last event. Other providers' streams report it
/// too, because the reader of their frames detects the break.
fn with_end(mut items: Vec<Result<Event>>) -> Vec<Result<Event>> {
    let ends_early = items.last().is_some_and(|last| {
        last.as_ref()
            .is_ok_and(|event| !matches!(event.kind, EventKind::MessageStop | EventKind::Error))
    });
    if ends_early {
        items.push(Err(faults::ended()));
    }
    items
}

/// Folds the events into the message. Fails if the stream ends early, like the readers of other
/// providers' answers on half a body.
fn folded(items: Vec<Result<Event>>) -> Result<Bytes> {
    let mut fold = Fold::default();
    for item in items {
        fold.push(&item?)?;
    }
    match fold.is_complete() {
        true => fold.finish(),
        false => Err(faults::half()),
    }
}

async fn wait(delay: Duration, limit: Duration) -> Result<()> {
    if !delay.is_zero() {
        tokio::time::sleep(delay.min(limit)).await;
    }
    match delay > limit {
        true => Err(faults::too_slow(limit)),
        false => Ok(()),
    }
}

/// Returns all values of `anthropic-beta` in one text.
fn betas(headers: &HeaderMap) -> String {
    let values: Vec<&str> =
        headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

#[cfg(test)]
mod tests;
