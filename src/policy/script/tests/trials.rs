//! Cases run through the passage of live requests: a failure there fails in `tidegate test`.
use std::path::Path;
use std::sync::Arc;

use crate::policy::cases::{CaseResult, run_cases};
use crate::policy::script::api::With;
use crate::policy::{Passage, Pipeline, Target};
use crate::telemetry::metrics::Metrics;
use crate::wire::{Endpoint, MessagesRequest};

use super::{compile, context};

/// Returns the failures of one case, one per line.
fn failures(policy: &str, case: &str) -> String {
    let yaml = format!("- name: n\n  {case}");
    let results = run_cases(&compile(policy).unwrap(), &yaml, Path::new("policies/p.cases.yaml"));
    let results = results.unwrap_or_else(|problem| panic!("{case}: {problem}"));
    results.iter().filter_map(CaseResult::failure).collect::<Vec<_>>().join("\n")
}

fn holds(policy: &str, case: &str) {
    assert_eq!(failures(policy, case), "", "{policy}\n{case}");
}

/// Returns the error that a live request ends with in `on_request` or, later, in `on_upstream_request`.
async fn live_error(policy: &str) -> String {
    let script = compile(policy).unwrap();
    let pipeline = Arc::new(Pipeline::of(&script, With::default(), &Metrics::new()));
    let passage = Passage::new(&pipeline, &context());
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = MessagesRequest::parse(body.into(), Endpoint::Messages).unwrap();
    let request = match passage.on_request(request).await {
        Ok((request, _)) => request,
        Err(error) => return error.message,
    };
    let target = Target {
        provider: "p",
        model: "m",
        unsupported: &[],
        strictness: "warn",
        is_native: true,
        number: 1,
        forwards: &crate::net::headers::NO_FORWARDS,
    };
    passage.on_upstream_request(request, target).await.unwrap_err().message
}

#[test]
fn a_policy_that_leaves_no_request_fails_its_case_with_the_words_of_a_live_request() {
    for edit in [
        "let k = \"mess\" + \"ages\"; request.remove(k);",
        "let k = \"messages\"; request[k] = ();",
        "let k = \"model\"; request.remove(k);",
        "let k = \"max_tokens\"; request.remove(k);",
        "request.model = \"\";",
    ] {
        for (hook, case) in [
            ("on_request(request, ctx)", "expect: { unchanged: true }"),
            (
                "on_upstream_request(request, target, ctx)",
                "upstream_request: {}\n  expect: { unchanged: true }",
            ),
        ] {
            let policy = format!("fn {hook} {{\n  {edit}\n}}");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let live = runtime.block_on(live_error(&policy));
            assert!(live.contains("left a request that cannot be sent"), "{live}");
            assert_eq!(
                failures(&policy, case),
                format!("expected the request to continue, but it fails: {live}"),
                "{policy}"
            );
            holds(&policy, &case.replace("unchanged: true", "error: cannot be sent"));
        }
    }
}

#[test]
fn a_case_that_leaves_out_fields_is_still_about_a_request() {
    let remove = "fn on_request(request, ctx) { let k = \"mess\" + \"ages\"; request.remove(k); }";
    holds(remove, "request: { max_tokens: 9 }\n  expect: { error: \"`messages` is missing\" }");
    // the fields that the case leaves out do not belong to its expectation
    let edit = "fn on_request(request, ctx) { request.a = request.messages.len(); }";
    holds(edit, "request: { max_tokens: 9 }\n  expect: { request: { max_tokens: 9, a: 1 } }");
    holds(edit, "request: { model: m }\n  expect: { request: { model: m, a: 1 } }");
    let add = "fn on_request(request, ctx) { request.messages.push(#{role: \"user\"}); }";
    assert_eq!(
        failures(add, "request: { model: m }\n  expect: { request: { model: m } }"),
        "request.messages: expected nothing, found [{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"user\"}]"
    );
}

