//! `Turn`: the part of a conversation between two messages of the assistant. It sorts the results of calls to
//! the front, because servers accept them only there.
use std::borrow::Cow;

use crate::providers::openai::draft::Draft;
use crate::providers::openai::pieces::{Piece, PieceBody};
use crate::providers::translate::conversation::{self as asked, BlockBody};

/// The text for a call without a result.
const NO_RESULT: &str = "[no result]";

/// A turn under construction.
#[derive(Debug, Default)]
pub(super) struct Turn<'a> {
    /// The calls of the assistant before, with their results.
    calls: Vec<Pending<'a>>,
    /// System messages. They come after the results.
    system: Vec<Cow<'a, str>>,
    /// The user's message after the results.
    after: Vec<Piece<'a>>,
}

#[derive(Debug)]
struct Pending<'a> {
    /// The id as the client knows it.
    id: &'a str,
    result: Option<Vec<Piece<'a>>>,
}

/// A turn in the order in which servers receive it.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    /// The result of each call, in the order of the calls.
    pub(super) results: Vec<(&'a str, Vec<Piece<'a>>)>,
    pub(super) system: Vec<Cow<'a, str>>,
    pub(super) user: Vec<Piece<'a>>,
}

impl<'a> Turn<'a> {
    /// Notes a call that needs a result.
    pub(super) fn call(&mut self, id: &'a str) {
        self.calls.push(Pending { id, result: None });
    }

    /// Returns whether calls wait for their results.
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Returns whether nothing came after the calls.
    pub(super) fn is_fresh(&self) -> bool {
        let has_result = self.calls.iter().any(|call| call.result.is_some());
        self.after.is_empty() && self.system.is_empty() && !has_result
    }

    /// Adds the result of a call. A result without a call becomes text of the user.
    pub(super) fn result(&mut self, id: &'a str, pieces: Vec<Piece<'a>>) {
        let waits = |call: &&mut Pending<'_>| call.id == id && call.result.is_none();
        match self.calls.iter_mut().find(waits) {
            Some(call) => call.result = Some(pieces),
            None => {
                self.after.push(Piece::text(format!("[result of the call {id}]")));
                self.after.extend(pieces);
            }
        }
    }

    /// Adds a system message.
    pub(super) fn system(&mut self, text: Cow<'a, str>) {
        self.system.push(text);
    }

    /// Adds pieces of the user.
    pub(super) fn extend(&mut self, pieces: impl IntoIterator<Item = Piece<'a>>) {
        self.after.extend(pieces);
    }

    /// Ends the turn. A call without a result gets a text that says so.
    pub(super) fn sort(&mut self) -> Sorted<'a> {
        let turn = std::mem::take(self);
        let result = |call: Pending<'a>| {
            (call.id, call.result.unwrap_or_else(|| vec![Piece::text(NO_RESULT)]))
        };
        let results = turn.calls.into_iter().map(result).collect();
        Sorted { results, system: turn.system, user: turn.after }
    }
}

/// Returns the pieces of a result. Those of a failed call say so.
fn outcome(mut pieces: Vec<Piece<'_>>, is_error: bool) -> Vec<Piece<'_>> {
    if !is_error {
        return pieces;
    }
    match pieces.first_mut().map(|piece| &mut piece.body) {
        Some(PieceBody::Text(text)) if text.starts_with("Error:") => {}
        Some(PieceBody::Text(text)) => *text = format!("Error: {text}").into(),
        _ => pieces.insert(0, Piece::text("Error")),
    }
    pieces
}

impl<'a> Draft<'a> {
    /// Adds a message of the user to the turn.
    pub(super) fn user(
        &mut self,
        message: &'a asked::Message<'a>,
        place: &str,
        turn: &mut Turn<'a>,
    ) {
        for (n, block) in message.content.0.iter().enumerate() {
            let place = format!("{place}/{n}");
            match &block.body {
                BlockBody::ToolResult { id, content, is_error } => {
                    let inner = content.0.iter().enumerate();
                    let inner =
                        inner.map(|(n, one)| self.pieces(one, &format!("{place}/content/{n}")));
                    let mut pieces: Vec<Piece<'a>> = inner.flatten().collect();
                    let mut mark = self.mark(block);
                    pieces
                        .iter_mut()
                        .next_back()
                        .into_iter()
                        .for_each(|last| last.set_mark(mark.take()));
                    turn.result(id, outcome(pieces, *is_error));
                }
                _ => {
                    let pieces = self.pieces(block, &place);
                    turn.extend(pieces);
                }
            }
        }
    }
}
