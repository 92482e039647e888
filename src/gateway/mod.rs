//! One generation of the gateway, built from a config, its policies and its plugins.
pub mod reload;
pub mod shared;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;

use crate::auth::jwt::Means;
use crate::auth::{self, Auth, Caller};
use crate::catalogue::Catalogue;
use crate::config::{Config, ToolsConfig};
use crate::error::Problem;
use crate::gateway::shared::Shared;
use crate::limits::{self, Limits, RuleSet, Watch};
use crate::models::{Models, Parts};
use crate::net::cors::Cors;
use crate::net::egress::Egress;
use crate::net::egress::collector::Collector;
use crate::net::receive::Bounds as BodyBounds;
use crate::net::tls;
use crate::plugin_host::{FilesConfig, WayOut};
use crate::policy::{Pipeline, Plan, PoliciesConfig, StageConfig};
use crate::providers::{self, Provider};
use crate::telemetry::events::Events;

/// An immutable generation. A request takes one and keeps it to its end.
pub struct Gateway {
    /// The number; starts at 1 and grows with every swap.
    pub number: u64,
    /// The time at which it was built.
    pub built: SystemTime,
    /// The keys of the clients.
    pub auth: Auth,
    /// The aliases.
    pub models: Models,
    /// The table of models.
    pub(crate) catalogue: Arc<Catalogue>,
    /// The stages and the server tools.
    pub pipeline: Arc<Pipeline>,
    /// The folder and the limits of policies.
    pub(crate) policies: PoliciesConfig,
    /// The order of the stages; `None` if every policy runs.
    pub(crate) order: Option<Vec<StageConfig>>,
    /// The network access of plugins and of URLs in requests.
    pub egress: Egress,
    /// The provider for unknown `/v1/*` routes.
    pub passthrough: Option<Passthrough>,
    /// The scheme of the gateway's URLs, unless a proxy reports another one: `http` or `https`.
    pub scheme: &'static str,
    /// The TLS acceptor, if the listener serves TLS. A renewed certificate is a reload like any other.
    pub tls: Option<TlsAcceptor>,
    /// The limits for clients.
    pub bounds: Bounds,
    /// The origins whose pages may call the gateway.
    pub(crate) cors: Cors,
    /// The settings for files that plugins publish.
    pub files: FilesConfig,
    /// The limits of the tool loop.
    pub tools: ToolsConfig,
    /// The limits and budgets of the clients; `None` without any rule.
    pub(crate) limits: Option<Arc<Limits>>,
    /// The entrance for events.
    pub(crate) events: Events,
    /// The state that outlives generations.
    pub shared: Arc<Shared>,
}

/// The provider for routes that the gateway does not know.
pub struct Passthrough {
    /// The provider's name in the config.
    pub name: String,
    /// The provider.
    pub provider: Arc<dyn Provider>,
}

/// The limits for clients.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The time within which a client must send the request head.
    pub head: Duration,
    /// The limits of a request body.
    pub body: BodyBounds,
    /// The time without events after which a stream gets a `ping`.
    pub ping_interval: Duration,
}

impl Gateway {
    /// Builds a whole generation. Everything that can fail happens here, and the running generation is not
    /// touched.
    ///
    /// Fails with every problem found, each with its path.
    pub async fn build(
        config: &Config,
        number: u64,
        shared: &Arc<Shared>,
    ) -> Result<Self, Vec<Problem>> {
        let (providers, mut problems) = build_providers(config, shared);
        let models = build_models(config, &providers, shared);
        let auth = build_auth(config, shared);
        let egress = config.egress.build(listeners(config));
        let way_out = egress
            .as_ref()
            .ok()
            .map(|egress| WayOut { client: Arc::clone(&shared.egress), egress: egress.clone() });
        let events = shared.events.of(number);
        let plan = Plan {
            policies: &config.policies,
            plugins: &config.plugins,
            order: config.pipeline.as_deref(),
            host: &shared.plugins,
            way_out: way_out.as_ref(),
            metrics: &shared.metrics,
            events: &events,
        };
        let pipeline = plan.build().await;
        let tls = build_tls(config);
        let passthrough = build_passthrough(config, &providers);
        problems.extend(found(&models).chain(found(&auth)).chain(found(&pipeline)));
        problems.extend(found(&tls).chain(found(&passthrough)).chain(found(&egress)));
        let (Ok(models), Ok(auth), Ok(pipeline), Ok(tls), Ok(passthrough), Ok(egress), true) =
            (models, auth, pipeline, tls, passthrough, egress, problems.is_empty())
        else {
            return Err(problems);
        };
        shared.metrics.generations_live.inc();
        Ok(Self {
            number,
            built: SystemTime::now(),
            auth,
            models,
            catalogue: Arc::clone(&config.catalogue),
            pipeline: Arc::new(pipeline),
            policies: config.policies.clone(),
            order: config.pipeline.clone(),
            egress,
            passthrough,
            cors: Cors::new(&config.server.cors.origins).unwrap_or_default(),
            scheme: if tls.is_some() { "https" } else { "http" },
            tls,
            bounds: Bounds {
                head: config.server.header_timeout,
                body: BodyBounds {
                    size: config.server.max_body_bytes,
                    pause: config.server.body_timeout,
                },
                ping_interval: config.server.ping_interval,
            },
            files: config.plugins.files.clone(),
            tools: config.tools.clone(),
            limits: build_limits(config, shared, &events),
            events,
            shared: Arc::clone(shared),
        })
    }

