//! `Draft`: a policy that an operator writes, before it is a file.
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::failure::Failure;
use crate::admin::placed::PlacedProblem;
use crate::error::Problem;
use crate::gateway::Gateway;
use crate::policy;
use crate::policy::script::{Limits, Script};
use crate::policy::trial;

/// The longest name of a draft, in bytes.
const LONGEST: usize = 128;

/// A draft of a policy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The policy's name, without `.rhai`.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
}

impl Draft {
    /// Checks the name, which may be that of a shipped policy.
    ///
    /// Fails with a 400.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let is_good = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
        };
        if self.name.len() <= LONGEST && self.name.split('/').all(is_good) {
            return Ok(());
        }
        let shown: String = self.name.chars().take(80).collect();
        Err(Failure::field("name", "the name of a policy without `.rhai`", format!("{shown:?}")))
    }

    /// Returns the name of its file in messages.
    pub(crate) fn file(&self) -> String {
        format!("{}.rhai", self.name)
    }

    /// Compiles the draft with the modules of the gateway's folder. Reads the disk.
    pub(crate) fn compile(&self, gateway: &Gateway) -> Result<Script, Vec<PlacedProblem>> {
        let policies = &gateway.policies;
        let (time, time_per_mib) = (policies.time_limit, policies.time_limit_per_mib);
        let limits = Limits { time, time_per_mib, ..Limits::default() };
        let file = self.file();
        let compiled = trial::compiled(Path::new(&file), &self.text, &policies.dir, limits);
        let placed = |found: Vec<Problem>| PlacedProblem::all(&found, &file);
        compiled.map_err(placed)
    }

    /// Returns every problem of the draft, also those with the parameters of its stages.
    pub(crate) fn problems(&self, gateway: &Gateway) -> Vec<PlacedProblem> {
        match self.compile(gateway) {
            Ok(script) => PlacedProblem::all(&self.at(gateway, &script).problems(), &self.file()),
            Err(found) => found,
        }
    }

    /// Returns the draft in the pipeline of a gateway.
    pub(crate) fn at<'a>(&'a self, gateway: &'a Gateway, script: &'a Script) -> policy::Draft<'a> {
        let (policies, order) = (&gateway.policies, gateway.order.as_deref());
        policy::Draft { name: &self.name, script, policies, order }
    }
}
