//! Tests of the order of targets: by the config, by weight and session, by the request's preference.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Preference, draw};
use crate::catalogue::{Catalogue, Table};
use crate::models::{Alias, HealthBook, Models, Parts, Sort};
use crate::providers::Provider;
use crate::providers::simulator::Simulator;
use crate::telemetry::metrics::Metrics;
use crate::wire::{Endpoint, MessagesRequest};
use std::time::Instant;

/// Returns an alias of these targets (`provider` or `provider/model`, with a weight) under a strategy.
fn alias(strategy: &str, targets: &[(&str, u32)]) -> Arc<Alias> {
    let providers: BTreeMap<String, Arc<dyn Provider>> = targets
        .iter()
        .map(|(name, _)| name.split('/').next().unwrap().to_owned())
        .map(|name| (name, Arc::new(Simulator::new(Duration::ZERO)) as Arc<dyn Provider>))
        .collect();
    let targets: Vec<_> = targets
        .iter()
        .map(|(name, weight)| {
            let (provider, model) =
                name.split_once('/').map_or((*name, None), |(p, m)| (p, Some(m)));
            serde_json::json!({"provider": provider, "model": model, "weight": weight})
        })
        .collect();
    let config = serde_json::json!({"strategy": strategy, "targets": targets});
    let configs = [("m".to_owned(), serde_json::from_value(config).unwrap())];
    let (book, metrics) = (HealthBook::default(), Metrics::new());
    let catalogue = Arc::new(Catalogue::build(&Table::default()).unwrap());
    let parts = Parts {
        providers: &providers,
        broken: &[],
        book: &book,
        metrics: &metrics,
        catalogue: &catalogue,
    };
    let models = Models::build(&configs, &parts).unwrap_or_else(|found| panic!("{found:?}"));
    Arc::clone(models.resolve("m").unwrap())
}

fn request(max_tokens: u32) -> MessagesRequest {
    sized(max_tokens, "hi")
}

fn sized(max_tokens: u32, text: &str) -> MessagesRequest {
    let messages = serde_json::json!([{"role": "user", "content": text}]);
    let body = serde_json::json!({"model": "m", "max_tokens": max_tokens, "messages": messages});
    MessagesRequest::parse(body.to_string().into(), Endpoint::Messages).unwrap()
}

/// Returns the order of a request that sorts and names a first target.
fn sorted(alias: &Alias, sort: Sort, first: &str, request: &MessagesRequest) -> Vec<String> {
    let first = [first.to_owned()];
    let preference = Preference { first: &first, sort: Some(sort), ..Preference::NONE };
    let order = alias.order_by("s", "m", &preference, request);
    order.iter().map(|target| target.key.clone()).collect()
}

fn keys(alias: &Alias, session: &str) -> Vec<String> {
    alias.order(session).iter().map(|target| target.key.clone()).collect()
}

fn wished(alias: &Alias, first: &[&str], only: Option<&[&str]>, not: &[&str]) -> Vec<String> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (first, only, not) = (owned(first), only.map(owned), owned(not));
    let preference = Preference { first: &first, only: only.as_deref(), not: &not, sort: None };
    let order = alias.order_by("s", "m", &preference, &request(16));
    order.iter().map(|target| target.key.clone()).collect()
}

const THREE: [(&str, u32); 3] = [("a", 1), ("b/x", 1), ("c", 1)];

#[test]
fn an_order_by_preference_is_the_configs() {
    let alias = alias("failover", &THREE);
    for session in ["", "one", "two"] {
        assert_eq!(keys(&alias, session), ["a/*", "b/x", "c/*"]);
    }
}

#[test]
fn a_session_keeps_its_order_and_sessions_are_spread_by_weight() {
    let alias = alias("weighted", &[("a", 3), ("b", 1)]);
    let first = |n: u32| keys(&alias, &format!("session-{n}"))[0].clone();
    let share = (0..1000).filter(|n| first(*n) == "a/*").count();
    // the hash is the same on every machine
    assert!((700..800).contains(&share), "{share} of 1000");
    assert!((0..100).all(|n| first(n) == first(n)));
}

