//! What the commands say, and the exit codes that scripts rely on.
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidegate::cli::check::check;

use crate::support::client::Ask;

pub const CONFIG: &str =
    "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }\n";

/// A folder with a config and other files.
pub fn folder(config: &str, files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies/library", "plugins"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let file = folder.path().join("tidegate.yaml");
    fs::write(&file, config).unwrap();
    (folder, file)
}

pub fn tidegate(config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).arg("--config").arg(config).output().unwrap()
}

/// Where the problems are, relative to the folder.
fn places(folder: &TempDir, file: &Path) -> Vec<String> {
    let root = format!("{}/", folder.path().display());
    let problems = check(file).expect_err("a config with problems");
    problems.iter().map(|problem| problem.path.replace(&root, "")).collect()
}

#[test]
fn check_finds_policies_that_do_not_compile_and_plugins_that_do_not_load() {
    let files = [
        ("policies/first.rhai", "fn on_request(request, ctx) {\n    let x = ;\n}"),
        ("policies/second.rhai", "fn on_reqest(request, ctx) { }"),
        ("plugins/third.wasm", "no wasm at all"),
    ];
    let (folder, file) = folder(CONFIG, &files);
    let places = places(&folder, &file);
    assert_eq!(places.len(), 3, "{places:?}");
    assert!(places[0].starts_with("policies/first.rhai:2:"), "{places:?}");
    assert!(places[1].starts_with("policies/second.rhai"), "{places:?}");
    assert_eq!(places[2], "plugins/third.wasm");
}

#[test]
fn check_reads_the_certificates_that_serve_would_need() {
    let tls = "server: { tls: { cert: chain.pem, key: key.pem } }\n";
    let (folder, file) = folder(&format!("{CONFIG}{tls}"), &[]);
    assert_eq!(places(&folder, &file), ["server.tls.cert"]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("chain.pem"), "nothing\n").unwrap();
    fs::write(folder.path().join("key.pem"), made.cert.pem()).unwrap();
    assert!(check(&file).unwrap_err()[0].message.ends_with("has no certificate: expected PEM"));
    fs::write(folder.path().join("chain.pem"), made.cert.pem()).unwrap();
    let problems = check(&file).unwrap_err();
    assert_eq!(problems[0].path, "server.tls.key");
    assert!(problems[0].message.ends_with("has no private key: expected PEM"), "{problems:?}");
}

#[test]
fn check_reads_the_authorities_of_a_provider() {
    let config = CONFIG.replace(
        "sim: { type: simulator }",
        "sim: { type: simulator }, a: { type: anthropic, ca_file: none.pem }, b: { type: anthropic, ca_file: empty.pem }",
    );
    let (folder, file) = folder(&config, &[("empty.pem", "no certificate\n")]);
    assert_eq!(places(&folder, &file), ["providers.a.ca_file", "providers.b.ca_file"]);
}

#[test]
fn check_reads_the_authorities_of_an_issuer() {
    let issuers = ["https://a.example.com", "https://b.example.com", "http://127.0.0.1:1"];
    let files = ["none.pem", "empty.pem", "ca.pem"];
    let entries = issuers.into_iter().zip(files).map(|(issuer, file)| {
        format!("  - {{ issuer: \"{issuer}\", audience: t, ca_file: {file} }}\n")
    });
    let config = format!("{CONFIG}jwt:\n{}", entries.collect::<String>());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = [("empty.pem", "no certificate\n"), ("ca.pem", &made.cert.pem())];
    let (folder, file) = folder(&config, &files);
    let problems = check(&file).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["jwt[2].ca_file", "jwt[0].ca_file", "jwt[1].ca_file"]);
    assert!(problems[0].message.contains("has no effect"), "{problems:?}");
    assert!(problems[1].message.contains(&format!("{}/none.pem", folder.path().display())));
    assert!(problems[2].message.ends_with("has no certificate: expected PEM"), "{problems:?}");
}

