//! Watches the files of a generation, and reloads when they change.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as thread_mpsc;
use std::thread;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::gateway::reload::{Reloader, Watched};
use crate::server::supervisor::Supervisor;

/// The quiet time before a reload: one save in an editor causes several events.
const SETTLE: Duration = Duration::from_millis(40);
/// The longest wait for a quiet time.
const SETTLE_AT_MOST: Duration = Duration::from_millis(400);
/// The polling interval for changes that notify misses: network file systems, re-created folders.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The longest wait for the system to watch all folders.
const WATCH_LIMIT: Duration = Duration::from_secs(10);

/// Runs until aborted. Events are only hints: a reload needs changed contents. The service manager hears of the reloads
/// that it wants.
pub(crate) async fn watch(reloader: Arc<Reloader>, supervisor: Arc<Supervisor>) {
    let (hint, mut hints) = mpsc::channel(1);
    let folders = FolderThread::start(hint);
    let mut hangup = hangups();
    loop {
        // a change before a folder was watched causes no event
        while folders.update(reloader.watched().await, Known::Keep).await {
            reloader.reload_if_changed().await;
        }
        match cause(&mut hangup, &mut hints).await {
            Cause::Signal => {
                supervisor.reloading();
                supervisor.reloaded(&reloader.reload().await);
                continue;
            }
            Cause::Hint => settle(&mut hints).await,
            Cause::Poll => {
                folders.update(reloader.watched().await, Known::Forget).await;
            }
        }
        reloader.reload_if_changed().await;
    }
}

/// Waits for the next cause.
async fn cause(hangup: &mut Option<Signal>, hints: &mut mpsc::Receiver<()>) -> Cause {
    tokio::select! {
        () = raised(hangup) => Cause::Signal,
        Some(()) = hints.recv() => Cause::Hint,
        () = tokio::time::sleep(POLL_INTERVAL) => Cause::Poll,
    }
}

/// The cause of a look at the files.
enum Cause {
    /// `SIGHUP`
    Signal,
    /// An event of a watched folder.
    Hint,
    /// The polling interval.
    Poll,
}

fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup())
        .inspect_err(|e| tracing::warn!(error = %e, "cannot listen for `SIGHUP`: it will not reload the config"))
        .ok()
}

/// Waits for the signal; forever if the gateway cannot listen for it.
async fn raised(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => hangup.recv().await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

async fn settle(hints: &mut mpsc::Receiver<()>) {
    let end = Instant::now() + SETTLE_AT_MOST;
    loop {
        let quiet = (Instant::now() + SETTLE).min(end);
        match tokio::time::timeout_at(quiet, hints.recv()).await {
            Ok(Some(())) if Instant::now() < end => {}
            _ => return,
        }
    }
}

/// The treatment of folders that are watched already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Their watches stay.
    Keep,
    /// They are watched anew: a re-created folder has a new inode.
    Forget,
}

/// One update of the watched folders.
struct Update {
    watched: Watched,
    known: Known,
    /// Receives whether a folder is new.
    is_wider: oneshot::Sender<bool>,
}

/// The thread that watches folders. A folder on a hanging mount stops this thread only: changes are then found
/// by polling.
struct FolderThread(thread_mpsc::SyncSender<Update>);

impl FolderThread {
    /// Starts the thread. It ends when the returned value is dropped.
    fn start(hint: mpsc::Sender<()>) -> Self {
        let (updates, received) = thread_mpsc::sync_channel::<Update>(1);
        let work = move || {
            let mut folders = FolderWatch::new(hint);
            received.into_iter().for_each(|update| folders.carry_out(update));
        };
        let started = thread::Builder::new().name("watch".to_owned()).spawn(work);
        if let Err(e) = started {
            tracing::warn!(error = %e, "file watching unavailable, polling every 5 s");
        }
        Self(updates)
    }

    /// Watches these files and folders. Returns `true` if one of them is new.
    async fn update(&self, watched: Watched, known: Known) -> bool {
        let (is_wider, answer) = oneshot::channel();
        // fails if the thread still works at earlier updates
        let sent = self.0.try_send(Update { watched, known, is_wider });
        let answer = async { answer.await.unwrap_or(false) };
        sent.is_ok() && tokio::time::timeout(WATCH_LIMIT, answer).await.unwrap_or(false)
    }
}

/// The watched folders. A file is watched through its folder, since a rename replaces the file.
struct FolderWatch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl FolderWatch {
    fn new(hint: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // reading the files is an event too: reacting to it would never end
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                // a full channel already holds a hint
                let _ = hint.try_send(());
            }
        });
        match watcher {
            Ok(watcher) => Self { watcher: Some(watcher), folders: BTreeSet::new() },
            Err(e) => {
                tracing::warn!(error = %e, "file watching unavailable, polling every 5 s");
                Self { watcher: None, folders: BTreeSet::new() }
            }
        }
    }

    fn carry_out(&mut self, Update { watched, known, is_wider }: Update) {
        if known == Known::Forget {
            self.forget();
        }
        // fails if the wait is over
        let _ = is_wider.send(self.update(&watched));
    }

    /// Watches these files and folders. Returns `true` if one of them is new.
    fn update(&mut self, watched: &Watched) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let parents = watched.files.iter().filter_map(|file| file.parent());
        let folders: BTreeSet<PathBuf> = parents
            .map(
                |parent| if parent.as_os_str().is_empty() { ".".into() } else { parent.to_owned() },
            )
            .chain(watched.dirs.iter().cloned())
            .collect();
        for gone in self.folders.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        let known = std::mem::take(&mut self.folders);
        let mut is_wider = false;
        for folder in folders {
            // a missing folder is tried again at the next update
            let is_known = known.contains(&folder);
            if is_known || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                is_wider |= !is_known;
                self.folders.insert(folder);
            }
        }
        is_wider
    }

    /// Ends all watches: a re-created folder has a new inode and needs a new watch.
    fn forget(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            for folder in std::mem::take(&mut self.folders) {
                let _ = watcher.unwatch(&folder);
            }
        }
    }
}
