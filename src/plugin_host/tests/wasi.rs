//! WASI: guests of other languages load and run, without access to the machine.
use std::path::PathBuf;

use super::*;
use crate::testing::logs;

#[tokio::test]
async fn a_guest_finds_no_files_no_sockets_and_no_environment() {
    let plugin = load(&host(), "posix").await;
    let found = tool(&plugin, "look", json!({})).await.unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    for nothing in ["environment", "arguments", "directories"] {
        assert_eq!(found[nothing], json!([]), "{nothing}");
    }
    assert_eq!(found["stdin_is_closed"], true);
    assert!(found["socket"].as_str().unwrap().contains("access-denied"), "{found}");
    // functions without access to the machine work
    assert!(found["seconds"].as_u64().unwrap() > 1_700_000_000, "{found}");
    assert_eq!(found["random_differs"], true);
}

#[tokio::test]
async fn the_output_of_a_guest_is_logged_line_by_line() {
    logs::start();
    let plugin = load(&host(), "posix").await;
    let text = "printed by parts, first line\nprinted by parts, second ";
    let input = json!({"out": text, "err": "", "times": 2, "exits": false});
    assert_eq!(tool(&plugin, "print", input).await.unwrap(), "printed");
    let line = logs::line("message", "printed by parts, first line").await;
    assert_eq!((&line["level"], &line["plugin"]), (&json!("INFO"), &json!("posix")));
    assert_eq!(line["request_id"], "req_1");
    // the second time it begins on the line that the first time left open
    logs::line("message", "printed by parts, second printed by parts, first line").await;
    // and the last one is incomplete
    logs::line("message", "printed by parts, second").await;
}

#[tokio::test]
async fn the_last_line_on_standard_error_is_the_last_words() {
    let plugin = load(&host(), "posix").await;
    let err = "Traceback (most recent call last):\nValueError: seven is no number\n";
    let input = json!({"out": "", "err": err, "times": 1, "exits": true});
    let (caller, failure) = broke(tool(&plugin, "print", input).await.unwrap_err());
    assert_eq!(caller, "plugin `posix` broke in `call-tool print`");
    assert_eq!(failure.last_words.as_deref(), Some("ValueError: seven is no number"));
}

#[tokio::test]
async fn a_guest_that_prints_without_end_fills_no_log() {
    logs::start();
    let plugin = load(&host(), "posix").await;
    let line = format!("much {}\n", "x".repeat(4000));
    let input = json!({"out": line, "err": "", "times": 100, "exits": false});
    assert_eq!(tool(&plugin, "print", input).await.unwrap(), "printed");
    let notice = "plugin output exceeds 64 KiB: the rest is dropped";
    assert_eq!(logs::line("message", notice).await["plugin"], "posix");
    let lines = logs::count("plugin", "posix", "much ");
    assert!((10..=17).contains(&lines), "{lines} lines of 4 KB");
}

#[tokio::test]
async fn a_reused_instance_goes_on_printing_for_the_request_that_it_serves_now() {
    logs::start();
    let plugin = host().load(&wasm("posix"), json!({"instances": "reuse"})).await.unwrap();
    let ask = async |request: &str, out: &str, times: u32| {
        let facts = Context { request_id: request.to_owned(), ..of_posix() };
        let input = json!({"out": out, "err": "", "times": times, "exits": times == 0}).to_string();
        let call = ToolCall { name: "remember", input: &input, options: "{}" };
        let content = plugin.call_tool(&Arc::new(facts), call).await?;
        Ok::<_, ToolError>(serde_json::from_slice::<String>(&content).unwrap())
    };
    assert_eq!(ask("req_reused_1", "reused: half a line", 1).await.unwrap(), "1");
    assert_eq!(ask("req_reused_2", "reused: another one", 1).await.unwrap(), "2");
    // each call ends its own line, under its own request
    let line = logs::line("message", "reused: half a line").await;
    assert_eq!(line["request_id"], "req_reused_1");
    let line = logs::line("message", "reused: another one").await;
    assert_eq!(line["request_id"], "req_reused_2");
    // each call has its own output limit
    let much = format!("reused: much {}\n", "x".repeat(4000));
    for n in 3..6 {
        assert_eq!(ask("req_reused_3", &much, 12).await.unwrap(), n.to_string());
    }
    assert_eq!(logs::count("plugin", "posix", "reused: much "), 3 * 12);
    // WASI's functions work as in the first call
    let found = tool(&plugin, "look", json!({})).await.unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["stdin_is_closed"], &found["environment"]), (&json!(true), &json!([])));
    // and one that has left is gone
    assert!(ask("req_reused_4", "", 0).await.is_err());
    assert_eq!(ask("req_reused_5", "", 1).await.unwrap(), "1");
}

