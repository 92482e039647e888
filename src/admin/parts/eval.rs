//! `eval`: a draft of a policy over a request and an answer, with the changes and the decision of each hook.
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::drafts::Draft;
use crate::admin::failure::Failure;
use crate::admin::placed::PlacedProblem;
use crate::admin::recorded;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::trial_steps::{Steps, TrialStep};
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::policy::script::{Clock, Script};
use crate::policy::trial;
use crate::policy::trial::logs::Logs;
use crate::policy::trial::run::{self, Client, Given, Input, Ran};
use crate::policy::{Passage, Pipeline};
use crate::telemetry::recording::Recording;
use crate::telemetry::recordings::Recordings;
use crate::wire::{Endpoint, MessagesRequest};

/// Returns the route.
pub(super) fn routes() -> Vec<Route> {
    let route = Route::new(
        Method::POST,
        "/api/eval",
        "Runs a draft of a policy over a request and an answer. Nothing is sent, counted or stored.",
        |state, call| Box::pin(eval(state, call)),
    );
    vec![route.tries().body::<Asked>().answers::<Evaluated>(200)]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The draft.
    policy: Draft,
    /// The parameters of the stage: `ctx.with`.
    #[serde(default)]
    with: Map<String, Value>,
    /// The body of a request; or `exchange`.
    request: Option<Map<String, Value>>,
    /// The id of a recorded exchange: its request is used.
    exchange: Option<String>,
    /// A message as the answer: also runs the hooks over answers.
    response: Option<Map<String, Value>>,
    /// The text of server-sent events as a streamed answer.
    stream: Option<String>,
    /// The name of the client's key.
    #[serde(default)]
    key: String,
    /// The tags of the client's key.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// The headers of the request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The target of an attempt, `provider/model`: also runs the hooks before an attempt.
    target: Option<String>,
}

/// The result of a trial.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Evaluated {
    /// The problems of the draft; then nothing ran.
    problems: Vec<PlacedProblem>,
    /// The runs of hooks, in their order.
    steps: Vec<TrialStep>,
    /// The request as the policy left it; `null` if the policy ended it.
    request: Option<Map<String, Value>>,
    /// The answer as the policy left it: a message, or `{"events": […]}` for a stream. `null` without one, and if the
    /// policy denied it.
    answer: Option<Map<String, Value>>,
    /// The message of an error as `on_error` left it; `null` if it did not change.
    error: Option<String>,
}

/// The input of a trial, checked.
struct Checked {
    draft: Draft,
    with: Map<String, Value>,
    client: Client,
    input: Input,
}

async fn eval(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.body()?;
    let body = match (&asked.request, &asked.exchange) {
        (Some(request), None) => Bytes::from(json!(request).to_string()),
        (None, Some(id)) => recorded_body(&state, id).await?,
        (None, None) => {
            return Err(Failure::field("request", "`request` or `exchange`", "nothing"));
        }
        (Some(_), Some(_)) => {
            return Err(Failure::field("exchange", "`request` or `exchange`", "both"));
        }
    };
    let checked = Checked::of(asked, body)?;
    let gateway = state.live.load();
    Answer::json(&state.workshop.try_out(move || checked.evaluated(&gateway)).await??)
}

/// Returns the body of a recorded request.
async fn recorded_body(state: &State, id: &str) -> Result<Bytes, Failure> {
    let none = |why: &str| {
        Failure::not_found("the request of the exchange is not recorded").about(
            "exchange",
            "the id of an exchange that was recorded",
            why,
        )
    };
    let kept = recorded::find(state, id).await?.map_err(none)?;
    let body = kept.read().request.and_then(|sent| sent.body);
    body.ok_or_else(|| none("its body was too large to be recorded"))
}

