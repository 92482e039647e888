//! `ctx.state`: its limit is one of bytes, and a run that fails leaves it as it was.
use crate::error::Error;
use crate::policy::script::api::{State, With};
use crate::policy::script::{Clock, Script, ScriptCall};
use crate::wire::Document;

use super::{broken, context, hook, refusal};

/// Runs a hook over `{}` with this state; returns the text that it gives to `deny`, if it does.
fn over(script: &Script, state: &State) -> Result<Option<String>, Error> {
    let (context, with) = (context(), With::default());
    let call = ScriptCall { context: &context, with: &with, state, clock: Clock::System };
    let document =
        Document::parse(r#"{"secret":"x-private","twice":{"a":1,"a":2}}"#.into()).unwrap();
    let (_, outcome) = script.on_request(&call, document)?;
    match outcome.verdict {
        crate::policy::Verdict::Continue => Ok(None),
        _ => Ok(Some(refusal(outcome).message)),
    }
}

#[test]
fn entries_are_not_counted_but_their_bytes_are() {
    let state = State::default();
    let many = hook("for i in 0..2000 { ctx.state[`k${i}`] = i; }");
    over(&many, &state).unwrap();
    assert_eq!(over(&hook("deny(`${ctx.state.k1999}`)"), &state).unwrap().unwrap(), "1999");
    // a name, its value with quotes, and the signs around both are 65536 bytes
    let fits = "let s = \"\"; s.pad(65536 - 8 - 4 - 2, \"x\"); ctx.state[\"all_of_it\".sub_string(0, 8)] = s;";
    let state = State::default();
    over(&hook(fits), &state).unwrap();
    let error = over(&hook("ctx.state.a = 1;"), &state).unwrap_err();
    let says = "probe.rhai:2:10: `ctx.state.a` takes 6 bytes and the other entries take 65536: `ctx.state` holds at most 65536 bytes";
    assert!(error.message.contains(says), "{error}");
    // room that is given back can be used
    over(&hook("ctx.state[\"all_of_it\".sub_string(0, 8)] = (); ctx.state.a = 1;"), &state)
        .unwrap();
}

#[test]
fn the_error_of_a_value_without_room_is_at_the_write_and_cannot_be_caught() {
    let body = "let s = \"0123456789\"; for i in 0..13 { s += s; }\ntry { ctx.state.big = s; } catch { }\nrequest.a = 1;";
    let error = broken(body, "{}");
    let says = "probe.rhai:3:";
    let full = "`ctx.state.big` takes 81929 bytes and the other entries take 0";
    assert!(error.message.contains(says) && error.message.contains(full), "{error}");
    for value in ["[s]", "#{ a: s }", "[[[s]]]", "s + s"] {
        let error = broken(&body.replace("= s; }", &format!("= {value}; }}")), "{}");
        assert!(error.message.contains("holds at most 65536 bytes"), "{value}: {error}");
    }
}

#[test]
fn a_name_that_comes_from_a_request_is_not_in_the_error() {
    let body = "let s = \"0123456789\"; for i in 0..13 { s += s; }\nctx.state[request.secret] = s;";
    let error = over(&hook(body), &State::default()).unwrap_err();
    assert!(error.message.contains("the entry of `ctx.state` takes"), "{error}");
    assert!(!error.message.contains("private"), "{error}");
}

#[test]
fn a_part_of_the_state_that_grows_is_measured_as_a_whole() {
    let state = State::default();
    let step = hook(
        "ctx.state.list = (ctx.state.list ?? []) + [`0123456789`]; ctx.state.text = (ctx.state.text ?? ``) + `0123456789`;",
    );
    for _ in 0..1000 {
        over(&step, &state).unwrap();
    }
    let sizes = hook("deny(`${ctx.state.list.len()} ${ctx.state.text.len()}`)");
    assert_eq!(over(&sizes, &state).unwrap().unwrap(), "1000 10000");
    let push = hook("for i in 0..4000 { ctx.state.list.push(`0123456789`); }");
    let error = over(&push, &state).unwrap_err();
    assert!(error.message.contains("holds at most") || error.message.contains("array"), "{error}");
}

#[test]
fn no_later_write_changes_a_value_that_was_stored() {
    let body = "let n = 1; let f = || { n += 1; }; ctx.state.n = n; f.call();
        let list = [1]; let g = || { list.push(2); }; ctx.state.list = list; g.call();
        deny(`${ctx.state.n} ${ctx.state.list} ${n} ${list}`);";
    assert_eq!(over(&hook(body), &State::default()).unwrap().unwrap(), "1 [1] 2 [1,2]");
}

#[test]
fn a_value_that_is_no_json_cannot_be_stored() {
    let error = broken("ctx.state.f = |x| x;", "{}");
    assert!(error.message.contains("cannot be written as JSON"), "{error}");
    let error = over(&hook("ctx.state.t = request.twice;"), &State::default()).unwrap_err();
    assert!(error.message.contains("`a` occurs twice"), "{error}");
}

#[test]
fn parts_of_a_run_are_undone_by_themselves() {
    let state = State::default();
    let set = |name: &str, n: i64| {
        over(&hook(&format!("ctx.state.{name} = {n};")), &state).unwrap();
    };
    let shown = || {
        let all = "deny(`${ctx.state.a ?? 0} ${ctx.state.b ?? 0} ${ctx.state.c ?? 0}`)";
        over(&hook(all), &state).unwrap().unwrap()
    };
    set("a", 1);
    state.begin();
    set("a", 2);
    state.begin_part();
    set("a", 3);
    set("b", 3);
    state.begin_part();
    set("a", 4);
    set("a", 5);
    set("c", 5);
    state.undo_part();
    assert_eq!(shown(), "3 3 0");
    state.keep_part();
    assert_eq!(shown(), "3 3 0");
    state.undo();
    assert_eq!(shown(), "1 0 0");
    // a run that has ended is not undone with the next one
    state.begin();
    set("b", 7);
    state.begin();
    set("c", 8);
    state.undo();
    assert_eq!(shown(), "1 7 0");
}
