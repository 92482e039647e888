//! `Logs`: the log lines of the policies and plugins of a trial.
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Subscriber;

/// The most bytes that wait to be read; a policy that logs more loses the rest.
const MOST: usize = 1024 * 1024;
/// The log filter: everything from policies and plugins, and warnings. Engine starts and plugin loads are
/// left out.
const HEARD: &str = "tidegate::policy=trace,tidegate::plugin_host=trace,\
                     tidegate::plugin_host::engine=warn,tidegate::plugin_host::load=warn,tidegate=warn";

/// The log lines of policies since the last read.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Returns a subscriber that collects the lines.
    pub(crate) fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        let writer = self.clone();
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(HEARD))
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish()
    }

    /// Takes the lines since the last call. They do not name the policy or plugin.
    pub(crate) fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock());
        String::from_utf8_lossy(&bytes).lines().map(said_in).map(str::to_owned).collect()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock();
        if lines.len() < MOST {
            lines.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes the names of the policy or plugin from a log line.
fn said_in(line: &str) -> &str {
    let said = line.split(" policy=\"").next().unwrap_or_default();
    said.split(" plugin=\"").next().unwrap_or_default().trim()
}