#[test]
fn a_case_rejects_an_invalid_request_as_the_gateway_does() {
    let policy = "fn on_request(request, ctx) { }";
    for (request, error) in [
        ("{ messages: hi }", "`messages` is a string: it must be an array"),
        ("{ model: \"\" }", "`model` is empty: name a model"),
        ("{ max_tokens: -1 }", "`max_tokens` is -1"),
        ("\"[]\"", "object"),
    ] {
        holds(policy, &format!("request: {request}\n  expect: {{ error: \"{error}\" }}"));
    }
}

#[test]
fn a_call_or_result_that_cannot_be_used_fails_its_case() {
    let call = "fn on_tool_call(call, ctx) { call.input = 5; }";
    holds(
        call,
        "tool_call: { tool: t }\n  expect: { error: \"stage `probe` left an `input` that is not an object\" }",
    );
    let result = "fn on_tool_result(result, ctx) { result.content = 5; }";
    holds(
        result,
        "tool_result: { content: a }\n  expect: { error: \"stage `probe` left a `content` that is neither a text nor a list of blocks\" }",
    );
}

#[test]
fn a_case_shows_the_edits_that_hold_and_no_others() {
    let call = "fn on_tool_call(call, ctx) { call.tool = \"other\"; call.options.a = 1; call.id = \"x\"; }";
    holds(call, "tool_call: { tool: t }\n  expect: { unchanged: true }");
    let unseen = "fn on_tool_call(call, ctx) { deny(\"no\"); }";
    holds(unseen, "tool_call: { input: 5 }\n  expect: { unchanged: true }");
    let result = "fn on_tool_result(result, ctx) { result.tool = \"other\"; result.input.a = 1; }";
    holds(result, "tool_result: { content: a }\n  expect: { unchanged: true }");
    let error = "fn on_error(error, ctx) { error.status = 200; error.type = \"x\"; }";
    holds(error, "error: { message: a }\n  expect: { unchanged: true }");
    let wordless = "fn on_error(error, ctx) { error.message = 5; }";
    holds(wordless, "error: { message: a }\n  expect: { message: a }");
}

#[test]
fn a_stream_that_is_put_out_of_order_fails_its_case() {
    for (edit, error) in [
        ("if event.type == \"content_block_delta\" { event.index = 7; }", "changed `index`"),
        ("if event.type == \"message_stop\" { drop_event(); }", "dropped a `message_stop` event"),
        ("if event.type == \"content_block_stop\" { drop_event(); }", "only pings, text"),
    ] {
        let policy = format!("fn on_event(event, ctx) {{ {edit} }}");
        holds(&policy, &format!("stream: a\n  expect: {{ error: \"{error}\" }}"));
    }
}

#[test]
fn a_failure_that_a_live_request_survives_fails_the_case() {
    let late = "fn on_response(message, ctx) { message.a.b.c = 1; }";
    let failed = failures(late, "stream: a\n  expect: { stream: a }");
    assert!(
        failed.starts_with("expected the request to continue, but it fails: policy"),
        "{failed}"
    );
    let wording = "fn on_error(error, ctx) { error.a.b.c = 1; }";
    let failed = failures(wording, "error: { message: a }\n  expect: { message: a }");
    assert!(
        failed.starts_with("expected the request to continue, but it fails: policy"),
        "{failed}"
    );
    holds(wording, "error: { message: a }\n  expect: { error: failed at }");
}

const EVERYWHERE: &str = r#"
fn refuse(ctx, hook) { if ctx.key == hook { deny(451, "no " + hook); } }
fn on_request(request, ctx) { refuse(ctx, "request"); }
fn on_upstream_request(request, target, ctx) { refuse(ctx, "upstream"); }
fn on_event(event, ctx) { if event.type == "content_block_delta" { refuse(ctx, "event"); } }
fn on_text(text, ctx) { refuse(ctx, "text"); }
fn on_tool_call(call, ctx) { refuse(ctx, "call"); }
fn on_tool_result(result, ctx) { refuse(ctx, "result"); }
fn on_response(message, ctx) { refuse(ctx, "response"); }
fn on_error(error, ctx) { error.message = "sorry: " + error.message; }
"#;

