//! Problems of `limits:` and `budgets:`: unknown names, rules that can never apply, numbers out of bounds.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use wildmatch::WildMatch;

use crate::auth::allowance::{OwnBudget, OwnLimit, Then};
use crate::auth::entries::Entries;
use crate::auth::{Caller, When, WhenConfig};
use crate::error::Problem;
use crate::limits::budget::{self, Unpriced, nano};
use crate::limits::config::{self, Per, RuleConfig, StoreUrl};
use crate::limits::patterns::overlap;
use crate::limits::queue::{PRIORITY, Priority};
use crate::limits::rule::{identity, rates};
use crate::wire::duration;

/// The names that rules may refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The names of `models:`.
    pub(crate) aliases: &'a [&'a str],
    /// The entries of `keys:`, the only source of names and tags of clients. Without any, nothing is known about them.
    pub(crate) keys: &'a [Client<'a>],
}

/// A key, as rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its tags.
    pub(crate) tags: &'a BTreeMap<String, String>,
}

/// An entry with limits and budgets of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnEntry<'a> {
    /// The place of the entry, with a dot at its end if it is not empty: `keys[0].`
    pub(crate) place: &'a str,
    /// Its limits.
    pub(crate) limits: &'a Entries<OwnLimit>,
    /// Its budgets.
    pub(crate) budget: &'a Entries<OwnBudget>,
}

/// Returns the problems of both sections.
pub(crate) fn problems(
    limits: &config::Config,
    budgets: &budget::Config,
    known: Known<'_>,
) -> Vec<Problem> {
    let mut found = of_limits(limits, known);
    found.extend(of_budgets(budgets, known));
    found
}

/// Returns the problems of the limits and budgets of an entry. `known.keys` has the key itself, or nothing if its name and
/// tags are not known.
pub(crate) fn of_own(entry: OwnEntry<'_>, known: Known<'_>) -> Vec<Problem> {
    let OwnEntry { place, limits, budget } = entry;
    let (mut found, mut counters) = (Vec::new(), Counted::default());
    for (here, limit) in limits.placed(&format!("{place}limits")) {
        found.extend(of_limit(&here, &RuleConfig::own(limit), known, &mut counters));
    }
    for (here, budget) in budget.placed(&format!("{place}budget")) {
        found.extend(of_budget(&here, &budget::RuleConfig::own(budget), known, &mut counters));
    }
    found
}

/// Returns the places of the rules that apply to no client without a name and tags.
pub(crate) fn of_named<'a>(
    limits: &'a config::Config,
    budgets: &'a budget::Config,
) -> impl Iterator<Item = String> + 'a {
    let limits = limits.rules.iter().map(|rule| (&rule.per, &rule.when)).enumerate();
    let budgets = budgets.rules.iter().map(|rule| (&rule.per, &rule.when)).enumerate();
    let limits = limits.map(|(n, rule)| (format!("limits.rules[{n}]"), rule));
    let budgets = budgets.map(|(n, rule)| (format!("budgets.rules[{n}]"), rule));
    limits.chain(budgets).filter_map(|(place, (per, when))| {
        let needs_tag = matches!(per, Per::Tag(_));
        (needs_tag || !When::new(when).fits_caller(&Caller::default())).then_some(place)
    })
}

fn of_limits(config: &config::Config, names: Known<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    if let StoreUrl::Redis(url) = &config.store
        && redis::Client::open(url.expose()).is_err()
    {
        let message = "cannot be read: expected `redis://HOST:PORT`, with a user, a password or the number of a database if needed";
        found.push(Problem::new("limits.store", message));
    }
    let mut counters = Counted::default();
    for (n, rule) in config.rules.iter().enumerate() {
        found.extend(of_limit(&format!("limits.rules[{n}]"), rule, names, &mut counters));
    }
    found
}

fn of_limit(
    here: &str,
    rule: &RuleConfig,
    names: Known<'_>,
    counters: &mut Counted,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let rates = rates(rule);
    if rates.is_empty() && rule.concurrent.is_none() {
        let message =
            "no limit: give `requests`, `tokens`, `input_tokens`, `output_tokens` or `concurrent`";
        found.push(Problem::new(here, message));
    }
    if rule.concurrent == Some(0) {
        found.push(Problem::new(format!("{here}.concurrent"), "must be 1 or more"));
    }
    found.extend(of_wait(here, rule));
    found.extend(of_when(here, &rule.when, names.aliases));
    found.extend(of_clients(here, Scope { per: &rule.per, when: &rule.when }, names.keys));
    let units = rates.iter().map(|(unit, rate)| (unit.as_str(), format!("{:?}", rate.window)));
    let concurrent = rule.concurrent.map(|_| ("concurrent", String::new()));
    for (unit, window) in units.chain(concurrent) {
        let id = identity(&rule.per, &rule.when, &format!("{unit}|{window}"));
        found.extend(counters.twice(id, here, format!("{here}.{unit}")));
    }
    found
}

/// The longest `wait`. Clients give up after ten minutes.
const MAX_WAIT: Duration = Duration::from_secs(300);

fn of_wait(here: &str, rule: &RuleConfig) -> Option<Problem> {
    let wait = rule.wait?;
    (wait.is_zero() || wait > MAX_WAIT).then(|| {
        let found = duration::text(wait);
        let message = format!("expected a time above 0 and up to 5m, found `{found}`");
        Problem::new(format!("{here}.wait"), message)
    })
}

