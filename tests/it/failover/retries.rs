//! Further tries of the same target, where the config asks for them.
use super::{ask, fine, pair, refusal, target};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{MESSAGE, STREAM};

#[tokio::test]
async fn a_retry_goes_to_the_same_target() {
    for body in [MESSAGE, STREAM] {
        let html = Behaviour::Answer(upstream::answer(200, "content-type: text/html\r\n", "<p>"));
        let list = vec![refusal(529, ""), html, fine(body.as_bytes())];
        let a = Upstream::script(list).await;
        let mut b = Upstream::start().await;
        let gateway =
            Gateway::start(&pair(a.address, b.address, "retry: { attempts: 2, backoff: 0s }"))
                .await;
        let answer = ask(&gateway, body).await;
        assert_eq!((answer.status, target(&answer)), (200, "a/ma"));
        assert_eq!(answer.header("x-tidegate-attempts"), Some("3"));
        assert!(b.is_idle());
    }
}

#[tokio::test]
async fn failover_follows_when_the_retries_are_used_up() {
    let a = Upstream::always(refusal(500, "")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway =
        Gateway::start(&pair(a.address, b.address, "retry: { attempts: 2, backoff: 0s }")).await;
    let answer = ask(&gateway, MESSAGE).await;
    assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/m", Some("4")));
    assert_eq!(a.count(), 3);
}

#[tokio::test]
async fn a_failure_that_a_retry_cannot_mend_is_not_retried() {
    for behaviour in [refusal(400, ""), refusal(529, "x-should-retry: false\r\n")] {
        let a = Upstream::always(behaviour).await;
        let b = Upstream::by(|call| fine(&call.body)).await;
        let gateway =
            Gateway::start(&pair(a.address, b.address, "retry: { attempts: 2, backoff: 0s }"))
                .await;
        ask(&gateway, MESSAGE).await;
        assert_eq!((a.count(), b.count()), (1, 0));
    }
}

/// Asks for `m`, which `a` refuses in this way: until the test ends, nothing comes back and nothing more
/// is sent, while `b` answers others.
async fn waits(refusal: Behaviour, retry: &str) {
    let Behaviour::Answer(refusal) = refusal else { panic!("no answer: {refusal:?}") };
    let mut a = Upstream::start().await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway =
        Gateway::start(&(pair(a.address, b.address, retry) + "  other: { provider: b }\n")).await;
    let other = MESSAGE.replacen("\"m\"", "\"other\"", 1);
    let meanwhile = async {
        a.call().await.finish(refusal).await;
        for _ in 0..3 {
            assert_eq!(target(&ask(&gateway, &other).await), "b/other");
        }
        assert!(a.is_idle());
    };
    tokio::select! {
        answer = ask(&gateway, MESSAGE) => panic!("it did not wait: {}", answer.text()),
        () = meanwhile => {}
    }
}

#[tokio::test]
async fn retries_wait_longer_each_time() {
    // how long is tested beside `Backoff`
    waits(refusal(500, ""), "retry: { attempts: 3, backoff: 1h, max_backoff: 2h }").await;
    let a = Upstream::always(refusal(500, "")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let more = "retry: { attempts: 3, backoff: 4ms, max_backoff: 8ms }";
    let gateway = Gateway::start(&pair(a.address, b.address, more)).await;
    assert_eq!(target(&ask(&gateway, MESSAGE).await), "b/m");
    assert_eq!(a.count(), 4);
}

#[tokio::test]
async fn a_retry_waits_as_long_as_the_upstream_asks() {
    let hour = refusal(529, "retry-after-ms: 3600000\r\n");
    waits(hour, "retry: { attempts: 1, backoff: 0s, max_backoff: 2h }").await;
    let list = vec![refusal(529, "retry-after-ms: 30\r\n"), fine(MESSAGE.as_bytes())];
    let a = Upstream::script(list).await;
    let mut b = Upstream::start().await;
    // by itself it would wait for an hour
    let more = "retry: { attempts: 1, backoff: 1h, max_backoff: 1h }";
    let gateway = Gateway::start(&pair(a.address, b.address, more)).await;
    assert_eq!(target(&ask(&gateway, MESSAGE).await), "a/ma");
    assert!(b.is_idle());
}

#[tokio::test]
async fn an_upstream_with_a_long_retry_after_is_not_retried() {
    let a = Upstream::always(refusal(529, "retry-after: 60\r\n")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let more = "retry: { attempts: 5, backoff: 0s }";
    let gateway = Gateway::start(&pair(a.address, b.address, more)).await;
    assert_eq!(target(&ask(&gateway, MESSAGE).await), "b/m");
    assert_eq!(a.count(), 1);
}
