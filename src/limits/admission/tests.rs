//! Tests of reservations: settled once, whatever ends the exchange.
use futures_util::FutureExt as _;

use super::*;
use crate::auth::WhenConfig;
use crate::error::{ErrorKind, Retry};
use crate::limits::waiting::Free;
use crate::limits::{Counters, RuleSet, Watch, budget, config};
use crate::telemetry::events::Events;
use crate::telemetry::limits::LimitMetrics;
use crate::telemetry::story::Story;

fn limits(rules: &str) -> Arc<Limits> {
    built(rules, "")
}

fn budgets(rules: &str) -> Arc<Limits> {
    built("", rules)
}

fn built(limits: &str, budgets: &str) -> Arc<Limits> {
    let limits: config::Config = serde_saphyr::from_str(&format!("rules: [{limits}]")).unwrap();
    let budgets: budget::Config = serde_saphyr::from_str(&format!("rules: [{budgets}]")).unwrap();
    let (counters, metrics) = (Counters::default(), LimitMetrics::default());
    let watch = Watch { metrics: &metrics, events: &Events::default() };
    let rules = RuleSet { limits: &limits, budgets: &budgets, own: Some(&["m"]) };
    Limits::build(rules, &counters, watch).unwrap()
}

fn name(model: &str) -> Name {
    Name { model: model.into(), alias: model.into() }
}

/// Admits a request that costs a dollar, by the models that it may use.
fn pay(admission: &Admission, models: &[&str]) -> Result<Admitted> {
    let names: Vec<Name> = models.iter().map(|model| name(model)).collect();
    let estimate = Estimate { nano_dollars: 1_000_000_000, ..Estimate::default() };
    ask(admission, &names, estimate)
}

/// Asks for a request, which counters in memory answer at once.
fn ask(admission: &Admission, names: &[Name], estimate: Estimate) -> Result<Admitted> {
    let caller = caller("ci");
    let wanted = Wanted { caller: &caller, names, estimate };
    admission.admit(wanted, &mut admission.waits(&caller, None)).now_or_never().unwrap()
}

/// Uses up a budget of a dollar: the request is never settled, so its estimate stays.
fn use_up(limits: &Arc<Limits>, models: &[&str]) {
    pay(&Admission::new(limits, Source::Client), models).unwrap();
}

fn caller(key: &str) -> Caller {
    Caller { key: key.to_owned(), ..Caller::default() }
}

fn admit(admission: &Admission, input: u64) -> Result<Admitted> {
    let names = [Name { model: "m".into(), alias: "m".into() }];
    ask(admission, &names, Estimate { input, ..Estimate::default() })
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
    let inner = Admission::new(&limits, Source::Plugin(Some(Arc::clone(&outer))));
    admit(&inner, 20).unwrap();
    assert_eq!(left(&outer), [pair("requests", "0"), pair("input-tokens", "70")]);
}

#[test]
fn counters_of_rules_with_other_conditions_are_apart() {
    let one = WhenConfig { model: Some("a*".to_owned()), ..WhenConfig::default() };
    let other = WhenConfig { key: Some("a*".to_owned()), ..WhenConfig::default() };
    let id = |when: &WhenConfig| crate::limits::rule::identity(&config::Per::Key, when, "requests");
    assert_ne!(id(&one), id(&other));
    assert_ne!(id(&one), id(&WhenConfig::default()));
}

#[test]
fn a_budget_per_model_refuses_the_model_that_it_sends_requests_to() {
    let limits = budgets("{ per: model, usd: 1, every: day, then: { route: haiku } }");
    use_up(&limits, &["opus"]);
    let to_haiku = Ok(Admitted::Route("haiku".to_owned()));
    let rerouted = Admission::new(&limits, Source::Client);
    assert_eq!(pay(&rerouted, &["opus"]).map_err(|e| e.message), to_haiku);
    assert_eq!(pay(&rerouted, &["haiku"]).map_err(|e| e.message), Ok(Admitted::Whole));
    drop(rerouted);
    // the budget of haiku itself is used up now, whether a client names it or a budget does
    let message = |result: Result<Admitted>| result.unwrap_err().message;
    let direct = message(pay(&Admission::new(&limits, Source::Client), &["haiku"]));
    assert!(direct.contains("for the model `haiku` is used up"), "{direct}");
    let rerouted = Admission::new(&limits, Source::Client);
    assert_eq!(pay(&rerouted, &["opus"]).map_err(|e| e.message), to_haiku);
    assert_eq!(message(pay(&rerouted, &["haiku"])), direct);
    // another model has a budget of its own
    use_up(&limits, &["sonnet"]);
}

