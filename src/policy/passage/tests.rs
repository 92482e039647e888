//! The pipeline: the order of the stages, and the request after a stage fails.
use crate::context::Context;
use crate::policy::{Passage, ToolCall, ToolOutput, Verdict};
use serde_json::{Value, json};

use crate::testing::stages::{Stages, caller, passed, request};

/// A policy that records that it ran.
const NOTE: &str = r#"fn on_request(request, ctx) {
    let seen = if request.metadata == () { "" } else { request.metadata.user_id };
    request.metadata = #{ user_id: seen + ctx.with.name };
}"#;

fn note(name: &str) -> String {
    NOTE.replace("ctx.with.name", &format!("\"{name}\""))
}

fn notes(body: &Value) -> &str {
    body["metadata"]["user_id"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn without_an_order_policies_run_by_name() {
    let (a, b, c) = (note("a"), note("b"), note("c"));
    let stages = Stages::new(&[("c", &c), ("a", &a), ("library/x", &note("x")), ("b", &b)]);
    let body = passed(&stages.build().await, &caller("ci", &[], "m")).await.unwrap();
    assert_eq!(notes(&body), "abc");
}

#[tokio::test]
async fn an_order_runs_each_stage_as_often_as_it_names_it() {
    let order = json!([
        {"policy": "note", "with": {"name": "1"}},
        {"policy": "b"},
        {"policy": "shipped", "with": {"name": "2"}},
        {"policy": "note", "with": {"name": "3"}},
    ]);
    let (a, b) = (note("a"), note("b"));
    let stages = [("a", &*a), ("b", &*b), ("note", NOTE), ("library/shipped", NOTE)];
    let pipeline = Stages::new(&stages).order(order).build().await;
    let body = passed(&pipeline, &caller("ci", &[], "m")).await.unwrap();
    assert_eq!(notes(&body), "1b23");
}

#[tokio::test]
async fn a_stage_runs_for_the_requests_that_it_is_for() {
    let order = json!([
        {"policy": "note", "with": {"name": "m"}, "when": {"model": "claude-*"}},
        {"policy": "note", "with": {"name": "k"}, "when": {"key": "ci-*"}},
        {"policy": "note", "with": {"name": "t"}, "when": {"tags": {"team": "ml", "stage": "*"}}},
        {"policy": "note", "with": {"name": "a"}, "when": {"model": "claude-*", "key": "ci-*"}},
    ]);
    let pipeline = Stages::new(&[("note", NOTE)]).order(order).build().await;
    let both = [("team", "ml"), ("stage", "prod")];
    for (key, tags, model, expect) in [
        ("ci-1", &both[..], "claude-x", "mkta"),
        ("ci-1", &both[..1], "gpt", "k"),
        ("laptop", &[("team", "web"), ("stage", "x")], "claude-x", "m"),
        ("laptop", &both, "gpt", "t"),
        ("laptop", &[], "gpt", ""),
    ] {
        let body = passed(&pipeline, &caller(key, tags, model)).await.unwrap();
        assert_eq!(notes(&body), expect, "{key} {tags:?} {model}");
    }
}

#[tokio::test]
async fn a_stage_that_breaks_ends_the_request_or_is_as_if_it_were_not_there() {
    let breaks = "fn on_request(request, ctx) {\n    request.max_tokens = 1;\n    deny(true);\n}";
    for (on_error, is_denied) in [(json!("deny"), true), (json!("skip"), false)] {
        let order = json!([
            {"policy": "note", "with": {"name": "1"}},
            {"policy": "breaks", "on_error": on_error},
            {"policy": "note", "with": {"name": "2"}},
        ]);
        let stages = Stages::new(&[("note", NOTE), ("breaks", breaks)]).order(order);
        match passed(&stages.build().await, &caller("ci", &[], "m")).await {
            Err(error) => {
                assert!(is_denied);
                assert_eq!(error.status(), 500);
                assert!(error.message.contains("breaks.rhai:3"), "{error}");
            }
            Ok(body) => {
                assert!(!is_denied);
                assert_eq!((notes(&body), &body["max_tokens"]), ("12", &json!(9)));
            }
        }
    }
}

#[tokio::test]
async fn a_stage_that_leaves_no_request_is_named() {
    for (edit, says) in [
        ("request.remove(\"model\");", "`model` is missing: it must be a string"),
        ("request.remove(\"max_tokens\");", "`max_tokens` is missing: it must be a number"),
        ("request.model = \"\";", "`model` is empty: name a model"),
    ] {
        let source = format!("fn on_request(request, ctx) {{ {edit} }}");
        let stages = Stages::new(&[("spoil", &*source)]);
        let error = passed(&stages.build().await, &caller("ci", &[], "m")).await.unwrap_err();
        assert_eq!(error.status(), 500);
        let start = format!("stage `spoil` left a request that cannot be sent: {says}");
        assert!(error.message.starts_with(&start), "{error}");
        let place = error.message.trim_end_matches(')').rsplit_once("/spoil.rhai:1:");
        let column = place.and_then(|(_, column)| column.parse::<u16>().ok());
        assert_eq!(column.is_some(), edit.contains("remove"), "{error}");
        let skipped = stages.order(json!([{"policy": "spoil", "on_error": "skip"}]));
        let body = passed(&skipped.build().await, &caller("ci", &[], "m")).await.unwrap();
        assert_eq!(body["max_tokens"], 9);
    }
}

#[tokio::test]
async fn a_route_is_the_model_that_later_stages_see() {
    let route = "fn on_request(request, ctx) { route(\"small\"); }";
    let look = "fn on_request(request, ctx) { request.metadata = #{ user_id: request.model + \" for \" + ctx.model }; }";
    let stages = Stages::new(&[("a", route), ("b", look)]);
    let body = passed(&stages.build().await, &caller("ci", &[], "m")).await.unwrap();
    assert_eq!((body["model"].as_str(), notes(&body)), (Some("small"), "small for m"));
}

#[tokio::test]
async fn the_first_stage_that_ends_a_request_is_the_last_that_runs() {
    let breaks = "fn on_request(request, ctx) { deny(true); }";
    for (ends, is_refusal) in [("deny(451, \"no\")", true), ("respond(\"by myself\")", false)] {
        let source = format!("fn on_request(request, ctx) {{ {ends}; }}");
        let pipeline = Stages::new(&[("a", &*source), ("b", breaks)]).build().await;
        let (_, verdict) = Passage::new(&pipeline, &caller("ci", &[], "m"))
            .on_request(request("m"))
            .await
            .unwrap();
        match verdict {
            Verdict::Deny(error) => assert!(is_refusal && error.status() == 451),
            Verdict::Respond(reply) => assert!(!is_refusal && reply.status == 200),
            Verdict::Continue => panic!("it goes on"),
        }
    }
}

#[tokio::test]
async fn a_plugin_is_a_stage_like_a_policy() {
    let order = json!([
        {"policy": "note", "with": {"name": "1"}},
        {"plugin": "hooks", "with": {"act": "facts"}},
        {"plugin": "hooks", "with": {"act": "fail"}, "on_error": "skip"},
        {"plugin": "hooks", "with": {"act": "route"}, "when": {"model": "other"}},
    ]);
    let pipeline = Stages::new(&[("note", NOTE)]).plugin("hooks").order(order).build().await;
    let body = passed(&pipeline, &caller("ci", &[], "m")).await.unwrap();
    assert_eq!(body["metadata"], json!({"key": "ci", "session": "s"}));
    let body = passed(&pipeline, &caller("ci", &[], "other")).await.unwrap();
    assert_eq!(body["model"], "elsewhere");
}

#[tokio::test]
async fn a_plugin_that_fails_closed_is_a_500() {
    let order = json!([{"plugin": "hooks", "with": {"act": "panic"}}]);
    let pipeline = Stages::new(&[]).plugin("hooks").order(order).build().await;
    let error = passed(&pipeline, &caller("ci", &[], "m")).await.unwrap_err();
    assert_eq!(error.status(), 500);
    assert!(error.message.contains("hooks") && !error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn an_unknown_stage_name_is_rejected_with_the_known_names() {
    let order = json!([{"policy": "nope"}, {"plugin": "nope"}, {}]);
    let stages = Stages::new(&[("note", NOTE)]).order(order);
    let found = stages.try_build().await.err().unwrap();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found[0], "pipeline[0].policy: no policy is named `nope`: there are `note`");
    assert!(found[1].starts_with("pipeline[1].plugin: no plugin is named `nope`"), "{}", found[1]);
    assert_eq!(found[2], "pipeline[2]: needs `policy` or `plugin`");
}

#[tokio::test]
async fn a_stage_of_a_plugin_without_hooks_is_a_problem() {
    let stages = Stages::new(&[]).plugin("datetime").order(json!([{"plugin": "datetime"}]));
    let found = stages.try_build().await.err().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, "pipeline[0].plugin");
    assert!(found[0].message.contains("`datetime` has no hooks"), "{found:?}");
}

#[tokio::test]
async fn the_problems_of_all_files_are_reported_at_once() {
    let order = json!([{"policy": "a"}, {"policy": "b"}]);
    let stages =
        Stages::new(&[("a", "fn on_request("), ("b", "fn on_request(request, ctx) { let }")]);
    let found = stages.order(order).try_build().await.err().unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].path.contains("a.rhai:1") && found[1].path.contains("b.rhai:1"), "{found:?}");
}

