//! Finds mistakes in a script's functions before it runs: calls and writes that cannot work.
//!
//! Rhai reports these only when it reaches them. Uncertain cases are left to the run.
use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use rhai::{
    AST, ASTNode, Dynamic, Engine, Expr, FnAccess, FnCallExpr, FnPtr, Namespace, Position, Scope,
    Stmt,
};
use strsim::levenshtein;

use crate::error::Problem;
use crate::policy::Hook;
use crate::policy::script::api::Ctx;
use crate::policy::script::error::Source;
use crate::policy::script::imports::Import;
use crate::policy::script::properties;

/// Functions that Rhai itself understands without registration.
const OWN: &[&str] =
    &["Fn", "call", "curry", "debug", "is_def_fn", "is_def_var", "is_shared", "print", "type_of"];

/// The hooks with a request as the first parameter.
const OVER_REQUESTS: &[Hook] = &[Hook::Request, Hook::UpstreamRequest];

/// The names that scripts of an engine may use.
pub(super) struct Known {
    /// The parameter counts of each function, including the receiver.
    functions: BTreeMap<String, BTreeSet<usize>>,
    /// The properties of `ctx`.
    ctx: BTreeSet<String>,
    /// The exports of modules, by import name.
    modules: BTreeMap<String, Exports>,
}

/// The exports of a module.
#[derive(Default)]
struct Exports {
    functions: BTreeMap<String, BTreeSet<usize>>,
    constants: BTreeSet<String>,
}

impl Known {
    /// Returns all names that scripts of this engine may use.
    pub(super) fn of(engine: &Engine) -> Self {
        let all = engine.collect_fn_metadata(
            None,
            |function| {
                let name = function.metadata.name.as_str();
                let (types, is_plain) =
                    (&function.metadata.param_types, function.namespace.is_empty());
                let is_of_ctx = types.first() == Some(&TypeId::of::<Ctx>());
                match name.strip_prefix("get$") {
                    Some(property) if is_of_ctx => Some((property.to_owned(), 0, Use::OfCtx)),
                    None if is_plain && is_name(name) => {
                        Some((name.to_owned(), function.metadata.num_params, Use::Called))
                    }
                    _ => None,
                }
            },
            true,
        );
        let mut known =
            Self { functions: BTreeMap::new(), ctx: BTreeSet::new(), modules: BTreeMap::new() };
        for (name, parameters, used) in all {
            match used {
                Use::Called => known.functions.entry(name).or_default().insert(parameters),
                Use::OfCtx => known.ctx.insert(name),
            };
        }
        known
    }

    /// Adds the exports of a module.
    pub(super) fn learn(&mut self, module: &str, ast: &AST, constants: &Scope<'_>) {
        let mut exports = Exports::default();
        for function in ast.iter_functions().filter(|found| found.access == FnAccess::Public) {
            let counts = exports.functions.entry(function.name.to_owned()).or_default();
            counts.insert(function.params.len());
        }
        exports.constants = constants.iter().map(|(name, ..)| name.to_owned()).collect();
        self.modules.insert(module.to_owned(), exports);
    }
}

/// The use of a function of the engine.
enum Use {
    /// It is called by name.
    Called,
    /// It reads a property of `ctx`.
    OfCtx,
}

fn is_name(name: &str) -> bool {
    rhai::is_valid_identifier(name)
}

/// Returns every mistake in the functions of a script. `declared` are the parameters of the policy, if it
/// declares them.
pub(super) fn problems(
    ast: &AST,
    known: &Known,
    source: &Source,
    declared: Option<&[&str]>,
) -> Vec<Problem> {
    let own = Own::of(ast);
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        if let Some(call) = path.last().and_then(CallSite::of)
            && let Some(message) = own.wrong_with(&call, known)
        {
            found.push((call.at, message));
        }
        found.extend(path.last().and_then(|node| own.wrong_pointer(node, known)));
        found.extend(path.last().and_then(|node| own.wrong_use_of_module(node, known)));
        true
    });
    for function in ast.iter_functions() {
        let (name, parameters) = (function.name, function.params.len());
        let Some(hook) = Hook::named(name) else { continue };
        let subject = function.params.first().copied().unwrap_or_default();
        // filtering while cloning does not work in Rhai 1.27: it keeps every function
        let mut body = ast.clone_functions_only();
        body.retain_functions(|_, _, found, count| found == name && count == parameters);
        found.extend(own.misused(&body, hook));
        if let Some(ctx) = function.params.last() {
            found.extend(properties::of_ctx(&body, ctx, &known.ctx));
        }
        if let (Some(ctx), Some(declared)) = (function.params.last(), declared) {
            found.extend(properties::of_with(&body, ctx, declared));
        }
        if OVER_REQUESTS.contains(&hook) {
            found.extend(properties::of_request(&body, subject));
        }
    }
    found.sort_by_key(|(at, _)| (at.line(), at.position()));
    found.dedup();
    found.into_iter().map(|(at, message)| source.problem(at, &message)).collect()
}

