//! The fields beside messages and tools.
use super::*;
use crate::providers::openai::trial::efforts;

fn reasoning(more: Value) -> Value {
    case(more).body["reasoning"].clone()
}

#[test]
fn a_plain_request_has_only_these_fields() {
    let expected = json!({
        "model": "m",
        "input": [input(json!([input_text("hi")]))],
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 99,
    });
    assert_eq!(case(json!({})).body, expected);
}

#[test]
fn a_limit_below_the_apis_smallest_is_raised_and_reported() {
    for (max, expected, dropped) in [(1, 16, 1), (15, 16, 1), (16, 16, 0), (4096, 4096, 0)] {
        let found = case(json!({"max_tokens": max}));
        assert_eq!(
            (&found.body["max_output_tokens"], found.dropped.len()),
            (&json!(expected), dropped)
        );
    }
    let facts = ModelFacts { max_output: Some(50), ..ModelFacts::default() };
    let found = with_facts(&facts, json!({"max_tokens": 99}));
    assert_eq!(
        (&found.body["max_output_tokens"], found.dropped),
        (&json!(50), vec!["max_tokens".to_owned()])
    );
}

#[test]
fn stop_sequences_are_always_the_gateways() {
    let found = case(json!({"stop_sequences": ["a", "b"]}));
    assert_eq!((found.body.get("stop"), found.stops), (None, vec!["a".to_owned(), "b".to_owned()]));
    assert!(found.dropped.is_empty());
}

#[test]
fn every_effort_up_to_max_passes() {
    for effort in ["low", "medium", "high", "xhigh", "max"] {
        let found = reasoning(json!({"output_config": {"effort": effort}}));
        assert_eq!(found, json!({"effort": effort}));
    }
    let found = with_facts(&efforts(&["low", "high"]), json!({"output_config": {"effort": "max"}}));
    assert_eq!(found.body["reasoning"]["effort"], "high");
}

#[test]
fn the_summary_is_requested_where_the_client_wants_to_see_it() {
    let summary = json!({"summary": "auto"});
    assert_eq!(reasoning(json!({"thinking": {"type": "adaptive"}})), summary);
    assert_eq!(
        reasoning(json!({"thinking": {"type": "adaptive", "display": "summarized"}})),
        summary
    );
    assert_eq!(
        reasoning(json!({"thinking": {"type": "adaptive", "display": "omitted"}})),
        Value::Null
    );
    assert_eq!(reasoning(json!({})), Value::Null);
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 4096}});
    assert_eq!(reasoning(budget), json!({"effort": "high", "summary": "auto"}));
    let off = json!({"thinking": {"type": "disabled"}});
    assert_eq!(reasoning(off), json!({"effort": "none"}));
}

#[test]
fn a_model_that_always_reasons_reports_a_wish_for_none() {
    let off = json!({"thinking": {"type": "disabled"}});
    let found = with_facts(&efforts(&["low", "high"]), off.clone());
    assert_eq!(
        (&found.body["reasoning"]["effort"], found.dropped),
        (&json!("low"), vec!["thinking".to_owned()])
    );
    // a model that never reasons has no switch, and no encrypted reasoning
    let never = with_facts(&efforts(&[]), off);
    assert_eq!(
        (never.body.get("reasoning"), never.body.get("include"), never.dropped.len()),
        (None, None, 0)
    );
    let wished =
        with_facts(&efforts(&[]), json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}));
    assert_eq!((wished.body.get("reasoning"), wished.dropped), (None, vec!["thinking".to_owned()]));
}

#[test]
fn encrypted_reasoning_is_requested_where_the_server_knows_it() {
    let found = encoded("lmstudio", &ModelFacts::default(), &request(json!({}))).unwrap();
    assert_eq!((found.body.get("include"), &found.body["store"]), (None, &json!(false)));
}

#[test]
fn sampling_depends_on_the_model() {
    let more = json!({"temperature": 0.50, "top_p": 0.9, "top_k": 5});
    let any = case(more.clone());
    assert_eq!((&any.body["temperature"], &any.body["top_p"]), (&json!(0.5), &json!(0.9)));
    assert_eq!(any.dropped, ["top_k"]);
    let facts = ModelFacts { sampling: Sampling::WithoutReasoning, ..ModelFacts::default() };
    let found = with_facts(&facts, more.clone());
    assert_eq!(found.dropped, ["temperature", "top_p", "top_k"]);
    let mut off = more;
    off["thinking"] = json!({"type": "disabled"});
    assert_eq!(with_facts(&facts, off).dropped, ["top_k"]);
    let default = with_facts(&facts, json!({"temperature": 1}));
    assert_eq!((default.body.get("temperature"), default.dropped.len()), (None, 0));
    let found = encoded("vllm", &ModelFacts::default(), &request(json!({"top_k": 5}))).unwrap();
    assert_eq!(found.body["top_k"], 5);
}

