//! The pages are true: configs load, policies compile, requests get the answers that are shown.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tidegate::cli::check::check;
use tidegate::config::{self, Config};

use crate::commands::{CONFIG, folder as folder_of};
use crate::shown::page::{self, Block, blocks};
use crate::shown::{Shown, root, text};
use crate::support::MESSAGE;
use crate::support::client::Ask;

const QUICKSTART: &str = "examples/quickstart/tidegate.yaml";

/// README and every page in `docs/`, with their names.
fn pages() -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.push("README.md".to_owned());
    names.into_iter().map(|name| (name.clone(), text(&name))).collect()
}

/// The blocks of all pages whose info begins with these words.
fn all_blocks(info: &str) -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for (name, page) in pages() {
        let fitting = blocks(&page).into_iter().filter(|block| {
            block.info == info || block.info.strip_prefix(info).is_some_and(|r| r.starts_with(' '))
        });
        found.extend(fitting.map(|block| (format!("{name}:{}", block.line), block)));
    }
    found
}

/// What the examples presuppose: they are parts of one file.
fn completed(part: &str) -> String {
    let mut whole = part.to_owned();
    let has = |key: &str| part.lines().any(|line| line.starts_with(key));
    if !has("providers:") {
        whole.push_str("providers:\n  anthropic: { type: anthropic, api_key: k }\n");
        whole.push_str("  sim: { type: simulator }\n");
    }
    if !has("models:") {
        whole.push_str("models: { \"*\": { provider: sim } }\n");
    }
    whole
}

/// A folder with the files that the examples name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/anthropic"), "sk-from-a-file\n").unwrap();
    folder
}

fn tree(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn every_config_on_the_pages_loads() {
    let folder = folder();
    let lookup = |name: &str| (name != "TIDEGATE_ADMIN_TOKEN").then(|| format!("{name} is set"));
    let found = all_blocks("yaml tidegate");
    assert!(found.len() >= 9, "the examples are gone");
    for (place, block) in found {
        let loaded = Config::parse_with(&completed(&block.text), folder.path(), &lookup);
        assert!(loaded.is_ok(), "{place}: {:?}", loaded.err());
    }
}

#[test]
fn the_operators_page_shows_every_key_of_the_config() {
    let shown: Vec<Value> = blocks(&text("docs/operators.md"))
        .iter()
        .filter(|block| block.info == "yaml tidegate")
        .map(|block| tree(&block.text))
        .collect();
    let schema = serde_json::to_value(config::schema()).unwrap();
    let mut missing = BTreeSet::new();
    let values: Vec<&Value> = shown.iter().collect();
    find_missing(&Keys { schema: &schema }, &schema, &values, "", &mut missing);
    assert!(missing.is_empty(), "not shown: {missing:?}");
}

struct Keys<'a> {
    schema: &'a Value,
}

/// Collects the properties of a schema that none of the values has.
fn find_missing(
    keys: &Keys<'_>,
    node: &Value,
    values: &[&Value],
    path: &str,
    missing: &mut BTreeSet<String>,
) {
    if let Some(reference) = node["$ref"].as_str() {
        let target = keys.schema.pointer(reference.trim_start_matches('#')).unwrap();
        find_missing(keys, target, values, path, missing);
    }
    for (name, below) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let inner: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
        if inner.is_empty() {
            missing.insert(path);
        } else {
            find_missing(keys, below, &inner, &path, missing);
        }
    }
    if node["additionalProperties"].is_object() {
        let inner: Vec<&Value> = values
            .iter()
            .filter_map(|value| value.as_object())
            .flat_map(|map| map.values())
            .collect();
        find_missing(keys, &node["additionalProperties"], &inner, &format!("{path}.*"), missing);
    }
    if node["items"].is_object() {
        let inner: Vec<&Value> =
            values.iter().filter_map(|value| value.as_array()).flatten().collect();
        find_missing(keys, &node["items"], &inner, &format!("{path}[]"), missing);
    }
    for way in ["oneOf", "anyOf", "allOf"] {
        for inner in node[way].as_array().into_iter().flatten() {
            find_missing(keys, inner, values, path, missing);
        }
    }
}

