//! `on_upstream_request`: each attempt by itself.
use serde_json::{Value, json};

use super::gateway;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn each_attempt_is_edited_by_itself() {
    let fails = Upstream::always(Behaviour::Answer(upstream::json(529, "{}"))).await;
    let takes = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = format!(
        "providers:\n  one: {{ type: anthropic, base_url: \"http://{}\" }}\n  two: {{ type: anthropic, base_url: \"http://{}\" }}\nmodels:\n  m:\n    targets: [{{ provider: one, model: a }}, {{ provider: two, model: b }}]\n",
        fails.address, takes.address
    );
    let policy = r#"fn on_upstream_request(request, target, ctx) {
        request.metadata = #{ user_id: target.provider + "/" + target.model + " " + target.number };
        if target.provider == "one" { set_header("x-only-one", "yes"); request.top_k = 1; }
        set_header("x-target", target.provider);
        set_response_header("x-tried", target.provider);
    }"#;
    let gateway = Gateway::with().config(&config).policy("p", policy).start().await;
    let answer = Ask::message(MESSAGE).header("x-claude-mine", "1").send(gateway.address).await;
    assert_eq!((answer.status, answer.header("x-tried")), (200, Some("two")));
    let seen = |up: &upstream::Auto| {
        let (head, body) = up.seen().remove(0);
        (head, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let ((one, first), (two, second)) = (seen(&fails), seen(&takes));
    assert_eq!((&first["metadata"]["user_id"], &first["top_k"]), (&json!("one/a 1"), &json!(1)));
    assert_eq!(
        (&second["metadata"]["user_id"], &second["top_k"]),
        (&json!("two/b 2"), &Value::Null)
    );
    assert_eq!((one.header("x-only-one"), one.header("x-target")), (Some("yes"), Some("one")));
    assert_eq!((two.header("x-only-one"), two.header("x-target")), (None, Some("two")));
    assert_eq!(two.header("x-claude-mine"), Some("1"));
}

#[tokio::test]
async fn a_refused_attempt_is_the_end_and_nothing_is_sent() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = "fn on_upstream_request(request, target, ctx) { deny(503, \"not there\"); }";
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.refusal(503, "overloaded_error"), "not there");
    assert_eq!(up.count(), 0);
    let failed = "tidegate_attempts_total{provider=\"up\",outcome=\"failed\"}";
    assert_eq!(gateway.metric(failed).await, 0.0);
}

#[tokio::test]
async fn headers_are_set_and_taken_out_but_not_the_gateways_own() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = r#"fn on_request(request, ctx) {
        set_header("anthropic-beta", "a,b");
        set_header("x-team", 7);
        set_header("x-drop", ());
        set_response_header("x-policy", "seen");
    }"#;
    let gateway = gateway(&up, policy).await;
    let answer = Ask::message(MESSAGE).header("x-drop", "me").send(gateway.address).await;
    assert_eq!(answer.header("x-policy"), Some("seen"));
    let (head, body) = up.seen().remove(0);
    assert_eq!((head.header("anthropic-beta"), head.header("x-team")), (Some("a,b"), Some("7")));
    assert_eq!((head.header("x-drop"), &body[..]), (None, MESSAGE.as_bytes()));
    for wrong in [
        "set_header(\"authorization\", \"x\")",
        "set_header(\"host\", \"x\")",
        "set_header(\"no name\", \"x\")",
        "set_header(\"x-a\", \"a\\nb\")",
        "set_header(\"x-a\", [1])",
        "set_response_header(\"content-length\", 5)",
    ] {
        let policy = format!("fn on_request(request, ctx) {{\n  {wrong};\n}}");
        let gateway = self::gateway(&up, &policy).await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        let message = answer.refusal(500, "api_error");
        assert!(message.contains("p.rhai:2:3: `set_"), "{message}");
    }
}

#[tokio::test]
async fn a_verb_says_where_it_works() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    for (verb, where_to) in [
        ("route(\"x\")", "`route` does nothing in `on_upstream_request`: it works in `on_request`"),
        ("drop_event()", "it works in `on_event`"),
        ("respond(\"x\")", "it works in `on_request`, `on_tool_call`, `on_tool_result`"),
        ("add_tool(#{type: \"gateway:datetime\"})", "it works in `on_request`"),
    ] {
        // in a function of its own, where no check could see it before it runs
        let policy = format!(
            "fn act() {{ {verb}; }}\nfn on_upstream_request(request, target, ctx) {{ act(); }}"
        );
        let gateway = gateway(&up, &policy).await;
        let answer = Ask::message(MESSAGE).send(gateway.address).await;
        let message = answer.refusal(500, "api_error");
        assert!(message.contains(where_to), "{message}");
    }
}
