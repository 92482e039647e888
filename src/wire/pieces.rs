//! `Pieces`: a text in one or more parts, so that unedited bytes are shared and not copied.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// The shortest run of unedited text, in bytes, that is shared. A copy of a shorter run is cheaper
/// than one more write.
const SHARED: usize = 16 << 10;

/// A text as parts in order. Cloning shares the parts.
#[derive(Debug, Clone)]
pub struct Pieces(Parts);

#[derive(Debug, Clone)]
enum Parts {
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Pieces {
    /// Returns the total length in bytes.
    pub fn len(&self) -> usize {
        self.as_slice().iter().map(Bytes::len).sum()
    }

    /// Returns whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the parts in order.
    pub fn as_slice(&self) -> &[Bytes] {
        match &self.0 {
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Many(parts) => parts,
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(text: Bytes) -> Self {
        Self(Parts::One(text))
    }
}

/// Builds a text from spans of other texts and from new text.
pub(super) struct Writer<'a> {
    parts: Vec<Bytes>,
    copied: BytesMut,
    /// Adjacent spans of one text that are not written yet.
    run: Option<Run<'a>>,
    shared: usize,
}

struct Run<'a> {
    text: &'a Bytes,
    start: usize,
    end: usize,
}

impl<'a> Writer<'a> {
    /// Starts a text of about `size` bytes. Long runs become parts of their own.
    pub(super) fn sharing(size: usize) -> Self {
        // if a part is shared, it is most of the text
        let capacity = if size < SHARED { size } else { 1024 };
        Self::new(capacity, SHARED)
    }

    /// Starts a text of about `size` bytes, all in one part.
    pub(super) fn copying(size: usize) -> Self {
        Self::new(size, usize::MAX)
    }

    fn new(capacity: usize, shared: usize) -> Self {
        Self { parts: Vec::new(), copied: BytesMut::with_capacity(capacity), run: None, shared }
    }

    /// Adds new text; copies it.
    pub(super) fn add(&mut self, new: &[u8]) {
        self.end_run();
        self.copied.extend_from_slice(new);
    }

    /// Adds a whole text.
    pub(super) fn add_all(&mut self, text: &'a Bytes) {
        self.add_span(text, 0..text.len());
    }

    /// Adds a span of a text.
    pub(super) fn add_span(&mut self, text: &'a Bytes, span: std::ops::Range<usize>) {
        if let Some(run) = &mut self.run
            && std::ptr::eq(run.text, text)
            && run.end == span.start
        {
            run.end = span.end;
            return;
        }
        self.end_run();
        self.run = Some(Run { text, start: span.start, end: span.end });
    }

    fn end_run(&mut self) {
        let Some(Run { text, start, end }) = self.run.take() else { return };
        if end - start < self.shared {
            return self.copied.extend_from_slice(&text[start..end]);
        }
        if !self.copied.is_empty() {
            self.parts.push(self.copied.split().freeze());
        }
        self.parts.push(text.slice(start..end));
    }

    /// Returns the finished text.
    pub(super) fn finish(mut self) -> Pieces {
        self.end_run();
        if self.parts.is_empty() {
            return self.copied.freeze().into();
        }
        if !self.copied.is_empty() {
            self.parts.push(self.copied.freeze());
        }
        Pieces(Parts::Many(self.parts.into()))
    }

    /// Returns the finished text of a writer made by [`Writer::copying`].
    pub(super) fn finish_copy(mut self) -> Bytes {
        self.end_run();
        self.copied.freeze()
    }
}
