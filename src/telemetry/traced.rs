//! `Call`: the facts about an attempt that its span has and no other reader of the record needs.
use std::borrow::Cow;

use serde::Deserialize;

use crate::telemetry::traceparent::SpanId;

/// A traced attempt.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The span of the attempt.
    pub(super) span: SpanId,
    /// The facts before the call.
    pub(super) facts: Facts,
    /// The id of the upstream's message.
    pub(super) id: Option<Box<str>>,
    /// The model that the upstream names.
    pub(super) model: Option<Box<str>>,
}

/// The facts about an attempt before its call. No text of the conversation is among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The upstream's name in OpenTelemetry's conventions, such as `aws.bedrock`.
    pub(crate) provider: Box<str>,
    /// The model that the upstream receives.
    pub(crate) model: Box<str>,
    /// Whether the request is for a stream.
    pub(crate) is_stream: bool,
    /// `max_tokens`
    pub(crate) max_tokens: Option<f64>,
    /// `temperature`
    pub(crate) temperature: Option<f64>,
    /// `top_p`
    pub(crate) top_p: Option<f64>,
    /// `top_k`
    pub(crate) top_k: Option<f64>,
    /// `output_config.effort`
    pub(crate) effort: Option<Box<str>>,
}

/// The parts of a message, or of `message_start`.
#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    message: Option<Head<'a>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

impl Call {
    pub(super) fn new(span: SpanId, facts: Facts) -> Self {
        Self { span, facts, id: None, model: None }
    }

    /// Reads a whole message or an event. Unreadable data changes nothing.
    pub(super) fn answered(&mut self, data: &[u8]) {
        let Ok(report) = serde_json::from_slice(data) else { return };
        let Report { message, id, model } = report;
        for part in [Some(Head { id, model }), message].into_iter().flatten() {
            let owned = |text: Option<Cow<'_, str>>| text.map(|text| Box::from(bounded(&text)));
            self.id = owned(part.id).or(self.id.take());
            self.model = owned(part.model).or(self.model.take());
        }
    }
}

impl Call {
    /// Returns the memory, with that of its texts.
    pub(super) fn memory(&self) -> usize {
        let Facts { provider, model, effort, .. } = &self.facts;
        let texts = [effort, &self.id, &self.model].into_iter().flatten();
        let texts: usize = texts.chain([provider, model]).map(|text| text.len()).sum();
        size_of::<Self>() + texts
    }
}

/// The most bytes of a text of a span: clients and upstreams choose some of them.
const MAX_TEXT: usize = 256;

/// Returns the beginning of a text.
pub(crate) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_and_a_whole_message_give_the_same_facts() {
        let whole: &[&str] = &[
            r#"{"id":"msg_1","type":"message","model":"claude-x","content":[{"type":"text","id":"no"}],"stop_reason":"end_turn"}"#,
        ];
        let stream: &[&str] = &[
            r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-x","content":[],"stop_reason":null}}"#,
            "{",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}"#,
        ];
        for reports in [whole, stream] {
            let mut call = Call::new(SpanId::random(), Facts::default());
            reports.iter().for_each(|data| call.answered(data.as_bytes()));
            let found = (call.id.as_deref(), call.model.as_deref());
            assert_eq!(found, (Some("msg_1"), Some("claude-x")));
        }
    }
}
