//! Checks across parts of the config: names that must exist elsewhere, bounds, safe listeners.
use std::net::SocketAddr;

use crate::auth::jwt::config::JwtConfig;
use crate::auth::{jwt, keys};
use crate::config::draft::Draft;
use crate::config::expand::Expansion;
use crate::config::listeners::RecordConfig;
use crate::config::tree::Place;
use crate::config::wording;
use crate::error::Problem;
use crate::ledger;
use crate::ledger::config::LedgerUrl;
use crate::ledger::keys::NO_LEDGER;
use crate::limits::{self, Client, Known, OwnEntry};
use crate::models;
use crate::net::cors::Cors;
use crate::policy::StageConfig;
use crate::telemetry::{events, logs};

/// Returns all problems between the parts.
pub(crate) fn problems(draft: &Draft) -> Vec<Problem> {
    let entries = draft.keys.iter().enumerate();
    let entries: Vec<_> = entries.filter_map(|(n, key)| Some((n, key.as_ref()?))).collect();
    let mut found = listeners(draft);
    found.extend(cors(draft));
    found.extend(providers(draft));
    found.extend(models(draft));
    found.extend(keys::problems(&entries));
    let issuers = draft.jwt.iter().enumerate();
    let issuers: Vec<_> = issuers.filter_map(|(n, entry)| Some((n, entry.as_ref()?))).collect();
    found.extend(jwt::config::problems(&issuers));
    found.extend(passthrough(draft));
    found.extend(pipeline(draft));
    found.extend(bounds(draft));
    found.extend(limits(draft));
    found.extend(key_store(draft));
    found.extend(events::config::problems(&draft.sinks));
    found
}

/// Replaces a variable's value by the variable: the value may be a secret.
pub(crate) fn redact(problem: Problem, expansion: &Expansion) -> Problem {
    let mut message = problem.message;
    for (place, origin) in &expansion.origins {
        if place.to_string().starts_with(&problem.path) && !origin.value.is_empty() {
            let shown = format!("`{}`", origin.text);
            message = message.replace(&format!("`{}`", origin.value), &shown);
        }
    }
    Problem::new(problem.path, message)
}

fn listeners(draft: &Draft) -> Vec<Problem> {
    let mut found = Vec::new();
    let config = &draft.config;
    let has_callers = !draft.keys.is_empty() || !draft.jwt.is_empty() || config.key_store.is_on();
    if !config.listen.ip().is_loopback() && !has_callers {
        found.push(Problem::new(
            "listen",
            "not a loopback address, and there are no `keys`: add `keys` (or `jwt`, or a `key_store`), or listen on a loopback address",
        ));
    }
    let Some(admin) = &config.admin else { return found };
    if !admin.listen.ip().is_loopback() && admin.token.is_empty() {
        found.push(Problem::new(
            "admin.token",
            "required if the address is not loopback: set a token, or listen on a loopback address",
        ));
    }
    if let Some(record) = &admin.record {
        let RecordConfig { requests, bytes } = record;
        if !(1..=10_000).contains(requests) {
            let message = format!("expected a number from 1 to 10000, found {requests}");
            found.push(Problem::new("admin.record.requests", message));
        }
        if *bytes < 1024 * 1024 {
            let message = format!("expected at least 1048576 bytes, found {bytes}");
            found.push(Problem::new("admin.record.bytes", message));
        }
    }
    if clashes(config.listen, admin.listen) {
        found.push(Problem::new("admin.listen", "the same address as `listen`: take another port"));
    }
    found
}

fn clashes(a: SocketAddr, b: SocketAddr) -> bool {
    let is_same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && is_same_host
}

fn cors(draft: &Draft) -> Option<Problem> {
    let (at, message) = Cors::new(&draft.config.server.cors.origins).err()?;
    Some(Problem::new(format!("server.cors.origins[{at}]"), message))
}

fn providers(draft: &Draft) -> Vec<Problem> {
    if draft.providers.is_empty() {
        return vec![Problem::new("providers", "there is none: name at least one upstream")];
    }
    let here = Place::default().key("providers");
    let mut found = Vec::new();
    for (name, config) in &draft.providers {
        if name.is_empty() {
            found.push(Problem::new("providers", "a provider needs a name that is not empty"));
        }
        let Some(config) = config else { continue };
        let here = here.key(name.as_str());
        let wrong = config.problems().into_iter();
        found.extend(wrong.map(|(key, message)| Problem::new(here.key(key).to_string(), message)));
    }
    found
}

