//! `Patience`: ends the wait for a reading that hangs, such as one on a network mount whose server is gone.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::disk::Unread;

/// The time limit of every reading of this process.
static USUAL: LazyLock<Patience> = LazyLock::new(|| Patience::new(Duration::from_secs(10)));

/// A time limit for readings. Nothing can stop a thread that hangs in the kernel, so each reading has a
/// thread of its own. The process does not wait for these threads when it ends.
pub(super) struct Patience {
    limit: Duration,
    /// The paths whose reading hangs now. None of them is read a second time, so the number of threads is
    /// bounded.
    hanging: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// Reads a path within the usual limit.
pub(super) fn within<T: Send + 'static>(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, Unread> + Send + 'static,
) -> Result<T, Unread> {
    USUAL.read(path, read)
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, hanging: Arc::default() }
    }

    /// Returns the result of `read`, or an error if it has not ended in time. While another reading hangs,
    /// the limit is a tenth, so that many files of one mount do not add up to minutes.
    pub(super) fn read<T: Send + 'static>(
        &self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<T, Unread> + Send + 'static,
    ) -> Result<T, Unread> {
        let limit = {
            let hanging = self.hanging.lock();
            if hanging.contains(path) {
                return Err(Unread::new("an earlier attempt still hangs"));
            }
            if hanging.is_empty() { self.limit } else { self.limit / 10 }
        };
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = Done { path: path.to_owned(), hanging: Arc::clone(&self.hanging), sender };
        thread::Builder::new().name("disk".to_owned()).spawn(move || {
            let result = read(&done.path);
            done.send(result);
        })?;
        match receiver.recv_timeout(limit) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(Unread::new("the reading panicked")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // the thread sends its result under the same lock
        let mut hanging = self.hanging.lock();
        if let Ok(result) = receiver.try_recv() {
            return result;
        }
        hanging.insert(path.to_owned());
        Err(Unread::new(format_args!("it did not answer within {limit:?}")))
    }
}

/// The end of a reading. When it is dropped, the path no longer hangs.
struct Done<T> {
    path: PathBuf,
    hanging: Arc<Mutex<BTreeSet<PathBuf>>>,
    sender: SyncSender<Result<T, Unread>>,
}

impl<T> Done<T> {
    fn send(&self, result: Result<T, Unread>) {
        let _hanging = self.hanging.lock();
        // fails if the wait is over
        let _ = self.sender.try_send(result);
    }
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        self.hanging.lock().remove(&self.path);
    }
}
