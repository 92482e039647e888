//! Cases: the promises of policies, kept by the shipped policies and by the docs.
use std::fs;
use std::path::Path;

use crate::policy::cases::{CaseResult, run_cases};

use super::{compile, hook};

const CAP: &str = "request.max_tokens = 5; if ctx.key == \"x\" { route(\"y\"); }";

/// A policy that closes at 18:00 in Berlin, and for the whole of Christmas Eve in UTC.
const CLOSED: &str = r#"
    let here = time_in("Europe/Berlin");
    if here.hour >= 18 { deny(503, "closed at " + here.time); }
    if utc().date == "2026-12-24" { deny(503, "a holiday"); }
    tag("now", now());
    tag("now_ms", now_ms());
"#;

/// Returns the failures of cases, one per line.
fn failures(body: &str, yaml: &str) -> String {
    let results = run_cases(&hook(body), yaml, Path::new("policies/probe.cases.yaml")).unwrap();
    results.iter().filter_map(CaseResult::failure).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_case_that_fails_says_where_and_how() {
    for (body, case, expected) in [
        (CAP, "expect: { unchanged: true }", "request.max_tokens: expected 9, found 5"),
        (
            CAP,
            "expect: { request: { max_tokens: 5, x: [1] } }",
            "request.x: expected [1], found nothing",
        ),
        (CAP, "expect: { request: { max_tokens: 6 } }", "request.max_tokens: expected 6, found 5"),
        (CAP, "expect: { deny: {} }", "expected a denial, but the request continues"),
        (CAP, "expect: { route: small }", "route: expected \"small\", found nothing"),
        (
            CAP,
            "ctx: { key: x }\n  expect: { request: { max_tokens: 5 } }",
            "route: expected nothing, found \"y\"",
        ),
        (
            "deny(403, \"no\")",
            "expect: { unchanged: true }",
            "expected the request to continue, but it is denied: 403 no",
        ),
        (
            "deny(403, \"no\")",
            "expect: { deny: { message: yes } }",
            "deny.status: expected 400, found 403\ndeny.message: expected \"yes\", found \"no\"",
        ),
        ("respond(\"a\")", "expect: { respond: b }", "respond: expected \"b\", found \"a\""),
        (
            "respond(\"a\")",
            "expect: { respond: { role: user } }",
            "role: expected \"user\", found \"assistant\"",
        ),
        (
            "deny(true)",
            "expect: { unchanged: true }",
            "expected the request to continue, but it fails: policy \"probe\" failed at policies/probe.rhai:2:1: there is no function `deny (bool)`",
        ),
        ("deny(true)", "expect: { error: other }", "error: expected \"other\", found"),
    ] {
        let found = failures(body, &format!("- name: n\n  request: {{ max_tokens: 9 }}\n  {case}"));
        assert!(found.starts_with(expected), "{case}\nexpected {expected}\nfound    {found}");
    }
}

#[test]
fn cases_that_hold_pass() {
    for (body, case) in [
        (CAP, "expect: { request: { max_tokens: 5 } }"),
        (CAP, "ctx: { key: x }\n  expect: { route: y, request: { max_tokens: 5 } }"),
        ("deny(403, \"no\")", "expect: { deny: { status: 403, message: no } }"),
        ("respond(\"a\")", "expect: { respond: a }"),
        (
            "respond(\"a\")",
            "expect: { respond: { role: assistant, content: [{ type: text, text: a }] } }",
        ),
        ("deny(true)", "expect: { error: no function `deny }"),
        (
            "request.n = ctx.headers[\"x-a\"] + ctx.model",
            "ctx: { headers: { X-A: b } }\n  expect: { request: { max_tokens: 9, n: b } }",
        ),
    ] {
        let found = failures(body, &format!("- name: n\n  request: {{ max_tokens: 9 }}\n  {case}"));
        assert_eq!(found, "", "{case}");
    }
}

#[test]
fn a_case_sets_the_time_that_the_policy_reads() {
    for (now, expect) in [
        ("2026-12-24T18:00:00Z", "deny: { status: 503, message: \"closed at 19:00:00\" }"),
        ("2026-12-24T08:00:00Z", "deny: { status: 503, message: a holiday }"),
        ("2026-12-24T08:00:00+09:00", "unchanged: true"),
        ("2026-06-01T12:00:00.250Z", "tags: { now: \"1780315200\", now_ms: \"1780315200250\" }"),
    ] {
        let cases = format!("- name: n\n  ctx: {{ now: \"{now}\" }}\n  expect: {{ {expect} }}");
        assert_eq!(failures(CLOSED, &cases), "", "{now}");
    }
}

#[test]
fn each_case_has_its_own_time_in_every_hook() {
    let script = compile(
        "fn on_text(text, ctx) { utc().date }\nfn on_tool_call(call, ctx) { call.input.date = utc().date; }",
    );
    let cases = r#"
- name: the first day
  ctx: { now: "2026-01-01T00:00:00Z" }
  response: a
  expect: { response: "2026-01-01" }
- name: the last day
  ctx: { now: "2026-12-31T00:00:00Z" }
  stream: a
  expect: { stream: "2026-12-31" }
- name: a call
  ctx: { now: "2026-02-03T00:00:00Z" }
  tool_call: { tool: t }
  expect: { tool_call: { input: { date: "2026-02-03" } } }
"#;
    for case in run_cases(&script.unwrap(), cases, Path::new("p.cases.yaml")).unwrap() {
        assert_eq!(case.failure(), None, "{}", case.name);
    }
}

#[test]
fn a_time_that_is_none_is_a_problem_with_its_line() {
    for wrong in ["yesterday", "2026-12-24", "2026-12-24T18:00:00", "2026-13-24T18:00:00Z"] {
        let yaml = format!(
            "- name: n\n  ctx:\n    key: k\n    now: \"{wrong}\"\n  expect: {{ unchanged: true }}"
        );
        let problem = run_cases(&hook(CAP), &yaml, Path::new("p.cases.yaml")).unwrap_err();
        let expected = format!(
            "p.cases.yaml:4: case `n`: `ctx.now`: expected a time with its zone such as `2026-12-24T18:00:00Z`, found `{wrong}`"
        );
        assert_eq!(problem.to_string(), expected);
    }
}

#[test]
fn a_file_that_is_no_list_of_cases_is_a_problem() {
    for (yaml, expected) in [
        ("[]", "policies/p.cases.yaml: the file has no cases"),
        ("- { name: n, request: {}, expects: {} }", "policies/p.cases.yaml:1:"),
        ("- { name: n, request: {}, expect: { denied: 1 } }", "policies/p.cases.yaml:1:"),
        (
            "- { name: n, request: {}, expect: {} }",
            "policies/p.cases.yaml:1: case `n`: `expect` must have one of",
        ),
        (
            "- { name: n, request: {}, expect: { unchanged: true, respond: x } }",
            "policies/p.cases.yaml:1: case `n`: `expect` must",
        ),
    ] {
        let problem = run_cases(&hook(CAP), yaml, Path::new("policies/p.cases.yaml")).unwrap_err();
        assert!(problem.to_string().starts_with(expected), "{problem}");
    }
}

#[test]
fn the_examples_in_the_policy_docs_run() {
    let mut cases = 0;
    for entry in fs::read_dir("docs/policies").unwrap() {
        cases += run_cases_of_page(&entry.unwrap().path());
    }
    assert!(cases >= 15, "the examples are gone: {cases}");
}

/// Runs the cases below each policy of a page. Returns their number.
fn run_cases_of_page(page: &Path) -> usize {
    let docs = fs::read_to_string(page).unwrap();
    let mut script = None;
    let mut cases = 0;
    for block in docs.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap();
        match language {
            "rhai" => script = Some(compile(text).unwrap()),
            "yaml" => {
                let script = script.take().expect("cases follow their policy");
                for case in run_cases(&script, text, page).unwrap() {
                    assert_eq!(case.failure(), None, "{}: {}", page.display(), case.name);
                    cases += 1;
                }
            }
            // blocks with files, commands and requests, which `tests/it/docs.rs` runs
            "sh" | "text" | "http" | "json" => {}
            other if other.contains(' ') => {}
            other => panic!("{}: a block of `{other}` is not run", page.display()),
        }
    }
    assert!(script.is_none(), "{}: a policy has no cases", page.display());
    cases
}

