//! The parts that `tidegate serve` runs, on free ports, with the config of an example.
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate::admin;
use tidegate::config::Config;
use tidegate::gateway::reload::{Reloaded, Reloader};
use tidegate::gateway::shared::Shared;
use tidegate::gateway::{Gateway, Live};
use tidegate::server::Server;
use tokio::runtime::Runtime;

use super::root;

/// A running gateway, with a copy of the repository's policies that a test may change.
pub struct Running {
    /// Where callers connect.
    pub address: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    folder: TempDir,
    reloader: Reloader,
    server: Option<Server>,
    runtime: Runtime,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// In lower case.
    pub headers: Vec<(String, String)>,
    /// Without its framing.
    pub body: String,
}

impl Running {
    /// Starts what a config of the repository describes.
    pub fn start(config: &str) -> Self {
        build_plugins();
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        for entry in fs::read_dir(root().join("policies")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, policies.join(path.file_name().unwrap())).unwrap();
            }
        }
        let file = folder.path().join("tidegate.yaml");
        fs::write(&file, placed(&super::text(config))).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = Config::load(&file).unwrap_or_else(|found| panic!("{config}: {found:?}"));
        let shared = Arc::new(Shared::new(1, None).unwrap());
        let gateway = runtime.block_on(Gateway::build(&config, 1, &shared));
        let live = Arc::new(Live::new(gateway.unwrap_or_else(|found| panic!("{found:?}"))));
        let admin = config.admin.as_ref().unwrap();
        let admin = runtime.block_on(admin::start(admin, &shared)).unwrap();
        let server = Server::start(config.listen, &config.server, &live).unwrap();
        let reloader = Reloader::new(&file, &config, &shared, &live);
        Self {
            address: server.address,
            admin: admin.address,
            folder,
            reloader,
            server: Some(server),
            runtime,
        }
    }

    /// Writes a file into the folder of the config, and lets the gateway look at once.
    pub fn write(&self, path: &str, text: &str) -> Reloaded {
        fs::write(self.folder.path().join(path), text).unwrap();
        self.runtime.block_on(self.reloader.reload_if_changed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.drain(Duration::ZERO);
        }
    }
}

/// The config of an example as it is in the folder of a test.
fn placed(config: &str) -> String {
    config
        .replace("127.0.0.1:4000", "127.0.0.1:0")
        .replace("127.0.0.1:4001", "127.0.0.1:0")
        .replace("../../policies", "policies")
        .replace("../../plugins", root().join("plugins").to_str().unwrap())
}

/// Once a run; does nothing where no source is newer.
fn build_plugins() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "xtask", "--", "plugins"])
            .current_dir(root())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`cargo xtask plugins` must work first: {said}");
    });
}

/// Sends a request on a connection of its own and reads the whole answer.
pub fn ask(to: SocketAddr, method: &str, path: &str, headers: &[String], body: &str) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    Answer::parse(&String::from_utf8(all).unwrap())
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let is_chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let body = if is_chunked { dechunked(rest) } else { rest.to_owned() };
        Self { status, headers, body }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

fn dechunked(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
}
