//! Tools and the choice among them.
use super::*;

fn tools(tools: Value) -> Value {
    case(json!({"tools": tools})).body["tools"].clone()
}

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object", "properties": {}}})
}

fn choice(more: Value) -> Value {
    case(json!({"tools": [tool("f"), tool("g")], "tool_choice": more})).body
}

#[test]
fn tools_are_flat_and_always_say_whether_they_are_strict() {
    let strict = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let loose = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let found = case(json!({"tools": [
        {"name": "f", "description": "d", "input_schema": {}},
        {"type": "custom", "name": "g", "input_schema": strict, "strict": true,
            "defer_loading": true, "input_examples": [{}], "allowed_callers": ["direct"], "cache_control": {"type": "ephemeral"}},
        {"name": "h", "input_schema": loose, "strict": true},
    ]}));
    let expected = json!([
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": false},
        {"type": "function", "name": "g", "parameters": strict, "strict": true},
        {"type": "function", "name": "h", "parameters": loose, "strict": false},
    ]);
    assert_eq!(found.body["tools"], expected);
    assert_eq!(
        (found.dropped, found.hints),
        (vec!["tools.strict".into()], vec!["cache_control".into()])
    );
}

#[test]
fn names_up_to_128_characters_pass_and_longer_ones_are_shortened() {
    let (fits, long) = ("f".repeat(128), "g".repeat(129));
    let found = tools(json!([tool(&fits), tool(&long), tool("a.b")]));
    assert_eq!(found[0]["name"], json!(fits));
    assert_eq!(found[1]["name"].as_str().unwrap().len(), 128);
    assert!(!found[2]["name"].as_str().unwrap().contains('.'));
}

#[test]
fn the_apis_own_client_tools_become_functions_and_others_are_reported() {
    let found = case(json!({"tools": [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "code_execution_20250825", "name": "code_execution"},
    ]}));
    assert_eq!(
        (found.body["tools"].as_array().unwrap().len(), &found.body["tools"][0]["name"]),
        (1, &json!("bash"))
    );
    assert_eq!(found.dropped, ["tool:code_execution_20250825"]);
}

#[test]
fn the_choice_has_flat_forms() {
    for (kind, expected) in [("auto", "auto"), ("any", "required"), ("none", "none")] {
        assert_eq!(choice(json!({"type": kind}))["tool_choice"], expected);
    }
    let named = choice(json!({"type": "tool", "name": "g"}));
    assert_eq!(named["tool_choice"], json!({"type": "function", "name": "g"}));
    let one = choice(json!({"type": "any", "disable_parallel_tool_use": true}));
    assert_eq!(
        (&one["tool_choice"], &one["parallel_tool_calls"]),
        (&json!("required"), &json!(false))
    );
}

#[test]
fn without_tools_nothing_is_said_about_them() {
    let body = case(
        json!({"tools": [], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
    )
    .body;
    for key in ["tools", "tool_choice", "parallel_tool_calls"] {
        assert_eq!(body.get(key), None, "{key}");
    }
}

#[test]
fn the_apis_own_search_is_the_servers() {
    let search = json!({"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.test"], "max_uses": 3,
        "blocked_domains": [], "user_location": {"type": "approximate", "city": "Paris", "country": "FR", "x": 1}});
    let found = case(json!({"tools": [search, tool("f")]}));
    let expected = json!({"type": "web_search", "filters": {"allowed_domains": ["a.test"]},
        "user_location": {"type": "approximate", "city": "Paris", "country": "FR"}});
    assert_eq!(found.body["tools"][0], expected);
    assert_eq!(found.dropped, ["tools.max_uses"]);
    let include = json!(["reasoning.encrypted_content", "web_search_call.action.sources"]);
    assert_eq!(found.body["include"], include);
    // the API cannot choose it by name
    let more = json!({"tools": [search, tool("f")], "tool_choice": {"type": "tool", "name": "web_search"}});
    let body = case(more.clone()).body;
    assert_eq!(
        (body["tools"].as_array().unwrap().len(), &body["tool_choice"]),
        (1, &json!("required"))
    );
    let found = encoded("vllm", &ModelFacts::default(), &request(more)).unwrap();
    assert_eq!(found.dropped, ["tool:web_search_20250305"]);
    let plain = tools(json!([{"type": "web_search_20260209", "name": "web_search"}]));
    assert_eq!(plain, json!([{"type": "web_search"}]));
}
