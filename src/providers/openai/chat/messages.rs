//! The messages of a conversation as Chat Completions takes them: the results of tools stand directly after
//! their calls, and media of results move into the user's message after them.
use std::borrow::Cow;

use serde_json::{Value, json};

use super::body::{
    Assistant, Call, Content, File, Function, ImageUrl, MediaUrl, Message, Part, PartBody,
};
use super::encode::Encoder;
use crate::providers::openai::profile::{
    CacheForm, History, Media, MidSystem, Prefill, SystemForm,
};
use crate::providers::translate::conversation::{
    self as asked, Block, BlockBody, Role, Source, input_json,
};
use crate::providers::translate::names;
use crate::providers::translate::texts;

/// The text for a call without a result.
const NO_RESULT: &str = "[no result]";

/// The messages under construction.
#[derive(Default)]
struct Assembler<'a> {
    out: Vec<Message<'a>>,
    /// The calls of the last message of the assistant, with their results.
    calls: Vec<Pending<'a>>,
    /// Parts of the user's message after the results.
    after: Vec<Part<'a>>,
    /// System messages that came between calls and results.
    late: Vec<Cow<'a, str>>,
}

struct Pending<'a> {
    /// The id as the client knows it.
    id: &'a str,
    result: Option<Content<'a>>,
}

/// Returns the messages of the conversation.
pub(super) fn messages<'a>(encoder: &mut Encoder<'a>) -> Vec<Message<'a>> {
    let mut assembler = Assembler::default();
    encoder.system(&mut assembler);
    let conversation = encoder.conversation;
    for (n, message) in conversation.messages.iter().enumerate() {
        let place = format!("/messages/{n}/content");
        match message.role {
            Role::System => encoder.mid_system(message, &mut assembler),
            Role::User => encoder.user(message, &place, &mut assembler),
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
        for call in std::mem::take(&mut self.calls) {
            let content = call.result.unwrap_or(Content::Text(Cow::Borrowed(NO_RESULT)));
            let tool_call_id = names::for_upstream(call.id, encoder.profile.ids);
            self.out.push(Message::Tool { tool_call_id, content });
        }
        for text in std::mem::take(&mut self.late) {
            self.out.push(Message::System { content: Content::Text(text) });
        }
        if !self.after.is_empty() {
            let content = Content::of(std::mem::take(&mut self.after));
            self.out.push(Message::User { content });
        }
    }

    fn find(&mut self, id: &str) -> Option<&mut Pending<'a>> {
        self.calls.iter_mut().find(|call| call.id == id)
    }
}

impl<'a> Encoder<'a> {
    fn system(&mut self, assembler: &mut Assembler<'a>) {
        let mut parts = Vec::new();
        for (text, block) in texts::system(&self.conversation.system) {
            parts.push(self.part(PartBody::Text { text: text.into() }, block));
        }
        if let Some(text) = self.json_hint() {
            parts.push(Part::text(text));
        }
        if parts.is_empty() {
            return;
        }
        let content = match self.profile.system {
            SystemForm::Parts if parts.len() > 1 => Content::Parts(parts),
            _ => Content::of(parts),
        };
        assembler.out.push(Message::System { content });
    }

    fn mid_system(&mut self, message: &'a asked::Message<'a>, assembler: &mut Assembler<'a>) {
        for (text, _) in texts::system(&message.content) {
            match self.profile.mid_system {
                MidSystem::User => assembler.after.push(Part::text(texts::marked_system(text))),
                MidSystem::Same if assembler.calls.is_empty() => {
                    assembler.settle(self);
                    assembler.out.push(Message::System { content: Content::Text(text.into()) });
                }
                MidSystem::Same => assembler.late.push(text.into()),
            }
        }
    }

