//! The messages of a conversation as Chat Completions takes them: the results of tools stand directly after
//! their calls, and media of results move into the user's message after them.
use std::borrow::Cow;

use serde_json::Value;

use super::body::{Assistant, Call, Content, Function, Message, Part};
use super::encoder::Encoder;
use crate::providers::openai::pieces::{Piece, PieceBody};
use crate::providers::openai::profile::{History, MidSystem, Prefill, SystemForm};
use crate::providers::openai::turn::Turn;
use crate::providers::translate::conversation::{self as asked, BlockBody, Role, input_json};
use crate::providers::translate::names;
use crate::providers::translate::texts;

/// The messages under construction.
#[derive(Default)]
struct Assembler<'a> {
    out: Vec<Message<'a>>,
    turn: Turn<'a>,
}

/// Returns the messages of the conversation.
pub(super) fn messages<'a>(encoder: &mut Encoder<'a>) -> Vec<Message<'a>> {
    let mut assembler = Assembler::default();
    encoder.system(&mut assembler);
    let conversation = encoder.draft.conversation;
    for (n, message) in conversation.messages.iter().enumerate() {
        let place = format!("/messages/{n}/content");
        match message.role {
            Role::System => encoder.mid_system(message, &mut assembler),
            Role::User => encoder.draft.user(message, &place, &mut assembler.turn),
            Role::Assistant => encoder.assistant(message, &place, &mut assembler),
        }
    }
    assembler.settle(encoder);
    encoder.prefill(&mut assembler);
    assembler.out
}

impl<'a> Assembler<'a> {
    /// Writes the results of the last calls, and the user's message after them.
    fn settle(&mut self, encoder: &Encoder<'_>) {
        let profile = encoder.draft.profile;
        let sorted = self.turn.sort();
        let mut user: Vec<Part<'a>> = Vec::new();
        for (id, pieces) in sorted.results {
            let (content, moved) = result(id, pieces, profile.tool_images);
            let tool_call_id = names::for_upstream(id, profile.ids);
            self.out.push(Message::Tool { tool_call_id, content });
            user.extend(moved);
        }
        for text in sorted.system {
            self.out.push(Message::System { content: Content::Text(text) });
        }
        user.extend(sorted.user.into_iter().map(Part::from));
        if !user.is_empty() {
            self.out.push(Message::User { content: Content::of(user) });
        }
    }
}

/// Returns the content of a result, and the media that cannot stand in it.
fn result<'a>(id: &str, pieces: Vec<Piece<'a>>, takes_media: bool) -> (Content<'a>, Vec<Part<'a>>) {
    let (mut own, mut media, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        match piece.body {
            PieceBody::Text(_) => own.push(Part::from(piece)),
            _ if takes_media => media.push(Part::from(piece)),
            _ => {
                let number = moved.len() / 2 + 1;
                let name = format!("[media {number} of the result of call {id}");
                own.push(Part::text(format!("{name} is in the next message of the user]")));
                moved.push(Part::text(format!("{name}]")));
                moved.push(Part::from(piece));
            }
        }
    }
    if media.is_empty() && own.iter().all(Part::is_plain) {
        let texts: Vec<Cow<'_, str>> = own.into_iter().filter_map(Part::into_text).collect();
        return (Content::Text(texts.join("\n").into()), moved);
    }
    own.extend(media);
    (Content::Parts(own), moved)
}

