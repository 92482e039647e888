//! The tool `image_generation`: from a caller's request to an images endpoint, and to the file that the gateway keeps.
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::{Gateway, simulated_upstream};
use crate::support::plugins;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};

/// One transparent pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// An images endpoint with one answer, and a gateway whose model is the simulator.
async fn painter(status: u16, answer: &Value, grants: &str) -> (Auto, Gateway) {
    let endpoint =
        Upstream::always(Behaviour::Answer(upstream::json(status, &answer.to_string()))).await;
    let address = endpoint.address;
    let folder = plugins::alone("image-generation");
    let config = format!(
        "{{ allow_hosts: [\"127.0.0.1:{}\"], url: \"http://{address}/v1/images/generations\", \
         api_key: painter-key, model: painter{grants} }}",
        address.port()
    );
    let gateway = Gateway::start(&format!(
        "providers: {{ sim: {{ type: simulator }} }}\nmodels: {{ \"*\": {{ provider: sim }} }}\n\
         egress: {{ allow_private: [\"127.0.0.0/8\"] }}\n\
         plugins: {{ dir: \"{}\", config: {{ image-generation: {config} }} }}\n",
        folder.display()
    ))
    .await;
    (endpoint, gateway)
}

/// Lets the model paint, and gives the result that the caller sees.
async fn painted(gateway: &Gateway, tool: &Value) -> Value {
    let text = "[sim: call image_generation {\"prompt\": \"a calm sea\"}] [sim: then] [sim: say there it is]";
    let body = json!({
        "model": "m", "max_tokens": 1000, "tools": [tool],
        "messages": [{"role": "user", "content": text}],
    });
    let answer = Ask::message(body.to_string()).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let message = answer.json();
    let blocks = message["content"].as_array().unwrap();
    assert_eq!(blocks.last().unwrap()["text"], "there it is", "{message}");
    blocks.iter().find(|block| block["type"] == "mcp_tool_result").unwrap().clone()
}

fn tool() -> Value {
    json!({"type": "gateway:image_generation", "size": "1024x1024"})
}

fn pixel() -> Value {
    json!({"data": [{"b64_json": PIXEL}]})
}

