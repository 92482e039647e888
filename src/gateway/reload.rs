//! Builds the next generation beside the running one, and keeps the last good one if it cannot.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::config::Config;
use crate::error::Problem;
use crate::gateway::shared::Shared;
use crate::gateway::{Gateway, Live};

/// How a reload ended.
#[derive(Debug)]
pub enum Reloaded {
    /// Nothing on disk differs from what was last tried.
    Unchanged,
    /// The generation of this number serves.
    Swapped(u64),
    /// The last good generation serves on.
    Refused(Vec<Problem>),
}

/// Reloads one config file, one at a time.
pub struct Reloader {
    file: PathBuf,
    shared: Arc<Shared>,
    live: Arc<Live>,
    state: Mutex<State>,
}

struct State {
    /// What was on disk at the last try, good or not.
    tried: [u8; 32],
    number: u64,
    /// What only a restart changes, as it was at the start.
    fixed: Vec<(&'static str, String)>,
    /// Where to look for changes: of the last config that could be read.
    watched: Watched,
    /// The folders that were there when the running generation was built.
    present: Vec<PathBuf>,
}

/// The files and folders whose change may call for a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The config, and what it names.
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

    /// The folders of policies and plugins that are there; `library/` and `lib/` may come and go: what
    /// is missed of them is a problem of its own.
    fn present(&self) -> Vec<PathBuf> {
        let may_go = |dir: &Path| dir.ends_with("library") || dir.ends_with("lib");
        let dirs = self.dirs.iter().filter(|dir| !may_go(dir) && dir.is_dir());
        dirs.cloned().collect()
    }

    /// A digest of everything that is there: names and contents, so that a touched file is no change.
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
    /// Folders that the running generation was built from and that have vanished: taken for an
    /// accident, since going on would drop every policy in silence.
    fn gone(&self) -> Vec<Problem> {
        let gone =
            self.present.iter().filter(|dir| self.watched.dirs.contains(dir) && !dir.is_dir());
        let message = "the folder is gone: put it back, or name another in the config";
        gone.map(|dir| Problem::new(dir.display().to_string(), message)).collect()
    }
}

/// Editors leave swap files and backups in the folder: they are no policies.
fn is_source(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|ext| ext == "rhai" || ext == "wasm")
}

impl Reloader {
    /// For the generation that was built from `config` and serves in `live`.
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

    /// What to watch now.
    pub async fn watched(&self) -> Watched {
        self.state.lock().await.watched.clone()
    }

    /// Reloads if anything on disk differs from the last try.
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
        // before reading: a change that comes meanwhile is seen at the next look
        state.tried = state.watched.digest();
        let built = match Config::load(&self.file) {
            Err(problems) => Err(problems),
            Ok(config) => {
                let watched = Watched::of(&config);
                // what is watched anew may have changed since it was read: `tried` is of the old set,
                // so that the next look reads once more
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
                tracing::info!(generation = state.number, "a new generation serves");
                Reloaded::Swapped(state.number)
            }
            Err(problems) => {
                self.shared.metrics.reload_failed();
                for problem in &problems {
                    tracing::warn!(problem = %problem, "the change on disk cannot serve");
                }
                tracing::warn!(generation = state.number, "the last good generation serves on");
                Reloaded::Refused(problems)
            }
        }
    }
}

fn warn_of_restart(state: &State, config: &Config) {
    let now = fixed(config);
    for ((name, was), (_, is)) in state.fixed.iter().zip(&now) {
        if was != is {
            tracing::warn!("`{name}` has changed: that needs a restart, the rest serves now");
        }
    }
}

/// What the running listeners and logs were made from; of the token only a digest.
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
