//! Scripts: compiled once a generation, run within limits on the thread of the request.
pub(super) mod answer;
pub mod api;
pub(super) mod check;
mod codec;
pub mod defs;
mod error;
mod fields;
mod json;
mod libraries;
mod lint;
mod lists;
pub mod modules;
mod names;
mod parse;
mod properties;
mod regex;
mod run;
mod strings;
mod text;
mod time;
mod value;
mod verbs;
mod with;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use rhai::packages::Package as _;
use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, FuncArgs, Scope, Token};
use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::policy::script::answer::Content;
use crate::policy::script::api::{Ctx, State, With};
use crate::policy::script::error::{self as errors, Modules, Source};
use crate::policy::script::lint::Known;
use crate::policy::script::modules::{Library, MAX_IMPORTS};
use crate::policy::script::run::{Asked, Run, Stop};
use crate::policy::script::value::Shared;
use crate::policy::script::with::Parameters;
use crate::policy::{Hook, Hooks, Outcome, Verdict};
use crate::wire::{Document, Reply, Step};

/// How much a script may use; one that wants more ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations of one call of a hook.
    pub operations: u64,
    /// The time of one call of a hook.
    pub time: Duration,
    /// Calls within calls.
    pub call_depth: usize,
    /// Expressions and blocks within each other.
    pub expression_depth: usize,
    /// Bytes of a string, and of all strings of an array or map together.
    pub string_bytes: usize,
    /// Elements of an array, those of inner ones included.
    pub array_items: usize,
    /// Entries of a map, those of inner ones included.
    pub map_entries: usize,
    /// Variables at a time.
    pub variables: usize,
}

/// The stack that a thread needs to run scripts. Closures may hold closures, and Rhai takes such a
/// chain apart level by level: as many levels as the limit of operations allows fit in here. Memory
/// is only what is really used of it.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1_000_000,
            time: Duration::from_millis(50),
            call_depth: 32,
            expression_depth: 32,
            // any string of a body fits: it may be read, but hardly be doubled
            string_bytes: 32 * 1024 * 1024,
            // inner ones count: deeper nesting would overflow the stack where Rhai walks a value
            array_items: 2_000,
            map_entries: 1_000,
            variables: 256,
        }
    }
}

/// What compiles scripts: one Rhai engine for all scripts of a generation. Making it costs some
/// 200 µs, so where there is no policy, make none.
#[derive(Clone)]
pub struct ScriptEngine {
    engine: Arc<Engine>,
    known: Arc<Known>,
    limits: Limits,
    modules: Modules,
}

impl ScriptEngine {
    /// An engine whose scripts run within these limits, and import nothing.
    pub fn new(limits: Limits) -> Self {
        let engine = engine(&limits);
        let known = Arc::new(Known::of(&engine));
        Self { engine: Arc::new(engine), known, limits, modules: Arc::default() }
    }

    /// An engine whose scripts may import the modules of a policies folder (`lib/*.rhai`), and those
    /// that are built in. They are read and compiled now.
    ///
    /// The problems name file, line and column.
    pub fn with_modules(limits: Limits, policies: &Path) -> Result<Self, Vec<Problem>> {
        let mut engine = engine(&limits);
        let known = Known::of(&engine);
        let library = Library::read(policies)?;
        let (known, modules) = library.compile(&mut engine, &parser(&limits), known)?;
        Ok(Self { engine: Arc::new(engine), known: Arc::new(known), limits, modules })
    }

    /// Compiles a policy. `path` is what messages show, its file name is the policy's name.
    ///
    /// The problems name file, line and column.
    pub fn compile(&self, path: &Path, source: &str) -> Result<Script, Vec<Problem>> {
        let source = Source::new(path, source).importing(&self.modules);
        let outside = check::outside(&parser(&self.limits), &source)?;
        let unresolved = modules::unresolved(&outside.imports, &source);
        if !unresolved.is_empty() {
            return Err(unresolved);
        }
        let ast = modules::compiled(&self.engine, &source, &outside)?;
        let parameters = match outside.parameters {
            Some((declared, at)) => {
                Some(Parameters::of(&declared).map_err(|why| vec![source.problem(at, &why)])?)
            }
            None => None,
        };
        let declared: Option<Vec<&str>> =
            parameters.as_ref().map(|parameters| parameters.names().collect());
        let found = lint::problems(&ast, &self.known, &source, declared.as_deref());
        let hooks = match check::hooks(&ast, &source) {
            Ok(hooks) if found.is_empty() => hooks,
            Ok(_) => return Err(found),
            Err(problems) => return Err(problems.into_iter().chain(found).collect()),
        };
        Ok(Script {
            engine: Arc::clone(&self.engine),
            ast: Arc::new(ast),
            limits: self.limits,
            source: Arc::new(source),
            hooks,
            parameters: Arc::new(parameters),
        })
    }
}

/// What most hooks have at a time, their parameters included.
const USUAL_VARIABLES: usize = 4;

/// Parses what the real engine would, save that it does not mind unknown variables.
fn parser(limits: &Limits) -> Engine {
    let mut parser = Engine::new_raw();
    syntax(&mut parser, limits);
    parser
}

