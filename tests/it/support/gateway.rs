//! A gateway in the process of the test: the same parts that `tidegate serve` runs, and the builder that starts one.
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tidegate::config::Config;
use tidegate::error::Problem;
use tidegate::gateway::reload::Reloaded;
use tidegate::server::running::Running;

use super::client::{Answer, Ask};
use super::events::Event;
use super::plugins::{self, wasm};
use super::upstream::{Auto, Behaviour, Call, Upstream};
use super::{until, within};

/// A running gateway with a folder of its own. Dropped, it stops and cuts what is open.
pub struct Gateway {
    folder: TempDir,
    running: Running,
    /// The address of the listener for callers.
    pub address: SocketAddr,
    /// The address of `/metrics`.
    pub admin: SocketAddr,
}

/// A gateway that has not started yet: its config and the files in its folder.
#[derive(Default)]
pub struct Builder {
    providers: String,
    models: String,
    config: String,
    files: Vec<(String, Vec<u8>)>,
}

impl Builder {
    /// Adds the provider `up` at this address. Every model name leads to the first provider, unless
    /// [`Self::model`] or the config says something else.
    pub fn upstream(self, address: SocketAddr) -> Self {
        let up = format!("{{ type: anthropic, api_key: up-key, base_url: \"http://{address}\" }}");
        self.provider("up", &up)
    }

    /// Adds a provider with this config.
    pub fn provider(mut self, name: &str, config: &str) -> Self {
        if self.models.is_empty() {
            self.models = format!("  \"*\": {{ provider: {name} }}\n");
        }
        writeln!(self.providers, "  {name}: {config}").unwrap();
        self
    }

    /// Adds an alias with this config; the first one replaces the alias `*`.
    pub fn model(mut self, alias: &str, config: &str) -> Self {
        if self.models.starts_with("  \"*\":") {
            self.models.clear();
        }
        writeln!(self.models, "  {alias}: {config}").unwrap();
        self
    }

    /// Adds these lines to the config. Its `providers:` and `models:` replace those of the other methods.
    pub fn config(mut self, yaml: impl AsRef<str>) -> Self {
        self.config.push_str(yaml.as_ref());
        self.config.push('\n');
        self
    }

    /// Adds `policies/<name>.rhai`.
    pub fn policy(self, name: &str, source: &str) -> Self {
        self.file(&format!("policies/{name}.rhai"), source)
    }

    /// Adds the plugin of this name, from `plugins/` or `tests/guests/`.
    pub fn plugin(self, name: &str) -> Self {
        let bytes = fs::read(wasm(name)).unwrap();
        self.file(&format!("plugins/{name}.wasm"), bytes)
    }

    /// Adds a file by its path beside the config.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into()));
        self
    }

    /// Adds several files.
    pub fn files(self, files: &[(&str, &str)]) -> Self {
        files.iter().fold(self, |this, (path, text)| this.file(path, *text))
    }

    /// Starts the gateway on free ports, with one worker if the config does not say otherwise.
    pub async fn start(self) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policies", "plugins"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, content) in &self.files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        // compiled plugins are shared by all gateways and kept between runs
        let compiled = plugins::compiled();
        fs::create_dir_all(&compiled).unwrap();
        fs::create_dir_all(folder.path().join(".tidegate")).unwrap();
        symlink(compiled, folder.path().join(".tidegate/cache")).unwrap();
        let file = folder.path().join("tidegate.yaml");
        fs::write(&file, self.yaml()).unwrap();
        let config = Config::load(&file).unwrap_or_else(|found| panic!("{}", all(&found)));
        let running = Running::start(&file, &config).await;
        let running = running.unwrap_or_else(|found| panic!("{}", all(&found)));
        let (address, admin) = (running.address, running.admin_address.unwrap());
        Gateway { folder, running, address, admin }
    }

    fn yaml(&self) -> String {
        let mut yaml = self.config.clone();
        for (key, lines) in [("providers:", &self.providers), ("models:", &self.models)] {
            if !lines.is_empty() && !has(&self.config, key) {
                write!(yaml, "{key}\n{lines}").unwrap();
            }
        }
        completed(&yaml)
    }
}

impl Gateway {
    /// Begins a gateway: [`Builder`] adds to it.
    pub fn with() -> Builder {
        Builder::default()
    }

    /// Starts a gateway that needs nothing but a config.
    pub async fn start(yaml: &str) -> Self {
        Self::with().config(yaml).start().await
    }

