//! `tidegate test`: cases of policies in a folder, and of the shipped ones.
use std::fs;
use std::path::Path;

use tidegate::cli::test::run;

fn test_command(files: &[(&str, &str)]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let mut out = Vec::new();
    let passed = run(dir.path(), &mut out);
    let out = String::from_utf8(out).unwrap();
    (passed, out.replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn the_test_command_tells_of_each_case_and_counts() {
    let policy = "fn on_request(request, ctx) { request.a = 1; }";
    let cases = "- { name: good, request: {}, expect: { request: { a: 1 } } }\n- { name: bad, request: {}, expect: { request: { a: 2 } } }";
    let (passed, out) = test_command(&[("p.rhai", policy), ("p.cases.yaml", cases)]);
    assert!(!passed);
    assert_eq!(
        out,
        "ok    p: good\nFAIL  p: bad  (p.cases.yaml:2)\n      request.a\n        expected  2\n        found     1\n1 passed, 1 failed\n"
    );
    let (passed, out) = test_command(&[("p.rhai", policy)]);
    assert!(passed);
    assert_eq!(out, "p: no cases\n0 passed, 0 failed\n");
}

#[test]
fn the_test_command_fails_for_cases_that_cannot_run() {
    let policy = "fn on_request(request, ctx) { }";
    for (files, expected) in [
        (vec![("q.cases.yaml", "[]")], "q.cases.yaml: there is no policy `q.rhai`"),
        (vec![("p.rhai", "fn on_request(")], "p.rhai:1:"),
        (vec![("p.rhai", policy), ("p.cases.yaml", "[]")], "p.cases.yaml: the file has no cases"),
        (vec![("p.rhai", policy), ("p.cases.yaml", "- { nam: x }")], "p.cases.yaml:1:"),
    ] {
        let (passed, out) = test_command(&files);
        assert!(!passed && out.starts_with(expected), "{out}");
    }
    let mut out = Vec::new();
    assert!(!run(Path::new("no/such/folder"), &mut out));
    assert!(String::from_utf8(out).unwrap().starts_with("no/such/folder: cannot be read"));
}

#[test]
fn the_shipped_policies_keep_their_cases() {
    let mut out = Vec::new();
    let passed = run(Path::new("policies"), &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(passed && out.contains("cap-max-tokens: ") && out.contains("system-note: "), "{out}");
    for entry in fs::read_dir("policies").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "rhai") {
            assert!(fs::read_to_string(&path).unwrap().starts_with("// "), "{}", path.display());
            assert!(path.with_extension("cases.yaml").exists(), "{}", path.display());
        }
    }
}
