//! Bodies and frames that several checks use.

/// A request for a message.
pub(super) const MESSAGE: &str =
    r#"{"model":"@MODEL@","max_tokens":64,"messages":[{"role":"user","content":"@MARK@"}]}"#;

/// A request for a stream.
pub(super) const STREAM: &str = r#"{"model":"@MODEL@","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"@MARK@"}]}"#;

/// A request with a client tool.
pub(super) const TOOLS: &str = r#"{"model":"@MODEL@","max_tokens":64,"tools":[{"name":"weather","description":"The weather of a city.","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}],"messages":[{"role":"user","content":"@MARK@"}]}"#;

/// A whole answer.
pub(super) const ANSWER: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;

/// The first frame of a stream.
pub(super) const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_conform\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"conform-upstream\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"cache_creation_input_tokens\":5,\"cache_read_input_tokens\":7,\"output_tokens\":1}}}\n\n";

/// The begin of a text block.
pub(super) const TEXT: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";

/// A part of a text.
pub(super) const HELLO: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n";

/// Another part of a text.
pub(super) const THERE: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" there\"}}\n\n";

/// The end of a block.
pub(super) const BLOCK_STOP: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";

/// The stop reason and the usage of a stream.
pub(super) const DELTA: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n";

/// The last frame of a stream.
pub(super) const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A `ping` as the API writes it.
pub(super) const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// An `error` event.
pub(super) const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"conform overloaded\"}}\n\n";

/// A whole stream of one text.
pub(super) const FRAMES: &[&str] = &[START, TEXT, HELLO, THERE, BLOCK_STOP, DELTA, STOP];
