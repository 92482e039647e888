//! Aliases: the targets of a model name, and how they are tried.
pub(crate) mod book;
pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod order;
pub(crate) mod outcomes;
pub(crate) mod pace;
pub(crate) mod retry;
pub(crate) mod retry_budget;
mod slots;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use wildmatch::WildMatch;

pub(crate) use book::HealthBook;
pub(crate) use config::{Config, ServerTools, Sort, Strategy, Strictness, TargetConfig};

use crate::catalogue::cost::Tariff;
use crate::catalogue::{Catalogue, Row};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::models::health::Healths;
use crate::models::retry::Backoff;
use crate::models::retry_budget::RetryBudget;
use crate::net::headers;
use crate::providers::accepts::Accepts;
use crate::providers::{Provider, Timeouts};
use crate::telemetry::circuits::{Circuit, CircuitLabels};
use crate::telemetry::metrics::{Metrics, TargetMetrics};

/// The most characters of a client's model in `x-tidegate-target`: many clients end at a large head.
const LABEL_CHARACTERS: usize = 256;

/// All aliases of a generation.
pub struct Models {
    exact: HashMap<String, Arc<Alias>>,
    /// The wildcard aliases, longest pattern first.
    wildcards: Vec<(WildMatch, Arc<Alias>)>,
}

/// The meaning of a model name.
pub struct Alias {
    /// The name in the config. It is also the metrics' label, since there are only a few.
    pub name: String,
    /// The targets; never empty.
    pub targets: Vec<Arc<Target>>,
    /// The choice of the first target.
    pub strategy: Strategy,
    /// The order of the targets, unless the request names another.
    pub sort: Option<Sort>,
    /// The side that runs the API's own server tools: upstream or gateway.
    pub server_tools: ServerTools,
    /// The treatment of parameters that a target does not support.
    pub strictness: Strictness,
    /// The retries of the same target.
    pub retries: u32,
    /// The wait before each retry.
    pub backoff: Backoff,
    /// The upstream statuses that are retried, or failed over.
    pub retry_on: Vec<u16>,
    /// The time limits of an attempt.
    pub timeouts: Timeouts,
    /// The cooldown of a failed target, unless its response names a wait.
    pub cooldown: Duration,
    /// The bound of retries and failovers; shared by generations.
    pub(crate) retry_budget: Arc<RetryBudget>,
}

/// A provider and an upstream's model.
pub struct Target {
    /// The provider's name in the config.
    pub provider_name: String,
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The upstream's model; `None` for the model that the client requested.
    pub model: Option<String>,
    /// The share of sessions under `weighted`.
    pub weight: u32,
    /// The parts of the Messages API that the target supports.
    pub accepts: Accepts,
    /// The health; shared by generations.
    pub health: Arc<Healths>,
    /// `provider/model`, or `provider/*`.
    pub key: String,
    /// The counters of its requests.
    pub metrics: Arc<TargetMetrics>,
    /// The counters of its health.
    pub(crate) circuit: Circuit,
    /// The facts about `model`, if the table knows it.
    row: Option<Arc<Row>>,
    /// The rates of `model`; `None` for a model that the client names.
    tariff: Option<Arc<Tariff>>,
    /// The table, for a model that the client names.
    catalogue: Arc<Catalogue>,
    label: Option<HeaderValue>,
}

/// The parts that aliases are built from.
pub struct Parts<'a> {
    /// The providers by name.
    pub providers: &'a BTreeMap<String, Arc<dyn Provider>>,
    /// The providers that could not be built. They are reported already, and not again for the models.
    pub broken: &'a [String],
    /// The health of all targets.
    pub book: &'a HealthBook,
    /// The metrics that targets add to.
    pub metrics: &'a Metrics,
    /// The table of models.
    pub catalogue: &'a Arc<Catalogue>,
}

impl Models {
    /// Resolves every target's provider. Problems name `models.<alias>.…`.
    pub fn build(configs: &[(String, Config)], parts: &Parts<'_>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let (mut exact, mut wildcards) = (HashMap::new(), Vec::new());
        for (name, config) in configs {
            match Alias::build(name, config, parts) {
                Err(found) => problems.extend(found),
                Ok(alias) if name.contains('*') => {
                    wildcards.push((WildMatch::new(name), Arc::new(alias)));
                }
                Ok(alias) => {
                    exact.insert(name.clone(), Arc::new(alias));
                }
            }
        }
        wildcards.sort_by_key(|(_, alias)| std::cmp::Reverse(alias.name.len()));
        if problems.is_empty() { Ok(Self { exact, wildcards }) } else { Err(problems) }
    }

