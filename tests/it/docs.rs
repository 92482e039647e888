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
use crate::shown::pages::{self, all_blocks};
use crate::shown::{Shown, root, text};
use crate::support::MESSAGE;
use crate::support::client::Ask;

const QUICKSTART: &str = "examples/quickstart/tidegate.yaml";

/// What the examples presuppose: they are parts of one file.
pub fn completed(part: &str) -> String {
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
    // the pages have the files that their configs name
    let files = [
        ("models.yaml", "docs/operate/model-table.md", "yaml models.yaml"),
        ("prices.yaml", "docs/operate/prices.md", "yaml"),
    ];
    for (file, page, info) in files {
        let blocks = blocks(&text(page));
        let block = blocks.iter().find(|block| block.info == info);
        let block = block.unwrap_or_else(|| panic!("{page} has no block `{info}`"));
        fs::write(folder.path().join(file), &block.text).unwrap();
    }
    folder
}

fn tree(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn every_config_on_the_pages_loads() {
    let folder = folder();
    let lookup = |name: &str| {
        // the variables of OpenTelemetry have forms of their own
        let is_any = name != "TIDEGATE_ADMIN_TOKEN" && !name.starts_with("OTEL_");
        is_any.then(|| format!("{name} is set").into())
    };
    let found = all_blocks("yaml tidegate");
    assert!(found.len() >= 9, "the examples are gone");
    for (place, block) in found {
        let loaded = Config::parse_with(&completed(&block.text), folder.path(), &lookup);
        assert!(loaded.is_ok(), "{place}: {:?}", loaded.err());
    }
}

#[test]
fn the_book_shows_every_key_of_the_config() {
    let shown: Vec<Value> =
        all_blocks("yaml tidegate").iter().map(|(_, block)| tree(&block.text)).collect();
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
    // one entry, or a list of such entries
    if node["properties"].is_object() && node["items"].is_object() {
        let inner = values.iter().flat_map(|value| match value.as_array() {
            Some(entries) => entries.iter().collect(),
            None => vec![*value],
        });
        let inner: Vec<&Value> = inner.collect();
        return find_missing(keys, &node["items"], &inner, &format!("{path}[]"), missing);
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
    let mut compiled = 0;
    for name in pages::of_the_book().into_iter().chain(["README.md".to_owned()]) {
        let all = blocks(&text(&name));
        // a block with a path is a file that the page's other policies may import
        let files: Vec<(&str, &str)> = all
            .iter()
            .filter_map(|block| Some((block.info.strip_prefix("rhai ")?, block.text.as_str())))
            .collect();
        let unnamed = all.iter().filter(|block| block.info == "rhai");
        let examples = unnamed.map(|block| vec![("policies/example.rhai", block.text.as_str())]);
        for example in examples.chain([Vec::new()]) {
            let (_folder, file) = folder_of(CONFIG, &[files.as_slice(), &example].concat());
            let mut problems = check(&file).err().unwrap_or_default();
            // only a pipeline gives parameters
            problems.retain(|problem| !problem.message.starts_with("needs its parameter"));
            assert!(problems.is_empty(), "{name}: {example:?}: {problems:?}");
            compiled += example.len();
        }
    }
    assert!(compiled >= 10, "the examples are gone");
}

/// Whether the block sends requests to a running gateway.
fn is_curl(block: &Block) -> bool {
    block.info == "sh" && block.text.contains("curl ")
}

/// Pages whose examples other tests run.
fn is_run_elsewhere(name: &str) -> bool {
    name.starts_with("docs/reference/simulator") || name == "docs/plugins/first-tool.md"
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_with_requests_gets_the_answers_on_it() {
    let mut played = 0;
    for name in pages::of_the_book().iter().filter(|name| !is_run_elsewhere(name)) {
        let page = text(name);
        let all = blocks(&page);
        let requests = all.iter().filter(|block| is_curl(block)).count();
        if requests == 0 {
            continue;
        }
        let config = all.iter().find(|block| block.info == "yaml tidegate tidegate.yaml");
        let config = config.map_or_else(|| text(QUICKSTART), |block| block.text.clone());
        let at = Shown::of(&config).await;
        let tally = page::play(&page, root(), &at).await;
        assert_eq!(tally.requests, requests, "{name}: {tally:?}");
        played += tally.answers;
    }
    assert!(played >= 20, "the examples are gone: {played}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_examples_work_and_the_metrics_page_names_every_metric() {
    let sinks = "sinks: { log: { file: events.jsonl } }";
    let at = Shown::of(&format!("{}\n{sinks}\n", text(QUICKSTART))).await;
    let tally = page::play(&text("README.md"), root(), &at).await;
    assert_eq!((tally.requests, tally.files), (3, 1), "{tally:?}");
    assert_eq!(tally.answers, 3, "{tally:?}");
    // a route that is only forwarded, here to nowhere
    assert_eq!(Ask::get("/v1/files").send(at.gateway.address).await.status, 404);
    let counting = "fn on_request(request, ctx) { count(\"asked\"); tag(\"team\", \"docs\"); }";
    fs::write(at.gateway.folder().join("policies/counting.rhai"), counting).unwrap();
    let rules = "limits: { rules: [{ per: key, requests: 100/1m }] }\nbudgets: { rules: [{ per: key, usd: 100, every: day }] }";
    let config = fs::read_to_string(at.gateway.file()).unwrap();
    fs::write(at.gateway.file(), format!("{config}\n{rules}\n")).unwrap();
    at.gateway.look().await;
    assert_eq!(Ask::message(MESSAGE).send(at.gateway.address).await.status, 200);
    assert_eq!(metric_names(&at.gateway.metrics().await), documented_metrics());
}

/// As a query names them: counters with their `_total`.
fn metric_names(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, _)| name.to_owned()).collect()
}

fn documented_metrics() -> BTreeSet<String> {
    let page = text("docs/reference/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `tidegate_"));
    rows.map(|row| format!("tidegate_{}", row.split('`').next().unwrap())).collect()
}

#[test]
fn the_commands_on_the_policy_pages_print_the_documented_output() {
    let names = pages::of_the_book().into_iter().filter(|name| name.starts_with("docs/policies/"));
    let shown: usize = names.map(|name| run_commands(&name)).sum();
    assert!(shown >= 5, "the examples are gone: {shown}");
}

/// Writes the files of a page, runs its commands, and compares what they print. Returns how many it
/// has compared.
fn run_commands(name: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut said = None;
    let mut shown = 0;
    for block in blocks(&text(name)).into_iter().filter(|block| !is_curl(block)) {
        match block.info.split_once(' ') {
            None if block.info == "sh" => said = Some(run(folder.path(), &block.text)),
            None if block.info == "text" => {
                let said = said.take().expect("a command before what it says");
                assert_eq!(untimed(&said), untimed(&block.text), "{name}:{}", block.line);
                shown += 1;
            }
            Some((_, path)) if path.contains('.') => {
                let file = folder.path().join(path);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, block.text).unwrap();
            }
            _ => {}
        }
    }
    assert!(said.is_none_or(|said| said.is_empty()), "{name}: a command without its output");
    shown
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
