//! `Allowance`: the limits and budgets that belong to a single key, or to each caller of an issuer.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::auth::condition::WhenConfig;
use crate::auth::entries::Entries;
use crate::wire::duration;

pub(crate) use crate::auth::rate::Rate;

/// A limit of a key itself, with at least one number.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnLimit {
    /// The requests that the limit applies to; all if absent. `model` is the model that the request is sent to.
    #[serde(default, skip_serializing_if = "WhenConfig::is_for_all")]
    pub when: WhenConfig,
    /// Requests, as a number and a time: `60/1m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub requests: Option<Rate>,
    /// Tokens without reads from the cache: uncached input, cache writes and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tokens: Option<Rate>,
    /// Input tokens without reads from the cache: uncached input and cache writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub input_tokens: Option<Rate>,
    /// Output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub output_tokens: Option<Rate>,
    /// Requests at the same time, streams to their end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u64>,
    /// The longest time for which a request waits for the limit instead of being rejected, such as `10s`.
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub wait: Option<Duration>,
}

/// A budget of a key itself.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnBudget {
    /// The requests that the budget applies to; all if absent. `model` is the model that the request is sent to.
    #[serde(default, skip_serializing_if = "WhenConfig::is_for_all")]
    pub when: WhenConfig,
    /// The US dollars of a period.
    pub usd: f64,
    /// The calendar period.
    pub every: Every,
    /// The part of the budget, from 0 to 1, at which the log and a metric warn, once a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<f64>,
    /// The end of the budget: `deny` rejects the request, `{ route: ALIAS }` sends it to another model.
    #[serde(default, skip_serializing_if = "Then::is_deny")]
    #[schemars(schema_with = "then_schema")]
    pub then: Then,
}

/// The end of a budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The request is rejected.
    #[default]
    Deny,
    /// The request goes to this alias.
    Route(String),
}

impl Then {
    fn is_deny(&self) -> bool {
        *self == Self::Deny
    }
}

/// A calendar period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// From a full hour.
    Hour,
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        })
    }
}

/// Returns the schema of a [`Then`].
pub(crate) fn then_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"type": "string", "enum": ["deny"]},
        {
            "type": "object",
            "properties": {"route": {"type": "string"}},
            "required": ["route"],
            "additionalProperties": false,
        },
    ]})
}

/// The limits and budgets of a key. Two with the same text are the same.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// The limits.
    pub(crate) limits: Vec<OwnLimit>,
    /// The budgets.
    pub(crate) budgets: Vec<OwnBudget>,
    /// Both as one text.
    pub(crate) text: Arc<str>,
}

impl PartialEq for Allowance {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Allowance {}

impl Allowance {
    /// Returns the limits and budgets of an entry; `None` if it has none.
    pub(crate) fn of(
        limits: &Entries<OwnLimit>,
        budgets: &Entries<OwnBudget>,
    ) -> Option<Arc<Self>> {
        let (limits, budgets) = (limits.all().to_vec(), budgets.all().to_vec());
        if limits.is_empty() && budgets.is_empty() {
            return None;
        }
        let text = format!("{limits:?}{budgets:?}").into();
        Some(Arc::new(Self { limits, budgets, text }))
    }
}