const ALL: &str = r#"
fn on_request(request, ctx) {
    ctx.state.model = request.model;
    set_header("x-team", ctx.tags.team ?? "none");
    if request.model == "blocked" { deny(403, "no"); }
}
fn on_upstream_request(request, target, ctx) {
    if "thinking" in target.unsupported { request.remove("thinking"); }
    set_header("x-provider", target.provider);
}
fn on_text(text, ctx) {
    if text.contains("stop here") { deny(451, "that is secret"); }
    text.replace("secret", "***");
    text
}
fn on_response(message, ctx) {
    tag("model", ctx.state.model);
    count("answers");
    set_response_header("x-seen", "yes");
}
fn on_tool_call(call, ctx) {
    if call.tool == "shell" { deny("no shell"); }
    if call.input.zone == "here" { respond("noon"); }
    call.input.zone = "UTC";
}
fn on_tool_result(result, ctx) {
    result.content[0].text = "[checked] " + result.content[0].text;
}
fn on_error(error, ctx) { error.message = "sorry: " + error.message; }
"#;

/// Returns the failures of one case against a policy with every hook, one per line.
fn about(case: &str) -> String {
    let script = compile(ALL).unwrap();
    let yaml = format!("- name: n\n  {case}");
    let results = run_cases(&script, &yaml, Path::new("policies/p.cases.yaml"));
    let results = results.unwrap_or_else(|problem| panic!("{case}: {problem}"));
    results.iter().filter_map(CaseResult::failure).collect::<Vec<_>>().join("\n")
}

