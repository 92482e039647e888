//! `Grants`: the capabilities that a plugin's manifest requests and the operator allows.
use crate::net::egress::pattern::{HostPattern, common_hosts};
use crate::plugin_host::manifest::Wants;
use crate::plugin_host::pattern::{AliasPattern, common_aliases};
use crate::plugin_host::settings::{Settings, place};

/// The capabilities of a plugin.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// The path of the plugin's config, `plugins.config.<file>`, for the text of denials.
    place: String,
    wants: Wants,
    wanted_hosts: Vec<HostPattern>,
    wanted_models: Vec<AliasPattern>,
    allowed_hosts: Vec<HostPattern>,
    allowed_models: Vec<AliasPattern>,
    max_kv_bytes: u64,
    may_publish: bool,
    /// The tokens that the model calls of one request may use.
    pub(super) model_tokens: u64,
}

/// The text of a denial: the missing capability, and the config line that would grant it.
pub(super) type Denial = String;

impl Grants {
    /// Creates the grants of a plugin. Fails with the invalid patterns of the manifest.
    pub(super) fn new(file: &str, wants: &Wants, settings: Settings) -> Result<Self, Vec<String>> {
        let hosts: Vec<_> = wants.hosts.iter().map(|text| HostPattern::parse(text)).collect();
        let models: Vec<_> = wants.models.iter().map(|text| AliasPattern::parse(text)).collect();
        let wrong: Vec<String> = hosts
            .iter()
            .filter_map(|host| host.as_ref().err().map(|e| format!("`wants.hosts`: {e}")))
            .chain(
                models
                    .iter()
                    .filter_map(|m| m.as_ref().err().map(|e| format!("`wants.models`: {e}"))),
            )
            .collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            place: place(file),
            wants: wants.clone(),
            wanted_hosts: hosts.into_iter().flatten().collect(),
            wanted_models: models.into_iter().flatten().collect(),
            allowed_hosts: settings.hosts,
            allowed_models: settings.models,
            max_kv_bytes: settings.kv_bytes,
            may_publish: settings.publish,
            model_tokens: settings.model_tokens,
        })
    }

    /// Returns whether `fetch` may reach a host. `host` is in lower case, an address has no
    /// brackets.
    pub(super) fn has_host(&self, host: &str, port: u16) -> bool {
        self.wanted_hosts.iter().any(|pattern| pattern.wants(host, port))
            && self.allowed_hosts.iter().any(|pattern| pattern.allows(host, port))
    }

    /// Checks access to a host. A denial says how to grant the access.
    pub(super) fn host(&self, host: &str, port: u16) -> Result<(), Denial> {
        if self.has_host(host, port) {
            return Ok(());
        }
        let entry = HostPattern::entry(host, port);
        match self.wanted_hosts.iter().any(|pattern| pattern.wants(host, port)) {
            true => Err(self.missing(&entry, &format!("allow_hosts: [\"{entry}\"]"))),
            false => Err(unwanted(&entry, "hosts", &self.wants.hosts)),
        }
    }

    /// Returns the text that says how to grant more hosts.
    pub(super) fn host_lines(&self) -> String {
        format!("the manifest has to want it, and `{}.allow_hosts` to have it", self.place)
    }

    /// Checks whether `model-call` may use an alias.
    pub(super) fn model(&self, alias: &str) -> Result<(), Denial> {
        if !self.wanted_models.iter().any(|pattern| pattern.matches(alias)) {
            return Err(unwanted(alias, "models", &self.wants.models));
        }
        match self.allowed_models.iter().any(|pattern| pattern.matches(alias)) {
            true => Ok(()),
            false => Err(self.missing(alias, &format!("allow_models: [\"{alias}\"]"))),
        }
    }

    /// Returns the size limit of the plugin's own store, in bytes.
    pub(super) fn kv(&self) -> Result<u64, Denial> {
        match (self.wants.kv_bytes, self.wants.kv_bytes.min(self.max_kv_bytes)) {
            (0, _) => Err(unwanted("kv-set", "kv_bytes", &[])),
            (wanted, 0) => Err(self.missing("kv-set", &format!("max_kv_bytes: {wanted}"))),
            (_, granted) => Ok(granted),
        }
    }

    /// Checks whether the plugin may publish files at addresses of the gateway.
    pub(super) fn publish(&self) -> Result<(), Denial> {
        match (self.wants.publish, self.may_publish) {
            (true, true) => Ok(()),
            (false, _) => Err(unwanted("publish", "publish", &[])),
            (true, false) => Err(self.missing("publish", "publish: true")),
        }
    }

    /// Returns whether the plugin may call some model.
    pub(super) fn has_models(&self) -> bool {
        !common_aliases(&self.wanted_models, &self.allowed_models).is_empty()
    }

    /// Returns whether the plugin may publish files.
    pub(super) fn has_publish(&self) -> bool {
        self.publish().is_ok()
    }

    /// Returns the config key of the token budget for model calls.
    pub(super) fn budget_line(&self) -> String {
        format!("{}.max_model_tokens", self.place)
    }

    /// Returns the config key of the store's size.
    pub(super) fn store_line(&self) -> String {
        format!("{}.max_kv_bytes", self.place)
    }

    /// Returns the granted capabilities, and the requested ones that the operator does not allow,
    /// for the log.
    pub(super) fn summary(&self) -> (String, String) {
        let hosts = common_hosts(&self.wanted_hosts, &self.allowed_hosts);
        let models = common_aliases(&self.wanted_models, &self.allowed_models);
        let (mut has, mut lacks) = (Vec::new(), Vec::new());
        match (hosts.is_empty(), self.wanted_hosts.is_empty()) {
            (false, _) => has.push(format!("hosts {}", hosts.join(", "))),
            (true, false) => lacks.push("allow_hosts"),
            (true, true) => {}
        }
        match (models.is_empty(), self.wanted_models.is_empty()) {
            (false, _) => {
                let tokens = self.model_tokens;
                has.push(format!("models {} ({tokens} tokens a request)", models.join(", ")));
            }
            (true, false) => lacks.push("allow_models"),
            (true, true) => {}
        }
        match (self.kv(), self.wants.kv_bytes) {
            (Ok(bytes), _) => has.push(format!("a store of {bytes} bytes")),
            (Err(_), 0) => {}
            (Err(_), _) => lacks.push("max_kv_bytes"),
        }
        match (self.wants.publish, self.may_publish) {
            (true, true) => has.push("publishing".to_owned()),
            (true, false) => lacks.push("publish"),
            (false, _) => {}
        }
        let granted = if has.is_empty() { "nothing".to_owned() } else { has.join("; ") };
        (granted, lacks.join(", "))
    }

    fn missing(&self, what: &str, line: &str) -> Denial {
        format!("`{what}` is not granted to this plugin: add `{}.{line}`", self.place)
    }
}

/// Returns the denial of a capability that the manifest does not request. No config line can grant
/// it.
fn unwanted(what: &str, member: &str, wanted: &[String]) -> Denial {
    let wanted: Vec<String> = wanted.iter().map(|text| format!("`{text}`")).collect();
    let only = match wanted.is_empty() {
        true => String::new(),
        false => format!(", only {}", wanted.join(", ")),
    };
    format!("`{what}` is not wanted by this plugin's manifest (`wants.{member}`){only}")
}
