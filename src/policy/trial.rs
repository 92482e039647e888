//! The parts of a trial: compiled policies and their pipeline, the events of SSE text, the run, the log lines.
pub(crate) mod logs;
pub(crate) mod run;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::error::{Error, Problem};
use crate::policy::Pipeline;
use crate::policy::config::StageRules;
use crate::policy::script::{Limits, Script, ScriptEngine};
use crate::policy::stage::{Stage, Work};
use crate::telemetry::metrics::Metrics;
use crate::wire::Event;
use crate::wire::sse::Cutter;

/// Compiles a policy with the modules of a folder. `path` is its name in messages.
pub(crate) fn compiled(
    path: &Path,
    source: &str,
    folder: &Path,
    limits: Limits,
) -> Result<Script, Vec<Problem>> {
    ScriptEngine::with_modules(limits, folder)?.compile(path, source)
}

/// Returns a pipeline of these policies in this order, each with the same parameters.
///
/// Fails with a problem for each parameter that a policy with declared parameters rejects.
pub(crate) fn pipeline_of(
    scripts: Vec<Script>,
    with: &Map<String, Value>,
) -> Result<Pipeline, Vec<Problem>> {
    let metrics = Metrics::new();
    let stage = |script: Script| {
        let name = script.name().to_owned();
        let with = script.with(with).map_err(|problems| {
            let named = |problem: Problem| Problem {
                path: format!("{name}: with{}", problem.path),
                ..problem
            };
            problems.into_iter().map(named).collect::<Vec<_>>()
        })?;
        Ok(Stage::new(&name, Work::Script(script, with), &StageRules::default(), &metrics))
    };
    let stages = scripts.into_iter().map(stage).collect::<Result<_, Vec<Problem>>>()?;
    Ok(Pipeline::new(stages, BTreeMap::new(), &metrics))
}

/// Parses SSE text into events. The last frame may lack the blank line. Fails if a frame has no bounds.
pub(crate) fn events(text: &str) -> Result<Vec<Event>, Error> {
    let mut cutter = Cutter::default();
    cutter.push(Bytes::from(format!("{}\n\n", text.trim_end())));
    let mut events = Vec::new();
    while let Some(frame) = cutter.next_frame()? {
        events.push(Event::from_frame(frame));
    }
    Ok(events)
}
