//! `Counters`: the counters of the process, and the file that keeps the sums of budgets over a restart.
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::limits::claim::CounterId;
use crate::limits::config::{self, Away, StoreUrl};
use crate::limits::memory::Memory;
use crate::limits::queue::Queue;
use crate::limits::shared::Shared;
use crate::limits::store::Store;
use crate::limits::sums::Sum;
use crate::telemetry::limits::{LimitMetrics, Mode};

/// The file in the state folder.
const FILE: &str = "budgets.json";
/// The time between two looks for changes. A change is on the disk within a second.
const PAUSE: Duration = Duration::from_millis(300);

/// The time for the first connection to Redis.
const CONNECT: Duration = Duration::from_secs(1);
/// The time for the last settlements.
const FLUSH: Duration = Duration::from_secs(1);

/// The counters of limits and budgets. They outlive generations.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    memory: Arc<Memory>,
    /// The requests that wait for a limit.
    pub(super) queue: Arc<Queue>,
    /// The connection to Redis, and its URL.
    shared: Mutex<Option<(String, Arc<Shared>)>>,
    file: Mutex<Option<PathBuf>>,
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    thread: JoinHandle<()>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    rule: String,
    owner: Box<str>,
    #[serde(flatten)]
    sum: Sum,
}

impl Counters {
    /// Reads the sums that an earlier process left in a folder, the place for those of this process. A file that cannot
    /// be read is reported and set aside.
    pub(crate) fn keep_in(&self, folder: &Path) {
        let file = folder.join(FILE);
        self.memory.restore(read(&file));
        *self.file.lock() = Some(file);
    }

    /// Writes the sums to the folder from now on, if there is one.
    pub(crate) fn save(&self) {
        let mut writer = self.writer.lock();
        let file = self.file.lock().clone();
        let (Some(file), None) = (file, writer.as_ref()) else { return };
        let (memory, stop) = (Arc::clone(&self.memory), Arc::<(Mutex<bool>, Condvar)>::default());
        let own = Arc::clone(&stop);
        let run = move || write_changes(&memory, &file, &own);
        match std::thread::Builder::new().name("budgets".to_owned()).spawn(run) {
            Ok(thread) => *writer = Some(Writer { thread, stop }),
            Err(error) => {
                tracing::error!(%error, "budgets are not kept over a restart: no thread can be started");
            }
        }
    }

    /// Returns the counters for a generation. While nothing is served there is no connection to Redis.
    pub(super) fn store(&self, config: &config::Config, metrics: &LimitMetrics) -> Store {
        let is_serving = self.file.lock().is_some();
        let url = match &config.store {
            StoreUrl::Redis(url) if is_serving => Some(url.expose()),
            StoreUrl::Redis(_) | StoreUrl::Memory => None,
        };
        let shared = url.and_then(|url| self.connection(url, config.away, metrics));
        if shared.is_none() {
            self.release(metrics);
            if url.is_some() {
                metrics.mode(Mode::Local);
            }
        }
        Store::new(&self.memory, shared, config.away, metrics)
    }

    /// Ends the connection to Redis of a generation without any rule.
    pub(super) fn release(&self, metrics: &LimitMetrics) {
        *self.shared.lock() = None;
        metrics.mode(Mode::Memory);
    }

    fn connection(&self, url: &str, away: Away, metrics: &LimitMetrics) -> Option<Arc<Shared>> {
        let mut known = self.shared.lock();
        if let Some((known, shared)) = &*known
            && known == url
        {
            shared.set_away(away);
            return Some(Arc::clone(shared));
        }
        match Shared::start(url, away, metrics) {
            Ok(shared) => {
                *known = Some((url.to_owned(), Arc::clone(&shared)));
                Some(shared)
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "the shared store of the limits cannot be used: each gateway counts for itself"
                );
                None
            }
        }
    }

    /// Waits for the connection to Redis, for a while. Without it the gateway serves as `away` says.
    pub(crate) async fn connected(&self) {
        let shared = self.shared.lock().as_ref().map(|(_, shared)| Arc::clone(shared));
        if let Some(shared) = shared {
            shared.connected(CONNECT).await;
        }
    }

    /// Sends the last settlements to Redis, for a while.
    pub(crate) async fn flushed(&self) {
        let shared = self.shared.lock().as_ref().map(|(_, shared)| Arc::clone(shared));
        if let Some(shared) = shared {
            shared.flushed(FLUSH).await;
        }
    }

    /// Writes the last changes and ends the writing.
    pub(crate) fn finish(&self) {
        let Some(Writer { thread, stop }) = self.writer.lock().take() else { return };
        *stop.0.lock() = true;
        stop.1.notify_all();
        if thread.join().is_err() {
            tracing::error!("the last changes of budgets were not written");
        }
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        self.finish();
    }
}

fn write_changes(store: &Memory, file: &Path, stop: &(Mutex<bool>, Condvar)) {
    let mut is_failing = false;
    loop {
        let is_last = waited(stop);
        if let Some(sums) = store.changed_sums() {
            is_failing = !saved(store, file, sums, is_failing);
        }
        if is_last {
            return;
        }
    }
}

/// Waits for the next look. Returns whether it is the last one.
fn waited(stop: &(Mutex<bool>, Condvar)) -> bool {
    let mut is_stopped = stop.0.lock();
    if !*is_stopped {
        stop.1.wait_for(&mut is_stopped, PAUSE);
    }
    *is_stopped
}

/// Writes the sums and returns whether that worked. The first of several failures is logged.
fn saved(store: &Memory, file: &Path, sums: Vec<(CounterId, Sum)>, was_failing: bool) -> bool {
    let Err(error) = write(file, sums) else { return true };
    store.sums_are_unsaved();
    if !was_failing {
        tracing::error!(file = %file.display(), %error, "the sums of budgets cannot be written");
    }
    false
}

/// Writes the file as a whole: a reader sees the old one or the new one.
fn write(file: &Path, sums: Vec<(CounterId, Sum)>) -> std::io::Result<()> {
    let rows =
        sums.into_iter().map(|(id, sum)| Row { rule: id.rule.to_string(), owner: id.subject, sum });
    let text = serde_json::to_vec(&rows.collect::<Vec<_>>())?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = beside(file, "new");
    let mut open = fs::File::create(&new)?;
    open.write_all(&text)?;
    open.sync_all()?;
    fs::rename(&new, file)
}

fn read(file: &Path) -> Vec<(CounterId, Sum)> {
    if !file.exists() {
        return Vec::new();
    }
    let rows = disk::text(file)
        .map_err(|unread| unread.at(file).to_string())
        .and_then(|text| serde_json::from_str::<Vec<Row>>(&text).map_err(|e| e.to_string()));
    match rows {
        Ok(rows) => rows
            .into_iter()
            .map(|Row { rule, owner, sum }| (CounterId { rule: rule.into(), subject: owner }, sum))
            .collect(),
        Err(error) => {
            let aside = beside(file, "unreadable");
            let is_kept = fs::rename(file, &aside).is_ok();
            tracing::error!(file = %file.display(), error, kept_as = is_kept.then(|| aside.display().to_string()), "the sums of budgets cannot be read: budgets start at 0");
            Vec::new()
        }
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
