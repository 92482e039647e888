//! The limits and budgets of a generation with the state of their counters, for operators.
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;

use crate::auth::WhenConfig;
use crate::auth::allowance::Then;
use crate::auth::owners::{Owned, Owner};
use crate::limits::budget::Period;
use crate::limits::claim::{Kind, Level, Now};
use crate::limits::rule::{Budget, Quota};
use crate::limits::rules::Limits;

/// A limit.
#[derive(Debug)]
pub(crate) struct LimitOverview {
    /// The owner of each counter, as the config names it; `own` for a limit of keys themselves.
    pub(crate) per: String,
    /// The requests that it applies to.
    pub(crate) when: WhenConfig,
    /// `requests`, `tokens`, `input_tokens`, `output_tokens` or `concurrent`.
    pub(crate) unit: &'static str,
    /// The number.
    pub(crate) number: u64,
    /// The window in milliseconds; `None` for requests at the same time.
    pub(crate) window_ms: Option<u64>,
    /// The requests rejected and targets passed over, since the start of the process.
    pub(crate) refused: u64,
    /// The counters in use.
    pub(crate) counters: Vec<Counted>,
}

/// A budget.
#[derive(Debug)]
pub(crate) struct BudgetOverview {
    /// The owner of each sum, as the config names it; `own` for a budget of keys themselves.
    pub(crate) per: String,
    /// The requests that it applies to.
    pub(crate) when: WhenConfig,
    /// `hour`, `day`, `week` or `month`.
    pub(crate) every: String,
    /// Nano-dollars of a period.
    pub(crate) limit: u64,
    /// Nano-dollars at which the log warns.
    pub(crate) warn_at: Option<u64>,
    /// The end of the budget.
    pub(crate) then: Then,
    /// The current period.
    pub(crate) period: Period,
    /// The sums of the current period.
    pub(crate) counters: Vec<Counted>,
}

/// The counter of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The owner's name; empty for all clients of an open gateway.
    pub(crate) owner: Box<str>,
    /// The amount in use, estimates of running requests included.
    pub(crate) used: u64,
    /// The milliseconds until nothing is in use; 0 for other counters than windows.
    pub(crate) full_in_ms: u64,
}

/// The clients that a rule of keys belongs to.
#[derive(Default)]
struct Clients {
    keys: BTreeSet<String>,
    /// The beginnings of the ids of the clients of issuers.
    issuers: Vec<String>,
}

impl Clients {
    fn add(&mut self, owner: &Owner) {
        match owner {
            Owner::Key(name) => drop(self.keys.insert(name.clone())),
            Owner::Issuer(issuer) => self.issuers.push(format!("{issuer} ")),
        }
    }

    fn have(&self, id: &str) -> bool {
        self.keys.contains(id) || self.issuers.iter().any(|issuer| id.starts_with(issuer))
    }
}

impl Limits {
    /// Returns every limit with its counters, the fullest first. Limits of keys come last, equal ones of several keys as
    /// one.
    pub(crate) fn limits_overview(&self, owned: &[Owned]) -> Vec<LimitOverview> {
        let now = self.store.now();
        let common = self.quotas.iter().map(|quota| {
            let counters = self.counters(&quota.id, quota.kind, now);
            limit_overview(quota, counters)
        });
        let own = owned.iter().flat_map(|owned| {
            let rules = self.own.compiled(&owned.allowance);
            rules.quotas.iter().map(|rule| (Arc::clone(rule), &owned.owner)).collect::<Vec<_>>()
        });
        let own = grouped(own, |quota| (Arc::clone(&quota.id), quota.number));
        let mut levels = HashMap::new();
        let own = own.into_iter().map(|(quota, clients)| {
            let all = levels.entry(Arc::clone(&quota.id));
            let all = all.or_insert_with(|| self.counters(&quota.id, quota.kind, now));
            limit_overview(&quota, of_clients(all, &clients))
        });
        common.chain(own).collect()
    }

    /// Returns every budget with its sums, the fullest first. Budgets of keys come last, equal ones of several keys as one.
    pub(crate) fn budgets_overview(&self, owned: &[Owned]) -> Vec<BudgetOverview> {
        let now = self.store.now();
        let time = Timestamp::from_second(now.second).unwrap_or(Timestamp::UNIX_EPOCH);
        let period = |budget: &Budget| budget.every.around(time, &self.zone);
        let sums = |budget: &Budget| self.counters(&budget.id, Kind::Sum(period(budget)), now);
        let common =
            self.budgets.iter().map(|budget| budget_overview(budget, period(budget), sums(budget)));
        let own = owned.iter().flat_map(|owned| {
            let rules = self.own.compiled(&owned.allowance);
            rules.budgets.iter().map(|rule| (Arc::clone(rule), &owned.owner)).collect::<Vec<_>>()
        });
        let own = grouped(own, |budget| (Arc::clone(&budget.id), budget_text(budget)));
        let mut levels = HashMap::new();
        let own = own.into_iter().map(|(budget, clients)| {
            let all = levels.entry(Arc::clone(&budget.id)).or_insert_with(|| sums(&budget));
            budget_overview(&budget, period(&budget), of_clients(all, &clients))
        });
        common.chain(own).collect()
    }

    /// Returns the name of the time zone in which periods begin.
    pub(crate) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Returns whether several gateways share the counters. The overview has the share of this gateway then.
    pub(crate) fn are_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn counters(&self, rule: &str, kind: Kind, now: Now) -> Vec<Counted> {
        let levels = self.store.levels(rule, kind, now).into_iter();
        let counted = levels.map(|(owner, Level { used, full_in })| Counted {
            owner,
            used,
            full_in_ms: u64::try_from(full_in.as_millis()).unwrap_or(u64::MAX),
        });
        let mut counted: Vec<Counted> = counted.collect();
        counted.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.owner.cmp(&b.owner)));
        counted
    }
}

/// Puts equal rules of several clients together, in the order of the first ones.
fn grouped<'a, R, K: Eq + Hash>(
    rules: impl Iterator<Item = (Arc<R>, &'a Owner)>,
    identity: impl Fn(&R) -> K,
) -> Vec<(Arc<R>, Clients)> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<(Arc<R>, Clients)> = Vec::new();
    for (rule, owner) in rules {
        let place = *places.entry(identity(&rule)).or_insert(groups.len());
        if place == groups.len() {
            groups.push((rule, Clients::default()));
        }
        groups[place].1.add(owner);
    }
    groups
}

fn of_clients(all: &[Counted], clients: &Clients) -> Vec<Counted> {
    all.iter().filter(|counted| clients.have(&counted.owner)).cloned().collect()
}

/// Returns everything that an overview has of a budget.
fn budget_text(budget: &Budget) -> String {
    format!("{} {:?} {:?}", budget.limit, budget.warn_at, budget.then)
}

fn limit_overview(quota: &Quota, counters: Vec<Counted>) -> LimitOverview {
    LimitOverview {
        per: quota.per.to_string(),
        when: quota.given.clone(),
        unit: quota.unit.as_str(),
        number: quota.number,
        window_ms: match quota.kind {
            Kind::Window(length) => Some(length),
            Kind::Concurrent | Kind::Sum(_) => None,
        },
        refused: quota.refused.get(),
        counters,
    }
}

fn budget_overview(budget: &Budget, period: Period, counters: Vec<Counted>) -> BudgetOverview {
    BudgetOverview {
        per: budget.per.to_string(),
        when: budget.given.clone(),
        every: budget.every.to_string(),
        limit: budget.limit,
        warn_at: budget.warn_at,
        then: budget.then.clone(),
        period,
        counters,
    }
}
