//! The way of events to their sinks: signed batches, retries, losses, files, and the end of the gateway.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde_json::Value;
use tidegate::config::Config;

use super::{lines, types};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::logs;
use crate::support::upstream::{self, Auto, Behaviour, Upstream, answer};
use crate::support::{ANSWER, MESSAGE, until};

const DELIVERED: &str = "tidegate_sink_delivered_total{sink=\"hook\"}";
const WAITING: &str = "tidegate_sink_queue_events{sink=\"hook\"}";

async fn answering() -> Auto {
    Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await
}

fn taken() -> Behaviour {
    Behaviour::Answer(answer(204, "", ""))
}

fn dropped(reason: &str) -> String {
    format!("tidegate_sink_dropped_total{{sink=\"hook\",reason=\"{reason}\"}}")
}

async fn hooked(up: &Auto, receiver: &Auto, more: &str) -> Gateway {
    let sink =
        format!("sinks: {{ hook: {{ http: \"http://{}/in?a=b\"{more} }} }}", receiver.address);
    Gateway::with().upstream(up.address).config(sink).start().await
}

fn events(body: &[u8]) -> Vec<Value> {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_request_is_a_batch_that_is_signed_as_standard_webhooks_says() {
    let (up, receiver) = (answering().await, Upstream::always(taken()).await);
    let more =
        ", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, headers: { authorization: Bearer b }";
    let gateway = hooked(&up, &receiver, more).await;
    for _ in 0..3 {
        Ask::message(MESSAGE).send(gateway.address).await;
    }
    gateway.until_metric(DELIVERED, 3.0).await;
    let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut all = Vec::new();
    for (head, body) in receiver.seen() {
        assert_eq!(head.line, "POST /in?a=b HTTP/1.1");
        assert_eq!(head.header("content-type"), Some("application/json"));
        assert_eq!(head.header("authorization"), Some("Bearer b"));
        let (id, time) =
            (head.header("webhook-id").unwrap(), head.header("webhook-timestamp").unwrap());
        assert!(id.starts_with("msg_"), "{id}");
        let signed = [format!("{id}.{time}.").as_bytes(), &body].concat();
        let signature = head.header("webhook-signature").unwrap().strip_prefix("v1,").unwrap();
        hmac::verify(&key, &signed, &BASE64_STANDARD.decode(signature).unwrap()).unwrap();
        let now = jiff::Timestamp::now().as_second();
        assert!((now - time.parse::<i64>().unwrap()).abs() < 300);
        all.extend(events(&body));
    }
    assert_eq!(types(&all), ["exchange.ended"; 3]);
}

#[tokio::test]
async fn a_batch_is_tried_again_while_the_receiver_is_away() {
    let busy = |status| Behaviour::Answer(answer(status, "retry-after: 0\r\n", "busy"));
    for status in [429, 500, 503] {
        let list = vec![busy(status), busy(status), taken()];
        let (up, receiver) = (answering().await, Upstream::script(list).await);
        let gateway = hooked(&up, &receiver, "").await;
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(DELIVERED, 1.0).await;
        let seen = receiver.seen();
        assert_eq!(seen.len(), 3);
        let ids: Vec<_> =
            seen.iter().map(|(head, body)| (head.header("webhook-id"), body)).collect();
        assert!(ids.iter().all(|one| *one == ids[0]), "a receiver knows a batch that comes again");
        assert_eq!(seen[0].0.header("webhook-signature"), None);
        let failures = "tidegate_sink_failures_total{sink=\"hook\"}";
        assert_eq!((gateway.metric(failures).await, gateway.metric(WAITING).await), (2.0, 0.0));
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let list = vec![Behaviour::Close(Vec::new()), taken()];
    let (up, receiver) = (answering().await, Upstream::script(list).await);
    let gateway = hooked(&up, &receiver, "").await;
    Ask::message(MESSAGE).send(gateway.address).await;
    gateway.until_metric(DELIVERED, 1.0).await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn events_that_the_receiver_rejects_are_counted_and_not_sent_again() {
    for status in [400, 401, 410, 301] {
        let list = vec![Behaviour::Answer(answer(status, "retry-after: 0\r\n", "no")), taken()];
        let (up, receiver) = (answering().await, Upstream::script(list).await);
        let gateway = hooked(&up, &receiver, "").await;
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(&dropped("rejected"), 1.0).await;
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(DELIVERED, 1.0).await;
        assert_eq!(receiver.count(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_drain_delivers_what_waits() {
    let (up, receiver) = (answering().await, Upstream::always(taken()).await);
    let sinks = format!(
        "sinks: {{ hook: {{ http: \"http://{}\" }}, file: {{ file: e.jsonl }} }}",
        receiver.address
    );
    let gateway = Gateway::with().upstream(up.address).config(sinks).start().await;
    for _ in 0..20 {
        Ask::message(MESSAGE).send(gateway.address).await;
    }
    // the gateway's folder ends with it
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept.jsonl");
    fs::hard_link(gateway.folder().join("e.jsonl"), &kept).unwrap();
    gateway.stop().await;
    assert_eq!(receiver.bodies().iter().flat_map(|body| events(body)).count(), 20);
    assert_eq!(lines(&kept).len(), 20);
}

#[tokio::test]
async fn a_receiver_that_is_away_costs_no_request_and_holds_no_drain_up() {
    logs::start();
    let up = answering().await;
    // a port that nothing listens on
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config =
        format!("sinks: {{ hook: {{ http: \"http://{free}/secret-path\" }} }}\ndrain: 1h\n");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    for _ in 0..20 {
        assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    }
    gateway.until_metric("tidegate_sink_failures_total{sink=\"hook\"}", 1.0).await;
    assert_eq!(gateway.metric(WAITING).await, 20.0);
    gateway.stop().await;
    assert!(!logs::has("secret-path"));
}

#[tokio::test]
async fn a_file_is_the_owners_and_relative_to_the_config() {
    let up = answering().await;
    let config = "sinks: { all: { file: a/b/e.jsonl } }";
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    let file = gateway.folder().join("a/b/e.jsonl");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    Ask::message(MESSAGE).send(gateway.address).await;
    // the file may be moved away at any time
    until("the first event", async || lines(&file).len() == 1).await;
    fs::rename(&file, file.with_extension("old")).unwrap();
    Ask::message(MESSAGE).send(gateway.address).await;
    until("the second event", async || lines(&file).len() == 1).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_a_problem_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    fs::write(folder.path().join("no-folder"), "").unwrap();
    fs::write(&file, "listen: 127.0.0.1:0\nproviders: { s: { type: simulator } }\nmodels: { m: { provider: s } }\nledger: off\nsinks: { all: { file: no-folder/e.jsonl } }\n").unwrap();
    let config = Config::load(&file).unwrap();
    let problems = tidegate::server::running::Running::start(&file, &config).await.err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].path, "sinks.all.file");
    assert!(problems[0].message.starts_with("cannot be written: "), "{}", problems[0].message);
}

#[tokio::test]
async fn a_change_of_a_sink_takes_effect_after_a_restart_and_the_log_says_so() {
    logs::start();
    let up = answering().await;
    let gateway =
        hooked(&up, &Upstream::always(taken()).await, ", headers: { x-token: sink-secret-1 }")
            .await;
    let old = fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(&old.replace("sink-secret-1", "sink-secret-2")).await;
    let warning =
        "`sinks.secrets` has changed: it takes effect after a restart, all other changes now";
    logs::line("message", warning).await;
    assert!(!logs::has("sink-secret"));
}