#[test]
fn check_goes_on_after_a_problem_of_the_config_itself() {
    let config = CONFIG.replace("sim: { type", "sim: { tpye: x, type");
    let config = config.replace("provider: sim }", "provider: none }");
    let files = [("policies/first.rhai", "fn on_request(request, ctx) {\n    let x = ;\n}")];
    let (folder, file) = folder(&format!("{config}drain: soon\n"), &files);
    let places = places(&folder, &file);
    assert!(places[3].starts_with("policies/first.rhai:2:"), "{places:?}");
    assert_eq!(&places[..3], ["drain", "providers.sim.tpye", "models.*.provider"], "{places:?}");
    assert_eq!(places.len(), 4, "{places:?}");
}

#[test]
fn check_finds_a_stage_that_names_nothing() {
    let (folder, file) = folder(&format!("{CONFIG}pipeline: [{{ policy: nope }}]\n"), &[]);
    assert_eq!(places(&folder, &file), ["pipeline[0].policy"]);
}

#[test]
fn check_exits_with_1_and_a_line_for_each_problem() {
    let (_folder, file) = folder(&format!("{CONFIG}lisen: x\ndrain: soon\n"), &[]);
    let output = tidegate(&file, &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines.iter().any(|line| line.starts_with("drain: ")), "{said}");
    assert!(lines.iter().any(|line| line.starts_with("lisen: ")), "{said}");
}