impl<'a> Encoder<'a> {
    fn system(&mut self, assembler: &mut Assembler<'a>) {
        let mut parts = Vec::new();
        for (text, block) in texts::system(&self.draft.conversation.system) {
            let mark = self.draft.mark(block);
            parts.push(Part::from(Piece { body: PieceBody::Text(text.into()), mark }));
        }
        if let Some(text) = self.draft.json_hint() {
            parts.push(Part::text(text));
        }
        if parts.is_empty() {
            return;
        }
        let content = match self.draft.profile.system {
            SystemForm::Parts if parts.len() > 1 => Content::Parts(parts),
            _ => Content::of(parts),
        };
        assembler.out.push(Message::System { content });
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
        let is_same = assembler.turn.is_fresh();
        let mut before = match assembler.out.pop() {
            Some(Message::Assistant(before)) if is_same => before,
            other => {
                assembler.out.extend(other);
                assembler.settle(self);
                Assistant::default()
            }
        };
        let mut texts: Vec<Cow<'a, str>> = match before.content.take() {
            Some(Content::Text(text)) => vec![text],
            _ => Vec::new(),
        };
        let mut reasoning = Reasoning::default();
        for (n, block) in message.content.0.iter().enumerate() {
            match &block.body {
                BlockBody::Text(text) if text.is_empty() => {}
                BlockBody::Thinking { text, signature } => {
                    self.earlier_reasoning(text, signature, &mut reasoning);
                }
                BlockBody::RedactedThinking => {}
                BlockBody::ToolUse { id, name, input } => {
                    assembler.turn.call(id);
                    before.tool_calls.push(Call {
                        id: names::for_upstream(id, self.draft.profile.ids),
                        kind: "function",
                        function: Function {
                            name: self.draft.name(name),
                            arguments: input_json(input).into(),
                        },
                    });
                }
                _ => match block.as_text() {
                    Some(text) => texts.push(text),
                    None => {
                        texts.push(self.draft.left_out(block, &format!("{place}/{n}")).into());
                    }
                },
            }
        }
        before.content = match texts.len() {
            0 => None,
            1 => texts.pop().map(Content::Text),
            _ => Some(Content::Text(texts.join("\n\n").into())),
        };
        reasoning.put(
            self.draft.profile.history,
            self.draft.profile.history_with_calls,
            &mut before,
        );
        if before.content.is_none() && before.tool_calls.is_empty() {
            before.content = Some(Content::Text(Cow::Borrowed("")));
        }
        assembler.out.push(Message::Assistant(before));
    }

    /// Takes the reasoning of an earlier turn, if this provider made it.
    fn earlier_reasoning(&self, text: &str, signature: &str, reasoning: &mut Reasoning) {
        if self.draft.profile.history == History::None {
            return;
        }
        let Some(payload) = self.draft.seal.open(self.draft.model, signature) else { return };
        if self.draft.profile.history == History::Details {
            let details = serde_json::from_str::<Vec<Value>>(&payload).unwrap_or_default();
            reasoning.details.extend(details);
        }
        reasoning.text.push_str(if text.is_empty() { &payload } else { text });
    }

    /// Marks a last message of the assistant, which the server has to continue.
    fn prefill(&mut self, assembler: &mut Assembler<'a>) {
        let Some(Message::Assistant(last)) = assembler.out.last_mut() else { return };
        if !last.tool_calls.is_empty() {
            return;
        }
        match self.draft.profile.prefill {
            Prefill::None => self.draft.report_prefill(),
            Prefill::Prefix => last.prefix = true,
            Prefill::Vllm => self.continues = true,
            Prefill::Native => {
                if let Some(Content::Text(text)) = &last.content {
                    self.prefill = Some(text.to_string());
                }
            }
        }
    }
}

/// The reasoning of one message of the assistant.
#[derive(Default)]
struct Reasoning {
    text: String,
    details: Vec<Value>,
}

impl Reasoning {
    fn put(self, history: History, is_needed: bool, message: &mut Assistant<'_>) {
        let is_due = !self.text.is_empty() || (is_needed && !message.tool_calls.is_empty());
        match history {
            History::None => {}
            History::Details if !self.details.is_empty() => {
                message.reasoning_details = Some(self.details);
            }
            History::ReasoningContent if is_due => message.reasoning_content = Some(self.text),
            History::Reasoning if is_due => message.reasoning = Some(self.text),
            History::Details | History::ReasoningContent | History::Reasoning => {}
        }
    }
}
