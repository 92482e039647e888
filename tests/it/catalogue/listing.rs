//! `/v1/models` and `tidegate models` say only what is true of every target.
use serde_json::{Value, json};

use crate::commands::{folder, tidegate};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;

const TABLE: &str = "
models:
  - { id: gone, provider: anthropic, retires: 2001-01-01, context: 10, max_output: 5 }
  - { id: going, provider: anthropic, retires: 2999-12-31, caps: [image] }
  - { id: silent, provider: anthropic }
";

const CONFIG: &str = r#"
models_file: table.yaml
passthrough: up
providers:
  up: { type: anthropic }
  poor: { type: anthropic, base_url: "http://127.0.0.1:9", unsupported: [thinking, "block:image"] }
models:
  claude-opus-5: { provider: up }
  claude-haiku-4-5: { provider: up, model: claude-haiku-4-5-20251001 }
  fast: { provider: up, model: claude-haiku-4-5-20251001 }
  poor: { provider: poor, model: claude-opus-5 }
  mixed:
    targets: [{ provider: up, model: claude-opus-5 }, { provider: up, model: claude-haiku-4-5 }]
  half:
    targets: [{ provider: up, model: claude-opus-5 }, { provider: up, model: unheard-of }]
  gone: { provider: up }
  going: { provider: up }
  going-too: { targets: [{ provider: up, model: going }, { provider: up, model: claude-opus-5 }] }
  silent: { provider: up }
  gpt: { provider: up, model: gpt-5.4-nano }
  "claude-*": { provider: up }
  "*": { provider: up }
"#;

async fn gateway() -> Gateway {
    Gateway::with().config(CONFIG).file("table.yaml", TABLE).start().await
}

