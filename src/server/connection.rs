//! One accepted connection: TLS, HTTP/1.1 or 2, and the limits for slow clients.
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, Interval};

use crate::error::BoxError;
use crate::gateway::{Bounds, Live};
use crate::net::socket::Guarded;
use crate::server::flight::{Handler, Pulse};
use crate::server::watched::Watched;

/// The number of header timeouts after which an idle connection is closed.
const IDLE_TIMEOUTS: u32 = 8;

/// The time for the head of a request that a client has begun, or is about to send on a new connection, when the
/// listener closes. A connection closed in this moment loses the request.
const LAST_HEAD: Duration = Duration::from_millis(500);

/// The state that a worker needs to serve connections.
#[derive(Clone)]
pub struct Acceptor {
    /// The current generation.
    pub live: Arc<Live>,
    /// The free slots for connections, for all workers together.
    pub slots: Arc<Semaphore>,
    /// Whether each answer ends its connection, since the server is about to stop.
    pub leaving: Arc<AtomicBool>,
    /// The time for open requests; set when the listener closes.
    pub closed: watch::Receiver<Option<Duration>>,
}

impl Acceptor {
    /// Accepts connections until the listener closes. Every connection holds a clone of `open`.
    pub async fn accept(self, listener: TcpListener, open: mpsc::Sender<()>) {
        let mut closed = self.closed.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.next(&listener) => accepted,
                _ = closed.wait_for(Option::is_some) => return self.accept_rest(listener, &open),
            };
            let (tcp, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // out of descriptors, or the peer left at once: wait for other connections to close
                    tracing::warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            self.spawn(tcp, slot, &open);
        }
    }

    /// Accepts the connections that clients already have, and closes the listener. Closed first, it would reset them.
    fn accept_rest(&self, listener: TcpListener, open: &mpsc::Sender<()>) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            let accepted = listener.accept().and_then(|(tcp, _)| {
                tcp.set_nonblocking(true)?;
                TcpStream::from_std(tcp)
            });
            match accepted {
                Ok(tcp) => self.spawn(tcp, slot, open),
                // this client has left
                Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => return,
            }
        }
    }

    fn spawn(&self, tcp: TcpStream, slot: OwnedSemaphorePermit, open: &mpsc::Sender<()>) {
        let (this, open) = (self.clone(), open.clone());
        tokio::spawn(async move {
            this.serve_to_end(tcp).await;
            drop((slot, open));
        });
    }

    async fn next(
        &self,
        listener: &TcpListener,
    ) -> Result<(TcpStream, OwnedSemaphorePermit), BoxError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await?;
        let (tcp, _) = listener.accept().await?;
        Ok((tcp, slot))
    }

    async fn serve_to_end(self, tcp: TcpStream) {
        if let Err(e) = self.serve(tcp).await {
            tracing::debug!(error = %e, "a connection ended with an error");
        }
    }

    async fn serve(self, tcp: TcpStream) -> Result<(), BoxError> {
        tcp.set_nodelay(true)?;
        let gateway = self.live.load();
        let bounds = gateway.bounds;
        match gateway.tls.clone() {
            None => {
                drop(gateway);
                self.http(tcp, bounds).await
            }
            Some(tls) => {
                drop(gateway);
                let stream = tokio::time::timeout(bounds.head, tls.accept(tcp)).await??;
                self.http(stream, bounds).await
            }
        }
    }

    async fn http<S>(&self, stream: S, bounds: Bounds) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let pulse = Arc::new(Pulse::default());
        let stream = Watched::new(Guarded::new(stream, bounds.body.pause), &pulse);
        let service = Handler::new(&self.live, &pulse, &self.leaving);
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        // unlike a `select!` of all futures, this polls only those that were woken
        let mut orders = FuturesUnordered::new();
        orders.push(self.overseer(pulse, bounds).next());
        loop {
            tokio::select! {
                biased;
                done = connection.as_mut() => return done,
                Some((order, overseer)) = orders.next() => match order {
                    Order::Finish => {
                        connection.as_mut().graceful_shutdown();
                        orders.push(overseer.next());
                    }
                    Order::Cut(why) => return Err(why.into()),
                },
            }
        }
    }

    fn overseer(&self, pulse: Arc<Pulse>, bounds: Bounds) -> Overseer {
        let period = bounds.head / 2;
        let patience = bounds.body.pause;
        let beat = tokio::time::interval_at(Instant::now() + period, period);
        let end = End::Open(self.closed.clone());
        Overseer { pulse, judge: Judge::default(), patience, beat, end }
    }
}

