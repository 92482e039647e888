//! The next target is tried exactly when the first failed in a way that another may mend.
use serde_json::Value;
use tokio::net::TcpListener;

use super::{ask, fine, pair, refusal, target};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM, streaming};

fn works(body: &str, text: &str) {
    assert_eq!(text, if body == STREAM { FRAMES.concat() } else { ANSWER.to_owned() });
}

#[tokio::test]
async fn the_first_target_answers_while_it_can() {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
    for body in [MESSAGE, STREAM, MESSAGE] {
        let answer = ask(&gateway, body).await;
        works(body, &answer.text());
        assert_eq!(target(&answer), "a/ma");
    }
    assert_eq!((a.count(), b.count()), (3, 0));
}

/// Whatever `a` does, `b` answers in its place, for messages and for streams.
async fn fails_over(behaviour: Behaviour) {
    let shown = format!("{behaviour:?}");
    for body in [MESSAGE, STREAM] {
        let a = Upstream::always(behaviour.clone()).await;
        let b = Upstream::by(|call| fine(&call.body)).await;
        let more = "timeouts: { first_event: 60ms, total: 60ms }";
        let gateway = Gateway::start(&pair(a.address, b.address, more)).await;
        let sent = Ask::message(body).header("anthropic-version", "2023-01-01");
        let sent = sent.header("anthropic-beta", "x-2025").header("x-app", "cli");
        let answer = sent.send(gateway.address).await;
        assert_eq!(answer.status, 200, "{shown}: {}", answer.text());
        works(body, &answer.text());
        assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/m", Some("2")));
        let ((to_a, body_a), (to_b, body_b)) = (a.seen().remove(0), b.seen().remove(0));
        assert_eq!(body_a, body.replace("\"m\"", "\"ma\"").into_bytes());
        assert_eq!(body_b, body.as_bytes());
        assert_eq!(
            (to_a.header("x-api-key"), to_b.header("x-api-key")),
            (Some("key-a"), Some("key-b"))
        );
        for name in ["anthropic-version", "anthropic-beta", "x-app"] {
            assert_eq!(to_a.header(name), to_b.header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn statuses_that_another_may_mend_fail_over() {
    for status in [408, 429, 500, 502, 503, 504, 529] {
        fails_over(refusal(status, "")).await;
    }
    // the upstream knows better than its status
    fails_over(refusal(400, "x-should-retry: true\r\n")).await;
}

#[tokio::test]
async fn breaks_and_nonsense_fail_over() {
    fails_over(Behaviour::Close(Vec::new())).await;
    fails_over(Behaviour::Reset(Vec::new())).await;
    fails_over(Behaviour::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec())).await;
    fails_over(Behaviour::Answer(upstream::answer(200, "content-type: text/html\r\n", "<p>")))
        .await;
    fails_over(Behaviour::Answer(upstream::answer(301, "location: /\r\n", ""))).await;
}

#[tokio::test]
async fn an_upstream_that_says_nothing_in_time_fails_over() {
    fails_over(Behaviour::Silence).await;
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_fails_over() {
    for kind in ["overloaded_error", "api_error", "rate_limit_error"] {
        let error = format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\"}}}}\n\n"
        );
        for frames in [vec![error.as_str()], vec![": hello\n\n", ": again\n\n", &error]] {
            let first = upstream::stream(&frames);
            let a = Upstream::always(Behaviour::Answer(first)).await;
            let b = Upstream::by(|call| fine(&call.body)).await;
            let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
            let answer = ask(&gateway, STREAM).await;
            assert_eq!((target(&answer), answer.text()), ("b/m", FRAMES.concat()));
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_fails_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let b = Upstream::by(|call| fine(&call.body)).await;
    for body in [MESSAGE, STREAM] {
        let gateway = Gateway::start(&pair(gone, b.address, "")).await;
        let answer = ask(&gateway, body).await;
        assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/m", Some("2")));
        let failed = "tidegate_attempts_total{provider=\"a\",outcome=\"failed\"}";
        assert_eq!(gateway.metric(failed).await, 1.0);
    }
}

#[tokio::test]
async fn a_failure_that_failover_cannot_mend_is_returned_to_the_caller() {
    let invalid = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\"}}\n\n";
    let table = [
        (refusal(400, ""), MESSAGE, 400),
        (refusal(401, ""), MESSAGE, 401),
        (refusal(403, ""), STREAM, 403),
        (refusal(404, ""), MESSAGE, 404),
        (refusal(413, ""), STREAM, 413),
        (refusal(529, "x-should-retry: false\r\n"), MESSAGE, 529),
        (refusal(500, "x-should-retry: false\r\n"), STREAM, 500),
        (Behaviour::Answer(upstream::stream(&[invalid])), STREAM, 400),
    ];
    for (behaviour, body, status) in table {
        let a = Upstream::always(behaviour).await;
        let mut b = Upstream::start().await;
        let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
        // twice: such a refusal says nothing of the target's health
        for _ in 0..2 {
            let answer = ask(&gateway, body).await;
            assert_eq!((answer.status, target(&answer)), (status, "a/ma"));
        }
        assert!(b.is_idle() && a.count() == 2);
    }
}

#[tokio::test]
async fn the_config_decides_which_statuses_fail_over() {
    let a = Upstream::script(vec![refusal(418, ""), refusal(500, "")]).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let more = "retry: { on: [418] }\n    cooldown: 0s";
    let gateway = Gateway::start(&pair(a.address, b.address, more)).await;
    assert_eq!(target(&ask(&gateway, MESSAGE).await), "b/m");
    assert_eq!(ask(&gateway, MESSAGE).await.status, 500);
}

#[tokio::test]
async fn the_response_of_the_last_target_is_returned_if_all_fail() {
    let a = Upstream::always(refusal(500, "")).await;
    let b = Upstream::always(refusal(529, "retry-after: 5\r\n")).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
    let answer = ask(&gateway, MESSAGE).await;
    assert_eq!((answer.status, answer.text().as_str()), (529, "{\"type\":\"error\"}"));
    assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/m", Some("2")));
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test]
async fn the_gateway_does_not_fail_over_after_the_first_event() {
    let mut a = Upstream::start().await;
    let mut b = Upstream::start().await;
    let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
    let (mut answer, call) = streaming(&gateway, &mut a).await;
    drop(call);
    let rest = answer.frames().await;
    assert_eq!(rest.last().unwrap().kind, crate::support::events::EventKind::Error);
    assert!(b.is_idle());
}

#[tokio::test]
async fn a_thread_needs_a_single_target() {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let body = MESSAGE.replace("16", "16,\"thread\":{\"type\":\"create\"}");
    let gateway = Gateway::start(&pair(a.address, a.address, "")).await;
    let answer = ask(&gateway, &body).await;
    answer.refusal(400, "invalid_request_error");
    assert_eq!(answer.json()["error"]["details"]["error_code"], "thread_unsupported_request");
    assert_eq!(a.count(), 0);
    let single = Gateway::with().upstream(a.address).start().await;
    let answer = ask(&single, &body).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, serde_json::from_str::<Value>(ANSWER).unwrap())
    );
    assert_eq!(a.seen()[0].1, body.as_bytes());
}
