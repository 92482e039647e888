//! Every example does what its README says.
use std::fs;

use crate::shown::gateway::Running;
use crate::shown::{page, root, text};

/// Runs the README of an example against a gateway with the config of that example.
fn play(name: &str) -> page::Shown {
    let folder = root().join("examples").join(name);
    let readme = text(&format!("examples/{name}/README.md"));
    assert!(readme.contains("request.json"), "`{name}` does not show its request");
    let gateway = Running::start(&format!("examples/{name}/tidegate.yaml"));
    page::play(&readme, &folder, &gateway)
}

#[test]
fn the_quickstart_answers_and_runs_a_tool() {
    let shown = play("quickstart");
    assert!(shown.requests >= 3 && shown.answers >= 2, "{shown:?}");
}

#[test]
fn the_failover_example_fails_over_and_leaves_the_failed_target_alone() {
    let shown = play("failover");
    assert!(shown.requests >= 3 && shown.answers >= 6, "{shown:?}");
}

#[test]
fn the_keys_example_knows_its_callers() {
    let shown = play("keys");
    assert!(shown.requests >= 4 && shown.answers >= 6, "{shown:?}");
}

#[test]
fn no_example_is_without_a_test() {
    let entries = fs::read_dir(root().join("examples")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut names: Vec<String> =
        folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["failover", "keys", "quickstart"]);
}
