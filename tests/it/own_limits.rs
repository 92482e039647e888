//! Limits and budgets that belong to a single key, or to each caller of an issuer.
use serde_json::{Value, json};

use crate::admin::Api;
use crate::limit_rules::{answering, ask, remaining, statuses};
use crate::support::client::Ask;
use crate::support::gateway::{self, Builder, Gateway};
use crate::support::issuer::{Issuer, Key};
use crate::support::redis::Redis;
use crate::support::upstream::{Auto, Behaviour, Upstream, stream};
use crate::support::{FRAMES, STREAM, until};

/// A gateway with a key `ci` that has these fields, a key `ops` without any, and further lines of the config.
fn keyed(up: &Auto, fields: &str, more: &str) -> Builder {
    let keys = format!(
        "keys:\n  - {{ name: ci, key: k-ci, tags: {{ team: ml }}, {fields} }}\n  - {{ name: ops, key: k-ops }}\nadmin: {{ listen: 127.0.0.1:0 }}\n"
    );
    Gateway::with().upstream(up.address).config(format!("{keys}{more}"))
}

/// The rules of a page of the admin API that are of this owner.
fn rules(page: &Value, per: &str) -> Vec<Value> {
    let rules = page["rules"].as_array().unwrap().iter();
    rules.filter(|rule| rule["per"] == per).cloned().collect()
}

#[tokio::test]
async fn a_key_has_its_own_limit_beside_the_rules_and_both_are_settled() {
    let up = answering().await;
    let rule = "limits: { rules: [{ per: key, requests: 3/1h, tokens: 1000/1h }] }";
    let own = "limits: { requests: 2/1h, tokens: 500/1h }";
    let gateway = keyed(&up, own, rule).start().await;
    let found = ask(&gateway, "k-ci").await;
    assert_eq!((found.status, remaining(&found, "requests")), (200, Some("1")));
    assert_eq!(found.header("anthropic-ratelimit-tokens-limit"), Some("500"));
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
    let refused = ask(&gateway, "k-ci").await;
    let message = refused.refusal(429, "rate_limit_error");
    assert!(message.starts_with("the limit of 2 requests in 1h for the key `ci`"), "{message}");
    // the other key has the rule only
    assert_eq!(statuses(&gateway, "k-ops", 4).await, [200, 200, 200, 429]);
    // 5 tokens an answer, for the rule and for the key; the refusals charged nothing
    let page = Api::of(&gateway).await.get("/api/limits").await;
    let used = |per: &str, unit: &str, owner: &str| {
        let rules = rules(&page, per).into_iter();
        let mut rules = rules.filter(|rule| rule["unit"] == unit);
        let counters = rules.next().unwrap()["counters"].clone();
        let counters = counters.as_array().unwrap().iter();
        let mut counters = counters.filter(|counter| counter["owner"] == owner);
        counters.next().map(|counter| counter["used"].as_u64().unwrap())
    };
    assert_eq!((used("own", "requests", "ci"), used("own", "tokens", "ci")), (Some(2), Some(10)));
    assert_eq!((used("key", "requests", "ci"), used("key", "tokens", "ci")), (Some(2), Some(10)));
    assert_eq!((used("own", "requests", "ops"), used("key", "requests", "ops")), (None, Some(3)));
    let refusals = "tidegate_limit_refusals_total";
    assert_eq!(gateway.metric(&format!("{refusals}{{per=\"own\",limit=\"requests\"}}")).await, 1.0);
    assert_eq!(gateway.metric(&format!("{refusals}{{per=\"key\",limit=\"requests\"}}")).await, 1.0);
}

#[tokio::test]
async fn the_rule_refuses_where_it_is_tighter_than_the_key() {
    let up = answering().await;
    let rule = "limits: { rules: [{ per: \"tag:team\", requests: 1/1h }] }";
    let gateway = keyed(&up, "limits: [{ requests: 9/1h }]", rule).start().await;
    assert_eq!(statuses(&gateway, "k-ci", 2).await, [200, 429]);
    let message = ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert!(message.contains("1 requests in 1h for the tag `team: ml`"), "{message}");
    let page = Api::of(&gateway).await.get("/api/limits").await;
    assert_eq!(rules(&page, "own")[0]["counters"][0]["used"], 1);
}

