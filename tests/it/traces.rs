//! Traces: a collector that decodes OTLP by itself receives each exchange as a tree of spans.
mod export;
mod headers;

use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping};
use crate::support::otlp::{Collector, Span};
use crate::support::turn::{call, frames, message, text};
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

/// A client's trace, which is sampled.
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const ERROR: u64 = 2;

/// A gateway whose alias `m` leads to the upstream's `up-1`.
fn traced(
    upstream: std::net::SocketAddr,
    collector: &Collector,
) -> crate::support::gateway::Builder {
    Gateway::with()
        .upstream(upstream)
        .model("m", "{ provider: up, model: up-1 }")
        .config(collector.config())
}

/// The spans of one kind, in order.
fn of_kind(spans: &[Span], kind: u64) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind == kind).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[tokio::test]
async fn an_exchange_is_a_server_span_with_a_client_span_for_its_attempt() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let collector = Collector::start().await;
    let gateway = traced(up.address, &collector).start().await;
    let body = json!({"model": "m", "max_tokens": 16, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
        "output_config": {"effort": "high"}, "stop_sequences": ["secret stop"],
        "metadata": {"user_id": "secret user"}, "messages": [{"role": "user", "content": "secret prompt"}]});
    let ask = Ask::message(body.to_string()).header("traceparent", PARENT);
    let ask = ask.header("x-claude-code-session-id", "s-1").header("tracestate", "a=1");
    assert_eq!(ask.send(gateway.address).await.status, 200);
    let spans = collector.until("chat m").await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (server, client) = (named(&spans, "chat m"), named(&spans, "chat up-1"));
    assert_eq!((server.kind, client.kind), (SERVER, CLIENT));
    assert_eq!(server.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((&*server.parent, &*server.state), ("b7ad6b7169203331", "a=1"));
    assert_eq!((&client.trace, &client.parent), (&server.trace, &server.id));
    assert_eq!((server.flags, client.flags), (0x301, 0x101));
    assert!(server.start <= client.start && client.end <= server.end, "{spans:#?}");
    assert_eq!((server.status, client.status), (0, 0));
    for (key, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/messages")),
        ("http.response.status_code", json!(200)),
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.request.model", json!("m")),
        ("gen_ai.conversation.id", json!("s-1")),
        ("tidegate.ending", json!("whole")),
        ("tidegate.attempts", json!(1)),
        ("error.type", Value::Null),
        ("gen_ai.usage.input_tokens", Value::Null),
    ] {
        assert_eq!(server.get(key), value, "{key}");
    }
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("anthropic")),
        ("gen_ai.request.model", json!("up-1")),
        ("gen_ai.request.max_tokens", json!(16)),
        ("gen_ai.request.temperature", json!(0.5)),
        ("gen_ai.request.top_p", json!(0.9)),
        ("gen_ai.request.top_k", json!(40)),
        ("gen_ai.request.reasoning.level", json!("high")),
        ("gen_ai.request.stream", json!(false)),
        ("gen_ai.response.id", json!("msg_1")),
        ("gen_ai.response.model", json!("up")),
        ("gen_ai.response.finish_reasons", json!(["end_turn"])),
        ("gen_ai.response.time_to_first_chunk", Value::Null),
        ("gen_ai.usage.input_tokens", json!(3)),
        ("gen_ai.usage.output_tokens", json!(2)),
        ("tidegate.target", json!("up/up-1")),
        ("tidegate.outcome", json!("success")),
        ("error.type", Value::Null),
    ] {
        assert_eq!(client.get(key), value, "{key}");
    }
    assert!(!format!("{spans:?}").contains("secret"), "{spans:#?}");
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "tidegate");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_whole_prompt_is_the_input_with_reads_and_writes_of_the_cache() {
    let mut answer: Value = serde_json::from_str(ANSWER).unwrap();
    answer["usage"] = json!({"input_tokens": 10, "output_tokens": 50, "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
        "output_tokens_details": {"thinking_tokens": 30}});
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, &answer.to_string()))).await;
    let collector = Collector::start().await;
    let gateway = traced(up.address, &collector).start().await;
    Ask::message(MESSAGE).send(gateway.address).await;
    let spans = collector.until("chat up-1").await;
    let client = named(&spans, "chat up-1");
    for (kind, count) in [
        ("input_tokens", 1210),
        ("output_tokens", 50),
        ("cache_read.input_tokens", 1000),
        ("cache_write.input_tokens", 200),
        ("reasoning.output_tokens", 30),
    ] {
        assert_eq!(client.get(&format!("gen_ai.usage.{kind}")), json!(count), "{kind}");
    }
    let labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"up\",gen_ai_request_model=\"m\",target_model=\"up-1\"";
    for (kind, count) in [
        ("input_tokens", 1210.0),
        ("output_tokens", 50.0),
        ("cache_read_input_tokens", 1000.0),
        ("cache_write_input_tokens", 200.0),
        ("reasoning_output_tokens", 30.0),
    ] {
        let name = format!("tidegate_gen_ai_client_inference_usage_{kind}_total");
        let name = format!("{name}{{gen_ai_token_modality=\"unknown\",{labels}}}");
        assert_eq!(gateway.metric(&name).await, count, "{kind}");
    }
    for (kind, sum) in [("input", 1210.0), ("output", 50.0)] {
        let name =
            format!("tidegate_gen_ai_client_inference_operation_{kind}_tokens_sum{{{labels}}}");
        assert_eq!(gateway.metric(&name).await, sum);
    }
    // the older metric keeps its meaning
    let old =
        format!("tidegate_gen_ai_client_token_usage_sum{{gen_ai_token_type=\"input\",{labels}}}");
    assert_eq!(gateway.metric(&old).await, 10.0);
}

