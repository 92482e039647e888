//! The retry budget: a fault of an upstream adds at most a fifth to the load.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{fine, pair, refusal};
use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;

/// The retries and failovers that are always allowed.
const LEAST: usize = 30;
const PREVENTED: &str = "tidegate_retry_budget_refusals_total{model=\"m\"}";

#[tokio::test]
async fn retries_add_at_most_a_fifth_to_the_load_of_a_failing_upstream() {
    let up = Upstream::always(refusal(529, "")).await;
    let alias = "{ provider: up, retry: { attempts: 2, backoff: 1ms } }";
    let gateway = Gateway::with().upstream(up.address).model("m", alias).start().await;
    let requests = 300;
    for _ in 0..requests {
        // the client receives the upstream's own answer
        assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 529);
    }
    let calls = up.count();
    assert!(calls >= requests + LEAST, "{calls}");
    // several windows may have begun
    let prevented = gateway.metric(PREVENTED).await;
    assert!(prevented > 0.0, "{calls}");
}

#[tokio::test]
async fn a_failover_that_the_budget_prevents_is_in_the_record() {
    let a = Upstream::always(refusal(529, "")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "cooldown: 1ms")).await;
    let ask = || Ask::message(MESSAGE).header("x-tidegate-debug", "trace").send(gateway.address);
    for sent in 1..10_000 {
        let answer = ask().await;
        if answer.status == 200 {
            continue;
        }
        assert_eq!(answer.status, 529);
        assert!(sent > LEAST, "{sent}");
        let trace = answer.header("x-tidegate-trace").unwrap();
        assert!(trace.contains(r#"{"target":"b/m","skipped":"retry_budget"}"#), "{trace}");
        return;
    }
    panic!("every failing request went to the next target");
}

#[tokio::test]
async fn a_prevented_attempt_counts_once_a_request() {
    let a = Upstream::always(refusal(529, "")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let retry = "cooldown: 1ms\n    retry: { attempts: 1, backoff: 1ms }";
    let gateway = Gateway::start(&pair(a.address, b.address, retry)).await;
    let prevented = async || gateway.metric(PREVENTED).await;
    let mut before = prevented().await;
    assert_eq!(before, 0.0);
    for _ in 0..100 {
        let answer =
            Ask::message(MESSAGE).header("x-tidegate-debug", "trace").send(gateway.address).await;
        let after = prevented().await;
        let trace = answer.header("x-tidegate-trace").unwrap().to_owned();
        let skipped = trace.matches("retry_budget").count();
        // the target that was called is not passed over
        assert!(!trace.contains(r#"{"target":"a/ma","skipped":"retry_budget"}"#), "{trace}");
        assert!(skipped <= 1 && after - before <= 1.0, "{trace}");
        assert_eq!(answer.status == 529, skipped == 1, "{trace}");
        before = after;
    }
    assert!(before > 0.0);
}

#[tokio::test]
async fn a_target_that_cools_down_is_passed_over_though_the_budget_is_used_up() {
    let is_down = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_down);
    let a = Upstream::by(move |_| match flag.load(Ordering::SeqCst) {
        true => refusal(529, "retry-after: 60\r\n"),
        false => refusal(529, ""),
    })
    .await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "cooldown: 1ms")).await;
    let ask = || Ask::message(MESSAGE).header("x-tidegate-debug", "trace").send(gateway.address);
    let mut sent = 0;
    while ask().await.status == 200 {
        sent += 1;
        assert!(sent < 10_000, "every failing request went to the next target");
    }
    // from now on the first target is known to be down
    is_down.store(true, Ordering::SeqCst);
    let calls = a.count();
    while a.count() == calls {
        ask().await;
    }
    let calls = a.count();
    for _ in 0..2 * LEAST {
        let answer = ask().await;
        let trace = answer.header("x-tidegate-trace").unwrap();
        assert_eq!(answer.status, 200, "{trace}");
        assert!(trace.contains(r#"{"target":"a/ma","skipped":"cooling"}"#), "{trace}");
    }
    assert_eq!(a.count(), calls);
}
