//! Checks of requests: the upstream receives what the client sent.
use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::{Ask, Framing};
use crate::cli::conform::facts::{Facts, Finding, Verdict, expect, must, should};
use crate::cli::conform::json::{Keeps, at};
use crate::cli::conform::play::Play;
use crate::cli::conform::samples::{ANSWER, MESSAGE};

/// A request, and the part of it that must arrive.
pub(super) struct Row {
    /// The facts of the check.
    pub facts: Facts,
    body: &'static str,
    keeps: Keeps,
}

const fn row(facts: Facts, body: &'static str, keeps: Keeps) -> Row {
    Row { facts, body, keeps }
}

const SPACED: &str = "{ \"model\" : \"@MODEL@\",\n  \"max_tokens\" : 64 ,\n\t\"messages\" : [ { \"role\" : \"user\" , \"content\" : \"@MARK@\" } ] }\n";
const HISTORY: &str = r#"{"model":"@MODEL@","max_tokens":64,"messages":[{"role":"user","content":"Begin."},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{"zeta":1,"alpha":2,"mid":{"z":[1,2],"a":null},"big":12345678901234567890123,"float":1.0,"exponent":1e400,"small":0.10,"minus":-0,"escaped":"\u00e9\ud83d\ude00\/","plain":"é😀 \u0000\u2028","twice":{"a":1,"a":2}}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"@MARK@"}]}]}"#;
const FIELDS: &str = r#"{"model":"@MODEL@","max_tokens":64,"future_field":{"list":[1,"two",{"three":null}]},"messages":[{"role":"user","content":[{"type":"text","text":"@MARK@","future":{"x":true}}],"future":1}],"future_flag":false,"future_null":null}"#;
const BLOCKS: &str = r#"{"model":"@MODEL@","max_tokens":64,"messages":[{"role":"user","content":[{"type":"future_block","payload":{"a":[1]}},{"type":"text","text":"@MARK@"}]}]}"#;
const CACHE: &str = r#"{"model":"@MODEL@","max_tokens":64,"cache_control":{"type":"ephemeral"},"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h","scope":"global"}}],"tools":[{"name":"weather","description":"x","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"@MARK@","cache_control":{"type":"ephemeral","ttl":"5m"}}]}]}"#;
const THINKING: &str = r#"{"model":"@MODEL@","max_tokens":2048,"thinking":{"type":"adaptive","display":"summarized"},"messages":[{"role":"user","content":"Begin."},{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"EqQBCkYIAxgCKkB+/w=="},{"type":"thinking","thinking":"Two steps.\n","signature":"c2ln+/=="},{"type":"redacted_thinking","data":"cmVkYWN0ZWQ="},{"type":"text","text":"Done."}]},{"role":"user","content":"@MARK@"}]}"#;
const EMPTY: &str = r#"{"model":"@MODEL@","max_tokens":64,"system":"","stop_sequences":[],"tools":[],"metadata":{},"messages":[{"role":"user","content":"Begin."},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"now","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[]},{"type":"text","text":"@MARK@"}]}]}"#;
const RESULT: &str = r#"{"model":"@MODEL@","max_tokens":64,"messages":[{"role":"user","content":"Begin."},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"look","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":[{"type":"text","text":"@MARK@"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}]}]}]}"#;
const SYSTEM: &str = r#"{"model":"@MODEL@","max_tokens":64,"messages":[{"role":"user","content":"Begin."},{"role":"assistant","content":"Yes."},{"role":"system","content":"Be brief."},{"role":"user","content":"@MARK@"}]}"#;
const SAME_ROLE: &str = r#"{"model":"@MODEL@","max_tokens":64,"messages":[{"role":"user","content":"Begin."},{"role":"user","content":[{"type":"text","text":"More."}]},{"role":"user","content":"@MARK@"}]}"#;
const NEWER: &str = r#"{"model":"@MODEL@","max_tokens":64,"metadata":{"user_id":"u-1"},"service_tier":"auto","container":"container_1","context_management":{"edits":[{"type":"clear_tool_uses_20250919","keep":{"type":"tool_uses","value":3}}]},"mcp_servers":[{"type":"url","url":"https://mcp.invalid/","name":"m"}],"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object","properties":{},"additionalProperties":false}}},"inference_geo":"eu","messages":[{"role":"user","content":"@MARK@"}]}"#;
const SAMPLING: &str = r#"{"model":"@MODEL@","max_tokens":64,"temperature":0.0,"top_p":0.95,"top_k":5,"stop_sequences":["END","\n\n"],"messages":[{"role":"user","content":"@MARK@"}]}"#;
const TOOL_TYPES: &str = r#"{"model":"@MODEL@","max_tokens":64,"tools":[{"name":"zeta","description":"z","input_schema":{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"integer","minimum":1}},"required":["b"]},"strict":true,"defer_loading":false,"input_examples":[{"b":"x"}]},{"type":"future_tool_20990101","name":"alpha","setting":[1]}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"messages":[{"role":"user","content":"@MARK@"}]}"#;

