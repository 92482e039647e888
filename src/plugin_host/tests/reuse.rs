//! `instances: reuse`: the state that stays in an instance, its callers, and its end.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::context::{Caller, Context};
use crate::plugin_host::{Cause, Plugin, ToolCall, ToolError};
use serde_json::{Map, Value, json};

use super::grants::reach;
use super::{broke, context, document, host};

fn of(key: &str) -> Arc<Context> {
    let caller =
        Arc::new(Caller { key: key.to_owned(), tags: BTreeMap::new(), ..Caller::default() });
    let facts = context();
    Arc::new(Context {
        caller,
        request_id: facts.request_id.clone(),
        started: facts.started,
        headers: facts.headers.clone(),
        query: None,
        credential: None,
        session: facts.session.clone(),
        model: facts.model.clone(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    })
}

async fn act(plugin: &Plugin, key: &str, act: &str) -> Result<u32, ToolError> {
    let input = json!({"act": act}).to_string();
    let call = ToolCall { name: "remember", input: &input, options: "{}" };
    let content = plugin.call_tool(&of(key), call).await?;
    Ok(serde_json::from_slice::<String>(&content).unwrap().parse().unwrap())
}

/// Returns the number of calls of the instance that serves this call, this call included.
async fn asked(plugin: &Plugin, key: &str) -> u32 {
    act(plugin, key, "").await.unwrap()
}

async fn reusing() -> Plugin {
    reach(&host(), json!({"instances": "reuse"})).await
}

#[tokio::test]
async fn every_call_has_an_instance_of_its_own_unless_the_operator_wants_it_otherwise() {
    for config in [json!({}), json!({"instances": "fresh"})] {
        let plugin = reach(&host(), config).await;
        for _ in 0..3 {
            assert_eq!(asked(&plugin, "a").await, 1);
        }
    }
}

#[tokio::test]
async fn the_state_that_one_key_leaves_in_an_instance_is_never_visible_to_another_key() {
    let plugin = reusing().await;
    for n in 1..=3 {
        assert_eq!(asked(&plugin, "a").await, n);
        assert_eq!(asked(&plugin, "b").await, n);
        assert_eq!(asked(&plugin, "").await, n);
    }
}

#[tokio::test]
async fn calls_at_the_same_time_have_different_instances() {
    let plugin = reusing().await;
    let mut held = Vec::new();
    // each has begun before the first has ended: an endless loop yields at its first tick
    let config = json!({"instances": "reuse", "deadline": "1s"});
    let slow = reach(&host(), config).await;
    for _ in 0..3 {
        let slow = slow.clone();
        held.push(async move { act(&slow, "a", "spin").await.is_err() });
    }
    let (ended, counted) = tokio::join!(futures_util::future::join_all(held), asked(&slow, "a"));
    assert_eq!((ended, counted), (vec![true; 3], 1));
    assert_eq!(asked(&plugin, "a").await, 1);
}

#[tokio::test]
async fn an_instance_serves_a_hundred_calls() {
    let plugin = reusing().await;
    for n in 1..=100 {
        assert_eq!(asked(&plugin, "a").await, n);
    }
    assert_eq!(asked(&plugin, "a").await, 1);
}

#[tokio::test]
async fn an_instance_that_broke_is_thrown_away() {
    let config = json!({"instances": "reuse", "deadline": "1s"});
    let plugin = reach(&host(), config).await;
    assert_eq!(asked(&plugin, "a").await, 1);
    let (_, failure) = broke(act(&plugin, "a", "panic").await.unwrap_err());
    assert!(matches!(failure.cause, Cause::Trap(_)), "{failure}");
    assert_eq!(asked(&plugin, "a").await, 1);

    let (_, failure) = broke(act(&plugin, "a", "spin").await.unwrap_err());
    assert!(matches!(failure.cause, Cause::Deadline(_)), "{failure}");
    assert_eq!(asked(&plugin, "a").await, 1);
}

#[tokio::test]
async fn a_problem_that_is_reported_breaks_nothing() {
    let plugin = reusing().await;
    assert_eq!(asked(&plugin, "a").await, 1);
    let error = act(&plugin, "a", "refuse").await.unwrap_err();
    assert!(matches!(error, ToolError::Problem { .. }));
    assert_eq!(asked(&plugin, "a").await, 3);
}

#[tokio::test]
async fn an_instance_that_ran_into_a_bad_document_is_thrown_away() {
    let plugin = reusing().await;
    let with: Arc<Map<String, Value>> = Arc::default();
    let good = document(r#"{"metadata":{"a":"1"}}"#);
    plugin.on_request(&of("a"), &with, good).await.unwrap();
    assert_eq!(asked(&plugin, "a").await, 1);
    let bad = document(r#"{"metadata":{"a":1,"a":2}}"#);
    let error = plugin.on_request(&of("a"), &with, bad).await.err().unwrap();
    assert_eq!(error.status().as_u16(), 400);
    assert_eq!(asked(&plugin, "a").await, 1);
}

#[tokio::test]
async fn more_callers_than_there_are_spaces_are_served_all_the_same() {
    let plugin = reusing().await;
    for n in 0..200 {
        assert_eq!(asked(&plugin, &n.to_string()).await, 1);
    }
    // the last ones are still there, the first ones were dropped for them
    assert_eq!(asked(&plugin, "199").await, 2);
    assert_eq!(asked(&plugin, "0").await, 1);
}
