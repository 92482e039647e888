//! Bad plugins: the result of the request that ran into one, and of another request that runs at
//! the same time.
use std::sync::Arc;

use crate::error::Problem;
use crate::plugin_host::{Cause, Plugin, PluginHost, ToolError};
use serde_json::{Value, json};

use super::fetching::connected;
use super::{LONG, SHORT, broke, host, load, load_bytes, tool, wasm};
use crate::testing::made::{MANIFEST, Made, file, with_section};
use crate::testing::upstream::{Upstream, answer};
use crate::testing::within;

/// Runs a call that fails, and meanwhile another plugin's calls on the same thread: all of them
/// have to succeed.
async fn beside<T>(host: &Arc<PluginHost>, wrong: impl Future<Output = T>) -> T {
    let neighbour = load(host, "datetime").await;
    let (outcome, ()) = tokio::join!(wrong, async {
        for _ in 0..20 {
            let told = tool(&neighbour, "datetime", json!({"timezones": ["UTC"]})).await;
            assert!(told.unwrap().contains("UTC"));
            tokio::task::yield_now().await;
        }
    });
    outcome
}

/// Returns the texts for the model and for the log.
async fn ends(name: &str, input: Value) -> (String, Cause) {
    let host = host();
    let deadline = format!("{}ms", if name == "spin" { SHORT } else { LONG }.as_millis());
    // `boast` needs room for the text that it returns
    let memory = if name == "boast" { 128 << 20 } else { 32 << 20 };
    let config = json!({"deadline": deadline, "memory": memory});
    let unruly = host.load(&wasm("unruly"), config).await.unwrap();
    let error = beside(&host, tool(&unruly, name, input)).await.unwrap_err();
    // the next call of the same plugin works as before
    assert_eq!(tool(&unruly, "echo", json!({"text": "a"})).await.unwrap(), "a");
    let (message, failure) = broke(error);
    (message, failure.cause)
}

#[tokio::test]
async fn an_endless_loop() {
    let (message, cause) = ends("spin", json!({})).await;
    assert_eq!(message, "plugin `unruly` did not finish within 100ms in `call-tool spin`");
    assert_eq!(cause, Cause::Deadline(SHORT));
}

#[tokio::test]
async fn a_trap() {
    let (message, cause) = ends("panic", json!({"text": "a private word"})).await;
    assert_eq!(message, "plugin `unruly` broke in `call-tool panic`");
    assert!(matches!(cause, Cause::Trap(_)));
}

#[tokio::test]
async fn a_stack_overflow() {
    let (message, cause) = ends("recurse", json!({})).await;
    assert_eq!(message, "plugin `unruly` ran out of stack in `call-tool recurse`");
    assert_eq!(cause, Cause::Stack);
}

#[tokio::test]
async fn memory_without_end() {
    let (message, cause) = ends("eat", json!({})).await;
    assert_eq!(message, "plugin `unruly` needs more than its 32 MiB of memory in `call-tool eat`");
    assert_eq!(cause, Cause::Memory(32 << 20));
}

#[tokio::test]
async fn four_gib_of_memory_from_the_start() {
    let (_folder, path) = Made { pages: 65_536, ..Made::default() }.file();
    let host = host();
    let problems = beside(&host, host.load(&path, Value::Null)).await.unwrap_err();
    let message = &problems[0].message;
    assert!(message.contains("memory") && !message.contains("written to its end"), "{message}");
    // within the limits of an engine, and above this plugin's limit
    let (_folder, path) = Made { pages: 1024, ..Made::default() }.file();
    let problems = beside(&host, host.load(&path, Value::Null)).await.unwrap_err();
    let message = &problems[0].message;
    assert!(message.contains("needs more than its 32 MiB of memory"), "{message}");
}

#[tokio::test]
async fn a_result_that_is_too_long() {
    let (message, cause) = ends("boast", json!({"bytes": 8 << 20})).await;
    assert_eq!(message, "plugin `unruly` gave a result of more than 8 MiB in `call-tool boast`");
    assert_eq!(cause, Cause::Size(8 << 20));
}

/// Loads a plugin made by hand. Returns it with the outcome of its tool.
async fn made(made: Made) -> (Plugin, Result<String, ToolError>) {
    let (_folder, path) = made.file();
    let host = host();
    let config = json!({"memory": 128 << 20});
    let plugin = host.load(&path, config).await.unwrap();
    let outcome = beside(&host, tool(&plugin, "made", json!({}))).await;
    (plugin, outcome)
}

#[tokio::test]
async fn a_result_of_a_hundred_megabytes() {
    let huge = Made { pages: 1600, length: 100_000_000, ..Made::saying("\"") };
    let (plugin, outcome) = made(huge).await;
    let (message, failure) = broke(outcome.unwrap_err());
    assert_eq!(message, "plugin `made` gave a result of more than 8 MiB in `call-tool made`");
    assert_eq!(failure.cause, Cause::Size(8 << 20));
    assert_eq!(plugin.manifest().name, "made");
}

