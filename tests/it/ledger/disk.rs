//! Disks in trouble: a full one, one that fails, and a damaged file at the start.
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::file;
use crate::commands::{CONFIG, Serving, folder};
use crate::support::client::Ask;
use crate::support::{MESSAGE, until};

const LISTEN: &str =
    "listen: 127.0.0.1:0\nadmin: { listen: \"127.0.0.1:0\" }\nlog: { format: json }\n";
const AWAY: &str = "the ledger cannot be written";
const BACK: &str = "the ledger is written again";

/// A gateway in a process of its own.
struct Process {
    serving: Serving,
    address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    /// Runs a command that serves; `None` if it ends before it serves.
    fn start(command: &mut Command) -> Option<Self> {
        let mut serving = Serving(command.stderr(Stdio::piped()).spawn().ok()?);
        let lines = BufReader::new(serving.0.stderr.take()?).lines();
        let mut lines = lines.map_while(Result::ok).map(|line| match serde_json::from_str(&line) {
            Ok(line) => line,
            Err(_) => Value::from(line),
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let start = lines.by_ref().find(|line| {
            log.lock().unwrap().push(line.clone());
            line["message"] == "tidegate serves"
        });
        let start = start?;
        let address = |name: &str| start[name].as_str().unwrap().parse().unwrap();
        let (address, admin) = (address("listen"), address("admin"));
        let further = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| further.lock().unwrap().push(line)));
        Some(Self { serving, address, admin, log })
    }

    fn pid(&self) -> u32 {
        self.serving.0.id()
    }

    async fn send(&self, number: usize) {
        for _ in 0..number {
            Ask::message(MESSAGE).send(self.address).await.message();
        }
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = Ask::get("/metrics").admin().send(self.admin).await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    async fn until(&self, name: &str, is_right: impl Fn(u64) -> bool) {
        until(name, async || is_right(self.metric(name).await)).await;
    }

    /// The lines of the log that begin with a text.
    fn lines(&self, begin: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let is_of = |line: &&Value| {
            line["message"].as_str().is_some_and(|message| message.starts_with(begin))
        };
        log.iter().filter(is_of).cloned().collect()
    }
}

async fn lost_nothing(gateway: &Process) {
    for reason in ["full", "rejected", "stopped", "unwritable"] {
        let name = format!("tidegate_ledger_dropped_total{{reason=\"{reason}\"}}");
        assert_eq!(gateway.metric(&name).await, 0, "{reason}");
    }
}

/// Checks that rows which wait for a disk are written when it works again, with one line in the log.
async fn outlives(gateway: &Process, break_disk: impl FnOnce(), mend_disk: impl FnOnce()) {
    const WRITTEN: &str = "tidegate_ledger_written_total";
    const FAILURES: &str = "tidegate_ledger_failures_total";
    gateway.send(3).await;
    gateway.until(WRITTEN, |written| written == 3).await;
    break_disk();
    gateway.send(20).await;
    // more than one, since the second one fails in another way if the transaction counts as open
    gateway.until(FAILURES, |failures| failures > 3).await;
    assert_eq!(gateway.metric(WRITTEN).await, 3);
    mend_disk();
    gateway.until(WRITTEN, |written| written == 23).await;
    until("the line", async || gateway.lines(BACK).len() == 1).await;
    let lines = gateway.lines(AWAY);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0]["waiting"].as_u64().unwrap() > 0, "{lines:?}");
    lost_nothing(gateway).await;
    // the ledger goes on
    gateway.send(5).await;
    gateway.until(WRITTEN, |written| written == 28).await;
}

/// A command in a mount namespace of its own, with a small disk as `state`; `None` if this is not allowed here.
fn on_small_disk(config: &Path) -> Option<(Command, PathBuf)> {
    let state = config.parent().unwrap().join("state");
    std::fs::create_dir(&state).unwrap();
    let script = r#"
        mount -t tmpfs -o size=1m tmpfs "$1" || exit 1
        [ -z "$FULL" ] || cat /dev/zero >"$1/filler" 2>/dev/null
        shift
        exec "$@""#;
    let options = [&["--mount"][..], &["--mount", "--map-root-user"]];
    let own = |options: &[&str], program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(["--", "sh", "-c", script, "sh"]).arg(&state).args(program);
        command
    };
    let is_allowed =
        |options: &&[&str]| own(options, &["true"]).output().is_ok_and(|it| it.status.success());
    let options = options.into_iter().find(is_allowed)?;
    let mut command = own(options, &[env!("CARGO_BIN_EXE_tidegate"), "serve", "--config"]);
    command.arg(config);
    Some((command, state))
}

