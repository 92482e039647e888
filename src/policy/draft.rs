//! A draft of a policy in the place of the policy in use, for one request of an operator.
use serde_json::Map;

use crate::error::Problem;
use crate::policy::build::with_parameters;
use crate::policy::config::{PoliciesConfig, StageConfig, StageRules};
use crate::policy::pipeline::Pipeline;
use crate::policy::script::Script;
use crate::policy::stage::{Stage, Work};
use crate::telemetry::metrics::Metrics;

/// A draft that compiles.
pub(crate) struct Draft<'a> {
    /// The policy's name.
    pub(crate) name: &'a str,
    /// The compiled draft.
    pub(crate) script: &'a Script,
    /// The folder and the limits of policies.
    pub(crate) policies: &'a PoliciesConfig,
    /// The order of the stages in use, as the config has it.
    pub(crate) order: Option<&'a [StageConfig]>,
}

impl Pipeline {
    /// Returns the same pipeline with a draft: in the place of the stages with its name, else as the last stage.
    ///
    /// Fails if the draft does not accept the parameters of a stage.
    pub(crate) fn with_draft(&self, draft: &Draft<'_>) -> Result<Self, Vec<Problem>> {
        // the numbers of a draft are not those of the policy
        let metrics = Metrics::new();
        let mut stages = Vec::new();
        let mut is_placed = false;
        for (n, stage) in self.stages.iter().enumerate() {
            if stage.name() != draft.name || stage.plugin().is_some() {
                stages.push(stage.clone());
                continue;
            }
            is_placed = true;
            stages.push(stage.replaced(draft.work(n)?, &metrics));
        }
        if !is_placed {
            let work = draft.alone()?;
            stages.push(Stage::new(draft.name, work, &StageRules::default(), &metrics));
        }
        let tools = self.tools.clone();
        let pipeline = Self::new(stages, tools, &metrics).with_events(&self.events);
        Ok(pipeline.with_text_timeout(self.text_timeout))
    }
}

impl Draft<'_> {
    /// Returns a problem for each parameter of a stage that the draft does not accept.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let stages = self.order.unwrap_or_default().iter().enumerate();
        let own = stages.filter(|(_, stage)| stage.policy.as_deref() == Some(self.name));
        own.filter_map(|(n, _)| self.work(n).err()).flatten().collect()
    }

    fn work(&self, n: usize) -> Result<Work, Vec<Problem>> {
        match self.order.and_then(|order| order.get(n)) {
            Some(config) => with_parameters(n, self.script, config, self.policies),
            None => self.alone(),
        }
    }

    fn alone(&self) -> Result<Work, Vec<Problem>> {
        let PoliciesConfig { time_limit, time_limit_per_mib, .. } = self.policies;
        let script = self.script.within(*time_limit, *time_limit_per_mib);
        Ok(Work::Script(script, self.script.with(&Map::new())?))
    }
}