    /// Returns the alias for a model name: the exact one, else the longest matching wildcard.
    ///
    /// Fails with a 404 that names the model.
    pub fn resolve(&self, model: &str) -> Result<&Arc<Alias>> {
        if let Some(alias) = self.exact.get(model) {
            return Ok(alias);
        }
        let found = self.wildcards.iter().find(|(pattern, _)| pattern.matches(model));
        found.map(|(_, alias)| alias).ok_or_else(|| {
            let shown: String = model.chars().take(128).collect();
            let message =
                format!("no model is named `{shown}` here: `GET /v1/models` lists those that are");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// Returns all aliases, sorted by name.
    pub fn all(&self) -> Vec<&Alias> {
        let wildcards = self.wildcards.iter().map(|(_, alias)| alias);
        let mut aliases: Vec<&Alias> =
            self.exact.values().chain(wildcards).map(|alias| &**alias).collect();
        aliases.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        aliases
    }

    /// Returns the pairs of an alias and a target, for [`HealthBook::retain`].
    pub(crate) fn places(&self) -> HashSet<[String; 2]> {
        let all = self.all();
        let pairs = all.iter().flat_map(|alias| {
            alias.targets.iter().map(|target| [alias.name.clone(), target.key.clone()])
        });
        pairs.collect()
    }

    /// Returns the aliases without wildcards, sorted by name, for lists of models.
    pub fn listed(&self) -> Vec<&Alias> {
        let mut aliases = self.all();
        aliases.retain(|alias| self.exact.contains_key(&alias.name));
        aliases
    }
}

impl Alias {
    fn build(name: &str, config: &Config, parts: &Parts<'_>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut targets = Vec::new();
        for (path, target) in config.all_targets(name) {
            if parts.broken.contains(&target.provider) {
                continue;
            }
            let Some(provider) = parts.providers.get(&target.provider) else {
                problems.push(Problem::new(
                    format!("{path}.provider"),
                    format!("no provider is named \"{}\"", target.provider),
                ));
                continue;
            };
            match provider.accepts().without(&path, &target.unsupported) {
                Ok(accepts) => {
                    let target = Target { accepts, ..Target::new(name, &target, provider, parts) };
                    targets.push(Arc::new(target));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if targets.is_empty() && config.all_targets(name).is_empty() {
            let message = "has no target: give `provider`, or `targets` with at least one entry";
            return Err(vec![Problem::new(format!("models.{name}"), message)]);
        }
        let t = &config.timeouts;
        Ok(Self {
            name: name.to_owned(),
            targets,
            strategy: config.strategy,
            sort: config.sort,
            server_tools: config.server_tools,
            strictness: config.strictness,
            retries: config.retry.attempts,
            backoff: Backoff { first: config.retry.backoff, most: config.retry.max_backoff },
            retry_on: config.retry.on.clone(),
            timeouts: Timeouts {
                connect: t.connect,
                first_event: t.first_event,
                idle: t.idle,
                total: t.total,
            },
            cooldown: config.cooldown,
            retry_budget: parts.book.budget(name),
        })
    }
}

impl Target {
    fn new(
        alias: &str,
        config: &TargetConfig,
        provider: &Arc<dyn Provider>,
        parts: &Parts<'_>,
    ) -> Self {
        let key = format!("{}/{}", config.provider, config.model.as_deref().unwrap_or("*"));
        let health = parts.book.health(alias, &key);
        let find = |model: &String| parts.catalogue.find(provider.family(), model).cloned();
        let row = config.model.as_ref().and_then(find);
        let model = config.model.as_deref().unwrap_or("*");
        let labels = CircuitLabels { alias, provider: &config.provider, model };
        let circuit = parts.metrics.circuits.of(labels);
        let tariff = || {
            let place = provider.place(model);
            Arc::new(Tariff::new(parts.catalogue, provider.family(), row.as_ref(), place))
        };
        Self {
            tariff: config.model.is_some().then(tariff),
            row,
            catalogue: Arc::clone(parts.catalogue),
            provider_name: config.provider.clone(),
            provider: Arc::clone(provider),
            label: config.model.is_some().then(|| headers::value(&key)),
            model: config.model.clone(),
            weight: config.weight,
            accepts: Accepts::default(),
            metrics: parts.metrics.target(alias, &config.provider, model),
            circuit,
            health,
            key,
        }
    }

    /// Returns the facts about the upstream's model in a request for `model`; `None` if the table does not know it.
    pub(crate) fn row(&self, model: &str) -> Option<&Arc<Row>> {
        match self.model {
            Some(_) => self.row.as_ref(),
            None => self.catalogue.find(self.provider.family(), model),
        }
    }

    /// Returns the rates of the upstream's model in a request for `model`.
    pub(crate) fn tariff(&self, model: &str) -> Arc<Tariff> {
        let new = || {
            let (provider, row) = (&self.provider, self.row(model));
            Arc::new(Tariff::new(&self.catalogue, provider.family(), row, provider.place(model)))
        };
        self.tariff.clone().unwrap_or_else(new)
    }

    /// Returns the labels of its metrics under an alias.
    pub(crate) fn labels<'a>(&'a self, alias: &'a Alias) -> CircuitLabels<'a> {
        let model = self.model.as_deref().unwrap_or("*");
        CircuitLabels { alias: &alias.name, provider: &self.provider_name, model }
    }

    /// Returns `x-tidegate-target` for a request for `model`. A client chooses the name, so a long one is cut.
    pub fn label(&self, model: &str) -> HeaderValue {
        match &self.label {
            Some(label) => label.clone(),
            None => {
                let model: String = model.chars().take(LABEL_CHARACTERS).collect();
                headers::value(&format!("{}/{model}", self.provider_name))
            }
        }
    }
}
