//! `otlp:`, the collector that receives the spans, with OpenTelemetry's variables as defaults.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::Secret;
use crate::telemetry::intake::config::IntakeConfig;
use crate::telemetry::post::{address, header};
use crate::wire::duration;

/// The path of the collector's endpoint for spans.
const ROUTE: &str = "/v1/traces";
const TIMEOUT: Duration = Duration::from_secs(10);
/// The variables that are read. Each of the first group may also be set for traces alone.
const OF_EXPORTER: [&str; 7] = [
    "ENDPOINT",
    "HEADERS",
    "TIMEOUT",
    "COMPRESSION",
    "PROTOCOL",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
];
const OTHERS: [&str; 4] =
    ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];

/// `otlp:`, the export of traces. A text is short for its `endpoint`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The address of a collector that speaks OTLP over HTTP, such as `http://localhost:4318`; `/v1/traces` is added.
    /// `off` for none. The default is `OTEL_EXPORTER_OTLP_ENDPOINT`; without both, nothing is traced.
    pub endpoint: Option<String>,
    /// The headers of each export, such as `authorization`. The default is `OTEL_EXPORTER_OTLP_HEADERS`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, Secret>,
    /// The share of traces that start here and are exported. In a trace of a client, the client's flag decides.
    pub sample: f64,
    /// The time for one export, 10 s by default. The default is `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
    #[serde(with = "duration::optional")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// The collector that gets the telemetry which clients send to the gateway. If absent, the gateway takes and drops it.
    pub intake: Option<IntakeConfig>,
    /// The variables of the environment.
    #[serde(skip)]
    pub(crate) variables: Variables,
}

/// OpenTelemetry's variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(BTreeMap<String, Secret>);

/// The collector, and everything that an export to it needs.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) compresses: bool,
    /// The attributes of the resource that the environment names.
    pub(super) resource: Vec<(String, String)>,
}

/// A wrong value: its key below `otlp`, and a message.
type Wrong = (String, String);

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            sample: 1.0,
            timeout: None,
            intake: None,
            variables: Variables::default(),
        }
    }
}

impl Variables {
    /// Reads the variables. One that is empty counts as absent.
    fn read(lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let names = OF_EXPORTER.iter().flat_map(|end| {
            ["TRACES_", ""].map(|signal| format!("OTEL_EXPORTER_OTLP_{signal}{end}"))
        });
        let names = names.chain(OTHERS.map(str::to_owned));
        let set = names.filter_map(|name| {
            let value = lookup(&name)?.into_string().ok().filter(|value| !value.is_empty())?;
            Some((name, Secret::new(value)))
        });
        Self(set.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose)
    }

    /// Returns a variable of the exporter with its name; that for traces comes first.
    fn exporter(&self, end: &str) -> Option<(String, &str)> {
        let names = ["TRACES_", ""].map(|signal| format!("OTEL_EXPORTER_OTLP_{signal}{end}"));
        names.into_iter().find_map(|name| self.get(&name).map(|value| (name.clone(), value)))
    }

    /// Returns whether the variables turn the export of traces off, or choose another exporter.
    fn are_off(&self) -> bool {
        let is_disabled =
            self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let exporters = self.get("OTEL_TRACES_EXPORTER").unwrap_or("otlp");
        is_disabled || !exporters.split(',').any(|name| name.trim() == "otlp")
    }

    fn compresses(&self) -> Result<bool, String> {
        match self.exporter("COMPRESSION") {
            None | Some((_, "gzip")) => Ok(true),
            Some((_, "none")) => Ok(false),
            Some((name, other)) => {
                Err(format!("`{name}`: expected `gzip` or `none`, found `{other}`"))
            }
        }
    }

    fn resource(&self) -> Result<Vec<(String, String)>, String> {
        const LIST: &str = "OTEL_RESOURCE_ATTRIBUTES";
        const NAME: &str = "service.name";
        let listed = self.get(LIST).map(pairs).transpose();
        let mut found =
            listed.map_err(|message| format!("`{LIST}`: {message}"))?.unwrap_or_default();
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            found.retain(|(key, _)| key != NAME);
            found.push((NAME.to_owned(), name.to_owned()));
        }
        Ok(found)
    }
}

impl OtlpConfig {
    /// Takes OpenTelemetry's variables as defaults.
    pub(crate) fn set_defaults(&mut self, lookup: &dyn Fn(&str) -> Option<OsString>) {
        self.variables = Variables::read(lookup);
    }

    /// Returns all values that may be secrets, for a comparison of digests.
    pub(crate) fn secrets(&self) -> String {
        let of_intake = self.intake.iter().flat_map(|intake| &intake.headers);
        let headers = self.headers.iter().chain(of_intake);
        let headers = headers.map(|(name, value)| format!("{name}={}", value.expose()));
        headers.collect::<Vec<_>>().join("\n")
    }

