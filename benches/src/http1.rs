//! A minimal HTTP/1.1 for both ends of a run: heads, body framing, and a connection that reads
//! them.
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BUFFER_BYTES: usize = 128 * 1024;

/// The parts of a request's or an answer's head that the two ends need.
#[derive(Debug)]
pub struct Head {
    /// The bytes up to and including the empty line.
    len: usize,
    /// The status of an answer; 0 in a request.
    pub status: u16,
    /// The framing of the body.
    pub body: Body,
    /// Whether the peer closes the connection after this message.
    pub is_last: bool,
    /// The path of a request; empty in an answer.
    pub path: String,
}

impl Head {
    /// Parses the head at the start of `input`. Returns `None` if it is incomplete.
    fn parse(input: &[u8]) -> Result<Option<Self>, String> {
        let Some(end) = input.windows(4).position(|seam| seam == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&input[..end]).map_err(|error| error.to_string())?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = match first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
            Some(digits) => digits.parse().map_err(|_| format!("`{first}` has no status"))?,
            None => 0,
        };
        let path = match status {
            0 => first.split(' ').nth(1).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let mut head = Self { len: end + 4, status, body: Body::Plain(0), is_last: false, path };
        for line in lines {
            head.read_field(line)?;
        }
        Ok(Some(head))
    }

    fn read_field(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("`{line}` is no field"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let len = value.parse().map_err(|_| format!("`{line}` has no length"))?;
            self.body = Body::Plain(len);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.body = Body::Size(0);
        } else if name.eq_ignore_ascii_case("connection") {
            self.is_last = value.eq_ignore_ascii_case("close");
        }
        Ok(())
    }
}

/// The state of decoding a body.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// The number of remaining bytes; 0 at the end.
    Plain(u64),
    /// In the size of a chunk.
    Size(u64),
    /// After the size of a chunk, before the end of its line.
    SizeEnd(u64),
    /// In a chunk, with the number of its remaining bytes.
    Data(u64),
    /// After a chunk, before the end of its line.
    DataEnd,
    /// At the start of a line after the last chunk.
    Trailer,
    /// Within such a line.
    TrailerLine,
    /// In the line end of the final empty line.
    LastEnd,
}

impl Body {
    /// Returns whether the body is complete.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Plain(0))
    }

    /// Moves `input` past the parsed bytes and returns their content: as much as is available at
    /// once, or an empty slice for framing only.
    fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<&'a [u8], String> {
        if let Self::Plain(left) | Self::Data(left) = *self {
            let len = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (content, rest) = input.split_at(len);
            let left = left - len as u64;
            *input = rest;
            *self = match self {
                Self::Plain(_) => Self::Plain(left),
                _ if left == 0 => Self::DataEnd,
                _ => Self::Data(left),
            };
            return Ok(content);
        }
        let Some((byte, rest)) = input.split_first() else { return Ok(&[]) };
        *input = rest;
        *self = self.after(*byte)?;
        Ok(&[])
    }

    fn after(self, byte: u8) -> Result<Self, String> {
        let next = match (self, byte) {
            (Self::Size(0) | Self::SizeEnd(0), b'\n') => Self::Trailer,
            (Self::Size(size) | Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::Size(size), b'\r' | b';' | b' ') => Self::SizeEnd(size),
            (Self::SizeEnd(size), _) => Self::SizeEnd(size),
            (Self::Size(size), digit) => {
                let value = char::from(digit).to_digit(16);
                let value = value.ok_or_else(|| format!("byte {digit} in a chunk's size"))?;
                Self::Size(size * 16 + u64::from(value))
            }
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size(0),
            (Self::Trailer, b'\r') => Self::LastEnd,
            (Self::LastEnd, b'\n') => Self::Plain(0),
            (Self::Trailer | Self::TrailerLine, b'\n') => Self::Trailer,
            (Self::Trailer | Self::TrailerLine, _) => Self::TrailerLine,
            (state, _) => return Err(format!("byte {byte} does not belong in {state:?}")),
        };
        Ok(next)
    }
}

/// A connection with its unused input.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Wraps a stream. Small writes are sent immediately.
    pub fn new(stream: TcpStream) -> Result<Self, String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 })
    }

    /// Opens a connection to this port of the loopback interface.
    pub async fn open(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Self::new(stream.map_err(|error| format!("connect: {error}"))?)
    }

    /// Returns the next head; `None` if the peer closed the connection between two messages.
    pub async fn head(&mut self) -> Result<Option<Head>, String> {
        loop {
            if let Some(head) = Head::parse(&self.buffer[self.start..self.end])? {
                self.start += head.len;
                return Ok(Some(head));
            }
            let is_between = self.start == self.end;
            match self.fill().await? {
                0 if is_between => return Ok(None),
                0 => return Err("closed within a head".to_owned()),
                _ => {}
            }
        }
    }

    /// Returns more content of an incomplete body; an empty slice if only framing arrived.
    pub async fn content(&mut self, body: &mut Body) -> Result<&[u8], String> {
        if self.start == self.end && self.fill().await? == 0 {
            return Err("closed within a body".to_owned());
        }
        let mut input = &self.buffer[self.start..self.end];
        let mut content: &[u8] = &[];
        while content.is_empty() && !input.is_empty() && !body.is_done() {
            content = body.next(&mut input)?;
        }
        self.start = self.end - input.len();
        Ok(content)
    }

    /// Sends bytes in one write, as far as the kernel accepts it.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|error| format!("write: {error}"))
    }

    async fn fill(&mut self) -> Result<usize, String> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            return Err("a head is larger than the buffer".to_owned());
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await;
        let read = read.map_err(|error| format!("read: {error}"))?;
        self.end += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut body: Body, wire: &[u8], step: usize) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        for mut piece in wire.chunks(step) {
            while !piece.is_empty() && !body.is_done() {
                content.extend_from_slice(body.next(&mut piece)?);
            }
        }
        if body.is_done() { Ok(content) } else { Err(format!("stopped in {body:?}")) }
    }

    #[test]
    fn a_chunked_body_is_the_same_in_pieces_of_any_size() {
        let wire = b"5\r\nhello\r\n1a;x=1\r\n, this is twenty-six bytes\r\n0\r\nx-t: 1\r\n\r\n";
        for step in 1..=wire.len() {
            let content = decode(Body::Size(0), wire, step).unwrap();
            assert_eq!(content, b"hello, this is twenty-six bytes");
        }
    }

    #[test]
    fn a_body_that_stops_short_is_not_done() {
        assert!(decode(Body::Size(0), b"5\r\nhello\r\n", 3).is_err());
        assert!(decode(Body::Plain(6), b"hello", 2).is_err());
        assert!(decode(Body::Size(0), b"zz\r\n", 1).is_err());
    }

    #[test]
    fn a_head_says_how_its_body_is_framed() {
        let head =
            Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n");
        let head = head.unwrap().unwrap();
        assert_eq!((head.status, head.is_last), (200, true));
        assert!(matches!(head.body, Body::Plain(7)));
        let head = Head::parse(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nrest");
        assert!(matches!(head.unwrap().unwrap().body, Body::Size(0)));
        assert!(Head::parse(b"POST / HTTP/1.1\r\nhost: x\r\n").unwrap().is_none());
    }
}
