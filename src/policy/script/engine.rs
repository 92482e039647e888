//! `ScriptEngine`: one Rhai engine with all functions for policies. It compiles policies and their modules.
use std::path::Path;
use std::sync::Arc;

use rhai::packages::Package as _;
use rhai::{Engine, Position, Token};

use crate::error::Problem;
use crate::policy::script::api;
use crate::policy::script::check;
use crate::policy::script::closures;
use crate::policy::script::compiled::Script;
use crate::policy::script::error::{Modules, Source};
use crate::policy::script::imports::{self, MAX_IMPORTS};
use crate::policy::script::limits::Limits;
use crate::policy::script::lint::{self, Known};
use crate::policy::script::modules::{self, Library};
use crate::policy::script::run::Run;
use crate::policy::script::windows;
use crate::policy::script::with::Parameters;

/// Compiles scripts: one Rhai engine for all scripts of a generation. Creating it takes about 200 µs, so
/// create none if there is no policy.
#[derive(Clone)]
pub struct ScriptEngine {
    engine: Arc<Engine>,
    known: Arc<Known>,
    limits: Limits,
    modules: Modules,
}

impl ScriptEngine {
    /// Returns an engine for scripts that run within these limits and import nothing.
    pub fn new(limits: Limits) -> Self {
        let engine = engine(&limits);
        let known = Arc::new(Known::of(&engine));
        Self { engine: Arc::new(engine), known, limits, modules: Arc::default() }
    }

    /// Returns an engine for scripts that may import the built-in modules and those of a policies folder
    /// (`lib/*.rhai`). Reads and compiles the modules now.
    ///
    /// The problems name file, line and column.
    pub fn with_modules(limits: Limits, policies: &Path) -> Result<Self, Vec<Problem>> {
        let mut engine = engine(&limits);
        let known = Known::of(&engine);
        let library = Library::read(policies)?;
        let (known, modules) = library.compile(&mut engine, &parser(&limits), known)?;
        Ok(Self { engine: Arc::new(engine), known: Arc::new(known), limits, modules })
    }

    /// Compiles a policy. Messages give `path`; its file name is the policy's name.
    ///
    /// The problems name file, line and column.
    pub fn compile(&self, path: &Path, source: &str) -> Result<Script, Vec<Problem>> {
        let source = Source::new(path, source).importing(&self.modules);
        let outside = check::outside(&parser(&self.limits), &source)?;
        let unresolved = imports::unresolved(&outside.imports, &source);
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
        let declared = outside.windows.as_ref();
        let windows = windows::rules(declared.map(|(value, _)| value), hooks).map_err(|why| {
            let at = declared.map_or(Position::NONE, |(_, at)| *at);
            vec![source.problem(at, &why)]
        })?;
        Ok(Script {
            engine: Arc::clone(&self.engine),
            ast: Arc::new(ast),
            limits: self.limits,
            source: Arc::new(source),
            hooks,
            windows,
            parameters: Arc::new(parameters),
        })
    }
}

/// Returns an engine that parses the same scripts as the real one, but allows unknown variables.
fn parser(limits: &Limits) -> Engine {
    let mut parser = Engine::new_raw();
    syntax(&mut parser, limits);
    parser
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
    closures::register(&mut engine);
    api::register(&mut engine);
    engine.on_progress(Run::progress);
    engine
}

/// Sets the options that decide whether a script parses. Every limit is set, because Rhai's defaults differ
/// between debug and release builds.
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

/// Allows words as names that Rhai only reserves for the future: `ctx.with`, `request.thread`.
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