#[tokio::test]
async fn a_list_has_limits_for_some_models_and_for_streams_at_the_same_time() {
    let mut up = Upstream::start().await;
    let own = "limits: [{ concurrent: 1 }, { when: { model: \"b*\" }, requests: 1/1h }]";
    let keys = format!("keys: [{{ name: ci, key: k-ci, {own} }}]");
    let gateway = Gateway::with().upstream(up.address).config(keys).start().await;
    let open = Ask::message(STREAM).header("x-api-key", "k-ci").open(gateway.address);
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut first, mut call) = tokio::join!(open, begin);
    assert!(first.frame().await.is_some());
    let message = ask(&gateway, "k-ci").await.refusal(429, "rate_limit_error");
    assert!(message.contains("1 requests at the same time for the key `ci`"), "{message}");
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
    }
    call.end_stream().await;
    while first.frame().await.is_some() {}
    let asked = async |model: &str, up: &mut Upstream| {
        let body = STREAM.replace("\"m\"", &format!("\"{model}\""));
        let ask = Ask::message(body).header("x-api-key", "k-ci").send(gateway.address);
        let answer = async {
            let call = up.call().await;
            call.behave(Behaviour::Answer(stream(&FRAMES))).await;
            std::future::pending::<()>().await;
        };
        tokio::select! { found = ask => found.status, () = answer => 0 }
    };
    assert_eq!(asked("b1", &mut up).await, 200);
    assert_eq!(asked("b2", &mut up).await, 429);
    assert_eq!(asked("a", &mut up).await, 200);
}

#[tokio::test]
async fn a_key_has_its_own_budget_and_policies_see_what_is_left() {
    let up = answering().await;
    let policy = "fn on_request(request, ctx) { if ctx.limits.requests == 1 { deny(451, `${ctx.budget.left} of ${ctx.budget.usd} every ${ctx.budget.every}, ${ctx.limits.tokens} tokens`); } }";
    let own = "limits: { requests: 3/1h, tokens: 700/1h }, budget: { usd: 0.012, every: day }";
    let more = "budgets: { unpriced: { input: 1000, output: 1000 }, rules: [{ per: key, usd: 5, every: day }] }\npolicies: { dir: policies }\n";
    let gateway = keyed(&up, own, more).policy("see", policy).start().await;
    // 5 tokens at 1000 dollars a million
    assert_eq!(statuses(&gateway, "k-ci", 2).await, [200, 200]);
    let message = ask(&gateway, "k-ci").await.error(451);
    assert_eq!(message, "0.002 of 0.012 every day, 690 tokens");
    let page = Api::of(&gateway).await.get("/api/budgets").await;
    for per in ["own", "key"] {
        let rule = &rules(&page, per)[0];
        assert_eq!(rule["counters"][0]["used_usd"], "0.01", "{rule}");
        assert_eq!((&rule["counters"][0]["owner"], &rule["owners"]), (&json!("ci"), &json!(1)));
    }
    // the number of the limit changes, what was used stays
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(&text.replace("requests: 3/1h", "requests: 9/1h")).await;
    assert_eq!(ask(&gateway, "k-ci").await.status, 200);
    let refused = ask(&gateway, "k-ci").await;
    let message = refused.refusal(429, "billing_error");
    assert!(message.starts_with("the budget of 0.012 USD every day for the key `ci`"), "{message}");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let refusals = "tidegate_budget_refusals_total";
    assert_eq!(gateway.metric(&format!("{refusals}{{per=\"own\",every=\"day\"}}")).await, 1.0);
}

/// Asks until Redis has decided: without an answer in time a gateway with `away: closed` says 503.
async fn decided(gateway: &Gateway) -> u16 {
    loop {
        let status = ask(gateway, "k-ci").await.status;
        if status != 503 {
            return status;
        }
    }
}

