//! URLs in requests at Bedrock's InvokeModel and on Vertex AI.
use super::*;
use crate::support::ANSWER;

const KEY: &str = include_str!("../../../fixtures/test_account.pem");

/// The doors to Claude that take no URL, each with a config and the end of its route.
const DOORS: [(&str, &str); 2] = [
    ("type: bedrock, region: us-east-1, api_key: k, base_url: \"http://ADDRESS\"", "/invoke"),
    (
        "type: vertex, project: p, base_url: \"http://ADDRESS/v1\", credentials: account.json",
        ":rawPredict",
    ),
];

fn cloud(call: &Call) -> Vec<u8> {
    upstream::json(
        200,
        match call.head.target() {
            "/token" => r#"{"access_token":"ya29.x","expires_in":3599}"#,
            _ => ANSWER,
        },
    )
}

/// A gateway before a door, as a cloud's upstream sees it.
async fn gateway_to(up: &Auto, settings: &str, config: &str) -> Gateway {
    let account = json!({
        "type": "service_account", "private_key_id": "kid-1", "private_key": KEY,
        "client_email": "g@p.iam.gserviceaccount.com", "token_uri": format!("http://{}/token", up.address),
    });
    let settings = settings.replace("ADDRESS", &up.address.to_string());
    Gateway::with()
        .plugin("strictness")
        .provider("up", &format!("{{ {settings} }}"))
        .file("account.json", account.to_string())
        .config(config)
        .start()
        .await
}

/// Returns the content of the last request's message.
fn content(up: &Auto) -> Value {
    let body = up.bodies().pop().unwrap();
    serde_json::from_slice::<Value>(&body).unwrap()["messages"][0]["content"].clone()
}

fn inline(media_type: &str, body: &[u8]) -> Value {
    let data = BASE64_STANDARD.encode(body);
    json!({"type": "base64", "media_type": media_type, "data": data})
}

async fn under(strictness: &str, gateway: &Gateway, body: &Value) -> Answer {
    let ask = Ask::message(body.to_string()).header("x-tidegate-strictness", strictness);
    ask.send(gateway.address).await
}

#[tokio::test]
async fn doors_of_clouds_that_take_no_url_receive_the_content() {
    let files = files().await;
    for (settings, end) in DOORS {
        let up = Upstream::by(|call: &Call| Behaviour::Answer(cloud(call))).await;
        let gateway = gateway_to(&up, settings, LOOPBACK).await;
        let text = json!({"type": "text", "text": "?"});
        let blocks = [
            text.clone(),
            block("image", &url(&files, "/image")),
            block("document", &url(&files, "/pdf")),
            block("document", &url(&files, "/text")),
        ];
        for strictness in ["warn", "error", "off"] {
            let answer = under(strictness, &gateway, &message(&blocks)).await;
            assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, None), "{end}");
            assert!(up.seen().last().unwrap().0.target().ends_with(end));
            let sent = content(&up);
            assert_eq!(sent[0], text);
            assert_eq!(sent[1]["source"], inline("image/png", PNG));
            assert_eq!(sent[2]["source"], inline("application/pdf", PDF));
            assert_eq!(sent[3]["source"]["data"], "café");
        }
    }
}

#[tokio::test]
async fn a_url_without_content_is_a_line_at_doors_of_clouds_or_stays_under_off() {
    let files = files().await;
    let image = |path: &str| message(&[block("image", &url(&files, path))]);
    for (settings, end) in DOORS {
        let up = Upstream::by(|call: &Call| Behaviour::Answer(cloud(call))).await;
        for (config, path, reason) in [
            (LOOPBACK, "/none", "the server answered 404"),
            (
                "egress: { media_hosts: [] }",
                "/image",
                "the upstream takes no URL, and the gateway fetches none",
            ),
        ] {
            let gateway = gateway_to(&up, settings, config).await;
            let answer = under("warn", &gateway, &image(path)).await;
            assert_eq!(answer.header("x-tidegate-dropped"), Some("block:image"), "{end}");
            let line = format!("[the gateway left out a block of type `image`: {reason}]");
            assert_eq!(content(&up)[0]["text"], line);
            let count = up.count();
            let refused = under("error", &gateway, &image(path)).await;
            refused.refusal(400, "invalid_request_error");
            assert_eq!(up.count(), count, "{end}");
            let answer = under("off", &gateway, &image(path)).await;
            assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, None), "{end}");
            assert_eq!(content(&up)[0], image(path)["messages"][0]["content"][0]);
        }
        let gateway = gateway_to(&up, settings, LOOPBACK).await;
        let refused = under("error", &gateway, &image("/none")).await;
        let message = refused.refusal(400, "invalid_request_error");
        assert!(message.contains("`messages.0.content.0.source.url`"), "{message}");
    }
}
