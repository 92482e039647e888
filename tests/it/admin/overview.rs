//! The last minutes from memory: sums, and the stories of exchanges that have just ended.
use serde_json::json;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

use super::Api;

async fn upstream() -> upstream::Auto {
    Upstream::by(|call| match call.text() {
        text if text.contains("bad") => Behaviour::Answer(upstream::json(400, "{}")),
        text if text.contains("\"stream\"") => Behaviour::Answer(upstream::stream(&FRAMES)),
        _ => Behaviour::Answer(upstream::json(200, ANSWER)),
    })
    .await
}

#[tokio::test]
async fn an_exchange_counts_as_soon_as_it_has_ended_and_needs_no_ledger() {
    let up = upstream().await;
    let keys = "keys:\n  - { name: ci, key: k-ci }\n  - { name: web, key: k-web }\n";
    let gateway = Gateway::with().upstream(up.address).config(keys).start().await;
    let api = Api::of(&gateway).await;
    assert_eq!(api.get("/api/overview").await["total"]["requests"], 0);
    let mut ids = Vec::new();
    for (key, body) in [
        ("k-ci", MESSAGE.to_owned()),
        ("k-ci", MESSAGE.replace("\"m\"", "\"bad\"")),
        ("k-web", STREAM.to_owned()),
        ("wrong", MESSAGE.to_owned()),
    ] {
        let answer = Ask::message(body).header("x-api-key", key).send(gateway.address).await;
        ids.push(answer.header("request-id").unwrap_or_default().to_owned());
    }
    let overview = api.get("/api/overview?minutes=1").await;
    let total = &overview["total"];
    assert_eq!((&total["requests"], &total["errors"]), (&json!(4), &json!(2)), "{overview:#}");
    assert!(total["ttft_p50_ms"].is_u64() && total["output"].as_u64() > Some(0), "{total}");
    let buckets = overview["buckets"].as_array().unwrap();
    // the process has just begun
    assert!((1..=3).contains(&buckets.len()), "{overview:#}");
    assert_eq!(overview["interval_s"], 10);
    let sum: u64 = buckets.iter().map(|it| it["requests"].as_u64().unwrap()).sum();
    assert_eq!((sum, overview["running"].clone()), (4, json!(0)));
    let rows = |list: &str| {
        let rows = overview[list].as_array().unwrap().iter();
        let mut rows: Vec<_> = rows
            .map(|row| format!("{} {} {}", row["name"], row["requests"], row["errors"]))
            .collect();
        rows.sort();
        rows
    };
    assert_eq!(rows("keys"), ["\"\" 1 1", "\"ci\" 2 1", "\"web\" 1 0"]);
    assert_eq!(rows("models").len(), 3, "{overview:#}");
    // the story of an exchange is in memory as well
    let refused = api.get(&format!("/api/exchanges/{}", ids[3])).await;
    assert_eq!(
        (&refused["exchange"]["status"], &refused["exchange"]["id"]),
        (&json!(401), &json!(null))
    );
    api.get_error("/api/exchanges/req_unknown", 404).await;
}

#[tokio::test]
async fn the_window_is_a_number_of_minutes() {
    let gateway =
        Gateway::start("providers: { up: { type: anthropic } }\nmodels: { m: { provider: up } }\n")
            .await;
    let api = Api::of(&gateway).await;
    for query in ["", "?minutes=1", "?minutes=60"] {
        let overview = api.get(&format!("/api/overview{query}")).await;
        assert_eq!(overview["total"]["requests"], 0, "{query}");
    }
    for wrong in ["0", "61", "x", "-1", "1.5", ""] {
        let error = api.get_error(&format!("/api/overview?minutes={wrong}"), 400).await;
        assert_eq!(error["field"], "minutes", "{wrong}");
    }
}