/// Fills a disk to the last byte.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_ledger_only_until_it_has_room() {
    let (_folder, config) = folder(&format!("{LISTEN}{CONFIG}state_dir: state\n"), &[]);
    let Some((mut command, state)) = on_small_disk(&config) else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let gateway = Process::start(&mut command).unwrap();
    let root = PathBuf::from(format!("/proc/{}/root", gateway.pid()));
    let filler = root.join(state.strip_prefix("/").unwrap()).join("filler");
    outlives(&gateway, || fill(&filler), || std::fs::remove_file(&filler).unwrap()).await;
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_stops_it_only_if_the_config_names_the_ledger() {
    let (_folder, config) = folder(&format!("{LISTEN}{CONFIG}state_dir: state\n"), &[]);
    let Some((mut command, _)) = on_small_disk(&config) else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let gateway = Process::start(command.env("FULL", "1")).unwrap();
    gateway.send(4).await;
    gateway.until("tidegate_ledger_dropped_total{reason=\"unwritable\"}", |lost| lost == 4).await;
    let named = format!("{LISTEN}{CONFIG}state_dir: state\nledger: sqlite\n");
    std::fs::write(&config, named).unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("cannot be used as a ledger"), "{said}");
}

#[tokio::test]
async fn a_disk_that_fails_stops_the_ledger_only_until_it_works() {
    let (_folder, config) = folder(&format!("{LISTEN}{CONFIG}"), &[]);
    // beyond the limit of a file's size the system sends a signal, which would end the process
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$0" serve --config "$1""#]);
    command.arg(env!("CARGO_BIN_EXE_tidegate")).arg(&config);
    let gateway = Process::start(&mut command).unwrap();
    let limit = |size: &str| {
        let pid = gateway.pid().to_string();
        let size = format!("--fsize={size}");
        let limit = Command::new("prlimit").args(["--pid", &pid, &size]).status();
        assert!(limit.is_ok_and(|status| status.success()), "prlimit {size}");
    };
    outlives(&gateway, || limit("1:unlimited"), || limit("unlimited:unlimited")).await;
}

#[tokio::test]
async fn a_damaged_file_stops_the_start_only_if_the_config_names_the_ledger() {
    let (folder, config) = folder(&format!("{LISTEN}{CONFIG}"), &[]);
    let damaged = file(folder.path());
    std::fs::create_dir_all(damaged.parent().unwrap()).unwrap();
    std::fs::write(&damaged, "no database ".repeat(1000)).unwrap();
    let serve = |config: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["serve", "--config"]).arg(config);
        command
    };
    let gateway = Process::start(&mut serve(&config)).unwrap();
    gateway.send(4).await;
    let unwritable = "tidegate_ledger_dropped_total{reason=\"unwritable\"}";
    gateway.until(unwritable, |dropped| dropped == 4).await;
    let lines = gateway.lines("the ledger cannot be used");
    assert_eq!(lines.len(), 1);
    assert!(lines[0]["error"].as_str().unwrap().contains("ledger.sqlite"), "{lines:?}");
    // the file stays as it is, for whoever mends it
    assert!(std::fs::read(&damaged).unwrap().starts_with(b"no database"));
    std::fs::write(&config, format!("{LISTEN}{CONFIG}ledger: sqlite\n")).unwrap();
    let output = serve(&config).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("cannot be used as a ledger"), "{said}");
}

#[tokio::test]
async fn a_full_queue_has_one_line_in_the_log() {
    let queue = "ledger: { queue: { entries: 1 } }\n";
    let (folder, config) = folder(&format!("{LISTEN}{CONFIG}{queue}"), &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["serve", "--config"]).arg(&config);
    let gateway = Process::start(&mut command).unwrap();
    let held = super::bounds::hold(&file(folder.path())).await;
    gateway.send(12).await;
    let full = "tidegate_ledger_dropped_total{reason=\"full\"}";
    gateway.until(full, |dropped| dropped == 11).await;
    let missing = "exchanges are missing in the ledger";
    until("a line", async || !gateway.lines(missing).is_empty()).await;
    drop(held);
    gateway.until("tidegate_ledger_written_total", |written| written == 1).await;
    let lines = gateway.lines(missing);
    assert_eq!(
        (lines.len(), &lines[0]["waiting"], &lines[0]["dropped"]),
        (1, &1.into(), &1.into())
    );
}