#[tokio::test]
async fn gateways_on_one_redis_share_the_limit_of_a_key() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let up = answering().await;
    let more = format!(
        "limits: {{ {} , rules: [{{ per: key, requests: 100/1h }}] }}",
        redis.store("closed")
    );
    let own =
        "limits: [{ requests: 10/1h, tokens: 100000/1h }], budget: [{ usd: 100, every: month }]";
    let start = || keyed(&up, own, &more).start();
    let (first, second) = tokio::join!(start(), start());
    let asks = (0..30).map(|n| decided(if n % 2 == 0 { &first } else { &second }));
    let found = futures_util::future::join_all(asks).await;
    assert_eq!(found.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(up.count(), 10);
    // one step: the rule did not count what the key's own limit refused
    let sum = |pattern: &str| {
        let keys: Vec<String> = redis.run(&["KEYS", pattern]);
        let keys = keys.into_iter().filter(|key| !key.ends_with(":holds"));
        let slots = keys.flat_map(|key| redis.run::<Vec<String>>(&["HVALS", &key]));
        slots.map(|slot| slot.split_once(' ').unwrap().0.parse::<u64>().unwrap()).sum::<u64>()
    };
    until("the tokens to be settled", async || sum("*:own|*|tokens|*") == 50).await;
    assert_eq!((sum("*:own|*|requests|*"), sum("*:key|*|requests|*")), (10, 10));
}

