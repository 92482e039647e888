//! Modules that policies import: from `lib/` in their folder, or built into the binary.
//!
//! They are read and compiled when a generation is built. At run time an `import` is a lookup in a map.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rhai::module_resolvers::StaticModuleResolver;
use rhai::{AST, Engine, Module, Scope, Stmt};
use serde_json::Value;

use crate::disk;
use crate::error::Problem;
use crate::policy::files::sources;
use crate::policy::library::MODULES;
use crate::policy::script::check;
use crate::policy::script::error::{self as errors, Modules, Source};
use crate::policy::script::imports::{BUILT_IN, FOLDER, Import, unknown};
use crate::policy::script::lint::{self, Known};

/// The files of the modules by import name: `lib/redact`, `tidegate/wishes`.
pub(super) struct Library(BTreeMap<String, Source>);

impl Library {
    /// Reads `lib/*.rhai` in the policies folder. Fails with a problem for each file that cannot be read.
    pub(super) fn read(policies: &Path) -> Result<Self, Vec<Problem>> {
        let mut library = Self::built_in();
        let mut problems = Vec::new();
        for (name, path) in sources(&policies.join(FOLDER), "rhai")? {
            match disk::text(&path) {
                Ok(text) => {
                    library.0.insert(format!("{FOLDER}/{name}"), Source::new(&path, &text));
                }
                Err(unread) => problems.push(unread.at(&path)),
            }
        }
        if problems.is_empty() { Ok(library) } else { Err(problems) }
    }

    /// Returns the modules that every policy may import, with any folder.
    pub(super) fn built_in() -> Self {
        let modules = MODULES.iter().map(|(name, text)| {
            let place = format!("library/{FOLDER}/{name}.rhai (built in)");
            (format!("{BUILT_IN}/{name}"), Source::new(Path::new(&place), text))
        });
        Self(modules.collect())
    }

    /// Compiles all modules, each after its own imports, and sets up the engine to resolve them. Returns the
    /// names that scripts may use, including the exports of the modules.
    pub(super) fn compile(
        self,
        engine: &mut Engine,
        parser: &Engine,
        known: Known,
    ) -> Result<(Known, Modules), Vec<Problem>> {
        let mut work = Compiler {
            library: &self,
            parser,
            known,
            ready: StaticModuleResolver::new(),
            way: Vec::new(),
            failed: BTreeSet::new(),
            problems: Vec::new(),
        };
        for name in self.0.keys() {
            work.compile(name, engine);
        }
        let (problems, known) = (work.problems, work.known);
        if problems.is_empty() { Ok((known, self.0.into_iter().collect())) } else { Err(problems) }
    }
}

struct Compiler<'a> {
    library: &'a Library,
    parser: &'a Engine,
    known: Known,
    ready: StaticModuleResolver,
    /// The modules that are being compiled, each imported by the previous one.
    way: Vec<String>,
    /// The modules that failed; their problems are already reported.
    failed: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Compiler<'_> {
    /// Compiles a module once; returns `false` if it does not compile.
    fn compile(&mut self, name: &str, engine: &mut Engine) -> bool {
        if self.ready.contains_path(name) {
            return true;
        }
        let Some(source) = self.library.0.get(name) else { return false };
        if self.failed.contains(name) {
            return false;
        }
        match self.module(name, source, engine) {
            Ok(module) => {
                self.ready.insert(name, module);
                engine.set_module_resolver(self.ready.clone());
                true
            }
            Err(found) => {
                self.failed.insert(name.to_owned());
                self.problems.extend(found);
                false
            }
        }
    }

    fn module(
        &mut self,
        name: &str,
        source: &Source,
        engine: &mut Engine,
    ) -> Result<Module, Vec<Problem>> {
        let outside = check::outside(self.parser, source)?;
        self.way.push(name.to_owned());
        let missing = self.imports(&outside.imports, source, engine);
        self.way.pop();
        if let Some(problems) = missing {
            return Err(problems);
        }
        let ast = compiled(engine, source, &outside)?;
        let mut problems = lint::problems(&ast, &self.known, source, None);
        if let Some((_, at)) = outside.parameters {
            problems.push(
                source.problem(at, "a module cannot declare parameters: declare them in the policy, which can pass them on"),
            );
        }
        if let Some((Value::Object(_), at)) = outside.windows {
            problems.push(source.problem(
                at,
                "a module cannot declare the windows of `on_text`: declare `TEXT` in the policy",
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.known.learn(name, &ast, &outside.constants);
        let mut module = Module::eval_ast_as_new(Scope::new(), &ast, engine).map_err(|error| {
            vec![source.problem(error.position(), "the file cannot be used as a module")]
        })?;
        for (name, _, value) in outside.constants.iter() {
            module.set_var(name, value);
        }
        Ok(module)
    }

    /// Returns the problems of a module's imports; `None` if all are ready. A problem within an imported file
    /// is reported once, for that file.
    fn imports(
        &mut self,
        imports: &[Import],
        source: &Source,
        engine: &mut Engine,
    ) -> Option<Vec<Problem>> {
        let mut problems = Vec::new();
        let mut is_ready = true;
        for import in imports {
            if self.way.contains(&import.name) {
                let message =
                    format!("`{}` imports itself, through {}", import.name, self.way.join(", "));
                problems.push(source.problem(import.at, &message));
            } else if !self.library.0.contains_key(&import.name) {
                problems.push(source.problem(
                    import.at,
                    &unknown(&import.name, self.library.0.keys().map(String::as_str)),
                ));
            } else {
                is_ready &= self.compile(&import.name, engine);
            }
        }
        (!problems.is_empty() || !is_ready).then_some(problems)
    }
}

/// Compiles a file. Outside the functions only the imports are kept: constants are already in the functions.
pub(super) fn compiled(
    engine: &Engine,
    source: &Source,
    outside: &check::Outside,
) -> Result<AST, Vec<Problem>> {
    let mut ast = engine
        .compile_with_scope(&outside.constants, source.text())
        .map_err(|error| vec![errors::unparsable(&error, source)])?;
    // errors within functions find their file by this
    ast.set_source(source.path());
    let imports = ast.statements().iter().filter(|statement| matches!(statement, Stmt::Import(..)));
    let imports: Vec<Stmt> = imports.cloned().collect();
    let ast = AST::new_with_source(imports, ast.shared_lib().clone(), source.path());
    let unread = check::unread_constants(&ast, outside, source);
    if unread.is_empty() { Ok(ast) } else { Err(unread) }
}
