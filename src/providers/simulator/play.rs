//! Sends the events of an answer: at a pace, up to a fault, within the timeouts of the attempt.
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::error::Result;
use crate::providers::Timeouts;
use crate::providers::simulator::faults;
use crate::wire::{Event, EventStream};

/// The timing of the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tempo {
    /// The delay before the first event.
    pub first_event: Duration,
    /// The delay before each other event.
    pub pace: Duration,
    /// The time limits of the attempt.
    pub timeouts: Timeouts,
}

/// Returns the stream. Dropping it stops everything, because it starts no tasks.
pub(crate) fn play(items: Vec<Result<Event>>, tempo: Tempo) -> EventStream {
    if tempo.first_event.is_zero() && tempo.pace.is_zero() {
        return stream::iter(items).boxed();
    }
    let player = Player { items: items.into_iter(), spent: Duration::ZERO, is_first: true, tempo };
    stream::unfold(player, Player::next).boxed()
}

struct Player {
    items: std::vec::IntoIter<Result<Event>>,
    spent: Duration,
    is_first: bool,
    tempo: Tempo,
}

impl Player {
    async fn next(mut self) -> Option<(Result<Event>, Self)> {
        let item = self.items.next()?;
        let (delay, limit) = match self.is_first {
            true => (self.tempo.first_event, self.tempo.timeouts.first_event),
            false => (self.tempo.pace, self.tempo.timeouts.idle),
        };
        self.is_first = false;
        let total = self.tempo.timeouts.total;
        let left = total.saturating_sub(self.spent);
        tokio::time::sleep(delay.min(limit).min(left)).await;
        if delay > limit.min(left) {
            self.items = Vec::new().into_iter();
            let error = match limit <= left {
                true => faults::too_slow(limit),
                false => faults::too_long(total),
            };
            return Some((Err(error), self));
        }
        self.spent += delay;
        Some((item, self))
    }
}
