//! The dashboard and the alerts of `deploy/`: they name only metrics and labels that exist.
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::looping;
use crate::support::otlp::Collector;
use crate::support::repository::text;
use crate::support::turn::{call, frames, message};
use crate::support::upstream::{self, Behaviour, Upstream};

const DASHBOARD: &str = "deploy/grafana/tidegate.json";
const ALERTS: &str = "deploy/prometheus/alerts.yaml";
/// The labels that a scrape adds.
const OF_SCRAPES: [&str; 2] = ["instance", "job"];

static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\btidegate_[a-z0-9_]+").unwrap());
static SELECTOR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(tidegate_[a-z0-9_]+)(?:\{([^}]*)\})?").unwrap());
static GROUPED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)").unwrap());
static MATCHER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([a-z_]+) *(?:=~|!~|!=|=) *"[^"]*""#).unwrap());

/// The documented metrics and their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = text("docs/reference/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `tidegate_"));
    let rows = rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().unwrap().trim_matches('`').to_owned();
        let mut labels = BTreeSet::new();
        for label in cells.next().unwrap().split(", ").filter(|label| !label.is_empty()) {
            match label {
                "GenAI" => labels.extend(
                    ["operation_name", "provider_name", "request_model"]
                        .map(|name| format!("gen_ai_{name}"))
                        .into_iter()
                        .chain(["target_model".to_owned()]),
                ),
                label => drop(labels.insert(label.trim_matches('`').to_owned())),
            }
        }
        (name, labels)
    });
    rows.collect()
}

/// The expressions of the dashboard.
fn of_dashboard() -> Vec<String> {
    fn collect(node: &Value, found: &mut Vec<String>) {
        match node {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("expr" | "definition", Value::String(text)) => found.push(text.clone()),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text(DASHBOARD)).unwrap(), &mut found);
    found
}

/// The alerts, as JSON.
fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&text(ALERTS)).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The metric of a name in an expression, and the labels that its samples have.
fn metric(
    name: &str,
    known: &BTreeMap<String, BTreeSet<String>>,
) -> Option<(String, BTreeSet<String>)> {
    if let Some(labels) = known.get(name) {
        return Some((name.to_owned(), labels.clone()));
    }
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end))?;
    let is_histogram = !family.ends_with("_total");
    let mut labels = known.get(family).filter(|_| is_histogram)?.clone();
    if name.ends_with("_bucket") {
        labels.insert("le".to_owned());
    }
    Some((family.to_owned(), labels))
}

