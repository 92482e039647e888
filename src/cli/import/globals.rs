//! `general_settings`, and the parts of `litellm_settings` and `router_settings` that are about the whole gateway.
use serde_json::{Map, Value, json};

use crate::cli::import::advice;
use crate::cli::import::notes::{Near, Notes, Origin, Spot};
use crate::cli::import::rules::Budget;
use crate::cli::import::section::{Section, Text};

/// The settings of the whole gateway.
#[derive(Debug, Default)]
pub(super) struct Globals {
    /// The master key as the written file has it.
    pub(super) master_key: Option<String>,
    /// Whether LiteLLM has a database, which may hold keys.
    pub(super) has_database: bool,
    /// `limits.store`.
    pub(super) store: Option<String>,
    pub(super) log: Map<String, Value>,
    pub(super) server: Map<String, Value>,
    pub(super) ledger: Map<String, Value>,
    pub(super) otlp: Option<String>,
    /// The most requests at the same time for each deployment, and for all together.
    pub(super) concurrent: Option<(u64, Spot)>,
    pub(super) all_concurrent: Option<(u64, Spot)>,
    /// Money of all callers.
    pub(super) budget: Option<(f64, String, Spot)>,
}

impl Globals {
    /// Reads `general_settings`.
    pub(super) fn read_general(&mut self, mut section: Section<'_>, notes: &Notes) {
        if let Some((key, spot)) = section.text("master_key") {
            self.master_key = Some(key.secret(notes, "LITELLM_MASTER_KEY", &spot));
            let text = "it is the key `master` of callers; the admin API has a token of its own, `TIDEGATE_ADMIN_TOKEN`, which is needed if its listener is not on loopback";
            notes.changed(&spot, Near::Section("keys"), text);
        }
        if let Some((_, spot)) = section.text("database_url") {
            self.has_database = true;
            notes.left(&spot, Near::Section("keys"), DATABASE);
        }
        if let Some((megabytes, _)) =
            section.number("max_request_size_mb").filter(|(size, _)| *size > 0.0)
        {
            let bytes = (megabytes * 1024.0 * 1024.0) as u64;
            self.server.insert("max_body_bytes".to_owned(), bytes.into());
        }
        if let Some((time, spot)) = section.text("maximum_spend_logs_retention_period") {
            match time.literal().and_then(age) {
                Some(age) => drop(self.ledger.insert("keep".to_owned(), age.into())),
                None => notes.left(
                    &spot,
                    Near::Section("ledger"),
                    "`ledger.keep` takes a whole number of `d` or `h`",
                ),
            }
        }
        if let Some((true, spot)) = section.truth("disable_spend_logs") {
            notes.left(&spot, Near::Section("ledger"), "the ledger stays on, since keys of the admin API live in its database; `ledger: off` turns it off");
        }
        self.concurrent = section.count("max_parallel_requests");
        self.all_concurrent = section.count("global_max_parallel_requests");
        for (key, field) in section.rest() {
            let is_off = field.node.scalar().as_deref() == Some("false");
            if key == "store_model_in_db" && !is_off {
                self.has_database = true;
            }
            if !is_off {
                notes.left(&field.spot, near(&key), advice::general(&key));
            }
        }
    }

    /// Reads the parts of `litellm_settings` that are no settings of models.
    pub(super) fn read_litellm(&mut self, mut section: Section<'_>, notes: &Notes) {
        for key in ["callbacks", "success_callback", "failure_callback"] {
            for (name, spot) in section.texts(key) {
                self.callback(&name, &spot, notes);
            }
        }
        if let Some((true, _)) = section.truth("json_logs") {
            self.log.insert("format".to_owned(), "json".into());
        }
        if let Some((true, _)) = section.truth("set_verbose") {
            self.log.insert("level".to_owned(), "debug".into());
        }
        let money = section.number("max_budget");
        let duration = section.text("budget_duration");
        if let Some((usd, spot)) = money {
            let every = duration.and_then(|(text, _)| text.literal().map(str::to_owned));
            self.budget = Some((usd, every.unwrap_or_default(), spot));
        }
        for (key, field) in section.rest() {
            let value = field.node.scalar();
            let is_dropped = key == "drop_params" && value.as_deref() == Some("true");
            if !is_dropped && value.as_deref() != Some("false") {
                notes.left(&field.spot, near(&key), advice::litellm(&key));
            }
        }
    }

