//! Bad plugins through a whole gateway: what their request gets, and one that is served beside it.
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping, simulated_upstream, to};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, plugins};

/// A gateway with one worker, whose plugin `unruly` does everything wrong.
async fn gateway() -> (Auto, Gateway) {
    let upstream = simulated_upstream().await;
    let config = "plugins: { config: { unruly: { deadline: 2s, memory: 67108864 } } }";
    let gateway = looping(upstream.address).config(config).start().await;
    (upstream, gateway)
}

/// What the model is told by the one call of a request, and whether it is told as an error.
async fn told(gateway: &Gateway, call: &str) -> (bool, String) {
    let tools = ["datetime", "panic", "spin", "eat", "recurse", "boast", "echo"];
    let body = json!({
        "model": "m",
        "max_tokens": 1000,
        "tools": tools.map(|name| json!({"type": format!("gateway:{name}")})),
        "messages": [{"role": "user", "content": format!("[sim: call {call}]")}],
    });
    let answer = gateway.ask(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let message = answer.json();
    assert_eq!(message["stop_reason"], "end_turn");
    let blocks = message["content"].as_array().unwrap();
    let result = blocks.iter().find(|block| block["type"] == "mcp_tool_result").unwrap();
    let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    (result["is_error"] == Value::Bool(true), text)
}

/// How many requests of another plugin's tool were served well, and plain ones between them: all five.
async fn served(gateway: &Gateway) -> u32 {
    let plain =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for _ in 0..5 {
        assert_eq!(gateway.ask(&plain).await.status, 200);
        let (is_error, text) = told(gateway, "datetime {\"timezones\": [\"UTC\"]}").await;
        assert!(!is_error && text.contains("UTC"), "{text}");
    }
    5
}

#[tokio::test]
async fn a_call_that_breaks_is_a_result_and_the_request_beside_it_never_knows() {
    let (_upstream, gateway) = gateway().await;
    for (call, says) in [
        ("spin", "plugin `unruly` did not finish within 2s in `call-tool spin`"),
        ("eat", "plugin `unruly` needs more than its 64 MiB of memory in `call-tool eat`"),
        ("recurse", "plugin `unruly` ran out of stack in `call-tool recurse`"),
        ("panic {\"text\": \"secret\"}", "plugin `unruly` broke in `call-tool panic`"),
        (
            "boast {\"bytes\": 8388608}",
            "plugin `unruly` gave a result of more than 8 MiB in `call-tool boast`",
        ),
    ] {
        let (broken, served) = tokio::join!(told(&gateway, call), served(&gateway));
        assert_eq!((broken, served), ((true, says.to_owned()), 5));
    }
    // the plugin itself is none the worse for it
    let (is_error, text) = told(&gateway, "echo {\"text\": \"still here\"}").await;
    assert_eq!((is_error, text.as_str()), (false, "still here"));
}

#[tokio::test]
async fn a_plugin_that_breaks_again_and_again_rests_and_the_metrics_tell() {
    let (_upstream, gateway) = gateway().await;
    for _ in 0..5 {
        assert!(told(&gateway, "panic {\"text\": \"secret\"}").await.0);
    }
    let (is_error, text) = told(&gateway, "echo {\"text\": \"a\"}").await;
    assert!(is_error && text.contains("and was not called in `call-tool echo`"), "{text}");
    assert!(!told(&gateway, "datetime {\"timezones\": [\"UTC\"]}").await.0);
    for name in ["tidegate_plugin_breaker_openings_total", "tidegate_plugin_refused_calls_total"] {
        let measured = gateway.measured(name, "plugin=\"unruly\"").await;
        assert!((measured - 1.0).abs() < 0.1, "{name}: {measured}");
    }
}

/// A gateway whose plugin does these things wrong for models of their names, and is not for others.
async fn hooked(acts: &[&str], on_error: &str) -> (Auto, Gateway) {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let stages = acts.iter().map(|act| {
        format!("  - {{ plugin: hooks, with: {{ act: {act} }}, when: {{ model: {act} }}, on_error: {on_error} }}\n")
    });
    let yaml = format!(
        "{}plugins: {{ dir: \"{}\", config: {{ hooks: {{ hook_deadline: 3s, memory: 33554432 }} }} }}\npipeline:\n{}",
        to(up.address),
        plugins::alone("hooks").display(),
        stages.collect::<String>()
    );
    let gateway = Gateway::start(&yaml).await;
    (up, gateway)
}

/// Requests that the stages are not for: all are served.
async fn plain_ones(gateway: &Gateway) {
    for _ in 0..5 {
        assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    }
}

#[tokio::test]
async fn a_hook_that_breaks_ends_its_own_request_or_is_skipped_and_no_other_knows() {
    let wrong = [
        ("spin", "plugin `hooks` did not finish within 3s in `on-request`"),
        ("eat", "plugin `hooks` needs more than its 32 MiB of memory in `on-request`"),
        ("recurse", "plugin `hooks` ran out of stack in `on-request`"),
        ("panic", "plugin `hooks` broke in `on-request`"),
    ];
    for on_error in ["deny", "skip"] {
        let (_up, gateway) = hooked(&wrong.map(|(act, _)| act), on_error).await;
        for (act, says) in wrong {
            let body = MESSAGE.replacen("\"m\"", &format!("\"{act}\""), 1);
            let (answer, ()) =
                tokio::join!(Ask::message(body).send(gateway.address), plain_ones(&gateway));
            match on_error {
                "deny" => assert_eq!(answer.refusal(500, "api_error"), says),
                _ => assert_eq!(answer.status, 200, "{act}"),
            }
        }
    }
}
