//! Turns LiteLLM's file into the text of a config.
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::import::advice;
use crate::cli::import::aliases::{Aliases, Assembly};
use crate::cli::import::deployment::{Deployment, Reader};
use crate::cli::import::emit::{self, Emitter};
use crate::cli::import::fallbacks::Fallbacks;
use crate::cli::import::globals::Globals;
use crate::cli::import::node::{Entry, Node, Tree};
use crate::cli::import::notes::{Near, Notes, Spot};
use crate::cli::import::router::Router;
use crate::cli::import::rules::Rules;
use crate::cli::import::section::{Field, Section};
use crate::disk;
use crate::error::Problem;

/// The written config and the file of models beside it.
pub(super) struct Written {
    pub(super) config: String,
    pub(super) models_file: Option<String>,
    /// The numbers of providers and aliases.
    pub(super) providers: usize,
    pub(super) aliases: usize,
}

/// Looks a model up in the bundled table: its name there, and its provider if that is needed.
pub(super) type Known<'a> = dyn Fn(&str) -> Option<(String, Option<String>)> + 'a;

/// An import under way.
pub(super) struct Conversion<'a> {
    pub(super) root: &'a Node,
    /// The name of the old file.
    pub(super) source: &'a str,
    /// The name of the file of models.
    pub(super) models_name: &'a str,
    pub(super) notes: &'a Notes,
    pub(super) known: &'a Known<'a>,
}

/// Reads a file and those that it includes.
///
/// Fails with the place and the reason.
pub(super) fn read(path: &Path) -> Result<Node, Problem> {
    let Some(mut root) = file(path)? else {
        return Err(Problem::new(
            path.display().to_string(),
            "the file is empty: expected a config of LiteLLM",
        ));
    };
    let Tree::Map(entries) = &mut root.value else {
        let message = format!("expected a mapping such as `model_list: …`, found {}", root.kind());
        return Err(Problem::new(root.at.to_string(), message));
    };
    let Some(n) = entries.iter().position(|entry| entry.key == "include") else { return Ok(root) };
    let include = entries.remove(n);
    for item in include.node.items() {
        let Some(name) = item.scalar() else {
            let message = format!("`include`: expected the name of a file, found {}", item.kind());
            return Err(Problem::new(item.at.to_string(), message));
        };
        let other = path.parent().unwrap_or(Path::new("")).join(&name);
        let included = file(&other).map_err(|problem| {
            Problem::new(item.at.to_string(), format!("`include`: {problem}"))
        })?;
        merge(entries, included.map_or_else(Vec::new, |node| node.entries().to_vec()));
    }
    Ok(root)
}

fn file(path: &Path) -> Result<Option<Node>, Problem> {
    let text = disk::text(path).map_err(|unread| unread.at(path))?;
    let name = path.display().to_string();
    Node::parse(&text, &name).map_err(|message| Problem::new(name, message))
}

/// Adds the entries of an included file: a list goes on, and any other value takes the place of the old one.
fn merge(entries: &mut Vec<Entry>, more: Vec<Entry>) {
    for entry in more {
        match entries.iter_mut().find(|own| own.key == entry.key) {
            Some(own) => match (&mut own.node.value, entry.node.value) {
                (Tree::List(items), Tree::List(further)) => items.extend(further),
                (value, other) => *value = other,
            },
            None => entries.push(entry),
        }
    }
}

impl<'a> Conversion<'a> {
    /// Makes the config.
    pub(super) fn run(&self) -> Written {
        self.reserve();
        let here = Spot { at: self.root.at.clone(), path: String::new() };
        let field = Field { spot: here, node: self.root };
        let mut top = Section::new(&field, self.notes, Near::Section("settings"));
        let (router, globals) = self.settings(&mut top);
        let deployments = self.deployments(&mut top);
        self.variables(&mut top);
        for (key, field) in top.rest() {
            self.each(&key, &field);
        }
        let assembly = Assembly { notes: self.notes, router: &router };
        let facts = self.facts(&deployments);
        let mut aliases = assembly.run(deployments);
        Fallbacks { notes: self.notes, router: &router }.add(&mut aliases);
        let concurrent = self.concurrent(&router, &globals);
        self.write(&aliases, &globals, Facts { list: facts, concurrent })
    }

