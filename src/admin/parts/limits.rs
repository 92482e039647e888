//! `limits` and `budgets`: the rules, and the amounts that are used and left now.
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::page::Limit;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::time;
use crate::auth::WhenConfig;
use crate::auth::allowance::Then;
use crate::ledger::row::text;
use crate::limits::Limits;
use crate::limits::overview::{BudgetOverview, Counted, LimitOverview};
use crate::telemetry::money::dollars;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/limits",
            "Returns the limits, each with its fullest counters.",
            |state, call| Box::pin(limits(state, call)),
        )
        .query::<Asked>()
        .answers::<LimitsPage>(200),
        Route::get(
            "/api/budgets",
            "Returns the budgets, each with its fullest sums of the current period.",
            |state, call| Box::pin(budgets(state, call)),
        )
        .query::<Asked>()
        .answers::<BudgetsPage>(200),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The most counters of each rule.
    #[serde(default)]
    limit: Limit,
    /// Only the counters of this owner, such as a key's name.
    owner: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LimitsPage {
    /// Whether several gateways share the counters in Redis. Then `used` is the share of this gateway.
    is_shared: bool,
    /// The limits in the order of the config, then those of single keys, equal ones as one. A rule with several limits is
    /// in the list several times.
    rules: Vec<ShownLimit>,
}

/// A limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownLimit {
    /// The owner of each counter: `key`, `model`, `target` or `tag:NAME`; `own` for a limit of keys themselves.
    per: String,
    /// The requests that it applies to.
    when: ShownWhen,
    /// The unit: `requests`, `tokens`, `input_tokens`, `output_tokens` or `concurrent`.
    unit: String,
    /// The most of this unit.
    number: u64,
    /// The window in milliseconds; `null` for requests at the same time.
    window_ms: Option<u64>,
    /// The requests rejected and targets passed over since the start of the process.
    refused: u64,
    /// The number of counters in use.
    owners: usize,
    /// The counters, the fullest first.
    counters: Vec<Counter>,
}

/// The condition of a rule.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownWhen {
    /// The models; `null` for all.
    model: Option<String>,
    /// The keys; `null` for all.
    key: Option<String>,
    /// The tags that a key must have, as `NAME: VALUE`.
    tags: Vec<String>,
}

/// The counter of one owner.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Counter {
    /// The owner's name; empty for all clients of an open gateway.
    owner: String,
    /// The amount in use, estimates of running requests included.
    used: u64,
    /// The amount that is left.
    left: u64,
    /// The milliseconds until nothing is in use; 0 for requests at the same time.
    full_in_ms: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BudgetsPage {
    /// Whether several gateways share the sums in Redis. Then `used_usd` is the share of this gateway.
    is_shared: bool,
    /// The time zone in which periods begin; `null` without limits and budgets.
    timezone: Option<String>,
    /// The budgets in the order of the config, then those of single keys, equal ones as one.
    rules: Vec<ShownBudget>,
}

/// A budget.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShownBudget {
    /// The owner of each sum: `key`, `model` or `tag:NAME`; `own` for a budget of keys themselves.
    per: String,
    /// The requests that it applies to.
    when: ShownWhen,
    /// The dollars of a period.
    usd: String,
    /// The period: `hour`, `day`, `week` or `month`.
    every: String,
    /// The dollars at which the log warns.
    warn_at_usd: Option<String>,
    /// The alias that requests go to when the budget is used up; `null` if they are rejected.
    route: Option<String>,
    /// The beginning of the current period.
    begins_at: String,
    /// The end of the current period.
    ends_at: String,
    /// The number of owners with a sum.
    owners: usize,
    /// The sums, the fullest first.
    counters: Vec<Money>,
}

/// The sum of one owner.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Money {
    /// The owner's name; empty for all clients of an open gateway.
    owner: String,
    /// The dollars of the period, estimates of running requests included.
    used_usd: String,
    /// The dollars that are left.
    left_usd: String,
}

impl Asked {
    /// Returns the counters of a page, and the number of all.
    fn choose(&self, counters: Vec<Counted>) -> (Vec<Counted>, usize) {
        let (all, most) = (counters.len(), usize::from(self.limit.number()));
        let fits = |it: &Counted| self.owner.as_deref().is_none_or(|owner| *it.owner == *owner);
        (counters.into_iter().filter(fits).take(most).collect(), all)
    }
}

async fn limits(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let gateway = state.live.load();
    let limits = gateway.limits.as_deref();
    let is_shared = limits.is_some_and(Limits::are_shared);
    let owned = gateway.auth.owned();
    let rules = limits.into_iter().flat_map(|limits| limits.limits_overview(&owned));
    let rules = rules.map(|rule| shown_limit(rule, &asked)).collect();
    Answer::json(&LimitsPage { is_shared, rules })
}

async fn budgets(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let gateway = state.live.load();
    let limits = gateway.limits.as_deref();
    let is_shared = limits.is_some_and(Limits::are_shared);
    let owned = gateway.auth.owned();
    let rules = limits.into_iter().flat_map(|limits| limits.budgets_overview(&owned));
    let rules = rules.map(|rule| shown_budget(rule, &asked)).collect();
    let timezone = limits.map(|limits| limits.zone_name().to_owned());
    Answer::json(&BudgetsPage { is_shared, timezone, rules })
}

fn shown_limit(rule: LimitOverview, asked: &Asked) -> ShownLimit {
    let LimitOverview { per, when, unit, number, window_ms, refused, counters } = rule;
    let (counters, owners) = asked.choose(counters);
    let counters = counters.iter().map(|counted| Counter {
        owner: text(&counted.owner),
        used: counted.used,
        left: number.saturating_sub(counted.used),
        full_in_ms: counted.full_in_ms,
    });
    let (when, counters, unit) = (ShownWhen::of(&when), counters.collect(), unit.to_owned());
    ShownLimit { per, when, unit, number, window_ms, refused, owners, counters }
}

fn shown_budget(rule: BudgetOverview, asked: &Asked) -> ShownBudget {
    let BudgetOverview { per, when, every, limit, warn_at, then, period, counters } = rule;
    let (counters, owners) = asked.choose(counters);
    let counters = counters.iter().map(|counted| Money {
        owner: text(&counted.owner),
        used_usd: usd(counted.used),
        left_usd: usd(limit.saturating_sub(counted.used)),
    });
    ShownBudget {
        per,
        when: ShownWhen::of(&when),
        usd: usd(limit),
        every,
        warn_at_usd: warn_at.map(usd),
        route: match then {
            Then::Deny => None,
            Then::Route(alias) => Some(alias),
        },
        begins_at: time::of_millis(period.start.saturating_mul(1000)),
        ends_at: time::of_millis(period.end.saturating_mul(1000)),
        owners,
        counters: counters.collect(),
    }
}

fn usd(nano: u64) -> String {
    dollars(i64::try_from(nano).unwrap_or(i64::MAX))
}

impl ShownWhen {
    fn of(when: &WhenConfig) -> Self {
        let tags = when.tags.iter().map(|(name, value)| format!("{name}: {value}"));
        Self { model: when.model.clone(), key: when.key.clone(), tags: tags.collect() }
    }
}
