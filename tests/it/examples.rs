//! Every example does what its README says.
use std::fs;

use crate::shown::{Shown, page, root, text};

/// Runs the README of an example against a gateway with the config of that example.
async fn play(name: &str) -> page::Tally {
    let folder = root().join("examples").join(name);
    let readme = text(&format!("examples/{name}/README.md"));
    assert!(readme.contains("request.json"), "`{name}` does not show its request");
    let at = Shown::start(&format!("examples/{name}/tidegate.yaml")).await;
    page::play(&readme, &folder, &at).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_answers_and_runs_a_tool() {
    let tally = play("quickstart").await;
    assert!(tally.requests >= 3 && tally.answers >= 2, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failover_example_fails_over_and_leaves_the_failed_target_alone() {
    let tally = play("failover").await;
    assert!(tally.requests >= 3 && tally.answers >= 6, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_example_knows_its_callers() {
    let tally = play("keys").await;
    assert!(tally.requests >= 4 && tally.answers >= 6, "{tally:?}");
}

#[test]
fn no_example_is_without_a_test() {
    let entries = fs::read_dir(root().join("examples")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut names: Vec<String> =
        folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["failover", "keys", "plugins", "quickstart"]);
}
