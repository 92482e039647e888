//! Generated streams: any sequence of chunks ends in a valid Messages stream, or in an error.
use proptest::prelude::*;

use super::*;

/// Returns a part, right or wrong.
fn part() -> impl Strategy<Value = Value> {
    let words = "[a-zà-ü\"\\\\\n 🌊]{0,9}";
    let odd = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"text": null, "thought": null, "functionCall": null})),
        Just(json!({"text": 5, "unknown": {"a": [1]}})),
        Just(json!({"inlineData": {"mimeType": "image/png", "data": "QUJD"}})),
        Just(json!({"functionCall": {}})),
        Just(json!({"functionCall": {"name": "f", "args": "oops"}})),
    ];
    let signature = prop_oneof![Just(Value::Null), Just(json!("AbC=")), Just(json!(""))];
    let call = (prop_oneof![Just("f"), Just("g")], words, signature.clone()).prop_map(
        |(name, words, signature)| {
            json!({"functionCall": {"name": name, "args": {"w": words}, "id": "c1"}, "thoughtSignature": signature})
        },
    );
    prop_oneof![
        4 => (words, any::<bool>(), signature).prop_map(|(text, thought, signature)| {
            json!({"text": text, "thought": thought, "thoughtSignature": signature})
        }),
        2 => call,
        1 => odd,
    ]
}

/// Returns a chunk, right or wrong.
fn piece() -> impl Strategy<Value = Value> {
    let reason = prop_oneof![
        8 => Just(Value::Null),
        2 => Just(json!("STOP")),
        1 => prop_oneof![
            Just(json!("MAX_TOKENS")), Just(json!("SAFETY")), Just(json!("MALFORMED_FUNCTION_CALL")),
            Just(json!("OTHER")), Just(json!("new")), Just(json!(7)),
        ],
    ];
    let usage = prop_oneof![
        Just(Value::Null),
        Just(json!({"promptTokenCount": 3, "candidatesTokenCount": null})),
        Just(
            json!({"promptTokenCount": u64::MAX, "toolUsePromptTokenCount": u64::MAX, "candidatesTokenCount": u64::MAX, "thoughtsTokenCount": u64::MAX})
        ),
        Just(json!([])),
    ];
    let right = (prop::collection::vec(part(), 0..4), reason, usage).prop_map(|(parts, reason, usage)| {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": reason, "future": 1}], "usageMetadata": usage})
    });
    let odd = prop_oneof![
        Just(json!({})),
        Just(json!([])),
        Just(json!({"candidates": null})),
        Just(json!({"candidates": [{"content": null}]})),
        Just(json!({"candidates": [{"content": {"parts": null}}]})),
        Just(json!({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]})),
        Just(json!({"promptFeedback": {"blockReason": "SAFETY"}})),
        Just(json!({"error": {"code": 500, "message": "m", "status": "INTERNAL"}})),
    ];
    prop_oneof![8 => right, 1 => odd]
}

proptest! {
    #![proptest_config(testing::cases())]
    #[test]
    fn any_chunks_end_in_a_valid_stream_or_an_error(
        chunks in prop::collection::vec((piece(), any::<bool>()), 0..8),
        is_ended in any::<bool>(),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        size in 1_usize..200,
    ) {
        let mut text = String::new();
        for (chunk, is_repeated) in &chunks {
            for _ in 0..=usize::from(*is_repeated) {
                text.push_str(&format!("data: {chunk}{end}{end}"));
            }
        }
        if is_ended {
            text.push_str(&format!("data: {}{end}{end}", last(json!([]), "STOP")));
        }
        match (events_of(&text, size), events_of(&text, text.len().max(1))) {
            (Ok(events), Ok(whole)) => {
                let found = fold(&events);
                prop_assert_eq!(&found["content"], &fold(&whole)["content"]);
            }
            (Err(one), Err(other)) => {
                prop_assert!(!one.message.contains("the gateway"), "{}", one.message);
                prop_assert_eq!(one.message, other.message);
            }
            (one, other) => prop_assert!(false, "{:?} {:?}", one.err(), other.err()),
        }
    }
}
