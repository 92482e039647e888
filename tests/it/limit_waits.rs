//! Requests that wait for a limit instead of being rejected: turns, priorities, bounds, and callers that leave.
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::limit_rules::{ask, limited};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::redis::{Fault, Redis};
use crate::support::upstream::{Behaviour, Call, Upstream, json as whole};
use crate::support::{ANSWER, MESSAGE, until};

const KEYS: &str = "keys:\n  - { name: a, key: k-a }\n  - { name: b, key: k-b }\n  - { name: vip, key: k-vip, tags: { priority: high } }\n  - { name: batch, key: k-batch, tags: { priority: low } }\n";

fn message(text: &str) -> String {
    let body =
        json!({"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": text}]});
    body.to_string()
}

fn begin(gateway: &Gateway, key: &str, text: &str) -> JoinHandle<Answer> {
    tokio::spawn(Ask::message(message(text)).header("x-api-key", key).send(gateway.address))
}

async fn until_waiting(gateway: &Gateway, number: f64) {
    gateway.until_metric("tidegate_limit_queue_entries", number).await;
}

async fn waited(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!("tidegate_limit_waits_total{{outcome=\"{outcome}\"}}")).await
}

fn text_of(call: &Call) -> String {
    let body: Value = call.json();
    body["messages"][0]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_waits_for_a_place_and_keys_take_turns_by_priority() {
    let mut up = Upstream::start().await;
    let rules = "{ per: model, concurrent: 1, wait: 1m }";
    let config = format!("{KEYS}limits: {{ rules: [{rules}] }}");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let mut asks = vec![begin(&gateway, "k-a", "first")];
    let mut running = up.call().await;
    let entries =
        [("batch", "low"), ("a", "a1"), ("a", "a2"), ("b", "b1"), ("vip", "high"), ("b", "b2")];
    for (n, (key, text)) in entries.into_iter().enumerate() {
        asks.push(begin(&gateway, &format!("k-{key}"), text));
        until_waiting(&gateway, (n + 1) as f64).await;
    }
    assert!(up.is_idle());
    for expected in ["high", "a1", "b1", "a2", "b2", "low"] {
        running.finish(whole(200, ANSWER)).await;
        running = up.call().await;
        assert_eq!(text_of(&running), expected);
    }
    running.finish(whole(200, ANSWER)).await;
    for ask in asks {
        assert_eq!(ask.await.unwrap().status, 200);
    }
    assert_eq!(waited(&gateway, "admitted").await, 6.0);
    assert_eq!(gateway.metric("tidegate_limit_wait_seconds_count").await, 6.0);
    // waiting is no refusal
    let refusals = "tidegate_limit_refusals_total{per=\"model\",limit=\"concurrent\"}";
    assert_eq!(gateway.metric(refusals).await, 0.0);
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_in_the_refusal_of_the_limit() {
    let mut up = Upstream::start().await;
    let rules = "{ per: key, concurrent: 1, wait: 300ms }";
    let gateway = limited(up.address, rules).start().await;
    let running = begin(&gateway, "k-ci", "first");
    let call = up.call().await;
    let streams = Ask::message(crate::support::STREAM).header("x-api-key", "k-ci");
    for found in [ask(&gateway, "k-ci").await, streams.send(gateway.address).await] {
        let message = found.refusal(429, "rate_limit_error");
        assert!(message.contains("1 requests at the same time"), "{message}");
        assert_eq!(found.header("retry-after"), Some("1"));
    }
    assert_eq!((waited(&gateway, "refused").await, waited(&gateway, "admitted").await), (2.0, 0.0));
    until_waiting(&gateway, 0.0).await;
    call.finish(whole(200, ANSWER)).await;
    assert_eq!(running.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_that_cannot_fit_in_time_is_refused_at_once() {
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let rules = "{ per: key, requests: 1/1h, wait: 4m }";
    let gateway = limited(up.address, rules).start().await;
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
    ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert_eq!(gateway.metric("tidegate_limit_wait_seconds_count").await, 0.0);
}

#[tokio::test]
async fn a_request_waits_until_its_window_has_room() {
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let rules = "{ per: key, requests: 1/400ms, wait: 1m }";
    let gateway = limited(up.address, rules).start().await;
    let asks: Vec<_> = (0..4).map(|_| begin(&gateway, "k-ci", "hi")).collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap().status, 200);
    }
    assert_eq!(waited(&gateway, "admitted").await, 3.0);
}

#[tokio::test]
async fn an_estimate_that_becomes_less_lets_the_next_request_in() {
    let mut up = Upstream::start().await;
    let rules = "{ per: key, output_tokens: 20/1h, wait: 1m }";
    let gateway = limited(up.address, rules).start().await;
    let (first, second) = (begin(&gateway, "k-ci", "first"), begin(&gateway, "k-ci", "second"));
    let call = up.call().await;
    until_waiting(&gateway, 1.0).await;
    // 16 tokens are reserved, 2 were used
    call.finish(whole(200, ANSWER)).await;
    up.call().await.finish(whole(200, ANSWER)).await;
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn a_caller_that_leaves_leaves_the_queue() {
    let mut up = Upstream::start().await;
    let rules = "{ per: key, concurrent: 1, wait: 1m }";
    let gateway = limited(up.address, rules).start().await;
    let first = begin(&gateway, "k-ci", "first");
    let call = up.call().await;
    let second = begin(&gateway, "k-ci", "second");
    until_waiting(&gateway, 1.0).await;
    let third = begin(&gateway, "k-ci", "third");
    until_waiting(&gateway, 2.0).await;
    second.abort();
    until_waiting(&gateway, 1.0).await;
    assert_eq!(waited(&gateway, "left").await, 1.0);
    call.finish(whole(200, ANSWER)).await;
    let call = up.call().await;
    assert_eq!(text_of(&call), "third");
    call.finish(whole(200, ANSWER)).await;
    assert_eq!((first.await.unwrap().status, third.await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn a_limit_without_a_wait_and_a_budget_refuse_at_once() {
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    for rules in [
        "limits: { rules: [{ per: key, requests: 1/1h }, { per: key, tokens: 40/1h, wait: 1m }] }",
        "limits: { rules: [{ per: key, tokens: 40/1h, wait: 1m }] }\nbudgets: { rules: [{ per: key, usd: 0.00001, every: month }] }",
    ] {
        let gateway = Gateway::with().upstream(up.address).config(format!("{KEYS}{rules}"));
        let gateway = gateway.start().await;
        assert_eq!(ask(&gateway, "k-a").await.status, 200);
        assert_eq!(ask(&gateway, "k-a").await.status, 429, "{rules}");
        assert_eq!(gateway.metric("tidegate_limit_wait_seconds_count").await, 0.0);
    }
}

#[tokio::test]
async fn a_request_waits_for_a_target_that_is_busy() {
    let mut up = Upstream::start().await;
    let rules = "{ per: target, concurrent: 1, wait: 1m }";
    let gateway = limited(up.address, rules).start().await;
    let first = begin(&gateway, "k-ci", "first");
    let call = up.call().await;
    let second = begin(&gateway, "k-ops", "second");
    until_waiting(&gateway, 1.0).await;
    call.finish(whole(200, ANSWER)).await;
    up.call().await.finish(whole(200, ANSWER)).await;
    for found in [first.await.unwrap(), second.await.unwrap()] {
        assert_eq!(found.status, 200);
    }
    assert_eq!(waited(&gateway, "admitted").await, 1.0);
    // waiting is no refusal
    assert_eq!(gateway.metric(TARGET_REFUSALS).await, 0.0);
}

const TARGET_REFUSALS: &str = "tidegate_limit_refusals_total{per=\"target\",limit=\"concurrent\"}";

#[tokio::test]
async fn a_request_that_waits_for_a_target_in_vain_is_one_refusal() {
    let mut up = Upstream::start().await;
    let gateway = limited(up.address, "{ per: target, concurrent: 1, wait: 300ms }").start().await;
    let running = begin(&gateway, "k-ci", "first");
    let call = up.call().await;
    let waiting = begin(&gateway, "k-ops", "second");
    until_waiting(&gateway, 1.0).await;
    // the end of each of these requests wakes the one that waits
    for _ in 0..3 {
        begin(&gateway, "k-web", "third").await.unwrap().refusal(429, "rate_limit_error");
    }
    waiting.await.unwrap().refusal(429, "rate_limit_error");
    assert_eq!(gateway.metric(TARGET_REFUSALS).await, 4.0);
    call.finish(whole(200, ANSWER)).await;
    assert_eq!(running.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_wait_is_not_the_gateways_own_time() {
    let mut up = Upstream::start().await;
    let gateway = limited(up.address, "{ per: key, concurrent: 1, wait: 1m }").start().await;
    let first = begin(&gateway, "k-ci", "first");
    let call = up.call().await;
    let second = begin(&gateway, "k-ci", "second");
    until_waiting(&gateway, 1.0).await;
    let begun = std::time::Instant::now();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let least = begun.elapsed();
    call.finish(whole(200, ANSWER)).await;
    up.call().await.finish(whole(200, ANSWER)).await;
    let timing = |answer: &Answer, name: &str| {
        let parts = answer.header("server-timing").unwrap().split(", ");
        let of_name = |part: &str| part.strip_prefix(name)?.strip_prefix(";dur=")?.parse().ok();
        parts.map(str::to_owned).find_map(|part| of_name(&part)).map(|ms: f64| ms / 1e3)
    };
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(timing(&first, "wait"), None);
    // the time of the upstream, and the wait for it, are not the gateway's
    for answer in [&first, &second] {
        assert!(timing(answer, "gateway").unwrap() < least.as_secs_f64());
    }
    assert!(timing(&second, "wait").unwrap() >= least.as_secs_f64());
}

#[tokio::test]
async fn a_request_does_not_wait_for_a_target_while_the_store_is_away() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    redis.fail(Fault::Killed);
    let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
    let rules = "{ per: target, concurrent: 9, wait: 1m }";
    let config = format!("{KEYS}limits: {{ {}, rules: [{rules}] }}", redis.store("closed"));
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    ask(&gateway, "k-a").await.refusal(503, "overloaded_error");
    assert_eq!(gateway.metric("tidegate_limit_wait_seconds_count").await, 0.0);
    assert_eq!(gateway.metric("tidegate_limiter_unreachable_total").await, 1.0);
}

#[tokio::test]
async fn a_request_waits_for_a_target_that_cools_down() {
    let busy = || Behaviour::Answer(whole(529, "{}"));
    let answer = || Behaviour::Answer(whole(200, ANSWER));
    let provider =
        |address| format!("{{ type: anthropic, api_key: k, base_url: \"http://{address}\" }}");
    for (rules, last) in [("", 503), ("{ per: target, requests: 99/1m, wait: 1m }", 200)] {
        let one = Upstream::script(vec![busy(), answer()]).await;
        let other = Upstream::script(vec![busy(), answer()]).await;
        let gateway = Gateway::with()
            .provider("one", &provider(one.address))
            .provider("other", &provider(other.address))
            .model("m", "{ targets: [{ provider: one }, { provider: other }], cooldown: 1s }")
            .config(format!("limits: {{ rules: [{rules}] }}"))
            .start()
            .await;
        for expected in [529, last] {
            let found = Ask::message(MESSAGE).send(gateway.address).await;
            assert_eq!(found.status, expected, "{rules}: {}", found.text());
        }
        let admitted = if last == 200 { 1.0 } else { 0.0 };
        assert_eq!(waited(&gateway, "admitted").await, admitted);
    }
}

#[tokio::test]
async fn a_request_that_waits_for_a_busy_and_a_cooling_target_does_not_hold_its_worker() {
    let broken = Upstream::script(vec![Behaviour::Answer(whole(529, "{}"))]).await;
    let fine = Upstream::script(vec![Behaviour::Answer(whole(200, ANSWER))]).await;
    let mut slow = Upstream::start().await;
    let provider =
        |address| format!("{{ type: anthropic, api_key: k, base_url: \"http://{address}\" }}");
    let rules = "{ per: target, concurrent: 1, wait: 1m }";
    let gateway = Gateway::with()
        .provider("broken", &provider(broken.address))
        .provider("fine", &provider(fine.address))
        .provider("slow", &provider(slow.address))
        .model("m", "{ targets: [{ provider: broken }, { provider: slow }], cooldown: 1m, retry: { attempts: 0 } }")
        .model("n", "{ targets: [{ provider: fine }] }")
        .config(format!("server: {{ workers: 1 }}\nlimits: {{ rules: [{rules}] }}"))
        .start()
        .await;
    let first = begin(&gateway, "k", "first");
    let call = slow.call().await;
    let second = begin(&gateway, "k", "second");
    until_waiting(&gateway, 1.0).await;
    // the end of a request wakes the one that waits, which finds nothing free
    let other = MESSAGE.replace("\"model\":\"m\"", "\"model\":\"n\"");
    assert_ne!(other, MESSAGE);
    assert_eq!(Ask::message(other).send(gateway.address).await.status, 200);
    call.finish(whole(200, ANSWER)).await;
    slow.call().await.finish(whole(200, ANSWER)).await;
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
}

#[tokio::test]
async fn a_request_waits_for_a_place_that_another_gateway_frees() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let mut up = Upstream::start().await;
    let config = format!(
        "{KEYS}limits: {{ {}, rules: [{{ per: key, concurrent: 1, wait: 1m }}] }}",
        redis.store("local")
    );
    let start = || Gateway::with().upstream(up.address).config(&config).start();
    let (first, second) = tokio::join!(start(), start());
    let running = begin(&first, "k-a", "first");
    let call = up.call().await;
    let waiting = begin(&second, "k-a", "second");
    until("the request to wait, or Redis to be late", async || {
        let late = "tidegate_limiter_unreachable_total";
        second.metric("tidegate_limit_queue_entries").await == 1.0
            || first.metric(late).await + second.metric(late).await > 0.0
    })
    .await;
    call.finish(whole(200, ANSWER)).await;
    up.call().await.finish(whole(200, ANSWER)).await;
    assert_eq!((running.await.unwrap().status, waiting.await.unwrap().status), (200, 200));
}
