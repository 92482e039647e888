//! Tests of the config: reading, the messages of problems, and the schema.
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::listeners::DrainConfig;
use crate::config::{self, Config};
use crate::error::Problem;
use crate::net::client::Client;
use crate::providers;

const SECRET: &str = "sk-not-to-be-seen";
const FOLDER: &str = "tests/fixtures/config";

fn variable(name: &str) -> Option<OsString> {
    let value = match name {
        "SECRET" => SECRET,
        "OTHER" => "another-secret",
        "EMPTY" => "",
        "CI_KEY" => "a-key",
        "PORT" => "4444",
        "BYTES" => "1000",
        "NAME" => "123",
        _ => return None,
    };
    Some(value.into())
}

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse_with(text, &Path::new(FOLDER).join("valid"), &variable)
}

fn valid(name: &str) -> Config {
    let path = Path::new(FOLDER).join("valid").join(name);
    parse(&fs::read_to_string(path).unwrap()).unwrap()
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// Compares with a golden file; `UPDATE_FIXTURES=1 cargo test` rewrites the files. Read the diff.
#[expect(clippy::disallowed_methods, reason = "a switch for people, in a test")]
fn is_golden(path: &Path, text: &str) -> bool {
    if std::env::var("UPDATE_FIXTURES").is_ok() {
        fs::write(path, text).unwrap();
    }
    fs::read_to_string(path).unwrap_or_default() == text
}

#[test]
fn every_invalid_config_is_refused_in_the_words_beside_it() {
    let folder = Path::new(FOLDER).join("invalid");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    assert!(paths.len() > 10);
    for path in paths {
        let problems = parse(&fs::read_to_string(&path).unwrap()).unwrap_err();
        let found = lines(&problems);
        assert!(is_golden(&path.with_extension("err"), &found), "{}:\n{found}", path.display());
        for secret in [SECRET, "another-secret"] {
            assert!(!found.contains(secret), "{}:\n{found}", path.display());
        }
    }
}

#[test]
fn the_documented_example_is_read_as_it_says() {
    let config = valid("whole.yaml");
    let aliases: Vec<&str> = config.models.iter().map(|(alias, _)| alias.as_str()).collect();
    assert_eq!(aliases, ["claude-prod", "claude-*", "*"]);
    let prod = &config.models[0].1;
    assert_eq!(prod.targets[1].model.as_deref(), Some("stand-in"));
    assert_eq!(prod.timeouts.total, Duration::from_secs(900));
    assert_eq!(config.keys[0].tags["team"], "ml");
    assert_eq!(config.keys[1].key.as_ref().unwrap().expose(), "a-key");
    assert_eq!(config.passthrough.as_deref(), Some("anthropic"));
    let stages = config.pipeline.unwrap();
    assert_eq!(stages[0].with["limit"], 8192);
    assert_eq!(stages[0].when.model.as_deref(), Some("claude-*"));
    assert_eq!(stages[1].plugin.as_deref(), Some("strictness"));
    assert_eq!(config.plugins.config["web-fetch"]["allow_hosts"][0], "*");
    assert!(config.policies.dir.ends_with("config/valid/policies"));
}

#[test]
fn two_lines_are_a_config() {
    let config = valid("smallest.yaml");
    assert_eq!(config.listen, "127.0.0.1:4000".parse().unwrap());
    assert!(config.admin.is_none() && config.keys.is_empty() && config.pipeline.is_none());
    assert_eq!(
        config.drain,
        DrainConfig { delay: Duration::ZERO, deadline: Duration::from_secs(30) }
    );
    assert_eq!((config.tools.max_turns, config.tools.max_calls), (10, 30));
    assert_eq!(config.tools.timeout, Duration::from_secs(300));
}

#[test]
fn a_variable_is_a_string_unless_the_field_needs_a_number() {
    let config = valid("variables.yaml");
    assert_eq!(config.listen.port(), 4444);
    assert_eq!(config.server.max_body_bytes, 1000);
    let fast = &config.models[0].1;
    assert_eq!((fast.targets[0].weight, fast.retry.attempts), (3, 2));
    // `NAME` is 123, and a name is a string
    assert_eq!(config.keys[0].name, "123");
    assert_eq!(config.pipeline.unwrap()[0].with["limit"], "1000");
}

#[test]
fn a_variable_that_is_set_can_choose_another_text() {
    let alias = |variable: &str| {
        let provider = format!("${{{variable}:+sim:-other}}");
        let text = format!(
            "providers: {{ sim: {{ type: simulator }}, other: {{ type: simulator }} }}\n\
             models: {{ \"*\": {{ provider: \"{provider}\" }} }}\n"
        );
        parse(&text).unwrap().models[0].1.provider.clone().unwrap()
    };
    assert_eq!(alias("SECRET"), "sim");
    assert_eq!(alias("EMPTY"), "other");
    assert_eq!(alias("NOT_SET"), "other");
}

#[test]
fn a_doubled_dollar_sign_keeps_the_braces() {
    let tags = &valid("variables.yaml").keys[0].tags;
    assert_eq!((&*tags["price"], &*tags["half"], &*tags["both"]), ("${5}", "$5", "abc4444d"));
}

#[test]
fn keys_of_a_mapping_are_never_expanded() {
    let stages = valid("variables.yaml").pipeline.unwrap();
    assert_eq!(stages[0].with["${PORT}"], 1);
}

#[test]
fn the_value_of_a_variable_is_never_read_as_yaml() {
    let text = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim, model: \"${X}\" } }\n";
    let lookup = |_: &str| Some("a\", provider: \"evil: {".into());
    let config = Config::parse_with(text, Path::new(""), &lookup).unwrap();
    assert_eq!(config.models[0].1.model.as_deref(), Some("a\", provider: \"evil: {"));
}

#[test]
fn a_variable_that_is_no_utf8_is_a_problem_and_never_takes_the_default() {
    use std::os::unix::ffi::OsStringExt;
    let text = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim, model: \"${X:-usual}\" } }\n";
    let lookup = |_: &str| Some(OsString::from_vec(b"caf\xe9".to_vec()));
    let problems = Config::parse_with(text, Path::new(""), &lookup).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].path, "models.*.model");
    assert!(problems[0].message.contains("`X` is no UTF-8 text"), "{problems:?}");
}

