//! `Behalf`: the request that a plugin serves, and the gateway services it may use for it.
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::context::Context;
use crate::error::Result;

/// Calls a model through the gateway on behalf of a request's caller.
///
/// The argument is a Messages request in JSON: its `model` is an alias, and it never streams. The
/// result is the whole message. The gateway counts the usage under the call's own model. Dropping
/// the future ends the call. Fails like a request of the caller.
pub(crate) type ModelCall =
    Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<ModelAnswer>> + Send + Sync>;

/// The answer of a model to a plugin.
#[derive(Debug, Clone)]
pub struct ModelAnswer {
    /// The JSON text of a message.
    pub message: Bytes,
    /// The input tokens, cached ones included.
    pub input_tokens: u64,
    /// The output tokens.
    pub output_tokens: u64,
}

/// Keeps a file at an unguessable address of the gateway and returns that address. Fails if the
/// file has no room.
pub(crate) type Publish = Arc<dyn Fn(File) -> Result<String> + Send + Sync>;

/// A file that a plugin publishes.
#[derive(Debug, Clone)]
pub struct File {
    /// The media type that the plugin names, such as `image/png`.
    pub media_type: String,
    /// The whole content.
    pub content: Bytes,
}

/// The gateway services that the plugins of one request may use.
#[derive(Default)]
pub struct Reach {
    pub(super) models: Option<ModelCall>,
    pub(super) publish: Option<Publish>,
    /// The tokens that the model calls of each plugin have used or reserved.
    tokens: Mutex<Vec<(Arc<str>, u64)>>,
}

impl Reach {
    /// Adds model calls.
    #[must_use]
    pub fn models(self, models: ModelCall) -> Self {
        Self { models: Some(models), ..self }
    }

    /// Adds files that callers can read.
    #[must_use]
    pub fn publish(self, publish: Publish) -> Self {
        Self { publish: Some(publish), ..self }
    }

    /// Reserves tokens for an answer: the wanted number, or the rest of the budget. Returns `None`
    /// if the budget is used up. The tokens of a cancelled call stay reserved, because its upstream
    /// may have used them.
    pub(super) fn hold(&self, plugin: &Arc<str>, wanted: u64, budget: u64) -> Option<u64> {
        self.with_tokens(plugin, |used| {
            let held = wanted.min(budget.saturating_sub(*used));
            *used += held;
            (held > 0 || wanted == 0).then_some(held)
        })
    }

    /// Replaces reserved tokens by those that the answer really used.
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

/// The request that a plugin serves. Without gateway services, the facts alone are enough.
#[derive(Debug, Clone)]
pub struct Behalf {
    /// The facts of the request.
    pub context: Arc<Context>,
    /// The gateway services, shared by all calls of the request; `None` if no plugin has such a
    /// grant.
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
