//! Requests under way when their key ends: with `revoke: cut` they end with an error, and never as if they were whole.
use serde_json::{Value, json};

use super::Api;
use super::keys::{ask, create};
use crate::ledger::postgres::Server;
use crate::limit_rules::answering;
use crate::support::client::{Ask, Incoming};
use crate::support::events::{Event, EventKind};
use crate::support::gateway::{Gateway, looping};
use crate::support::upstream::{Behaviour, Call, Upstream, stream};
use crate::support::{FRAMES, MESSAGE, STREAM, turn, until, within};

const CONFIG: &str =
    "ledger: sqlite\nkey_store: { place: ledger, revoke: cut }\nadmin: { listen: 127.0.0.1:0 }\n";

/// A key of a gateway whose upstream the test leads.
struct Fixture {
    gateway: Gateway,
    up: Upstream,
}

impl Fixture {
    async fn start() -> Self {
        let up = Upstream::start().await;
        let more = format!("{CONFIG}passthrough: up\n");
        let gateway = Gateway::with().upstream(up.address).config(more).start().await;
        Self { gateway, up }
    }

    async fn api(&self) -> Api<'_> {
        Api::of(&self.gateway).await
    }

    /// Opens a stream, of which both sides have the first frame.
    async fn open(&mut self, key: &str) -> (Incoming, Call) {
        open(&self.gateway, &mut self.up, key).await
    }
}

async fn open(gateway: &Gateway, up: &mut Upstream, key: &str) -> (Incoming, Call) {
    let asked = Ask::message(STREAM).header("x-api-key", key).open(gateway.address);
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut answer, call) = tokio::join!(asked, begin);
    assert_eq!(answer.frame().await.unwrap(), FRAMES[0]);
    (answer, call)
}

async fn made(api: &Api<'_>, name: &str) -> Made {
    let made = create(api, &json!({"name": name})).await.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    Made { one: format!("/api/keys/{}", text("id")), key: text("key") }
}

struct Made {
    /// The path of the key in the admin API.
    one: String,
    key: String,
}

