//! `Machine`: turns the steps of a translated answer into a Messages stream. It alone keeps the grammar:
//! one open block at a time, indexes without gaps, calls that wait for their id and name, and an end that
//! comes once.
mod ending;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

use serde_json::json;

use crate::error::{Error, ErrorKind, Origin, Result, UpstreamOrigin};
use crate::providers::translate::envelope::Seal;
use crate::providers::translate::names::{self, Names};
use crate::providers::translate::ops::{Failure, Finish, Op, Tokens};
use crate::providers::translate::stops::Stops;
use crate::wire::Event;
use crate::wire::compose::{Composer, Delta};
use crate::wire::message::{Fold, is_object};

/// The facts for an answer that the request decides.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The model's name that the client requested.
    pub(crate) asked_model: String,
    /// The upstream's model.
    pub(crate) model: String,
    /// The estimate of the input tokens, for `message_start`.
    pub(crate) estimate: u64,
    /// The way back for the names of tools.
    pub(crate) names: Names,
    /// The stop sequences that the gateway applies.
    pub(crate) stops: Vec<String>,
    /// The seal of the reasoning.
    pub(crate) seal: Seal,
    /// Whether the client receives the text of the reasoning.
    pub(crate) shows_thinking: bool,
}

/// The part of an answer that becomes one content block.
#[derive(Debug)]
enum Segment {
    /// Text that is not written yet.
    Text(String),
    /// Reasoning that is not written yet, and its payload.
    Thinking {
        text: String,
        payload: Option<String>,
    },
    Call(Call),
    /// A whole block.
    Block(String),
}

#[derive(Debug)]
struct Call {
    key: u64,
    id: Option<String>,
    name: Option<String>,
    args: String,
    /// The length of the part of `args` that is written.
    written: usize,
}

/// The state of one answer.
pub(crate) struct Machine {
    frame: Frame,
    stops: Stops,
    composer: Composer,
    /// The blocks that are not finished; the first one is written while it arrives.
    segments: VecDeque<Segment>,
    /// Whether the block of the first segment has begun.
    is_open: bool,
    has_begun: bool,
    has_ended: bool,
    has_calls: bool,
    ids: HashSet<String>,
    closed: HashSet<u64>,
    finish: Option<Finish>,
    tokens: Option<Tokens>,
    /// The bytes of text, reasoning and arguments, for an estimate of the output.
    bytes: u64,
    is_whole: bool,
}

impl Machine {
    /// Makes the machine of a stream.
    pub(crate) fn new(mut frame: Frame) -> Self {
        let stops = Stops::new(std::mem::take(&mut frame.stops));
        Self {
            frame,
            stops,
            composer: Composer::new(),
            segments: VecDeque::new(),
            is_open: false,
            has_begun: false,
            has_ended: false,
            has_calls: false,
            ids: HashSet::new(),
            closed: HashSet::new(),
            finish: None,
            tokens: None,
            bytes: 0,
            is_whole: false,
        }
    }

    /// Returns the message of a whole answer. Its steps pass through the same machine.
    ///
    /// Fails if the upstream's answer failed, or holds a call with arguments that are no JSON object.
    pub(crate) fn whole(frame: Frame, ops: Vec<Op>) -> Result<Vec<u8>> {
        let mut machine = Self { is_whole: true, ..Self::new(frame) };
        let mut fold = Fold::default();
        let mut events = machine.push(ops)?;
        events.extend(machine.end()?);
        for event in events {
            fold.push(&event)?;
        }
        Ok(fold.finish()?.to_vec())
    }

    /// Returns whether the stream has its last event.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Takes steps and returns the events that they complete.
    ///
    /// Fails if the answer failed; nothing may follow.
    pub(crate) fn push(&mut self, ops: Vec<Op>) -> Result<Vec<Event>> {
        for op in ops {
            if self.has_ended {
                break;
            }
            self.take(op)?;
        }
        self.composer.take()
    }

    /// Begins the message before its content, with a ping, so that a silent upstream does not look dead.
    pub(crate) fn begin_early(&mut self) -> Result<Vec<Event>> {
        if !self.has_begun {
            self.begin();
            self.composer.pass(Event::ping());
        }
        self.composer.take()
    }

    /// Ends the answer where the body ended.
    ///
    /// Fails if the upstream gave no reason for the end: the stream was cut.
    pub(crate) fn end(&mut self) -> Result<Vec<Event>> {
        if !self.has_ended {
            if self.finish.is_none() {
                return Err(bad("the upstream's stream broke off"));
            }
            self.close()?;
        }
        self.composer.take()
    }

