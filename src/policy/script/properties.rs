//! Finds mistakes in a hook before it runs: unknown properties of `ctx`, and values of a wrong type for
//! request fields.
use std::collections::BTreeSet;

use rhai::{AST, ASTNode, BinaryExpr, Expr, Position, Stmt};
use strsim::levenshtein;

use crate::policy::script::fields::{self, Shape};

/// Returns literals of a wrong type that a hook writes to fields of the request, its first parameter.
pub(super) fn of_request(body: &AST, request: &str) -> Vec<(Position, String)> {
    if is_shadowed(body, request) {
        return Vec::new();
    }
    let mut found = Vec::new();
    body.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last() {
            found.extend(wrong_write(assignment.0.is_op_assignment(), &assignment.1, request));
        }
        true
    });
    found
}

/// Returns whether a variable hides the parameter. Then a finding could be about the variable.
fn is_shadowed(body: &AST, parameter: &str) -> bool {
    let mut is_shadowed = false;
    body.walk(&mut |path| {
        is_shadowed |= match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(definition, ..))) => definition.0.name == parameter,
            Some(ASTNode::Stmt(Stmt::For(definition, _))) => {
                let counter = definition.1.as_ref().map(|counter| counter.name.as_str());
                definition.0.name == parameter || counter == Some(parameter)
            }
            Some(ASTNode::Stmt(Stmt::TryCatch(parts, _))) => {
                matches!(&parts.expr, Expr::Variable(caught, ..) if caught.1 == parameter)
            }
            _ => false,
        };
        true
    });
    is_shadowed
}

/// Returns unknown properties of `ctx`, a hook's last parameter, and writes to read-only ones.
pub(super) fn of_ctx(body: &AST, ctx: &str, known: &BTreeSet<String>) -> Vec<(Position, String)> {
    if is_shadowed(body, ctx) {
        return Vec::new();
    }
    let mut found = Vec::new();
    body.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Dot(pair, ..))) => {
                found.extend(unknown_property(pair, ctx, known));
            }
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                let written = field_of(&assignment.1.lhs, ctx);
                found
                    .extend(written.filter(|(name, _)| known.contains(*name)).map(|(name, at)| {
                    (
                        at,
                        format!(
                            "`{ctx}.{name}` cannot be written: only members of `{ctx}.state` can"
                        ),
                    )
                }));
            }
            _ => {}
        }
        true
    });
    found
}

/// Returns the parameters that a hook reads from `ctx.with` and the policy does not declare.
pub(super) fn of_with(body: &AST, ctx: &str, declared: &[&str]) -> Vec<(Position, String)> {
    if is_shadowed(body, ctx) {
        return Vec::new();
    }
    let mut found = Vec::new();
    body.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::Dot(pair, ..))) = path.last()
            && let Some((name, at)) = parameter_of(pair, ctx)
            && !declared.contains(&name)
        {
            let nearest = declared.iter().min_by_key(|known| levenshtein(name, known));
            let nearest =
                nearest.map_or(String::new(), |known| format!("; the nearest is `{known}`"));
            found.push((at, format!("`WITH` declares no `{name}`{nearest}")));
        }
        true
    });
    found
}

/// Returns the parameter in `ctx.with.limit`, also within a longer chain.
fn parameter_of<'a>(pair: &'a BinaryExpr, ctx: &str) -> Option<(&'a str, Position)> {
    let is_it = matches!(&pair.lhs, Expr::Variable(found, ..) if found.1 == ctx);
    let Expr::Dot(with, ..) = &pair.rhs else { return None };
    let is_with = matches!(&with.lhs, Expr::Property(property, _) if property.2 == "with");
    let first = match &with.rhs {
        Expr::Dot(rest, ..) | Expr::Index(rest, ..) => &rest.lhs,
        first => first,
    };
    let Expr::Property(property, at) = first else { return None };
    (is_it && is_with).then_some((property.2.as_str(), *at))
}

fn unknown_property(
    pair: &BinaryExpr,
    ctx: &str,
    known: &BTreeSet<String>,
) -> Option<(Position, String)> {
    let is_it = matches!(&pair.lhs, Expr::Variable(found, ..) if found.1 == ctx);
    // the rest of a chain stands to the right
    let first = match &pair.rhs {
        Expr::Dot(rest, ..) | Expr::Index(rest, ..) => &rest.lhs,
        first => first,
    };
    let Expr::Property(property, at) = first else { return None };
    let name = property.2.as_str();
    if !is_it || known.contains(name) {
        return None;
    }
    let nearest = known.iter().min_by_key(|known| levenshtein(name, known))?;
    Some((*at, format!("`{ctx}` has no `{name}`; the nearest is `{ctx}.{nearest}`")))
}

fn wrong_write(is_operation: bool, pair: &BinaryExpr, request: &str) -> Option<(Position, String)> {
    if is_operation {
        return None;
    }
    let (field, at) = field_of(&pair.lhs, request)?;
    let value = Shape::of_literal(&pair.rhs)?;
    let is_removal = matches!(pair.rhs, Expr::Unit(_));
    let message =
        if is_removal { fields::wrong_without(field) } else { fields::wrong(field, value) };
    message.map(|message| (at, message))
}

/// Returns the field of a variable in an expression: `request.stream`, `request["stream"]`.
fn field_of<'a>(place: &'a Expr, variable: &str) -> Option<(&'a str, Position)> {
    let (Expr::Dot(pair, ..) | Expr::Index(pair, ..)) = place else { return None };
    let is_it = matches!(&pair.lhs, Expr::Variable(found, ..) if found.1 == variable);
    match &pair.rhs {
        Expr::Property(property, at) if is_it => Some((&property.2, *at)),
        Expr::StringConstant(key, at) if is_it => Some((key, *at)),
        _ => None,
    }
}
