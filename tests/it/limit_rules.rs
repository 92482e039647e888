//! Limits per time: requests, tokens and requests at the same time, by key, tag, model and target.
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::client::{Answer, Ask, Incoming};
use crate::support::gateway::{self, Builder, Gateway};
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream, json, stream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, until};

pub(super) const KEYS: &str = "keys:\n  - { name: ci, key: k-ci, tags: { team: ml } }\n  - { name: web, key: k-web, tags: { team: ml } }\n  - { name: ops, key: k-ops }\n";

pub(super) async fn answering() -> Auto {
    Upstream::always(Behaviour::Answer(json(200, ANSWER))).await
}

async fn reporting(usage: &Value) -> Auto {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    Upstream::always(Behaviour::Answer(json(200, &message.to_string()))).await
}

pub(super) fn limited(up: SocketAddr, rules: &str) -> Builder {
    Gateway::with().upstream(up).config(format!("{KEYS}limits:\n  rules: [{rules}]"))
}

pub(super) async fn ask(gateway: &Gateway, key: &str) -> Answer {
    Ask::message(MESSAGE).header("x-api-key", key).send(gateway.address).await
}

pub(super) async fn statuses(gateway: &Gateway, key: &str, number: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..number {
        found.push(ask(gateway, key).await.status);
    }
    found
}

pub(super) fn remaining<'a>(answer: &'a Answer, unit: &str) -> Option<&'a str> {
    answer.header(&format!("anthropic-ratelimit-{unit}-remaining"))
}

/// Opens a stream that the upstream does not end.
async fn open(gateway: &Gateway, up: &mut Upstream, key: &str) -> (Incoming, Call) {
    let ask = Ask::message(STREAM).header("x-api-key", key).open(gateway.address);
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        for frame in &FRAMES[..3] {
            call.chunk(frame).await;
        }
        call
    };
    let (mut incoming, call) = tokio::join!(ask, begin);
    for _ in 0..3 {
        incoming.frame().await.unwrap();
    }
    (incoming, call)
}

#[tokio::test]
async fn exactly_the_limit_passes_and_the_refusal_names_it() {
    let up = answering().await;
    let gateway = limited(up.address, "{ per: key, requests: 2/1m }").start().await;
    let found = ask(&gateway, "k-ci").await;
    assert_eq!((found.status, remaining(&found, "requests")), (200, Some("1")));
    assert_eq!(found.header("anthropic-ratelimit-requests-limit"), Some("2"));
    let reset = found.header("anthropic-ratelimit-requests-reset").unwrap();
    assert!(reset.parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now(), "{reset}");
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
    let found = ask(&gateway, "k-ci").await;
    let message = found.refusal(429, "rate_limit_error");
    assert!(
        message.starts_with("the limit of 2 requests in 1m for the key `ci` is reached: try again"),
        "{message}"
    );
    let wait: u64 = found.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(found.header("x-should-retry"), None);
    assert_eq!(remaining(&found, "requests"), Some("0"));
    assert_eq!(up.count(), 2);
    // another key has a counter of its own
    assert_eq!(statuses(&gateway, "k-web", 3).await, [200, 200, 429]);
    let refusals = "tidegate_limit_refusals_total{per=\"key\",limit=\"requests\"}";
    gateway.until_metric(refusals, 2.0).await;
    assert_eq!(gateway.measured("tidegate_requests_total", "status=\"429\"").await, 2.0);
}

#[tokio::test]
async fn exactly_the_limit_passes_of_many_requests_at_once() {
    let up = answering().await;
    let rules = "{ per: key, requests: 7/1m }";
    let gateway = limited(up.address, rules).config("server: { workers: 2 }").start().await;
    let all = (0..40).map(|_| ask(&gateway, "k-ci"));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 7);
    assert_eq!(up.count(), 7);
}