#[tokio::test]
async fn the_gateway_keeps_an_image_and_the_model_receives_its_address() {
    let (endpoint, gateway) = painter(200, &pixel(), ", publish: true").await;
    let result = painted(&gateway, &tool()).await;
    let told = result["content"][0]["text"].as_str().unwrap();
    assert!(!told.contains(&PIXEL[..20]), "bytes are no text: {told}");
    let told: Value = serde_json::from_str(told).unwrap();
    let url = told["url"].as_str().unwrap();
    let origin = format!("http://{}", gateway.address);
    // the client names no host of its own
    let path = url.split_once("/files/").map(|(_, name)| format!("/files/{name}")).unwrap();
    assert!(url.starts_with("http://"), "{url} {origin}");
    assert!(path.len() > "/files/".len() + 30, "nobody guesses {path}");

    let file = Ask::get(&path).send(gateway.address).await;
    assert_eq!((file.status, file.header("content-type")), (200, Some("image/png")));
    assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    assert!(file.body.starts_with(&[0x89, b'P', b'N', b'G']));
    let other = Ask::get("/files/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").send(gateway.address).await;
    assert!(other.refusal(404, "not_found_error").contains("does not exist or has expired"));

    let (head, asked) = endpoint.seen().remove(0);
    assert_eq!(head.header("authorization"), Some("Bearer painter-key"));
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    let expected = json!({"model": "painter", "prompt": "a calm sea", "n": 1, "size": "1024x1024"});
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_missing_grant_or_a_rejected_image_is_a_tool_error_and_the_response_goes_on() {
    let (_, gateway) = painter(200, &pixel(), "").await;
    let result = painted(&gateway, &tool()).await;
    assert_eq!(result["is_error"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("plugins.config.image-generation.publish"), "{text}");

    let refusal = json!({"error": {"message": "that cannot be painted"}});
    let (_, gateway) = painter(400, &refusal, ", publish: true").await;
    let result = painted(&gateway, &tool()).await;
    assert_eq!(result["is_error"], true);
    assert!(result["content"][0]["text"].as_str().unwrap().contains("that cannot be painted"));
}

#[tokio::test]
async fn an_invalid_public_url_is_rejected_by_name() {
    let problem = "plugins: { files: { public_url: gateway.example } }\n";
    let gateway = Gateway::start(
        "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }\n",
    )
    .await;
    let config = format!(
        "providers: {{ sim: {{ type: simulator }} }}\nmodels: {{ \"*\": {{ provider: sim }} }}\n{problem}"
    );
    let told = format!("{:?}", gateway.reload(&config).await);
    assert!(told.contains("plugins.files.public_url"), "{told}");
}

#[tokio::test]
async fn a_caller_sees_no_block_that_such_a_result_cannot_hold() {
    let (_, gateway) = painter(200, &pixel(), ", publish: true").await;
    let mut tool = tool();
    tool["show_model"] = true.into();
    let result = painted(&gateway, &tool).await;
    let shown = result["content"].as_array().unwrap();
    assert!(shown.iter().all(|block| block["type"] == "text"), "{result}");
    let told: Value = serde_json::from_str(shown[0]["text"].as_str().unwrap()).unwrap();
    let (_, name) = told["url"].as_str().unwrap().split_once("/files/").unwrap();
    assert_eq!(shown[1]["text"], format!("(image {name})"));
}

/// The same painter, and a model that is watched. `unsupported` is what its target lacks.
async fn watched(image: &str, unsupported: &str) -> (Auto, Gateway, Auto) {
    let model = simulated_upstream().await;
    // an endpoint may say anything
    let answer = json!({"data": [{"b64_json": image, "revised_prompt": "as in /files/of-mine"}]});
    let answer = answer.to_string();
    let endpoint = Upstream::always(Behaviour::Answer(upstream::json(200, &answer))).await;
    let gateway = Gateway::start(&format!(
        "providers: {{ up: {{ type: anthropic, api_key: k, base_url: \"http://{}\" }} }}\n\
         models: {{ m: {{ provider: up, unsupported: [{unsupported}] }} }}\n\
         egress: {{ allow_private: [\"127.0.0.0/8\"] }}\n\
         plugins: {{ dir: \"{}\", config: {{ image-generation: {{ allow_hosts: [\"127.0.0.1:{}\"], \
         url: \"http://{}/v1\", model: painter, publish: true }} }} }}\n",
        model.address,
        plugins::alone("image-generation").display(),
        endpoint.address.port(),
        endpoint.address,
    ))
    .await;
    (model, gateway, endpoint)
}

/// Lets the model paint and look, then goes on; what the upstream was sent of the result both times.
async fn looked_at(model: &Auto, gateway: &Gateway) -> (Value, Value) {
    let text =
        "[sim: call image_generation {\"prompt\":\"a calm sea\"}] [sim: then] [sim: say there]";
    let mut body = json!({
        "model": "m", "max_tokens": 1000,
        "tools": [{"type": "gateway:image_generation", "show_model": true}],
        "messages": [{"role": "user", "content": text}],
    });
    let message = Ask::message(body.to_string()).send(gateway.address).await.json();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": "and?"}));
    let answer = Ask::message(body.to_string()).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = model.requests();
    let result = |n: usize| seen[n]["messages"][2]["content"][0]["content"].clone();
    (result(1), result(2))
}

#[tokio::test]
async fn a_model_sees_the_image_in_its_turn_and_again_when_the_history_comes_back() {
    let (model, gateway, _endpoint) = watched(PIXEL, "").await;
    let (first, again) = looked_at(&model, &gateway).await;
    let source = json!({"type": "base64", "media_type": "image/png", "data": PIXEL});
    assert_eq!(first[1], json!({"type": "image", "source": source}));
    assert!(!first[0]["text"].as_str().unwrap().contains(&PIXEL[..20]), "{first}");
    assert_eq!(first, again);
    // byte for byte: its prompt cache holds
    let bodies: Vec<String> =
        model.bodies().iter().map(|body| String::from_utf8(body.to_vec()).unwrap()).collect();
    let result = &bodies[1][bodies[1].find("\"tool_result\"").unwrap()..];
    assert!(bodies[2].contains(&result[..result.find("]}").unwrap()]), "{}", bodies[2]);
}

#[tokio::test]
async fn an_image_that_the_upstream_does_not_take_is_named() {
    for (image, unsupported, word) in [
        (PIXEL.to_owned(), "\"block:image\"", "(image "),
        // too large for any upstream, whatever it is told later
        (padded(4 << 20), "", "(image)"),
    ] {
        let (model, gateway, _endpoint) = watched(&image, unsupported).await;
        let (first, again) = looked_at(&model, &gateway).await;
        assert_eq!(first[1]["type"], "text");
        assert!(first[1]["text"].as_str().unwrap().starts_with(word), "{}", first[1]);
        assert_eq!(first, again);
    }
}

/// The pixel with so many bytes in all.
fn padded(size: usize) -> String {
    let mut image = BASE64.decode(PIXEL).unwrap();
    image.resize(size, 0);
    BASE64.encode(image)
}

#[tokio::test]
async fn images_of_16_mib_come_back_and_words_beyond_cost_next_to_nothing() {
    let (model, gateway, _endpoint) = watched(&padded(3_900_000), "").await;
    let text = "[sim: call image_generation {\"prompt\":\"a sea\"}] [sim: then] [sim: say there]";
    let mut body = json!({
        "model": "m", "max_tokens": 1000,
        "tools": [{"type": "gateway:image_generation", "show_model": true}],
        "messages": [{"role": "user", "content": text}],
    });
    let mut message = Ask::message(body.to_string()).send(gateway.address).await.json();
    let blocks = message["content"].as_array_mut().unwrap();
    let result = blocks.iter_mut().find(|block| block["type"] == "mcp_tool_result").unwrap();
    let shown = result["content"].as_array_mut().unwrap();
    // encoded for each of them, this would be 100 GB
    shown.extend(vec![shown[1].clone(); 20_000]);
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": "and?"}));
    let answer = Ask::message(body.to_string()).send(gateway.address).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = model.bodies()[2].clone();
    let count = |text: &str| memchr::memmem::find_iter(&sent, text.as_bytes()).count();
    assert_eq!((count("\"image/png\""), count("(image ")), (3, 20_001 - 3));
}
