//! The health of targets in the API and in the metrics.
use serde_json::{Value, json};

use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};

use super::Api;

fn refusal(status: u16) -> Behaviour {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    Behaviour::Answer(upstream::json(status, body))
}

fn config(targets: &str) -> String {
    format!("models: {{ m: {{ cooldown: 10m, targets: [{targets}] }} }}\n")
}

async fn target(api: &Api<'_>, n: usize) -> Value {
    api.get("/api/targets").await["aliases"][0]["targets"][n].clone()
}

#[tokio::test]
async fn a_target_that_fails_is_shown_as_cooling_with_its_failure() {
    let bad = Upstream::always(refusal(529)).await;
    let good =
        Upstream::always(Behaviour::Answer(upstream::json(200, crate::support::ANSWER))).await;
    let provider = |at| format!("{{ type: anthropic, api_key: k, base_url: \"http://{at}\" }}");
    let (bad_provider, good_provider) = (provider(bad.address), provider(good.address));
    let gateway = Gateway::with()
        .provider("bad", &bad_provider)
        .provider("good", &good_provider)
        .config(config("{ provider: bad, model: x }, { provider: good }"))
        .start()
        .await;
    let api = Api::of(&gateway).await;
    let fresh = target(&api, 0).await;
    assert_eq!(fresh["messages"], json!({ "state": "healthy", "cooling_ms": null }));
    assert_eq!(
        (&fresh["recent"]["error_rate"], &fresh["last_failure"]),
        (&Value::Null, &Value::Null)
    );
    let labels = r#"{model="m",provider="bad",target_model="x"}"#;
    let (cooling, cooldowns) = (
        format!("tidegate_target_cooling{labels}"),
        format!("tidegate_target_cooldowns_total{labels}"),
    );
    assert!(gateway.metrics().await.contains(&format!("{cooldowns} 0\n")));
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    let shown = target(&api, 0).await;
    assert_eq!(
        (&shown["target"], &shown["messages"]["state"]),
        (&json!("bad/x"), &json!("cooling"))
    );
    assert!(shown["messages"]["cooling_ms"].as_u64().unwrap() > 500_000, "{shown}");
    assert_eq!(shown["count_tokens"]["state"], "healthy");
    assert_eq!(shown["recent"]["attempts"], 1);
    assert_eq!(shown["recent"]["error_rate"], 1.0);
    let failure = &shown["last_failure"];
    assert_eq!((&failure["status"], &failure["kind"]), (&json!(529), &json!("overloaded_error")));
    assert_eq!(target(&api, 1).await["recent"]["error_rate"], 0.0);
    assert_eq!(gateway.metric(&cooling).await, 1.0);
    assert_eq!(gateway.metric(&cooldowns).await, 1.0);
    let budget = api.get("/api/targets").await["aliases"][0]["retry_budget"].clone();
    assert_eq!((&budget["requests"], &budget["extra"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_target_that_leaves_the_config_is_forgotten() {
    let bad = Upstream::always(refusal(529)).await;
    let provider =
        format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", bad.address);
    let providers = format!("providers: {{ a: {provider}, b: {{ type: anthropic }} }}\n");
    let both = config("{ provider: a }, { provider: b, model: x }");
    let one = config("{ provider: b, model: x }");
    let gateway = Gateway::start(&format!("{providers}{both}")).await;
    let api = Api::of(&gateway).await;
    Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(target(&api, 0).await["messages"]["state"], "cooling");
    // a reload does not forget an outage
    gateway.reload(&format!("{providers}{both}tools: {{ max_turns: 3 }}\n")).await;
    assert_eq!(target(&api, 0).await["messages"]["state"], "cooling");
    gateway.reload(&format!("{providers}{one}")).await;
    assert_eq!(target(&api, 0).await["target"], "b/x");
    let label = r#"tidegate_target_cooling{model="m",provider="a",target_model="*"}"#;
    assert!(!gateway.metrics().await.contains(label));
    gateway.reload(&format!("{providers}{both}")).await;
    let shown = target(&api, 0).await;
    assert_eq!(
        (&shown["messages"]["state"], &shown["recent"]["attempts"]),
        (&json!("healthy"), &json!(0))
    );
    assert!(gateway.metrics().await.contains(&format!("{label} 0\n")));
}