#[test]
fn no_request_comes_back_to_a_model_with_a_used_up_budget() {
    let limits = budgets(
        "{ per: model, when: { model: opus }, usd: 1, every: day, then: { route: haiku } }, { per: model, when: { model: haiku }, usd: 1, every: day, then: { route: opus } }",
    );
    for model in ["opus", "haiku"] {
        use_up(&limits, &[model]);
    }
    for [first, second] in [["opus", "haiku"], ["haiku", "opus"]] {
        let admission = Admission::new(&limits, Source::Client);
        assert_eq!(pay(&admission, &[first]).unwrap(), Admitted::Route(second.to_owned()));
        let error = pay(&admission, &[second]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Billing);
        assert!(error.message.contains(&format!("for the model `{second}`")), "{}", error.message);
    }
}

#[test]
fn a_budget_of_several_models_charges_the_model_that_it_sends_requests_to() {
    let limits = budgets("{ per: key, usd: 1, every: day, then: { route: haiku } }");
    use_up(&limits, &["opus"]);
    // whether the client names the model or the budget does
    let rerouted = Admission::new(&limits, Source::Client);
    assert_eq!(pay(&rerouted, &["opus"]).unwrap(), Admitted::Route("haiku".to_owned()));
    assert_eq!(pay(&rerouted, &["haiku"]).unwrap(), Admitted::Whole);
    assert_eq!(pay(&Admission::new(&limits, Source::Client), &["haiku"]).unwrap(), Admitted::Whole);
    // a fallback does not lead back
    let direct = Admission::new(&limits, Source::Client);
    let without = Admitted::Without(vec!["opus".into()]);
    assert_eq!(pay(&direct, &["haiku", "opus"]).unwrap(), without);
    assert_eq!(pay(&direct, &["haiku"]).unwrap(), Admitted::Whole);
}

#[test]
fn a_fallback_over_its_limit_or_budget_is_left_out() {
    let of_big = "when: { model: big }";
    for (limits, budgets) in [
        (format!("{{ per: key, {of_big}, requests: 1/1m }}"), String::new()),
        (format!("{{ per: model, {of_big}, concurrent: 1 }}"), String::new()),
        (String::new(), format!("{{ per: key, {of_big}, usd: 1, every: day }}")),
        (
            String::new(),
            format!("{{ per: model, {of_big}, usd: 1, every: day, then: {{ route: small }} }}"),
        ),
        (
            String::new(),
            format!("{{ per: key, {of_big}, usd: 1, every: day, then: {{ route: small }} }}"),
        ),
    ] {
        let limits = built(&limits, &budgets);
        let holder = Admission::new(&limits, Source::Client);
        pay(&holder, &["big"]).unwrap();
        let admission = Admission::new(&limits, Source::Client);
        let found = pay(&admission, &["small", "big", "medium"]).unwrap();
        assert_eq!(found, Admitted::Without(vec!["big".into()]), "{budgets}");
        assert_eq!(pay(&admission, &["small", "medium"]).unwrap(), Admitted::Whole);
        // the own model is refused or sent on
        let own = pay(&Admission::new(&limits, Source::Client), &["big", "small"]);
        assert!(matches!(own, Err(_) | Ok(Admitted::Route(_))), "{own:?}");
    }
}

#[test]
fn the_reservation_of_a_request_stands_for_the_calls_of_its_plugins() {
    let limits = built("{ per: key, tokens: 100/1m }", "{ per: key, usd: 1, every: day }");
    let outer = Admission::new(&limits, Source::Client);
    let names = [name("m")];
    let estimate = Estimate { input: 5000, output: 5000, nano_dollars: 3_000_000_000 };
    ask(&outer, &names, estimate).unwrap();
    let inner = Admission::new(&limits, Source::Plugin(Some(Arc::clone(&outer))));
    assert_eq!(ask(&inner, &names, estimate).unwrap(), Admitted::Whole);
    // other requests wait
    let other = Admission::new(&limits, Source::Client);
    assert_eq!(ask(&other, &names, estimate).unwrap_err().kind, ErrorKind::RateLimit);
    // a plugin within a request of another client has no such reservation
    let other = Admission::new(&limits, Source::Plugin(Some(other)));
    assert!(ask(&other, &names, estimate).is_err());
}

