//! The sessions whose prompts were followed, and texts that no database can hold.
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::ledger::{postgres, written};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::turn;
use crate::support::upstream::{Behaviour, Upstream, json as whole};

use super::Api;

const KEYS: &str = "keys: [{ name: ci, key: k-ci }, { name: web, key: k-web }]\n";

/// An answer with these tokens read from the cache, and written to it.
fn cached(read: u64, write: u64) -> Behaviour {
    let mut message = turn::message(json!([turn::text("hello")]), "end_turn");
    message["usage"] = json!({
        "input_tokens": 3,
        "output_tokens": 2,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
    });
    Behaviour::Answer(whole(200, &message.to_string()))
}

async fn ask(gateway: &Gateway, key: &str, session: &str, model: &str, first: &str) {
    let body = json!({
        "model": model,
        "max_tokens": 64,
        "cache_control": {"type": "ephemeral"},
        "messages": [{"role": "user", "content": first}],
    });
    let ask = Ask::message(body.to_string()).header("x-api-key", key);
    let answer = ask.header("x-tidegate-session-id", session).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[expect(clippy::cognitive_complexity, reason = "a list of assertions about one conversation")]
async fn sessions_have_their_breaks_and_what_these_cost(ledger: &str) {
    let answers = [(0, 1000), (0, 1600), (0, 500), (0, 700), (0, 10), (0, 20)];
    let up = Upstream::script(answers.map(|(read, write)| cached(read, write)).into()).await;
    let config = format!("{KEYS}ledger: {ledger}\n");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let opus = "claude-opus-5-5";
    ask(&gateway, "k-ci", "s/1", opus, "a").await;
    ask(&gateway, "k-ci", "s/1", opus, "b").await;
    // a break without a price
    ask(&gateway, "k-ci", "unpriced", "m", "a").await;
    ask(&gateway, "k-ci", "unpriced", "m", "b").await;
    // the same name of another key, and a session without a breakpoint
    ask(&gateway, "k-web", "s/1", opus, "a").await;
    let plain =
        json!({"model": opus, "max_tokens": 64, "messages": [{"role": "user", "content": "a"}]});
    let plain = Ask::message(plain.to_string()).header("x-api-key", "k-web");
    plain.header("x-tidegate-session-id", "plain").send(gateway.address).await;
    written(&gateway, 6).await;
    let api = Api::of(&gateway).await;
    let page = api.get("/api/prompts").await;
    let rows: Vec<Value> = page["rows"].as_array().unwrap().clone();
    let shown = |row: &Value| {
        ["session", "key", "model", "requests", "breaks", "lost_usd"].map(|name| row[name].clone())
    };
    // a write costs 5 dollars a million, a read 20 cents
    let expected = [
        json!(["s/1", "web", opus, 1, 0, "0"]),
        json!(["unpriced", "ci", "m", 2, 1, null]),
        json!(["s/1", "ci", opus, 2, 1, "0.0048"]),
    ];
    assert_eq!(rows.iter().map(|row| json!(shown(row))).collect::<Vec<_>>(), expected);
    assert!(rows[1]["first"].as_str() < rows[1]["last"].as_str(), "{page}");
    assert_eq!(page["next"], Value::Null);
    let of_key = api.get("/api/prompts?key=web").await;
    assert_eq!(of_key["rows"], json!([rows[0]]));
    let first = api.get("/api/prompts?limit=1").await;
    let next = first["next"].as_str().unwrap();
    let second = api.get(&format!("/api/prompts?limit=1&after={next}")).await;
    assert_eq!((&first["rows"], &second["rows"]), (&json!([rows[0]]), &json!([rows[1]])));
    let none = api.get("/api/prompts?to=2020-01-01T00:00:00Z").await;
    assert_eq!(none, json!({ "rows": [], "next": null }));
    exchanges_are_in_the_order_of_time(&api).await;
}

async fn exchanges_are_in_the_order_of_time(api: &Api<'_>) {
    let both = api.get("/api/prompts/s%2F1").await;
    let shown = |row: &Value| {
        json!(
            ["key", "prefix", "broken_at", "broken_by", "lost_tokens", "lost_usd"]
                .map(|name| row[name].clone())
        )
    };
    let rows: Vec<Value> = both["rows"].as_array().unwrap().iter().map(shown).collect();
    let expected = [
        json!(["ci", "first", null, null, null, null]),
        json!(["ci", "broken", "messages.0", "client", 1000, "0.0048"]),
        json!(["web", "first", null, null, null, null]),
    ];
    assert_eq!(rows, expected);
    let first = api.get("/api/prompts/s%2F1?key=ci&limit=1").await;
    let next = first["next"].as_str().unwrap();
    let second = api.get(&format!("/api/prompts/s%2F1?key=ci&limit=1&after={next}")).await;
    assert_eq!(second["rows"], json!([both["rows"][1]]));
    assert_eq!(second["next"], Value::Null);
    assert_eq!(api.get("/api/prompts/plain").await["rows"], json!([]));
}

#[tokio::test]
async fn sessions_have_their_breaks_and_what_these_cost_in_sqlite() {
    sessions_have_their_breaks_and_what_these_cost("sqlite").await;
}

#[tokio::test]
async fn sessions_have_their_breaks_and_what_these_cost_in_postgres() {
    let Some(server) = postgres::Server::start() else { return };
    sessions_have_their_breaks_and_what_these_cost(&format!("\"{}\"", server.url())).await;
}

async fn texts_and_times_that_no_database_holds_are_clear_errors(ledger: &str) {
    let config = format!("ledger: {ledger}\n");
    let gateway = Gateway::with().provider("sim", "{ type: simulator }").config(config);
    let gateway = gateway.start().await;
    let api = Api::of(&gateway).await;
    let cursor = |place: Value| BASE64_URL_SAFE_NO_PAD.encode(place.to_string());
    let no_id = cursor(json!({"at": 1, "id": "zz"}));
    let late = cursor(json!({"at": i64::MAX, "id": "0".repeat(32)}));
    let early = cursor(json!({"at": -1, "id": "0".repeat(32)}));
    let nul = cursor(json!([1, 1, "a\u{0}", "b"]));
    let no_day = cursor(json!([0, 0, "a", ""]));
    for (path, field) in [
        ("/api/exchanges?key=a%00b", "key"),
        ("/api/exchanges?tag=a:%00", "tag"),
        ("/api/exchanges?request_id=%00", "request_id"),
        ("/api/exchanges/a%00", "id"),
        ("/api/usage?by=tag:%00", "by"),
        ("/api/usage/series?model=%00", "model"),
        ("/api/prompts/a%00", "id"),
        ("/api/prompts?key=%00", "key"),
        (&format!("/api/usage?by=key&after={nul}"), "after"),
        (&format!("/api/usage?by=day&after={no_day}"), "after"),
    ] {
        let error = api.get_error(path, 400).await;
        assert_eq!(error["field"], field, "{path}: {error}");
    }
    for list in ["/api/exchanges", "/api/prompts", "/api/prompts/s", "/api/audit"] {
        for after in [&no_id, &late, &early, &nul] {
            let error = api.get_error(&format!("{list}?after={after}"), 400).await;
            assert_eq!(error["field"], "after", "{list}: {error}");
        }
    }
    for path in [
        "/api/exchanges?from=-009999-01-03T00:00:00Z",
        "/api/exchanges?to=-009999-01-03T00:00:00Z",
        "/api/prompts?from=-009999-01-03T00:00:00Z&to=9999-12-30T00:00:00Z",
        "/api/usage?by=key&to=0001-01-01",
        "/api/usage/names?to=0001-01-07",
    ] {
        api.get(path).await;
    }
}

#[tokio::test]
async fn texts_and_times_that_no_database_holds_are_clear_errors_in_sqlite() {
    texts_and_times_that_no_database_holds_are_clear_errors("sqlite").await;
}

#[tokio::test]
async fn texts_and_times_that_no_database_holds_are_clear_errors_in_postgres() {
    let Some(server) = postgres::Server::start() else { return };
    let ledger = format!("\"{}\"", server.url());
    texts_and_times_that_no_database_holds_are_clear_errors(&ledger).await;
}
