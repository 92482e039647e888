//! `Content`: the answer that a policy gives in place of the upstream, with `respond`.
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// The argument of `respond`.
#[derive(Clone, PartialEq)]
pub(in crate::policy) enum Content {
    /// The text of the only block.
    Text(String),
    /// A message; missing fields are filled in.
    Message(Map<String, Value>),
}

impl Content {
    /// Checks a message from a script: `content` must be a string or a list of blocks.
    pub(in crate::policy) fn message(value: Value) -> Result<Self, String> {
        let Value::Object(mut message) = value else {
            return Err("`respond` takes a text or a message".to_owned());
        };
        let is_block = |block: &Value| block.get("type").is_some_and(Value::is_string);
        match message.get("content") {
            Some(Value::String(text)) => {
                let content = json!([{"type": "text", "text": text}]);
                message.insert("content".to_owned(), content);
            }
            Some(Value::Array(blocks)) if blocks.iter().all(is_block) => {}
            _ => {
                return Err("the message given to `respond` must have `content`: a string, or an \
                            array of blocks with a `type`"
                    .to_owned());
            }
        }
        Ok(Self::Message(message))
    }

    /// Returns the content of a tool's result: the JSON text of a string, or of a list of blocks.
    pub(in crate::policy) fn into_tool_result(self) -> String {
        match self {
            Self::Text(text) => Value::String(text).to_string(),
            Self::Message(mut message) => message.remove("content").unwrap_or_default().to_string(),
        }
    }

    /// Returns the whole message, as an upstream would have answered with `model`.
    pub(in crate::policy) fn into_json(self, model: &str) -> Bytes {
        let given = match self {
            Self::Message(message) => message,
            Self::Text(text) => {
                Map::from_iter([("content".to_owned(), json!([{"type": "text", "text": text}]))])
            }
        };
        let mut message = Map::from_iter(defaults(model, stop_reason(&given)));
        for (key, value) in given {
            message.insert(key, value);
        }
        Value::Object(message).to_string().into()
    }
}

fn defaults(model: &str, stop_reason: &str) -> [(String, Value); 8] {
    const ID_CHARACTERS: usize = 24;
    let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(ID_CHARACTERS).collect();
    [
        ("id", json!(format!("msg_{id}"))),
        ("type", json!("message")),
        ("role", json!("assistant")),
        ("model", json!(model)),
        ("content", json!([])),
        ("stop_reason", json!(stop_reason)),
        ("stop_sequence", Value::Null),
        ("usage", json!({"input_tokens": 0, "output_tokens": 0})),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

/// A client would never run a tool call in a message with `end_turn`.
fn stop_reason(message: &Map<String, Value>) -> &'static str {
    let blocks = message.get("content").and_then(Value::as_array).map(Vec::as_slice);
    match blocks.unwrap_or_default().iter().any(|block| block["type"] == "tool_use") {
        true => "tool_use",
        false => "end_turn",
    }
}
