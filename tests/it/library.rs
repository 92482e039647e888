//! The shipped policies: each small, explained, with cases that hold, and built into the gateway.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::shown::{root, text};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping, simulated_upstream, to};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, logs};

/// Without the folders below.
fn library() -> Vec<PathBuf> {
    let found = policies_in("");
    assert!(found.len() >= 19, "policies are gone");
    found
}

fn policies_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("policies/library").join(folder)).unwrap();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rhai"))
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// The fields of `ctx.with` that a source reads.
fn parameters(source: &str) -> BTreeSet<&str> {
    source
        .split("with.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
        .filter(|name| !name.is_empty())
        .collect()
}

fn after<'a>(source: &'a str, start: &str) -> &'a str {
    let line = source.lines().take(3).find_map(|line| line.strip_prefix(start));
    line.unwrap_or_else(|| panic!("no line begins with {start}: {source}"))
}

#[test]
fn every_shipped_policy_is_short_and_documents_its_purpose_and_parameters() {
    let page = text("docs/policies/shipped.md");
    for path in library() {
        let (name, source) = (name(&path), fs::read_to_string(&path).unwrap());
        assert!(source.lines().count() < 40, "{name} has {} lines", source.lines().count());
        assert!(source.starts_with("// "), "{name} does not say what it is for");
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` | ")));
        let row = row.unwrap_or_else(|| panic!("docs/policies/shipped.md has no row for {name}"));
        let with = after(&source, "// with: ");
        let used = parameters(&source);
        assert!(!used.is_empty(), "{name}");
        for parameter in used {
            assert!(row.contains(&format!("`{parameter}`")), "{name}: {parameter} in the table");
            assert!(with.contains(parameter), "{name}: {parameter} in the first comment");
        }
    }
}

#[test]
fn the_dialects_of_other_gateways_are_short_too() {
    let dialects = policies_in("compat");
    assert_eq!(dialects.len(), 4);
    for path in dialects {
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.lines().count() < 40, "{} is long", path.display());
        assert!(source.lines().all(|line| line.chars().count() <= 200), "{}", path.display());
    }
}

#[test]
fn every_shipped_policy_has_cases_and_all_of_them_hold() {
    let mut out = Vec::new();
    let held = tidegate::cli::test::run(&root().join("policies/library"), &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(held, "{out}");
    for path in library() {
        let lines = out.lines().filter(|line| line.starts_with("ok "));
        let cases = lines.filter(|line| line.contains(&format!(" {}: ", name(&path)))).count();
        assert!(cases >= 4, "{}: {cases} cases", path.display());
    }
}

#[test]
fn the_default_policies_are_copies_of_the_library() {
    for file in fs::read_dir(root().join("policies")).unwrap() {
        let file = file.unwrap().path();
        let shipped = root().join("policies/library").join(file.file_name().unwrap());
        if file.is_file() {
            let (own, shipped) = (fs::read_to_string(&file), fs::read_to_string(&shipped));
            assert_eq!(own.unwrap(), shipped.unwrap(), "{}", file.display());
        }
    }
}

async fn answering(answer: Vec<u8>) -> Auto {
    Upstream::always(Behaviour::Answer(answer)).await
}

#[tokio::test]
async fn the_line_for_the_pipeline_in_each_file_works() {
    let up = answering(upstream::json(200, ANSWER)).await;
    for path in library() {
        let source = fs::read_to_string(&path).unwrap();
        let line = after(&source, "// pipeline: ");
        let config = format!("{}pipeline: {line}\n", to(up.address));
        let gateway = Gateway::start(&config).await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        // one asks for more than this request has, one for a plugin that is not here
        let expected = match name(&path) {
            "require-metadata" => "metadata.user_id is missing",
            "add-server-tools" => "gateway:datetime",
            _ => "hello",
        };
        let said = answer.text();
        assert!(said.contains(expected), "{}: {said}", path.display());
    }
}

fn frame(index: usize, piece: &str) -> String {
    FRAMES[index].replace("hello", piece)
}

#[tokio::test]
async fn a_pipeline_names_shipped_policies_without_a_copy_of_them() {
    logs::start();
    let delta = (0..FRAMES.len()).find(|at| FRAMES[*at].contains("hello")).unwrap();
    let frames: Vec<String> = (0..FRAMES.len())
        .flat_map(|at| match at == delta {
            true => vec![frame(at, "use AKIAIOSF"), frame(at, "ODNN7EXAMPLE for it")],
            false => vec![FRAMES[at].to_owned()],
        })
        .collect();
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let up = answering(upstream::stream(&frames)).await;
    let stages = "pipeline:
  - { policy: deny-models, with: { rules: [{ models: ['*opus*'] }] } }
  - { policy: cap-max-tokens, with: { limit: 100 } }
  - { policy: redact-secrets }
  - { policy: canary, with: { percent: 100, to: next } }
  - { policy: log-sample, with: { percent: 100 } }
";
    let gateway = Gateway::with().upstream(up.address).config(stages).start().await;
    let ask = |model: &str| {
        let content = "my key is ghp_abcdefghijklmnopqrstuvwxyz0123456789";
        let messages = json!([{"role": "user", "content": content}]);
        let body = json!({"model": model, "max_tokens": 500, "stream": true, "messages": messages});
        Ask::message(body.to_string()).send(gateway.address)
    };

    let answer = ask("on-the-shelf").await;
    assert_eq!(answer.status, 200);
    let said = answer.text();
    assert!(said.contains("use [secret] for it") && !said.contains("EXAMPLE"), "{said}");

    let sent: Value = serde_json::from_slice(&up.seen()[0].1).unwrap();
    assert_eq!(sent["model"], "next");
    assert_eq!(sent["max_tokens"], 100);
    assert_eq!(sent["messages"][0]["content"], "my key is [secret]");

    let line = logs::line_with("policy", "log-sample", "request: model=on-the-shelf ").await;
    let id = line["request_id"].as_str().unwrap();
    let line = logs::line_with("request_id", id, "answer: model=up stop_reason=end_turn ").await;
    assert_eq!(line["policy"], "log-sample");
    assert_eq!(ask("claude-opus-4-6").await.status, 403);
    assert_eq!(up.count(), 1);
}

#[tokio::test]
async fn a_tool_that_a_shipped_policy_adds_runs_without_a_declaration_from_the_caller() {
    let upstream = simulated_upstream().await;
    let stages = "pipeline: [{ policy: add-server-tools }]";
    let gateway = looping(upstream.address).config(stages).start().await;
    let messages = json!([{"role": "user", "content": "[sim: call datetime]"}]);
    let body = json!({"model": "m", "max_tokens": 1000, "messages": messages});
    assert_eq!(gateway.ask(&body).await.status, 200);
    let seen = upstream.requests();
    assert_eq!(seen[0]["tools"][0]["name"], "gateway_datetime");
    assert!(seen[1]["messages"][2]["content"][0].to_string().contains("timezone"), "{}", seen[1]);
}

#[tokio::test]
async fn betas_in_several_lines_are_normalised_together() {
    let up = answering(upstream::json(200, ANSWER)).await;
    let stages = "pipeline: [{ policy: normalise-betas, with: { providers: [up] } }]\n";
    let gateway = Gateway::with().upstream(up.address).config(stages).start().await;
    let ask = Ask::message(MESSAGE)
        .header("anthropic-beta", "files-api-2025-04-14")
        .header("anthropic-beta", "context-1m-2025-08-07,effort-2025-11-24");
    assert_eq!(ask.send(gateway.address).await.status, 200);
    let (head, _) = up.seen().remove(0);
    let sent: Vec<&str> = head
        .headers
        .iter()
        .filter(|(name, _)| name == "anthropic-beta")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(sent, ["context-1m-2025-08-07,effort-2025-11-24"]);
}
