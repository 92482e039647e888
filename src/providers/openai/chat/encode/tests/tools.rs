//! Tools and their choice.
use super::*;

fn with_tools(flavor: &str, more: Value) -> Case {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let mut fields = json!({"tools": [
        {"name": "f", "input_schema": schema},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    case(flavor, fields)
}

#[test]
fn a_tool_is_a_function_without_the_members_of_other_apis() {
    let tool = json!({"type": "custom", "name": "f", "description": "D", "input_schema": {"properties": {}},
        "cache_control": {"type": "ephemeral"}, "defer_loading": true, "input_examples": [{}],
        "allowed_callers": ["direct"]});
    let case = case("generic", json!({"tools": [tool]}));
    let function = json!({"name": "f", "description": "D",
        "parameters": {"type": "object", "properties": {}}});
    assert_eq!(case.body["tools"], json!([{"type": "function", "function": function}]));
    assert_eq!((case.hints, case.dropped.len()), (vec!["cache_control".to_owned()], 0));
}

#[test]
fn strict_tools_are_strict_only_if_their_schema_allows_it() {
    let case_of = |schema: &Value| {
        case("openai", json!({"tools": [{"name": "f", "strict": true, "input_schema": schema}]}))
    };
    let all = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": false});
    assert_eq!(case_of(&all).body["tools"][0]["function"]["strict"], true);
    let mut optional = all;
    optional["required"] = json!([]);
    let case = case_of(&optional);
    assert_eq!(case.body["tools"][0]["function"].get("strict"), None);
    assert_eq!(case.body["tools"][0]["function"]["parameters"], optional);
    assert_eq!(case.dropped, ["tools.strict"]);
}

#[test]
fn client_tools_with_a_version_get_their_schema_and_server_tools_are_named() {
    let tools = json!({"tools": [
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "web_search_20250305", "name": "web_search"},
    ]});
    let case = case("generic", tools);
    assert_eq!(case.body["tools"].as_array().unwrap().len(), 2);
    let bash = &case.body["tools"][0]["function"]["parameters"];
    assert_eq!(bash["properties"]["command"]["type"], "string");
    assert_eq!(case.dropped, ["tool:web_search_20250305"]);
}

#[test]
fn every_tool_choice_has_the_words_of_the_server() {
    let choice = |flavor: &str, choice: Value| {
        let case = with_tools(flavor, json!({"tool_choice": choice}));
        let tools = case.body["tools"].as_array().unwrap().len();
        (case.body["tool_choice"].clone(), tools, case.dropped)
    };
    let none: Vec<String> = Vec::new();
    let named = || json!({"type": "tool", "name": "g"});
    assert_eq!(choice("openai", json!({"type": "auto"})), (json!("auto"), 2, none.clone()));
    assert_eq!(choice("openai", json!({"type": "any"})), (json!("required"), 2, none.clone()));
    assert_eq!(choice("mistral", json!({"type": "any"})).0, "any");
    assert_eq!(choice("openai", json!({"type": "none"})), (json!("none"), 2, none.clone()));
    let function = json!({"type": "function", "function": {"name": "g"}});
    assert_eq!(choice("openai", named()), (function, 2, none.clone()));
    // llama.cpp ignores a named tool
    assert_eq!(choice("llamacpp", named()), (json!("required"), 1, none));
    let ollama = choice("ollama", json!({"type": "any"}));
    assert_eq!((ollama.0, ollama.2), (Value::Null, vec!["tool_choice".to_owned()]));
}

#[test]
fn a_forced_choice_while_thinking_is_named_where_the_server_refuses_it() {
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 2000}});
    let adaptive = json!({"thinking": {"type": "adaptive"}});
    let enabled = json!({"thinking": {"type": "enabled"}});
    let effort = json!({"output_config": {"effort": "high"}});
    for mut more in [budget, adaptive, enabled, effort] {
        for choice in [json!({"type": "any"}), json!({"type": "tool", "name": "g"})] {
            more["tool_choice"] = choice;
            let case = with_tools("deepseek", more.clone());
            assert_eq!(case.body.get("tool_choice"), None, "{more}");
            assert_eq!(case.dropped, ["tool_choice"], "{more}");
        }
        let body = with_tools("groq", more).body;
        assert!(body.get("tool_choice").is_some(), "{body}");
    }
}

#[test]
fn a_forced_choice_turns_off_thinking_that_was_not_requested_where_the_server_refuses_both() {
    let off = json!({"type": "disabled"});
    for choice in [json!({"type": "any"}), json!({"type": "tool", "name": "g"})] {
        for more in
            [json!({"tool_choice": choice}), json!({"tool_choice": choice, "thinking": off})]
        {
            let case = with_tools("deepseek", more);
            assert!(case.body.get("tool_choice").is_some() && case.dropped.is_empty());
            assert_eq!(case.body["thinking"], off);
        }
    }
    // nothing else changes the server's default
    for choice in [json!({"type": "auto"}), json!({"type": "none"})] {
        let body = with_tools("deepseek", json!({"tool_choice": choice})).body;
        assert_eq!((body["tool_choice"].is_null(), body.get("thinking")), (false, None));
    }
    let body = case("deepseek", json!({"tool_choice": {"type": "any"}})).body;
    assert_eq!(body.get("thinking"), None);
    let body = with_tools("mistral", json!({"tool_choice": {"type": "any"}})).body;
    assert_eq!((&body["tool_choice"], body.get("reasoning_effort")), (&json!("any"), None));
}

#[test]
fn parallel_calls_are_switched_off_or_the_switch_is_named() {
    let choice = json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
    assert_eq!(with_tools("openai", choice.clone()).body["parallel_tool_calls"], false);
    let case = with_tools("ollama", choice);
    assert_eq!(case.body.get("parallel_tool_calls"), None);
    assert_eq!(case.dropped, ["disable_parallel_tool_use"]);
}

#[test]
fn without_tools_nothing_about_tools_is_sent() {
    let more = json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true}});
    let body = case("openai", more).body;
    for key in ["tools", "tool_choice", "parallel_tool_calls"] {
        assert_eq!(body.get(key), None, "{key}");
    }
}

#[test]
fn long_names_are_the_same_in_tools_choice_and_history() {
    let long = "n".repeat(100);
    let call = json!({"type": "tool_use", "id": "a", "name": long, "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": "1"});
    let body = case(
        "openai",
        json!({
            "tools": [{"name": long, "input_schema": {"type": "object", "properties": {}}}],
            "tool_choice": {"type": "tool", "name": long},
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": [call]},
                {"role": "user", "content": [result]},
            ],
        }),
    )
    .body;
    let name = body["tools"][0]["function"]["name"].as_str().unwrap();
    assert!(name.len() <= 64);
    assert_eq!(body["tool_choice"]["function"]["name"], name);
    assert_eq!(body["messages"][1]["tool_calls"][0]["function"]["name"], name);
}

#[test]
fn more_tools_than_a_server_takes_are_cut_and_named() {
    let tool = |n: u32| json!({"name": format!("t{n}"), "input_schema": {"type": "object"}});
    let tools: Vec<Value> = (0..130).map(tool).collect();
    let case = case("openai", json!({"tools": tools}));
    assert_eq!(case.body["tools"].as_array().unwrap().len(), 128);
    assert_eq!(case.dropped, ["tools"]);
}
