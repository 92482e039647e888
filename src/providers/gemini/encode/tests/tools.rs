//! Tools and the choice among them.
use super::*;

fn tool(name: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    json!({"name": name, "description": "d", "input_schema": schema})
}

fn strict(name: &str) -> Value {
    let mut tool = tool(name);
    tool["strict"] = true.into();
    tool
}

fn calling(tools: Value, choice: Value) -> (Value, Vec<String>) {
    let mut more = json!({"tools": tools});
    if !choice.is_null() {
        more["tool_choice"] = choice;
    }
    let case = case(more);
    (case.body["toolConfig"]["functionCallingConfig"].clone(), case.dropped)
}

#[test]
fn all_functions_are_in_one_tool_and_their_schemas_pass_as_they_are() {
    let schema = r##"{"type":"object","properties":{"n":{"$ref":"#/$defs/n"},"o":{"oneOf":[{"const":1.0}]}},"$defs":{"n":{"enum":[1,2],"minimum":1e0}},"additionalProperties":false}"##;
    let raw = format!(
        r#"{{"model":"{NEW}","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"name":"f","input_schema":{schema},"input_examples":[{{}}],"defer_loading":true}},{{"name":"g","type":"custom","description":"d","input_schema":{{"type":"object"}}}}]}}"#
    );
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let (facts, fetched) = (ModelFacts::default(), Fetched::default());
    let terms = Terms {
        backend: Backend::Studio,
        family: Family::of(NEW),
        facts: &facts,
        seal: None,
        fetched: &fetched,
        safety: &[],
    };
    let body = encode(&conversation, terms).unwrap().body;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let expected = format!(
        r#""tools":[{{"functionDeclarations":[{{"name":"f","parametersJsonSchema":{schema}}},{{"name":"g","description":"d"}}]}}]"#
    );
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_schema_without_a_type_is_an_object() {
    let tools = json!([{"name": "f", "input_schema": {"properties": {"a": {}}}}]);
    let case = case(json!({"tools": tools}));
    let schema = &case.body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"];
    assert_eq!(*schema, json!({"type": "object", "properties": {"a": {}}}));
}

#[test]
fn names_begin_with_a_letter_and_have_up_to_128_characters() {
    let long = "a".repeat(200);
    let names = ["ok_1", "mcp__srv-x.y:z", "9lives", "größe", &long];
    let tools: Vec<Value> = names.iter().map(|name| tool(name)).collect();
    let case = case(json!({"tools": tools}));
    let sent: Vec<String> = case.body["tools"][0]["functionDeclarations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| function["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(&sent[..2], ["ok_1", "mcp__srv-x.y:z"]);
    for name in &sent {
        assert!(
            name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        );
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b)), "{name}");
    }
    let back: Vec<String> = sent.into_iter().map(|name| case.encoded.names.back(name)).collect();
    assert_eq!(back, names);
}

#[test]
fn the_apis_own_client_tools_are_functions_and_server_tools_are_named_as_lost() {
    let tools = json!([
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20250305", "name": "web_search"},
    ]);
    let case = case(json!({"tools": tools}));
    let functions = case.body["tools"][0]["functionDeclarations"].as_array().unwrap();
    assert_eq!(functions.len(), 1);
    assert_eq!(functions[0]["parametersJsonSchema"]["properties"]["command"]["type"], "string");
    assert_eq!(case.dropped, ["tool:web_search_20250305"]);
}

#[test]
fn each_choice_has_its_mode() {
    let tools = json!([tool("f"), tool("g")]);
    let mode = |choice| calling(tools.clone(), choice).0;
    assert_eq!(mode(Value::Null), Value::Null);
    assert_eq!(mode(json!({"type": "auto"})), json!({"mode": "AUTO"}));
    assert_eq!(mode(json!({"type": "any"})), json!({"mode": "ANY"}));
    assert_eq!(mode(json!({"type": "none"})), json!({"mode": "NONE"}));
    let named = json!({"mode": "ANY", "allowedFunctionNames": ["g"]});
    assert_eq!(mode(json!({"type": "tool", "name": "g"})), named);
}

#[test]
fn a_named_tool_with_a_changed_name_is_still_the_chosen_one() {
    let tools = json!([tool("1st")]);
    let (mode, _) = calling(tools.clone(), json!({"type": "tool", "name": "1st"}));
    let declared =
        case(json!({"tools": tools})).body["tools"][0]["functionDeclarations"][0].clone();
    assert_eq!(mode["allowedFunctionNames"][0], declared["name"]);
}

#[test]
fn a_choice_of_a_tool_that_is_not_sent_is_lost_and_named() {
    let tools = json!([tool("f"), {"type": "web_search_20250305", "name": "web_search"}]);
    let (mode, dropped) = calling(tools, json!({"type": "tool", "name": "web_search"}));
    assert_eq!(mode, json!({"mode": "AUTO"}));
    assert_eq!(dropped, ["tool:web_search_20250305", "tool_choice"]);
}

#[test]
fn strict_tools_are_validated_unless_the_choice_is_forced() {
    let tools = json!([tool("f"), strict("g")]);
    let mode = |choice| calling(tools.clone(), choice).0["mode"].clone();
    assert_eq!(mode(Value::Null), "VALIDATED");
    assert_eq!(mode(json!({"type": "auto"})), "VALIDATED");
    assert_eq!(mode(json!({"type": "none"})), "NONE");
    assert_eq!(mode(json!({"type": "any"})), "ANY");
}

#[test]
fn parallel_calls_cannot_be_disabled() {
    let parallel = |kind: &str, disabled: bool| {
        calling(json!([tool("f")]), json!({"type": kind, "disable_parallel_tool_use": disabled})).1
    };
    assert_eq!(parallel("auto", true), ["disable_parallel_tool_use"]);
    assert_eq!(parallel("auto", false), [""; 0]);
    assert_eq!(parallel("none", true), [""; 0]);
}

#[test]
fn a_choice_without_tools_is_not_sent() {
    let case = case(json!({"tools": [], "tool_choice": {"type": "any"}}));
    assert!(case.body["toolConfig"].is_null() && case.body["tools"].is_null());
}
