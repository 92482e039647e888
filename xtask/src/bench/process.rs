//! Child processes on a core of their own: start, CPU time, memory, and end.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The unit of `/proc` on every Linux that Rust's tier 1 supports (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// The time between the request to stop and the kill.
const PATIENCE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);

/// A child process. Dropping this value stops it, and the kernel stops it when this process dies.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program on this core. Its output goes to `log`.
    pub fn start(core: usize, command: &[&str], log: &Path) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("{}: {error}", command[0]);
        let out = File::create(log).map_err(wrong)?;
        let error_out = out.try_clone().map_err(wrong)?;
        // a Ctrl-C, or the end of this process, must not leave a busy server running
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", &core.to_string()])
            .args(command)
            .current_dir(log.parent().unwrap_or(Path::new(".")))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(error_out)
            .spawn();
        Ok(Self { child: child.map_err(wrong)? })
    }

    /// Waits for its end until `limit`.
    pub fn wait(&mut self, limit: Instant) -> Result<ExitStatus, String> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > limit {
                return Err("it did not end in time".to_owned());
            }
            sleep(POLL);
        }
    }

    /// Returns its exit status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| error.to_string())
    }

    /// Returns the CPU time of the process and its children so far.
    pub fn cpu(&self) -> Cpu {
        let mut cpu = Cpu::default();
        for pid in self.family() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            cpu.by_ticks += TICK * u32::try_from(ticks(&stat).unwrap_or(0)).unwrap_or(u32::MAX);
            let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for thread in threads.flatten() {
                let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
                let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
                cpu.by_scheduler += Duration::from_nanos(nanos.unwrap_or(0));
            }
        }
        cpu
    }

    /// Returns a field of `/proc/PID/status` in KiB, summed over the process and its children, in
    /// MiB.
    pub fn memory(&self, field: &str) -> f64 {
        let read = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
            line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        };
        self.family().into_iter().filter_map(read).sum::<f64>() / 1024.0
    }

    /// Returns the process, its children and their children.
    fn family(&self) -> BTreeSet<u32> {
        let mut family = BTreeSet::from([self.child.id()]);
        let Ok(all) = fs::read_dir("/proc") else { return family };
        let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pairs: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
        loop {
            let known = family.len();
            family.extend(
                pairs
                    .iter()
                    .filter(|(_, up)| family.contains(up))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if family.len() == known {
                return family;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = self.family();
        if matches!(self.ended(), Ok(None)) {
            signal("TERM", [self.child.id()].into());
            if self.wait(Instant::now() + PATIENCE).is_err() {
                signal("KILL", family);
            }
        }
        // an error here means that the process has already ended
        let _ = self.child.wait();
    }
}

/// Sends a signal by the shell, because `std` supports only SIGKILL.
fn signal(name: &str, pids: BTreeSet<u32>) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let script = format!("kill -{name} {} 2>/dev/null", pids.join(" "));
    if let Err(error) = Command::new("sh").args(["-c", &script]).status() {
        eprintln!("sh: {error}; still running: {}", pids.join(", "));
    }
}

/// CPU time, user and system, from two sources.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cpu {
    /// The time to the nanosecond, without the threads that have ended.
    by_scheduler: Duration,
    /// The time with all threads, in steps of a tick.
    by_ticks: Duration,
}

impl Cpu {
    /// Returns the time used since `before`.
    pub fn since(self, before: Self) -> Duration {
        let fine = self.by_scheduler.saturating_sub(before.by_scheduler);
        let coarse = self.by_ticks.saturating_sub(before.by_ticks);
        // a difference larger than rounding means that threads have ended, or that the kernel has
        // no `schedstat`
        if coarse > fine + 4 * TICK { coarse } else { fine }
    }
}

/// Returns the busy time of this core so far, for all processes, the hypervisor's other guests
/// included.
pub fn busy(core: usize) -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    TICK * u32::try_from(busy_ticks(&stat, core).unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Returns all ticks except idle and waiting for disks. Guest time is already part of user time.
fn busy_ticks(stat: &str, core: usize) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")))?;
    let counts: Vec<u64> = line.split(' ').map_while(|count| count.parse().ok()).collect();
    let used = counts.iter().enumerate().filter(|(at, _)| ![3, 4].contains(at)).take(6);
    Some(used.map(|(_, count)| count).sum())
}

/// Returns the fields of `/proc/PID/stat` after the name, which may have spaces and brackets.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

fn ticks(stat: &str) -> Option<u64> {
    let fields = fields(stat)?;
    let read = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(read(11)? + read(12)?)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    fields(&stat)?.get(1)?.parse().ok()
}

/// Fails with the missing requirement of a run on this machine.
pub fn require_linux() -> Result<(), String> {
    if !Path::new("/proc/self/stat").exists() {
        return Err("the benchmark needs Linux: it reads CPU time from /proc".to_owned());
    }
    for tool in ["setpriv", "taskset"] {
        if Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_err() {
            return Err(format!("`{tool}` is missing; install the package util-linux"));
        }
    }
    match std::thread::available_parallelism() {
        Ok(cores) if cores.get() >= 2 => Ok(()),
        _ => Err("the benchmark needs two cores: one for the server, one for the rest".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 0 0 0 250 50 9 9 20 0 4 0 1 1 1";

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        assert_eq!(ticks(STAT), Some(300));
        assert_eq!(fields(STAT).unwrap()[1], "7");
    }

    #[test]
    fn an_idle_core_is_not_busy() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 1 20 5000 300 0 7 3 50 0\n";
        assert_eq!(busy_ticks(stat, 0), Some(131));
        assert_eq!(busy_ticks(stat, 1), None);
    }

    #[test]
    fn ended_threads_are_counted_by_ticks() {
        let of = |fine, coarse| Cpu {
            by_scheduler: Duration::from_millis(fine),
            by_ticks: Duration::from_millis(coarse),
        };
        assert_eq!(of(1_503, 1_510).since(of(1_000, 1_000)), Duration::from_millis(503));
        assert_eq!(of(900, 1_510).since(of(1_000, 1_000)), Duration::from_millis(510));
    }

    #[test]
    fn a_dropped_process_is_gone_with_its_children() {
        let dir = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let command = ["sh", "-c", "trap '' TERM; sleep 60 & echo up; wait; wait"];
        let log = dir.join("log");
        let process = Process::start(0, &command, &log).unwrap();
        while fs::read_to_string(&log).unwrap() != "up\n" {
            sleep(POLL);
        }
        let family = process.family();
        assert_eq!(family.len(), 2);
        drop(process);
        let is_running = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            fields(&stat).is_some_and(|fields| fields[0] != "Z")
        };
        let limit = Instant::now() + PATIENCE;
        while family.iter().any(is_running) {
            assert!(Instant::now() < limit, "still running");
            sleep(POLL);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
