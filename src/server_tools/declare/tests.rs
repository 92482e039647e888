//! Declarations of server tools: the upstream's form of them, and the declarations that the gateway rejects.
use crate::error::Error;
use crate::server_tools::declare;
use crate::server_tools::native::Fulfil;
use crate::server_tools::tool::ServerTool;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::policy::Pipeline;
use crate::wire::{Endpoint, MessagesRequest, schema};

use crate::testing::stages::Stages;

fn body(tools: Value, more: Value) -> MessagesRequest {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [], "tools": tools});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    MessagesRequest::parse(body.to_string().into(), Endpoint::Messages).unwrap()
}

/// Replaces the declarations of a request, all of them declared by the caller.
fn replaced(
    pipeline: &Arc<Pipeline>,
    tools: Value,
    more: Value,
) -> Result<(Value, Vec<ServerTool>), Error> {
    let mut request = body(tools, more);
    let declared = declare::declared(&mut request)?;
    let found = declare::replace(pipeline, &mut request, &declared, &|_| Fulfil::Possible)?;
    Ok((serde_json::from_slice(&request.to_bytes()).unwrap(), found))
}

async fn clock() -> Arc<Pipeline> {
    Stages::new(&[]).plugin("datetime").build().await
}

#[tokio::test]
async fn a_declaration_becomes_an_ordinary_tool() {
    let point = json!({"type": "ephemeral", "ttl": "1h"});
    let declaration = json!({"type": "gateway:datetime", "timezone": "UTC", "cache_control": point, "name": "clock"});
    let own = json!({"name": "weather", "input_schema": {"type": "object"}});
    let (body, found) = replaced(&clock().await, json!([own, declaration]), json!({})).unwrap();
    assert_eq!(body["tools"][0], own);
    let plain = &body["tools"][1];
    assert_eq!(plain["name"], "gateway_datetime");
    assert_eq!(plain["cache_control"], point);
    assert_eq!(plain["input_schema"]["type"], "object");
    assert!(plain["description"].as_str().unwrap().contains("time"));
    assert_eq!(plain.as_object().unwrap().len(), 4, "{plain}");
    assert_eq!(
        (found.len(), found[0].name.as_str(), found[0].face.is_shown()),
        (1, "datetime", true)
    );
    assert_eq!(found[0].options, r#"{"timezone":"UTC"}"#);
}

#[tokio::test]
async fn options_that_do_not_fit_are_refused_by_the_name_of_their_field() {
    let pipeline = clock().await;
    let six = json!(["UTC", "UTC", "UTC", "UTC", "UTC", "UTC"]);
    let table = [
        (json!({"timezone": 5}), "`tools[1].timezone` must be of type string, found number"),
        (
            json!({"timezones": ["UTC", 5]}),
            "`tools[1].timezones[1]` must be of type string, found number",
        ),
        (json!({"timezones": six}), "`tools[1].timezones` has 6 items, at most 5 fit"),
        (json!({"zone": "UTC"}), "`tools[1].zone` is not known: there are `timezone`, `timezones`"),
    ];
    for (mut declaration, expected) in table {
        declaration["type"] = "gateway:datetime".into();
        let own = json!({"name": "mine", "input_schema": {"type": "object"}});
        let error = replaced(&pipeline, json!([own, declaration]), json!({})).unwrap_err();
        assert_eq!(error.status(), 400);
        assert_eq!(error.message, format!("{expected} (an option of `gateway:datetime`)"));
    }
    for fits in [json!({"timezone": null}), json!({"timezones": []}), json!({"cache_control": {}})]
    {
        let mut declaration = fits;
        declaration["type"] = "gateway:datetime".into();
        replaced(&pipeline, json!([declaration]), json!({})).unwrap();
    }
}

#[test]
fn a_schema_error_names_the_mismatch_and_its_path() {
    let schema = json!({
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "integer", "minimum": 1, "maximum": 3},
            "b": {"enum": ["x", "y"]},
            "c": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "string", "maxLength": 2}}]},
            "e": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$", "description": "small letters"}},
            "f": {"type": "string", "pattern": "^x"},
            "g": {"type": "string", "pattern": "("},
            "h": {"anyOf": [{"oneOf": [{"const": "p"}, {"const": "q"}]}, {"type": "null"}]},
            "i": {"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "s"}, "url": {"type": "string"}}, "additionalProperties": false},
                {"type": "object", "properties": {"key": {"type": "string"}, "kind": {"const": "t"}}, "required": ["key"]},
            ]},
        },
        "not": {"required": ["e", "f"]},
    });
    let table = [
        (json!({"a": 2, "b": "x", "c": ["éé"], "d": 1}), None),
        (json!({"a": 2.0, "c": null}), None),
        (json!({}), Some((".a", "is missing"))),
        (json!([]), Some(("", "must be of type object, found array"))),
        (json!({"a": 1.5}), Some((".a", "must be of type integer, found number"))),
        (json!({"a": 0}), Some((".a", "is 0, at least 1 is needed"))),
        (json!({"a": 4}), Some((".a", "is 4, at most 3 is allowed"))),
        (json!({"a": 1, "b": "z"}), Some((".b", "must be one of `\"x\"`, `\"y\"`"))),
        (json!({"a": 1, "c": ["abc"]}), Some((".c[0]", "has 3 characters, at most 2 fit"))),
        (
            json!({"a": 1, "e": ["a", "b"], "f": null}),
            Some((".f", "must be of type string, found null")),
        ),
        (
            json!({"a": 1, "e": ["a", "B"]}),
            Some((".e[1]", "is `B`, which does not match: small letters")),
        ),
        (json!({"a": 1, "f": "y"}), Some((".f", "is `y`, which does not match: ^x"))),
        (json!({"a": 1, "g": "a pattern that is none fits all"}), None),
        (json!({"a": 1, "h": null}), None),
        (json!({"a": 1, "h": "r"}), Some((".h", "must be one of `\"p\"`, `\"q\"`"))),
        (json!({"a": 1, "i": {"kind": "t"}}), Some((".i.key", "is missing"))),
        (
            json!({"a": 1, "i": {"url": 5, "kind": "s"}}),
            Some((".i.url", "must be of type string, found number")),
        ),
        (
            json!({"a": 1, "i": {"key": "k", "kind": "u"}}),
            Some((".i.kind", "must be one of `\"s\"`, `\"t\"`")),
        ),
        (json!({"a": 1, "e": [], "f": "x"}), Some(("", "has both `e` and `f`: use one of them"))),
    ];
    for (value, expected) in table {
        let found = schema::check(&schema, &value).err();
        let found = found.as_ref().map(|misfit| (misfit.path.as_str(), misfit.message.as_str()));
        assert_eq!(found, expected, "{value}");
    }
}

