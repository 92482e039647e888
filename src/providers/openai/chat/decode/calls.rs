//! The tool calls of an answer. Servers number and name the pieces of a call in many ways.
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::providers::openai::members::{arguments, string};
use crate::providers::translate::ops::Op;
use crate::wire::message::is_object;

/// A piece of a call as a server sends it.
#[derive(Deserialize)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    /// The place in a whole message.
    #[serde(skip)]
    pub(super) position: Option<i64>,
}

/// The function of a piece.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The calls of one answer, in the order of their first pieces.
#[derive(Default)]
pub(super) struct Calls(Vec<Known>);

#[derive(Default)]
struct Known {
    index: Option<i64>,
    id: String,
    name: String,
    /// The arguments, as far as they decide whether another piece belongs to this call.
    args: String,
    /// Whether id and name are passed on.
    is_passed: bool,
}

/// One piece of a call.
#[derive(Debug, Default)]
pub(super) struct Piece {
    index: Option<i64>,
    id: String,
    name: String,
    args: String,
}

impl Piece {
    pub(super) fn of(call: &ToolCall<'_>) -> Self {
        let mut piece = call.function.as_ref().map(Self::of_function).unwrap_or_default();
        let index = call.index.and_then(|raw| raw.get().parse().ok());
        piece.index = call.position.or(index);
        let id = call.id.and_then(string).unwrap_or_default();
        // Mistral's servers write this for a call without an id
        piece.id = if id == "null" { String::new() } else { id.into_owned() };
        piece
    }

    pub(super) fn of_function(function: &Function<'_>) -> Self {
        Self {
            name: function.name.and_then(string).unwrap_or_default().into_owned(),
            args: arguments(function.arguments),
            ..Self::default()
        }
    }
}

impl Calls {
    /// Takes a piece.
    pub(super) fn push(&mut self, piece: Piece) -> Vec<Op> {
        let at = self.find(&piece);
        let mut ops = Vec::new();
        let at = match at {
            Some(at) => at,
            None => {
                ops.extend(self.settle());
                self.0.push(Known { index: piece.index, ..Known::default() });
                self.0.len() - 1
            }
        };
        let known = &mut self.0[at];
        if known.id.is_empty() {
            known.id = piece.id;
        }
        // an older server sends a name in pieces, and others repeat it
        if known.args.is_empty() && !known.is_passed && known.name != piece.name {
            known.name.push_str(&piece.name);
        }
        if known.name.is_empty() {
            known.name = piece.name;
        }
        if !piece.args.is_empty() {
            known.args.push_str(&piece.args);
            ops.extend(known.pass(at));
            ops.push(Op::Args { key: at as u64, json: piece.args });
        }
        ops
    }

    /// Passes on calls without arguments, once nothing more is known to come.
    pub(super) fn settle(&mut self) -> Vec<Op> {
        self.0.iter_mut().enumerate().filter_map(|(at, known)| known.pass(at)).collect()
    }

    /// Returns the call that a piece belongs to; `None` for a new one.
    fn find(&self, piece: &Piece) -> Option<usize> {
        let by_id =
            || self.0.iter().rposition(|known| !piece.id.is_empty() && known.id == piece.id);
        let Some(index) = piece.index else {
            return match piece.id.is_empty() {
                false => by_id(),
                true => self.last_open(piece),
            };
        };
        let at = self.0.iter().rposition(|known| known.index == Some(index))?;
        let known = &self.0[at];
        let is_other = !piece.id.is_empty() && !known.id.is_empty() && known.id != piece.id;
        match is_other {
            // one server numbers all calls alike, another invents an id for each piece
            true if !piece.name.is_empty() => by_id(),
            _ => Some(at),
        }
    }

    /// Returns the last call, unless a piece without id and index begins another one.
    fn last_open(&self, piece: &Piece) -> Option<usize> {
        let last = self.0.last()?;
        let begins = !piece.name.is_empty() && !last.name.is_empty() && !last.args.is_empty();
        let is_next = begins && (piece.name != last.name || is_object(last.args.as_bytes()));
        (!is_next).then_some(self.0.len() - 1)
    }
}

impl Known {
    fn pass(&mut self, at: usize) -> Option<Op> {
        if self.is_passed {
            // the name may come after the first arguments
            return None;
        }
        self.is_passed = !self.name.is_empty();
        Some(Op::Call { key: at as u64, id: Some(self.id.clone()), name: Some(self.name.clone()) })
    }
}
