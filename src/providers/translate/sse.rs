//! A reader of server-sent events for upstreams of other dialects. It accepts every line end, a byte order
//! mark, several `data:` lines, and JSON without `data:`, which some servers send for errors.
use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::sse::MAX_FRAME;

/// One event: its name, empty if it has none, and its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The value of the `event:` line.
    pub(crate) name: String,
    /// The `data:` lines, joined by line ends.
    pub(crate) data: Bytes,
}

/// Cuts a body into events.
#[derive(Debug, Default)]
pub(crate) struct SseReader {
    /// The bytes of lines that are not complete yet.
    rest: BytesMut,
    /// The part of `rest` that is known to have no line end.
    searched: usize,
    /// Whether the last byte was a carriage return: a line feed after it belongs to the same line end.
    is_after_cr: bool,
    is_begun: bool,
    name: String,
    data: Lines,
    /// Lines without a field name.
    bare: Lines,
}

/// Some lines of one event. A single line shares the bytes of the body.
#[derive(Debug, Default)]
enum Lines {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Lines {
    fn push(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(first.len() + line.len() + 1);
                for part in [&first[..], b"\n", &line] {
                    all.extend_from_slice(part);
                }
                Self::Many(all)
            }
            Self::Many(mut all) => {
                all.extend_from_slice(b"\n");
                all.extend_from_slice(&line);
                Self::Many(all)
            }
        };
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(all) => Some(all.freeze()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(all) => all.len(),
        }
    }
}

impl SseReader {
    /// Adds the next bytes.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.rest.extend_from_slice(chunk);
        if !self.is_begun && self.rest.len() >= 3 {
            self.is_begun = true;
            if self.rest.starts_with(b"\xef\xbb\xbf") {
                self.rest.advance(3);
                self.searched = 0;
            }
        }
    }

    /// Returns the next event with data; `None` if more bytes are needed.
    ///
    /// Fails if an event is too large.
    pub(crate) fn next_event(&mut self) -> Result<Option<SseEvent>> {
        while let Some(line) = self.next_line() {
            match line.is_empty() {
                true => match self.take_event() {
                    None => {}
                    event => return Ok(event),
                },
                false => self.field(line),
            }
        }
        match self.rest.len() + self.data.len() + self.bare.len() > MAX_FRAME {
            true => {
                let message = format!("the upstream sent an event of more than {MAX_FRAME} bytes");
                Err(Error::new(ErrorKind::BadUpstream, message))
            }
            false => Ok(None),
        }
    }

    /// Returns the event that only the end of the body completes.
    pub(crate) fn finish(&mut self) -> Option<SseEvent> {
        let rest = std::mem::take(&mut self.rest).freeze();
        self.searched = 0;
        if !rest.is_empty() {
            self.field(rest);
        }
        self.take_event()
    }

    fn next_line(&mut self) -> Option<Bytes> {
        if self.is_after_cr && !self.rest.is_empty() {
            self.is_after_cr = false;
            if self.rest[0] == b'\n' {
                self.rest.advance(1);
                self.searched = 0;
            }
        }
        let Some(end) = memchr2(b'\n', b'\r', &self.rest[self.searched..]) else {
            self.searched = self.rest.len();
            return None;
        };
        let end = self.searched + end;
        self.searched = 0;
        self.is_after_cr = self.rest[end] == b'\r';
        let line = self.rest.split_to(end).freeze();
        self.rest.advance(1);
        Some(line)
    }

    fn field(&mut self, line: Bytes) {
        let colon = memchr::memchr(b':', &line[..line.len().min(8)]);
        let (field, value) = match colon {
            Some(0) => return,
            Some(at) => {
                let blank = usize::from(line.get(at + 1) == Some(&b' '));
                (&line[..at], line.slice(at + 1 + blank..))
            }
            None => (&line[..], Bytes::new()),
        };
        match field {
            b"data" => self.data.push(value),
            b"event" => self.name = String::from_utf8_lossy(&value).into_owned(),
            b"id" | b"retry" => {}
            _ => self.bare.push(line),
        }
    }

    fn take_event(&mut self) -> Option<SseEvent> {
        let name = std::mem::take(&mut self.name);
        let bare = self.bare.take();
        let is_json = |line: &Bytes| matches!(line.trim_ascii_start().first(), Some(b'{' | b'['));
        let data = self.data.take().or_else(|| bare.filter(is_json))?;
        Some(SseEvent { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = SseReader::default();
        let mut found = Vec::new();
        let mut add = |event: SseEvent| {
            found.push((event.name, String::from_utf8(event.data.to_vec()).unwrap()));
        };
        for chunk in chunks {
            reader.push(chunk);
            while let Some(event) = reader.next_event().unwrap() {
                add(event);
            }
        }
        if let Some(event) = reader.finish() {
            add(event);
        }
        found
    }

    #[test]
    fn the_events_are_the_same_at_every_chunk_size_and_line_end() {
        let text = "\u{feff}: hello\nevent: a\ndata: 1\n\ndata:2\ndata: 3\n\nid: 4\nretry: 5\n\ndata: [DONE]\n\n";
        let expected = vec![
            ("a".to_owned(), "1".to_owned()),
            (String::new(), "2\n3".to_owned()),
            (String::new(), "[DONE]".to_owned()),
        ];
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for size in [1, 2, 3, 5, 1000] {
                let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
                assert_eq!(events(&chunks), expected, "{end:?} {size}");
            }
        }
    }

    #[test]
    fn json_without_a_data_field_is_an_event() {
        let text = b"{\n \"error\": {\"code\": 429}\n}\n";
        assert_eq!(events(&[text])[0].1, "{\n \"error\": {\"code\": 429}\n}");
        assert_eq!(events(&[b"data: {}\n\n{\"error\":1}\n\n"]).len(), 2);
        assert_eq!(events(&[b"nonsense\n\n"]), []);
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        assert_eq!(events(&[b"data: 1"])[0].1, "1");
        assert_eq!(events(&[b"data: 1\n"])[0].1, "1");
        assert_eq!(events(&[b": comment"]), []);
    }
}
