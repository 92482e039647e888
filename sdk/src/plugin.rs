//! `Plugin`: the one trait that a plugin implements.
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::document::{Message, Request};
use crate::problem::Result;
use crate::tool::Tool;

/// What a plugin is. Everything but its config has a default: override what you need.
pub trait Plugin: Sized {
    /// What the operator writes under `plugins.config.<name>`; [`NoConfig`] if nothing.
    type Config: DeserializeOwned + JsonSchema;

    /// The hooks that the gateway calls. A hook that is not named here is never called, and costs
    /// nothing.
    const HOOKS: &'static [Hook] = &[];

    /// Makes the plugin ready for one call. It also runs when the plugin is loaded: a config that
    /// cannot work should fail here, so that it never goes live.
    fn new(config: Self::Config) -> Result<Self>;

    /// The server tools of this plugin.
    fn tools() -> Vec<Tool<Self>> {
        Vec::new()
    }

    /// Once a request, when the caller is known.
    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        let _ = request;
        Ok(Action::Next)
    }

    /// Before each attempt, when the target is known.
    fn on_upstream_request(&self, request: &mut Request<'_>, target: &Target) -> Result<Action> {
        let _ = (request, target);
        Ok(Action::Next)
    }

    /// When the message is whole. Of a stream it has been sent already, and edits are lost.
    fn on_response(&self, message: &mut Message<'_>) -> Result<Action> {
        let _ = message;
        Ok(Action::Next)
    }
}

/// A point of a request's path at which the gateway calls a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// [`Plugin::on_request`]
    OnRequest,
    /// [`Plugin::on_upstream_request`]
    OnUpstreamRequest,
    /// [`Plugin::on_response`]
    OnResponse,
}

impl Hook {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnRequest => "on-request",
            Self::OnUpstreamRequest => "on-upstream-request",
            Self::OnResponse => "on-response",
        }
    }
}

/// What a hook decides; its edits are in the document.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Go on.
    Next,
    /// Go on with another model (alias).
    Route(String),
    /// Answer in the upstream's place with a whole message of the Messages API.
    Respond(serde_json::Value),
    /// Refuse the request with a status (400 to 599) and a message for the caller.
    Deny(u16, String),
}

/// Where an attempt goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The provider's name in the config.
    pub provider: String,
    /// The model that the upstream is asked for.
    pub model: String,
    /// Request parameters that the target does not understand.
    #[serde(default)]
    pub unsupported: Vec<String>,
}

/// The config of a plugin that has none: anything but `{}` is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// The plugin's name and version, which [`export!`](crate::export) takes from its crate.
pub trait Package {
    /// `package.name`
    const NAME: &'static str;
    /// `package.version`
    const VERSION: &'static str;
}
