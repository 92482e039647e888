//! Trials of a draft: its problems, its cases, and its effects on a request and an answer.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::drafts::Draft;
use crate::admin::failure::Failure;
use crate::admin::placed::PlacedProblem;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::gateway::Gateway;
use crate::policy::cases;
use crate::policy::folder::Folder;
use crate::policy::script::{Limits, Script};
use crate::policy::trial;

/// The time of a hook in a case: cases must not fail because a machine is busy.
const TIME: Duration = Duration::from_secs(5);

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    let check = Route::new(
        Method::POST,
        "/api/check",
        "Returns the problems of a draft of a policy.",
        |state, call| Box::pin(check(state, call)),
    );
    let test = Route::new(
        Method::POST,
        "/api/test",
        "Runs the cases of a draft of a policy.",
        |state, call| Box::pin(test(state, call)),
    );
    vec![
        check.tries().body::<Draft>().answers::<Checked>(200),
        test.tries().body::<AskedTest>().answers::<Tested>(200),
    ]
}

/// The problems of a draft.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Checked {
    /// The problems; empty if the policy could be used.
    problems: Vec<PlacedProblem>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AskedTest {
    /// The policy's name, without `.rhai`.
    name: String,
    /// Its text.
    text: String,
    /// The cases as YAML; those beside the file of this name if left out.
    cases: Option<String>,
}

/// The results of cases.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tested {
    /// The problems of the policy or of the file of cases; then no case ran.
    problems: Vec<PlacedProblem>,
    /// The cases in their order.
    cases: Vec<Tried>,
}

/// The result of a case.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tried {
    /// The name.
    name: String,
    /// The line of the file of cases where it begins.
    line: u64,
    /// Whether the result was as expected.
    is_passed: bool,
    /// The differences, one a line; empty without one.
    message: String,
}

async fn check(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let draft: Draft = call.body()?;
    draft.check()?;
    let gateway = state.live.load();
    let problems = state.workshop.try_out(move || draft.problems(&gateway)).await?;
    Answer::json(&Checked { problems })
}

async fn test(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let AskedTest { name, text, cases } = call.body()?;
    let draft = Draft { name, text };
    draft.check()?;
    let gateway = state.live.load();
    let tested = state.workshop.try_out(move || tested(&draft, cases, &gateway)).await?;
    Answer::json(&tested)
}

fn tested(draft: &Draft, cases: Option<String>, gateway: &Gateway) -> Tested {
    let limits = Limits { time: TIME, ..Limits::default() };
    let (file, dir) = (draft.file(), &gateway.policies.dir);
    let script = match trial::compiled(Path::new(&file), &draft.text, dir, limits) {
        Ok(script) => script,
        Err(found) => {
            let problems = PlacedProblem::all(&found, &file);
            return Tested { problems, cases: Vec::new() };
        }
    };
    match cases.map_or_else(|| beside(draft, gateway), |cases| Ok(Some(cases))) {
        Ok(Some(cases)) => run(&script, &cases, &draft.name),
        Ok(None) => Tested::default(),
        Err(problems) => Tested { problems, cases: Vec::new() },
    }
}

/// Returns the cases beside the file of this name.
fn beside(draft: &Draft, gateway: &Gateway) -> Result<Option<String>, Vec<PlacedProblem>> {
    let folder = Folder { dir: &gateway.policies.dir, order: gateway.order.as_deref() };
    let found = folder.find(&draft.name).and_then(|place| {
        let texts = place.map(|place| place.read()).transpose();
        texts.map_err(|problem| vec![problem])
    });
    let texts = found.map_err(|found| PlacedProblem::all(&found, ""))?;
    Ok(texts.and_then(|texts| texts.cases))
}

fn run(script: &Script, cases: &str, name: &str) -> Tested {
    let file = format!("{name}.cases.yaml");
    let results = match cases::run_cases(script, cases, Path::new(&file)) {
        Ok(results) => results,
        Err(problem) => {
            let problems = vec![PlacedProblem::of(&problem, &file)];
            return Tested { problems, cases: Vec::new() };
        }
    };
    let tried = results.into_iter().map(|result| {
        let lines: Vec<String> = result.differences.iter().map(ToString::to_string).collect();
        Tried {
            name: result.name,
            line: result.line,
            is_passed: lines.is_empty(),
            message: lines.join("\n"),
        }
    });
    Tested { problems: Vec::new(), cases: tried.collect() }
}
