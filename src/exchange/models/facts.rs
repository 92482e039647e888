//! The facts about an alias in the API's shape: those that are true of all its targets.
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use crate::catalogue::Row;
use crate::catalogue::row::{Capability, Effort, ThinkingType};
use crate::gateway::Gateway;
use crate::models::{Alias, ServerTools, Target};

/// The stages of a model's life.
pub(super) const LIFECYCLES: [&str; 3] = [ACTIVE, DEPRECATED, RETIRED];
const ACTIVE: &str = "active";
const DEPRECATED: &str = "deprecated";
const RETIRED: &str = "retired";

/// Returns a model in the API's shape; `id` is the name that leads to the alias. A fact that is unknown for a target is
/// `null`.
pub(super) fn model(gateway: &Gateway, alias: &Alias, id: &str) -> Value {
    let rows = rows(alias, id);
    // the name of a model that the alias is called by, too
    let is_own = |row: &Row| gateway.catalogue.find(None, id).is_some_and(|own| own.id == row.id);
    let name = same(&rows, |row| row.name.as_deref().filter(|_| is_own(row)));
    let retires = same(&rows, |row| row.retires);
    json!({
        "type": "model",
        "id": id,
        "display_name": name.unwrap_or(id),
        // the API requires a date, and an alias has none
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": stage(retires),
        "deprecated_at": null,
        "retires_at": retires.map(|day| format!("{day}T00:00:00Z")),
        "line": same(&rows, |row| row.line.as_deref()),
        "max_input_tokens": least(&rows, |row| row.context),
        "max_tokens": least(&rows, |row| row.max_output),
        "capabilities": capabilities(gateway, alias, &rows),
    })
}

/// Returns the stage of a model's life today.
pub(super) fn lifecycle(alias: &Alias, id: &str) -> &'static str {
    stage(same(&rows(alias, id), |row| row.retires))
}

/// Returns the facts about each target.
fn rows<'a>(alias: &'a Alias, id: &str) -> Vec<Option<&'a Row>> {
    alias.targets.iter().map(|target| target.row(id).map(|row| &**row)).collect()
}

fn stage(retires: Option<Date>) -> &'static str {
    let now = Zoned::new(Timestamp::now(), TimeZone::UTC).date();
    match retires {
        None => ACTIVE,
        Some(day) if day <= now => RETIRED,
        Some(_) => DEPRECATED,
    }
}

/// Returns the least of the numbers; `None` if one is unknown.
fn least(rows: &[Option<&Row>], number: impl Fn(&Row) -> Option<u64>) -> Option<u64> {
    let all: Option<Vec<u64>> = rows.iter().map(|row| number((*row)?)).collect();
    all?.into_iter().min()
}

/// Returns a fact if it is the same for all targets.
fn same<'a, T: PartialEq>(
    rows: &[Option<&'a Row>],
    fact: impl Fn(&'a Row) -> Option<T>,
) -> Option<T> {
    let mut all = rows.iter().map(|row| fact((*row)?));
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// Returns the capabilities that all targets have; `null` if those of one are unknown.
fn capabilities(gateway: &Gateway, alias: &Alias, rows: &[Option<&Row>]) -> Value {
    let known: Option<Vec<&Row>> =
        rows.iter().map(|row| row.filter(|row| row.knows_capabilities())).collect();
    let Some(known) = known else { return Value::Null };
    let each = alias.targets.iter().zip(known);
    let each = each.map(|(target, row)| Support { gateway, alias, target, row }.all());
    each.reduce(both).unwrap_or_default()
}

/// Returns what two targets have in common.
fn both(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Value::Bool(one && other),
        (Value::Object(one), Value::Object(mut other)) => {
            let pairs = one.into_iter().map(|(key, value)| {
                let others = other.get_mut(&key).map(Value::take).unwrap_or_default();
                (key, both(value, others))
            });
            Value::Object(pairs.collect())
        }
        _ => Value::Null,
    }
}

/// The support of one target.
struct Support<'a> {
    gateway: &'a Gateway,
    alias: &'a Alias,
    target: &'a Target,
    row: &'a Row,
}

