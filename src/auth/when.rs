//! `When`: the compiled condition of a stage, a limit or a budget.
use wildmatch::WildMatch;

use crate::auth::condition::WhenConfig;
use crate::auth::identity::Caller;

/// The compiled patterns of a [`WhenConfig`].
#[derive(Debug, Clone, Default)]
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
