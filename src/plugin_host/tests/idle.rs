//! Hooks that a config or a stage's parameters leave unused.
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{host, wasm};

#[tokio::test]
async fn a_manifest_names_all_hooks_whatever_the_config_leaves_to_do() {
    let plugin = host().load(&wasm("hooks"), json!({"upstream_only": true})).await.unwrap();
    assert_eq!(plugin.manifest().hooks, ["on-request", "on-upstream-request", "on-response"]);
    assert_eq!(plugin.called_for(), ["on-upstream-request"]);
    let with = |text: &str| Arc::new(serde_json::from_str::<Map<String, Value>>(text).unwrap());
    let idle = plugin.at_stage(&with(r#"{"idle": true}"#)).await.unwrap();
    assert!(idle.called_for().is_empty());
    // unreadable parameters are reported when the stage is created
    let wrong = plugin.at_stage(&with(r#"{"idle": 1}"#)).await.unwrap_err();
    assert!(wrong.contains("`with` of the context"), "{wrong}");
}
