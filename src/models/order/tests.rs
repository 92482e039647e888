//! Tests of the order of targets: by the config, by weight and session, by the request's preference.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Preference, draw};
use crate::models::{Alias, HealthBook, Models, Parts};
use crate::providers::Provider;
use crate::providers::simulator::Simulator;
use crate::telemetry::metrics::Metrics;

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
    let (book, metrics) = (HealthBook::new(), Metrics::new());
    let parts = Parts { providers: &providers, broken: &[], book: &book, metrics: &metrics };
    let models = Models::build(&configs, &parts).unwrap_or_else(|found| panic!("{found:?}"));
    Arc::clone(models.resolve("m").unwrap())
}

fn keys(alias: &Alias, session: &str) -> Vec<String> {
    alias.order(session).iter().map(|target| target.key.clone()).collect()
}

fn wished(alias: &Alias, first: &[&str], only: Option<&[&str]>, not: &[&str]) -> Vec<String> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (first, only, not) = (owned(first), only.map(owned), owned(not));
    let preference = Preference { first: &first, only: only.as_deref(), not: &not };
    let order = alias.order_by("s", "m", &preference);
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
