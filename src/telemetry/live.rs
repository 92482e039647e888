//! `LiveExchanges`: the exchanges in progress, and those that end, for viewers.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::telemetry::recent::Recent;
use crate::telemetry::story::Story;

/// The exchanges that wait for a slow viewer; older ones are lost for it, and counted.
const WAITING: usize = 256;
/// The most viewers.
const VIEWERS: usize = 16;

/// The exchanges of the process. Without an admin listener it takes nothing.
#[derive(Default)]
pub(crate) struct LiveExchanges {
    is_on: AtomicBool,
    next: AtomicU64,
    running: DashMap<u64, Arc<Story>>,
    ended: AtomicU64,
    viewer_count: AtomicUsize,
    viewers: Mutex<Vec<Arc<Viewer>>>,
    /// Those of the last hour.
    pub(crate) recent: Recent,
}

/// An exchange that has ended.
pub(crate) struct Ended {
    /// Its number since the start of the process.
    pub(crate) number: u64,
    /// Its record.
    pub(crate) story: Arc<Story>,
    /// The time of its end.
    pub(crate) at: SystemTime,
}

#[derive(Default)]
struct Viewer {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    ended: VecDeque<Ended>,
    lost: u64,
}

/// A view of the exchanges that end. Dropped, it is over.
pub(crate) struct View {
    exchanges: Arc<LiveExchanges>,
    viewer: Arc<Viewer>,
}

/// The place of an exchange in progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveId(u64);

impl LiveExchanges {
    /// Begins to take exchanges.
    pub(crate) fn switch_on(&self) {
        self.is_on.store(true, Relaxed);
    }

    /// Takes an exchange that begins.
    pub(crate) fn begin(&self, story: &Arc<Story>) -> Option<LiveId> {
        if !self.is_on.load(Relaxed) {
            return None;
        }
        let id = self.next.fetch_add(1, Relaxed);
        self.running.insert(id, Arc::clone(story));
        Some(LiveId(id))
    }

    /// Takes an exchange that has ended, which counts in the last hour, and which every viewer receives.
    pub(crate) fn end(&self, id: Option<LiveId>, story: &Arc<Story>) {
        let Some(LiveId(id)) = id else { return };
        self.running.remove(&id);
        self.recent.add(story, Instant::now());
        let number = self.ended.fetch_add(1, Relaxed) + 1;
        if self.viewer_count.load(Relaxed) == 0 {
            return;
        }
        let at = SystemTime::now();
        for viewer in &*self.viewers.lock() {
            viewer.push(Ended { number, story: Arc::clone(story), at });
        }
    }

    /// Returns the exchanges in progress, the oldest first.
    pub(crate) fn running(&self) -> Vec<Arc<Story>> {
        let entries = self.running.iter();
        let mut all: Vec<(u64, Arc<Story>)> =
            entries.map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, story)| story).collect()
    }

    /// Returns the number of exchanges in progress.
    pub(crate) fn running_number(&self) -> usize {
        self.running.len()
    }

    /// Returns a view of the exchanges that end from now on; `None` if there are too many viewers.
    pub(crate) fn view(self: &Arc<Self>) -> Option<View> {
        let mut viewers = self.viewers.lock();
        if viewers.len() >= VIEWERS {
            return None;
        }
        let viewer = Arc::<Viewer>::default();
        viewers.push(Arc::clone(&viewer));
        self.viewer_count.store(viewers.len(), Relaxed);
        Some(View { exchanges: Arc::clone(self), viewer })
    }
}

impl Viewer {
    fn push(&self, ended: Ended) {
        let mut waiting = self.waiting.lock();
        if waiting.ended.len() >= WAITING {
            waiting.ended.pop_front();
            waiting.lost += 1;
        }
        waiting.ended.push_back(ended);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Takes what waits, with the number of those that were lost before; `None` if nothing waits.
    fn take(&self) -> Option<(Vec<Ended>, u64)> {
        let mut waiting = self.waiting.lock();
        let ended: Vec<Ended> = std::mem::take(&mut waiting.ended).into();
        (!ended.is_empty()).then(|| (ended, std::mem::take(&mut waiting.lost)))
    }
}

impl View {
    /// Waits for exchanges that have ended. Returns them with the number of those that were lost before them.
    pub(crate) async fn next(&self) -> (Vec<Ended>, u64) {
        loop {
            if let Some(taken) = self.viewer.take() {
                return taken;
            }
            self.viewer.changed.notified().await;
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut viewers = self.exchanges.viewers.lock();
        viewers.retain(|viewer| !Arc::ptr_eq(viewer, &self.viewer));
        self.exchanges.viewer_count.store(viewers.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::record::Operation;

    use super::*;

    fn story(id: &str) -> Arc<Story> {
        Story::begin(id, Instant::now(), Operation::Messages)
    }

    fn ids(stories: &[Arc<Story>]) -> Vec<String> {
        stories.iter().map(|story| story.read(|record| record.request_id.to_string())).collect()
    }

    #[tokio::test]
    async fn a_slow_viewer_loses_the_oldest_and_nothing_grows() {
        let exchanges = Arc::<LiveExchanges>::default();
        exchanges.switch_on();
        let view = exchanges.view().unwrap();
        for n in 0..1000 {
            let story = story(&n.to_string());
            let id = exchanges.begin(&story);
            assert_eq!(ids(&exchanges.running()), [n.to_string()]);
            exchanges.end(id, &story);
        }
        let (ended, lost) = view.next().await;
        assert_eq!((ended.len(), lost, ended[0].number), (WAITING, 1000 - WAITING as u64, 745));
        assert!(exchanges.running().is_empty());
        let last = story("last");
        exchanges.end(exchanges.begin(&last), &last);
        let (ended, lost) = view.next().await;
        assert_eq!((ended.len(), lost, ended[0].number), (1, 0, 1001));
    }

    #[test]
    fn views_are_bounded_and_leave_nothing_when_they_end() {
        let exchanges = Arc::<LiveExchanges>::default();
        assert!(exchanges.begin(&story("off")).is_none());
        let views: Vec<View> = (0..VIEWERS).map_while(|_| exchanges.view()).collect();
        assert_eq!(views.len(), VIEWERS);
        assert!(exchanges.view().is_none());
        drop(views);
        assert_eq!(exchanges.viewer_count.load(Relaxed), 0);
        assert!(exchanges.view().is_some());
    }
}