async fn model(gateway: &Gateway, id: &str) -> Value {
    let answer = Ask::get(&format!("/v1/models/{id}")).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn an_alias_of_one_known_model_has_its_limits_and_capabilities() {
    let gateway = gateway().await;
    let opus = model(&gateway, "claude-opus-5").await;
    let yes = json!({"supported": true});
    let no = json!({"supported": false});
    assert_eq!(opus["display_name"], "Claude Opus 5");
    assert_eq!((&opus["line"], &opus["lifecycle"]), (&json!("opus"), &json!("active")));
    assert_eq!((&opus["retires_at"], &opus["deprecated_at"]), (&Value::Null, &Value::Null));
    assert_eq!(opus["max_input_tokens"], 1_000_000);
    assert_eq!(opus["max_tokens"], 128_000);
    let expected = json!({
        "batch": yes,
        "citations": yes,
        "code_execution": no,
        "context_management": {
            "supported": true,
            "clear_thinking_20251015": null,
            "clear_tool_uses_20250919": null,
            "compact_20260112": null,
        },
        "effort": {"supported": true, "low": yes, "medium": yes, "high": yes, "xhigh": yes, "max": yes},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": true, "web_search": yes, "code_execution": no},
        "structured_outputs": yes,
        "thinking": {
            "supported": true,
            "types": {"adaptive": yes, "between_tools": no, "disabled": yes, "enabled": no},
        },
    });
    assert_eq!(opus["capabilities"], expected);
    // only a wildcard leads to it
    assert_eq!(model(&gateway, "claude-sonnet-5").await["max_tokens"], 128_000);
    assert_eq!(model(&gateway, "gemini-3.8-flash").await["max_tokens"], 65_536);
}

#[tokio::test]
async fn an_alias_of_several_targets_has_what_all_of_them_have() {
    let gateway = gateway().await;
    let mixed = model(&gateway, "mixed").await;
    assert_eq!(
        (&mixed["max_input_tokens"], &mixed["max_tokens"]),
        (&json!(200_000), &json!(64_000))
    );
    assert_eq!((&mixed["display_name"], &mixed["line"]), (&json!("mixed"), &Value::Null));
    let capabilities = &mixed["capabilities"];
    assert_eq!(capabilities["image_input"]["supported"], true);
    assert_eq!(capabilities["effort"]["supported"], false);
    assert_eq!(capabilities["batch"]["supported"], false);
    let types = &capabilities["thinking"]["types"];
    assert_eq!(types["adaptive"]["supported"], false);
    assert_eq!(types["enabled"]["supported"], false);
    assert_eq!(types["disabled"]["supported"], true);
}

#[tokio::test]
async fn what_is_unknown_of_one_target_is_null() {
    let gateway = gateway().await;
    for id in ["half", "silent", "never-heard-of"] {
        let model = model(&gateway, id).await;
        for field in ["max_input_tokens", "max_tokens", "capabilities", "retires_at", "line"] {
            assert_eq!(model[field], Value::Null, "{id}.{field}");
        }
        assert_eq!((&model["lifecycle"], &model["display_name"]), (&json!("active"), &json!(id)));
    }
}

#[tokio::test]
async fn what_a_provider_lacks_is_no_capability_of_its_models() {
    let gateway = gateway().await;
    let poor = &model(&gateway, "poor").await["capabilities"];
    assert_eq!(poor["image_input"]["supported"], false);
    assert_eq!(poor["pdf_input"]["supported"], true);
    assert_eq!(poor["thinking"]["supported"], false);
    assert_eq!(poor["thinking"]["types"]["adaptive"]["supported"], false);
    assert_eq!(poor["thinking"]["types"]["disabled"]["supported"], true);
    assert_eq!(poor["citations"]["supported"], false);
    assert_eq!(poor["batch"]["supported"], false);
}

#[tokio::test]
async fn the_name_for_people_is_the_models_only_where_the_alias_is_its_name() {
    let gateway = gateway().await;
    assert_eq!(model(&gateway, "claude-haiku-4-5").await["display_name"], "Claude Haiku 4.5");
    assert_eq!(model(&gateway, "fast").await["display_name"], "fast");
    assert_eq!(model(&gateway, "fast").await["line"], "haiku");
    // an alias with another name is not known to the upstream's batches
    assert_eq!(model(&gateway, "fast").await["capabilities"]["batch"]["supported"], false);
}

#[tokio::test]
async fn a_retirement_that_all_targets_share_is_a_stage_of_the_alias() {
    let gateway = gateway().await;
    let stage = async |id: &str| {
        let model = model(&gateway, id).await;
        (model["lifecycle"].clone(), model["retires_at"].clone())
    };
    assert_eq!(stage("gone").await, (json!("retired"), json!("2001-01-01T00:00:00Z")));
    assert_eq!(stage("going").await, (json!("deprecated"), json!("2999-12-31T00:00:00Z")));
    assert_eq!(stage("going-too").await, (json!("active"), Value::Null));
    let listed = async |query: &str| {
        let page = Ask::get(&format!("/v1/models?{query}")).send(gateway.address).await.json();
        let models = page["data"].as_array().unwrap().clone();
        models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("lifecycle[]=retired").await, ["gone"]);
    assert!(listed("lifecycle[]=deprecated").await.contains(&"going".to_owned()));
    assert!(!listed("lifecycle[]=active").await.contains(&"going".to_owned()));
    assert_eq!(listed("limit=2").await, ["claude-haiku-4-5", "claude-opus-5"]);
}

fn printed(args: &[&str]) -> String {
    let (_folder, file) = folder(CONFIG, &[("table.yaml", TABLE)]);
    let output = tidegate(&file, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_command_prints_the_table_and_the_targets_that_use_it() {
    let all = printed(&["models"]);
    assert!(all.contains("\nclaude-opus-5    ") && all.contains("\ngrok-4.7"), "{all}");
    let unknown = all.split("not in the table:\n").nth(1).unwrap();
    assert_eq!(unknown, "  half: up/unheard-of\n");
    let haiku = printed(&["models", "claude-haiku-4-5*"]);
    let lines: Vec<&str> = haiku.lines().collect();
    assert_eq!(lines[0].split_whitespace().next(), Some("MODEL"));
    let row = "claude-haiku-4-5-20251001  anthropic  200000   64000   1     5      -        tools tool_choice image pdf json_schema thinking web_search prefill";
    assert_eq!(lines[1], row);
    let users = [
        "  <- claude-haiku-4-5: up/claude-haiku-4-5-20251001",
        "  <- fast: up/claude-haiku-4-5-20251001",
        "  <- mixed: up/claude-haiku-4-5",
    ];
    assert_eq!(lines[2..5], users);
}

#[test]
fn the_command_takes_patterns_and_every_spelling_of_a_name() {
    let ids = |pattern: &str| {
        let printed: Value =
            serde_json::from_str(&printed(&["models", pattern, "--json"])).unwrap();
        let models = printed["models"].as_array().unwrap().clone();
        models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("gone"), ["gone"]);
    assert_eq!(ids("us.anthropic.claude-haiku-4-5-20251001-v1:0"), ["claude-haiku-4-5-20251001"]);
    assert_eq!(ids("GROQ/*"), ["openai/gpt-oss-120b", "openai/gpt-oss-20b"]);
    assert_eq!(ids("*").len(), 69);
}

#[test]
fn json_has_every_fact_and_null_for_what_is_unknown() {
    let read = |pattern: &str| -> Value {
        let printed: Value =
            serde_json::from_str(&printed(&["models", pattern, "--json"])).unwrap();
        printed["models"][0].clone()
    };
    let nano = read("gpt-5.4-nano");
    assert_eq!(nano["price"], json!({"input": "0.2", "output": "1.25", "cache_read": "0.02"}));
    assert_eq!((&nano["context"], &nano["retires"]), (&json!(272_000), &json!("2027-04-01")));
    assert_eq!(nano["refuses_on_chat"], json!(["stop", "tools_with_effort"]));
    assert_eq!(nano["used_by"], json!(["gpt: up/gpt-5.4-nano"]));
    let gpt = read("gpt-5.4");
    let above = json!([{"tokens": 272_000, "inclusive": false, "input": "5", "cache_read": "0.5", "output": "22.5"}]);
    assert_eq!(gpt["price"]["above"], above);
    let silent = read("silent");
    for field in ["context", "max_output", "capabilities", "efforts", "price", "retires"] {
        assert_eq!(silent[field], Value::Null, "{field}");
    }
}

#[test]
fn a_pattern_without_a_model_and_a_wrong_config_fail() {
    let (_folder, file) = folder(CONFIG, &[("table.yaml", TABLE)]);
    let output = tidegate(&file, &["models", "nothing-*"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "no model matches `nothing-*`\n");
    let (_folder, file) = folder(CONFIG, &[("table.yaml", "models: [{ id: new }]")]);
    let output = tidegate(&file, &["models"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("table.yaml: models[0].provider: needed"), "{stderr}");
}
