//! Builds a pipeline: finds the policies and plugins, compiles them and puts them in order.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::disk;
use crate::error::Problem;
use crate::plugin_host::{Installation, Plugin, PluginHost, WayOut};
use crate::policy::config::StageRules;
use crate::policy::files::sources;
use crate::policy::library::{self, Shipped};
use crate::policy::pipeline::{Pipeline, ServedTool};
use crate::policy::script::{Limits, Script, ScriptEngine};
use crate::policy::stage::{Stage, Work};
use crate::policy::time;
use crate::policy::{PluginsConfig, PoliciesConfig, StageConfig, plugin_stage};
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;

/// The name under which the calls of a server tool are counted, in the place of a hook.
const TOOL: &str = "tool";

/// The parts that a pipeline is built from.
pub(crate) struct Plan<'a> {
    /// The folder of the policies.
    pub policies: &'a PoliciesConfig,
    /// The folder and the config of the plugins.
    pub plugins: &'a PluginsConfig,
    /// The order; if absent, every policy in name order, then every plugin with hooks.
    pub order: Option<&'a [StageConfig]>,
    /// The host that runs the plugins.
    pub host: &'a Arc<PluginHost>,
    /// The plugins' access to the network; `None` if they have none.
    pub way_out: Option<&'a WayOut>,
    /// The registry of the metrics.
    pub metrics: &'a Metrics,
    /// The entrance for events.
    pub events: &'a Events,
}

