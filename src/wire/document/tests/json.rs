//! Random JSON texts in every spelling that JSON allows, with the positions of their values.
use std::ops::Range;

use crate::wire::Step;
use proptest::prelude::*;

/// A JSON value with the spelling of its scalars.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Scalar(String),
    Array(Vec<Json>),
    /// The keys as they are spelled, without their quotes.
    Object(Vec<(String, Json)>),
}

/// A step that owns its key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Hop {
    Key(String),
    Index(usize),
}

/// A text with the positions of its values.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub text: String,
    /// Every value but the root.
    pub spots: Vec<(Vec<Hop>, Range<usize>)>,
}

/// Returns the path that borrows these steps.
pub(crate) fn path(hops: &[Hop]) -> Vec<Step<'_>> {
    let step = |hop| match hop {
        &Hop::Index(index) => Step::Index(index as i64),
        Hop::Key(key) => Step::Key(key),
    };
    hops.iter().map(step).collect()
}

/// Generates objects of any shape, in any spelling.
pub(crate) fn object() -> impl Strategy<Value = Text> {
    (members(value()), any::<u64>()).prop_map(|(members, seed)| {
        let mut writer = Writer { seed, out: Text { text: String::new(), spots: Vec::new() } };
        writer.space();
        writer.value(&Json::Object(members), &mut Vec::new());
        writer.space();
        writer.out
    })
}

/// Generates a scalar in any spelling.
pub(crate) fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        string().prop_map(|text| format!("\"{text}\"")),
    ]
}

fn value() -> impl Strategy<Value = Json> {
    scalar().prop_map(Json::Scalar).prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            members(inner).prop_map(Json::Object),
        ]
    })
}

/// Generates members, up to a number above the limit for the simple search for duplicates.
fn members(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Vec<(String, Json)>> {
    prop::collection::vec((string(), inner), 0..20).prop_map(|members| {
        let numbered = members.into_iter().enumerate();
        // the number makes every key unique in any spelling
        numbered.map(|(n, (key, value))| (format!("{key}#{n}"), value)).collect()
    })
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "model",
        " ",
        "é",
        "😀",
        "{",
        "]",
        ",",
        ":",
        "\\\"",
        "\\\\",
        "\\/",
        "\\n",
        "\\u0041",
        "\\u00e9",
        "\\ud83d\\ude00",
        "0123456789012345678901234567890",
    ]);
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

struct Writer {
    seed: u64,
    out: Text,
}

impl Writer {
    fn space(&mut self) {
        const SPACES: [&str; 8] = ["", "", "", "", " ", "\n", "\t ", "\r\n  "];
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.out.text.push_str(SPACES[(self.seed >> 61) as usize]);
    }

    fn value(&mut self, value: &Json, here: &mut Vec<Hop>) {
        let start = self.out.text.len();
        match value {
            Json::Scalar(text) => self.out.text.push_str(text),
            Json::Array(items) => {
                self.out.text.push('[');
                self.space();
                for (n, item) in items.iter().enumerate() {
                    self.comma(n);
                    here.push(Hop::Index(n));
                    self.value(item, here);
                    here.pop();
                    self.space();
                }
                self.out.text.push(']');
            }
            Json::Object(members) => {
                self.out.text.push('{');
                self.space();
                for (n, (key, value)) in members.iter().enumerate() {
                    self.comma(n);
                    self.member(key, value, here);
                }
                self.out.text.push('}');
            }
        }
        if !here.is_empty() {
            self.out.spots.push((here.clone(), start..self.out.text.len()));
        }
    }

    fn member(&mut self, key: &str, value: &Json, here: &mut Vec<Hop>) {
        let quoted = format!("\"{key}\"");
        self.out.text.push_str(&quoted);
        self.space();
        self.out.text.push(':');
        self.space();
        here.push(Hop::Key(serde_json::from_str(&quoted).unwrap()));
        self.value(value, here);
        here.pop();
        self.space();
    }

    fn comma(&mut self, n: usize) {
        if n > 0 {
            self.out.text.push(',');
            self.space();
        }
    }
}
