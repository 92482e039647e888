//! `policies` and `plugins`: the stages and server tools with times, counts and last errors.
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::answer::Answer;
use crate::admin::failure::Failure;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::time;
use crate::ledger::row::text;
use crate::policy::OnError;
use crate::policy::overview::{PluginOverview, StageOverview};
use crate::telemetry::lives::{LastError, LifeNumbers};

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/policies",
            "Returns the stages of the pipeline in their order. Numbers count from the start of the process.",
            |state, _| Box::pin(async move { policies(&state) }),
        )
        .answers::<PoliciesPage>(200),
        Route::get(
            "/api/plugins",
            "Returns the plugins with their capabilities and server tools.",
            |state, _| Box::pin(async move { plugins(&state) }),
        )
        .answers::<PluginsPage>(200),
    ]
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoliciesPage {
    /// The stages, policies and plugins.
    stages: Vec<ShownStage>,
}

/// A stage.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownStage {
    /// The name.
    name: String,
    /// The kind.
    kind: Kind,
    /// The reaction if it fails: `deny` ends the request, `skip` continues without it.
    on_error: String,
    /// The hooks that it defines.
    hooks: Vec<ShownHook>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A Rhai script.
    Policy,
    /// A WebAssembly component.
    Plugin,
}

/// A hook of a stage.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownHook {
    /// The hook, such as `on_request`.
    hook: String,
    /// The numbers.
    numbers: Numbers,
}

/// Runs and times.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Numbers {
    /// The runs.
    runs: u64,
    /// The runs that failed.
    failures: u64,
    /// The runs that refused the request or a target.
    denials: u64,
    /// The runs that edited their subject.
    edits: u64,
    /// The time of all runs in microseconds.
    total_us: u64,
    /// The microseconds within which half of the runs ended; `null` without a run.
    p50_us: Option<u64>,
    /// The microseconds within which 99 of 100 runs ended; `null` without a run.
    p99_us: Option<u64>,
    /// The last error; `null` without one.
    last_error: Option<ShownError>,
}

/// The last error of a hook or tool.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownError {
    /// The time.
    at: String,
    /// The request's id.
    request_id: String,
    /// The message. An error of a policy names file, line and column.
    message: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PluginsPage {
    /// The plugins in the order of their files.
    plugins: Vec<ShownPlugin>,
}

/// A plugin.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownPlugin {
    /// The file's name without its ending.
    file: String,
    /// The name in its manifest.
    name: String,
    /// Its own version.
    version: String,
    /// The capabilities that its manifest requests.
    wants: ShownWants,
    /// The capabilities that it has, in words.
    granted: String,
    /// The keys of its config that would grant what it requests and does not get, in words; empty if it has all.
    lacking: String,
    /// The milliseconds until it is called again after repeated failures; `null` if it is called.
    suspended_ms: Option<u64>,
    /// The stages that it is.
    stages: Vec<String>,
    /// Its server tools.
    tools: Vec<ShownTool>,
}

/// The capabilities that a manifest requests.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownWants {
    /// The hosts.
    hosts: Vec<String>,
    /// The aliases.
    models: Vec<String>,
    /// The bytes of its own store.
    kv_bytes: u64,
    /// Whether it publishes files.
    publish: bool,
}

/// A server tool.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownTool {
    /// The name after `gateway:`.
    name: String,
    /// The numbers.
    numbers: Numbers,
}

fn policies(state: &State) -> Result<Answer, Failure> {
    let gateway = state.live.load();
    let stages = gateway.pipeline.stages_overview().into_iter().map(ShownStage::of);
    Answer::json(&PoliciesPage { stages: stages.collect() })
}

fn plugins(state: &State) -> Result<Answer, Failure> {
    let gateway = state.live.load();
    let plugins = gateway.pipeline.plugins_overview().into_iter().map(ShownPlugin::of);
    Answer::json(&PluginsPage { plugins: plugins.collect() })
}

impl ShownStage {
    fn of(stage: StageOverview<'_>) -> Self {
        let hooks = stage.hooks.into_iter().map(|(hook, numbers)| ShownHook {
            hook: hook.as_str().to_owned(),
            numbers: Numbers::of(numbers),
        });
        Self {
            name: text(stage.name),
            kind: if stage.is_plugin { Kind::Plugin } else { Kind::Policy },
            on_error: match stage.on_error {
                OnError::Deny => "deny".to_owned(),
                OnError::Skip => "skip".to_owned(),
            },
            hooks: hooks.collect(),
        }
    }
}

impl Numbers {
    fn of(numbers: LifeNumbers) -> Self {
        Self {
            runs: numbers.runs,
            failures: numbers.failures,
            denials: numbers.denials,
            edits: numbers.edits,
            total_us: time::micros(numbers.took),
            p50_us: numbers.half.map(time::micros),
            p99_us: numbers.most.map(time::micros),
            last_error: numbers.last_error.map(ShownError::of),
        }
    }
}

impl ShownError {
    fn of(error: LastError) -> Self {
        let LastError { at, request_id, message } = error;
        Self { at: time::text(at), request_id, message }
    }
}

impl ShownPlugin {
    fn of(overview: PluginOverview<'_>) -> Self {
        let manifest = overview.plugin.manifest();
        let wants = &manifest.wants;
        let tools = overview
            .tools
            .into_iter()
            .map(|(name, numbers)| ShownTool { name: text(name), numbers: Numbers::of(numbers) });
        Self {
            file: text(overview.file),
            name: text(&manifest.name),
            version: text(&manifest.version),
            wants: ShownWants {
                hosts: wants.hosts.iter().map(|host| text(host)).collect(),
                models: wants.models.iter().map(|model| text(model)).collect(),
                kv_bytes: wants.kv_bytes,
                publish: wants.publish,
            },
            granted: overview.granted,
            lacking: overview.lacking,
            suspended_ms: overview.suspended.map(time::millis),
            stages: overview.stages.into_iter().map(text).collect(),
            tools: tools.collect(),
        }
    }
}