#[tokio::test]
async fn a_result_that_is_no_json() {
    for garbage in ["", "well", "{", "{}", "[1", "\"a\" \"b\"", "12"] {
        let (_, outcome) = made(Made::saying(garbage)).await;
        let (message, failure) = broke(outcome.unwrap_err());
        assert_eq!(message, "plugin `made` broke in `call-tool made`", "{garbage}");
        let expect = "its result is neither a JSON string nor an array";
        assert_eq!(failure.cause, Cause::Nonsense(expect.to_owned()), "{garbage}");
    }
}

#[tokio::test]
async fn a_result_that_lies_outside_of_its_memory() {
    let (_, outcome) = made(Made { length: 1 << 30, ..Made::default() }).await;
    let (message, failure) = broke(outcome.unwrap_err());
    assert_eq!(message, "plugin `made` broke in `call-tool made`");
    assert!(matches!(failure.cause, Cause::Trap(_)), "{failure}");
}

#[tokio::test]
async fn a_manifest_that_is_none() {
    for (manifest, expect) in [
        ("well", "its manifest: expected value"),
        ("{}", "its manifest: missing field `name`"),
        (r#"{"name":"m","wants":{"hosts":["http://a"]}}"#, "`wants.hosts`: `http://a` is no host"),
        (r#"{"name":"m","wants":{"models":[""]}}"#, "`wants.models`: `` is no alias"),
        (r#"{"name":"m","hooks":["on-tea"]}"#, "there is no hook `on-tea`"),
        (
            r#"{"name":"m","hooks":["on-request"]}"#,
            "names the hook `on-request` but does not export it",
        ),
        (
            r#"{"name":"m","tools":[{"name":"Made","description":"d","input_schema":{"type":"object"}}]}"#,
            "tool `Made`: use `a` to `z`",
        ),
        (
            r#"{"name":"m","tools":[{"name":"made","description":"d","input_schema":{}}]}"#,
            "tool `made`: its `input_schema` must have `type: object`",
        ),
    ] {
        let made = Made { manifest: manifest.to_owned(), ..Made::default() };
        let (path, problems) = load_bytes(&made.wasm()).await;
        let Problem { path: place, message } = &problems[0];
        assert_eq!(*place, path);
        assert!(message.starts_with(expect), "{manifest}: {message}");
    }
}

#[tokio::test]
async fn a_manifest_that_takes_for_ever_or_too_much_memory() {
    let grow = "(if (i32.eq (memory.grow (i32.const 4096)) (i32.const -1)) (then unreachable))";
    for (first, expect) in [
        ("(loop $again (br $again))", "`describe` broke: did not finish within 5s"),
        (grow, "`describe` broke: needs more than its 32 MiB of memory"),
        ("unreachable", "`describe` broke: "),
    ] {
        let wasm = Made { first, ..Made::default() }.wasm();
        // a complete section does not replace `describe`
        for wasm in [wasm.clone(), with_section(wasm, MANIFEST)] {
            let (_folder, path) = file(&wasm);
            let host = host();
            let problems = beside(&host, host.load(&path, Value::Null)).await.unwrap_err();
            let message = &problems[0].message;
            assert!(message.starts_with(expect), "{first}: {message}");
        }
    }
}

#[tokio::test]
async fn a_file_cut_short() {
    let whole = Made::default().wasm();
    for end in [0, 3, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let (path, problems) = load_bytes(&whole[..end]).await;
        assert_eq!(problems[0].path, path, "cut at {end}");
    }
}

#[tokio::test]
async fn a_component_that_is_replaced_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reach.wasm");
    std::fs::copy(wasm("reach"), &path).unwrap();
    let host = host();
    let before = connected(&host, &path, json!({})).await;
    let mut server = Upstream::start().await;
    let url = json!({"url": format!("http://{}/", server.address)});
    let running = tool(&before, "fetch", url);
    let replaced = async {
        let held = server.call().await;
        let other = folder.path().join("new");
        std::fs::write(&other, Made::saying("\"new\"").wasm()).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let after = host.load(&path, Value::Null).await.unwrap();
        let told = tool(&after, "made", json!({})).await.unwrap();
        held.finish(answer(200, "", "old")).await;
        told
    };
    let (old, new) = within("both", async { tokio::join!(running, replaced) }).await;
    assert_eq!((old.unwrap().as_str(), new.as_str()), ("200 old", "new"));
    // and the old one lives as long as something holds it
    assert_eq!(tool(&before, "greet", json!({})).await.unwrap(), "");
}
