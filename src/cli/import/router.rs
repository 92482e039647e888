//! The settings for all models: retries, times, strategy and fallbacks, of `router_settings` and `litellm_settings`.
use crate::cli::import::node::{Node, Tree};
use crate::cli::import::notes::{Near, Notes, Spot};
use crate::cli::import::section::Section;

/// The settings for all models.
#[derive(Debug, Default)]
pub(super) struct Router {
    pub(super) strategy: Option<(String, Spot)>,
    pub(super) retries: Option<u64>,
    pub(super) backoff: Option<f64>,
    pub(super) timeout: Option<f64>,
    pub(super) stream_timeout: Option<f64>,
    pub(super) cooldown: Option<f64>,
    /// The most requests at the same time for each deployment.
    pub(super) concurrent: Option<u64>,
    pub(super) fallbacks: Vec<Fallback>,
    /// The fallbacks of a name without any of its own.
    pub(super) default_fallbacks: Vec<String>,
    /// Further names of a name.
    pub(super) aliases: Vec<Further>,
}

/// The fallbacks of a name.
#[derive(Debug, Clone)]
pub(super) struct Fallback {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) spot: Spot,
}

/// A further name of an alias.
#[derive(Debug, Clone)]
pub(super) struct Further {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) spot: Spot,
}

impl Router {
    /// Reads the settings of a section that are not known yet. `router_settings` comes first, since it wins.
    pub(super) fn read(&mut self, section: &mut Section<'_>, notes: &Notes) {
        self.read_times(section, notes);
        if let Some((strategy, spot)) = section.text("routing_strategy")
            && let Some(strategy) = strategy.literal()
        {
            self.strategy.get_or_insert((strategy.to_owned(), spot));
        }
        let concurrent = section.count("default_max_parallel_requests").map(|(count, _)| count);
        self.concurrent = self.concurrent.or(concurrent);
        let fallbacks = read_fallbacks(section, notes);
        if self.fallbacks.is_empty() {
            self.fallbacks = fallbacks;
        } else {
            for Fallback { spot, .. } in fallbacks {
                notes.left(
                    &spot,
                    Near::Section("models"),
                    "`router_settings.fallbacks` takes its place",
                );
            }
        }
        let default: Vec<String> =
            section.texts("default_fallbacks").into_iter().map(|(name, _)| name).collect();
        if self.default_fallbacks.is_empty() {
            self.default_fallbacks = default;
        }
        self.read_aliases(section, notes);
    }

    fn read_times(&mut self, section: &mut Section<'_>, notes: &Notes) {
        let mut number = |key: &str| section.number(key).map(|(number, _)| number);
        let (retries, again) = (number("num_retries"), number("max_retries"));
        self.retries = self.retries.or(retries.or(again).map(|number| number as u64));
        self.backoff = self.backoff.or(number("retry_after").filter(|wait| *wait > 0.0));
        self.timeout = self.timeout.or(number("timeout")).or(number("request_timeout"));
        self.stream_timeout = self.stream_timeout.or(number("stream_timeout"));
        self.cooldown = self.cooldown.or(number("cooldown_time"));
        if let Some((true, _)) = section.truth("disable_cooldowns") {
            self.cooldown = Some(0.0);
        }
        for key in ["allowed_fails"] {
            if let Some((_, spot)) = section.number(key) {
                notes.left(&spot, Near::Section("models"), crate::cli::import::advice::router(key));
            }
        }
    }

    fn read_aliases(&mut self, section: &mut Section<'_>, notes: &Notes) {
        let Some(field) = section.take("model_group_alias") else { return };
        for entry in field.node.entries() {
            let spot =
                Spot { at: entry.at.clone(), path: format!("{}.{}", field.spot.path, entry.key) };
            let group = match &entry.node.value {
                Tree::Map(_) => {
                    if entry.node.get("hidden").and_then(Node::scalar).as_deref() == Some("true") {
                        let text = "`hidden`: `GET /v1/models` lists every name that a key may use; `models` of the key limits it";
                        notes.changed(&spot, Near::Alias(entry.key.clone()), text);
                    }
                    entry.node.get("model").and_then(Node::scalar)
                }
                _ => entry.node.scalar(),
            };
            match group {
                Some(group) => self.aliases.push(Further { name: entry.key.clone(), group, spot }),
                None => notes.left(&spot, Near::Section("models"), "expected the name of a model"),
            }
        }
    }

    /// Returns the fallbacks of a name.
    pub(super) fn fallbacks_of(&self, name: &str) -> (Vec<String>, Option<&Spot>) {
        let find = |from: &str| self.fallbacks.iter().find(|fallback| fallback.from == from);
        let (to, spot) = match find(name).or_else(|| find("*")) {
            Some(found) => (found.to.clone(), Some(&found.spot)),
            None => (self.default_fallbacks.clone(), None),
        };
        (to.into_iter().filter(|to| to != name).collect(), spot)
    }
}

/// Reads a list of mappings from a name to its fallbacks.
fn read_fallbacks(section: &mut Section<'_>, notes: &Notes) -> Vec<Fallback> {
    let Some(field) = section.take("fallbacks") else { return Vec::new() };
    let mut found: Vec<Fallback> = Vec::new();
    let items = match &field.node.value {
        // a mapping is understood as a list of one
        Tree::Map(_) => std::slice::from_ref(field.node),
        _ => field.node.items(),
    };
    for (n, item) in items.iter().enumerate() {
        let spot = field.spot.index(n, &item.at);
        if item.entries().is_empty() {
            let text = "expected a mapping from a name to the list of its fallbacks";
            notes.left(&spot, Near::Section("models"), text);
        }
        for entry in item.entries() {
            let spot = Spot { at: entry.at.clone(), path: format!("{}.{}", spot.path, entry.key) };
            let names = entry.node.items().iter();
            let to: Vec<String> = names.clone().filter_map(Node::scalar).collect();
            if to.len() < names.len() || to.is_empty() {
                let text = "expected a list of names; a fallback with parameters of its own is not carried: the nearest is \
                            an alias, and a policy with `on_upstream_request`";
                notes.left(&spot, Near::Alias(entry.key.clone()), text);
            }
            if !to.is_empty() {
                found.push(Fallback { from: entry.key.clone(), to, spot });
            }
        }
    }
    found
}
