//! `providers:` and `models:` of the written file: deployments with one name become the targets of an alias.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cli::import::deployment::{Deployment, Rename};
use crate::cli::import::node::Node;
use crate::cli::import::notes::{Near, Notes};
use crate::cli::import::provider::Provider;
use crate::cli::import::router::{Further, Router, TIMEOUT};
use crate::cli::import::section::escaped;

/// The longest wait of the gateway for an answer, unless an alias has another.
const TOTAL: f64 = 15.0 * 60.0;

/// The written `providers:` and `models:`.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    pub(super) providers: Vec<(String, Map<String, Value>)>,
    pub(super) models: Vec<Alias>,
    /// Names whose fallbacks the policy adds to a request.
    pub(super) fallbacks: Map<String, Value>,
    /// The changes of names that the policy makes for a provider.
    pub(super) names: Vec<Value>,
}

/// An entry of `models:`.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) name: String,
    /// Every setting but the targets.
    pub(super) settings: Map<String, Value>,
    pub(super) targets: Vec<Target>,
    /// The deployments, for limits.
    pub(super) deployments: Vec<Deployment>,
}

/// A target of an alias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) provider: String,
    pub(super) model: Option<String>,
    /// The change of the caller's name.
    rename: Option<Rename>,
    weight: u64,
    id: Option<String>,
}

impl Alias {
    /// Returns the entry in its short form if it has one target.
    pub(super) fn written(&self) -> Value {
        let mut entry = Map::new();
        if let [target] = self.targets.as_slice() {
            entry.extend(target.written(false));
        } else {
            let is_weighted = self.is_weighted();
            let targets =
                self.targets.iter().map(|target| Value::from(target.written(is_weighted)));
            entry.insert("targets".to_owned(), targets.collect());
        }
        let mut settings = self.settings.clone();
        if let Some(strategy) = settings.shift_remove("strategy").filter(|_| self.targets.len() > 1)
        {
            entry.shift_insert(0, "strategy".to_owned(), strategy);
        }
        entry.extend(settings);
        entry.into()
    }

    pub(super) fn is_weighted(&self) -> bool {
        self.settings.get("strategy").is_some_and(|strategy| strategy == "weighted")
    }
}

impl Target {
    fn written(&self, is_weighted: bool) -> Map<String, Value> {
        let mut entry =
            Map::from_iter([("provider".to_owned(), Value::from(self.provider.as_str()))]);
        if let Some(model) = &self.model {
            entry.insert("model".to_owned(), model.as_str().into());
        }
        if is_weighted {
            entry.insert("weight".to_owned(), self.weight.into());
        }
        entry
    }

    /// Returns the target for a name that a wildcard matches.
    fn named(&self, name: &str) -> Self {
        let own = match (&self.model, &self.rename) {
            (Some(model), _) => model.clone(),
            (None, Some(rename)) => {
                format!("{}{}", rename.with, name.strip_prefix(&*rename.prefix).unwrap_or(name))
            }
            (None, None) => name.to_owned(),
        };
        Self { model: Some(own), rename: None, ..self.clone() }
    }
}

/// Makes the aliases.
pub(super) struct Assembly<'a> {
    pub(super) notes: &'a Notes,
    pub(super) router: &'a Router,
}

