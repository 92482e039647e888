//! The retry budget: a fault of an upstream adds at most a fifth to the load.
use super::{fine, pair, refusal};
use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::Upstream;

/// The retries and failovers that are always allowed.
const LEAST: usize = 30;

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
    let prevented = gateway.metric("tidegate_retry_budget_refusals_total{model=\"m\"}").await;
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