    /// Returns each wrong value: its key below `otlp`, and a message without the value of a header.
    pub(crate) fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.collector().err().unwrap_or_default();
        let of_intake = self.intake.iter().flat_map(IntakeConfig::problems);
        wrong.extend(of_intake.map(|(key, message)| (format!("intake.{key}"), message)));
        wrong
    }

    /// Returns the collector; `None` if nothing is exported.
    ///
    /// Fails with each wrong value.
    pub(super) fn collector(&self) -> Result<Option<Collector>, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut note = |key: &str, message: String| wrong.push((key.to_owned(), message));
        if !(0.0..=1.0).contains(&self.sample) {
            note("sample", format!("must be from 0 to 1, found {}", self.sample));
        }
        let url = self.url().unwrap_or_else(|message| {
            note("endpoint", message);
            None
        });
        // without a collector the variables are another program's
        let none = Variables::default();
        let variables = if url.is_some() { &self.variables } else { &none };
        let timeout = self.time_limit(variables).unwrap_or_else(|message| {
            note("timeout", message);
            TIMEOUT
        });
        let headers = self.header_map(variables).unwrap_or_else(|(key, message)| {
            note(&key, message);
            HeaderMap::new()
        });
        let compresses = variables.compresses().unwrap_or_else(|message| {
            note("endpoint", message);
            true
        });
        if let Some((name, _)) = variables.exporter("CLIENT_CERTIFICATE") {
            note("endpoint", format!("`{name}` is set, but client certificates are not supported"));
        }
        let resource = variables.resource().unwrap_or_else(|message| {
            note("endpoint", message);
            Vec::new()
        });
        let ca_file = variables.exporter("CERTIFICATE").map(|(_, path)| path.into());
        let made = |url| Collector { url, headers, timeout, ca_file, compresses, resource };
        match wrong.is_empty() {
            true => Ok(url.map(made)),
            false => Err(wrong),
        }
    }

    /// Returns the variable that asks for a protocol other than OTLP over HTTP. It may be meant for another program.
    fn other_protocol(&self) -> Option<String> {
        let (variable, protocol) = self.variables.exporter("PROTOCOL")?;
        (protocol != "http/protobuf").then_some(variable)
    }

    /// Returns the reason for which no traces are exported although a variable names a collector.
    pub(crate) fn warning(&self) -> Option<String> {
        if self.endpoint.is_some() || self.variables.are_off() {
            return None;
        }
        self.variables.exporter("ENDPOINT")?;
        let variable = self.other_protocol()?;
        Some(format!(
            "`{variable}`: only `http/protobuf` is supported, so no traces are exported; set `otlp.endpoint` to the address for OTLP over HTTP"
        ))
    }

    fn url(&self) -> Result<Option<Url>, String> {
        match self.endpoint.as_deref() {
            Some("off") => return Ok(None),
            Some(own) => {
                let mut url = endpoint(own).map_err(|message| format!("expected {message}"))?;
                if !url.path().ends_with(ROUTE) {
                    add_route(&mut url);
                }
                return Ok(Some(url));
            }
            None => {}
        }
        let Some((name, text)) = self.variables.exporter("ENDPOINT") else { return Ok(None) };
        if self.variables.are_off() {
            return Ok(None);
        }
        if self.other_protocol().is_some() {
            return Ok(None);
        }
        let mut url = endpoint(text).map_err(|message| format!("`{name}`: expected {message}"))?;
        if !name.contains("_TRACES_") {
            add_route(&mut url);
        }
        Ok(Some(url))
    }

    fn time_limit(&self, variables: &Variables) -> Result<Duration, String> {
        let time = match (self.timeout, variables.exporter("TIMEOUT")) {
            (Some(own), _) => own,
            (None, Some((name, millis))) => {
                let millis = millis.trim().parse().map_err(|_| {
                    format!("`{name}`: expected milliseconds, a whole number such as `10000`")
                })?;
                Duration::from_millis(millis)
            }
            (None, None) => TIMEOUT,
        };
        match time.is_zero() {
            true => Err("must be more than 0".to_owned()),
            false => Ok(time),
        }
    }

    /// Returns the headers of the config, or else those of the variables. Messages never quote a value.
    fn header_map(&self, variables: &Variables) -> Result<HeaderMap, Wrong> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let key = format!("headers.{name}");
            let (name, value) =
                header(name, value.expose(), &[]).map_err(|message| (key, message))?;
            map.insert(name, value);
        }
        let Some((variable, list)) = variables.exporter("HEADERS") else { return Ok(map) };
        if !self.headers.is_empty() {
            return Ok(map);
        }
        let wrong = |message: String| ("headers".to_owned(), format!("`{variable}`: {message}"));
        for (name, value) in pairs(list).map_err(wrong)? {
            let (name, value) = header(&name, &value, &[]).map_err(wrong)?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// Reads the address of a collector. The message does not quote it, since it may hold a password.
fn endpoint(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "a URL such as `http://localhost:4318`";
    let url = address(text, EXPECTED)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{EXPECTED}, without query and fragment"));
    }
    Ok(url)
}

fn add_route(url: &mut Url) {
    let path = format!("{}{ROUTE}", url.path().trim_end_matches('/'));
    url.set_path(&path);
}

/// Reads a list such as `a=1,b=2` with percent-encoded values. Messages quote no value.
fn pairs(list: &str) -> Result<Vec<(String, String)>, String> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let read = |(n, entry): (usize, &str)| {
        let wrong = || {
            format!("expected a list such as `name=value,name=value`; entry {} is no pair", n + 1)
        };
        let (key, value) = entry.split_once('=').ok_or_else(wrong)?;
        let decode = |text: &str| {
            let text = percent_decode_str(text.trim()).decode_utf8();
            text.map(String::from).map_err(|_| wrong())
        };
        match decode(key)? {
            key if key.is_empty() => Err(wrong()),
            key => Ok((key, decode(value)?)),
        }
    };
    entries.enumerate().map(read).collect()
}

#[cfg(test)]
mod tests;