    /// Returns the most requests at the same time for each deployment.
    fn concurrent(&self, router: &Router, globals: &Globals) -> Option<u64> {
        if let (Some(_), Some((_, spot))) = (router.concurrent, &globals.concurrent) {
            let text = "`default_max_parallel_requests` of `router_settings` comes first";
            self.notes.left(spot, Near::Section("limits"), text);
        }
        router.concurrent.or(globals.concurrent.as_ref().map(|(count, _)| *count))
    }

    /// Keeps names of variables that the file gives a value from being chosen for another one.
    fn reserve(&self) {
        for text in self.root.texts() {
            if let Some(name) = text.strip_prefix("os.environ/") {
                self.notes.reserve(name);
            }
        }
        let variables = self.root.get("environment_variables").map_or(&[][..], Node::entries);
        variables.iter().for_each(|entry| self.notes.reserve(&entry.key));
    }

    /// Reads the three sections of settings.
    fn settings(&self, top: &mut Section<'a>) -> (Router, Globals) {
        let mut router = Router::default();
        let mut globals = Globals::default();
        let near = || Near::Section("models");
        if let Some(field) = top.take("router_settings") {
            let mut section = Section::new(&field, self.notes, near());
            router.read(&mut section, self.notes);
            globals.read_redis(&mut section, self.notes);
            let is_on = |field: &Field<'_>| field.node.scalar().as_deref() != Some("false");
            for (key, field) in section.rest().filter(|(_, field)| is_on(field)) {
                self.notes.left(&field.spot, near(), advice::router(&key));
            }
        }
        if let Some(field) = top.take("litellm_settings") {
            let mut section = Section::new(&field, self.notes, near());
            router.read(&mut section, self.notes);
            globals.read_litellm(section, self.notes);
        }
        if let Some(field) = top.take("general_settings") {
            let section = Section::new(&field, self.notes, Near::Section("keys"));
            globals.read_general(section, self.notes);
        }
        self.strategy(&router);
        (router, globals)
    }

    fn strategy(&self, router: &Router) {
        let Some((strategy, spot)) = &router.strategy else { return };
        let text = match strategy.as_str() {
            "simple-shuffle" | "latency-based-routing" | "cost-based-routing" => return,
            "least-busy" => {
                "the gateway does not compare requests in progress; the written aliases share by weight, and `sort: latency` is the nearest"
            }
            "usage-based-routing" | "usage-based-routing-v2" => {
                "the gateway does not compare usage; the written aliases share by weight, and a rule of `limits` with `per: target` passes over a target that is full"
            }
            _ => "the import does not know this strategy; the written aliases share by weight",
        };
        self.notes.changed(spot, Near::Section("models"), text);
    }

    fn deployments(&self, top: &mut Section<'a>) -> Vec<Deployment> {
        let list = top.take("credential_list");
        let named = list.map_or_else(BTreeMap::new, |field| self.credentials(&field));
        let reader = Reader { notes: self.notes, credentials: &named };
        let Some(field) = top.take("model_list") else {
            return Vec::new();
        };
        if !matches!(field.node.value, Tree::List(_)) {
            let text = format!("expected a list, found {}", field.node.kind());
            self.notes.left(&field.spot, Near::Section("models"), text);
            return Vec::new();
        }
        let items = field.node.items();
        items.iter().for_each(|item| reader.reserve(item));
        let each = items.iter().enumerate().flat_map(|(n, node)| {
            reader.read(&Field { spot: field.spot.index(n, &node.at), node })
        });
        each.collect()
    }

