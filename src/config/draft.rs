//! `Draft`: the parts of a config that could be read.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::auth::jwt::config::JwtConfig;
use crate::auth::keys;
use crate::config::expand::Expansion;
use crate::config::read::Reader;
use crate::config::{Config, default_listen, default_state_dir};
use crate::models;
use crate::net::egress;
use crate::net::egress::pattern::HostPattern;
use crate::policy::StageConfig;
use crate::providers::registry;
use crate::telemetry::events::config::SinkConfig;

/// The parts that could be read; wrong parts are missing.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) providers: Vec<(String, Option<registry::Config>)>,
    pub(super) models: Vec<(String, Option<models::Config>)>,
    pub(super) keys: Vec<Option<keys::Config>>,
    pub(super) jwt: Vec<Option<JwtConfig>>,
    pub(super) sinks: Vec<(String, Option<SinkConfig>)>,
    pub(super) pipeline: Option<Vec<Option<StageConfig>>>,
}

impl Draft {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let named = ["policies", "plugins"].map(|section| reader.has(section, "dir"));
        reader.lengthen("ledger", "url");
        reader.lengthen("otlp", "endpoint");
        reader.lengthen("key_store", "place");
        let is_ledger_named = reader.has("ledger", "url");
        let mut config = Config {
            listen: reader.take("listen").unwrap_or_else(default_listen),
            admin: reader.take("admin"),
            server: reader.take("server").unwrap_or_default(),
            providers: BTreeMap::new(),
            models: Vec::new(),
            models_file: reader.take("models_file"),
            prices_file: reader.take("prices_file"),
            keys: Vec::new(),
            jwt: Vec::new(),
            key_store: reader.take("key_store").unwrap_or_default(),
            passthrough: reader.take("passthrough"),
            policies: reader.take("policies").unwrap_or_default(),
            plugins: reader.take("plugins").unwrap_or_default(),
            egress: reader.take("egress").unwrap_or_default(),
            pipeline: None,
            tools: reader.take("tools").unwrap_or_default(),
            limits: reader.take("limits").unwrap_or_default(),
            budgets: reader.take("budgets").unwrap_or_default(),
            drain: reader.take("drain").unwrap_or_default(),
            state_dir: reader.take("state_dir").unwrap_or_else(default_state_dir),
            ledger: reader.take("ledger").unwrap_or_default(),
            otlp: reader.take("otlp").unwrap_or_default(),
            sinks: Vec::new(),
            log: reader.take("log").unwrap_or_default(),
            catalogue: Arc::default(),
            base_dir: PathBuf::new(),
            files: Vec::new(),
        };
        config.ledger.is_url_named = is_ledger_named;
        [config.policies.is_dir_named, config.plugins.is_dir_named] = named;
        Self {
            config,
            providers: reader.entries("providers"),
            models: reader.entries("models"),
            keys: reader.items("keys").unwrap_or_default(),
            jwt: reader.items("jwt").unwrap_or_default(),
            sinks: reader.entries("sinks"),
            pipeline: reader.items("pipeline"),
        }
    }

    pub(super) fn finish(self, base_dir: &Path, expansion: Expansion) -> Config {
        let mut config = self.config;
        let some = |(name, entry): (String, Option<_>)| entry.map(|entry| (name, entry));
        config.providers = self.providers.into_iter().filter_map(some).collect();
        let some = |(name, entry): (String, Option<_>)| entry.map(|entry| (name, entry));
        config.models = self.models.into_iter().filter_map(some).collect();
        let some = |(name, entry): (String, Option<_>)| entry.map(|entry| (name, entry));
        config.sinks = self.sinks.into_iter().filter_map(some).collect();
        config.sinks.iter_mut().for_each(|(_, sink)| sink.resolve(base_dir));
        config.keys = self.keys.into_iter().flatten().collect();
        config.jwt = self.jwt.into_iter().flatten().collect();
        config.pipeline = self.pipeline.map(|stages| stages.into_iter().flatten().collect());
        config.policies.dir = base_dir.join(&config.policies.dir);
        config.plugins.dir = base_dir.join(&config.plugins.dir);
        config.state_dir = base_dir.join(&config.state_dir);
        config.ledger.resolve(base_dir, &config.state_dir);
        config.ledger.zone = config.budgets.zone();
        config.files = expansion.files;
        config.egress.allow_private.retain(|block| block.parse::<egress::Cidr>().is_ok());
        let media_hosts = config.egress.media_hosts.iter_mut();
        media_hosts.for_each(|hosts| hosts.retain(|host| HostPattern::parse(host).is_ok()));
        if let Some(tls) = &mut config.server.tls {
            tls.cert = base_dir.join(&tls.cert);
            tls.key = base_dir.join(&tls.key);
            config.files.extend([tls.cert.clone(), tls.key.clone()]);
        }
        let tables = [&mut config.models_file, &mut config.prices_file];
        for file in tables.into_iter().flatten() {
            *file = base_dir.join(&*file);
            config.files.push(file.clone());
        }
        for file in config.jwt.iter_mut().filter_map(|issuer| issuer.ca_file.as_mut()) {
            *file = base_dir.join(&*file);
            config.files.push(file.clone());
        }
        for provider in config.providers.values() {
            config.files.extend(provider.files().into_iter().map(|file| base_dir.join(file)));
        }
        config.base_dir = base_dir.to_owned();
        config
    }
}
