//! Watches what a generation was built from, and reloads when it changes.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::gateway::reload::{Reloader, Watched};

/// An editor's save is several events: wait until they stop …
const SETTLE: Duration = Duration::from_millis(40);
/// … but not for ever.
const SETTLE_AT_MOST: Duration = Duration::from_millis(400);
/// For what notify cannot see: network file systems, folders that were removed and made anew.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// Runs until aborted. Events are only hints: what counts is whether contents differ.
pub async fn watch(reloader: Arc<Reloader>) {
    let (hint, mut hints) = mpsc::channel(1);
    let mut eyes = Eyes::new(hint);
    let mut hangup = hangups();
    loop {
        // what changed before a folder was watched gives no hint
        while eyes.look_at(&reloader.watched().await) {
            reloader.reload_if_changed().await;
        }
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = asked => {
                reloader.reload().await;
            }
            Some(()) = hints.recv() => {
                settle(&mut hints).await;
                reloader.reload_if_changed().await;
            }
            () = tokio::time::sleep(LOOK_ANYWAY) => {
                eyes.forget();
                eyes.look_at(&reloader.watched().await);
                reloader.reload_if_changed().await;
            }
        }
    }
}

fn hangups() -> Option<Signal> {
    signal(SignalKind::hangup())
        .inspect_err(|e| tracing::warn!(error = %e, "`SIGHUP` will not reload"))
        .ok()
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

/// The watched folders: a file is watched through its folder, since a rename replaces it.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Eyes {
    fn new(hint: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // reading the files is an event too: reacting to it would never end
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                // a full channel holds a hint already
                let _ = hint.try_send(());
            }
        });
        match watcher {
            Ok(watcher) => Self { watcher: Some(watcher), folders: BTreeSet::new() },
            Err(e) => {
                tracing::warn!(error = %e, "changes are looked for every few seconds only");
                Self { watcher: None, folders: BTreeSet::new() }
            }
        }
    }

    /// Watches these from now on; `true` if one of them was not watched before.
    fn look_at(&mut self, watched: &Watched) -> bool {
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
            // one that is not there (yet) is tried again at the next look
            let is_known = known.contains(&folder);
            if is_known || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                is_wider |= !is_known;
                self.folders.insert(folder);
            }
        }
        is_wider
    }

    /// A folder that was removed and made anew has another inode: watch it afresh.
    fn forget(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            for folder in std::mem::take(&mut self.folders) {
                let _ = watcher.unwatch(&folder);
            }
        }
    }
}
