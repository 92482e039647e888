//! A plugin that fails repeatedly is suspended for a while.
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::plugin_host::{Cause, Installation, Plugin, PluginHost};
use crate::telemetry::metrics::Metrics;
use serde_json::{Value, json};

use super::grants::host_at;
use super::{BODY, broke, load, on_request, split, tool, wasm};

async fn unruly(host: &Arc<PluginHost>, metrics: &Metrics) -> Plugin {
    let metrics = metrics.plugin("unruly");
    let path = wasm("unruly");
    let config = Value::Null;
    let installation = Installation { path: &path, config, metrics, way_out: None };
    host.install(installation).await.unwrap()
}

async fn panics(plugin: &Plugin) -> Cause {
    broke(tool(plugin, "panic", json!({"text": "again"})).await.unwrap_err()).1.cause
}

async fn echoes(plugin: &Plugin) -> bool {
    tool(plugin, "echo", json!({"text": "a"})).await.is_ok()
}

#[tokio::test]
async fn after_five_breaks_a_plugin_is_not_run_and_is_tried_once_after_ten_seconds() {
    let (host, now) = host_at(Instant::now());
    let metrics = Metrics::new();
    let plugin = unruly(&host, &metrics).await;
    for _ in 0..5 {
        assert!(matches!(panics(&plugin).await, Cause::Trap(_)));
        *now.lock().unwrap() += Duration::from_secs(1);
    }
    // it would work, but is not called
    let error = tool(&plugin, "echo", json!({"text": "a"})).await.unwrap_err();
    let (message, failure) = broke(error);
    assert!(matches!(failure.cause, Cause::Resting { .. }));
    assert_eq!(
        message,
        "plugin `unruly` is suspended for 9s after it broke 5 times within 30s, and was not called in `call-tool echo`"
    );

    *now.lock().unwrap() += Duration::from_secs(9);
    assert!(echoes(&plugin).await, "the trial");
    assert!(echoes(&plugin).await, "it works again");
    // the breaker is reset: one break counts as one
    panics(&plugin).await;
    assert!(echoes(&plugin).await);

    let text = metrics.encode().unwrap();
    assert!(text.contains("tidegate_plugin_breaker_openings_total{plugin=\"unruly\"} 1"), "{text}");
    assert!(text.contains("tidegate_plugin_refused_calls_total{plugin=\"unruly\"} 1"), "{text}");
}

#[tokio::test]
async fn a_trial_that_breaks_is_the_only_one_for_another_ten_seconds() {
    let (host, now) = host_at(Instant::now());
    let plugin = load(&host, "unruly").await;
    for _ in 0..5 {
        panics(&plugin).await;
    }
    *now.lock().unwrap() += Duration::from_secs(10);
    // while the trial runs, no other call is admitted
    let (trial, other) = tokio::join!(panics(&plugin), echoes(&plugin));
    assert!(matches!(trial, Cause::Trap(_)));
    assert!(!other);
    *now.lock().unwrap() += Duration::from_secs(9);
    assert!(!echoes(&plugin).await);
    *now.lock().unwrap() += Duration::from_secs(1);
    assert!(echoes(&plugin).await);
}

#[tokio::test]
async fn breaks_that_are_rare_and_problems_that_are_reported_open_nothing() {
    let (host, now) = host_at(Instant::now());
    let plugin = load(&host, "unruly").await;
    for _ in 0..10 {
        panics(&plugin).await;
        *now.lock().unwrap() += Duration::from_secs(8);
    }
    for _ in 0..10 {
        tool(&plugin, "refuse", json!({"text": "not today"})).await.unwrap_err();
    }
    assert!(echoes(&plugin).await);
}

#[tokio::test]
async fn a_plugin_that_rests_stays_so_through_a_reload_until_its_file_changes() {
    let (host, _) = host_at(Instant::now());
    let plugin = load(&host, "unruly").await;
    for _ in 0..5 {
        panics(&plugin).await;
    }
    assert!(!echoes(&load(&host, "unruly").await).await);
    let folder = tempfile::tempdir().unwrap();
    let mended = folder.path().join("unruly.wasm");
    let mut bytes = std::fs::read(wasm("unruly")).unwrap();
    // a custom section without a meaning
    bytes.extend_from_slice(b"\0\x02\x01x");
    std::fs::write(&mended, bytes).unwrap();
    assert!(echoes(&host.load(&mended, Value::Null).await.unwrap()).await);
}

#[tokio::test]
async fn a_hook_of_a_plugin_that_rests_is_a_stage_that_broke() {
    let (host, _) = host_at(Instant::now());
    let plugin = load(&host, "hooks").await;
    for _ in 0..5 {
        on_request(&plugin, "panic", BODY).await.err().unwrap();
    }
    let error = on_request(&plugin, "", BODY).await.err().unwrap();
    let (message, failure) = split(&error);
    assert_eq!(error.status().as_u16(), 500);
    assert!(matches!(failure.cause, Cause::Resting { .. }));
    assert!(
        message
            .starts_with("plugin `hooks` is suspended for 10s after it broke 5 times within 30s"),
        "{message}"
    );
}
