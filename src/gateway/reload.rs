//! Builds the next generation beside the current one; keeps the last good one if the build fails.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex as SyncMutex;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::disk;
use crate::error::Problem;
use crate::gateway::shared::Shared;
use crate::gateway::{Gateway, Live};
use crate::telemetry::events::names::RELOAD_FAILED;

/// The most problems in an event.
const MAX_PROBLEMS: usize = 20;

/// The result of a reload.
#[derive(Debug)]
pub enum Reloaded {
    /// Nothing on disk has changed since the last attempt.
    Unchanged,
    /// The generation of this number is in use.
    Swapped(u64),
    /// The last good generation stays in use.
    Refused(Vec<Problem>),
}

/// Reloads one config file; never two reloads at once.
pub struct Reloader {
    file: PathBuf,
    shared: Arc<Shared>,
    live: Arc<Live>,
    state: Mutex<State>,
    last: SyncMutex<LastTry>,
}

/// The last attempt to build a generation, the first one of the process included.
#[derive(Debug, Clone)]
pub(crate) struct LastTry {
    /// The digest of the files that it read.
    pub(crate) digest: [u8; 32],
    /// The time at which it ended.
    pub(crate) at: SystemTime,
    /// Its duration; `None` for the start of the process.
    pub(crate) took: Option<Duration>,
    /// The problems; empty if the generation is in use.
    pub(crate) problems: Vec<Problem>,
    /// The changed settings that only a restart applies.
    pub(crate) needs_restart: Vec<&'static str>,
}

struct State {
    /// The digest of the disk at the last attempt, successful or not.
    tried: [u8; 32],
    number: u64,
    /// The settings that only a restart changes, with their values at the start.
    fixed: Vec<(&'static str, String)>,
    /// Whether only this machine can reach the public listener, as it was opened at the start.
    is_loopback: bool,
    /// The places to watch, from the last readable config.
    watched: Watched,
    /// The folders that existed when the current generation was built.
    present: Vec<PathBuf>,
    /// The changed settings that only a restart applies.
    needs_restart: Vec<&'static str>,
}

/// The state of the disk before a first generation is built.
pub struct Start {
    watched: Watched,
    tried: [u8; 32],
}

impl Start {
    /// Reads the files and folders of a config. A later change is found by the first check for changes.
    pub fn of(config: &Config) -> Self {
        let watched = Watched::of(config);
        Self { tried: watched.digest(), watched }
    }
}

/// The files and folders that are watched for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The config and the files that it names.
    pub files: Vec<PathBuf>,
    /// The folders of policies and plugins.
    pub dirs: Vec<PathBuf>,
}

impl Watched {
    fn of(config: &Config) -> Self {
        let policies = &config.policies.dir;
        let library = policies.join("library");
        let stages = config.pipeline.iter().flatten().filter_map(|stage| stage.policy.as_ref());
        // the own copy of `compat/portkey` lies in a folder of its own
        let inner: BTreeSet<PathBuf> = stages
            .filter_map(|name| Path::new(name).parent())
            .filter(|parent| !parent.as_os_str().is_empty())
            .map(|parent| library.join(parent))
            .collect();
        let dirs = [policies.clone(), library, policies.join("lib"), config.plugins.dir.clone()];
        Self { files: config.files.clone(), dirs: dirs.into_iter().chain(inner).collect() }
    }

    /// Returns the existing folders of policies and plugins.
    fn present(&self) -> Vec<PathBuf> {
        let dirs = self.dirs.iter().filter(|dir| disk::exists(dir) == Ok(true));
        dirs.cloned().collect()
    }

    /// Returns a digest of names and contents, so that a touched file without changes is no change. A file or
    /// folder that becomes unreadable is a change.
    fn digest(&self) -> [u8; 32] {
        let mut all: Vec<PathBuf> = self.files.clone();
        let mut hasher = Sha256::new();
        for dir in &self.dirs {
            match disk::entries(dir) {
                Ok(entries) => {
                    let entries = entries.unwrap_or_default().into_iter();
                    all.extend(entries.filter(|path| is_source(path)));
                }
                Err(unread) => {
                    hasher.update(dir.as_os_str().as_encoded_bytes());
                    hasher.update(unread.to_string());
                }
            }
        }
        all.sort();
        for path in all {
            hasher.update(path.as_os_str().as_encoded_bytes());
            match disk::bytes(&path) {
                Ok(content) => {
                    hasher.update((content.len() as u64).to_le_bytes());
                    hasher.update(&content);
                }
                Err(unread) => hasher.update(unread.to_string()),
            }
        }
        hasher.finalize().into()
    }

