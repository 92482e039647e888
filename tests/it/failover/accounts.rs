//! What belongs to one account stays there; thinking that an upstream cannot read does not reach it.
use serde_json::{Value, json};

use super::{ask, fine, pair, refusal, target};
use crate::support::ANSWER;
use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};

fn thinking(signature: &str) -> Value {
    json!({"type": "thinking", "thinking": "hm", "signature": signature})
}

fn continued(signatures: &[&str]) -> Value {
    let mut content: Vec<Value> = signatures.iter().map(|one| thinking(one)).collect();
    content.push(json!({"type": "text", "text": "so"}));
    json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": "b"},
    ]})
}

async fn sent_to(upstream: Behaviour, body: &Value, strictness: &str) -> (Answer, Vec<Value>) {
    let up = Upstream::script(vec![upstream, Behaviour::Answer(upstream::json(200, ANSWER))]).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let ask = Ask::message(body.to_string()).header("x-tidegate-strictness", strictness);
    let answer = ask.send(gateway.address).await;
    (answer, up.requests())
}

#[tokio::test]
async fn the_reasoning_of_a_translated_upstream_never_reaches_a_native_one() {
    let fine = || Behaviour::Answer(upstream::json(200, ANSWER));
    let body = continued(&["tidegate.abc", "native", ""]);
    for (strictness, dropped) in [("warn", Some("block:thinking")), ("off", None)] {
        let (answer, requests) = sent_to(fine(), &body, strictness).await;
        assert_eq!(answer.status, 200);
        let content = &requests[0]["messages"][1]["content"];
        assert_eq!(*content, json!([thinking("native"), {"type": "text", "text": "so"}]));
        assert_eq!(answer.header("x-tidegate-dropped"), dropped);
    }
    let own = continued(&["native"]);
    let (answer, requests) = sent_to(fine(), &own, "warn").await;
    assert_eq!(
        (&requests[0]["messages"], answer.header("x-tidegate-dropped")),
        (&own["messages"], None)
    );
}

#[tokio::test]
async fn a_refusal_of_another_accounts_thinking_is_sent_once_more_without_it() {
    let refused = || {
        let body = json!({"type": "error", "error": {"type": "invalid_request_error",
            "message": "messages.1.content.0: Invalid `signature` in `thinking` block"}});
        Behaviour::Answer(upstream::json(400, &body.to_string()))
    };
    let body = continued(&["of another account"]);
    let (answer, requests) = sent_to(refused(), &body, "warn").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ANSWER));
    assert_eq!(requests[1]["messages"][1]["content"], json!([{"type": "text", "text": "so"}]));
    assert_eq!(answer.header("x-tidegate-dropped"), Some("block:thinking"));
    assert_eq!(answer.header("x-tidegate-attempts"), Some("2"));
    // nothing may be dropped, and nothing is there to drop
    let (answer, requests) = sent_to(refused(), &body, "error").await;
    assert_eq!((answer.status, requests.len()), (400, 1));
    let (answer, requests) = sent_to(refused(), &continued(&[]), "warn").await;
    assert_eq!((answer.status, requests.len()), (400, 1));
}

#[tokio::test]
async fn a_second_refusal_is_the_answer() {
    let body = json!({"error": {"message": "Invalid `signature` in `thinking` block"}}).to_string();
    let up = Upstream::always(Behaviour::Answer(upstream::json(400, &body))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let answer = gateway.ask(&continued(&["x"])).await;
    assert_eq!(
        (answer.error(400).as_str(), up.count()),
        ("Invalid `signature` in `thinking` block", 2)
    );
}

fn with(field: &str, value: Value) -> String {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body[field] = value;
    body.to_string()
}

fn with_file() -> String {
    let source = json!({"type": "file", "file_id": "file_1"});
    let content = json!([{"type": "document", "source": source}]);
    with("messages", json!([{"role": "user", "content": content}]))
}

#[tokio::test]
async fn a_container_stays_at_the_provider_of_the_first_target() {
    let a = Upstream::always(refusal(529, "")).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&pair(a.address, b.address, "")).await;
    for body in
        [with("container", json!("c1")), with("container", json!({"id": "c1"})), with_file()]
    {
        assert_eq!(ask(&gateway, &body).await.status, 529, "{body}");
    }
    assert_eq!(b.count(), 0);
    assert_eq!(ask(&gateway, &with("container", Value::Null)).await.status, 200);
}

#[tokio::test]
async fn files_stay_at_the_provider_that_keeps_them() {
    let a = Upstream::by(|call| fine(&call.body)).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let config = pair(a.address, b.address, "") + "passthrough: b\n";
    let gateway = Gateway::start(&config).await;
    assert_eq!(target(&ask(&gateway, &with_file()).await), "b/m");
    assert_eq!(target(&ask(&gateway, &with("container", json!("c1"))).await), "a/ma");
    assert_eq!(target(&ask(&gateway, &with("metadata", json!({}))).await), "a/ma");
}

#[tokio::test]
async fn an_upstream_without_threads_gets_the_coded_answer_of_the_api() {
    let up = Upstream::by(|call| fine(&call.body)).await;
    let provider =
        |more: &str| format!("{{ type: anthropic, base_url: \"http://{}\"{more} }}", up.address);
    let create = with("thread", json!({"type": "create"}));
    let threads = Gateway::with().provider("up", &provider("")).start().await;
    assert_eq!(ask(&threads, &create).await.status, 200);
    let none = Gateway::with().provider("up", &provider(", unsupported: [thread]")).start().await;
    let answer = ask(&none, &create).await;
    let code = |answer: &Answer| answer.json()["error"]["details"]["error_code"].clone();
    assert_eq!((answer.status, code(&answer)), (400, json!("thread_unsupported_request")));
    let next = json!({"type": "continue", "previous_message_id": "msg_1"});
    let answer = ask(&none, &with("thread", next)).await;
    assert_eq!((answer.status, code(&answer)), (404, json!("thread_not_found")));
    assert_eq!(up.count(), 1);
}
