//! `Quota` and `Budget`: a limit and a budget, compiled from the config or from the settings of a key.
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::auth::allowance::{Every, Rate, Then};
use crate::auth::{When, WhenConfig};
use crate::limits::budget::{self, nano};
use crate::limits::claim::Kind;
use crate::limits::config::{Per, RuleConfig};
use crate::limits::window;
use crate::telemetry::limits::{BudgetMetrics, LimitMetrics};
use crate::telemetry::money::dollars;
use crate::telemetry::record::Attempt;

/// One limit of a rule.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) per: Per,
    pub(super) when: When,
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
    pub(super) when: When,
    /// The condition as the config has it.
    pub(super) given: WhenConfig,
    pub(super) every: Every,
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

    /// Returns the tokens of an attempt that count for the unit.
    pub(super) fn tokens(self, attempt: &Attempt) -> u64 {
        let tokens = attempt.spent.billed();
        let input = tokens.input.saturating_add(tokens.written());
        match self {
            Self::InputTokens => input,
            Self::OutputTokens => tokens.output,
            Self::Tokens => input.saturating_add(tokens.output),
            Self::Requests | Self::Concurrent => 0,
        }
    }
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

/// A rule. A request keeps it to its end, also over a reload or a change of its key.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    Quota(Arc<Quota>),
    Budget(Arc<Budget>),
}

impl Rule {
    /// Returns whether the rule counts what is sent to a target.
    pub(super) fn is_of_target(&self) -> bool {
        matches!(self, Self::Quota(quota) if quota.per == Per::Target)
    }

    /// Returns the unit of a limit.
    pub(super) fn unit(&self) -> Option<Unit> {
        match self {
            Self::Quota(quota) => Some(quota.unit),
            Self::Budget(_) => None,
        }
    }
}

impl Quota {
    /// Returns each limit of a rule.
    pub(super) fn of(rule: &RuleConfig, metrics: &LimitMetrics) -> Vec<Self> {
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

    pub(super) fn amount(&self, estimate: Estimate) -> u64 {
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
    pub(super) fn new(rule: &budget::RuleConfig, metrics: &LimitMetrics) -> Self {
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

    /// Returns the owner of a sum for a message.
    pub(super) fn owner(&self, subject: &str) -> String {
        owner_text(&self.per, subject)
    }
}

/// Returns the rates of a rule.
pub(super) fn rates(rule: &RuleConfig) -> Vec<(Unit, Rate)> {
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
        Per::Key | Per::Own => format!("the key `{subject}`"),
        Per::Model => format!("the model `{subject}`"),
        Per::Target => format!("the target `{subject}`"),
        Per::Tag(tag) => format!("the tag `{tag}: {subject}`"),
    }
}
