//! The problems of configured limits of time.
use crate::error::Problem;
use crate::policy::{PoliciesConfig, StageConfig};

/// Returns the problems of `policies.time_limit` and of the entries of `pipeline:`. A limit of zero would end
/// every call; a plugin has limits of its own.
pub(super) fn problems(policies: &PoliciesConfig, order: &[StageConfig]) -> Vec<Problem> {
    let zero = |path: String| Problem::new(path, "must be at least `1ms`, found `0s`");
    let mut problems = Vec::new();
    if policies.time_limit.is_zero() {
        problems.push(zero("policies.time_limit".to_owned()));
    }
    for (n, stage) in order.iter().enumerate() {
        if stage.time_limit.is_some_and(|limit| limit.is_zero()) {
            problems.push(zero(format!("pipeline[{n}].time_limit")));
        }
        let limits =
            [("time_limit", stage.time_limit), ("time_limit_per_mib", stage.time_limit_per_mib)];
        for (key, _) in limits.iter().filter(|(_, limit)| limit.is_some()) {
            if let (None, Some(plugin)) = (&stage.policy, &stage.plugin) {
                let message = format!(
                    "is for policies: the limit of a plugin is `plugins.config.{plugin}.hook_deadline`"
                );
                problems.push(Problem::new(format!("pipeline[{n}].{key}"), message));
            }
        }
    }
    problems
}
