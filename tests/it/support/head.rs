//! Heads and bodies of HTTP/1.1, read byte by byte.
use tokio::io::{AsyncRead, AsyncReadExt};

/// A first line and the headers below it.
#[derive(Debug, Clone)]
pub struct Head {
    /// `POST /v1/messages HTTP/1.1`, `HTTP/1.1 200 OK`.
    pub line: String,
    /// In their order, names as they were written.
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Self { line, headers: headers.collect() }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// What the first line asks for.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// Reads heads and bodies; keeps what came beyond them.
#[derive(Default)]
pub struct Inlet {
    buffer: Vec<u8>,
}

impl Inlet {
    /// The next head; `None` if the peer closes before it is whole.
    pub async fn head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Option<Head> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.more(stream).await?;
        };
        let rest = self.buffer.split_off(end + 4);
        let head = std::mem::replace(&mut self.buffer, rest);
        Some(Head::parse(std::str::from_utf8(&head[..end]).unwrap()))
    }

    /// The body behind a request's head.
    pub async fn body(
        &mut self,
        head: &Head,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Vec<u8>> {
        if head.header("transfer-encoding").is_some() {
            let mut whole = Vec::new();
            while let Some(chunk) = self.chunk(stream).await? {
                whole.extend(chunk);
            }
            return Some(whole);
        }
        let length = head.header("content-length").map_or(0, |length| length.parse().unwrap());
        self.exactly(length, stream).await
    }

    /// The next chunk; `Some(None)` at the clean end, `None` at a break.
    pub async fn chunk(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Option<Vec<u8>>> {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                break end;
            }
            self.more(stream).await?;
        };
        let size = std::str::from_utf8(&self.buffer[..end]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        self.buffer.drain(..end + 2);
        let mut chunk = self.exactly(size + 2, stream).await?;
        chunk.truncate(size);
        Some((size > 0).then_some(chunk))
    }

    async fn exactly(
        &mut self,
        length: usize,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more(stream).await?;
        }
        let rest = self.buffer.split_off(length);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    async fn more(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Option<()> {
        match stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}
