//! The playground: messages of an operator as the holder of a key.
use serde_json::{Value, json};

use crate::ledger::written;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

use super::Api;

const KEYS: &str = "ledger: sqlite
keys:
  - { name: ci, key: k-ci, models: [m] }
  - { name: old, key: k-old, disabled: true }
";

async fn upstream() -> upstream::Auto {
    Upstream::by(|call| match call.text() {
        text if text.contains("\"stream\":true") => Behaviour::Answer(upstream::stream(&FRAMES)),
        _ => Behaviour::Answer(upstream::json(200, ANSWER)),
    })
    .await
}

async fn gateway(at: &upstream::Auto, config: &str) -> Gateway {
    let upper = "fn on_response(message, ctx) { message.content[0].text += \"?\"; }";
    Gateway::with().upstream(at.address).config(config).policy("own", upper).start().await
}

async fn play(gateway: &Gateway, body: &Value) -> Answer {
    let ask = Ask::post("/api/playground", body.to_string()).admin();
    ask.header("content-type", "application/json").send(gateway.admin).await
}

fn message(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_message_is_sent_as_a_key_and_is_recorded_in_every_way() {
    let up = upstream().await;
    let gateway = gateway(&up, KEYS).await;
    let answer = play(&gateway, &json!({ "key": "ci", "request": message(MESSAGE) })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["content"][0]["text"], "hello?");
    let id = answer.header("request-id").unwrap().to_owned();
    written(&gateway, 1).await;
    let api = Api::of(&gateway).await;
    let story = api.get(&format!("/api/exchanges/{id}")).await;
    assert_eq!(story["exchange"]["key"], "ci");
    let changes = api.get(&format!("/api/exchanges/{id}/changes")).await;
    assert_eq!(changes["is_recorded"], true);
    assert_eq!(changes["steps"][0]["stage"], "own");
    let row = api.get("/api/audit").await["rows"][0].clone();
    assert_eq!((&row["route"], &row["object"]), (&json!("/api/playground"), &json!("ci")));
    // another exchange is not recorded
    let other = Ask::message(MESSAGE).header("x-api-key", "k-ci").send(gateway.address).await;
    let id = other.header("request-id").unwrap();
    assert_eq!(api.get(&format!("/api/exchanges/{id}/changes")).await["is_recorded"], false);
}

#[tokio::test]
async fn a_stream_ends_with_the_id_of_its_story() {
    let up = upstream().await;
    let gateway = gateway(&up, KEYS).await;
    let answer = play(&gateway, &json!({ "key": "ci", "request": message(STREAM) })).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let text = answer.text();
    let (stream, story) = text.split_once("event: tidegate_story\ndata: ").unwrap();
    assert!(stream.ends_with("{\"type\":\"message_stop\"}\n\n"), "{stream}");
    let story: Value = serde_json::from_str(story.trim()).unwrap();
    let api = Api::of(&gateway).await;
    let id = story["id"].as_str().unwrap();
    let story = api.get(&format!("/api/exchanges/{id}")).await;
    assert_eq!(
        (&story["exchange"]["is_stream"], &story["exchange"]["status"]),
        (&json!(true), &json!(200))
    );
}

#[tokio::test]
async fn the_rights_of_the_key_apply() {
    let up = upstream().await;
    let gateway = gateway(&up, KEYS).await;
    for (key, field) in [("nobody", "key"), ("old", "key"), ("", "key")] {
        let answer = play(&gateway, &json!({ "key": key, "request": message(MESSAGE) })).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["field"]), (400, &json!(field)), "{key}: {error}");
    }
    let other = message(&MESSAGE.replace("\"m\"", "\"other\""));
    let answer = play(&gateway, &json!({ "key": "ci", "request": other })).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["type"].clone()),
        (403, json!("permission_error"))
    );
    let empty = play(&gateway, &json!({ "key": "ci", "request": {} })).await;
    assert_eq!(empty.status, 400);
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn a_draft_takes_part_in_one_request_only() {
    let up = upstream().await;
    let gateway = gateway(&up, "").await;
    let text = "fn on_response(message, ctx) { message.content[0].text += \"!\"; }";
    let run = async |name: &str, text: &str| {
        let policy = json!({ "name": name, "text": text });
        play(&gateway, &json!({ "request": message(MESSAGE), "policy": policy })).await
    };
    let text_of = |answer: &Answer| answer.json()["content"][0]["text"].clone();
    // in the place of the policy of this name, or after all others
    assert_eq!(text_of(&run("own", text).await), "hello!");
    assert_eq!(text_of(&run("new", text).await), "hello?!");
    let plain = play(&gateway, &json!({ "request": message(MESSAGE) })).await;
    assert_eq!(text_of(&plain), "hello?");
    let broken = run("own", "fn on_response(").await;
    assert_eq!(broken.status, 422);
    assert_eq!(broken.json()["problems"][0]["line"], 1, "{}", broken.text());
    let ends = run("own", "fn on_request(request, ctx) { deny(418, \"tea\"); }").await;
    assert_eq!((ends.status, ends.json()["error"]["message"].clone()), (418, json!("tea")));
    assert_eq!(up.count(), 3);
}

#[tokio::test]
async fn an_operator_who_leaves_ends_the_request() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let body = json!({ "request": message(STREAM) }).to_string();
    let ask = Ask::post("/api/playground", body).admin().header("content-type", "application/json");
    let asked = tokio::spawn(ask.open(gateway.admin));
    let mut call = up.call().await;
    call.begin_stream().await;
    call.chunk(FRAMES[0]).await;
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, 200);
    drop(answer);
    call.closed().await;
    gateway.until_idle().await;
}
