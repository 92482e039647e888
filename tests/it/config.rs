//! Commands about the config, and a config that a command writes.
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::MESSAGE;
use crate::support::client::Ask;
use crate::support::gateway::Gateway;

const FOLDER: &str = "tests/fixtures/config";

fn tidegate(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_exits_1_with_every_problem_on_a_line() {
    let path = "tests/fixtures/config/invalid/names.yaml";
    let (code, out, err) = tidegate(&["check", "--config", path]);
    let expected = fs::read_to_string(Path::new(path).with_extension("err")).unwrap();
    assert_eq!((code, out.as_str(), err), (1, "", expected));
}

#[test]
fn check_says_ok() {
    let path = "tests/fixtures/config/valid/smallest.yaml";
    assert_eq!(tidegate(&["--config", path, "check"]), (0, "ok\n".to_owned(), String::new()));
}

#[tokio::test]
async fn a_new_key_comes_with_an_entry_that_lets_it_in() {
    let (code, out, _) = tidegate(&["key", "new", "--name", "it's: \"mine\""]);
    assert_eq!(code, 0);
    let key = out.lines().next().unwrap();
    assert!(key.starts_with("tg_") && out.matches(key).count() == 1);
    let smallest = fs::read_to_string(Path::new(FOLDER).join("valid/smallest.yaml")).unwrap();
    let entry = out.split_once('#').unwrap().1;
    let policy = "fn on_request(request, ctx) { respond(ctx.key); }";
    let config = format!("{smallest}#{entry}");
    let gateway = Gateway::with().config(config).policy("named", policy).start().await;
    let ask = Ask::message(MESSAGE).header("x-api-key", key);
    assert_eq!(ask.send(gateway.address).await.message()["content"][0]["text"], "it's: \"mine\"");
}
