//! `server.cors`: web pages of the configured origins may call the gateway.
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

const ORIGIN: &str = "https://app.example.com";

async fn with(cors: &str) -> (upstream::Auto, Gateway) {
    let up = Upstream::by(|call| match call.text().contains("stream") {
        true => Behaviour::Answer(upstream::stream(&FRAMES)),
        false => Behaviour::Answer(upstream::json(200, ANSWER)),
    })
    .await;
    let config = format!("server: {{ {cors} }}\nkeys: [{{ name: k, key: tg-right }}]\n");
    let gateway = Gateway::with().upstream(up.address).config(config).start().await;
    (up, gateway)
}

async fn preflight(gateway: &Gateway, origin: &str) -> Answer {
    let ask = Ask::new("OPTIONS", "/v1/messages").header("origin", origin);
    let ask = ask.header("access-control-request-method", "POST");
    let names = "anthropic-version,content-type,x-api-key,x-stainless-os";
    ask.header("access-control-request-headers", names).send(gateway.address).await
}

#[tokio::test]
async fn without_cors_a_preflight_is_a_405_and_no_response_has_the_headers() {
    let (_up, gateway) = with("").await;
    let answer = preflight(&gateway, ORIGIN).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let ask = Ask::message(MESSAGE).header("origin", ORIGIN).header("x-api-key", "tg-right");
    let answer = ask.send(gateway.address).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_preflight_of_a_known_origin_is_answered_without_a_key() {
    let (up, gateway) = with(&format!("cors: {{ origins: [\"{ORIGIN}\"] }}")).await;
    let answer = preflight(&gateway, ORIGIN).await;
    assert_eq!((answer.status, answer.text()), (204, String::new()));
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    let names = answer.header("access-control-allow-headers");
    assert_eq!(names, Some("anthropic-version,content-type,x-api-key,x-stainless-os"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.header("vary").unwrap().contains("origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(up.count(), 0);
}

#[tokio::test]
async fn a_preflight_of_another_origin_is_refused() {
    let (_up, gateway) = with(&format!("cors: {{ origins: [\"{ORIGIN}\"] }}")).await;
    for origin in ["https://evil.example", "http://app.example.com", "null"] {
        let answer = preflight(&gateway, origin).await;
        let message = answer.refusal(403, "permission_error");
        assert!(message.contains("`server.cors.origins`"), "{message}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn responses_streams_and_errors_can_be_read_by_the_page() {
    for cors in
        [format!("cors: {{ origins: [\"{ORIGIN}\"] }}"), "cors: { origins: ['*'] }".to_owned()]
    {
        let (_up, gateway) = with(&cors).await;
        for (body, key, status) in [
            (MESSAGE, "tg-right", 200),
            (STREAM, "tg-right", 200),
            (MESSAGE, "tg-wrong", 401),
            ("{", "tg-right", 400),
        ] {
            let ask = Ask::message(body).header("origin", ORIGIN).header("x-api-key", key);
            let answer = ask.send(gateway.address).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
            let exposed = answer.header("access-control-expose-headers").unwrap();
            assert!(exposed.contains("request-id") && exposed.contains("retry-after"), "{exposed}");
            assert_eq!(answer.header("vary"), Some("origin"));
        }
        let models =
            Ask::get("/v1/models").header("origin", ORIGIN).header("x-api-key", "tg-right");
        let answer = models.send(gateway.address).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_gets_no_permission_to_read() {
    let (_up, gateway) = with(&format!("cors: {{ origins: [\"{ORIGIN}\"] }}")).await;
    let ask = Ask::message(MESSAGE).header("origin", "https://evil.example");
    let answer = ask.header("x-api-key", "tg-right").send(gateway.address).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("vary"), Some("origin"));
}
