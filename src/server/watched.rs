//! The socket of one connection, below hyper. It counts reads, and replaces hyper's own error responses
//! with the API's error format.
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::net::deadline::Deadline;
use crate::net::socket::Guarded;
use crate::server::flight::Pulse;
use crate::server::refused::Refusal;

/// The most bytes read after the last response. If a socket is closed with unread bytes, a client that is
/// still sending loses the response (RFC 9112, 9.6).
const MAX_REST: usize = 256 * 1024 * 1024;
/// The longest time for which they are read.
const MAX_LINGER: Duration = Duration::from_secs(30);

/// Wraps the socket below hyper.
pub(crate) struct Watched<S> {
    inner: Guarded<S>,
    pulse: Arc<Pulse>,
    /// The first byte received.
    first: Option<u8>,
    /// Whether no part of a response is waiting to be sent.
    is_flushed: bool,
    refusal: Option<Refusal>,
    /// The number of bytes that may still be read and dropped.
    rest: usize,
    /// The time at which the sending side was shut down.
    shut: Option<Instant>,
    linger: Deadline,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Wraps a socket; counts reads in `pulse`.
    pub(crate) fn new(inner: Guarded<S>, pulse: &Arc<Pulse>) -> Self {
        Self {
            inner,
            pulse: Arc::clone(pulse),
            first: None,
            is_flushed: true,
            refusal: None,
            rest: 0,
            shut: None,
            linger: Deadline::default(),
        }
    }

    /// Writes a refusal in place of hyper's own response. Returns `None` if `written` is no such response.
    /// hyper writes one as a whole, after everything before it has been sent.
    fn poll_refusal(
        &mut self,
        cx: &mut Context<'_>,
        written: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.refusal.is_none() {
            let is_alone = self.is_flushed && self.pulse.in_flight.load(Relaxed) == 0;
            let refusal = is_alone.then(|| Refusal::of(written, self.first)).flatten();
            self.refusal = Some(refusal?);
        }
        let done = self.refusal.as_mut()?.poll_write(&mut self.inner, cx);
        if done.is_ready() {
            self.refusal = None;
            self.rest = MAX_REST;
        }
        Some(done)
    }

    /// Reads and drops bytes that a rejected client still sends.
    fn poll_rest(&mut self, cx: &mut Context<'_>, shut: Instant) -> Poll<()> {
        while self.rest > 0 && self.linger.poll(cx, shut + MAX_LINGER).is_pending() {
            let mut room = [MaybeUninit::uninit(); 8 * 1024];
            let mut taken = ReadBuf::uninit(&mut room);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut taken));
            self.rest = match (read, taken.filled().len()) {
                (Err(_), _) | (Ok(()), 0) => 0,
                (Ok(()), count) => self.rest.saturating_sub(count),
            };
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Some(first) = buf.filled().get(before) {
            self.first.get_or_insert(*first);
            self.pulse.reads.fetch_add(1, Relaxed);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if Refusal::may_replace(buf)
            && let Some(done) = self.poll_refusal(cx, buf)
        {
            return done;
        }
        self.is_flushed = false;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [buf] = bufs
            && Refusal::may_replace(buf)
            && let Some(done) = self.poll_refusal(cx, buf)
        {
            return done;
        }
        self.is_flushed = false;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.is_flushed |= matches!(flushed, Poll::Ready(Ok(())));
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match self.shut {
            Some(shut) => shut,
            None => {
                ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
                if self.pulse.unread.load(Relaxed) {
                    self.rest = MAX_REST;
                }
                *self.shut.insert(Instant::now())
            }
        };
        self.poll_rest(cx, shut).map(Ok)
    }
}