#[tokio::test]
async fn a_tool_that_two_plugins_have_is_a_problem() {
    let stages = Stages::new(&[]).plugin("datetime").plugin_as("datetime", "again");
    let found = stages.try_build().await.err().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].message.contains("its tool `datetime` is also defined by the plugin"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_tool_gets_an_object_and_gives_blocks() {
    let pipeline = Stages::new(&[]).plugin("unruly").build().await;
    let ctx = caller("ci", &[], "m");
    let call = async |tool: &str, input: &'static str| -> ToolOutput {
        let call = ToolCall { tool, id: "toolu_1", input: input.into(), options: "{}".into() };
        Passage::new(&pipeline, &ctx).call_tool(call).await
    };
    let said = call("echo", r#"{"text":"a \"b\""}"#).await;
    assert!(!said.is_error);
    assert_eq!(said.blocks(), r#"[{"type":"text","text":"a \"b\""}]"#);
    assert_eq!(call("echo", r#"{"text":""}"#).await.blocks(), "[]");
    for input in [r#"{"text":"#, "[]", "", "\"text\""] {
        let said = call("echo", input).await;
        assert!(said.is_error && said.blocks().contains("not a JSON object"), "{input}: {said:?}");
    }
    assert!(call("nope", "{}").await.is_error);
}

/// Returns the hooks in the record of a request, each with the notes on it.
fn recorded(ctx: &Context) -> Vec<(&'static str, bool, bool, bool)> {
    ctx.story.read(|record| {
        let runs = record.stages.iter();
        runs.map(|run| (run.hook, run.edited, run.denied, run.failed)).collect()
    })
}

#[tokio::test]
async fn the_record_has_each_edit_and_denial_of_every_hook() {
    let policy = r#"
        fn on_request(request, ctx) { request.max_tokens = 5; respond("hello"); }
        fn on_text(text, ctx) { if text == "hello" { "bye" } }
        fn on_response(message, ctx) { deny("no"); }
        fn on_tool_call(call, ctx) { call.input.n = 1; }
        fn on_tool_result(result, ctx) { deny("no"); }
    "#;
    let pipeline = Stages::new(&[("p", policy)]).plugin("unruly").build().await;
    let ctx = caller("ci", &[], "m");
    let passage = Passage::new(&pipeline, &ctx);
    let (_, verdict) = passage.on_request(request("m")).await.unwrap();
    let Verdict::Respond(reply) = verdict else { panic!("not answered") };
    assert!(passage.on_reply(*reply).await.is_err());
    let input = r#"{"text":"a"}"#.into();
    let call = ToolCall { tool: "echo", id: "toolu_1", input, options: "{}".into() };
    assert!(passage.call_tool(call).await.is_error);
    assert_eq!(
        recorded(&ctx),
        [
            ("on_request", true, false, false),
            ("on_text", true, false, false),
            ("on_response", false, true, false),
            ("on_tool_call", true, false, false),
            ("on_tool_result", false, true, false),
        ]
    );
    let tools: Vec<_> = ctx.story.read(|record| {
        record.tool_calls.iter().map(|call| (call.tool.to_string(), call.is_error)).collect()
    });
    assert_eq!(tools, [("echo".to_owned(), true)]);
}