/// The mistakes of an expression.
fn mistakes(expression: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    let mut of_all = BTreeSet::from(OF_SCRAPES.map(str::to_owned));
    for selector in SELECTOR.captures_iter(expression) {
        let Some((_, labels)) = metric(&selector[1], known) else {
            found.push(format!("no metric `{}`", &selector[1]));
            continue;
        };
        let matchers = selector.get(2).map_or("", |it| it.as_str());
        for matcher in MATCHER.captures_iter(matchers) {
            let label = &matcher[1];
            if !labels.contains(label) && !OF_SCRAPES.contains(&label) {
                found.push(format!("`{}` has no label `{label}`", &selector[1]));
            }
        }
        of_all.extend(labels);
    }
    let groups = GROUPED.captures_iter(expression).map(|group| group[1].to_owned());
    let labels: Vec<String> = groups
        .flat_map(|list| list.split(',').map(|it| it.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let unknown = labels.into_iter().filter(|label| !of_all.contains(label));
    found.extend(unknown.map(|label| format!("no metric has the label `{label}`")));
    found
}

#[test]
fn the_dashboard_names_only_metrics_and_labels_that_exist() {
    let known = documented();
    let expressions = of_dashboard();
    assert!(expressions.len() > 40, "{}", expressions.len());
    for expression in expressions {
        assert!(NAME.is_match(&expression), "{expression}");
        assert_eq!(mistakes(&expression, &known), Vec::<String>::new(), "{expression}");
    }
    // a name that does not exist is found
    assert_eq!(mistakes("sum(tidegate_nothing_total)", &known).len(), 1);
    assert_eq!(mistakes("sum by (user) (tidegate_requests_total{key=\"k\"})", &known).len(), 2);
    assert_eq!(mistakes("tidegate_requests_total_bucket", &known).len(), 1);
}

#[test]
fn the_alerts_name_only_metrics_and_labels_that_exist() {
    let known = documented();
    let rules = alerts();
    assert!(rules.len() > 10);
    for rule in rules {
        let expression = rule["expr"].as_str().unwrap();
        assert!(NAME.is_match(expression), "{expression}");
        assert_eq!(mistakes(expression, &known), Vec::<String>::new(), "{expression}");
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
    }
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests_pass() {
    let run = |args: &[&str]| {
        let mut promtool = Command::new("promtool");
        promtool
            .args(args)
            .current_dir(crate::support::repository::root().join("deploy/prometheus"));
        promtool.output()
    };
    let Ok(checked) = run(&["check", "rules", "alerts.yaml"]) else {
        assert!(
            std::env::var_os("TIDEGATE_CLIENTS").is_none_or(|set| set != "require"),
            "promtool is not installed: install the package `prometheus`"
        );
        eprintln!("skipped: promtool is not installed");
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tested = run(&["test", "rules", "alerts.test.yaml"]).unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}

/// A gateway after traffic of each kind.
async fn scraped(accept: &str) -> String {
    let turn = message(json!([call("c1", "gateway_datetime", json!({}))]), "tool_use");
    let last = message(json!([]), "end_turn");
    let fails = upstream::json(500, "{}");
    let answers = vec![
        Behaviour::Answer(upstream::stream(&frames(&turn))),
        Behaviour::Answer(upstream::stream(&frames(&last))),
        Behaviour::Answer(fails),
    ];
    let up = Upstream::script(answers).await;
    let collector = Collector::start().await;
    let policy = "fn on_request(request, ctx) { tag(\"team\", \"blue\"); count(\"seen\", 1); }";
    let limits = "limits: { rules: [{ per: key, requests: 100/1m }] }
budgets: { rules: [{ per: key, usd: 5, every: day }] }
sinks: { log: { file: events.jsonl } }
passthrough: up\n";
    let gateway = looping(up.address).policy("tagger", policy).config(limits);
    let gateway = gateway.config(collector.config()).start().await;
    let body = json!({"model": "m", "max_tokens": 16, "stream": true,
        "tools": [{"type": "gateway:datetime"}], "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(Ask::message(body.to_string()).send(gateway.address).await.status, 200);
    Ask::message(crate::support::MESSAGE).send(gateway.address).await;
    Ask::get("/v1/files").send(gateway.address).await;
    gateway.until_idle().await;
    Ask::get("/metrics").admin().header("accept", accept).send(gateway.admin).await.text()
}

#[tokio::test]
async fn each_sample_has_the_labels_that_the_page_names() {
    let known = documented();
    let text = scraped("").await;
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split([' ', '{']).next().unwrap();
        let (family, labels) = metric(name, &known).unwrap_or_else(|| panic!("`{name}`"));
        let list = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let found: BTreeSet<String> =
            MATCHER.captures_iter(list).map(|pair| pair[1].to_owned()).collect();
        assert_eq!(found, labels, "{line}");
        seen.insert(family);
    }
    let unseen: Vec<_> = known.keys().filter(|name| !seen.contains(*name)).collect();
    assert!(unseen.is_empty(), "no sample of {unseen:?}");
}

#[tokio::test]
async fn exemplars_are_short_and_on_buckets_only() {
    let text = scraped("application/openmetrics-text; version=1.0.0").await;
    let lines = text.lines().filter_map(|line| Some((line, line.split_once(" # ")?.1)));
    let mut number = 0;
    for (line, exemplar) in lines.filter(|(line, _)| !line.starts_with('#')) {
        number += 1;
        assert!(line.contains("_bucket{"), "{line}");
        let (labels, _) = exemplar.strip_prefix('{').unwrap().split_once('}').unwrap();
        let length: usize =
            MATCHER.captures_iter(labels).map(|pair| pair[0].len() - r#"="""#.len()).sum();
        assert!(length > 0 && length <= 128, "{line}");
    }
    assert!(number > 4, "{text}");
}
