//! `Pieces`: a text in one part or several, so that what nobody edited is shared and not copied.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Runs of unedited text from here on are shared; below, a copy is cheaper than one more write.
const SHARED: usize = 16 << 10;

/// A text, in order. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Pieces(Parts);

#[derive(Debug, Clone)]
enum Parts {
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Pieces {
    /// How many bytes all of it has.
    pub fn len(&self) -> usize {
        self.as_slice().iter().map(Bytes::len).sum()
    }

    /// There is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts.
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

/// Puts a text together from spans of other texts and from new text.
pub(super) struct Writer<'a> {
    parts: Vec<Bytes>,
    copied: BytesMut,
    /// The spans that stand side by side in their text, and have not been written yet.
    run: Option<Run<'a>>,
    shared: usize,
}

struct Run<'a> {
    text: &'a Bytes,
    start: usize,
    end: usize,
}

impl<'a> Writer<'a> {
    /// Of a text that is to have about so many bytes. Long runs become parts of their own.
    pub(super) fn sharing(size: usize) -> Self {
        // where a part is shared, most of the text is
        let capacity = if size < SHARED { size } else { 1024 };
        Self::new(capacity, SHARED)
    }

    /// The same, but all in one part.
    pub(super) fn copying(size: usize) -> Self {
        Self::new(size, usize::MAX)
    }

    fn new(capacity: usize, shared: usize) -> Self {
        Self { parts: Vec::new(), copied: BytesMut::with_capacity(capacity), run: None, shared }
    }

    /// Text that stands nowhere yet.
    pub(super) fn add(&mut self, new: &[u8]) {
        self.end_run();
        self.copied.extend_from_slice(new);
    }

    /// All of another text.
    pub(super) fn add_all(&mut self, text: &'a Bytes) {
        self.add_span(text, 0..text.len());
    }

    /// Some of another text.
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

    /// What it came to.
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

    /// The same of one that copies.
    pub(super) fn finish_copy(mut self) -> Bytes {
        self.end_run();
        self.copied.freeze()
    }
}
