//! Text files of the operator: a byte-order mark of UTF-8 is dropped, another encoding is a problem that names it.
use std::fs;
use std::path::Path;

use tidegate::cli::check::check;
use tidegate::cli::test::run;
use tidegate::error::Problem;
use tidegate::gateway::reload::Reloaded;

use crate::commands::{CONFIG, POLICY, cases, folder};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE};

/// A text with the byte-order mark that some editors write.
fn marked(text: &str) -> String {
    format!("\u{feff}{text}")
}

fn wide(text: &str) -> Vec<u8> {
    marked(text).encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn policies_modules_secrets_and_the_config_may_begin_with_a_mark() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let provider = format!(
        "{{ type: anthropic, api_key: \"${{file:key}}\", base_url: \"http://{}\" }}",
        up.address
    );
    let policy =
        "import \"lib/m\" as m;\nfn on_request(request, ctx) { request.max_tokens = m::five(); }";
    let gateway = Gateway::with()
        .provider("up", &provider)
        .file("key", marked("secret\r\n"))
        .policy("p", &marked(policy))
        .file("policies/lib/m.rhai", marked("fn five() { 5 }"))
        .start()
        .await;
    let text = fs::read_to_string(gateway.file()).unwrap();
    fs::write(gateway.file(), marked(&text)).unwrap();
    let reloaded = gateway.reload_now().await;
    assert!(matches!(reloaded, Reloaded::Swapped(_)), "{reloaded:?}");
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 200);
    let (head, _) = up.seen().pop().unwrap();
    assert_eq!(head.header("x-api-key"), Some("secret"));
    assert_eq!(up.requests()[0]["max_tokens"], 5);
}

#[test]
fn cases_may_begin_with_a_mark_and_are_utf8() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("five.cases.yaml");
    fs::write(dir.path().join("five.rhai"), marked(POLICY)).unwrap();
    let said = || {
        let mut out = Vec::new();
        let passed = run(dir.path(), &mut out);
        let text = String::from_utf8(out).unwrap();
        (passed, text.replace(&format!("{}/", dir.path().display()), ""))
    };
    fs::write(&path, marked(&cases(5))).unwrap();
    assert_eq!(said(), (true, "ok    five: five it is\n1 passed, 0 failed\n".to_owned()));
    fs::write(&path, wide(&cases(5))).unwrap();
    let (passed, text) = said();
    assert!(!passed);
    assert!(text.starts_with("five.cases.yaml: is encoded as UTF-16 (little-endian): "), "{text}");
    fs::write(&path, b"- name: five\n# caf\xe9\n").unwrap();
    assert!(said().1.starts_with("five.cases.yaml:2: is no UTF-8 text"), "{}", said().1);
}

#[test]
fn an_authority_after_a_mark_is_not_lost() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config =
        "providers: { a: { type: anthropic, ca_file: ca.pem } }\nmodels: { m: { provider: a } }\n";
    let (folder, file) = folder(config, &[("ca.pem", &marked(&made.cert.pem()))]);
    assert_eq!(check(&file), Ok(()));
    fs::write(folder.path().join("ca.pem"), wide(&made.cert.pem())).unwrap();
    let problems = check(&file).unwrap_err();
    assert_eq!(problems[0].path, "providers.a.ca_file");
    assert!(problems[0].message.contains("UTF-16 (little-endian): expected UTF-8"), "{problems:?}");
}

#[test]
fn check_names_the_encoding_of_each_file() {
    let config = CONFIG.replace(
        "sim: { type: simulator }",
        "sim: { type: simulator }, a: { type: anthropic, api_key: \"${file:key}\" }",
    );
    let (folder, file) = folder(&config, &[("key", "secret"), ("policies/a.rhai", POLICY)]);
    fs::create_dir(folder.path().join("policies/lib")).unwrap();
    assert_eq!(check(&file), Ok(()));
    let found = |name: &str, content: &[u8]| -> Problem {
        let path = folder.path().join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, content).unwrap();
        let problem = check(&file).expect_err(name).remove(0);
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        problem
    };
    let shown = |name: &str, line: &str| format!("{}{line}", folder.path().join(name).display());
    for name in ["policies/a.rhai", "policies/lib/m.rhai", "tidegate.yaml"] {
        let problem = found(name, &wide(POLICY));
        assert_eq!(problem.path, shown(name, ""));
        let expected = "is encoded as UTF-16 (little-endian): expected UTF-8, save it as UTF-8";
        assert!(problem.message.starts_with(expected), "{problem}");
        let problem = found(name, b"// first\n// caf\xe9\n");
        assert_eq!(problem.path, shown(name, ":2"));
        assert!(problem.message.starts_with("is no UTF-8 text"), "{problem}");
    }
    let problem = found("key", &wide("secret"));
    assert_eq!(problem.path, "providers.a.api_key");
    assert!(problem.message.starts_with("the file `key` is encoded as UTF-16"), "{problem}");
    let problem = found("key", b"se\ncr\xe9t");
    assert!(problem.message.contains("(line 2)") && !problem.message.contains("se\n"), "{problem}");
}

#[test]
fn the_mark_is_no_part_of_the_columns_in_messages() {
    let (folder, file) = folder(CONFIG, &[("policies/a.rhai", &marked("let x = ;"))]);
    let marked_at = check(&file).unwrap_err().remove(0);
    fs::write(folder.path().join("policies/a.rhai"), "let x = ;").unwrap();
    assert_eq!(marked_at, check(&file).unwrap_err().remove(0));
    assert!(Path::new(&marked_at.path).is_absolute(), "{marked_at}");
}
