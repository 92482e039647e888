//! `timeout_ms`: the bound on a whole exchange.
use crate::support::events::EventKind;

use super::{before, config, refusal, target, trace, with};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{FRAMES, MESSAGE, STREAM};

#[tokio::test]
async fn nothing_goes_on_when_the_time_is_over() {
    let three = before(Behaviour::Silence).await;
    for body in [MESSAGE, STREAM] {
        let wish = r#"{"timeout_ms":60,"debug":{"trace":true}}"#;
        let answer = three.ask(&with(body, wish), &[]).await;
        let message = answer.refusal(504, "timeout_error");
        assert_eq!(
            message,
            "no whole answer within the 60 ms that the request's `timeout_ms` allows"
        );
        assert_eq!(trace(&answer)["attempts"][0]["status"], 504);
        let answer = three.ask(body, &[("x-tidegate-timeout-ms", "60")]).await;
        answer.refusal(504, "timeout_error");
    }
    // every request asked it: the caller's bound says nothing of the target
    assert_eq!(three.counts(), [4, 0, 0]);
}

#[tokio::test]
async fn within_its_time_a_request_fails_over() {
    let three = before(refusal(529)).await;
    for body in [MESSAGE, STREAM] {
        let answer = three.ask(&with(body, r#"{"timeout_ms":15000}"#), &[]).await;
        assert_eq!((answer.status, target(&answer)), (200, "b/m"));
    }
}

#[tokio::test]
async fn no_retry_waits_beyond_the_time() {
    let a = Upstream::always(refusal(529)).await;
    let yaml = config([a.address; 3]).replace(
        "  lone: { provider: a }",
        "  lone: { provider: a, retry: { attempts: 3, backoff: 2h, max_backoff: 2h } }",
    );
    let gateway = Gateway::start(&yaml).await;
    let body = with(&MESSAGE.replace("\"m\"", "\"lone\""), r#"{"timeout_ms":3600000}"#);
    // one that waited for the retry, or for the end of the time, would be a hang here
    let answer = Ask::message(body).header("x-api-key", "all").send(gateway.address).await;
    assert_eq!((answer.status, a.count()), (529, 1));
}

#[tokio::test]
async fn a_stream_ends_with_an_error_when_the_time_is_over() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::start(&config([up.address; 3])).await;
    let ask = Ask::message(with(STREAM, r#"{"timeout_ms":150}"#)).header("x-api-key", "all");
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        call.chunk(FRAMES[0]).await;
        call
    };
    let (mut answer, mut call) = tokio::join!(ask.open(gateway.address), begin);
    let events = answer.frames().await;
    let last = events.last().unwrap();
    assert_eq!((events[0].kind, last.kind), (EventKind::MessageStart, EventKind::Error));
    assert!(last.data().starts_with("{\"type\":\"error\""));
    assert!(last.data().contains("timeout_ms"));
    call.closed().await;
}
