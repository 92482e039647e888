//! Plugins: their abilities, and that nothing they do affects other calls.
mod bad;
mod blame;
mod border;
mod bounds;
mod breaker;
mod fetching;
mod grants;
mod idle;
mod manifest;
mod models;
mod reuse;
mod wasi;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::{Caller, Context};
use crate::error::{Error, Problem, Result};
use crate::plugin_host::{
    Cause, Decision, Failure, Limits, Plugin, PluginHost, ToolCall, ToolError,
};
use crate::testing::plugins::{compiled, wasm};
use crate::wire::Document;
use serde_json::{Map, Value, json};

const BODY: &str =
    r#"{"model":"claude-x", "max_tokens": 9000,"messages":[{"role":"user","content":"hi"}]}"#;

/// Returns a host with deadlines that the slowest machine meets.
fn host() -> Arc<PluginHost> {
    host_with(LONG)
}

/// Returns a host with a deadline that a test can wait for.
fn host_with(deadline: Duration) -> Arc<PluginHost> {
    let limits = Limits { tool: deadline, hook: deadline, memory: 32 << 20 };
    PluginHost::with_limits(Some(compiled()), limits).unwrap()
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

async fn load(host: &Arc<PluginHost>, name: &str) -> Plugin {
    host.load(&wasm(name), json!({})).await.unwrap()
}

async fn load_bytes(bytes: &[u8]) -> (String, Vec<Problem>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.wasm");
    std::fs::write(&path, bytes).unwrap();
    let problems = host().load(&path, Value::Null).await.unwrap_err();
    (path.display().to_string(), problems)
}

fn context() -> Arc<Context> {
    Arc::new(Context {
        request_id: "req_1".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller {
            key: "ci".to_owned(),
            tags: BTreeMap::new(),
            ..Caller::default()
        }),
        headers: http::HeaderMap::new(),
        query: None,
        credential: None,
        session: "s-1".to_owned(),
        model: "claude-x".to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    })
}

fn document(body: &'static str) -> Document {
    Document::parse(body.into()).unwrap()
}

async fn on_request(
    plugin: &Plugin,
    act: &str,
    body: &'static str,
) -> Result<(Document, Decision)> {
    let with = Map::from_iter([("act".to_owned(), act.into())]);
    plugin.on_request(&context(), &Arc::new(with), document(body)).await
}

async fn tool(plugin: &Plugin, name: &str, input: Value) -> Result<String, ToolError> {
    let input = input.to_string();
    let call = ToolCall { name, input: &input, options: "{}" };
    let content = plugin.call_tool(&context(), call).await?;
    Ok(serde_json::from_slice(&content).unwrap())
}

/// Returns the texts for the caller and for the log.
fn broke(error: ToolError) -> (String, Failure) {
    match error {
        ToolError::Broke(error) => split(&error),
        ToolError::Problem { message, .. } => panic!("the tool reported a problem: {message}"),
    }
}

fn split(error: &Error) -> (String, Failure) {
    let failure = error.source().unwrap().downcast_ref::<Failure>().unwrap();
    (error.message.clone(), failure.clone())
}

#[tokio::test]
async fn datetime_returns_the_time_in_the_requested_zones() {
    let plugin = load(&host(), "datetime").await;
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.tools[0].name.as_str()), ("datetime", "datetime"));
    assert_eq!(manifest.tools[0].input_schema["type"], "object");

    let text = tool(&plugin, "datetime", json!({"timezones": ["Asia/Kathmandu"]})).await.unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["timezones"][0]["timezone"], "Asia/Kathmandu");
    let datetime = result["timezones"][0]["datetime"].as_str().unwrap();
    assert!(datetime.starts_with("20") && datetime.ends_with("+05:45"), "{datetime}");
}

#[tokio::test]
async fn options_override_the_input_of_the_model() {
    let plugin = load(&host(), "datetime").await;
    let call = ToolCall {
        name: "datetime",
        input: r#"{"timezones":["Asia/Tokyo"]}"#,
        options: r#"{"timezone":"Europe/Berlin"}"#,
    };
    let content = plugin.call_tool(&context(), call).await.unwrap();
    let text = String::from_utf8(content.to_vec()).unwrap();
    assert!(text.contains("Europe/Berlin") && !text.contains("Tokyo"), "{text}");
}