    fn user(
        &mut self,
        message: &'a asked::Message<'a>,
        place: &str,
        assembler: &mut Assembler<'a>,
    ) {
        for (n, block) in message.content.0.iter().enumerate() {
            let place = format!("{place}/{n}");
            match &block.body {
                BlockBody::ToolResult { id, content, is_error } => {
                    let result = self.result(id, content, *is_error, &place);
                    let (own, moved) = result;
                    match assembler.find(id) {
                        Some(call) if call.result.is_none() => call.result = Some(own),
                        _ => {
                            assembler.after.push(Part::text(format!("[result of the call {id}]")));
                            match own {
                                Content::Text(text) => assembler.after.push(Part::text(text)),
                                Content::Parts(parts) => assembler.after.extend(parts),
                            }
                        }
                    }
                    assembler.after.extend(moved);
                }
                _ => {
                    let parts = self.parts(block, &place);
                    assembler.after.extend(parts);
                }
            }
        }
    }

    /// Returns the content of a result, and the media that cannot stand in it.
    fn result(
        &mut self,
        id: &'a str,
        content: &'a asked::Content<'a>,
        is_error: bool,
        place: &str,
    ) -> (Content<'a>, Vec<Part<'a>>) {
        let (mut texts, mut media, mut moved): (Vec<Cow<'a, str>>, _, _) =
            (Vec::new(), Vec::new(), Vec::new());
        for (n, block) in content.0.iter().enumerate() {
            let place = format!("{place}/content/{n}");
            for part in self.parts(block, &place) {
                match part.body {
                    PartBody::Text { text } => texts.push(text),
                    _ if self.profile.tool_images => media.push(part),
                    _ => {
                        let number = moved.len() / 2 + 1;
                        let name = format!("[media {number} of the result of call {id}");
                        texts.push(format!("{name} is in the next message of the user]").into());
                        moved.push(Part::text(format!("{name}]")));
                        moved.push(part);
                    }
                }
            }
        }
        let mut text = texts.join("\n");
        if is_error && !text.starts_with("Error:") {
            text = if text.is_empty() { "Error".to_owned() } else { format!("Error: {text}") };
        }
        match media.is_empty() {
            true => (Content::Text(text.into()), moved),
            false => {
                let mut parts = vec![Part::text(text)];
                parts.extend(media);
                (Content::Parts(parts), moved)
            }
        }
    }

    /// Returns a block of the user as parts. A block that cannot be carried becomes a visible line.
    fn parts(&mut self, block: &'a Block<'a>, place: &str) -> Vec<Part<'a>> {
        let body = match &block.body {
            BlockBody::Text(text) if text.is_empty() => return Vec::new(),
            BlockBody::Image(source) => self.image(source),
            BlockBody::Document { source: Source::Content(content), title, context } => {
                return self.document_content(content, title.as_deref(), context.as_deref(), place);
            }
            BlockBody::Document { source, title, .. } if !matches!(source, Source::Text(_)) => {
                self.pdf(source, title.as_deref())
            }
            _ => block.as_text().map(|text| PartBody::Text { text }),
        };
        if block.has_citations {
            self.drop_content("citations", place, "the server cites nothing");
        }
        match body {
            Some(body) => vec![self.part(body, block)],
            None => vec![self.left_out(block, place)],
        }
    }

