//! The directives in the user's messages, `[sim: …]`, parsed into a script of steps.
//!
//! `docs/reference/simulator-directives.md` is their reference; a test runs every line of it.
use std::time::Duration;

use serde_json::value::RawValue;

use crate::providers::simulator::faults::{self, Fault, split_word};
use crate::wire::duration;

/// The content of one message's directives.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The text without the directives.
    pub text: String,
    /// The format of the frames of a stream.
    pub framing: Framing,
    /// The time between two events of a stream.
    pub pace: Option<Duration>,
    /// The steps in order, for the rounds of a tool loop.
    steps: Vec<Step>,
}

/// The format of the frames of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Framing {
    /// Whether there are blanks before the closing brace, as in the real API.
    pub is_padded: bool,
    /// Whether lines end with CR LF.
    pub is_crlf: bool,
}

/// The settings of one answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// The number of rounds; one if absent.
    turns: Option<usize>,
    /// The tools to call in one turn.
    pub calls: Vec<CallDirective>,
    /// The number of calls in one turn.
    pub parallel: Option<usize>,
    /// The text instead of an answer.
    pub say: Option<String>,
    /// The sources to cite after the answer.
    pub cite: Option<Cite>,
    /// The thinking blocks before the answer.
    pub thinking: Vec<Thinking>,
    /// The replacement for the natural `stop_reason`.
    pub stop: Option<Stop>,
    /// The unknown elements that a client must tolerate.
    pub odd: Vec<Odd>,
    /// The fault to simulate.
    pub fault: Option<Fault>,
    /// The delay before the answer begins, its status included.
    pub wait: Duration,
    /// The delay between the status and the first event.
    pub first_event: Duration,
}

/// A call requested by a directive.
#[derive(Debug, Clone)]
pub(crate) struct CallDirective {
    /// The name, as in the user's text.
    pub name: String,
    /// The input as JSON text; made from the tool's schema if absent.
    pub input: Option<String>,
}

/// The sources of a request that an answer cites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cite {
    /// All sources.
    All,
    /// One source, counted from 1.
    Only(usize),
}

/// A kind of thinking block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// `thinking`, with its signature.
    Open,
    /// `redacted_thinking`
    Redacted,
}

/// A replacement for the natural end.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The `stop_reason`.
    Reason(String),
    /// A `refusal` with this category.
    Refusal(String),
}

/// Elements that the API may add later, and elements that it never sends but clients must tolerate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Odd {
    /// An event of an unknown name.
    Event,
    /// A delta of an unknown type.
    Delta,
    /// A content block of an unknown type.
    Block,
}

const MAX_WORDS: usize = 100_000;
const MAX_CALLS: usize = 100;
const MAX_ROUNDS: usize = 1_000;
const MAX_DELAY: Duration = Duration::from_secs(600);

impl Script {
    /// Removes the directives from a text. `model` selects those of the form `[sim@MODEL: …]`.
    ///
    /// Fails with a message for the user if a directive is invalid.
    pub(crate) fn parse(text: &str, model: &str) -> Result<Self, String> {
        let mut script = Self { steps: vec![Step::default()], ..Self::default() };
        let mut rest = text;
        while let Some((at, only_for, body)) = next_directive(rest) {
            script.text.push_str(&rest[..at]);
            let end = end_of(body)
                .ok_or_else(|| format!("`[sim: {}` has no closing `]`", shorten(body)))?;
            let directive = body[..end].trim();
            if only_for.is_none_or(|only_for| only_for == model) {
                script.take(directive).map_err(|problem| wrong(directive, &problem))?;
            }
            rest = &body[end + 1..];
        }
        script.text.push_str(rest);
        script.text = script.text.trim().to_owned();
        Ok(script)
    }

    /// Returns the step of a round, counted from 0. After the last step, there is only the plain
    /// answer.
    pub(crate) fn step_of(&self, round: usize) -> Option<&Step> {
        let mut first_behind = 0;
        self.steps.iter().find(|step| {
            first_behind += step.turns.unwrap_or(1);
            round < first_behind
        })
    }

    fn take(&mut self, directive: &str) -> Result<(), String> {
        let (word, rest) = split_word(directive);
        match word {
            "then" => self.steps.push(Step::default()),
            "turns" => self.step().turns = Some(count(rest, MAX_ROUNDS)?),
            "pace" => self.pace = Some(delay(rest)?),
            "padded" => self.framing.is_padded = true,
            "crlf" => self.framing.is_crlf = true,
            _ => return self.step().take(word, rest),
        }
        Ok(())
    }