/// A call of a function by its name.
struct CallSite<'a> {
    function: &'a FnCallExpr,
    at: Position,
    /// Whether the call stands after a dot.
    is_method: bool,
}

impl<'a> CallSite<'a> {
    fn of(node: &'a ASTNode<'a>) -> Option<Self> {
        let (function, at, is_method) = match node {
            ASTNode::Stmt(Stmt::FnCall(function, at))
            | ASTNode::Expr(Expr::FnCall(function, at)) => (function, *at, false),
            ASTNode::Expr(Expr::MethodCall(function, at)) => (function, *at, true),
            _ => return None,
        };
        let is_plain = !function.is_operator_call() && !function.is_qualified();
        (is_plain && is_name(&function.name)).then_some(Self { function, at, is_method })
    }

    fn name(&self) -> &str {
        &self.function.name
    }

    /// Returns the number of parameters as the engine counts them.
    fn parameters(&self) -> usize {
        self.function.args.len() + usize::from(self.is_method)
    }
}

/// The names that the script itself defines.
struct Own {
    functions: BTreeMap<String, BTreeSet<usize>>,
    /// Properties, which may hold a function that is called like a method.
    properties: BTreeSet<String>,
    /// Variables, which may hold a function that is called by the variable's name.
    variables: BTreeSet<String>,
    /// The imported modules, by alias.
    imports: BTreeMap<String, String>,
}

impl Own {
    fn of(ast: &AST) -> Self {
        let mut functions = BTreeMap::<String, BTreeSet<usize>>::new();
        for function in ast.iter_functions() {
            functions.entry(function.name.to_owned()).or_default().insert(function.params.len());
        }
        let parameters = ast.iter_functions().flat_map(|function| function.params);
        let mut variables: BTreeSet<String> = parameters.map(str::to_owned).collect();
        let mut properties = BTreeSet::new();
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(definition, ..))) => {
                    variables.insert(definition.0.name.to_string());
                }
                Some(ASTNode::Expr(Expr::Property(property, _))) => {
                    properties.insert(property.2.to_string());
                }
                Some(ASTNode::Expr(Expr::Map(members, _))) => {
                    properties.extend(members.0.iter().map(|(key, _)| key.name.to_string()));
                }
                Some(ASTNode::Expr(Expr::DynamicConstant(value, _))) => {
                    properties.extend(keys(value));
                }
                _ => {}
            }
            true
        });
        let imports = ast.statements().iter().filter_map(Import::of);
        let imports = imports.map(|import| (import.alias, import.name)).collect();
        Self { functions, properties, variables, imports }
    }

    /// Returns the error of `Fn("name")` with the name of an unknown function.
    fn wrong_pointer(&self, node: &ASTNode<'_>, known: &Known) -> Option<(Position, String)> {
        let (name, at) = match node {
            ASTNode::Expr(Expr::DynamicConstant(value, at)) => {
                (value.read_lock::<FnPtr>()?.fn_name().to_owned(), *at)
            }
            ASTNode::Stmt(Stmt::FnCall(call, at)) | ASTNode::Expr(Expr::FnCall(call, at)) => {
                let [Expr::StringConstant(name, _)] = call.args.as_slice() else { return None };
                (call.name == "Fn").then(|| (name.to_string(), *at))?
            }
            _ => return None,
        };
        let is_there = !is_name(&name)
            || OWN.contains(&name.as_str())
            || self.functions.contains_key(&name)
            || known.functions.contains_key(&name);
        (!is_there).then(|| (at, self.missing(&name, known)))
    }

    /// Returns the error of `m::f()` or `m::MARK` if the imported module has no such export.
    fn wrong_use_of_module(&self, node: &ASTNode<'_>, known: &Known) -> Option<(Position, String)> {
        match node {
            ASTNode::Stmt(Stmt::FnCall(call, at)) | ASTNode::Expr(Expr::FnCall(call, at)) => {
                let (alias, exports) = self.module(&call.namespace, known)?;
                let (name, given) = (&*call.name, call.args.len());
                let message = match exports.functions.get(name) {
                    Some(counts) if counts.contains(&given) => return None,
                    Some(counts) => {
                        format!("`{alias}::{name}` takes {}, not {given}", parameters(counts))
                    }
                    None => missing_in(exports.functions.keys(), "function", alias, name),
                };
                Some((*at, message))
            }
            ASTNode::Expr(Expr::Variable(variable, _, at)) => {
                let (alias, exports) = self.module(&variable.2, known)?;
                let message = missing_in(exports.constants.iter(), "constant", alias, &variable.1);
                (!exports.constants.contains(&*variable.1)).then_some((*at, message))
            }
            _ => None,
        }
    }

    /// Returns the exports of the module in a qualified name, and its alias here.
    fn module<'a>(
        &self,
        namespace: &'a Namespace,
        known: &'a Known,
    ) -> Option<(&'a str, &'a Exports)> {
        let [alias] = namespace.path.as_slice() else { return None };
        let exports = known.modules.get(self.imports.get(alias.as_str())?)?;
        Some((alias.as_str(), exports))
    }

    /// Returns the error message about an unknown function.
    fn missing(&self, name: &str, known: &Known) -> String {
        let nearest = self.nearest(name, known);
        let nearest = nearest.map_or(String::new(), |name| format!("; the nearest is `{name}`"));
        format!("there is no function `{name}`{nearest}")
    }

    fn wrong_with(&self, call: &CallSite<'_>, known: &Known) -> Option<String> {
        let name = call.name();
        if OWN.contains(&name) || (call.is_method && self.properties.contains(name)) {
            return None;
        }
        let engines = known.functions.get(name);
        let own = self.functions.get(name);
        let given = call.function.args.len();
        let is_there = own.is_some_and(|counts| counts.contains(&given))
            || engines.is_some_and(|counts| counts.contains(&call.parameters()));
        if is_there {
            return None;
        }
        if call.is_method && own.is_some_and(|counts| counts.contains(&(given + 1))) {
            return Some(format!(
                "call `{name}` as `{name}(value)`: before a dot, `value` becomes `this`, not a parameter"
            ));
        }
        if engines.is_none() && own.is_none() && self.variables.contains(name) && !call.is_method {
            return Some(format!(
                "there is no function `{name}`: to call the function in the variable, write `{name}.call(…)`"
            ));
        }
        if engines.is_none() && own.is_none() {
            return Some(self.missing(name, known));
        }
        let receiver = usize::from(call.is_method);
        let engines = engines.into_iter().flatten().filter_map(|count| count.checked_sub(receiver));
        let counts: BTreeSet<usize> = own.into_iter().flatten().copied().chain(engines).collect();
        Some(format!("`{name}` takes {}, not {given}", parameters(&counts)))
    }

    fn nearest<'a>(&'a self, name: &str, known: &'a Known) -> Option<&'a str> {
        let most = name.chars().count() / 3;
        let own = self.functions.keys().map(String::as_str);
        let names =
            known.functions.keys().map(String::as_str).chain(own).chain(OWN.iter().copied());
        let names = names.map(|known| (levenshtein(name, known), known));
        let is_near = |far: usize, known: &str| far <= most || (far == 2 && is_swap(name, known));
        names.filter(|(far, known)| is_near(*far, known)).min().map(|(_, name)| name)
    }

    /// Returns the verbs in the body of a hook in which they have no effect.
    fn misused(&self, body: &AST, hook: Hook) -> Vec<(Position, String)> {
        let mut found = Vec::new();
        body.walk(&mut |path| {
            if let Some(call) = path.last().and_then(CallSite::of)
                && !call.is_method
                && !self.functions.contains_key(call.name())
                && let Some(message) = hook.misuse(call.name())
            {
                found.push((call.at, message));
            }
            true
        });
        found
    }
}

