//! Who may call, by which header, and whose credential the upstream sees.
use std::net::SocketAddr;

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

const KEYS: &str = "keys:
  - { name: ci, key: tg-ci }
  - { name: hashed, hash: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\" }
  - { name: few, key: tg-few, models: [\"claude-*\"] }
";

fn config(upstream: SocketAddr) -> String {
    format!(
        "providers:
  own: {{ type: anthropic, api_key: up-key, base_url: \"http://{upstream}\" }}
  subscription: {{ type: anthropic, credentials: caller, base_url: \"http://{upstream}\" }}
  keyless: {{ type: anthropic, base_url: \"http://{upstream}\" }}
models:
  m: {{ provider: own }}
  theirs: {{ provider: subscription }}
  local: {{ provider: keyless }}
passthrough: own
{KEYS}"
    )
}

async fn ask(gateway: &Gateway, model: &str, headers: &[(&str, &str)]) -> Answer {
    let body = MESSAGE.replace("\"m\"", &format!("\"{model}\""));
    let ask = headers.iter().fold(Ask::message(body), |ask, (name, value)| ask.header(name, value));
    ask.send(gateway.address).await
}

#[tokio::test]
async fn a_key_is_known_in_either_header_and_goes_no_further() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::start(&config(up.address)).await;
    let table: [&[(&str, &str)]; 7] = [
        &[("x-api-key", "tg-ci")],
        &[("Authorization", "Bearer tg-ci")],
        &[("authorization", "bearer tg-ci")],
        &[("x-tidegate-key", "tg-ci")],
        &[("x-api-key", "test")],
        &[("x-tidegate-key", "tg-ci"), ("authorization", "Bearer sk-own"), ("x-api-key", "sk-own")],
        &[("x-api-key", "tg-ci"), ("authorization", "Bearer nonsense"), ("cookie", "a=tg-ci")],
    ];
    for (n, headers) in table.into_iter().enumerate() {
        assert_eq!(ask(&gateway, "m", headers).await.status, 200, "{headers:?}");
        let (head, _) = up.seen().remove(n);
        let shown = format!("{head:?}");
        assert!(!shown.contains("tg-ci") && !shown.contains("sk-own"), "{shown}");
        assert_eq!(head.header("x-api-key"), Some("up-key"));
        for gone in ["authorization", "x-tidegate-key", "cookie"] {
            assert_eq!(head.header(gone), None, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_provider_without_a_key_gets_none() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::start(&config(up.address)).await;
    assert_eq!(ask(&gateway, "local", &[("x-api-key", "tg-ci")]).await.status, 200);
    let (head, _) = up.seen().remove(0);
    assert_eq!((head.header("x-api-key"), head.header("authorization")), (None, None));
}

#[tokio::test]
async fn no_key_and_a_dead_key_are_refused_for_good() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::start(&config(up.address)).await;
    let table: [&[(&str, &str)]; 6] = [
        &[],
        &[("x-api-key", "")],
        &[("x-api-key", "tg-dead")],
        &[("authorization", "Bearer tg-dead")],
        &[("authorization", "Basic dGctY2k=")],
        // the key that was meant for the gateway is the one that counts
        &[("x-api-key", "tg-dead"), ("authorization", "Bearer tg-ci")],
    ];
    for headers in table {
        let answer = ask(&gateway, "m", headers).await;
        let message = answer.refusal(401, "authentication_error");
        assert!(!message.contains("tg-dead"), "{message}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    for path in ["/v1/models", "/v1/models/m", "/v1/files"] {
        Ask::get(path).send(gateway.address).await.refusal(401, "authentication_error");
    }
    assert!(up.is_idle());
}

#[tokio::test]
async fn a_callers_own_token_reaches_a_provider_that_wants_it() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::start(&config(up.address)).await;
    let headers = [("x-tidegate-key", "tg-ci"), ("authorization", "Bearer sk-ant-oat01-me")];
    assert_eq!(ask(&gateway, "theirs", &headers).await.status, 200);
    let (head, _) = up.seen().remove(0);
    assert_eq!(head.header("authorization"), Some("Bearer sk-ant-oat01-me"));
    assert_eq!((head.header("x-api-key"), head.header("x-tidegate-key")), (None, None));
    // without one of its own, there is nothing to send
    let answer = ask(&gateway, "theirs", &[("x-api-key", "tg-ci")]).await;
    let message = answer.refusal(401, "authentication_error");
    assert!(message.contains("x-tidegate-key"), "{message}");
    assert_eq!(up.count(), 1);
}

#[tokio::test]
async fn a_model_that_is_not_this_keys_is_forbidden() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::start(&config(up.address)).await;
    let message =
        ask(&gateway, "m", &[("x-api-key", "tg-few")]).await.refusal(403, "permission_error");
    assert!(message.contains("`few`") && message.contains("`m`"), "{message}");
    assert!(up.is_idle());
}
