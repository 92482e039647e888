//! Tests of the refusals that replace hyper's.
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

use crate::server::refused::Refusal;

/// A writer that takes the given number of bytes at a time, and is ready at every second poll only.
struct Narrow {
    takes: VecDeque<Option<usize>>,
    taken: Vec<u8>,
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(takes) = self.takes.pop_front().unwrap_or(Some(buf.len())) else {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        let takes = takes.min(buf.len());
        self.taken.extend_from_slice(&buf[..takes]);
        Poll::Ready(Ok(takes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A part of the refusal's message.
const TOO_LARGE: &str = "send at most 100 headers, and no more than about 400 KB in all";

const HYPERS: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2026 21:14:25 GMT\r\n\r\n";

#[tokio::test]
async fn hypers_bytes_count_as_written_when_ours_are() {
    for takes in [vec![], vec![Some(1); 600], [None, Some(7), None, None, Some(300)].into()] {
        let mut refusal = Refusal::of(HYPERS.as_bytes(), None).unwrap();
        let mut narrow = Narrow { takes: takes.into(), taken: Vec::new() };
        let written = std::future::poll_fn(|cx| refusal.poll_write(&mut narrow, cx)).await;
        assert_eq!(written.unwrap(), HYPERS.len());
        let text = String::from_utf8(narrow.taken).unwrap();
        assert!(text.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{text}");
        assert!(body.contains(TOO_LARGE), "{text}");
    }
    let mut refusal = Refusal::of(HYPERS.as_bytes(), None).unwrap();
    let mut closed = Narrow { takes: [Some(9), Some(0)].into(), taken: Vec::new() };
    let failed = std::future::poll_fn(|cx| refusal.poll_write(&mut closed, cx)).await;
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::WriteZero);
}

#[test]
fn only_a_bare_head_of_hypers_is_replaced() {
    assert!(Refusal::may_replace(HYPERS.as_bytes()));
    for other in ["HTTP/1.1 200 OK\r\n", "data: {}\n\n", "HTTP/1.", ""] {
        assert!(!Refusal::may_replace(other.as_bytes()), "{other}");
    }
    for (from, to) in [
        ("date", "request-id: req_1\r\ndate"),
        ("content-length: 0", "content-length: 4"),
        ("content-length: 0\r\n", ""),
        ("431", "429"),
        ("\r\n\r\n", "\r\n"),
        ("\r\n\r\n", "\r\n\r\nbody"),
    ] {
        assert!(Refusal::of(HYPERS.replacen(from, to, 1).as_bytes(), None).is_none(), "{to}");
    }
}
