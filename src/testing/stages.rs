//! A pipeline from files in a folder of its own, and what it does with a request.
use std::fs;
use std::sync::Arc;

use crate::context::{Caller, Context};
use crate::error::{Error, Problem};
use crate::plugin_host::{Limits, PluginHost};
use crate::policy::{Passage, Pipeline, Plan, PluginsConfig, PoliciesConfig, StageConfig, Verdict};
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;
use crate::wire::{Endpoint, MessagesRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::testing::plugins::{compiled, wasm};

/// Policies and plugins in their folders.
pub(crate) struct Stages {
    folder: TempDir,
    order: Option<Vec<StageConfig>>,
}

impl Stages {
    /// These policies, by name and source; no plugins; the order of names.
    pub(crate) fn new(policies: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policies/library", "plugins"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for (name, source) in policies {
            fs::write(folder.path().join(format!("policies/{name}.rhai")), source).unwrap();
        }
        Self { folder, order: None }
    }

    /// With a plugin.
    pub(crate) fn plugin(self, name: &str) -> Self {
        self.plugin_as(name, name)
    }

    /// With a plugin under another file name.
    pub(crate) fn plugin_as(self, name: &str, file: &str) -> Self {
        fs::copy(wasm(name), self.folder.path().join(format!("plugins/{file}.wasm"))).unwrap();
        self
    }

    /// In this order.
    pub(crate) fn order(self, order: Value) -> Self {
        Self { order: Some(serde_json::from_value(order).unwrap()), ..self }
    }

    /// The pipeline, or what is wrong.
    pub(crate) async fn try_build(&self) -> Result<Arc<Pipeline>, Vec<Problem>> {
        let long = std::time::Duration::from_secs(60);
        let limits = Limits { tool: long, hook: long, memory: 32 << 20 };
        let plan = Plan {
            policies: &PoliciesConfig {
                dir: self.folder.path().join("policies"),
                ..PoliciesConfig::default()
            },
            plugins: &PluginsConfig {
                dir: self.folder.path().join("plugins"),
                ..PluginsConfig::default()
            },
            order: self.order.as_deref(),
            host: &PluginHost::with_limits(Some(compiled()), limits).unwrap(),
            way_out: None,
            metrics: &Metrics::new(),
            events: &Events::default(),
        };
        plan.build().await.map(Arc::new)
    }

    /// The pipeline.
    pub(crate) async fn build(&self) -> Arc<Pipeline> {
        self.try_build().await.unwrap_or_else(|found| panic!("{found:?}"))
    }
}

/// The facts of an exchange of a caller.
pub(crate) fn caller(key: &str, tags: &[(&str, &str)], model: &str) -> Arc<Context> {
    let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    Arc::new(Context {
        caller: Arc::new(Caller { key: key.to_owned(), tags, ..Caller::default() }),
        model: model.to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        ..crate::testing::context()
    })
}

/// A request for a model.
pub(crate) fn request(model: &str) -> MessagesRequest {
    let body =
        json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    MessagesRequest::parse(body.to_string().into(), Endpoint::Messages).unwrap()
}

/// What a caller's request for `m` becomes.
pub(crate) async fn passed(pipeline: &Arc<Pipeline>, ctx: &Arc<Context>) -> Result<Value, Error> {
    let (request, verdict) = Passage::new(pipeline, ctx).on_request(request("m")).await?;
    assert!(matches!(verdict, Verdict::Continue));
    Ok(serde_json::from_slice(&request.to_bytes()).unwrap())
}
