//! The changes that stages and the gateway made in one exchange, as far as it was recorded.
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::changed::{self, Change};
use crate::admin::failure::Failure;
use crate::admin::recorded;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::telemetry::recorded::{ActorKind, Edit, Recorded, Sent, Step};

/// The bytes of a body that the list shows.
const BODY: usize = 64 * 1024;
/// The value of `full` that means the body of the request.
const WHOLE_BODY: &str = "body";

/// Returns the route.
pub(super) fn routes() -> Vec<Route> {
    let route = Route::get(
        "/api/exchanges/{id}/changes",
        "Returns the request of the client and the changes of each stage and of the gateway. The id is as in `/api/exchanges/{id}`.",
        |state, call| Box::pin(show(state, call)),
    );
    vec![route.query::<Asked>().answers::<Page>(200)]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The path of one change: its values are whole then, and other changes are left out. `body` is the body of the
    /// request.
    full: Option<String>,
    /// The number of the step with this change, from 0; the first such step if left out.
    step: Option<usize>,
}

/// The changes in an exchange.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Whether the exchange was recorded.
    is_recorded: bool,
    /// The reason, if it was not.
    why: Option<String>,
    /// The request of the client.
    request: Option<Request>,
    /// The steps that changed something, in their order.
    steps: Vec<Shown>,
    /// Whether there were more steps.
    is_cut: bool,
}

/// The request as the client sent it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The method.
    method: String,
    /// The path.
    path: String,
    /// The names and values of the headers; a secret is `***`.
    headers: Vec<Vec<String>>,
    /// The body; `null` if it was too large to be recorded.
    body: Option<String>,
    /// Whether the body is longer.
    is_cut: bool,
}

/// A step that changed something.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    /// The name of the stage; `gateway` for the gateway's own changes.
    stage: String,
    /// The kind: `policy`, `plugin` or `gateway`.
    kind: Kind,
    /// The hook; for the gateway `on_request` before the first stage, and `attempt` before a call of an upstream.
    hook: String,
    /// The turn of the tool loop, from 1; 0 before the first attempt.
    turn: u32,
    /// The target, for a change in one attempt.
    target: Option<String>,
    /// The changes.
    changes: Vec<Change>,
    /// For a stream: the number of all edits of its pieces.
    edits: Option<u64>,
    /// Whether there are more changes, or the values were too large to be recorded.
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Policy,
    Plugin,
    Gateway,
}

async fn show(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let found = match recorded::find(&state, call.id()?).await? {
        Ok(kept) => kept,
        Err(why) => {
            let steps = Vec::new();
            let why = Some(why.to_owned());
            let page = Page { is_recorded: false, why, request: None, steps, is_cut: false };
            return Answer::json(&page);
        }
    };
    // bodies are large, and other requests of operators wait for this thread
    let made = tokio::task::spawn_blocking(move || Page::of(found.read(), &asked));
    Answer::json(&made.await.map_err(|_| broken())??)
}

fn broken() -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the changes cannot be shown")
}

impl Page {
    fn of(recorded: Recorded, asked: &Asked) -> Result<Self, Failure> {
        let Recorded { request, steps, is_cut, .. } = recorded;
        let of_body = asked.full.as_deref() == Some(WHOLE_BODY);
        let request =
            request.map(|sent| Request::of(sent, if of_body { usize::MAX } else { BODY }));
        let steps = match &asked.full {
            Some(_) if of_body => Vec::new(),
            Some(path) => vec![one(&steps, path, asked.step)?],
            None => steps.iter().map(|step| Shown::of(step, changed::Cut::Short)).collect(),
        };
        Ok(Self { is_recorded: true, why: None, request, steps, is_cut })
    }
}

/// Returns the step with a change at this path, and only this change, whole.
fn one(steps: &[Step], path: &str, number: Option<usize>) -> Result<Shown, Failure> {
    let wanted = steps.iter().enumerate().filter(|(n, _)| number.is_none_or(|own| own == *n));
    for (_, step) in wanted {
        let mut shown = Shown::of(step, changed::Cut::Whole);
        shown.changes.retain(|change| change.is_at(path));
        if !shown.changes.is_empty() {
            return Ok(shown);
        }
    }
    let none = "the step has no change at this path";
    Err(Failure::not_found(none).about("full", "the path of a change", format!("`{path}`")))
}

impl Request {
    fn of(sent: Sent, most: usize) -> Self {
        let Sent { method, path, headers, body } = sent;
        let text = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        let is_cut = text.as_ref().is_some_and(|text| text.len() > most);
        let body = text.map(|mut text| {
            text.truncate(text.floor_char_boundary(most));
            text
        });
        let pairs = headers.into_iter();
        let headers = pairs.map(|(name, value)| vec![name.into(), value.into()]).collect();
        Self { method: method.into(), path: path.into(), headers, body, is_cut }
    }
}

impl Shown {
    fn of(step: &Step, cut: changed::Cut) -> Self {
        let Step { actor, turn, target, edit } = step;
        let (kind, stage) = match actor.kind {
            ActorKind::Policy => (Kind::Policy, &*actor.stage),
            ActorKind::Plugin => (Kind::Plugin, &*actor.stage),
            ActorKind::Gateway => (Kind::Gateway, "gateway"),
        };
        let (changes, edits, is_cut) = match edit {
            Edit::Whole { before, after } => {
                let (changes, is_cut) = changed::between(&value(before), &value(after), cut);
                (changes, None, is_cut)
            }
            Edit::Pieces { number, first } => {
                let pieces = first.iter().map(|[before, after]| Change::piece(before, after, cut));
                (pieces.collect(), Some(*number), *number > first.len() as u64)
            }
            Edit::TooLarge => (Vec::new(), None, true),
        };
        Self {
            stage: stage.to_owned(),
            kind,
            hook: actor.hook.to_owned(),
            turn: *turn,
            target: target.as_deref().map(str::to_owned),
            changes,
            edits,
            is_cut,
        }
    }
}

/// Returns a recorded value. Text that is no JSON is shown as it is.
fn value(text: &Bytes) -> Value {
    serde_json::from_slice(text)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(text).into_owned()))
}
