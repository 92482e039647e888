//! A target that fails is left alone, and comes back through a single probe.
use super::{ask, fine, pair, refusal, target};
use crate::support::client::{Ask, send_bytes};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Call, Upstream};
use crate::support::{ANSWER, MESSAGE, STREAM, until};

#[tokio::test]
async fn the_gateway_sends_nothing_to_a_target_that_cools_down() {
    let table = [
        refusal(529, "retry-after: 600\r\n"),
        refusal(429, "retry-after-ms: 600000\r\n"),
        refusal(503, "retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n"),
        // no word of it: the config's own time
        refusal(500, ""),
        Behaviour::Close(Vec::new()),
    ];
    for behaviour in table {
        let a = Upstream::always(behaviour).await;
        let b = Upstream::by(|call| fine(&call.body)).await;
        let gateway = Gateway::start(&pair(a.address, b.address, "cooldown: 10m")).await;
        for (body, attempts) in [(MESSAGE, "2"), (STREAM, "1"), (MESSAGE, "1")] {
            let answer = ask(&gateway, body).await;
            assert_eq!(
                (target(&answer), answer.header("x-tidegate-attempts")),
                ("b/m", Some(attempts))
            );
        }
        assert_eq!((a.count(), b.count()), (1, 3));
    }
}

#[tokio::test]
async fn all_cooling_is_a_503_that_says_when() {
    let a = Upstream::always(refusal(529, "retry-after: 300\r\n")).await;
    let b = Upstream::always(refusal(429, "retry-after: 100\r\n")).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
    assert_eq!(ask(&gateway, MESSAGE).await.status, 429);
    for body in [MESSAGE, STREAM] {
        let answer = ask(&gateway, body).await;
        let message = answer.refusal(503, "overloaded_error");
        assert!(message.contains("try again later"), "{message}");
        // the one that is back first decides
        assert_eq!(answer.header("retry-after"), Some("100"));
        assert_eq!(answer.header("x-should-retry"), None);
    }
    assert_eq!((a.count(), b.count()), (1, 1));
}

#[tokio::test]
async fn a_lone_target_receives_every_request_even_after_failures() {
    let html = Behaviour::Answer(upstream::answer(200, "", "<p>"));
    let a = Upstream::script(vec![refusal(529, "retry-after: 600\r\n"), html, fine(b"")]).await;
    let gateway = Gateway::with().upstream(a.address).start().await;
    assert_eq!(ask(&gateway, MESSAGE).await.status, 529);
    assert_eq!(ask(&gateway, MESSAGE).await.status, 502);
    assert_eq!(ask(&gateway, MESSAGE).await.status, 200);
}

/// Sends until one of the requests comes to `a` as its probe; the others are answered by `b`.
async fn probe(gateway: &Gateway, a: &mut Upstream) -> Call {
    let mut probe = None;
    until("a probe", async || {
        let asked = tokio::spawn(Ask::message(MESSAGE).send(gateway.address));
        tokio::select! {
            call = a.call() => probe = Some(call),
            answer = asked => assert_eq!(target(&answer.unwrap()), "b/m"),
        }
        probe.is_some()
    })
    .await;
    probe.unwrap()
}

/// A gateway whose `a` has failed once, and is back in a moment.
async fn failed_once() -> (Gateway, Upstream, upstream::Auto) {
    let mut a = Upstream::start().await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "cooldown: 30ms")).await;
    let (answer, ()) = tokio::join!(ask(&gateway, MESSAGE), async {
        a.call().await.finish(upstream::json(529, "{}")).await;
    });
    assert_eq!(target(&answer), "b/m");
    (gateway, a, b)
}

#[tokio::test]
async fn a_single_probe_brings_a_target_back() {
    let (gateway, mut a, _b) = failed_once().await;
    let call = probe(&gateway, &mut a).await;
    // while nobody knows how it ends, everybody else stays away
    for _ in 0..5 {
        assert_eq!(target(&ask(&gateway, MESSAGE).await), "b/m");
    }
    assert!(a.is_idle());
    call.finish(upstream::json(200, ANSWER)).await;
    let call = probe(&gateway, &mut a).await;
    // it is healthy: several at a time
    let (answer, ()) = tokio::join!(ask(&gateway, MESSAGE), async {
        a.call().await.finish(upstream::json(200, ANSWER)).await;
    });
    assert_eq!(target(&answer), "a/ma");
    call.finish(upstream::json(200, ANSWER)).await;
}

#[tokio::test]
async fn a_probe_that_fails_costs_its_caller_nothing() {
    let (gateway, mut a, b) = failed_once().await;
    let before = b.count();
    let call = probe(&gateway, &mut a).await;
    let asked = b.count();
    assert!(asked >= before);
    call.finish(upstream::answer(529, "retry-after: 600\r\n", "{}")).await;
    until("the prober's answer by `b`", async || b.count() > asked).await;
    assert_eq!(target(&ask(&gateway, MESSAGE).await), "b/m");
    assert!(a.is_idle());
}

#[tokio::test]
async fn the_next_request_probes_again_if_the_caller_of_a_probe_disconnects() {
    let (gateway, mut a, _b) = failed_once().await;
    let mut probe_left = None;
    until("a probe", async || {
        // its connection closes with the end of this block
        let stream = send_bytes(gateway.address, &Ask::message(MESSAGE).to_bytes()).await;
        let mut answer = [0];
        tokio::select! {
            call = a.call() => probe_left = Some(call),
            _ = stream.peek(&mut answer) => {}
        }
        probe_left.is_some()
    })
    .await;
    probe_left.unwrap().closed().await;
    let call = probe(&gateway, &mut a).await;
    call.finish(upstream::json(200, ANSWER)).await;
}

#[tokio::test]
async fn a_reload_does_not_forget_an_outage() {
    let a = Upstream::always(refusal(529, "retry-after: 600\r\n")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let config = pair(a.address, b.address, "");
    let gateway = Gateway::start(&config).await;
    ask(&gateway, MESSAGE).await;
    gateway.reload(&config).await;
    assert_eq!(ask(&gateway, MESSAGE).await.header("x-tidegate-attempts"), Some("1"));
    assert_eq!((a.count(), b.count()), (1, 2));
}

#[tokio::test]
async fn a_limit_of_the_callers_own_account_is_no_outage_and_one_of_the_gateways_is() {
    for (credentials, asked) in [("credentials: caller", 2), ("api_key: key-a", 1)] {
        let a = Upstream::always(refusal(429, "retry-after: 600\r\n")).await;
        let b = Upstream::by(|call| fine(&call.body)).await;
        let config = pair(a.address, b.address, "").replace("api_key: key-a", credentials);
        let gateway = Gateway::start(&(config + "keys: [{ name: k, key: tg-k }]\n")).await;
        for _ in 0..2 {
            let ask = Ask::message(MESSAGE).header("x-tidegate-key", "tg-k");
            let ask = ask.header("authorization", "Bearer sk-own");
            assert_eq!(target(&ask.send(gateway.address).await), "b/m");
        }
        assert_eq!((a.count(), b.count()), (asked, 2), "{credentials}");
    }
}
