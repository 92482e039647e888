//! The keys that every type of provider has: `proxy`, `headers` and `unsupported`.
use serde_json::json;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};
use crate::support::{ANSWER, MESSAGE};

const KEY: &str = include_str!("../../fixtures/test_account.pem");
const CHAT: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}"#;
const RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}]}"#;
const GEMINI: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP","index":0}]}"#;

/// The settings of each type without TLS, so that a proxy sees the request.
const TYPES: [(&str, &str); 9] = [
    (
        "type: anthropic, api_key: k, base_url: \"http://up.test:8080/a\"",
        "http://up.test:8080/a/v1/messages",
    ),
    (
        "type: openai, api: chat, base_url: \"http://up.test:8080/v1\"",
        "http://up.test:8080/v1/chat/completions",
    ),
    (
        "type: openai, api: responses, base_url: \"http://up.test:8080/v1\"",
        "http://up.test:8080/v1/responses",
    ),
    (
        "type: gemini, api_key: k, base_url: \"http://up.test:8080/v1beta\"",
        "http://up.test:8080/v1beta/models/m:generateContent",
    ),
    (
        "type: gemini, base_url: \"http://up.test:8080/v1\", vertex: { project: p, credentials: account.json }",
        "http://up.test:8080/v1/projects/p/locations/global/publishers/google/models/m:generateContent",
    ),
    (
        "type: bedrock, region: us-east-1, api_key: k, profile: none, base_url: \"http://up.test:8080\"",
        "http://up.test:8080/model/m/invoke",
    ),
    (
        "type: bedrock, region: us-east-1, api_key: k, api: mantle, base_url: \"http://up.test:8080\"",
        "http://up.test:8080/anthropic/v1/messages",
    ),
    (
        "type: vertex, project: p, base_url: \"http://up.test:8080/v1\", credentials: account.json",
        "http://up.test:8080/v1/projects/p/locations/global/publishers/anthropic/models/m:rawPredict",
    ),
    (
        "type: foundry, api_key: k, base_url: \"http://up.test:8080/anthropic\"",
        "http://up.test:8080/anthropic/v1/messages",
    ),
];

/// A proxy that answers for every upstream.
async fn proxy() -> Auto {
    Upstream::by(|call: &Call| {
        let target = call.head.target();
        let answer = match () {
            () if target.ends_with("/token") => r#"{"access_token":"ya29.x","expires_in":3599}"#,
            () if target.ends_with("/chat/completions") => CHAT,
            () if target.ends_with("/responses") => RESPONSE,
            () if target.ends_with(":generateContent") => GEMINI,
            () => ANSWER,
        };
        Behaviour::Answer(upstream::json(200, answer))
    })
    .await
}

fn account() -> String {
    json!({
        "type": "service_account", "private_key_id": "kid-1", "private_key": KEY,
        "client_email": "gateway@p.iam.gserviceaccount.com", "token_uri": "http://oauth.test:8080/token",
    })
    .to_string()
}

#[tokio::test]
async fn every_type_goes_through_its_proxy_with_its_own_headers_and_lacks_what_the_config_says() {
    for (settings, url) in TYPES {
        let proxy = proxy().await;
        let config = format!(
            "{{ {settings}, proxy: \"http://us:pw@{}\", headers: {{ x-team: research }}, unsupported: [\"block:image\"] }}",
            proxy.address
        );
        let gateway = Gateway::with()
            .plugin("strictness")
            .provider("up", &config)
            .file("account.json", account())
            .start()
            .await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        assert_eq!(answer.message()["content"][0]["text"], "hello", "{settings}");
        let seen = proxy.seen();
        // a token is requested through the same proxy
        let tokens =
            seen.iter().filter(|(head, _)| head.target() == "http://oauth.test:8080/token");
        assert_eq!(tokens.count(), usize::from(settings.contains("account.json")), "{settings}");
        let (head, _) = seen.last().unwrap();
        assert_eq!(head.target(), url, "{settings}");
        assert_eq!(head.header("proxy-authorization"), Some("Basic dXM6cHc="), "{settings}");
        assert_eq!(head.header("x-team"), Some("research"), "{settings}");
        let source = json!({"type": "base64", "media_type": "image/png", "data": "QUJD"});
        let image = json!({
            "model": "m", "max_tokens": 9,
            "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}],
        });
        let ask = Ask::message(image.to_string()).header("x-tidegate-strictness", "error");
        let message = ask.send(gateway.address).await.refusal(400, "invalid_request_error");
        assert!(message.contains("block:image"), "{settings}: {message}");
    }
}
