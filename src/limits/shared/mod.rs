//! `Shared`: counters in Redis or Valkey, for several gateways. One script call is one atomic step over all claims.
//!
//! A thread of its own keeps the connection, settles and renews, so that nothing of it ends with a request. A request
//! waits for its reservation only, and no longer than [`link::CALL`].
mod link;
mod script;
mod settler;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Client;
use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::limits::claim::{Claim, CounterId, Kind, Level, Now, Over};
use crate::limits::config::Away;
use crate::limits::shared::link::{CALL, Link};
use crate::limits::shared::script::{Answer, Step};
use crate::limits::shared::settler::{Order, PATIENCE, Settlement};
use crate::telemetry::limits::LimitMetrics;

pub(crate) use script::{Held, Holder};

/// The settlements that may wait while Redis is away.
const QUEUE: usize = 10_000;
/// The time between two renewals of the holds of running requests.
const RENEWAL: Duration = Duration::from_secs(20);
/// The holds that one call renews.
const RENEWED: usize = 200;
/// The most counters of which the last state is kept.
const MAX_SEEN: usize = 100_000;

/// Redis did not answer, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreachable;

/// Counters in Redis.
#[derive(Debug)]
pub(crate) struct Shared {
    link: Arc<Link>,
    /// The runtime of the thread.
    runtime: Handle,
    orders: mpsc::Sender<Order>,
    /// A random part of the holders of this process, and the number of the next one.
    process: String,
    next: AtomicU64,
    live: Arc<Live>,
    /// The last known states, for headers and policies.
    seen: Mutex<HashMap<CounterId, Seen>>,
    metrics: LimitMetrics,
}

/// The holds of running requests.
type Live = Mutex<HashMap<Holder, Vec<(String, String)>>>;

/// The state of a counter at an earlier time.
#[derive(Debug)]
struct Seen {
    kind: Kind,
    used: u64,
    /// The time at which a window is empty, in milliseconds.
    empty_at: u64,
}

/// A reservation in Redis. Dropped, it gives everything back: its request left before it began.
#[derive(Debug)]
pub(crate) struct Reserved {
    shared: Arc<Shared>,
    holder: Holder,
    /// The claims, each with whether it reaches its warning now.
    held: Vec<(Held, bool)>,
}

impl Reserved {
    /// Returns the parts, which their owner settles.
    pub(crate) fn taken(mut self) -> (Holder, Vec<(Held, bool)>) {
        (Arc::clone(&self.holder), std::mem::take(&mut self.held))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let unused = std::mem::take(&mut self.held).into_iter().map(|(held, _)| (held, 0));
        let unused: Vec<_> = unused.collect();
        if !unused.is_empty() {
            self.shared.settle(Arc::clone(&self.holder), unused, None);
        }
    }
}

/// An answer of Redis to a request that may reserve.
type Outcome = Result<Reserved, Vec<Over>>;

impl Shared {
    /// Connects to a URL, on a thread that ends when the last owner is gone.
    ///
    /// Fails if the URL cannot be read, or without a thread.
    pub(crate) fn start(
        url: &str,
        away: Away,
        metrics: &LimitMetrics,
    ) -> Result<Arc<Self>, String> {
        let client = Client::open(url).map_err(|error| error.to_string())?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (orders, inbox) = mpsc::channel(QUEUE);
        let link = Arc::new(Link::new(client, away, metrics));
        let live = Arc::<Live>::default();
        let this = Arc::new(Self {
            link: Arc::clone(&link),
            runtime: runtime.handle().clone(),
            orders,
            process: format!("{:016x}", fastrand::u64(..)),
            next: AtomicU64::new(0),
            live: Arc::clone(&live),
            seen: Mutex::default(),
            metrics: metrics.clone(),
        });
        let settling = settler::settle(Arc::clone(&link), inbox, metrics.clone());
        let run = move || {
            runtime.spawn(Arc::clone(&link).supervise());
            runtime.spawn(renew(link, live));
            runtime.block_on(settling);
        };
        let thread = std::thread::Builder::new().name("limits".to_owned()).spawn(run);
        thread.map_err(|error| error.to_string())?;
        Ok(this)
    }

    /// Takes another way to count while Redis is away.
    pub(crate) fn set_away(&self, away: Away) {
        self.link.set_away(away);
    }

    /// Waits for the first connection, for a while.
    pub(crate) async fn connected(&self, patience: Duration) {
        drop(timeout(patience, self.link.connected()).await);
    }

