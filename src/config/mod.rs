//! `tidegate.yaml`: read to a tree, expanded, then turned into each part's own config.
mod check;
pub mod expand;
pub mod listeners;
mod read;
mod schema;
mod tree;
pub mod wording;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::keys;
use crate::config::expand::{Expansion, Lookup};
use crate::config::listeners::{AdminConfig, ServerConfig};
use crate::config::read::Reader;
use crate::error::Problem;
use crate::models;
use crate::net::egress;
use crate::policy::{PluginsConfig, PoliciesConfig, StageConfig};
use crate::providers;
use crate::telemetry::LogConfig;

pub use schema::schema;

/// Everything that the user said. It holds together: names that it uses exist, values are in
/// bounds. Whether policies compile and providers can be built is seen later, in the gateway.
#[derive(Debug, Clone, JsonSchema)]
pub struct Config {
    /// Where callers connect.
    #[schemars(with = "String", default = "default_listen")]
    pub listen: SocketAddr,
    /// The admin listener: metrics, health; none if absent.
    pub admin: Option<AdminConfig>,
    /// Bounds on callers.
    #[schemars(default)]
    pub server: ServerConfig,
    /// The upstreams, by the name that models call them.
    pub providers: BTreeMap<String, providers::Config>,
    /// Alias → targets, in the order of the file.
    #[schemars(with = "BTreeMap<String, models::Config>")]
    pub models: Vec<(String, models::Config)>,
    /// The callers' keys; none at all: open, which only a loopback address may be.
    #[schemars(default)]
    pub keys: Vec<keys::Config>,
    /// The provider that serves the `/v1/*` routes that the gateway does not know; none: 404.
    pub passthrough: Option<String>,
    /// Where the policies are.
    #[schemars(default)]
    pub policies: PoliciesConfig,
    /// Where the plugins are, and what they read as their config.
    #[schemars(default)]
    pub plugins: PluginsConfig,
    /// What plugins may reach.
    #[schemars(default)]
    pub egress: egress::Config,
    /// The stages in their order; if absent, every policy of the folder in name order.
    pub pipeline: Option<Vec<StageConfig>>,
    /// Bounds on the server tools of one request.
    #[schemars(default)]
    pub tools: ToolsConfig,
    /// How long streams may take to finish after `SIGTERM`.
    #[schemars(with = "String", default = "default_drain_text")]
    pub drain: Duration,
    /// Logs, on standard error.
    #[schemars(default)]
    pub log: LogConfig,
    /// The folder of the file; the paths above have it in front already.
    #[schemars(skip)]
    pub base_dir: PathBuf,
    /// The file itself, every file named by `${file:…}`, TLS files: what a reload watches.
    #[schemars(skip)]
    pub files: Vec<PathBuf>,
}

/// `tools:`, bounds on the server tools of one request.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// How often the model may be asked; then the turn pauses.
    pub max_turns: u32,
    /// How many calls all turns together may make.
    pub max_calls: u32,
    /// How long all of it may take.
    #[serde(with = "crate::wire::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self { max_turns: 10, max_calls: 30, timeout: Duration::from_secs(5 * 60) }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Span(#[serde(with = "crate::wire::duration")] Duration);

impl Config {
    /// Reads a file, with variables from the environment. Every problem is reported, not only the
    /// first.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::load_partly(path)?.whole()
    }

    /// The same as far as it goes: what is wrong is left out.
    ///
    /// Fails only if there is no file, or no mapping in it.
    pub fn load_partly(path: &Path) -> Result<Partly, Vec<Problem>> {
        let text = fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot be read: {error}; name another with `--config`");
            vec![Problem::new(path.display().to_string(), message)]
        })?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        let mut partly = Self::parse_partly(&text, base_dir, &expand::environment)?;
        partly.config.files.insert(0, path.to_owned());
        Ok(partly)
    }

    /// The same from a text; paths in it are relative to `base_dir`.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, Vec<Problem>> {
        Self::parse_with(text, base_dir, &expand::environment)
    }

    /// The same with variables from `lookup`.
    pub fn parse_with(text: &str, base_dir: &Path, lookup: &Lookup) -> Result<Self, Vec<Problem>> {
        Self::parse_partly(text, base_dir, lookup)?.whole()
    }

    fn parse_partly(text: &str, base_dir: &Path, lookup: &Lookup) -> Result<Partly, Vec<Problem>> {
        let root = read::yaml(text).map_err(|problem| vec![problem])?;
        let mut reader = Reader::new(root, base_dir, lookup);
        let draft = Draft::read(&mut reader);
        let (mut problems, expansion) = reader.finish();
        problems.extend(check::problems(&draft));
        // what a variable would have been is not known: its field is not at fault as well
        let unset = &expansion.problems;
        problems.retain(|problem| unset.iter().all(|unset| unset.path != problem.path));
        problems.splice(0..0, unset.iter().cloned());
        let problems = problems.into_iter().map(|problem| check::redact(problem, &expansion));
        let problems = problems.collect();
        Ok(Partly { config: draft.finish(base_dir, expansion), problems })
    }
}

