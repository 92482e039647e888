//! `const WITH`: declared parameters, and the messages about a configuration that gives others.
use serde_json::{Value, json};

use super::{compile, refusal, run_with};
use crate::testing::stages::Stages;

fn source(with: &str) -> String {
    format!(
        "const WITH = {with};\nfn on_request(request, ctx) {{ deny(ctx.with.to_map().to_json()); }}"
    )
}

/// Returns the parameters that the policy reads, or each problem.
fn seen(with: &str, given: Value) -> Result<Value, String> {
    let script = compile(&source(with)).unwrap();
    let with = script.with(given.as_object().unwrap()).map_err(|problems| {
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{} {}", problem.path, problem.message))
            .collect();
        lines.join("\n")
    })?;
    let call = crate::policy::script::ScriptCall {
        context: &super::context(),
        with: &with,
        state: &crate::policy::script::api::State::default(),
        clock: crate::policy::script::Clock::System,
    };
    let document = crate::wire::Document::parse("{}".into()).unwrap();
    let (_, outcome) = script.on_request(&call, document).unwrap();
    Ok(serde_json::from_str(&refusal(outcome).message).unwrap())
}

const SHAPES: &str = r#"#{
    limit: #{ type: "integer", minimum: 1, default: 8 },
    to: #{ type: "string", required: true },
    rules: #{ type: "array", items: #{ type: "object", properties: #{ keys: ["string", "array"], to: #{ type: "string", required: true } } } },
    mode: #{ enum: ["mark", "deny"] },
    names: #{ type: "array", items: "string" },
    loud: "boolean"
}"#;

#[test]
fn parameters_that_fit_are_handed_over_with_the_defaults_of_others() {
    assert_eq!(seen(SHAPES, json!({"to": "a"})), Ok(json!({"to": "a", "limit": 8})));
    let all = json!({"limit": 2, "to": "a", "rules": [{"keys": "k", "to": "b"}, {"to": "c"}], "mode": "mark", "names": ["x"], "loud": true});
    assert_eq!(seen(SHAPES, all.clone()), Ok(all));
    let empty = json!({"limit": null, "to": "a", "loud": null});
    assert_eq!(seen(SHAPES, empty), Ok(json!({"to": "a", "limit": 8})));
}

#[test]
fn parameters_that_do_not_fit_are_named_each_with_its_place() {
    for (given, expected) in [
        (
            json!({"to": "a", "limt": 5}),
            ".limt the policy has no such parameter; the nearest is `limit`",
        ),
        (
            json!({"to": "a", "something": 5}),
            ".something the policy has no such parameter; there are `limit`, `loud`, `mode`, `names`, `rules`, `to`",
        ),
        (json!({}), ".to is missing: the policy needs it"),
        (json!({"to": null}), ".to is missing: the policy needs it"),
        (
            json!({"to": 7, "limit": "a lot", "mode": "x"}),
            ".to must be of type string, found number\n.limit must be of type integer, found string\n.mode must be one of `\"mark\"`, `\"deny\"`",
        ),
        (json!({"to": "a", "limit": 0}), ".limit is 0, at least 1 is needed"),
        (json!({"to": "a", "rules": [{"keys": []}]}), ".rules[0].to is missing"),
        (
            json!({"to": "a", "rules": [{"to": "a", "key": "b"}]}),
            ".rules[0].key is not known: there are `keys`, `to`",
        ),
        (json!({"to": "a", "names": ["x", 5]}), ".names[1] must be of type string, found number"),
    ] {
        assert_eq!(seen(SHAPES, given.clone()), Err(expected.to_owned()), "{given}");
    }
}

#[test]
fn a_declaration_that_makes_no_sense_is_a_problem_of_the_policy() {
    for (with, expected) in [
        ("5", "`WITH` must be a literal map"),
        ("#{ limit: 5 }", "`WITH`: `limit` must be the name of a type"),
        (
            "#{ limit: \"int\" }",
            "`WITH`: `limit` is of type \"int\": types are `string`, `integer`",
        ),
        (
            "#{ limit: #{ type: \"integer\", minimun: 1 } }",
            "`WITH`: `limit` has `minimun`, which is not a known key; the nearest is `minimum`",
        ),
        (
            "#{ limit: #{ type: \"integer\", default: \"x\" } }",
            "`WITH`: `limit` has a default that must be of type integer, found string",
        ),
        (
            "#{ limit: #{ type: \"integer\", required: 1 } }",
            "`WITH`: `limit` has a `required` that is neither true nor false",
        ),
        (
            "#{ rules: #{ type: \"array\", items: \"text\" } }",
            "`WITH`: `rules` is of type \"text\"",
        ),
    ] {
        let problems = compile(&source(with)).err().unwrap_or_default();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{with}: {said:?}");
        assert!(said[0].starts_with(&format!("policies/probe.rhai:1:1: {expected}")), "{said:?}");
    }
}

#[test]
fn a_parameter_that_is_read_and_not_declared_is_found_before_it_runs() {
    let source = "const WITH = #{ limit: \"integer\", rules: \"array\" };
fn helper(ctx) { ctx.with.anything }
fn on_request(request, ctx) {
    let a = ctx.with.limit ?? 5;
    let b = ctx.with.rules[0].to;
    let c = ctx.with.to_map();
    let d = ctx.with.lmit;
    let e = ctx.with.colour.name;
    let ctx_like = #{ with: #{} };
    ctx_like.with.other = 1;
}";
    let problems = compile(source).err().unwrap_or_default();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    let expected = "policies/probe.rhai:7:22: `WITH` declares no `lmit`; the nearest is `limit` in";
    assert!(said[0].starts_with(expected), "{said:?}");
    assert!(
        said[1].starts_with("policies/probe.rhai:8:22: `WITH` declares no `colour`"),
        "{said:?}"
    );
}

#[test]
fn a_policy_that_declares_nothing_takes_anything() {
    let script = super::hook("deny(`${ctx.with.any}`);");
    let (_, outcome) = run_with(&script, json!({"any": 5}), "{}").unwrap();
    assert_eq!(refusal(outcome).message, "5");
    assert!(script.with(json!({"any": 5}).as_object().unwrap()).is_ok());
}

#[tokio::test]
async fn a_stage_with_wrong_parameters_is_found_when_the_pipeline_is_built() {
    let source = source(SHAPES);
    let policies = [("first", "fn on_request(request, ctx) { }"), ("cap", source.as_str())];
    let order = json!([{"policy": "first"}, {"policy": "cap", "with": {"limit": "x", "to": "a"}}]);
    let problems = Stages::new(&policies).order(order).try_build().await.err().unwrap();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["pipeline[1].with.limit: must be of type integer, found string"]);
    // without `pipeline:`, no stage can give the parameter
    let problems = Stages::new(&policies).try_build().await.err().unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].path.ends_with("policies/cap.rhai"), "{problems:?}");
    let expected =
        "needs its parameter `to`: list the policy under `pipeline:` with `with: { to: … }`";
    assert_eq!(problems[0].message, expected);
}
