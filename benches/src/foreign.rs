//! The upstream's answers in the dialects that the gateway translates. They have the text of [`Answer::of`] the same model.
use serde_json::{Value, json};

use crate::answers::{Answer, words};

/// The API that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Messages,
    Chat,
    Responses,
    Gemini,
}

impl Dialect {
    /// Returns the dialect of a path.
    pub fn of(path: &str) -> Self {
        match path {
            path if path.contains("/chat/completions") => Self::Chat,
            path if path.ends_with("/responses") => Self::Responses,
            path if path.contains(":generateContent")
                || path.contains(":streamGenerateContent") =>
            {
                Self::Gemini
            }
            _ => Self::Messages,
        }
    }

    /// Returns the model in a path of Gemini's API.
    pub fn model(path: &str) -> Option<&str> {
        path.rsplit_once("/models/")?.1.split(':').next()
    }

    /// Returns the answer for a model.
    pub fn answer(self, model: &str) -> Result<Answer, String> {
        let native = Answer::of(model)?;
        let (events, pace) = match (&native, self) {
            (_, Self::Messages) => return Ok(native),
            (Answer::Turns(_), _) => return Err("no conversation in this dialect".to_owned()),
            (Answer::Message(_), _) => {
                return Ok(Answer::Message(self.message(model).to_string().into_bytes()));
            }
            (Answer::Events { frames, pace }, _) => (frames.len(), *pace),
        };
        // as many deltas as the native stream has
        let deltas: Vec<String> = (0..events - 5).map(|n| format!(" {}", words(n, 2))).collect();
        let frames = match self {
            Self::Chat => chat(model, &deltas),
            Self::Gemini => gemini(model, &deltas),
            Self::Responses | Self::Messages => responses(model, &deltas),
        };
        Ok(Answer::Events { frames, pace })
    }

    fn message(self, model: &str) -> Value {
        let text = words(1, 36);
        match self {
            Self::Chat => json!({
                "id": "chatcmpl-CJqY2Wz6rWq7", "object": "chat.completion", "created": 1_790_000_000, "model": model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null},
                    "logprobs": null, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 84, "completion_tokens": 43, "total_tokens": 127},
            }),
            Self::Gemini => {
                let parts = json!([{"text": text}]);
                let mut chunk = chunk(model, parts);
                chunk["candidates"][0]["finishReason"] = json!("STOP");
                chunk["usageMetadata"] = used();
                chunk
            }
            Self::Responses | Self::Messages => response(model, "completed", &text),
        }
    }
}

fn data(value: &Value) -> Vec<u8> {
    format!("data: {value}\n\n").into_bytes()
}

fn chat(model: &str, deltas: &[String]) -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Option<&str>| {
        json!({"id": "chatcmpl-CJqY2Wz6rWq7", "object": "chat.completion.chunk", "created": 1_790_000_000,
            "model": model, "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]})
    };
    let mut all = vec![chunk(json!({"role": "assistant", "content": "", "refusal": null}), None)];
    all.extend(deltas.iter().map(|text| chunk(json!({"content": text}), None)));
    all.push(chunk(json!({}), Some("stop")));
    let mut last = chunk(json!({}), None);
    last["choices"] = json!([]);
    last["usage"] = json!({"prompt_tokens": 84, "completion_tokens": 128, "total_tokens": 212});
    all.push(last);
    let mut frames: Vec<_> = all.iter().map(data).collect();
    frames.push(b"data: [DONE]\n\n".to_vec());
    frames
}

fn used() -> Value {
    json!({"promptTokenCount": 84, "candidatesTokenCount": 43, "totalTokenCount": 127})
}

fn chunk(model: &str, parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
        "modelVersion": model, "responseId": "b1ZqaPq3Jc2vvdIP"})
}

fn gemini(model: &str, deltas: &[String]) -> Vec<Vec<u8>> {
    let mut all: Vec<Value> =
        deltas.iter().map(|text| chunk(model, json!([{"text": text}]))).collect();
    if let Some(last) = all.last_mut() {
        last["candidates"][0]["finishReason"] = json!("STOP");
        last["usageMetadata"] = used();
    }
    all.iter().map(data).collect()
}

fn response(model: &str, status: &str, text: &str) -> Value {
    json!({
        "id": "resp_68d1c2a4b7", "object": "response", "created_at": 1_790_000_000, "status": status, "error": null,
        "incomplete_details": null, "model": model,
        "output": [{"type": "message", "id": "msg_68d1c2a4c1", "status": status, "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}],
        "usage": {"input_tokens": 84, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 43,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 127},
    })
}

fn responses(model: &str, deltas: &[String]) -> Vec<Vec<u8>> {
    let text = deltas.concat();
    let (item, at) = ("msg_68d1c2a4c1", json!({"output_index": 0, "content_index": 0}));
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let message = |status: &str, content: Value| json!({"type": "message", "id": item, "status": status, "role": "assistant", "content": content});
    let mut begun = response(model, "in_progress", "");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut all = vec![
        ("response.created", json!({"response": begun})),
        (
            "response.output_item.added",
            json!({"output_index": 0, "item": message("in_progress", json!([]))}),
        ),
        ("response.content_part.added", json!({"item_id": item, "part": part("")})),
    ];
    let deltas = deltas.iter().map(|text| json!({"item_id": item, "delta": text, "logprobs": []}));
    all.extend(deltas.map(|delta| ("response.output_text.delta", delta)));
    all.extend([
        ("response.output_text.done", json!({"item_id": item, "text": text, "logprobs": []})),
        ("response.content_part.done", json!({"item_id": item, "part": part(&text)})),
        (
            "response.output_item.done",
            json!({"output_index": 0, "item": message("completed", json!([part(&text)]))}),
        ),
        ("response.completed", json!({"response": response(model, "completed", &text)})),
    ]);
    let frame = |(n, (kind, mut event)): (usize, (&str, Value))| {
        if let Some(members) = event.as_object_mut() {
            members.insert("type".to_owned(), kind.into());
            members.insert("sequence_number".to_owned(), n.into());
            if members.contains_key("item_id") {
                members.extend(at.as_object().cloned().unwrap_or_default());
            }
        }
        format!("event: {kind}\ndata: {event}\n\n").into_bytes()
    };
    all.into_iter().enumerate().map(frame).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_selects_the_dialect() {
        for (path, dialect) in [
            ("/v1/messages", Dialect::Messages),
            ("/v1/chat/completions", Dialect::Chat),
            ("/v1/responses", Dialect::Responses),
            ("/v1beta/models/bench:generateContent", Dialect::Gemini),
            ("/v1beta/models/bench-64:streamGenerateContent?alt=sse", Dialect::Gemini),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
        assert_eq!(
            Dialect::model("/v1beta/models/bench-64:streamGenerateContent?alt=sse"),
            Some("bench-64")
        );
    }

    #[test]
    fn every_dialect_sends_as_many_pieces_of_text() {
        let texts = |dialect: Dialect| {
            let Answer::Events { frames, .. } = dialect.answer("bench-64").unwrap() else {
                panic!()
            };
            let all = String::from_utf8(frames.concat()).unwrap();
            (0..59).filter(|n| all.contains(&words(*n, 2))).count()
        };
        for dialect in [Dialect::Messages, Dialect::Chat, Dialect::Responses, Dialect::Gemini] {
            assert_eq!(texts(dialect), 59, "{dialect:?}");
        }
    }
}
