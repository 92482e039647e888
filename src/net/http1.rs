//! An HTTP/1.1 connection that its request drives: no task of its own, no hand-over between tasks.
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::body::Body;

/// The part of the response that the sender of a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// The whole response. Other requests that are ready may go first, which makes all of them
    /// cheaper.
    Whole,
    /// The first event of a stream: no other request goes first.
    FirstEvent,
}

/// The most polls of a busy connection in a row.
const ROUNDS: usize = 2;

/// A connection to an upstream. It is closed when dropped.
pub struct Driven {
    sender: http1::SendRequest<Body>,
    /// The future that reads and writes; `None` once the connection has ended.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    bell: Arc<Bell>,
    waker: Waker,
    round_trip: Duration,
}

impl Driven {
    /// Opens a connection over an established stream, which took `round_trip` to open.
    pub async fn handshake<S>(stream: S, round_trip: Duration) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let bell = Arc::new(Bell::default());
        let stream = TokioIo::new(Heard { stream, bell: Arc::clone(&bell) });
        let (sender, driver) = http1::Builder::new().handshake(stream).await?;
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Self { sender, driver: Some(Box::pin(driver)), bell, waker, round_trip })
    }

    /// Sends a request and reads the head of its response.
    pub async fn send(
        &mut self,
        request: Request<Body>,
        awaits: Awaits,
    ) -> hyper::Result<Response<Incoming>> {
        self.bell.has_received.store(false, Ordering::Relaxed);
        let mut answer = pin!(self.sender.send_request(request));
        awaits.turn().await;
        let answered = poll_fn(|cx| self.poll(cx, |cx| answer.as_mut().poll(cx))).await;
        awaits.turn().await;
        answered
    }

    /// Returns whether a byte has arrived since the last request was sent.
    pub fn has_received(&self) -> bool {
        self.bell.has_received.load(Ordering::Relaxed)
    }

    /// Returns the time that the connection took to open: one round trip.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Polls `what`, which waits for this connection only. While `what` is pending, drives the
    /// connection's I/O.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut what: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.bell.task.register(cx.waker());
        let mut inner = Context::from_waker(&self.waker);
        self.bell.enter();
        if let Poll::Ready(there) = what(&mut inner) {
            self.bell.leave();
            return Poll::Ready(there);
        }
        for _ in 0..ROUNDS {
            // this poll covers every wake-up so far
            self.bell.enter();
            // an error reaches `what`
            if let Some(driver) = &mut self.driver
                && driver.as_mut().poll(&mut inner).is_ready()
            {
                self.driver = None;
            }
            let polled = what(&mut inner);
            let has_rung = self.bell.leave();
            if polled.is_ready() || !has_rung {
                return polled;
            }
        }
        // busy: let the other tasks of this thread go first
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns whether the next request may follow: the last one is sent, its response is read, and both
    /// sides keep the connection.
    pub fn is_ready(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Wakes the task that uses the connection, but not for wake-ups during that task's own poll. Each step
/// between the two halves of a connection causes a wake-up, and each would poll the whole task again.
#[derive(Default)]
struct Bell {
    task: AtomicWaker,
    state: AtomicU8,
    /// Whether the upstream has sent a byte since the last request.
    has_received: AtomicBool,
}

/// The socket below hyper. It notes when bytes arrive. An upstream that answers before it has read the whole
/// request may close its side: later writes fail, and must not hide the answer that is still to be read.
struct Heard<S> {
    stream: S,
    bell: Arc<Bell>,
}

/// Returns the result of a write. A write that the upstream no longer reads never ends: the reading side
/// reports the end of the connection.
fn written<T>(done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match done {
        Poll::Ready(Err(e))
            if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
        {
            Poll::Pending
        }
        done => done,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.bell.has_received.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        written(Pin::new(&mut self.stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        written(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        written(Pin::new(&mut self.stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const OUTSIDE: u8 = 0;
const INSIDE: u8 = 1;
const RUNG: u8 = 2;

impl Bell {
    fn enter(&self) {
        self.state.store(INSIDE, Ordering::SeqCst);
    }

    /// Returns whether a wake-up came since [`Self::enter`].
    fn leave(&self) -> bool {
        self.state.swap(OUTSIDE, Ordering::SeqCst) == RUNG
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let rung = self.state.compare_exchange(INSIDE, RUNG, Ordering::SeqCst, Ordering::SeqCst);
        if rung == Err(OUTSIDE) {
            self.task.wake();
        }
    }
}

impl Awaits {
    /// Lets tasks that are already ready go first, if allowed. Their writes are sent together with this
    /// one, so that a peer on the same machine is woken once and not for each write.
    async fn turn(self) {
        let mut is_ours = self == Self::FirstEvent;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_ours, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