/// Reports keys with a tag `priority` that no wait understands.
pub(crate) fn of_priorities(keys: &[Client<'_>]) -> Vec<Problem> {
    let wrong = keys.iter().enumerate().filter_map(|(n, key)| {
        let found = key.tags.get(PRIORITY).filter(|text| Priority::of(text).is_none())?;
        let message = format!(
            "expected `high`, `normal` or `low` while a limit has a `wait`, found `{found}`"
        );
        Some(Problem::new(format!("keys[{n}].tags.{PRIORITY}"), message))
    });
    wrong.collect()
}

fn of_budgets(config: &budget::Config, names: Known<'_>) -> Vec<Problem> {
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
    let mut counters = Counted::default();
    for (n, rule) in config.rules.iter().enumerate() {
        found.extend(of_budget(&format!("budgets.rules[{n}]"), rule, names, &mut counters));
    }
    found
}

fn of_budget(
    here: &str,
    rule: &budget::RuleConfig,
    names: Known<'_>,
    counters: &mut Counted,
) -> Vec<Problem> {
    let mut found = Vec::new();
    if rule.per == Per::Target {
        let message =
            "expected `key`, `model` or `tag:` and a tag's name: a target has no budget of its own";
        found.push(Problem::new(format!("{here}.per"), message));
    }
    if !(1e-9..=9e9).contains(&rule.usd) || nano(rule.usd) == 0 {
        let message = format!("expected dollars above 0, found `{}`", rule.usd);
        found.push(Problem::new(format!("{here}.usd"), message));
    }
    if let Some(part) = rule.warn_at.filter(|part| !(*part > 0.0 && *part <= 1.0)) {
        let message = format!("expected a part above 0 and up to 1, such as `0.8`, found `{part}`");
        found.push(Problem::new(format!("{here}.warn_at"), message));
    }
    found.extend(of_route(here, rule, names.aliases));
    found.extend(of_when(here, &rule.when, names.aliases));
    found.extend(of_clients(here, Scope { per: &rule.per, when: &rule.when }, names.keys));
    let id = identity(&rule.per, &rule.when, &rule.every.to_string());
    found.extend(counters.twice(id, here, here.to_owned()));
    found
}

fn of_route(here: &str, rule: &budget::RuleConfig, aliases: &[&str]) -> Vec<Problem> {
    let Then::Route(to) = &rule.then else { return Vec::new() };
    let mut found = Vec::new();
    if to.contains(['*', '?']) || !aliases.iter().any(|known| overlap(to, known)) {
        let message = format!("no model is named `{to}`");
        found.push(Problem::new(format!("{here}.then.route"), message));
    }
    if rule.when.model.as_ref() == Some(to) && rule.per != Per::Model {
        let message =
            format!("`{to}` is the only model of the rule: the budget would never end a request");
        found.push(Problem::new(format!("{here}.then.route"), message));
    }
    found
}

/// The counters of the rules so far, each with the place of its rule.
#[derive(Default)]
struct Counted(BTreeMap<Arc<str>, String>);

impl Counted {
    /// Reports a second rule with the counters of another one.
    fn twice(&mut self, id: Arc<str>, here: &str, path: String) -> Option<Problem> {
        let first = self.0.entry(id).or_insert_with(|| here.to_owned());
        (first != here).then(|| {
            let message =
                format!("{first} counts the same requests in the same time: keep one of them");
            Problem::new(path, message)
        })
    }
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

/// Reports a rule that applies to no key, with the first part of it that fits none.
fn of_clients(here: &str, rule: Scope<'_>, keys: &[Client<'_>]) -> Option<Problem> {
    let Scope { per, when } = rule;
    let mut left = keys.to_vec();
    if left.is_empty() {
        return None;
    }
    let mut narrow = |path: String, fits: &dyn Fn(&Client<'_>) -> bool, message: String| {
        left.retain(|key| fits(key));
        left.is_empty().then(|| Problem::new(format!("{here}.{path}"), message))
    };
    if let Some(pattern) = when.key.as_deref().filter(|pattern| !pattern.is_empty()) {
        let names = WildMatch::new(pattern);
        let message = format!("no key in `keys` can match `{pattern}`: the rule would never apply");
        let found = narrow("when.key".to_owned(), &|key| names.matches(key.name), message);
        if found.is_some() {
            return found;
        }
    }
    for (tag, pattern) in when.tags.iter().filter(|(_, pattern)| !pattern.is_empty()) {
        let values = WildMatch::new(pattern);
        let fits = |key: &Client<'_>| key.tags.get(tag).is_some_and(|it| values.matches(it));
        let message = format!(
            "no key in `keys` that the rule is for has a tag `{tag}` that matches `{pattern}`: the rule would never apply"
        );
        let found = narrow(format!("when.tags.{tag}"), &fits, message);
        if found.is_some() {
            return found;
        }
    }
    let Per::Tag(tag) = per else { return None };
    let message = format!(
        "no key in `keys` that the rule is for has the tag `{tag}`: the rule would never apply"
    );
    narrow("per".to_owned(), &|key| key.tags.contains_key(tag), message)
}

/// The owner and the conditions of a rule.
struct Scope<'a> {
    per: &'a Per,
    when: &'a WhenConfig,
}