    /// Returns a problem for each missing folder of `present`, which the current generation was built from. A
    /// missing folder is treated as an accident: a reload would silently drop every policy in it.
    fn gone(&self, present: &[PathBuf]) -> Vec<Problem> {
        let gone =
            present.iter().filter(|dir| self.dirs.contains(dir) && disk::exists(dir) == Ok(false));
        let message = "the folder is gone: put it back (even empty), or name another in the config";
        gone.map(|dir| Problem::new(dir.display().to_string(), message)).collect()
    }
}

/// Runs `work` on a blocking thread: disks may be slow, and the control thread serves the admin listener.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Problem::new("", format!("the reload ended early: {e}")))
}

impl State {
    async fn digest(&self) -> Result<[u8; 32], Problem> {
        let watched = self.watched.clone();
        apart(move || watched.digest()).await
    }
}

/// Returns whether a file is a policy or plugin. Editors leave swap files and backups in the folder.
fn is_source(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|ext| ext == "rhai" || ext == "wasm")
}

impl Reloader {
    /// Creates a reloader for the generation in `live`, which was built from `config` after `start` was made.
    pub fn new(
        file: &Path,
        config: &Config,
        start: Start,
        shared: &Arc<Shared>,
        live: &Arc<Live>,
    ) -> Self {
        let Start { watched, tried } = start;
        let gateway = live.load();
        let last = LastTry {
            digest: tried,
            at: gateway.built,
            took: None,
            problems: Vec::new(),
            needs_restart: Vec::new(),
        };
        let state = State {
            tried,
            number: gateway.number,
            fixed: fixed(config),
            is_loopback: config.listen.ip().is_loopback(),
            present: watched.present(),
            watched,
            needs_restart: Vec::new(),
        };
        Self {
            file: file.to_owned(),
            shared: Arc::clone(shared),
            live: Arc::clone(live),
            state: Mutex::new(state),
            last: SyncMutex::new(last),
        }
    }

    /// Returns the last attempt; never waits for one that is under way.
    pub(crate) fn last(&self) -> LastTry {
        self.last.lock().clone()
    }

    /// Returns the files and folders to watch now.
    pub async fn watched(&self) -> Watched {
        self.state.lock().await.watched.clone()
    }

    /// Reloads if the disk has changed since the last attempt.
    pub async fn reload_if_changed(&self) -> Reloaded {
        let mut state = self.state.lock().await;
        match state.digest().await {
            Ok(now) if now == state.tried => Reloaded::Unchanged,
            Ok(_) => self.reload_locked(&mut state).await,
            Err(problem) => self.refused(&state, Instant::now(), vec![problem]),
        }
    }

    /// Reloads in any case (`SIGHUP`).
    pub async fn reload(&self) -> Reloaded {
        let mut state = self.state.lock().await;
        self.reload_locked(&mut state).await
    }

    async fn reload_locked(&self, state: &mut State) -> Reloaded {
        let begun = Instant::now();
        // before reading: a later change is found by the next check
        match state.digest().await {
            Ok(now) => state.tried = now,
            Err(problem) => return self.refused(state, begun, vec![problem]),
        }
        tracing::info!(generation = state.number + 1, "building a new generation");
        let (gateway, present) = match self.built(state).await {
            Ok(built) => built,
            Err(problems) => return self.refused(state, begun, problems),
        };
        state.present = present;
        self.swapped(state, begun, gateway)
    }

    fn swapped(&self, state: &mut State, begun: Instant, gateway: Gateway) -> Reloaded {
        state.number = gateway.number;
        self.live.swap(gateway);
        self.forget_targets();
        self.note(state, begun, &[]);
        self.shared.metrics.reloaded(SystemTime::now());
        tracing::info!(generation = state.number, "new generation in use");
        Reloaded::Swapped(state.number)
    }

