//! `Steps`: the runs of hooks in a trial, each with its changes, its decision and its log lines.
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::admin::changed::{self, Change, Cut};
use crate::context::Context;
use crate::error::Error;
use crate::policy::trial::logs::Logs;
use crate::policy::trial::run::is_breakage;
use crate::policy::watch::{Decided, End, Ran, Step, Watch};
use crate::policy::{Hook, Wishes};
use crate::telemetry::recorded::Edit;
use crate::telemetry::recording::Recording;

/// The longest detail of a decision, in bytes.
const DETAIL: usize = 4 * 1024;
/// The most log lines of a step.
const LINES: usize = 100;

/// A run of a hook.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialStep {
    /// The stage.
    stage: String,
    /// The hook. The runs of a hook over an answer are one step.
    hook: String,
    /// The decision.
    verdict: TrialVerdict,
    /// The message of a denial, an answer, or an error with its place; empty if the subject continues.
    detail: String,
    /// The changes.
    changes: Vec<Change>,
    /// The other effects: headers, tags, counts, events, another model.
    effects: Vec<Effect>,
    /// The log lines.
    logs: Vec<String>,
    /// Whether there are more changes or log lines.
    is_cut: bool,
}

/// The decision of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrialVerdict {
    /// The subject continues.
    Continue,
    /// The stage denies it.
    Deny,
    /// The stage answers itself.
    Respond,
    /// The stage failed.
    Error,
}

/// A side effect that a stage requests.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Effect {
    /// The kind: `header`, `response_header`, `tag`, `count`, `event` or `route`.
    kind: String,
    /// The name; empty for a route.
    name: String,
    /// The value; `null` if a header is removed.
    value: Option<String>,
}

/// The steps of a trial.
pub(crate) struct Steps {
    logs: Logs,
    done: Arc<Mutex<Vec<TrialStep>>>,
}

impl Steps {
    pub(crate) fn new(logs: Logs) -> Self {
        Self { logs, done: Arc::default() }
    }

    /// Returns the watch that collects the steps.
    pub(crate) fn watch(&self) -> Watch {
        let (logs, done) = (self.logs.clone(), Arc::clone(&self.done));
        Watch::new(move |step| done.lock().extend(TrialStep::of(step, &logs)))
    }

    /// Returns all steps: also those over an answer; their edits are in the recording. `failure` ended the answer.
    pub(crate) fn end(
        self,
        ctx: &Context,
        recording: &Recording,
        failure: Option<&Error>,
    ) -> Vec<TrialStep> {
        let mut steps = std::mem::take(&mut *self.done.lock());
        let hooks = [Hook::Event, Hook::Text, Hook::Response].map(Hook::as_str);
        let runs = ctx.story.read(|record| record.stages.clone());
        let of_answer = runs.iter().filter(|run| hooks.contains(&run.hook));
        for run in of_answer {
            let mut step = TrialStep::quiet(&run.stage, run.hook);
            let recorded = recording.read().steps;
            for own in recorded.iter().filter(|own| own.actor.hook == run.hook) {
                step.add(&own.edit);
            }
            if let Some(error) = failure.filter(|_| run.denied || run.failed) {
                (step.verdict, step.detail) = (TrialVerdict::of(error), detail(error));
            }
            // the watch has seen failures already
            let is_known = steps.iter().any(|known| {
                let is_same = known.hook == step.hook && known.stage == step.stage;
                is_same && known.verdict == TrialVerdict::Error
            });
            if !is_known {
                steps.push(step);
            }
        }
        let left = self.logs.take();
        if let Some(last) = steps.last_mut() {
            last.say(left);
        }
        steps
    }
}

impl TrialStep {
    fn quiet(stage: &str, hook: &'static str) -> Self {
        Self {
            stage: stage.to_owned(),
            hook: hook.to_owned(),
            verdict: TrialVerdict::Continue,
            detail: String::new(),
            changes: Vec::new(),
            effects: Vec::new(),
            logs: Vec::new(),
            is_cut: false,
        }
    }

