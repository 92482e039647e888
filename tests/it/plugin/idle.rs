//! Hooks that a config, or a stage's parameters, leave nothing to do for: they are not called.
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, plugins};

/// How often each hook of the guest was called by one request.
async fn called(config: &str, stages: &str) -> [f64; 3] {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let folder = plugins::alone("hooks");
    let yaml = format!(
        "{}plugins: {{ dir: \"{}\", config: {{ hooks: {config} }} }}\n{stages}",
        to(up.address),
        folder.display()
    );
    let gateway = Gateway::start(&yaml).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut counts = [0.0; 3];
    for (count, hook) in counts.iter_mut().zip(["on_request", "on_upstream_request", "on_response"])
    {
        let name =
            format!("tidegate_stage_duration_seconds_count{{stage=\"hooks\",hook=\"{hook}\"}}");
        *count = gateway.metric(&name).await;
    }
    counts
}

#[tokio::test]
async fn only_hooks_with_something_to_do_are_called() {
    let stage = |with: &str| format!("pipeline: [{{ plugin: hooks, with: {with} }}]\n");
    for (config, stages, expect) in [
        ("{ hook_deadline: 20s }", String::new(), [1.0, 1.0, 1.0]),
        ("{ hook_deadline: 20s, upstream_only: true }", String::new(), [0.0, 1.0, 0.0]),
        ("{ hook_deadline: 20s, upstream_only: true }", stage("{ act: tail }"), [0.0, 1.0, 0.0]),
        ("{ hook_deadline: 20s }", stage("{ idle: true }"), [0.0, 0.0, 0.0]),
    ] {
        assert_eq!(called(config, &stages).await, expect, "{config} {stages}");
    }
}
