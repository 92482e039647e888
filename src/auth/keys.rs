//! Caller keys: their config, their comparison, and making new ones.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Secret;

/// An entry of `keys:`; exactly one of `hash` and `key`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What logs, metrics and policies call this caller.
    pub name: String,
    /// `sha256:` and 64 hex digits, as `tidegate key new` prints it.
    pub hash: Option<String>,
    /// The key itself, from the environment or a file: `"${CI_KEY}"`.
    #[schemars(with = "Option<String>")]
    pub key: Option<Secret>,
    /// Which models the key may name, with `*`; all if absent.
    pub models: Option<Vec<String>>,
    /// For policies (`when: { tags: … }`) and metrics.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
