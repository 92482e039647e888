//! `import` statements: the modules that a policy or module imports, and the positions.
use rhai::{AST, ASTNode, Expr, Position, Stmt};

use crate::error::Problem;
use crate::policy::script::error::Source;

/// The folder of the modules within the policies folder, and the first part of their names.
pub(super) const FOLDER: &str = "lib";

/// The first part of the names of built-in modules.
pub(super) const BUILT_IN: &str = "tidegate";

/// The most modules that a policy or module may import.
pub(super) const MAX_IMPORTS: usize = 32;

/// An `import` outside of functions.
pub(super) struct Import {
    /// The name as written: `lib/redact`.
    pub(super) name: String,
    /// The name of the module within the file.
    pub(super) alias: String,
    pub(super) at: Position,
}

impl Import {
    /// Returns the import of a statement; `None` if the name is computed at run time.
    pub(super) fn of(statement: &Stmt) -> Option<Self> {
        let Stmt::Import(import, _) = statement else { return None };
        let Expr::StringConstant(name, at) = &import.0 else { return None };
        // without an alias, no function of the module could be called
        let alias = import.1.name.to_string();
        (!alias.is_empty()).then(|| Self { name: name.to_string(), alias, at: *at })
    }
}

/// Returns the problems of a policy's imports: names that the engine does not resolve.
pub(super) fn unresolved(imports: &[Import], source: &Source) -> Vec<Problem> {
    let missing = imports.iter().filter(|import| !source.modules().any(|name| name == import.name));
    missing
        .map(|import| source.problem(import.at, &unknown(&import.name, source.modules())))
        .collect()
}

/// Returns the message about an unknown module.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let (own, built_in): (Vec<&str>, Vec<&str>) =
        known.partition(|name| name.starts_with(FOLDER) && !name.starts_with(BUILT_IN));
    let listed = |names: &[&str]| {
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let there = match (own.as_slice(), built_in.as_slice()) {
        ([], _) => format!("the policies folder has no `{FOLDER}/*.rhai`"),
        (own, _) => format!("there are {}", listed(own)),
    };
    let brought = match name.starts_with(BUILT_IN) {
        true => format!("; built in are {}", listed(&built_in)),
        false => String::new(),
    };
    format!("no module is named `{name}`: {there}{brought}")
}

/// Returns imports within functions: they would run at each call, and could name any module.
pub(super) fn within_functions(ast: &AST) -> Vec<Position> {
    let mut found = Vec::new();
    let outside: Vec<Position> = ast.statements().iter().map(Stmt::position).collect();
    ast.walk(&mut |way: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Import(_, at))) = way.last()
            && !outside.contains(at)
        {
            found.push(*at);
        }
        true
    });
    found
}
