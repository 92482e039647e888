//! `tidegate import litellm`: public shapes of LiteLLM's config with the result of each, and the errors that stop an import.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::shown::page::{self, Block};
use crate::support::ANSWER;
use crate::support::gateway::Gateway;
use crate::support::repository::{self, root};
use crate::support::upstream::{self, Behaviour, Upstream};

const SHAPES: &str = "tests/fixtures/litellm";
const OVERLOADED: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;

fn shapes() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(SHAPES)).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() >= 12, "{found:?}");
    found
}

/// Runs the command in a folder, without any variable.
fn tidegate(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.env_clear().current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Copies a folder with its subfolders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A folder with a copy of a shape, and without the expected files.
fn shape(path: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(path, folder.path());
    for name in ["tidegate.yaml", "tidegate-models.yaml", "report.txt"] {
        let _ = fs::remove_file(folder.path().join(name));
    }
    folder
}

/// A folder with one file of LiteLLM.
fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.yaml"), config).unwrap();
    folder
}

#[test]
fn each_shape_becomes_the_expected_config_and_report() {
    let is_update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut wrong = Vec::new();
    for path in shapes() {
        let folder = shape(&path);
        let output = tidegate(folder.path(), &["import", "litellm", "config.yaml"]);
        assert!(output.status.success(), "{}: {}", path.display(), text(&output.stdout));
        fs::write(folder.path().join("report.txt"), &output.stdout).unwrap();
        for name in ["tidegate.yaml", "tidegate-models.yaml", "report.txt"] {
            let found = fs::read_to_string(folder.path().join(name)).ok();
            let fixture = path.join(name);
            if is_update {
                match &found {
                    Some(found) => fs::write(&fixture, found).unwrap(),
                    None => drop(fs::remove_file(&fixture)),
                }
            }
            if fs::read_to_string(&fixture).ok() != found {
                wrong.push(format!("{}:\n{}", fixture.display(), found.unwrap_or_default()));
            }
        }
    }
    assert!(wrong.is_empty(), "UPDATE_FIXTURES=1 writes these files:\n{}", wrong.join("\n"));
}

#[test]
fn each_result_passes_check_with_its_variables_set() {
    for path in shapes() {
        let folder = shape(&path);
        let args = ["import", "litellm", "config.yaml", "--format", "json"];
        let output = tidegate(folder.path(), &args);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["problems"], serde_json::json!([]), "{}", path.display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.env_clear().current_dir(folder.path()).arg("check");
        for variable in report["variables"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            let value = match name {
                _ if name.contains("BASE") => "https://upstream.example.com",
                _ if name.contains("REGION") || name.contains("LOCATION") => "us-east-1",
                _ if name.contains("URL") => "redis://127.0.0.1:1",
                _ if name.contains("VERSION") => "2025-04-01-preview",
                _ if name.contains("CREDENTIALS") || name.contains("JSON") => "default",
                _ => "value",
            };
            command.env(name, value);
        }
        let checked = command.output().unwrap();
        assert_eq!(text(&checked.stdout), "ok\n", "{}: {}", path.display(), text(&checked.stderr));
    }
}

#[test]
fn no_value_in_clear_text_is_written_or_printed() {
    for path in shapes() {
        let folder = shape(&path);
        let output = tidegate(folder.path(), &["import", "litellm", "config.yaml"]);
        let config = fs::read_to_string(folder.path().join("tidegate.yaml")).unwrap();
        let all = [config, text(&output.stdout), text(&output.stderr)].concat();
        for secret in ["clear-", "-clear", "AKIACLEARKEY", "not-so-secret"] {
            assert!(!all.contains(secret), "{}: {secret}: {all}", path.display());
        }
    }
}