#[tokio::test]
async fn a_stream_has_the_time_to_its_first_chunk_and_the_reason_of_its_end() {
    let up = Upstream::script(vec![
        Behaviour::Answer(upstream::stream(&FRAMES)),
        Behaviour::Close(upstream::broken(&FRAMES[..4])),
    ])
    .await;
    let collector = Collector::start().await;
    let gateway = traced(up.address, &collector).start().await;
    Ask::message(STREAM).send(gateway.address).await;
    let spans = collector.until("chat up-1").await;
    let client = named(&spans, "chat up-1");
    assert_eq!(client.get("gen_ai.request.stream"), true);
    assert_eq!(client.get("gen_ai.response.finish_reasons"), json!(["end_turn"]));
    assert_eq!(client.get("gen_ai.response.id"), "msg_1");
    assert!(client.get("gen_ai.response.time_to_first_chunk").is_f64());
    assert_eq!(client.get("gen_ai.usage.output_tokens"), 2);
    assert!(named(&spans, "chat m").get("tidegate.time_to_first_event").is_f64());

    Ask::message(STREAM).send(gateway.address).await;
    crate::support::until("the second exchange", async || collector.spans().len() == 4).await;
    let spans = collector.spans();
    let (server, client) = (&spans[2], &spans[3]);
    assert_eq!((server.status, client.status), (ERROR, ERROR), "{spans:#?}");
    assert_eq!(client.get("gen_ai.response.finish_reasons"), json!(["error"]));
    assert_eq!(client.get("error.type"), "api_error");
    assert_eq!(server.get("tidegate.ending"), "broken");
    let count = "tidegate_gen_ai_client_inference_duration_seconds_count";
    assert_eq!(gateway.measured(count, "error_type=\"api_error\"").await, 1.0);
    assert_eq!(gateway.measured(count, "error_type=\"\"").await, 1.0);
}

#[tokio::test]
async fn each_attempt_is_a_span_of_its_own_with_its_own_failure() {
    let busy = upstream::json(
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
    );
    let up = Upstream::script(vec![
        Behaviour::Answer(busy),
        Behaviour::Answer(upstream::json(200, ANSWER)),
    ])
    .await;
    let collector = Collector::start().await;
    let gateway = Gateway::with()
        .upstream(up.address)
        .model("m", "{ provider: up, model: up-1, retry: { attempts: 1 } }")
        .config(collector.config());
    let gateway = gateway.start().await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    let spans = collector.until("chat m").await;
    let clients = of_kind(&spans, CLIENT);
    let names: Vec<_> = clients.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["chat up-1", "chat up-1"]);
    assert_eq!((clients[0].status, clients[1].status), (ERROR, 0));
    assert_eq!(clients[0].get("error.type"), "overloaded_error");
    assert_eq!(clients[0].get("tidegate.status"), 529);
    let server = named(&spans, "chat m");
    assert_eq!((server.status, server.get("tidegate.attempts")), (0, json!(2)));
    // every upstream call has a parent of its own: the span of its attempt
    for ((head, _), span) in up.seen().iter().zip(&clients) {
        let sent = format!("00-{}-{}-01", server.trace, span.id);
        assert_eq!(head.header("traceparent"), Some(&*sent));
    }
}

