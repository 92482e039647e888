//! The rules of a generation: which counters a request needs, and how much of each.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prometheus_client::metrics::counter::Counter;

use crate::auth::{Caller, When, WhenConfig};
use crate::limits::budget::{self, Every, Then, Unpriced, nano};
use crate::limits::claim::{Claim, CounterId, Kind, Now};
use crate::limits::config::{self, Per, RuleConfig};
use crate::limits::queue::Queue;
use crate::limits::saved::Counters;
use crate::limits::store::Store;
use crate::limits::window;
use crate::telemetry::events::Events;
use crate::telemetry::limits::{BudgetMetrics, LimitMetrics};
use crate::telemetry::money::dollars;

/// The limits and budgets of a generation.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(super) quotas: Vec<Quota>,
    pub(super) budgets: Vec<Budget>,
    pub(super) zone: TimeZone,
    pub(super) unpriced: Unpriced,
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) metrics: LimitMetrics,
    pub(super) events: Events,
}

/// The places that learn what the rules decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// The metrics.
    pub(crate) metrics: &'a LimitMetrics,
    /// The entrance for events.
    pub(crate) events: &'a Events,
}

/// One limit of a rule.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) per: Per,
    when: When,
    /// The condition as the config has it.
    pub(super) given: WhenConfig,
    pub(super) unit: Unit,
    pub(super) kind: Kind,
    pub(super) number: u64,
    /// The longest wait for the limit.
    pub(super) wait: Option<Duration>,
    pub(super) id: Arc<str>,
    /// `60 requests in 1m`
    pub(super) text: Box<str>,
    pub(super) refused: Counter,
}

/// One budget.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) per: Per,
    when: When,
    /// The condition as the config has it.
    pub(super) given: WhenConfig,
    every: Every,
    pub(super) limit: u64,
    pub(super) warn_at: Option<u64>,
    pub(super) then: Then,
    pub(super) id: Arc<str>,
    /// `20 USD every day`
    pub(super) text: Box<str>,
    pub(super) metrics: BudgetMetrics,
}

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Requests.
    Requests,
    /// All tokens but reads from the cache.
    Tokens,
    /// Input without reads from the cache.
    InputTokens,
    /// Output.
    OutputTokens,
    /// Requests at the same time.
    Concurrent,
}

impl Unit {
    /// Returns the key of the config.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Concurrent => "concurrent",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::Concurrent => "requests at the same time",
        }
    }
}

/// A model name that a request may use, and its alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// The name in the request.
    pub(crate) model: Box<str>,
    /// The alias in the config.
    pub(crate) alias: Box<str>,
}

/// The amounts that a request will need, by estimate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    /// Input tokens.
    pub(crate) input: u64,
    /// Output tokens.
    pub(crate) output: u64,
    /// Money.
    pub(crate) nano_dollars: u64,
}

/// A request, as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) names: &'a [Name],
    /// The key of the target, for rules of targets.
    pub(super) target: Option<&'a str>,
    pub(super) estimate: Estimate,
}

/// A claim, its rule, and the part of the request that it counts.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub(super) claim: Claim,
    pub(super) rule: Rule,
    /// The model names whose attempts count; all if `None`.
    pub(super) names: Option<Box<[Box<str>]>>,
    /// Whether the request's own model is among the names.
    pub(super) has_own: bool,
    /// Whether it refuses fallbacks only: a budget that led to the request's own model.
    pub(super) spares_own: bool,
}

impl Claimed {
    /// Returns the fallbacks that the claim counts, of the models that a request may use.
    pub(super) fn others(&self, names: &[Name]) -> Vec<Box<str>> {
        let counts =
            |name: &&Name| self.names.as_ref().is_none_or(|names| names.contains(&name.model));
        names.iter().skip(1).filter(counts).map(|name| name.model.clone()).collect()
    }
}

/// The place of a rule in [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Quota(usize, Unit),
    Budget(usize),
}

impl Limits {
    /// Builds the rules; `None` without any. The configs have no problems.
    pub(crate) fn build(
        limits: &config::Config,
        budgets: &budget::Config,
        counters: &Counters,
        watch: Watch<'_>,
    ) -> Option<Arc<Self>> {
        let metrics = watch.metrics;
        if limits.rules.is_empty() && budgets.rules.is_empty() {
            counters.release(metrics);
            return None;
        }
        Some(Arc::new(Self {
            quotas: limits.rules.iter().flat_map(|rule| Quota::of(rule, metrics)).collect(),
            budgets: budgets.rules.iter().map(|rule| Budget::new(rule, metrics)).collect(),
            zone: budgets.zone(),
            unpriced: budgets.unpriced,
            store: counters.store(limits, metrics),
            queue: Arc::clone(&counters.queue),
            metrics: metrics.clone(),
            events: watch.events.clone(),
        }))
    }

