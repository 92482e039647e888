//! The tool as the gateway calls it, with a web made by the tests.
mod charsets;
mod hops;
mod odd;
mod pages;
mod robots;
mod rules;
mod soup;
mod structure;
mod wordless;

use serde_json::{Value, json};
use tidegate_sdk::testing::MockHost;
use tidegate_sdk::{Problem, Result, http};

use super::WebFetch;

const URL: &str = "https://example.com/articles/tide";

/// 2026-01-15T12:00:00Z
const NOON: u64 = 1_768_478_400_000_000_000;

fn page(content_type: &str, body: impl Into<Vec<u8>>) -> http::Response {
    let answer = http::Response::new(200, body).with_header("content-type", content_type);
    http::Response { url: URL.to_owned(), ..answer }
}

/// Returns a host with the same response for every URL.
fn always(answer: Result<http::Response>) -> MockHost {
    MockHost::new().clock(NOON).on_fetch(move |_| answer.clone())
}

fn call(host: &MockHost, input: Value, options: Value) -> Result<Value> {
    let content = host.call_tool::<WebFetch>("web_fetch", input, options)?;
    let [block] = content.as_array().expect("blocks").as_slice() else { panic!("{content}") };
    assert_eq!(block["type"], "text");
    Ok(serde_json::from_str(block["text"].as_str().expect("text")).expect("JSON"))
}

fn read(answer: http::Response) -> Value {
    call(&always(Ok(answer)), json!({"url": URL}), json!({"max_chars": 100_000})).expect("a page")
}

fn text(answer: http::Response) -> String {
    read(answer)["text"].as_str().expect("text").to_owned()
}

fn fails(answer: Result<http::Response>) -> Problem {
    call(&always(answer), json!({"url": URL}), json!({})).expect_err("a problem")
}