#[tokio::test]
async fn stages_and_server_tools_are_children_of_their_exchange() {
    let first = message(json!([call("c1", "gateway_datetime", json!({}))]), "tool_use");
    let last = message(json!([text("noon")]), "end_turn");
    let answers = [first, last].map(|it| Behaviour::Answer(upstream::stream(&frames(&it))));
    let up = Upstream::script(answers.to_vec()).await;
    let collector = Collector::start().await;
    let policy = "fn on_request(request, ctx) { tag(\"team\", \"blue\"); }";
    let gateway = looping(up.address).policy("tagger", policy).config(collector.config());
    let gateway = gateway.start().await;
    let body = json!({"model": "m", "max_tokens": 16, "tools": [{"type": "gateway:datetime"}],
        "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(gateway.ask(&body).await.status, 200);
    let spans = collector.until("chat m").await;
    let server = named(&spans, "chat m");
    assert_eq!(server.get("tidegate.tag.team"), "blue");
    assert_eq!(server.get("tidegate.turns"), 2);
    let tool = named(&spans, "execute_tool datetime");
    assert_eq!((tool.kind, &tool.parent), (INTERNAL, &server.id));
    assert_eq!(tool.get("gen_ai.operation.name"), "execute_tool");
    assert_eq!(tool.get("gen_ai.tool.name"), "datetime");
    let stage = named(&spans, "stage tagger");
    assert_eq!((stage.kind, &stage.parent), (INTERNAL, &server.id));
    assert_eq!(stage.get("tidegate.hook"), "on_request");
    let turns: Vec<_> =
        of_kind(&spans, CLIENT).iter().map(|span| span.get("tidegate.turn")).collect();
    assert_eq!(turns, [1, 2]);
    for span in [tool, stage] {
        assert!(server.start <= span.start && span.end <= server.end, "{spans:#?}");
        assert!(span.start <= span.end);
    }
    assert!(of_kind(&spans, CLIENT)[0].end <= tool.start + 1_000_000);
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| &span.id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[tokio::test]
async fn refusals_failures_and_other_routes_are_spans_too() {
    let wrong = upstream::json(
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#,
    );
    let up = Upstream::always(Behaviour::Answer(wrong)).await;
    let collector = Collector::start().await;
    let config = "passthrough: up\nkeys: [{ name: team, key: tg-1 }]\n";
    let gateway = traced(up.address, &collector).config(config).start().await;
    let ask = |ask: Ask| ask.header("x-api-key", "tg-1").send(gateway.address);
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 401);
    assert_eq!(ask(Ask::message(MESSAGE)).await.status, 400);
    assert_eq!(ask(Ask::message("{")).await.status, 400);
    assert_eq!(ask(Ask::post("/v1/messages/count_tokens", MESSAGE)).await.status, 400);
    assert_eq!(ask(Ask::get("/v1/files?key=secret")).await.status, 400);
    gateway.stop().await;
    let spans = collector.spans();
    let servers = of_kind(&spans, SERVER);
    let seen: Vec<_> = servers
        .iter()
        .map(|span| {
            (span.name.as_str(), span.get("http.response.status_code"), span.get("error.type"))
        })
        .collect();
    let invalid = json!("invalid_request_error");
    assert_eq!(
        seen,
        [
            ("chat", json!(401), json!("authentication_error")),
            ("chat m", json!(400), invalid.clone()),
            ("chat", json!(400), invalid.clone()),
            ("count_tokens m", json!(400), invalid),
            ("GET", json!(400), json!("400")),
        ]
    );
    assert!(servers.iter().all(|span| span.status == 0 && span.parent.is_empty()));
    assert_eq!(servers[4].get("url.path"), "/v1/files");
    assert_eq!(servers[1].get("tidegate.key"), "team");
    let clients: Vec<_> = of_kind(&spans, CLIENT).iter().map(|span| span.name.as_str()).collect();
    assert_eq!(clients, ["chat up-1", "count_tokens up-1", "GET"]);
    let text = format!("{spans:?}");
    assert!(!text.contains("tg-1") && !text.contains("secret") && !text.contains("up-key"));
}

#[tokio::test]
async fn a_model_call_of_a_plugin_is_a_child_in_the_same_trace() {
    let collector = Collector::start().await;
    let grants = "plugins: { config: { advisor: { allow_models: [\"*\"] } } }\n";
    let gateway = Gateway::with()
        .provider("sim", "{ type: simulator }")
        .plugin("advisor")
        .config(grants)
        .config(collector.config());
    let gateway = gateway.start().await;
    let prompt = "[sim: call advisor {\"prompt\": \"tea?\"}] [sim: then] [sim: say tea then]";
    let body = json!({"model": "m", "max_tokens": 1000,
        "tools": [{"type": "gateway:advisor", "model": "wise"}],
        "messages": [{"role": "user", "content": prompt}]});
    let answer = gateway.ask(&body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    gateway.stop().await;
    let spans = collector.spans();
    let outer = of_kind(&spans, SERVER);
    assert_eq!(outer.len(), 1, "{spans:#?}");
    let is_inner = |span: &&Span| span.get("tidegate.parent_request_id") != Value::Null;
    let inner: Vec<_> = spans.iter().filter(is_inner).collect();
    assert_eq!(inner.len(), 1, "{spans:#?}");
    assert_eq!((inner[0].kind, &inner[0].trace), (INTERNAL, &outer[0].trace));
    assert_eq!(inner[0].parent, outer[0].id);
}
