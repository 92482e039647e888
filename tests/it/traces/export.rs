//! The way of spans to the collector: its headers, retries, losses, and the end of the gateway.
use std::fs;

use super::traced;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::logs;
use crate::support::otlp::{Collector, accepted};
use crate::support::upstream::{self, Auto, Behaviour, Upstream, answer};
use crate::support::{ANSWER, MESSAGE};

const EXPORTED: &str = "tidegate_otlp_exported_total";

async fn answering() -> Auto {
    Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await
}

fn dropped(reason: &str) -> String {
    format!("tidegate_otlp_dropped_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn an_export_is_a_compressed_post_with_the_operators_headers() {
    logs::start();
    let (up, collector) = (answering().await, Collector::start().await);
    let config = format!(
        "otlp: {{ endpoint: \"http://{}/base/\", headers: {{ x-api-token: \"a-secret-of-otlp\" }} }}",
        collector.upstream.address
    );
    let gateway = Gateway::with().upstream(up.address).config(&config).start().await;
    Ask::message(MESSAGE).send(gateway.address).await;
    gateway.until_metric(EXPORTED, 2.0).await;
    let (head, body) = &collector.upstream.seen()[0];
    assert_eq!(head.line, "POST /base/v1/traces HTTP/1.1");
    assert_eq!(head.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(head.header("content-encoding"), Some("gzip"));
    assert_eq!(head.header("x-api-token"), Some("a-secret-of-otlp"));
    assert_eq!(head.header("host"), Some(&*collector.upstream.address.to_string()));
    assert!(head.header("user-agent").unwrap().starts_with("OTel-OTLP-Exporter-"));
    assert!(body.starts_with(&[0x1f, 0x8b]));
    // a change needs a restart, and the log does not quote it
    let changed = config.replace("a-secret-of-otlp", "another-secret-of-otlp");
    let old = fs::read_to_string(gateway.file()).unwrap();
    gateway.reload(&old.replace(config.as_str(), &changed)).await;
    let warning =
        "`otlp.headers` has changed: it takes effect after a restart, all other changes now";
    logs::line("message", warning).await;
    assert!(!logs::has("secret-of-otlp"));
}

#[tokio::test]
async fn an_export_is_tried_again_while_the_collector_is_busy() {
    let busy = |status| Behaviour::Answer(answer(status, "retry-after: 0\r\n", "busy"));
    for status in [429, 502, 503, 504] {
        let list = vec![busy(status), busy(status), accepted()];
        let (up, collector) = (answering().await, Collector::script(list).await);
        let gateway = traced(up.address, &collector).start().await;
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(EXPORTED, 2.0).await;
        let bodies = collector.upstream.bodies();
        assert_eq!(bodies.len(), 3);
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        assert_eq!(gateway.metric("tidegate_otlp_failures_total").await, 2.0);
        assert_eq!(gateway.metric("tidegate_otlp_queue_spans").await, 0.0);
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let list = vec![Behaviour::Close(Vec::new()), accepted()];
    let (up, collector) = (answering().await, Collector::script(list).await);
    let gateway = traced(up.address, &collector).start().await;
    Ask::message(MESSAGE).send(gateway.address).await;
    gateway.until_metric(EXPORTED, 2.0).await;
    assert_eq!(collector.upstream.count(), 2);
}

#[tokio::test]
async fn spans_that_the_collector_rejects_are_counted_and_not_sent_again() {
    for status in [400, 401, 404, 413, 500, 301] {
        let list = vec![Behaviour::Answer(answer(status, "retry-after: 0\r\n", "no")), accepted()];
        let (up, collector) = (answering().await, Collector::script(list).await);
        let gateway = traced(up.address, &collector).start().await;
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(&dropped("rejected"), 2.0).await;
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(EXPORTED, 2.0).await;
        assert_eq!(collector.upstream.count(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_partial_success_is_counted_and_logged_once() {
    logs::start();
    // rejected_spans: 1, error_message: "partial-7f"
    let body = b"\x0a\x0e\x08\x01\x12\x0apartial-7f";
    let partial = Behaviour::Answer(answer(200, "content-type: application/x-protobuf\r\n", body));
    let (up, collector) = (answering().await, Collector::script(vec![partial]).await);
    let gateway = traced(up.address, &collector).start().await;
    for rejected in [1.0, 2.0] {
        Ask::message(MESSAGE).send(gateway.address).await;
        gateway.until_metric(&dropped("rejected"), rejected).await;
    }
    assert_eq!(gateway.metric(EXPORTED).await, 2.0);
    let message = "the collector took a part of the spans";
    assert_eq!(logs::count("reply", "partial-7f", message), 1);
}

#[tokio::test]
async fn a_drain_exports_what_waits() {
    let (up, collector) = (answering().await, Collector::start().await);
    let gateway = traced(up.address, &collector).start().await;
    for _ in 0..20 {
        Ask::message(MESSAGE).send(gateway.address).await;
    }
    gateway.stop().await;
    assert_eq!(collector.spans().len(), 40);
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_request_and_holds_no_drain_up() {
    logs::start();
    let up = answering().await;
    // a port that nothing listens on
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = format!("otlp: {{ endpoint: \"http://{free}\" }}\ndrain: 1h\n");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    for _ in 0..20 {
        assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    }
    gateway.until_metric("tidegate_otlp_failures_total", 1.0).await;
    assert_eq!(gateway.metric("tidegate_otlp_queue_spans").await, 40.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_scraper_that_accepts_openmetrics_gets_exemplars_and_others_do_not() {
    let (up, collector) = (answering().await, Collector::start().await);
    let gateway = traced(up.address, &collector).start().await;
    let ask = Ask::message(MESSAGE).header("traceparent", super::PARENT);
    ask.send(gateway.address).await;
    let open = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let scraped = Ask::get("/metrics").admin().header("accept", open).send(gateway.admin).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(scraped.header("content-type"), Some(kind));
    let text = scraped.text();
    assert!(text.ends_with("# EOF\n"));
    let exemplar = "# {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} ";
    for family in [
        "server_request_duration_seconds",
        "client_inference_duration_seconds",
        "client_inference_operation_input_tokens",
        "client_inference_operation_output_tokens",
    ] {
        let start = format!("tidegate_gen_ai_{family}_bucket");
        let has = |line: &str| line.starts_with(&start) && line.contains(exemplar);
        assert!(text.lines().any(has), "{family}:\n{text}");
    }
    let plain = Ask::get("/metrics").admin().send(gateway.admin).await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = plain.text();
    assert!(!text.contains("trace_id") && !text.contains("# EOF") && !text.contains("# UNIT"));
    assert!(text.contains("# TYPE tidegate_requests_total counter\n"));
}

#[tokio::test]
async fn without_a_trace_there_is_no_exemplar() {
    let up = answering().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    Ask::message(MESSAGE).header("traceparent", super::PARENT).send(gateway.address).await;
    let accept = "application/openmetrics-text";
    let text =
        Ask::get("/metrics").admin().header("accept", accept).send(gateway.admin).await.text();
    assert!(!text.contains("trace_id"));
}
