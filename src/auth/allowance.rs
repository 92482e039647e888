//! `Allowance`: the limits and budgets that belong to a single key, or to each caller of an issuer.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

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
    #[serde(serialize_with = "shortest")]
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

/// Writes whole numbers without a fraction.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn shortest<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let whole = *number as i64;
    match whole as f64 == *number {
        true => serializer.serialize_i64(whole),
        false => serializer.serialize_f64(*number),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(limits: &Value, budget: &Value) -> (Entries<OwnLimit>, Entries<OwnBudget>) {
        let (limits, budget) = (limits.clone(), budget.clone());
        (serde_json::from_value(limits).unwrap(), serde_json::from_value(budget).unwrap())
    }

    #[test]
    fn one_entry_and_a_list_are_written_as_they_were_read() {
        let limit = json!({"requests": "60/1m", "concurrent": 8, "wait": "10s"});
        let budget = json!({"usd": 20, "every": "day", "warn_at": 0.8, "then": {"route": "m"}});
        let condition = json!({"when": {"model": "a*"}, "usd": 0.5, "every": "month"});
        for (limits, budgets) in [
            (limit.clone(), budget.clone()),
            (json!([limit]), json!([budget, condition])),
            (json!([]), condition),
        ] {
            let (own_limits, own_budgets) = read(&limits, &budgets);
            assert_eq!(serde_json::to_value(&own_limits).unwrap(), limits);
            assert_eq!(serde_json::to_value(&own_budgets).unwrap(), budgets);
        }
    }

    #[test]
    fn entries_with_the_same_content_are_the_same_allowance() {
        let limit = json!({"requests": "60/1m"});
        let of = |limits: &Value, budget: &Value| {
            let (limits, budget) = read(limits, budget);
            Allowance::of(&limits, &budget)
        };
        assert!(of(&json!([]), &json!([])).is_none());
        assert_eq!(of(&limit, &json!([])), of(&json!([limit]), &json!([])));
        assert_ne!(of(&limit, &json!([])), of(&json!({"requests": "61/1m"}), &json!([])));
        assert_ne!(of(&limit, &json!([])), of(&limit, &json!({"usd": 1, "every": "hour"})));
    }
}
