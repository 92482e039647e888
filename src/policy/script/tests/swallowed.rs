//! Decisions, refused reads and limits hold whatever a script does with their errors.
use std::path::Path;
use std::time::Duration;

use rhai::packages::Package as _;

use crate::error::{Error, ErrorKind};
use crate::policy::script::api::{State, With};
use crate::policy::script::{Clock, Decision, Limits, ScriptCall, ScriptEngine};
use crate::policy::{Hook, Verdict};
use crate::wire::Document;
use serde_json::json;

use super::{broken, compile, context, hook, run};

/// Each way in which a script could lose the error of `ACT`: the statements of a hook.
const LOSSES: &[&str] = &[
    "try { ACT; } catch { }",
    "try { ACT; } catch (e) { }",
    "try { ACT; } catch (e) { throw e; }",
    "try { ACT; } catch (e) { throw; }",
    "try { ACT; } catch (e) { return; }",
    "try { try { ACT; } catch { throw \"other\"; } } catch { }",
    "try { [1].map(|x| { ACT; }); } catch { }",
    "try { [1].filter(|x| { ACT; true }); } catch { }",
    "try { [1].for_each(|| { ACT; }); } catch { }",
    "try { [1].some(|x| { ACT; true }); } catch { }",
    "try { [1].all(|x| { ACT; true }); } catch { }",
    "try { [1].find(|x| { ACT; true }); } catch { }",
    "try { [1].find(|x| { ACT; true }, 0); } catch { }",
    "try { [1].find_map(|x| { ACT; }); } catch { }",
    "try { [1].find_map(|x| { ACT; }, 0); } catch { }",
    "try { [1].index_of(|x| { ACT; true }); } catch { }",
    "try { [1].index_of(|x| { ACT; true }, 0); } catch { }",
    "try { [1].reduce(|sum, x| { ACT; }); } catch { }",
    "try { [1].reduce(|sum, x| { ACT; }, 0); } catch { }",
    "try { [1].reduce_rev(|sum, x| { ACT; }); } catch { }",
    "try { [1].reduce_rev(|sum, x| { ACT; }, 0); } catch { }",
    "try { [1].zip([2], |a, b| { ACT; }); } catch { }",
    "try { let a = [1]; a.drain(|x| { ACT; true }); } catch { }",
    "try { let a = [1]; a.retain(|x| { ACT; true }); } catch { }",
    "try { #{ a: 1 }.map(|k, v| { ACT; }); } catch { }",
    "try { #{ a: 1 }.filter(|k, v| { ACT; true }); } catch { }",
    "try { let m = #{ a: 1 }; m.drain(|k, v| { ACT; true }); } catch { }",
    "try { let m = #{ a: 1 }; m.retain(|k, v| { ACT; true }); } catch { }",
    "let a = [1, 2]; a.sort(|x, y| { ACT; 0 });",
    "let a = [1, 2]; a.sort_by(|x, y| { ACT; 0 });",
    "let a = [1, 2].order(|x, y| { ACT; 0 });",
    "let a = [1, 2].order_by(|x, y| { ACT; 0 });",
    "let a = [1, 2]; a.dedup(|x, y| { ACT; true });",
    "try { let a = [1, 2]; a.sort(|x, y| { ACT; 0 }); } catch { }",
    "try { request.list.map(|x| { ACT; }); } catch { }",
    "try { request.list.filter(|x| { ACT; true }); } catch { }",
    "try { request.list.reduce(|sum, x| { ACT; }, 0); } catch { }",
    "try { each_text(request, |text| { ACT; text }); } catch { }",
    "try { regex_replace(\"abc\", \"b\", |found| { ACT; found }); } catch { }",
    "for x in request.list { try { ACT; } catch { } }",
    "for x in request.list { try { each_text(request, |text| { ACT; text }); } catch { continue; } }",
    "try { act(request); } catch { }",
    "try { Fn(\"act\").call(request); } catch { }",
    "try { let f = |r| act(r); f.call(request); } catch { }",
    "try { let f = |g, r| g.call(r); f.call(Fn(\"act\"), request); } catch { }",
    "try { let f = Fn(\"act\").curry(request); f.call(); } catch { }",
    "try { let f = Fn(\"act\"); let g = |r| f.call(r); [request].map(g); } catch { }",
    "try { m::apply(Fn(\"act\"), request); } catch { }",
    "try { m::each([request], |r| { ACT; }); } catch { }",
    "let x = try_act(request) ?? 1;",
    "if is_def_fn(\"act\", 1) { try { act(request); } catch { } }",
    "switch 1 { 1 => { try { ACT; } catch { } } }",
    "do { try { ACT; } catch { break; } } while true;",
];

