//! What those who write policies use: `policy new`, `policy add`, `test`, `eval`.
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use tidegate::cli::check::check;
use tidegate::cli::test::run;

use crate::commands::{CONFIG, POLICY, Serving, cases, folder, tidegate};
use crate::shown::root;

#[test]
fn a_new_policy_keeps_its_own_cases() {
    let (folder, file) = folder(CONFIG, &[]);
    let output = tidegate(&file, &["policy", "new", "my-limit"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("policies/my-limit.cases.yaml") && said.contains("tidegate test"),
        "{said}"
    );
    let source = fs::read_to_string(folder.path().join("policies/my-limit.rhai")).unwrap();
    assert!(source.starts_with("// my-limit: "), "{source}");
    let output = tidegate(&file, &["test"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("3 passed, 0 failed"), "{said}");
    assert!(check(&file).is_ok());
}

#[test]
fn a_new_policy_overwrites_nothing_and_needs_a_name_that_is_one() {
    let files = [("policies/taken.rhai", POLICY), ("policies/half.cases.yaml", "[]")];
    let (folder, file) = folder(CONFIG, &files);
    for (name, expected) in [
        ("taken", "policies/taken.rhai: already exists"),
        ("half", "policies/half.cases.yaml: already exists"),
        ("../up", "`../up` is not a valid policy name"),
        ("Upper", "`Upper` is not a valid policy name"),
        ("", "`` is not a valid policy name"),
    ] {
        let output = tidegate(&file, &["policy", "new", name]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(said.contains(expected), "{name}: {said}");
    }
    assert!(!folder.path().join("policies/half.rhai").exists());
}

#[test]
fn a_policy_that_is_not_shipped_is_not_added() {
    let (_folder, file) = folder(CONFIG, &[]);
    let output = tidegate(&file, &["policy", "add", "no-such-policy-anywhere"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("no shipped policy is named `no-such-policy-anywhere`"), "{said}");
}

/// A policy that the binary brings along.
struct Shipped {
    name: String,
    source: String,
}

/// Those of `policies/library`.
fn shipped() -> Vec<Shipped> {
    let library = root().join("policies/library");
    let mut found = Vec::new();
    let mut folders = vec![library.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // modules are imported, not added
            if path.ends_with("lib") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rhai") {
                let name = path.with_extension("");
                let name = name.strip_prefix(&library).unwrap().to_str().unwrap().to_owned();
                found.push(Shipped { name, source: fs::read_to_string(path).unwrap() });
            }
        }
    }
    assert!(found.len() > 5, "the library is gone");
    found
}

#[test]
fn every_shipped_policy_can_be_added_and_then_keeps_its_cases() {
    for shipped in shipped() {
        let (folder, file) = folder(CONFIG, &[]);
        let output = tidegate(&file, &["policy", "add", &shipped.name]);
        assert_eq!(output.status.code(), Some(0), "{}", shipped.name);
        let name = shipped.name.rsplit('/').next().unwrap();
        let copy = fs::read_to_string(folder.path().join(format!("policies/{name}.rhai"))).unwrap();
        assert_eq!(copy, shipped.source);
        let mut out = Vec::new();
        let passed = run(&folder.path().join("policies"), &mut out);
        assert!(passed, "{}", String::from_utf8_lossy(&out));
        let again = tidegate(&file, &["policy", "add", &shipped.name]);
        assert_eq!(again.status.code(), Some(1), "{} was overwritten", shipped.name);
    }
}

#[test]
fn a_policy_that_needs_parameters_is_added_with_the_stage_that_it_needs() {
    let (_folder, file) = folder(CONFIG, &[]);
    let said = String::from_utf8(tidegate(&file, &["policy", "add", "canary"]).stdout).unwrap();
    assert!(said.contains("pipeline:\n  - { policy: canary, with: { "), "{said}");
    assert!(said.contains("percent: …") && !said.contains("it runs for every request"), "{said}");
    let said = String::from_utf8(tidegate(&file, &["policy", "add", "redact-pii"]).stdout).unwrap();
    assert!(said.contains("it runs for every request"), "{said}");
}

#[test]
fn a_failed_case_prints_a_line_diff_of_multiline_texts() {
    let policy = "fn on_request(request, ctx) { request.system = \"one\\ntwo\\nthree\"; }";
    let cases = "- name: a text\n  request: { model: m }\n  expect: { request: { model: m, system: \"one\\n2\\nthree\" } }\n";
    let files = [("policies/text.rhai", policy), ("policies/text.cases.yaml", cases)];
    let (_folder, file) = folder(CONFIG, &files);
    let said = String::from_utf8(tidegate(&file, &["test"]).stdout).unwrap();
    for line in ["request.system", " - 2", " + two", "   one"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "no colours where no terminal is: {said}");
}

#[test]
fn test_with_watch_runs_again_when_a_policy_is_saved() {
    let (good, bad) = (cases(5), POLICY.replace('5', "6"));
    let files = [("policies/five.rhai", POLICY), ("policies/five.cases.yaml", good.as_str())];
    let (folder, file) = folder(CONFIG, &files);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["test", "--watch", "--config"]).arg(&file).stdout(Stdio::piped());
    let mut watching = Serving(command.spawn().unwrap());
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut until = |said: &str| lines.find_map(|line| line.ok().filter(|l| l.contains(said)));
    until("1 passed, 0 failed").unwrap();
    until("waiting for changes").unwrap();
    // as editors save: a file beside it that then takes its place
    let beside = folder.path().join("policies/.five.rhai.swp");
    fs::write(&beside, bad).unwrap();
    fs::rename(&beside, folder.path().join("policies/five.rhai")).unwrap();
    assert_eq!(until("changed: ").unwrap(), "changed: five.rhai");
    until("0 passed, 1 failed").unwrap();
}

const BODY: &str =
    r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a secret"}]}"#;

/// What `eval` says and how it exits, of a policy with this source.
fn eval(source: &str, more: &[&str]) -> (Option<i32>, String) {
    let answer = r#"{"content":[{"type":"text","text":"a secret"}]}"#;
    let stream = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a secret\"}}\n";
    let files = [
        ("policies/p.rhai", source),
        ("body.json", BODY),
        ("answer.json", answer),
        ("stream.sse", stream),
    ];
    let (folder, _) = folder(CONFIG, &files);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(folder.path()).args(["eval", "--request", "body.json"]).args(more);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn eval_exits_with_1_if_a_policy_breaks_and_not_if_it_denies() {
    let deny = "fn on_request(request, ctx) { request.max_tokens = 5; deny(451, \"no\"); }";
    let (code, said) = eval(deny, &["policies/p.rhai"]);
    assert_eq!(code, Some(0), "{said}");
    for part in [" -   \"max_tokens\": 9,", " +   \"max_tokens\": 5,", "deny  451 no"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let broken = "fn on_request(request, ctx) {\n    request.a.b.c = 1;\n}";
    let (code, said) = eval(broken, &["policies/p.rhai"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failed at policies/p.rhai:2:15: "), "{said}");
    assert!(said.contains("    request.a.b.c = 1;\n                        ^"), "{said}");
}

#[test]
fn eval_takes_shipped_policies_by_name() {
    let (code, said) = eval(
        "fn on_request(request, ctx) {}",
        &["policies/p.rhai", "system-note", "--with", r#"{"note": "be brief"}"#],
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("system-note") && said.contains("be brief"), "{said}");
    let (code, said) = eval("", &["no-such-policy"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no-such-policy: cannot be read"), "{said}");
}

#[test]
fn eval_prints_the_effects_of_a_stage_and_runs_the_stages_of_the_config() {
    let source = "fn on_request(request, ctx) {\n    log(\"info\", `for ${ctx.key} ${ctx.tags.a} ${ctx.headers[\"x-b\"]}`);\n    count(\"seen\", 2); tag(\"t\", \"u\"); set_header(\"x-c\", \"d\"); route(\"other\");\n}";
    let (code, said) = eval(source, &["--key", "ci", "--tag", "a=1", "--header", "x-b: 2"]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "p  ",
        "log  INFO for ci 1 2\n",
        "count  seen + 2",
        "tag  t = u",
        "header  x-c = d",
        "route  other",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn eval_runs_the_hooks_before_an_attempt_if_it_has_a_target() {
    let source = "fn on_upstream_request(request, target, ctx) {
        if target.provider == \"b\" { pass_over(\"not b\"); }
        request.model = target.model + \"-2\";
    }";
    let (code, text) = eval(source, &["policies/p.rhai"]);
    assert_eq!(code, Some(0));
    assert!(!text.contains("claude-2"), "{text}");
    let (code, text) = eval(source, &["policies/p.rhai", "--target", "a/claude"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("claude-2"), "{text}");
    let (code, text) = eval(source, &["policies/p.rhai", "--target", "b/claude"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("not b"), "{text}");
}

#[test]
fn eval_sends_an_answer_back_through_the_stages() {
    let source = "fn on_text(text, ctx) { text.replace(\"secret\", \"***\"); text }";
    for answer in [["--response", "answer.json"], ["--stream", "stream.sse"]] {
        let (code, said) = eval(source, &[&["policies/p.rhai"][..], &answer].concat());
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("p  has no `on_request`"), "{said}");
        assert!(said.contains("a secret\"") && said.contains("a ***\""), "{said}");
    }
    let breaks = "fn on_text(text, ctx) { [1][5] }";
    let (code, said) = eval(breaks, &["policies/p.rhai", "--response", "answer.json"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("broke  500 policy \"p\" failed at policies/p.rhai:1:"), "{said}");
}

/// The exit code and output of `eval` with these stages and policies.
fn eval_pipeline(
    pipeline: &str,
    policies: &[(&str, &str)],
    more: &[&str],
) -> (Option<i32>, String) {
    let config = format!("{CONFIG}pipeline:\n{pipeline}");
    let (folder, file) = folder(&config, &[("body.json", BODY)]);
    for (name, source) in policies {
        fs::write(folder.path().join(format!("policies/{name}.rhai")), source).unwrap();
    }
    let body = folder.path().join("body.json").display().to_string();
    let output = tidegate(&file, &[&["eval", "--request", &body][..], more].concat());
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn eval_runs_the_stages_of_the_config_as_a_live_request_does() {
    let policies = [
        ("breaks", "fn on_request(request, ctx) { request.a = 1; request.b.c.d = 1; }"),
        ("other", "fn on_request(request, ctx) { request.other = 1; }"),
        ("last", "fn on_request(request, ctx) { request.seen = request.a ?? \"nothing\"; }"),
    ];
    let skips = "  - { policy: breaks, on_error: skip }\n  - { policy: other, when: { key: ci } }\n  - { policy: last }\n";
    let (code, said) = eval_pipeline(skips, &policies, &[]);
    assert_eq!(code, Some(1), "it broke, though the request goes on: {said}");
    for part in [
        "broke  500 policy \"breaks\" failed at ",
        "stage failed and was skipped",
        "other  does not run for this request (`when`)",
        " +   \"seen\": \"nothing\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = eval_pipeline(skips, &policies, &["--key", "ci"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(" +   \"other\": 1"), "{said}");
    let (_, said) = eval_pipeline(&skips.replace("skip", "deny"), &policies, &[]);
    assert!(said.contains("broke  500 policy \"breaks\"") && !said.contains("last"), "{said}");
}

#[test]
fn eval_says_that_a_stage_leaves_no_request() {
    let source = "fn on_request(request, ctx) { let k = \"mess\" + \"ages\"; request.remove(k); }";
    let (code, said) = eval(source, &["policies/p.rhai"]);
    assert_eq!(code, Some(1), "{said}");
    let message = "broke  500 stage `p` left a request that cannot be sent: `messages` is missing: it must be an array (removed at policies/p.rhai:1:";
    assert!(said.contains(message), "{said}");
}

#[test]
fn eval_shows_the_words_that_the_caller_reads() {
    let source = "fn on_request(request, ctx) { deny(403, \"no\"); }\nfn on_error(error, ctx) { error.message = \"sorry: \" + error.message; }";
    let (code, said) = eval(source, &["policies/p.rhai"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("deny  403 no") && said.contains("on_error  sorry: no"), "{said}");
    let source = "fn on_request(request, ctx) { respond(\"a secret\"); }\nfn on_text(text, ctx) { text.replace(\"secret\", \"***\"); text }";
    let (code, said) = eval(source, &["policies/p.rhai"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a secret\"") && said.contains("a ***\""), "{said}");
}

#[test]
fn eval_takes_the_time_that_policies_read() {
    let source = "fn on_request(request, ctx) { request.day = utc().date; }";
    let time = ["--now", "2026-12-24T18:00:00Z"];
    let (code, said) = eval(source, &[&["policies/p.rhai"][..], &time].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" +   \"day\": \"2026-12-24\""), "{said}");
    let (code, said) = eval(source, &time);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" +   \"day\": \"2026-12-24\""), "{said}");
    let (code, said) = eval(source, &["--now", "tomorrow"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("expected a time with its zone"), "{said}");
}

#[test]
fn eval_reports_script_errors_and_unreadable_files() {
    let source = "fn on_request(request, ctx) { requst.a = 1; }";
    let (code, said) = eval(source, &["policies/p.rhai"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "policies/p.rhai:1:31: no variable is named `requst`\n    fn on_request(request, ctx) { requst.a = 1; }\n                                  ^\n"
    );
    let (code, said) = eval(source, &["policies/none.rhai"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("policies/none.rhai: cannot be read"), "{said}");
}

#[test]
fn a_shipped_policy_runs_without_a_copy_where_the_pipeline_names_it() {
    for shipped in shipped() {
        // the line of the file itself, where the policy needs parameters
        let line = shipped.source.lines().find_map(|line| line.strip_prefix("// pipeline: "));
        let own = format!("[{{ policy: {} }}]", shipped.name);
        let order = format!("{CONFIG}pipeline: {}\n", line.unwrap_or(&own));
        let (_folder, file) = folder(&order, &[]);
        assert_eq!(check(&file), Ok(()), "{}", shipped.name);
        let output = tidegate(
            &file,
            &["eval", "--request", Path::new("examples/quickstart/request.json").to_str().unwrap()],
        );
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with(&shipped.name), "{said}");
    }
}

#[test]
fn policy_defs_prints_the_definitions_for_editors() {
    let (_folder, file) = folder(CONFIG, &[]);
    let output = tidegate(&file, &["policy", "defs"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(said.contains("fn deny(") && said.contains("fn on_request("), "{said}");
}

#[test]
fn test_and_eval_find_the_modules_of_the_folder_and_mistakes_in_them() {
    let policy = "import \"lib/five\" as five;\nfn on_request(request, ctx) { request.max_tokens = five::n(); }";
    let good = cases(5);
    let files = [
        ("policies/five.rhai", policy),
        ("policies/five.cases.yaml", good.as_str()),
        ("body.json", BODY),
    ];
    let (folder, file) = folder(CONFIG, &files);
    let lib = folder.path().join("policies/lib");
    fs::create_dir(&lib).unwrap();
    fs::write(lib.join("five.rhai"), "fn n() { 5 }").unwrap();
    let said = String::from_utf8(tidegate(&file, &["test"]).stdout).unwrap();
    assert!(said.contains("1 passed, 0 failed"), "{said}");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (policy, body) = (path("policies/five.rhai"), path("body.json"));
    let said =
        String::from_utf8(tidegate(&file, &["eval", &policy, "--request", &body]).stdout).unwrap();
    assert!(said.contains(" +   \"max_tokens\": 5,"), "{said}");
    fs::write(lib.join("five.rhai"), "fn n() { fivve() }").unwrap();
    let said = String::from_utf8(tidegate(&file, &["test"]).stdout).unwrap();
    assert!(said.contains("policies/lib/five.rhai:1:10: there is no function `fivve`"), "{said}");
}