    /// Returns the step of a run; `None` for a stage that did not run.
    fn of(step: &Step<'_>, logs: &Logs) -> Option<Self> {
        let mut shown = Self::quiet(step.stage, step.hook.as_str());
        match &step.end {
            End::NoHook | End::NotFor => return None,
            End::Done(ran) => shown.ran(ran),
            End::Broke(_, error) => {
                (shown.verdict, shown.detail) = (TrialVerdict::Error, detail(error));
            }
        }
        shown.say(logs.take());
        Some(shown)
    }

    fn ran(&mut self, ran: &Ran<'_>) {
        let (before, after) = (value(&ran.before), value(&ran.left));
        let (changes, is_cut) = changed::between(&before, &after, Cut::Short);
        (self.changes, self.is_cut) = (changes, is_cut);
        self.effects = effects(ran.wishes);
        let route = ran.route.map(|model| Effect::new("route", "", Some(model.to_owned())));
        self.effects.extend(route);
        match &ran.decision {
            Decided::GoOn => {}
            Decided::Deny(error) => {
                (self.verdict, self.detail) = (TrialVerdict::Deny, detail(error));
            }
            Decided::Answer(message) => {
                let text = String::from_utf8_lossy(message);
                (self.verdict, self.detail) = (TrialVerdict::Respond, bounded(&text));
            }
        }
    }

    /// Adds a recorded edit.
    fn add(&mut self, edit: &Edit) {
        match edit {
            Edit::Whole { before, after } => {
                let (changes, is_cut) = changed::between(&value(before), &value(after), Cut::Short);
                self.changes.extend(changes);
                self.is_cut |= is_cut;
            }
            Edit::Pieces { number, first } => {
                let pieces =
                    first.iter().map(|[before, after]| Change::piece(before, after, Cut::Short));
                self.changes.extend(pieces);
                self.is_cut |= *number > first.len() as u64;
            }
            Edit::TooLarge => self.is_cut = true,
        }
    }

    fn say(&mut self, lines: Vec<String>) {
        self.is_cut |= self.logs.len() + lines.len() > LINES;
        let room = LINES.saturating_sub(self.logs.len());
        self.logs.extend(lines.iter().take(room).map(|line| bounded(line)));
    }
}

impl TrialVerdict {
    fn of(error: &Error) -> Self {
        if is_breakage(error) { Self::Error } else { Self::Deny }
    }
}

impl Effect {
    fn new(kind: &str, name: &str, value: Option<String>) -> Self {
        Self { kind: kind.to_owned(), name: name.to_owned(), value }
    }
}

fn effects(wishes: &Wishes) -> Vec<Effect> {
    let tags =
        wishes.tags.iter().map(|(name, value)| Effect::new("tag", name, Some(value.clone())));
    let counts = wishes
        .counts
        .iter()
        .map(|(name, count)| Effect::new("count", name, Some(count.to_string())));
    let events = wishes.events.iter().map(|event| {
        let fields = serde_json::to_string(&event.fields).unwrap_or_default();
        Effect::new("event", event.name(), Some(fields))
    });
    let lists =
        [("header", &wishes.upstream_headers), ("response_header", &wishes.response_headers)];
    let headers = lists.into_iter().flat_map(|(kind, edits)| {
        edits.iter().map(move |(name, value)| {
            let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            Effect::new(kind, name.as_str(), value)
        })
    });
    headers.chain(tags).chain(counts).chain(events).collect()
}

/// Returns the message of an error with its status, and the place in the script.
fn detail(error: &Error) -> String {
    let source = error.source.as_deref().map(|source| format!("\n{source}")).unwrap_or_default();
    bounded(&format!("{} {}{source}", error.status().as_u16(), error.message))
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(DETAIL)].to_owned()
}

fn value(text: &Bytes) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}
