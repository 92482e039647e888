//! `tidegate plugin call`: calls a tool, or runs a hook over a request, with the real host.
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::auth::Identity;
use crate::cli::eval_show::{self, Printer};
use crate::cli::plugin_files;
use crate::cli::plugin_host::{at, block_on, cache, failed};
use crate::cli::show::Paint;
use crate::config::Config;
use crate::context::{Caller, Context};
use crate::disk;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::exchange::inner;
use crate::gateway::Gateway;
use crate::gateway::shared::Shared;
use crate::net::egress;
use crate::plugin_host::{
    Behalf, Installation, ModelCall, Plugin, Publish, Reach, ToolCall, ToolError, WayOut,
};
use crate::policy::plugin_outcome;
use crate::policy::watch::{End, Ran};
use crate::telemetry::plugins::PluginMetrics;
use crate::wire::{Document, Step as Member};

/// The call, and its input.
#[derive(clap::Args)]
pub(crate) struct Trial {
    /// The component.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// The tool's name without `gateway:`.
    #[arg(required_unless_present = "hook", conflicts_with = "hook")]
    tool: Option<String>,
    /// The input from the model: a JSON object; `-` reads standard input.
    #[arg(default_value = "{}")]
    input: String,
    /// The fields of the tool's declaration other than `type`: a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}", conflicts_with = "hook")]
    options: String,
    /// The plugin's own config, a JSON object; overrides the gateway's config for it.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    plugin_config: String,
    /// A capability to grant: `allow_hosts=a.example,*.b.example`, `allow_models=fast`,
    /// `max_kv_bytes=65536`, `publish=true`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = grant)]
    grant: Vec<(String, Value)>,
    /// Runs a hook over `--request`: `on-request`, `on-upstream-request`, `on-unsupported` or
    /// `on-response`.
    #[arg(long, requires = "request")]
    hook: Option<String>,
    /// The body of a request (for `on-response`, of a message); `-` reads standard input.
    #[arg(long, value_name = "FILE", requires = "hook")]
    request: Option<PathBuf>,
    /// The parameters of the stage: a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "hook")]
    with: String,
    /// The target before an attempt; overrides the defaults: a JSON object such as
    /// `{"unsupported": ["top_k"], "strictness": "error"}`.
    #[arg(long, value_name = "JSON", default_value = "{}", requires = "hook")]
    target: String,
    /// The name of the caller's key.
    #[arg(long, value_name = "NAME", default_value = "")]
    key: String,
}

/// The gateway's keys under `plugins.config.<name>` that take a list.
const LISTS: [&str; 2] = ["allow_hosts", "allow_models"];
/// The gateway's keys that take no list.
const OTHERS: [&str; 3] = ["max_kv_bytes", "max_model_tokens", "publish"];

fn grant(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write `KEY=VALUE`")?;
    let value = match key {
        _ if LISTS.contains(&key) => value.split(',').map(str::trim).collect(),
        _ if OTHERS.contains(&key) => serde_json::from_str(value)
            .map_err(|_| format!("`{value}` is not a valid value for `{key}`"))?,
        _ => {
            let keys = [&LISTS[..], &OTHERS[..]].concat().join(", ");
            return Err(format!("unknown grant `{key}`: use one of {keys}"));
        }
    };
    Ok((key.to_owned(), value))
}

/// The result of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    Failed,
}

impl Trial {
    /// Prints the result on standard output. Exits 1 if there is none.
    pub(super) fn run(&self, config: &Path) -> ExitCode {
        let logs = eval_show::capture_logs();
        let shown = Printer { paint: Paint::of_stdout(), logs };
        let ended = block_on(async {
            let tried = self.tried(config).await?;
            match &self.hook {
                Some(hook) => self.hook(&tried, hook, &shown).await,
                None => self.tool(&tried, &shown).await,
            }
        });
        match ended {
            Ok(Ended::Well) => ExitCode::SUCCESS,
            Ok(Ended::Failed) => ExitCode::FAILURE,
            Err(problems) => failed(&problems),
        }
    }