    /// Returns whether a request may need its price.
    pub(super) fn has_budgets(&self) -> bool {
        !self.budgets.is_empty()
    }

    /// Returns whether some rule may apply to a client, whichever model it uses.
    pub(crate) fn concern(&self, caller: &Caller) -> bool {
        let quotas = self.quotas.iter().map(|quota| (&quota.per, &quota.when));
        let budgets = self.budgets.iter().map(|budget| (&budget.per, &budget.when));
        quotas.chain(budgets).any(|(per, when)| {
            let has_owner = match per {
                Per::Tag(tag) => caller.tags.contains_key(tag),
                Per::Key | Per::Model | Per::Target => true,
            };
            has_owner && when.fits_caller(caller)
        })
    }

    /// Returns whether requests may wait for a target.
    pub(super) fn wait_for_targets(&self) -> bool {
        self.quotas.iter().any(|quota| quota.per == Per::Target && quota.wait.is_some())
    }

    /// Returns whether a rule counts what is sent to a target.
    pub(super) fn is_of_target(&self, rule: Rule) -> bool {
        matches!(rule, Rule::Quota(n, _) if self.quotas[n].per == Per::Target)
    }

    pub(super) fn quota(&self, at: usize) -> &Quota {
        &self.quotas[at]
    }

    pub(super) fn budget(&self, at: usize) -> &Budget {
        &self.budgets[at]
    }

    /// Returns the claims of a request on limits: on those of targets for a request with a target, else on the others.
    pub(super) fn quota_claims(&self, asked: &Asked<'_>) -> Vec<Claimed> {
        let mut found = Vec::new();
        for (n, quota) in self.quotas.iter().enumerate() {
            if (quota.per == Per::Target) != asked.target.is_some() {
                continue;
            }
            for owner in owners(&quota.per, &quota.when, asked) {
                found.push(owner.claimed(
                    Rule::Quota(n, quota.unit),
                    Claim {
                        id: CounterId {
                            rule: Arc::clone(&quota.id),
                            subject: owner.subject.clone(),
                        },
                        kind: quota.kind,
                        amount: quota.amount(asked.estimate),
                        limit: quota.number,
                        is_exempt: false,
                        warn_at: None,
                    },
                ));
            }
        }
        bound(&mut found);
        found
    }

    /// Returns the claims of a request on budgets.
    pub(super) fn budget_claims(&self, asked: &Asked<'_>, now: Now) -> Vec<Claimed> {
        let mut found = Vec::new();
        for (n, budget) in self.budgets.iter().enumerate() {
            for owner in owners(&budget.per, &budget.when, asked) {
                let now = Timestamp::from_second(now.second).unwrap_or(Timestamp::UNIX_EPOCH);
                found.push(owner.claimed(
                    Rule::Budget(n),
                    Claim {
                        id: CounterId {
                            rule: Arc::clone(&budget.id),
                            subject: owner.subject.clone(),
                        },
                        kind: Kind::Sum(budget.every.around(now, &self.zone)),
                        amount: asked.estimate.nano_dollars,
                        limit: budget.limit,
                        is_exempt: false,
                        warn_at: budget.warn_at,
                    },
                ));
            }
        }
        found
    }
}

/// Lowers each estimate to the smallest limit of its unit: a large `max_tokens` must not make a request impossible.
fn bound(claims: &mut [Claimed]) {
    for unit in [Unit::Tokens, Unit::InputTokens, Unit::OutputTokens] {
        let of_unit =
            |claimed: &&mut Claimed| matches!(claimed.rule, Rule::Quota(_, it) if it == unit);
        let smallest = claims.iter_mut().filter(of_unit).map(|claimed| claimed.claim.limit).min();
        for claimed in claims.iter_mut().filter(of_unit) {
            claimed.claim.amount = claimed.claim.amount.min(smallest.unwrap_or(u64::MAX));
        }
    }
}

/// An owner of a counter.
struct Owner {
    subject: Box<str>,
    names: Option<Box<[Box<str>]>>,
    has_own: bool,
}

impl Owner {
    fn claimed(&self, rule: Rule, claim: Claim) -> Claimed {
        Claimed { claim, rule, names: self.names.clone(), has_own: self.has_own, spares_own: false }
    }
}

