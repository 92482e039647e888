//! A real Redis server, which the test starts.
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redis::{Client, Connection};
use tempfile::TempDir;

use super::until;

/// A server of its own. Dropped, it stops.
pub struct Redis {
    folder: TempDir,
    port: u16,
    process: Child,
    options: Vec<String>,
}

/// A fault of a server.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is gone. Mended, it starts empty.
    Killed,
    /// It accepts connections and answers nothing.
    Hung,
    /// It rejects writes.
    Full,
}

impl Redis {
    /// Starts a server; `None` if it is not installed, unless `TIDEGATE_CLIENTS=require`.
    pub async fn start(options: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            let reason = "no `redis-server`: install it";
            let is_required =
                std::env::var_os("TIDEGATE_CLIENTS").is_some_and(|value| value == "require");
            assert!(!is_required, "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = run(port, &folder, &options);
        let server = Self { folder, port, process, options };
        server.until_it_answers().await;
        Some(server)
    }

    /// The config of a store in this server, with the key `away`.
    pub fn store(&self, away: &str) -> String {
        format!("store: \"redis://127.0.0.1:{}/\", away: {away}", self.port)
    }

    /// Opens a connection of the test.
    fn open(&self) -> Option<Connection> {
        let client = Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        client.get_connection().ok()
    }

    /// Runs a command.
    pub fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut call = redis::cmd(command[0]);
        call.arg(&command[1..]);
        call.query(&mut self.open().unwrap()).unwrap()
    }

    /// Sends a signal, such as `STOP`.
    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Begins a fault.
    pub fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => {
                self.process.kill().unwrap();
                self.process.wait().unwrap();
            }
            Fault::Hung => self.signal("STOP"),
            Fault::Full => self.run(&["CONFIG", "SET", "maxmemory", "1"]),
        }
    }

    /// Ends a fault.
    pub async fn mend(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => self.process = run(self.port, &self.folder, &self.options),
            Fault::Hung => self.signal("CONT"),
            Fault::Full => self.run(&["CONFIG", "SET", "maxmemory", "0"]),
        }
        self.until_it_answers().await;
    }

    async fn until_it_answers(&self) {
        until("Redis to answer", async || self.open().is_some()).await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn run(port: u16, folder: &TempDir, options: &[String]) -> Child {
    let port = port.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder.path()).args(options);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