    /// Returns the step that is being built.
    fn step(&mut self) -> &mut Step {
        if self.steps.is_empty() {
            self.steps.push(Step::default());
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
}

impl Step {
    fn take(&mut self, word: &str, rest: &str) -> Result<(), String> {
        match word {
            "call" => self.calls.push(call(rest)?),
            "parallel" => self.parallel = Some(count(rest, MAX_CALLS)?),
            "say" => self.say = Some(rest.to_owned()),
            "words" => self.say = Some(words(count(rest, MAX_WORDS)?)),
            "empty" => self.say = Some(String::new()),
            "cite" if rest.is_empty() => self.cite = Some(Cite::All),
            "cite" => self.cite = Some(Cite::Only(count(rest, MAX_CALLS)?)),
            "thinking" => self.thinking.push(Thinking::Open),
            "redacted" => self.thinking.push(Thinking::Redacted),
            "pause" => self.stop = Some(Stop::Reason("pause_turn".to_owned())),
            "stop" => self.stop = Some(Stop::Reason(named(rest)?)),
            "refuse" if rest.is_empty() => {
                self.stop = Some(Stop::Refusal("general_harms".to_owned()));
            }
            "refuse" => self.stop = Some(Stop::Refusal(named(rest)?)),
            "unknown" => self.odd.push(odd(rest)?),
            "wait" => self.wait = delay(rest)?,
            "first-event" => self.first_event = delay(rest)?,
            _ => match faults::parse(word, rest)? {
                Some(fault) => self.fault = Some(fault),
                None => return Err(format!("`{word}` is no directive")),
            },
        }
        Ok(())
    }
}

/// Finds the next directive: its position, the model that it names, and the text after its colon.
fn next_directive(text: &str) -> Option<(usize, Option<&str>, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find("[sim") {
        let at = from + found;
        let behind = &text[at + 4..];
        if let Some(body) = behind.strip_prefix(':') {
            return Some((at, None, body));
        }
        let named = behind.strip_prefix('@').and_then(|rest| rest.split_once(": "));
        if let Some((model, body)) = named
            && !model.contains(|c: char| c.is_whitespace() || c == ']')
        {
            return Some((at, Some(model), body));
        }
        from = at + 4;
    }
    None
}

/// Finds the closing bracket. The JSON of a call may have any brackets; elsewhere they are paired.
fn end_of(body: &str) -> Option<usize> {
    let from = match body.trim_start().starts_with("call ") {
        true => json_end(body).unwrap_or(0),
        false => 0,
    };
    let mut depth = 0usize;
    for (at, c) in body[from..].char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 0 => return Some(from + at),
            ']' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn json_end(body: &str) -> Option<usize> {
    let start = body.find('{').filter(|start| body.find(']').is_none_or(|end| *start < end))?;
    let mut values = serde_json::Deserializer::from_str(&body[start..]).into_iter::<&RawValue>();
    values.next()?.ok()?;
    Some(start + values.byte_offset())
}

fn call(rest: &str) -> Result<CallDirective, String> {
    let (name, input) = split_word(rest);
    if name.is_empty() {
        return Err("write `call TOOL`, or `call TOOL {\"the\": \"input\"}`".to_owned());
    }
    let input = match input {
        "" => None,
        json => {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json)
                .map_err(|e| format!("the input is no JSON object: {e}"))?;
            Some(json.to_owned())
        }
    };
    Ok(CallDirective { name: name.to_owned(), input })
}

/// Parses a whole number from 1 to a limit.
fn count(text: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(format!("`{text}` must be a whole number from 1 to {max}")),
    }
}

/// Parses a duration of at most ten minutes.
fn delay(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        delay if delay <= MAX_DELAY => Ok(delay),
        _ => Err(format!("`{text}` is too long: the limit is 10m")),
    }
}

fn named(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    match !text.is_empty() && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no name: use lowercase letters and `_`")),
    }
}

fn odd(text: &str) -> Result<Odd, String> {
    match text {
        "event" => Ok(Odd::Event),
        "delta" => Ok(Odd::Delta),
        "block" => Ok(Odd::Block),
        _ => Err("write `unknown event`, `unknown delta` or `unknown block`".to_owned()),
    }
}

/// Returns a text of `count` words.
fn words(count: usize) -> String {
    const WORDS: [&str; 8] = ["the", "tide", "comes", "in", "and", "goes", "out", "again"];
    let mut text = String::with_capacity(count * 5);
    for n in 0..count {
        if n > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[n % WORDS.len()]);
    }
    text
}

fn wrong(directive: &str, problem: &str) -> String {
    format!(
        "`[sim: {}]`: {problem} (all directives: docs/reference/simulator-directives.md)",
        shorten(directive)
    )
}

fn shorten(text: &str) -> String {
    text.trim().chars().take(80).collect()
}
