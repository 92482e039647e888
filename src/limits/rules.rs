//! The rules of a generation: which counters a request needs, and how much of each.
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::allowance::Allowance;
use crate::auth::{Caller, When};
use crate::limits::budget::{self, Unpriced};
use crate::limits::claim::{Claim, CounterId, Kind, Now};
use crate::limits::config::{self, Per};
use crate::limits::own::OwnBook;
use crate::limits::queue::Queue;
use crate::limits::rule::{Budget, Estimate, Quota, Rule, Unit};
use crate::limits::saved::Counters;
use crate::limits::store::Store;
use crate::telemetry::events::Events;
use crate::telemetry::limits::LimitMetrics;

/// The limits and budgets of a generation.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(super) quotas: Vec<Arc<Quota>>,
    pub(super) budgets: Vec<Arc<Budget>>,
    /// The rules of single keys.
    pub(super) own: OwnBook,
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

/// A model name that a request may use, and its alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// The name in the request.
    pub(crate) model: Box<str>,
    /// The alias in the config.
    pub(crate) alias: Box<str>,
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

/// The parts of the config that have rules. They have no problems.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuleSet<'a> {
    /// `limits:`
    pub(crate) limits: &'a config::Config,
    /// `budgets:`
    pub(crate) budgets: &'a budget::Config,
    /// The aliases that budgets of keys may lead to; `None` if no key can have rules of its own.
    pub(crate) own: Option<&'a [&'a str]>,
}

impl Limits {
    /// Builds the rules; `None` if there are none, and no key can have any.
    pub(crate) fn build(
        rules: RuleSet<'_>,
        counters: &Counters,
        watch: Watch<'_>,
    ) -> Option<Arc<Self>> {
        let (RuleSet { limits, budgets, own }, metrics) = (rules, watch.metrics);
        if limits.rules.is_empty() && budgets.rules.is_empty() && own.is_none() {
            counters.release(metrics);
            return None;
        }
        let quotas = limits.rules.iter().flat_map(|rule| Quota::of(rule, metrics));
        let sums = budgets.rules.iter().map(|rule| Budget::new(rule, metrics));
        Some(Arc::new(Self {
            quotas: quotas.map(Arc::new).collect(),
            budgets: sums.map(Arc::new).collect(),
            own: OwnBook::new(own.unwrap_or_default(), metrics),
            zone: budgets.zone(),
            unpriced: budgets.unpriced,
            store: counters.store(limits, metrics),
            queue: Arc::clone(&counters.queue),
            metrics: metrics.clone(),
            events: watch.events.clone(),
        }))
    }

    /// Returns whether a request of a client may need its price.
    pub(super) fn has_budgets(&self, caller: &Caller) -> bool {
        let has_own = |own: &Allowance| !own.budgets.is_empty();
        !self.budgets.is_empty() || caller.allowance.as_deref().is_some_and(has_own)
    }

    /// Returns whether some rule may apply to a client, whichever model it uses.
    pub(crate) fn concern(&self, caller: &Caller) -> bool {
        let own = self.own.of(caller);
        let quotas = self.quotas.iter().chain(own.quotas()).map(|rule| (&rule.per, &rule.when));
        let budgets = self.budgets.iter().chain(own.budgets()).map(|rule| (&rule.per, &rule.when));
        quotas.chain(budgets).any(|(per, when)| {
            let has_owner = match per {
                Per::Tag(tag) => caller.tags.contains_key(tag),
                Per::Key | Per::Own | Per::Model | Per::Target => true,
            };
            has_owner && when.fits_caller(caller)
        })
    }

    /// Returns whether requests may wait for a target.
    pub(super) fn wait_for_targets(&self) -> bool {
        self.quotas.iter().any(|quota| quota.per == Per::Target && quota.wait.is_some())
    }

    /// Returns the claims of a request on limits: on those of targets for a request with a target, else on the others.
    pub(super) fn quota_claims(&self, asked: &Asked<'_>) -> Vec<Claimed> {
        let mut found = Vec::new();
        let own = self.own.of(asked.caller);
        for quota in self.quotas.iter().chain(own.quotas()) {
            if (quota.per == Per::Target) != asked.target.is_some() {
                continue;
            }
            for owner in owners(&quota.per, &quota.when, asked) {
                found.push(owner.claimed(
                    Rule::Quota(Arc::clone(quota)),
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
        let own = self.own.of(asked.caller);
        for budget in self.budgets.iter().chain(own.budgets()) {
            for owner in owners(&budget.per, &budget.when, asked) {
                let now = Timestamp::from_second(now.second).unwrap_or(Timestamp::UNIX_EPOCH);
                found.push(owner.claimed(
                    Rule::Budget(Arc::clone(budget)),
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
        let of_unit = |claimed: &&mut Claimed| claimed.rule.unit() == Some(unit);
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
        Per::Key | Per::Own => Some(asked.caller.id()),
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