#[tokio::test]
async fn a_request_without_our_tools_keeps_its_bytes() {
    let pipeline = clock().await;
    let own = json!([{"name": "datetime", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}]);
    let mut request = body(own, json!({"tool_choice": {"type": "tool", "name": "datetime"}}));
    let before = request.to_bytes();
    assert!(
        declare::replace(&pipeline, &mut request, &[], &|_| Fulfil::Possible).unwrap().is_empty()
    );
    assert_eq!(request.to_bytes(), before);
}

#[tokio::test]
async fn wrong_declarations_are_named() {
    let pipeline = clock().await;
    let own = json!({"name": "weather", "input_schema": {"type": "object"}});
    let clock = json!({"type": "gateway:datetime"});
    for (tools, says) in [
        (
            json!([own, {"type": "gateway:clock"}]),
            "`tools[1].type` is `gateway:clock`, a server tool that no plugin has: there are `gateway:datetime`",
        ),
        (
            json!([clock, own, clock]),
            "`tools[2]` declares `gateway:datetime` a second time: remove one",
        ),
        (
            json!([clock, {"name": "gateway_datetime", "input_schema": {"type": "object"}}]),
            "`tools` defines `gateway_datetime`, which is reserved for `gateway:datetime`: rename it",
        ),
    ] {
        let error = replaced(&pipeline, tools, json!({})).unwrap_err();
        assert_eq!((error.status().as_u16(), error.message.as_str()), (400, says));
    }
    let none = Stages::new(&[]).build().await;
    let error = replaced(&none, json!([clock]), json!({})).unwrap_err();
    assert!(error.message.ends_with("no plugin has: this gateway has none"), "{error}");
}

