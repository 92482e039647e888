//! Policies: the abilities and limits of scripts, and the messages about failing scripts.
mod cases;
mod definitions;
mod library;
mod library_bounds;
mod limits;
mod lint;
mod mask;
mod modules;
mod parameters;
mod request;
mod state;
mod swallowed;
mod trials;
mod verbs;
mod windows;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context::{Caller, Context};
use crate::error::{Error, ErrorKind, Problem};
use crate::policy::Outcome;
use crate::policy::script::api::{State, With};
use crate::policy::script::{Clock, Limits, Script, ScriptCall, ScriptEngine};
use crate::wire::Document;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

/// The time limit is generous: a busy machine must not fail tests that are not about time.
fn compile(source: &str) -> Result<Script, Vec<Problem>> {
    let limits = Limits { time: Duration::from_secs(20), ..Limits::default() };
    ScriptEngine::new(limits).compile(Path::new("policies/probe.rhai"), source)
}

/// Returns a script with this body of its hook.
fn hook(body: &str) -> Script {
    compile(&format!("fn on_request(request, ctx) {{\n{body}\n}}")).unwrap()
}

fn context() -> Arc<Context> {
    let mut headers = HeaderMap::new();
    headers.insert("x-team", "ml".parse().unwrap());
    Arc::new(Context {
        request_id: "req_1".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller {
            key: "ci".to_owned(),
            tags: [("team".to_owned(), "ml".to_owned())].into(),
            ..Caller::default()
        }),
        headers,
        query: None,
        credential: None,
        session: "session-1".to_owned(),
        model: "claude-first".to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    })
}

fn run_with(
    script: &Script,
    with: Value,
    body: impl Into<Bytes>,
) -> Result<(Document, Outcome), Error> {
    let with = With::new(with.as_object().unwrap());
    let call = ScriptCall {
        context: &context(),
        with: &with,
        state: &State::default(),
        clock: Clock::System,
    };
    script.on_request(&call, Document::parse(body.into()).unwrap())
}

fn run(script: &Script, body: impl Into<Bytes>) -> Result<(Document, Outcome), Error> {
    run_with(script, json!({}), body)
}

/// Returns the body after the hook.
fn edited(hook_body: &str, body: &str) -> String {
    let (document, _) = run(&hook(hook_body), body.to_owned()).unwrap();
    String::from_utf8(document.to_bytes().to_vec()).unwrap()
}

/// Returns the error of a failing script.
fn broken(hook_body: &str, body: &str) -> Error {
    match run(&hook(hook_body), body.to_owned()) {
        Ok((document, _)) => panic!("it did not break: {:?}", document.to_bytes()),
        Err(error) => error,
    }
}

/// Returns the value that a script finds: the text that it gives to `deny`.
fn found(expression: &str, body: &str) -> String {
    let (_, outcome) = run(&hook(&format!("deny(`${{{expression}}}`)")), body.to_owned()).unwrap();
    refusal(outcome).message
}

fn refusal(outcome: Outcome) -> Error {
    match outcome.verdict {
        crate::policy::Verdict::Deny(error) => *error,
        _ => panic!("it did not refuse"),
    }
}

/// Returns the error of a hook that exceeds these limits.
fn limited(limits: Limits, body: &str) -> Error {
    limited_over(limits, body, "{}")
}

fn limited_over(limits: Limits, body: &str, request: &str) -> Error {
    let source = format!("fn f(n) {{ f(n + 1) }}\nfn on_request(request, ctx) {{\n{body}\n}}");
    let script = ScriptEngine::new(limits).compile(Path::new("policies/probe.rhai"), &source);
    match run(&script.unwrap(), request.to_owned()) {
        Ok(_) => panic!("it did not break: {body}"),
        Err(error) => error,
    }
}

fn says(error: &Error, parts: &[&str]) {
    assert_eq!(error.kind, ErrorKind::Api, "{error}");
    for part in parts {
        assert!(error.message.contains(part), "{error}");
    }
}
