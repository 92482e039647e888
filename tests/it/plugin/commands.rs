//! `tidegate plugin`: what each command says, and when it exits with 1.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;

use crate::support::plugins::wasm;

/// In a folder that holds the built guests under their names.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["datetime", "hooks", "unruly"] {
        fs::copy(wasm(name), folder.path().join(format!("{name}.wasm"))).unwrap();
    }
    folder
}

fn plugin(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("plugin").args(args).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What stands on standard error of a command that exits with 1.
#[track_caller]
fn refused(folder: &Path, args: &[&str]) -> String {
    let (code, out, err) = said(&plugin(folder, args));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    err
}

#[track_caller]
fn printed(folder: &Path, args: &[&str]) -> String {
    let (code, out, err) = said(&plugin(folder, args));
    assert_eq!(code, Some(0), "{err}");
    out
}

#[test]
fn inspect_describes_a_plugin_without_running_it() {
    let folder = folder();
    let shown = printed(folder.path(), &["inspect", "datetime.wasm"]);
    for line in [
        "datetime 0.1.0",
        "border   tidegate:plugin@0.1.0",
        "hooks    none",
        "wants    none",
        "imports  none",
        "config   none",
        "gateway:datetime  ",
        "input    timezones?: string[]",
    ] {
        assert!(shown.contains(line), "no `{line}` in:\n{shown}");
    }
    assert!(!shown.contains("was run to read it"), "{shown}");
    assert!(!folder.path().join(".tidegate").exists(), "something was compiled");
    let hooks = printed(folder.path(), &["inspect", "hooks.wasm"]);
    assert!(hooks.contains("hooks    on-request, on-upstream-request, on-response"), "{hooks}");
    assert!(hooks.contains("config   limit?: integer"), "{hooks}");
}

#[test]
fn inspect_says_when_it_had_to_run_a_plugin_for_its_manifest() {
    let folder = folder();
    let file = folder.path().join("hooks.wasm");
    let mut bytes = fs::read(&file).unwrap();
    let at = memchr::memmem::find(&bytes, b"tidegate:manifest").expect("a manifest");
    bytes[at] = b'T';
    fs::write(&file, bytes).unwrap();
    let shown = printed(folder.path(), &["inspect", "hooks.wasm"]);
    assert!(shown.contains("the plugin was run to read it"), "{shown}");
    assert!(shown.contains("hooks    on-request, "), "{shown}");
}

#[test]
fn inspect_and_call_reject_a_file_that_is_not_a_plugin() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let whole = fs::read(wasm("hooks")).unwrap();
    write("text.wasm", b"hello");
    write("core.wasm", b"\0asm\x01\0\0\0");
    write("half.wasm", &whole[..whole.len() / 2]);
    for (file, says) in [
        ("text.wasm", "is no WebAssembly file"),
        ("core.wasm", "is a core module, not a component: build it with `tidegate plugin build`"),
        ("half.wasm", "was it written to its end?"),
    ] {
        for args in [&["inspect", file][..], &["call", file, "x"]] {
            let err = refused(folder.path(), args);
            assert!(err.starts_with(file) && err.contains(says), "{args:?}: {err}");
        }
    }
    assert!(refused(folder.path(), &["inspect", "no.wasm"]).contains("no.wasm: cannot be read"));
    assert_eq!(refused(folder.path(), &["call", "no.wasm", "x"]), "no.wasm: file not found\n");
}

