//! Request heads that hyper rejects by itself: its bare response is replaced by the API's envelope.
//!
//! Such a request never reaches the routes. hyper writes only a status line, which no client of the API
//! can interpret; the envelope describes the fault.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::AsyncWrite;

use crate::error::{Error, Retry};
use crate::exchange::respond;
use crate::telemetry::story::request_id;

/// hyper's limit for the number of headers; its limit for the bytes of a head is about 400 KB.
const MAX_HEADERS: usize = 100;
/// hyper's limit for path and query, in bytes.
const MAX_TARGET: usize = 65_534;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 22;

/// The response that is sent instead of hyper's.
pub struct Refusal {
    answer: Bytes,
    /// The number of bytes that hyper wrote, to be reported to hyper.
    length: usize,
}

impl Refusal {
    /// Returns whether the bytes may be a response of hyper's own. Checks the first bytes only; they exclude
    /// all other output.
    pub fn may_replace(written: &[u8]) -> bool {
        matches!(written, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'4', ..])
    }

    /// Returns the refusal to send instead of `written`, if that is hyper's own response: a head with hyper's
    /// own fields only, and no body. `first` is the first byte that the client sent. Logs the
    /// failure.
    pub fn of(written: &[u8], first: Option<u8>) -> Option<Self> {
        let head = str::from_utf8(written).ok()?.strip_suffix("\r\n\r\n")?;
        let (status_line, fields) = head.split_once("\r\n")?;
        let mut date = "";
        let mut is_empty = false;
        for field in fields.split("\r\n") {
            match field {
                "content-length: 0" => is_empty = true,
                "connection: close" => {}
                _ if field.starts_with("date: ") => date = field,
                _ => return None,
            }
        }
        let status: u16 = status_line.split(' ').nth(1)?.parse().ok()?;
        let message = message_for(status, first).filter(|_| is_empty)?;
        let mut error = Error::invalid(message);
        error.status = StatusCode::from_u16(status).ok();
        error.retry = Retry::Never;
        let id = request_id();
        respond::log(&error, &id, None, None);
        let body = respond::envelope(&error, &id);
        let length = body.len();
        let mut answer = format!(
            "{status_line}\r\ncontent-type: application/json\r\nrequest-id: {id}\r\nx-should-retry: false\r\ncontent-length: {length}\r\nconnection: close\r\n"
        )
        .into_bytes();
        if !date.is_empty() {
            answer.extend_from_slice(date.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(&body);
        Some(Self { answer: answer.into(), length: written.len() })
    }

    /// Writes the refusal, in several steps if necessary. hyper's response counts as written afterwards.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        while self.answer.has_remaining() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.answer))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.answer.advance(written),
            }
        }
        Poll::Ready(Ok(self.length))
    }
}

/// Returns the message for a head that hyper rejects with this status; quotes nothing of the head.
fn message_for(status: u16, first: Option<u8>) -> Option<String> {
    Some(match status {
        431 => format!(
            "the head of the request is too large: send at most {MAX_HEADERS} headers, and no more than about 400 KB in all"
        ),
        414 => format!(
            "the path of the request is too long: send at most {MAX_TARGET} bytes, its query included"
        ),
        400 if first == Some(HANDSHAKE) => {
            "a TLS handshake was sent to a plain HTTP listener: use an `http://` URL, or configure `server.tls`".to_owned()
        }
        400 => "the head of the request is not valid HTTP/1: check its first line, its headers, `content-length` and `transfer-encoding`".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
