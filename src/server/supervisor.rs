//! `Supervisor`: messages to the service manager by systemd's protocol (`Type=notify`): ready, reloading, stopping, alive.
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::config::expand::Lookup;
use crate::gateway::reload::Reloaded;

/// The variable with the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The longest time for the manager to take a message.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager; one that does not exist gets no messages.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    /// Connects to the manager that started the process, if it wants messages.
    pub(crate) fn connect(lookup: &Lookup) -> Self {
        let name = lookup(SOCKET).filter(|name| !name.is_empty());
        let connected = name.map(|name| (connected(&name), name));
        let socket = match connected {
            None => None,
            Some((Ok(socket), _)) => Some(socket),
            Some((Err(error), name)) => {
                tracing::warn!(socket = ?name, %error, "the service manager gets no messages");
                None
            }
        };
        Self { socket }
    }

    /// Reports that clients can connect.
    pub(crate) fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    /// Reports that a reload begins; [`Self::reloaded`] ends it.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            // a manager that wants the time takes a reload without it for a failure
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the system has no monotonic clock"),
        }
    }

    /// Reports the end of a reload. The process is ready after a failed one too: the last good generation serves.
    pub(crate) fn reloaded(&self, reloaded: &Reloaded) {
        let status = match reloaded {
            Reloaded::Unchanged => return self.ready(),
            Reloaded::Swapped(number) => format!("generation {number} serves"),
            Reloaded::Refused(problems) => {
                format!(
                    "the last reload failed with {} problems; the last good generation serves",
                    problems.len()
                )
            }
        };
        self.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// Reports that the process stops, and will need this time at most.
    pub(crate) fn stopping(&self, within: Duration) {
        // the crate's own state holds 71 minutes at most
        let extension = format!("EXTEND_TIMEOUT_USEC={}", within.as_micros());
        let status = NotifyState::Status("draining");
        self.send(&[NotifyState::Stopping, NotifyState::Custom(&extension), status]);
    }

    /// Reports twice in each `limit` that the process is alive, as long as every worker is. Runs until aborted.
    pub(crate) async fn watch(self: Arc<Self>, beats: Arc<Beats>, limit: Duration) {
        let mut watch = Watch { seen: beats.counts() };
        loop {
            tokio::time::sleep(limit / 2).await;
            match watch.stuck(beats.counts()) {
                None => self.send(&[NotifyState::Watchdog]),
                Some(worker) => tracing::error!(
                    worker,
                    "a worker thread runs no tasks, so the service manager gets no sign of life"
                ),
            }
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let mut text = String::new();
        for state in states {
            let _ = writeln!(text, "{state}");
        }
        if let Err(error) = socket.send(text.as_bytes()) {
            tracing::warn!(%error, "the service manager took no message");
        }
    }
}

/// Connects to a socket by its path, or by its name after `@` in the abstract namespace.
fn connected(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => {
            let message = "expected a path, or `@` and a name";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Returns the time within which the manager wants to hear that this process is alive; `None` if it does not care.
pub(crate) fn watchdog(lookup: &Lookup) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    let is_other = lookup("WATCHDOG_PID")
        .and_then(number)
        .is_some_and(|pid| pid != u64::from(std::process::id()));
    let limit = lookup("WATCHDOG_USEC").and_then(number).filter(|limit| *limit > 0)?;
    (!is_other).then(|| Duration::from_micros(limit))
}

/// A counter for each worker, which the worker raises as long as its tasks run.
#[derive(Debug)]
pub(crate) struct Beats {
    period: Duration,
    counts: Vec<AtomicU64>,
}

impl Beats {
    /// Creates counters that rise four times in `limit`.
    pub(crate) fn new(workers: usize, limit: Duration) -> Arc<Self> {
        let counts = (0..workers).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { period: limit / 4, counts })
    }

    /// Raises the counter of a worker. Runs on it until it ends.
    pub(super) async fn beat(self: Arc<Self>, worker: usize) {
        loop {
            self.counts[worker].fetch_add(1, Relaxed);
            tokio::time::sleep(self.period).await;
        }
    }

    fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|count| count.load(Relaxed)).collect()
    }
}