#[tokio::test]
async fn the_upstreams_rate_limits_are_replaced_by_those_of_the_client() {
    let lines = "content-type: application/json\r\nanthropic-ratelimit-requests-limit: 999\r\nanthropic-ratelimit-input-tokens-limit: 5\r\nanthropic-ratelimit-unified-status: allowed\r\nanthropic-priority-input-tokens-limit: 8\r\n";
    for status in [200, 400] {
        let up = Upstream::always(Behaviour::Answer(upstream::answer(status, lines, ANSWER))).await;
        let gateway = limited(up.address, "{ per: key, requests: 2/1m }").start().await;
        let found = ask(&gateway, "k-ci").await;
        assert_eq!(found.status, status);
        assert_eq!(found.header("anthropic-ratelimit-requests-limit"), Some("2"));
        assert_eq!(found.header("anthropic-ratelimit-input-tokens-limit"), None);
        assert_eq!(found.header("anthropic-ratelimit-unified-status"), None);
        assert_eq!(found.header("anthropic-priority-input-tokens-limit"), Some("8"));
        // without a limit that applies they pass
        let gateway =
            limited(up.address, "{ per: key, when: { key: web }, requests: 2/1m }").start().await;
        let found = ask(&gateway, "k-ci").await;
        assert_eq!(found.header("anthropic-ratelimit-requests-limit"), Some("999"));
        assert_eq!(found.header("anthropic-ratelimit-unified-status"), Some("allowed"));
    }
}

#[tokio::test]
async fn tokens_are_settled_from_the_usage_and_reads_do_not_count() {
    let usage = json!({"input_tokens": 30, "output_tokens": 12, "cache_read_input_tokens": 10_000,
        "cache_creation_input_tokens": 100});
    let up = reporting(&usage).await;
    let rules = "{ per: key, tokens: 1000/1m, input_tokens: 500/1m, output_tokens: 300/1m }";
    let gateway = limited(up.address, rules).start().await;
    let body = r#"{"model":"m","max_tokens":1000000,"messages":[{"role":"user","content":"hi"}]}"#;
    // a large `max_tokens` does not make a request impossible
    let found = Ask::message(body).header("x-api-key", "k-ci").send(gateway.address).await;
    assert_eq!(found.status, 200, "{}", found.text());
    let left = ["tokens", "input-tokens", "output-tokens"].map(|unit| remaining(&found, unit));
    assert_eq!(left, [Some("858"), Some("370"), Some("288")]);
}

#[tokio::test]
async fn parallel_requests_cannot_pass_more_tokens_than_the_limit() {
    let mut up = Upstream::start().await;
    let gateway = limited(up.address, "{ per: key, output_tokens: 40/1m }").start().await;
    let (_one, _call) = open(&gateway, &mut up, "k-ci").await;
    let (_two, _call) = open(&gateway, &mut up, "k-ci").await;
    // two estimates of 16 are reserved, a third does not fit
    let message = ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert!(message.contains("40 output tokens in 1m"), "{message}");
}