#[test]
fn a_refusal_reads_as_the_caller_or_the_model_reads_it() {
    for (key, subject, message) in [
        ("request", "request: { model: m }", "sorry: no request"),
        ("upstream", "upstream_request: {}", "sorry: no upstream"),
        ("event", "stream: a", "sorry: no event"),
        ("text", "stream: a", "sorry: no text"),
        ("text", "response: a", "sorry: no text"),
        ("response", "response: a", "sorry: no response"),
        // the model reads these
        ("call", "tool_call: {}", "no call"),
        ("result", "tool_result: {}", "no result"),
    ] {
        let expect = format!("expect: {{ deny: {{ status: 451, message: \"{message}\" }} }}");
        holds(EVERYWHERE, &format!("ctx: {{ key: {key} }}\n  {subject}\n  {expect}"));
    }
    // the end of a stream comes too late for a denial
    holds(EVERYWHERE, "ctx: { key: response }\n  stream: a\n  expect: { stream: a }");
    // the request is denied before the hook that the case is about
    assert_eq!(
        failures(EVERYWHERE, "ctx: { key: request }\n  response: a\n  expect: { response: a }"),
        "expected `on_request` to let the request pass, but it denies it: sorry: no request"
    );
}

#[test]
fn a_target_that_is_passed_over_is_a_refusal() {
    let policy = "fn on_upstream_request(request, target, ctx) { pass_over(\"no images\"); }\nfn on_error(error, ctx) { error.message = \"sorry\"; }";
    holds(policy, "upstream_request: {}\n  expect: { deny: { status: 400, message: no images } }");
}

#[test]
fn an_answer_of_the_policy_passes_its_own_hooks_over_answers() {
    let policy = r#"
fn on_request(request, ctx) { respond("a secret"); }
fn on_text(text, ctx) { text.replace("secret", "***"); text }
fn on_response(message, ctx) { count("answers"); }
"#;
    for request in ["{ model: m }", "{ model: m, stream: true }"] {
        holds(
            policy,
            &format!(
                "request: {request}\n  expect: {{ respond: a ***, counts: {{ answers: 1 }} }}"
            ),
        );
    }
}

#[test]
fn a_verb_that_works_elsewhere_fails_its_case() {
    for verb in ["route", "respond"] {
        let policy = format!(
            "fn on_upstream_request(request, target, ctx) {{ let f = Fn(\"{verb}\"); f.call(\"x\"); }}"
        );
        holds(
            &policy,
            &format!(
                "upstream_request: {{}}\n  expect: {{ error: \"`{verb}` does nothing in `on_upstream_request`\" }}"
            ),
        );
    }
}

#[test]
fn a_subject_of_a_wrong_type_is_named() {
    let policy = EVERYWHERE;
    for (case, error) in [
        ("upstream_request: { unsupported: thinking }", "`upstream_request`: invalid type"),
        ("tool_call: { tool: 5 }", "`tool_call`: invalid type"),
        (
            "tool_result: { content: 5 }",
            "`tool_result.content`: expected a text or a list of blocks, found 5",
        ),
        ("error: { type: oops }", "`error.type`: expected one of `invalid_request_error`"),
        ("error: { status: 5 }", "`error.status`: expected a status such as 529, found 5"),
    ] {
        holds(policy, &format!("{case}\n  expect: {{ error: \"{error}\" }}"));
    }
}

#[test]
fn headers_of_an_attempt_are_those_that_the_upstream_gets() {
    let policy = r#"
fn on_request(request, ctx) { set_header("x-a", "1"); set_header("x-b", "1"); }
fn on_upstream_request(request, target, ctx) { set_header("x-b", "2"); set_header("x-c", ()); }
"#;
    holds(
        policy,
        "ctx: { headers: { x-c: \"3\", x-d: \"4\" } }\n  upstream_request: {}\n  expect: { headers: { x-a: \"1\", x-b: \"2\", x-c: null, x-d: \"4\" } }",
    );
}