#[test]
fn a_target_that_goes_moves_its_own_sessions_only() {
    let (three, two) = (alias("weighted", &THREE), alias("weighted", &[("a", 1), ("c", 1)]));
    for n in 0..200 {
        let session = format!("session-{n}");
        let without: Vec<String> =
            keys(&three, &session).into_iter().filter(|key| key != "b/x").collect();
        assert_eq!(keys(&two, &session), without, "{session}");
    }
}

#[test]
fn requests_without_a_session_are_spread_anew_each_time() {
    let alias = alias("weighted", &THREE);
    let drawn: std::collections::BTreeSet<String> =
        (0..200).map(|_| keys(&alias, "")[0].clone()).collect();
    assert_eq!(drawn.len(), 3, "each of three is missed 200 times once in 10^35");
}

#[test]
fn a_request_chooses_among_the_targets() {
    let alias = alias("failover", &THREE);
    assert_eq!(wished(&alias, &["c", "b"], None, &[]), ["c/*", "b/x", "a/*"]);
    assert_eq!(wished(&alias, &[], Some(&["c", "a"]), &[]), ["a/*", "c/*"]);
    assert_eq!(wished(&alias, &["c"], None, &["a"]), ["c/*", "b/x"]);
    // with the upstream's model, or with the request's if the target has none
    assert_eq!(wished(&alias, &["b/x"], Some(&["b/x", "c/m"]), &[]), ["b/x", "c/*"]);
    assert_eq!(wished(&alias, &[], Some(&["b/m", "c/x"]), &[]), [""; 0]);
    assert!(alias.has_target("b", "m") && !alias.has_target("bb", "m"));
}

#[test]
fn a_session_draws_the_same_number_in_every_version() {
    assert_eq!(draw("anthropic/claude-sonnet-5", "user-1", 0), 0x111c_71ea_1faa_6967);
    assert_eq!(draw("anthropic/claude-sonnet-5", "user-1", 7), 0x1c40_aed7_b661_5c14);
}

#[test]
fn the_cheapest_target_of_a_request_comes_first_and_an_unpriced_one_last() {
    let alias = alias(
        "failover",
        &[("a/unknown", 1), ("b/claude-opus-5", 1), ("c/gpt-5.6-luna", 1), ("d/gpt-6-luna", 1)],
    );
    let order = |first| sorted(&alias, Sort::Cost, first, &request(16));
    assert_eq!(order(""), ["d/gpt-6-luna", "c/gpt-5.6-luna", "b/claude-opus-5", "a/unknown"]);
    // a target that the request names comes before the order
    assert_eq!(order("b")[..2], ["b/claude-opus-5", "d/gpt-6-luna"]);
}

#[test]
fn the_price_is_that_of_this_request() {
    // 0.5 and 1.5 dollars for a million tokens of input and output, against 0.3 and 2.5
    let alias = alias("failover", &[("a/mistral-large-latest", 1), ("b/gemini-2.5-flash", 1)]);
    let order = |tokens, text: &str| sorted(&alias, Sort::Cost, "", &sized(tokens, text));
    assert_eq!(order(10_000, "hi")[0], "a/mistral-large-latest");
    assert_eq!(order(10, &"many words ".repeat(5_000))[0], "b/gemini-2.5-flash");
}

#[test]
fn the_fastest_target_comes_first_once_each_was_measured() {
    let alias = alias("failover", &[("a", 1), ("b", 1), ("c", 1)]);
    let order = |sort| sorted(&alias, sort, "", &request(16));
    // each request measures a target that no other one measures
    assert_eq!(order(Sort::Latency), ["a/*", "b/*", "c/*"]);
    assert_eq!(order(Sort::Latency), ["b/*", "c/*", "a/*"]);
    assert_eq!(order(Sort::Latency), ["c/*", "a/*", "b/*"]);
    let pace = |n: usize| &alias.targets[n].health.pace;
    for (n, seconds, tokens) in [(0, 3, 100), (1, 1, 50), (2, 2, 200)] {
        pace(n).began(Duration::from_secs(seconds), Instant::now());
        pace(n).wrote(tokens, Duration::from_secs(1), Instant::now());
    }
    assert_eq!(order(Sort::Latency), ["b/*", "c/*", "a/*"]);
    assert_eq!(order(Sort::Throughput), ["c/*", "a/*", "b/*"]);
    assert_eq!(sorted(&alias, Sort::Latency, "c", &request(16)), ["c/*", "b/*", "a/*"]);
}
