//! `Location`: the location of the user, for results that depend on it.
use tidegate_sdk::prelude::*;

/// An approximate place.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Always `approximate`.
    #[serde(rename = "type")]
    _kind: Option<Approximate>,
    /// The city, such as `Hamburg`.
    pub(crate) city: Option<String>,
    /// The region, such as `California`.
    pub(crate) region: Option<String>,
    /// The country as two letters of ISO 3166, such as `DE`.
    #[schemars(length(min = 2, max = 2))]
    pub(crate) country: Option<String>,
    /// The time zone of IANA, such as `Europe/Berlin`.
    pub(crate) timezone: Option<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Approximate {
    Approximate,
}
