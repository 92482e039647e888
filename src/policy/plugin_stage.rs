//! Plugins as stages: the hooks that a plugin has, and the meaning of its decisions for the request.
use std::sync::Arc;

use crate::error::{Act, Error, Scope};
use crate::plugin_host::{Decision, Export, Plugin};
use crate::policy::{Hook, Hooks, Outcome, Verdict};
use crate::wire::Reply;

/// Returns the hooks that the plugin needs. A plugin with no work at a hook does not have that hook.
pub(super) fn hooks(plugin: &Plugin) -> Hooks {
    let exports = [
        (Export::OnRequest, Hook::Request),
        (Export::OnUpstreamRequest, Hook::UpstreamRequest),
        (Export::OnResponse, Hook::Response),
    ];
    let called = exports.into_iter().filter(|(export, _)| plugin.is_called_for(*export));
    called.map(|(_, hook)| hook).collect()
}

/// Maps a decision of a plugin onto the request; `stage` is its name in the pipeline.
pub(crate) fn outcome(stage: &Arc<str>, decision: Decision) -> Outcome {
    let verdict = match decision {
        Decision::Next => Verdict::Continue,
        Decision::Route(model) => return Outcome { route: Some(model), ..Outcome::default() },
        Decision::Respond(message) => Verdict::Respond(Box::new(Reply::json(message))),
        Decision::Deny(error) => {
            Verdict::Deny(Box::new(error.by_stage(stage, Scope::Exchange, Act::Decided)))
        }
        Decision::PassOver(why) => Verdict::Deny(Box::new(Error::passed_over(stage, &why))),
    };
    Outcome { verdict, ..Outcome::default() }
}