    /// Returns the values of each credential by its name, and notes those that no model uses.
    fn credentials(&self, list: &Field<'a>) -> BTreeMap<String, Field<'a>> {
        let models = self.root.get("model_list").map_or(&[][..], Node::items);
        let names = models.iter().filter_map(|model| {
            model.get("litellm_params")?.get("litellm_credential_name")?.scalar()
        });
        let used: Vec<String> = names.collect();
        let mut found = BTreeMap::new();
        for (n, item) in list.node.items().iter().enumerate() {
            let spot = list.spot.index(n, &item.at);
            let name = item.get("credential_name").and_then(Node::scalar);
            match (name, item.get("credential_values")) {
                (Some(name), Some(values)) if used.contains(&name) => {
                    let path = format!("credential_list.{name}");
                    let spot = Spot { at: values.at.clone(), path };
                    found.insert(name, Field { spot, node: values });
                }
                (Some(_), Some(_)) => self.notes.left(
                    &spot,
                    Near::Section("providers"),
                    "no entry of `model_list` uses it",
                ),
                _ => self.notes.left(
                    &spot,
                    Near::Section("providers"),
                    "expected `credential_name` and `credential_values`",
                ),
            }
        }
        found
    }

    /// Notes the variables that the file sets: the values may be secrets.
    fn variables(&self, top: &mut Section<'a>) {
        let Some(field) = top.take("environment_variables") else { return };
        for entry in field.node.entries() {
            let spot =
                Spot { at: entry.at.clone(), path: format!("{}.{}", field.spot.path, entry.key) };
            let text = "set the variable in the environment of the gateway, which takes none from its config";
            self.notes.left(&spot, Near::Section("settings"), text);
        }
    }

    /// Notes a key of the file itself; of a list, each entry by itself.
    fn each(&self, key: &str, field: &Field<'_>) {
        let near = || Near::Section("settings");
        match &field.node.value {
            Tree::List(items) if !items.is_empty() => {
                for (n, item) in items.iter().enumerate() {
                    self.notes.left(&field.spot.index(n, &item.at), near(), advice::top(key));
                }
            }
            Tree::Map(entries) if key == "mcp_servers" => {
                for entry in entries {
                    let path = format!("{}.{}", field.spot.path, entry.key);
                    self.notes.left(&Spot { at: entry.at.clone(), path }, near(), advice::top(key));
                }
            }
            _ => self.notes.left(&field.spot, near(), advice::top(key)),
        }
    }

    /// Returns the entries for the file of models, one for each model.
    fn facts(&self, deployments: &[Deployment]) -> Vec<Value> {
        let mut list: Vec<Value> = Vec::new();
        for deployment in deployments {
            let Some(Value::Object(facts)) = &deployment.facts else { continue };
            let own = facts.get("id").and_then(Value::as_str).unwrap_or_default();
            let (id, provider) =
                (self.known)(own).unwrap_or_else(|| (own.to_owned(), Some("custom".to_owned())));
            let mut entry = Map::from_iter([("id".to_owned(), Value::from(id))]);
            entry.extend(provider.map(|provider| ("provider".to_owned(), provider.into())));
            entry.extend(
                facts
                    .iter()
                    .filter(|(key, _)| *key != "id")
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
            let entry = Value::from(entry);
            let is_same = |other: &&Value| other["id"] == entry["id"];
            match list.iter().find(is_same) {
                Some(other) if *other != entry => {
                    let text = "prices and limits belong to a model here, and another deployment of the model has other ones: the first ones count";
                    self.notes.left(&deployment.spot, Near::Alias(deployment.alias.clone()), text);
                }
                Some(_) => {}
                None => list.push(entry),
            }
        }
        list
    }

    fn write(&self, aliases: &Aliases, globals: &Globals, facts: Facts) -> Written {
        let mut rules = Rules::default();
        for alias in &aliases.models {
            rules.add(alias, facts.concurrent, self.notes);
        }
        let (limit, budget) = globals.rules(self.notes);
        rules.limits.extend(limit);
        rules.budgets.extend(budget);
        let is_open = globals.master_key.is_none() && !globals.has_database;
        if is_open {
            self.notes.overall(Near::Section("listen"), "general_settings.master_key", "there is none (LiteLLM also reads the variable `LITELLM_MASTER_KEY`), so that every caller is accepted: the gateway then listens on loopback only; for another address, add `keys` (`tidegate key new`)");
        }
        if aliases.models.is_empty() {
            self.notes.overall(Near::Section("models"), "model_list", "no model could be carried, and a gateway needs an alias: the written one answers by the simulator, without a model");
        }
        let remarks = self.notes.remarks();
        let head = [
            format!("Written by `tidegate import litellm` from {}.", self.source),
            "Comments say for each part of that file which has no exact counterpart: why, and the nearest thing.".to_owned(),
        ];
        let mut emitter = Emitter::new(&head, &remarks);
        emitter.section("listen", &json!(if is_open { "127.0.0.1:4000" } else { "0.0.0.0:4000" }));
        emitter.section(
            "admin",
            &json!({ "listen": "127.0.0.1:4001", "token": "${TIDEGATE_ADMIN_TOKEN:-}" }),
        );
        self.callers(&mut emitter, globals);
        models(&mut emitter, aliases);
        if !facts.list.is_empty() {
            emitter.section("models_file", &json!(self.models_name));
        }
        pipeline(&mut emitter, aliases);
        bounds(&mut emitter, globals, rules);
        Written {
            config: emitter.finish(),
            models_file: (!facts.list.is_empty()).then(|| emit::models_file(&facts.list)),
            providers: aliases.providers.len(),
            aliases: aliases.models.len(),
        }
    }

    fn callers(&self, emitter: &mut Emitter<'_>, globals: &Globals) {
        if let Some(keys) = globals.keys() {
            emitter.section("keys", &keys);
        }
        if globals.has_database {
            emitter.section("key_store", &json!("ledger"));
        }
        let mut ledger = globals.ledger.clone();
        if globals.has_database {
            ledger.shift_insert(0, "url".to_owned(), json!("${TIDEGATE_LEDGER_URL:-sqlite}"));
        }
        if !ledger.is_empty() {
            emitter.section("ledger", &ledger.into());
        }
    }
}

/// Facts of the old file beside the aliases.
struct Facts {
    /// The entries of the file of models.
    list: Vec<Value>,
    /// The most requests at the same time for each deployment.
    concurrent: Option<u64>,
}

fn models(emitter: &mut Emitter<'_>, aliases: &Aliases) {
    let pairs = |(name, settings): &(String, Map<String, Value>)| {
        (name.clone(), Value::from(settings.clone()))
    };
    let mut providers: Vec<(String, Value)> = aliases.providers.iter().map(pairs).collect();
    let mut models: Vec<(String, Value)> =
        aliases.models.iter().map(|alias| (alias.name.clone(), alias.written())).collect();
    if models.is_empty() {
        providers.push(("sim".to_owned(), json!({ "type": "simulator" })));
        models.push(("simulator".to_owned(), json!({ "provider": "sim" })));
    }
    emitter.entries("providers", &providers);
    emitter.entries("models", &models);
}

fn pipeline(emitter: &mut Emitter<'_>, aliases: &Aliases) {
    let mut with = Map::new();
    if !aliases.fallbacks.is_empty() {
        with.insert("fallbacks".to_owned(), aliases.fallbacks.clone().into());
    }
    if !aliases.names.is_empty() {
        with.insert("names".to_owned(), aliases.names.clone().into());
    }
    if !with.is_empty() {
        emitter.section("pipeline", &json!([{ "policy": "compat/litellm", "with": with }]));
    }
}

fn bounds(emitter: &mut Emitter<'_>, globals: &Globals, rules: Rules) {
    let mut limits = Map::new();
    limits.extend(globals.store.as_ref().map(|store| ("store".to_owned(), store.as_str().into())));
    if !rules.limits.is_empty() {
        limits.insert("rules".to_owned(), rules.limits.into());
    }
    if !limits.is_empty() {
        emitter.section("limits", &limits.into());
    }
    if !rules.budgets.is_empty() {
        emitter.section("budgets", &json!({ "rules": rules.budgets }));
    }
    for (key, value) in [("server", &globals.server), ("log", &globals.log)] {
        if !value.is_empty() {
            emitter.section(key, &value.clone().into());
        }
    }
    if let Some(endpoint) = &globals.otlp {
        emitter.section("otlp", &json!(endpoint));
    }
}
