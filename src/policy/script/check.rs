//! Checks a script before it runs: its hooks, and everything outside its functions.
use rhai::{AST, ASTFlags, ASTNode, Engine, Expr, Position, Scope, Stmt};
use serde_json::Value;
use strsim::levenshtein;

use crate::error::Problem;
use crate::policy::script::error::{self as errors, Source};
use crate::policy::script::imports::{self, Import};
use crate::policy::script::json;
use crate::policy::script::windows;
use crate::policy::script::with;
use crate::policy::{Hook, Hooks};

/// The items outside the functions of a script.
pub(super) struct Outside {
    /// The constants, known before anything runs.
    pub(super) constants: Scope<'static>,
    pub(super) imports: Vec<Import>,
    /// The value of `const WITH`, and its position.
    pub(super) parameters: Option<(Value, Position)>,
    /// The value of `const TEXT`, and its position.
    pub(super) windows: Option<(Value, Position)>,
}

/// Returns the constants and imports outside the functions. Nothing else may stand there, because nothing
/// else would run.
pub(super) fn outside(parser: &Engine, source: &Source) -> Result<Outside, Vec<Problem>> {
    let ast =
        parser.compile(source.text()).map_err(|error| vec![errors::unparsable(&error, source)])?;
    let mut outside =
        Outside { constants: Scope::new(), imports: Vec::new(), parameters: None, windows: None };
    let mut problems = Vec::new();
    for statement in ast.statements() {
        match beside(statement) {
            Beside::Constant(name, value) => {
                outside.constants.push_constant_dynamic(name, value);
            }
            Beside::Import(import) => outside.imports.push(import),
            Beside::Parameters(declared) => {
                outside.parameters = Some((declared, statement.position()));
            }
            Beside::Windows(value) => {
                let declared = json::tree(&value).unwrap_or_default();
                outside.windows = Some((declared, statement.position()));
                if json::is_scalar(&value) {
                    outside.constants.push_constant_dynamic(windows::NAME, value);
                }
            }
            Beside::Nothing => {}
            Beside::Wrong(message) => problems.push(source.problem(statement.position(), message)),
        }
    }
    for at in imports::within_functions(&ast) {
        problems.push(source.problem(at, "an `import` must stand outside of functions"));
    }
    if problems.is_empty() { Ok(outside) } else { Err(problems) }
}

/// Returns uses of constants for which Rhai would find no variable. Rhai does not replace a constant before
/// a dot or an index by its value.
pub(super) fn unread_constants(ast: &AST, outside: &Outside, source: &Source) -> Vec<Problem> {
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        // a local variable of the function has a place on the stack
        if let Some(ASTNode::Expr(Expr::Variable(variable, None, at))) = path.last()
            && variable.0.is_none()
            && outside.constants.contains(&variable.1)
        {
            let name = &variable.1;
            let message = format!(
                "`{name}` is a constant and has no methods here: write `f({name})` for `{name}.f()`, or assign it to a variable first"
            );
            found.push(source.problem(*at, &message));
        }
        true
    });
    found
}

enum Beside {
    Constant(String, rhai::Dynamic),
    Import(Import),
    Parameters(Value),
    Windows(rhai::Dynamic),
    /// An item that is not allowed there, with the reason.
    Wrong(&'static str),
    /// A statement that the parser has emptied.
    Nothing,
}

fn beside(statement: &Stmt) -> Beside {
    match statement {
        Stmt::Noop(_) => Beside::Nothing,
        Stmt::Var(definition, flags, _) if flags.intersects(ASTFlags::CONSTANT) => {
            let (name, value, _) = &**definition;
            let value = value.get_literal_value(None);
            if name.name == with::NAME {
                let declared = value.and_then(|value| json::tree(&value).ok());
                return declared.map_or(Beside::Wrong(with::LITERAL), Beside::Parameters);
            }
            match value {
                Some(value) if name.name == windows::NAME => Beside::Windows(value),
                Some(value) if json::is_scalar(&value) => {
                    Beside::Constant(name.name.to_string(), value)
                }
                // functions do not see computed values, arrays or maps
                _ => Beside::Wrong(
                    "a constant must be a number, a text or a boolean; for anything else write a function",
                ),
            }
        }
        Stmt::Import(..) => match Import::of(statement) {
            Some(import) => Beside::Import(import),
            None => Beside::Wrong("write an import as `import \"lib/name\" as name;`"),
        },
        _ => Beside::Wrong("only `fn`, `const` and `import` may stand outside of a function"),
    }
}

/// Returns the hooks of a script: at least one, each known and with the right parameters.
pub(super) fn hooks(ast: &AST, source: &Source) -> Result<Hooks, Vec<Problem>> {
    let mut problems = Vec::new();
    for function in ast.iter_functions() {
        if let Some(message) = wrong_with(function.name, function.params.len()) {
            problems.push(source.problem(position(source.text(), function.name), &message));
        }
    }
    let hooks: Hooks =
        ast.iter_functions().filter_map(|function| Hook::named(function.name)).collect();
    if problems.is_empty() && hooks.is_empty() {
        let message = "it defines no hook: write `fn on_request(request, ctx) { … }`";
        problems.push(source.problem(Position::NONE, message));
    }
    problems.sort_by(|a, b| a.path.cmp(&b.path));
    if problems.is_empty() { Ok(hooks) } else { Err(problems) }
}

fn wrong_with(name: &str, parameters: usize) -> Option<String> {
    if let Some(hook) = Hook::named(name) {
        let wanted = hook.parameters();
        let wanted_list = wanted.join(", ");
        return (wanted.len() != parameters).then(|| {
            format!(
                "`{name}` takes {} parameters, `{name}({wanted_list})`, not {parameters}",
                wanted.len()
            )
        });
    }
    let (nearest, distance) = nearest(name)?;
    // a helper may have any name that does not look like the name of a hook
    let looks_like_one = name.starts_with("on_") || distance <= 2;
    looks_like_one.then(|| format!("no hook is named `{name}`; the nearest is `{nearest}`"))
}

fn nearest(name: &str) -> Option<(&'static str, usize)> {
    let names = Hook::ALL.into_iter().map(Hook::as_str);
    names.map(|hook| (hook, levenshtein(name, hook))).min_by_key(|(_, far)| *far)
}

/// Limits a line or column to the highest number that Rhai can hold.
fn clamp(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Returns the position of a function's name, which the syntax tree does not hold.
fn position(text: &str, name: &str) -> Position {
    for (n, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices(name) {
            let is_definition = line[..at].trim_end().ends_with("fn");
            if is_definition && !line.trim_start().starts_with("//") {
                let column = line[..at].chars().count() + 1;
                return Position::new(clamp(n + 1), clamp(column));
            }
        }
    }
    Position::NONE
}
