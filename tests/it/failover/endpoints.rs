//! The health of a target belongs to one endpoint: a count says nothing about messages.
use super::{fine, pair, refusal, target};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Upstream};
use crate::support::{MESSAGE, STREAM};

async fn count(gateway: &Gateway) -> Answer {
    Ask::post("/v1/messages/count_tokens", MESSAGE).send(gateway.address).await
}

#[tokio::test]
async fn a_failed_count_leaves_messages_with_their_target() {
    for status in [429, 500, 503, 529] {
        let a = Upstream::by(move |call| match call.head.target().contains("count_tokens") {
            true => refusal(status, ""),
            false => fine(&call.body),
        })
        .await;
        let count_of = upstream::Behaviour::Answer(upstream::json(200, "{\"input_tokens\":1}"));
        let b = Upstream::always(count_of).await;
        let gateway = Gateway::start(&pair(a.address, b.address, "cooldown: 10m")).await;
        for _ in 0..2 {
            assert_eq!(target(&count(&gateway).await), "b/m", "{status}");
            let message = Ask::message(MESSAGE).send(gateway.address).await;
            let stream = Ask::message(STREAM).send(gateway.address).await;
            assert_eq!([target(&message), target(&stream)], ["a/ma"; 2], "{status}");
        }
        // the second count passed the target over
        assert_eq!((a.count(), b.count()), (5, 2));
    }
}

#[tokio::test]
async fn a_successful_count_does_not_bring_a_target_back_for_messages() {
    let a = Upstream::by(|call| match call.head.target().contains("count_tokens") {
        true => upstream::Behaviour::Answer(upstream::json(200, "{\"input_tokens\":1}")),
        false => refusal(529, ""),
    })
    .await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "cooldown: 10m")).await;
    for _ in 0..2 {
        assert_eq!(target(&Ask::message(MESSAGE).send(gateway.address).await), "b/m");
        assert_eq!(target(&count(&gateway).await), "a/ma");
    }
    assert_eq!((a.count(), b.count()), (3, 2));
}
