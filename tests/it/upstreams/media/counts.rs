//! URLs in requests for counts of tokens.
use super::*;

#[tokio::test]
async fn a_count_of_tokens_has_the_content_too() {
    let (files, up) = (files().await, model().await);
    let gateway = gateway(Dialect::Gemini, &up).await;
    let body = message(&[block("image", &url(&files, "/image"))]);
    let ask = Ask::post("/v1/messages/count_tokens", body.to_string());
    assert_eq!(ask.send(gateway.address).await.message()["input_tokens"], 9);
    let sent = String::from_utf8(up.bodies()[0].to_vec()).unwrap();
    assert!(sent.contains(&Dialect::Gemini.inline("image/png", PNG)), "{sent}");
}

#[tokio::test]
async fn a_count_without_a_route_is_estimated_without_a_fetch_even_under_error() {
    let (files, up) = (files().await, model().await);
    let bedrock = format!(
        "{{ type: bedrock, region: us-east-1, api_key: k, base_url: \"http://{}\" }}",
        up.address
    );
    let flavor = |flavor: &str| {
        format!("{{ type: openai, base_url: \"http://{}/v1\", flavor: {flavor} }}", up.address)
    };
    let flavors = ["ollama", "llamacpp", "lmstudio"].map(flavor);
    for provider in flavors.iter().chain([&bedrock]) {
        let gateway = Gateway::with()
            .plugin("strictness")
            .provider("up", provider)
            .model("m-1", "{ provider: up, model: claude-opus-5 }")
            .config(LOOPBACK)
            .start()
            .await;
        for path in ["/image", "/none"] {
            let body = message(&[block("image", &url(&files, path))]);
            let ask = Ask::post("/v1/messages/count_tokens", body.to_string());
            let answer = ask.header("x-tidegate-strictness", "error").send(gateway.address).await;
            assert_eq!(answer.status, 200, "{provider}: {}", answer.text());
            assert_eq!(answer.header("x-tidegate-estimated"), Some("true"), "{provider}");
        }
    }
    assert_eq!((files.count(), up.count()), (0, 0));
}

#[tokio::test]
async fn a_count_loses_only_the_urls_that_its_own_route_needs() {
    let files = files().await;
    let up = Upstream::by(|call: &Call| {
        let is_count = call.head.target().ends_with("/responses/input_tokens");
        assert!(is_count, "{}", call.head.target());
        Behaviour::Answer(upstream::json(200, r#"{"input_tokens":9}"#))
    })
    .await;
    let chat = format!(
        "{{ type: openai, base_url: \"http://{}/v1\", flavor: openai, api: chat }}",
        up.address
    );
    let gateway = Gateway::with()
        .plugin("strictness")
        .provider("up", &chat)
        .model("m-1", "{ provider: up, model: up-1 }")
        .config(LOOPBACK)
        .start()
        .await;
    let count = |path: &str, strictness: &str| {
        let body = message(&[block("document", &url(&files, path))]);
        let ask = Ask::post("/v1/messages/count_tokens", body.to_string());
        ask.header("x-tidegate-strictness", strictness).send(gateway.address)
    };
    // the route for counts reads the address itself
    for path in ["/pdf", "/none"] {
        let answer = count(path, "error").await;
        assert_eq!((answer.status, files.count()), (200, 0), "{}", answer.text());
        assert_eq!(answer.message()["input_tokens"], 9);
    }
    // it reads no text from an address
    let message = count("/none.txt", "error").await.refusal(400, "invalid_request_error");
    assert!(message.contains("the server answered 404"), "{message}");
    let answer = count("/none.txt", "warn").await;
    assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, Some("block:document")));
}
