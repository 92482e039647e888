//! The effect on requests under each setting, without a gateway.
use serde_json::{Value, json};
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::MockHost;

use crate::Strict;

fn target(strictness: &str, unsupported: &[&str]) -> Target {
    Target {
        provider: "up".to_owned(),
        model: "m".to_owned(),
        unsupported: unsupported.iter().map(|name| (*name).to_owned()).collect(),
        strictness: strictness.to_owned(),
        native: true,
    }
}

fn run(target: &Target, mut request: Value) -> (Action, Value) {
    let action = MockHost::new().on_upstream_request::<Strict>(&mut request, target);
    (action.expect("an action"), request)
}

#[test]
fn a_strict_request_passes_the_target_over_and_names_all_of_it() {
    let request = json!({"top_k": 1, "thinking": {}});
    let (action, after) = run(&target("error", &["top_k", "thinking"]), request.clone());
    let told = "`up/m` does not understand `top_k`, `thinking`";
    assert_eq!(action, Action::PassOver(told.to_owned()));
    assert_eq!(after, request);
}

#[test]
fn unsupported_fields_blocks_and_tools_are_dropped_and_the_rest_stays() {
    let image = json!({"type": "image", "source": {}});
    let text = json!({"type": "text", "text": "hi"});
    let request = json!({
        "model": "m", "top_k": 1,
        "messages": [
            {"role": "user", "content": "plain"},
            {"role": "user", "content": [text, image, {"type": "tool_result", "content": [image]}]},
        ],
        "tools": [{"name": "own"}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "web_search"},
    });
    let names = ["top_k", "block:image", "tool:web_search_20250305"];
    let (action, after) = run(&target("warn", &names), request.clone());
    assert_eq!(action, Action::Next);
    let told = json!({"type": "text", "text": "[a block of type image stood here, which this model cannot read]"});
    let expected = json!({
        "model": "m",
        "messages": [
            {"role": "user", "content": "plain"},
            {"role": "user", "content": [text, told, {"type": "tool_result", "content": [told]}]},
        ],
        "tools": [{"name": "own"}],
        "tool_choice": {"type": "auto"},
    });
    assert_eq!(after, expected);
    // an upstream with another dialect could not receive the parts as they are
    let foreign = Target { native: false, ..target("off", &names) };
    assert_eq!(run(&foreign, request).1, expected);
}

#[test]
fn the_tool_choice_is_dropped_if_every_tool_is_dropped() {
    let request = json!({"tools": [{"type": "bash_20250124", "name": "bash"}], "tool_choice": {"type": "any"}});
    let (_, after) = run(&target("warn", &["tool:bash_20250124"]), request);
    assert_eq!(after, json!({}));
}

#[test]
fn off_sends_everything_to_a_native_target() {
    let request = json!({"top_k": 1});
    let (action, after) = run(&target("off", &["top_k"]), request.clone());
    assert_eq!((action, after), (Action::Next, request));
}
