//! A request's way through the stages one by one, for those who write policies.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::error::{Error, Problem};
use crate::policy::config::StageRules;
use crate::policy::passage::still_a_request;
use crate::policy::script::Script;
use crate::policy::stage::{Stage, Work};
use crate::policy::{Hook, Passage, Pipeline, Verdict, Wishes};
use crate::telemetry::metrics::Metrics;
use crate::wire::sse::Cutter;
use crate::wire::{Event, MessagesRequest};

/// What one stage made of a request in `on_request`.
pub struct Step {
    /// The stage's name.
    pub stage: String,
    /// How long it took.
    pub time: Duration,
    /// The body that it got.
    pub before: Bytes,
    /// The body that it left.
    pub after: Bytes,
    /// What it decided.
    pub end: End,
}

/// How a stage ended.
pub enum End {
    /// It was not run, since it has no `on_request`.
    NoHook,
    /// It was not run, since its `when` does not fit.
    NotFor,
    /// It ran to its end or decided something.
    Done(Box<Decided>),
    /// It broke, or the request is none.
    Broke(Box<Error>),
}

/// What a stage decided and asked for.
pub struct Decided {
    /// Whether the request goes on.
    pub verdict: Verdict,
    /// The model that it goes to instead.
    pub route: Option<String>,
    /// Headers, tags and counts.
    pub wishes: Wishes,
}

/// Policies as the stages of a pipeline, in this order, each with the same parameters.
///
/// Fails with what a policy that declares its parameters finds wrong with them.
pub fn pipeline_of(
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

/// The events of SSE text; its last frame may lack the blank line. Fails if a frame has no bounds.
pub fn events(text: &str) -> Result<Vec<Event>, Error> {
    let mut cutter = Cutter::default();
    cutter.push(Bytes::from(format!("{}\n\n", text.trim_end())));
    let mut events = Vec::new();
    while let Some(frame) = cutter.next_frame()? {
        events.push(Event::from_frame(frame));
    }
    Ok(events)
}

impl Passage {
    /// Runs `on_request` stage by stage, until one ends it or breaks, whatever its `on_error` says,
    /// and tells of each step at once. Gives the request if it would go on.
    pub async fn steps(
        &self,
        request: MessagesRequest,
        mut tell: impl FnMut(&Step),
    ) -> Option<MessagesRequest> {
        let mut request = request;
        for stage in &self.pipeline.stages {
            let before = request.to_bytes();
            if !stage.is_for(Hook::Request, &self.ctx) {
                tell(&Step::idle(stage, before));
                continue;
            }
            let started = Instant::now();
            let done = self.step(stage, request).await;
            let time = started.elapsed();
            let (passed, end) = match done {
                Ok((passed, decided)) => (Some(passed), End::Done(Box::new(decided))),
                Err(error) => (None, End::Broke(Box::new(error))),
            };
            let after = passed.as_ref().map_or(before.clone(), MessagesRequest::to_bytes);
            let goes_on =
                matches!(&end, End::Done(done) if matches!(done.verdict, Verdict::Continue));
            tell(&Step { stage: stage.name().to_owned(), time, before, after, end });
            match passed {
                Some(passed) if goes_on => request = passed,
                _ => return None,
            }
        }
        Some(request)
    }

    async fn step(
        &self,
        stage: &Stage,
        request: MessagesRequest,
    ) -> Result<(MessagesRequest, Decided), Error> {
        let (read, document) = request.into_parts();
        let (document, outcome) = stage.on_request(self, document).await?;
        let mut request = still_a_request(stage, (document, &outcome), read)?;
        if let Some(model) = &outcome.route {
            request.set_model(model)?;
        }
        self.keep(outcome.wishes.clone());
        let decided =
            Decided { verdict: outcome.verdict, route: outcome.route, wishes: outcome.wishes };
        Ok((request, decided))
    }
}

impl Step {
    /// Of a stage that is not run.
    fn idle(stage: &Stage, body: Bytes) -> Self {
        let end = if stage.hooks().has(Hook::Request) { End::NotFor } else { End::NoHook };
        let stage = stage.name().to_owned();
        Self { stage, time: Duration::ZERO, before: body.clone(), after: body, end }
    }
}
