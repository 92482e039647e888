//! `Location`: where the user is, for results that depend on it.
use tidegate_sdk::prelude::*;

/// A place, roughly.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Always `approximate`.
    #[serde(rename = "type")]
    _kind: Option<Approximate>,
    /// Such as `Hamburg`.
    pub(crate) city: Option<String>,
    /// Such as `California`.
    pub(crate) region: Option<String>,
    /// Two letters of ISO 3166, such as `DE`.
    #[schemars(length(min = 2, max = 2))]
    pub(crate) country: Option<String>,
    /// Of IANA, such as `Europe/Berlin`.
    pub(crate) timezone: Option<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Approximate {
    Approximate,
}
