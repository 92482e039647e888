//! `Link`: the connection to Redis, and the breaker that keeps a slow or absent Redis away from requests.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::limits::config::Away;
use crate::telemetry::limits::{LimitMetrics, Mode};

/// The time within which Redis must answer a request's call.
pub(super) const CALL: Duration = Duration::from_millis(50);
/// The calls in a row without an answer after which no request calls Redis.
const FAILURES: u32 = 3;
/// The time for a new connection.
const CONNECT: Duration = Duration::from_secs(1);
/// The time after which the answer to a call that no request waits for is lost.
const ANSWER: Duration = Duration::from_secs(60);
/// The pauses between tries to connect.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// The reason of a failure in time.
const SLOW: &str = "no answer within 50 ms";
/// The key that a new connection writes, to find out whether Redis accepts writes.
const PROBE: &str = "{tidegate}:probe";

/// The connection to Redis.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    state: Mutex<State>,
    failures: AtomicU32,
    /// The connection was given up.
    lost: Notify,
    /// A connection can be used.
    back: Notify,
    metrics: LimitMetrics,
}

/// A connection, and its number. Failures of an earlier one say nothing about the current one.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) connection: MultiplexedConnection,
    number: u64,
}

#[derive(Debug)]
struct State {
    line: Option<Line>,
    /// The number of the last connection.
    number: u64,
    away: Away,
    /// Whether the log has the reason for which Redis is away.
    is_logged: bool,
}

impl Link {
    pub(super) fn new(client: Client, away: Away, metrics: &LimitMetrics) -> Self {
        metrics.mode(away.mode());
        Self {
            client,
            state: Mutex::new(State { line: None, number: 0, away, is_logged: false }),
            failures: AtomicU32::new(0),
            lost: Notify::new(),
            back: Notify::new(),
            metrics: metrics.clone(),
        }
    }

    /// Takes another way to count while Redis is away.
    pub(super) fn set_away(&self, away: Away) {
        let mut state = self.state.lock();
        state.away = away;
        self.metrics.mode(mode(&state));
    }

    /// Returns the connection; `None` while Redis is away.
    pub(super) fn line(&self) -> Option<Line> {
        self.state.lock().line.clone()
    }

    /// Waits for a connection.
    pub(super) async fn connected(&self) -> Line {
        loop {
            let mut back = std::pin::pin!(self.back.notified());
            back.as_mut().enable();
            if let Some(line) = self.line() {
                return line;
            }
            back.await;
        }
    }

    /// Notes an answer.
    pub(super) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Notes a call without an answer in time.
    pub(super) fn was_slow(&self, line: &Line) {
        self.failed(line.number, SLOW);
    }

    /// Notes an error. A lost connection is given up at once. An error of data, such as a counter that another program
    /// has overwritten, is logged each time: the other counters can still be used.
    pub(super) fn refused(&self, line: &Line, error: &RedisError) {
        if is_of_data(error) {
            tracing::error!(error = %error, "a counter in the store of the limits cannot be read");
            return self.answered();
        }
        if is_lost(error) {
            self.failures.store(FAILURES, Ordering::Relaxed);
        }
        self.failed(line.number, &error.to_string());
    }

    fn failed(&self, number: u64, reason: &str) {
        let mut state = self.state.lock();
        if state.line.as_ref().is_some_and(|line| line.number != number) {
            return;
        }
        if !state.is_logged {
            state.is_logged = true;
            let away = state.away.mode().as_str();
            tracing::error!(reason, away, "the store of the limits does not answer");
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if failures + 1 >= FAILURES && state.line.take().is_some() {
            self.metrics.mode(mode(&state));
            self.lost.notify_one();
        }
    }

    /// Connects whenever there is no connection, without end.
    pub(super) async fn supervise(self: Arc<Self>) {
        let [first, last] = PAUSES;
        let mut pause = first;
        loop {
            let lost = self.lost.notified();
            match self.connect().await {
                Ok(connection) => {
                    pause = first;
                    self.came_back(connection);
                    lost.await;
                }
                Err(reason) => self.failed(0, &reason),
            }
            tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(last);
        }
    }

    /// Opens a connection that answers a write in time.
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let open = self.client.get_multiplexed_async_connection_with_config(&config);
        let opened = timeout(2 * CONNECT, open).await.map_err(|_| "no connection in time")?;
        let mut connection = opened.map_err(|e| e.to_string())?;
        let mut write = redis::cmd("SET");
        write.arg(PROBE).arg(1).arg("PX").arg(60_000);
        let written = timeout(CALL, write.exec_async(&mut connection)).await;
        written.map_err(|_| SLOW)?.map_err(|e| e.to_string())?;
        Ok(connection)
    }

    fn came_back(&self, connection: MultiplexedConnection) {
        let mut state = self.state.lock();
        state.number += 1;
        state.line = Some(Line { connection, number: state.number });
        self.failures.store(0, Ordering::Relaxed);
        self.metrics.mode(mode(&state));
        let was_away = std::mem::take(&mut state.is_logged);
        drop(state);
        tracing::info!(was_away, "the store of the limits answers");
        self.back.notify_waiters();
    }
}

fn mode(state: &State) -> Mode {
    match state.line {
        Some(_) => Mode::Shared,
        None => state.away.mode(),
    }
}

/// The words of errors that say that the server takes no writes, or none now. Old servers report them within the error of
/// the script.
const OUTAGES: [&str; 7] =
    ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN"];

/// Returns whether an error is about the data of a counter: the script failed on it, or its answer is none.
pub(super) fn is_of_data(error: &RedisError) -> bool {
    let text = error.to_string();
    match error.code() {
        Some("WRONGTYPE") => true,
        Some("ERR") => {
            text.contains("user_script") && !OUTAGES.iter().any(|word| text.contains(word))
        }
        _ => error.kind() == ErrorKind::UnexpectedReturnType,
    }
}

/// Returns whether an error says that the connection is gone.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() || error.is_io_error()
}
