//! The places of a request that hold text: one table of all objects and content blocks, and their fields.
//!
//! A test compares the table with the API's own list (`tests/fixtures/places.json`). So a block or a field
//! that is new in the API needs a decision here.

use std::sync::LazyLock;

use fnv::FnvHashMap;

/// The content of a field, as far as readers of texts are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A text, or a list of texts.
    Text(Part),
    /// A text, content blocks, or one block. Texts below belong to this part.
    Blocks(Part),
    /// One object of this family or several.
    Objects(&'static str),
    /// Any JSON. Every string in it is text.
    Values(Part),
    /// A JSON Schema. Its words for readers are text; the words that decide which values fit are not.
    Schema,
    /// No text, for this reason.
    Nothing(&'static str),
}

/// A group of texts that a reader may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The system prompt, and instructions for summaries.
    System,
    /// The texts of messages, without tool results.
    Messages,
    /// The results of tools.
    ToolResults,
    /// The inputs of tool calls.
    ToolInputs,
    /// The definitions of tools, and the schema of the output.
    Tools,
    /// Texts that repeat or locate others: citations and addresses.
    References,
    /// The id of the user.
    User,
    /// Texts in blocks and fields that the table does not have: the API may be newer than it.
    Unknown,
}

impl Part {
    /// Returns whether the texts of this part stand beside the messages of a request, never within them.
    pub(crate) fn is_beside_messages(self) -> bool {
        matches!(self, Self::System | Self::User)
    }
}

/// An object: the family it belongs to, its `type`, and its fields.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The family: objects at the same places.
    pub family: &'static str,
    /// The value of `type`; empty for objects that are all of one shape.
    pub kind: &'static str,
    /// The fields that hold strings or objects.
    pub fields: &'static [(&'static str, Holds)],
}

/// The family of content blocks.
pub(crate) const BLOCK: &str = "block";

/// Returns the shape of an object of a family.
pub(crate) fn shape(family: &'static str, kind: &str) -> Option<&'static Shape> {
    static INDEX: LazyLock<FnvHashMap<(&str, &str), &Shape>> =
        LazyLock::new(|| SHAPES.iter().map(|shape| ((shape.family, shape.kind), shape)).collect());
    // the key is looked up as a text of any lifetime
    let index: &FnvHashMap<(&str, &str), &'static Shape> = &INDEX;
    index.get(&(family, kind)).or_else(|| index.get(&(family, ""))).copied()
}

impl Shape {
    const fn new(
        family: &'static str,
        kind: &'static str,
        fields: &'static [(&'static str, Holds)],
    ) -> Self {
        Self { family, kind, fields }
    }

    /// Returns the content of a field; `None` if the table does not have it.
    pub(crate) fn holds(&self, field: &str) -> Option<Holds> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, holds)| *holds)
    }
}

/// Returns whether a field of this name is opaque in every object that has it, so also in an unknown one.
pub(crate) fn is_opaque(field: &str) -> bool {
    const COMMON: &[&str] = &["type", "id", "cache_control", "role", "model"];
    let mut all = SHAPES.iter().filter_map(|shape| shape.holds(field)).peekable();
    let is_known = all.peek().is_some();
    COMMON.contains(&field) || (is_known && all.all(|holds| matches!(holds, Nothing(_))))
}

use Holds::{Blocks, Nothing, Objects, Schema, Text, Values};
use Part::{Messages, References, System, ToolInputs, ToolResults, Tools, User};

const ID: Holds = Nothing("an identifier, which other parts of the conversation repeat");
const NAME: Holds = Nothing("the name of a tool or server, which calls repeat");
const WORD: Holds = Nothing("a word of a closed set");
const SWITCH: Holds = Nothing("a setting without text");
const FILE: Holds = Nothing("a file, which is no text for a pattern");
const FETCHED: Holds = Nothing("an address that the upstream fetches as it is");
const SIGNED: Holds = Nothing("signed: the upstream rejects a change");
const SEALED: Holds = Nothing("encrypted: opaque to everybody but the upstream");
const EXACT: Holds = Nothing("the upstream needs it unchanged");
const KEY: Holds = Nothing("a credential for the upstream");

