//! `providers:` and `models:` of the written file: deployments with one name become the targets of an alias.
use serde_json::{Map, Value, json};

use crate::cli::import::deployment::{Deployment, Rename};
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
    /// The fallbacks of a name that the policy adds to a request.
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
    pub(super) weight: u64,
    /// `model_info.id`.
    pub(super) id: Option<String>,
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

    /// Returns whether both call the same model.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.provider == other.provider && self.model == other.model
    }

    /// Returns the target for a name that a wildcard matches.
    pub(super) fn named(&self, name: &str) -> Self {
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
            match targets.iter_mut().find(|other| other.is_same(&target)) {
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
