//! Fallbacks: further targets of an alias, or parameters of the policy `compat/litellm`.
use crate::cli::import::aliases::{Alias, Aliases, Target};
use crate::cli::import::notes::{Near, Notes};
use crate::cli::import::router::{Fallback, Router};
use crate::cli::import::section::escaped;

/// Adds fallbacks to aliases.
pub(super) struct Fallbacks<'a> {
    pub(super) notes: &'a Notes,
    pub(super) router: &'a Router,
}

/// A fallback that the written file has: its name and its targets.
type Known = (String, Vec<Target>);

impl Fallbacks<'_> {
    /// Adds fallbacks as further targets of an alias with an order, and for all others to the parameters of the policy.
    pub(super) fn add(&self, made: &mut Aliases) {
        let base = made.models.clone();
        for alias in &mut made.models {
            let known = self.known(&base, alias);
            if known.is_empty() {
                continue;
            }
            let is_ordered = !alias.is_weighted() && !alias.settings.contains_key("sort");
            let is_bounded = alias.deployments.iter().any(|one| one.limits.has_rates());
            if is_ordered && !is_bounded {
                append(alias, known);
            } else if alias.name.contains('*') {
                self.leave(alias);
            } else {
                let names = names(&base, alias, known);
                made.fallbacks.insert(alias.name.clone(), names.into());
            }
        }
        self.note(&base);
    }

    /// Returns the fallbacks of an alias, and notes those that the written file does not have.
    fn known(&self, base: &[Alias], alias: &Alias) -> Vec<Known> {
        let (to, spot) = self.router.fallbacks_of(&alias.name);
        let (known, lost): (Vec<Known>, Vec<Known>) = to
            .into_iter()
            .map(|name| (name.clone(), targets(base, &name)))
            .partition(|(_, targets)| !targets.is_empty());
        for ((name, _), spot) in lost.iter().zip(spot.iter().cycle()) {
            let text = format!(
                "the written file has no alias `{name}`, which is a fallback of `{}`",
                alias.name
            );
            self.notes.left(spot, Near::Alias(alias.name.clone()), text);
        }
        known
    }

    /// Notes that a wildcard has no fallbacks.
    fn leave(&self, alias: &Alias) {
        let text = "a wildcard whose targets share requests, or have limits, has no fallbacks here: a caller may name some in \
                    `gateway.models`";
        let (_, spot) = self.router.fallbacks_of(&alias.name);
        let first = alias.deployments.first().map(|one| &one.spot);
        if let Some(spot) = spot.or(first) {
            self.notes.left(spot, Near::Alias(alias.name.clone()), text);
        }
    }

    /// Notes fallbacks of unknown names, and fallbacks of fallbacks.
    fn note(&self, base: &[Alias]) {
        for Fallback { from, to, spot } in &self.router.fallbacks {
            if from != "*" && !base.iter().any(|alias| alias.name == *from) {
                let text = format!("the written file has no alias `{from}`");
                self.notes.left(spot, Near::Section("models"), text);
                continue;
            }
            let adds = |other: &&Fallback| {
                to.contains(&other.from)
                    && other.to.iter().any(|next| next != from && !to.contains(next))
            };
            if let Some(next) = self.router.fallbacks.iter().find(adds) {
                let text = format!(
                    "the fallbacks of `{}` are not tried after it: add them to this list",
                    next.from
                );
                self.notes.changed(spot, Near::Alias(from.clone()), text);
            }
        }
    }
}

fn append(alias: &mut Alias, known: Vec<Known>) {
    for target in known.into_iter().flat_map(|(_, targets)| targets) {
        if !alias.targets.iter().any(|other| other.is_same(&target)) {
            alias.targets.push(target);
        }
    }
}

/// Returns the names for the policy, each once.
fn names(base: &[Alias], alias: &Alias, known: Vec<Known>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, targets) in known {
        let name = named(base, &name, &targets);
        if name != alias.name && !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().map(|name| escaped(name)).collect()
}

/// Returns the targets of a name: an alias, the id of a deployment, or a name that a wildcard matches.
fn targets(base: &[Alias], name: &str) -> Vec<Target> {
    if let Some(alias) = base.iter().find(|alias| alias.name == name) {
        let mut targets = alias.targets.clone();
        targets.sort_by_key(|target| std::cmp::Reverse(target.weight));
        return targets;
    }
    let mut all = base.iter().flat_map(|alias| &alias.targets);
    if let Some(target) = all.find(|target| target.id.as_deref() == Some(name)) {
        return vec![target.clone()];
    }
    let matching = base.iter().filter(|alias| {
        alias.name.strip_suffix('*').is_some_and(|prefix| name.starts_with(prefix))
    });
    let longest = matching.max_by_key(|alias| alias.name.len());
    longest.map_or_else(Vec::new, |alias| {
        alias.targets.iter().map(|target| target.named(name)).collect()
    })
}

/// Returns the name that a caller may use for a fallback: the alias of a deployment that is named by its id.
fn named(base: &[Alias], name: &str, targets: &[Target]) -> String {
    let has = |alias: &&Alias| {
        targets
            .iter()
            .all(|target| target.id.as_deref() == Some(name) && alias.targets.contains(target))
    };
    let is_alias = base.iter().any(|alias| alias.name == name);
    let owner = base.iter().find(has).filter(|_| !is_alias);
    owner.map_or_else(|| name.to_owned(), |alias| alias.name.clone())
}
