//! The top-level request fields with known types, and the values that scripts may write there.
use rhai::{Dynamic, Expr};

use crate::policy::script::place::place_kind;
use crate::wire::Kind;

/// The values that a field accepts.
enum Takes {
    /// Values of these kinds.
    Any(&'static [Kind], &'static str),
    /// 0, 1, 2 …
    Whole,
}

const FIELDS: &[(&str, Takes)] = &[
    ("model", Takes::Any(&[Kind::String], "a string")),
    ("messages", Takes::Any(&[Kind::Array], "an array")),
    ("max_tokens", Takes::Whole),
    ("stream", Takes::Any(&[Kind::Bool], "a boolean")),
    ("temperature", Takes::Any(&[Kind::Number], "a number")),
    ("top_p", Takes::Any(&[Kind::Number], "a number")),
    ("top_k", Takes::Whole),
    ("stop_sequences", Takes::Any(&[Kind::Array], "an array")),
    ("system", Takes::Any(&[Kind::String, Kind::Array], "a string or an array")),
    ("tools", Takes::Any(&[Kind::Array], "an array")),
    ("tool_choice", Takes::Any(&[Kind::Object], "a map")),
    ("metadata", Takes::Any(&[Kind::Object], "a map")),
    ("thinking", Takes::Any(&[Kind::Object], "a map")),
];
/// The fields that every request needs, at any endpoint.
const REQUIRED: &[&str] = &["model", "messages"];

/// Returns the names of the fields.
pub(super) fn names() -> impl Iterator<Item = &'static &'static str> {
    FIELDS.iter().map(|(name, _)| name)
}

/// The properties of a value that a check of its type needs.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    kind: Kind,
    /// Whether the value is a number other than 0, 1, 2 …
    is_odd: bool,
}

impl Shape {
    fn plain(kind: Kind) -> Self {
        Self { kind, is_odd: false }
    }

    /// Returns the shape of a value; `None` if the value is no JSON.
    pub(super) fn of(value: &Dynamic) -> Option<Self> {
        if let Ok(whole) = value.as_int() {
            return Some(Self { kind: Kind::Number, is_odd: whole < 0 });
        }
        if value.is_float() {
            return Some(Self { kind: Kind::Number, is_odd: true });
        }
        let plain = match () {
            () if value.is_unit() => Kind::Null,
            () if value.is_bool() => Kind::Bool,
            () if value.is_string() || value.is_char() => Kind::String,
            () if value.is_array() => Kind::Array,
            () if value.is_map() => Kind::Object,
            () => place_kind(value)?,
        };
        Some(Self::plain(plain))
    }

    /// Returns the shape of a literal; `None` if only a run can compute the value.
    pub(super) fn of_literal(literal: &Expr) -> Option<Self> {
        match literal {
            Expr::InterpolatedString(..) => Some(Self::plain(Kind::String)),
            Expr::Array(..) => Some(Self::plain(Kind::Array)),
            Expr::Map(..) => Some(Self::plain(Kind::Object)),
            Expr::DynamicConstant(..)
            | Expr::BoolConstant(..)
            | Expr::IntegerConstant(..)
            | Expr::FloatConstant(..)
            | Expr::CharConstant(..)
            | Expr::StringConstant(..)
            | Expr::Unit(..) => Self::of(&literal.get_literal_value(None)?),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self.kind {
            Kind::Null => "`()`",
            Kind::Bool => "a boolean",
            Kind::Number if self.is_odd => "a number with a fraction or below 0",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "a map",
        }
    }
}

/// Returns the error of writing such a value to a request field. `()` removes the field.
pub(super) fn wrong(field: &str, value: Shape) -> Option<String> {
    let (_, takes) = FIELDS.iter().find(|(name, _)| *name == field)?;
    if matches!(value.kind, Kind::Null) {
        return None;
    }
    let wanted = match takes {
        Takes::Any(kinds, wanted) if !kinds.contains(&value.kind) => wanted,
        Takes::Whole if value.kind != Kind::Number || value.is_odd => "a whole number, 0 or more",
        _ => return None,
    };
    Some(format!("`{field}` of a request must be {wanted}, not {}", value.name()))
}

/// Returns the error of removing a field from a request.
pub(super) fn wrong_without(field: &str) -> Option<String> {
    REQUIRED
        .contains(&field)
        .then(|| format!("a request must have `{field}`, so it cannot be removed"))
}