    /// Loads the plugin with all that a gateway would give it, from the config and the arguments. No gateway
    /// has to run.
    async fn tried(&self, file: &Path) -> Result<Tried, Vec<Problem>> {
        let is_there = |path: &Path| disk::exists(path).map_err(|unread| vec![unread.at(path)]);
        if !is_there(&self.file)? {
            return Err(at(&self.file, "file not found"));
        }
        let config = is_there(file)?.then(|| Config::load(file)).transpose()?;
        let name = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let own = config.as_ref().and_then(|config| config.plugins.config.get(&*name).cloned());
        let mut own = own.filter(|own| !own.is_null()).unwrap_or_else(|| json!({}));
        let over = object("--plugin-config", &self.plugin_config)?;
        for (key, value) in over.into_iter().chain(self.grant.iter().cloned()) {
            own[key] = value;
        }
        let shared = Arc::new(Shared::new(1, cache(file.parent().unwrap_or(Path::new(""))))?);
        let usual = egress::Config::default();
        let egress = config.as_ref().map_or(&usual, |config| &config.egress).build(Vec::new())?;
        let way_out = WayOut { client: Arc::clone(&shared.egress), egress };
        let installation = Installation {
            path: &self.file,
            config: own,
            metrics: PluginMetrics::default(),
            way_out: Some(&way_out),
        };
        let plugin = shared.plugins.install(installation).await?;
        let files = config.as_ref().map(|config| config.plugins.files.clone()).unwrap_or_default();
        let gateway = match config {
            Some(config) if !plugin.manifest().wants.models.is_empty() => {
                Some(Arc::new(Gateway::build(&config, 1, &shared).await?))
            }
            _ => None,
        };
        Ok(Tried {
            plugin,
            gateway,
            config: file.to_owned(),
            publish: plugin_files::publish(&files),
        })
    }

    async fn tool(&self, tried: &Tried, shown: &Printer) -> Result<Ended, Vec<Problem>> {
        let plugin = &tried.plugin;
        let tool = self.tool.as_deref().unwrap_or_default();
        let name = tool.strip_prefix("gateway:").unwrap_or(tool);
        let tools: Vec<&str> = plugin.manifest().tools.iter().map(|it| it.name.as_str()).collect();
        if !tools.contains(&name) {
            let there = match tools.is_empty() {
                true => "it has none".to_owned(),
                false => format!("it has `{}`", tools.join("`, `")),
            };
            return Err(at(&self.file, format!("has no tool `{name}`: {there}")));
        }
        let input = match self.input.as_str() {
            "-" => String::from_utf8_lossy(&read(Path::new("-"))?).into_owned(),
            text => text.to_owned(),
        };
        let input = Value::Object(object("the input", &input)?).to_string();
        let options = Value::Object(object("--options", &self.options)?).to_string();
        let call = ToolCall { name, input: &input, options: &options };
        let result = plugin.call_tool(tried.behalf(self.context(""))?, call).await;
        shown.logged_to_stderr();
        Ok(match result {
            Ok(content) => {
                shown.say(content_of(&content).trim_end());
                Ended::Well
            }
            Err(ToolError::Problem { code, message, retryable }) => {
                let later = if retryable { " (the same call may succeed later)" } else { "" };
                eprintln!("{}: {message}{later}", shown.paint.bad(&code));
                Ended::Failed
            }
            Err(ToolError::Broke(error)) => {
                eprintln!("{}: {}", shown.paint.bad("broke"), log_text(&error));
                Ended::Failed
            }
        })
    }

    async fn hook(
        &self,
        tried: &Tried,
        hook: &str,
        shown: &Printer,
    ) -> Result<Ended, Vec<Problem>> {
        let plugin = &tried.plugin;
        let hooks = &plugin.manifest().hooks;
        if !hooks.iter().any(|name| name == hook) {
            let there = match hooks.is_empty() {
                true => "it has none".to_owned(),
                false => format!("it has `{}`", hooks.join("`, `")),
            };
            return Err(at(&self.file, format!("has no hook `{hook}`: {there}")));
        }
        let path = self.request.as_deref().unwrap_or(Path::new("-"));
        let before = read(path)?;
        let document = Document::parse(before.clone()).map_err(|e| at(path, e.message))?;
        let with = Arc::new(object("--with", &self.with)?);
        let plugin = plugin.at_stage(&with).await;
        let plugin = plugin.map_err(|message| at(Path::new("--with"), message))?;
        if !plugin.called_for().iter().any(|name| name == hook) {
            eprintln!(
                "with this config and `--with` a gateway does not call `{hook}`: the plugin does not need it"
            );
        }
        let mut reader = document.clone();
        let model = reader.get(&[Member::Key("model")]).ok().flatten();
        let model = model.and_then(|text| serde_json::from_slice::<String>(&text).ok());
        let model = model.unwrap_or_default();
        let behalf = tried.behalf(self.context(&model))?;
        let started = Instant::now();
        let done = match hook {
            "on-upstream-request" | "on-unsupported" => {
                let target = self.target(&model)?;
                plugin.on_upstream_request(behalf, &with, document, &target).await
            }
            "on-response" => plugin.on_response(behalf, &with, document).await,
            _ => plugin.on_request(behalf, &with, document).await,
        };
        let time = started.elapsed();
        let stage = format!("{} {hook}", plugin.manifest().name);
        let ended = match done {
            Ok((document, decision)) => {
                let outcome = plugin_outcome(&plugin.manifest().name.as_str().into(), decision);
                let after = document.to_bytes();
                let ran = Ran {
                    time,
                    before,
                    left: after.clone(),
                    after,
                    decision: (&outcome.verdict).into(),
                    route: outcome.route.as_deref(),
                    wishes: &outcome.wishes,
                };
                shown.step(&stage, &End::Done(ran));
                Ended::Well
            }
            Err(error) => {
                shown.step(&stage, &End::Broke(time, &error));
                Ended::Failed
            }
        };
        Ok(ended)
    }