#[test]
fn check_tries_the_places_of_sinks_and_traces_and_leaves_nothing() {
    let sinks = "sinks:
  plain: { file: events.jsonl }
  below: { file: tidegate.yaml/events.jsonl }
  folder: { file: policies }
  hook: { http: \"https://h.example.com\", ca_file: none.pem }
  fine: { file: new/events.jsonl }
";
    let (folder, file) = folder(&format!("{CONFIG}{sinks}"), &[]);
    let found = places(&folder, &file);
    assert_eq!(found, ["sinks.below.file", "sinks.folder.file", "sinks.hook.http"]);
    let message = check(&file).unwrap_err().pop().unwrap().message;
    assert!(message.contains("none.pem"), "{message}");
    let left = fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["plugins", "policies", "tidegate.yaml"]);
    // the authorities of a collector are named by a variable only
    let (_folder, file) = self::folder(CONFIG, &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("check").arg("--config").arg(&file);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:4318");
    let output = command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", "none.pem").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("otlp.endpoint: ") && said.contains("none.pem"), "{said}");
}

#[test]
fn sinks_do_not_overwrite_each_others_files() {
    let sinks = "sinks:
  a: { file: x, files: 3 }
  b: { file: x.1 }
  c: { file: ./y/../x.2 }
  d: { file: x.3 }
  e: { file: ./x, files: 3 }
  f: { file: x.2.1, files: 1 }
";
    let (folder, file) = folder(&format!("{CONFIG}{sinks}"), &[]);
    let found = places(&folder, &file);
    assert_eq!(found, ["sinks.b.file", "sinks.c.file", "sinks.e.file", "sinks.f.file"]);
}

#[test]
fn a_sink_for_kafka_is_a_clear_problem() {
    for (sink, place) in
        [("{ type: kafka, brokers: [h] }", "type"), ("{ kafka: { brokers: [h] } }", "kafka")]
    {
        let (_folder, file) = folder(&format!("{CONFIG}sinks: {{ k: {sink} }}\n"), &[]);
        let problems = check(&file).unwrap_err();
        let found = problems.iter().find(|it| it.path == format!("sinks.k.{place}"));
        let found = found.unwrap_or_else(|| panic!("{problems:?}"));
        assert!(found.message.starts_with("Kafka is not supported: send the events by `http`"));
    }
}

#[test]
fn check_says_ok_and_writes_nothing() {
    let (folder, file) = folder(CONFIG, &[]);
    let output = tidegate(&file, &["check"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"ok\n");
    assert!(!folder.path().join(".tidegate").exists());
}

pub const POLICY: &str = "fn on_request(request, ctx) { request.max_tokens = 5; }";

pub fn cases(expected: u32) -> String {
    format!(
        "- name: five it is\n  request: {{ model: m, max_tokens: 9 }}\n  expect: {{ request: {{ model: m, max_tokens: {expected} }} }}\n"
    )
}

#[test]
fn test_runs_the_cases_of_the_folders_that_the_config_names() {
    let (own, shipped) = (cases(5), cases(5));
    let files = [
        ("policies/five.rhai", POLICY),
        ("policies/five.cases.yaml", own.as_str()),
        ("policies/library/other.rhai", POLICY),
        ("policies/library/other.cases.yaml", shipped.as_str()),
    ];
    let (_folder, file) = folder(CONFIG, &files);
    let output = tidegate(&file, &["test"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("ok    five: five it is"), "{said}");
    assert!(said.contains("ok    other: five it is"), "{said}");
}

#[test]
fn test_exits_with_1_if_a_case_of_a_named_folder_fails() {
    let wrong = cases(6);
    let files = [("policies/five.rhai", POLICY), ("policies/five.cases.yaml", wrong.as_str())];
    let (folder, _) = folder("no config is needed", &files);
    let policies = folder.path().join("policies");
    let output = tidegate(Path::new("nowhere.yaml"), &["test", policies.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL  five: five it is"), "{said}");
}

/// A process that ends with the test.
pub struct Serving(pub Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // gone already is as good
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway whose log is read: lines of JSON, from the one that says where it listens.
struct Logging {
    _folder: TempDir,
    _serving: Serving,
    lines: Lines<BufReader<ChildStderr>>,
    start: Value,
}

impl Logging {
    fn start(config: &str) -> Self {
        let listen = "listen: 127.0.0.1:0\nlog: { format: json }\n";
        let (folder, file) = folder(&format!("{listen}{config}"), &[]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["serve", "--config"]).arg(&file).stderr(Stdio::piped());
        let mut serving = Serving(command.spawn().unwrap());
        let lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
        let mut this = Self { _folder: folder, _serving: serving, lines, start: Value::Null };
        this.start = serde_json::from_str(&this.line("tidegate serves")).unwrap();
        this
    }

    /// The next line that says this.
    fn line(&mut self, said: &str) -> String {
        self.lines.find_map(|line| line.ok().filter(|line| line.contains(said))).unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.start["listen"].as_str().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn a_json_log_line_has_each_key_once() {
    let mut gateway = Logging::start(CONFIG);
    Ask::message("{}").send(gateway.address()).await.refusal(400, "invalid_request_error");
    let refused = gateway.line("request refused");
    let keys: Value = serde_json::from_str(&refused).unwrap();
    for key in keys.as_object().unwrap().keys() {
        assert_eq!(refused.matches(&format!("\"{key}\":")).count(), 1, "{refused}");
    }
    let refused = keys;
    assert_eq!(refused["message"], "request refused");
    assert_eq!(refused["error"], "`model` is missing: it must be a string");
}

#[tokio::test]
async fn the_log_names_a_target_that_fails_and_cools_down() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut gateway = Logging::start(&format!(
        "providers: {{ gone: {{ type: anthropic, base_url: \"http://{closed}\", api_key: k }}, sim: {{ type: simulator }} }}\n\
         models: {{ m: {{ targets: [{{ provider: gone, model: a }}, {{ provider: sim, model: b }}] }} }}\n"
    ));
    assert_eq!(gateway.start["scheme"], "http");
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(Ask::message(body).send(gateway.address()).await.status, 200);
    let told: Value = serde_json::from_str(&gateway.line("target failed, cooling down")).unwrap();
    assert_eq!((&told["level"], &told["upstream"]), (&"WARN".into(), &"gone/a".into()));
}
