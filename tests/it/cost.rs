//! The cost of an exchange: its header and its metrics, also where an answer is cut.
use std::fs;

use serde_json::json;
use tidegate::gateway::reload::Reloaded;

use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::until;
use crate::support::upstream::{Behaviour, Upstream, json, stream};

const COST: &str = "tidegate_cost_usd_total{model=\"*\",provider=\"up\",target_model=\"*\"}";
const UNPRICED: &str =
    "tidegate_unpriced_tokens_total{model=\"*\",provider=\"up\",target_model=\"*\"}";

fn request(model: &str, stream: bool) -> String {
    json!({"model": model, "max_tokens": 16, "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
}

fn answer(usage: &serde_json::Value) -> Behaviour {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "up",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    Behaviour::Answer(json(200, &message.to_string()))
}

fn frame(name: &str, data: &serde_json::Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// The first events of a stream: 1000 tokens of input, and a text of this many bytes.
fn begun(text: usize) -> [String; 3] {
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "up", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 1000, "output_tokens": 1}}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let delta = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": "x".repeat(text)}});
    [
        frame("message_start", &start),
        frame("content_block_start", &block),
        frame("content_block_delta", &delta),
    ]
}

#[tokio::test]
async fn a_whole_answer_says_its_price_and_the_gateways_own_time() {
    let usage = json!({"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 10_000,
        "server_tool_use": {"web_search_requests": 2}});
    let up = Upstream::always(answer(&usage)).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let found = Ask::message(request("claude-opus-5-5", false)).send(gateway.address).await;
    // 0.004 + 0.002 + 0.002 + two searches
    assert_eq!(found.header("x-tidegate-cost-usd"), Some("0.028"));
    let timing = found.header("server-timing").unwrap();
    assert!(timing.strip_prefix("gateway;dur=").unwrap().parse::<f64>().is_ok(), "{timing}");
    gateway.until_metric(COST, 0.028).await;
    assert_eq!(gateway.metric(UNPRICED).await, 0.0);
    // a count costs nothing and says nothing
    let up = Upstream::always(Behaviour::Answer(json(200, r#"{"input_tokens":5}"#))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let body = r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hi"}]}"#;
    let found = Ask::post("/v1/messages/count_tokens", body).send(gateway.address).await;
    assert_eq!((found.status, found.header("x-tidegate-cost-usd")), (200, None));
}

#[tokio::test]
async fn an_answer_without_a_price_has_no_header_and_is_counted() {
    let up = Upstream::always(answer(&json!({"input_tokens": 30, "output_tokens": 12}))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let found = Ask::message(request("of-nobody", false)).send(gateway.address).await;
    assert_eq!((found.status, found.header("x-tidegate-cost-usd")), (200, None));
    gateway.until_metric(UNPRICED, 42.0).await;
    assert_eq!(gateway.metric(COST).await, 0.0);
}

#[tokio::test]
async fn a_rejected_request_costs_nothing() {
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    let up = Upstream::always(Behaviour::Answer(json(400, error))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let found = Ask::message(request("claude-opus-5-5", false)).send(gateway.address).await;
    assert_eq!((found.status, found.header("x-tidegate-cost-usd")), (400, None));
    gateway.until_idle().await;
    assert_eq!((gateway.metric(COST).await, gateway.metric(UNPRICED).await), (0.0, 0.0));
}

#[tokio::test]
async fn a_stream_costs_its_last_report_and_says_it_in_no_header() {
    let end = |output: u64| {
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": output}});
        let stop = json!({"type": "content_block_stop", "index": 0});
        let last = json!({"type": "message_stop"});
        [
            frame("content_block_stop", &stop),
            frame("message_delta", &delta),
            frame("message_stop", &last),
        ]
    };
    // the report of 0 is a value, whatever was sent
    for (output, cost) in [(100, 0.006), (0, 0.004)] {
        let frames = [begun(4000).as_slice(), &end(output)].concat();
        let up = Upstream::always(Behaviour::Answer(stream(&frames))).await;
        let gateway = Gateway::with().upstream(up.address).start().await;
        let found = Ask::message(request("claude-opus-5-5", true)).send(gateway.address).await;
        assert_eq!(found.header("x-tidegate-cost-usd"), None);
        gateway.until_metric(COST, cost).await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_pays_for_the_text_that_was_sent() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let begin = async {
        let mut call = up.call().await;
        call.begin_stream().await;
        for frame in begun(4000) {
            call.chunk(&frame).await;
        }
        call
    };
    let ask = Ask::message(request("claude-opus-5-5", true)).open(gateway.address);
    let (mut incoming, _call) = tokio::join!(ask, begin);
    for _ in 0..3 {
        incoming.frame().await.unwrap();
    }
    drop(incoming);
    // 1000 tokens of input, 4000 bytes of output: 0.004 + 0.02
    gateway.until_metric(COST, 0.024).await;
}

#[tokio::test]
async fn a_stream_that_breaks_costs_the_text_that_was_sent() {
    let error = r#"event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}

"#;
    let frames = [begun(400).as_slice(), &[error.to_owned()]].concat();
    let up = Upstream::always(Behaviour::Answer(stream(&frames))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    Ask::message(request("claude-opus-5-5", true)).send(gateway.address).await;
    gateway.until_metric(COST, 0.006).await;
}

/// Sends a request, and leaves once the upstream has it. Returns the metered cost, once there is one.
async fn cost_of_leaving(body: String) -> f64 {
    let mut up = Upstream::start().await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let open = Ask::message(body).open(gateway.address);
    let call = tokio::select! {
        call = up.call() => call,
        _ = open => panic!("an answer before the upstream's"),
    };
    until("the cost of the prompt", async || gateway.metric(COST).await > 0.0).await;
    drop(call);
    gateway.metric(COST).await
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_pays_for_its_prompt() {
    let body = request("claude-opus-5-5", false).replace("hi", &"word ".repeat(800));
    let cost = cost_of_leaving(body).await;
    // 4000 bytes are 1000 tokens of o200k by estimate, times the factor of the family: 1.6
    assert!((0.0064..0.0067).contains(&cost), "{cost}");
}

#[tokio::test]
async fn a_caller_that_leaves_pays_for_an_image_as_for_an_image() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K".repeat(500_000)}});
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 16, "messages": [{"role": "user", "content": [image]}]});
    let cost = cost_of_leaving(body.to_string()).await;
    assert!(cost < 0.01, "{cost}");
    // no prompt is longer than the model's context: a million tokens of 4 dollars
    let body = request("claude-opus-5-5", false).replace("hi", &"word ".repeat(1_200_000));
    let cost = cost_of_leaving(body).await;
    assert!((cost - 4.0).abs() < 1e-9, "{cost}");
}

#[tokio::test]
async fn the_callers_own_time_limit_is_paid_for_and_the_operators_is_not() {
    let up = Upstream::always(Behaviour::Silence).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    for header in ["x-tidegate-timeout-ms", "x-tidegate-attempt-timeout-ms"] {
        let before = gateway.metric(COST).await;
        let body = request("claude-opus-5-5", false).replace("hi", &"word ".repeat(800));
        let found = Ask::message(body).header(header, "60").send(gateway.address).await;
        assert_eq!(found.status, 504, "{header}");
        until("the cost of the prompt", async || gateway.metric(COST).await > before + 0.006).await;
    }
    let config = format!(
        "providers: {{ up: {{ type: anthropic, base_url: \"http://{}\" }} }}\n\
         models: {{ \"*\": {{ provider: up, timeouts: {{ total: 60ms }} }} }}\n",
        up.address
    );
    let gateway = Gateway::start(&config).await;
    let found = Ask::message(request("claude-opus-5-5", false)).send(gateway.address).await;
    assert_eq!(found.status, 504);
    gateway.until_idle().await;
    assert_eq!(gateway.metric(COST).await, 0.0);
}

#[tokio::test]
async fn the_operators_prices_override_the_bundled_ones_and_a_mistake_keeps_the_last_good() {
    let up = Upstream::always(answer(&json!({"input_tokens": 1000, "output_tokens": 0}))).await;
    let config = format!(
        "prices_file: money/prices.yaml\nproviders: {{ up: {{ type: anthropic, base_url: \"http://{}\", guard: false }} }}\n\
         models: {{ \"*\": {{ provider: up }} }}\n",
        up.address
    );
    let prices = "models: [{ id: claude-opus-5-5, price: { input: 7, output: 1 } }, { id: own, provider: acme, price: { input: 1, output: 1 } }]";
    let gateway = Gateway::with().config(&config).file("money/prices.yaml", prices).start().await;
    let cost = async |model: &str| {
        let found = Ask::message(request(model, false)).send(gateway.address).await;
        found.header("x-tidegate-cost-usd").map(ToOwned::to_owned)
    };
    assert_eq!(cost("claude-opus-5-5").await.as_deref(), Some("0.007"));
    assert_eq!(cost("own").await.as_deref(), Some("0.001"));
    assert_eq!(cost("claude-haiku-4-5").await.as_deref(), Some("0.001"));
    let file = gateway.folder().join("money/prices.yaml");
    for (wrong, problem) in [
        ("models: [{ id: own, provider: acme, price: { input: -1, output: 1 } }]", "found -1"),
        ("models: [{ id: own, provider: acme, price: { inputs: 1, output: 1 } }]", "inputs"),
        ("models: [{ id: own, price: { input: 1, output: 1 } }]", "models[0].provider: needed"),
        ("billing: { acme: { factors: { slow: 2 } } }", "slow"),
    ] {
        fs::write(&file, wrong).unwrap();
        let Reloaded::Refused(problems) = gateway.reload_now().await else { panic!("{wrong}") };
        let found = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(
            found.contains("money/prices.yaml: ") && found.contains(problem),
            "{wrong}: {found}"
        );
    }
    assert_eq!(cost("own").await.as_deref(), Some("0.001"));
    fs::write(&file, prices.replace("input: 7", "input: 8")).unwrap();
    until("the new price", async || cost("claude-opus-5-5").await.as_deref() == Some("0.008"))
        .await;
}

#[tokio::test]
async fn a_policys_answer_costs_nothing() {
    let gateway = Gateway::with()
        .upstream(Upstream::always(Behaviour::Silence).await.address)
        .policy("answer", "fn on_request(request, ctx) { respond(\"hello\") }")
        .start()
        .await;
    let found = Ask::message(request("claude-opus-5-5", false)).send(gateway.address).await;
    assert_eq!(found.header("x-tidegate-cost-usd"), Some("0"));
}