/// The checks of bodies.
pub(super) const ROWS: &[Row] = &[
    row(
        should(
            "request-bytes",
            "The body reaches the upstream byte for byte, so that prompt caches hit.",
        ),
        HISTORY,
        Keeps::Bytes,
    ),
    row(
        should("request-white-space", "White space between JSON tokens is kept."),
        SPACED,
        Keeps::Bytes,
    ),
    row(
        must(
            "request-key-order",
            "The order of keys in a tool's input is kept: the model wrote it, caches hash it.",
        ),
        HISTORY,
        Keeps::Tokens(&["messages", "1", "content", "0", "input", "mid"]),
    ),
    row(
        must("request-integer-large", "An integer beyond 64 bits keeps its digits."),
        HISTORY,
        Keeps::Text(&["messages", "1", "content", "0", "input", "big"]),
    ),
    row(
        should("request-number-float", "`1.0` does not become `1`."),
        HISTORY,
        Keeps::Text(&["messages", "1", "content", "0", "input", "float"]),
    ),
    row(
        should("request-number-exponent", "`1e400`, which no double holds, is kept."),
        HISTORY,
        Keeps::Text(&["messages", "1", "content", "0", "input", "exponent"]),
    ),
    row(
        should("request-number-zeros", "`0.10` keeps its digits."),
        HISTORY,
        Keeps::Text(&["messages", "1", "content", "0", "input", "small"]),
    ),
    row(
        should("request-escapes", "Escapes such as `\\u00e9` stay escapes."),
        HISTORY,
        Keeps::Text(&["messages", "1", "content", "0", "input", "escaped"]),
    ),
    row(
        must("request-unicode", "Characters of all planes, NUL and U+2028 in a text arrive."),
        HISTORY,
        Keeps::Value(&["messages", "1", "content", "0", "input", "plain"]),
    ),
    row(
        should("request-duplicate-keys", "Duplicate keys in a tool's input are not merged."),
        HISTORY,
        Keeps::Tokens(&["messages", "1", "content", "0", "input", "twice"]),
    ),
    row(
        must("request-unknown-field", "A top-level field that the gateway does not know arrives."),
        FIELDS,
        Keeps::Value(&["future_field"]),
    ),
    row(
        must("request-unknown-falsy", "An unknown field whose value is `false` arrives."),
        FIELDS,
        Keeps::Value(&["future_flag"]),
    ),
    row(
        should("request-unknown-null", "An unknown field whose value is `null` arrives."),
        FIELDS,
        Keeps::Value(&["future_null"]),
    ),
    row(
        must("request-unknown-block-field", "An unknown field of a content block arrives."),
        FIELDS,
        Keeps::Value(&["messages", "0", "content", "0", "future"]),
    ),
    row(
        must("request-unknown-block", "A content block of an unknown type arrives."),
        BLOCKS,
        Keeps::Value(&["messages"]),
    ),
    row(
        must(
            "request-cache-control",
            "`cache_control` of system blocks arrives, with its `ttl` and `scope`.",
        ),
        CACHE,
        Keeps::Value(&["system"]),
    ),
    row(
        must("request-cache-control-tools", "`cache_control` of tools arrives."),
        CACHE,
        Keeps::Value(&["tools"]),
    ),
    row(
        must("request-cache-control-messages", "`cache_control` of message blocks arrives."),
        CACHE,
        Keeps::Value(&["messages"]),
    ),
    row(
        must("request-cache-control-top", "`cache_control` of the request arrives."),
        CACHE,
        Keeps::Value(&["cache_control"]),
    ),
    row(
        must("request-thinking", "The `thinking` setting arrives with all its fields."),
        THINKING,
        Keeps::Value(&["thinking"]),
    ),
    row(
        must(
            "request-thinking-history",
            "Thinking blocks of the history arrive in order, with their signatures.",
        ),
        THINKING,
        Keeps::Value(&["messages", "1"]),
    ),
    row(
        should(
            "request-empty",
            "An empty `content` of a tool result and an empty input stay as they are.",
        ),
        EMPTY,
        Keeps::Value(&["messages"]),
    ),
    row(
        should("request-empty-list", "An empty `stop_sequences` stays in the request."),
        EMPTY,
        Keeps::Value(&["stop_sequences"]),
    ),
    row(
        must("request-tool-result", "A tool result keeps `is_error`, its text and its image."),
        RESULT,
        Keeps::Value(&["messages", "2"]),
    ),
    row(
        must(
            "request-system-role",
            "A message of the role `system` within `messages` arrives (Claude Code sends it).",
        ),
        SYSTEM,
        Keeps::Value(&["messages"]),
    ),
    row(
        must("request-same-role", "Messages of the same role are not merged."),
        SAME_ROLE,
        Keeps::Value(&["messages"]),
    ),
    row(
        must("request-output-config", "`output_config` arrives."),
        NEWER,
        Keeps::Value(&["output_config"]),
    ),
    row(
        must("request-context-management", "`context_management` arrives."),
        NEWER,
        Keeps::Value(&["context_management"]),
    ),
    row(
        must("request-mcp-servers", "`mcp_servers` arrives."),
        NEWER,
        Keeps::Value(&["mcp_servers"]),
    ),
    row(must("request-container", "`container` arrives."), NEWER, Keeps::Value(&["container"])),
    row(should("request-metadata", "`metadata` arrives."), NEWER, Keeps::Value(&["metadata"])),
    row(
        should("request-service-tier", "`service_tier` arrives."),
        NEWER,
        Keeps::Value(&["service_tier"]),
    ),
    row(should("request-geo", "`inference_geo` arrives."), NEWER, Keeps::Value(&["inference_geo"])),
    row(
        must("request-temperature", "A `temperature` of 0 arrives."),
        SAMPLING,
        Keeps::Value(&["temperature"]),
    ),
    row(
        must("request-top-p", "`top_p` arrives beside `temperature`."),
        SAMPLING,
        Keeps::Value(&["top_p"]),
    ),
    row(must("request-top-k", "`top_k` arrives."), SAMPLING, Keeps::Value(&["top_k"])),
    row(
        must("request-stop-sequences", "`stop_sequences` arrives."),
        SAMPLING,
        Keeps::Value(&["stop_sequences"]),
    ),
    row(
        must("request-tools", "Tools arrive in order, with unknown types and fields."),
        TOOL_TYPES,
        Keeps::Value(&["tools"]),
    ),
    row(
        should("request-schema-order", "The order of keys in a tool's schema is kept."),
        TOOL_TYPES,
        Keeps::Tokens(&["tools", "0", "input_schema"]),
    ),
    row(
        must("request-tool-choice", "`tool_choice` arrives with all its fields."),
        TOOL_TYPES,
        Keeps::Value(&["tool_choice"]),
    ),
    row(
        must("request-tool-input", "A tool's input in the history arrives complete."),
        RESULT,
        Keeps::Value(&["messages", "1"]),
    ),
];