/// Watches a connection and decides when it ends.
struct Overseer {
    pulse: Arc<Pulse>,
    judge: Judge,
    /// The longest time for which the client may stop reading a response.
    patience: Duration,
    beat: Interval,
    end: End,
}

/// The end of a connection with the end of the server.
enum End {
    /// The listener is open until this has a value.
    Open(watch::Receiver<Option<Duration>>),
    /// The listener has closed, and the connection ends at this time if no request comes before.
    At(Instant),
    /// No further request is accepted.
    Done,
}

impl End {
    async fn next(&mut self) {
        match self {
            // the sender lives as long as the server: its end is the same
            Self::Open(closed) => drop(closed.wait_for(Option::is_some).await),
            Self::At(time) => tokio::time::sleep_until(*time).await,
            Self::Done => std::future::pending().await,
        }
    }
}

enum Order {
    /// Accept no further request.
    Finish,
    /// Close the connection at once, for this reason.
    Cut(&'static str),
}

impl Overseer {
    /// Returns the next order, and the overseer for the one after it.
    async fn next(mut self) -> (Order, Self) {
        loop {
            let has_closed = tokio::select! {
                () = self.end.next() => true,
                () = self.pulse.leaving.notified() => return (Order::Finish, self),
                _ = self.beat.tick() => false,
            };
            if has_closed && matches!(self.end, End::Open(_)) && self.pulse.awaits_head() {
                self.end = End::At(Instant::now() + LAST_HEAD);
                continue;
            }
            if has_closed {
                self.end = End::Done;
                return (Order::Finish, self);
            }
            if self.pulse.give_up_stuck(self.patience) {
                return (Order::Cut("the client stopped reading its responses"), self);
            }
            match self.judge.sees(&self.pulse) {
                Seen::Fine => {}
                Seen::Idle => return (Order::Finish, self),
                Seen::TooSlow => {
                    return (Order::Cut("the client took too long to send a request head"), self);
                }
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // the judge handles slow heads, at no cost per request
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(256)
        .max_header_list_size(256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Compares the pulse at two beats, half a header timeout apart.
#[derive(Default)]
struct Judge {
    requests: u64,
    reads_at_rest: u64,
    quiet_beats: u32,
}

enum Seen {
    Fine,
    /// The connection was idle for long: close it gracefully.
    Idle,
    /// A head was started and never finished.
    TooSlow,
}

impl Judge {
    fn sees(&mut self, pulse: &Pulse) -> Seen {
        let (reads, requests) = (pulse.reads.load(Relaxed), pulse.requests.load(Relaxed));
        if pulse.in_flight.load(Relaxed) > 0 || requests != self.requests {
            *self = Self { requests, reads_at_rest: reads, quiet_beats: 0 };
            return Seen::Fine;
        }
        self.quiet_beats += 1;
        // bytes arrived since the last request ended, but no complete head
        let has_begun = reads != self.reads_at_rest;
        match self.quiet_beats {
            2.. if requests == 0 => Seen::TooSlow,
            4.. if has_begun => Seen::TooSlow,
            2.. if has_begun => Seen::Idle,
            beats if beats > 2 * IDLE_TIMEOUTS => Seen::Idle,
            _ => Seen::Fine,
        }
    }
}
