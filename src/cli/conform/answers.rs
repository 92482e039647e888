//! Checks of whole answers: the client receives what the upstream sent.
use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::Ask;
use crate::cli::conform::facts::{Facts, Verdict, expect, must, should};
use crate::cli::conform::json::Keeps;
use crate::cli::conform::play::{Play, REQUEST_ID};
use crate::cli::conform::samples::{ANSWER, MESSAGE};

/// An answer, and the part of it that must arrive.
pub(super) struct Row {
    /// The facts of the check.
    pub facts: Facts,
    body: &'static str,
    keeps: Keeps,
}

const fn row(facts: Facts, body: &'static str, keeps: Keeps) -> Row {
    Row { facts, body, keeps }
}

const RICH: &str = r#"{ "type":"message","id":"msg_conform","role":"assistant","model":"conform-upstream","content":[{"type":"thinking","thinking":"Two steps.","signature":"EqQBCkYIAxgCKkB+/w=="},{"type":"redacted_thinking","data":"cmVkYWN0ZWQ="},{"type":"text","text":"caf\u00e9 😀","citations":[{"type":"char_location","cited_text":"x","document_index":0,"document_title":null,"start_char_index":0,"end_char_index":1}]},{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","title":"t","url":"https://example.com/","encrypted_content":"e","page_age":null}]},{"type":"future_block","payload":[1]},{"type":"tool_use","id":"toolu_1","name":"weather","input":{"zeta":1,"alpha":12345678901234567890123,"one":1.0},"caller":{"type":"direct"}}],"stop_reason":"tool_use","stop_sequence":null,"container":null,"future_field":{"a":[1]},"usage":{"input_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":1},"output_tokens":2,"server_tool_use":{"web_search_requests":1},"service_tier":"standard","future_tokens":11} }"#;
const SEQUENCE: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[{"type":"text","text":"hello"}],"stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":3,"output_tokens":2}}"#;
const REFUSAL: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[],"stop_reason":"refusal","stop_sequence":null,"stop_details":{"type":"refusal","category":"cyber","explanation":"No."},"usage":{"input_tokens":3,"output_tokens":2}}"#;
const PAUSE: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[{"type":"text","text":"hello"}],"stop_reason":"pause_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
const WINDOW: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[{"type":"text","text":"hello"}],"stop_reason":"model_context_window_exceeded","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;
const FUTURE: &str = r#"{"id":"msg_conform","type":"message","role":"assistant","model":"conform-upstream","content":[{"type":"text","text":"hello"}],"stop_reason":"future_reason","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#;

/// The checks of bodies.
pub(super) const ROWS: &[Row] = &[
    row(should("answer-bytes", "The body reaches the client byte for byte."), RICH, Keeps::Bytes),
    row(
        must(
            "answer-id",
            "The message keeps the upstream's `id`: support and batches refer to it.",
        ),
        RICH,
        Keeps::Value(&["id"]),
    ),
    row(
        must("answer-text", "A text keeps its characters."),
        RICH,
        Keeps::Value(&["content", "2", "text"]),
    ),
    row(
        must("answer-citations", "Citations arrive."),
        RICH,
        Keeps::Value(&["content", "2", "citations"]),
    ),
    row(
        must(
            "answer-thinking",
            "A thinking block keeps its signature; the next turn is refused without it.",
        ),
        RICH,
        Keeps::Value(&["content", "0"]),
    ),
    row(
        must("answer-redacted-thinking", "A `redacted_thinking` block arrives."),
        RICH,
        Keeps::Value(&["content", "1"]),
    ),
    row(
        must("answer-server-tool", "A result of the API's own search keeps its encrypted content."),
        RICH,
        Keeps::Value(&["content", "4"]),
    ),
    row(
        must("answer-unknown-block", "A block of an unknown type arrives."),
        RICH,
        Keeps::Value(&["content", "5"]),
    ),
    row(
        must("answer-unknown-field", "An unknown field of the message arrives."),
        RICH,
        Keeps::Value(&["future_field"]),
    ),
    row(
        must("answer-tool-input", "A tool's input keeps its key order and its numbers."),
        RICH,
        Keeps::Tokens(&["content", "6", "input"]),
    ),
    row(
        must("answer-usage", "`usage` arrives with cache, server tool and unknown counters."),
        RICH,
        Keeps::Value(&["usage"]),
    ),
    row(
        must("answer-stop-tool-use", "`stop_reason: tool_use` arrives."),
        RICH,
        Keeps::Value(&["stop_reason"]),
    ),
    row(
        must("answer-stop-sequence", "`stop_sequence` arrives with `stop_reason: stop_sequence`."),
        SEQUENCE,
        Keeps::Value(&["stop_sequence"]),
    ),
    row(
        must("answer-stop-refusal", "`stop_reason: refusal` arrives."),
        REFUSAL,
        Keeps::Value(&["stop_reason"]),
    ),
    row(
        should("answer-stop-details", "`stop_details` of a refusal arrives."),
        REFUSAL,
        Keeps::Value(&["stop_details"]),
    ),
    row(
        must("answer-empty-content", "A message without any block keeps its empty `content`."),
        REFUSAL,
        Keeps::Value(&["content"]),
    ),
    row(
        must("answer-stop-pause", "`stop_reason: pause_turn` arrives."),
        PAUSE,
        Keeps::Value(&["stop_reason"]),
    ),
    row(
        must("answer-stop-window", "`stop_reason: model_context_window_exceeded` arrives."),
        WINDOW,
        Keeps::Value(&["stop_reason"]),
    ),
    row(
        must("answer-stop-unknown", "An unknown `stop_reason` arrives."),
        FUTURE,
        Keeps::Value(&["stop_reason"]),
    ),
];