impl Row {
    /// Runs the check.
    pub(super) async fn run(&self, bench: &Bench) -> Verdict {
        let exchange = bench.exchange(&Ask::message(self.body), Play::json(200, ANSWER)).await?;
        self.keeps.compare(&exchange.sent, &exchange.seen()?.body)
    }
}

/// A check of a request's head, its size or its framing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head {
    /// A header arrives.
    Header(&'static str, &'static str),
    /// `anthropic-beta` on two lines.
    BetaLines,
    /// The query.
    Query,
    /// The key as `Authorization: Bearer`.
    Bearer,
    /// Values of the SDKs' headers that no parser expects.
    Stainless,
    /// A body of 4 MB.
    Large,
    /// A body in chunks.
    Chunked,
}

/// The checks of heads.
pub(super) const HEADS: &[(Facts, Head)] = &[
    (
        must("request-version", "`anthropic-version` arrives unchanged."),
        Head::Header("anthropic-version", "2026-10-21"),
    ),
    (
        must("request-beta", "`anthropic-beta` arrives unchanged, with unknown values."),
        Head::Header("anthropic-beta", "context-1m-2025-08-07,conform-2099-01-01"),
    ),
    (
        should("request-user-agent", "`user-agent` of the client arrives."),
        Head::Header("user-agent", "conform-agent/1.0 (x)"),
    ),
    (
        must("request-session", "Claude Code's session header is accepted; its message arrives."),
        Head::Stainless,
    ),
    (
        should("request-beta-lines", "`anthropic-beta` on two lines arrives complete."),
        Head::BetaLines,
    ),
    (should("request-query", "The query `?beta=true` arrives."), Head::Query),
    (
        must(
            "request-bearer",
            "The key is accepted as `Authorization: Bearer` and as `x-api-key`.",
        ),
        Head::Bearer,
    ),
    (must("request-large", "A body of 4 MB arrives complete."), Head::Large),
    (
        should("request-chunked", "A body in chunks, without `content-length`, arrives complete."),
        Head::Chunked,
    ),
];

