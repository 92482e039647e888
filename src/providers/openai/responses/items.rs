//! The messages of a conversation as items: one flat list in which each call has an output, and reasoning stands
//! before the item that it led to.
use std::borrow::Cow;

use super::body::{Content, Item, Message, Typed};
use super::encoder::{Encoder, Purpose};
use super::thoughts::Payload;
use crate::providers::openai::pieces::{Piece, PieceBody};
use crate::providers::openai::profile::MidSystem;
use crate::providers::openai::turn::Turn;
use crate::providers::translate::conversation::{self as asked, BlockBody, Role, input_json};
use crate::providers::translate::names;
use crate::providers::translate::texts;

/// The items under construction.
#[derive(Default)]
struct Assembler<'a> {
    out: Vec<Item<'a>>,
    turn: Turn<'a>,
    /// Reasoning that waits for the item that it led to.
    thoughts: Vec<(Payload, &'a str)>,
}

/// Returns the instructions and the items of the conversation.
pub(super) fn items<'a>(encoder: &mut Encoder<'a>) -> (Option<Cow<'a, str>>, Vec<Item<'a>>) {
    let mut assembler = Assembler::default();
    let instructions = encoder.system(&mut assembler);
    let conversation = encoder.draft.conversation;
    let begin = assembler.out.len();
    for (n, message) in conversation.messages.iter().enumerate() {
        let place = format!("/messages/{n}/content");
        match message.role {
            Role::System => encoder.mid_system(message, &mut assembler),
            Role::User => encoder.draft.user(message, &place, &mut assembler.turn),
            Role::Assistant => encoder.assistant(message, &place, &mut assembler),
        }
    }
    assembler.settle(encoder);
    match assembler.out.last() {
        Some(Item::Message(last)) if last.role == "assistant" => encoder.draft.report_prefill(),
        _ => {}
    }
    if assembler.out.len() == begin {
        assembler.out.clear();
    }
    (instructions, assembler.out)
}

impl<'a> Assembler<'a> {
    /// Writes the outputs of the last calls, and the user's message after them. Reasoning that led to nothing
    /// is left out: the server takes it only before the item after it.
    fn settle(&mut self, encoder: &Encoder<'_>) {
        self.thoughts.clear();
        let sorted = self.turn.sort();
        for (id, pieces) in sorted.results {
            let call_id = names::for_upstream(id, encoder.draft.profile.ids);
            let output = Content::of(pieces);
            self.out.push(Item::Typed(Typed::FunctionCallOutput { call_id, output }));
        }
        for text in sorted.system {
            self.out.push(Item::message("developer", Content::Text(text)));
        }
        if !sorted.user.is_empty() {
            self.out.push(Item::message("user", Content::parts(sorted.user)));
        }
    }

    /// Writes the reasoning that led to the next item. Returns the phase of that item.
    fn think(&mut self) -> Option<String> {
        let mut phase = None;
        for (mut payload, text) in self.thoughts.drain(..) {
            phase = payload.phase.take();
            self.out.push(Item::Typed(Typed::Reasoning(payload.item(text))));
        }
        phase
    }

    fn say(&mut self, text: Cow<'a, str>) {
        let phase = self.think();
        let content = Content::Text(text);
        self.out.push(Item::Message(Message { role: "assistant", content, phase }));
    }
}

impl<'a> Encoder<'a> {
    /// Returns the instructions. They are an item instead if they have cache breakpoints.
    fn system(&mut self, assembler: &mut Assembler<'a>) -> Option<Cow<'a, str>> {
        let mut pieces = Vec::new();
        for (text, block) in texts::system(&self.draft.conversation.system) {
            let mark = self.draft.mark(block);
            pieces.push(Piece { body: PieceBody::Text(text.into()), mark });
        }
        pieces.extend(self.draft.json_hint().map(Piece::text));
        if pieces.iter().any(|piece| piece.mark.is_some()) {
            assembler.out.push(Item::message("developer", Content::parts(pieces)));
            return None;
        }
        let texts = pieces.into_iter().filter_map(|piece| match piece.body {
            PieceBody::Text(text) => Some(text),
            PieceBody::Image(_) | PieceBody::File { .. } => None,
        });
        let mut texts: Vec<Cow<'a, str>> = texts.collect();
        match texts.len() {
            0 | 1 => texts.pop(),
            _ => Some(texts.join("\n\n").into()),
        }
    }

    fn mid_system(&mut self, message: &'a asked::Message<'a>, assembler: &mut Assembler<'a>) {
        for (text, _) in texts::system(&message.content) {
            if self.draft.profile.mid_system == MidSystem::User {
                assembler.turn.extend([Piece::text(texts::marked_system(text))]);
                continue;
            }
            if !assembler.turn.has_calls() {
                assembler.settle(self);
            }
            assembler.turn.system(text.into());
        }
    }

    fn assistant(
        &mut self,
        message: &'a asked::Message<'a>,
        place: &str,
        assembler: &mut Assembler<'a>,
    ) {
        if !assembler.turn.is_fresh() {
            assembler.settle(self);
        }
        for (n, block) in message.content.0.iter().enumerate() {
            match &block.body {
                BlockBody::Text(text) if text.is_empty() => {}
                BlockBody::Thinking { text, signature } => {
                    assembler.thoughts.extend(self.earlier(text, signature));
                }
                BlockBody::RedactedThinking => {}
                BlockBody::ToolUse { id, name, input } => {
                    assembler.think();
                    assembler.turn.call(id);
                    assembler.out.push(Item::Typed(Typed::FunctionCall {
                        call_id: names::for_upstream(id, self.draft.profile.ids),
                        name: self.draft.name(name),
                        arguments: input_json(input).into(),
                    }));
                }
                _ => {
                    let place = format!("{place}/{n}");
                    let left_out = || self.draft.left_out(block, &place).into();
                    assembler.say(block.as_text().unwrap_or_else(left_out));
                }
            }
        }
    }

    /// Returns the reasoning of an earlier answer, if this provider made it.
    fn earlier(&self, text: &'a str, signature: &str) -> Option<(Payload, &'a str)> {
        if self.purpose == Purpose::WithoutReasoning {
            return None;
        }
        let payload = self.draft.seal.open(self.draft.model, signature)?;
        Some((Payload::read(&payload)?, text))
    }
}
