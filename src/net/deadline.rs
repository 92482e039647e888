//! Timers that are set late and reset rarely: `Deadline` for a moment, `Stall` for a wait without progress.
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A timer for a moment that is usually postponed before it comes. The first poll sets it. It is reset
/// only if it fires too early or if the moment moves nearer. So a postponement costs no call of the
/// runtime's clock.
#[derive(Default)]
pub(crate) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Is ready once `due` has passed, and at each later poll. Each poll may name another moment.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

/// Measures a wait without progress. The time counts from the first poll after progress, so that the
/// reader's own pauses do not count.
pub(crate) struct Stall {
    patience: Duration,
    since: Option<Instant>,
    deadline: Deadline,
}

impl Stall {
    /// Creates a timer that fires after `patience` without progress.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, since: None, deadline: Deadline::default() }
    }

    /// Returns the longest wait.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Records progress: the next poll starts a new wait.
    pub(crate) fn progress(&mut self) {
        self.since = None;
    }

    /// Is ready once a wait has lasted for the whole patience.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.deadline.poll(cx, since + self.patience)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(5);

    async fn is_ready(mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) -> bool {
        poll_fn(|cx| Poll::Ready(poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_stays_ready_until_another_one_is_named() {
        let mut deadline = Deadline::default();
        let due = Instant::now() + SOON;
        poll_fn(|cx| deadline.poll(cx, due)).await;
        assert!(is_ready(|cx| deadline.poll(cx, due)).await);
        assert!(!is_ready(|cx| deadline.poll(cx, due + HOUR)).await);
    }

    #[tokio::test]
    async fn a_moment_that_moved_away_is_not_over_when_the_timer_rings() {
        let mut deadline = Deadline::default();
        let first = Instant::now() + SOON;
        poll_fn(|cx| deadline.poll(cx, first)).await;
        assert!(!is_ready(|cx| deadline.poll(cx, first + HOUR)).await);
        poll_fn(|cx| deadline.poll(cx, first)).await;
    }

    #[tokio::test]
    async fn a_moment_that_moved_nearer_wakes_the_task_in_time() {
        let mut deadline = Deadline::default();
        let start = Instant::now();
        assert!(!is_ready(|cx| deadline.poll(cx, start + HOUR)).await);
        let near = poll_fn(|cx| deadline.poll(cx, start + SOON));
        assert!(tokio::time::timeout(HOUR / 60, near).await.is_ok());
    }

    #[tokio::test]
    async fn progress_begins_another_wait() {
        let mut stall = Stall::new(HOUR);
        assert!(!is_ready(|cx| stall.poll(cx)).await);
        stall.since = Some(Instant::now() - 2 * HOUR);
        poll_fn(|cx| stall.poll(cx)).await;
        stall.progress();
        assert!(!is_ready(|cx| stall.poll(cx)).await);
    }
}
