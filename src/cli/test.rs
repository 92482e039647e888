//! `tidegate test`: runs the cases beside the policies.
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::cli::rerun;
use crate::cli::show::Paint;
use crate::config::Config;
use crate::disk;
use crate::error::{Problem, Result};
use crate::policy::PoliciesConfig;
use crate::policy::cases::{self, CaseResult, Difference};
use crate::policy::script::{Limits, Script, ScriptEngine};

/// The end of the name of a file of cases, after the policy's name.
const CASES: &str = ".cases.yaml";

/// When the cases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Now.
    Once,
    /// Now, and after each change of a policy or a case, until the process is stopped.
    Always,
}

/// Runs the cases in `dirs`, or in the config's folder of policies and its `library`.
pub fn command(config: &Path, dirs: &[PathBuf], when: When) -> ExitCode {
    let dirs = match dirs {
        [] => folders(config),
        dirs => Ok(dirs.to_vec()),
    };
    let dirs = match dirs {
        Ok(dirs) => dirs,
        Err(problems) => {
            for problem in problems {
                eprintln!("{problem}");
            }
            return ExitCode::FAILURE;
        }
    };
    let paint = Paint::of_stdout();
    let run = || run_all(&dirs, paint, &mut io::stdout());
    match when {
        When::Once if run() => ExitCode::SUCCESS,
        When::Once => ExitCode::FAILURE,
        When::Always => rerun::on_changes(&dirs, run),
    }
}

/// Returns the folder of the config's policies, and its `library` if there is one.
fn folders(config: &Path) -> Result<Vec<PathBuf>, Vec<Problem>> {
    let is_there = |path: &Path| disk::exists(path).map_err(|unread| vec![unread.at(path)]);
    let usual = PoliciesConfig::default().dir;
    // a user without a config has policies here, where `policy new` puts them
    let dir = match !is_there(config)? && is_there(&usual)? {
        true => usual,
        false => Config::load(config)?.policies.dir,
    };
    let library = dir.join("library");
    Ok(match is_there(&library)? {
        true => vec![dir, library],
        false => vec![dir],
    })
}

/// Runs every `*.cases.yaml` in `dir` and prints each case on `out`. Compiles policies without cases.
/// Returns whether everything passed; unreadable files and failed output count as failures.
pub fn run(dir: &Path, out: &mut dyn Write) -> bool {
    run_all(&[dir.to_owned()], Paint::Plain, out)
}

fn run_all(dirs: &[PathBuf], paint: Paint, out: &mut dyn Write) -> bool {
    let mut tally = Tally { paint, passed: 0, failed: 0 };
    let written = dirs.iter().try_for_each(|dir| tally.run(dir, out)).and_then(|()| tally.sum(out));
    written.is_ok() && tally.failed == 0
}

struct Tally {
    paint: Paint,
    passed: usize,
    failed: usize,
}

impl Tally {
    fn sum(&self, out: &mut dyn Write) -> io::Result<()> {
        let sum = format!("{} passed, {} failed", self.passed, self.failed);
        let sum = if self.failed == 0 { self.paint.good(&sum) } else { self.paint.bad(&sum) };
        writeln!(out, "{sum}")
    }

    fn run(&mut self, dir: &Path, out: &mut dyn Write) -> io::Result<()> {
        let (policies, cases) = match files(dir) {
            Ok(found) => found,
            Err(problem) => {
                self.failed += 1;
                return writeln!(out, "{problem}");
            }
        };
        // cases must not fail because a machine is busy: operations bound them as they bound requests
        let limits = Limits { time: Duration::from_secs(5), ..Limits::default() };
        let engine = match ScriptEngine::with_modules(limits, dir) {
            Ok(engine) => engine,
            Err(problems) => {
                self.failed += 1;
                return problems.iter().try_for_each(|problem| writeln!(out, "{problem}"));
            }
        };
        for path in &policies {
            self.policy(&engine, path, out)?;
        }
        for path in cases {
            let policy = policy_of(&path);
            if !policies.contains(&policy) {
                self.failed += 1;
                writeln!(out, "{}: there is no policy `{}`", path.display(), policy.display())?;
            }
        }
        Ok(())
    }