#[tokio::test]
async fn a_problem_that_a_tool_reports_is_for_the_model_to_read() {
    let plugin = load(&host(), "datetime").await;
    let error = tool(&plugin, "datetime", json!({"timezones": ["Mars/Olympus"]})).await;
    let Err(ToolError::Problem { code, message, retryable }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((code.as_str(), retryable), ("invalid_input", false));
    assert!(message.starts_with("unknown time zone `Mars/Olympus`"), "{message}");
}

#[tokio::test]
async fn a_hook_reads_one_field_and_sets_another_and_every_other_byte_stays() {
    let plugin = load(&host(), "hooks").await;
    let (document, decision) = on_request(&plugin, "", BODY).await.unwrap();
    assert!(matches!(decision, Decision::Next));
    assert_eq!(document.to_bytes(), BODY.replace("9000", "1024"));
}

#[tokio::test]
async fn a_hook_that_edits_nothing_leaves_the_callers_own_bytes() {
    let plugin = load(&host(), "hooks").await;
    let body = r#"{ "model" : "other", "max_tokens":9000 }"#;
    let (document, _) = on_request(&plugin, "", body).await.unwrap();
    assert!(!document.is_edited());
    assert_eq!(document.to_bytes(), body);
}

#[tokio::test]
async fn pointers_reach_the_end_of_an_array_and_the_place_after_it() {
    let plugin = load(&host(), "hooks").await;
    let (document, _) = on_request(&plugin, "tail", BODY).await.unwrap();
    let body: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
    let expect = json!([
        {"role": "user", "content": "changed"},
        {"role": "user", "content": "more"},
    ]);
    assert_eq!(body["messages"], expect);
}

#[tokio::test]
async fn a_hook_knows_the_facts_of_the_exchange() {
    let plugin = load(&host(), "hooks").await;
    let (mut document, _) = on_request(&plugin, "facts", BODY).await.unwrap();
    let metadata = document.get(&[crate::wire::Step::Key("metadata")]).unwrap().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    assert_eq!(metadata, json!({"key": "ci", "session": "s-1"}));
}

#[tokio::test]
async fn a_hook_that_asks_for_the_whole_body_gets_it() {
    let plugin = load(&host(), "hooks").await;
    let (document, _) = on_request(&plugin, "whole", BODY).await.unwrap();
    let body: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
    assert_eq!(body["length"], BODY.len());
}

#[tokio::test]
async fn a_hook_can_deny_route_and_answer() {
    let plugin = load(&host(), "hooks").await;
    let (_, denied) = on_request(&plugin, "deny", BODY).await.unwrap();
    let Decision::Deny(error) = denied else { panic!("not denied") };
    assert_eq!((error.status().as_u16(), error.message.as_str()), (451, "not here"));

    let (_, routed) = on_request(&plugin, "route", BODY).await.unwrap();
    assert!(matches!(routed, Decision::Route(model) if model == "elsewhere"));

    let (_, answered) = on_request(&plugin, "respond", BODY).await.unwrap();
    let Decision::Respond(body) = answered else { panic!("not answered") };
    assert_eq!(body, r#"{"type":"message"}"#);
}

#[tokio::test]
async fn the_other_hooks_run_too() {
    let plugin = load(&host(), "hooks").await;
    let target = json!({"provider": "p", "model": "m", "unsupported": ["max_tokens"]});
    let (request, _) = plugin
        .on_upstream_request(&context(), &Arc::default(), document(BODY), &target)
        .await
        .unwrap();
    assert!(!request.has("max_tokens"));

    let message = document(r#"{"content":[{"type":"text","text":"low"}]}"#);
    let (message, _) = plugin.on_response(&context(), &Arc::default(), message).await.unwrap();
    assert_eq!(message.to_bytes(), r#"{"content":[{"type":"text","text":"LOW"}]}"#);
}

#[tokio::test]
async fn a_duplicate_key_that_a_hook_runs_into_is_the_requests_fault() {
    let plugin = load(&host(), "hooks").await;
    let body = r#"{"model":"m","metadata":{"a":1,"a":2}}"#;
    let error = on_request(&plugin, "open", body).await.err().unwrap();
    assert_eq!(error.status().as_u16(), 400);
    assert!(error.message.contains("`a` occurs twice"), "{}", error.message);
}

#[tokio::test]
async fn a_hook_that_reports_a_problem_is_a_broken_stage() {
    let plugin = load(&host(), "hooks").await;
    let error = on_request(&plugin, "fail", BODY).await.err().unwrap();
    let (message, failure) = split(&error);
    assert_eq!(error.status().as_u16(), 500);
    assert_eq!(message, "plugin `hooks` broke in `on-request`");
    assert_eq!(failure.cause, Cause::Problem("unavailable: the moon is not full".to_owned()));
}

#[tokio::test]
async fn a_hook_that_passes_a_target_over_where_there_is_none_is_a_broken_stage() {
    let plugin = load(&host(), "hooks").await;
    let error = on_request(&plugin, "pass", BODY).await.err().unwrap();
    let (_, failure) = split(&error);
    let cause = Cause::Nonsense("it passes a target over in `on-request`".to_owned());
    assert_eq!((error.status().as_u16(), &failure.cause), (500, &cause));
}

#[tokio::test]
async fn a_panics_last_words_are_for_the_log_and_not_for_the_caller() {
    let host = host();
    let error = on_request(&load(&host, "hooks").await, "panic", BODY).await.err().unwrap();
    let (message, failure) = split(&error);
    assert_eq!(message, "plugin `hooks` broke in `on-request`");
    assert!(failure.to_string().contains("the hook knows a secret"), "{failure}");

    let unruly = load(&host, "unruly").await;
    let error = tool(&unruly, "panic", json!({"text": "a private word"})).await.unwrap_err();
    let (message, failure) = broke(error);
    assert_eq!(message, "plugin `unruly` broke in `call-tool panic`");
    assert!(matches!(failure.cause, Cause::Trap(_)), "{failure}");
    assert!(failure.last_words.unwrap().contains("a private word"));
}

#[tokio::test]
async fn memory_that_a_plugin_frees_is_used_again() {
    // 200 MB in all, under a limit of 32 MiB
    let unruly = load(&host(), "unruly").await;
    assert_eq!(tool(&unruly, "churn", json!({})).await.unwrap(), "200000000");
}

#[tokio::test]
async fn a_file_that_is_not_a_component_is_rejected_by_its_path() {
    let (path, problems) = load_bytes(b"not wasm at all").await;
    assert_eq!(problems, [Problem::new(path, "is no WebAssembly file")]);

    let (path, problems) = load_bytes(b"\0asm\x01\0\0\0").await;
    assert_eq!(problems[0].path, path);
    assert!(problems[0].message.starts_with("is a core module"), "{}", problems[0]);

    let whole = std::fs::read(wasm("hooks")).unwrap();
    let (path, problems) = load_bytes(&whole[..whole.len() / 2]).await;
    assert_eq!(problems[0].path, path);
    assert!(problems[0].message.contains("was it written to its end?"), "{}", problems[0]);

    let missing = Path::new("nowhere/x.wasm");
    let problems = host().load(missing, Value::Null).await.unwrap_err();
    assert!(problems[0].to_string().starts_with("nowhere/x.wasm: cannot be read: "));
}

#[tokio::test]
async fn a_plugin_for_another_border_is_rejected_with_the_offered_version() {
    let mut bytes = std::fs::read(wasm("hooks")).unwrap();
    let (from, to) = (b"tidegate:plugin/host@0.1.0", b"tidegate:plugin/host@0.7.0");
    let places: Vec<_> = memchr::memmem::find_iter(&bytes, from).collect();
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    let (_, problems) = load_bytes(&bytes).await;
    let message = &problems[0].message;
    assert!(message.contains("wants `tidegate:plugin/host@0.7.0`"), "{message}");
    assert!(message.contains("this gateway offers version 0.1.0"), "{message}");
}

#[tokio::test]
async fn a_config_that_the_plugin_refuses_never_goes_live() {
    for (config, says) in
        [(json!({"limit": 0}), "`limit` is 0: give at least 1"), (json!({"limits": 1}), "`limit`")]
    {
        let problems = host().load(&wasm("hooks"), config).await.unwrap_err();
        let shown = problems[0].to_string();
        assert!(shown.contains(says) && shown.contains("hooks"), "{shown}");
    }
}

#[tokio::test]
async fn two_plugins_of_one_file_have_their_own_configs() {
    let host = host();
    let usual = load(&host, "hooks").await;
    let other = host.load(&wasm("hooks"), json!({"limit": 7})).await.unwrap();
    let (usual, _) = on_request(&usual, "", BODY).await.unwrap();
    let (other, _) = on_request(&other, "", BODY).await.unwrap();
    assert_eq!(usual.to_bytes(), BODY.replace("9000", "1024"));
    assert_eq!(other.to_bytes(), BODY.replace("9000", "7"));
}

#[cfg(unix)]
#[tokio::test]
async fn compiled_code_is_kept_where_only_the_gateway_writes() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("compiled");
    let host = PluginHost::new(Some(cache.clone())).unwrap();
    load(&host, "hooks").await;
    assert_eq!(cache.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(std::fs::read_dir(&cache).unwrap().next().is_some(), "nothing was kept");
}
