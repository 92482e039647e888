//! `models_file`: it is watched, extends and overrides the bundled table, and a mistake in it keeps the last good one.
use std::fs;

use serde_json::{Value, json};
use tidegate::gateway::reload::Reloaded;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::until;

const CONFIG: &str = "models_file: facts/models.yaml
providers: { up: { type: anthropic } }
models: { own: { provider: up }, claude-opus-5: { provider: up } }
";

/// Waits until the watch over the files has seen a change.
async fn until_own(gateway: &Gateway, context: u64) {
    let what = format!("a context of {context}");
    until(&what, async || limits(gateway, "own").await == json!([context, null])).await;
}

async fn limits(gateway: &Gateway, id: &str) -> Value {
    let model = Ask::get(&format!("/v1/models/{id}")).send(gateway.address).await.json();
    json!([model["max_input_tokens"], model["max_tokens"]])
}

#[tokio::test]
async fn a_change_of_the_file_changes_what_is_known() {
    let table =
        "models: [{ id: own, provider: here, context: 100 }, { id: claude-opus-5, max_output: 7 }]";
    let gateway = Gateway::with().config(CONFIG).file("facts/models.yaml", table).start().await;
    assert_eq!(limits(&gateway, "own").await, json!([100, null]));
    assert_eq!(limits(&gateway, "claude-opus-5").await, json!([1_000_000, 7]));
    let file = gateway.folder().join("facts/models.yaml");
    fs::write(&file, table.replace("100", "200")).unwrap();
    until_own(&gateway, 200).await;

    for (wrong, problem) in [
        (
            "models: [{ id: own, provider: here, contxt: 1 }]",
            "models[0].contxt: unknown key; did you mean `context`?",
        ),
        (
            "models: [{ id: own }]",
            "models[0].provider: needed for the new model `own`, such as `openai`",
        ),
        ("models: {}", "models: expected a list"),
        ("models: [", "no valid YAML"),
    ] {
        fs::write(&file, wrong).unwrap();
        let Reloaded::Refused(problems) = gateway.reload_now().await else { panic!("{wrong}") };
        let found = problems[0].to_string();
        assert!(found.contains("facts/models.yaml: ") && found.contains(problem), "{found}");
        assert_eq!(limits(&gateway, "own").await, json!([200, null]));
    }
    fs::remove_file(&file).unwrap();
    let Reloaded::Refused(problems) = gateway.reload_now().await else { panic!("no file") };
    assert!(problems[0].to_string().contains("facts/models.yaml: cannot be read"), "{problems:?}");

    fs::write(&file, "models: [{ id: own, provider: here, context: 300 }]").unwrap();
    until_own(&gateway, 300).await;
    assert_eq!(limits(&gateway, "claude-opus-5").await, json!([1_000_000, 128_000]));
}

#[tokio::test]
async fn the_file_may_use_variables_and_files_that_are_watched_too() {
    let table = "models: [{ id: own, provider: here, context: \"${file:limit.txt}\" }]";
    let gateway = Gateway::with()
        .config(CONFIG)
        .file("facts/models.yaml", table)
        .file("facts/limit.txt", "100\n")
        .start()
        .await;
    assert_eq!(limits(&gateway, "own").await, json!([100, null]));
    fs::write(gateway.folder().join("facts/limit.txt"), "150").unwrap();
    until_own(&gateway, 150).await;
}
