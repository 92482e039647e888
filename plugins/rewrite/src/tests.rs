//! The effect of the edits on requests, without a gateway.
use serde_json::{Value, json};
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::MockHost;

use crate::Rewrite;

/// Returns the request after the edits of a config and a stage's `with`.
fn run(config: Value, with: Value, mut request: Value) -> (Result<Action>, Value) {
    let host = MockHost::new().config(config).context(json!({"with": with}));
    let done = host.on_request::<Rewrite>(&mut request);
    (done, request)
}

/// The same for a request that continues.
fn edited(with: Value, request: Value) -> Value {
    let (done, request) = run(json!({}), with, request);
    assert_eq!(done, Ok(Action::Next));
    request
}

#[test]
fn without_edits_nothing_changes() {
    let request = json!({"model": "m", "system": "s", "messages": []});
    assert_eq!(edited(json!({}), request.clone()), request);
}

#[test]
fn fields_are_set_filled_in_removed_renamed_and_capped() {
    let with = json!({
        "rename": {"/stop": "/stop_sequences", "/max_output_tokens": "/max_tokens", "/gone": "/x"},
        "remove": ["/top_k", "/metadata/secret", "/absent"],
        "set": {"/metadata/user_id": "gateway", "/messages/-1/role": "user"},
        "default": {"/temperature": 0.5, "/thinking/type": "disabled", "/top_p": 1},
        "cap": {"/max_tokens": 100, "/temperature": 1.0, "/model": 1, "/none": 1},
    });
    let request = json!({
        "model": "m", "stop": ["a"], "max_output_tokens": 500, "top_k": 1, "top_p": 0.1, "temperature": null,
        "metadata": {"secret": 1, "kept": 2}, "messages": [{"role": "model", "content": "hi"}],
    });
    let expected = json!({
        "model": "m", "stop_sequences": ["a"], "max_tokens": 100, "top_p": 0.1, "temperature": 0.5,
        "thinking": {"type": "disabled"}, "metadata": {"kept": 2, "user_id": "gateway"},
        "messages": [{"role": "user", "content": "hi"}],
    });
    assert_eq!(edited(with, request), expected);
}

#[test]
fn a_place_that_is_taken_keeps_its_value_and_the_old_name_goes() {
    let with = json!({"rename": {"/a": "/b"}});
    assert_eq!(edited(with, json!({"a": 1, "b": 2})), json!({"b": 2}));
}