impl Row {
    /// Runs the check.
    pub(super) async fn run(&self, bench: &Bench) -> Verdict {
        let exchange = bench.exchange(&Ask::message(MESSAGE), Play::json(200, self.body)).await?;
        exchange.seen()?;
        exchange.status(200)?;
        self.keeps.compare(self.body.as_bytes(), &exchange.answer.body)
    }
}

/// A header of an answer, and its value; the upstream sends it with every answer of this group.
pub(super) struct Header {
    /// The facts of the check.
    pub facts: Facts,
    name: &'static str,
    value: &'static str,
}

const fn header(facts: Facts, name: &'static str, value: &'static str) -> Header {
    Header { facts, name, value }
}

/// The checks of headers.
pub(super) const HEADERS: &[Header] = &[
    header(
        must("answer-content-type", "`content-type` is `application/json`."),
        "content-type",
        "application/json",
    ),
    header(
        must("answer-request-id", "`request-id` of the upstream arrives: the SDKs report it."),
        "request-id",
        REQUEST_ID,
    ),
    header(
        should("answer-organization", "`anthropic-organization-id` arrives."),
        "anthropic-organization-id",
        "org-conform",
    ),
    header(
        should("answer-limit-requests", "`anthropic-ratelimit-requests-remaining` arrives."),
        "anthropic-ratelimit-requests-remaining",
        "41",
    ),
    header(
        should("answer-limit-tokens", "`anthropic-ratelimit-input-tokens-reset` arrives."),
        "anthropic-ratelimit-input-tokens-reset",
        "2026-12-01T00:00:00Z",
    ),
    header(
        should(
            "answer-limit-unified",
            "`anthropic-ratelimit-unified-status` arrives (Claude Code reads it).",
        ),
        "anthropic-ratelimit-unified-status",
        "allowed",
    ),
];

impl Header {
    /// Runs the check.
    pub(super) async fn run(&self, bench: &Bench) -> Verdict {
        let own = |header: &&Self| !matches!(header.name, "content-type" | "request-id");
        let headers: Vec<_> =
            HEADERS.iter().filter(own).map(|header| (header.name, header.value)).collect();
        let play = Play::with_headers(200, &headers, ANSWER);
        let exchange = bench.exchange(&Ask::message(MESSAGE), play).await?;
        exchange.seen()?;
        exchange.status(200)?;
        let found = exchange.answer.header(self.name).unwrap_or_default();
        let is_same = match self.name {
            "content-type" => found.split(';').next() == Some(self.value),
            _ => found == self.value,
        };
        expect(is_same, &format!("`{}: {}`", self.name, self.value), format!("`{found}`"))
    }
}
