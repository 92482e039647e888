//! Modules: imports from `lib/`, and the messages about modules that cannot be imported.
use std::fs;
use std::path::Path;

use crate::error::Problem;
use crate::policy::script::{Limits, Script, ScriptEngine};
use tempfile::TempDir;

use super::{refusal, run, says};

/// Returns a policies folder with these modules, and a policy compiled with them.
fn compiled(modules: &[(&str, &str)], policy: &str) -> (TempDir, Result<Script, Vec<Problem>>) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lib")).unwrap();
    for (name, text) in modules {
        fs::write(dir.path().join(format!("lib/{name}.rhai")), text).unwrap();
    }
    let engine = ScriptEngine::with_modules(Limits::default(), dir.path());
    let script = engine.and_then(|engine| engine.compile(Path::new("policies/probe.rhai"), policy));
    (dir, script)
}

/// Returns the text that a policy with these modules gives to `deny`.
fn denied(modules: &[(&str, &str)], imports: &str, body: &str) -> String {
    let policy = format!("{imports}\nfn on_request(request, ctx) {{\n{body}\n}}");
    let (_, script) = compiled(modules, &policy);
    let (_, outcome) =
        run(&script.unwrap(), r#"{"messages":[{"role":"user","content":"a1"}]}"#).unwrap();
    refusal(outcome).message
}

/// Returns every problem, one per line, with paths relative to the policies folder.
fn problems(modules: &[(&str, &str)], policy: &str) -> String {
    let (dir, script) = compiled(modules, policy);
    let Err(problems) = script else { panic!("it compiles: {policy}") };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n").replace(&format!("{}/", dir.path().display()), "")
}

const HOOK: &str = "fn on_request(request, ctx) { }";

#[test]
fn functions_and_constants_of_a_module_are_called_by_its_alias() {
    let redact = "const MARK = \"#\";\nprivate fn marked(t) { regex_replace(t, `\\d`, MARK) }\nfn mask(t) { marked(t) }";
    let all = "import \"lib/redact\" as r;\nfn masked(request) { each_text(request, |t| r::mask(t)); last_user_text(request) }";
    let modules = [("redact", redact), ("all", all)];
    assert_eq!(
        denied(&modules, "import \"lib/redact\" as r;", "deny(r::mask(\"a1\") + r::MARK);"),
        "a##"
    );
    // a module that imports another, and a closure of the policy within it
    let imports = "import \"lib/all\" as all;\nimport \"lib/redact\" as redact;";
    assert_eq!(denied(&modules, imports, "deny(all::masked(request));"), "a#");
    let each = [("walk", "fn over(request, f) { each_text(request, f) }")];
    let body = "let seen = []; walk::over(request, |t| { seen.push(t); t + \"!\" }); deny(seen[0] + last_user_text(request));";
    assert_eq!(denied(&each, "import \"lib/walk\" as walk;", body), "a1a1!");
}

#[test]
fn functions_of_a_policy_and_its_closures_see_the_imports() {
    let modules = [("m", "fn twice(n) { n * 2 }")];
    let imports = "import \"lib/m\" as m;\nfn helper(n) { m::twice(n) }";
    assert_eq!(
        denied(&modules, imports, "deny(`${[1, 2].map(|n| m::twice(n) + helper(1))}`);"),
        "[4,6]"
    );
}

#[test]
fn a_module_may_use_the_verbs() {
    let modules = [("m", "fn refuse(why) { deny(403, why); }")];
    assert_eq!(denied(&modules, "import \"lib/m\" as m;", "m::refuse(\"no\");"), "no");
}

#[test]
fn a_break_within_a_module_names_the_modules_file() {
    let modules = [(
        "m",
        "// one\nfn f(x) {\n  x.a.b.c\n}\nfn g() { regex_match(\"x\", \"(\") }\nfn h() { throw \"said here\" }",
    )];
    for (call, at, what) in [
        ("m::f(request);", "lib/m.rhai:3:", ""),
        ("m::g();", "lib/m.rhai:5:", "unclosed group: `(`"),
        ("m::h();", "lib/m.rhai:6:", "said here"),
    ] {
        let policy = format!(
            "import \"lib/m\" as m;\nfn on_request(request, ctx) {{\n\n\n\n\n\n {call}\n}}"
        );
        let (_dir, script) = compiled(&modules, &policy);
        let Err(error) = run(&script.unwrap(), "{}") else { panic!("it did not break") };
        says(&error, &["policy \"probe\" failed at ", at, what, "called at line 8"]);
    }
}

#[test]
fn a_module_is_bound_by_the_limits() {
    let modules = [("m", "fn f() { loop { } }\nfn deep(n) { deep(n + 1) }")];
    for (call, what) in [("m::f();", "it "), ("m::deep(0);", "deeper than 32 levels")] {
        let policy = format!("import \"lib/m\" as m;\nfn on_request(request, ctx) {{ {call} }}");
        let (_dir, script) = compiled(&modules, &policy);
        let Err(error) = run(&script.unwrap(), "{}") else { panic!("it did not break") };
        says(&error, &[what, "policies/probe.rhai"]);
    }
}

#[test]
fn a_failed_import_is_reported_with_its_position() {
    for (import, expected) in [
        (
            "import \"lib/none\" as x;",
            "policies/probe.rhai:1:8: no module is named `lib/none`: there are `lib/m`",
        ),
        ("import \"m\" as x;", "policies/probe.rhai:1:8: no module is named `m`"),
        (
            "import \"/etc/passwd\" as x;",
            "policies/probe.rhai:1:8: no module is named `/etc/passwd`",
        ),
        (
            "import \"lib/../../x\" as x;",
            "policies/probe.rhai:1:8: no module is named `lib/../../x`",
        ),
        ("import \"lib/m.rhai\" as x;", "policies/probe.rhai:1:8: no module is named `lib/m.rhai`"),
        ("import \"lib/m\";", "policies/probe.rhai:1:1: write an import as"),
        ("import ctx as x;", "policies/probe.rhai:1:1: write an import as"),
        (
            "fn f() {\n  import \"lib/m\" as x;\n}",
            "policies/probe.rhai:2:3: an `import` must stand outside of functions",
        ),
        (
            "fn f() { if true { loop { import \"lib/m\" as x; x::f(); } } }",
            "policies/probe.rhai:1:27: an `import` must stand outside",
        ),
        (
            "fn f() { x::y() }",
            "policies/probe.rhai:1:10: no module is imported as `x`: write `import \"lib/x\" as x;`",
        ),
    ] {
        let found = problems(&[("m", "fn f() { }")], &format!("{import}\n{HOOK}"));
        assert!(found.starts_with(expected), "expected {expected}\nfound    {found}");
    }
    assert!(
        problems(&[], &format!("import \"lib/m\" as m;\n{HOOK}"))
            .contains("the policies folder has no `lib/*.rhai`")
    );
}

#[test]
fn a_broken_module_is_a_problem_of_its_own_file() {
    for (text, expected) in [
        ("fn f() {\n  let x = ;\n}", "lib/m.rhai:2:11: "),
        ("fn f() { y }", "lib/m.rhai:1:10: no variable is named `y`"),
        ("let x = 1;", "lib/m.rhai:1:1: only `fn`, `const` and `import`"),
        (
            "import \"lib/none\" as n;",
            "lib/m.rhai:1:8: no module is named `lib/none`: there are `lib/m`, `lib/other`",
        ),
        ("import \"lib/m\" as m;", "lib/m.rhai:1:8: `lib/m` imports itself, through lib/m"),
    ] {
        let found = problems(&[("m", text), ("other", "import \"lib/m\" as m;")], HOOK);
        assert!(found.starts_with(expected), "expected {expected}\nfound    {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn modules_that_import_each_other_are_a_problem() {
    let modules = [
        ("a", "import \"lib/b\" as b;"),
        ("b", "// b\nimport \"lib/c\" as c;"),
        ("c", "import \"lib/a\" as a;"),
    ];
    let found = problems(&modules, HOOK);
    assert_eq!(
        found,
        "lib/c.rhai:1:8: `lib/a` imports itself, through lib/a, lib/b, lib/c in `import \"lib/a\" as a;`"
    );
}

#[test]
fn a_missing_member_of_a_module_is_found_before_the_script_runs() {
    let modules = [("m", "const MARK = 1;\nfn twice(n) { n * 2 }\nprivate fn own(n) { n }")];
    let said = |body: &str| {
        let policy = format!("import \"lib/m\" as m;\nfn on_request(request, ctx) {{\n{body}\n}}");
        problems(&modules, &policy)
    };
    for (body, expected) in [
        (
            "let x = m::twise(1);",
            "3:12: the module has no function `twise`: there are `m::twice` in",
        ),
        ("m::own(1);", "3:4: the module has no function `own`: there are `m::twice` in"),
        ("let x = [1].map(|n| m::twice(n, 1));", "3:24: `m::twice` takes 1 parameter, not 2 in"),
        ("let x = m::MARC;", "3:12: the module has no constant `MARC`: there are `m::MARK` in"),
    ] {
        let said = said(body);
        assert!(said.starts_with(&format!("policies/probe.rhai:{expected}")), "{said}");
    }
    let (_, script) = compiled(
        &modules,
        "import \"lib/m\" as m;\nfn on_request(request, ctx) { let x = m::twice(m::MARK); }",
    );
    assert!(run(&script.unwrap(), "{}").is_ok());
}

#[test]
fn built_in_modules_need_no_folder() {
    let empty = tempfile::tempdir().unwrap();
    let engine = ScriptEngine::with_modules(Limits::default(), empty.path()).unwrap();
    let policy = "import \"tidegate/wishes\" as wishes;\nfn on_request(request, ctx) { wishes::ask(request, #{ only: [\"a\"], tags: #{} }); }";
    let script = engine.compile(Path::new("policies/probe.rhai"), policy).unwrap();
    let (document, _) = run(&script, r#"{"model":"m","gateway":{"order":["b"]}}"#).unwrap();
    assert_eq!(&*document.to_bytes(), br#"{"model":"m","gateway":{"only":["a"],"order":["b"]}}"#);
}

#[test]
fn a_built_in_module_that_is_not_there_is_named_with_those_that_are() {
    let said = problems(
        &[("m", "fn f() { }")],
        "import \"tidegate/wish\" as w;\nfn on_request(request, ctx) { }",
    );
    assert!(
        said.contains("no module is named `tidegate/wish`: there are `lib/m`; built in are `tidegate/targets`, `tidegate/wishes`"),
        "{said}"
    );
}

#[test]
fn a_module_declares_no_parameters() {
    let said = problems(&[("m", "const WITH = #{ a: \"integer\" };\nfn f() { }")], HOOK);
    assert!(said.contains("lib/m.rhai:1:1: a module cannot declare parameters"), "{said}");
}
