//! A gateway in the process of the test: the same parts that `tidegate serve` runs.
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::config::Config;
use tidegate::error::Problem;
use tidegate::gateway::reload::Reloaded;
use tidegate::server::running::Running;

use super::client::Ask;
use super::within;

/// A running gateway with a folder of its own. Dropped, it stops and cuts what is open.
pub struct Gateway {
    folder: TempDir,
    running: Running,
    /// Where callers connect.
    pub address: SocketAddr,
    /// Where `/metrics` is.
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts one from a config; listeners on free ports and one worker are added where the
    /// config says nothing of them.
    pub async fn start(yaml: &str) -> Self {
        Self::start_with(yaml, &[]).await
    }

    /// The same with files beside the config, by their path in the folder.
    pub async fn start_with(yaml: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policies", "plugins"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let file = folder.path().join("tidegate.yaml");
        fs::write(&file, completed(yaml)).unwrap();
        let config = Config::load(&file).unwrap_or_else(|found| panic!("{}", all(&found)));
        let running = Running::start(&file, &config).await;
        let running = running.unwrap_or_else(|found| panic!("{}", all(&found)));
        let (address, admin) = (running.address, running.admin_address.unwrap());
        Self { folder, running, address, admin }
    }

    /// The folder of the config.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The config.
    pub fn file(&self) -> PathBuf {
        self.folder().join("tidegate.yaml")
    }

    /// Rewrites the config and reloads it at once, as `SIGHUP` does.
    pub async fn reload(&self, yaml: &str) -> Reloaded {
        fs::write(self.file(), completed(yaml)).unwrap();
        within("a reload", self.running.reloader.reload()).await
    }

    /// Reloads if anything on disk has changed, as the watch does.
    pub async fn look(&self) -> Reloaded {
        within("a look", self.running.reloader.reload_if_changed()).await
    }

    /// What `/metrics` tells.
    pub async fn metrics(&self) -> String {
        let answer = Ask::get("/metrics").send(self.admin).await;
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// The value of the one metric line that begins with `name` (labels included); 0 if it is not
    /// there.
    pub async fn metric(&self, name: &str) -> f64 {
        let all = self.metrics().await;
        let found = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        let what = format!("`{name}` to be {value}");
        within(&what, async {
            while self.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Drains.
    pub async fn stop(self) {
        within("the drain", self.running.stop()).await.unwrap();
    }
}

/// A config text with what every test needs.
pub fn completed(yaml: &str) -> String {
    let mut text = yaml.to_owned();
    for (key, line) in [
        ("listen:", "listen: 127.0.0.1:0\n"),
        ("admin:", "admin: { listen: 127.0.0.1:0 }\n"),
        ("server:", "server: { workers: 1 }\n"),
    ] {
        if !yaml.lines().any(|found| found.starts_with(key)) {
            text.insert_str(0, line);
        }
    }
    text
}

/// A config with one provider `up` at an address, which every model name leads to.
pub fn to(upstream: SocketAddr) -> String {
    format!(
        "providers:\n  up: {{ type: anthropic, api_key: up-key, base_url: \"http://{upstream}\" }}\nmodels:\n  \"*\": {{ provider: up }}\n"
    )
}

fn all(found: &[Problem]) -> String {
    found.iter().map(|problem| format!("{problem}\n")).collect()
}
