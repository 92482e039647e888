//! Reads the text of a config into `Config`, and reports every problem.
use std::path::Path;

use crate::config::draft::Draft;
use crate::config::expand::{self, Lookup};
use crate::config::read::{self, Reader};
use crate::config::{Config, check, models_file};
use crate::disk;
use crate::error::Problem;

impl Config {
    /// Reads a file, with variables from the environment. Reports every problem, not only the first.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        Self::load_partly(path)?.whole()
    }

    /// Reads a file as far as possible; leaves wrong parts out.
    ///
    /// Fails only if there is no file, or if it is no mapping.
    pub fn load_partly(path: &Path) -> Result<Partly, Vec<Problem>> {
        let text = disk::text(path).map_err(|unread| {
            let Problem { path, message } = unread.at(path);
            vec![Problem::new(path, format!("{message}; name another with `--config`"))]
        })?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        let mut partly = Self::parse_partly(&text, base_dir, &expand::environment)?;
        partly.config.files.insert(0, path.to_owned());
        Ok(partly)
    }

    /// Reads a config from a text; its paths are relative to `base_dir`.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self, Vec<Problem>> {
        Self::parse_with(text, base_dir, &expand::environment)
    }

    /// Reads a config from a text, with variables from `lookup`.
    pub fn parse_with(text: &str, base_dir: &Path, lookup: &Lookup) -> Result<Self, Vec<Problem>> {
        Self::parse_partly(text, base_dir, lookup)?.whole()
    }

    fn parse_partly(text: &str, base_dir: &Path, lookup: &Lookup) -> Result<Partly, Vec<Problem>> {
        let root = read::yaml(text, "`providers` and `models`").map_err(|problem| vec![problem])?;
        let mut reader = Reader::new(root, base_dir, lookup);
        let mut draft = Draft::read(&mut reader);
        draft.config.otlp.set_defaults(lookup);
        let (mut problems, expansion) = reader.finish();
        problems.extend(check::problems(&draft));
        // the value of an unset variable is unknown: do not report its field as well
        let unset = &expansion.problems;
        problems.retain(|problem| unset.iter().all(|unset| unset.path != problem.path));
        problems.splice(0..0, unset.iter().cloned());
        let problems = problems.into_iter().map(|problem| check::redact(problem, &expansion));
        let mut problems: Vec<Problem> = problems.collect();
        let mut config = draft.finish(base_dir, expansion);
        let tables = [&config.models_file, &config.prices_file];
        let models = models_file::load(&tables.map(Option::as_deref), lookup);
        problems.extend(models.problems);
        config.files.extend(models.files);
        config.catalogue = models.catalogue;
        Ok(Partly { config, problems })
    }
}

/// A config and its problems.
pub struct Partly {
    /// The config without its wrong parts.
    pub config: Config,
    /// The problems; empty if the config is complete.
    pub problems: Vec<Problem>,
}

impl Partly {
    fn whole(self) -> Result<Config, Vec<Problem>> {
        if self.problems.is_empty() { Ok(self.config) } else { Err(self.problems) }
    }
}
