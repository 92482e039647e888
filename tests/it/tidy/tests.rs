//! The checks of `tidy` can be trusted: each finds what it is for in small sources, and nothing else.
use std::path::Path;

use super::cycles::cycles;
use super::imports::Imports;
use super::outline::{Import, Outline};
use super::pages::Names;

fn outline(text: &str) -> Outline {
    Outline::parse(&["crate", "net", "egress"].map(str::to_owned), text).unwrap()
}

/// `name = path` of each import; a re-export begins with `pub`.
fn imports(text: &str) -> Vec<String> {
    let shown = |import: &Import| {
        let visibility = if import.is_reexport { "pub " } else { "" };
        let name = import.name.as_deref().unwrap_or("*");
        format!("{visibility}{name} = {}", import.path.join("::"))
    };
    outline(text).imports.iter().map(shown).collect()
}

fn mentions(text: &str) -> Vec<String> {
    let all = outline(text).mentions;
    all.iter().map(|path| path.join("::")).filter(|path| path.contains("::")).collect()
}

/// A crate of these files. The first is its root.
fn crate_of(files: &[(&str, &str)]) -> Imports {
    let text_of = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    Imports::read(Path::new(files[0].0), &text_of)
}

/// `module -> other (paths)`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let imports = crate_of(files);
    let edges = imports.edges();
    let all = edges.iter().flat_map(|(from, all)| all.iter().map(move |(to, by)| (from, to, by)));
    all.map(|(from, to, by)| {
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        format!("{} -> {} ({})", from.join("::"), to.join("::"), by.join(", "))
    })
    .collect()
}

#[test]
fn a_use_is_read_with_nested_braces_and_new_names() {
    let text = "use crate::a::{self, b::{C, D as E}, f::*};\npub(crate) use g::H;\nuse i;";
    assert_eq!(
        imports(text),
        [
            "a = crate::a",
            "C = crate::a::b::C",
            "E = crate::a::b::D",
            "* = crate::a::f",
            "pub H = g::H",
            "i = i",
        ]
    );
}

#[test]
fn self_and_super_are_resolved_also_in_a_module_with_braces() {
    let text = "use self::a::B; use super::C; use super::super::D;
        mod inner { use super::E; use super::super::F; fn f() { self::g() } }
        fn h() { super::i::j() }";
    let found = imports(text);
    assert_eq!(
        found,
        [
            "B = crate::net::egress::a::B",
            "C = crate::net::C",
            "D = crate::D",
            "E = crate::net::egress::E",
            "F = crate::net::F",
        ]
    );
    assert_eq!(mentions(text), ["crate::net::egress::inner::g", "crate::net::i::j"]);
}

#[test]
fn paths_are_found_in_types_expressions_patterns_macros_and_attributes() {
    let text = r#"
        #[derive(crate::a::Derived)]
        struct S { #[serde(with = "crate::b::duration")] field: Vec<crate::c::Field> }
        fn f(x: &dyn crate::d::Trait) -> Result<(), crate::e::Error> {
            assert!(matches!(x.kind(), crate::f::Kind::Some(_)), "{}", g::text());
            match x { crate::h::CONSTANT => crate::i::Type::new(), _ => <u8 as crate::j::From>::from() }
        }"#;
    let expected = [
        "crate::a::Derived",
        "crate::b::duration::_",
        "crate::c::Field",
        "crate::d::Trait",
        "crate::e::Error",
        "crate::f::Kind::Some",
        "crate::h::CONSTANT",
        "crate::i::Type::new",
        "crate::j::From::from",
        "g::text",
    ];
    assert_eq!(mentions(text), expected);
}

#[test]
fn comments_texts_and_code_for_tests_are_no_imports() {
    let text = r#"
        //! crate::a::b
        /// [`crate::c::d`]
        fn f() -> &'static str { /* crate::e::f */ "crate::g::h" }
        pub(in crate::net) struct S;
        #[cfg(test)] use crate::i::J;
        #[cfg(all(test, unix))] fn g() { crate::k::l() }
        #[cfg(test)] mod inner { use crate::m::N; }
        #[cfg(test)] mod tests;
        impl S { #[cfg(test)] fn h() { crate::o::p() } }"#;
    let outline = outline(text);
    assert_eq!((outline.imports, outline.children), (vec![], vec![]));
    assert_eq!(mentions(text), [""; 0]);
}

#[test]
fn code_that_is_not_only_for_tests_counts() {
    let text = "#[cfg(not(test))] use crate::a::B; #[cfg(any(test, unix))] use crate::c::D;";
    assert_eq!(imports(text), ["B = crate::a::B", "D = crate::c::D"]);
}

#[test]
fn a_parent_uses_its_child_by_a_relative_path() {
    let files = [
        ("src/lib.rs", "mod a;"),
        ("src/a/mod.rs", "mod b; fn f() { b::g() } fn h() { b::i() }"),
        ("src/a/b.rs", "pub fn g() {} pub fn i() {}"),
    ];
    assert_eq!(edges(&files), ["crate::a -> crate::a::b (crate::a::b::g, crate::a::b::i)"]);
}

#[test]
fn a_name_that_is_re_exported_is_used_where_it_is_defined() {
    let files = [
        ("src/lib.rs", "mod a; mod d;"),
        ("src/a/mod.rs", "mod b; mod c; pub use b::B; pub use c::*; pub struct Own;"),
        ("src/a/b.rs", "use crate::a::Own; pub struct B;"),
        ("src/a/c.rs", "pub struct C;"),
        ("src/d.rs", "use crate::a::{B, C, Own}; use crate::a; fn f(_: a::B) {}"),
    ];
    assert_eq!(
        edges(&files),
        [
            "crate::a::b -> crate::a (crate::a::Own)",
            "crate::d -> crate::a (crate::a::Own)",
            "crate::d -> crate::a::b (crate::a::b::B)",
            "crate::d -> crate::a::c (crate::a::c::C)",
        ]
    );
}

#[test]
fn a_parent_that_uses_its_own_re_export_depends_on_the_child() {
    let files = [
        ("src/lib.rs", "mod a;"),
        ("src/a.rs", "mod b; pub use b::B; pub struct A(B);"),
        ("src/a/b.rs", "use super::A; pub struct B;"),
    ];
    let imports = crate_of(&files);
    assert_eq!(
        cycles(&imports.edges()),
        ["import cycle: a -> a::b -> a\n    a uses of a::b: B\n    a::b uses of a: A"]
    );
}

#[test]
fn a_re_export_of_another_folder_is_a_use() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "pub use crate::b::B;"),
        ("src/b.rs", "pub struct B;"),
    ];
    assert_eq!(edges(&files), ["crate::a -> crate::b (crate::b::B)"]);
}

