//! Problems of `limits:` and `budgets:`: unknown names, rules that can never apply, numbers out of bounds.
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::auth::WhenConfig;
use crate::error::Problem;
use crate::limits::budget::{self, Then, Unpriced, nano};
use crate::limits::config::{self, MEMORY, Per};
use crate::limits::rules::{identity, rates};

/// Returns the problems of both sections. `aliases` are the names of `models:`.
pub(crate) fn problems(
    limits: &config::Config,
    budgets: &budget::Config,
    aliases: &[&str],
) -> Vec<Problem> {
    let mut found = of_limits(limits, aliases);
    found.extend(of_budgets(budgets, aliases));
    found
}

/// Returns the tags that own counters, each with its rule.
pub(crate) fn tags<'a>(
    limits: &'a config::Config,
    budgets: &'a budget::Config,
) -> Vec<(String, &'a str)> {
    let limits = limits.rules.iter().map(|rule| &rule.per).enumerate();
    let budgets = budgets.rules.iter().map(|rule| &rule.per).enumerate();
    let limits = limits.map(|(n, per)| (format!("limits.rules[{n}]"), per));
    let budgets = budgets.map(|(n, per)| (format!("budgets.rules[{n}]"), per));
    let tags = limits.chain(budgets).filter_map(|(rule, per)| match per {
        Per::Tag(tag) => Some((rule, tag.as_str())),
        Per::Key | Per::Model | Per::Target => None,
    });
    tags.collect()
}

fn of_limits(config: &config::Config, aliases: &[&str]) -> Vec<Problem> {
    let mut found = Vec::new();
    if config.store != MEMORY {
        let message = match config.store.starts_with("redis") {
            true => "this version keeps counters in memory only, not in Redis: write `memory`",
            false => "expected `memory`",
        };
        found.push(Problem::new("limits.store", message));
    }
    let mut known = BTreeMap::new();
    for (n, rule) in config.rules.iter().enumerate() {
        let here = format!("limits.rules[{n}]");
        let rates = rates(rule);
        if rates.is_empty() && rule.concurrent.is_none() {
            let message = "no limit: give `requests`, `tokens`, `input_tokens`, `output_tokens` or `concurrent`";
            found.push(Problem::new(&here, message));
        }
        if rule.concurrent == Some(0) {
            found.push(Problem::new(format!("{here}.concurrent"), "must be 1 or more"));
        }
        found.extend(of_when(&here, &rule.when, aliases));
        let units = rates.iter().map(|(unit, rate)| (unit.as_str(), format!("{:?}", rate.window)));
        let concurrent = rule.concurrent.map(|_| ("concurrent", String::new()));
        for (unit, window) in units.chain(concurrent) {
            let id = identity(&rule.per, &rule.when, &format!("{unit}|{window}"));
            found.extend(twice(&mut known, id, n, format!("{here}.{unit}"), "limits"));
        }
    }
    found
}

fn of_budgets(config: &budget::Config, aliases: &[&str]) -> Vec<Problem> {
    let mut found = Vec::new();
    if TimeZone::get(&config.timezone).is_err() {
        let message = format!(
            "no time zone is named `{}`: expected a name such as `UTC` or `Europe/Berlin`",
            config.timezone
        );
        found.push(Problem::new("budgets.timezone", message));
    }
    if let Unpriced::Priced(rates) = config.unpriced {
        for (key, rate) in [("input", rates.input), ("output", rates.output)] {
            if !(0.0..=1e6).contains(&rate) {
                let path = format!("budgets.unpriced.{key}");
                found.push(Problem::new(
                    path,
                    format!("expected dollars a million tokens, found `{rate}`"),
                ));
            }
        }
    }
    let mut known = BTreeMap::new();
    for (n, rule) in config.rules.iter().enumerate() {
        let here = format!("budgets.rules[{n}]");
        if rule.per == Per::Target {
            let message = "expected `key`, `model` or `tag:` and a tag's name: a target has no budget of its own";
            found.push(Problem::new(format!("{here}.per"), message));
        }
        if !(1e-9..=9e9).contains(&rule.usd) || nano(rule.usd) == 0 {
            let message = format!("expected dollars above 0, found `{}`", rule.usd);
            found.push(Problem::new(format!("{here}.usd"), message));
        }
        if let Some(part) = rule.warn_at.filter(|part| !(*part > 0.0 && *part <= 1.0)) {
            let message =
                format!("expected a part above 0 and up to 1, such as `0.8`, found `{part}`");
            found.push(Problem::new(format!("{here}.warn_at"), message));
        }
        if let Then::Route(alias) = &rule.then
            && (alias.contains(['*', '?']) || !aliases.iter().any(|known| overlap(alias, known)))
        {
            let message = format!("no model is named `{alias}`");
            found.push(Problem::new(format!("{here}.then.route"), message));
        }
        found.extend(of_when(&here, &rule.when, aliases));
        let id = identity(&rule.per, &rule.when, &rule.every.to_string());
        found.extend(twice(&mut known, id, n, here, "budgets"));
    }
    found
}

/// Reports a second rule with the counters of another one.
fn twice(
    known: &mut BTreeMap<Arc<str>, usize>,
    id: Arc<str>,
    n: usize,
    path: String,
    section: &str,
) -> Option<Problem> {
    let first = *known.entry(id).or_insert(n);
    (first != n).then(|| {
        let message = format!(
            "{section}.rules[{first}] counts the same requests in the same time: keep one of them"
        );
        Problem::new(path, message)
    })
}

fn of_when(here: &str, when: &WhenConfig, aliases: &[&str]) -> Vec<Problem> {
    let empty = when.empty_patterns().into_iter().map(|(parent, key)| {
        let parent = parent.map_or(String::new(), |parent| format!("{parent}."));
        let message = "an empty pattern matches nothing: write `*` for all";
        Problem::new(format!("{here}.when.{parent}{key}"), message)
    });
    let mut found: Vec<Problem> = empty.collect();
    if let Some(model) = when.model.as_deref().filter(|model| !model.is_empty())
        && !aliases.iter().any(|alias| overlap(model, alias))
    {
        let message =
            format!("no alias of `models` can match `{model}`: the rule would never apply");
        found.push(Problem::new(format!("{here}.when.model"), message));
    }
    found
}

/// Returns whether some text matches both of two patterns. `*` is any text, `?` any character.
fn overlap(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // row[j]: whether the rest of `one` overlaps the rest of `other` from j on
    let mut row: Vec<bool> =
        (0..=other.len()).map(|j| other[j..].iter().all(|c| *c == '*')).collect();
    for i in (0..one.len()).rev() {
        let mut next = vec![false; other.len() + 1];
        for j in (0..=other.len()).rev() {
            let at = other.get(j).copied();
            next[j] = match (one[i], at) {
                ('*', None) => row[j],
                ('*', Some(_)) => row[j] || next[j + 1],
                (_, Some('*')) => next[j + 1] || row[j],
                (_, None) => false,
                (a, Some(b)) => (a == b || a == '?' || b == '?') && row[j + 1],
            };
        }
        row = next;
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_patterns_overlap_if_a_text_matches_both() {
        for (one, other, expected) in [
            ("claude-opus-*", "*", true),
            ("claude-opus-*", "claude-*", true),
            ("claude-*", "claude-opus-4", true),
            ("gpt-*", "claude-*", false),
            ("gpt", "gpt", true),
            ("gpt", "gpt4", false),
            ("*-fast", "claude-*", true),
            ("a*b", "b*a", false),
            ("a*", "*b", true),
            ("", "*", true),
            ("gpt-?", "gpt-4", true),
            ("gpt-?", "gpt-", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
