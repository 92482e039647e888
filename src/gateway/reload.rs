//! Builds the next generation beside the current one; keeps the last good one if the build fails.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::config::Config;
use crate::error::Problem;
use crate::gateway::shared::Shared;
use crate::gateway::{Gateway, Live};

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
}

struct State {
    /// The digest of the disk at the last attempt, successful or not.
    tried: [u8; 32],
    number: u64,
    /// The settings that only a restart changes, with their values at the start.
    fixed: Vec<(&'static str, String)>,
    /// The places to watch, from the last readable config.
    watched: Watched,
    /// The folders that existed when the current generation was built.
    present: Vec<PathBuf>,
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
        let dirs = vec![
            policies.clone(),
            policies.join("library"),
            policies.join("lib"),
            config.plugins.dir.clone(),
        ];
        Self { files: config.files.clone(), dirs }
    }

    /// Returns the existing folders of policies and plugins. `library/` and `lib/` may come and go; a policy
    /// missing from them is a problem of its own.
    fn present(&self) -> Vec<PathBuf> {
        let may_go = |dir: &Path| dir.ends_with("library") || dir.ends_with("lib");
        let dirs = self.dirs.iter().filter(|dir| !may_go(dir) && dir.is_dir());
        dirs.cloned().collect()
    }

    /// Returns a digest of names and contents, so that a touched file without changes is no change.
    fn digest(&self) -> [u8; 32] {
        let mut all: Vec<PathBuf> = self.files.clone();
        for dir in &self.dirs {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            all.extend(entries.map(|entry| entry.path()).filter(|path| is_source(path)));
        }
        all.sort();
        let mut hasher = Sha256::new();
        for path in all {
            hasher.update(path.as_os_str().as_encoded_bytes());
            match std::fs::read(&path) {
                Ok(content) => {
                    hasher.update((content.len() as u64).to_le_bytes());
                    hasher.update(&content);
                }
                Err(e) => hasher.update(e.kind().to_string()),
            }
        }
        hasher.finalize().into()
    }
}

impl State {
    /// Returns a problem for each missing folder that the current generation was built from. A missing folder
    /// is treated as an accident: a reload would silently drop every policy.
    fn gone(&self) -> Vec<Problem> {
        let gone =
            self.present.iter().filter(|dir| self.watched.dirs.contains(dir) && !dir.is_dir());
        let message = "the folder is gone: put it back, or name another in the config";
        gone.map(|dir| Problem::new(dir.display().to_string(), message)).collect()
    }
}

/// Returns whether a file is a policy or plugin. Editors leave swap files and backups in the folder.
fn is_source(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|ext| ext == "rhai" || ext == "wasm")
}

impl Reloader {
    /// Creates a reloader for the generation in `live`, which was built from `config`.
    pub fn new(file: &Path, config: &Config, shared: &Arc<Shared>, live: &Arc<Live>) -> Self {
        let watched = Watched::of(config);
        let state = State {
            tried: watched.digest(),
            number: live.load().number,
            fixed: fixed(config),
            present: watched.present(),
            watched,
        };
        Self {
            file: file.to_owned(),
            shared: Arc::clone(shared),
            live: Arc::clone(live),
            state: Mutex::new(state),
        }
    }

    /// Returns the files and folders to watch now.
    pub async fn watched(&self) -> Watched {
        self.state.lock().await.watched.clone()
    }

    /// Reloads if the disk has changed since the last attempt.
    pub async fn reload_if_changed(&self) -> Reloaded {
        let mut state = self.state.lock().await;
        match state.watched.digest() == state.tried {
            true => Reloaded::Unchanged,
            false => self.reload_locked(&mut state).await,
        }
    }

    /// Reloads in any case (`SIGHUP`).
    pub async fn reload(&self) -> Reloaded {
        let mut state = self.state.lock().await;
        self.reload_locked(&mut state).await
    }

    async fn reload_locked(&self, state: &mut State) -> Reloaded {
        // before reading: a later change is found by the next check
        state.tried = state.watched.digest();
        let built = match Config::load(&self.file) {
            Err(problems) => Err(problems),
            Ok(config) => {
                let watched = Watched::of(&config);
                // newly watched files may have changed since they were read: `tried` covers the old set, so
                // that the next check reads once more
                state.watched = watched;
                warn_of_restart(state, &config);
                match state.gone() {
                    gone if gone.is_empty() => {
                        Gateway::build(&config, state.number + 1, &self.shared).await
                    }
                    gone => Err(gone),
                }
            }
        };
        match built {
            Ok(gateway) => {
                state.number = gateway.number;
                state.present = state.watched.present();
                self.live.swap(gateway);
                self.shared.metrics.reloaded(SystemTime::now());
                tracing::info!(generation = state.number, "new generation in use");
                Reloaded::Swapped(state.number)
            }
            Err(problems) => {
                self.shared.metrics.reload_failed();
                for problem in &problems {
                    tracing::warn!(problem = %problem, "reload failed");
                }
                tracing::warn!(generation = state.number, "the last good generation stays in use");
                Reloaded::Refused(problems)
            }
        }
    }
}

fn warn_of_restart(state: &State, config: &Config) {
    let now = fixed(config);
    for ((name, was), (_, is)) in state.fixed.iter().zip(&now) {
        if was != is {
            tracing::warn!(
                "`{name}` has changed: it takes effect after a restart, all other changes now"
            );
        }
    }
}

/// Returns the settings of the running listeners and logs; of the token only a digest.
fn fixed(config: &Config) -> Vec<(&'static str, String)> {
    let token = config.admin.as_ref().map(|admin| admin.token.expose());
    vec![
        ("listen", config.listen.to_string()),
        ("admin", format!("{:?}", config.admin)),
        ("admin.token", hex::encode(Sha256::digest(token.unwrap_or_default()))),
        ("server.workers", config.server.workers.to_string()),
        ("server.max_connections", config.server.max_connections.to_string()),
        ("log", format!("{:?}", config.log)),
        ("drain", format!("{:?}", config.drain)),
    ]
}
