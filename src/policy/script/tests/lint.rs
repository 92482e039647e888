//! Mistakes that are found in a script before it runs, and correct code that must not be reported.
use super::{compile, hook, run};

/// Returns the problem of a script with this body of its hook, without the path.
fn said(body: &str) -> Vec<String> {
    said_of(&format!("fn on_request(request, ctx) {{\n{body}\n}}"))
}

fn said_of(source: &str) -> Vec<String> {
    let problems = compile(source).err().unwrap_or_default();
    problems.iter().map(|problem| problem.to_string().replace("policies/probe.rhai:", "")).collect()
}

/// Bodies that run to their end: a finding in one of them would be a false alarm.
const VALID: &[&str] = &[
    "let twice = |x| x * 2; let y = twice.call(4); if y != 8 { throw; }",
    "let twice = |x| x * 2; let y = call(twice, 4); if y != 8 { throw; }",
    "let f = Fn(\"helper\"); let y = f.call(1, 2);",
    "let f = |x, y| x + y; let g = f.curry(1); let y = g.call(2); let h = curry(f, 1);",
    "let object = #{ twice: |x| x * 2 }; let y = object.twice(4); if y != 8 { throw; }",
    "let object = #{}; object.twice = |x| x * 2; let y = object.twice(4);",
    "let own = 5; own.add_to_this(2); if own != 7 { throw; }",
    "let n = 3; let y = [1, 2, 3].map(|x| x + n).filter(|x| x > 4); if y.len != 2 { throw; }",
    "let y = [3, 1].sort(); let z = [1, 2].reduce(|sum, v| sum + v, 0);",
    "let y = [1, 2].map(\"to_string\"); [1].for_each(|i| this += i);",
    "if is_def_fn(\"helper\", 2) && type_of(request) == \"map\" { print(1); debug(2); }",
    "let x = 1; let c = || x += 1; c.call(); if x.is_shared() && is_def_var(\"x\") { print(x); }",
    "if request.type_of() != \"map\" { throw; }",
    "let s = \"a\"; s += \"b\"; s.len(); len(s); s.to_upper(); let t = s.split(\"\"); `${s}!`;",
    "if 3 in [1, 2, 3] && !(\"x\" in request) { print((1 + 2) ** 2); }",
    "for (n, i) in 0..3 { let y = n << i; }",
    "let m = request.to_map(); m.keys().len(); request.messages.to_array().pop();",
    "switch helper(1, 2) { 3 => print(\"three\"), _ => log(\"info\", \"x\") }",
    "let x = private_helper(); x.to_float().round().to_int(); [1].push(2);",
    "let request = #{}; request.max_tokens = \"a local map\"; request.messages = ();",
    "request.max_tokens = ctx.with.n ?? 9; request.max_tokens += 1; request.system = `a${1}`;",
    "request.temperature = 1; request.top_p = 0.5; request.stop_sequences = [\"a\"]; request.tools = ();",
    "request.metadata = #{}; request.system = [#{ type: \"text\", text: \"a\" }]; request.top_k = 3;",
    "let copy = request.messages; request.messages = copy; request[\"stream\"] = true;",
    "let x = ctx.tags.any; let y = ctx.headers[\"x\"]; let z = ctx?.with?.a; ctx.state.a = 1; ctx.state[\"b\"] = 2;",
    "let x = ctx.key + ctx.model + ctx.session + ctx.request_id; try { throw 1; } catch (ctx) { }",
    "let ctx = #{}; ctx.anything = 1; let x = ctx.anything;",
    "let limits = #{}; limits.max_tokens = \"of a map\";",
];

