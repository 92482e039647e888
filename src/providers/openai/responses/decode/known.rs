//! The items of an answer while it arrives. Servers leave out indexes or ids of items, change them, and repeat
//! events.
use std::collections::HashSet;

/// The kinds of items that have content for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call,
    Search,
    Other,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            "reasoning" => Self::Reasoning,
            "function_call" => Self::Call,
            "web_search_call" => Self::Search,
            _ => Self::Other,
        }
    }
}

/// The source of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The text of a message.
    Text,
    /// A refusal within a message.
    Refusal,
    /// The summary of reasoning.
    Summary,
    /// The reasoning itself, which only open models give.
    Content,
}

/// The place that an event names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place<'e> {
    /// `output_index`
    pub(super) index: Option<i64>,
    /// The item's id; empty if the event has none.
    pub(super) id: &'e str,
    /// The index of the part within the item.
    pub(super) part: Option<i64>,
}

/// An item.
#[derive(Debug)]
pub(super) struct Known {
    kind: Kind,
    index: Option<i64>,
    id: String,
    pub(super) is_done: bool,
    /// The number of parts that have begun.
    pub(super) begun: i64,
    /// The parts with text so far; a call has one part.
    pub(super) filled: HashSet<i64>,
    /// The source of the reasoning's text. Only one of them counts.
    pub(super) source: Option<Source>,
    /// The parts of the reasoning's text, with their lengths in bytes.
    pub(super) lengths: Vec<(i64, usize)>,
}

/// The items in the order of their first events.
#[derive(Debug, Default)]
pub(super) struct Items {
    all: Vec<Known>,
    /// The item of the last event.
    open: Option<usize>,
}

impl Items {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&mut self, at: usize) -> &mut Known {
        &mut self.all[at]
    }

    /// Returns the item that an event belongs to. An event of an unknown item begins one.
    pub(super) fn at(&mut self, place: Place<'_>, kind: Kind) -> usize {
        let at = self.find(place, kind).unwrap_or_else(|| self.begin(place, kind));
        self.open = Some(at);
        at
    }

    /// Begins the item of an event; `None` if the event repeats an earlier one.
    pub(super) fn add(&mut self, place: Place<'_>, kind: Kind) -> Option<usize> {
        let is_repeated = |known: &Known| known.kind == kind && known.is_repeated_by(place);
        if self.all.iter().rev().any(is_repeated) {
            return None;
        }
        let at = self.begin(place, kind);
        self.open = Some(at);
        Some(at)
    }

    fn begin(&mut self, place: Place<'_>, kind: Kind) -> usize {
        self.all.push(Known {
            kind,
            index: place.index,
            id: place.id.to_owned(),
            is_done: false,
            begun: 0,
            filled: HashSet::new(),
            source: None,
            lengths: Vec::new(),
        });
        self.all.len() - 1
    }

    /// Finds an item by its index, else by its id, else the open one.
    fn find(&self, place: Place<'_>, kind: Kind) -> Option<usize> {
        let last = |is_it: &dyn Fn(&Known) -> bool| {
            self.all.iter().rposition(|known| known.kind == kind && is_it(known))
        };
        let by_index = place.index.and_then(|index| last(&|known| known.index == Some(index)));
        let by_id = || last(&|known| !place.id.is_empty() && known.id == place.id);
        let open = || {
            let at = self.open.filter(|_| place.index.is_none())?;
            let known = &self.all[at];
            (known.kind == kind && !known.is_done).then_some(at)
        };
        by_index.or_else(by_id).or_else(open)
    }
}

impl Known {
    /// Returns whether a beginning at a place repeats this item's.
    fn is_repeated_by(&self, place: Place<'_>) -> bool {
        let has_its_id = !place.id.is_empty() && self.id == place.id;
        let has_other_id = !place.id.is_empty() && !self.id.is_empty() && self.id != place.id;
        match (self.index, place.index) {
            // one server gives all items one index
            (Some(own), Some(other)) => own == other && !(has_other_id && self.is_done),
            _ => has_its_id,
        }
    }

    /// Returns the index of the part that an event without one belongs to.
    pub(super) fn part(&self, place: Place<'_>) -> i64 {
        place.part.unwrap_or_else(|| (self.begun - 1).max(0))
    }
}