/// Every shape, by family.
pub(crate) const SHAPES: &[Shape] = &[
    Shape::new(
        "request",
        "",
        &[
            ("system", Blocks(System)),
            ("messages", Objects("message")),
            ("tools", Objects("tool")),
            ("metadata", Objects("metadata")),
            ("output_config", Objects("output_config")),
            ("compaction", Objects("compaction")),
            ("context_management", Objects("context_management")),
            ("fallbacks", Objects("fallback")),
            ("model", NAME),
            ("stop_sequences", Nothing("compared with the answer: a changed one never matches")),
            ("tool_choice", NAME),
            ("mcp_servers", KEY),
            ("container", ID),
            ("diagnostics", ID),
            ("thread", ID),
            ("user_profile_id", ID),
            ("workspace_id", ID),
            ("fallback_credit_token", KEY),
            ("betas", WORD),
            ("billing_policy", WORD),
            ("inference_geo", WORD),
            ("service_tier", WORD),
            ("speed", WORD),
            ("thinking", SWITCH),
        ],
    ),
    Shape::new(
        "message",
        "",
        &[
            ("content", Blocks(Messages)),
            ("role", WORD),
            ("clear_at", WORD),
            ("output_config", Objects("output_config")),
        ],
    ),
    Shape::new("metadata", "", &[("user_id", Text(User))]),
    Shape::new(
        "output_config",
        "",
        &[("format", Objects("format")), ("effort", WORD), ("task_budget", SWITCH)],
    ),
    Shape::new("format", "", &[("schema", Schema)]),
    Shape::new("compaction", "", &[("instructions", Text(System))]),
    Shape::new("context_management", "", &[("edits", Objects("edit"))]),
    Shape::new(
        "edit",
        "",
        &[
            ("instructions", Text(System)),
            ("clear_at_least", SWITCH),
            ("clear_tool_inputs", NAME),
            ("exclude_tools", NAME),
            ("keep", SWITCH),
            ("trigger", SWITCH),
        ],
    ),
    Shape::new(
        "fallback",
        "",
        &[
            ("output_config", Objects("output_config")),
            ("model", NAME),
            ("speed", WORD),
            ("thinking", SWITCH),
        ],
    ),
    // a tool of the caller has no `type`, those of the API have many: they share their fields
    Shape::new(
        "tool",
        "",
        &[
            ("description", Text(Tools)),
            ("input_schema", Schema),
            ("input_examples", Values(Tools)),
            ("tools", Objects("tool")),
            ("name", NAME),
            ("mcp_server_name", NAME),
            ("model", NAME),
            ("allowed_callers", WORD),
            ("allowed_domains", Nothing("addresses that the tool compares")),
            ("blocked_domains", Nothing("addresses that the tool compares")),
            ("url_sources", Nothing("settings and names of tools")),
            ("user_location", Nothing("a place that the search uses as it is")),
            ("response_inclusion", WORD),
            ("citations", SWITCH),
            ("caching", SWITCH),
            ("configs", SWITCH),
            ("default_config", SWITCH),
        ],
    ),
    Shape::new(BLOCK, "text", &[("text", Text(Messages)), ("citations", Objects("citation"))]),
    Shape::new(BLOCK, "image", &[("source", Objects("source")), ("transformations", SWITCH)]),
    Shape::new(
        BLOCK,
        "document",
        &[
            ("title", Text(Messages)),
            ("context", Text(Messages)),
            ("source", Objects("source")),
            ("citations", SWITCH),
        ],
    ),
    Shape::new(
        BLOCK,
        "search_result",
        &[
            ("title", Text(Messages)),
            ("source", Text(References)),
            ("content", Blocks(Messages)),
            ("citations", SWITCH),
        ],
    ),
    Shape::new(BLOCK, "thinking", &[("thinking", SIGNED), ("signature", SIGNED)]),
    Shape::new(BLOCK, "redacted_thinking", &[("data", SEALED)]),
    Shape::new(
        BLOCK,
        "tool_use",
        &[
            ("input", Values(ToolInputs)),
            ("id", ID),
            ("name", NAME),
            ("caller", ID),
            ("toolset_name", NAME),
        ],
    ),
    Shape::new(
        BLOCK,
        "server_tool_use",
        &[("input", Values(ToolInputs)), ("id", ID), ("name", NAME), ("caller", ID)],
    ),
    Shape::new(
        BLOCK,
        "mcp_tool_use",
        &[("input", Values(ToolInputs)), ("id", ID), ("name", NAME), ("server_name", NAME)],
    ),
    Shape::new(
        BLOCK,
        "tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID), ("toolset_name", NAME)],
    ),
    Shape::new(BLOCK, "mcp_tool_result", &[("content", Blocks(ToolResults)), ("tool_use_id", ID)]),
    Shape::new(BLOCK, "tool_reference", &[("tool_name", NAME), ("name", NAME)]),
    Shape::new(
        BLOCK,
        "browser_state",
        &[("tabs", Objects("tab")), ("state_changes", Objects("state_change"))],
    ),
    Shape::new(
        BLOCK,
        "web_search_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID), ("caller", ID)],
    ),
    Shape::new(
        BLOCK,
        "web_search_result",
        &[
            ("title", Text(ToolResults)),
            ("url", Text(References)),
            ("page_age", Nothing("a date")),
            ("encrypted_content", SEALED),
        ],
    ),
    Shape::new(BLOCK, "web_search_tool_result_error", &[("error_code", WORD)]),
    Shape::new(
        BLOCK,
        "web_fetch_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID), ("caller", ID)],
    ),
    Shape::new(
        BLOCK,
        "web_fetch_result",
        &[
            ("content", Blocks(ToolResults)),
            ("url", Text(References)),
            ("retrieved_at", Nothing("a date")),
        ],
    ),
    Shape::new(BLOCK, "web_fetch_tool_result_error", &[("error_code", WORD)]),
    Shape::new(
        BLOCK,
        "code_execution_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID)],
    ),
    Shape::new(
        BLOCK,
        "code_execution_result",
        &[
            ("stdout", Text(ToolResults)),
            ("stderr", Text(ToolResults)),
            ("content", Blocks(ToolResults)),
        ],
    ),
    Shape::new(BLOCK, "code_execution_output", &[("file_id", ID)]),
    Shape::new(
        BLOCK,
        "encrypted_code_execution_result",
        &[
            ("encrypted_stdout", SEALED),
            ("stderr", Text(ToolResults)),
            ("content", Blocks(ToolResults)),
        ],
    ),
    Shape::new(BLOCK, "code_execution_tool_result_error", &[("error_code", WORD)]),
    Shape::new(
        BLOCK,
        "bash_code_execution_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID)],
    ),
    Shape::new(
        BLOCK,
        "bash_code_execution_result",
        &[
            ("stdout", Text(ToolResults)),
            ("stderr", Text(ToolResults)),
            ("content", Blocks(ToolResults)),
        ],
    ),
    Shape::new(BLOCK, "bash_code_execution_output", &[("file_id", ID)]),
    Shape::new(BLOCK, "bash_code_execution_tool_result_error", &[("error_code", WORD)]),
    Shape::new(
        BLOCK,
        "text_editor_code_execution_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID)],
    ),
    Shape::new(
        BLOCK,
        "text_editor_code_execution_view_result",
        &[("content", Text(ToolResults)), ("file_type", WORD)],
    ),
    Shape::new(BLOCK, "text_editor_code_execution_create_result", &[]),
    Shape::new(
        BLOCK,
        "text_editor_code_execution_str_replace_result",
        &[("lines", Text(ToolResults))],
    ),
    Shape::new(
        BLOCK,
        "text_editor_code_execution_tool_result_error",
        &[("error_message", Text(ToolResults)), ("error_code", WORD)],
    ),
    Shape::new(
        BLOCK,
        "tool_search_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID)],
    ),
    Shape::new(
        BLOCK,
        "tool_search_tool_search_result",
        &[("tool_references", Blocks(ToolResults))],
    ),
    Shape::new(
        BLOCK,
        "tool_search_tool_result_error",
        &[("error_message", Text(ToolResults)), ("error_code", WORD)],
    ),
    Shape::new(BLOCK, "container_upload", &[("file_id", ID)]),
    Shape::new(
        BLOCK,
        "advisor_tool_result",
        &[("content", Blocks(ToolResults)), ("tool_use_id", ID)],
    ),
    Shape::new(BLOCK, "advisor_result", &[("text", Text(ToolResults)), ("stop_reason", WORD)]),
    Shape::new(
        BLOCK,
        "advisor_redacted_result",
        &[("encrypted_content", SEALED), ("stop_reason", WORD)],
    ),
    Shape::new(BLOCK, "advisor_tool_result_error", &[("error_code", WORD)]),
    Shape::new(
        BLOCK,
        "compaction",
        &[
            ("content", SIGNED),
            ("signature", SIGNED),
            ("tool_changes", SIGNED),
            ("encrypted_content", SEALED),
        ],
    ),
    Shape::new(BLOCK, "tool_addition", &[("tool", Blocks(Tools))]),
    Shape::new(BLOCK, "tool_removal", &[("tool", Blocks(Tools))]),
    Shape::new(BLOCK, "tool_definition", &[("definition", Objects("tool"))]),
    Shape::new(BLOCK, "mcp_tool_reference", &[("name", NAME), ("server_name", NAME)]),
    Shape::new(BLOCK, "mcp_toolset_reference", &[("server_name", NAME)]),
    Shape::new(BLOCK, "mcp_tool_listing", &[("tools", EXACT), ("mcp_server_name", NAME)]),
    Shape::new(BLOCK, "fallback", &[("from", NAME), ("to", NAME), ("trigger", SWITCH)]),
    Shape::new("source", "base64", &[("data", FILE), ("media_type", WORD)]),
    Shape::new("source", "text", &[("data", Text(Messages)), ("media_type", WORD)]),
    Shape::new("source", "content", &[("content", Blocks(Messages))]),
    Shape::new("source", "url", &[("url", FETCHED)]),
    Shape::new("source", "file", &[("file_id", ID)]),
    Shape::new(
        "tab",
        "",
        &[("title", Text(ToolResults)), ("url", Text(References)), ("tab_id", ID)],
    ),
    Shape::new("state_change", "tab_opened", &[("tab_id", ID)]),
    Shape::new(
        "state_change",
        "download_started",
        &[("url", Text(References)), ("download_id", ID)],
    ),
    Shape::new(
        "state_change",
        "download_completed",
        &[("path", Text(References)), ("url", Text(References)), ("download_id", ID)],
    ),
    Shape::new(
        "state_change",
        "download_failed",
        &[("error", Text(ToolResults)), ("url", Text(References)), ("download_id", ID)],
    ),
    Shape::new(
        "citation",
        "char_location",
        &[("cited_text", Text(References)), ("document_title", Text(References))],
    ),
    Shape::new(
        "citation",
        "page_location",
        &[("cited_text", Text(References)), ("document_title", Text(References))],
    ),
    Shape::new(
        "citation",
        "content_block_location",
        &[("cited_text", Text(References)), ("document_title", Text(References))],
    ),
    Shape::new(
        "citation",
        "web_search_result_location",
        &[
            ("cited_text", Text(References)),
            ("title", Text(References)),
            ("url", Text(References)),
            ("encrypted_index", SEALED),
        ],
    ),
    Shape::new(
        "citation",
        "search_result_location",
        &[
            ("cited_text", Text(References)),
            ("title", Text(References)),
            ("source", Text(References)),
        ],
    ),
];

#[cfg(test)]
mod tests;