    fn callback(&mut self, name: &str, spot: &Spot, notes: &Notes) {
        match name {
            "prometheus" => {
                let text = "`/metrics` of the admin listener, with names of its own (docs/reference/metrics.md)";
                notes.changed(spot, Near::Section("admin"), text);
            }
            "otel" => {
                const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
                self.otlp = Some(format!("${{{NAME}:-off}}"));
                let text = format!(
                    "traces go to `{NAME}` by OTLP over HTTP; `OTEL_ENDPOINT` and `OTEL_HEADERS` of LiteLLM are `{NAME}` and `OTEL_EXPORTER_OTLP_HEADERS` here. Spans hold no texts of conversations"
                );
                notes.changed(spot, Near::Section("otlp"), text);
            }
            other => notes.left(spot, Near::Section("sinks"), advice::callback(other)),
        }
    }

    /// Reads the shared store of `router_settings`.
    pub(super) fn read_redis(&mut self, section: &mut Section<'_>, notes: &Notes) {
        let url = section.text("redis_url");
        let parts = ["redis_host", "redis_port", "redis_password", "redis_username", "redis_db"];
        let [host, port, password, user, number] = parts.map(|key| section.text(key));
        if let Some((url, spot)) = url {
            self.store = Some(match url {
                Text::Variable(name) => notes.variable(&name, REDIS, Origin::Named, &spot),
                // the URL may have a password
                Text::Literal(url) => notes.secret(&url, "REDIS_URL", REDIS, &spot),
            });
        } else if let Some((host, spot)) = host {
            let host = host.plain(notes, "placeholder.example.com", &spot);
            let port = port
                .map_or_else(|| "6379".to_owned(), |(port, spot)| port.plain(notes, "6379", &spot));
            let password =
                password.map(|(password, spot)| password.secret(notes, "REDIS_PASSWORD", &spot));
            let user = user
                .map_or_else(String::new, |(user, spot)| user.plain(notes, "placeholder", &spot));
            let login = password.map_or_else(String::new, |password| format!("{user}:{password}@"));
            let number =
                number.map(|(number, spot)| format!("/{}", number.plain(notes, "0", &spot)));
            self.store =
                Some(format!("redis://{login}{host}:{port}{}", number.unwrap_or_default()));
            if !login.is_empty() {
                let text = "characters of the password such as `@`, `/` and `:` are percent-encoded in a URL";
                notes.changed(&spot, Near::Section("limits"), text);
            }
        }
    }

    /// Returns the entry of `keys:` for the master key.
    pub(super) fn keys(&self) -> Option<Value> {
        let key = self.master_key.as_ref()?;
        Some(json!([{ "name": "master", "key": key }]))
    }

    /// Returns the rules for all callers together: with one key, its own limits are those of all.
    pub(super) fn rules(&self, notes: &Notes) -> (Option<Value>, Option<Value>) {
        let is_single = self.master_key.is_some() && !self.has_database;
        let limit = self.all_concurrent.as_ref().and_then(|(count, spot)| {
            if !is_single {
                let text = "a rule counts for each key, model, target or tag, and not for all together; the nearest is a tag that all keys have, with `per: \"tag:NAME\"`";
                notes.left(spot, Near::Section("limits"), text);
            }
            is_single.then(|| json!({ "per": "key", "concurrent": count }))
        });
        let budget = self.budget.as_ref().and_then(|(usd, duration, spot)| {
            let near = Near::Section("budgets");
            if !is_single {
                let text = "a budget counts for each key, model or tag, and not for all together; the nearest is a tag that all keys have, with `per: \"tag:NAME\"`";
                notes.left(spot, near, text);
                return None;
            }
            Budget { usd: *usd, duration, spot }.rule("key", &near, notes)
        });
        (limit, budget)
    }
}

const REDIS: &str = "redis://placeholder.example.com:6379";
const DATABASE: &str = "keys, teams, users, budgets and spend of LiteLLM's database cannot be read: `key_store: ledger` makes keys \
    by `POST /api/keys` of the admin API while the gateway runs, `tidegate key new --name NAME` makes one for `keys`; callers \
    need new keys. The ledger needs a database of its own: `TIDEGATE_LEDGER_URL`, or a SQLite file";

/// Returns an age as `ledger.keep` writes it.
fn age(text: &str) -> Option<String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count: u64 = digits.parse().ok().filter(|count| *count > 0)?;
    match &text[digits.len()..] {
        "d" => Some(format!("{count}d")),
        "h" => Some(format!("{count}h")),
        "w" => Some(format!("{}d", count * 7)),
        "mo" => Some(format!("{}d", count * 30)),
        _ => None,
    }
}

/// Returns the section that a remark about a key stands at.
fn near(key: &str) -> Near {
    let section = match key {
        _ if key.contains("fallback") || key.starts_with("model") => "models",
        _ if key.contains("alert") => "sinks",
        _ if key.contains("database") || key.contains("spend") || key.contains("proxy_b") => {
            "ledger"
        }
        _ if key.contains("budget") => "budgets",
        _ if ["key", "auth", "user", "team", "sso"].iter().any(|word| key.contains(word)) => "keys",
        _ => "settings",
    };
    Near::Section(section)
}