/// Returns the owners of a rule's counters that a request touches; none if the rule does not apply.
fn owners(per: &Per, when: &When, asked: &Asked<'_>) -> Vec<Owner> {
    if !when.fits_caller(asked.caller) {
        return Vec::new();
    }
    let fits: Vec<&Name> = asked.names.iter().filter(|name| when.fits_model(&name.model)).collect();
    // a request on a forwarded route has no name: no rule about models applies
    if fits.is_empty() && (when.names_models() || !asked.names.is_empty()) {
        return Vec::new();
    }
    let owner = |subject: &str, names: &[&Name]| Owner {
        subject: subject.into(),
        has_own: names.len() == asked.names.len()
            || asked.names.first().is_some_and(|own| names.contains(&own)),
        names: (names.len() < asked.names.len())
            .then(|| names.iter().map(|name| name.model.clone()).collect()),
    };
    let subject = match per {
        Per::Key => Some(asked.caller.id()),
        Per::Tag(tag) => asked.caller.tags.get(tag).map(String::as_str),
        Per::Target => asked.target,
        Per::Model => {
            let mut by_alias: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
            fits.iter().for_each(|name| by_alias.entry(&name.alias).or_default().push(name));
            return by_alias.iter().map(|(alias, names)| owner(alias, names)).collect();
        }
    };
    subject.map(|subject| owner(subject, &fits)).into_iter().collect()
}

impl Quota {
    /// Returns each limit of a rule.
    fn of(rule: &RuleConfig, metrics: &LimitMetrics) -> Vec<Self> {
        let rates = rates(rule).into_iter().map(|(unit, rate)| {
            let kind = Kind::Window(window::millis(rate.window));
            let time = crate::wire::duration::text(rate.window);
            let text = format!("{} {} in {time}", rate.number, unit.words());
            (unit, kind, rate.number, text)
        });
        let concurrent = rule.concurrent.map(|number| {
            let unit = Unit::Concurrent;
            (unit, Kind::Concurrent, number, format!("{number} {}", unit.words()))
        });
        rates
            .chain(concurrent)
            .map(|(unit, kind, number, text)| Self {
                id: identity(&rule.per, &rule.when, &format!("{}|{kind:?}", unit.as_str())),
                per: rule.per.clone(),
                when: When::new(&rule.when),
                given: rule.when.clone(),
                refused: metrics.limit(&rule.per.to_string(), unit.as_str()),
                text: text.into(),
                unit,
                kind,
                number,
                wait: rule.wait,
            })
            .collect()
    }

    fn amount(&self, estimate: Estimate) -> u64 {
        match self.unit {
            Unit::Requests | Unit::Concurrent => 1,
            Unit::Tokens => estimate.input.saturating_add(estimate.output),
            Unit::InputTokens => estimate.input,
            Unit::OutputTokens => estimate.output,
        }
    }

    /// Returns the owner of a counter for a message.
    pub(super) fn owner(&self, subject: &str) -> String {
        owner_text(&self.per, subject)
    }
}

impl Budget {
    fn new(rule: &budget::RuleConfig, metrics: &LimitMetrics) -> Self {
        let limit = nano(rule.usd);
        let usd = dollars(i64::try_from(limit).unwrap_or(i64::MAX));
        Self {
            id: identity(&rule.per, &rule.when, &rule.every.to_string()),
            per: rule.per.clone(),
            when: When::new(&rule.when),
            given: rule.when.clone(),
            every: rule.every,
            warn_at: rule.warn_at.map(|part| nano(rule.usd * part)),
            then: rule.then.clone(),
            text: format!("{usd} USD every {}", rule.every).into(),
            metrics: metrics.budget(&rule.per.to_string(), &rule.every.to_string()),
            limit,
        }
    }

    /// Returns whether the budget charges a request for a model and never refuses it, since it sends the requests of
    /// the same sum to this model. A sum of that model alone refuses, or nothing would bound it.
    pub(super) fn leads_to(&self, model: &str, subject: &str) -> bool {
        matches!(&self.then, Then::Route(alias) if alias == model)
            && (self.per != Per::Model || subject != model)
    }

    pub(super) fn every(&self) -> Every {
        self.every
    }

    /// Returns the owner of a sum for a message.
    pub(super) fn owner(&self, subject: &str) -> String {
        owner_text(&self.per, subject)
    }
}

/// Returns the rates of a rule.
pub(super) fn rates(rule: &RuleConfig) -> Vec<(Unit, config::Rate)> {
    let all = [
        (Unit::Requests, rule.requests),
        (Unit::Tokens, rule.tokens),
        (Unit::InputTokens, rule.input_tokens),
        (Unit::OutputTokens, rule.output_tokens),
    ];
    all.into_iter().filter_map(|(unit, rate)| Some((unit, rate?))).collect()
}

/// Returns the identity of a rule's counters: everything but the number of the limit.
pub(super) fn identity(per: &Per, when: &WhenConfig, rest: &str) -> Arc<str> {
    let WhenConfig { model, key, tags } = when;
    format!("{per}|{model:?}|{key:?}|{tags:?}|{rest}").into()
}

fn owner_text(per: &Per, subject: &str) -> String {
    match per {
        Per::Key if subject.is_empty() => "all clients".to_owned(),
        Per::Key => format!("the key `{subject}`"),
        Per::Model => format!("the model `{subject}`"),
        Per::Target => format!("the target `{subject}`"),
        Per::Tag(tag) => format!("the tag `{tag}: {subject}`"),
    }
}