/// One policy, ready to run. Cloning shares it.
#[derive(Clone)]
pub struct Script {
    engine: Arc<Engine>,
    ast: Arc<AST>,
    limits: Limits,
    source: Arc<Source>,
    hooks: Hooks,
    parameters: Arc<Option<Parameters>>,
}

/// What a call of a hook is about. All of it is shared: making one costs nothing.
#[derive(Clone)]
pub struct Call<'a> {
    /// The request's facts.
    pub context: &'a Arc<Context>,
    /// The stage's parameters.
    pub with: &'a With,
    /// What the stages of this request tell each other.
    pub state: &'a State,
}

/// What a hook made of its document.
pub(super) struct Done {
    pub(super) document: Document,
    pub(super) decision: Decision,
    pub(super) asked: Asked,
}

/// What a hook is called with: values of Rhai's already, which are not to be looked through for what
/// they are.
struct Arguments<const N: usize>([Dynamic; N]);

impl<const N: usize> FuncArgs for Arguments<N> {
    fn parse<C: Extend<Dynamic>>(self, arguments: &mut C) {
        arguments.extend(self.0);
    }
}

/// How a script ended.
pub(super) enum Decision {
    /// By itself.
    Continue,
    /// By `respond`.
    Respond(Content),
    /// By `deny`.
    Deny(Box<Error>),
    /// By `drop_event`.
    Drop,
}

impl Script {
    /// The policy's name: its file name without `.rhai`.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Its parameters as the config gives them, with what it says itself of those that are left out.
    ///
    /// The problems have paths within `with`: `.limit`. A policy that declares none takes any.
    pub fn with(&self, given: &serde_json::Map<String, Value>) -> Result<With, Vec<Problem>> {
        match &*self.parameters {
            Some(parameters) => Ok(With::new(&parameters.checked(given)?)),
            None => Ok(With::new(given)),
        }
    }

    /// The hooks it defines.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Runs `on_request` over a request's document; it is blocking, and bounded by the limits.
    ///
    /// Fails with `api_error` if the script broke, and with a 400 if the caller's own body is at
    /// fault (a duplicate key in an object that the script opened).
    pub fn on_request(&self, call: &Call<'_>, document: Document) -> Result<(Document, Outcome)> {
        self.outcome(self.run(Hook::Request, call, document)?)
    }

    /// Runs `on_upstream_request` before an attempt. `target` is an object with `provider`, `model`,
    /// `unsupported`, `strictness`, `native` and `number`. Otherwise as [`Script::on_request`].
    pub fn on_upstream_request(
        &self,
        call: &Call<'_>,
        document: Document,
        target: &Value,
    ) -> Result<(Document, Outcome)> {
        let target = json::dynamic(target);
        let shared = Shared::new(document);
        let request = Dynamic::from(shared.root());
        let subject = Some(shared.clone());
        let arguments = Arguments([request, target, self.ctx(call)]);
        let (result, asked) = self.enter(Hook::UpstreamRequest, call, subject, arguments);
        let decision = self.decision(result)?;
        self.outcome(Done { document: shared.into_document(), decision, asked })
    }

    /// Runs `on_response` over a whole message. Otherwise as [`Script::on_request`].
    pub fn on_response(&self, call: &Call<'_>, message: Document) -> Result<(Document, Outcome)> {
        self.outcome(self.run(Hook::Response, call, message)?)
    }

    /// Runs a hook whose parameters are a document and `ctx`.
    pub(super) fn run(&self, hook: Hook, call: &Call<'_>, document: Document) -> Result<Done> {
        let shared = Shared::new(document);
        let arguments = Arguments([Dynamic::from(shared.root()), self.ctx(call)]);
        let (result, asked) = self.enter(hook, call, Some(shared.clone()), arguments);
        let decision = self.decision(result)?;
        Ok(Done { document: shared.into_document(), decision, asked })
    }

    /// Runs `on_text`; gives the text that is to stand there instead, if another one.
    pub(super) fn on_text(
        &self,
        call: &Call<'_>,
        text: &str,
    ) -> Result<(Option<String>, Decision, Asked)> {
        let arguments = Arguments([Dynamic::from(text.to_owned()), self.ctx(call)]);
        let (result, asked) = self.enter(Hook::Text, call, None, arguments);
        let returned = match result {
            Ok(returned) => returned,
            Err(error) => return Ok((None, self.decision(Err(error))?, asked)),
        };
        if returned.is_unit() {
            return Ok((None, Decision::Continue, asked));
        }
        let changed = returned.into_immutable_string().map_err(|found| {
            let name = self.name();
            let message = format!("policy \"{name}\" failed: `on_text` must give a text, or nothing to leave it as it is, not a value of type `{found}`");
            Error::new(ErrorKind::Api, message)
        })?;
        let changed = (changed != text).then(|| changed.to_string());
        Ok((changed, Decision::Continue, asked))
    }

    fn ctx(&self, call: &Call<'_>) -> Dynamic {
        Dynamic::from(Ctx {
            context: Arc::clone(call.context),
            with: call.with.clone(),
            state: call.state.clone(),
        })
    }

