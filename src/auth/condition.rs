//! The config of `when:`, the requests that a stage, a limit or a budget applies to.
use std::collections::BTreeMap;

/// The requests that a stage or rule applies to. Each pattern may contain `*` as a wildcard; absent keys match all.
#[derive(
    Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct WhenConfig {
    /// The model that the caller named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of the caller's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Tags of the key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl WhenConfig {
    /// Returns whether the condition holds for every request.
    pub(crate) fn is_for_all(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the keys with an empty pattern, such as `tags.team`.
    pub(crate) fn empty_patterns(&self) -> Vec<(Option<&'static str>, &str)> {
        let own = [("model", &self.model), ("key", &self.key)].into_iter();
        let own = own.filter(|(_, text)| text.as_deref() == Some("")).map(|(key, _)| (None, key));
        let tags = self.tags.iter().filter(|(_, text)| text.is_empty());
        own.chain(tags.map(|(tag, _)| (Some("tags"), tag.as_str()))).collect()
    }
}