#[test]
fn names_of_modules_and_of_other_crates_are_no_uses() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod error;"),
        ("src/a.rs", "use crate::b; use bytes::Bytes; fn f(b: u8) -> Bytes { let error = b; }"),
        ("src/b.rs", "use http::{self, error}; fn f() -> http::Error { error::new() }"),
        ("src/error.rs", "use error::Error; fn f(_: error::Other) {}"),
    ];
    assert_eq!(edges(&files), [""; 0]);
}

#[test]
fn the_shortest_cycle_of_an_import_knot_is_reported() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
        ("src/a.rs", "use crate::b::f; pub fn g() {}"),
        ("src/b.rs", "use crate::c::C; pub fn f() {}"),
        ("src/c.rs", "use crate::a::g; use crate::b::{f as h}; pub struct C;"),
        ("src/d.rs", "use crate::a::g;"),
    ];
    let imports = crate_of(&files);
    let found = cycles(&imports.edges());
    assert_eq!(
        found,
        ["import cycle: b -> c -> b\n    b uses of c: C\n    c uses of b: f\n    \
          3 modules in this knot: a, b, c"]
    );
}

#[test]
fn files_of_children_are_found_however_they_are_laid_out() {
    let files = [
        ("p/src/lib.rs", "mod a; #[path = \"../../shared/d.rs\"] mod d;"),
        ("p/src/a.rs", "mod b; mod c;"),
        ("p/src/a/b.rs", "use crate::d::D;"),
        ("p/src/a/c/mod.rs", "mod e;"),
        ("p/src/a/c/e.rs", "use crate::d::D;"),
        ("p/src/../../shared/d.rs", "pub struct D;"),
    ];
    assert_eq!(
        edges(&files),
        ["crate::a::b -> crate::d (crate::d::D)", "crate::a::c::e -> crate::d (crate::d::D)",]
    );
}

#[test]
fn a_page_that_names_a_missing_file_or_item_is_rejected() {
    let imports = crate_of(&[
        ("src/lib.rs", "pub mod net;"),
        ("src/net/mod.rs", "mod client; pub use client::Upstream;"),
        ("src/net/client.rs", "pub struct Upstream; pub fn enter() {}"),
    ]);
    let names = Names::with(&["src/net/client.rs", "src/net/mod.rs", "docs/page.md"], imports);
    let fine = "`net/`, `client.rs`, `net/<name>.rs`, `docs/page.md`, `net::Upstream::send`, `client::enter`,
        `image/png`, `/v1/models`, `provider/model`, `.tidegate/cache`, `GET /files/<name>`, gone.rs\n\
        ```\nnet::client → nothing/there.rs\n```\n";
    assert_eq!(names.missing_in(fine), [""; 0]);
    let wrong = "`gone/`, `net/gone.rs`,\n`net::Gone`, `client::leave()`, `gone::enter`\n```\nnet::gone\n```";
    assert_eq!(
        names.missing_in(wrong),
        [
            "line 1: `gone/`",
            "line 1: `net/gone.rs`",
            "line 2: `net::Gone`",
            "line 2: `client::leave`",
            "line 2: `gone::enter`",
            "line 4: `net::gone`",
        ]
    );
}
