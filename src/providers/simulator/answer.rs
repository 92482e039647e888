//! The whole answer to a request: its blocks, its stop reason, its usage.
use serde_json::{Value, json};

use crate::providers::simulator::ask::{Ask, ToolResult};
use crate::providers::simulator::directives::{Cite, Odd, Stop, Thinking};
use crate::providers::simulator::input::Inputs;
use crate::providers::simulator::seed::Seed;
use crate::providers::simulator::tokens;

/// A message before it is sent.
pub(crate) struct SimulatedAnswer {
    /// The blocks, in order.
    pub blocks: Vec<OutputBlock>,
    /// `stop_reason`
    pub stop_reason: String,
    /// `stop_sequence`
    pub stop_sequence: Option<String>,
    /// `stop_details`
    pub stop_details: Value,
    /// The tokens of the whole answer, thinking included.
    pub output_tokens: u64,
    /// The thinking tokens among them.
    pub thinking_tokens: u64,
    /// The unknown elements to mix in.
    pub odd: Vec<Odd>,
}

/// A content block.
pub(crate) enum OutputBlock {
    /// `text`
    Text(String),
    /// A `text` with a source.
    Cited {
        /// The text.
        text: String,
        /// The citation in the API's form.
        citation: Value,
    },
    /// `thinking`
    Thinking {
        /// The visible thinking.
        text: String,
        /// The signature of exactly this text.
        signature: String,
    },
    /// `redacted_thinking`
    Redacted(String),
    /// `tool_use`
    ToolUse {
        /// `toolu_sim_…`
        id: String,
        /// The name of the tool.
        name: String,
        /// The input as JSON text, as in the directive.
        input: String,
    },
    /// A type that no client knows.
    Unknown,
}

/// The largest length of a quoted text, in characters.
const MAX_QUOTE: usize = 4_000;

impl SimulatedAnswer {
    /// Decides on the whole answer. Later code only encodes it.
    pub(crate) fn to(ask: &Ask<'_>, thinking: &Value, seed: &Seed) -> Self {
        let mut answer = Self {
            blocks: thoughts(ask, thinking, seed),
            stop_reason: if ask.calls.is_empty() { "end_turn" } else { "tool_use" }.to_owned(),
            stop_sequence: None,
            stop_details: Value::Null,
            output_tokens: 0,
            thinking_tokens: 0,
            odd: ask.step.odd.clone(),
        };
        let text = text(ask);
        if !text.is_empty() {
            answer.blocks.push(OutputBlock::Text(text));
        }
        answer.blocks.extend(cited(ask));
        if answer.odd.contains(&Odd::Block) {
            answer.blocks.push(OutputBlock::Unknown);
        }
        answer.blocks.extend(ask.calls.iter().enumerate().map(|(n, call)| OutputBlock::ToolUse {
            id: seed.id("toolu", n + 1),
            name: call.name.to_owned(),
            input: call.input.clone(),
        }));
        answer.stop(ask.step.stop.as_ref());
        answer.cut_at_stop_sequence(&ask.stop_sequences);
        answer.cut_at_limit(ask.max_tokens);
        answer
    }

    fn stop(&mut self, stop: Option<&Stop>) {
        match stop {
            None => {}
            Some(Stop::Reason(reason)) => self.stop_reason.clone_from(reason),
            Some(Stop::Refusal(category)) => {
                self.stop_reason = "refusal".to_owned();
                self.stop_details = json!({
                    "type": "refusal",
                    "category": category,
                    "explanation": "a directive requested the refusal",
                });
            }
        }
    }

    fn cut_at_stop_sequence(&mut self, sequences: &[&str]) {
        let found = self.blocks.iter().enumerate().find_map(|(at, block)| {
            let OutputBlock::Text(text) = block else { return None };
            let hits = sequences.iter().filter(|sequence| !sequence.is_empty());
            let (end, sequence) =
                hits.filter_map(|sequence| Some((text.find(sequence)?, *sequence))).min()?;
            Some((at, end, sequence.to_owned()))
        });
        let Some((at, end, sequence)) = found else { return };
        self.blocks.truncate(at + 1);
        if end == 0 {
            self.blocks.pop();
        } else if let Some(OutputBlock::Text(text)) = self.blocks.last_mut() {
            text.truncate(end);
        }
        self.stop_reason = "stop_sequence".to_owned();
        self.stop_sequence = Some(sequence);
    }

