//! `deny`, `respond`, `route`, `log`, and the properties of `ctx`.
use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::error::{ErrorKind, Retry};
use crate::policy::Verdict;
use crate::policy::script::api::{State, With};
use crate::policy::script::{Clock, ScriptCall};
use crate::wire::{Document, ReplyBody};
use http::StatusCode;
use serde_json::{Value, json};

use super::{broken, context, found, hook, refusal, run, run_with};

#[test]
fn a_denial_is_a_400_unless_it_says_otherwise() {
    let (_, outcome) = run(&hook("deny(\"not today\");"), "{}").unwrap();
    let error = refusal(outcome);
    assert_eq!((error.status(), error.kind), (StatusCode::BAD_REQUEST, ErrorKind::InvalidRequest));
    assert_eq!(error.message, "not today");
    assert_eq!(error.retry, Retry::Never);
}

#[test]
fn a_denial_has_the_error_type_of_its_status() {
    for (status, kind) in [
        (403, ErrorKind::Permission),
        (429, ErrorKind::RateLimit),
        (451, ErrorKind::InvalidRequest),
        (529, ErrorKind::Overloaded),
        (500, ErrorKind::Api),
    ] {
        let (_, outcome) = run(&hook(&format!("deny({status}, \"no\");")), "{}").unwrap();
        let error = refusal(outcome);
        assert_eq!((error.status().as_u16(), error.kind), (status, kind));
    }
    let error = broken("deny(200, \"fine\");", "{}");
    assert!(error.message.contains(":2:1: `deny` takes a status from 400 to 599"), "{error}");
}

#[test]
fn catch_cannot_swallow_a_denial() {
    let body = "try { deny(\"no\"); } catch { request.a = 1; }\nrequest.b = 1;";
    let (document, outcome) = run(&hook(body), "{}").unwrap();
    assert_eq!(refusal(outcome).message, "no");
    assert!(!document.is_edited());
}

#[test]
fn a_denial_ends_the_script_from_within_functions() {
    let script = super::compile(
        "fn check(r) { deny(403, \"no\"); }\nfn on_request(request, ctx) { check(request); request.a = 1; }",
    )
    .unwrap();
    let (document, outcome) = run(&script, "{}").unwrap();
    assert_eq!(refusal(outcome).status(), StatusCode::FORBIDDEN);
    assert!(!document.is_edited());
}