const REQUEST: &str = r#"{"list":[1,2],"messages":[{"role":"user","content":"hello"}]}"#;

/// The engine of these tests, and the module that it knows.
struct Probe(ScriptEngine);

impl Probe {
    fn within(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        let module =
            "fn apply(f, r) { try { f.call(r); } catch { } }\nfn each(list, f) { list.map(f); }";
        std::fs::write(folder.path().join("lib/m.rhai"), module).unwrap();
        Self(ScriptEngine::with_modules(limits, folder.path()).unwrap())
    }

    /// Runs a hook that loses the error of `act` in this way, then edits the request.
    fn after(&self, loss: &str, act: &str) -> Result<(Document, Verdict), Error> {
        self.after_over(REQUEST, loss, act)
    }

    fn after_over(
        &self,
        request: &str,
        loss: &str,
        act: &str,
    ) -> Result<(Document, Verdict), Error> {
        let loss = loss.replace("ACT", act);
        let source = format!(
            "import \"lib/m\" as m;\nfn deeper(n) {{ deeper(n + 1) }}\nfn act(request) {{ {act}; }}\nfn try_act(request) {{ try {{ act(request); }} catch {{ }} }}\nfn on_request(request, ctx) {{ {loss}\nrequest.edited = true; }}"
        );
        let script = self.0.compile(Path::new("policies/probe.rhai"), &source);
        let script = script.unwrap_or_else(|problems| panic!("{loss}: {problems:?}"));
        let document = Document::parse(request.to_owned().into()).unwrap();
        let (with, state) = (With::default(), State::default());
        let call =
            ScriptCall { context: &context(), with: &with, state: &state, clock: Clock::System };
        script.on_request(&call, document).map(|(document, outcome)| (document, outcome.verdict))
    }

    /// The error of a hook that loses the error of `act` in this way.
    fn broken(&self, loss: &str, act: &str) -> Error {
        self.after(loss, act).err().unwrap_or_else(|| panic!("{loss}: {act}"))
    }
}

/// Limits that stop no script of these tests by its time.
fn patient() -> Limits {
    Limits { time: Duration::from_secs(60), ..Limits::default() }
}

#[test]
fn a_denial_holds_however_its_error_is_lost() {
    let probe = Probe::within(patient());
    for loss in LOSSES {
        let (_, verdict) = probe.after(loss, "deny(451, \"no\")").unwrap();
        let Verdict::Deny(error) = verdict else { panic!("{loss}") };
        assert_eq!((error.status().as_u16(), &*error.message), (451, "no"), "{loss}");
    }
}

#[test]
fn an_answer_holds_however_its_error_is_lost() {
    let probe = Probe::within(patient());
    for loss in LOSSES {
        let (_, verdict) = probe.after(loss, "respond(\"by myself\")").unwrap();
        assert!(matches!(verdict, Verdict::Respond(_)), "{loss}");
    }
}