/// The error with which a stream ends. Nothing follows it.
async fn end(answer: &mut Incoming) -> String {
    let last = answer.frames().await.pop().unwrap();
    assert_eq!(last.kind, EventKind::Error, "{}", last.data());
    let error = &last.json()["error"];
    assert_eq!(error["type"], "authentication_error");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_of_a_key_that_ends_is_cut_with_an_error() {
    let mut fixture = Fixture::start().await;
    let other = made(&fixture.api().await, "other").await;
    let (mut untouched, mut other_call) = fixture.open(&other.key).await;
    for (name, method, change, expected) in [
        ("a", "DELETE", "", "the key `a` was revoked while the request ran"),
        ("b", "PATCH", r#"{"disabled":true}"#, "the key `b` was disabled while"),
        ("c", "PATCH", r#"{"expires":"2020-01-01"}"#, "the key `c` expired while"),
    ] {
        let own = made(&fixture.api().await, name).await;
        let (mut answer, mut call) = fixture.open(&own.key).await;
        call.chunk(FRAMES[1]).await;
        let done = fixture.api().await.write(method, &own.one, &own.one, change).await;
        assert!(done.status < 300, "{}", done.text());
        let message = end(&mut answer).await;
        assert!(message.contains(expected) && message.contains("not whole"), "{message}");
        // the upstream's connection is closed, so it stops to generate
        within("the end of the call", call.closed()).await;
        ask(&fixture.gateway, &own.key).await.refusal(401, "authentication_error");
    }
    other_call.chunk(FRAMES[1..].concat()).await;
    other_call.end_stream().await;
    let rest: Vec<Event> = untouched.frames().await;
    assert_eq!(rest.last().unwrap().kind, EventKind::MessageStop);
    fixture.gateway.until_idle().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_time_of_its_key_is_over() {
    let mut fixture = Fixture::start().await;
    let own = made(&fixture.api().await, "ci").await;
    let (mut answer, _call) = fixture.open(&own.key).await;
    let soon = jiff::Timestamp::now() + std::time::Duration::from_millis(300);
    let change = json!({"expires": soon.to_string()}).to_string();
    let api = fixture.api().await;
    assert_eq!(api.write("PATCH", &own.one, &own.one, &change).await.status, 200);
    assert!(end(&mut answer).await.contains("expired"));
    assert!(jiff::Timestamp::now() >= soon);
}

#[tokio::test]
async fn a_request_without_an_answer_so_far_gets_a_401() {
    let mut fixture = Fixture::start().await;
    let own = made(&fixture.api().await, "ci").await;
    for (path, body) in [("/v1/messages", MESSAGE), ("/v1/messages", STREAM), ("/v1/files", "{}")] {
        let enabled = r#"{"disabled":false}"#;
        fixture.api().await.write("PATCH", &own.one, &own.one, enabled).await;
        let asked = Ask::post(path, body).header("x-api-key", &own.key);
        let asked = asked.header("content-type", "application/json");
        let Fixture { gateway, up } = &mut fixture;
        let disable = async {
            let call = up.call().await;
            let api = Api::of(gateway).await;
            api.write("PATCH", &own.one, &own.one, r#"{"disabled":true}"#).await;
            call
        };
        let (answer, mut call) = tokio::join!(asked.send(gateway.address), disable);
        let message = answer.refusal(401, "authentication_error");
        assert!(message.contains("was disabled while the request ran"), "{message}");
        within("the end of the call", call.closed()).await;
    }
    fixture.gateway.until_idle().await;
}

#[tokio::test]
async fn a_forwarded_answer_of_a_key_that_ends_breaks_off() {
    let mut fixture = Fixture::start().await;
    let own = made(&fixture.api().await, "ci").await;
    let asked = Ask::get("/v1/files/f/content").header("x-api-key", &own.key);
    let begin = async {
        let mut call = fixture.up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut answer, mut call) = tokio::join!(asked.open(fixture.gateway.address), begin);
    assert_eq!(answer.frame().await.unwrap(), FRAMES[0]);
    let api = fixture.api().await;
    assert_eq!(api.write("DELETE", &own.one, &own.one, "").await.status, 204);
    assert!(!answer.finish().await.is_whole);
    within("the end of the call", call.closed()).await;
}

#[tokio::test]
async fn a_key_that_ends_between_two_turns_of_the_tool_loop_ends_the_loop() {
    let mut up = Upstream::start().await;
    let gateway = looping(up.address).config(CONFIG).start().await;
    let api = Api::of(&gateway).await;
    let own = made(&api, "ci").await;
    let body = json!({"model": "m", "max_tokens": 100, "stream": true,
        "tools": [{"type": "gateway:datetime"}], "messages": [{"role": "user", "content": "now?"}]});
    let asked = Ask::message(body.to_string()).header("x-api-key", &own.key);
    let turns = async {
        let content =
            json!([turn::text("I look."), turn::call("c1", "gateway_datetime", json!({}))]);
        let first = turn::frames(&turn::message(content, "tool_use"));
        up.call().await.behave(Behaviour::Answer(stream(&first))).await;
        // the second turn begins and does not end
        let mut call = up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut answer, mut call) = tokio::join!(asked.open(gateway.address), turns);
    assert_eq!(answer.event().await.unwrap().kind, EventKind::MessageStart);
    assert_eq!(api.write("DELETE", &own.one, &own.one, "").await.status, 204);
    let message = end(&mut answer).await;
    assert!(message.contains("was revoked"), "{message}");
    within("the end of the call", call.closed()).await;
    gateway.until_idle().await;
    // the ledger has the turn that was made, and a request that broke
    until("the row of the exchange", async || {
        let page = api.get("/api/exchanges").await;
        let row: &Value = &page["rows"][0];
        row["ending"] == "broken" && row["attempts"] == 2 && row["output"].as_i64() > Some(0)
    })
    .await;
}

#[tokio::test]
async fn a_key_that_another_gateway_revokes_is_cut_here() {
    let Some(server) = Server::start() else { return };
    let mut up = Upstream::start().await;
    let config = CONFIG.replace("sqlite", &format!("\"{}\"", server.url()));
    let quick = answering().await;
    let first = Gateway::with().upstream(up.address).config(&config).start().await;
    let second = Gateway::with().upstream(quick.address).config(&config).start().await;
    let api = Api::of(&second).await;
    let own = made(&api, "ci").await;
    until("the key on the other gateway", async || {
        let asked = Ask::get("/v1/models").header("x-api-key", &own.key);
        asked.send(first.address).await.status == 200
    })
    .await;
    let (mut answer, _call) = open(&first, &mut up, &own.key).await;
    assert_eq!(api.write("DELETE", &own.one, &own.one, "").await.status, 204);
    assert!(end(&mut answer).await.contains("was revoked"));
}
