//! Events for sinks outside of the gateway: ended exchanges, budgets, targets, reloads, keys, and those of policies.
pub(crate) mod config;
mod delivery;
mod event;
mod exchange;
mod journal;
pub(crate) mod names;
mod signature;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::error::Problem;
use crate::telemetry::events::config::{Built, SinkConfig, of_sink};
use crate::telemetry::events::delivery::{BOUNDS, Delivery, Queue};
use crate::telemetry::events::event::{Data, Event};
use crate::telemetry::events::names::{EXCHANGE_ENDED, Wanted};
use crate::telemetry::exporter::Dropped;
use crate::telemetry::outbox::{Courier, Outbox, Size};
use crate::telemetry::sinks::{SinkMetrics, Sinks};
use crate::telemetry::story::Story;

/// The entrance for events of one generation. Without a sink that receives an event, the event costs nothing.
#[derive(Clone, Default)]
pub(crate) struct Events {
    sinks: Arc<[Sink]>,
    generation: u64,
}

/// One sink.
struct Sink {
    name: Box<str>,
    wanted: Wanted,
    queue: Arc<Queue>,
    metrics: SinkMetrics,
}

/// The tasks that deliver. Dropped without [`Delivering::stop`], they stop at once, and lose all that waits.
pub(crate) struct Delivering(Vec<Running>);

/// The task of one sink.
struct Running {
    name: Box<str>,
    courier: Courier<Arc<Event>>,
    metrics: SinkMetrics,
}

/// The data of a policy's event.
#[derive(Serialize)]
struct OfPolicy<'a, F> {
    policy: &'a str,
    request_id: &'a str,
    key: &'a str,
    fields: F,
}

impl Events {
    /// Starts the tasks of all sinks on the caller's runtime.
    ///
    /// Fails with each sink that cannot be used: a wrong value, or a file that cannot be written. An absent receiver is
    /// no failure.
    pub(crate) fn start(
        sinks: &[(String, SinkConfig)],
        metrics: &Sinks,
    ) -> Result<(Self, Delivering), Vec<Problem>> {
        let (mut started, mut delivering, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (name, config) in sinks {
            match start(name, config, metrics.of(name)) {
                Ok((sink, running)) => {
                    started.push(sink);
                    delivering.push(running);
                }
                Err(found) => problems.extend(found),
            }
        }
        match problems.is_empty() {
            true => Ok((Self { sinks: started.into(), generation: 0 }, Delivering(delivering))),
            false => Err(problems),
        }
    }

    /// Returns each sink that [`Events::start`] could not use. Starts and creates nothing.
    pub(crate) fn check(sinks: &[(String, SinkConfig)]) -> Vec<Problem> {
        let check = |(name, config): &(String, SinkConfig)| {
            let found = match config.build() {
                Ok(built) => delivery::check(built.place).err().into_iter().collect(),
                Err(wrong) => wrong,
            };
            found.into_iter().map(|wrong| of_sink(name, wrong)).collect::<Vec<_>>()
        };
        sinks.iter().flat_map(check).collect()
    }

    /// Returns the entrance of a generation.
    pub(crate) fn of(&self, generation: u64) -> Self {
        Self { sinks: Arc::clone(&self.sinks), generation }
    }

    /// Returns whether a sink receives events of a type.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.sinks.iter().any(|sink| sink.wanted.has(kind))
    }

    /// Takes an exchange that has ended; never waits.
    pub(crate) fn exchange_ended(&self, story: &Arc<Story>) {
        self.send(EXCHANGE_ENDED, || Some(Data::Exchange(Arc::clone(story))));
    }

    /// Takes an event with its fields; never waits.
    pub(crate) fn enter<F: Serialize>(&self, kind: &str, fields: impl FnOnce() -> F) {
        self.send(kind, || to_raw_value(&fields()).ok().map(Data::Json));
    }

    /// Takes the event of a policy in a request; never waits.
    pub(crate) fn emitted(&self, kind: &str, policy: &str, story: &Story, fields: impl Serialize) {
        self.send(kind, || {
            let json = story.read(|record| {
                let (request_id, key) = (&*record.request_id, &*record.key);
                to_raw_value(&OfPolicy { policy, request_id, key, fields })
            });
            json.ok().map(Data::Json)
        });
    }

    fn send(&self, kind: &str, data: impl FnOnce() -> Option<Data>) {
        let mut wanting = self.sinks.iter().filter(|sink| sink.wanted.has(kind)).peekable();
        if wanting.peek().is_none() {
            return;
        }
        let Some(data) = data() else { return };
        let event = Arc::new(Event::new(kind, self.generation, data));
        let size = Size { units: 1, bytes: event.memory() };
        for sink in wanting {
            if let Err(reason) = sink.queue.push(Arc::clone(&event), size) {
                sink.metrics.dropped(reason, 1);
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sinks.iter().map(|sink| &sink.name)).finish()
    }
}

fn start(
    name: &str,
    config: &SinkConfig,
    metrics: SinkMetrics,
) -> Result<(Sink, Running), Vec<Problem>> {
    let wrong =
        |found: Vec<_>| found.into_iter().map(|wrong| of_sink(name, wrong)).collect::<Vec<_>>();
    let Built { wanted, place } = config.build().map_err(wrong)?;
    let queue = Arc::new(Outbox::new(BOUNDS, metrics.waiting.clone()));
    let delivery = Delivery::new(name, place, &queue, &metrics);
    let delivery = delivery.map_err(|wrong| vec![of_sink(name, wrong)])?;
    let courier = Courier::start(&queue, delivery.run());
    let name: Box<str> = name.into();
    let running = Running { name: name.clone(), courier, metrics: metrics.clone() };
    Ok((Sink { name, wanted, queue, metrics }, running))
}

impl Delivering {
    /// Delivers what waits. Events that are not delivered within `patience` are lost and counted.
    pub(crate) async fn stop(self, patience: Duration) {
        join_all(self.0.into_iter().map(|sink| sink.stop(patience))).await;
    }
}

impl Running {
    async fn stop(self, patience: Duration) {
        let lost = self.courier.stop(patience).await;
        if lost > 0 {
            self.metrics.dropped(Dropped::Stopped, lost);
            let sink = &*self.name;
            tracing::warn!(
                sink,
                events = lost,
                "the last events could not be delivered: they are lost"
            );
        }
    }
}