/// A config, and what is wrong with it.
pub struct Partly {
    /// Without what is wrong.
    pub config: Config,
    /// None: it is whole.
    pub problems: Vec<Problem>,
}

impl Partly {
    fn whole(self) -> Result<Config, Vec<Problem>> {
        if self.problems.is_empty() { Ok(self.config) } else { Err(self.problems) }
    }
}

/// What was read, wrong parts missing.
struct Draft {
    config: Config,
    providers: Vec<(String, Option<providers::Config>)>,
    models: Vec<(String, Option<models::Config>)>,
    keys: Vec<Option<keys::Config>>,
    pipeline: Option<Vec<Option<StageConfig>>>,
}

impl Draft {
    fn read(reader: &mut Reader) -> Self {
        let config = Config {
            listen: reader.take("listen").unwrap_or_else(default_listen),
            admin: reader.take("admin"),
            server: reader.take("server").unwrap_or_default(),
            providers: BTreeMap::new(),
            models: Vec::new(),
            keys: Vec::new(),
            passthrough: reader.take("passthrough"),
            policies: reader.take("policies").unwrap_or_default(),
            plugins: reader.take("plugins").unwrap_or_default(),
            egress: reader.take("egress").unwrap_or_default(),
            pipeline: None,
            tools: reader.take("tools").unwrap_or_default(),
            drain: reader.take("drain").unwrap_or_else(default_drain_text).0,
            log: reader.take("log").unwrap_or_default(),
            base_dir: PathBuf::new(),
            files: Vec::new(),
        };
        Self {
            config,
            providers: reader.entries("providers"),
            models: reader.entries("models"),
            keys: reader.items("keys").unwrap_or_default(),
            pipeline: reader.items("pipeline"),
        }
    }

    fn finish(self, base_dir: &Path, expansion: Expansion) -> Config {
        let mut config = self.config;
        let some = |(name, entry): (String, Option<_>)| entry.map(|entry| (name, entry));
        config.providers = self.providers.into_iter().filter_map(some).collect();
        let some = |(name, entry): (String, Option<_>)| entry.map(|entry| (name, entry));
        config.models = self.models.into_iter().filter_map(some).collect();
        config.keys = self.keys.into_iter().flatten().collect();
        config.pipeline = self.pipeline.map(|stages| stages.into_iter().flatten().collect());
        config.policies.dir = base_dir.join(&config.policies.dir);
        config.plugins.dir = base_dir.join(&config.plugins.dir);
        config.files = expansion.files;
        config.egress.allow_private.retain(|block| block.parse::<egress::Cidr>().is_ok());
        if let Some(tls) = &mut config.server.tls {
            tls.cert = base_dir.join(&tls.cert);
            tls.key = base_dir.join(&tls.key);
            config.files.extend([tls.cert.clone(), tls.key.clone()]);
        }
        for provider in config.providers.values_mut() {
            if let providers::Config::Anthropic { ca_file: Some(file), .. } = provider {
                *file = base_dir.join(&*file);
                config.files.push(file.clone());
            }
        }
        config.base_dir = base_dir.to_owned();
        config
    }
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4000).into()
}

fn default_drain_text() -> Span {
    Span(Duration::from_secs(30))
}