    fn take(&mut self, op: Op) -> Result<()> {
        match op {
            Op::Fail(failure) => return Err(failed(failure)),
            Op::Usage(tokens) => self.tokens = Some(tokens),
            Op::Done => {
                self.finish.get_or_insert(Finish::Turn);
                return self.close();
            }
            Op::Finish(finish) => {
                self.finish.get_or_insert(finish);
            }
            // the upstream has named the reason of the end: later content is no part of the answer
            _ if self.finish.is_some() => {}
            Op::Text(text) => return self.text(text),
            Op::TextEnd => self.end_block(),
            Op::Thinking(text) => self.thinking(text),
            Op::Signature(payload) => self.signature(payload),
            Op::Call { key, id, name } => self.call(key, id, name),
            Op::Args { key, json } => self.args(key, &json)?,
            Op::Block(block) => {
                self.end_text();
                self.segments.push_back(Segment::Block(block));
            }
        }
        if !self.is_whole {
            self.advance(false)?;
        }
        Ok(())
    }

    fn text(&mut self, text: String) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.bytes += text.len() as u64;
        let cut = self.stops.push(text);
        self.add_text(cut.text);
        if let Some(stop) = cut.stop {
            self.finish = Some(Finish::Stop(stop));
            return self.close();
        }
        match self.is_whole {
            true => Ok(()),
            false => self.advance(false),
        }
    }

    fn add_text(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        match self.segments.back_mut() {
            Some(Segment::Text(held)) => held.push_str(&text),
            _ => self.segments.push_back(Segment::Text(text)),
        }
    }

    /// Ends the text before another kind of block.
    fn end_text(&mut self) {
        let held = self.stops.flush();
        self.add_text(held);
    }

    /// Ends the block of the text, so that more text begins another one.
    fn end_block(&mut self) {
        self.end_text();
        if let Some(Segment::Text(_)) = self.segments.back() {
            self.segments.push_back(Segment::Text(String::new()));
        }
    }

    fn thinking(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        self.end_text();
        self.bytes += text.len() as u64;
        match self.segments.back_mut() {
            Some(Segment::Thinking { text: held, payload: None }) => held.push_str(&text),
            _ => self.segments.push_back(Segment::Thinking { text, payload: None }),
        }
    }

    fn signature(&mut self, signed: String) {
        self.end_text();
        match self.segments.back_mut() {
            Some(Segment::Thinking { payload: payload @ None, .. }) => *payload = Some(signed),
            _ => {
                let text = String::new();
                self.segments.push_back(Segment::Thinking { text, payload: Some(signed) });
            }
        }
    }

    fn find(&mut self, key: u64) -> Option<&mut Call> {
        self.segments.iter_mut().rev().find_map(|segment| match segment {
            Segment::Call(call) if call.key == key => Some(call),
            _ => None,
        })
    }

    fn call(&mut self, key: u64, id: Option<String>, name: Option<String>) {
        let (id, name) = (filled(id), filled(name));
        let is_closed = self.closed.contains(&key);
        match self.find(key) {
            Some(call) => {
                call.id = call.id.take().or(id);
                call.name = call.name.take().or(name);
            }
            None if is_closed => {}
            None => {
                self.end_text();
                self.has_calls = true;
                let args = String::new();
                self.segments.push_back(Segment::Call(Call { key, id, name, args, written: 0 }));
            }
        }
    }

    /// Adds arguments. Fails if the call has ended already.
    fn args(&mut self, key: u64, json: &str) -> Result<()> {
        if json.is_empty() {
            return Ok(());
        }
        self.bytes += json.len() as u64;
        let is_closed = self.closed.contains(&key);
        match self.find(key) {
            Some(call) => call.args.push_str(json),
            None if json.trim().is_empty() => {}
            None if is_closed => {
                return Err(bad("the upstream sent arguments of a tool call after its end"));
            }
            None => {
                self.call(key, None, None);
                if let Some(call) = self.find(key) {
                    call.args.push_str(json);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        let message = json!({
            "id": format!("msg_{}", random_id()),
            "type": "message",
            "role": "assistant",
            "model": self.frame.asked_model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": {
                "input_tokens": self.frame.estimate,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 0,
            },
        });
        self.composer.start(message.to_string().as_bytes());
    }

    /// Writes the part of the segments that is ready. Every segment is ready at the end of the answer.
    fn advance(&mut self, is_end: bool) -> Result<()> {
        while let Some(mut segment) = self.segments.pop_front() {
            let is_last = self.segments.is_empty() && !is_end;
            let is_done = match &mut segment {
                Segment::Text(text) => self.write_text(text, is_last),
                Segment::Thinking { text, payload } => {
                    self.write_thinking(text, payload.as_deref(), is_last)
                }
                Segment::Call(call) => self.write_call(call, is_last, is_end)?,
                Segment::Block(block) => {
                    self.open(block.as_bytes());
                    true
                }
            };
            if !is_done {
                self.segments.push_front(segment);
                return Ok(());
            }
            if std::mem::take(&mut self.is_open) {
                self.composer.close();
            }
        }
        Ok(())
    }

    fn open(&mut self, block: &[u8]) {
        if !self.is_open {
            self.begin();
            self.is_open = true;
            self.composer.block(block);
        }
    }

    fn write_text(&mut self, text: &mut String, is_last: bool) -> bool {
        if !text.is_empty() {
            self.open(br#"{"type":"text","text":""}"#);
            self.composer.delta(Delta::Text, text);
            text.clear();
        }
        !is_last
    }

    fn write_thinking(&mut self, text: &mut String, payload: Option<&str>, is_last: bool) -> bool {
        self.open(br#"{"type":"thinking","thinking":"","signature":""}"#);
        let is_shown = self.frame.shows_thinking;
        if !text.is_empty() && is_shown {
            self.composer.delta(Delta::Thinking, text);
            text.clear();
        }
        let is_done = !is_last || payload.is_some();
        if is_done {
            // a hidden text has no other place in which it could come back
            let signature = self.frame.seal.close(&self.frame.model, payload.unwrap_or(text));
            self.composer.delta(Delta::Signature, &signature);
        }
        is_done
    }

    fn write_call(&mut self, call: &mut Call, is_last: bool, is_end: bool) -> Result<bool> {
        if is_end && self.is_whole && !self.is_usable(call)? {
            return Ok(true);
        }
        let is_identified = call.id.is_some() || !call.args.is_empty() || !is_last;
        let is_known = call.name.is_some() && is_identified;
        if !is_known {
            return match is_end {
                true => Err(bad("the upstream sent a tool call without a name")),
                false => Ok(false),
            };
        }
        if !self.is_open {
            let id =
                call.id.take().map_or_else(|| format!("toolu_{}", random_id()), names::for_client);
            let id = self.unique(id);
            let name = self.frame.names.back(call.name.clone().unwrap_or_default());
            let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            call.id = Some(id);
            self.open(block.to_string().as_bytes());
        }
        if let Some(more @ [_, ..]) = call.args.as_bytes().get(call.written..) {
            let more = String::from_utf8_lossy(more).into_owned();
            self.composer.delta(Delta::Input, &more);
            call.written = call.args.len();
        }
        let is_done = is_end || (!is_last && is_complete(&call.args));
        if is_done {
            self.closed.insert(call.key);
        }
        Ok(is_done)
    }

    /// Returns whether a whole answer may hold a call. A call that the limit of tokens cut is left out.
    ///
    /// Fails if its arguments are no JSON object.
    fn is_usable(&self, call: &Call) -> Result<bool> {
        if call.args.trim().is_empty() || is_object(call.args.as_bytes()) {
            return Ok(true);
        }
        match self.finish {
            Some(Finish::MaxTokens) => Ok(false),
            _ => {
                let name = call.name.clone().unwrap_or_default();
                let name = self.frame.names.back(name);
                let shown: String = name.chars().take(128).collect();
                Err(bad(&format!(
                    "the upstream's call of the tool `{shown}` has arguments that are no JSON object"
                )))
            }
        }
    }

    /// Returns the id, changed if an earlier call of this answer has it.
    fn unique(&mut self, id: String) -> String {
        let mut unique = id.clone();
        let mut n = 2;
        while !self.ids.insert(unique.clone()) {
            unique = format!("{id}_{n}");
            n += 1;
        }
        unique
    }

    /// Returns an estimate of the tokens, for an upstream that reports none.
    fn estimated(&self) -> Tokens {
        let (input, output) = (self.frame.estimate, self.bytes.div_ceil(4));
        Tokens { input, output, ..Tokens::default() }
    }

    /// Writes the rest of the answer and its end.
    fn close(&mut self) -> Result<()> {
        self.end_text();
        self.begin();
        self.advance(true)?;
        self.has_ended = true;
        let tokens = self.tokens.unwrap_or_else(|| self.estimated());
        let end = ending::message_delta(self.finish.as_ref(), self.has_calls, tokens);
        self.composer.end(end.to_string().as_bytes());
        self.composer.stop();
        Ok(())
    }
}

/// Returns the error of a failed answer, with the status that the upstream would have had to send.
fn failed(failure: Failure) -> Error {
    let Failure { kind, status, message, retry_after } = failure;
    let status = http::StatusCode::from_u16(status).ok();
    let origin = UpstreamOrigin { status, retry_after, ..UpstreamOrigin::default() };
    let mut error = Error::new(kind, message).with_origin(Origin::Upstream(Box::new(origin)));
    error.status = status;
    error
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadUpstream, message)
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Returns whether arguments are a complete JSON object.
fn is_complete(args: &str) -> bool {
    args.trim_end().ends_with('}') && is_object(args.as_bytes())
}

fn random_id() -> String {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    (0..24).map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())])).collect()
}
