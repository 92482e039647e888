//! The settings of a key, in the config or in the key store.
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::auth::allowance::{Allowance, OwnBudget, OwnLimit};
use crate::auth::entries::Entries;
use crate::auth::expiry::Expiry;
use crate::auth::holder::Holder;
use crate::auth::identity::Caller;
use crate::auth::rights::Rights;

/// The settings of a key, without the key itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySettings {
    /// The client's name in logs, metrics and policies.
    pub(crate) name: String,
    /// The models that it may name, with `*`; all if absent.
    #[serde(default)]
    pub(crate) models: Option<Vec<String>>,
    /// The server tools that it may use, with `*`; all if absent.
    #[serde(default)]
    pub(crate) tools: Option<Vec<String>>,
    /// Tags for policies, limits and metrics.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// The time from which it is refused.
    #[serde(default)]
    pub(crate) expires: Option<Expiry>,
    /// Whether it is refused until it is enabled again.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// The limits of the key itself.
    #[serde(default, skip_serializing_if = "Entries::is_empty")]
    pub(crate) limits: Entries<OwnLimit>,
    /// The budgets of the key itself.
    #[serde(default, skip_serializing_if = "Entries::is_empty")]
    pub(crate) budget: Entries<OwnBudget>,
}

impl KeySettings {
    /// Returns the client that holds the key.
    pub(super) fn holder(&self) -> Holder {
        let rights = Rights::new(self.models.as_deref(), self.tools.as_deref());
        let caller = Caller {
            key: self.name.clone(),
            tags: self.tags.clone(),
            subject: None,
            allowance: Allowance::of(&self.limits, &self.budget),
        };
        Holder {
            caller: Arc::new(caller),
            rights: Arc::new(rights),
            expires: self.expires,
            is_disabled: self.disabled,
            life: None,
            cuts: false,
        }
    }
}
