//! Tests of reservations: settled once, whatever ends the exchange.
use super::*;
use crate::auth::WhenConfig;
use crate::limits::store::Store;
use crate::limits::{budget, config};
use crate::telemetry::limits::LimitMetrics;
use crate::telemetry::story::Story;

fn limits(rules: &str) -> Arc<Limits> {
    let config: config::Config = serde_saphyr::from_str(&format!("rules: [{rules}]")).unwrap();
    let (store, metrics) = (Arc::<Store>::default(), LimitMetrics::default());
    Limits::build(&config, &budget::Config::default(), &store, &metrics).unwrap()
}

fn caller(key: &str) -> Caller {
    Caller { key: key.to_owned(), ..Caller::default() }
}

fn admit(admission: &Admission, input: u64) -> Result<Admitted> {
    let names = [Name { model: "m".into(), alias: "m".into() }];
    admission.admit(&caller("ci"), &names, Estimate { input, ..Estimate::default() })
}

/// The amounts that are left, as the headers say it.
fn left(admission: &Admission) -> Vec<(String, String)> {
    let edits = admission.headers().unwrap();
    let pairs = edits.iter().filter_map(|(name, value)| {
        let unit =
            name.as_str().strip_prefix("anthropic-ratelimit-")?.strip_suffix("-remaining")?;
        Some((unit.to_owned(), value?.to_str().ok()?.to_owned()))
    });
    pairs.collect()
}

fn pair(unit: &str, left: &str) -> (String, String) {
    (unit.to_owned(), left.to_owned())
}

#[test]
fn a_reservation_that_is_never_settled_frees_its_place_and_keeps_its_estimate() {
    let limits = limits("{ per: key, concurrent: 1, input_tokens: 100/1m }");
    let first = Admission::new(&limits, Source::Client);
    admit(&first, 30).unwrap();
    let second = Admission::new(&limits, Source::Client);
    assert!(admit(&second, 30).is_err());
    drop(first);
    admit(&second, 30).unwrap();
    assert_eq!(left(&second), [pair("input-tokens", "40")]);
}

#[test]
fn a_panic_frees_the_place() {
    let limits = limits("{ per: key, concurrent: 1 }");
    let held = Arc::clone(&limits);
    let thread = std::thread::spawn(move || {
        let admission = Admission::new(&held, Source::Client);
        admit(&admission, 1).unwrap();
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    admit(&Admission::new(&limits, Source::Client), 1).unwrap();
}

#[test]
fn a_settlement_counts_once() {
    let limits = limits("{ per: key, concurrent: 2, requests: 9/1m, input_tokens: 100/1m }");
    let admission = Admission::new(&limits, Source::Client);
    admit(&admission, 30).unwrap();
    let other = Admission::new(&limits, Source::Client);
    admit(&other, 50).unwrap();
    // nothing was sent: no token was used, and the request counts
    for _ in 0..2 {
        Story::default().read(|record| admission.settle(record));
    }
    drop(admission);
    assert_eq!(left(&other), [pair("requests", "7"), pair("input-tokens", "50")]);
    let third = Admission::new(&limits, Source::Client);
    admit(&third, 1).unwrap();
    assert!(admit(&Admission::new(&limits, Source::Client), 1).is_err());
}

#[test]
fn an_estimate_is_never_above_the_smallest_limit_of_its_unit() {
    let limits = limits("{ per: key, tokens: 1000/1m }, { per: key, tokens: 400/1h }");
    let first = Admission::new(&limits, Source::Client);
    admit(&first, 5_000_000).unwrap();
    let message = admit(&Admission::new(&limits, Source::Client), 1).unwrap_err().message;
    assert!(message.starts_with("the limit of 400 tokens in 1h"), "{message}");
}

#[test]
fn the_longest_wait_is_named() {
    let limits = limits("{ per: key, requests: 1/1m }, { per: key, requests: 1/2h }");
    admit(&Admission::new(&limits, Source::Client), 1).unwrap();
    let error = admit(&Admission::new(&limits, Source::Client), 1).unwrap_err();
    assert!(error.message.starts_with("the limit of 1 requests in 2h"), "{}", error.message);
    let Retry::After(wait) = error.retry else { panic!("{error:?}") };
    assert!(wait.as_secs() > 7100, "{wait:?}");
}

#[test]
fn a_plugins_call_counts_tokens_and_is_no_request() {
    let limits = limits("{ per: key, concurrent: 1, requests: 1/1m, input_tokens: 100/1m }");
    let outer = Admission::new(&limits, Source::Client);
    admit(&outer, 10).unwrap();
    let inner = Admission::new(&limits, Source::Plugin);
    admit(&inner, 20).unwrap();
    assert_eq!(left(&outer), [pair("requests", "0"), pair("input-tokens", "70")]);
}

#[test]
fn counters_of_rules_with_other_conditions_are_apart() {
    let one = WhenConfig { model: Some("a*".to_owned()), ..WhenConfig::default() };
    let other = WhenConfig { key: Some("a*".to_owned()), ..WhenConfig::default() };
    let id =
        |when: &WhenConfig| crate::limits::rules::identity(&config::Per::Key, when, "requests");
    assert_ne!(id(&one), id(&other));
    assert_ne!(id(&one), id(&WhenConfig::default()));
}
