//! `tidegate import`: writes a config from the file of another gateway, and reports each part that it could not carry.
mod advice;
mod aliases;
mod convert;
mod deployment;
mod emit;
mod fallbacks;
mod files;
mod globals;
mod node;
mod notes;
mod provider;
mod router;
mod rules;
mod section;
mod vendors;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Table};
use crate::cli::check;
use crate::cli::import::convert::{Conversion, Written};
use crate::cli::import::notes::{Notes, Variable};
use crate::config::{Config, expand};
use crate::error::Problem;

#[derive(Subcommand)]
pub(crate) enum ImportCommand {
    /// Writes a `tidegate.yaml` from the config of a LiteLLM proxy, and prints each part that it could not carry.
    Litellm(Litellm),
}

/// The file to read, and the file to write.
#[derive(Args)]
pub(crate) struct Litellm {
    /// The config of LiteLLM; files that it names under `include` are read too.
    file: PathBuf,
    /// The file to write. Prices and limits of models go to a file beside it, `NAME-models.yaml`.
    #[arg(long, value_name = "FILE", default_value = "tidegate.yaml")]
    out: PathBuf,
    /// Overwrites files that exist.
    #[arg(long)]
    force: bool,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

/// The end of an import that wrote its files.
struct Report<'a> {
    files: Vec<PathBuf>,
    written: &'a Written,
    notes: &'a Notes,
    variables: BTreeMap<String, Variable>,
    problems: Vec<Problem>,
}

impl ImportCommand {
    /// Runs the command.
    pub(crate) fn run(&self) -> ExitCode {
        let Self::Litellm(command) = self;
        match command.import() {
            Ok(code) => code,
            Err(problem) => {
                eprintln!("{problem}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Litellm {
    fn import(&self) -> Result<ExitCode, Problem> {
        let root = convert::read(&self.file)?;
        let notes = Notes::default();
        let catalogue = Catalogue::build(&Table::default()).map_err(|mut problems| {
            problems.pop().unwrap_or_else(|| Problem::new("", "no table of models"))
        })?;
        let models = self.models_file();
        let models_name = models.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let conversion = Conversion {
            root: &root,
            source: &source,
            models_name: &models_name,
            notes: &notes,
            known: &|model| known(&catalogue, model),
        };
        let written = conversion.run();
        let mut files = vec![(self.out.clone(), written.config.as_str())];
        // the config names the file of models, so that one comes first
        files.extend(written.models_file.as_deref().map(|text| (models, text)));
        files.reverse();
        files::write(
            &files,
            if self.force { files::Existing::Replace } else { files::Existing::Keep },
        )?;
        let variables = notes.variables(&written.config);
        let problems = checked(&self.out, &written.config, &variables).err().unwrap_or_default();
        let files = files.into_iter().rev().map(|(path, _)| path).collect();
        let report = Report { files, written: &written, notes: &notes, variables, problems };
        let text = match self.format {
            Form::Text => report.text(),
            Form::Json => format!("{:#}\n", report.json()),
        };
        // a reader that closes early, such as `head`, is no reason to panic
        let is_printed = io::stdout().write_all(text.as_bytes()).is_ok();
        let is_good = is_printed && report.problems.is_empty();
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn models_file(&self) -> PathBuf {
        let stem = self.out.file_stem().unwrap_or_default().to_string_lossy();
        self.out.with_file_name(format!("{stem}-models.yaml"))
    }
}

/// Returns the name of a model in the bundled table, and its provider if the name alone is not enough.
fn known(catalogue: &Catalogue, model: &str) -> Option<(String, Option<String>)> {
    let row = catalogue.find(None, model)?;
    let is_single = catalogue.rows().iter().filter(|other| other.id == row.id).count() == 1;
    Some((row.id.clone(), (!is_single).then(|| row.provider.clone())))
}

/// Builds everything that `serve` would. Variables that are not set have a value of the right form meanwhile.
fn checked(
    out: &Path,
    text: &str,
    variables: &BTreeMap<String, Variable>,
) -> Result<(), Vec<Problem>> {
    let lookup = |name: &str| {
        let sample = || variables.get(name).map(|variable| OsString::from(&variable.sample));
        expand::environment(name).filter(|value| !value.is_empty()).or_else(sample)
    };
    let base_dir = out.parent().unwrap_or(Path::new(""));
    let config = Config::parse_with(text, base_dir, &lookup)?;
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    check::build(&config)
}

/// Returns the state of a variable in this environment.
fn state(name: &str, variable: &Variable) -> &'static str {
    match expand::environment(name).filter(|value| !value.is_empty()) {
        None => "not set",
        Some(value) if variable.differs(&value) => "set, and not to the value of the file",
        Some(_) => "set",
    }
}

fn is_set(name: &str) -> bool {
    expand::environment(name).is_some_and(|value| !value.is_empty())
}

impl Report<'_> {
    fn text(&self) -> String {
        let remarks = self.notes.remarks();
        let mut lines: Vec<String> = remarks.iter().map(ToString::to_string).collect();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let Written { providers, aliases, .. } = self.written;
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        lines.push(format!(
            "wrote {}: providers: {providers}, models: {aliases}, parts not carried or carried with a difference: {}",
            files.join(" and "),
            remarks.len()
        ));
        if !self.variables.is_empty() {
            lines.push("variables that it needs:".to_owned());
        }
        lines.extend(
            self.variables
                .iter()
                .map(|(name, variable)| variable.line(name, state(name, variable))),
        );
        let unset = self.variables.keys().filter(|name| !is_set(name)).count();
        let with = match unset {
            0 => "",
            _ => ", with a placeholder for each variable that is not set",
        };
        match self.problems.len() {
            0 => lines.push(format!("check: ok{with}")),
            count => {
                lines.push(format!("check: {count} to mend in {}{with}:", self.files[0].display()));
                lines.extend(self.problems.iter().map(|problem| format!("  {problem}")));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let variables =
            self.variables.iter().map(|(name, variable)| variable.json(name, is_set(name)));
        let problems = self
            .problems
            .iter()
            .map(|problem| json!({ "path": problem.path, "message": problem.message }));
        json!({
            "files": self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
            "providers": self.written.providers,
            "models": self.written.aliases,
            "remarks": self.notes.remarks().iter().map(notes::Remark::json).collect::<Vec<_>>(),
            "variables": variables.collect::<Vec<_>>(),
            "problems": problems.collect::<Vec<_>>(),
        })
    }
}
