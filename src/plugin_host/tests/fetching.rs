//! `fetch`: through the guard, to the granted hosts, within the call's time.
use std::path::Path;
use std::sync::Arc;

use crate::net::egress::{Client, Config};
use crate::plugin_host::{Decision, Installation, Plugin, PluginHost, WayOut};
use crate::telemetry::plugins::PluginMetrics;
use serde_json::{Value, json};

use super::grants::refused;
use super::{BODY, SHORT, context, document, host, host_with, tool, wasm};
use crate::testing::upstream::{Behaviour, Upstream, answer};
use crate::testing::within;

/// The guard, with loopback open.
pub(crate) fn way_out() -> WayOut {
    let config = Config { allow_private: vec!["127.0.0.0/8".to_owned()], ..Config::default() };
    WayOut { client: Arc::new(Client::new()), egress: config.build(Vec::new()).unwrap() }
}

/// Returns a plugin that may reach loopback on every port.
pub(crate) async fn connected(host: &Arc<PluginHost>, path: &Path, more: Value) -> Plugin {
    let mut config = json!({"allow_hosts": ["127.0.0.1:*"]});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let way_out = Some(&way_out());
    let metrics = PluginMetrics::default();
    host.install(Installation { path, config, metrics, way_out }).await.unwrap()
}

fn to(upstream: impl std::fmt::Display) -> Value {
    json!({"url": format!("http://{upstream}/")})
}

#[tokio::test]
async fn a_plugin_fetches_from_a_host_that_is_granted() {
    let server = Upstream::always(Behaviour::Answer(answer(404, "", "not here"))).await;
    let plugin = connected(&host(), &wasm("reach"), json!({})).await;
    let told = tool(&plugin, "fetch", to(server.address)).await.unwrap();
    assert_eq!(told, "404 not here");
}

#[tokio::test]
async fn a_redirect_cannot_leave_the_granted_hosts() {
    let away = answer(302, "location: http://www.example.org/\r\n", "");
    let server = Upstream::always(Behaviour::Answer(away)).await;
    let plugin = connected(&host(), &wasm("reach"), json!({})).await;
    let (code, message) = refused(&plugin, "fetch", to(server.address)).await;
    assert_eq!(code, "not_granted");
    assert!(message.starts_with("it was redirected to where `www.example.org`"), "{message}");
    assert!(message.contains("`plugins.config.reach.allow_hosts`"), "{message}");
}

#[tokio::test]
async fn a_plugin_that_follows_redirects_itself_has_them_in_its_hands() {
    let away = answer(302, "location: http://www.example.org/\r\n", "");
    let server = Upstream::always(Behaviour::Answer(away)).await;
    let plugin = connected(&host(), &wasm("reach"), json!({})).await;
    let mut input = to(server.address);
    input["redirects"] = 0.into();
    let told = tool(&plugin, "fetch", input).await.unwrap();
    assert_eq!((told.as_str(), server.count()), ("302 http://www.example.org/", 1));
}

#[tokio::test]
async fn a_grant_does_not_open_an_address_that_the_guard_rejects() {
    let path = wasm("reach");
    let config = json!({"allow_hosts": ["*:*"]});
    let closed = WayOut {
        client: Arc::new(Client::new()),
        egress: Config::default().build(Vec::new()).unwrap(),
    };
    let (way_out, metrics) = (Some(&closed), PluginMetrics::default());
    let installation = Installation { path: &path, config, metrics, way_out };
    let plugin = host().install(installation).await.unwrap();
    let (code, message) = refused(&plugin, "fetch", json!({"url": "http://127.0.0.1:9/"})).await;
    assert_eq!(code, "url_not_allowed");
    assert!(message.contains("`egress.allow_private`"), "{message}");
    let (code, _) = refused(&plugin, "fetch", json!({"url": "file:///etc/passwd"})).await;
    assert_eq!(code, "invalid_url");
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_the_plugin_time_to_say_so() {
    let server = Upstream::always(Behaviour::Silence).await;
    for (config, input) in [
        // the call's own time
        (json!({"deadline": "2s"}), to(server.address)),
        // the time that the plugin requests
        (json!({}), json!({"url": format!("http://{}/", server.address), "timeout_ms": 50})),
    ] {
        let plugin = connected(&host(), &wasm("reach"), config).await;
        let (code, _) = within("the fetch", refused(&plugin, "fetch", input)).await;
        assert_eq!(code, "timeout");
    }
}

#[tokio::test]
async fn a_client_disconnect_ends_the_fetch() {
    let mut server = Upstream::start().await;
    let plugin = connected(&host(), &wasm("reach"), json!({})).await;
    let address = to(server.address);
    let fetch = tokio::spawn(async move { tool(&plugin, "fetch", address).await });
    let mut call = server.call().await;
    fetch.abort();
    within("the connection to close", call.closed()).await;
}

#[tokio::test]
async fn plugins_that_wait_hold_no_thread() {
    // one thread, and far more calls than it could hold
    let mut server = Upstream::start().await;
    let plugin = connected(&host(), &wasm("reach"), json!({})).await;
    let waiting: Vec<_> = (0..40)
        .map(|_| {
            let (plugin, address) = (plugin.clone(), to(server.address));
            tokio::spawn(async move { tool(&plugin, "fetch", address).await })
        })
        .collect();
    let mut calls = Vec::new();
    for _ in 0..40 {
        calls.push(server.call().await);
    }
    // all of them wait at the same time, and others run
    assert_eq!(tool(&plugin, "greet", json!({})).await.unwrap(), "");
    for call in calls {
        call.finish(answer(200, "", "ok")).await;
    }
    for fetch in waiting {
        assert_eq!(fetch.await.unwrap().unwrap(), "200 ok");
    }
}

#[tokio::test]
async fn a_hook_asks_a_moderator_for_as_long_as_the_operator_lets_it() {
    let mut moderator = Upstream::start().await;
    let host = host_with(SHORT);
    let with = json!({"moderator": format!("http://{}/", moderator.address)});
    let with = Arc::new(with.as_object().unwrap().clone());
    let usual = connected(&host, &wasm("reach"), json!({})).await;
    let patient = connected(&host, &wasm("reach"), json!({"hook_deadline": "20s"})).await;
    let verdict = async {
        let context = context();
        let asking = patient.on_request(&context, &with, document(BODY));
        let answering = async {
            let held = moderator.call().await;
            // the answer comes after the default time limit has certainly passed: another hook has
            // exceeded it
            assert!(usual.on_request(&context, &with, document(BODY)).await.is_err());
            held.finish(answer(451, "", "")).await;
        };
        tokio::join!(asking, answering).0.unwrap().1
    };
    let Decision::Deny(error) = within("the verdict", verdict).await else { panic!("not denied") };
    assert_eq!((error.status().as_u16(), &*error.message), (403, "the moderator is against it"));
}
