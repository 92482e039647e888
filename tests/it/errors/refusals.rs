//! Every error that the gateway makes: status, kind, envelope, and advice about another try.
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, logs};

#[tokio::test]
async fn every_error_has_its_status_its_kind_and_its_advice() {
    let fine = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let mute = Upstream::always(Behaviour::Silence).await;
    let gone = Upstream::always(Behaviour::Close(Vec::new())).await;
    let busy = upstream::answer(529, "retry-after: 30\r\n", "{}");
    let busy = Upstream::always(Behaviour::Answer(busy)).await;
    let gateway = Gateway::start(&format!(
        "providers:
  fine: {{ type: anthropic, base_url: \"http://{}\" }}
  mute: {{ type: anthropic, base_url: \"http://{}\" }}
  gone: {{ type: anthropic, base_url: \"http://{}\" }}
  busy: {{ type: anthropic, base_url: \"http://{}\" }}
models:
  m: {{ provider: fine }}
  slow: {{ provider: mute, timeouts: {{ first_event: 30ms, total: 30ms }} }}
  gone: {{ provider: gone }}
  busy: {{ targets: [{{ provider: busy, model: a }}, {{ provider: busy, model: b }}] }}
  secret: {{ provider: fine }}
keys: [{{ name: ci, key: k, models: [m, slow, gone, busy, nope] }}]
server: {{ workers: 1, max_body_bytes: 1000 }}
",
        fine.address, mute.address, gone.address, busy.address
    ))
    .await;
    let named = |model: &str| MESSAGE.replace("\"m\"", &format!("\"{model}\""));
    // both targets fail once, and are left alone from then on
    let first = Ask::message(named("busy")).header("x-api-key", "k").send(gateway.address).await;
    assert_eq!(first.status, 529);
    let table = [
        ("k", "[]".to_owned(), 400, "invalid_request_error", None, None),
        ("dead", MESSAGE.to_owned(), 401, "authentication_error", Some("false"), None),
        ("k", named("secret"), 403, "permission_error", None, None),
        ("k", named("nope"), 404, "not_found_error", None, None),
        ("k", named(&"x".repeat(1000)), 413, "request_too_large", None, None),
        ("k", named("gone"), 502, "api_error", None, None),
        ("k", named("slow"), 504, "timeout_error", None, None),
        ("k", named("busy"), 503, "overloaded_error", None, Some("30")),
    ];
    for (key, body, status, kind, should_retry, retry_after) in table {
        let answer = Ask::message(body).header("x-api-key", key).send(gateway.address).await;
        let message = answer.refusal(status, kind);
        assert_eq!(answer.header("x-should-retry"), should_retry, "{status}");
        assert_eq!(answer.header("retry-after"), retry_after, "{status}");
        assert!(!message.contains("127.0.0.1"), "an address: {message}");
    }
}

#[tokio::test]
async fn an_upstreams_refusal_passes_as_it_is() {
    let html = "<html><body>503 Service Temporarily Unavailable</body></html>";
    let json = "{\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}, \"request_id\": \"req_up\"}";
    let table = [
        (400, "application/json", json),
        (401, "application/json", json),
        (404, "application/json; charset=utf-8", json),
        (413, "application/json", json),
        (429, "application/json", json),
        (500, "application/json", json),
        (503, "text/html", html),
        (529, "application/json", json),
        (599, "text/plain", ""),
    ];
    for (status, kind, body) in table {
        let headers = format!("content-type: {kind}\r\nrequest-id: req_up\r\nretry-after: 3\r\n");
        let up =
            Upstream::always(Behaviour::Answer(upstream::answer(status, &headers, body))).await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        for asked in [MESSAGE, STREAM] {
            let answer = Ask::message(asked).send(gateway.address).await;
            assert_eq!((answer.status, answer.text().as_str()), (status, body));
            assert_eq!(answer.header("content-type"), Some(kind));
            assert_eq!(answer.header("request-id"), Some("req_up"));
            assert_eq!(answer.header("retry-after"), Some("3"));
            assert_eq!(answer.header("x-tidegate-target"), Some("up/m"));
        }
    }
}

#[tokio::test]
async fn a_failure_of_an_upstream_names_the_target_in_its_answer_and_in_the_log() {
    logs::start();
    let up = Upstream::always(Behaviour::Close(Vec::new())).await;
    let gateway = Gateway::start(
        &to(up.address).replace("provider: up }", "provider: up, retry: { attempts: 1 } }"),
    )
    .await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    answer.refusal(502, "api_error");
    assert_eq!(answer.header("x-tidegate-target"), Some("up/m"));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("2"));
    let line = logs::line("request_id", answer.header("request-id").unwrap()).await;
    assert_eq!((&line["model"], &line["upstream"]), (&"m".into(), &"up/m".into()));
    assert_eq!((&line["attempts"], line.get("upstream_request_id")), (&2.into(), None));
    // nobody was asked
    let refused = Ask::message("{}").send(gateway.address).await;
    refused.refusal(400, "invalid_request_error");
    assert_eq!(refused.header("x-tidegate-target"), None);
}

#[tokio::test]
async fn the_log_of_an_upstreams_refusal_has_the_id_that_the_caller_knows() {
    logs::start();
    let headers = "content-type: application/json\r\nrequest-id: req_of_this_refusal\r\n";
    let up = Upstream::always(Behaviour::Answer(upstream::answer(400, headers, "{}"))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.header("request-id"), Some("req_of_this_refusal"));
    let line = logs::line("upstream_request_id", "req_of_this_refusal").await;
    assert_eq!((&line["upstream"], &line["status"]), (&"up/m".into(), &400.into()));
    assert!(line["request_id"].as_str().unwrap().starts_with("req_"));
}

#[tokio::test]
async fn refusals_successes_and_tokens_are_counted() {
    let list = vec![
        Behaviour::Answer(upstream::json(200, ANSWER)),
        Behaviour::Answer(upstream::stream(&FRAMES)),
        Behaviour::Answer(upstream::json(400, "{}")),
    ];
    let up = Upstream::script(list).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for body in [MESSAGE, STREAM, MESSAGE, "{}"] {
        Ask::message(body).send(gateway.address).await;
    }
    gateway.until_metric("tidegate_active_requests", 0.0).await;
    let metrics = gateway.metrics().await;
    for line in [
        "tidegate_requests_total{model=\"*\",provider=\"up\",status=\"200\"} 2",
        "tidegate_requests_total{model=\"*\",provider=\"up\",status=\"400\"} 1",
        "tidegate_requests_total{model=\"\",provider=\"\",status=\"400\"} 1",
        "tidegate_attempts_total{provider=\"up\",outcome=\"success\"} 2",
        "tidegate_attempts_total{provider=\"up\",outcome=\"refused\"} 1",
        &token("sum", "input", 6),
        &token("sum", "output", 4),
        &token("count", "input", 2),
        "tidegate_gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"up\",gen_ai_request_model=\"*\",target_model=\"*\"} 1",
        "tidegate_gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"up\",gen_ai_request_model=\"*\",target_model=\"*\"} 3",
        "tidegate_active_requests 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn tokens_of_an_answer_that_a_stage_refuses_are_counted() {
    let whole = "fn on_response(message, ctx) { deny(403, \"no\"); }";
    let text = "fn on_text(text, ctx) { deny(403, \"no\"); }";
    // no event of this one ever comes to the caller
    let event = "fn on_event(event, ctx) { deny(403, \"no\"); }";
    for (policy, body, output) in
        [(whole, MESSAGE, 2), (text, MESSAGE, 2), (text, STREAM, 1), (event, STREAM, 1)]
    {
        let up = Upstream::by(|call| {
            Behaviour::Answer(match call.text().contains("stream") {
                true => upstream::stream(&FRAMES),
                false => upstream::json(200, ANSWER),
            })
        })
        .await;
        let files = [("policies/a.rhai", policy)];
        let gateway = Gateway::with().upstream(up.address).files(&files).start().await;
        Ask::message(body).send(gateway.address).await;
        gateway.until_metric("tidegate_active_requests", 0.0).await;
        let metrics = gateway.metrics().await;
        let line = token("sum", "input", 3);
        assert!(metrics.lines().any(|found| found == line), "{policy} {line}\n{metrics}");
        let counted = (output..=2).map(|count| token("sum", "output", count));
        assert!(
            counted.into_iter().any(|line| metrics.lines().any(|found| found == line)),
            "{policy}\n{metrics}"
        );
    }
}

fn token(what: &str, kind: &str, value: u64) -> String {
    let metric = format!("tidegate_gen_ai_client_token_usage_{what}");
    let labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"up\",gen_ai_request_model=\"*\",target_model=\"*\"";
    // a sum is a float
    let value = if what == "sum" { format!("{value}.0") } else { value.to_string() };
    format!("{metric}{{gen_ai_token_type=\"{kind}\",{labels}}} {value}")
}