    /// Builds the next generation. Also returns the folders that it was built from.
    async fn built(&self, state: &mut State) -> Result<(Gateway, Vec<PathBuf>), Vec<Problem>> {
        let file = self.file.clone();
        let config =
            apart(move || Config::load(&file)).await.map_err(|problem| vec![problem])??;
        // newly watched files may have changed since they were read: `tried` covers the old set, so that the
        // next check reads once more
        state.watched = Watched::of(&config);
        state.needs_restart = needing_restart(&state.fixed, &config);
        warn_of_restart(&state.needs_restart);
        let (watched, present) = (state.watched.clone(), state.present.clone());
        let (number, shared) = (state.number + 1, Arc::clone(&self.shared));
        let is_loopback = state.is_loopback;
        let build = move || {
            let gone = watched.gone(&present);
            if !gone.is_empty() {
                return Err(gone);
            }
            let gateway = Handle::current().block_on(Gateway::build(&config, number, &shared))?;
            if !is_loopback && !gateway.auth.is_closed() {
                return Err(vec![open_to_all()]);
            }
            Ok((gateway, watched.present()))
        };
        apart(build).await.map_err(|problem| vec![problem])?
    }

    fn refused(&self, state: &State, begun: Instant, problems: Vec<Problem>) -> Reloaded {
        self.note(state, begun, &problems);
        self.forget_targets();
        self.shared.metrics.reload_failed();
        self.live.load().events.enter(RELOAD_FAILED, || {
            let problems = problems.iter().take(MAX_PROBLEMS);
            let problems = problems.map(|one| json!({ "path": one.path, "message": one.message }));
            json!({ "problems": problems.collect::<Vec<_>>() })
        });
        problems.iter().for_each(failed);
        tracing::warn!(generation = state.number, "the last good generation stays in use");
        Reloaded::Refused(problems)
    }

    /// Forgets the health of targets that are not in the config, also those of a generation that could not be built.
    fn forget_targets(&self) {
        self.shared.health.retain(&self.live.load().models.places());
    }

    fn note(&self, state: &State, begun: Instant, problems: &[Problem]) {
        *self.last.lock() = LastTry {
            digest: state.tried,
            at: SystemTime::now(),
            took: Some(begun.elapsed()),
            problems: problems.to_vec(),
            needs_restart: state.needs_restart.clone(),
        };
    }
}

fn failed(problem: &Problem) {
    tracing::warn!(problem = %problem, "reload failed");
}

/// Returns the settings with other values than at the start.
fn needing_restart(
    fixed_at_start: &[(&'static str, String)],
    config: &Config,
) -> Vec<&'static str> {
    let now = fixed(config);
    let pairs = fixed_at_start.iter().zip(&now);
    pairs.filter(|((_, was), (_, is))| was != is).map(|((name, _), _)| *name).collect()
}

fn warn_of_restart(names: &[&str]) {
    for name in names {
        tracing::warn!(
            "`{name}` has changed: it takes effect after a restart, all other changes now"
        );
    }
}

/// Returns the problem of a config without keys while other machines can reach the listener: a change of `listen`
/// waits for a restart.
fn open_to_all() -> Problem {
    Problem::new(
        "keys",
        "empty, and the running listener is not on a loopback address: keep a key (or `jwt`), or restart the gateway with `listen` on a loopback address",
    )
}

/// Returns the settings of the running listeners and logs; of the token only a digest.
fn fixed(config: &Config) -> Vec<(&'static str, String)> {
    let token = config.admin.as_ref().map(|admin| admin.token.expose());
    let sinks = config.sinks.iter().map(|(_, sink)| sink.secrets());
    vec![
        ("listen", config.listen.to_string()),
        ("admin", format!("{:?}", config.admin)),
        ("admin.token", hex::encode(Sha256::digest(token.unwrap_or_default()))),
        ("server.workers", config.server.workers.to_string()),
        ("server.max_connections", config.server.max_connections.to_string()),
        ("state_dir", config.state_dir.display().to_string()),
        ("ledger", format!("{:?}", config.ledger)),
        ("ledger.url", hex::encode(Sha256::digest(config.ledger.url.secret()))),
        ("otlp", format!("{:?}", config.otlp)),
        ("otlp.headers", hex::encode(Sha256::digest(config.otlp.secrets()))),
        ("sinks", format!("{:?}", config.sinks)),
        ("sinks.secrets", hex::encode(Sha256::digest(sinks.collect::<Vec<_>>().join("\n")))),
        ("key_store", format!("{:?}", config.key_store)),
        ("log", format!("{:?}", config.log)),
        ("drain", format!("{:?}", config.drain)),
    ]
}
