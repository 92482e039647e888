//! The request as scripts read and write it.
use crate::error::ErrorKind;
use crate::wire::{Document, Step};

use super::{broken, edited, found, hook, run, says};

const BODY: &str = r#"{"model": "m", "max_tokens": 1.0, "big": 12345678901234567890123, "metadata": {"b": 1, "a": {"deep": [1, 2]}}, "messages": [{"role": "user", "content": "one"}, {"role": "user", "content": [{"type": "text", "text": "two"}]}], "nothing": null}"#;

#[test]
fn reading_a_field_leaves_the_very_bytes_of_the_caller() {
    let raw = bytes::Bytes::from(BODY);
    let reads = "request.model; request[\"max_tokens\"]; request.messages.len(); request.model.len(); \
                 request.model.starts_with(\"m\"); request.metadata.a.deep[-1]; request.missing; \
                 request.nothing; request.nothing.type_of(); request.messages[-1].content[0].text.to_upper();";
    let (document, _) = run(&hook(reads), raw.clone()).unwrap();
    assert!(!document.is_edited());
    assert_eq!(document.to_bytes().as_ptr(), raw.as_ptr());
}

#[test]
fn a_field_that_the_script_does_not_read_is_not_parsed() {
    // the duplicate key inside would be an error if the script opened the object
    let body = r#"{"model": "m", "messages": [{"role": "user", "role": "x"}]}"#;
    let read_model = "if request.model == \"m\" { request.max_tokens = 5; }";
    assert_eq!(
        edited(read_model, body),
        r#"{"model": "m", "messages": [{"role": "user", "role": "x"}],"max_tokens":5}"#
    );
}

#[test]
fn a_duplicate_key_in_an_object_that_is_opened_is_the_callers_fault() {
    let body = r#"{"model": "m", "messages": [{"role": "user", "role": "x"}]}"#;
    let error = broken("try { request.messages[0].role } catch { }", body);
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(error.message.contains("`role` occurs twice"), "{}", error.message);
}

#[test]
fn an_edit_changes_its_own_span_and_nothing_else() {
    let out = edited("request.metadata.a.deep[0] = 7;", BODY);
    assert_eq!(out, BODY.replace("[1, 2]", "[7, 2]"));
}

#[test]
fn numbers_that_the_script_does_not_change_keep_their_bytes() {
    let out = edited("request.model = \"other\"; request.big; request.max_tokens;", BODY);
    assert_eq!(out, BODY.replace("\"m\"", "\"other\""));
    assert_eq!(found("request.max_tokens", BODY), "1.0");
    assert_eq!(found("request.big > 1e22", BODY), "true");
    // a script that writes back an unchanged value makes no edit
    assert_eq!(edited("request.big = request.big;", BODY), BODY);
}

