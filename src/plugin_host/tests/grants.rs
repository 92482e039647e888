//! Grants: a capability must be in the manifest and in the operator's config.
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::plugin_host::{
    Behalf, File, Means, Plugin, PluginHost, Publish, Reach, ToolCall, ToolError,
};
use serde_json::{Value, json};

use super::{LONG, compiled, context, host, tool, wasm};

/// Loads the plugin `reach` with this config.
pub(crate) async fn reach(host: &Arc<PluginHost>, config: Value) -> Plugin {
    host.load(&wasm("reach"), config).await.unwrap()
}

/// Returns the code and message of its problem.
pub(crate) async fn refused(plugin: &Plugin, name: &str, input: Value) -> (String, String) {
    match tool(plugin, name, input).await {
        Err(ToolError::Problem { code, message, .. }) => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_gateway_removes_its_own_keys_from_the_config_of_a_plugin() {
    let config = json!({
        "greeting": "hello",
        "allow_hosts": ["*"], "allow_models": ["advisor"], "max_model_tokens": 10,
        "max_kv_bytes": 1000, "publish": true, "instances": "fresh", "max_concurrent_calls": 3,
        "deadline": "30s", "hook_deadline": "2s", "memory": 33_554_432,
    });
    // its own type rejects every unknown key
    let plugin = reach(&host(), config).await;
    assert_eq!(tool(&plugin, "greet", json!({})).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_wrong_key_is_a_problem_with_its_path_and_never_its_value() {
    for (config, expect) in [
        (json!({"allow_hosts": "a.com"}), ".allow_hosts: a list of texts is needed, found a text"),
        (
            json!({"allow_hosts": ["ok.com", "https://a.com/x"]}),
            ".allow_hosts[1]: `https://a.com/x` is no host",
        ),
        (json!({"allow_hosts": ["a.com:http"]}), ".allow_hosts[0]: `a.com:http` is no host"),
        (json!({"allow_hosts": ["[ab].com"]}), ".allow_hosts[0]: `[ab].com` is no host"),
        (json!({"allow_hosts": [""]}), ".allow_hosts[0]: `` is no host"),
        (json!({"allow_models": ["a?b"]}), ".allow_models[0]: `a?b` is no alias"),
        (json!({"max_model_tokens": 0}), ".max_model_tokens: is 0: give at least 1"),
        (json!({"max_kv_bytes": "1 MB"}), ".max_kv_bytes: a whole number is needed, found a text"),
        (json!({"publish": 1}), ".publish: `true` or `false` is needed, found a number"),
        (json!({"instances": "shared"}), ".instances: `fresh` or `reuse` is needed, found a text"),
        (json!({"max_concurrent_calls": 1000}), ".max_concurrent_calls: is 1000: give 1 to 256"),
        (json!({"deadline": "soon"}), ".deadline: `soon` is no duration"),
        (json!({"deadline": "0s"}), ".deadline: must be at least `1ms`"),
        (json!({"hook_deadline": "quick"}), ".hook_deadline: `quick` is no duration"),
        (json!({"hook_deadline": "0ms"}), ".hook_deadline: must be at least `1ms`"),
        (json!({"hook_deadline": "31s"}), ".hook_deadline: is 31s: give at most `30s`"),
        (json!({"memory": 1}), ".memory: is 1: give 1048576 to 268435456"),
        (json!({"greetings": ""}), ".greetings: is not known: there are `greeting`"),
        (json!("all"), ": a mapping of keys and values is needed"),
    ] {
        let problems = host().load(&wasm("reach"), config.clone()).await.unwrap_err();
        let shown = problems[0].to_string();
        // only the plugin knows its own keys, if its file has no schema
        let own = shown.contains("refuses its config") && expect.contains("greetings");
        assert!(
            own || shown.starts_with(&format!("plugins.config.reach{expect}")),
            "{config}: {shown}"
        );
    }
    let both = json!({"publish": 1, "memory": 1});
    assert_eq!(host().load(&wasm("reach"), both).await.unwrap_err().len(), 2);
}

#[tokio::test]
async fn a_denial_names_the_line_that_is_missing() {
    let plugin = reach(&host(), json!({"allow_hosts": ["www.example.com"]})).await;
    for (url, expect) in [
        (
            "https://api.example.com/",
            "`api.example.com` is not granted to this plugin: add `plugins.config.reach.allow_hosts: [\"api.example.com\"]`",
        ),
        (
            "https://WWW.Example.com:8443/",
            "`www.example.com:8443` is not granted to this plugin: add `plugins.config.reach.allow_hosts: [\"www.example.com:8443\"]`",
        ),
        (
            "https://example.com/",
            "`example.com` is not wanted by this plugin's manifest (`wants.hosts`), only `127.0.0.1`, `*.example.com`",
        ),
        (
            "https://example.com.evil.org/",
            "`example.com.evil.org` is not wanted by this plugin's manifest (`wants.hosts`), only `127.0.0.1`, `*.example.com`",
        ),
    ] {
        let (code, message) = refused(&plugin, "fetch", json!({"url": url})).await;
        assert_eq!((code.as_str(), message.as_str()), ("not_granted", expect));
    }
    for (name, input, line) in [
        ("ask", json!({"model": "advisor-1", "max_tokens": 5}), "allow_models: [\"advisor-1\"]"),
        ("keep", json!({"key": "a"}), "max_kv_bytes: 100"),
        ("publish", json!({"text": "a"}), "publish: true"),
    ] {
        let (code, message) = refused(&plugin, name, input).await;
        assert_eq!(code, "not_granted");
        assert!(message.ends_with(&format!("add `plugins.config.reach.{line}`")), "{message}");
    }
}

#[tokio::test]
async fn a_granted_capability_is_rejected_if_the_gateway_does_not_provide_it() {
    let config = json!({"allow_hosts": ["*"], "allow_models": ["*"], "publish": true});
    let plugin = reach(&host(), config).await;
    for (name, input, expect) in [
        ("fetch", json!({"url": "https://a.example.com/"}), "the network cannot be reached here"),
        ("ask", json!({"model": "advisor-1", "max_tokens": 5}), "no model can be asked here"),
        ("publish", json!({"text": "a"}), "nothing can be published here"),
    ] {
        assert_eq!(
            refused(&plugin, name, input).await,
            ("not_granted".to_owned(), expect.to_owned())
        );
    }
}

fn entry(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value})
}

#[tokio::test]
async fn a_store_is_kept_between_calls_and_generations_and_is_the_plugins_own() {
    let host = host();
    let granted = json!({"max_kv_bytes": 50});
    let plugin = reach(&host, granted.clone()).await;
    assert_eq!(tool(&plugin, "keep", entry("a", "one")).await.unwrap(), "kept");
    let next = reach(&host, granted.clone()).await;
    assert_eq!(tool(&next, "recall", entry("a", "")).await.unwrap(), "one");

    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.wasm");
    std::fs::copy(wasm("reach"), &other).unwrap();
    let other = host.load(&other, granted).await.unwrap();
    assert_eq!(tool(&other, "recall", entry("a", "")).await.unwrap(), "nothing");

    assert_eq!(tool(&next, "forget", entry("a", "")).await.unwrap(), "true");
    assert_eq!(tool(&next, "forget", entry("a", "")).await.unwrap(), "false");
    assert_eq!(tool(&plugin, "recall", entry("a", "")).await.unwrap(), "nothing");
}

#[tokio::test]
async fn a_store_that_is_no_longer_granted_is_as_if_it_were_empty() {
    let host = host();
    let plugin = reach(&host, json!({"max_kv_bytes": 50})).await;
    tool(&plugin, "keep", entry("a", "one")).await.unwrap();
    let plain = reach(&host, json!({})).await;
    assert_eq!(tool(&plain, "recall", entry("a", "")).await.unwrap(), "nothing");
    assert_eq!(tool(&plain, "forget", entry("a", "")).await.unwrap(), "false");
}

#[tokio::test]
async fn a_store_is_bounded_by_the_smaller_grant_and_counts_its_keys() {
    // the manifest requests 100
    for (granted, size) in [(json!({"max_kv_bytes": 20}), 20), (json!({"max_kv_bytes": 9000}), 100)]
    {
        let plugin = reach(&host(), granted).await;
        let whole = "x".repeat(size - 1);
        let (code, message) = refused(&plugin, "keep", entry("ab", &whole)).await;
        let expect = format!("the entry takes {} bytes, {size} of {size} are left", size + 1);
        assert_eq!(code, "too_large");
        assert!(message.starts_with(&expect), "{message}");

        tool(&plugin, "keep", entry("a", &whole)).await.unwrap();
        let (_, message) = refused(&plugin, "keep", entry("b", "")).await;
        assert!(message.contains("0 of"), "{message}");
        // the plugin's own store has room
        tool(&plugin, "keep", entry("a", "y")).await.unwrap();
        tool(&plugin, "keep", entry("b", "z")).await.unwrap();
        assert_eq!(tool(&plugin, "recall", entry("a", "")).await.unwrap(), "y");
    }
}

/// Returns a host with a clock that the test sets.
pub(crate) fn host_at(start: Instant) -> (Arc<PluginHost>, Arc<Mutex<Instant>>) {
    let now = Arc::new(Mutex::new(start));
    let told = Arc::clone(&now);
    let limits = crate::plugin_host::Limits { tool: LONG, hook: LONG, memory: 32 << 20 };
    let clock = Arc::new(move || *told.lock().unwrap());
    let means = Means { cache_dir: Some(compiled()), limits, clock, ..Means::default() };
    (PluginHost::with(means).unwrap(), now)
}

#[tokio::test]
async fn an_entry_is_over_after_its_time_and_gives_its_room_back() {
    let (host, now) = host_at(Instant::now());
    let plugin = reach(&host, json!({"max_kv_bytes": 10})).await;
    let brief = json!({"key": "a", "value": "123456789", "ttl": 60});
    tool(&plugin, "keep", brief).await.unwrap();
    *now.lock().unwrap() += Duration::from_secs(59);
    assert_eq!(tool(&plugin, "recall", entry("a", "")).await.unwrap(), "123456789");
    assert_eq!(refused(&plugin, "keep", entry("b", "1")).await.0, "too_large");
    *now.lock().unwrap() += Duration::from_secs(1);
    assert_eq!(tool(&plugin, "recall", entry("a", "")).await.unwrap(), "nothing");
    tool(&plugin, "keep", entry("b", "1")).await.unwrap();
    assert_eq!(tool(&plugin, "forget", entry("a", "")).await.unwrap(), "false");
}

#[tokio::test]
async fn a_file_is_published_by_whoever_keeps_it() {
    let kept: Arc<Mutex<Vec<File>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    let publish: Publish = Arc::new(move |file| {
        keeper.lock().unwrap().push(file);
        Ok("/files/x".to_owned())
    });
    let plugin = reach(&host(), json!({"publish": true})).await;
    assert!(plugin.may_publish() && !plugin.may_ask_models());
    let reach = Some(Arc::new(Reach::default().publish(publish)));
    let behalf = Behalf { context: context(), reach };
    let call = ToolCall { name: "publish", input: r#"{"text":"all of it"}"#, options: "{}" };
    assert_eq!(plugin.call_tool(&behalf, call).await.unwrap(), "\"/files/x\"");
    let kept = kept.lock().unwrap();
    assert_eq!(
        (kept[0].media_type.as_str(), &kept[0].content[..]),
        ("text/plain", &b"all of it"[..])
    );
}
