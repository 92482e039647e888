//! The fields beside messages and tools.
use super::*;
use crate::providers::openai::trial::efforts;

fn field(flavor: &str, more: Value, name: &str) -> Option<Value> {
    case(flavor, more).body.get(name).cloned()
}

fn with_facts(flavor: &str, facts: &ModelFacts, more: Value) -> Case {
    encoded(flavor, facts, &request(more)).unwrap()
}

#[test]
fn the_limit_of_tokens_has_the_name_that_the_server_knows() {
    let body = case("openai", json!({})).body;
    assert_eq!((body.get("max_tokens"), &body["max_completion_tokens"]), (None, &json!(99)));
    let body = case("groq", json!({})).body;
    assert_eq!((&body["max_tokens"], body.get("max_completion_tokens")), (&json!(99), None));
    let facts = ModelFacts { max_output: Some(5), ..ModelFacts::default() };
    let case = with_facts("generic", &facts, json!({}));
    assert_eq!(
        (&case.body["max_tokens"], case.dropped),
        (&json!(5), vec!["max_tokens".to_owned()])
    );
}

#[test]
fn stop_sequences_that_a_server_refuses_are_the_gateways() {
    let four = json!({"stop_sequences": ["a", "b", "c", "d"]});
    assert_eq!(field("openai", four.clone(), "stop"), Some(json!(["a", "b", "c", "d"])));
    let five = json!({"stop_sequences": ["a", "b", "c", "d", "e"]});
    let case = case("openai", five.clone());
    assert_eq!((case.body.get("stop"), case.stops.len(), case.dropped.len()), (None, 5, 0));
    assert_eq!(field("llamacpp", five, "stop").unwrap().as_array().unwrap().len(), 5);
    let facts = ModelFacts { refuses_stop: true, ..ModelFacts::default() };
    let case = with_facts("openai", &facts, four);
    assert_eq!((case.body.get("stop"), case.stops.len()), (None, 4));
}

#[test]
fn effort_becomes_the_nearest_value_of_the_server() {
    let effort = |effort: &str| json!({"output_config": {"effort": effort}});
    assert_eq!(field("openai", effort("max"), "reasoning_effort"), Some(json!("xhigh")));
    assert_eq!(field("openai", effort("low"), "reasoning_effort"), Some(json!("low")));
    let deepseek = case("deepseek", effort("low")).body;
    assert_eq!(deepseek["reasoning_effort"], "high");
    let case = with_facts("openai", &efforts(&["low", "high"]), effort("medium"));
    assert_eq!(case.body["reasoning_effort"], "low");
}

#[test]
fn thinking_is_switched_in_the_words_of_each_server() {
    let off = || json!({"thinking": {"type": "disabled"}});
    let on = || json!({"thinking": {"type": "enabled", "budget_tokens": 5000}});
    assert_eq!(field("openai", off(), "reasoning_effort"), Some(json!("none")));
    assert_eq!(field("openai", on(), "reasoning_effort"), Some(json!("high")));
    assert_eq!(field("openrouter", off(), "reasoning"), Some(json!({"enabled": false})));
    assert_eq!(field("openrouter", on(), "reasoning"), Some(json!({"max_tokens": 5000})));
    assert_eq!(field("deepseek", off(), "thinking"), Some(json!({"type": "disabled"})));
    assert_eq!(field("deepseek", on(), "thinking"), Some(json!({"type": "enabled"})));
    let template = |on: bool| Some(json!({"enable_thinking": on}));
    assert_eq!(field("llamacpp", off(), "chat_template_kwargs"), template(false));
    assert_eq!(field("vllm", on(), "chat_template_kwargs"), template(true));
    // adaptive thinking is the server's default
    let adaptive = || json!({"thinking": {"type": "adaptive"}});
    assert_eq!(field("openai", adaptive(), "reasoning_effort"), None);
    assert_eq!(case("generic", adaptive()).dropped, ["thinking"]);
    assert_eq!(case("generic", on()).dropped, ["thinking"]);
    let effort = json!({"output_config": {"effort": "low"}});
    assert_eq!(case("generic", effort).dropped, ["output_config.effort"]);
    // a model that always reasons
    let case = with_facts("openai", &efforts(&["low", "high"]), off());
    assert_eq!(case.body["reasoning_effort"], "low");
    assert_eq!(case.dropped, ["thinking"]);
}

#[test]
fn tools_without_reasoning_where_a_model_takes_no_other() {
    let facts = ModelFacts { chat_tools: ChatTools::WithoutReasoning, ..ModelFacts::default() };
    let more = json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "output_config": {"effort": "high"}});
    let case = with_facts("openai", &facts, more);
    assert_eq!(case.body["reasoning_effort"], "none");
    assert_eq!(case.dropped, ["thinking"]);
}