#[test]
fn cases_are_about_every_hook() {
    for case in [
        "expect: { unchanged: true, headers: { x-team: none } }",
        "ctx: { tags: { team: ml } }\n  expect: { headers: { x-team: ml, x-provider: null } }",
        "request: { thinking: {}, a: 1 }\n  upstream_request: { provider: p, unsupported: [thinking] }\n  expect: { request: { a: 1 }, headers: { x-provider: p } }",
        "upstream_request: {}\n  expect: { unchanged: true }",
        "response: a secret\n  expect: { response: a ***, tags: { model: claude-x }, counts: { answers: 1 }, response_headers: { x-seen: \"yes\" } }",
        "response: { content: [{ type: text, text: a secret }], stop_reason: max_tokens }\n  expect: { response: { stop_reason: max_tokens, content: [{ type: text, text: a *** }] } }",
        "response: nothing\n  expect: { unchanged: true }",
        "response: now stop here\n  expect: { deny: { status: 451 } }",
        "stream: a secret\n  expect: { stream: a ***, counts: { answers: 1 } }",
        "stream: [a se, cret w, ord]\n  expect: { stream: a *** word }",
        "stream: [a se, cret]\n  expect: { stream: [a ***] }",
        "stream: \"now stop here\"\n  expect: { deny: { status: 451, message: \"sorry: that is secret\" } }",
        "tool_call: { tool: datetime, input: {} }\n  expect: { tool_call: { input: { zone: UTC } } }",
        "tool_call: { tool: datetime, input: { zone: here } }\n  expect: { respond: noon }",
        "tool_call: { tool: shell }\n  expect: { deny: { message: no shell } }",
        "tool_result: { tool: datetime, content: noon }\n  expect: { tool_result: \"[checked] noon\" }",
        "tool_result: { content: [{ type: text, text: noon }] }\n  expect: { tool_result: { is_error: false } }",
        "error: { status: 529, type: overloaded_error, message: full }\n  expect: { message: \"sorry: full\" }",
        "tool_result: { content: [] }\n  expect: { error: index }",
    ] {
        assert_eq!(about(case), "", "{case}");
    }
}

#[test]
fn cases_about_every_hook_can_fail() {
    for (case, expected) in [
        (
            "upstream_request: { provider: p }\n  expect: { headers: { x-provider: q } }",
            "headers.x-provider: expected \"q\", found \"p\"",
        ),
        ("response: a secret\n  expect: { unchanged: true }", "response.content[0].text: expected"),
        ("response: a\n  expect: { response: b }", "response: expected \"b\", found \"a\""),
        (
            "response: a\n  expect: { tags: { model: x }, counts: { answers: 2 } }",
            "tags.model: expected \"x\", found \"claude-x\"\ncounts.answers: expected 2, found 1",
        ),
        ("stream: [a, b]\n  expect: { stream: a }", "stream: expected \"a\", found \"ab\""),
        ("stream: a\n  expect: { stream: [{ type: ping }] }", "stream[0]"),
        (
            "stream: stop here\n  expect: { stream: stop here }",
            "expected the request to continue, but it is denied: 451 sorry: that is secret",
        ),
        (
            "tool_call: { tool: shell }\n  expect: { tool_call: { input: {} } }",
            "expected the request to continue, but it is denied: 400 no shell",
        ),
        (
            "tool_result: { content: [] }\n  expect: { tool_result: \"\" }",
            "expected the request to continue, but it fails: policy \"probe\" failed at policies/probe.rhai:",
        ),
        (
            "error: { message: a }\n  expect: { message: a }",
            "message: expected \"a\", found \"sorry: a\"",
        ),
        (
            "request: { model: blocked }\n  response: a\n  expect: { response: a }",
            "expected `on_request` to let the request pass, but it denies it: sorry: no",
        ),
    ] {
        let found = about(case);
        assert!(found.starts_with(expected), "{case}\nexpected {expected}\nfound    {found}");
    }
}

#[test]
fn a_case_that_makes_no_sense_is_a_problem_with_its_line() {
    let script = compile(ALL).unwrap();
    for (case, expected) in [
        ("response: a\n  stream: a\n  expect: { response: a }", "it has `response` and `stream`"),
        ("expect: { response: a }", "`expect.response` does not apply to a case about `request`"),
        (
            "stream: a\n  expect: { response: a }",
            "`expect.response` does not apply to a case about `stream`",
        ),
        (
            "error: {}\n  expect: { request: {} }",
            "`expect.request` does not apply to a case about `error`",
        ),
    ] {
        let yaml = format!("- name: n\n  {case}");
        let problem = run_cases(&script, &yaml, Path::new("p.cases.yaml")).unwrap_err().to_string();
        assert!(
            problem.starts_with("p.cases.yaml:1: case `n`: ") && problem.contains(expected),
            "{problem}"
        );
    }
}