fn models(draft: &Draft) -> Vec<Problem> {
    if draft.models.is_empty() {
        return vec![Problem::new("models", "there is none: name at least one alias")];
    }
    let here = Place::default().key("models");
    let mut found = Vec::new();
    for (alias, config) in &draft.models {
        if alias.is_empty() {
            found.push(Problem::new("models", "an alias needs a name that is not empty"));
        }
        if let Some(config) = config {
            found.extend(model(draft, &here.key(alias.as_str()), config));
        }
    }
    found
}

fn model(draft: &Draft, here: &Place, config: &models::Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut report = |place: Place, message: String| {
        found.push(Problem::new(place.to_string(), message));
    };
    match (&config.provider, config.targets.is_empty()) {
        (None, true) => report(
            here.clone(),
            "no target: give `provider` (the short form) or a list of `targets`".to_owned(),
        ),
        (Some(_), false) => report(
            here.clone(),
            "both `provider` (the short form) and `targets`: give one of them".to_owned(),
        ),
        _ => {}
    }
    if config.provider.is_none() && config.model.is_some() {
        let message = "belongs to the short form: put it into the targets, or add `provider`";
        report(here.key("model"), message.to_owned());
    }
    if let Some(message) = config.provider.as_ref().and_then(|name| unknown(draft, name)) {
        report(here.key("provider"), message);
    }
    if config.sort.is_some() && config.strategy == models::Strategy::Weighted {
        let message = "both `sort` and `strategy: weighted`: give one of them";
        report(here.key("sort"), message.to_owned());
    }
    for (n, target) in config.targets.iter().enumerate() {
        let here = here.key("targets").index(n);
        if let Some(message) = unknown(draft, &target.provider) {
            report(here.key("provider"), message);
        }
        if target.weight == 0 {
            report(
                here.key("weight"),
                "must be 1 or more: to disable the target, remove it".into(),
            );
        }
    }
    for (n, status) in config.retry.on.iter().enumerate() {
        if !(400..600).contains(status) {
            let message = "expected an error status from 400 to 599";
            report(here.key("retry").key("on").index(n), message.to_owned());
        }
    }
    found
}

fn unknown(draft: &Draft, provider: &str) -> Option<String> {
    let known: Vec<&str> = draft.providers.iter().map(|(name, _)| name.as_str()).collect();
    (!known.contains(&provider)).then(|| {
        let suggestion = wording::suggestion(provider, &known);
        format!("no provider is named `{provider}`{suggestion}")
    })
}

fn passthrough(draft: &Draft) -> Option<Problem> {
    let name = draft.config.passthrough.as_ref()?;
    unknown(draft, name).map(|message| Problem::new("passthrough", message))
}

fn pipeline(draft: &Draft) -> Vec<Problem> {
    let here = Place::default().key("pipeline");
    let stages = draft.pipeline.iter().flatten().enumerate();
    let stages = stages.filter_map(|(n, stage)| Some((here.index(n), stage.as_ref()?)));
    stages.flat_map(|(here, stage)| stage_problems(&here, stage)).collect()
}

fn stage_problems(here: &Place, stage: &StageConfig) -> Vec<Problem> {
    let mut found = Vec::new();
    let message = match (&stage.policy, &stage.plugin) {
        (Some(_), Some(_)) => "both `policy` and `plugin`: give one of them",
        (None, None) => "neither `policy` nor `plugin`: give one of them",
        (Some(name), None) | (None, Some(name)) if name.is_empty() => "the name is empty",
        _ => "",
    };
    if !message.is_empty() {
        found.push(Problem::new(here.to_string(), message));
    }
    let when = here.key("when");
    let tags = when.key("tags");
    let patterns = [("model", &stage.when.model), ("key", &stage.when.key)];
    let patterns =
        patterns.into_iter().filter_map(|(key, text)| Some((when.key(key), text.as_ref()?)));
    let patterns = patterns.chain(stage.when.tags.iter().map(|(tag, text)| (tags.key(tag), text)));
    let empty = patterns.filter(|(_, text)| text.is_empty());
    found.extend(empty.map(|(place, _)| {
        Problem::new(place.to_string(), "an empty pattern matches nothing: write `*` for all")
    }));
    found
}

