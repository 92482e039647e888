//! `strategy: weighted`: sessions are spread by weight, and each stays where it is.
use std::net::SocketAddr;

use super::{fine, refusal, target};
use crate::support::MESSAGE;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Behaviour, Upstream};

fn config(a: SocketAddr, b: SocketAddr, weight: u32) -> String {
    format!(
        "providers:
  a: {{ type: anthropic, base_url: \"http://{a}\" }}
  b: {{ type: anthropic, base_url: \"http://{b}\" }}
models:
  m:
    strategy: weighted
    targets: [{{ provider: a, weight: {weight} }}, {{ provider: b }}]
"
    )
}

const SESSION: &str = "x-claude-code-session-id";

async fn asked(gateway: &Gateway, body: &str, headers: &[(&str, &str)]) -> Answer {
    let ask = headers.iter().fold(Ask::message(body), |ask, (name, value)| ask.header(name, value));
    ask.send(gateway.address).await
}

async fn session(gateway: &Gateway, name: &str) -> String {
    target(&asked(gateway, MESSAGE, &[(SESSION, name)]).await).to_owned()
}

#[tokio::test]
async fn sessions_are_spread_by_weight_and_stay() {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&config(a.address, b.address, 3)).await;
    let mut places = Vec::new();
    for n in 0..200 {
        places.push(session(&gateway, &format!("session-{n}")).await);
    }
    let share = places.iter().filter(|place| *place == "a/m").count();
    // three quarters; the hash is the same on every machine, so this cannot flicker
    assert!((130..170).contains(&share), "{share} of 200");
    for (n, place) in places.iter().enumerate().take(20) {
        assert_eq!(&session(&gateway, &format!("session-{n}")).await, place);
    }
}

/// Two session names that lead to `a` and to `b`.
async fn one_each(gateway: &Gateway) -> [String; 2] {
    let mut found = [None, None];
    for n in 0.. {
        let name = format!("s-{n}");
        let at = usize::from(session(gateway, &name).await == "b/m");
        found[at] = Some(name);
        if let [Some(a), Some(b)] = &found {
            return [a.clone(), b.clone()];
        }
    }
    unreachable!()
}

#[tokio::test]
async fn a_session_is_known_by_its_header_then_its_user_then_its_key() {
    let up = Upstream::by(|call| fine(&call.body)).await;
    let open = Gateway::start(&config(up.address, up.address, 1)).await;
    let [in_a, in_b] = one_each(&open).await;
    let keys = format!(
        "{}keys: [{{ name: {in_a}, key: key-a }}, {{ name: {in_b}, key: key-b }}]\n",
        config(up.address, up.address, 1)
    );
    let gateway = Gateway::start(&keys).await;
    let of_user =
        |user: &str| MESSAGE.replace("16", &format!("16,\"metadata\":{{\"user_id\":\"{user}\"}}"));
    let no_user = MESSAGE.replace("16", "16,\"metadata\":{\"user_id\":null}");
    let table = [
        (MESSAGE.to_owned(), "key-a", None, "a/m"),
        (MESSAGE.to_owned(), "key-b", None, "b/m"),
        (no_user, "key-b", None, "b/m"),
        (of_user(&in_b), "key-a", None, "b/m"),
        (of_user(&in_a), "key-b", None, "a/m"),
        (of_user(&in_a), "key-a", Some(in_b.as_str()), "b/m"),
        (of_user(&in_b), "key-b", Some(in_a.as_str()), "a/m"),
    ];
    for (body, key, header, expected) in table {
        let mut headers = vec![("x-api-key", key)];
        headers.extend(header.map(|value| (SESSION, value)));
        assert_eq!(
            target(&asked(&gateway, &body, &headers).await),
            expected,
            "{body} {key} {header:?}"
        );
    }
}

#[tokio::test]
async fn without_any_session_requests_are_spread() {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&config(a.address, b.address, 1)).await;
    // the chance that all of a hundred go the same way is that of a hundred coins
    for _ in 0..100 {
        asked(&gateway, MESSAGE, &[]).await;
    }
    assert!(a.count() > 0 && b.count() > 0);
}

#[tokio::test]
async fn a_session_moves_only_while_its_target_is_cooling() {
    let up = Upstream::by(|call| fine(&call.body)).await;
    let [in_a, in_b] = one_each(&Gateway::start(&config(up.address, up.address, 1)).await).await;
    let a = Upstream::script(vec![refusal(529, "retry-after: 600\r\n"), Behaviour::Silence]).await;
    let gateway = Gateway::start(&config(a.address, up.address, 1)).await;
    assert_eq!(session(&gateway, &in_b).await, "b/m");
    for _ in 0..3 {
        assert_eq!(session(&gateway, &in_a).await, "b/m");
    }
    assert_eq!(a.count(), 1);
}