#[test]
fn call_runs_a_tool_and_prints_its_result() {
    let folder = folder();
    let zones = r#"{"timezones": ["Asia/Kathmandu"]}"#;
    let text = printed(folder.path(), &["call", "datetime.wasm", "datetime", zones]);
    assert!(text.starts_with(r#"{"timezones":[{"timezone":"Asia/Kathmandu""#), "{text}");
    // by the name that callers use, and with the options of a declaration
    let options = r#"{"timezone": "Europe/Berlin"}"#;
    let args = ["call", "datetime.wasm", "gateway:datetime", zones, "--options", options];
    let text = printed(folder.path(), &args);
    assert!(text.contains("Europe/Berlin") && !text.contains("Kathmandu"), "{text}");
}

#[test]
fn a_call_that_fails_says_why_with_its_code() {
    let folder = folder();
    let call =
        |tool: &str, input: &str| refused(folder.path(), &["call", "datetime.wasm", tool, input]);
    let wrong = call("datetime", r#"{"timezones": ["Mars/Olympus"]}"#);
    assert!(wrong.starts_with("invalid_input: unknown time zone `Mars/Olympus`"), "{wrong}");
    assert_eq!(call("clock", "{}"), "datetime.wasm: has no tool `clock`: it has `datetime`\n");
    assert_eq!(call("datetime", "{\n\"a\" 1}"), "the input:2:5: not a JSON object: expected `:`\n");
    assert!(call("datetime", "[1]").starts_with("the input:1:1: not a JSON object: "));
    let args = ["call", "datetime.wasm", "datetime", "--options", "oops"];
    assert!(refused(folder.path(), &args).starts_with("--options:1:1: not a JSON object"));
    let broke = refused(folder.path(), &["call", "unruly.wasm", "panic", r#"{"text": "oh"}"#]);
    assert!(broke.contains("broke: plugin `unruly` 0.1.0 in `call-tool panic`"), "{broke}");
    assert!(broke.contains("its last words: "), "{broke}");
    let none = refused(folder.path(), &["call", "hooks.wasm", "x"]);
    assert_eq!(none, "hooks.wasm: has no tool `x`: it has none\n");
}

#[test]
fn call_prints_the_changes_that_a_hook_makes_to_a_request() {
    let folder = folder();
    let body = r#"{"model": "claude-x", "max_tokens": 9000, "messages": []}"#;
    fs::write(folder.path().join("body.json"), body).unwrap();
    let hook = ["call", "hooks.wasm", "--hook", "on-request", "--request", "body.json"];
    let shown = printed(folder.path(), &hook);
    assert!(shown.starts_with("hooks on-request  "), "{shown}");
    assert!(shown.contains(" -   \"max_tokens\": 9000,\n +   \"max_tokens\": 1024,\n"), "{shown}");

    let denied = printed(folder.path(), &[&hook[..], &["--with", r#"{"act": "deny"}"#]].concat());
    assert!(denied.contains("deny  "), "{denied}");
    let (code, broke, _) =
        said(&plugin(folder.path(), &[&hook[..], &["--with", r#"{"act": "panic"}"#]].concat()));
    assert_eq!(code, Some(1), "{broke}");
    assert!(broke.contains("broke  500 plugin `hooks` broke in `on-request`"), "{broke}");

    // what a gateway would say to the stage is said here
    let wrong = refused(folder.path(), &[&hook[..], &["--with", r#"{"idle": 1}"#]].concat());
    assert!(wrong.starts_with("--with: "), "{wrong}");
    let idle = [&hook[..], &["--with", r#"{"idle": true}"#]].concat();
    let (code, _, err) = said(&plugin(folder.path(), &idle));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("a gateway does not call `on-request`"), "{err}");

    let args = ["call", "datetime.wasm", "--hook", "on-request", "--request", "body.json"];
    let none = refused(folder.path(), &args);
    assert_eq!(none, "datetime.wasm: has no hook `on-request`: it has none\n");
    let args = ["call", "hooks.wasm", "--hook", "on-event", "--request", "body.json"];
    assert!(
        refused(folder.path(), &args).contains("has no hook `on-event`: it has `on-request`, `")
    );
    let args = ["call", "hooks.wasm", "--hook", "on-request", "--request", "none.json"];
    assert!(refused(folder.path(), &args).starts_with("none.json: cannot be read"));
}

#[test]
fn call_reads_the_plugins_config_from_the_gateways_and_from_the_line() {
    let folder = folder();
    let body = r#"{"model": "claude-x", "max_tokens": 9000}"#;
    fs::write(folder.path().join("body.json"), body).unwrap();
    let config = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }\n\
                  plugins: { config: { hooks: { limit: 7 } } }\n";
    fs::write(folder.path().join("tidegate.yaml"), config).unwrap();
    let hook = ["call", "hooks.wasm", "--hook", "on-request", "--request", "body.json"];
    assert!(printed(folder.path(), &hook).contains("\"max_tokens\": 7"));
    let over = [&hook[..], &["--plugin-config", r#"{"limit": 9}"#]].concat();
    assert!(printed(folder.path(), &over).contains("\"max_tokens\": 9"));
    let wrong = [&hook[..], &["--plugin-config", r#"{"limit": 0}"#]].concat();
    let err = refused(folder.path(), &wrong);
    assert_eq!(err, "hooks.wasm: refuses its config: `limit` is 0: give at least 1\n");
}

#[test]
fn call_allows_capabilities_that_the_manifest_wants_and_the_command_line_grants() {
    let folder = folder();
    fs::copy(wasm("reach"), folder.path().join("reach.wasm")).unwrap();
    let keep = ["call", "reach.wasm", "keep", r#"{"key": "a", "value": "b"}"#];
    let denied = refused(folder.path(), &keep);
    assert!(denied.contains("add `plugins.config.reach.max_kv_bytes: 100`"), "{denied}");
    let granted = [&keep[..], &["--grant", "max_kv_bytes=100"]].concat();
    assert_eq!(printed(folder.path(), &granted), "kept\n");

    // the guard is the gateway's: an address of this machine is not for plugins
    let fetch = ["call", "reach.wasm", "fetch", r#"{"url": "http://127.0.0.1:9/"}"#];
    let denied = refused(folder.path(), &fetch);
    assert!(denied.starts_with("not_granted: "), "{denied}");
    let granted = [&fetch[..], &["--grant", "allow_hosts=127.0.0.1:9"]].concat();
    let refused_by_guard = refused(folder.path(), &granted);
    assert!(refused_by_guard.starts_with("url_not_allowed: "), "{refused_by_guard}");
}

#[test]
fn call_asks_models_through_the_gateway_of_the_config() {
    let folder = folder();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::copy(wasm("reach"), folder.path().join("reach.wasm")).unwrap();
    let ask = r#"{"model": "advisor-1", "max_tokens": 50}"#;
    let args = ["call", "reach.wasm", "ask", ask, "--grant", "allow_models=advisor-1"];
    let alone = refused(folder.path(), &args);
    let expect = "permission_error: model calls need a gateway's config: `tidegate.yaml` not found";
    assert!(alone.starts_with(expect), "{alone}");
    let config = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }\n";
    fs::write(folder.path().join("tidegate.yaml"), config).unwrap();
    let told = printed(folder.path(), &args);
    assert!(told.contains("You said: hi"), "{told}");

    // the tools of that model are those of the gateway
    let place = folder.path().join("plugins/datetime.wasm");
    fs::copy(wasm("datetime"), place).unwrap();
    let ask = json!({
        "model": "advisor-1", "max_tokens": 500, "tool": "gateway:datetime",
        "say": "[sim: call datetime {\"timezones\": [\"Asia/Kathmandu\"]}]",
    });
    let ask = ask.to_string();
    let args = ["call", "reach.wasm", "ask", &ask, "--grant", "allow_models=advisor-1"];
    let told = printed(folder.path(), &args);
    assert!(told.contains("+05:45"), "{told}");
}

#[test]
fn call_keeps_published_files_in_a_folder_and_prints_its_path() {
    let folder = folder();
    let other = tempfile::tempdir().unwrap();
    fs::copy(wasm("reach"), folder.path().join("reach.wasm")).unwrap();
    let call = |more: &[&str]| {
        let args = [&["call", "reach.wasm", "publish", r#"{"text": "a file"}"#], more].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("plugin").args(args).current_dir(folder.path()).env("TMPDIR", other.path());
        said(&command.output().unwrap())
    };
    let (code, _, err) = call(&[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("add `plugins.config.reach.publish: true`"), "{err}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);

    let (code, out, err) = call(&["--grant", "publish=true"]);
    assert_eq!(code, Some(0), "{err}");
    let path = out.trim().strip_prefix("file://").unwrap();
    assert!(Path::new(path).starts_with(other.path()) && path.ends_with("/1.txt"), "{path}");
    assert_eq!(fs::read_to_string(path).unwrap(), "a file");
    assert_eq!(err, format!("published {path}: `text/plain`, 6 bytes\n"));

    // the bound is the config's
    let config = "providers: { sim: { type: simulator } }\nmodels: { \"*\": { provider: sim } }\n\
        plugins: { files: { max_bytes: 10 } }\n";
    fs::create_dir_all(folder.path().join("plugins")).unwrap();
    fs::write(folder.path().join("tidegate.yaml"), config).unwrap();
    let (code, _, err) = call(&["--grant", "publish=true"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("too_large: the file is larger than the limit of 10 bytes"), "{err}");
}

#[test]
fn a_grant_that_there_is_not_names_those_there_are() {
    let folder = folder();
    let call = |grant: &str| {
        let args = ["call", "datetime.wasm", "datetime", "--grant", grant];
        let (code, _, err) = said(&plugin(folder.path(), &args));
        assert_eq!(code, Some(2), "{err}");
        err
    };
    assert!(call("files=/").contains("unknown grant `files`: use one of allow_hosts, allow_"));
    assert!(call("allow_hosts").contains("write `KEY=VALUE`"));
    assert!(call("publish=maybe").contains("`maybe` is not a valid value for `publish`"));
}

#[test]
fn a_new_project_has_all_of_the_sdk_and_names_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let told = printed(folder.path(), &["new", "word-count"]);
    assert!(told.contains("`gateway:word_count`") && told.contains("cd word-count"), "{told}");
    let project = folder.path().join("word-count");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |dir: &Path| -> BTreeSet<_> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let (ours, theirs) = (root.join("sdk/src"), project.join(".sdk/src"));
    assert_eq!(names(&ours), names(&theirs), "`plugin new` lists the SDK's files one by one");
    for name in names(&ours) {
        assert_eq!(fs::read(ours.join(&name)).unwrap(), fs::read(theirs.join(&name)).unwrap());
    }
    let manifest = fs::read_to_string(project.join(".sdk/Cargo.toml")).unwrap();
    assert!(!manifest.contains("workspace ="), "the SDK would look for one:\n{manifest}");
    let source = fs::read_to_string(project.join("src/lib.rs")).unwrap();
    assert!(source.contains(r#"Tool::new("word_count""#), "{source}");
    let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"word-count\""), "{manifest}");

    let err = refused(folder.path(), &["new", "word-count"]);
    assert_eq!(err, "word-count: already exists: move it away or choose another name\n");
}

#[test]
fn new_makes_projects_in_python_and_javascript_with_their_library() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (lang, main, library) in
        [("python", "app.py", "tidegate.py"), ("js", "plugin.js", "tidegate.js")]
    {
        printed(folder.path(), &["new", lang, "--lang", lang]);
        let project = folder.path().join(lang);
        let text = |file: &str| fs::read_to_string(project.join(file)).unwrap();
        assert!(text(main).contains(&format!("gateway:{lang}")), "{}", text(main));
        let ours = fs::read_to_string(root.join("sdk").join(lang).join(library)).unwrap();
        assert_eq!(text(library), ours);
        assert_eq!(
            text("wit/tidegate.wit"),
            fs::read_to_string(root.join("sdk/wit/tidegate.wit")).unwrap()
        );
    }
}

#[test]
fn a_name_that_cargo_or_a_tool_would_not_take_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat(65);
    for name in ["Dice", "1die", "my_die", "die-", "../die", "", &long] {
        let err = refused(folder.path(), &["new", name]);
        assert!(err.contains("is not a valid plugin name: use up to 64 of a-z"), "{name}: {err}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn build_names_the_missing_sources_or_tools_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let err = refused(folder.path(), &["build"]);
    assert!(err.contains("it has no `Cargo.toml`, `app.py` or `app.js`"), "{err}");
    assert!(refused(folder.path(), &["build", "nowhere"]).starts_with("nowhere: "));
    for (lang, says) in [
        ("python", ".venv/bin/pip install componentize-py==0.25.1"),
        ("js", "npm install --save-dev @bytecodealliance/componentize-js@0.23.0"),
    ] {
        printed(folder.path(), &["new", lang, "--lang", lang]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["plugin", "build", lang]).current_dir(folder.path()).env("PATH", "");
        let (code, _, err) = said(&command.output().unwrap());
        assert_eq!(code, Some(1));
        assert!(err.contains(says), "{err}");
        let project = folder.path().join(lang);
        let left = fs::read_dir(project.join(".tidegate")).unwrap().count();
        assert_eq!(left, 0, "intermediate files stayed behind");
    }
}

#[test]
fn the_examples_have_the_libraries_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (ours, theirs) in [
        ("sdk/python/tidegate.py", "python/tidegate.py"),
        ("sdk/js/tidegate.js", "js/tidegate.js"),
        ("src/cli/plugin_templates/js/app.js", "js/app.js"),
    ] {
        let example = root.join("examples/plugins").join(theirs);
        let is_same = fs::read(root.join(ours)).unwrap() == fs::read(&example).unwrap();
        // links would do, but componentize-py reads no file outside of the project
        assert!(is_same, "copy {ours} to {}", example.display());
    }
}

/// The version that the messages name is the one that projects pin.
#[test]
fn one_version_of_each_foreign_toolchain_is_named_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    for file in [
        "src/cli/plugin_templates/python/requirements.txt",
        "examples/plugins/python/requirements.txt",
        "builder/src/project.rs",
    ] {
        assert!(text(file).contains("componentize-py==0.25.1"), "{file}");
    }
    for file in ["src/cli/plugin_templates/js/package.json", "examples/plugins/js/package.json"] {
        assert!(text(file).contains("\"@bytecodealliance/componentize-js\": \"0.23.0\""), "{file}");
    }
}
