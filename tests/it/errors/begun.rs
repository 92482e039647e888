//! The beginning of a stream: only `message_start` makes an attempt a success.
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream, broken, stream};
use crate::support::{FRAMES, STREAM};

const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const COMMENT: &str = ": keep-alive\n\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}\n\n";

/// Returns the beginnings that are no answer, and the status of each if no other target answers.
fn failures() -> Vec<(Behaviour, u16)> {
    let waiting = [COMMENT, PING, PING, "event: news\ndata: {\"type\":\"news\"}\n\n"];
    let with = |last: &'static str| [&waiting[..], &[last]].concat();
    vec![
        (Behaviour::Answer(stream(&with(OVERLOADED))), 529),
        (Behaviour::Answer(stream(&waiting)), 502),
        (Behaviour::Close(broken(&waiting)), 502),
        (Behaviour::Reset(broken(&waiting)), 502),
        (Behaviour::Answer(stream(&with(FRAMES[5]))), 502),
        (Behaviour::Answer(stream(&with(FRAMES[2]))), 502),
    ]
}

#[tokio::test]
async fn a_stream_that_fails_after_pings_has_a_true_status() {
    for (behaviour, status) in failures() {
        let shown = format!("{behaviour:?}");
        let up = Upstream::always(behaviour).await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        let answer = Ask::message(STREAM).send(gateway.address).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_stream_that_fails_after_pings_is_failed_over() {
    for (behaviour, _) in failures() {
        let shown = format!("{behaviour:?}");
        let a = Upstream::always(behaviour).await;
        let b = Upstream::always(Behaviour::Answer(stream(&FRAMES))).await;
        let gateway = two(&a, &b, "").await;
        let answer = Ask::message(STREAM).send(gateway.address).await;
        assert_eq!((answer.status, answer.text()), (200, FRAMES.concat()), "{shown}");
        assert_eq!(answer.header("x-tidegate-target"), Some("b/m"), "{shown}");
        // the first target cools down
        assert_eq!(Ask::message(STREAM).send(gateway.address).await.status, 200);
        assert_eq!((a.count(), b.count()), (1, 2), "{shown}");
    }
}

async fn two(a: &upstream::Auto, b: &upstream::Auto, more: &str) -> Gateway {
    let gateway = Gateway::with()
        .provider(
            "a",
            &format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", a.address),
        )
        .provider(
            "b",
            &format!("{{ type: anthropic, api_key: k, base_url: \"http://{}\" }}", b.address),
        );
    let targets = "targets: [{ provider: a, model: m }, { provider: b, model: m }]";
    gateway.model("m", &format!("{{ {targets}, cooldown: 10m, {more} }}")).start().await
}

#[tokio::test]
async fn pings_do_not_extend_the_time_for_the_first_event() {
    let mut a = Upstream::start().await;
    let b = Upstream::always(Behaviour::Answer(stream(&FRAMES))).await;
    let provider =
        |address| format!("{{ type: anthropic, api_key: k, base_url: \"http://{address}\" }}");
    let gateway =
        Gateway::with().provider("a", &provider(a.address)).provider("b", &provider(b.address));
    let model = "{ targets: [{ provider: a, model: m }, { provider: b, model: m }], timeouts: { first_event: 300ms } }";
    let gateway = gateway.model("m", model).start().await;
    let (answer, ()) = tokio::join!(Ask::message(STREAM).send(gateway.address), async {
        let mut call = a.call().await;
        call.begin_stream().await;
        // until the gateway hangs up
        while call.is_read(&upstream::chunked(PING)).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert_eq!((answer.status, answer.header("x-tidegate-target")), (200, Some("b/m")));
}

#[tokio::test]
async fn pings_and_comments_before_the_message_reach_the_client_in_order() {
    let frames = [&[COMMENT, PING][..], &FRAMES].concat();
    let up = Upstream::always(Behaviour::Answer(stream(&frames))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.text(), frames.concat());
}

#[tokio::test]
async fn an_error_event_that_becomes_a_status_names_the_request() {
    let up = Upstream::always(Behaviour::Answer(stream(&[OVERLOADED]))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = Ask::message(STREAM).send(gateway.address).await;
    assert_eq!(answer.error(529), "no");
    assert_eq!(answer.json()["request_id"], "req_up");
    assert_eq!(answer.header("request-id"), Some("req_up"));
}
