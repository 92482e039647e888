//! Sixteen mistakes that other translators make with Gemini, and the right behaviour instead.
use bytes::Bytes;
use serde_json::{Value, json};

use super::signature::{Place, Signed};
use super::*;
use crate::providers::timed::Decoder;
use crate::providers::translate::decode as translated;
use crate::providers::translate::names::Names;
use crate::providers::translate::rejected::ApiError;
use crate::wire::message::Fold;

const MODEL: &str = "gemini-3.5-flash";

fn seal(backend: Backend) -> Seal {
    Seal::new("up", backend.name(), "key")
}

/// Returns the upstream's body of a request.
fn sent(model: &str, backend: Backend, more: &Value) -> Value {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let mut request = json!({"model": model, "max_tokens": 9, "messages": messages});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let raw = request.to_string();
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let (known, seal) = (Known::of(model, None), seal(backend));
    let terms = Terms {
        backend,
        family: known.family,
        facts: &known.facts,
        seal: Some(&seal),
        fetched: &known.fetched,
        safety: &[],
    };
    serde_json::from_slice(&encode(&conversation, terms).unwrap().body).unwrap()
}

fn studio(more: &Value) -> Value {
    sent(MODEL, Backend::Studio, more)
}

fn conversation(blocks: Value, results: Value) -> Value {
    json!({"messages": [
        {"role": "user", "content": "go"}, {"role": "assistant", "content": blocks}, {"role": "user", "content": results},
    ]})
}

fn call(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {}})
}

fn result(id: &str, content: Value) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

fn frame() -> Frame {
    Frame {
        asked_model: "alias".to_owned(),
        model: MODEL.to_owned(),
        estimate: 7,
        names: Names::default(),
        stops: Vec::new(),
        seal: seal(Backend::Studio),
        shows_thinking: true,
    }
}

/// Returns the message that these chunks of a stream become.
fn received(chunks: &[Value]) -> Value {
    let text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    let message =
        translated::folded(&mut decode::Gemini::default(), text.as_bytes(), frame()).unwrap();
    serde_json::from_slice(&message).unwrap()
}

fn chunk(parts: Value, reason: Option<&str>) -> Value {
    json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": reason}]})
}

fn calling(more: &Value) -> Value {
    studio(more)["toolConfig"]["functionCallingConfig"].clone()
}

#[test]
fn line_60_a_call_in_an_earlier_chunk_ends_the_answer_for_the_tool() {
    let found = received(&[
        chunk(json!([{"functionCall": {"name": "f", "args": {}}}]), None),
        chunk(json!([{"text": ""}]), Some("STOP")),
    ]);
    assert_eq!(found["stop_reason"], "tool_use");
}

#[test]
fn line_61_a_signature_that_spans_many_reads_is_one_signature() {
    let signature = "QUJD".repeat(50_000);
    let parts = json!([{"text": "Hello", "thoughtSignature": signature}]);
    let text = format!("data: {}\n\n", chunk(parts, Some("STOP")));
    let mut decoder = translated::Translated::new(decode::Gemini::default(), frame());
    let mut fold = Fold::default();
    for piece in text.as_bytes().chunks(1000) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.next_event().unwrap() {
            fold.push(&event).unwrap();
        }
    }
    while let Some(event) = decoder.finish().unwrap() {
        fold.push(&event).unwrap();
    }
    let message: Value = serde_json::from_slice(&fold.finish().unwrap()).unwrap();
    assert_eq!(message["content"][0]["text"], "Hello");
    let envelope = message["content"][1]["signature"].as_str().unwrap();
    let payload = seal(Backend::Studio).open(MODEL, envelope).unwrap();
    assert_eq!(payload, format!("text:{signature}"));
}