fn answer(body: &str) -> Value {
    let (_, outcome) = run(&hook(body), r#"{"model":"claude-x"}"#).unwrap();
    let Verdict::Respond(reply) = outcome.verdict else { panic!("it did not answer") };
    let ReplyBody::Full(bytes) = reply.body else { panic!("it answered with a stream") };
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_text_is_answered_as_a_whole_message() {
    let message = answer("respond(\"hello\");");
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(message["id"].as_str().unwrap().len(), 28);
    let mut rest = message;
    rest.as_object_mut().unwrap().remove("id");
    assert_eq!(
        rest,
        json!({"type": "message", "role": "assistant", "model": "claude-x",
            "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn",
            "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0}})
    );
}

#[test]
fn a_message_is_answered_as_it_is_and_completed() {
    let message = answer(
        "respond(#{id: \"msg_own\", content: [#{type: \"tool_use\", id: \"t\", name: \"n\", input: #{}}]});",
    );
    assert_eq!(message["id"], "msg_own");
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(message["content"][0]["name"], "n");
    assert_eq!(message["model"], "claude-x");
    assert_eq!(answer("respond(#{content: \"x\"});")["content"][0]["text"], "x");
    let error = broken("respond(#{role: \"assistant\"});", "{}");
    assert!(error.message.contains("must have `content`"), "{error}");
}

#[test]
fn a_route_goes_with_the_edits_and_does_not_end_the_script() {
    let (document, outcome) = run(&hook("route(\"small\"); request.a = 1;"), "{}").unwrap();
    assert_eq!(outcome.route.as_deref(), Some("small"));
    assert!(matches!(outcome.verdict, Verdict::Continue));
    assert!(document.is_edited());
    assert!(broken("route(\"\");", "{}").message.contains("name of a model"));
}

#[test]
fn ctx_tells_the_facts() {
    for (expression, value) in [
        ("ctx.key", "ci"),
        ("ctx.tags.team", "ml"),
        ("ctx.tags.keys()", "[\"team\"]"),
        ("ctx.tags[\"none\"] == ()", "true"),
        ("ctx.headers[\"X-Team\"]", "ml"),
        ("\"x-TEAM\" in ctx.headers", "true"),
        ("ctx.headers[\"x-other\"] == ()", "true"),
        ("ctx.model", "claude-first"),
        ("ctx.session", "session-1"),
        ("ctx.request_id", "req_1"),
        ("ctx.with.limit == ()", "true"),
    ] {
        assert_eq!(found(expression, "{}"), value, "{expression}");
    }
    assert!(broken("let c = ctx; c.key = \"root\";", "{}").message.contains("key"));
    assert!(broken("ctx.with.limit = 1;", "{}").message.contains("policies/probe.rhai:2:"));
}

#[test]
fn a_stage_reads_its_own_parameters() {
    let script = hook("request.max_tokens = ctx.with.limit; request.n = ctx.with.deep.list[1];");
    let with = json!({"limit": 7, "deep": {"list": [1, {"a": 2.5}]}});
    let (document, _) = run_with(&script, with, "{}").unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"max_tokens":7,"n":{"a":2.5}}"#);
}

#[test]
fn state_lives_across_the_stages_of_a_request() {
    let first = hook(
        "ctx.state.seen = request.list; request.list.push(3); ctx.state[\"n\"] = 1; ctx.state.n += 1;",
    );
    let second = hook("deny(`${ctx.state.seen} ${ctx.state.n} ${ctx.state.none == ()}`);");
    let (context, state, with) = (context(), State::default(), With::default());
    let call = ScriptCall { context: &context, with: &with, state: &state, clock: Clock::System };
    let document = Document::parse(r#"{"list":[1,2]}"#.into()).unwrap();
    let (document, _) = first.on_request(&call, document).unwrap();
    let (_, outcome) = second.on_request(&call, document).unwrap();
    assert_eq!(refusal(outcome).message, "[1,2] 2 true");
}

/// Returns every log line of this thread while `act` runs.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn log_lines_name_policy_and_request_and_hold_no_body() {
    let body = r#"{"model":"m","messages":[{"content":"the-secret-text"}]}"#;
    let script = hook(
        "log(\"warn\", \"seen \" + request.model); request.messages[0].content; print(\"printed\"); debug(1);",
    );
    let lines = logged(|| drop(run(&script, body).unwrap()));
    let warning = lines.lines().next().unwrap();
    for part in ["WARN", "tidegate::policy", "seen m", "policy=\"probe\"", "request_id=\"req_1\""] {
        assert!(warning.contains(part), "{warning}");
    }
    assert!(lines.contains("printed"), "{lines}");
    assert!(!lines.contains("the-secret-text"), "{lines}");
    assert!(broken("log(\"loud\", \"x\");", "{}").message.contains("as level"));
}

#[test]
fn a_long_log_line_is_cut() {
    let script = hook("let s = \"é\"; for i in 0..12 { s += s; } log(\"info\", s);");
    let lines = logged(|| drop(run(&script, "{}").unwrap()));
    assert_eq!(lines.matches('é').count(), 1024);
}

#[test]
fn a_refusal_in_a_closure_is_not_caught_either() {
    let body = "try { [1].map(|x| deny(403, \"no\")); } catch { request.a = 1; }";
    let (_, outcome) = run(&hook(body), "{}").unwrap();
    let Verdict::Deny(error) = outcome.verdict else { panic!("it was caught") };
    assert_eq!((error.status().as_u16(), &*error.message), (403, "no"));
}
