//! Bad plugins of a running gateway, file by file: what their callers get, and everybody else at the same time.
use std::fs;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidegate::gateway::reload::Reloaded;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::made::{MANIFEST, Made};
use crate::support::plugins::wasm;
use crate::support::upstream::{Upstream, answer};
use crate::support::{MESSAGE, within};

/// With deadlines that no machine is too slow for.
const CONFIG: &str = "providers: { sim: { type: simulator } }
models: { \"*\": { provider: sim } }
egress: { allow_private: [\"127.0.0.0/8\"] }
tools: { max_calls: 100 }
pipeline: []
plugins:
  config:
    datetime: { deadline: 4m }
    made: { memory: 134217728, deadline: 4m }
    reach: { allow_hosts: [\"127.0.0.1:*\"], deadline: 4m, max_concurrent_calls: 1 }
    unruly: { deadline: 4m }
";

/// A gateway with one worker, with the plugins `datetime`, `made`, `reach` and `unruly`.
pub async fn gateway() -> Gateway {
    let gateway = Gateway::start(
        "providers: { sim: { type: simulator } }\nmodels: { m: { provider: sim } }\n",
    )
    .await;
    for name in ["datetime", "reach", "unruly"] {
        put(&gateway, name, &fs::read(wasm(name)).unwrap());
    }
    put(&gateway, "made", &Made::default().wasm());
    swap(&gateway).await;
    gateway
}

/// Puts a plugin into the folder in one step, in the place of another one of its name.
fn put(gateway: &Gateway, name: &str, wasm: &[u8]) {
    let beside = gateway.folder().join("new");
    fs::write(&beside, wasm).unwrap();
    fs::rename(&beside, gateway.folder().join(format!("plugins/{name}.wasm"))).unwrap();
}

async fn swap(gateway: &Gateway) {
    let reloaded = gateway.reload(CONFIG).await;
    assert!(matches!(reloaded, Reloaded::Swapped(_)), "{reloaded:?}");
}

/// A request whose model makes these calls of one tool at once.
pub fn calling(tool: &str, inputs: &[Value]) -> Value {
    let calls = inputs.iter().map(|input| format!("[sim: call {tool} {input}]"));
    json!({
        "model": "m",
        "max_tokens": 100_000,
        "tools": [{"type": format!("gateway:{tool}")}],
        "messages": [{"role": "user", "content": calls.collect::<String>()}],
    })
}

/// What the model is told of each call, and whether it is told as an error.
async fn told(gateway: &Gateway, tool: &str, inputs: &[Value]) -> Vec<(bool, String)> {
    let answer = Ask::message(calling(tool, inputs).to_string()).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let message = answer.json();
    assert_eq!(message["stop_reason"], "end_turn");
    let blocks = message["content"].as_array().unwrap().iter();
    let results = blocks.filter(|block| block["type"] == "mcp_tool_result");
    let text = |block: &Value| block["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    results.map(|block| (block["is_error"] == true, text(block))).collect()
}

/// The same of one call.
pub async fn told_once(gateway: &Gateway, tool: &str, input: Value) -> (bool, String) {
    told(gateway, tool, &[input]).await.pop().unwrap()
}

/// Plain requests and another plugin's calls while something goes wrong: all of them go well.
async fn beside<T>(gateway: &Gateway, wrong: impl Future<Output = T>) -> T {
    let neighbours = async {
        for _ in 0..5 {
            assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
            let (is_error, text) =
                told_once(gateway, "datetime", json!({"timezones": ["UTC"]})).await;
            assert!(!is_error && text.contains("UTC"), "{text}");
        }
    };
    tokio::join!(wrong, neighbours).0
}

#[tokio::test]
async fn a_file_that_is_no_plugin_leaves_the_last_good_one_serving() {
    let gateway = gateway().await;
    let whole = Made::default().wasm();
    for (bytes, says) in [
        (wat::parse_str("(component)").unwrap(), "does not export `describe`"),
        (b"\0asm\x01\0\0\0".to_vec(), "is a core module, not a component"),
        (b"not wasm at all".to_vec(), "is no WebAssembly file"),
        (whole[..whole.len() / 2].to_vec(), "was it written to its end?"),
        (Vec::new(), "is no WebAssembly file"),
        (
            Made { pages: 65_536, ..Made::default() }.wasm(),
            "needs more resources at the start than a",
        ),
        (Made { pages: 3000, ..Made::default() }.wasm(), "needs more than its 128 MiB of memory"),
        (Made { manifest: "well".to_owned(), ..Made::default() }.wasm(), "its manifest: expected"),
        (Made { version: "0.7.0", ..Made::default() }.wasm(), "this gateway offers version 0.1.0"),
    ] {
        put(&gateway, "made", &bytes);
        let reloaded = beside(&gateway, gateway.reload(CONFIG)).await;
        let Reloaded::Refused(problems) = reloaded else { panic!("{says}: {reloaded:?}") };
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].path.ends_with("made.wasm"), "{problems:?}");
        assert!(problems[0].message.contains(says), "{problems:?}");
        let served = told_once(&gateway, "made", json!({})).await;
        assert_eq!(served, (false, "well".to_owned()), "{says}");
    }
}

#[tokio::test]
async fn a_result_that_is_none_is_an_error_for_the_model() {
    let gateway = gateway().await;
    let huge = Made { pages: 1600, length: 100_000_000, ..Made::saying("\"") };
    for (made, says) in [
        (Made::saying("{\"half\": "), "plugin `made` broke in `call-tool made`"),
        (Made::saying("12"), "plugin `made` broke in `call-tool made`"),
        (Made { length: 1 << 30, ..Made::default() }, "plugin `made` broke in `call-tool made`"),
        (huge, "plugin `made` gave a result of more than 8 MiB in `call-tool made`"),
    ] {
        put(&gateway, "made", &made.wasm());
        swap(&gateway).await;
        let broken = beside(&gateway, told_once(&gateway, "made", json!({}))).await;
        assert_eq!(broken, (true, says.to_owned()));
    }
}

#[tokio::test]
async fn a_plugin_that_is_replaced_ends_the_calls_that_it_has_begun() {
    let gateway = gateway().await;
    let mut site = Upstream::start().await;
    let url = json!({"url": format!("http://{}/", site.address)});
    let running = told_once(&gateway, "fetch", url);
    let replaced = async {
        let held = site.call().await;
        let manifest = MANIFEST.replace("\"made\"", "\"renewed\"");
        put(&gateway, "reach", &Made { manifest, ..Made::saying("\"new\"") }.wasm());
        swap(&gateway).await;
        let new = beside(&gateway, told_once(&gateway, "renewed", json!({}))).await;
        held.finish(answer(200, "", "old")).await;
        new
    };
    let (old, new) = within("both", async { tokio::join!(running, replaced) }).await;
    assert_eq!((old, new), ((false, "200 old".to_owned()), (false, "new".to_owned())));
    // the next request no longer knows of the old one
    let body = calling("fetch", &[json!({})]).to_string();
    let message =
        Ask::message(body).send(gateway.address).await.refusal(400, "invalid_request_error");
    assert!(message.contains("gateway:fetch"), "{message}");
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_all_served_and_so_is_everybody_else() {
    let gateway = gateway().await;
    // as many requests as a machine has sockets for without asking, with many calls each
    let requests = (0..20).map(|n| {
        let inputs: Vec<_> = (0..50).map(|call| json!({"text": format!("{n}-{call}")})).collect();
        let gateway = &gateway;
        async move { told(gateway, "echo", &inputs).await }
    });
    let served = beside(&gateway, join_all(requests)).await;
    for (n, results) in served.into_iter().enumerate() {
        let expect: Vec<_> = (0..50).map(|call| (false, format!("{n}-{call}"))).collect();
        assert_eq!(results, expect);
    }
}
