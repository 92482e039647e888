//! `ignore`, `retry_attempts`, `retry_on` and `attempt_timeout_ms`: what is tried, how often, how long.
use super::{Three, asked, before, config, refusal, target, three, trace, with};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{MESSAGE, STREAM};

#[tokio::test]
async fn the_requests_own_model_among_the_fallbacks_is_tried_once() {
    let three = three("abc").await;
    let answer = three.ask(&with(MESSAGE, r#"{"models":["m"],"only":["a"]}"#), &[]).await;
    assert_eq!((answer.status, three.counts()), (529, [1, 0, 0]));
    let trace = r#"{"models":["m"],"debug":{"trace":true}}"#;
    let answer = three.ask(&with(MESSAGE, trace), &[]).await;
    assert_eq!(super::trace(&answer)["attempts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_gateway_sends_nothing_to_ignored_targets() {
    let all = three("b").await;
    for answer in asked(&all, "ignore", r#"["a"]"#, "a").await {
        assert_eq!(target(&answer), "c/x/y");
    }
    assert_eq!(all.counts()[0], 0);
    let answer = all.ask(&with(MESSAGE, r#"{"ignore":["b"],"only":["b"]}"#), &[]).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert_eq!(message, "`gateway.ignore` leaves no target");
    let answer = all.ask(&with(MESSAGE, r#"{"ignore":["d"]}"#), &[]).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert!(message.starts_with("`gateway.ignore[0]`: no target of `m` is named `d`"), "{message}");
}

#[tokio::test]
async fn a_request_says_how_often_a_target_is_tried() {
    for (wish, headers, expected) in [
        (r#"{"retry_attempts":1}"#, None, 2),
        ("null", Some(("x-tidegate-retry-attempts", "1")), 2),
        (r#"{"retry_attempts":0}"#, None, 1),
    ] {
        let three = three("abc").await;
        let answer = three.ask(&with(MESSAGE, wish), headers.as_slice()).await;
        assert_eq!((answer.status, three.counts()), (529, [expected; 3]), "{wish}");
    }
    let answer = three("").await.ask(&with(MESSAGE, r#"{"retry_attempts":6}"#), &[]).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert_eq!(message, "`gateway.retry_attempts` is 6: it must be a whole number, up to 5");
}

#[tokio::test]
async fn a_request_says_which_statuses_are_no_end() {
    let three = before(refusal(400)).await;
    for answer in asked(&three, "retry_on", "[400,529]", "400, 529").await {
        assert_eq!((answer.status, target(&answer)), (200, "b/m"));
    }
    // nobody else pays for it: the target does not cool down
    assert_eq!(three.counts()[0], 4);
    assert_eq!(three.ask(MESSAGE, &[]).await.status, 400);
    for (wish, found) in [
        (r#"{"retry_on":[429,200]}"#, "`gateway.retry_on[1]` is 200"),
        (r#"{"retry_on":"429"}"#, "`gateway.retry_on` is `429`"),
    ] {
        let answer = three.ask(&with(MESSAGE, wish), &[]).await;
        let message = answer.refusal(400, "invalid_request_error");
        assert!(message.starts_with(found), "{message}");
    }
}

#[tokio::test]
async fn a_failure_that_ends_a_request_still_cools_the_target_down() {
    let three = three("a").await;
    let answer = three.ask(&with(MESSAGE, r#"{"retry_on":[]}"#), &[]).await;
    assert_eq!((answer.status, three.counts()), (529, [1, 0, 0]));
    assert_eq!(target(&three.ask(MESSAGE, &[]).await), "b/m");
    assert_eq!(three.counts(), [1, 1, 0]);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_for_the_request_leads_to_the_next_target() {
    let three = before(Behaviour::Silence).await;
    for answer in asked(&three, "attempt_timeout_ms", "1000", "1000").await {
        assert_eq!((answer.status, target(&answer)), (200, "b/m"));
    }
    // every request asked it: the caller's bound says nothing of the target
    assert_eq!(three.counts(), [4, 4, 0]);
}

#[tokio::test]
async fn a_target_that_exceeds_the_timeout_of_the_config_cools_down() {
    let a = Upstream::always(Behaviour::Silence).await;
    let b = Upstream::by(|call| super::fine(&call.body)).await;
    let c = Upstream::by(|call| super::fine(&call.body)).await;
    // of which only a silent target makes full use
    let bounded = "    timeouts: { first_event: 3s }\n";
    let config = config([a.address, b.address, c.address])
        .replace("  \"spare*\":", &format!("{bounded}  \"spare*\":"));
    let three = Three { ups: [a, b, c], gateway: Gateway::start(&config).await };
    // the caller would have waited for longer than the config does
    let patient = with(STREAM, r#"{"attempt_timeout_ms":60000}"#);
    for _ in 0..2 {
        assert_eq!(target(&three.ask(&patient, &[]).await), "b/m");
    }
    assert_eq!(three.counts(), [1, 2, 0]);
}

#[tokio::test]
async fn a_trace_names_the_stages_that_changed_the_request() {
    let ups = three("").await.ups;
    let yaml = config([0, 1, 2].map(|n| ups[n].address));
    let edits = |field: &str| format!("fn on_request(request, ctx) {{ {field} }}");
    let policies = [
        ("policies/a-edits.rhai", edits("request.top_k = 5;")),
        ("policies/b-looks.rhai", edits("count(`k${request.top_k}`);")),
        ("policies/c-edits.rhai", edits("request.top_k = 6;")),
    ];
    let policies = policies.each_ref().map(|(path, text)| (*path, text.as_str()));
    let gateway = Gateway::with().config(&yaml).files(&policies).start().await;
    let three = Three { ups, gateway };
    let answer = three.ask(MESSAGE, &[("x-tidegate-debug", "trace")]).await;
    assert_eq!(trace(&answer)["edited_by"], serde_json::json!(["a-edits", "c-edits"]));
}