#[test]
fn the_format_is_strict_only_if_the_schema_is_and_stays_unchanged() {
    let loose = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for form in ["output_config", "output_format"] {
        let format = json!({"type": "json_schema", "schema": loose});
        let more = match form {
            "output_config" => json!({"output_config": {"format": format}}),
            _ => json!({"output_format": format}),
        };
        let expected = json!({"format": {"type": "json_schema", "name": "output", "schema": loose, "strict": false}});
        assert_eq!(case(more).body["text"], expected);
    }
    let strict = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let more = json!({"output_config": {"format": {"type": "json_schema", "schema": strict}}});
    assert_eq!(case(more).body["text"]["format"]["strict"], true);
}

#[test]
fn the_user_is_a_hash_of_64_characters() {
    let body = case(json!({"metadata": {"user_id": "x".repeat(600)}})).body;
    let name = body["safety_identifier"].as_str().unwrap();
    assert_eq!((name.len(), &body["prompt_cache_key"]), (64, &json!(name)));
    let more = json!({"metadata": {"user_id": "x"}});
    let body = encoded("groq", &ModelFacts::default(), &request(more)).unwrap().body;
    assert_eq!((body["user"].as_str().unwrap().len(), body.get("safety_identifier")), (64, None));
}

#[test]
fn the_service_tier_has_the_servers_word() {
    assert_eq!(case(json!({"service_tier": "standard_only"})).body["service_tier"], "default");
    assert_eq!(case(json!({"service_tier": "auto"})).body["service_tier"], "auto");
    assert_eq!(case(json!({"service_tier": "gold"})).dropped, ["service_tier"]);
}

#[test]
fn padding_of_events_is_turned_off_where_the_server_has_it() {
    let body = case(json!({"stream": true})).body;
    assert_eq!(
        (&body["stream"], &body["stream_options"]),
        (&json!(true), &json!({"include_obfuscation": false}))
    );
    let more = json!({"stream": true});
    for flavor in ["azure", "generic"] {
        let body = encoded(flavor, &ModelFacts::default(), &request(more.clone())).unwrap().body;
        assert_eq!(body.get("stream_options"), None, "{flavor}");
    }
    assert_eq!(case(json!({"stream": false})).body.get("stream_options"), None);
}

#[test]
fn fields_without_a_counterpart_are_reported_and_never_sent() {
    let found = case(json!({
        "context_management": {"edits": [{"type": "compact_20260112"}]}, "container": "c", "mcp_servers": [{"name": "x"}],
        "speed": "fast", "thread": {"id": "t"}, "inference_geo": "eu", "fallbacks": [{"model": "x"}],
    }));
    let expected = [
        "container",
        "mcp_servers",
        "speed",
        "context_management",
        "thread",
        "inference_geo",
        "fallbacks",
    ];
    assert_eq!(found.dropped, expected);
    assert_eq!(found.body.as_object().unwrap().len(), 5);
}

#[test]
fn a_count_sends_no_parameters_of_the_answer() {
    let more = json!({
        "stream": true, "temperature": 0.5, "metadata": {"user_id": "x"}, "service_tier": "auto", "system": "s",
        "thinking": {"type": "enabled", "budget_tokens": 2048}, "tools": [{"name": "f", "input_schema": {}}],
        "tool_choice": {"type": "any"}, "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    });
    let found = trial::encoded(
        "openai",
        &ModelFacts::default(),
        &request(more),
        &seal(),
        |conversation, terms| encode(conversation, terms, Purpose::Count),
    );
    let body = found.unwrap().body;
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["model", "instructions", "input", "tools", "tool_choice", "reasoning", "text"]
    );
}

#[test]
fn a_schema_that_a_server_ignores_on_responses_is_named() {
    let schema = json!({"type": "object", "properties": {}});
    let more = json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}});
    let case = encoded("llamacpp", &ModelFacts::default(), &request(more)).unwrap();
    assert_eq!(
        (case.body.get("text"), case.dropped),
        (None, vec!["output_config.format".to_owned()])
    );
}
