//! Failures that a caller, a model, a server or the load causes: they never suspend a plugin.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::fetching::connected;
use super::grants::host_at;
use super::{
    BODY, SHORT, broke, context, document, host, host_with, load, on_request, split, tool, wasm,
};
use crate::error::{Error, ErrorKind};
use crate::plugin_host::call::Size;
use crate::plugin_host::{Cause, Decision, Plugin, ToolCall, ToolError};
use crate::wire::Document;

/// More failures than open a breaker.
const MANY: usize = 6;

/// Runs `on-request` over a body: the plugin reads the part at a pointer.
async fn reading(
    plugin: &Plugin,
    act: &str,
    pointer: &str,
    body: &str,
) -> Result<(Document, Decision), Error> {
    let with = json!({"act": act, "pointer": pointer});
    let with: Map<String, Value> = serde_json::from_value(with).unwrap();
    let document = Document::parse(body.to_owned().into()).unwrap();
    plugin.on_request(&context(), &Arc::new(with), document).await
}

/// A body with a value at `metadata`.
fn body(metadata: &str) -> String {
    format!(r#"{{"model":"claude-x","max_tokens":9000,"metadata":{metadata},"messages":[]}}"#)
}

fn deep(levels: usize) -> String {
    ["[".repeat(levels), "]".repeat(levels)].concat()
}

/// Checks that the plugin still edits a good request.
async fn still_works(plugin: &Plugin) {
    let (document, _) = on_request(plugin, "", BODY).await.unwrap();
    assert_eq!(document.to_bytes(), BODY.replace("9000", "1024"));
}

#[tokio::test]
async fn a_read_that_is_refused_is_a_400_and_no_failure_of_the_plugin() {
    let plugin = load(&host(), "hooks").await;
    let nested = r#"{"user_id":[{"a":1,"b":2,"a":3}]}"#;
    for (metadata, pointer, says) in [
        (r#"{"user_id":"a","user_id":"b"}"#, "/metadata/user_id", "`user_id` occurs twice"),
        (r#"{"user_id":"a","user_id":"b"}"#, "/metadata", "`user_id` occurs twice"),
        (nested, "/metadata", "`a` occurs twice"),
        (nested, "/metadata/user_id/0/b", "`a` occurs twice"),
        (nested, "", "`a` occurs twice"),
        (r#"{"user_id":"\ud800"}"#, "/metadata/user_id", "a lone surrogate"),
        (r#"{"\udc00":1}"#, "/metadata", "a lone surrogate"),
        (&deep(200), "/metadata", "nested too deep"),
        (r#"{"user_id":1e999}"#, "/metadata/user_id", "too large"),
    ] {
        for _ in 0..MANY {
            let error = reading(&plugin, "read", pointer, &body(metadata)).await.err().unwrap();
            assert_eq!(error.status().as_u16(), 400, "{metadata} {pointer}: {error}");
            assert!(error.message.contains(says), "{metadata} {pointer}: {error}");
        }
        still_works(&plugin).await;
    }
    let twice = body(nested);
    for _ in 0..MANY {
        let error = reading(&plugin, "whole", "", &twice).await.err().unwrap();
        assert_eq!(error.status().as_u16(), 400, "{error}");
    }
    still_works(&plugin).await;
    // the plugin does not look there
    reading(&plugin, "", "", &twice).await.unwrap();
}

#[tokio::test]
async fn a_bad_message_is_no_failure_of_the_plugin_that_reads_it() {
    let plugin = load(&host(), "hooks").await;
    for message in [
        r#"{"content":[{"type":"text","text":"a","text":"b"}]}"#,
        r#"{"content":[{"type":"text","text":"\ud800"}]}"#,
    ] {
        for _ in 0..MANY {
            let done = plugin.on_response(&context(), &Arc::default(), document(message)).await;
            assert_eq!(done.err().unwrap().kind, ErrorKind::InvalidRequest);
        }
    }
    still_works(&plugin).await;
}

#[tokio::test]
async fn a_plugin_cannot_write_json_that_a_later_reader_would_reject() {
    let plugin = load(&host(), "hooks").await;
    let error = on_request(&plugin, "twice", BODY).await.err().unwrap();
    let (_, failure) = split(&error);
    let Cause::Problem(said) = &failure.cause else { panic!("{failure}") };
    assert!(said.contains("`a` occurs twice"), "{said}");
}

#[tokio::test]
async fn a_request_that_is_too_large_for_the_memory_is_a_413_and_no_failure() {
    let plugin = load(&host(), "hooks").await;
    let large = body(&format!("[{}0]", r#"{"a":0},"#.repeat(200_000)));
    for _ in 0..MANY {
        let error = reading(&plugin, "read", "/metadata", &large).await.err().unwrap();
        assert_eq!(error.status().as_u16(), 413, "{error}");
        assert_eq!(
            error.message,
            "the request is too large for the plugin `hooks`, which needs more than its 32 MiB of memory for it"
        );
    }
    still_works(&plugin).await;
    // without a large input it is the plugin's own failure
    for _ in 0..5 {
        let error = on_request(&plugin, "eat", BODY).await.err().unwrap();
        assert!(matches!(split(&error).1.cause, Cause::Memory(_)));
    }
    let error = on_request(&plugin, "", BODY).await.err().unwrap();
    assert!(matches!(split(&error).1.cause, Cause::Resting { .. }));
}

#[tokio::test]
async fn an_input_that_is_too_large_for_a_tool_is_no_failure_of_the_tool() {
    let host = host();
    let config = json!({"memory": 2 << 20});
    let plugin = host.load(&wasm("unruly"), config).await.unwrap();
    for _ in 0..MANY {
        let error = tool(&plugin, "echo", json!({"text": "x".repeat(4 << 20)})).await.unwrap_err();
        let (message, failure) = broke(error);
        assert_eq!(failure.cause, Cause::Input(2 << 20));
        assert!(message.contains("needs more than its 2 MiB of memory for such a large input"));
    }
    assert_eq!(tool(&plugin, "echo", json!({"text": "a"})).await.unwrap(), "a");
}

#[tokio::test]
async fn a_large_request_that_takes_too_long_suspends_nothing() {
    let plugin = load(&host_with(SHORT), "hooks").await;
    let large = body(&format!("\"{}\"", "x".repeat(1 << 20)));
    for _ in 0..MANY {
        let error = reading(&plugin, "hold", "/metadata", &large).await.err().unwrap();
        let (_, failure) = split(&error);
        assert!(matches!(failure.cause, Cause::Slow(_) | Cause::Late(_)), "{failure}");
    }
    // a small one does: the plugin holds every call
    for _ in 0..MANY {
        reading(&plugin, "hold", "/metadata", &body("1")).await.err().unwrap();
    }
    let error = reading(&plugin, "hold", "/metadata", &body("1")).await.err().unwrap();
    assert!(matches!(split(&error).1.cause, Cause::Resting { .. }), "{error}");
}

#[tokio::test]
async fn an_input_that_a_tool_rejects_is_no_failure_of_the_tool() {
    let plugin = load(&host(), "unruly").await;
    for input in [
        "{}",
        r#"{"text":5}"#,
        r#"{"text":"a","text":"b"}"#,
        r#"{"text":"\ud800"}"#,
        &format!(r#"{{"text":{}}}"#, deep(200)),
    ] {
        for _ in 0..MANY {
            let call = ToolCall { name: "echo", input, options: "{}" };
            let error = plugin.call_tool(&context(), call).await.unwrap_err();
            assert!(matches!(&error, ToolError::Problem { .. }), "{input}: {error:?}");
        }
    }
    assert_eq!(tool(&plugin, "echo", json!({"text": "a"})).await.unwrap(), "a");
}

#[tokio::test]
async fn fetches_that_fail_and_grants_that_are_missing_suspend_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plugin = connected(&host(), &wasm("reach"), json!({})).await;
    for url in
        [format!("http://{closed}/"), "http://example.org/".to_owned(), "nonsense".to_owned()]
    {
        for _ in 0..MANY {
            let error = tool(&plugin, "fetch", json!({"url": url})).await.unwrap_err();
            assert!(matches!(&error, ToolError::Problem { .. }), "{url}: {error:?}");
        }
    }
    for _ in 0..MANY {
        let error = tool(&plugin, "ask", json!({"model": "x", "max_tokens": 1})).await.unwrap_err();
        assert!(matches!(&error, ToolError::Problem { .. }), "{error:?}");
    }
    tool(&plugin, "greet", json!({})).await.unwrap();
}

/// Begins a call and leaves it.
async fn leaves(call: impl Future) {
    tokio::select! {
        biased;
        _ = call => panic!("the call has ended"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test]
async fn a_client_disconnect_does_not_suspend_a_plugin_and_an_abandoned_trial_is_repeated() {
    let (host, now) = host_at(Instant::now());
    let plugin = load(&host, "hooks").await;
    for _ in 0..MANY {
        leaves(on_request(&plugin, "spin", BODY)).await;
    }
    still_works(&plugin).await;
    for _ in 0..5 {
        on_request(&plugin, "panic", BODY).await.err().unwrap();
    }
    *now.lock().unwrap() += Duration::from_secs(10);
    leaves(on_request(&plugin, "spin", BODY)).await;
    still_works(&plugin).await;
}

#[tokio::test]
async fn a_bad_request_as_the_trial_decides_nothing() {
    let (host, now) = host_at(Instant::now());
    let plugin = load(&host, "hooks").await;
    for _ in 0..5 {
        on_request(&plugin, "panic", BODY).await.err().unwrap();
    }
    *now.lock().unwrap() += Duration::from_secs(10);
    let twice = body(r#"{"a":1,"a":2}"#);
    let error = reading(&plugin, "read", "/metadata", &twice).await.err().unwrap();
    assert_eq!(error.status().as_u16(), 400, "{error}");
    // the plugin is still on trial: one failure suspends it again
    on_request(&plugin, "panic", BODY).await.err().unwrap();
    let error = on_request(&plugin, "", BODY).await.err().unwrap();
    assert!(matches!(split(&error).1.cause, Cause::Resting { .. }));
    *now.lock().unwrap() += Duration::from_secs(10);
    reading(&plugin, "read", "/metadata", &twice).await.err().unwrap();
    still_works(&plugin).await;
}

#[test]
fn a_call_that_waited_for_most_of_its_time_is_no_failure() {
    let limit = Duration::from_millis(50);
    let cause = |waited, size| Cause::timed_out(limit, Duration::from_millis(waited), size);
    assert_eq!(cause(0, Size::Usual), Cause::Deadline(limit));
    assert_eq!(cause(25, Size::Usual), Cause::Deadline(limit));
    assert_eq!(cause(26, Size::Usual), Cause::Late(limit));
    assert_eq!(cause(0, Size::Large), Cause::Slow(limit));
    assert!(cause(25, Size::Usual).is_break());
    assert!(!cause(26, Size::Usual).is_break() && !cause(0, Size::Large).is_break());
}
