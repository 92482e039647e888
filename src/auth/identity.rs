//! `Identity`: an authenticated client, and its rights.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::auth::allowance::Allowance;
use crate::auth::life::KeyEnd;
use crate::auth::rights::Rights;
use crate::error::{Error, ErrorKind, Result, Secret};

/// The client, by its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The key's `name`; empty if the gateway is open.
    pub key: String,
    /// The key's `tags`.
    pub tags: BTreeMap<String, String>,
    /// The issuer and the subject of a token; `None` for a key.
    pub subject: Option<String>,
    /// The limits and budgets of the key itself.
    pub(crate) allowance: Option<Arc<Allowance>>,
}

impl Caller {
    /// Returns the name by which limits, budgets and state tell clients apart. The name of a token's client may be shared, or
    /// change.
    pub(crate) fn id(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.key)
    }
}

/// A client that may use the gateway; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Identity {
    /// The client's name and tags.
    pub caller: Arc<Caller>,
    /// The client's own `Authorization` value, if it authenticated with `x-tidegate-key`.
    pub credential: Option<Secret>,
    /// The end of the key, if it ends the requests under way.
    pub(crate) end: Option<KeyEnd>,
    pub(super) rights: Arc<Rights>,
}

impl Identity {
    /// Fails with a 403 if the key is limited to some models or server tools: only another key may use routes on which the
    /// gateway sees neither.
    pub(crate) fn check_unlimited(&self) -> Result<()> {
        let some = match (self.rights.allow_all_models(), self.rights.allow_all_tools()) {
            (true, true) => return Ok(()),
            (false, _) => "models",
            (true, false) => "server tools",
        };
        let message = format!(
            "the key `{}` may use some {some} only, and on this route the gateway does not see which is used",
            self.caller.key
        );
        Err(Error::new(ErrorKind::Permission, message))
    }

    /// Returns whether the key may name this model (alias).
    pub(crate) fn may_use(&self, model: &str) -> bool {
        self.rights.allow_model(model)
    }

    /// Returns whether the key is limited to some server tools.
    pub(crate) fn has_own_tools(&self) -> bool {
        !self.rights.allow_all_tools()
    }

    /// Returns whether the key may use a server tool, by its name without prefix and date.
    pub(crate) fn may_call(&self, tool: &str) -> bool {
        self.rights.allow_tool(tool)
    }

    /// Fails with a 403 that names key and model if the key may not name this model.
    pub(crate) fn check_model(&self, model: &str) -> Result<()> {
        if self.may_use(model) {
            return Ok(());
        }
        let message = format!(
            "the key `{}` may not use the model `{model}`: `GET /v1/models` lists those that it may use",
            self.caller.key
        );
        Err(Error::new(ErrorKind::Permission, message))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("caller", &self.caller)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}