#[test]
fn a_refused_read_stays_the_callers_fault_however_its_error_is_lost() {
    let probe = Probe::within(patient());
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (part, read, says) in [
        (r#"{"b":1,"b":2}"#, "let x = request.part.b", "`b` occurs twice"),
        (r#"["\ud83d"]"#, "let x = request.part[0]", "lone surrogate"),
        (r#"[{"b":1,"b":2}]"#, "let x = request.part == []", "`b` occurs twice"),
        (r#"["\ud83d"]"#, "let x = request.part == []", "lone surrogate"),
        (&deep, "let x = request.part == []", "nested too deep"),
    ] {
        let request = REQUEST.replace("[1,2]", &format!("[1,2],\"part\":{part}"));
        for loss in LOSSES {
            // a closure must not share the request that it is called for
            let loss = match loss.contains('|') {
                true => format!("let r = request; {}", loss.replace("ACT", "act(r)")),
                false => (*loss).to_owned(),
            };
            let done = probe.after_over(&request, &loss, read);
            let error = done.err().unwrap_or_else(|| panic!("{loss}: {read}"));
            assert_eq!(error.kind, ErrorKind::InvalidRequest, "{loss}: {error}");
            // a walk over all texts meets the same fault in its own way
            assert!(loss.contains("each_text") || error.message.contains(says), "{loss}: {error}");
        }
    }
}

#[test]
fn a_limit_holds_however_its_error_is_lost() {
    let few = Limits { operations: 20_000, string_bytes: 4096, array_items: 100, ..patient() };
    let probe = Probe::within(few);
    for (act, says) in [
        ("loop { }", "more than 20000 operations"),
        ("deeper(1)", "call each other deeper"),
        ("let s = \"0123456789\"; loop { s += s; }", "over its limit"),
        ("let s = \"x\"; s.pad(100000000, \"x\")", "over its limit"),
        ("let a = []; loop { a.push(1); }", "over its limit"),
    ] {
        for loss in LOSSES {
            let error = probe.broken(loss, act);
            assert_eq!(error.kind, ErrorKind::Api, "{loss}: {error}");
            assert!(error.message.contains(says), "{loss}: {error}");
        }
    }
}

#[test]
fn the_time_limit_holds_however_its_error_is_lost() {
    let hasty = Limits {
        time: Duration::from_millis(1),
        operations: u64::MAX,
        time_per_mib: Duration::ZERO,
        ..patient()
    };
    let probe = Probe::within(hasty);
    for loss in LOSSES {
        let error = probe.broken(loss, "loop { }");
        assert!(error.message.contains("it ran longer than 1 ms"), "{loss}: {error}");
    }
}

#[test]
fn the_wrong_use_of_a_verb_that_decides_cannot_be_caught() {
    let probe = Probe::within(patient());
    for (act, says) in [
        ("deny(200, \"no\")", "`deny` takes a status from 400 to 599, not 200"),
        ("deny(true)", "there is no function `deny (bool)`"),
        ("deny(\"403\", \"no\")", "there is no function `deny (string, string)`"),
        ("respond(#{ role: \"assistant\" })", "must have `content`"),
        ("respond(5)", "there is no function `respond (i64)`"),
        ("route(\"\")", "not an empty text"),
        ("route([])", "there is no function `route (array)`"),
    ] {
        for loss in LOSSES {
            let error = probe.broken(loss, act);
            assert_eq!(error.kind, ErrorKind::Api, "{loss}: {error}");
            assert!(error.message.contains(says), "{loss}: {error}");
        }
    }
    // the check before the run does not see into other functions
    for act in ["pass_over(\"no\")", "drop_event()"] {
        for loss in LOSSES.iter().filter(|loss| !loss.contains("ACT")) {
            let error = probe.broken(loss, act);
            assert!(error.message.contains("does nothing in `on_request`"), "{loss}: {error}");
        }
    }
}

#[test]
fn passing_a_target_over_and_dropping_an_event_hold_as_well() {
    for body in ["[1].map(|x| ACT)", "let a = [1, 2]; a.sort(|x, y| { ACT; 0 });", "ACT"] {
        let passes = body.replace("ACT", "pass_over(\"too dear\")");
        let source = format!(
            "fn on_upstream_request(request, target, ctx) {{ try {{ {passes} }} catch {{ }} }}"
        );
        let script = compile(&source).unwrap();
        let (with, state) = (With::default(), State::default());
        let call =
            ScriptCall { context: &context(), with: &with, state: &state, clock: Clock::System };
        let document = || Document::parse("{}".into()).unwrap();
        let (_, outcome) = script.on_upstream_request(&call, document(), &json!({})).unwrap();
        let Verdict::Deny(error) = outcome.verdict else { panic!("{passes}") };
        assert_eq!(error.message, "too dear");
        let drops = body.replace("ACT", "drop_event()");
        let source = format!("fn on_event(event, ctx) {{ try {{ {drops} }} catch {{ }} }}");
        let done = compile(&source).unwrap().run(Hook::Event, &call, document()).unwrap();
        assert!(matches!(done.decision, Decision::Drop), "{drops}");
        let denies = body.replace("ACT", "deny(\"no\")");
        let source =
            format!("fn on_text(text, ctx) {{ try {{ {denies} }} catch {{ }} \"passed\" }}");
        let (changed, decision, _) = compile(&source).unwrap().on_text(&call, "x").unwrap();
        assert!(changed.is_none() && matches!(decision, Decision::Deny(_)), "{denies}");
    }
}

#[test]
fn an_error_of_the_script_itself_is_caught_as_ever() {
    let body = "let n = 0;
        try { [1].map(|x| { throw \"mine\"; }); } catch (e) { n += 1; }
        try { [2, 1].order(|x, y| { throw \"mine\"; }); } catch (e) { if e == \"mine\" { n += 1; } }
        try { let x = (); x.a.b } catch { n += 1; }
        request.n = n;";
    let (document, _) = run(&hook(body), "{}").unwrap();
    assert_eq!(&document.to_bytes()[..], br#"{"n":3}"#);
}

#[test]
fn a_throw_in_a_function_that_compares_is_not_lost() {
    for body in [
        "let a = [2, 1]; a.sort(|x, y| { throw \"broken\"; });",
        "let a = [2, 1]; a.dedup(|x, y| { throw \"broken\"; });",
    ] {
        let error = broken(body, "{}");
        assert!(error.message.contains("broken"), "{error}");
    }
    let error = broken("let a = [2, 1]; a.sort(|x, y| \"first\");", "{}");
    assert!(error.message.contains("`sort` must return a number or a boolean"), "{error}");
}

#[test]
fn the_functions_over_arrays_and_maps_do_as_rhai_says() {
    for (expression, value) in [
        ("[1, 2, 3].map(|x| x * 2)", "[2,4,6]"),
        ("[1, 2, 3].map(|x, n| x * n)", "[0,2,6]"),
        ("[1, 2, 3].map(|| this + 1)", "[2,3,4]"),
        ("[1, 2, 3].filter(|x| x > 1)", "[2,3]"),
        ("[1, 2, 3].filter(|x| 7)", "[]"),
        ("[1, 2, 3].some(|x| x > 2)", "true"),
        ("[1, 2, 3].all(|x, n| x == n + 1)", "true"),
        ("[1, 2, 3].find(|x| x > 1)", "2"),
        ("[1, 2, 3].find(|x| x > 0, -1)", "3"),
        ("[1, 2, 3].find(|x| x > 0, -9)", "1"),
        ("[1, 2, 3].find(|x| x > 0, 9) == ()", "true"),
        ("[1, 2, 3].index_of(|x| x > 1)", "1"),
        ("[1, 2, 3].index_of(|x| x > 0, 2)", "2"),
        ("[1, 2, 3].index_of(|x| x > 3)", "-1"),
        ("[1, 2, 3].index_of(2)", "1"),
        ("[#{a: 1}, #{b: 2}].find_map(|x| x.b)", "2"),
        ("[#{b: 1}, #{b: 2}].find_map(|x| x.b, 1)", "2"),
        ("[1, 2, 3].reduce(|sum, x| (sum ?? 0) + x)", "6"),
        ("[1, 2, 3].reduce(|sum, x, n| sum + x * n, 1)", "9"),
        ("[1, 2, 3].reduce(|sum| sum + this, 0)", "6"),
        ("[1, 2, 3].reduce_rev(|all, x, n| all + x + n, \"\")", "322110"),
        ("[1, 2].zip([3, 4], |a, b| a * b)", "[3,8]"),
        ("[1, 2].zip([3, 4], |a, b, n| a * b * n)", "[0,8]"),
        ("[3, 1, 2].order(|a, b| a - b)", "[1,2,3]"),
        ("[3, 1, 2].order_by(|a, b| a > b)", "[3,2,1]"),
        (
            "{ let a = [[1, 2], [0, 3], [1, 1]]; a.sort(|x, y| x[0] - y[0]); a }",
            "[[0,3],[1,2],[1,1]]",
        ),
        ("{ let a = [3, 1, 2]; a.sort(); a }", "[1,2,3]"),
        ("{ let a = [1, 1, 2, 1]; a.dedup(); a }", "[1,2,1]"),
        ("{ let a = [1, \"1\", [], #{}, []]; a.dedup(); a.len() }", "5"),
        ("{ let a = [1, 2, 5, 9]; a.dedup(|x, y| y - x < 3); a }", "[1,5,9]"),
        ("{ let a = [1, 2, 3]; let b = a.drain(|x| x > 1); [a, b] }", "[[1],[2,3]]"),
        ("{ let a = [1, 2, 3]; let b = a.retain(|x| x > 1); [a, b] }", "[[2,3],[1]]"),
        ("{ let a = [1, 2]; a.for_each(|| this += 1); a }", "[2,3]"),
        ("{ let a = [1, 2]; a.for_each(|n| this += n); a }", "[1,3]"),
        ("#{a: 1, b: 2}.map(|k, v| k + v)", "{\"a\":\"a1\",\"b\":\"b2\"}"),
        ("#{a: 1, b: 2}.filter(|k| this > 1)", "{\"b\":2}"),
        (
            "{ let m = #{a: 1, b: 2}; let n = m.drain(|k, v| v > 1); [m, n] }",
            "[{\"a\":1},{\"b\":2}]",
        ),
        (
            "{ let m = #{a: 1, b: 2}; let n = m.retain(|k, v| v > 1); [m, n] }",
            "[{\"b\":2},{\"a\":1}]",
        ),
    ] {
        let body = format!("let found = {expression}; deny(`${{found}}`);");
        let (_, outcome) = run(&hook(&body), "{}").unwrap();
        assert_eq!(super::refusal(outcome).message, value, "{expression}");
    }
}

#[test]
fn every_function_of_rhai_that_calls_a_function_is_replaced() {
    let function = std::any::TypeId::of::<rhai::FnPtr>();
    let mut rhais = rhai::Engine::new_raw();
    rhai::packages::CorePackage::new().register_into_engine(&mut rhais);
    rhai::packages::LogicPackage::new().register_into_engine(&mut rhais);
    rhai::packages::BasicMathPackage::new().register_into_engine(&mut rhais);
    rhai::packages::BasicArrayPackage::new().register_into_engine(&mut rhais);
    rhai::packages::BasicMapPackage::new().register_into_engine(&mut rhais);
    rhai::packages::MoreStringPackage::new().register_into_engine(&mut rhais);
    let calling = |engine: &rhai::Engine| -> Vec<String> {
        engine
            .collect_fn_metadata(
                None,
                |found| {
                    let types = &found.metadata.param_types;
                    let is_passed = types.iter().skip(1).any(|of| *of == function);
                    is_passed.then(|| format!("{} {types:?}", found.metadata.name))
                },
                true,
            )
            .into_iter()
            .collect()
    };
    let mut own = rhai::Engine::new_raw();
    crate::policy::script::closures::register(&mut own);
    let own = calling(&own);
    let missing: Vec<String> =
        calling(&rhais).into_iter().filter(|name| !own.contains(name)).collect();
    assert!(missing.is_empty() && own.len() > 20, "{missing:?}");
}