#[test]
fn numbers_within_a_cap_keep_their_form() {
    let with = json!({"cap": {"/a": 10, "/b": 10, "/c": 0.5}});
    let got = edited(with, json!({"a": 10.0, "b": 11, "c": 1}));
    assert_eq!(got.to_string(), r#"{"a":10.0,"b":10,"c":0.5}"#);
}

#[test]
fn text_stands_around_a_system_prompt_of_either_form() {
    let with = json!({"system": {"prepend": "Be kind.", "append": "Be brief."}});
    let text = |text: &str| json!({"type": "text", "text": text});
    for (before, after) in [
        (json!({}), json!("Be kind.\n\nBe brief.")),
        (json!({"system": ""}), json!("Be kind.\n\nBe brief.")),
        (json!({"system": "I am."}), json!("Be kind.\n\nI am.\n\nBe brief.")),
        (
            json!({"system": [text("I am.")]}),
            json!([text("Be kind."), text("I am."), text("Be brief.")]),
        ),
        (json!({"system": []}), json!([text("Be kind."), text("Be brief.")])),
    ] {
        assert_eq!(edited(with.clone(), before)["system"], after);
    }
    let append = json!({"system": {"append": "Be brief."}});
    assert_eq!(edited(append.clone(), json!({"system": "I am."}))["system"], "I am.\n\nBe brief.");
    let blocks = json!({"system": [text("I am.")]});
    assert_eq!(edited(append, blocks)["system"], json!([text("I am."), text("Be brief.")]));
}

#[test]
fn the_edits_of_the_config_come_before_those_of_the_stage() {
    let config = json!({"set": {"/a": 1, "/b": 1}, "system": {"append": "one"}});
    let with = json!({"set": {"/b": 2}, "system": {"append": "two"}});
    let (done, request) = run(config, with, json!({}));
    assert_eq!(done, Ok(Action::Next));
    assert_eq!(request, json!({"a": 1, "b": 2, "system": "one\n\ntwo"}));
}

#[test]
fn an_edit_that_the_body_cannot_take_is_rejected_as_the_callers_error() {
    for with in [
        json!({"set": {"/metadata/user_id": "x"}}),
        json!({"default": {"/metadata/user_id": "x"}}),
        json!({"rename": {"/user": "/metadata/user_id"}}),
    ] {
        let (done, _) = run(json!({}), with, json!({"metadata": "text", "user": "me"}));
        let Ok(Action::Deny(400, message)) = done else { panic!("{done:?}") };
        assert!(message.starts_with("nothing can be set at `/metadata/user_id`"), "{message}");
    }
    let with = json!({"system": {"append": "x"}});
    let (done, _) = run(json!({}), with, json!({"system": 5}));
    assert!(matches!(done, Ok(Action::Deny(400, _))), "{done:?}");
}

#[test]
fn wrong_edits_are_named() {
    let told = |config: Value| {
        let problem = MockHost::new().config(config).describe::<Rewrite>().expect_err("a problem");
        problem.message
    };
    assert!(told(json!({"set": {"max_tokens": 1}})).contains("`set`: `max_tokens` is no place"));
    assert!(told(json!({"rename": {"/a": "b"}})).contains("`rename`: `b` is no place"));
    assert!(told(json!({"remove": ["/"]})).contains("`remove`: `/` is no place"));
    assert!(told(json!({"capp": {}})).contains("unknown field `capp`"));
    assert!(told(json!({"cap": {"/a": "1"}})).contains("expected a JSON number"));
    let (done, _) = run(json!({}), json!({"sett": {}}), json!({}));
    let problem = done.expect_err("a problem");
    assert_eq!(problem.code, "invalid_config");
    assert!(problem.message.contains("`with`") && problem.message.contains("sett"), "{problem:?}");
}

#[test]
fn an_invalid_stage_config_is_rejected_when_the_stage_is_made() {
    for (with, expect) in [
        (json!({"capp": {}}), "unknown field `capp`"),
        (json!({"remove": ["top_k"]}), "`remove`: `top_k` is no place"),
    ] {
        let host = MockHost::new().context(json!({"with": with}));
        let problem = host.describe::<Rewrite>().expect_err("a problem");
        assert_eq!(problem.code, "invalid_config");
        assert!(problem.message.contains(expect), "{problem:?}");
    }
}

#[test]
fn it_wants_to_be_called_only_where_there_is_something_to_edit() {
    let edit = json!({"remove": ["/top_k"]});
    let hook = json!(["on-request"]);
    for (config, context, expect) in [
        (json!({}), json!({}), json!([])),
        (json!({"set": {}, "system": {}}), json!({"with": {"cap": {}}}), json!([])),
        (edit.clone(), json!({}), hook.clone()),
        (edit.clone(), json!({"with": {}}), hook.clone()),
        (json!({}), json!({"with": edit}), hook.clone()),
        // while the plugin is built, there is no config
        (Value::Null, json!({}), hook),
    ] {
        let host = MockHost::new().config(config.clone()).context(context);
        assert_eq!(host.describe::<Rewrite>().expect("a manifest")["hooks"], expect, "{config}");
    }
}

#[test]
fn the_manifest_describes_the_config() {
    let manifest = MockHost::new().describe::<Rewrite>().expect("a manifest");
    let properties = &manifest["config_schema"]["properties"];
    for member in ["rename", "remove", "set", "default", "cap", "system"] {
        assert!(properties[member]["description"].is_string(), "{member}: {properties}");
    }
}