    fn left_out(&mut self, block: &'a Block<'a>, place: &str) -> Part<'a> {
        let (kind, title) = match &block.body {
            BlockBody::Image(_) => ("image", None),
            BlockBody::Document { title, .. } => ("document", title.as_deref()),
            BlockBody::Other(kind) => (&**kind, None),
            _ => ("unknown", None),
        };
        self.drop_content(format!("block:{kind}"), place, "the server takes no such block");
        Part::text(texts::placeholder(kind, title))
    }

    fn image(&mut self, source: &'a Source<'a>) -> Option<PartBody<'a>> {
        let url = match (source, self.profile.images) {
            (_, Media::None) => return None,
            (Source::Base64 { media_type, data }, _) => {
                MediaUrl::Data { media_type: media_type.clone(), data: data.clone() }
            }
            (Source::Url(url), Media::Url) => MediaUrl::Address(url.clone()),
            (Source::Url(url), Media::Inline) => self.fetched(url)?,
            _ => return None,
        };
        Some(PartBody::ImageUrl { image_url: ImageUrl { url } })
    }

    fn pdf(&mut self, source: &'a Source<'a>, title: Option<&'a str>) -> Option<PartBody<'a>> {
        let file_data = match (source, self.profile.pdf) {
            (_, Media::None) => return None,
            (Source::Base64 { media_type, data }, _) => {
                MediaUrl::Data { media_type: media_type.clone(), data: data.clone() }
            }
            (Source::Url(url), Media::Url) => MediaUrl::Address(url.clone()),
            (Source::Url(url), Media::Inline) => self.fetched(url)?,
            _ => return None,
        };
        let filename = title.filter(|title| !title.is_empty()).unwrap_or("document.pdf").into();
        Some(PartBody::File { file: File { filename, file_data } })
    }

    fn document_content(
        &mut self,
        content: &'a asked::Content<'a>,
        title: Option<&str>,
        context: Option<&str>,
        place: &str,
    ) -> Vec<Part<'a>> {
        let mut parts = vec![Part::text(texts::document(title, context, ""))];
        parts.retain(|part| !matches!(&part.body, PartBody::Text { text } if text.is_empty()));
        for (n, block) in content.0.iter().enumerate() {
            parts.extend(self.parts(block, &format!("{place}/source/content/{n}")));
        }
        parts
    }

    fn part(&mut self, body: PartBody<'a>, block: &'a Block<'a>) -> Part<'a> {
        let mut part = Part::of(body);
        if let Some(control) = block.cache_control.filter(|control| control.get() != "null") {
            match self.profile.cache {
                CacheForm::Control => part.cache_control = Some(control),
                CacheForm::Breakpoints if self.facts.takes_breakpoints => {
                    part.prompt_cache_breakpoint = Some(json!({"mode": "explicit"}));
                    self.has_breakpoints = true;
                }
                CacheForm::Breakpoints | CacheForm::None => self.drop_hint("cache_control", ""),
            }
        }
        part
    }

    fn assistant(
        &mut self,
        message: &'a asked::Message<'a>,
        place: &str,
        assembler: &mut Assembler<'a>,
    ) {
        let is_same = assembler.after.is_empty()
            && assembler.calls.iter().all(|call| call.result.is_none())
            && assembler.late.is_empty();
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
                    assembler.calls.push(Pending { id, result: None });
                    before.tool_calls.push(Call {
                        id: names::for_upstream(id, self.profile.ids),
                        kind: "function",
                        function: Function {
                            name: self.names.forth(name, super::encode::NAMES),
                            arguments: input_json(input).into(),
                        },
                    });
                }
                _ => match block.as_text() {
                    Some(text) => texts.push(text),
                    None => {
                        let part = self.left_out(block, &format!("{place}/{n}"));
                        if let PartBody::Text { text } = part.body {
                            texts.push(text);
                        }
                    }
                },
            }
        }
        before.content = match texts.len() {
            0 => None,
            1 => texts.pop().map(Content::Text),
            _ => Some(Content::Text(texts.join("\n\n").into())),
        };
        reasoning.put(self.profile.history, self.profile.history_with_calls, &mut before);
        if before.content.is_none() && before.tool_calls.is_empty() {
            before.content = Some(Content::Text(Cow::Borrowed("")));
        }
        assembler.out.push(Message::Assistant(before));
    }

    /// Takes the reasoning of an earlier turn, if this provider made it.
    fn earlier_reasoning(&self, text: &str, signature: &str, reasoning: &mut Reasoning) {
        if self.profile.history == History::None {
            return;
        }
        let Some(payload) = self.seal.open(self.model, signature) else { return };
        if self.profile.history == History::Details {
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
        match self.profile.prefill {
            Prefill::None => {
                let place = format!("/messages/{}", self.conversation.messages.len() - 1);
                self.drop_content("prefill", place, "the server does not continue an answer");
            }
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
