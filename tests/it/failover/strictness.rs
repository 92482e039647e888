//! `strictness`: what becomes of parameters that a target does not understand.
use serde_json::{Value, json};

use super::{fine, target};
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::plugins;
use crate::support::upstream::{Auto, Upstream};

/// `m` leads to `a`, which knows neither `top_k` nor images, then to `b`, which knows no `top_k` and no
/// web search; `lone` leads to `a` and `loose` too, where nothing is checked.
struct Two {
    a: Auto,
    b: Auto,
    gateway: Gateway,
}

async fn two(policy: &str) -> Two {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let config = format!(
        "providers:
  a: {{ type: anthropic, base_url: \"http://{}\" }}
  b: {{ type: anthropic, base_url: \"http://{}\" }}
models:
  m:
    targets:
      - {{ provider: a, unsupported: [top_k, \"block:image\"] }}
      - {{ provider: b, model: mb, unsupported: [top_k, \"tool:web_search_*\"] }}
  lone: {{ provider: a, unsupported: [top_k] }}
  loose: {{ provider: a, unsupported: [top_k], strictness: off }}
  strict: {{ provider: a, unsupported: [top_k], strictness: error }}
plugins: {{ dir: \"{}\" }}
",
        a.address,
        b.address,
        plugins::alone("strictness").display(),
    );
    let (config, files) = match policy {
        "" => (config, Vec::new()),
        policy => (config + "pipeline: [{ policy: p }]\n", vec![("policies/p.rhai", policy)]),
    };
    Two { a, b, gateway: Gateway::with().config(&config).files(&files).start().await }
}

impl Two {
    async fn ask(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let ask = Ask::message(body.to_string());
        let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
        ask.send(self.gateway.address).await
    }

    fn sent(&self, up: &Auto) -> Value {
        serde_json::from_slice(&up.seen().last().unwrap().1).unwrap()
    }
}

fn body(model: &str, more: Value) -> Value {
    let mut body =
        json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn image() -> Value {
    json!({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]})
}

#[tokio::test]
async fn a_request_that_every_target_understands_passes_byte_for_byte() {
    let two = two("").await;
    let body = body("m", json!({"temperature": 1, "thinking": {"type": "disabled"}}));
    let answer = two.ask(&body, &[]).await;
    assert_eq!((answer.status, target(&answer)), (200, "a/m"));
    assert_eq!(answer.header("x-tidegate-dropped"), None);
    assert_eq!(two.a.seen()[0].1, body.to_string().into_bytes());
    // the plugin is not even called
    assert_eq!(two.gateway.metric("tidegate_stage_duration_seconds_count{stage=\"strictness\",hook=\"on_upstream_request\"}").await, 0.0);
}

#[tokio::test]
async fn under_warn_the_target_that_understands_most_comes_first_and_the_rest_is_dropped_and_named()
{
    let two = two("").await;
    let asked = body("m", json!({"top_k": 5}));
    let answer = two.ask(&asked, &[]).await;
    assert_eq!((answer.status, target(&answer)), (200, "a/m"));
    assert_eq!(answer.header("x-tidegate-dropped"), Some("top_k"));
    assert_eq!(two.sent(&two.a), body("m", json!({})));

    let mut asked = body("m", image());
    let answer = two.ask(&asked, &[]).await;
    assert_eq!((target(&answer), answer.header("x-tidegate-dropped")), ("b/mb", None));
    asked["top_k"] = json!(1);
    asked["tools"] = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let answer = two.ask(&asked, &[("x-tidegate-strictness", "warn")]).await;
    // two against two: the order of the config
    assert_eq!(answer.header("x-tidegate-dropped"), Some("top_k, block:image"));
    let text = two.sent(&two.a)["messages"][0]["content"][0]["text"].to_string();
    assert!(text.contains("a block of type image stood here"), "{text}");
    let answer = two.ask(&asked, &[("x-tidegate-only", "b")]).await;
    assert_eq!(answer.header("x-tidegate-dropped"), Some("top_k, tool:web_search_20250305"));
    assert_eq!(two.sent(&two.b).get("tools"), None);
}

#[tokio::test]
async fn strictness_error_passes_over_targets_that_do_not_understand_the_request() {
    let two = two("").await;
    for (asked, headers) in [
        (body("m", image()), &[("x-tidegate-strictness", "error")][..]),
        (body("m", image()), &[("x-aistats-strictness", "error")]),
        (
            {
                let mut asked = body("m", image());
                asked["gateway"] = json!({"strictness": "error"});
                asked
            },
            &[("x-tidegate-strictness", "off")],
        ),
    ] {
        let answer = two.ask(&asked, headers).await;
        assert_eq!((answer.status, target(&answer)), (200, "b/mb"));
        // what was passed over was not asked
        assert_eq!(answer.header("x-tidegate-attempts"), Some("1"));
    }
    assert_eq!((two.a.count(), two.b.count()), (0, 3));
}

#[tokio::test]
async fn the_error_names_each_target_and_the_fields_that_it_does_not_understand() {
    let two = two("").await;
    let mut asked = body("m", image());
    asked["top_k"] = json!(1);
    let answer = two.ask(&asked, &[("x-tidegate-strictness", "error")]).await;
    assert_eq!(
        answer.refusal(400, "invalid_request_error"),
        "no target takes this request as it is: `a/m` does not understand `top_k`, `block:image`; `b/mb` does not understand `top_k`"
    );
    let answer = two.ask(&body("strict", json!({"top_k": 1})), &[]).await;
    assert_eq!(
        answer.refusal(400, "invalid_request_error"),
        "no target takes this request as it is: `a/strict` does not understand `top_k`"
    );
    assert_eq!((two.a.count(), two.b.count()), (0, 0));
    // the request's own word wins over the alias's
    let answer =
        two.ask(&body("strict", json!({"top_k": 1})), &[("x-tidegate-strictness", "warn")]).await;
    assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, Some("top_k")));
}

#[tokio::test]
async fn the_header_names_a_bounded_number_of_dropped_fields() {
    let two = two("").await;
    let tool = |name: &str| json!({"type": format!("web_search_{name}"), "name": "web_search"});
    let mut tools: Vec<Value> = (0..20).map(|n| tool(&n.to_string())).collect();
    // longer than any name of the API's: it is sent, and the upstream's to refuse
    tools.push(tool(&"x".repeat(100)));
    let answer = two.ask(&body("m", json!({"tools": tools})), &[("x-tidegate-only", "b")]).await;
    let dropped = answer.header("x-tidegate-dropped").unwrap();
    assert!(dropped.starts_with("tool:web_search_0, tool:web_search_1, "), "{dropped}");
    assert!(dropped.ends_with(", and 4 more"), "{dropped}");
    assert_eq!(two.sent(&two.b)["tools"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn under_off_a_native_target_gets_all_of_it() {
    let two = two("").await;
    for (model, headers) in [("loose", &[][..]), ("lone", &[("x-tidegate-strictness", "off")])] {
        let asked = body(model, json!({"top_k": 5}));
        let answer = two.ask(&asked, headers).await;
        assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, None));
        assert_eq!(two.sent(&two.a), asked);
    }
}

#[tokio::test]
async fn policies_see_the_unsupported_fields_of_a_target_and_can_pass_it_over() {
    let policy = "fn on_upstream_request(request, target, ctx) {
    if target.provider == \"a\" && \"block:image\" in target.unsupported { pass_over(`${target.strictness} ${target.native}`); }
}";
    let two = two(policy).await;
    let answer = two.ask(&body("m", image()), &[("x-tidegate-strictness", "error")]).await;
    assert_eq!((answer.status, target(&answer)), (200, "b/mb"));
    let headers = [("x-tidegate-strictness", "error"), ("x-tidegate-only", "a")];
    let answer = two.ask(&body("m", image()), &headers).await;
    let message = answer.refusal(400, "invalid_request_error");
    assert_eq!(message, "no target takes this request as it is: error true");
}

#[test]
fn a_name_that_says_nothing_of_a_target_is_a_problem() {
    let yaml = "providers: { sim: { type: simulator } }
models:
  m:
    targets:
      - { provider: sim, unsupported: [top_k, messages] }
      - { provider: sim, unsupported: [\"block:text\", \"thinking.type\", \"tool:\"] }
  n: { provider: sim, unsupported: [\"blok:image\"] }
";
    let (_folder, file) = crate::commands::folder(yaml, &[]);
    let problems = tidegate::cli::check::check(&file).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for expected in [
        "models.m.targets[0].unsupported[1]: `messages` is understood by every target",
        "models.m.targets[1].unsupported[0]: `block:text` is understood by every target",
        "models.n.unsupported[0]: `blok:image` is neither a field of a request",
    ] {
        assert!(said.iter().any(|line| line.starts_with(expected)), "{expected}: {said:?}");
    }
}

#[tokio::test]
async fn the_unsupported_fields_of_a_provider_apply_to_all_its_targets() {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&format!(
        "providers:
  a: {{ type: anthropic, base_url: \"http://{}\", unsupported: [top_k, \"block:image\"] }}
models:
  m: {{ provider: a }}
  more: {{ provider: a, unsupported: [metadata, top_k] }}
plugins: {{ dir: \"{}\" }}
",
        a.address,
        plugins::alone("strictness").display()
    ))
    .await;
    for (model, dropped) in [("m", "top_k"), ("more", "top_k, metadata")] {
        let asked = body(model, json!({"top_k": 5, "metadata": {"user_id": "u"}}));
        let answer = Ask::message(asked.to_string()).send(gateway.address).await;
        assert_eq!((answer.status, answer.header("x-tidegate-dropped")), (200, Some(dropped)));
    }
}

#[test]
fn a_name_that_says_nothing_of_a_provider_is_a_problem() {
    let yaml = "providers:
  up: { type: anthropic, api_key: k, unsupported: [top_k, messages] }
  sim: { type: simulator, unsupported: [\"blok:image\"] }
models: { m: { provider: up }, n: { provider: sim } }
";
    let (_folder, file) = crate::commands::folder(yaml, &[]);
    let problems = tidegate::cli::check::check(&file).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for expected in [
        "providers.up.unsupported[1]: `messages` is understood by every target",
        "providers.sim.unsupported[0]: `blok:image` is neither a field of a request",
    ] {
        assert!(said.iter().any(|line| line.starts_with(expected)), "{expected}: {said:?}");
    }
    assert_eq!(said.len(), 2, "{said:?}");
}