/// The counters at the last look.
struct Watch {
    seen: Vec<u64>,
}

impl Watch {
    /// Returns a worker whose counter is the same as at the last look.
    fn stuck(&mut self, now: Vec<u64>) -> Option<usize> {
        let stuck = self.seen.iter().zip(&now).position(|(seen, now)| seen == now);
        self.seen = now;
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager, and the supervisor that knows its socket.
    fn manager(name: &OsStr, address: &SocketAddr) -> (UnixDatagram, Supervisor) {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let supervisor =
            Supervisor::connect(&|variable: &str| (variable == SOCKET).then(|| name.to_owned()));
        (socket, supervisor)
    }

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut room = [0; 512];
        while let Ok(length) = socket.recv(&mut room) {
            all.push(String::from_utf8(room[..length].to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = SocketAddr::from_pathname(&path).unwrap();
        let (socket, supervisor) = manager(path.as_os_str(), &by_path);
        supervisor.ready();
        assert_eq!(received(&socket), ["READY=1\n"]);

        let name = format!("tidegate-test/{}", path.display());
        let by_name = SocketAddr::from_abstract_name(&name).unwrap();
        let (socket, supervisor) = manager(OsStr::new(&format!("@{name}")), &by_name);
        supervisor.stopping(Duration::from_secs(2 * 60 * 60));
        assert_eq!(
            received(&socket),
            ["STOPPING=1\nEXTEND_TIMEOUT_USEC=7200000000\nSTATUS=draining\n"]
        );
    }

    #[test]
    fn a_reload_has_a_beginning_with_the_time_and_an_end() {
        let name = format!("tidegate-reload-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let (socket, supervisor) = manager(OsStr::new(&format!("@{name}")), &address);
        supervisor.reloading();
        supervisor.reloaded(&Reloaded::Swapped(2));
        supervisor.reloading();
        supervisor.reloaded(&Reloaded::Refused(Vec::new()));
        let all = received(&socket);
        for begun in [&all[0], &all[2]] {
            let time = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(time.trim_end().parse::<u64>().unwrap() > 0);
        }
        assert_eq!(all[1], "READY=1\nSTATUS=generation 2 serves\n");
        assert!(all[3].starts_with("READY=1\nSTATUS=the last reload failed"), "{}", all[3]);
    }

    #[test]
    fn a_socket_that_cannot_be_used_is_no_reason_to_stop() {
        for name in ["", "vsock:2:1234", "relative", "/nonexistent/notify", "@\0"] {
            let supervisor = Supervisor::connect(&|_: &str| Some(name.into()));
            assert!(supervisor.socket.is_none(), "{name}");
            supervisor.ready();
        }
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let own = std::process::id().to_string();
        let limit = |usec: &'static str, pid: Option<String>| {
            watchdog(&move |name: &str| match name {
                "WATCHDOG_USEC" => Some(usec.into()),
                _ => pid.clone().map(OsString::from),
            })
        };
        assert_eq!(limit("2500000", None), Some(Duration::from_millis(2500)));
        assert_eq!(limit("2500000", Some(own)), Some(Duration::from_millis(2500)));
        assert_eq!(limit("2500000", Some("1".to_owned())), None);
        assert_eq!((limit("0", None), limit("soon", None)), (None, None));
    }

    #[test]
    fn a_worker_is_stuck_if_its_counter_stays_between_two_looks() {
        let beats = Beats::new(3, Duration::from_secs(8));
        assert_eq!(beats.period, Duration::from_secs(2));
        let beat = |workers: &[usize]| {
            for worker in workers {
                beats.counts[*worker].fetch_add(1, Relaxed);
            }
        };
        let mut watch = Watch { seen: beats.counts() };
        beat(&[0, 1, 2, 2]);
        assert_eq!(watch.stuck(beats.counts()), None);
        beat(&[0, 2]);
        assert_eq!(watch.stuck(beats.counts()), Some(1));
        assert_eq!(watch.stuck(beats.counts()), Some(0));
        beat(&[0, 1, 2]);
        assert_eq!(watch.stuck(beats.counts()), None);
    }
}
