//! The tool with a mock of the gateway.
use tidegate_sdk::testing::MockHost;

use super::*;

/// One transparent pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn host(answer: impl Fn(&http::Request) -> Result<http::Response> + 'static) -> MockHost {
    let config = json!({
        "url": "https://images.test/v1/images/generations",
        "api_key": "k-1",
        "model": "painter",
        "models": ["sketcher"],
    });
    MockHost::new().config(config).on_fetch(answer)
}

fn pixel() -> http::Response {
    let body = json!({"data": [{"b64_json": PIXEL, "revised_prompt": "a calm sea"}]});
    http::Response::new(200, body.to_string())
}

fn text(result: &Value) -> Value {
    let text = result[0]["text"].as_str().expect("the first block is text");
    serde_json::from_str(text).expect("the text is JSON")
}

fn call(host: &MockHost, options: Value) -> Result<Value> {
    host.call_tool::<ImageGeneration>("image_generation", json!({"prompt": "a sea"}), options)
}

#[test]
fn an_image_is_published_and_the_model_reads_where_it_is() {
    let host = host(|request| {
        assert_eq!(request.method, "POST");
        let key = ("authorization".to_owned(), "Bearer k-1".to_owned());
        assert!(request.headers.contains(&key));
        let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap_or_default())
            .expect("the request is JSON");
        assert_eq!(asked, json!({"model": "painter", "prompt": "a sea", "n": 1}));
        Ok(pixel())
    });
    let result = call(&host, json!({})).expect("an image");
    let told = text(&result);
    assert_eq!(told["url"], "https://gateway.test/files/1");
    assert_eq!(
        (&told["media_type"], &told["revised_prompt"]),
        (&json!("image/png"), &json!("a calm sea"))
    );
    assert_eq!(result.as_array().map(Vec::len), Some(1));
    assert!(!result.to_string().contains(&PIXEL[..24]), "the bytes are no text");
    let published = host.published();
    assert_eq!((published.len(), published[0].0.as_str()), (1, "image/png"));
    assert!(published[0].1.starts_with(&[0x89, b'P', b'N', b'G']));
}

#[test]
fn a_declaration_fixes_the_model_and_the_image_options() {
    let host = host(|request| {
        let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap_or_default())
            .expect("the request is JSON");
        assert_eq!(asked["model"], "sketcher");
        assert_eq!(
            (&asked["size"], &asked["quality"], &asked["output_format"]),
            (&json!("1024x1024"), &json!("low"), &json!("webp"))
        );
        Ok(pixel())
    });
    let options = json!({"model": "sketcher", "size": "1024x1024", "quality": "low", "output_format": "webp"});
    call(&host, options).expect("an image");
    let refused = call(&host, json!({"model": "gilder"})).expect_err("that model is not allowed");
    assert_eq!(refused.code, "invalid_options");
    assert!(refused.message.contains("`gilder`"), "{refused}");
}

#[test]
fn a_model_that_may_look_gets_an_image_block() {
    let host = host(|_| Ok(pixel()));
    let result = call(&host, json!({"show_model": true})).expect("an image");
    assert_eq!(result[1]["type"], "image");
    assert_eq!(
        result[1]["source"],
        json!({"type": "base64", "media_type": "image/png", "data": PIXEL})
    );
}

#[test]
fn an_endpoint_that_keeps_its_images_itself_is_believed() {
    let host = host(|_| {
        let body = json!({"data": [{"url": "https://cdn.test/1.png"}]});
        Ok(http::Response::new(200, body.to_string()))
    });
    let result = call(&host, json!({})).expect("an image");
    assert_eq!(text(&result), json!({"url": "https://cdn.test/1.png"}));
    assert!(host.published().is_empty());
}

#[test]
fn an_image_backend_failure_is_a_problem_that_the_model_can_read() {
    let told = json!({"error": {"message": "no such size"}}).to_string();
    let cases = [
        (http::Response::new(400, told), "invalid_input", "no such size"),
        (http::Response::new(401, "{}"), "unavailable", "401"),
        (http::Response::new(429, "slow down"), "too_many_requests", "429"),
        (http::Response::new(500, ""), "unavailable", "500"),
        (http::Response::new(200, r#"{"data": []}"#), "unavailable", "without an image"),
        (
            http::Response::new(200, r#"{"data": [{"b64_json": "aGVsbG8="}]}"#),
            "unavailable",
            "no PNG",
        ),
        (http::Response::new(200, "<html>"), "unavailable", "no such JSON"),
    ];
    for (answer, code, words) in cases {
        let host = host(move |_| Ok(answer.clone()));
        let problem = call(&host, json!({})).expect_err("a problem");
        assert_eq!(problem.code, code, "{problem}");
        assert!(problem.message.contains(words), "{problem}");
    }
    let empty = host(|_| Ok(pixel()));
    let empty =
        empty.call_tool::<ImageGeneration>("image_generation", json!({"prompt": " "}), json!({}));
    assert_eq!(empty.expect_err("nothing to paint").code, "invalid_input");
}

#[test]
fn a_config_that_cannot_work_is_refused_at_load() {
    let config = json!({"url": "ftp://images.test", "model": "painter"});
    let refused = MockHost::new().config(config).describe::<ImageGeneration>();
    assert!(refused.expect_err("no such scheme").message.contains("`url`"));
    let no_model = MockHost::new().config(json!({"url": "https://images.test"}));
    let refused = no_model.describe::<ImageGeneration>().expect_err("nobody to ask");
    assert!(refused.message.contains("`model`"));
    let idle = MockHost::new();
    idle.describe::<ImageGeneration>().expect("a plugin that waits for its config");
    assert_eq!(call(&idle, json!({})).expect_err("no endpoint").code, "unavailable");
    let manifest = host(|_| Ok(pixel())).describe::<ImageGeneration>().expect("a manifest");
    assert_eq!(manifest["wants"]["publish"], true);
    assert_eq!(manifest["tools"][0]["name"], "image_generation");
}
