//! What the pipeline makes of a plugin: which hooks it is a stage of, and what its decisions are here.
use crate::plugin_host::{Decision, Export, Plugin};
use crate::policy::{Hook, Hooks, Outcome, PassedOver, Verdict};
use crate::wire::Reply;

/// Which hooks it wants to be called for: of a stage that has nothing to do there is none.
pub(super) fn hooks(plugin: &Plugin) -> Hooks {
    let exports = [
        (Export::OnRequest, Hook::Request),
        (Export::OnUpstreamRequest, Hook::UpstreamRequest),
        (Export::OnResponse, Hook::Response),
    ];
    let called = exports.into_iter().filter(|(export, _)| plugin.is_called_for(*export));
    called.map(|(_, hook)| hook).collect()
}

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        let verdict = match decision {
            Decision::Next => Verdict::Continue,
            Decision::Route(model) => return Self { route: Some(model), ..Self::default() },
            Decision::Respond(message) => Verdict::Respond(Box::new(Reply::json(message))),
            Decision::Deny(error) => Verdict::Deny(error),
            Decision::PassOver(why) => Verdict::Deny(Box::new(PassedOver::error(&why))),
        };
        Self { verdict, ..Self::default() }
    }
}
