//! `Behalf`: for which request a plugin runs, and what it reaches through the gateway within it.
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::context::Context;
use crate::error::Result;

/// Asks a model through the gateway on behalf of a request's caller: a Messages request (JSON, its
/// `model` an alias, never streamed) goes in, the whole message comes out. Its usage is counted by
/// the gateway under its own model. Dropping the future ends the call. Fails as a request of the
/// caller's would.
pub type ModelCall = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<ModelAnswer>> + Send + Sync>;

/// What a model answered to a plugin.
#[derive(Debug, Clone)]
pub struct ModelAnswer {
    /// The JSON text of a message.
    pub message: Bytes,
    /// What it cost, caches included.
    pub input_tokens: u64,
    /// What it cost.
    pub output_tokens: u64,
}

/// Keeps a file under an address of the gateway that nobody can guess, and tells that address. Fails
/// if there is no room for it.
pub type Publish = Arc<dyn Fn(File) -> Result<String> + Send + Sync>;

/// What a plugin makes public.
#[derive(Debug, Clone)]
pub struct File {
    /// As the plugin says: `image/png`.
    pub media_type: String,
    /// All of it.
    pub content: Bytes,
}

/// What the plugins of one request reach through the gateway.
#[derive(Default)]
pub struct Reach {
    pub(super) models: Option<ModelCall>,
    pub(super) publish: Option<Publish>,
    /// By plugin: the tokens that its model calls have used, or may still use.
    tokens: Mutex<Vec<(Arc<str>, u64)>>,
}

impl Reach {
    /// And models.
    #[must_use]
    pub fn models(self, models: ModelCall) -> Self {
        Self { models: Some(models), ..self }
    }

    /// And files that callers can read.
    #[must_use]
    pub fn publish(self, publish: Publish) -> Self {
        Self { publish: Some(publish), ..self }
    }

    /// Sets tokens aside for an answer: as many as are wanted, or are left of the budget; none if
    /// nothing is. Those of a call that is given up stay set aside: its upstream may have used them.
    pub(super) fn hold(&self, plugin: &Arc<str>, wanted: u64, budget: u64) -> Option<u64> {
        self.with_tokens(plugin, |used| {
            let held = wanted.min(budget.saturating_sub(*used));
            *used += held;
            (held > 0 || wanted == 0).then_some(held)
        })
    }

    /// What the answer has really used.
    pub(super) fn settle(&self, plugin: &Arc<str>, held: u64, used: u64) {
        self.with_tokens(plugin, |all| *all = all.saturating_sub(held).saturating_add(used));
    }

    fn with_tokens<T>(&self, plugin: &Arc<str>, change: impl FnOnce(&mut u64) -> T) -> T {
        let mut tokens = self.tokens.lock();
        let place = tokens.iter().position(|(name, _)| name == plugin).unwrap_or_else(|| {
            tokens.push((Arc::clone(plugin), 0));
            tokens.len() - 1
        });
        change(&mut tokens[place].1)
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("models", &self.models.is_some())
            .field("publish", &self.publish.is_some())
            .finish()
    }
}

/// For which request a plugin runs. Where a plugin reaches nothing, the facts alone will do.
#[derive(Debug, Clone)]
pub struct Behalf {
    /// The facts of the request.
    pub context: Arc<Context>,
    /// One for all calls of the request; none where no plugin is granted any of it.
    pub reach: Option<Arc<Reach>>,
}

impl From<&Arc<Context>> for Behalf {
    fn from(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context), reach: None }
    }
}

impl From<&Behalf> for Behalf {
    fn from(behalf: &Behalf) -> Self {
        behalf.clone()
    }
}
