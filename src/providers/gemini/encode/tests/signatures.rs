//! Signatures on their way back, and the placeholder.
use super::*;

const PLACEHOLDER: &str = "skip_thought_signature_validator";

fn thinking(text: &str, signature: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": signature})
}

/// Returns the parts of the model's turn.
fn turn(given: &Given, blocks: Value) -> Value {
    let found = given.contents(json!([user(json!("go")), assistant(blocks), user(json!("ok"))]));
    found[1]["parts"].clone()
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn the_signature_before_a_call_goes_back_on_that_call() {
    for given in [Given::new(NEW), Given::vertex(NEW), Given::new(OLD)] {
        let signature = given.signature(Place::Call, "AbC=");
        let parts =
            turn(&given, json!([thinking("hm", &signature), call("t", "f"), call("u", "g")]));
        assert_eq!(parts[0], json!({"text": "hm", "thought": true}));
        assert_eq!(parts[1]["thoughtSignature"], "AbC=");
        assert_eq!(parts[1]["functionCall"]["name"], "f");
        assert!(parts[2]["thoughtSignature"].is_null(), "{parts}");
    }
}

#[test]
fn a_thought_without_text_carries_its_signature_only() {
    let given = Given::new(NEW);
    let signature = given.signature(Place::Call, "AbC=");
    let parts = turn(&given, json!([text("let me see"), thinking("", &signature), call("t", "f")]));
    assert_eq!(parts[0], json!({"text": "let me see"}));
    assert_eq!(parts[1]["thoughtSignature"], "AbC=");
    assert_eq!(parts.as_array().unwrap().len(), 2);
}

#[test]
fn each_step_keeps_its_own_signature() {
    let given = Given::new(NEW);
    let sign = |own: &str| thinking("", &given.signature(Place::Call, own));
    let found = given.contents(json!([
        user(json!("go")),
        assistant(json!([sign("one="), call("t", "f")])),
        user(json!([result("t", json!("r"))])),
        assistant(json!([sign("two="), call("u", "f")])),
        user(json!([result("u", json!("r"))])),
    ]));
    assert_eq!(found[1]["parts"][0]["thoughtSignature"], "one=");
    assert_eq!(found[3]["parts"][0]["thoughtSignature"], "two=");
}

#[test]
fn a_signature_of_a_text_goes_back_on_that_text() {
    let given = Given::new(NEW);
    let on_text = thinking("", &given.signature(Place::Text, "AbC="));
    let expected = json!([{"text": "Hello", "thoughtSignature": "AbC="}]);
    assert_eq!(turn(&given, json!([text("Hello"), on_text])), expected);
    let on_nothing = thinking("", &given.signature(Place::Empty, "AbC="));
    let expected = json!([{"text": "Hello"}, {"text": "", "thoughtSignature": "AbC="}]);
    assert_eq!(turn(&given, json!([text("Hello"), on_nothing])), expected);
    // the client has removed the text
    assert_eq!(turn(&given, json!([on_text])), json!([{"text": "", "thoughtSignature": "AbC="}]));
}

#[test]
fn a_signature_of_a_thought_goes_back_on_that_thought() {
    let given = Given::new(NEW);
    let signature = given.signature(Place::Thought, "AbC=");
    let expected =
        |text: &str| json!([{"text": text, "thought": true, "thoughtSignature": "AbC="}]);
    assert_eq!(turn(&given, json!([thinking("hm", &signature)])), expected("hm"));
    assert_eq!(turn(&given, json!([thinking("", &signature)])), expected(""));
}

#[test]
fn newer_models_receive_the_placeholder_on_the_first_call_only() {
    let parts = turn(&Given::new(NEW), json!([call("t", "f"), call("u", "g")]));
    assert_eq!(parts[0]["thoughtSignature"], PLACEHOLDER);
    assert!(parts[1]["thoughtSignature"].is_null());
}

#[test]
fn older_models_receive_no_placeholder() {
    for model in [OLD, "gemini-2.5-pro", "gemini-3-pro-image-preview", "gemma-4"] {
        let parts = turn(&Given::new(model), json!([call("t", "f")]));
        assert!(parts[0]["thoughtSignature"].is_null(), "{model}");
    }
}

#[test]
fn foreign_reasoning_counts_as_absent_and_is_noted() {
    let given = Given::new(NEW);
    let payload = Signed { place: Place::Call, signature: "AbC=" }.payload();
    let foreign = [
        // Anthropic's own, unsigned, of the other backend, of another model, of another provider
        "EqQBCgIYAhIM".to_owned(),
        String::new(),
        Given::vertex(NEW).signature(Place::Call, "AbC="),
        given.seal().close("gemini-3-pro", &payload),
        Seal::new("other", "studio", "key").close(NEW, &payload),
    ];
    for signature in foreign {
        let blocks = json!([thinking("hm", &signature), call("t", "f")]);
        let case = given.case(json!({"messages": [user(json!("go")), assistant(blocks)]}));
        let parts = &case.body["contents"][1]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], PLACEHOLDER, "{signature}");
        assert_eq!(parts.as_array().unwrap().len(), 1);
        assert_eq!((case.hints, case.dropped), (vec!["block:thinking".to_owned()], vec![]));
    }
}

#[test]
fn reasoning_of_this_upstream_without_a_signature_goes_back_as_a_thought() {
    let given = Given::new(NEW);
    let signature = given.seal().close(NEW, "");
    let parts = turn(&given, json!([thinking("hm", &signature), text("Hello")]));
    assert_eq!(parts, json!([{"text": "hm", "thought": true}, {"text": "Hello"}]));
}

#[test]
fn redacted_reasoning_is_noted() {
    let blocks = json!([{"type": "redacted_thinking", "data": "x"}, text("Hello")]);
    let case = case(json!({"messages": [user(json!("go")), assistant(blocks), user(json!("ok"))]}));
    assert_eq!(case.body["contents"][1]["parts"], json!([{"text": "Hello"}]));
    assert_eq!(case.hints, ["block:thinking"]);
}

#[test]
fn without_a_seal_no_signature_goes_back() {
    let given = Given::new(NEW);
    let signature = given.signature(Place::Call, "AbC=");
    let blocks = json!([thinking("hm", &signature), call("t", "f")]);
    let raw = json!({"model": NEW, "messages": [user(json!("go")), assistant(blocks)]}).to_string();
    let conversation = Conversation::read(raw.as_bytes()).unwrap();
    let terms = Terms {
        backend: Backend::Studio,
        family: Family::of(NEW),
        facts: &given.facts,
        seal: None,
        fetched: &given.fetched,
        safety: &[],
    };
    let body = String::from_utf8(encode(&conversation, terms).unwrap().body.to_vec()).unwrap();
    assert!(body.contains(PLACEHOLDER) && !body.contains("AbC="), "{body}");
}