#[test]
fn line_62_each_step_carries_its_own_signature_both_ways() {
    let signed =
        |own: &str| json!([{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": own}]);
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    for own in ["one=", "two="] {
        let content = received(&[chunk(signed(own), Some("STOP"))])["content"].clone();
        let id = content[1]["id"].clone();
        messages.push(json!({"role": "assistant", "content": content}));
        messages
            .push(json!({"role": "user", "content": [result(id.as_str().unwrap(), json!("r"))]}));
    }
    let body = studio(&json!({"messages": messages}));
    assert_eq!(body["contents"][1]["parts"][0]["thoughtSignature"], "one=");
    assert_eq!(body["contents"][3]["parts"][0]["thoughtSignature"], "two=");
}

#[test]
fn line_63_a_signature_on_an_empty_text_is_kept() {
    let found = received(&[
        chunk(json!([{"text": "Hello"}]), None),
        chunk(json!([{"text": "", "thoughtSignature": "AbC="}]), Some("STOP")),
    ]);
    let body = studio(&conversation(found["content"].clone(), json!("ok")));
    let expected = json!([{"text": "Hello"}, {"text": "", "thoughtSignature": "AbC="}]);
    assert_eq!(body["contents"][1]["parts"], expected);
}

#[test]
fn line_64_vertex_receives_no_ids() {
    let more = conversation(json!([call("t", "f")]), json!([result("t", json!("r"))]));
    assert!(!sent(MODEL, Backend::Vertex, &more).to_string().contains("\"id\""));
}

#[test]
fn line_65_only_the_first_parallel_call_has_the_placeholder() {
    let blocks = json!([call("t", "f"), call("u", "g")]);
    let body = studio(&conversation(blocks, json!([result("t", json!("r"))])));
    let parts = &body["contents"][1]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert!(parts[1].get("thoughtSignature").is_none());
}

#[test]
fn line_66_a_call_without_arguments_has_an_empty_input() {
    let found = received(&[chunk(json!([{"functionCall": {"name": "f"}}]), Some("STOP"))]);
    assert_eq!(found["content"][0]["input"], json!({}));
}

#[test]
fn line_67_grounding_before_the_last_chunk_does_not_disturb_the_answer() {
    let mut grounded = chunk(json!([{"text": "Hello"}]), None);
    grounded["candidates"][0]["groundingMetadata"] = json!({"webSearchQueries": ["x"]});
    let found = received(&[grounded, chunk(json!([{"text": "!"}]), Some("STOP"))]);
    assert_eq!(found["content"], json!([{"type": "text", "text": "Hello!"}]));
}

#[test]
fn line_68_a_forced_tool_stays_forced_beside_a_strict_one() {
    let tools = json!([{"name": "f", "input_schema": {}, "strict": true}]);
    let forced = calling(&json!({"tools": tools, "tool_choice": {"type": "tool", "name": "f"}}));
    assert_eq!(forced, json!({"mode": "ANY", "allowedFunctionNames": ["f"]}));
    let any = calling(&json!({"tools": tools, "tool_choice": {"type": "any"}}));
    assert_eq!(any["mode"], "ANY");
}

#[test]
fn line_69_references_and_enums_of_numbers_stay_in_the_schema() {
    let schema = json!({
        "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"enum": [1, 2.5]}},
    });
    let body = studio(&json!({"tools": [{"name": "f", "input_schema": schema}]}));
    let function = &body["tools"][0]["functionDeclarations"][0];
    assert_eq!(function["parametersJsonSchema"], schema);
    assert!(function.get("parameters").is_none());
}

#[test]
fn line_70_newer_models_and_aliases_receive_low_instead_of_minimal() {
    let off = json!({"thinking": {"type": "disabled"}});
    for model in ["gemini-3.7-flash", "gemini-3.8-flash", "gemini-flash-latest"] {
        let body = sent(model, Backend::Studio, &off);
        assert_eq!(body["generationConfig"]["thinkingConfig"], json!({"thinkingLevel": "LOW"}));
    }
}

#[test]
fn line_71_the_family_decides_between_budget_and_level() {
    let budget = json!({"thinking": {"type": "enabled", "budget_tokens": 4096}});
    let level = json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    for more in [budget, level] {
        let config = |model| {
            sent(model, Backend::Studio, &more)["generationConfig"]["thinkingConfig"].clone()
        };
        let expected = json!({"includeThoughts": true, "thinkingBudget": 4096});
        assert_eq!(config("gemini-2.5-pro"), expected);
        let expected = json!({"includeThoughts": true, "thinkingLevel": "HIGH"});
        assert_eq!(config("gemini-3.5-flash"), expected);
    }
}

#[test]
fn line_72_every_field_is_written_in_camel_case() {
    fn snake(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(list) => list.iter().for_each(|one| snake(one, found)),
            Value::Object(members) => {
                for (key, inner) in members {
                    found.extend(key.contains('_').then(|| key.clone()));
                    snake(inner, found);
                }
            }
            _ => {}
        }
    }
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}});
    let mut more =
        conversation(json!([call("t", "f")]), json!([result("t", json!([image])), image]));
    more["tools"] =
        json!([{"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}}]);
    more["tool_choice"] = json!({"type": "tool", "name": "f"});
    more["system"] = "s".into();
    more["stop_sequences"] = json!(["x"]);
    more["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    more["output_config"] =
        json!({"format": {"type": "json_schema", "schema": {"type": "object"}}});
    more["metadata"] = json!({"user_id": "u"});
    more["service_tier"] = "standard_only".into();
    for backend in [Backend::Studio, Backend::Vertex] {
        let mut found = Vec::new();
        snake(&sent(MODEL, backend, &more), &mut found);
        assert_eq!(found, [""; 0]);
    }
}

#[test]
fn line_73_a_result_of_several_texts_is_one_response() {
    let texts = json!([{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]);
    let body = studio(&conversation(json!([call("t", "f")]), json!([result("t", texts)])));
    let parts = body["contents"][2]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0]["functionResponse"]["response"], json!({"output": "A\nB"}));
}

#[test]
fn line_74_bounds_patterns_and_defaults_stay_in_the_schema() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["a"], "properties": {
            "a": {"type": "string", "pattern": "^x", "minLength": 1, "default": "x"}, "b": {"type": "integer", "minimum": 0, "maximum": 9},
        },
    });
    let body = studio(&json!({"tools": [{"name": "f", "input_schema": schema}]}));
    assert_eq!(body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"], schema);
}

