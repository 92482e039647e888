//! Claude on Microsoft Foundry: both kinds of credentials, and errors of Azure.
use serde_json::json;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

async fn azure(answer: Vec<u8>) -> Auto {
    Upstream::by(move |call: &Call| {
        Behaviour::Answer(match call.head.target() {
            "/my-tenant/oauth2/v2.0/token" => upstream::json(
                200,
                r#"{"token_type":"Bearer","expires_in":3599,"access_token":"entra-token"}"#,
            ),
            "/anthropic/v1/messages/count_tokens" => upstream::json(200, r#"{"input_tokens":7}"#),
            _ if call.text().contains(r#""stream":true"#) => upstream::stream(&FRAMES),
            _ => answer.clone(),
        })
    })
    .await
}

async fn gateway(up: &Auto, more: &str) -> Gateway {
    let config =
        format!("{{ type: foundry, base_url: \"http://{}/anthropic/\", {more} }}", up.address);
    Gateway::with().provider("azure", &config).start().await
}

#[tokio::test]
async fn a_key_goes_in_both_headers_and_the_bytes_stay() {
    let up = azure(upstream::json(200, ANSWER)).await;
    let gateway = gateway(&up, "api_key: azure-key").await;
    let asking = Ask::post("/v1/messages?beta=true", MESSAGE)
        .header("anthropic-beta", "advisor-tool-2026-03-01,new-2027-01-01");
    let answer = asking.send(gateway.address).await;
    assert_eq!(answer.text(), ANSWER);
    assert_eq!(answer.header("x-tidegate-dropped"), Some("advisor-tool-2026-03-01"));
    assert_eq!(Ask::message(STREAM).send(gateway.address).await.text(), FRAMES.concat());
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.target(), "/anthropic/v1/messages?beta=true");
    assert_eq!(body, MESSAGE.as_bytes());
    assert_eq!(
        (head.header("x-api-key"), head.header("api-key")),
        (Some("azure-key"), Some("azure-key"))
    );
    assert_eq!(head.header("anthropic-beta"), Some("new-2027-01-01"));
    let count = Ask::post("/v1/messages/count_tokens", MESSAGE).send(gateway.address).await;
    assert_eq!(count.message(), json!({"input_tokens": 7}));
}

#[tokio::test]
async fn an_application_of_entra_obtains_a_token_once() {
    let up = azure(upstream::json(200, ANSWER)).await;
    let entra = format!(
        "entra: {{ tenant: my-tenant, client_id: app, client_secret: \"s3cret&\", authority: \"http://{}\" }}",
        up.address
    );
    let gateway = gateway(&up, &entra).await;
    for _ in 0..2 {
        Ask::message(MESSAGE).send(gateway.address).await.message();
    }
    assert_eq!(up.count(), 3);
    let (head, body) = up.seen().remove(0);
    assert_eq!(head.line, "POST /my-tenant/oauth2/v2.0/token HTTP/1.1");
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "grant_type=client_credentials&client_id=app&client_secret=s3cret%26&scope=https%3A%2F%2Fai.azure.com%2F.default"
    );
    let (head, _) = up.seen().remove(1);
    assert_eq!(head.header("authorization"), Some("Bearer entra-token"));
    assert_eq!(head.header("x-api-key"), None);
}

#[tokio::test]
async fn the_wait_of_azure_stands_in_its_text() {
    let limit = r#"{"error":{"code":"RateLimitReached","message":"Rate limit of 8000 per 60s exceeded for UserByModelByMinuteOutputTokens. Please wait 33 seconds before retrying.","details":"x"}}"#;
    let up = azure(upstream::json(429, limit)).await;
    let gateway = gateway(&up, "api_key: k").await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert!(answer.error(429).starts_with("Rate limit of 8000"));
    assert_eq!(answer.header("retry-after"), Some("33"));
    let json = answer.json();
    assert_eq!(
        (&json["type"], &json["error"]["type"]),
        (&"error".into(), &"rate_limit_error".into())
    );
}
