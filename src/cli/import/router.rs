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
            let read = Some(((strategy.to_owned(), spot.clone()), spot));
            self.strategy = first(self.strategy.take(), read, notes);
        }
        let concurrent = section.count("default_max_parallel_requests");
        self.concurrent = first(self.concurrent, concurrent, notes);
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
        let default = section.texts("default_fallbacks");
        match (self.default_fallbacks.is_empty(), default.first()) {
            (false, Some((_, spot))) => {
                notes.left(
                    spot,
                    Near::Section("models"),
                    "another setting of the file comes first",
                );
            }
            _ => self.default_fallbacks.extend(default.into_iter().map(|(name, _)| name)),
        }
        self.read_aliases(section, notes);
    }

    fn read_times(&mut self, section: &mut Section<'_>, notes: &Notes) {
        for key in ["num_retries", "max_retries"] {
            self.retries = first(self.retries, section.whole(key), notes);
        }
        let wait = section.number("retry_after").filter(|(wait, _)| *wait > 0.0);
        self.backoff = first(self.backoff, wait, notes);
        for key in ["timeout", "request_timeout"] {
            let read = section.number(key).filter(|(time, _)| *time > 0.0);
            if let (None, Some((_, spot))) = (self.timeout, &read) {
                notes.changed(spot, Near::Section("models"), TIMEOUT);
            }
            self.timeout = first(self.timeout, read, notes);
        }
        self.stream_timeout = first(self.stream_timeout, section.number("stream_timeout"), notes);
        let is_off = section.truth("disable_cooldowns").filter(|(is_off, _)| *is_off);
        self.cooldown = first(self.cooldown, is_off.map(|(_, spot)| (0.0, spot)), notes);
        self.cooldown = first(self.cooldown, section.number("cooldown_time"), notes);
    }

    fn read_aliases(&mut self, section: &mut Section<'_>, notes: &Notes) {
        let Some(field) = section.take("model_group_alias") else { return };
        for entry in field.node.entries() {
            let path = format!("{}.{}", field.spot.path, entry.key);
            let spot = Spot { at: entry.at.clone(), path };
            let hidden = entry.node.get("hidden").and_then(Node::scalar);
            if hidden.is_some_and(|hidden| hidden == "true") {
                let text = "`hidden`: `GET /v1/models` lists every name that a key may use; `models` of the key limits it";
                notes.changed(&spot, Near::Alias(entry.key.clone()), text);
            }
            let group = entry.node.get("model").unwrap_or(&entry.node).scalar();
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

/// The effect of a time limit.
pub(super) const TIMEOUT: &str = "it limits the wait for the first event of a stream and between two events; the whole attempt, \
    and an answer without a stream, may take 15m, or this time if it is longer (`timeouts.total`)";

/// Returns the value that is known already, else the one that was read. The other one is noted.
fn first<T>(own: Option<T>, read: Option<(T, Spot)>, notes: &Notes) -> Option<T> {
    match (own, read) {
        (Some(own), Some((_, spot))) => {
            notes.left(&spot, Near::Section("models"), "another setting of the file comes first");
            Some(own)
        }
        (own, read) => own.or(read.map(|(value, _)| value)),
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