    /// Returns whether some limit or budget may apply to a client.
    pub(crate) fn has_limits_for(&self, caller: &Caller) -> bool {
        self.limits.as_ref().is_some_and(|limits| limits.concern(caller))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.metrics.generations_live.dec();
    }
}

/// Builds only the aliases of a config, for commands that show them.
pub(crate) fn models(config: &Config, shared: &Shared) -> Result<Models, Vec<Problem>> {
    let (providers, problems) = build_providers(config, shared);
    match build_models(config, &providers, shared) {
        Ok(models) if problems.is_empty() => Ok(models),
        Ok(_) => Err(problems),
        Err(found) => Err(problems.into_iter().chain(found).collect()),
    }
}

type Providers = BTreeMap<String, Arc<dyn Provider>>;

/// Builds the providers. Returns the built ones, and the problems of the others.
fn build_providers(config: &Config, shared: &Shared) -> (Providers, Vec<Problem>) {
    let (mut providers, mut problems) = (BTreeMap::new(), Vec::new());
    // wrong settings are problems of their own
    let policy = config.egress.build(listeners(config)).ok().and_then(|own| own.media_policy());
    let (client, memory, most) = (&shared.egress, &shared.media, config.server.max_body_bytes);
    let collector = policy.map(|policy| Collector::new(client, policy, memory, most));
    let parts = providers::Parts {
        client: &shared.client,
        base_dir: &config.base_dir,
        catalogue: &config.catalogue,
        collector: collector.as_ref(),
    };
    for (name, config) in &config.providers {
        match config.build(name, &parts) {
            Ok(provider) => {
                providers.insert(name.clone(), provider);
            }
            Err(found) => problems.extend(found),
        }
    }
    (providers, problems)
}

fn build_models(
    config: &Config,
    providers: &Providers,
    shared: &Shared,
) -> Result<Models, Vec<Problem>> {
    let is_broken = |name: &&String| !providers.contains_key(*name);
    let broken: Vec<String> = config.providers.keys().filter(is_broken).cloned().collect();
    let (book, metrics) = (&shared.health, &shared.metrics);
    let catalogue = &config.catalogue;
    Models::build(&config.models, &Parts { providers, broken: &broken, book, metrics, catalogue })
}

/// Finds the provider for `passthrough`. A provider that could not be built is reported already.
fn build_passthrough(
    config: &Config,
    providers: &Providers,
) -> Result<Option<Passthrough>, Vec<Problem>> {
    let Some(name) = &config.passthrough else { return Ok(None) };
    match providers.get(name) {
        None if !config.providers.contains_key(name) => {
            Err(vec![Problem::new("passthrough", format!("no provider is named \"{name}\""))])
        }
        found => Ok(found
            .map(|provider| Passthrough { name: name.clone(), provider: Arc::clone(provider) })),
    }
}

/// Builds the keys of the clients: those of the config, of the key store, and of issuers.
fn build_auth(config: &Config, shared: &Shared) -> Result<Auth, Vec<Problem>> {
    let means = Means { issuers: &shared.issuers, client: &shared.egress, own: listeners(config) };
    Auth::build(auth::Sources {
        keys: &config.keys,
        stored: shared.keys.as_ref().map(|keys| Arc::clone(keys.held())),
        // a store that was opened at the start stays until a restart
        has_store: config.key_store.is_on() || shared.keys.is_some(),
        jwt: &config.jwt,
        means: Some(means),
    })
}

/// Builds the limits and budgets. Sums of budgets are saved from now on.
fn build_limits(config: &Config, shared: &Shared, events: &Events) -> Option<Arc<Limits>> {
    let (limits, budgets) = (&config.limits, &config.budgets);
    let has_clients = !config.keys.is_empty() || !config.has_only_own_keys();
    for rule in limits::of_named(limits, budgets).filter(|_| !has_clients) {
        tracing::warn!(
            rule,
            "the rule applies to no request: without `keys` no client has a name or tags"
        );
    }
    let aliases: Vec<&str> = config.models.iter().map(|(alias, _)| alias.as_str()).collect();
    let can_be_own = config.has_own_limits() || shared.keys.is_some();
    if !budgets.rules.is_empty() || can_be_own {
        shared.limits.save();
    }
    let watch = Watch { metrics: shared.metrics.limits(), events };
    let own = can_be_own.then_some(&*aliases);
    Limits::build(RuleSet { limits, budgets, own }, &shared.limits, watch)
}

fn listeners(config: &Config) -> Vec<SocketAddr> {
    let admin = config.admin.as_ref().map(|admin| admin.listen);
    [config.listen].into_iter().chain(admin).collect()
}

fn build_tls(config: &Config) -> Result<Option<TlsAcceptor>, Vec<Problem>> {
    let Some(files) = &config.server.tls else { return Ok(None) };
    let built = tls::server(&files.cert, &files.key).map_err(|problem| vec![problem])?;
    Ok(Some(built.into()))
}

fn found<T>(built: &Result<T, Vec<Problem>>) -> impl Iterator<Item = Problem> {
    built.as_ref().err().into_iter().flatten().cloned()
}

/// The current generation. Swapping it cannot fail.
pub struct Live(ArcSwap<Gateway>);

impl Live {
    /// Starts with a first generation.
    pub fn new(gateway: Gateway) -> Self {
        Self(ArcSwap::from_pointee(gateway))
    }

    /// Returns the current generation, for one request to keep.
    pub fn load(&self) -> Arc<Gateway> {
        self.0.load_full()
    }

    /// Replaces the generation; requests in progress keep theirs.
    pub fn swap(&self, gateway: Gateway) {
        self.0.store(Arc::new(gateway));
    }
}