#[test]
fn only_the_api_and_providers_that_opt_in_receive_citable_results() {
    let client = Client::new(1);
    let cites = |more: &str| {
        let text =
            format!("providers: {{ p: {{ {more} }} }}\nmodels: {{ \"*\": {{ provider: p }} }}\n");
        let config = Config::parse_with(&text, Path::new(""), &|_| None).unwrap();
        let catalogue = &Default::default();
        let parts = providers::Parts {
            client: &client,
            base_dir: Path::new(""),
            catalogue,
            collector: None,
        };
        config.providers["p"].build("p", &parts).unwrap().accepts().cites
    };
    assert!(cites("type: anthropic, api_key: k"));
    assert!(!cites("type: anthropic, api_key: k, base_url: \"https://models.corp.example\""));
    let said = "base_url: \"https://models.corp.example\", citations: true";
    assert!(cites(&format!("type: anthropic, {said}")));
    assert!(!cites("type: anthropic, api_key: k, citations: false"));
    assert!(cites("type: simulator"));
}

#[test]
fn a_file_is_read_without_its_last_line_end_and_all_files_are_watched() {
    let config = valid("variables.yaml");
    assert_eq!(config.keys[1].key.as_ref().unwrap().expose(), "sk-from-a-file");
    let names: Vec<_> = config.files.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["key.txt", "cert.pem", "key.pem", "ca.pem"]);
    assert!(config.files[3].ends_with("config/valid/ca.pem"));
}

#[test]
fn a_loaded_file_is_watched_itself_and_its_paths_are_relative_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidegate.yaml");
    fs::write(&path, fs::read(Path::new(FOLDER).join("valid/smallest.yaml")).unwrap()).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.files, [path]);
    assert_eq!(config.plugins.dir, dir.path().join("plugins"));
}

#[test]
fn a_file_that_is_not_there_is_one_problem_with_its_name() {
    let problems = Config::load(Path::new("no/such.yaml")).unwrap_err();
    assert!(lines(&problems).starts_with("no/such.yaml: cannot be read: "));
}

#[test]
fn a_printed_config_shows_no_secret() {
    let shown = format!("{:?}", valid("variables.yaml"));
    assert!(shown.contains("***"));
    assert!(!shown.contains(SECRET) && !shown.contains("sk-from-a-file"), "{shown}");
}

#[test]
fn the_schema_is_the_golden_one() {
    let schema = format!("{:#}\n", config::schema());
    assert!(is_golden(Path::new("tests/fixtures/schema.json"), &schema), "the schema changed");
}

#[test]
fn every_type_of_upstream_has_the_keys_of_all_types() {
    let schema = config::schema();
    let types = schema["properties"]["providers"]["additionalProperties"]["oneOf"].clone();
    let types = types.as_array().unwrap();
    assert!(types.len() >= 7);
    // the simulator connects to nothing
    for provider in types.iter().filter(|one| one["properties"]["type"]["const"] != "simulator") {
        for key in ["unsupported", "headers", "ca_file", "proxy", "forward_headers"] {
            let name = &provider["properties"]["type"]["const"];
            assert!(provider["properties"].get(key).is_some(), "`{key}` of {name}");
        }
    }
}

#[test]
fn the_schema_takes_variables_for_numbers_and_either_form_of_a_model() {
    let schema = config::schema();
    let bytes = &schema["properties"]["server"]["properties"]["max_body_bytes"];
    assert_eq!(bytes["type"], serde_json::json!(["integer", "string"]));
    let forms = &schema["properties"]["models"]["additionalProperties"]["oneOf"];
    assert_eq!(forms.as_array().unwrap().len(), 2);
}

#[test]
fn a_drain_is_a_deadline_or_its_steps() {
    let smallest = fs::read_to_string(Path::new(FOLDER).join("valid/smallest.yaml")).unwrap();
    let read =
        |drain: &str| parse(&format!("{smallest}drain: {drain}\n")).map(|config| config.drain);
    let seconds = |delay, deadline| {
        Ok(DrainConfig {
            delay: Duration::from_secs(delay),
            deadline: Duration::from_secs(deadline),
        })
    };
    let path = |drain: &str| read(drain).map_err(|found| found[0].path.clone());
    assert_eq!(path("45s"), seconds(0, 45));
    assert_eq!(path("{ delay: 5s, deadline: 10m }"), seconds(5, 600));
    assert_eq!(path("{ delay: 5s }"), seconds(5, 30));
    assert_eq!(path("{}"), seconds(0, 30));
    for (wrong, at) in [
        ("30", "drain"),
        ("soon", "drain"),
        ("[5s]", "drain"),
        ("{ dealy: 5s }", "drain.dealy"),
        ("{ delay: 5 }", "drain.delay"),
        ("{ deadline: soon }", "drain.deadline"),
    ] {
        assert_eq!(path(wrong), Err(at.to_owned()), "{wrong}: {:?}", read(wrong));
    }
    let schema = config::schema();
    assert_eq!(schema["properties"]["drain"]["type"], serde_json::json!(["object", "string"]));
}
