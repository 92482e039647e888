//! `otlp.intake`, the collector that gets the telemetry of clients.
use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::Secret;
use crate::telemetry::intake::shape::Signal;
use crate::telemetry::post::{address, header};

/// `otlp.intake`
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// The address of a collector that speaks OTLP over HTTP; `/v1/metrics`, `/v1/logs` or `/v1/traces` is added.
    pub endpoint: String,
    /// The headers of each request, such as `authorization`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", default)]
    pub headers: BTreeMap<String, Secret>,
    /// The kinds that are relayed: `metrics`, `logs`, `traces`. Others are taken and dropped. Logs and traces of Claude Code
    /// may have commands and paths of files.
    #[serde(default = "metrics")]
    pub signals: Vec<Signal>,
    /// The time in which the collector must answer.
    #[serde(default = "timeout", with = "crate::wire::duration")]
    #[schemars(with = "String", default = "timeout_text")]
    pub timeout: Duration,
}

/// The way of one kind of telemetry.
pub(super) struct Relay {
    pub(super) signal: Signal,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
}

impl IntakeConfig {
    /// Returns the way of each kind.
    ///
    /// Fails with each wrong value: its key below `otlp.intake`, and a message without the value of a header.
    pub(super) fn relays(&self) -> Result<Vec<Relay>, Vec<(String, String)>> {
        const EXPECTED: &str = "expected a URL such as `http://localhost:4318`";
        let mut wrong = Vec::new();
        let mut base = None;
        match address(&self.endpoint, EXPECTED) {
            Ok(url) if url.query().is_none() && url.fragment().is_none() => base = Some(url),
            Ok(_) => {
                wrong.push(("endpoint".into(), format!("{EXPECTED}, without query and fragment")));
            }
            Err(message) => wrong.push(("endpoint".into(), message)),
        }
        if self.timeout.is_zero() {
            wrong.push(("timeout".into(), "must be more than 0".to_owned()));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            match header(name, value.expose(), &[]) {
                Ok((name, value)) => {
                    headers.insert(name, value);
                }
                Err(message) => wrong.push((format!("headers.{name}"), message)),
            }
        }
        let Some(base) = base.filter(|_| wrong.is_empty()) else { return Err(wrong) };
        let relay = |signal: &Signal| {
            let mut url = base.clone();
            let path = format!("{}/v1/{}", base.path().trim_end_matches('/'), signal.as_str());
            url.set_path(&path);
            Relay { signal: *signal, url, headers: headers.clone(), timeout: self.timeout }
        };
        Ok(self.signals.iter().map(relay).collect())
    }

    /// Returns each wrong value: its key below `otlp.intake`, and a message without the value of a header.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        self.relays().err().unwrap_or_default()
    }
}

fn metrics() -> Vec<Signal> {
    vec![Signal::Metrics]
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn timeout_text() -> String {
    "10s".to_owned()
}