impl Assembly<'_> {
    /// Makes the aliases of all deployments.
    pub(super) fn run(&self, deployments: Vec<Deployment>) -> Aliases {
        let mut made = Aliases::default();
        let mut groups: Vec<(String, Vec<Deployment>)> = Vec::new();
        for deployment in deployments {
            match groups.iter_mut().find(|(name, _)| *name == deployment.alias) {
                Some((_, group)) => group.push(deployment),
                None => groups.push((deployment.alias.clone(), vec![deployment])),
            }
        }
        for (name, group) in groups {
            let alias = self.alias(&mut made, name, group);
            made.models.push(alias);
        }
        self.add_further(&mut made);
        self.add_fallbacks(&mut made);
        made
    }

    fn alias(&self, made: &mut Aliases, name: String, mut group: Vec<Deployment>) -> Alias {
        let near = Near::Alias(name.clone());
        let has_order = group.iter().any(|one| one.share.order.is_some());
        if has_order {
            self.sort(&mut group, &near);
        }
        let weights = self.weights(&group, &near);
        let mut targets: Vec<Target> = Vec::new();
        for (deployment, weight) in group.iter().zip(&weights) {
            let target = made.target(deployment, *weight);
            let is_same =
                |other: &Target| other.provider == target.provider && other.model == target.model;
            match targets.iter_mut().find(|other| is_same(other)) {
                Some(other) => {
                    other.weight += target.weight;
                    let text = "the same provider and model stand twice under this name: they are one target here";
                    self.notes.changed(&deployment.spot, near.clone(), text);
                }
                None => targets.push(target),
            }
        }
        let idle = targets.iter().filter(|target| target.weight == 0).count();
        let mut settings = Map::new();
        if targets.len() > 1 && !has_order {
            self.strategy(&mut settings, &mut targets, idle, &near);
        }
        self.times(&mut settings, &group, &near);
        Alias { name, settings, targets, deployments: group }
    }

    fn sort(&self, group: &mut [Deployment], near: &Near) {
        group.sort_by(|a, b| {
            let order = |one: &Deployment| one.share.order.unwrap_or(f64::INFINITY);
            order(a).total_cmp(&order(b))
        });
        let twice = group.windows(2).find(|pair| pair[0].share.order == pair[1].share.order);
        if let Some([_, second]) = twice {
            let text = "deployments with the same `order` share requests at LiteLLM; here they are tried one after the other";
            self.notes.changed(&second.spot, near.clone(), text);
        }
    }

    /// Sets the strategy of an alias with several targets.
    fn strategy(
        &self,
        settings: &mut Map<String, Value>,
        targets: &mut Vec<Target>,
        idle: usize,
        near: &Near,
    ) {
        let strategy = self.router.strategy.as_ref().map(|(strategy, _)| strategy.as_str());
        let sort = match strategy {
            Some("latency-based-routing") => Some("latency"),
            Some("cost-based-routing") => Some("cost"),
            _ => None,
        };
        if let Some(sort) = sort {
            settings.insert("sort".to_owned(), sort.into());
            return;
        }
        if targets.len() == idle + 1 {
            // the others are for the time when the first one fails
            targets.sort_by_key(|target| target.weight == 0);
            return;
        }
        if idle > 0 {
            let places =
                targets.iter().filter(|target| target.weight == 0).map(|target| &*target.provider);
            let names = places.collect::<Vec<_>>().join("`, `");
            let text = format!(
                "targets with the weight 0 (`{names}`) are left out: a weight is 1 or more; an alias of its own, named as a fallback, has the same effect"
            );
            self.notes.overall(near.clone(), "model_list", &text);
            targets.retain(|target| target.weight > 0);
        }
        settings.insert("strategy".to_owned(), "weighted".into());
    }

    /// Returns whole weights: LiteLLM takes `weight`, else `rpm`, else `tpm`, if the first deployment has it.
    fn weights(&self, group: &[Deployment], near: &Near) -> Vec<u64> {
        let kinds: [fn(&Deployment) -> Option<f64>; 3] = [
            |one| one.share.weight,
            |one| one.limits.rpm.map(|number| number as f64),
            |one| one.limits.tpm.map(|number| number as f64),
        ];
        let own = kinds.iter().find(|kind| group.first().and_then(kind).is_some());
        let Some(kind) = own else { return vec![1; group.len()] };
        let shares: Vec<f64> = group.iter().map(|one| kind(one).unwrap_or(0.0)).collect();
        if let Some(lacking) = group.iter().find(|one| kind(one).is_none()) {
            let text = "the first deployment of this name has a weight (`weight`, `rpm` or `tpm`) and this one has none, so that it counts as 0";
            self.notes.changed(&lacking.spot, near.clone(), text);
        }
        let factor = if shares.iter().all(|share| share.fract() == 0.0) { 1.0 } else { 1000.0 };
        let whole: Vec<u64> = shares.iter().map(|share| (share * factor).round() as u64).collect();
        let common = whole.iter().copied().fold(0, gcd).max(1);
        let mut reduced: Vec<u64> = whole.iter().map(|share| share / common).collect();
        // a weight has 32 bits
        while reduced.iter().any(|share| *share > u64::from(u32::MAX)) {
            reduced.iter_mut().for_each(|share| *share = share.div_ceil(2));
        }
        match reduced.iter().all(|share| *share == 0) {
            true => vec![1; group.len()],
            false => reduced,
        }
    }

    /// Sets retries, time limits and the cooldown.
    fn times(&self, settings: &mut Map<String, Value>, group: &[Deployment], near: &Near) {
        let most = |kind: fn(&Deployment) -> Option<f64>| {
            let own = group.iter().filter_map(kind).reduce(f64::max);
            let is_one = group.iter().map(kind).all(|value| value == own);
            if let Some(spot) =
                group.first().map(|one| &one.spot).filter(|_| own.is_some() && !is_one)
            {
                let text = "times and retries belong to the alias here, not to a target: the largest one counts for all";
                self.notes.changed(spot, near.clone(), text);
            }
            own
        };
        let retries = most(|one| one.times.retries.map(|number| number as f64));
        let retries = retries.map(|number| number as u64).or(self.router.retries);
        let mut retry = Map::new();
        if let Some(retries) = retries.filter(|retries| *retries > 0) {
            retry.insert("attempts".to_owned(), retries.min(u64::from(u32::MAX)).into());
        }
        if let Some(wait) = self.router.backoff {
            retry.insert("backoff".to_owned(), seconds(wait).into());
            retry.insert("max_backoff".to_owned(), seconds(wait.max(4.0)).into());
        }
        if !retry.is_empty() {
            settings.insert("retry".to_owned(), retry.into());
        }
        let own = most(|one| one.times.timeout).filter(|time| *time > 0.0);
        if let Some(one) = group.iter().find(|one| one.times.timeout.is_some()) {
            self.notes.changed(&one.spot, near.clone(), format!("`timeout`: {TIMEOUT}"));
        }
        let timeout = own.or(self.router.timeout);
        let stream = most(|one| one.times.stream_timeout).or(self.router.stream_timeout);
        let stream = stream.filter(|time| *time > 0.0);
        let mut timeouts = Map::new();
        if let Some(silence) = stream.or(timeout) {
            timeouts.insert("first_event".to_owned(), seconds(silence).into());
            timeouts.insert("idle".to_owned(), seconds(silence).into());
        }
        if let Some(total) = timeout.filter(|total| *total > TOTAL) {
            timeouts.insert("total".to_owned(), seconds(total).into());
        }
        if !timeouts.is_empty() {
            settings.insert("timeouts".to_owned(), timeouts.into());
        }
        if let Some(cooldown) = most(|one| one.times.cooldown).or(self.router.cooldown) {
            settings.insert("cooldown".to_owned(), seconds(cooldown).into());
        }
    }

    /// Adds the further names of `model_group_alias`.
    fn add_further(&self, made: &mut Aliases) {
        for Further { name, group, spot } in &self.router.aliases {
            let near = Near::Section("models");
            if made.models.iter().any(|alias| alias.name == *name) {
                self.notes.left(spot, near, "`model_list` has a model with this name");
                continue;
            }
            let found = made.models.iter().position(|alias| alias.name == *group);
            let Some(n) = found else {
                let text = format!("the written file has no alias `{group}`");
                self.notes.left(spot, near, text);
                continue;
            };
            let copy = Alias { name: name.clone(), ..made.models[n].clone() };
            if copy
                .deployments
                .iter()
                .any(|one| one.limits.rpm.is_some() || one.limits.tpm.is_some())
            {
                let text = format!("its limits count apart from those of `{group}`");
                self.notes.changed(spot, Near::Alias(name.clone()), text);
            }
            made.models.push(copy);
        }
    }

    /// Adds fallbacks as further targets of an alias with an order, and for all others to the parameters of the policy.
    fn add_fallbacks(&self, made: &mut Aliases) {
        let base = made.models.clone();
        for alias in &mut made.models {
            let (to, spot) = self.router.fallbacks_of(&alias.name);
            let spot = spot.cloned();
            let known = to.into_iter().filter_map(|name| {
                let targets = targets(&base, &name);
                if let (true, Some(spot)) = (targets.is_empty(), &spot) {
                    let text = format!(
                        "the written file has no alias `{name}`, which is a fallback of `{}`",
                        alias.name
                    );
                    self.notes.left(spot, Near::Alias(alias.name.clone()), text);
                }
                (!targets.is_empty()).then_some((name, targets))
            });
            let known: Vec<(String, Vec<Target>)> = known.collect();
            if known.is_empty() {
                continue;
            }
            let is_ordered = !alias.is_weighted() && !alias.settings.contains_key("sort");
            let is_bounded = alias.deployments.iter().any(|one| one.limits.has_rates());
            if is_ordered && !is_bounded {
                let further = known.into_iter().flat_map(|(_, targets)| targets);
                for target in further {
                    let is_same = |other: &Target| {
                        other.provider == target.provider && other.model == target.model
                    };
                    if !alias.targets.iter().any(is_same) {
                        alias.targets.push(target);
                    }
                }
            } else if alias.name.contains('*') {
                let text = "a wildcard whose targets share requests, or have limits, has no fallbacks here: \
                            a caller may name some in `gateway.models`";
                let spot = spot.or_else(|| Some(alias.deployments.first()?.spot.clone()));
                if let Some(spot) = spot {
                    self.notes.left(&spot, Near::Alias(alias.name.clone()), text);
                }
            } else {
                let names: Vec<String> =
                    known.into_iter().map(|(name, _)| escaped(&name)).collect();
                made.fallbacks.insert(alias.name.clone(), names.into());
            }
        }
        self.note_fallbacks(&base);
    }

    fn note_fallbacks(&self, base: &[Alias]) {
        for fallback in &self.router.fallbacks {
            let name = fallback.from.as_str();
            let near = Near::Alias(name.to_owned());
            if name != "*" && !base.iter().any(|alias| alias.name == name) {
                let text = format!("the written file has no alias `{name}`");
                self.notes.left(&fallback.spot, Near::Section("models"), text);
                continue;
            }
            let next = fallback.to.iter().find(|to| {
                let mut others = self.router.fallbacks.iter();
                others.any(|other| {
                    other.from == **to
                        && other.to.iter().any(|to| to != name && !fallback.to.contains(to))
                })
            });
            if let Some(next) = next {
                let text = format!(
                    "the fallbacks of `{next}` are not tried after it: add them to this list"
                );
                self.notes.changed(&fallback.spot, near, text);
            }
        }
    }
}

