//! Exchanges in the API: the list, the story of one, those in progress, the stream of those that end.
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::ledger::{postgres, written};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Builder, Gateway};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{FRAMES, MESSAGE, STREAM, streaming};

use super::Api;

/// An upstream that refuses the model `bad`. Each of its answers has a `request-id` of its own.
async fn upstream() -> upstream::Auto {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    let number = AtomicU32::default();
    Upstream::by(move |call| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let head = format!("content-type: application/json\r\nrequest-id: req_up_{number}\r\n");
        let (status, body) = match call.text().contains("bad") {
            true => (529, error),
            false => (200, crate::support::ANSWER),
        };
        Behaviour::Answer(upstream::answer(status, &head, body))
    })
    .await
}

fn gateway(at: &upstream::Auto, ledger: &str) -> Builder {
    Gateway::with().upstream(at.address).config(format!(
        "ledger: {ledger}\nkeys:\n  - {{ name: ci, key: k-ci, tags: {{ team: ml }} }}\n  - {{ name: web, key: k-web }}\n"
    ))
}

async fn ask(gateway: &Gateway, key: &str, model: &str) -> Answer {
    let body = MESSAGE.replace("\"m\"", &format!("\"{model}\""));
    Ask::message(body).header("x-api-key", key).send(gateway.address).await
}

async fn page(api: &Api<'_>, query: &str) -> Vec<Value> {
    let page = api.get(&format!("/api/exchanges{query}")).await;
    page["rows"].as_array().unwrap().clone()
}

async fn models(api: &Api<'_>, query: &str) -> Vec<String> {
    let rows = page(api, query).await;
    rows.iter().map(|row| row["model"].as_str().unwrap().to_owned()).collect()
}

/// A gateway that has recorded five exchanges. Returns the id that the last client received, too.
async fn recorded(ledger: &str) -> (Gateway, String) {
    let up = upstream().await;
    let gateway = gateway(&up, ledger).start().await;
    for (key, model) in [("k-ci", "m1"), ("k-web", "m2"), ("k-ci", "bad"), ("k-ci", "m3")] {
        ask(&gateway, key, model).await;
    }
    let last = ask(&gateway, "k-web", "m4").await;
    written(&gateway, 5).await;
    (gateway, last.header("request-id").unwrap().to_owned())
}

async fn filters_pages_and_stories_are_right(ledger: &str) {
    let (gateway, request_id) = recorded(ledger).await;
    let api = Api::of(&gateway).await;
    filters_are_right(&api).await;
    pages_have_each_exchange_once(&api).await;
    stories_are_right(&api, &request_id).await;
}

async fn filters_are_right(api: &Api<'_>) {
    for (query, expected) in [
        ("", vec!["bad", "m1", "m2", "m3", "m4"]),
        ("?key=web", vec!["m2", "m4"]),
        ("?model=m3", vec!["m3"]),
        ("?target=up%2Fm1", vec!["m1"]),
        ("?status=529", vec!["bad"]),
        ("?result=error", vec!["bad"]),
        ("?result=ok&key=ci", vec!["m1", "m3"]),
        ("?tag=team:ml", vec!["bad", "m1", "m3"]),
        ("?operation=count_tokens", vec![]),
        ("?to=2020-01-01T00:00:00Z", vec![]),
        ("?from=2020-01-01T00:00:00Z&key=web", vec!["m2", "m4"]),
    ] {
        let mut found = models(api, query).await;
        found.sort();
        assert_eq!(found, expected, "{query}");
    }
    for (query, field) in
        [("?status=x", "status"), ("?result=no", "result"), ("?tag=x", "tag"), ("?from=x", "from")]
    {
        let error = api.get_error(&format!("/api/exchanges{query}"), 400).await;
        assert_eq!(error["field"], field, "{query}");
    }
}