#[test]
fn a_large_number_may_be_moved_inside_its_object_unharmed() {
    let out =
        edited("request.copy = request.outer;", r#"{"outer": {"n": 12345678901234567890123}}"#);
    let expected =
        r#"{"outer": {"n": 12345678901234567890123},"copy":{"n": 12345678901234567890123}}"#;
    assert_eq!(out, expected);
}

#[test]
fn setting_a_field_to_nothing_removes_it() {
    assert_eq!(edited("request.b = ();", r#"{"a":1,"b":2,"c":3}"#), r#"{"a":1,"c":3}"#);
    assert_eq!(edited("request.remove(\"b\");", r#"{"a":1,"b":2,"c":3}"#), r#"{"a":1,"c":3}"#);
    assert_eq!(edited("request.d = ();", r#"{"a":1}"#), r#"{"a":1}"#);
    assert_eq!(edited("request.x.a = ();", r#"{"x":{"a":1,"b":2}}"#), r#"{"x":{"b":2}}"#);
}

#[test]
fn missing_fields_compare_equal_to_nothing() {
    assert_eq!(found("request.max_tokens == ()", "{}"), "true");
    assert_eq!(found("request.metadata == ()", r#"{"metadata": {}}"#), "false");
    assert_eq!(found("request.a ?? 7", "{}"), "7");
    assert_eq!(found("request.metadata?.user_id == ()", "{}"), "true");
}

#[test]
fn arrays_are_walked_pushed_to_and_counted_from_the_end() {
    let body = r#"{"messages":[{"role":"user"},{"role":"assistant"}]}"#;
    let walk = "let roles = []; for m in request.messages { roles.push(m.role); } deny(roles.to_string());";
    let (_, outcome) = run(&hook(walk), body).unwrap();
    assert_eq!(super::refusal(outcome).message, r#"["user","assistant"]"#);
    assert_eq!(found("request.messages[-1].role", body), "assistant");
    assert_eq!(
        edited("request.messages.push(#{role: \"user\", content: [1, 1.5, true, ()]});", body),
        r#"{"messages":[{"role":"user"},{"role":"assistant"},{"content":[1,1.5,true,null],"role":"user"}]}"#
    );
    assert_eq!(
        edited("request.messages[-1].role = \"user\"; request.messages.remove(0);", body),
        r#"{"messages":[{"role":"user"}]}"#
    );
    assert_eq!(
        edited("request.messages.insert(0, request.messages[-1]);", body),
        r#"{"messages":[{"role":"assistant"},{"role":"user"},{"role":"assistant"}]}"#
    );
}

#[test]
fn every_element_can_be_edited_while_walking() {
    let body = r#"{"messages":[{"content":"a"},{"content":"b"}]}"#;
    let out = edited("for m in request.messages { m.content = m.content + \"!\"; }", body);
    assert_eq!(out, r#"{"messages":[{"content":"a!"},{"content":"b!"}]}"#);
    let out = edited("for m in request.messages { m.content += \"?\"; }", body);
    assert_eq!(out, r#"{"messages":[{"content":"a?"},{"content":"b?"}]}"#);
}

#[test]
fn an_array_can_be_filtered_by_rhais_own_functions() {
    let out = edited(
        "request.tools = request.tools.to_array().filter(|t| t.name != \"b\");",
        r#"{"tools":[{"name": "a","n":1.0},{"name":"b"},{"name":"c"}]}"#,
    );
    assert_eq!(out, r#"{"tools":[{"name": "a","n":1.0},{"name":"c"}]}"#);
}

#[test]
fn objects_tell_their_keys_in_order() {
    assert_eq!(found("request.keys()", r#"{"b":1,"a":2}"#), r#"["b","a"]"#);
    assert_eq!(found("request.values()", r#"{"b":1,"a":2}"#), "[1,2]");
    assert_eq!(found("request.len()", r#"{"b":1,"a":2}"#), "2");
    assert_eq!(found("\"a\" in request", r#"{"b":1,"a":2}"#), "true");
    assert_eq!(found("\"c\" in request", r#"{"b":1,"a":2}"#), "false");
    assert_eq!(found("\"x\" in request.list", r#"{"list":["y","x"]}"#), "true");
    assert_eq!(found("request.contains(\"b\")", r#"{"b":1}"#), "true");
    assert_eq!(found("request.list.is_empty()", r#"{"list":[]}"#), "true");
}

#[test]
fn places_show_and_compare_as_json() {
    let body = r#"{"choice": {"type": "any", "n": 1}, "list": [1, "a"]}"#;
    assert_eq!(found("request.choice", body), r#"{"type": "any", "n": 1}"#);
    assert_eq!(found("request.choice == #{n: 1, type: \"any\"}", body), "true");
    assert_eq!(found("request.list != [1, \"b\"]", body), "true");
    assert_eq!(found("request.list == request.list", body), "true");
    assert_eq!(found("type_of(request.list) + type_of(request.choice)", body), "arraymap");
}

#[test]
fn helper_functions_get_the_same_request() {
    let script = super::compile(
        "const LIMIT = 3;\nfn cap(r) { r.max_tokens = LIMIT; }\nfn on_request(request, ctx) { cap(request); }",
    );
    let (document, _) = run(&script.unwrap(), r#"{"max_tokens":9}"#).unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"max_tokens":3}"#);
}

#[test]
fn text_is_escaped_and_unescaped() {
    let body = r#"{"a":"x\n\u00e9\"","b":"\ud83d\ude00"}"#;
    assert_eq!(
        edited("request.c = request.a + request.b;", body),
        r#"{"a":"x\n\u00e9\"","b":"\ud83d\ude00","c":"x\né\"😀"}"#
    );
    assert_eq!(broken("request.a", r#"{"a":"\ud83d"}"#).kind, ErrorKind::InvalidRequest);
}

#[test]
fn a_wrong_use_names_its_place() {
    for (wrong, at, text) in [
        ("request.messages[5] = 1;", ":2:17", "array index 5"),
        ("request.messages[5];", ":2:17", "array index 5"),
        ("let x = request.model.name;", ":2:23", "name"),
        ("request.model.push(1);", ":2:15", "push"),
        ("request.missing.x = 1;", ":2:", "x"),
        ("request.messages[0].to_upper();", ":2:21", "to_upper"),
        ("request.x = 1.0 / 0.0;", ":2:", "inf"),
        ("request.x = Fn(\"deny\");", ":2:", "`Fn`"),
        ("throw \"own words\";", ":2:1", "own words"),
    ] {
        let error = broken(wrong, r#"{"model":"m","messages":[{}]}"#);
        assert_eq!(error.kind, ErrorKind::Api);
        let start = format!("policy \"probe\" failed at policies/probe.rhai{at}");
        assert!(error.message.starts_with(&start), "{wrong}: {}", error.message);
        assert!(error.message.contains(text), "{wrong}: {}", error.message);
    }
}

#[test]
fn an_error_never_shows_a_piece_of_the_body() {
    for leak in [
        "throw request.model;",
        "throw `model ${request.model}`;",
        "parse_int(request.model);",
        "parse_json(request.model);",
        "log(request.model, \"text\");",
    ] {
        let error = broken(leak, r#"{"model":"hunter2","messages":[{}]}"#);
        let shown = format!("{error:?}");
        assert!(!shown.contains("hunter2"), "{leak}: {shown}");
    }
}

#[test]
fn a_place_that_is_gone_says_so() {
    let error = broken("let m = request.m; request.m = 1; m.x = 2;", r#"{"m":{}}"#);
    assert!(error.message.contains("nothing can be set at `m.x`"), "{}", error.message);
    let error = broken("let m = request.m; request.m = 1; m.len();", r#"{"m":{}}"#);
    assert!(error.message.contains("was removed or replaced"), "{}", error.message);
}

#[test]
fn a_document_can_still_be_opened_after_a_script_has_edited_it() {
    let (mut document, _): (Document, _) =
        run(&hook("request.a = #{b: [1, #{c: 2}]};"), "{}").unwrap();
    let way = [Step::Key("a"), Step::Key("b"), Step::Index(1), Step::Key("c")];
    assert_eq!(document.get(&way).unwrap().unwrap(), "2");
}

#[test]
fn a_field_named_tag_is_the_requests_own() {
    assert_eq!(found("request.tag", r#"{"tag":"x"}"#), "x");
    assert_eq!(edited("request.a.tag = 5;", r#"{"a":{"tag":"x"}}"#), r#"{"a":{"tag":5}}"#);
    assert_eq!(
        found("ctx.tags.tag == () && ctx.with.tag == () && ctx.state.tag == ()", "{}"),
        "true"
    );
}

#[test]
fn an_element_that_is_set_to_nothing_stays_as_null() {
    assert_eq!(edited("request.a[0] = ();", r#"{"a":[1,2]}"#), r#"{"a":[null,2]}"#);
}

#[test]
fn json_in_a_text_can_be_read_and_written() {
    let body =
        r#"{"text":"{\"b\":[1,2.5,{\"c\":null}]}","deep":"@"}"#.replace('@', &"[".repeat(100_000));
    assert_eq!(found("parse_json(request.text).b[1]", &body), "2.5");
    assert_eq!(found("parse_json(request.text).to_json()", &body), r#"{"b":[1,2.5,{"c":null}]}"#);
    let error = broken("parse_json(request.deep)", &body);
    assert!(error.message.contains(":2:1: the text is not valid JSON"), "{}", error.message);
}

#[test]
fn an_error_for_a_member_of_a_missing_field_names_the_optional_access() {
    let error = broken("let user = request.metadata.user_id;", "{}");
    says(&error, &["policies/probe.rhai:", "cannot read `user_id`", "`?.user_id`"]);
}
