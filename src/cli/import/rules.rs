//! `limits.rules` and `budgets.rules` of the written file.
use serde_json::{Map, Value, json};

use crate::cli::import::aliases::Alias;
use crate::cli::import::deployment::{Deployment, Limits};
use crate::cli::import::notes::{Near, Notes, Spot};
use crate::cli::import::section::escaped;

/// The written rules.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) limits: Vec<Value>,
    pub(super) budgets: Vec<Value>,
}

/// A kind of limit: its key in a rule, and the value of a deployment.
type Kind = (&'static str, fn(&Limits) -> Option<u64>);

const RATES: [Kind; 4] = [
    ("requests", |limits| limits.rpm),
    ("tokens", |limits| limits.tpm),
    ("input_tokens", |limits| limits.input_tpm),
    ("output_tokens", |limits| limits.output_tpm),
];

impl Limits {
    /// Returns whether requests or tokens of a time are limited.
    pub(super) fn has_rates(&self) -> bool {
        RATES.iter().any(|(_, of)| of(self).is_some()) || self.concurrent.is_some()
    }
}

impl Rules {
    /// Adds the rules of an alias. A rule counts for each target of it, so limits that differ become their sum.
    pub(super) fn add(&mut self, alias: &Alias, concurrent: Option<u64>, notes: &Notes) {
        let near = Near::Alias(alias.name.clone());
        let (mut each, mut all) = (Map::new(), Map::new());
        let rates = RATES.iter().map(|(key, of)| (*key, values(alias, *of)));
        let most = values(alias, |limits| limits.concurrent);
        let most = most.into_iter().map(|own| own.or(concurrent)).collect();
        for (key, values) in rates.chain([("concurrent", most)]) {
            let known: Vec<u64> = values.iter().copied().flatten().collect();
            let Some(first) = known.first() else { continue };
            let spot = alias.deployments.iter().zip(&values).find(|(_, value)| value.is_some());
            let Some((Deployment { spot, .. }, _)) = spot else { continue };
            if known.len() < values.len() {
                let text = format!(
                    "`{key}`: only some deployments of the name have this limit, and a rule of `limits` with `per: target` counts for each target of an alias"
                );
                notes.left(spot, near.clone(), text);
            } else if known.iter().all(|value| value == first) {
                each.insert(key.to_owned(), written(key, *first));
            } else {
                let sum: u64 = known.iter().copied().fold(0, u64::saturating_add);
                let text = format!(
                    "`{key}`: the limits of the deployments differ, and a rule with `per: target` counts for each target of an alias; the written rule limits the alias by their sum"
                );
                notes.changed(spot, near.clone(), text);
                all.insert(key.to_owned(), written(key, sum));
            }
        }
        for (per, limits) in [("target", each), ("model", all)] {
            if !limits.is_empty() {
                let mut rule = json!({ "per": per, "when": { "model": escaped(&alias.name) } });
                limits.into_iter().for_each(|(key, value)| rule[key] = value);
                self.limits.push(rule);
            }
        }
        self.add_budget(alias, notes);
    }

    fn add_budget(&mut self, alias: &Alias, notes: &Notes) {
        let near = Near::Alias(alias.name.clone());
        for deployment in &alias.deployments {
            let Some((usd, duration, spot)) = &deployment.limits.budget else { continue };
            if alias.deployments.len() > 1 {
                let text = "the budget of one deployment: the nearest is a rule of `budgets` with `per: model`, for the whole alias";
                notes.left(spot, near.clone(), text);
                continue;
            }
            let budget = Budget { usd: *usd, duration, spot };
            if let Some(mut rule) = budget.rule("model", &near, notes) {
                rule["when"] = json!({ "model": escaped(&alias.name) });
                self.budgets.push(rule);
            }
        }
    }
}

/// Money of a time.
pub(super) struct Budget<'a> {
    pub(super) usd: f64,
    /// The time as LiteLLM writes it, such as `30d`; empty for none.
    pub(super) duration: &'a str,
    pub(super) spot: &'a Spot,
}

impl Budget<'_> {
    /// Returns the rule; `None` if there is no calendar period for the time, which is noted.
    pub(super) fn rule(&self, per: &str, near: &Near, notes: &Notes) -> Option<Value> {
        let every = match self.duration.trim() {
            "1h" | "60m" | "3600s" => "hour",
            "1d" | "24h" | "daily" | "86400s" => "day",
            "7d" | "1w" | "weekly" => "week",
            "30d" | "28d" | "31d" | "1mo" | "monthly" => "month",
            other => {
                let found = if other.is_empty() { "no time" } else { other };
                let text = format!(
                    "a budget has a calendar period (`hour`, `day`, `week` or `month`), found {found}: the nearest is `every: month`"
                );
                notes.left(self.spot, near.clone(), text);
                return None;
            }
        };
        if self.usd <= 0.0 {
            notes.left(
                self.spot,
                near.clone(),
                "a budget is more than 0 dollars: to refuse every request, leave the alias out",
            );
            return None;
        }
        let usd = if self.usd.fract() == 0.0 { json!(self.usd as u64) } else { json!(self.usd) };
        Some(json!({ "per": per, "usd": usd, "every": every }))
    }
}

fn values(alias: &Alias, of: fn(&Limits) -> Option<u64>) -> Vec<Option<u64>> {
    alias.deployments.iter().map(|one| of(&one.limits)).collect()
}

fn written(key: &str, number: u64) -> Value {
    match key {
        "concurrent" => number.into(),
        _ => format!("{number}/1m").into(),
    }
}