fn key_store(draft: &Draft) -> Option<Problem> {
    let config = &draft.config;
    let is_lost = config.key_store.is_on() && config.ledger.url == LedgerUrl::Off;
    is_lost.then(|| Problem::new("key_store", NO_LEDGER))
}

fn limits(draft: &Draft) -> Vec<Problem> {
    let aliases: Vec<&str> = draft.models.iter().map(|(alias, _)| alias.as_str()).collect();
    // nothing is known about the names and tags of an entry that cannot be read, of stored keys, and of tokens
    let clients: Option<Vec<Client<'_>>> =
        draft.keys.iter().map(|key| key.as_ref().map(client)).collect();
    let are_all = draft.jwt.is_empty() && !draft.config.key_store.is_on();
    let keys = clients.filter(|_| are_all).unwrap_or_default();
    let known = Known { aliases: &aliases, keys: &keys };
    let mut found = limits::problems(&draft.config.limits, &draft.config.budgets, known);
    found.extend(own_limits(draft, &aliases));
    let common = draft.config.limits.rules.iter().map(|rule| rule.wait);
    let own = draft.keys.iter().flatten().flat_map(|key| key.limits.all());
    if common.chain(own.map(|limit| limit.wait)).any(|wait| wait.is_some()) {
        found.extend(limits::of_priorities(&keys));
    }
    found
}

fn client(key: &keys::Config) -> Client<'_> {
    Client { name: &key.name, tags: &key.tags }
}

/// Returns the problems of the limits and budgets of single keys and issuers.
fn own_limits(draft: &Draft, aliases: &[&str]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (n, key) in draft.keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let entry =
            OwnEntry { place: &format!("keys[{n}]."), limits: &key.limits, budget: &key.budget };
        found.extend(limits::of_own(entry, Known { aliases, keys: &[client(key)] }));
    }
    for (n, issuer) in draft.jwt.iter().enumerate() {
        let Some(JwtConfig { limits, budget, .. }) = issuer else { continue };
        let entry = OwnEntry { place: &format!("jwt[{n}]."), limits, budget };
        found.extend(limits::of_own(entry, Known { aliases, keys: &[] }));
    }
    found
}

fn bounds(draft: &Draft) -> Vec<Problem> {
    let config = &draft.config;
    let mut found = Vec::new();
    found.extend(config.egress.problems());
    found.extend(config.plugins.files.problems());
    let ledger = ledger::problems(&config.ledger).into_iter();
    found.extend(ledger.map(|(key, message)| Problem::new(format!("ledger.{key}"), message)));
    let otlp = config.otlp.problems().into_iter();
    found.extend(otlp.map(|(key, message)| Problem::new(format!("otlp.{key}"), message)));
    let numbers = [
        ("server.max_body_bytes", config.server.max_body_bytes == 0),
        ("server.max_connections", config.server.max_connections == 0),
        ("tools.max_turns", config.tools.max_turns == 0),
        ("policies.text_timeout", config.policies.text_timeout.is_zero()),
        ("tools.timeout", config.tools.timeout.is_zero()),
        ("server.header_timeout", config.server.header_timeout.is_zero()),
        ("server.body_timeout", config.server.body_timeout.is_zero()),
        ("server.ping_interval", config.server.ping_interval.is_zero()),
    ];
    let zeros = numbers.into_iter().filter(|(_, is_zero)| *is_zero);
    found.extend(zeros.map(|(path, _)| Problem::new(path, "must be more than 0")));
    let models = draft.models.iter().filter_map(|(name, model)| Some((name, model.as_ref()?)));
    found.extend(models.flat_map(|(name, model)| {
        let zeros = model.timeouts.zeros().into_iter();
        zeros.map(move |key| {
            Problem::new(format!("models.{name}.timeouts.{key}"), "must be more than 0")
        })
    }));
    if let Some(message) = config.log.level.as_deref().and_then(logs::level_problem) {
        found.push(Problem::new("log.level", message));
    }
    found
}
