//! Tests of the metrics: names, labels and values.
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use http::HeaderValue;

use crate::telemetry::metrics::{Metrics, TargetMetrics};
use crate::telemetry::outcome::{AttemptOutcome, Ending};
use crate::telemetry::record::Operation;
use crate::telemetry::story::{AttemptStart, Story};
use crate::wire::Usage;

/// Ends a streamed exchange of one attempt at `target`.
fn exchange(metrics: &Metrics, target: &Arc<TargetMetrics>, status: u16) {
    let story = Story::begin("req_1", Instant::now(), Operation::Messages);
    let name = HeaderValue::from_static("sim/fast");
    let id = story.attempt(AttemptStart {
        turn: 1,
        model: "fast",
        target: name,
        metrics: Some(target),
        tariff: None,
    });
    let upstreams = http::StatusCode::from_u16(status).unwrap();
    story.attempt_answered(id, upstreams, &http::HeaderMap::new());
    story.attempt_used(id, |spent| {
        spent.tokens = Usage { input: 10, output: 20, cache_read: 40, ..Usage::default() };
    });
    story.answered(status);
    story.streams();
    story.first_event();
    story.end(Ending::Whole, metrics);
}

#[track_caller]
fn has(metrics: &Metrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
}

#[test]
fn a_finished_exchange_is_seen_under_its_alias_and_provider() {
    let metrics = Metrics::new();
    let target = metrics.target("fast", "sim", "*");
    exchange(&metrics, &target, 200);
    exchange(&metrics, &target, 200);
    exchange(&metrics, &target, 529);
    has(&metrics, "tidegate_requests_total{model=\"fast\",provider=\"sim\",status=\"200\"} 2");
    has(&metrics, "tidegate_requests_total{model=\"fast\",provider=\"sim\",status=\"529\"} 1");
    let labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"sim\",gen_ai_request_model=\"fast\",target_model=\"*\"";
    has(&metrics, &format!("tidegate_gen_ai_server_request_duration_seconds_count{{{labels}}} 3"));
    has(
        &metrics,
        &format!("tidegate_gen_ai_server_time_to_first_token_seconds_count{{{labels}}} 3"),
    );
    for (kind, sum) in [("input", "30.0"), ("output", "60.0"), ("cache_read", "120.0")] {
        has(
            &metrics,
            &format!(
                "tidegate_gen_ai_client_token_usage_sum{{gen_ai_token_type=\"{kind}\",{labels}}} {sum}"
            ),
        );
    }
}

#[test]
fn the_same_target_is_one_bundle() {
    let metrics = Metrics::new();
    metrics.target("a", "p", "m").attempted(AttemptOutcome::TimedOut);
    metrics.target("b", "p", "m").attempted(AttemptOutcome::TimedOut);
    metrics.target("a", "p", "m").attempted(AttemptOutcome::Success);
    has(&metrics, "tidegate_attempts_total{provider=\"p\",outcome=\"timed_out\"} 2");
    has(&metrics, "tidegate_attempts_total{provider=\"p\",outcome=\"success\"} 1");
    has(&metrics, "tidegate_attempts_total{provider=\"p\",outcome=\"failed\"} 0");
}

#[test]
fn stages_and_tools_are_timed_and_their_failures_counted() {
    let metrics = Metrics::new();
    let stage = metrics.stage("cap", "on_request");
    stage.observe(Duration::from_micros(20));
    stage.failed();
    let tool = metrics.tool("gateway:datetime");
    tool.succeeded(Duration::from_millis(1));
    tool.failed(Duration::from_millis(1));
    has(&metrics, "tidegate_stage_duration_seconds_count{stage=\"cap\",hook=\"on_request\"} 1");
    has(&metrics, "tidegate_stage_failures_total{stage=\"cap\",hook=\"on_request\"} 1");
    let labels = "tool=\"gateway:datetime\"";
    has(&metrics, &format!("tidegate_server_tool_calls_total{{{labels},outcome=\"ok\"}} 1"));
    has(&metrics, &format!("tidegate_server_tool_calls_total{{{labels},outcome=\"error\"}} 1"));
    has(&metrics, &format!("tidegate_server_tool_duration_seconds_count{{{labels}}} 2"));
}

#[test]
fn a_failed_reload_is_seen_until_the_next_good_one() {
    let metrics = Metrics::new();
    metrics.reloaded(UNIX_EPOCH + Duration::from_secs(1000));
    metrics.reload_failed();
    has(&metrics, "tidegate_config_last_reload_successful 0");
    has(&metrics, "tidegate_config_last_reload_success_timestamp_seconds 1000.0");
    metrics.reloaded(UNIX_EPOCH + Duration::from_secs(2000));
    has(&metrics, "tidegate_config_last_reload_successful 1");
    has(&metrics, "tidegate_config_last_reload_success_timestamp_seconds 2000.0");
    has(&metrics, "tidegate_config_reloads_total{result=\"ok\"} 2");
    has(&metrics, "tidegate_config_reloads_total{result=\"error\"} 1");
}

#[test]
fn active_requests_and_live_generations_are_gauges() {
    let metrics = Metrics::new();
    metrics.active_requests.inc();
    metrics.generations_live.set(2);
    has(&metrics, "tidegate_active_requests 1");
    has(&metrics, "tidegate_generations_live 2");
}
