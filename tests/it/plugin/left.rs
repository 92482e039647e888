//! Callers who leave while a plugin waits for somebody: the wait ends, and what it held is free again.
use serde_json::json;

use super::swapped::{calling, gateway, told_once};
use crate::support::client::Ask;
use crate::support::upstream::Upstream;
use crate::support::within;

#[tokio::test]
async fn a_client_disconnect_ends_the_fetch_of_a_tool() {
    let gateway = gateway().await;
    let mut site = Upstream::start().await;
    let url = format!("http://{}/", site.address);
    for is_streamed in [true, false] {
        let mut body = calling("fetch", &[json!({"url": url})]);
        body["stream"] = is_streamed.into();
        // the caller's connection closes with the end of this block
        let mut held = tokio::select! {
            answer = Ask::message(body.to_string()).send(gateway.address) => {
                panic!("the site has not answered yet: {}", answer.text())
            }
            held = site.call() => held,
        };
        within("the connection to the site to close", held.closed()).await;
    }
    // this plugin has one seat, and the calls have left it
    let served = within("a call", told_once(&gateway, "greet", json!({}))).await;
    assert_eq!(served, (false, String::new()));
}

#[tokio::test]
async fn a_client_disconnect_ends_the_fetch_of_a_hook() {
    let gateway = gateway().await;
    let mut moderator = Upstream::start().await;
    let config = format!(
        "providers: {{ sim: {{ type: simulator }} }}
models: {{ \"*\": {{ provider: sim }} }}
egress: {{ allow_private: [\"127.0.0.0/8\"] }}
plugins: {{ config: {{ reach: {{ allow_hosts: [\"127.0.0.1:*\"], hook_deadline: 30s }} }} }}
pipeline: [{{ plugin: reach, with: {{ moderator: \"http://{}/\" }} }}]
",
        moderator.address
    );
    let reloaded = format!("{:?}", gateway.reload(&config).await);
    assert!(reloaded.starts_with("Swapped"), "{reloaded}");
    let mut held = tokio::select! {
        answer = Ask::message(crate::support::MESSAGE).send(gateway.address) => {
            panic!("the moderator has not answered yet: {}", answer.text())
        }
        held = moderator.call() => held,
    };
    within("the connection to the moderator to close", held.closed()).await;
}