fn of_posix() -> Context {
    Arc::into_inner(context()).unwrap()
}

#[tokio::test]
async fn more_random_bytes_than_anybody_needs_end_the_call_only() {
    let plugin = load(&host(), "posix").await;
    assert_eq!(tool(&plugin, "random", json!({"bytes": 4096})).await.unwrap(), "4096");
    let (_, failure) = broke(tool(&plugin, "random", json!({"bytes": 1 << 30})).await.unwrap_err());
    assert!(matches!(failure.cause, Cause::Trap(_)), "{failure}");
    assert_eq!(tool(&plugin, "random", json!({"bytes": 1})).await.unwrap(), "1");
}

#[tokio::test]
async fn an_unlinked_wasi_import_is_rejected_with_an_alternative() {
    let bytes = std::fs::read(wasm("posix")).unwrap();
    let patched = |to: &[u8]| {
        let mut bytes = bytes.clone();
        let from = b"wasi:clocks/wall-clock@0.2.3";
        let places: Vec<_> = memchr::memmem::find_iter(&bytes, from).collect();
        assert!(!places.is_empty() && to.len() == from.len());
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        bytes
    };
    for (import, says) in [
        ("wasi:http/outgoing-hdl@0.2.3", "use `fetch` of `tidegate:plugin/host`"),
        ("wasi:clocks/wall-clock@0.3.0", "of which this gateway offers version 0.2"),
    ] {
        let (_, problems) = load_bytes(&patched(import.as_bytes())).await;
        let message = &problems[0].message;
        assert!(message.contains(&format!("imports `{import}`")), "{message}");
        assert!(message.contains(says), "{message}");
    }
}

/// Returns the plugin that `tests/clients/plugins.py` built from `examples/plugins`, if its
/// toolchain was installed and the interface is still the one for which it was built.
fn foreign(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = root.join("target/foreign").join(name);
    let time = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let is_new = time(&built) > time(&root.join("sdk/wit/tidegate.wit"));
    if !is_new {
        eprintln!("skipped: `python3 tests/clients/plugins.py` builds {}", built.display());
    }
    is_new.then_some(built)
}

/// Returns a host with default limits, like an operator's: a Python component is an interpreter.
fn usual_host() -> Arc<PluginHost> {
    PluginHost::new(Some(compiled())).unwrap()
}

#[tokio::test]
async fn a_plugin_in_python_runs_as_any_other() {
    let Some(path) = foreign("roman.wasm") else { return };
    let plugin = usual_host().load(&path, Value::Null).await.unwrap();
    assert_eq!(plugin.manifest().name, "roman");
    assert_eq!(tool(&plugin, "roman", json!({"number": 1994})).await.unwrap(), "MCMXCIV");
    let refused = tool(&plugin, "roman", json!({"number": 0})).await.unwrap_err();
    let ToolError::Problem { code, message, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((&*code, &*message), ("invalid_input", "`number` must be from 1 to 3999"));
    let missing = tool(&plugin, "roman", json!({})).await.unwrap_err();
    assert!(matches!(missing, ToolError::Problem { message, .. } if message.contains("`number`")));
}

#[tokio::test]
async fn a_plugin_in_javascript_runs_as_any_other() {
    let Some(path) = foreign("units.wasm") else { return };
    let plugin = usual_host().load(&path, Value::Null).await.unwrap();
    assert_eq!(plugin.manifest().name, "units");
    let input = json!({"value": 5, "from": "km", "to": "mi"});
    assert_eq!(tool(&plugin, "units", input).await.unwrap(), r#"{"value":3.107,"unit":"mi"}"#);
    let input = json!({"value": 5, "from": "km", "to": "kg"});
    let refused = tool(&plugin, "units", input).await.unwrap_err();
    let ToolError::Problem { code, message, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(code, "invalid_input");
    assert!(message.starts_with("`km` cannot become `kg`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_interpreters_at_once_wait_for_room_instead_of_breaking() {
    let Some(path) = foreign("roman.wasm") else { return };
    let plugin = usual_host().load(&path, Value::Null).await.unwrap();
    let calls = (1..=300).map(|number| {
        let plugin = plugin.clone();
        tokio::spawn(async move { tool(&plugin, "roman", json!({"number": number})).await.is_ok() })
    });
    for call in futures_util::future::join_all(calls).await {
        assert!(call.unwrap());
    }
}
