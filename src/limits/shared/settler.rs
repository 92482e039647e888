//! Settles reservations in Redis off the request path. While Redis is away, settlements wait in a bounded queue.
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits::shared::link::{Link, is_lost, is_of_data};
use crate::limits::shared::script::{self, Held, Holder};
use crate::telemetry::limits::LimitMetrics;

/// The settlements that one step of the settler sends.
const BATCH: usize = 128;
/// The time for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The tries of a settlement that Redis answers with an error.
const TRIES: u32 = 3;

/// An order to the settler.
#[derive(Debug)]
pub(super) enum Order {
    Settle(Settlement),
    /// Says when all orders before were tried.
    Flush(oneshot::Sender<()>),
}

/// The true amounts of a reservation.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) holder: Holder,
    pub(super) settled: Vec<(Held, u64)>,
    /// Whether an earlier try was sent, and its answer was lost.
    is_again: bool,
    errors: u32,
}

impl Settlement {
    pub(super) fn new(holder: Holder, settled: Vec<(Held, u64)>) -> Self {
        Self { holder, settled, is_again: false, errors: 0 }
    }

    /// Sends the settlement. Returns it if it must be sent again.
    async fn send(mut self, link: &Link, metrics: &LimitMetrics) -> Option<Self> {
        let Ok(mut line) = timeout(PATIENCE, link.connected()).await else { return Some(self) };
        let (settled, connection) = (&self.settled, &mut line.connection);
        let call = script::settle(&self.holder, settled, self.is_again, connection);
        match timeout(PATIENCE, call).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => {
                link.refused(&line, &error);
                // a script that failed on a counter may have settled those before it
                self.is_again |= is_lost(&error) || is_of_data(&error);
                self.errors += u32::from(!is_lost(&error));
            }
            Err(_) => {
                link.was_slow(&line);
                self.is_again = true;
            }
        }
        if self.errors < TRIES {
            return Some(self);
        }
        metrics.unsettled.inc();
        None
    }
}

/// Carries out orders until their sender is gone.
pub(super) async fn settle(link: Arc<Link>, mut orders: Receiver<Order>, metrics: LimitMetrics) {
    let mut waiting: Vec<Settlement> = Vec::new();
    let mut flushes = Vec::new();
    loop {
        if waiting.is_empty() {
            for flush in flushes.drain(..) {
                let _: Result<(), ()> = oneshot::Sender::send(flush, ());
            }
            let mut taken = Vec::new();
            if orders.recv_many(&mut taken, BATCH).await == 0 {
                return;
            }
            for order in taken {
                match order {
                    Order::Settle(settlement) => waiting.push(settlement),
                    Order::Flush(flush) => flushes.push(flush),
                }
            }
        }
        let sent = waiting.drain(..).map(|settlement| settlement.send(&link, &metrics));
        waiting = join_all(sent).await.into_iter().flatten().collect();
        // without Redis nothing else is left to do
        if !waiting.is_empty() && orders.is_closed() {
            metrics.unsettled.inc_by(waiting.len() as u64);
            return;
        }
    }
}
