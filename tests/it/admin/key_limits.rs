//! Limits and budgets of stored keys, which change while requests are in flight, and the last uses of keys.
use serde_json::{Value, json};

use super::Api;
use super::keys::{ask, create};
use crate::ledger::postgres::Server;
use crate::limit_rules::{answering, remaining, statuses};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;
use crate::support::{FRAMES, STREAM, until};

const CONFIG: &str = "ledger: sqlite\nkey_store: ledger\nadmin: { listen: 127.0.0.1:0 }\n";

async fn patch(api: &Api<'_>, id: &str, body: &Value) -> Value {
    let one = format!("/api/keys/{id}");
    let changed = api.write("PATCH", &one, &one, &body.to_string()).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    changed.json()
}

/// The id and the key of a new key.
async fn made(api: &Api<'_>, body: &Value) -> (String, String) {
    let made = create(api, body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn limits_of_a_key_are_shown_as_they_were_written_and_apply_at_once() {
    let up = answering().await;
    let gateway = Gateway::with().upstream(up.address).config(CONFIG).start().await;
    let api = Api::of(&gateway).await;
    let limits =
        json!([{"requests": "2/1h", "when": {"model": "m*"}}, {"concurrent": 4, "wait": "10s"}]);
    let budget = json!({"usd": 20, "every": "day", "warn_at": 0.8, "then": {"route": "m"}});
    let (id, key) = made(&api, &json!({"name": "ci", "limits": limits, "budget": budget})).await;
    let shown = api.get(&format!("/api/keys/{id}")).await;
    assert_eq!((&shown["limits"], &shown["budget"]), (&limits, &budget));
    assert_eq!(api.get("/api/keys").await["keys"], json!([shown]));
    assert_eq!(statuses(&gateway, &key, 3).await, [200, 200, 429]);
    let page = api.get("/api/limits").await;
    assert_eq!(
        (&page["rules"][0]["per"], &page["rules"][0]["counters"][0]["used"]),
        (&json!("own"), &json!(2))
    );
    // a key without limits has none, and one that loses them is free
    let (_, free) = made(&api, &json!({"name": "free"})).await;
    assert_eq!(statuses(&gateway, &free, 3).await, [200, 200, 200]);
    let changed = patch(&api, &id, &json!({"limits": null, "budget": null})).await;
    assert_eq!((&changed["limits"], &changed["budget"]), (&Value::Null, &Value::Null));
    assert_eq!(statuses(&gateway, &key, 2).await, [200, 200]);
    assert_eq!(api.get("/api/limits").await["rules"], json!([]));
    assert_eq!(api.get("/api/budgets").await["rules"], json!([]));
}

#[tokio::test]
async fn a_changed_limit_counts_what_was_used_and_what_is_in_flight() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).config(CONFIG).start().await;
    let api = Api::of(&gateway).await;
    let limits = json!({"requests": "3/1h", "tokens": "10000/1h", "concurrent": 2});
    let (id, key) = made(&api, &json!({"name": "ci", "limits": limits})).await;
    let open = async |up: &mut Upstream| {
        let asked = Ask::message(STREAM).header("x-api-key", &key).open(gateway.address);
        let begin = async {
            let mut call = up.call().await;
            call.begin_stream().await;
            call.chunk(FRAMES[0]).await;
            call
        };
        let (mut answer, call) = tokio::join!(asked, begin);
        assert_eq!(answer.frame().await.unwrap(), FRAMES[0]);
        (answer, call)
    };
    let (mut first, mut call) = open(&mut up).await;
    // fewer at a time: the stream that runs has the only place
    patch(
        &api,
        &id,
        &json!({"limits": {"requests": "3/1h", "tokens": "9000/1h", "concurrent": 1}}),
    )
    .await;
    let message = ask(&gateway, &key).await.refusal(429, "rate_limit_error");
    assert!(message.contains("1 requests at the same time"), "{message}");
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
    }
    call.end_stream().await;
    while first.frame().await.is_some() {}
    gateway.until_idle().await;
    // the stream gave its place back, and left its request and its 5 tokens
    let used = async |unit: &str| {
        let page = api.get("/api/limits").await;
        let rules = page["rules"].as_array().unwrap().clone();
        let rule = rules.into_iter().find(|rule| rule["unit"] == unit).unwrap();
        rule["counters"][0]["used"].clone()
    };
    assert_eq!((used("requests").await, used("tokens").await), (json!(1), json!(5)));
    let (mut second, call) = open(&mut up).await;
    assert_eq!(used("requests").await, 2);
    // fewer requests than were sent already
    patch(&api, &id, &json!({"limits": {"requests": "2/1h"}})).await;
    let refused = ask(&gateway, &key).await;
    let message = refused.refusal(429, "rate_limit_error");
    assert!(message.contains("the limit of 2 requests in 1h"), "{message}");
    assert_eq!(remaining(&refused, "requests"), Some("0"));
    patch(&api, &id, &json!({"limits": {"requests": "4/1h"}})).await;
    call.frames(&FRAMES[1..]).await;
    while second.frame().await.is_some() {}
    let (_third, _call) = open(&mut up).await;
    assert_eq!(used("requests").await, 3);
}

