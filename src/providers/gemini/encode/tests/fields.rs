//! The fields of a request beside messages and tools.
use super::*;

#[test]
fn a_small_request_has_contents_and_the_limit_only() {
    let expected = json!({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 9},
    });
    assert_eq!(case(json!({"stream": true})).body, expected);
}

#[test]
fn each_system_block_is_a_part_of_the_instruction() {
    let system = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"},
        {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": ""},
        {"type": "text", "text": "B"},
    ]);
    let case = case(json!({"system": system}));
    assert_eq!(case.body["systemInstruction"], json!({"parts": [{"text": "A"}, {"text": "B"}]}));
    assert_eq!(case.hints, ["cache_control"]);
    let plain = Given::new(OLD).case(json!({"system": "A"}));
    assert_eq!(plain.body["systemInstruction"], json!({"parts": [{"text": "A"}]}));
}

#[test]
fn sampling_parameters_keep_their_spelling() {
    let case = case(json!({"temperature": 0.70, "top_p": 1e-1, "top_k": 40}));
    let config = &case.body["generationConfig"];
    assert_eq!(config["temperature"], 0.7);
    assert_eq!((&config["topP"], &config["topK"]), (&json!(0.1), &json!(40)));
    assert_eq!(case.dropped, [""; 0]);
}

#[test]
fn models_without_sampling_parameters_receive_none() {
    let all = json!({"temperature": 0.5, "top_p": 0.5, "top_k": 5});
    for model in
        ["gemini-3.6-flash", "gemini-3.7-flash", "gemini-3.8-flash", "gemini-3.5-flash-lite"]
    {
        let case = Given::new(model).case(all.clone());
        assert_eq!(case.body["generationConfig"], json!({"maxOutputTokens": 9}), "{model}");
        assert_eq!(case.dropped, ["temperature", "top_p", "top_k"], "{model}");
    }
    let facts = ModelFacts { sampling: Sampling::Never, ..ModelFacts::default() };
    let by_table = Given { facts, ..Given::new(NEW) }.case(all);
    assert_eq!(by_table.dropped.len(), 3);
    // the API's default asks for nothing
    assert_eq!(Given::new("gemini-3.8-flash").case(json!({"temperature": 1.0})).dropped, [""; 0]);
}

#[test]
fn up_to_five_stop_sequences_go_to_the_upstream_and_more_are_the_gateways() {
    let five = json!(["a", "b", "c", "d", "e"]);
    let sent = case(json!({"stop_sequences": five}));
    assert_eq!(sent.body["generationConfig"]["stopSequences"], five);
    assert_eq!(sent.encoded.stops, [""; 0]);
    for more in [json!(["a", "b", "c", "d", "e", "f"]), json!(["", "x"])] {
        let own = case(json!({"stop_sequences": more}));
        assert!(own.body["generationConfig"]["stopSequences"].is_null(), "{more}");
        assert_eq!(json!(own.encoded.stops), more);
        assert_eq!(own.dropped, [""; 0]);
    }
    let facts = ModelFacts { refuses_stop: true, ..ModelFacts::default() };
    let refused = Given { facts, ..Given::new(NEW) }.case(json!({"stop_sequences": ["a"]}));
    assert_eq!(refused.encoded.stops, ["a"]);
    assert_eq!(case(json!({"stop_sequences": []})).encoded.stops, [""; 0]);
}

#[test]
fn a_limit_over_the_models_own_is_lowered_and_named() {
    let facts = ModelFacts { max_output: Some(5), ..ModelFacts::default() };
    let case = Given { facts, ..Given::new(NEW) }.case(json!({}));
    assert_eq!(case.body["generationConfig"]["maxOutputTokens"], 5);
    assert_eq!(case.dropped, ["max_tokens"]);
}

#[test]
fn a_schema_of_the_output_passes_as_it_is() {
    let schema = json!({"type": "object", "properties": {"a": {"type": ["string", "null"], "minLength": 1}}, "$defs": {}});
    for field in ["output_config", "output_format"] {
        let format = json!({"type": "json_schema", "schema": schema});
        let value = if field == "output_format" { format } else { json!({"format": format}) };
        let case = case(json!({field: value}));
        let config = &case.body["generationConfig"];
        assert_eq!(config["responseMimeType"], "application/json");
        assert_eq!(config["responseJsonSchema"], schema);
    }
}

#[test]
fn older_models_take_no_schema_of_the_output_beside_tools() {
    let format = json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let both = json!({"output_config": format, "tools": tools});
    let old = Given::new(OLD).case(both.clone());
    assert!(old.body["generationConfig"]["responseJsonSchema"].is_null());
    assert_eq!(old.dropped, ["output_config.format"]);
    assert!(case(both).body["generationConfig"]["responseJsonSchema"].is_object());
}

#[test]
fn the_user_is_a_hashed_label_on_vertex_and_a_dropped_hint_at_ai_studio() {
    let named = json!({"metadata": {"user_id": "Jane Doe <jane@example.com>"}});
    let studio = case(named.clone());
    assert!(studio.body["labels"].is_null());
    assert_eq!((studio.dropped, studio.hints), (vec![], vec!["metadata.user_id".to_owned()]));
    let vertex = Given::vertex(NEW).case(named);
    let label = vertex.body["labels"]["user"].as_str().unwrap();
    assert!(label.len() <= 63 && label.bytes().all(|b| b.is_ascii_hexdigit()), "{label}");
    assert!(!vertex.body.to_string().contains("Jane"));
}

#[test]
fn the_tier_has_its_word_at_ai_studio() {
    let tier = |given: Given, tier: &str| {
        let case = given.case(json!({"service_tier": tier}));
        (case.body["serviceTier"].clone(), case.dropped.len())
    };
    assert_eq!(tier(Given::new(NEW), "standard_only"), (json!("standard"), 0));
    assert_eq!(tier(Given::new(NEW), "auto"), (Value::Null, 0));
    assert_eq!(tier(Given::new(NEW), "golden"), (Value::Null, 1));
    assert_eq!(tier(Given::vertex(NEW), "standard_only"), (Value::Null, 0));
}

#[test]
fn safety_settings_come_from_the_config_only() {
    let setting = json!({"category": "HARASSMENT", "threshold": "BLOCK_NONE"});
    let safety: Vec<SafetySetting> = vec![serde_json::from_value(setting).unwrap()];
    let raw = json!({"model": NEW, "messages": [user(json!("hi"))]}).to_string();
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let (facts, fetched) = (ModelFacts::default(), Fetched::default());
    let terms = Terms {
        backend: Backend::Studio,
        family: Family::of(NEW),
        facts: &facts,
        seal: None,
        fetched: &fetched,
        safety: &safety,
    };
    let body: Value = serde_json::from_slice(&encode(&conversation, terms).unwrap().body).unwrap();
    let expected = json!([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]);
    assert_eq!(body["safetySettings"], expected);
    assert!(body["generationConfig"].is_null());
}

#[test]
fn fields_without_a_counterpart_are_named() {
    let case = case(json!({
        "container": "c", "mcp_servers": [{}], "context_management": {"edits": []}, "speed": "fast",
        "cache_control": {"type": "ephemeral"},
    }));
    assert_eq!(case.dropped, ["container", "mcp_servers", "speed", "context_management"]);
    assert_eq!(case.hints, ["cache_control"]);
}

#[test]
fn a_request_without_content_is_the_clients_mistake() {
    for messages in [json!([]), json!([user(json!(""))]), json!([assistant(json!([]))])] {
        let error = Given::new(NEW).encode(json!({"messages": messages})).err().unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.message.contains("`messages`"), "{}", error.message);
    }
}
