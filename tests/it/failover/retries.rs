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
        let gateway = Gateway::start(&pair(a.address, b.address, "retry: { attempts: 2 }")).await;
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
    let gateway = Gateway::start(&pair(a.address, b.address, "retry: { attempts: 2 }")).await;
    let answer = ask(&gateway, MESSAGE).await;
    assert_eq!((target(&answer), answer.header("x-tidegate-attempts")), ("b/m", Some("4")));
    assert_eq!(a.count(), 3);
}

#[tokio::test]
async fn what_a_retry_would_not_mend_is_not_retried() {
    for behaviour in [refusal(400, ""), refusal(529, "x-should-retry: false\r\n")] {
        let a = Upstream::always(behaviour).await;
        let b = Upstream::by(|call| fine(&call.body)).await;
        let gateway = Gateway::start(&pair(a.address, b.address, "retry: { attempts: 2 }")).await;
        ask(&gateway, MESSAGE).await;
        assert_eq!((a.count(), b.count()), (1, 0));
    }
}