/// Wrong fields, each with the field, the expected and the found value of its error.
fn wrong() -> Vec<(Value, [&'static str; 3])> {
    vec![
        (json!({"limits": 5}), ["limits", "a mapping, or a list of mappings", "integer `5`"]),
        (json!({"limits": {"foo": 1}}), ["limits.foo", "one of `when`", "`foo`"]),
        (
            json!({"limits": [{"requests": "1/1m", "per": "key"}]}),
            ["limits[0].per", "one of `when`", "`per`"],
        ),
        (
            json!({"limits": [{"requests": "x"}]}),
            ["limits[0].requests", "a number and a time such as `60/1m`", "`x`"],
        ),
        (json!({"limits": [{"requests": 60}]}), ["limits[0].requests", "a string", "integer `60`"]),
        (json!({"limits": {}}), ["limits", "no limit: give `requests`", "{}"]),
        (
            json!({"limits": [{"requests": "1/1m"}, {"concurrent": 0}]}),
            ["limits[1].concurrent", "must be 1 or more", "0"],
        ),
        (
            json!({"limits": {"requests": "1/1m", "wait": "1h"}}),
            ["limits.wait", "a time above 0", "\"1h\""],
        ),
        (
            json!({"limits": {"requests": "1/1m", "when": {"model": "gpt"}}}),
            ["limits.when.model", "no alias of `models`", "\"gpt\""],
        ),
        (
            json!({"limits": {"requests": "1/1m", "when": {"tags": {"team": "ml"}}}}),
            ["limits.when.tags.team", "no key", "\"ml\""],
        ),
        (json!({"budget": {"usd": -1, "every": "day"}}), ["budget.usd", "dollars above 0", "-1"]),
        (json!({"budget": {"usd": "5", "every": "day"}}), ["budget.usd", "f64", "string \"5\""]),
        (json!({"budget": {"usd": 5}}), ["budget.every", "a value", "nothing"]),
        (
            json!({"budget": [{"usd": 5, "every": "year"}]}),
            ["budget[0].every", "one of `hour`", "`year`"],
        ),
        (
            json!({"budget": [{"usd": 5, "every": "day", "cap": 1}]}),
            ["budget[0].cap", "one of `when`", "`cap`"],
        ),
        (
            json!({"budget": {"usd": 5, "every": "day", "then": {"route": "gpt"}}}),
            ["budget.then.route", "no model is named `gpt`", "\"gpt\""],
        ),
    ]
}

#[tokio::test]
async fn a_wrong_limit_is_named_with_the_expected_and_the_found_value() {
    let up = answering().await;
    let config = format!("models: {{ m: {{ provider: up }} }}\n{CONFIG}");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let api = Api::of(&gateway).await;
    let (id, _) = made(&api, &json!({"name": "ci"})).await;
    let one = format!("/api/keys/{id}");
    for (fields, [field, expected, found]) in wrong() {
        let mut body = fields.clone();
        body["name"] = json!("new");
        let answers =
            [create(&api, &body).await, api.write("PATCH", &one, &one, &fields.to_string()).await];
        for answer in answers {
            assert_eq!(answer.status, 400, "{fields}: {}", answer.text());
            let error = &answer.json()["error"];
            assert_eq!(error["field"], field, "{fields}: {error}");
            let text = |name: &str| error[name].as_str().unwrap().to_owned();
            assert!(text("expected").starts_with(expected), "{fields}: {error}");
            assert_eq!(text("found"), found, "{fields}: {error}");
            assert!(text("message").contains(field), "{fields}: {error}");
        }
    }
    let keys = api.get("/api/keys").await["keys"].clone();
    assert_eq!((keys.as_array().unwrap().len(), &keys[0]["limits"]), (1, &Value::Null));
}

#[tokio::test]
async fn a_budget_that_leads_to_a_model_that_is_gone_denies() {
    let up = answering().await;
    let own = |models: &str| {
        format!(
            "models: {{ {models} }}\nbudgets: {{ unpriced: {{ input: 1000, output: 1000 }} }}\n{CONFIG}"
        )
    };
    let models = "m: { provider: up }, cheap: { provider: up }";
    let gateway = Gateway::with().upstream(up.address).config(own(models)).start().await;
    let api = Api::of(&gateway).await;
    let budget = json!({"usd": 0.004, "every": "day", "then": {"route": "cheap"}});
    let (_, key) = made(&api, &json!({"name": "ci", "budget": budget})).await;
    assert_eq!(statuses(&gateway, &key, 2).await, [200, 200]);
    assert!(up.requests()[1]["model"] == "cheap");
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(&text.replace(", cheap: { provider: up }", "")).await;
    ask(&gateway, &key).await.refusal(429, "billing_error");
}

#[tokio::test]
async fn a_change_of_a_limit_acts_on_every_replica_and_uses_survive_a_restart() {
    let Some(server) = Server::start() else { return };
    let up = answering().await;
    let start = async || {
        let config = CONFIG.replace("sqlite", &format!("\"{}\"", server.url()));
        Gateway::with().upstream(up.address).config(config).start().await
    };
    let (first, second) = tokio::join!(start(), start());
    let api = Api::of(&first).await;
    let (id, key) = made(&api, &json!({"name": "ci", "limits": {"requests": "1/1h"}})).await;
    until("the key on the other gateway", async || ask(&second, &key).await.status == 200).await;
    assert_eq!(statuses(&second, &key, 1).await, [429]);
    patch(&api, &id, &json!({"limits": {"requests": "2/1h"}})).await;
    until("the new limit on the other gateway", async || ask(&second, &key).await.status == 200)
        .await;
    assert_eq!(statuses(&second, &key, 1).await, [429]);
    // the use at the other gateway, which writes it at its end at the latest
    let one = format!("/api/keys/{id}");
    second.stop().await;
    let used = api.get(&one).await["last_used"].clone();
    assert!(used.as_str().unwrap().starts_with("20"), "{used}");
    // neither a write of the last use nor a use is a change of the key
    let tag = api.send(api.ask("GET", &one)).await.header("etag").unwrap().to_owned();
    assert_eq!(ask(&first, &key).await.status, 200);
    first.stop().await;
    let third = start().await;
    let api = Api::of(&third).await;
    assert!(api.get(&one).await["last_used"].as_str() >= used.as_str());
    assert_eq!(api.send(api.ask("GET", &one)).await.header("etag"), Some(&*tag));
}

#[tokio::test]
async fn the_last_use_of_a_key_is_shown_at_once_and_survives_a_restart() {
    let up = answering().await;
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG.replace("sqlite", &format!("\"sqlite:{}/l.db\"", folder.path().display()));
    let start = async || Gateway::with().upstream(up.address).config(&config).start().await;
    let gateway = start().await;
    let api = Api::of(&gateway).await;
    let (used, key) = made(&api, &json!({"name": "used"})).await;
    let (unused, other) = made(&api, &json!({"name": "unused", "disabled": true})).await;
    let before = jiff::Timestamp::now().as_second();
    assert_eq!((ask(&gateway, &key).await.status, ask(&gateway, &other).await.status), (200, 401));
    let shown = api.get(&format!("/api/keys/{used}")).await["last_used"].clone();
    let at: jiff::Timestamp = shown.as_str().unwrap().parse().unwrap();
    assert!((before..=jiff::Timestamp::now().as_second()).contains(&at.as_second()));
    // a change of the key keeps it; a refused key is not used
    assert_eq!(patch(&api, &used, &json!({"tags": {"a": "b"}})).await["last_used"], shown);
    assert_eq!(api.get(&format!("/api/keys/{unused}")).await["last_used"], Value::Null);
    gateway.stop().await;
    let gateway = start().await;
    let api = Api::of(&gateway).await;
    let keys = api.get("/api/keys").await["keys"].clone();
    assert_eq!((&keys[0]["last_used"], &keys[1]["last_used"]), (&Value::Null, &shown));
}
