//! The generation in use, and reloads through the API.
use std::fs;

use crate::support::gateway::Gateway;

use super::Api;

const CONFIG: &str = "providers: { up: { type: anthropic } }
models: { m: { provider: up } }
";

#[tokio::test]
async fn a_reload_through_the_api_shows_its_problems_and_keeps_the_last_good_generation() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::of(&gateway).await;
    let first = api.get("/api/generation").await;
    assert_eq!((&first["number"], &first["last_reload"]["took_ms"]), (&1.into(), &().into()));
    assert_eq!(first["last_reload"]["is_successful"], true);
    fs::write(gateway.folder().join("policies/bad.rhai"), "fn on_request(req, ctx) { x }").unwrap();
    // the gateway watches the folder too, so the version may change between a look and a write
    let reload =
        async || api.send(api.ask("POST", "/api/generation/reload").header("if-match", "*")).await;
    let done = reload().await.json();
    assert_eq!((&done["is_successful"], &done["generation"]["number"]), (&false.into(), &1.into()));
    assert!(done["problems"][0]["path"].as_str().unwrap().contains("bad.rhai:1"), "{done}");
    let shown = api.get("/api/generation").await;
    assert_eq!(shown, done["generation"]);
    assert_eq!(shown["last_reload"]["problems"], done["problems"]);
    assert_ne!(shown["config_digest"], first["config_digest"]);
    fs::remove_file(gateway.folder().join("policies/bad.rhai")).unwrap();
    let done = reload().await.json();
    assert_eq!(done["is_successful"], true);
    assert!(done["generation"]["number"].as_u64().unwrap() > 1, "{done}");
    assert_eq!(done["generation"]["config_digest"], first["config_digest"]);
    assert_eq!(done["generation"]["last_reload"]["problems"], serde_json::json!([]));
}

#[tokio::test]
async fn a_setting_that_needs_a_restart_is_named() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::of(&gateway).await;
    gateway.reload(&format!("{CONFIG}drain: 5s\n")).await;
    let shown = api.get("/api/generation").await;
    assert_eq!(shown["last_reload"]["needs_restart"], serde_json::json!(["drain"]));
}

#[tokio::test]
async fn a_write_needs_the_version_that_was_read() {
    let gateway = Gateway::start(CONFIG).await;
    let api = Api::of(&gateway).await;
    let reload = || api.ask("POST", "/api/generation/reload");
    let before = api.send(api.ask("GET", "/api/generation")).await;
    let tag = before.header("etag").unwrap();
    assert_eq!(api.send(reload()).await.status, 428);
    assert_eq!(api.send(reload().header("if-match", "\"x\"")).await.status, 412);
    assert_eq!(api.get("/api/generation").await["number"], 1);
    assert_eq!(api.send(reload().header("if-match", tag)).await.status, 200);
    // the same version is an old one now
    assert_eq!(api.send(reload().header("if-match", tag)).await.status, 412);
    assert_eq!(api.send(reload().header("if-match", "*")).await.status, 200);
    assert_eq!(api.get("/api/generation").await["number"], 3);
}
