//! An HTTP/1.1 connection that the request on it drives itself: no task beside it, nothing to hand over.
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::net::body::Body;

/// What the caller of a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// The whole answer: requests that are ready beside this one may go first, which costs all of
    /// them less.
    Whole,
    /// The first event of a stream: nothing goes first.
    FirstEvent,
}

/// How often a connection that always has something to do is looked at in one go.
const ROUNDS: usize = 2;

/// A connection to an upstream. Dropped, it is closed.
pub struct Driven {
    sender: http1::SendRequest<Body>,
    /// What reads and writes; `None` once the connection has ended.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Driven {
    /// A connection over a stream that stands.
    pub async fn handshake<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, driver) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Self { sender, driver: Some(Box::pin(driver)), bell, waker })
    }

    /// Sends a request and reads the head of its answer.
    pub async fn send(
        &mut self,
        request: Request<Body>,
        awaits: Awaits,
    ) -> hyper::Result<Response<Incoming>> {
        let mut answer = pin!(self.sender.send_request(request));
        awaits.turn().await;
        let answered = poll_fn(|cx| self.poll(cx, |cx| answer.as_mut().poll(cx))).await;
        awaits.turn().await;
        answered
    }

    /// Polls `what`, which waits for nothing but this connection, and reads and writes what can be
    /// as long as that is not there.
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
            // what has rung up to here is seen to now
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
        // busy: the other tasks of this thread have their turn first
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next request may follow: the last one is sent, its answer is read, both sides stay.
    pub fn is_ready(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Wakes the task that uses the connection, unless it is that task that rings, in the middle of
/// polling: between the halves of a connection every step rings, and each would be one more poll of
/// all that the task does.
#[derive(Default)]
struct Bell {
    task: AtomicWaker,
    state: AtomicU8,
}

const OUTSIDE: u8 = 0;
const INSIDE: u8 = 1;
const RUNG: u8 = 2;

impl Bell {
    fn enter(&self) {
        self.state.store(INSIDE, Ordering::SeqCst);
    }

    /// Whether it has rung since [`Self::enter`].
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
    /// Lets the tasks that are ready already go first, if they may. What they write goes out in one
    /// go with ours: a peer on the same machine is woken once, and not for each of them anew.
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
