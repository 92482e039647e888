//! `tidegate eval`: runs policies over a request and an answer, and prints each stage.
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::cli::eval_show::{self as eval_show, Printer};
use crate::cli::show::Paint;
use crate::config::Config;
use crate::disk;
use crate::error::{Problem, Result};
use crate::gateway::Gateway;
use crate::gateway::shared::Shared;
use crate::policy::library;
use crate::policy::script::{Clock, Limits, Script};
use crate::policy::trial::run::{Client, Followed, Given, Input, is_breakage};
use crate::policy::trial::{self, run};
use crate::policy::{Passage, Pipeline};
use crate::wire::{Endpoint, Event, MessagesRequest};

/// The policies to try, and their input.
#[derive(clap::Args)]
pub(crate) struct Trial {
    /// The policies in order: files, or names of shipped ones. Without any, the config's pipeline runs.
    policies: Vec<PathBuf>,
    /// The body of a request; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// A header of the request, `name: value`.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// The name of the caller's key.
    #[arg(long, value_name = "NAME", default_value = "")]
    key: String,
    /// A tag of the caller's key, `name=value`.
    #[arg(long, value_name = "NAME=VALUE", value_parser = tag)]
    tag: Vec<(String, String)>,
    /// The parameters of the policies named here: `ctx.with`.
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = parameters)]
    with: Parameters,
    /// The target of an attempt, `provider/model`: also runs the hooks before the attempt.
    #[arg(long, value_name = "PROVIDER/MODEL")]
    target: Option<String>,
    /// A message as the answer: also runs the hooks over answers.
    #[arg(long, value_name = "FILE", conflicts_with = "stream")]
    response: Option<PathBuf>,
    /// SSE text as a streamed answer: also runs the hooks over answers.
    #[arg(long, value_name = "FILE")]
    stream: Option<PathBuf>,
    /// The time that policies read, such as `2026-12-24T18:00:00Z`; if absent, the system's.
    #[arg(long, value_name = "TIME", default_value = "", hide_default_value = true, value_parser = clock)]
    now: Clock,
}

/// `ctx.with`.
#[derive(Debug, Clone)]
struct Parameters(Map<String, Value>);

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `name: value`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|e| e.to_string())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|e| e.to_string())?;
    Ok((name, value))
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parameters(text: &str) -> Result<Parameters, String> {
    let parameters = serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))?;
    Ok(Parameters(parameters))
}

fn clock(text: &str) -> Result<Clock, String> {
    if text.is_empty() { Ok(Clock::System) } else { Clock::at(text) }
}

/// Prints each step on standard output. Exits 1 if a policy failed or nothing could be tried.
pub(crate) fn run(config: &Path, trial: &Trial) -> ExitCode {
    let logs = eval_show::capture_logs();
    let shown = Printer { paint: Paint::of_stdout(), logs };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(trial.run(config, &shown)),
        Err(error) => Err(vec![Problem::new("", format!("cannot start: {error}"))]),
    };
    match done {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        Err(problems) => {
            for problem in problems {
                eprint!("{}", eval_show::problem(&problem));
            }
            ExitCode::FAILURE
        }
    }
}

/// The result of a trial.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// No policy failed.
    Well,
    /// A policy failed.
    Failed,
}

impl Trial {
    async fn run(&self, config: &Path, shown: &Printer) -> Result<Ended, Vec<Problem>> {
        let body = read(&self.request)?;
        let request = MessagesRequest::parse(body, Endpoint::Messages)
            .map_err(|e| vec![Problem::new(self.request.display().to_string(), e.message)])?;
        let answer = self.answer()?;
        let pipeline = self.pipeline(config).await?;
        let ctx = Arc::new(self.client().context(&request));
        let is_broken = Arc::new(AtomicBool::new(false));
        let watch = shown.watch(Arc::clone(&is_broken));
        let passage = Passage::on_trial(&pipeline, &ctx, self.now, watch);
        if pipeline.stage_names().is_empty() {
            shown.say("no policies to run: name one, or a config that has some");
        }
        let ran = run::run(&passage, Input { request, target: self.target.clone(), answer }).await;
        if let Some(message) = &ran.reworded {
            shown.reworded(message);
        }
        let ended = ran.answer.map_or(Ended::Well, |followed| follow(&followed, shown));
        shown.logged();
        Ok(if is_broken.load(Ordering::Relaxed) { Ended::Failed } else { ended })
    }

    fn answer(&self) -> Result<Option<Given>, Vec<Problem>> {
        Ok(match (&self.response, &self.stream) {
            (Some(path), _) => Some(Given::Message(read(path)?)),
            (None, Some(path)) => Some(Given::Stream(events(path)?)),
            (None, None) => None,
        })
    }

    async fn pipeline(&self, config: &Path) -> Result<Arc<Pipeline>, Vec<Problem>> {
        if self.policies.is_empty() {
            let config = Config::load(config)?;
            let shared = Arc::new(Shared::new(1, None)?);
            let gateway = Gateway::build(&config, 1, &shared).await?;
            return Ok(Arc::clone(&gateway.pipeline));
        }
        let mut scripts = Vec::new();
        let mut problems = Vec::new();
        for path in &self.policies {
            match compiled(path) {
                Ok(script) => scripts.push(script),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Arc::new(trial::pipeline_of(scripts, &self.with.0)?))
    }

    fn client(&self) -> Client {
        Client {
            key: self.key.clone(),
            tags: self.tag.iter().cloned().collect(),
            headers: self.header.iter().cloned().collect(),
        }
    }
}

/// Prints an answer that went through the stages.
fn follow(followed: &Followed, shown: &Printer) -> Ended {
    let Followed { before, after, took, failure } = followed;
    shown.answer(&eval_show::text(before), &eval_show::text(after), *took);
    let Some(error) = failure else { return Ended::Well };
    shown.failure(error);
    // a denial is a decision; its kind differs from that of a failure
    if is_breakage(error) { Ended::Failed } else { Ended::Well }
}

fn events(path: &Path) -> Result<Vec<Event>, Vec<Problem>> {
    let text = read(path)?;
    trial::events(&String::from_utf8_lossy(&text))
        .map_err(|e| vec![Problem::new(path.display().to_string(), e.message)])
}

fn read(path: &Path) -> Result<Bytes, Vec<Problem>> {
    let unreadable = |e: io::Error| {
        vec![Problem::new(path.display().to_string(), format!("cannot be read: {e}"))]
    };
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok(bytes.into());
    }
    fs::read(path).map(Bytes::from).map_err(unreadable)
}

/// Compiles a policy with the modules of its folder. A file takes precedence over a shipped policy.
fn compiled(path: &Path) -> Result<Script, Vec<Problem>> {
    let at_path = |unread: disk::Unread| vec![unread.at(path)];
    let is_file = disk::exists(path).map_err(at_path)?;
    let shipped = path.to_str().filter(|_| !is_file).and_then(library::find);
    if let Some(shipped) = shipped {
        let path = path.with_extension("rhai");
        return trial::compiled(&path, shipped.source, Path::new(""), Limits::default());
    }
    let source = disk::text(path).map_err(at_path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    trial::compiled(path, &source, folder, Limits::default())
}
