//! The limits of scripts, and the messages about scripts that exceed them or do not compile.
use std::time::Duration;

use crate::policy::script::{Limits, STACK_BYTES};

use super::{broken, compile, hook, limited, run, says};

#[test]
fn an_endless_loop_ends_by_operations() {
    let error = limited(Limits { time: Duration::from_secs(60), ..Limits::default() }, "loop { }");
    says(
        &error,
        &["policy \"probe\" failed at policies/probe.rhai", "more than 1000000 operations"],
    );
}

#[test]
fn an_endless_loop_ends_by_time() {
    let limits =
        Limits { operations: u64::MAX, time: Duration::from_millis(5), ..Limits::default() };
    says(&limited(limits, "loop { }"), &["policies/probe.rhai", "longer than 5 ms"]);
    says(&limited(limits, "loop { try { loop { } } catch { } }"), &["longer than 5 ms"]);
}

#[test]
fn deep_recursion_ends() {
    says(&limited(Limits::default(), "f(0)"), &["deeper than 32 levels", "policies/probe.rhai"]);
}

#[test]
fn the_deepest_script_that_compiles_fits_the_stack() {
    let mut expression = "n".to_owned();
    while compile(&format!("fn f(n) {{ {expression} }} fn on_request(request, ctx) {{ f(1) }}"))
        .is_ok()
    {
        expression = format!("(1 + {expression})");
    }
    let inner = expression[5..expression.len() - 1].replacen('n', "f(n)", 1);
    let source = format!("fn f(n) {{ {inner} }} fn on_request(request, ctx) {{ f(1) }}");
    let script = compile(&source).or_else(|_| {
        let inner = inner[5..inner.len() - 1].to_owned();
        compile(&format!("fn f(n) {{ {inner} }} fn on_request(request, ctx) {{ f(1) }}"))
    });
    let Err(error) = run(&script.unwrap(), "{}") else { panic!("it did not break") };
    says(&error, &["deeper than 32 levels"]);
}

#[test]
fn the_longest_chain_of_closures_fits_the_stack() {
    // the number of operations ends the script: it is the same on every machine
    let limits = Limits { time: Duration::from_secs(600), ..Limits::default() };
    let body = "let f = |x| x; loop { let g = f; f = |x| g.call(x); }";
    let run = std::thread::Builder::new().stack_size(STACK_BYTES);
    let run = run.spawn(move || limited(limits, body)).unwrap();
    says(&run.join().unwrap(), &["more than 1000000 operations"]);
}

#[test]
fn a_big_string_ends() {
    says(&broken("let s = \"0123456789\"; loop { s += s; }", "{}"), &["string", "over its limit"]);
    says(&broken("let s = \"x\"; s.pad(100000000, \"x\");", "{}"), &["over its limit"]);
}

#[test]
fn a_big_array_or_map_ends() {
    says(&broken("let a = []; loop { a.push(1); }", "{}"), &["array", "over its limit"]);
    says(
        &broken(
            "let m = #{}; let n = 0; loop { let k = #{}; k[`k${n}`] = 1; m += k; n += 1; }",
            "{}",
        ),
        &["map", "over its limit"],
    );
}

#[test]
fn deeply_nested_values_neither_crash_nor_reach_the_request() {
    for nest in [
        "let a = []; for i in 0..900 { a = [a]; }",
        "let a = #{}; for i in 0..900 { a = #{a: a}; }",
    ] {
        says(&broken(&format!("{nest} request.x = a;"), "{}"), &["nested deeper than 64"]);
        let limits = Limits { time: Duration::from_millis(50), ..Limits::default() };
        limited(limits, &format!("loop {{ {nest} }}"));
    }
}

#[test]
fn sleep_is_refused() {
    says(&broken("sleep(10);", "{}"), &[":2:1: `sleep` is not available"]);
    says(&broken("sleep(0.5);", "{}"), &[":2:1: `sleep` is not available"]);
}

#[test]
fn a_function_that_takes_other_types_is_named_with_its_place_when_reached() {
    let error = broken("if request.model == () {\n  let x = split(request, 1);\n}", "{}");
    says(&error, &["policies/probe.rhai:3:11: there is no function `split (map, i64)`"]);
    let source = error.source.as_ref().unwrap().to_string();
    assert_eq!(source, "  let x = split(request, 1);\n          ^");
}

#[test]
fn an_error_in_a_function_names_its_callers() {
    let script =
        compile("fn g(r) { r.a.b.c }\nfn on_request(request, ctx) {\n  g(request)\n}").unwrap();
    let Err(error) = run(&script, "{}") else { panic!("it did not break") };
    says(&error, &["policies/probe.rhai:1:", "in `g`, called at line 3"]);
}