#[tokio::test]
async fn each_caller_of_an_issuer_has_the_limits_of_its_entry() {
    let key = Key::ec("k");
    let issuer = Issuer::with(&[&key]).await;
    let up = answering().await;
    let config = format!(
        "jwt: [{{ issuer: \"{}\", audience: tidegate, limits: {{ requests: 1/1h }}, budget: {{ usd: 9, every: week }} }}]\nadmin: {{ listen: 127.0.0.1:0 }}\n",
        issuer.url()
    );
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let token = |sub: &str| key.token(&issuer.claims_with(json!({"sub": sub})));
    let [ada, bob] = ["ada", "bob"].map(token);
    assert_eq!(statuses(&gateway, &ada, 2).await, [200, 429]);
    // another token of the same client
    let again = key.token(&issuer.claims_with(json!({"sub": "ada", "jti": "2"})));
    assert_eq!(statuses(&gateway, &again, 1).await, [429]);
    assert_eq!(statuses(&gateway, &bob, 2).await, [200, 429]);
    let api = Api::of(&gateway).await;
    let page = api.get("/api/limits").await;
    assert_eq!(
        (&rules(&page, "own")[0]["owners"], page["rules"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    assert_eq!(rules(&api.get("/api/budgets").await, "own")[0]["every"], "week");
}

#[tokio::test]
async fn keys_with_equal_limits_are_one_entry_with_a_counter_each() {
    let up = answering().await;
    let keys = "keys:\n  - { name: a, key: k-a, limits: { requests: 5/1m } }\n  - { name: b, key: k-b, limits: [{ requests: 5/1m }] }\n  - { name: c, key: k-c, limits: { requests: 6/1m } }\nadmin: { listen: 127.0.0.1:0 }\n";
    let gateway = Gateway::with().upstream(up.address).config(keys).start().await;
    for key in ["k-a", "k-b", "k-c", "k-c"] {
        assert_eq!(ask(&gateway, key).await.status, 200);
    }
    let page = Api::of(&gateway).await.get("/api/limits").await;
    let found: Vec<Value> = rules(&page, "own")
        .iter()
        .map(|rule| {
            let counters = rule["counters"].as_array().unwrap().iter();
            let counters: Vec<&Value> = counters.map(|counter| &counter["owner"]).collect();
            json!([rule["number"], rule["owners"], counters])
        })
        .collect();
    assert_eq!(found, [json!([5, 2, ["a", "b"]]), json!([6, 1, ["c"]])]);
}

/// Fields of a key that are wrong, and the problem of each.
const WRONG: &[(&str, &str)] = &[
    ("limits: 5", "keys[0].limits: expected a mapping, or a list of mappings, found a number"),
    ("limits: {}", "keys[0].limits: no limit: give `requests`"),
    ("limits: [{}]", "keys[0].limits[0]: no limit: give `requests`"),
    ("limits: { request: 1/1m }", "keys[0].limits.request: unknown key; did you mean `requests`?"),
    (
        "limits: [{ requests: 1/1m }, { per: key, requests: 1/2m }]",
        "keys[0].limits[1].per: unknown key",
    ),
    ("limits: [{ requests: 60 }]", "keys[0].limits[0].requests: expected"),
    (
        "limits: { tokens: 60/minute }",
        "keys[0].limits.tokens: expected a number and a time such as `60/1m`, found `60/minute`",
    ),
    ("limits: { concurrent: 0 }", "keys[0].limits.concurrent: must be 1 or more"),
    (
        "limits: [{ requests: 1/1m, wait: 10m }]",
        "keys[0].limits[0].wait: expected a time above 0 and up to 5m, found `10m`",
    ),
    (
        "limits: [{ requests: 1/1m }, { requests: 2/1m }]",
        "keys[0].limits[1].requests: keys[0].limits[0] counts the same requests",
    ),
    (
        "limits: { requests: 1/1m, when: { key: other } }",
        "keys[0].limits.when.key: no key in `keys` can match `other`",
    ),
    (
        "limits: { requests: 1/1m, when: { model: gpt } }",
        "keys[0].limits.when.model: no alias of `models` can match `gpt`",
    ),
    ("budget: { usd: 0, every: day }", "keys[0].budget.usd: expected dollars above 0, found `0`"),
    ("budget: [{ usd: 1 }]", "keys[0].budget[0].every: this key is missing"),
    ("budget: { usd: 1, every: year }", "keys[0].budget.every: `year` is not a known value"),
    (
        "budget: { usd: 1, every: day, warn_at: 2 }",
        "keys[0].budget.warn_at: expected a part above 0 and up to 1",
    ),
    (
        "budget: { usd: 1, every: day, then: { route: gpt } }",
        "keys[0].budget.then.route: no model is named `gpt`",
    ),
    ("budgets: { usd: 1, every: day }", "keys[0].budgets: unknown key; did you mean `budget`?"),
];

#[test]
fn wrong_limits_of_a_key_are_problems_with_their_place() {
    for (fields, expected) in WRONG {
        for (section, entry) in [
            ("keys", "{ name: ci, key: k-ci, "),
            ("jwt", "{ issuer: \"https://id.example.com\", audience: tidegate, "),
        ] {
            // nothing is known about the names of clients with tokens
            if section == "jwt" && expected.contains("when.key") {
                continue;
            }
            let config = format!(
                "providers: {{ s: {{ type: simulator }} }}\nmodels: {{ m: {{ provider: s }} }}\n{section}: [{entry}{fields} }}]\n"
            );
            let problems = tidegate::config::Config::parse(&config, std::path::Path::new(""));
            let problems: Vec<String> =
                problems.unwrap_err().iter().map(ToString::to_string).collect();
            let expected = expected.replace("keys[0]", &format!("{section}[0]"));
            assert!(
                problems.iter().any(|problem| problem.starts_with(&expected)),
                "{fields}: {problems:?}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_config_with_limits_of_keys_is_complete_without_rules() {
    let config = gateway::completed(
        "providers: { s: { type: simulator } }\nmodels: { m: { provider: s } }\nkeys: [{ name: ci, key: k, limits: [{ requests: 1/1m, when: { model: m, key: \"c*\" } }], budget: { usd: 1, every: hour, then: { route: m } } }]\n",
    );
    let config = tidegate::config::Config::parse(&config, std::path::Path::new("")).unwrap();
    assert_eq!(config.keys.len(), 1);
}