impl Head {
    /// Runs the check.
    pub(super) async fn run(self, bench: &Bench) -> Verdict {
        let play = Play::json(200, ANSWER);
        let ask = self.ask(bench);
        let exchange = bench.exchange(&ask, play).await?;
        let seen = exchange.seen()?;
        let differs = |expected: &str, found: Option<&str>| {
            expect(found == Some(expected), expected, found.unwrap_or("the header is missing"))
        };
        match self {
            Self::Header(name, value) => differs(value, seen.header(name)),
            Self::BetaLines => {
                let found = seen.all("anthropic-beta").join(",");
                let betas: Vec<&str> = found.split(',').map(str::trim).collect();
                expect(betas == ["conform-a-2099", "conform-b-2099"], "both values", &found)
            }
            Self::Query => {
                let query = seen.target.split_once('?').map(|(_, query)| query);
                differs("beta=true", query)
            }
            Self::Stainless | Self::Bearer => exchange.status(200),
            Self::Large | Self::Chunked => {
                exchange.status(200)?;
                let text = |body: &[u8]| {
                    let body = String::from_utf8_lossy(body).into_owned();
                    at(&body, &["messages"]).map(str::to_owned)
                };
                let (sent, found) = (text(&exchange.sent), text(&seen.body));
                let found_length = found.as_ref().map_or(0, String::len);
                let sent_length = sent.as_ref().map_or(0, String::len);
                let is_same = sent.is_some() && sent == found;
                let expected = format!("the same {sent_length} bytes of `messages`");
                expect(is_same, &expected, format!("{found_length} bytes"))
            }
        }
    }

    fn ask(self, bench: &Bench) -> Ask {
        let ask = Ask::message(MESSAGE);
        match self {
            Self::Header(name, value) => ask.header(name, value),
            Self::BetaLines => ask
                .header("anthropic-beta", "conform-a-2099")
                .header("anthropic-beta", "conform-b-2099"),
            Self::Query => Ask::post("/v1/messages?beta=true", MESSAGE),
            Self::Bearer => match &bench.client.key {
                Some(key) => {
                    let bearer = format!("Bearer {key}");
                    Ask { without: Some("x-api-key"), ..ask.header("authorization", &bearer) }
                }
                None => ask,
            },
            Self::Stainless => ask
                .header("x-claude-code-session-id", "5f0c")
                .header("x-stainless-timeout", "NOT_GIVEN")
                .header("x-stainless-retry-count", "0")
                .header("accept", "*/*"),
            Self::Large => {
                let text = "The tide comes in. ".repeat(4 * 1024 * 1024 / 19);
                let content = format!("\"{text}@MARK@\"");
                Ask::message(&MESSAGE.replace("\"@MARK@\"", &content))
            }
            Self::Chunked => Ask { framing: Framing::Chunked, ..ask },
        }
    }
}

/// Sends a plain message, and fails unless it reaches the upstream and its answer the client.
pub(super) async fn reaches(bench: &Bench) -> Verdict {
    let exchange = bench.exchange(&Ask::message(MESSAGE), Play::json(200, ANSWER)).await?;
    exchange.seen()?;
    exchange.status(200)?;
    let has_answer = at(&exchange.answer.text(), &["content"]).is_some();
    if has_answer { Ok(()) } else { Err(Finding::new("the message", exchange.answer.text())) }
}