#[test]
fn an_import_overwrites_a_file_only_if_it_is_forced() {
    let config = "model_list: [{ model_name: m, litellm_params: { model: openai/m, input_cost_per_token: 1e-6 } }]";
    for existing in ["out.yaml", "out-models.yaml"] {
        let folder = folder(config);
        fs::write(folder.path().join(existing), "mine").unwrap();
        let args = ["import", "litellm", "config.yaml", "--out", "out.yaml"];
        let output = tidegate(folder.path(), &args);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.starts_with(existing) && said.contains("--force"), "{said}");
        assert_eq!(fs::read_to_string(folder.path().join(existing)).unwrap(), "mine");
        // nothing is half done
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let forced = [&args[..], &["--force"]].concat();
        assert!(tidegate(folder.path(), &forced).status.success());
        assert_ne!(fs::read_to_string(folder.path().join(existing)).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_place() {
    let cases = [
        ("", "config.yaml: the file is empty"),
        ("# only a comment\n", "config.yaml: the file is empty"),
        (
            "- a\n- list\n",
            "config.yaml:1: expected a mapping such as `model_list: …`, found a list",
        ),
        ("just text", "config.yaml:1: expected a mapping such as `model_list: …`, found a text"),
        ("model_list:\n  - a: [\n", "config.yaml: no valid YAML: "),
        (
            "a: 1\nb: 2\na: 3\n",
            "config.yaml: the key `a` occurs twice: remove or rename the one at line 3, column 1",
        ),
        (
            "model_list: []\n---\nmodel_list: []\n",
            "config.yaml: only one document may be in the file",
        ),
        ("include: [none.yaml]\n", "config.yaml:1: `include`: none.yaml: "),
        (
            "include: [{ a: 1 }]\n",
            "config.yaml:1: `include`: expected the name of a file, found a mapping",
        ),
    ];
    for (config, expected) in cases {
        let folder = folder(config);
        let output = tidegate(folder.path(), &["import", "litellm", "config.yaml"]);
        let said = text(&output.stderr);
        assert!(said.starts_with(expected), "{config}: {said}");
        assert_eq!(output.status.code(), Some(1));
        assert!(!folder.path().join("tidegate.yaml").exists());
    }
    let folder = folder("");
    let output = tidegate(folder.path(), &["import", "litellm", "missing.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("missing.yaml: "), "{}", text(&output.stderr));
    assert_eq!(tidegate(folder.path(), &["import", "litellm"]).status.code(), Some(2));
    let nowhere = ["import", "litellm", "config.yaml", "--out", "none/tidegate.yaml"];
    fs::write(folder.path().join("config.yaml"), "model_list: []").unwrap();
    let output = tidegate(folder.path(), &nowhere);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("none/tidegate.yaml: cannot be written"));
}

#[test]
fn a_problem_of_the_result_is_reported_and_exits_with_1() {
    let config = "model_list:\n  - model_name: m\n    litellm_params: { model: vertex_ai/claude-x, vertex_project: p, vertex_location: us-east5, vertex_credentials: none.json }\n";
    let folder = folder(config);
    let output = tidegate(folder.path(), &["import", "litellm", "config.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("check: 1 to mend in tidegate.yaml"), "{said}");
    assert!(said.contains("providers.vertex.credentials"), "{said}");
    assert!(folder.path().join("tidegate.yaml").exists());
}

#[test]
fn the_example_of_the_book_is_what_the_command_writes() {
    let page = repository::text("docs/operate/from-another-gateway.md");
    let blocks = page::blocks(&page);
    let begins = |start: &'static str| move |block: &&Block| block.text.starts_with(start);
    let theirs = blocks.iter().find(begins("model_list:")).unwrap();
    let ours = blocks.iter().find(begins("# Written by")).unwrap();
    let folder = folder(&theirs.text);
    let output = tidegate(folder.path(), &["import", "litellm", "config.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let written = fs::read_to_string(folder.path().join("tidegate.yaml")).unwrap();
    assert_eq!(ours.text, written, "{}", text(&output.stdout));
}

#[tokio::test]
async fn an_imported_config_serves_requests_with_fallbacks_and_wildcards() {
    let failing = Upstream::always(Behaviour::Answer(upstream::json(529, OVERLOADED))).await;
    let good = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = format!(
        "model_list:
  - model_name: single
    litellm_params: {{ model: anthropic/large, api_base: \"http://{down}/v1/messages\", api_key: none }}
  - model_name: balanced
    litellm_params: {{ model: anthropic/one, api_base: \"http://{down}\", api_key: none, weight: 2 }}
  - model_name: balanced
    litellm_params: {{ model: anthropic/two, api_base: \"http://{down}\", api_key: none, weight: 1 }}
  - model_name: small
    litellm_params: {{ model: anthropic/small-model, api_base: \"http://{up}\", api_key: none }}
  - model_name: \"team/*\"
    litellm_params: {{ model: \"anthropic/*\", api_base: \"http://{up}\", api_key: none }}
router_settings:
  num_retries: 1
  fallbacks: [{{ single: [small] }}, {{ balanced: [small] }}]
",
        down = failing.address,
        up = good.address
    );
    let folder = folder(&config);
    let output = tidegate(folder.path(), &["import", "litellm", "config.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let written = fs::read_to_string(folder.path().join("tidegate.yaml")).unwrap();
    let gateway = Gateway::start(&written.replace(":4000", ":0").replace(":4001", ":0")).await;
    let body = |model: &str| serde_json::json!({ "model": model, "max_tokens": 64, "messages": [{ "role": "user", "content": "hi" }] });
    let asked = |n: usize| good.requests()[n]["model"].as_str().unwrap().to_owned();
    let answer = gateway.ask(&body("single")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // the retry of `num_retries`, then the fallback
    assert_eq!((failing.count(), asked(0).as_str()), (2, "small-model"));
    let answer = gateway.ask(&body("balanced")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // both targets were tried, with a retry each
    assert_eq!((failing.count(), asked(1).as_str()), (6, "small-model"));
    let answer = gateway.ask(&body("team/claude-x")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(asked(2), "claude-x");
}
