//! `const TEXT`: wrong declarations are found when the policy is compiled.
use std::fs;
use std::path::Path;

use crate::policy::script::{Limits, ScriptEngine};
use crate::policy::window::{WindowEnd, WindowRules};

use super::compile;

const ON_TEXT: &str = "\nfn on_text(text, ctx) { text }";

#[test]
fn a_policy_says_where_its_windows_end() {
    for (declared, end, overlap) in [
        ("", WindowEnd::LineOrSentence, 0),
        ("const TEXT = #{};", WindowEnd::LineOrSentence, 0),
        ("const TEXT = #{ window: \"line\" };", WindowEnd::Line, 0),
        ("const TEXT = #{ window: \"sentence\", overlap: 64 };", WindowEnd::Sentence, 64),
        ("const TEXT = #{ window: \"block\", overlap: 0 };", WindowEnd::Block, 0),
        ("const TEXT = #{ overlap: 4096 };", WindowEnd::LineOrSentence, 4096),
    ] {
        let script = compile(&format!("{declared}{ON_TEXT}")).unwrap();
        assert_eq!(script.windows(), WindowRules { end, overlap }, "{declared}");
    }
}

#[test]
fn a_wrong_declaration_is_a_problem_with_its_line() {
    for (declared, says) in [
        (
            "#{ windw: \"line\" }",
            "`TEXT` has `windw`, which is not a known key; the nearest is `window`",
        ),
        (
            "#{ size: 5 }",
            "`TEXT` has `size`, which is not a known key; there are `window`, `overlap`",
        ),
        (
            "#{ window: \"word\" }",
            "`window` of `TEXT` must be \"line\", \"sentence\" or \"block\", found \"word\"",
        ),
        ("#{ window: 5 }", "or \"block\", found 5"),
        (
            "#{ overlap: 4097 }",
            "`overlap` of `TEXT` must be a whole number of characters from 0 to 4096, found 4097",
        ),
        ("#{ overlap: -1 }", "found -1"),
        ("#{ overlap: 1.5 }", "found 1.5"),
        ("#{ overlap: \"64\" }", "found \"64\""),
        ("\"line\"", "`TEXT` must be a literal map"),
        ("[1]", "`TEXT` must be a literal map"),
        ("#{ overlap: now() }", "a constant must be a number, a text or a boolean"),
    ] {
        let problems =
            compile(&format!("// A guard.\nconst TEXT = {declared};{ON_TEXT}")).err().unwrap();
        let problem = problems[0].to_string();
        assert!(problem.starts_with("policies/probe.rhai:2:1: "), "{declared}: {problem}");
        assert!(problem.contains(says), "{declared}: {problem}");
    }
}

#[test]
fn windows_without_on_text_do_nothing() {
    let on_request = "\nfn on_request(request, ctx) { request.n = 1; }";
    let problems =
        compile(&format!("const TEXT = #{{ window: \"line\" }};{on_request}")).err().unwrap();
    let says = "policies/probe.rhai:1:1: `TEXT` does nothing: the policy has no `on_text`";
    assert!(problems[0].to_string().starts_with(says), "{problems:?}");
    // a usual constant may have the name
    let source = "const TEXT = \"hello\";\nfn on_request(request, ctx) { request.n = TEXT; }";
    let (document, _) = super::run(&compile(source).unwrap(), "{}").unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"n":"hello"}"#);
}

#[test]
fn a_module_cannot_declare_windows() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lib")).unwrap();
    let module = folder.path().join("lib/m.rhai");
    fs::write(&module, "const TEXT = #{ window: \"line\" };\nfn f() { 1 }").unwrap();
    let problems = ScriptEngine::with_modules(Limits::default(), folder.path()).err().unwrap();
    assert!(
        problems[0].to_string().contains("m.rhai:1:1: a module cannot declare"),
        "{problems:?}"
    );
    fs::write(&module, "const TEXT = \"hello\";\nfn f() { TEXT }").unwrap();
    let engine = ScriptEngine::with_modules(Limits::default(), folder.path()).unwrap();
    let source = "import \"lib/m\" as m;\nfn on_text(text, ctx) { m::TEXT + m::f() }";
    assert!(engine.compile(Path::new("policies/probe.rhai"), source).is_ok());
}
