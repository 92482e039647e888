//! Files of each release work with this version: configs, policies with their cases, compiled plugins.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate::cli::check::check;
use tidegate::config::Config;

use crate::commands::{CONFIG, folder, tidegate};
use crate::docs::completed;
use crate::support::repository::root;

/// The folders of releases.
fn releases() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/compat")).unwrap();
    let found: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert!(found.iter().any(|release| release.ends_with("0.1.0")), "{found:?}");
    found
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found
}

#[test]
fn configs_of_each_release_are_accepted() {
    let lookup = |name: &str| {
        // the variables of OpenTelemetry have forms of their own
        let is_any = name != "TIDEGATE_ADMIN_TOKEN" && !name.starts_with("OTEL_");
        is_any.then(|| format!("{name} is set").into())
    };
    for release in releases() {
        let all = fs::read_to_string(release.join("configs.yaml")).unwrap();
        let all: Vec<&str> = all.split("\n---\n").collect();
        assert!(all.len() > 50, "{}: {}", release.display(), all.len());
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("secrets")).unwrap();
        fs::write(scratch.path().join("secrets/anthropic"), "sk-from-a-file\n").unwrap();
        for file in ["models.yaml", "prices.yaml"] {
            fs::copy(release.join(file), scratch.path().join(file)).unwrap();
        }
        for config in all {
            let read =
                Config::parse_with(&completed(&format!("{config}\n")), scratch.path(), &lookup);
            assert!(read.is_ok(), "{}: {:?}\n{config}", release.display(), read.err());
        }
    }
}

#[test]
fn policies_of_each_release_compile_and_pass_their_cases() {
    for release in releases() {
        let policies = release.join("policies");
        assert!(files(&policies, ".rhai").len() > 20 && files(&policies, ".cases.yaml").len() > 20);
        let config = format!("policies: {{ dir: \"{}\" }}\n{CONFIG}", policies.display());
        let (_folder, file) = folder(&config, &[]);
        let mut problems = check(&file).err().unwrap_or_default();
        // only a pipeline gives parameters
        problems.retain(|problem| !problem.message.starts_with("needs its parameter"));
        assert!(problems.is_empty(), "{problems:?}");
        for dir in [policies.clone(), policies.join("library")] {
            let tested = tidegate(&file, &["test", dir.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&tested.stdout);
            assert!(tested.status.success(), "{}:\n{said}", dir.display());
        }
    }
}

#[test]
fn plugins_of_each_release_load_and_run() {
    for release in releases() {
        let plugins = release.join("plugins");
        for file in files(&plugins, ".wasm") {
            let inspected =
                tidegate(Path::new("nowhere.yaml"), &["plugin", "inspect", file.to_str().unwrap()]);
            assert!(
                inspected.status.success(),
                "{}: {}",
                file.display(),
                String::from_utf8_lossy(&inspected.stderr)
            );
        }
        let call = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
            // the folder of another gateway's cache
            let called = command
                .args(["plugin", "call"])
                .args(args)
                .current_dir(std::env::temp_dir())
                .output();
            let called = called.unwrap();
            assert!(
                called.status.success(),
                "{args:?}: {}",
                String::from_utf8_lossy(&called.stderr)
            );
            String::from_utf8(called.stdout).unwrap()
        };
        let datetime = plugins.join("datetime.wasm");
        let said =
            call(&[datetime.to_str().unwrap(), "datetime", r#"{"timezones": ["Europe/Berlin"]}"#]);
        assert!(said.contains("Europe/Berlin"), "{said}");
    }
}