#[test]
fn line_75_the_delay_of_retry_info_is_the_wait() {
    let body = json!([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39.5s"},
    ]}}]);
    let read = ApiError::read(StatusCode::TOO_MANY_REQUESTS, &body.to_string().into());
    assert_eq!(read.kind.as_str(), "rate_limit_error");
    assert_eq!(read.retry_after.unwrap().as_millis(), 39_500);
}

#[test]
fn an_answer_goes_back_as_the_parts_that_it_was() {
    let parts = json!([
        {"text": "hm", "thought": true}, {"text": "I look."},
        {"functionCall": {"name": "f", "args": {"n": 1.5}, "id": "fc_1"}, "thoughtSignature": "AbC="},
        {"functionCall": {"name": "g", "args": {}, "id": "fc_2"}},
    ]);
    let content = received(&[chunk(parts.clone(), Some("STOP"))])["content"].clone();
    let results = json!([result("fc_2", json!("two")), result("fc_1", json!("one"))]);
    let body = studio(&conversation(content, results));
    assert_eq!(body["contents"][1]["parts"], parts);
    let answered: Vec<&Value> = body["contents"][2]["parts"].as_array().unwrap().iter().collect();
    assert_eq!(answered[0]["functionResponse"]["id"], "fc_1");
    assert_eq!(answered[1]["functionResponse"]["id"], "fc_2");
}

#[test]
fn the_table_of_models_knows_every_family() {
    let catalogue = Catalogue::build(&crate::catalogue::Table::default()).unwrap();
    let known = |model: &str| {
        let row = catalogue.find(Some(FAMILY), model).map(|row| &**row);
        assert!(row.is_some(), "{model}");
        Known::of(model, row)
    };
    let hydrogen = known("gemini-4-hydrogen");
    assert_eq!(hydrogen.facts.efforts.unwrap(), ["low", "medium", "high", "xhigh"]);
    assert_eq!(hydrogen.facts.max_output, Some(1_048_576));
    assert_eq!(known("gemini-3.8-flash").facts.sampling, Sampling::Never);
    // the bundled tables agree with the families
    for model in [
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "gemini-2.5-flash-lite",
        "gemini-3.5-flash",
        "gemini-3.6-flash",
    ] {
        assert_eq!(known(model).family, Family::of(model), "{model}");
    }
}

#[test]
fn a_count_is_wrapped_at_ai_studio_and_plain_at_vertex() {
    let raw = json!({
        "model": MODEL, "system": "s", "messages": [{"role": "user", "content": "hi"}], "top_k": 5,
        "tools": [{"name": "f"}], "tool_choice": {"type": "any"}, "thinking": {"type": "disabled"},
    })
    .to_string();
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let known = Known::of(MODEL, None);
    let count = |backend| {
        let Known { family, facts, fetched } = &known;
        let terms = Terms { backend, family: *family, facts, seal: None, fetched, safety: &[] };
        let (body, _) = count::encode(&conversation, terms).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let mut prompt = json!({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "s"}]}, "tools": [{"functionDeclarations": [{"name": "f"}]}],
    });
    assert_eq!(count(Backend::Vertex), prompt);
    prompt["model"] = format!("models/{MODEL}").into();
    prompt["toolConfig"] = json!({"functionCallingConfig": {"mode": "ANY"}});
    assert_eq!(count(Backend::Studio), json!({"generateContentRequest": prompt}));
    assert_eq!(
        &count::answer(br#"{"totalTokens": 12, "promptTokensDetails": []}"#).unwrap()[..],
        br#"{"input_tokens":12}"#
    );
    assert!(count::answer(b"{}").is_err());
}

#[test]
fn a_payload_of_one_backend_is_foreign_at_the_other() {
    let payload = Signed { place: Place::Call, signature: "AbC=" }.payload();
    let envelope = seal(Backend::Vertex).close(MODEL, &payload);
    assert_eq!(seal(Backend::Studio).open(MODEL, &envelope), None);
}
