//! Streams that break after their first event: never a clean end, and never a hang.
use crate::support::events::{Event, EventKind};

use crate::support::client::{Answer, Ask};
use crate::support::gateway::{Gateway, to};
use crate::support::upstream::{Behaviour, Upstream, broken, chunked, stream};
use crate::support::{FRAMES, STREAM, logs, streaming};

const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";

async fn answered(behaviour: Behaviour) -> Answer {
    let up = Upstream::always(behaviour).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    Ask::message(STREAM).send(gateway.address).await
}

/// The last event is an error of the gateway's own, under the request id of the head.
fn assert_broken(answer: &Answer, kind: &str) {
    let events = answer.events();
    assert_broken_at(events.last().unwrap(), kind, answer.header("request-id").unwrap());
    assert!(events.iter().all(|event| event.kind != EventKind::MessageStop));
}

fn assert_broken_at(event: &Event, kind: &str, request_id: &str) {
    assert_eq!(event.kind, EventKind::Error);
    let data = event.json();
    assert_eq!(data["type"], "error");
    assert_eq!(data["error"]["type"], kind);
    assert_eq!(data["request_id"], request_id);
}

#[tokio::test]
async fn a_break_within_a_stream_is_an_error_event() {
    let begun = &FRAMES[..3];
    let half = [begun, &[&FRAMES[3][..20]]].concat();
    let table = [
        Behaviour::Close(broken(begun)),
        Behaviour::Close(broken(&half)),
        Behaviour::Close([broken(begun), b"ffff\r\nevent: con".to_vec()].concat()),
        // an end that HTTP takes for clean, but the API does not
        Behaviour::Answer(stream(begun)),
        Behaviour::Answer(stream(&half)),
        Behaviour::Answer(stream(&FRAMES[..5])),
        Behaviour::Close([broken(begun), b"this is no chunk\r\n".to_vec()].concat()),
    ];
    for behaviour in table {
        let shown = format!("{behaviour:?}");
        let answer = answered(behaviour).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with(&begun.concat()), "{shown}");
        assert_broken(&answer, "api_error");
    }
}

#[tokio::test]
async fn how_streams_ended_is_counted() {
    let up = Upstream::script(vec![
        Behaviour::Answer(stream(&FRAMES)),
        Behaviour::Close(broken(&FRAMES[..3])),
        Behaviour::Answer(stream(&[FRAMES[0], OVERLOADED])),
    ])
    .await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for _ in 0..3 {
        assert_eq!(Ask::message(STREAM).send(gateway.address).await.status, 200);
    }
    let ended = |ending: &str| {
        format!("tidegate_streams_ended_total{{model=\"*\",provider=\"up\",ending=\"{ending}\"}}")
    };
    gateway.until_metric(&ended("whole"), 1.0).await;
    gateway.until_metric(&ended("broken"), 2.0).await;
    let mut led = Upstream::start().await;
    let gateway = Gateway::with().upstream(led.address).start().await;
    drop(streaming(&gateway, &mut led).await);
    gateway.until_metric(&ended("caller_left"), 1.0).await;
    assert_eq!(gateway.metric(&ended("whole")).await, 0.0);
}

#[tokio::test]
async fn the_log_names_the_upstream_of_a_broken_stream() {
    logs::start();
    let up = Upstream::always(Behaviour::Close(broken(&FRAMES[..3]))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let asked = STREAM.replace("\"m\"", "\"who-broke\"");
    let answer = Ask::message(asked).send(gateway.address).await;
    assert_broken(&answer, "api_error");
    let line = logs::line("model", "who-broke").await;
    assert_eq!((&line["upstream"], &line["status"]), (&"up/who-broke".into(), &502.into()));
    assert_eq!(line["upstream_request_id"], "req_up");
    assert!(line["request_id"].as_str().unwrap().starts_with("req_"));
    assert_ne!(line["request_id"], "req_up");
}

#[tokio::test]
async fn a_reset_within_a_stream_is_an_error_event() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let (mut answer, call) = streaming(&gateway, &mut up).await;
    call.reset();
    let rest = answer.frames().await;
    assert_eq!(rest.len(), 1);
    assert_broken_at(&rest[0], "api_error", answer.head.header("request-id").unwrap());
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_an_error_event() {
    for timeouts in ["idle: 40ms", "total: 60ms"] {
        let mut up = Upstream::start().await;
        let config =
            to(up.address).replace(" up }", &format!(" up, timeouts: {{ {timeouts} }} }}"));
        let gateway = Gateway::start(&config).await;
        let (mut answer, mut call) = streaming(&gateway, &mut up).await;
        let rest = answer.frames().await;
        assert_broken_at(&rest[0], "timeout_error", answer.head.header("request-id").unwrap());
        call.closed().await;
    }
}

#[tokio::test]
async fn an_error_event_of_the_upstream_passes_and_ends_the_stream() {
    let error = "event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}\n\n";
    let frames = [FRAMES[0], FRAMES[1], error];
    for behaviour in [
        Behaviour::Answer(stream(&frames)),
        Behaviour::Close(broken(&frames)),
        Behaviour::Answer(stream(&[FRAMES[0], FRAMES[1], error.trim_end()])),
    ] {
        let answer = answered(behaviour).await;
        assert_eq!((answer.status, answer.text()), (200, frames.concat()));
        assert!(answer.is_whole);
    }
}

#[tokio::test]
async fn a_last_blank_line_that_is_missing_is_put_there() {
    let last = FRAMES[5];
    for cut in [last.trim_end(), last.strip_suffix('\n').unwrap()] {
        let frames = [&FRAMES[..5], &[cut]].concat();
        let answer = answered(Behaviour::Answer(stream(&frames))).await;
        assert_eq!(answer.text(), FRAMES.concat());
    }
    // what is not whole is no end
    let frames = [&FRAMES[..5], &[&last[..last.len() - 5]]].concat();
    assert_broken(&answered(Behaviour::Answer(stream(&frames))).await, "api_error");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_last_event_is_not_an_error() {
    for behaviour in [
        Behaviour::Close(broken(&FRAMES)),
        Behaviour::Close([broken(&FRAMES), chunked(": goodby")].concat()),
    ] {
        let answer = answered(behaviour).await;
        assert_eq!((answer.text(), answer.is_whole), (FRAMES.concat(), true));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_close_after_the_last_event_does_not_delay_the_client() {
    let mut up = Upstream::start().await;
    let config = to(up.address).replace(" up }", " up, timeouts: { idle: 40ms } }");
    let gateway = Gateway::start(&config).await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    call.chunk(FRAMES[1..].concat()).await;
    let rest = answer.frames().await;
    assert_eq!(rest.last().unwrap().kind, EventKind::MessageStop);
    assert!(answer.is_whole());
    call.closed().await;
}

#[tokio::test]
async fn the_gateway_drops_upstream_events_after_an_error() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}\n\n";
    let frames = [FRAMES[0], error, FRAMES[1]];
    let answer = answered(Behaviour::Answer(stream(&frames))).await;
    assert_eq!(answer.text(), frames[..2].concat());
}