/// Returns the error message about an unknown export of a module.
fn missing_in<'a>(
    there: impl Iterator<Item = &'a String>,
    what: &str,
    alias: &str,
    name: &str,
) -> String {
    let there: Vec<String> = there.map(|name| format!("`{alias}::{name}`")).collect();
    let there = match there.is_empty() {
        true => "it has none".to_owned(),
        false => format!("there are {}", there.join(", ")),
    };
    format!("the module has no {what} `{name}`: {there}")
}

/// Returns whether both have the same letters in another order. A swap counts as two changes.
fn is_swap(one: &str, other: &str) -> bool {
    let sorted = |name: &str| {
        let mut letters: Vec<char> = name.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(one) == sorted(other)
}

/// Returns the keys of a map that the optimizer made a constant, at any depth.
fn keys(value: &Dynamic) -> BTreeSet<String> {
    if let Ok(map) = value.as_map_ref() {
        let below = map.values().flat_map(keys);
        return map.keys().map(ToString::to_string).chain(below).collect();
    }
    match value.as_array_ref() {
        Ok(items) => items.iter().flat_map(keys).collect(),
        Err(_) => BTreeSet::new(),
    }
}

fn parameters(counts: &BTreeSet<usize>) -> String {
    let listed: Vec<String> = counts.iter().map(ToString::to_string).collect();
    match listed.as_slice() {
        [] => "parameters only without a dot".to_owned(),
        [one] if one == "1" => "1 parameter".to_owned(),
        [first @ .., last] if !first.is_empty() => {
            format!("{} or {last} parameters", first.join(", "))
        }
        many => format!("{} parameters", many.join("")),
    }
}