#[test]
fn every_policy_on_the_pages_compiles() {
    let found = all_blocks("rhai");
    assert!(found.len() >= 3, "the examples are gone");
    for (place, block) in found {
        let (_folder, file) = folder_of(CONFIG, &[("policies/example.rhai", &block.text)]);
        let mut problems = check(&file).err().unwrap_or_default();
        // only a pipeline gives parameters
        problems.retain(|problem| !problem.message.starts_with("needs its parameter"));
        assert!(problems.is_empty(), "{place}: {problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_does_what_it_shows_and_the_operators_page_names_every_metric() {
    let at = Shown::start(QUICKSTART).await;
    let tally = page::play(&text("README.md"), root(), &at).await;
    assert_eq!((tally.requests, tally.files), (4, 1), "{tally:?}");
    assert!(tally.answers >= 4, "{tally:?}");
    // a route that is only forwarded, here to nowhere
    assert_eq!(Ask::get("/v1/files").send(at.gateway.address).await.status, 404);
    let counting = "fn on_request(request, ctx) { count(\"asked\"); tag(\"team\", \"docs\"); }";
    fs::write(at.gateway.folder().join("policies/counting.rhai"), counting).unwrap();
    at.gateway.look().await;
    assert_eq!(Ask::message(MESSAGE).send(at.gateway.address).await.status, 200);
    assert_eq!(metric_names(&at.gateway.metrics().await), documented_metrics());
}

/// As a query names them: counters with their `_total`.
fn metric_names(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        })
        .collect()
}

fn documented_metrics() -> BTreeSet<String> {
    let page = text("docs/operators.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tidegate_"));
    rows.map(|row| format!("tidegate_{}", row.split('`').next().unwrap())).collect()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let examples =
        ["failover", "keys", "quickstart"].map(|name| format!("examples/{name}/README.md"));
    let others = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benches/README.md"];
    let others = others.map(str::to_owned).into_iter().chain(examples);
    let all = pages().into_iter().chain(others.map(|name| (name.clone(), text(&name))));
    for (name, page) in all {
        let base = Path::new(&name).parent().unwrap();
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { Path::new(&name).to_owned() } else { base.join(path) };
            assert!(root().join(&file).exists(), "{name} links to {target}");
            if !anchor.is_empty() {
                let linked = text(file.to_str().unwrap());
                let mut anchors = linked.lines().filter(|line| line.starts_with('#')).map(slug);
                assert!(anchors.any(|found| found == anchor), "{name} links to {target}");
            }
        }
    }
}

#[test]
fn the_commands_on_the_policies_page_say_what_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = None;
    let mut shown = 0;
    for block in blocks(&text("docs/policies.md")) {
        match block.info.split_once(' ') {
            None if block.info == "sh" => said = Some(run(folder.path(), &block.text)),
            None if block.info == "text" => {
                let said = said.take().expect("a command before what it says");
                assert_eq!(untimed(&said), untimed(&block.text), "line {}", block.line);
                shown += 1;
            }
            Some(("json" | "text", file)) => {
                fs::write(folder.path().join(file), block.text).unwrap()
            }
            _ => {}
        }
    }
    assert!(shown >= 3 && said.is_none(), "the examples are gone");
}

/// What commands print, in a folder of their own.
fn run(folder: &Path, commands: &str) -> String {
    let tidegate = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{}:{}", tidegate.display(), usual.to_string_lossy());
    let mut shell = Command::new("sh");
    shell.args(["-ec", &format!("exec 2>&1\n{commands}")]).env("PATH", path).current_dir(folder);
    let output = shell.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{commands}: {said}");
    said
}

/// The same text, whatever time something took.
fn untimed(text: &str) -> String {
    let lines = text.trim_end().lines();
    let untimed = lines.map(|line| match line.strip_suffix(" µs") {
        Some(line) => line.trim_end_matches(|c: char| c.is_ascii_digit()),
        None => line.trim_end(),
    });
    untimed.collect::<Vec<_>>().join("\n")
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}