async fn pages_have_each_exchange_once(api: &Api<'_>) {
    let (whole, mut paged, mut next) = (page(api, "").await, Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/exchanges?limit=2{next}")).await;
        paged.extend(page["rows"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&after={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);
}

async fn stories_are_right(api: &Api<'_>, request_id: &str) {
    let story = api.get(&format!("/api/exchanges/{request_id}")).await;
    assert_eq!(story["exchange"]["model"], "m4");
    let id = story["exchange"]["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/api/exchanges/{id}")).await, story);
    assert_eq!(story["attempts"][0]["target"], "up/m4");
    assert_eq!(story["attempts"][0]["outcome"], "success");
    let of_ci = page(api, "?model=m3").await;
    let story = api.get(&format!("/api/exchanges/{}", of_ci[0]["id"].as_str().unwrap())).await;
    assert_eq!(story["tags"], json!([{ "tag": "team", "value": "ml" }]));
    for missing in ["req_nothing", "0123456789abcdef0123456789abcdef", "x%27%20OR%201=1"] {
        api.get_error(&format!("/api/exchanges/{missing}"), 404).await;
    }
}

#[tokio::test]
async fn filters_pages_and_stories_are_right_in_sqlite() {
    filters_pages_and_stories_are_right("sqlite").await;
}

#[tokio::test]
async fn filters_pages_and_stories_are_right_in_postgres() {
    let Some(server) = postgres::Server::start() else { return };
    filters_pages_and_stories_are_right(&format!("\"{}\"", server.url())).await;
}

#[tokio::test]
async fn the_story_says_why_a_target_was_passed_over() {
    let bad = upstream().await;
    let good = upstream().await;
    let provider = |at| format!("{{ type: anthropic, api_key: k, base_url: \"http://{at}\" }}");
    let gateway = Gateway::with()
        .provider("a", &provider(bad.address))
        .provider("b", &provider(good.address))
        .model("m", "{ cooldown: 10m, targets: [{ provider: a, model: bad }, { provider: b }] }")
        .config("ledger: sqlite\n")
        .start()
        .await;
    ask(&gateway, "", "m").await;
    let second = ask(&gateway, "", "m").await;
    written(&gateway, 2).await;
    let api = Api::of(&gateway).await;
    let id = second.header("request-id").unwrap();
    assert!(id.starts_with("req_up_"), "{id}");
    let story = api.get(&format!("/api/exchanges/{id}")).await;
    let note = json!({ "n": 0, "kind": "passed_over", "attempts": 0, "name": "a/bad", "detail": "cooling" });
    assert_eq!(story["notes"], json!([note]));
}

#[tokio::test]
async fn an_exchange_in_progress_is_shown_until_it_ends() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let api = Api::of(&gateway).await;
    let none = api.get("/api/exchanges/running").await;
    assert_eq!(none, json!({ "rows": [], "number": 0 }));
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    let page = api.get("/api/exchanges/running").await;
    let row = &page["rows"][0];
    assert_eq!((&page["number"], &row["target"]), (&json!(1), &json!("up/m")));
    assert_eq!(
        (&row["is_stream"], &row["attempts"], &row["turn"]),
        (&json!(true), &json!(1), &json!(1))
    );
    let mut live = api.open("/api/exchanges/live").await;
    assert_eq!(live.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(live.frame().await.unwrap(), ": watching\n\n");
    for frame in &FRAMES[1..] {
        call.chunk(frame).await;
        answer.frame().await.unwrap();
    }
    call.end_stream().await;
    assert_eq!(answer.frame().await, None);
    let text = String::from_utf8(live.frame().await.unwrap().to_vec()).unwrap();
    let data =
        text.strip_prefix("id: 1\nevent: exchanges\ndata: ").unwrap_or_else(|| panic!("{text}"));
    let event: Value = serde_json::from_str(data.trim_end()).unwrap();
    assert_eq!((&event["lost"], &event["rows"][0]["id"]), (&json!(0), &Value::Null));
    assert_eq!(event["rows"][0]["request_id"], row["request_id"]);
    assert_eq!(event["rows"][0]["output"], 2);
    assert_eq!(event["rows"][0]["ending"], "whole");
    assert_eq!(api.get("/api/exchanges/running").await["number"], 0);
}

#[tokio::test]
async fn a_client_that_leaves_is_no_exchange_in_progress() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let api = Api::of(&gateway).await;
    let (answer, call) = streaming(&gateway, &mut up).await;
    assert_eq!(api.get("/api/exchanges/running").await["number"], 1);
    drop(answer);
    gateway.until_idle().await;
    assert_eq!(api.get("/api/exchanges/running").await["number"], 0);
    drop(call);
    // a hostile name is bounded and harmless
    let hostile = format!("<script>\u{202e}{}", "x".repeat(100_000));
    let body = STREAM.replace("\"m\"", &serde_json::to_string(&hostile).unwrap());
    let pending = tokio::spawn(Ask::message(body).open(gateway.address));
    let call = up.call().await;
    let page = api.get("/api/exchanges/running").await;
    let model = page["rows"][0]["model"].as_str().unwrap();
    assert!(model.starts_with("<script>\u{fffd}xxx") && model.len() <= 260, "{}", model.len());
    drop(call);
    pending.await.unwrap();
}