impl Plan<'_> {
    /// Compiles everything. Fails with every problem, each with its file and line.
    pub(crate) async fn build(&self) -> Result<Pipeline, Vec<Problem>> {
        let mut problems = self.missing_folders();
        problems.extend(time::problems(self.policies, self.order.unwrap_or_default()));
        let scripts = self.scripts(&mut problems);
        let plugins = self.plugins(&mut problems).await;
        let stages = match self.order {
            Some(order) => self.ordered(order, &scripts, &plugins, &mut problems).await,
            None => self.all(&scripts, &plugins, &mut problems),
        };
        let tools = self.tools(&plugins, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let pipeline = Pipeline::new(stages, tools, self.metrics);
        Ok(pipeline.with_text_timeout(self.policies.text_timeout).with_events(self.events))
    }

    /// Reports a folder that the config names and that does not exist. Otherwise all its policies would be
    /// lost without notice. A folder that cannot be read is reported by those who read it.
    fn missing_folders(&self) -> Vec<Problem> {
        let folders = [
            ("policies", &self.policies.dir, self.policies.is_dir_named),
            ("plugins", &self.plugins.dir, self.plugins.is_dir_named),
        ];
        let missing = folders
            .into_iter()
            .filter(|(_, dir, is_named)| *is_named && disk::exists(dir) == Ok(false));
        missing
            .map(|(part, dir, _)| {
                let message =
                    format!("folder `{}` not found: create it or name another", dir.display());
                Problem::new(format!("{part}.dir"), message)
            })
            .collect()
    }

    fn scripts(&self, problems: &mut Vec<Problem>) -> BTreeMap<String, Script> {
        let mut scripts = BTreeMap::new();
        let files = match self.script_files() {
            Ok(files) => files,
            Err(found) => {
                problems.extend(found);
                return scripts;
            }
        };
        let built_in = self.built_in(&files);
        if files.is_empty() && built_in.is_empty() {
            return scripts;
        }
        let PoliciesConfig { dir, time_limit: time, time_limit_per_mib: time_per_mib, .. } =
            self.policies;
        let limits = Limits { time: *time, time_per_mib: *time_per_mib, ..Limits::default() };
        let engine = match ScriptEngine::with_modules(limits, dir) {
            Ok(engine) => engine,
            Err(found) => {
                problems.extend(found);
                return scripts;
            }
        };
        for shipped in built_in {
            match engine.compile(Path::new(&shipped.place()), shipped.source) {
                Ok(script) => {
                    scripts.insert(shipped.name.to_owned(), script);
                }
                Err(found) => problems.extend(found),
            }
        }
        for (name, path) in files {
            match compile(&engine, &path) {
                Ok(script) => {
                    scripts.insert(name, script);
                }
                Err(found) => problems.extend(found),
            }
        }
        scripts
    }

    /// Returns the shipped policies that `pipeline:` names and the folder lacks.
    fn built_in(&self, files: &BTreeMap<String, PathBuf>) -> Vec<&'static Shipped> {
        let names = self.order.unwrap_or_default().iter().filter_map(|stage| stage.policy.as_ref());
        let absent: BTreeSet<&String> = names.filter(|name| !files.contains_key(*name)).collect();
        absent.into_iter().filter_map(|name| library::find(name)).collect()
    }

    /// Returns every policy directly in the folder, and those in `library/` that `pipeline:` names.
    ///
    /// Fails if it is unknown whether one of them exists: the shipped policy must not replace an own copy
    /// that cannot be read.
    fn script_files(&self) -> Result<BTreeMap<String, PathBuf>, Vec<Problem>> {
        let dir = &self.policies.dir;
        let mut files = sources(dir, "rhai")?;
        let mut problems = Vec::new();
        for name in self.order.unwrap_or_default().iter().filter_map(|stage| stage.policy.as_ref())
        {
            if files.contains_key(name) {
                continue;
            }
            let copy = dir.join("library").join(format!("{name}.rhai"));
            match disk::exists(&copy) {
                Ok(true) => {
                    files.insert(name.clone(), copy);
                }
                Ok(false) => {}
                Err(unread) => problems.push(unread.at(&copy)),
            }
        }
        if problems.is_empty() { Ok(files) } else { Err(problems) }
    }

    async fn plugins(&self, problems: &mut Vec<Problem>) -> BTreeMap<String, Plugin> {
        let mut plugins = BTreeMap::new();
        let files = match sources(&self.plugins.dir, "wasm") {
            Ok(files) => files,
            Err(found) => {
                problems.extend(found);
                return plugins;
            }
        };
        self.host.make_room(files.keys().map(|name| self.plugins.config.get(name)));
        for (name, path) in files {
            let config = self.plugins.config.get(&name).cloned().unwrap_or(Value::Null);
            let metrics = self.metrics.plugin(&name);
            let installation = Installation { path: &path, config, metrics, way_out: self.way_out };
            match self.host.install(installation).await {
                Ok(plugin) => {
                    plugins.insert(name, plugin);
                }
                Err(found) => problems.extend(found),
            }
        }
        for name in self.plugins.config.keys().filter(|name| !plugins.contains_key(*name)) {
            if problems.is_empty() {
                let dir = self.plugins.dir.display();
                let message = format!("there is no plugin `{name}.wasm` in `{dir}`");
                problems.push(Problem::new(format!("plugins.config.{name}"), message));
            }
        }
        plugins
    }

    fn all(
        &self,
        scripts: &BTreeMap<String, Script>,
        plugins: &BTreeMap<String, Plugin>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Stage> {
        let mut stages = Vec::new();
        for (name, script) in scripts {
            match script.with(&Map::new()) {
                Ok(with) => {
                    let work = Work::Script(script.clone(), with);
                    stages.push(self.stage(name, work, &StageRules::default()));
                }
                Err(found) => {
                    let path = self.policies.dir.join(format!("{name}.rhai")).display().to_string();
                    problems.extend(found.iter().map(|problem| unfit(&path, problem)));
                }
            }
        }
        let plugins = plugins.iter().filter(|(_, plugin)| !plugin_stage::hooks(plugin).is_empty());
        let plugins = plugins.map(|(name, plugin)| {
            self.stage(name, Work::Plugin(plugin.clone(), Arc::default()), &StageRules::default())
        });
        stages.into_iter().chain(plugins).collect()
    }

    async fn ordered(
        &self,
        order: &[StageConfig],
        scripts: &BTreeMap<String, Script>,
        plugins: &BTreeMap<String, Plugin>,
        problems: &mut Vec<Problem>,
    ) -> Vec<Stage> {
        // a file that does not compile is already a problem: do not also report its name as missing
        let is_complete = problems.is_empty();
        let mut stages = Vec::new();
        for (n, config) in order.iter().enumerate() {
            let rules = StageRules { when: config.when.clone(), on_error: config.on_error };
            let found = match (&config.policy, &config.plugin) {
                (Some(name), _) => scripts
                    .get(name)
                    .map(|script| (name, with_parameters(n, script, config, self.policies)))
                    .ok_or_else(|| missing(n, "policy", name, &self.policies.dir, "rhai")),
                (None, Some(name)) => match plugins.get(name) {
                    Some(plugin) => Ok((name, plugin_with(n, name, plugin, config).await)),
                    None => Err(missing(n, "plugin", name, &self.plugins.dir, "wasm")),
                },
                (None, None) => {
                    Err(Problem::new(format!("pipeline[{n}]"), "needs `policy` or `plugin`"))
                }
            };
            match found {
                Ok((name, Ok(work))) => stages.push(self.stage(name, work, &rules)),
                Ok((_, Err(found))) => problems.extend(found),
                Err(problem) if is_complete => problems.push(problem),
                Err(_) => {}
            }
        }
        stages
    }

    fn stage(&self, name: &str, work: Work, rules: &StageRules) -> Stage {
        Stage::new(name, work, rules, self.metrics)
    }

    fn tools(
        &self,
        plugins: &BTreeMap<String, Plugin>,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, ServedTool> {
        let mut tools: BTreeMap<String, ServedTool> = BTreeMap::new();
        let all = plugins.iter().flat_map(|(file, plugin)| {
            plugin.manifest().tools.iter().map(move |manifest| (file, plugin, manifest))
        });
        for (file, plugin, manifest) in all {
            let name = &manifest.name;
            let metrics = self.metrics.tool(&format!("gateway:{name}"));
            let life = self.metrics.lives.of(name, TOOL);
            let (plugin, manifest) = (plugin.clone(), manifest.clone());
            let tool = ServedTool { plugin, manifest, metrics, life };
            if let Some(other) = tools.insert(name.clone(), tool) {
                let path = self.plugins.dir.join(format!("{file}.wasm"));
                let other = &other.plugin.manifest().name;
                let message = format!(
                    "its tool `{name}` is also defined by the plugin `{other}`: remove one of the two"
                );
                problems.push(Problem::new(path.display().to_string(), message));
            }
        }
        tools
    }
}

fn compile(engine: &ScriptEngine, path: &Path) -> Result<Script, Vec<Problem>> {
    let source = disk::text(path).map_err(|unread| vec![unread.at(path)])?;
    engine.compile(path, &source)
}

/// Combines a policy with the parameters of its stage.
pub(super) fn with_parameters(
    n: usize,
    script: &Script,
    config: &StageConfig,
    policies: &PoliciesConfig,
) -> Result<Work, Vec<Problem>> {
    let with = script.with(&config.with).map_err(|found| {
        let placed = |problem: Problem| Problem {
            // the path is `.limit` until here
            path: format!("pipeline[{n}].with{}", problem.path),
            ..problem
        };
        found.into_iter().map(placed).collect::<Vec<_>>()
    })?;
    let time = config.time_limit.unwrap_or(policies.time_limit);
    let time_per_mib = config.time_limit_per_mib.unwrap_or(policies.time_limit_per_mib);
    Ok(Work::Script(script.within(time, time_per_mib), with))
}

/// Combines a plugin with the parameters of its stage, after the plugin has accepted them. If its file does
/// not list its hooks, the hooks may depend on the parameters alone.
async fn plugin_with(
    n: usize,
    name: &str,
    plugin: &Plugin,
    config: &StageConfig,
) -> Result<Work, Vec<Problem>> {
    let with = Arc::new(config.with.clone());
    match plugin.at_stage(&with).await {
        Ok(plugin) if plugin.manifest().hooks.is_empty() && plugin.called_for().is_empty() => {
            Err(vec![without_hooks(n, name)])
        }
        Ok(plugin) => Ok(Work::Plugin(plugin, with)),
        Err(message) => {
            let message = format!("the plugin `{name}` {message}");
            Err(vec![Problem::new(format!("pipeline[{n}].with"), message)])
        }
    }
}

/// Returns the problem of a policy that runs by its name alone but needs a parameter.
fn unfit(path: &str, problem: &Problem) -> Problem {
    let parameter = problem.path.trim_start_matches('.');
    let message = format!(
        "needs its parameter `{parameter}`: list the policy under `pipeline:` with `with: {{ {parameter}: … }}`"
    );
    Problem::new(path, message)
}

fn without_hooks(n: usize, name: &str) -> Problem {
    let message =
        format!("the plugin `{name}` has no hooks: remove the stage, its tools work without one");
    Problem::new(format!("pipeline[{n}].plugin"), message)
}

fn missing(n: usize, kind: &str, name: &str, dir: &Path, extension: &str) -> Problem {
    // the folder was listed before, or the problem would not be reported
    let known = sources(dir, extension).unwrap_or_default();
    let known: Vec<String> = known.into_keys().map(|name| format!("`{name}`")).collect();
    let known = match known.is_empty() {
        true => format!("`{}` has none", dir.display()),
        false => format!("there are {}", known.join(", ")),
    };
    let shipped = if kind == "policy" { library::nearest(name) } else { None };
    let shipped = shipped.map_or(String::new(), |name| format!("; `{name}` is shipped"));
    let message = format!("no {kind} is named `{name}`: {known}{shipped}");
    Problem::new(format!("pipeline[{n}].{kind}"), message)
}