/// Returns every problem of a script, one per line.
fn problems(source: &str) -> String {
    let problems = compile(source).err().unwrap_or_else(|| panic!("it compiles: {source}"));
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_script_that_does_not_compile_names_line_and_column() {
    for (source, expected) in [
        ("fn on_request(request, ctx) {\n  let x = ;\n}", "policies/probe.rhai:2:11: "),
        (
            "fn on_request(request, ctx) {\n  reqest.model\n}",
            "policies/probe.rhai:2:3: no variable is named `reqest` in `reqest.model`",
        ),
        (
            "fn on_request(request, ctx) {\n  eval(\"1\")\n}",
            "policies/probe.rhai:2:3: `eval` is not available in policies",
        ),
        (
            "export x;\nfn on_request(request, ctx) { }",
            "policies/probe.rhai:1:1: `export` is not available in policies",
        ),
        (
            "let x = 1;\nfn on_request(request, ctx) { }",
            "policies/probe.rhai:1:1: only `fn`, `const` and `import`",
        ),
        (
            "const X = 1 + now();\nfn on_request(request, ctx) { }",
            "policies/probe.rhai:1:1: a constant must be a number, a text or a boolean",
        ),
        (
            "fn on_reqest(request, ctx) { }",
            "policies/probe.rhai:1:4: no hook is named `on_reqest`; the nearest is `on_request`",
        ),
        ("fn onrequest(request, ctx) { }", "policies/probe.rhai:1:4: no hook is named `onrequest`"),
        (
            "fn on_request(request) { }",
            "policies/probe.rhai:1:4: `on_request` takes 2 parameters, `on_request(request, ctx)`, not 1",
        ),
        (
            "fn on_event(event) { }",
            "policies/probe.rhai:1:4: `on_event` takes 2 parameters, `on_event(event, ctx)`, not 1",
        ),
        ("fn help() { }", "policies/probe.rhai: it defines no hook"),
    ] {
        let found = problems(source);
        assert!(found.starts_with(expected), "expected {expected}\nfound    {found}");
    }
}

#[test]
fn constants_are_seen_by_functions() {
    let script = compile(
        "// what for\nconst A = \"x\";\nconst N = 2 * 3;\nconst F = 1.5;\nconst B = true;\nfn on_request(request, ctx) { if B { request.n = N + F; request.a = A; } }",
    );
    let (document, _) = run(&script.unwrap(), "{}").unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"n":7.5,"a":"x"}"#);
    assert!(
        problems("const A = [1];\nfn on_request(request, ctx) { }").contains("write a function")
    );
}

#[test]
fn names_of_the_api_that_rhai_reserves_are_names() {
    let script =
        compile("fn on_request(request, ctx) { request.thread.default = #{new: ctx.with.match}; }");
    let (document, _) = run(&script.unwrap(), r#"{"thread":{}}"#).unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"thread":{"default":{"new":null}}}"#);
}

#[test]
fn a_value_that_grows_by_assignment_below_it_ends() {
    for nest in [
        "let m = #{}; loop { let n = #{}; n.a = m; m = n; }",
        "let m = #{}; loop { let n = #{a: 1}; n[\"a\"] = m; m = n; }",
        "let m = []; loop { let n = [1]; n[0] = m; m = n; }",
        "let m = []; loop { let n = []; n.push(m); m = n; }",
        "let m = []; loop { let n = []; n.insert(0, m); m = n; }",
    ] {
        says(&broken(nest, "{}"), &["over its limit"]);
    }
}

#[test]
fn the_deepest_value_can_be_printed_and_compared() {
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    for (nest, depth) in [("[a]", limits.array_items - 10), ("#{a: a}", limits.map_entries - 10)] {
        let nest = format!("let a = 1; for i in 0..{depth} {{ a = {nest}; }}");
        for act in [
            "a.to_string()",
            "a.to_debug()",
            "a == a.take()",
            "a.to_json()",
            "`${a}`",
            "[a].contains(a)",
            "a.len()",
        ] {
            limited(limits, &format!("{nest} let x = {act}; throw 1;"));
        }
    }
}

#[test]
fn call_can_name_a_variable_and_still_works_as_a_function() {
    let body = "let f = |x| x + 1; let call = f.call(1); request.n = call + f.call(2); request.c = call(f, 7);";
    let (document, _) = run(&hook(body), "{}").unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"n":5,"c":8}"#);
}
