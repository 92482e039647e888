//! The policies as files: their list, their texts, and new texts.
use std::sync::Arc;

use http::header::IF_NONE_MATCH;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::drafts::Draft;
use crate::admin::failure::Failure;
use crate::admin::placed::PlacedProblem;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::tag::{Tag, missing};
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::gateway::reload::Reloaded;
use crate::policy::folder::{Folder, Listed, Place, Refused, Texts};

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    let put = Route::new(
        Method::PUT,
        "/api/files/{name}",
        "Writes a policy and reloads. `if-none-match: *` is for a new one. A draft with problems is a 422, and is not written.",
        |state, call| Box::pin(write(state, call)),
    );
    vec![
        Route::get(
            "/api/files",
            "Returns the policies: those with a file, then the shipped ones.",
            |state, _| Box::pin(list(state)),
        )
        .answers::<Page>(200),
        Route::get(
            "/api/files/{name}",
            "Returns the text of a policy and its cases.",
            |state, call| Box::pin(one(state, call)),
        )
        .answers::<Policy>(200),
        put.body::<NewTexts>().answers::<Written>(200).answers::<Written>(422),
    ]
}

/// The policies.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Whether the API may write policies: `admin.edit`.
    is_editable: bool,
    /// The policies.
    rows: Vec<Row>,
}

/// A policy in the list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The name, without `.rhai`.
    name: String,
    /// Whether it is a shipped policy without a file.
    is_library: bool,
    /// Whether there are cases beside it.
    has_cases: bool,
    /// Whether the pipeline runs it.
    in_pipeline: bool,
}

/// A policy.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// The name, without `.rhai`.
    name: String,
    /// Whether it is a shipped policy without a file.
    is_library: bool,
    /// The text.
    text: String,
    /// The text of its cases.
    cases: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTexts {
    /// The text of the policy.
    text: String,
    /// The text of its cases; unchanged if left out.
    cases: Option<String>,
}

/// The result of a write.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The problems of the draft, for which it is not written; or those of the reload after the write.
    problems: Vec<PlacedProblem>,
    /// The generation in use.
    generation: u64,
}

async fn list(state: Arc<State>) -> Result<Answer, Failure> {
    let gateway = state.live.load();
    let found = apart(move || folder(&gateway).list()).await?;
    let rows = found.map_err(|found| unread(&found))?.into_iter().map(|listed| {
        let Listed { name, is_library, has_cases, in_pipeline } = listed;
        Row { name, is_library, has_cases, in_pipeline }
    });
    Answer::json(&Page { is_editable: state.editing.is_some(), rows: rows.collect() })
}

async fn one(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let name = call.id()?.to_owned();
    let found = read(&state, &name).await?;
    let Found { is_library, texts, tag } = found.ok_or_else(|| absent(&name))?;
    let Texts { policy: text, cases } = texts;
    Ok(Answer::json(&Policy { name, is_library, text, cases })?.tagged(&tag))
}

async fn write(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let name = call.id()?.to_owned();
    let Some(editing) = &state.editing else {
        let message = "the config lets no operator write policies here: set `admin.edit: true`";
        return Err(Failure::new(StatusCode::FORBIDDEN, message));
    };
    let NewTexts { text, cases } = call.body()?;
    let draft = Draft { name: name.clone(), text };
    draft.check()?;
    // no other operator may write between the check of the version and the write
    let _turn = editing.lock().await;
    let current = read(&state, &name).await?;
    expects(&call, current.as_ref())?;
    let gateway = state.live.load();
    let checked = draft.clone();
    let problems = state.workshop.try_out(move || checked.problems(&gateway)).await?;
    if !problems.is_empty() {
        let generation = state.live.load().number;
        let refused = Written { problems, generation };
        let answer = Answer::with(StatusCode::UNPROCESSABLE_ENTITY, &refused)?;
        return Ok(answer.about(name).detail("the draft has problems, and is not written"));
    }
    let texts = Texts { policy: draft.text, cases };
    let (gateway, own) = (state.live.load(), name.clone());
    let size = texts.policy.len();
    apart(move || folder(&gateway).write(&own, &texts)).await?.map_err(refused)?;
    let problems = reloaded(&state).await;
    let generation = state.live.load().number;
    let problems = PlacedProblem::all(&problems, "");
    let written = read(&state, &name).await?;
    let detail = format!("{size} bytes, generation {generation}");
    let answer = Answer::json(&Written { problems, generation })?.about(name).detail(detail);
    Ok(match written {
        Some(Found { tag, .. }) => answer.tagged(&tag),
        None => answer,
    })
}

/// A policy with its version.
struct Found {
    is_library: bool,
    texts: Texts,
    tag: Tag,
}

/// Reads a policy; `None` if there is none with this name.
async fn read(state: &State, name: &str) -> Result<Option<Found>, Failure> {
    let (gateway, name) = (state.live.load(), name.to_owned());
    let found = apart(move || {
        let Some(place) = folder(&gateway).find(&name)? else { return Ok(None) };
        let texts = place.read().map_err(|problem| vec![problem])?;
        Ok(Some((matches!(place, Place::Shipped(_)), texts)))
    });
    let found = found.await?.map_err(|found: Vec<Problem>| unread(&found))?;
    Ok(found.map(|(is_library, texts)| {
        let cases = texts.cases.as_deref();
        let tag = Tag::of(&[&texts.policy, cases.map_or("", |_| "cases"), cases.unwrap_or("")]);
        Found { is_library, texts, tag }
    }))
}

/// Checks the version that a write expects.
fn expects(call: &Call, current: Option<&Found>) -> Result<(), Failure> {
    let is_new = call.headers.get_all(IF_NONE_MATCH).iter().any(|value| value == "*");
    match (current, is_new) {
        (None, true) => Ok(()),
        (None, false) => {
            let message = "there is no such policy: a new one needs `if-none-match: *`";
            let failure = Failure::new(StatusCode::PRECONDITION_FAILED, message);
            Err(failure.about("if-none-match", "`*`", "nothing"))
        }
        (Some(found), true) => {
            let failure =
                Failure::new(StatusCode::PRECONDITION_FAILED, "the policy exists already");
            let tag = found.tag.header();
            let tag = tag.to_str().unwrap_or_default().to_owned();
            Err(failure.about("if-none-match", "a name that is not in use", tag))
        }
        (Some(found), false) if call.headers.contains_key(http::header::IF_MATCH) => {
            call.expects(&found.tag)
        }
        (Some(_), false) => Err(missing()),
    }
}

async fn reloaded(state: &State) -> Vec<Problem> {
    match state.reloader.reload_if_changed().await {
        Reloaded::Refused(problems) => problems,
        Reloaded::Swapped(_) | Reloaded::Unchanged => Vec::new(),
    }
}

fn folder(gateway: &Gateway) -> Folder<'_> {
    Folder { dir: &gateway.policies.dir, order: gateway.order.as_deref() }
}

/// Runs work on the disk apart from the thread of the listener.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let message = "the work on the disk ended early";
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message))
}

fn unread(found: &[Problem]) -> Failure {
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, texts.join("; "))
}

fn absent(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    Failure::not_found(format!("there is no policy `{shown}`"))
}

fn refused(refused: Refused) -> Failure {
    match refused {
        Refused::Name(message) => {
            let failure = Failure::new(StatusCode::BAD_REQUEST, message);
            failure.about("name", "the name of a policy", "another text")
        }
        Refused::ReadOnly(message) => Failure::new(StatusCode::FORBIDDEN, message),
        Refused::Disk(problem) => Failure::new(StatusCode::CONFLICT, problem.to_string()),
    }
}
