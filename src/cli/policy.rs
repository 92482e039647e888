//! `tidegate policy`: creates policies and copies shipped ones.
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::Config;
use crate::disk;
use crate::error::{Problem, Result};
use crate::policy::PoliciesConfig;
use crate::policy::folder;
use crate::policy::library::{self, Shipped};
use crate::policy::script::{self, Limits, ScriptEngine};

const POLICY: &str = include_str!("policy_template.rhai");
const CASES: &str = include_str!("policy_template.cases.yaml");

/// `tidegate policy new NAME`: creates a working policy with passing cases.
pub(crate) fn new(config: &Path, name: &str) -> ExitCode {
    let made = Folder::of(config).and_then(|own| {
        folder::check_name(name).map_err(|message| vec![Problem::new("", message)])?;
        let cases = CASES.replace("NAME", name);
        let paths = own.write(name, &POLICY.replace("NAME", name), Some(&cases))?;
        Ok((own, paths, Vec::new()))
    });
    print_next_steps(made, name)
}

/// `tidegate policy add NAME`: copies a shipped policy; without a name, lists all of them.
pub(crate) fn add(config: &Path, name: Option<&str>) -> ExitCode {
    let Some(name) = name else { return list() };
    let made = Folder::of(config).and_then(|folder| {
        let shipped = library::find(name).ok_or_else(|| vec![unknown(name)])?;
        let paths = folder.write(own_name(shipped), shipped.source, shipped.cases)?;
        let needs = needs(shipped, &folder.dir);
        Ok((folder, paths, needs))
    });
    print_next_steps(made, name.rsplit('/').next().unwrap_or(name))
}

/// Returns the required parameters of a policy; `policies` has the modules that it may import.
fn needs(shipped: &Shipped, policies: &Path) -> Vec<String> {
    let file = format!("{}.rhai", own_name(shipped));
    let engine = ScriptEngine::with_modules(Limits::default(), policies);
    let script = engine.and_then(|engine| engine.compile(Path::new(&file), shipped.source));
    let lacking = script.and_then(|script| script.with(&serde_json::Map::new()));
    let names = lacking.err().unwrap_or_default().into_iter();
    names.filter_map(|problem| Some(problem.path.strip_prefix('.')?.to_owned())).collect()
}

/// Returns the name of a copy. Only policies directly in the folder run, so it drops the library's folders.
fn own_name(shipped: &Shipped) -> &'static str {
    shipped.name.rsplit('/').next().unwrap_or_default()
}

fn list() -> ExitCode {
    let all = library::all();
    let width = all.iter().map(|shipped| shipped.name.len()).max().unwrap_or_default();
    let mut out = io::stdout().lock();
    let written = all
        .iter()
        .try_for_each(|shipped| writeln!(out, "{:width$}  {}", shipped.name, shipped.summary()));
    // a reader that closes early, such as `head`, is no reason to panic
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `tidegate policy defs`: prints the definitions for editors.
pub(crate) fn defs() -> ExitCode {
    match write!(io::stdout(), "{}", script::defs::definitions()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn unknown(name: &str) -> Problem {
    let names: Vec<&str> = library::all().iter().map(|shipped| shipped.name).collect();
    let nearest = library::nearest(name);
    let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is `{name}`"));
    let message =
        format!("no shipped policy is named `{name}`{nearest}; there are {}", names.join(", "));
    Problem::new("", message)
}

/// The folder of a config's policies.
struct Folder {
    dir: PathBuf,
    /// Whether the config lists its stages, so that a new file does not run by itself.
    has_order: bool,
}

impl Folder {
    /// Returns the config's folder, or `policies` here if there is no config.
    fn of(config: &Path) -> Result<Self, Vec<Problem>> {
        if !disk::exists(config).map_err(|unread| vec![unread.at(config)])? {
            return Ok(Self { dir: PoliciesConfig::default().dir, has_order: false });
        }
        let config = Config::load(config)?;
        Ok(Self { dir: config.policies.dir.clone(), has_order: config.pipeline.is_some() })
    }

    /// Writes a policy and its cases; fails without writing if either file exists.
    fn write(
        &self,
        name: &str,
        source: &str,
        cases: Option<&str>,
    ) -> Result<Vec<PathBuf>, Vec<Problem>> {
        let policy = self.dir.join(format!("{name}.rhai"));
        let texts = [(policy.clone(), Some(source)), (policy.with_extension("cases.yaml"), cases)];
        if let Some((path, _)) = texts.iter().find(|(path, _)| disk::exists(path) != Ok(false)) {
            let message = "already exists: move it away or choose another name";
            return Err(vec![Problem::new(path.display().to_string(), message)]);
        }
        fs::create_dir_all(&self.dir).map_err(|e| vec![unwritten(&self.dir, &e)])?;
        let mut written = Vec::new();
        for (path, text) in texts {
            let Some(text) = text else { continue };
            write_new(&path, text).map_err(|e| vec![unwritten(&path, &e)])?;
            written.push(path);
        }
        Ok(written)
    }

    /// Prints the written files and the next steps.
    fn next_steps(&self, written: &[PathBuf], name: &str, needs: &[String]) -> io::Result<()> {
        // a reader that closes early, such as `head`, is no reason to panic
        let mut out = io::stdout().lock();
        written.iter().try_for_each(|path| writeln!(out, "wrote {}", path.display()))?;
        let dir = self.dir.display();
        let with = match needs {
            [] => String::new(),
            needs => format!(", with: {{ {}: … }}", needs.join(": …, ")),
        };
        match (self.has_order, needs) {
            (true, _) => writeln!(
                out,
                "\nit runs once `pipeline:` names it:\n  - {{ policy: {name}{with} }}"
            )?,
            (false, []) => {
                writeln!(
                    out,
                    "\nit runs for every request; a running gateway loads it within a second"
                )?;
            }
            (false, _) => {
                writeln!(
                    out,
                    "\nit needs parameters, so the config must list the stages, including this one; until then no change takes effect:\npipeline:\n  - {{ policy: {name}{with} }}"
                )?;
            }
        }
        writeln!(out, "\ntry it:\n  tidegate test {dir} --watch")?;
        writeln!(out, "  tidegate eval {dir}/{name}.rhai --request body.json\n  tidegate check")
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn unwritten(path: &Path, error: &io::Error) -> Problem {
    Problem::new(path.display().to_string(), format!("cannot be written: {error}"))
}

/// The folder, the files that were written in it, and the required parameters.
type Made = (Folder, Vec<PathBuf>, Vec<String>);

fn print_next_steps(made: Result<Made, Vec<Problem>>, name: &str) -> ExitCode {
    let (folder, paths, needs) = match made {
        Ok(made) => made,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    match folder.next_steps(&paths, name, &needs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
