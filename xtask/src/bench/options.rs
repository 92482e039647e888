//! The options of `cargo xtask bench`.
use std::path::PathBuf;
use std::str::FromStr;

use super::scenario;

pub const USAGE: &str = "\
usage: cargo xtask bench [OPTIONS]

  --rounds N       runs of each server in each scenario, in turns (5)
  --seconds S      length of a run (2)
  --only NAME      this scenario only; may be given several times
  --gateway PATH   measure this gateway binary instead of building one
  --policies DIR   the policies of scenario `policies`, instead of three small ones
  --plugins DIR    the plugins of scenario `policies`, instead of one small hook
  --only-nginx     leave the gateway out
  --debug          with debug builds: to try the benchmark itself, the figures mean nothing
  --write          put the tables into benches/README.md

`--only` knows: small-1 small-16 small-64 100k 1m stream-64 stream-1000 paced policies
team translated translated-100k translated-64 loop layer plugins";

/// The options of the command line.
pub struct Options {
    /// The runs of each server in each scenario.
    pub rounds: usize,
    /// The length of a run.
    pub seconds: f64,
    /// The names of scenarios; empty for all.
    only: Vec<String>,
    /// An existing gateway binary.
    pub gateway: Option<PathBuf>,
    /// The policies of the scenario with stages.
    pub policies: Option<PathBuf>,
    /// The plugins of the scenario with stages.
    pub plugins: Option<PathBuf>,
    /// Whether nginx runs alone, without a gateway.
    pub is_nginx_alone: bool,
    /// Whether debug builds are used.
    pub is_debug: bool,
    /// Whether the tables are written to the README.
    pub is_written: bool,
}

impl Options {
    /// Parses the options. Returns `None` for `--help`.
    pub fn parse(given: &[String]) -> Result<Option<Self>, String> {
        let mut options = Self {
            rounds: 5,
            seconds: 2.0,
            only: Vec::new(),
            gateway: None,
            policies: None,
            plugins: None,
            is_nginx_alone: false,
            is_debug: false,
            is_written: false,
        };
        let mut rest = given.iter();
        while let Some(name) = rest.next() {
            match name.as_str() {
                "--rounds" => options.rounds = value(name, rest.next())?,
                "--seconds" => options.seconds = value(name, rest.next())?,
                "--only" => options.only.push(value(name, rest.next())?),
                "--gateway" => options.gateway = Some(directory(name, rest.next())?),
                "--policies" => options.policies = Some(directory(name, rest.next())?),
                "--plugins" => options.plugins = Some(directory(name, rest.next())?),
                "--only-nginx" => options.is_nginx_alone = true,
                "--debug" => options.is_debug = true,
                "--write" => options.is_written = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("`{name}` is unknown; `--help` lists the options")),
            }
        }
        options.check()?;
        Ok(Some(options))
    }

    /// Returns the folder of cargo's output, below its target directory.
    pub fn profile(&self) -> &'static str {
        if self.is_debug { "debug" } else { "release" }
    }

    /// Returns whether this scenario is selected.
    pub fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario)
    }

    fn check(&self) -> Result<(), String> {
        let scenarios = scenario::ALL.iter().map(|scenario| scenario.name);
        let known: Vec<&str> = scenarios.chain(["layer", "plugins"]).collect();
        if let Some(name) = self.only.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("no scenario is named `{name}`; there are {}", known.join(", ")));
        }
        if self.rounds == 0 || !(0.1..=600.0).contains(&self.seconds) {
            return Err("`--rounds` is at least 1, `--seconds` between 0.1 and 600".to_owned());
        }
        let is_partial = !self.only.is_empty() || self.is_nginx_alone || self.is_debug;
        if self.is_written && is_partial {
            let needs = "no `--only`, no `--only-nginx`, no `--debug`";
            return Err(format!("`--write` needs the whole table: {needs}"));
        }
        Ok(())
    }
}

fn value<T: FromStr>(name: &str, given: Option<&String>) -> Result<T, String> {
    let given = given.ok_or_else(|| format!("`{name}` needs a value"))?;
    given.parse().map_err(|_| format!("`{name} {given}`: this value will not do"))
}

/// Returns an absolute path, because the servers run in a folder of their own.
fn directory(name: &str, given: Option<&String>) -> Result<PathBuf, String> {
    let path: PathBuf = value(name, given)?;
    path.canonicalize().map_err(|error| format!("`{name} {}`: {error}", path.display()))
}