impl Checked {
    fn of(asked: Asked, body: Bytes) -> Result<Self, Failure> {
        let Asked { policy, with, response, stream, key, tags, headers, target, .. } = asked;
        policy.check()?;
        let request = MessagesRequest::parse(body, Endpoint::Messages);
        let request = request.map_err(|e| Failure::field("request", "a request", e.message))?;
        let answer = match (response, stream) {
            (Some(message), None) => Some(Given::Message(json!(message).to_string().into())),
            (None, Some(text)) => {
                let events = trial::events(&text);
                let wrong = |e: crate::error::Error| Failure::field("stream", "events", e.message);
                Some(Given::Stream(events.map_err(wrong)?))
            }
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(Failure::field("stream", "`response` or `stream`", "both"));
            }
        };
        let client = Client { key, tags, headers: sent(&headers)? };
        Ok(Self { draft: policy, with, client, input: Input { request, target, answer } })
    }

    /// Runs the trial on this thread.
    fn evaluated(self, gateway: &Gateway) -> Result<Evaluated, Failure> {
        let Self { draft, with, client, input } = self;
        let file = draft.file();
        let script = match draft.compile(gateway) {
            Ok(script) => script,
            Err(problems) => return Ok(Evaluated::failed(problems)),
        };
        let pipeline = match pipeline(script, &with) {
            Ok(pipeline) => Arc::new(pipeline),
            Err(found) => return Ok(Evaluated::failed(PlacedProblem::all(&found, &file))),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|_| {
            let message = "the trial cannot start";
            Failure::new(http::StatusCode::INTERNAL_SERVER_ERROR, message)
        })?;
        let logs = Logs::default();
        // the lines of a trial are for its author, not for the log of the gateway
        Ok(tracing::subscriber::with_default(logs.subscriber(), || {
            runtime.block_on(evaluated(&pipeline, client, input, logs.clone()))
        }))
    }
}

async fn evaluated(
    pipeline: &Arc<Pipeline>,
    client: Client,
    input: Input,
    logs: Logs,
) -> Evaluated {
    let ctx = Arc::new(client.context(&input.request));
    // the edits of answers are recorded as those of live exchanges are
    let recording = Recording::begin_one(&Arc::<Recordings>::default(), &ctx.request_id);
    ctx.story.record_in(&recording);
    let steps = Steps::new(logs);
    let passage = Passage::on_trial(pipeline, &ctx, Clock::System, steps.watch());
    let Ran { request, reworded, answer } = run::run(&passage, input).await;
    let failure = answer.as_ref().and_then(|answer| answer.failure.as_ref());
    let steps = steps.end(&ctx, &recording, failure);
    let answer =
        answer.filter(|answer| answer.failure.is_none()).map(|answer| shown(&answer.after));
    Evaluated {
        problems: Vec::new(),
        steps,
        request: request.and_then(|body| serde_json::from_slice(&body).ok()),
        answer,
        error: reworded,
    }
}

impl Evaluated {
    fn failed(problems: Vec<PlacedProblem>) -> Self {
        Self { problems, steps: Vec::new(), request: None, answer: None, error: None }
    }
}

fn pipeline(script: Script, with: &Map<String, Value>) -> Result<Pipeline, Vec<Problem>> {
    trial::pipeline_of(vec![script], with)
}

/// Returns an answer as JSON.
fn shown(answer: &Given) -> Map<String, Value> {
    match answer {
        Given::Message(message) => serde_json::from_slice(message).unwrap_or_default(),
        Given::Stream(events) => {
            let data = events.iter().map(|event| event.data());
            let data: Vec<Value> =
                data.filter_map(|data| serde_json::from_slice(&data).ok()).collect();
            Map::from_iter([("events".to_owned(), Value::Array(data))])
        }
    }
}

fn sent(headers: &BTreeMap<String, String>) -> Result<HeaderMap, Failure> {
    let pair = |(name, value): (&String, &String)| {
        let place = format!("headers.{name}");
        let wrong = |part: &str| Failure::field(place.clone(), part, "another text");
        let name =
            HeaderName::try_from(name.as_str()).map_err(|_| wrong("the name of a header"))?;
        let value = HeaderValue::try_from(value.as_str());
        Ok((name, value.map_err(|_| wrong("the value of a header"))?))
    };
    headers.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_shown_as_its_events() {
        let events =
            trial::events("event: ping\ndata: {\"type\":\"ping\"}\n\n: comment\n\n").unwrap();
        assert_eq!(
            Value::Object(shown(&Given::Stream(events))),
            json!({ "events": [{ "type": "ping" }] })
        );
        let message = Given::Message("{\"a\":1}".into());
        assert_eq!(Value::Object(shown(&message)), json!({ "a": 1 }));
    }
}