#[test]
fn a_plugins_call_takes_no_place_at_a_target() {
    let limits = limits("{ per: target, requests: 1/1m, concurrent: 1, input_tokens: 100/1m }");
    let enter = |admission: &Admission| {
        let name = name("m");
        let entry = TargetEntry { target: "up/m", name, attempts: 0, is_holder: false };
        admission.enter_target(&caller("ci"), entry).now_or_never().unwrap().map_err(|it| it.error)
    };
    let outer = Admission::new(&limits, Source::Client);
    admit(&outer, 100).unwrap();
    enter(&outer).unwrap();
    let inner = Admission::new(&limits, Source::Plugin(Some(Arc::clone(&outer))));
    admit(&inner, 100).unwrap();
    enter(&inner).unwrap();
    let other = Admission::new(&limits, Source::Client);
    admit(&other, 100).unwrap();
    assert!(enter(&other).is_err());
}

#[test]
fn a_client_that_no_rule_can_apply_to_has_no_limits() {
    for (rules, expected) in [
        ("{ per: key, requests: 1/1m }", true),
        ("{ per: target, requests: 1/1m }", true),
        ("{ per: model, when: { model: other }, requests: 1/1m }", true),
        ("{ per: key, when: { key: web }, requests: 1/1m }", false),
        ("{ per: \"tag:team\", requests: 1/1m }", false),
        ("{ per: key, when: { tags: { team: \"*\" } }, requests: 1/1m }", false),
    ] {
        assert_eq!(limits(rules).concern(&caller("ci")), expected, "{rules}");
    }
    assert!(budgets("{ per: key, usd: 1, every: day }").concern(&caller("ci")));
}

/// Estimates of a request without any amount.
const NOTHING: Estimate = Estimate { input: 0, output: 0, nano_dollars: 0 };

#[tokio::test]
async fn a_request_that_goes_on_without_a_fallback_keeps_its_place() {
    let of_big = "{ per: key, when: { model: big }, requests: 1/1h }";
    let limits = limits(&format!("{{ per: key, concurrent: 1, wait: 1m }}, {of_big}"));
    let running = Admission::new(&limits, Source::Client);
    pay(&running, &["big"]).unwrap();
    let caller = caller("ci");
    let (both, one) = ([name("m"), name("big")], [name("m")]);
    let wanted = |names| Wanted { caller: &caller, names, estimate: NOTHING };
    let (first, second) = [(); 2].map(|()| Admission::new(&limits, Source::Client)).into();
    let (mut firsts, mut seconds) = (first.waits(&caller, None), second.waits(&caller, None));
    let mut waiting = Box::pin(first.admit(wanted(&both), &mut firsts));
    assert!((&mut waiting).now_or_never().is_none());
    let mut behind = Box::pin(second.admit(wanted(&one), &mut seconds));
    assert!((&mut behind).now_or_never().is_none());
    Story::default().read(|record| running.settle(record));
    assert_eq!(waiting.await.unwrap(), Admitted::Without(vec!["big".into()]));
    // the other request comes after it, though it has waited for as long
    assert!((&mut behind).now_or_never().is_none());
    let admitted = first.admit(wanted(&one), &mut firsts).now_or_never();
    assert_eq!(admitted.unwrap().unwrap(), Admitted::Whole);
    assert!((&mut behind).now_or_never().is_none());
    drop(first);
    assert_eq!(behind.await.unwrap(), Admitted::Whole);
}

#[tokio::test]
async fn all_waits_of_a_request_together_are_as_long_as_the_rule_says() {
    let limits = limits("{ per: key, concurrent: 1, wait: 20ms }");
    let running = Admission::new(&limits, Source::Client);
    pay(&running, &["m"]).unwrap();
    let (caller, names) = (caller("ci"), [name("m")]);
    let wanted = Wanted { caller: &caller, names: &names, estimate: NOTHING };
    let admission = Admission::new(&limits, Source::Client);
    let mut waits = admission.waits(&caller, None);
    assert!(admission.admit(wanted, &mut waits).await.is_err());
    // its time is over, also under another name
    assert!(admission.admit(wanted, &mut waits).now_or_never().unwrap().is_err());
    assert!(waits.waited() > Duration::ZERO);
}

#[tokio::test]
async fn a_limit_that_frees_before_a_request_is_in_line_is_not_missed() {
    let limits = limits("{ per: key, concurrent: 1, wait: 1m }");
    let caller = caller("ci");
    let free = || Free {
        line: LineId::Targets("m".into()),
        most: Duration::from_secs(60),
        after: Duration::from_secs(60),
        may_free: true,
    };
    let mut waits = Waits::new(&limits, &caller, None);
    // the request tries again at once, now with a place that is woken
    assert_eq!(waits.again(Some(free())).now_or_never(), Some(true));
    assert_eq!(waits.again(Some(free())).now_or_never(), None);
}