    /// Counts the tokens, and cuts the answer at `max_tokens`. A call that does not fit is left out
    /// completely, because a part of an input is not JSON.
    fn cut_at_limit(&mut self, max_tokens: u64) {
        let mut left = max_tokens;
        let mut kept = Vec::with_capacity(self.blocks.len());
        let mut is_cut = max_tokens == 0;
        for block in std::mem::take(&mut self.blocks) {
            let cost = block.tokens();
            let fitting = if cost <= left { Some(block) } else { block.shortened(left) };
            is_cut |= cost > left;
            if let Some(block) = fitting {
                left -= cost.min(left);
                kept.push(block);
            }
            if is_cut {
                break;
            }
        }
        self.blocks = kept;
        let thoughts = self.blocks.iter().filter(|block| block.is_thought());
        self.thinking_tokens = thoughts.map(OutputBlock::tokens).sum();
        self.output_tokens = max_tokens - left;
        if is_cut {
            self.stop_reason = "max_tokens".to_owned();
            self.stop_sequence = None;
        }
    }
}

impl OutputBlock {
    fn tokens(&self) -> u64 {
        let characters = match self {
            Self::Text(text) | Self::Cited { text, .. } => text.chars().count(),
            // thinking costs the same, visible or not
            Self::Thinking { text, .. } => text.chars().count().max(80),
            Self::Redacted(_) => 80,
            Self::ToolUse { name, input, .. } => name.len() + input.chars().count() + 16,
            Self::Unknown => 4,
        };
        tokens::of_characters(characters).max(1)
    }

    fn is_thought(&self) -> bool {
        matches!(self, Self::Thinking { .. } | Self::Redacted(_))
    }

    fn shortened(self, tokens: u64) -> Option<Self> {
        let Self::Text(text) = self else { return None };
        match tokens {
            0 => None,
            _ => Some(Self::Text(text.chars().take(tokens as usize * 4).collect())),
        }
    }
}

/// Returns the thinking blocks. A directive requests them, or the request if it does not leave
/// thinking to the model.
fn thoughts(ask: &Ask<'_>, thinking: &Value, seed: &Seed) -> Vec<OutputBlock> {
    let is_on = thinking["type"] == "enabled";
    let asked = match ask.step.thinking.as_slice() {
        [] if is_on => &[Thinking::Open],
        asked => asked,
    };
    let block = |kind: &Thinking| match kind {
        Thinking::Redacted => OutputBlock::Redacted(seed.sign("redacted")),
        Thinking::Open => {
            let text = match thinking["display"].as_str() {
                Some("omitted") => String::new(),
                _ => thought(ask),
            };
            OutputBlock::Thinking { signature: seed.sign(&text), text }
        }
    };
    asked.iter().map(block).collect()
}

/// Returns a block for each source that the answer cites.
fn cited(ask: &Ask<'_>) -> Vec<OutputBlock> {
    let Some(cite) = ask.step.cite else { return Vec::new() };
    let is_asked = |n: &usize| cite == Cite::All || cite == Cite::Only(n + 1);
    let sources = ask.citations.iter().enumerate().filter(|(n, _)| is_asked(n));
    let blocks: Vec<OutputBlock> = sources
        .map(|(n, citation)| OutputBlock::Cited {
            text: format!("Source {} says so.", n + 1),
            citation: citation.clone(),
        })
        .collect();
    match blocks.is_empty() {
        true => vec![OutputBlock::Text("There is no such source that I could cite.".to_owned())],
        false => blocks,
    }
}

fn thought(ask: &Ask<'_>) -> String {
    let about = quote(&ask.text, 120);
    match (ask.calls.first(), ask.results.as_slice()) {
        (Some(call), _) => format!("The user wrote: {about} The tool {} can help.", call.name),
        (None, []) => format!("The user wrote: {about} I can repeat that."),
        (None, results) => format!("The user wrote: {about} I have {} results.", results.len()),
    }
}

fn text(ask: &Ask<'_>) -> String {
    if let Some(say) = &ask.step.say {
        return say.clone();
    }
    if let Some(Stop::Refusal(_)) = ask.step.stop {
        return "I will not help with this.".to_owned();
    }
    if !ask.calls.is_empty() {
        return if ask.is_forced { String::new() } else { announcement(ask) };
    }
    if let Some(schema) = ask.format {
        return Inputs { asked: &ask.text }.of(schema).to_string();
    }
    if !ask.results.is_empty() {
        let lines: Vec<String> = ask.results.iter().map(report).collect();
        return lines.join("\n");
    }
    match ask.text.as_str() {
        "" => "Your message has no text that I could repeat.".to_owned(),
        text => format!("You said: {}", quote(text, MAX_QUOTE)),
    }
}

fn announcement(ask: &Ask<'_>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for call in &ask.calls {
        if !names.contains(&call.name) {
            names.push(call.name);
        }
    }
    format!("I will use {}.", names.join(" and "))
}

fn report(result: &ToolResult<'_>) -> String {
    let verb = if result.is_error { "failed" } else { "answered" };
    format!("{} {verb}: {}", result.name, quote(&result.text, MAX_QUOTE))
}

fn quote(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
