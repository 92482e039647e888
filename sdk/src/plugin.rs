//! `Plugin`: the one trait that a plugin implements.
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::document::{Message, Request};
use crate::problem::Result;
use crate::tool::Tool;

/// What a plugin is. Everything but its config has a default: override what you need.
pub trait Plugin: Sized {
    /// What the operator writes under `plugins.config.<name>`; [`NoConfig`] if nothing.
    type Config: DeserializeOwned + JsonSchema;

    /// The hooks that the gateway calls. A hook that is not named here is never called, and costs
    /// nothing. [`hooks`](Self::hooks) may name fewer of them.
    const HOOKS: &'static [Hook] = &[];

    /// What it needs of the host besides its log and its config: the operator grants each of it, or
    /// not. What is not named here is refused at the call.
    const WANTS: Wants = Wants::NOTHING;

    /// Makes the plugin ready for one call. It also runs when the plugin is loaded: a config that
    /// cannot work should fail here, so that it never goes live.
    fn new(config: Self::Config) -> Result<Self>;

    /// The hooks of [`HOOKS`](Self::HOOKS) that this config leaves something to do for: the others are not
    /// called, and cost nothing. It also runs for each stage of the pipeline that has parameters, which
    /// are [`host::context("with")`](crate::host::context) then: what cannot work is a problem with the
    /// code `invalid_config`, and never goes live.
    fn hooks(&self) -> Result<Vec<Hook>> {
        Ok(Self::HOOKS.to_vec())
    }

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
    /// [`Plugin::on_upstream_request`], where the target does not understand all of the request
    OnUnsupported,
    /// [`Plugin::on_response`]
    OnResponse,
}

/// What a plugin wants of the host. The operator allows it under `plugins.config.<name>`
/// (`allow_hosts`, `allow_models`, …); what both name is what it gets.
///
/// ```
/// use tidegate_sdk::Wants;
///
/// const WANTS: Wants = Wants::NOTHING.hosts(&["api.example.com"]).kv_bytes(64 << 10);
/// # let _ = WANTS;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wants {
    /// Host names for [`http`](crate::http), `*` as wildcard.
    pub hosts: &'static [&'static str],
    /// Aliases for [`host::model_call`](crate::host::model_call), `*` as wildcard.
    pub models: &'static [&'static str],
    /// How many bytes [`host::kv_set`](crate::host::kv_set) may keep in all, keys counted.
    pub kv_bytes: u32,
    /// Whether it calls [`host::publish`](crate::host::publish).
    pub publish: bool,
}

impl Wants {
    /// Nothing at all.
    pub const NOTHING: Self = Self { hosts: &[], models: &[], kv_bytes: 0, publish: false };

    /// And these hosts.
    pub const fn hosts(self, hosts: &'static [&'static str]) -> Self {
        Self { hosts, ..self }
    }

    /// And these aliases.
    pub const fn models(self, models: &'static [&'static str]) -> Self {
        Self { models, ..self }
    }

    /// And a store of so many bytes.
    pub const fn kv_bytes(self, kv_bytes: u32) -> Self {
        Self { kv_bytes, ..self }
    }

    /// And files that it makes public.
    pub const fn publish(self) -> Self {
        Self { publish: true, ..self }
    }
}

impl Hook {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnRequest => "on-request",
            Self::OnUpstreamRequest => "on-upstream-request",
            Self::OnUnsupported => "on-unsupported",
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
    /// Before an attempt only: this target is not for the request, and why. The next one is tried;
    /// with none left the caller reads all reasons in a 400.
    PassOver(String),
}

/// Where an attempt goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The provider's name in the config.
    pub provider: String,
    /// The model that the upstream is asked for.
    pub model: String,
    /// What of the request the target does not understand: `top_k`, `block:image`,
    /// `tool:web_search_20250305`.
    #[serde(default)]
    pub unsupported: Vec<String>,
    /// What is to become of that: `off`, `warn` or `error`, as the caller or the alias says.
    #[serde(default)]
    pub strictness: String,
    /// It speaks the Messages API itself.
    #[serde(default)]
    pub native: bool,
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