#[tokio::test]
async fn a_stream_is_settled_with_its_last_report() {
    let up = Upstream::always(Behaviour::Answer(stream(&FRAMES))).await;
    let gateway = limited(up.address, "{ per: key, output_tokens: 20/1m }").start().await;
    for _ in 0..3 {
        let found = Ask::message(STREAM).header("x-api-key", "k-ci").send(gateway.address).await;
        assert_eq!(found.status, 200, "{}", found.text());
        gateway.until_idle().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place_and_pays_for_the_text_that_was_sent() {
    let mut up = Upstream::start().await;
    let rules = "{ per: key, concurrent: 1, tokens: 100/1m }";
    let gateway = limited(up.address, rules).start().await;
    let (incoming, _call) = open(&gateway, &mut up, "k-ci").await;
    let message = ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert!(
        message.contains("tokens") || message.contains("1 requests at the same time"),
        "{message}"
    );
    drop(incoming);
    gateway.until_idle().await;
    let asked = ask(&gateway, "k-ci");
    let answered = async { up.call().await.finish(json(200, ANSWER)).await };
    let (found, ()) = tokio::join!(asked, answered);
    // 3 of input and 1 of output of the first stream, 3 and 2 of the second
    assert_eq!((found.status, remaining(&found, "tokens")), (200, Some("91")));
}

#[tokio::test]
async fn a_refusal_by_one_limit_counts_for_no_other() {
    let mut up = Upstream::start().await;
    let rules = "{ per: key, requests: 2/1m, concurrent: 1 }";
    let gateway = limited(up.address, rules).start().await;
    let (incoming, _call) = open(&gateway, &mut up, "k-ci").await;
    for _ in 0..5 {
        let found = ask(&gateway, "k-ci").await;
        let message = found.refusal(429, "rate_limit_error");
        assert!(message.contains("wait until one of them has ended"), "{message}");
        assert_eq!(remaining(&found, "requests"), Some("1"));
    }
    drop(incoming);
    gateway.until_idle().await;
    let answered = async { up.call().await.finish(json(200, ANSWER)).await };
    let (found, ()) = tokio::join!(ask(&gateway, "k-ci"), answered);
    assert_eq!(found.status, 200);
    let message = ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert!(message.contains("2 requests in 1m"), "{message}");
}

#[tokio::test]
async fn a_failed_upstream_frees_the_place_and_costs_no_tokens() {
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    let up = Upstream::script(vec![
        Behaviour::Answer(json(400, error)),
        Behaviour::Close(Vec::new()),
        Behaviour::Answer(json(200, ANSWER)),
    ])
    .await;
    let gateway = limited(up.address, "{ per: key, concurrent: 1, tokens: 50/1m }").start().await;
    let found = ask(&gateway, "k-ci").await;
    assert_eq!((found.status, remaining(&found, "tokens")), (400, Some("50")));
    let found = ask(&gateway, "k-ci").await;
    assert!(found.status >= 200);
    gateway.until_idle().await;
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
}

#[tokio::test]
async fn counts_and_lists_of_models_are_free() {
    let up = Upstream::always(Behaviour::Answer(json(200, r#"{"input_tokens":5}"#))).await;
    let gateway = limited(up.address, "{ per: key, requests: 1/1m, tokens: 1/1m }").start().await;
    for _ in 0..3 {
        let count = Ask::post("/v1/messages/count_tokens", MESSAGE).header("x-api-key", "k-ci");
        let found = count.send(gateway.address).await;
        assert_eq!((found.status, remaining(&found, "requests")), (200, None));
        let list = Ask::get("/v1/models").header("x-api-key", "k-ci").send(gateway.address).await;
        assert_eq!(list.status, 200);
    }
}

#[tokio::test]
async fn keys_with_the_same_tag_share_a_counter_and_a_key_without_it_has_none() {
    let up = answering().await;
    let gateway = limited(up.address, "{ per: \"tag:team\", requests: 3/1m }").start().await;
    assert_eq!(statuses(&gateway, "k-ci", 2).await, [200, 200]);
    assert_eq!(statuses(&gateway, "k-web", 2).await, [200, 429]);
    assert_eq!(statuses(&gateway, "k-ops", 5).await, [200; 5]);
}

#[tokio::test]
async fn a_rule_applies_to_its_models_only() {
    let up = answering().await;
    let rules =
        "{ per: key, when: { model: \"opus-*\" }, requests: 1/1m }, { per: model, requests: 3/1m }";
    let gateway = limited(up.address, rules)
        .model("\"opus-*\"", "{ provider: up }")
        .model("haiku", "{ provider: up }")
        .start()
        .await;
    let ask = async |model: &str, key: &str| {
        let body = MESSAGE.replace("\"m\"", &format!("\"{model}\""));
        Ask::message(body).header("x-api-key", key).send(gateway.address).await.status
    };
    assert_eq!((ask("opus-4", "k-ci").await, ask("opus-5", "k-ci").await), (200, 429));
    assert_eq!(ask("haiku", "k-ci").await, 200);
    // an alias has one counter for all keys and names
    assert_eq!((ask("opus-4", "k-web").await, ask("opus-6", "k-ops").await), (200, 200));
    let body = MESSAGE.replace("\"m\"", "\"opus-7\"");
    let found = Ask::message(body).header("x-api-key", "k-ci").send(gateway.address).await;
    assert_eq!(found.status, 429);
    assert_eq!((ask("haiku", "k-web").await, ask("haiku", "k-ops").await), (200, 200));
    assert_eq!(ask("haiku", "k-ci").await, 429);
}

#[tokio::test]
async fn a_reload_keeps_the_counters_and_takes_the_new_number() {
    let up = answering().await;
    let gateway = limited(up.address, "{ per: key, requests: 2/1m }").start().await;
    assert_eq!(statuses(&gateway, "k-ci", 3).await, [200, 200, 429]);
    let config = |number: u64| {
        format!(
            "{}{KEYS}limits: {{ rules: [{{ per: key, requests: {number}/1m }}] }}\n",
            gateway::to(up.address)
        )
    };
    gateway.reload(&config(2)).await;
    assert_eq!(statuses(&gateway, "k-ci", 1).await, [429]);
    gateway.reload(&config(3)).await;
    assert_eq!(statuses(&gateway, "k-ci", 2).await, [200, 429]);
}

#[tokio::test]
async fn a_policy_reads_what_is_left() {
    let up = answering().await;
    let policy = "fn on_request(request, ctx) { if ctx.limits.requests == 0 { deny(451, `none of ${ctx.limits.len()}`); } }";
    let rules = "{ per: key, requests: 1/1m, concurrent: 2 }";
    let gateway = limited(up.address, rules).policy("left", policy).start().await;
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
    let found = ask(&gateway, "k-ci").await;
    assert_eq!((found.status, found.error(451)), (451, "none of 2".to_owned()));
}

/// Ends a stream as an upstream does.
async fn end(call: Call) {
    let mut call = call;
    call.chunk(FRAMES[3..].concat()).await;
    call.end_stream().await;
}

#[tokio::test]
async fn a_place_at_the_same_time_is_free_after_each_kind_of_end() {
    let mut up = Upstream::start().await;
    let gateway = limited(up.address, "{ per: key, concurrent: 1 }").start().await;
    for n in 0..3 {
        let (incoming, call) = open(&gateway, &mut up, "k-ci").await;
        assert_eq!(ask(&gateway, "k-ci").await.status, 429);
        match n {
            0 => end(call).await,
            1 => call.reset(),
            _ => drop(incoming),
        }
        until("the place to be free", async || {
            gateway.metric("tidegate_active_requests").await == 0.0
        })
        .await;
    }
    let answered = async { up.call().await.finish(json(200, ANSWER)).await };
    let (found, ()) = tokio::join!(ask(&gateway, "k-ci"), answered);
    assert_eq!(found.status, 200);
}

#[test]
fn wrong_limits_are_problems_with_their_place() {
    for (limits, expected) in [
        ("{ store: disk }", "limits.store: expected `memory`"),
        ("{ store: \"redis://x:p4ss@h:port\" }", "limits.store: cannot be read: expected"),
        ("{ store: \"redis-sentinel://x\" }", "limits.store: expected `memory` or `redis://"),
        ("{ away: refuse }", "limits.away: "),
        ("{ rules: [{ per: key }] }", "limits.rules[0]: no limit: give `requests`"),
        (
            "{ rules: [{ per: user, requests: 1/1m }] }",
            "limits.rules[0].per: expected `key`, `model`, `target` or `tag:`",
        ),
        ("{ rules: [{ per: \"tag:\", requests: 1/1m }] }", "limits.rules[0].per: expected"),
        ("{ rules: [{ per: key, requests: 60 }] }", "limits.rules[0].requests: "),
        (
            "{ rules: [{ per: key, requests: 60/minute }] }",
            "limits.rules[0].requests: expected a number and a time such as `60/1m`, found `60/minute`",
        ),
        (
            "{ rules: [{ per: key, requests: 1/0s }] }",
            "limits.rules[0].requests: expected a window longer than 0",
        ),
        ("{ rules: [{ per: key, tokens: 0/1m }] }", "limits.rules[0].tokens: expected at least 1"),
        (
            "{ rules: [{ per: key, concurrent: 0 }] }",
            "limits.rules[0].concurrent: must be 1 or more",
        ),
        (
            "{ rules: [{ per: key, requests: 1/1m, wait: 0s }] }",
            "limits.rules[0].wait: expected a time above 0 and up to 5m, found `0s`",
        ),
        (
            "{ rules: [{ per: key, requests: 1/1m, wait: 301s }] }",
            "limits.rules[0].wait: expected a time above 0 and up to 5m, found `301s`",
        ),
        (
            "{ rules: [{ per: key, when: { model: \"gtp-*\" }, requests: 1/1m }] }",
            "limits.rules[0].when.model: no alias of `models` can match `gtp-*`",
        ),
        (
            "{ rules: [{ per: key, when: { key: \"\" }, requests: 1/1m }] }",
            "limits.rules[0].when.key: an empty pattern matches nothing",
        ),
        (
            "{ rules: [{ per: key, requests: 1/1m }, { per: key, requests: 2/1m }] }",
            "limits.rules[1].requests: limits.rules[0] counts the same requests",
        ),
    ] {
        assert_problem(&format!("limits: {limits}"), expected);
    }
    let keys = "keys: [{ name: a, key: k, tags: { priority: urgent } }]\nlimits: { rules: [{ per: key, requests: 1/1m";
    let expected = "keys[0].tags.priority: expected `high`, `normal` or `low`";
    assert_problem(&format!("{keys}, wait: 1s }}] }}"), expected);
}

#[test]
fn a_rule_that_fits_no_key_is_a_problem() {
    const KEYS: &str = "keys: [{ name: ci, key: k-ci, tags: { team: ml } }, { name: ops, key: k-o, tags: { stage: prod } }]";
    for (rule, expected) in [
        ("per: key, when: { key: cl }", "when.key: no key in `keys` can match `cl`"),
        ("per: key, when: { key: \"c?x\" }", "when.key: no key in `keys` can match `c?x`"),
        (
            "per: key, when: { tags: { taem: ml } }",
            "when.tags.taem: no key in `keys` that the rule is for has a tag `taem` that matches `ml`",
        ),
        (
            "per: key, when: { tags: { team: mk } }",
            "when.tags.team: no key in `keys` that the rule is for has a tag `team` that matches `mk`",
        ),
        // each part fits some key, and no key fits both
        (
            "per: key, when: { key: ops, tags: { team: ml } }",
            "when.tags.team: no key in `keys` that the rule is for has a tag `team`",
        ),
        ("per: \"tag:taem\"", "per: no key in `keys` that the rule is for has the tag `taem`"),
        (
            "per: \"tag:team\", when: { key: ops }",
            "per: no key in `keys` that the rule is for has the tag `team`",
        ),
    ] {
        let limits = format!("{KEYS}\nlimits: {{ rules: [{{ {rule}, requests: 1/1m }}] }}");
        assert_problem(&limits, &format!("limits.rules[0].{expected}"));
        let budgets = format!("{KEYS}\nbudgets: {{ rules: [{{ {rule}, usd: 1, every: day }}] }}");
        assert_problem(&budgets, &format!("budgets.rules[0].{expected}"));
    }
    let fine = "per: \"tag:team\", when: { key: \"c*\", tags: { team: \"*\" } }, requests: 1/1m";
    for keys in [KEYS, ""] {
        let sim = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }";
        let text = format!("{sim}\n{keys}\nlimits: {{ rules: [{{ {fine} }}] }}\n");
        let found = tidegate::config::Config::parse(&text, std::path::Path::new(""));
        assert!(found.is_ok(), "{found:?}");
    }
}

/// Asserts that a config with these lines has one problem.
pub(super) fn assert_problem(lines: &str, expected: &str) {
    let sim =
        "providers: { sim: { type: simulator } }\nmodels: { \"claude-*\": { provider: sim } }";
    let text = format!("{sim}\n{lines}\n");
    let found = tidegate::config::Config::parse(&text, std::path::Path::new(""));
    let found = found.err().unwrap_or_else(|| panic!("{lines} has no problem"));
    let [problem] = found.as_slice() else { panic!("{lines}: {found:?}") };
    assert!(problem.to_string().starts_with(expected), "{lines}: {problem}");
}