impl Aliases {
    fn target(&mut self, deployment: &Deployment, weight: u64) -> Target {
        let provider = self.provider(&deployment.provider);
        if let Some(Rename { prefix, with }) = &deployment.rename {
            let rule = json!({ "provider": provider, "prefix": escaped(prefix), "with": with });
            if !self.names.contains(&rule) {
                self.names.push(rule);
            }
        }
        Target {
            provider,
            model: deployment.model.clone(),
            rename: deployment.rename.clone(),
            weight,
            id: deployment.id.clone(),
        }
    }

    /// Returns the name of a provider with these settings.
    fn provider(&mut self, wanted: &Provider) -> String {
        if let Some((name, _)) =
            self.providers.iter().find(|(_, settings)| *settings == wanted.settings)
        {
            return name.clone();
        }
        let is_free = |name: &String| self.providers.iter().all(|(other, _)| other != name);
        let numbered = (2..).map(|n| format!("{}-{n}", wanted.name));
        let name = std::iter::once(wanted.name.clone()).chain(numbered).find(is_free);
        let name = name.unwrap_or_else(|| wanted.name.clone());
        self.providers.push((name.clone(), wanted.settings.clone()));
        name
    }
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

/// Returns a time as the config writes it.
pub(super) fn seconds(time: f64) -> String {
    let millis = (time * 1000.0).round() as u64;
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns the fields of `credential_list` by their names.
pub(super) fn credentials(list: &Node) -> BTreeMap<String, &Node> {
    let named = list.items().iter().filter_map(|item| {
        Some((item.get("credential_name")?.scalar()?, item.get("credential_values")?))
    });
    named.collect()
}