#[tokio::test]
async fn a_choice_of_ours_is_renamed_in_every_form() {
    let pipeline = clock().await;
    let renamed = json!({"type": "tool", "name": "gateway_datetime"});
    for choice in [
        json!({"type": "tool", "name": "datetime"}),
        json!({"type": "tool", "name": "gateway:datetime"}),
        json!({"type": "tool", "name": "gateway_datetime"}),
        json!({"type": "gateway:datetime"}),
        json!("datetime"),
        json!("gateway:datetime"),
        json!("gateway_datetime"),
    ] {
        let more = json!({"tool_choice": choice});
        let (body, _) = replaced(&pipeline, json!([{"type": "gateway:datetime"}]), more).unwrap();
        assert_eq!(body["tool_choice"], renamed, "{choice}");
    }
    for choice in [
        json!({"type": "auto"}),
        json!({"type": "any", "disable_parallel_tool_use": true}),
        json!({"type": "none"}),
        json!({"type": "tool", "name": "weather"}),
        json!("auto"),
        json!(null),
    ] {
        let more = json!({"tool_choice": choice});
        let (body, _) = replaced(&pipeline, json!([{"type": "gateway:datetime"}]), more).unwrap();
        assert_eq!(body["tool_choice"], choice);
    }
}

#[tokio::test]
async fn a_choice_of_ours_that_is_not_declared_is_refused() {
    let pipeline = clock().await;
    let own = json!({"name": "weather", "input_schema": {"type": "object"}});
    let expected = "`tool_choice` names `gateway:now`, which `tools` does not declare: add it, or choose another";
    for tools in [json!([own]), json!([own, {"type": "gateway:datetime"}])] {
        for choice in [
            json!("gateway:now"),
            json!({"type": "gateway:now"}),
            json!({"type": "tool", "name": "gateway:now"}),
        ] {
            let more = json!({"tool_choice": choice});
            let error = replaced(&pipeline, tools.clone(), more).unwrap_err();
            assert_eq!((error.status().as_u16(), error.message.as_str()), (400, expected));
        }
    }
}

#[tokio::test]
async fn a_tool_choice_that_names_the_callers_own_tool_stays_unchanged() {
    let own = json!({"name": "datetime", "input_schema": {"type": "object"}});
    let tools = json!([{"type": "gateway:datetime"}, own]);
    for (choice, expect) in [("datetime", "datetime"), ("gateway:datetime", "gateway_datetime")] {
        let more = json!({"tool_choice": {"type": "tool", "name": choice}});
        let (body, _) = replaced(&clock().await, tools.clone(), more).unwrap();
        assert_eq!(body["tool_choice"]["name"], expect);
    }
}

#[tokio::test]
async fn a_tool_that_the_caller_did_not_declare_is_hidden() {
    let pipeline = clock().await;
    let mut request = body(json!([{"type": "gateway:datetime"}]), json!({}));
    let found = declare::replace(&pipeline, &mut request, &[], &|_| Fulfil::Possible).unwrap();
    assert!(!found[0].face.is_shown());
}

#[test]
fn a_freed_tool_choice_keeps_its_other_fields() {
    for (choice, expect) in [
        (
            json!({"type": "tool", "name": "x", "disable_parallel_tool_use": true}),
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (json!({"type": "any"}), json!({"type": "auto"})),
        (json!({"type": "none"}), json!({"type": "none"})),
        (json!({"type": "auto"}), json!({"type": "auto"})),
    ] {
        let mut request = body(json!([]), json!({"tool_choice": choice}));
        declare::free_choice(request.document_mut()).unwrap();
        let body: Value = serde_json::from_slice(&request.to_bytes()).unwrap();
        assert_eq!(body["tool_choice"], expect);
    }
    let mut request = body(json!([]), json!({}));
    let before = request.to_bytes();
    declare::free_choice(request.document_mut()).unwrap();
    assert_eq!(request.to_bytes(), before);
}