    fn policy(
        &mut self,
        engine: &ScriptEngine,
        path: &Path,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let source = match disk::text(path) {
            Ok(source) => source,
            Err(unread) => {
                self.failed += 1;
                return writeln!(out, "{}", unread.at(path));
            }
        };
        match engine.compile(path, &source) {
            Ok(script) => self.cases(&script, &path.with_extension(&CASES[1..]), out),
            Err(problems) => {
                self.failed += 1;
                problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))
            }
        }
    }

    fn cases(&mut self, script: &Script, path: &Path, out: &mut dyn Write) -> io::Result<()> {
        if disk::exists(path) == Ok(false) {
            return writeln!(out, "{}: no cases", script.name());
        }
        let yaml = match disk::text(path) {
            Ok(yaml) => yaml,
            Err(unread) => {
                self.failed += 1;
                return writeln!(out, "{}", unread.at(path));
            }
        };
        let results = match cases::run_cases(script, &yaml, path) {
            Ok(results) => results,
            Err(problem) => {
                self.failed += 1;
                return writeln!(out, "{problem}");
            }
        };
        for result in results {
            let name = script.name();
            if result.differences.is_empty() {
                self.passed += 1;
                writeln!(out, "{}    {name}: {}", self.paint.good("ok"), result.name)?;
            } else {
                self.failed += 1;
                self.failure(name, path, &result, out)?;
            }
        }
        Ok(())
    }

    fn failure(
        &self,
        name: &str,
        path: &Path,
        result: &CaseResult,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let place = self.paint.faint(&format!("({}:{})", path.display(), result.line));
        let title = self.paint.strong(&format!("{name}: {}", result.name));
        writeln!(out, "{}  {title}  {place}", self.paint.bad("FAIL"))?;
        let shown: String =
            result.differences.iter().map(|found| shown(found, self.paint)).collect();
        shown.lines().try_for_each(|line| writeln!(out, "      {line}"))
    }
}

/// Returns a difference on its own lines; for texts of several lines, only the lines that differ.
fn shown(difference: &Difference, paint: Paint) -> String {
    let Difference { place, expected, found } = difference;
    let (place, indent) = match place.as_str() {
        "" => (String::new(), ""),
        place => (format!("{}\n", paint.strong(place)), "  "),
    };
    if let (Some(expected), Some(found)) = (lines(expected), lines(found)) {
        let diff = paint.diff(&expected, &found);
        let head = paint.faint("  - expected, + found");
        return format!("{place}{head}\n{diff}");
    }
    let (expected, found) = (paint.good(expected), paint.bad(found));
    format!("{place}{indent}expected  {expected}\n{indent}found     {found}\n")
}

/// Returns the text of a JSON string, if it has several lines.
fn lines(json: &str) -> Option<String> {
    let value: Value = serde_json::from_str(json).ok()?;
    value.as_str().filter(|text| text.contains('\n')).map(|text| format!("{text}\n"))
}

/// Returns the policies and the files of cases in a folder, each in name order.
fn files(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Problem> {
    let mut policies = Vec::new();
    let mut cases = Vec::new();
    let entries = disk::entries(dir).map_err(|unread| unread.at(dir))?;
    let missing =
        || Problem::new(dir.display().to_string(), "cannot be read: there is no such folder");
    for path in entries.ok_or_else(missing)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // hidden files belong to editors
        if name.starts_with('.') {
            continue;
        }
        if name.ends_with(".rhai") {
            policies.push(path);
        } else if name.ends_with(CASES) {
            cases.push(path);
        }
    }
    Ok((policies, cases))
}

fn policy_of(cases: &Path) -> PathBuf {
    let name = cases.file_name().unwrap_or_default().to_string_lossy();
    cases.with_file_name(format!("{}.rhai", name.trim_end_matches(CASES)))
}