#[test]
fn the_lint_accepts_every_script_that_runs() {
    for body in VALID {
        let source = format!(
            "private fn private_helper() {{ 1 }}\nfn helper(a, b) {{ a + b }}\nfn add_to_this(n) {{ this += n }}\nfn on_request(request, ctx) {{\n{body}\n}}"
        );
        let script = compile(&source).unwrap_or_else(|found| panic!("{body}: {found:?}"));
        let ran = run(&script, r#"{"model":"m","messages":[],"max_tokens":5}"#);
        assert!(ran.is_ok(), "{body}: {:?}", ran.err());
    }
}

#[test]
fn the_lint_finds_code_that_cannot_work_before_it_runs() {
    for (body, expected) in [
        (
            "if false { request.messages.pussh(1); }\nif ctx.key == \"never\" { request.messages.pussh(1); }",
            "3:42: there is no function `pussh`; the nearest is `push` in `if ctx.key == \"never\" { request.messages.pussh(1); }`",
        ),
        (
            "let x = frobnicate(1);",
            "2:9: there is no function `frobnicate` in `let x = frobnicate(1);`",
        ),
        (
            "let f = |x| x; let y = f(1);",
            "2:24: there is no function `f`: to call the function in the variable, write `f.call(…)` in `let f = |x| x; let y = f(1);`",
        ),
        ("dney(\"x\")", "2:1: there is no function `dney`; the nearest is `deny` in `dney(\"x\")`"),
        (
            "deny(400, \"x\", 1)",
            "2:1: `deny` takes 1 or 2 parameters, not 3 in `deny(400, \"x\", 1)`",
        ),
        (
            "let f = Fn(\"helpr\"); f.call(1);",
            "2:9: there is no function `helpr` in `let f = Fn(\"helpr\"); f.call(1);`",
        ),
        (
            "let y = [1].map(Fn(\"to_strin\"));",
            "2:17: there is no function `to_strin`; the nearest is `to_string` in `let y = [1].map(Fn(\"to_strin\"));`",
        ),
        ("route()", "2:1: `route` takes 1 parameter, not 0 in `route()`"),
        (
            "let t = \"x\"; t.to_upper(1);",
            "2:16: `to_upper` takes 0 parameters, not 1 in `let t = \"x\"; t.to_upper(1);`",
        ),
        (
            "[1].map(|x| frobnicate(x));",
            "2:13: there is no function `frobnicate` in `[1].map(|x| frobnicate(x));`",
        ),
        (
            "request.max_tokens = \"a lot\";",
            "2:9: `max_tokens` of a request must be a whole number, 0 or more, not a string in `request.max_tokens = \"a lot\";`",
        ),
        (
            "request[\"max_tokens\"] = 50.5;",
            "2:9: `max_tokens` of a request must be a whole number, 0 or more, not a number with a fraction or below 0 in `request[\"max_tokens\"] = 50.5;`",
        ),
        (
            "if ctx.tagz.team == \"x\" { return; }",
            "2:8: `ctx` has no `tagz`; the nearest is `ctx.tags` in `if ctx.tagz.team == \"x\" { return; }`",
        ),
        (
            "ctx.model = \"other\";",
            "2:5: `ctx.model` cannot be written: only members of `ctx.state` can in `ctx.model = \"other\";`",
        ),
        (
            "if ctx.key == \"x\" { request.messages = (); }",
            "2:29: a request must have `messages`, so it cannot be removed in `if ctx.key == \"x\" { request.messages = (); }`",
        ),
    ] {
        assert_eq!(said(body), [expected], "{body}");
    }
}

#[test]
fn every_mistake_is_named_at_once_and_in_order() {
    let found = said("nope();\nrequest.stream = 1;\nlet f = |x| nope2(x);\nroute(1, 2);");
    let lines: Vec<&str> = found.iter().map(|line| &line[..2]).collect();
    assert_eq!(lines, ["2:", "3:", "4:", "5:"], "{found:?}");
}

#[test]
fn functions_of_the_script_have_their_own_numbers_of_parameters() {
    let with = |body: &str| {
        said_of(&format!("fn helper(a) {{ a }}\nfn on_request(request, ctx) {{ {body} }}"))
    };
    assert!(with("helper(1);").is_empty());
    assert!(with("helper();")[0].starts_with("2:31: `helper` takes 1 parameter, not 0"));
    let behind_a_dot = "2:35: call `helper` as `helper(value)`: before a dot, `value` becomes `this`, not a parameter";
    assert!(with("ctx.helper();")[0].starts_with(behind_a_dot), "{:?}", with("ctx.helper();"));
}

#[test]
fn a_wrong_type_that_only_the_run_knows_breaks_at_the_write() {
    let script = hook("let text = \"a \" + ctx.key;\nrequest.max_tokens = text;");
    let error = run(&script, "{}").err().unwrap().message;
    let expected = "policy \"probe\" failed at policies/probe.rhai:3:9: `max_tokens` of a request must be a whole number, 0 or more, not a string";
    assert_eq!(error, expected);
    // deeper values are checked by the API
    assert!(run(&hook("request.metadata = #{}; request.metadata.model = 5;"), "{}").is_ok());
}

#[test]
fn a_verb_in_a_hook_in_which_it_does_nothing_is_named_there_and_only_there() {
    let all = "fn on_request(request, ctx) { deny(\"x\"); route(\"x\"); set_header(\"a\", \"b\"); respond(\"x\"); }\n\
               fn on_response(message, ctx) { set_response_header(\"a\", \"b\"); if ctx.key == \"x\" { deny(\"x\"); } }\n\
               fn on_text(text, ctx) { let call = |t| other(t); text }\n\
               fn other(t) { route(t); }\n\
               fn on_error(error, ctx) { error.message = \"sorry\"; }";
    assert!(said_of(all).is_empty(), "{:?}", said_of(all));
    let wrong =
        format!("{all}\nfn on_event(event, ctx) {{ if ctx.key == \"x\" {{ route(\"y\"); }} }}");
    let expected = "6:47: `route` does nothing in `on_event`: it works in `on_request` in";
    let found = said_of(&wrong);
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    // a function of the script itself may have any name
    assert!(said_of("fn route(a) { a }\nfn on_event(event, ctx) { route(1); }").is_empty());
}

#[test]
fn a_constant_before_a_dot_is_found_and_all_its_other_uses_work() {
    let source =
        |body: &str| format!("const NAMES = \"a b\";\nfn on_request(request, ctx) {{\n{body}\n}}");
    for body in ["let n = NAMES.len();", "let c = [1].map(|x| NAMES.len());", "let c = NAMES[0];"] {
        let expected = "`NAMES` is a constant and has no methods here: write `f(NAMES)`";
        let said = said_of(&source(body));
        assert!(said.len() == 1 && said[0].contains(expected), "{body}: {said:?}");
    }
    for body in [
        "let n = len(NAMES); let s = `${NAMES}`; if NAMES == \"x\" || !(\"a\" in NAMES) { throw; }",
        "let m = #{ \"a b\": [1] }; let n = m[NAMES][0]; let c = [1].map(|x| NAMES + x);",
        "let t = NAMES; t.len(); switch NAMES { \"a b\" => (), _ => throw }",
        "return helper(NAMES);",
        "let NAMES = [1, 2]; let n = NAMES.len(); let c = NAMES[0];",
    ] {
        let source = format!("{}\nfn helper(x) {{ x + NAMES }}", source(body));
        let script = compile(&source).unwrap_or_else(|found| panic!("{body}: {found:?}"));
        let ran = run(&script, r#"{"model":"m","messages":[],"max_tokens":5}"#);
        assert!(ran.is_ok(), "{body}: {:?}", ran.err());
    }
}
