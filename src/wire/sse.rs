//! Cuts a byte stream into SSE frames at any chunk size; copies only frames that span chunks.
use bytes::{Bytes, BytesMut};

use crate::error::{Error, ErrorKind, Result};

/// The longest frame, in bytes. Real frames stay below 20 MB; a longer one is treated as an attack.
pub(crate) const MAX_FRAME: usize = 64 * 1024 * 1024;

/// Finds the blank lines between frames. A frame keeps every byte: comments, padding, CRLF, and
/// the blank line at its end.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// Bytes that have arrived and are not cut yet.
    chunk: Bytes,
    /// The beginning of a frame, from earlier chunks.
    partial: BytesMut,
    /// Whether the current line has no character so far.
    line_is_empty: bool,
}

impl Default for Cutter {
    fn default() -> Self {
        Self { chunk: Bytes::new(), partial: BytesMut::new(), line_is_empty: true }
    }
}

impl Cutter {
    /// Adds the next bytes. The caller must have taken every whole frame before.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "frames are left");
        self.chunk = chunk;
    }

    /// Returns the next whole frame; `None` if more bytes are needed.
    ///
    /// Fails (`api_error`) if a frame grows past [`MAX_FRAME`].
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>> {
        if self.chunk.is_empty() {
            return Ok(None);
        }
        match self.find_end() {
            Some(end) => Ok(Some(self.take(end))),
            None => self.keep_rest().map(|()| None),
        }
    }

    /// Returns the remaining bytes at the end of the stream: none if it ended between frames.
    pub(crate) fn finish(self) -> Bytes {
        self.partial.freeze()
    }

    fn find_end(&mut self) -> Option<usize> {
        let mut line_start = 0;
        for newline in memchr::memchr_iter(b'\n', &self.chunk) {
            let is_blank = self.line_is_empty && is_blank(&self.chunk[line_start..newline]);
            self.line_is_empty = true;
            line_start = newline + 1;
            if is_blank {
                return Some(line_start);
            }
        }
        self.line_is_empty &= is_blank(&self.chunk[line_start..]);
        None
    }

    fn take(&mut self, end: usize) -> Bytes {
        let rest = self.chunk.split_to(end);
        if self.partial.is_empty() {
            return rest;
        }
        self.partial.extend_from_slice(&rest);
        std::mem::take(&mut self.partial).freeze()
    }

    fn keep_rest(&mut self) -> Result<()> {
        if self.partial.len() + self.chunk.len() > MAX_FRAME {
            let message = format!("the upstream sent an event of more than {MAX_FRAME} bytes");
            return Err(Error::new(ErrorKind::BadUpstream, message));
        }
        self.partial.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
        Ok(())
    }
}

/// Returns whether a line has nothing but carriage returns. The carriage return of a CRLF may be alone in
/// a chunk, and the result must not depend on the chunks.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| *b == b'\r')
}

#[cfg(test)]
mod tests;