    /// The folder of the config.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The config.
    pub fn file(&self) -> PathBuf {
        self.folder().join("tidegate.yaml")
    }

    /// Sends a request for a message and reads the whole answer.
    pub async fn ask(&self, body: &Value) -> Answer {
        Ask::message(body.to_string()).send(self.address).await
    }

    /// Sends a request for a stream and reads all of its events.
    pub async fn events(&self, body: &Value) -> Vec<Event> {
        let mut body = body.clone();
        body["stream"] = true.into();
        let mut answer = Ask::message(body.to_string()).open(self.address).await;
        if answer.status != 200 {
            panic!("{}", answer.finish().await.text());
        }
        answer.frames().await
    }

    /// Rewrites the config and reloads it at once, as `SIGHUP` does.
    pub async fn reload(&self, yaml: &str) -> Reloaded {
        fs::write(self.file(), completed(yaml)).unwrap();
        within("a reload", self.running.reloader.reload()).await
    }

    /// Reloads at once, whatever has changed.
    pub async fn reload_now(&self) -> Reloaded {
        within("a reload", self.running.reloader.reload()).await
    }

    /// Removes every policy and every plugin, and reloads.
    pub async fn reload_bare(&self) {
        for name in ["policies", "plugins"] {
            for entry in fs::read_dir(self.folder().join(name)).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
        let reloaded = within("a reload", self.running.reloader.reload()).await;
        assert!(matches!(reloaded, Reloaded::Swapped(_)), "{reloaded:?}");
    }

    /// Reloads if anything on disk has changed, as the watch does.
    pub async fn look(&self) -> Reloaded {
        within("a look", self.running.reloader.reload_if_changed()).await
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let answer = Ask::get("/metrics").admin().send(self.admin).await;
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

    /// The sum of the lines of a metric that have all of these labels, which blanks separate.
    pub async fn measured(&self, name: &str, labels: &str) -> f64 {
        let metrics = self.metrics().await;
        let fits = |line: &&str| {
            line.starts_with(&format!("{name}{{")) && labels.split(' ').all(|l| line.contains(l))
        };
        let values = metrics.lines().filter(fits).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, name: &str, value: f64) {
        let what = format!("`{name}` to be {value}");
        until(&what, async || self.metric(name).await == value).await;
    }

    /// Waits until no request is under way.
    pub async fn until_idle(&self) {
        self.until_metric("tidegate_active_requests", 0.0).await;
    }

    /// Waits until an operator stops the gateway through the admin API.
    pub async fn stopped(&self) {
        within("a stop through the admin API", self.running.stopped()).await;
    }

    /// Drains.
    pub async fn stop(self) {
        within("the drain", self.running.stop()).await.unwrap();
    }
}

/// An upstream that shows what it was sent and lets the simulator answer it.
pub async fn simulated_upstream() -> Auto {
    let simulator = Gateway::with().provider("sim", "{ type: simulator }").start().await;
    let relay = move |_: &Call| {
        // the closure owns the whole gateway, which runs for as long as the upstream
        let simulator = &simulator;
        Behaviour::Relay(simulator.address)
    };
    Upstream::by(relay).await
}

/// A gateway with the plugins that the tests of the tool loop call. The alias `m` leads to the
/// upstream's `up-1`; `sim` is there for a config with `models:` of its own.
pub fn looping(upstream: SocketAddr) -> Builder {
    let plugins = ["advisor", "datetime", "unruly", "web"];
    plugins.iter().fold(loop_to(upstream), |builder, name| builder.plugin(name))
}

/// The same without any plugin.
pub fn loop_to(upstream: SocketAddr) -> Builder {
    let up = format!(
        "{{ type: anthropic, api_key: k, base_url: \"http://{upstream}\", citations: true }}"
    );
    Gateway::with()
        .provider("up", &up)
        .provider("sim", "{ type: simulator }")
        .model("m", "{ provider: up, model: up-1 }")
}

/// A config text with what every test needs.
pub fn completed(yaml: &str) -> String {
    let mut text = yaml.to_owned();
    for (key, line) in [
        ("listen:", "listen: 127.0.0.1:0\n"),
        ("admin:", "admin: { listen: 127.0.0.1:0 }\n"),
        ("server:", "server: { workers: 1 }\n"),
        // a database for each of many gateways takes time
        ("ledger:", "ledger: off\n"),
    ] {
        if !has(yaml, key) {
            text.insert_str(0, line);
        }
    }
    text
}

fn has(yaml: &str, key: &str) -> bool {
    yaml.lines().any(|line| line.starts_with(key))
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