    /// Waits until the settlements of all requests so far were tried, for a while.
    pub(crate) async fn flushed(&self, patience: Duration) {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if self.orders.send(Order::Flush(done)).await.is_ok() {
                drop(flushed.await);
            }
        };
        if timeout(patience, flush).await.is_err() {
            tracing::warn!("the last settlements of limits were not sent to the shared store");
        }
    }

    /// Reserves all claims, or none of them.
    ///
    /// Fails if Redis does not answer in time; a reservation that it makes later is given back.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        claims: &[Claim],
        now: Now,
    ) -> Result<Outcome, Unreachable> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let holder: Holder = format!("{}{number:x}", self.process).into();
        let (this, claims) = (Arc::clone(self), claims.to_vec());
        self.answered(|mut connection| async move {
            let answer =
                script::step(Step::Reserve, &holder, &claims, now.second, &mut connection).await?;
            Ok(this.reserved(holder, &claims, answer, now))
        })
        .await
    }

    /// Returns the claims that do not fit, and reserves nothing.
    pub(crate) async fn over(
        self: &Arc<Self>,
        claims: &[Claim],
        now: Now,
    ) -> Result<Vec<Over>, Unreachable> {
        let (this, claims) = (Arc::clone(self), claims.to_vec());
        self.answered(|mut connection| async move {
            let answer = script::step(Step::Look, "", &claims, now.second, &mut connection).await?;
            this.see(&claims, &answer, now);
            Ok(answer.over)
        })
        .await
    }

    /// Runs a call on the thread of the connection, so that its end is seen also if the request leaves.
    async fn answered<T: Send + 'static, F>(
        &self,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Unreachable>
    where
        F: Future<Output = redis::RedisResult<T>> + Send + 'static,
    {
        let line = self.link.line().ok_or(Unreachable)?;
        let call = call(line.connection.clone());
        let (sender, answer) = oneshot::channel();
        self.runtime.spawn(async move { drop(sender.send(call.await)) });
        match timeout(CALL, answer).await {
            Ok(Ok(Ok(found))) => {
                self.link.answered();
                return Ok(found);
            }
            Ok(Ok(Err(error))) => self.link.refused(&line, &error),
            Ok(Err(_)) => {}
            Err(_) => self.link.was_slow(&line),
        }
        Err(Unreachable)
    }

    fn reserved(
        self: Arc<Self>,
        holder: Holder,
        claims: &[Claim],
        answer: Answer,
        now: Now,
    ) -> Outcome {
        self.see(claims, &answer, now);
        if !answer.over.is_empty() {
            return Err(answer.over);
        }
        let held = claims.iter().zip(answer.found);
        let held = held.map(|(claim, found)| (Held::new(claim, found.mark), found.warns));
        let held: Vec<_> = held.collect();
        let holds = held.iter().filter_map(|(held, _)| held.hold(&holder));
        let holds: Vec<_> = holds.collect();
        if !holds.is_empty() {
            self.live.lock().insert(Arc::clone(&holder), holds);
        }
        Ok(Reserved { shared: self, holder, held })
    }

    /// Replaces reserved amounts by the true ones, in the background.
    pub(crate) fn settle(&self, holder: Holder, settled: Vec<(Held, u64)>, now: Option<Now>) {
        self.live.lock().remove(&holder);
        let mut seen = self.seen.lock();
        for (held, used) in &settled {
            let Some(found) = seen.get_mut(&held.id) else { continue };
            let is_there = match (found.kind, now) {
                (Kind::Window(_), Some(now)) => found.empty_at > now.millis,
                (Kind::Window(_) | Kind::Concurrent | Kind::Sum(_), _) => true,
            };
            if is_there {
                found.used = found.used.saturating_sub(held.mark.amount).saturating_add(*used);
            }
        }
        drop(seen);
        let order = Order::Settle(Settlement::new(holder, settled));
        if self.orders.try_send(order).is_err() {
            self.metrics.unsettled.inc();
        }
    }

    /// Returns the last known state of a claim's counter.
    pub(crate) fn level(&self, claim: &Claim, now: Now) -> Level {
        let seen = self.seen.lock();
        let Some(found) = seen.get(&claim.id) else { return Level::default() };
        let left = Duration::from_millis(found.empty_at.saturating_sub(now.millis));
        match claim.kind {
            Kind::Window(_) if left.is_zero() => Level::default(),
            Kind::Sum(_) if found.kind != claim.kind => Level::default(),
            Kind::Window(_) => Level { used: found.used, full_in: left },
            Kind::Concurrent | Kind::Sum(_) => Level { used: found.used, full_in: Duration::ZERO },
        }
    }

    fn see(&self, claims: &[Claim], answer: &Answer, now: Now) {
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        for (claim, found) in claims.iter().zip(&answer.found) {
            let full_in = u64::try_from(found.level.full_in.as_millis()).unwrap_or(u64::MAX);
            let empty_at = now.millis.saturating_add(full_in);
            let state = Seen { kind: claim.kind, used: found.level.used, empty_at };
            seen.insert(claim.id.clone(), state);
        }
    }

    /// Returns whether Redis answers.
    pub(crate) fn is_there(&self) -> bool {
        self.link.line().is_some()
    }
}

/// Keeps the holds of running requests, without end.
async fn renew(link: Arc<Link>, live: Arc<Live>) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let holds: Vec<_> = live.lock().values().flatten().cloned().collect();
        for holds in holds.chunks(RENEWED) {
            let mut line = link.connected().await;
            // a connection that went silent must not outlast the holds
            match timeout(PATIENCE, script::renew(holds, &mut line.connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => link.refused(&line, &error),
                Err(_) => link.was_slow(&line),
            }
        }
    }
}

#[cfg(test)]
mod tests;
