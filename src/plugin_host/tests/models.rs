//! `model-call`: allowed aliases, the token budget, and the codes of its errors.
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Origin, Retry, UpstreamOrigin};
use crate::plugin_host::{Behalf, ModelAnswer, ModelCall, Plugin, Reach, ToolCall, ToolError};
use bytes::Bytes;
use futures_util::FutureExt;
use http::Response;
use serde_json::{Value, json};

use super::grants::reach;
use super::{context, host};

/// A gateway's models: each answer uses this many tokens.
struct Models {
    asked: Arc<Mutex<Vec<Value>>>,
    behalf: Behalf,
}

impl Models {
    fn new(answer: impl Fn() -> Result<(u64, u64), Error> + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let log = Arc::clone(&asked);
        let call: ModelCall = Arc::new(move |request: Bytes| {
            log.lock().unwrap().push(serde_json::from_slice(&request).unwrap());
            let answer = answer().map(|(input_tokens, output_tokens)| ModelAnswer {
                message: Bytes::from_static(br#"{"type":"message"}"#),
                input_tokens,
                output_tokens,
            });
            async { answer }.boxed()
        });
        let reach = Some(Arc::new(Reach::default().models(call)));
        Self { asked, behalf: Behalf { context: context(), reach } }
    }

    async fn ask(&self, plugin: &Plugin, input: Value) -> Result<Bytes, ToolError> {
        let input = input.to_string();
        let call = ToolCall { name: "ask", input: &input, options: "{}" };
        plugin.call_tool(&self.behalf, call).await
    }

    async fn refused(&self, plugin: &Plugin, input: Value) -> (String, String, bool) {
        match self.ask(plugin, input).await {
            Err(ToolError::Problem { code, message, retryable }) => (code, message, retryable),
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn question(max_tokens: u64) -> Value {
    json!({"model": "advisor-1", "max_tokens": max_tokens})
}

#[tokio::test]
async fn a_plugin_asks_the_aliases_that_it_wants_and_may() {
    let plugin = reach(&host(), json!({"allow_models": ["*-1"]})).await;
    assert!(plugin.may_ask_models());
    let models = Models::new(|| Ok((3, 4)));
    assert_eq!(models.ask(&plugin, question(9)).await.unwrap(), r#""{\"type\":\"message\"}""#);
    assert_eq!(models.asked.lock().unwrap()[0]["max_tokens"], 9);
    for (model, expect) in [
        (
            "advisor-2",
            "`advisor-2` is not granted to this plugin: add `plugins.config.reach.allow_models: [\"advisor-2\"]`",
        ),
        (
            "claude-1",
            "`claude-1` is not wanted by this plugin's manifest (`wants.models`), only `advisor*`",
        ),
    ] {
        let asked = json!({"model": model, "max_tokens": 9});
        let refused = models.refused(&plugin, asked).await;
        assert_eq!(refused, ("not_granted".to_owned(), expect.to_owned(), false));
    }
    assert_eq!(models.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_tokens_of_one_request_are_a_budget() {
    let config = json!({"allow_models": ["*"], "max_model_tokens": 100});
    let plugin = reach(&host(), config).await;
    let models = Models::new(|| Ok((20, 30)));
    models.ask(&plugin, question(80)).await.unwrap();
    // 50 are left, and limit the answer
    models.ask(&plugin, question(80)).await.unwrap();
    let asked: Vec<Value> =
        models.asked.lock().unwrap().iter().map(|asked| asked["max_tokens"].clone()).collect();
    assert_eq!(asked, [80, 50]);
    let (code, message, _) = models.refused(&plugin, question(1)).await;
    assert_eq!(code, "not_granted");
    assert!(message.ends_with("raise `plugins.config.reach.max_model_tokens`"), "{message}");
    assert!(message.contains("have used the 100 tokens"), "{message}");
    // another request has its own budget
    Models::new(|| Ok((20, 30))).ask(&plugin, question(80)).await.unwrap();
}

#[tokio::test]
async fn a_call_that_fails_uses_nothing_of_the_budget() {
    let config = json!({"allow_models": ["*"], "max_model_tokens": 100});
    let plugin = reach(&host(), config).await;
    let models = Models::new(|| Err(Error::new(ErrorKind::Overloaded, "all targets are busy")));
    for _ in 0..3 {
        let (code, message, _) = models.refused(&plugin, question(100)).await;
        assert_eq!((code.as_str(), message.as_str()), ("overloaded_error", "all targets are busy"));
    }
}

#[tokio::test]
async fn an_invalid_or_streaming_request_of_a_plugin_is_not_sent_to_a_model() {
    let plugin = reach(&host(), json!({"allow_models": ["*"]})).await;
    let models = Models::new(|| Ok((1, 1)));
    for (input, expect) in [
        (json!({"model": "advisor-1", "max_tokens": 5, "stream": true}), "never streamed"),
        (json!({"model": "advisor-1"}), "`max_tokens` is missing"),
    ] {
        let (code, message, _) = models.refused(&plugin, input).await;
        assert_eq!(code, "invalid_input");
        assert!(message.contains(expect), "{message}");
    }
    assert!(models.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_upstreams_error_keeps_its_own_type_and_words() {
    let plugin = reach(&host(), json!({"allow_models": ["*"]})).await;
    for (status, retry, retryable) in [(529, Retry::Now, true), (400, Retry::Never, false)] {
        let models = Models::new(move || {
            let body = r#"{"type":"error","error":{"type":"special_error","message":"so it is"}}"#;
            let answer = Response::builder().status(status).body(Bytes::from(body)).unwrap();
            let origin = UpstreamOrigin {
                status: Some(answer.status()),
                answer: Some(Box::new(answer)),
                ..UpstreamOrigin::default()
            };
            let error = Error::new(ErrorKind::BadUpstream, "the upstream refused");
            Err(error.with_origin(Origin::Upstream(Box::new(origin))).with_retry(retry))
        });
        let refused = models.refused(&plugin, question(9)).await;
        assert_eq!(refused, ("special_error".to_owned(), "so it is".to_owned(), retryable));
    }
}

#[tokio::test]
async fn a_model_that_does_not_answer_is_a_problem_before_the_calls_deadline() {
    let config = json!({"allow_models": ["*"], "deadline": "500ms"});
    let plugin = reach(&host(), config).await;
    let gone = Arc::new(());
    let held = Arc::clone(&gone);
    let call: ModelCall = Arc::new(move |_| {
        let held = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
            unreachable!()
        }
        .boxed()
    });
    let reach = Some(Arc::new(Reach::default().models(call)));
    let models = Models { asked: Arc::default(), behalf: Behalf { context: context(), reach } };
    // more than the failures that suspend a plugin
    for _ in 0..6 {
        let (code, message, retryable) = models.refused(&plugin, question(9)).await;
        assert_eq!((code.as_str(), retryable), ("timeout_error", true));
        assert!(message.starts_with("the model did not answer within "), "{message}");
    }
    // the closure's reference, and this one: the call's reference is gone
    assert_eq!(Arc::strong_count(&gone), 2);
}
