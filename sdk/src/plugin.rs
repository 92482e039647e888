//! `Plugin`: the trait that every plugin implements.
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::document::{Message, Request};
use crate::problem::Result;
use crate::tool::Tool;

/// A plugin. Everything except its config has a default.
pub trait Plugin: Sized {
    /// The operator's settings under `plugins.config.<name>`; [`NoConfig`] if there are none.
    type Config: DeserializeOwned + JsonSchema;

    /// The hooks that the gateway calls. A hook that is missing here is never called, and costs
    /// nothing. [`hooks`](Self::hooks) may leave out more of them.
    const HOOKS: &'static [Hook] = &[];

    /// The capabilities that the plugin needs of the host, besides its log and its config. The
    /// operator grants each of them or not. A call of a capability that is missing here is
    /// rejected.
    const WANTS: Wants = Wants::NOTHING;

    /// Makes the plugin for one call. It also runs when the plugin is loaded. It should fail on a
    /// config that cannot work, so that this config never goes live.
    fn new(config: Self::Config) -> Result<Self>;

    /// Returns the hooks of [`HOOKS`](Self::HOOKS) that have work with this config. The others are
    /// not called, and cost nothing.
    ///
    /// It also runs for each stage of the pipeline that has parameters, which are then in
    /// [`host::context("with")`](crate::host::context). Parameters that cannot work are a problem
    /// with the code `invalid_config`, and never go live.
    fn hooks(&self) -> Result<Vec<Hook>> {
        Ok(Self::HOOKS.to_vec())
    }

    /// Returns the server tools of this plugin.
    fn tools() -> Vec<Tool<Self>> {
        Vec::new()
    }

    /// Called once for each request, when the caller is known.
    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        let _ = request;
        Ok(Action::Next)
    }

    /// Called before each attempt, when the target is known.
    fn on_upstream_request(&self, request: &mut Request<'_>, target: &Target) -> Result<Action> {
        let _ = (request, target);
        Ok(Action::Next)
    }

    /// Called when the message is complete. A streamed message has already been sent, and edits are
    /// lost.
    fn on_response(&self, message: &mut Message<'_>) -> Result<Action> {
        let _ = message;
        Ok(Action::Next)
    }
}

/// A point in a request's path where the gateway calls a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// [`Plugin::on_request`]
    OnRequest,
    /// [`Plugin::on_upstream_request`]
    OnUpstreamRequest,
    /// [`Plugin::on_upstream_request`], only if the target does not support all of the request
    OnUnsupported,
    /// [`Plugin::on_response`]
    OnResponse,
}

/// The capabilities that a plugin requests. The operator grants them under `plugins.config.<name>`
/// (`allow_hosts`, `allow_models`, …). The plugin gets those that are in both lists.
///
/// ```
/// use tidegate_sdk::Wants;
///
/// const WANTS: Wants = Wants::NOTHING.hosts(&["api.example.com"]).kv_bytes(64 << 10);
/// # let _ = WANTS;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wants {
    /// The host names for [`http`](crate::http), with `*` as wildcard.
    pub hosts: &'static [&'static str],
    /// The aliases for [`host::model_call`](crate::host::model_call), with `*` as wildcard.
    pub models: &'static [&'static str],
    /// The bytes that [`host::kv_set`](crate::host::kv_set) may keep in total, keys included.
    pub kv_bytes: u32,
    /// Whether the plugin calls [`host::publish`](crate::host::publish).
    pub publish: bool,
}

impl Wants {
    /// No capability.
    pub const NOTHING: Self = Self { hosts: &[], models: &[], kv_bytes: 0, publish: false };

    /// Adds hosts.
    pub const fn hosts(self, hosts: &'static [&'static str]) -> Self {
        Self { hosts, ..self }
    }

    /// Adds model aliases.
    pub const fn models(self, models: &'static [&'static str]) -> Self {
        Self { models, ..self }
    }

    /// Adds a store of `kv_bytes` bytes.
    pub const fn kv_bytes(self, kv_bytes: u32) -> Self {
        Self { kv_bytes, ..self }
    }

    /// Adds the publishing of files.
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

/// The decision of a hook. Its edits are in the document.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Continue.
    Next,
    /// Continue with another model (alias).
    Route(String),
    /// Answer with a whole message of the Messages API instead of calling the upstream.
    Respond(serde_json::Value),
    /// Reject the request with a status (400 to 599) and a message for the caller.
    Deny(u16, String),
    /// Before an attempt only: skip this target, for a reason. The gateway tries the next target.
    /// If none is left, the caller gets all reasons in a 400.
    PassOver(String),
}

/// The target of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// The provider's name in the config.
    pub provider: String,
    /// The model name that is sent to the upstream.
    pub model: String,
    /// The parts of the request that the target does not support: `top_k`, `block:image`,
    /// `tool:web_search_20250305`.
    #[serde(default)]
    pub unsupported: Vec<String>,
    /// The treatment of these parts: `off`, `warn` or `error`, from the caller or the alias.
    #[serde(default)]
    pub strictness: String,
    /// Whether the target speaks the Messages API itself.
    #[serde(default)]
    pub native: bool,
}

/// The config of a plugin without settings. It rejects everything except `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// The plugin's name and version. [`export!`](crate::export) takes them from the plugin's crate.
pub trait Package {
    /// `package.name`
    const NAME: &'static str;
    /// `package.version`
    const VERSION: &'static str;
}