    fn target(&self, model: &str) -> Result<Value, Vec<Problem>> {
        let mut target = json!({
            "provider": "upstream", "model": model, "unsupported": [], "strictness": "warn", "native": true,
        });
        for (member, value) in object("--target", &self.target)? {
            target[member] = value;
        }
        Ok(target)
    }

    fn context(&self, model: &str) -> Context {
        Context {
            request_id: "req_call".to_owned(),
            started: Instant::now(),
            caller: Arc::new(Caller {
                key: self.key.clone(),
                tags: Default::default(),
                ..Caller::default()
            }),
            headers: HeaderMap::new(),
            query: None,
            credential: None,
            session: self.key.clone(),
            model: model.to_owned(),
            media: Arc::default(),
            story: Arc::default(),
            admission: None,
        }
    }
}

/// A loaded plugin, and its access to models and files.
struct Tried {
    plugin: Plugin,
    /// The gateway for model calls, if the plugin may make them and there is a config.
    gateway: Option<Arc<Gateway>>,
    /// The config file, which may be absent.
    config: PathBuf,
    publish: Publish,
}

impl Tried {
    /// Returns the request for the call. The user is the operator: model calls need no key.
    fn behalf(&self, context: Context) -> Result<Behalf, Vec<Problem>> {
        let context = Arc::new(context);
        let reach = match &self.gateway {
            Some(gateway) => inner::through(gateway, &Identity::default(), &context),
            None => Reach::default().models(self.no_models()),
        };
        let reach = Some(Arc::new(reach.publish(Arc::clone(&self.publish))));
        Ok(Behalf { context, reach })
    }

    /// Returns the error of model calls, which need a gateway.
    fn no_models(&self) -> ModelCall {
        let message = format!(
            "model calls need a gateway's config: `{}` not found, name it with `--config`",
            self.config.display()
        );
        Arc::new(move |_| {
            let refused = Error::new(ErrorKind::Permission, message.clone());
            Box::pin(async { Err(refused) })
        })
    }
}

/// Parses an object. The place in the text helps most: `the input:1:9: …`.
fn object(what: &str, text: &str) -> Result<Map<String, Value>, Vec<Problem>> {
    serde_json::from_str(text).map_err(|e| {
        let place = format!("{what}:{}:{}", e.line(), e.column().max(1));
        let said = e.to_string();
        let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
        vec![Problem::new(place, format!("not a JSON object: {said}"))]
    })
}

/// Returns the content as the model reads it: strings and text blocks as text, other blocks as JSON.
fn content_of(content: &Bytes) -> String {
    match serde_json::from_slice(content) {
        Ok(Value::String(text)) => text,
        Ok(Value::Array(blocks)) => {
            let shown = blocks.iter().map(|block| match block["text"].as_str() {
                Some(text) if block["type"] == "text" => text.to_owned(),
                _ => format!("{block:#}"),
            });
            shown.collect::<Vec<_>>().join("\n")
        }
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

/// Returns the text of the gateway's log: the cause, and the plugin's last output.
fn log_text(error: &Error) -> String {
    error.source.as_ref().map_or_else(|| error.message.clone(), ToString::to_string)
}

fn read(path: &Path) -> Result<Bytes, Vec<Problem>> {
    let unreadable = |e: io::Error| at(path, format!("cannot be read: {e}"));
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok(bytes.into());
    }
    fs::read(path).map(Bytes::from).map_err(unreadable)
}
