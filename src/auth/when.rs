//! `when:`: the requests that a stage, a limit or a budget applies to.
use std::collections::BTreeMap;

use wildmatch::WildMatch;

use crate::auth::Caller;

/// The requests that a stage or rule applies to. Each pattern may contain `*` as a wildcard; absent keys match all.
#[derive(
    Debug, Clone, Default, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(deny_unknown_fields, default)]
pub struct WhenConfig {
    /// The model that the caller named.
    pub model: Option<String>,
    /// The name of the caller's key.
    pub key: Option<String>,
    /// Tags of the key.
    pub tags: BTreeMap<String, String>,
}

impl WhenConfig {
    /// Returns the keys with an empty pattern, such as `tags.team`.
    pub(crate) fn empty_patterns(&self) -> Vec<(Option<&'static str>, &str)> {
        let own = [("model", &self.model), ("key", &self.key)].into_iter();
        let own = own.filter(|(_, text)| text.as_deref() == Some("")).map(|(key, _)| (None, key));
        let tags = self.tags.iter().filter(|(_, text)| text.is_empty());
        own.chain(tags.map(|(tag, _)| (Some("tags"), tag.as_str()))).collect()
    }
}

/// The compiled patterns of a [`WhenConfig`].
#[derive(Debug, Default)]
pub(crate) struct When {
    model: Option<WildMatch>,
    key: Option<WildMatch>,
    tags: Vec<(String, WildMatch)>,
}

impl When {
    /// Compiles the patterns.
    pub(crate) fn new(config: &WhenConfig) -> Self {
        let pattern = |text: &Option<String>| text.as_deref().map(WildMatch::new);
        Self {
            model: pattern(&config.model),
            key: pattern(&config.key),
            tags: config
                .tags
                .iter()
                .map(|(tag, text)| (tag.clone(), WildMatch::new(text)))
                .collect(),
        }
    }

    /// Returns whether a caller matches.
    pub(crate) fn fits_caller(&self, caller: &Caller) -> bool {
        self.key.as_ref().is_none_or(|pattern| pattern.matches(&caller.key))
            && self.tags.iter().all(|(tag, pattern)| {
                caller.tags.get(tag).is_some_and(|value| pattern.matches(value))
            })
    }

    /// Returns whether a model's name matches.
    pub(crate) fn fits_model(&self, model: &str) -> bool {
        self.model.as_ref().is_none_or(|pattern| pattern.matches(model))
    }

    /// Returns whether there is a pattern for models.
    pub(crate) fn names_models(&self) -> bool {
        self.model.is_some()
    }
}