#[test]
fn sampling_parameters_go_where_they_are_taken() {
    let more = json!({"temperature": 0.5, "top_p": 0.9, "top_k": 5});
    assert_eq!(case("openai", more.clone()).dropped, ["top_k"]);
    let vllm = case("vllm", more.clone());
    assert_eq!((&vllm.body["top_k"], vllm.dropped.len()), (&json!(5), 0));
    let facts = ModelFacts { sampling: Sampling::WithoutReasoning, ..ModelFacts::default() };
    let case = with_facts("openai", &facts, more.clone());
    assert_eq!(case.dropped, ["temperature", "top_p", "top_k"]);
    let mut off = more;
    off["thinking"] = json!({"type": "disabled"});
    let case = with_facts("openai", &facts, off);
    assert_eq!((&case.body["temperature"], case.dropped), (&json!(0.5), vec!["top_k".to_owned()]));
    // 1 is the default of such models
    let one = with_facts("openai", &facts, json!({"temperature": 1}));
    assert!(one.dropped.is_empty() && one.body.get("temperature").is_none());
}

#[test]
fn structured_output_is_never_made_stricter() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let format = json!({"type": "json_schema", "schema": schema});
    let newer = json!({"output_config": {"format": format}});
    let older = json!({"output_format": format});
    let named = json!({"name": "output", "schema": schema, "strict": false});
    let expected = Some(json!({"type": "json_schema", "json_schema": named}));
    assert_eq!(field("openai", newer.clone(), "response_format"), expected);
    assert_eq!(field("openai", older, "response_format"), expected);
    let case = case("deepseek", newer);
    assert_eq!(case.body["response_format"], json!({"type": "json_object"}));
    assert!(case.body["messages"][0]["content"].as_str().unwrap().contains("JSON Schema"));
    assert_eq!(case.dropped, ["output_config.format"]);
}

#[test]
fn the_user_is_sent_as_a_hash() {
    let more = json!({"metadata": {"user_id": "u".repeat(600)}});
    let body = case("openai", more.clone()).body;
    assert_eq!(body["safety_identifier"].as_str().unwrap().len(), 64);
    assert_eq!(body["safety_identifier"], body["prompt_cache_key"]);
    let groq = field("groq", more.clone(), "user").unwrap();
    assert_eq!(groq.as_str().unwrap().len(), 64);
    assert_eq!(case("ollama", more).hints, ["metadata.user_id"]);
}

#[test]
fn service_tiers_have_the_words_of_the_server() {
    let tier = |tier: &str| json!({"service_tier": tier});
    assert_eq!(field("openai", tier("standard_only"), "service_tier"), Some(json!("default")));
    assert_eq!(field("groq", tier("standard_only"), "service_tier"), Some(json!("on_demand")));
    assert!(case("vllm", tier("auto")).dropped.is_empty());
    assert_eq!(case("vllm", tier("standard_only")).dropped, ["service_tier"]);
}

#[test]
fn usage_is_requested_in_streams_only_where_the_server_knows_the_option() {
    let options = |flavor: &str| field(flavor, json!({"stream": true}), "stream_options");
    let usage = json!({"include_usage": true});
    assert_eq!(
        options("openai"),
        Some(json!({"include_usage": true, "include_obfuscation": false}))
    );
    assert_eq!(options("vllm"), Some(usage));
    assert_eq!(options("mistral"), None);
    assert_eq!(field("openai", json!({}), "stream_options"), None);
}

#[test]
fn fields_without_a_counterpart_are_named() {
    let more = json!({"container": "c", "mcp_servers": [{}], "speed": "fast",
        "context_management": {"edits": []}, "inference_geo": "us", "thread": {},
        "fallbacks": ["x"], "tags": {"a": "b"}, "cache_control": {"type": "ephemeral"}});
    let case = case("openai", more);
    let mut dropped = case.dropped;
    dropped.sort();
    let expected = [
        "container",
        "context_management",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "speed",
        "tags",
        "thread",
    ];
    assert_eq!(dropped, expected);
    assert_eq!(case.hints, ["cache_control"]);
    for field in expected {
        assert_eq!(case.body.get(field), None);
    }
}

#[test]
fn cache_breakpoints_go_where_a_model_takes_them() {
    let control = json!({"type": "ephemeral"});
    let more = json!({"system": [{"type": "text", "text": "long", "cache_control": control}]});
    let facts = ModelFacts { takes_breakpoints: true, ..ModelFacts::default() };
    let explicit = json!({"mode": "explicit"});
    let openai = with_facts("openai", &facts, more.clone()).body;
    assert_eq!(openai["messages"][0]["content"][0]["prompt_cache_breakpoint"], explicit);
    assert_eq!(openai["prompt_cache_options"], explicit);
    let router = case("openrouter", more.clone()).body;
    assert_eq!(router["messages"][0]["content"][0]["cache_control"], control);
    let generic = with_facts("generic", &facts, more);
    assert_eq!(generic.body["messages"][0]["content"], "long");
    assert_eq!(generic.hints, ["cache_control"]);
}