    fn enter(
        &self,
        hook: Hook,
        call: &Call<'_>,
        document: Option<Shared>,
        arguments: impl FuncArgs,
    ) -> (Result<Dynamic, Box<EvalAltResult>>, Asked) {
        let run = Run {
            policy: self.source.shared_name(),
            hook,
            context: Arc::clone(call.context),
            document,
            deadline: Instant::now() + self.limits.time,
            asked: Asked::default(),
        };
        // all that the syntax tree holds beside functions is imports
        let options = CallFnOptions::new().eval_ast(!self.ast.statements().is_empty());
        let (result, mut asked) = run.call(|| {
            let mut scope = Scope::with_capacity(USUAL_VARIABLES);
            let name = hook.as_str();
            self.engine.call_fn_with_options(options, &mut scope, &self.ast, name, arguments)
        });
        match asked.stop.take() {
            Some(stop) => (Err(stop.into()), asked),
            None => (result, asked),
        }
    }

    /// What the end of a script means: a decision of the script, or that it broke.
    fn decision(&self, result: Result<Dynamic, Box<EvalAltResult>>) -> Result<Decision> {
        let Err(error) = result else { return Ok(Decision::Continue) };
        match Stop::of(&error) {
            Some(Stop::Deny { status, message }) => {
                let stage = self.source.shared_name();
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                Ok(Decision::Deny(Box::new(Error::denied(&stage, status, message))))
            }
            Some(Stop::PassOver(why)) => {
                Ok(Decision::Deny(Box::new(Error::passed_over(&self.source.shared_name(), &why))))
            }
            Some(Stop::Respond(content)) => Ok(Decision::Respond(content)),
            Some(Stop::Drop) => Ok(Decision::Drop),
            Some(Stop::Invalid(message)) => Err(Error::invalid(message)),
            Some(Stop::Time) | None => Err(errors::broken(&error, &self.source, &self.limits)),
        }
    }

    /// What a hook over a request or a message came to.
    fn outcome(&self, done: Done) -> Result<(Document, Outcome)> {
        let Done { mut document, decision, asked: Asked { route, wishes, removed, .. } } = done;
        let place = |(field, at): (String, _)| (field, self.source.place(at));
        let removed = removed.into_iter().map(place).collect();
        let verdict = match decision {
            Decision::Continue | Decision::Drop => Verdict::Continue,
            Decision::Deny(error) => Verdict::Deny(error),
            Decision::Respond(content) => {
                let model = document.get(&[Step::Key("model")])?.unwrap_or_default();
                let model: String = serde_json::from_slice(&model).unwrap_or_default();
                Verdict::Respond(Box::new(Reply::json(content.into_json(&model))))
            }
        };
        Ok((document, Outcome { route, verdict, wishes, removed }))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("name", &self.name()).field("hooks", &self.hooks).finish()
    }
}

fn engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new_raw();
    syntax(&mut engine, limits);
    engine.set_strict_variables(true).set_max_operations(limits.operations);
    rhai::packages::CorePackage::new().register_into_engine(&mut engine);
    rhai::packages::LogicPackage::new().register_into_engine(&mut engine);
    rhai::packages::BasicMathPackage::new().register_into_engine(&mut engine);
    rhai::packages::BasicArrayPackage::new().register_into_engine(&mut engine);
    rhai::packages::BasicMapPackage::new().register_into_engine(&mut engine);
    rhai::packages::MoreStringPackage::new().register_into_engine(&mut engine);
    api::register(&mut engine);
    engine.on_progress(Run::progress);
    engine
}

/// What decides whether a script parses. Every limit is set, since Rhai's defaults differ between
/// debug and release builds.
fn syntax(engine: &mut Engine, limits: &Limits) {
    engine
        .disable_symbol("eval")
        .disable_symbol("export")
        .set_max_call_levels(limits.call_depth)
        .set_max_expr_depths(limits.expression_depth, limits.expression_depth)
        .set_max_string_size(limits.string_bytes)
        .set_max_array_size(limits.array_items)
        .set_max_map_size(limits.map_entries)
        .set_max_variables(limits.variables)
        .set_max_modules(MAX_IMPORTS);
    words(engine);
}

/// Words that Rhai only keeps for its own future are names here: `ctx.with`, `request.thread`.
#[expect(deprecated, reason = "it is not: Rhai marks what may still change that way")]
fn words(engine: &mut Engine) {
    const WORDS: &[&str] = &[
        "async",
        "await",
        "call",
        "case",
        "default",
        "go",
        "goto",
        "is",
        "match",
        "module",
        "new",
        "nil",
        "null",
        "package",
        "protected",
        "public",
        "shared",
        "spawn",
        "static",
        "super",
        "sync",
        "thread",
        "use",
        "var",
        "void",
        "with",
        "yield",
    ];
    engine.on_parse_token(|token, _, _| match token {
        Token::Reserved(word) if WORDS.contains(&word.as_str()) => Token::Identifier(word),
        other => other,
    });
}