impl Support<'_> {
    fn all(&self) -> Value {
        let accepts = &self.target.accepts;
        let format = self.row.has(Capability::JsonSchema) && !accepts.lacks_field("output_config");
        let image = self.row.has(Capability::Image) && !accepts.lacks_block("image");
        let pdf = self.row.has(Capability::Pdf) && !accepts.lacks_block("document");
        let is_claude = accepts.is_native && self.row.provider == "anthropic";
        let context = is_claude && !accepts.lacks_field("context_management");
        let web_search = self.searches();
        json!({
            "batch": supported(self.has_batches()),
            "citations": supported(accepts.cites),
            // the table does not say which models can
            "code_execution": supported(false),
            "context_management": {
                "supported": context,
                "clear_thinking_20251015": null,
                "clear_tool_uses_20250919": null,
                "compact_20260112": null,
            },
            "effort": self.effort(),
            "image_input": supported(image),
            "pdf_input": supported(pdf),
            "server_tools": {
                "supported": web_search,
                "web_search": supported(web_search),
                "code_execution": supported(false),
            },
            "structured_outputs": supported(format),
            "thinking": self.thinking(),
        })
    }

    /// Returns whether batches, which go to the `passthrough` provider, know the model.
    fn has_batches(&self) -> bool {
        let passthrough = self.gateway.passthrough.as_ref();
        let is_there = passthrough.is_some_and(|to| to.name == self.target.provider_name);
        let keeps_name = self.target.model.as_ref().is_none_or(|model| *model == self.alias.name);
        is_there && keeps_name && self.target.accepts.is_native && self.row.provider == "anthropic"
    }

    /// Returns whether a web search works: by the upstream, or by a plugin of the gateway.
    fn searches(&self) -> bool {
        let accepts = &self.target.accepts;
        let upstream = self.row.has(Capability::WebSearch)
            && accepts.has_server_tools
            && !accepts.lacks_tool("web_search_20250305");
        let plugin =
            self.row.has(Capability::Tools) && self.gateway.pipeline.tool("web_search").is_some();
        match self.alias.server_tools {
            ServerTools::Native => upstream,
            ServerTools::Gateway => plugin,
            ServerTools::Auto => upstream || plugin,
        }
    }

    fn effort(&self) -> Value {
        let efforts = self.row.efforts.as_deref().unwrap_or(&self.row.levels);
        let is_taken = !self.target.accepts.lacks_field("output_config");
        let takes = |effort| is_taken && efforts.contains(&effort);
        let all = [Effort::Low, Effort::Medium, Effort::High, Effort::Xhigh, Effort::Max];
        let mut found = json!({ "supported": all.into_iter().any(takes) });
        for effort in all {
            found[effort.as_str()] = supported(takes(effort));
        }
        found
    }

    fn thinking(&self) -> Value {
        let accepts = &self.target.accepts;
        let can = self.row.has(Capability::Thinking) && !accepts.lacks_field("thinking");
        // where the gateway translates, it finds the nearest control of the upstream
        let takes = |kind| can && self.row.takes_thinking(kind).unwrap_or(true);
        let between = self.row.takes_thinking(ThinkingType::BetweenTools) == Some(true);
        json!({
            "supported": can,
            "types": {
                "adaptive": supported(takes(ThinkingType::Adaptive)),
                "between_tools": supported(can && between),
                "disabled": supported(!can || takes(ThinkingType::Disabled)),
                "enabled": supported(takes(ThinkingType::Enabled)),
            },
        })
    }
}

fn supported(is_supported: bool) -> Value {
    json!({ "supported": is_supported })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_have_is_left() {
        let one = json!({"a": {"supported": true}, "b": {"supported": true, "c": null}, "d": true});
        let other = json!({"a": {"supported": true}, "b": {"supported": false, "c": true}});
        let expected =
            json!({"a": {"supported": true}, "b": {"supported": false, "c": null}, "d": null});
        assert_eq!(both(one, other), expected);
    }

    #[test]
    fn the_day_of_the_retirement_decides_about_the_lifecycle() {
        let day = |text: &str| Some(text.parse().unwrap());
        assert_eq!(stage(None), "active");
        assert_eq!(stage(day("2999-12-31")), "deprecated");
        assert_eq!(stage(day("2001-01-01")), "retired");
    }
}
