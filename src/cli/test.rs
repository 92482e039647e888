//! `tidegate test`: runs the cases beside the policies.
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;
use crate::policy::cases;
use crate::policy::script::{Limits, Script, ScriptEngine};

/// What follows a policy's name in the name of its cases.
const CASES: &str = ".cases.yaml";

/// Runs the cases in `dirs`, or in the folder of policies that the config names and its `library`.
pub fn command(config: &Path, dirs: &[PathBuf]) -> ExitCode {
    let dirs = match dirs {
        [] => match Config::load(config) {
            Ok(config) => own_folders(&config.policies.dir),
            Err(problems) => {
                for problem in problems {
                    eprintln!("{problem}");
                }
                return ExitCode::FAILURE;
            }
        },
        dirs => dirs.to_vec(),
    };
    let failed = dirs.iter().filter(|dir| !run(dir, &mut io::stdout())).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn own_folders(dir: &Path) -> Vec<PathBuf> {
    let library = Some(dir.join("library")).filter(|library| library.is_dir());
    std::iter::once(dir.to_owned()).chain(library).collect()
}

/// Runs every `*.cases.yaml` in `dir` and tells of each case on `out`; compiles the policies that
/// have none. Whether all was well; a test run that cannot be read or told is not.
pub fn run(dir: &Path, out: &mut dyn Write) -> bool {
    let mut tally = Tally::default();
    match tally.run(dir, out) {
        Ok(()) => tally.failed == 0,
        Err(_) => false,
    }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn run(&mut self, dir: &Path, out: &mut dyn Write) -> io::Result<()> {
        let (policies, cases) = match files(dir) {
            Ok(found) => found,
            Err(error) => {
                self.failed += 1;
                return writeln!(out, "{}: cannot be read: {error}", dir.display());
            }
        };
        // cases must not fail because a machine is busy: operations bound them as they do requests
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
        writeln!(out, "{} passed, {} failed", self.passed, self.failed)
    }

    fn policy(
        &mut self,
        engine: &ScriptEngine,
        path: &Path,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let source = match std::fs::read_to_string(path) {
            Ok(source) => source,
            Err(error) => {
                self.failed += 1;
                return writeln!(out, "{}: cannot be read: {error}", path.display());
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
        let yaml = match std::fs::read_to_string(path) {
            Ok(yaml) => yaml,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return writeln!(out, "{}: no cases", script.name());
            }
            Err(error) => {
                self.failed += 1;
                return writeln!(out, "{}: cannot be read: {error}", path.display());
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
            match result.failure {
                None => {
                    self.passed += 1;
                    writeln!(out, "ok    {name}: {}", result.name)?;
                }
                Some(failure) => {
                    self.failed += 1;
                    writeln!(out, "FAIL  {name}: {}", result.name)?;
                    failure.lines().try_for_each(|line| writeln!(out, "      {line}"))?;
                }
            }
        }
        Ok(())
    }
}

/// The policies and the cases in a folder, each in name order.
fn files(dir: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut policies = Vec::new();
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rhai") {
            policies.push(path);
        } else if name.ends_with(CASES) {
            cases.push(path);
        }
    }
    policies.sort();
    cases.sort();
    Ok((policies, cases))
}

fn policy_of(cases: &Path) -> PathBuf {
    let name = cases.file_name().unwrap_or_default().to_string_lossy();
    cases.with_file_name(format!("{}.rhai", name.trim_end_matches(CASES)))
}
