//! Files that exist and cannot be read: they are never treated as absent.
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tidegate::cli::check::check;
use tidegate::config::Config;
use tidegate::error::Problem;
use tidegate::gateway::reload::Reloaded;
use tidegate::server::running::Running;

use super::SUCCESSFUL;
use crate::commands::{CONFIG, Serving, folder};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, completed};
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, MESSAGE, until};

const GUARD: &str = "fn on_request(request, ctx) { deny(451, \"no\"); }";

/// The ways in which a path cannot be read, for every user.
const SHAPES: [&str; 6] = ["dangling", "loop", "pipe", "socket", "device", "other kind"];

/// Puts something unreadable at a path. `kind` is what a readable one would be.
fn spoil(path: &Path, shape: &str, kind: &str) {
    match shape {
        "dangling" => symlink("nowhere", path).unwrap(),
        "loop" => symlink(path.file_name().unwrap(), path).unwrap(),
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "device" => symlink("/dev/zero", path).unwrap(),
        "other kind" if kind == "file" => fs::create_dir(path).unwrap(),
        _ => fs::write(path, "a file").unwrap(),
    }
}

/// Removes whatever is at a path.
fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn names(problems: &[Problem], path: &Path) -> bool {
    let path = path.display().to_string();
    problems
        .iter()
        .any(|problem| problem.path == path && problem.message.starts_with("cannot be read: "))
}

/// A gateway that denies every request by `policies/no.rhai`.
async fn guarded(config: &str) -> (Auto, Gateway) {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).config(config).policy("no", GUARD);
    let gateway =
        gateway.file("policies/library/canary.rhai", GUARD).file("policies/lib/m.rhai", "");
    (up, gateway.start().await)
}

async fn status(gateway: &Gateway) -> u16 {
    Ask::message(MESSAGE).send(gateway.address).await.status
}

/// Returns the problems of a reload that a file of this shape stops.
fn refused(reloaded: Reloaded, name: &str, shape: impl std::fmt::Display) -> Vec<Problem> {
    match reloaded {
        Reloaded::Refused(problems) => problems,
        _ => panic!("{name} as {shape} was read"),
    }
}

#[tokio::test]
async fn the_last_good_generation_serves_on_while_a_file_cannot_be_read() {
    let config = "pipeline: [{ policy: no }, { policy: canary }]";
    let (_up, gateway) = guarded(config).await;
    let places = [
        ("policies/no.rhai", "file"),
        ("policies/beside.rhai", "file"),
        ("policies/library/canary.rhai", "file"),
        ("policies/lib/m.rhai", "file"),
        ("policies/lib", "folder"),
        ("policies/library", "folder"),
        ("policies", "folder"),
        ("plugins/some.wasm", "file"),
        ("plugins", "folder"),
    ];
    for (place, kind) in places {
        let path = gateway.folder().join(place);
        let away = gateway.folder().join("away");
        let is_there = fs::rename(&path, &away).is_ok();
        for shape in SHAPES {
            spoil(&path, shape, kind);
            let problems = refused(gateway.reload_now().await, place, shape);
            let named = match (place, kind) {
                ("policies/library", _) => path.join("canary.rhai"),
                _ => path.clone(),
            };
            assert!(names(&problems, &named) || names(&problems, &path), "{shape}: {problems:?}");
            assert_eq!(status(&gateway).await, 451, "{place} as {shape}");
            assert_eq!(gateway.metric(SUCCESSFUL).await, 0.0);
            clear(&path);
        }
        if is_there {
            fs::rename(&away, &path).unwrap();
        }
        let back = gateway.reload_now().await;
        assert!(matches!(back, Reloaded::Swapped(_)), "{place}: {back:?}");
        assert_eq!(gateway.metric(SUCCESSFUL).await, 1.0);
    }
}

#[tokio::test]
async fn the_watch_finds_a_guard_that_becomes_unreadable_and_one_that_comes_back() {
    let (_up, gateway) = guarded("").await;
    let path = gateway.folder().join("policies/no.rhai");
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    gateway.until_metric(SUCCESSFUL, 0.0).await;
    assert_eq!(status(&gateway).await, 451);
    fs::remove_file(&path).unwrap();
    fs::write(&path, GUARD.replace("451", "403")).unwrap();
    until("the guard to be back", async || status(&gateway).await == 403).await;
    gateway.until_metric(SUCCESSFUL, 1.0).await;
}

#[tokio::test]
async fn secrets_certificates_and_the_config_itself_are_regular_files() {
    let tls = "server: { tls: { cert: cert.pem, key: key.pem }, workers: 1 }";
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = [
        ("key", "secret".to_owned()),
        ("cert.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
        ("ca.pem", made.cert.pem()),
    ];
    let providers = "providers: { up: { type: anthropic, api_key: \"${file:key}\", base_url: \"https://localhost:1\", ca_file: ca.pem } }\nmodels: { \"*\": { provider: up } }";
    let config = completed(&format!("{tls}\n{providers}\n"));
    let (folder, file) = folder(&config, &[]);
    for (name, text) in &files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let running = Running::start(&file, &Config::load(&file).unwrap()).await.unwrap();
    let places = [
        ("key", "providers.up.api_key"),
        ("cert.pem", "server.tls.cert"),
        ("key.pem", "server.tls.key"),
        ("ca.pem", "providers.up.ca_file"),
        ("tidegate.yaml", ""),
    ];
    for (name, place) in places {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        for shape in SHAPES {
            clear(&path);
            spoil(&path, shape, "file");
            let problems = refused(running.reloader.reload().await, name, shape);
            let shown = problems.iter().map(ToString::to_string).collect::<String>();
            assert!(shown.contains(place) && shown.contains(name), "{shown}");
            assert!(shown.contains("cannot be read: "), "{shown}");
        }
        clear(&path);
        fs::write(&path, whole).unwrap();
        let back = running.reloader.reload().await;
        assert!(matches!(back, Reloaded::Swapped(_)), "{back:?}");
    }
}

#[tokio::test]
async fn a_start_and_a_check_fail_if_a_file_cannot_be_read() {
    let order = "pipeline: [{ policy: canary }]\n";
    for (place, kind, order) in [
        ("policies/x.rhai", "file", ""),
        ("policies", "folder", ""),
        ("policies/library/canary.rhai", "file", order),
        ("policies/library", "folder", order),
        ("plugins/x.wasm", "file", ""),
        ("plugins", "folder", ""),
    ] {
        for shape in SHAPES {
            let (folder, file) = folder(&completed(&format!("{CONFIG}{order}")), &[]);
            let path = folder.path().join(place);
            clear(&path);
            spoil(&path, shape, kind);
            let config = Config::load(&file).unwrap();
            let started = Running::start(&file, &config).await;
            let problems = started.err().unwrap_or_else(|| panic!("{place} as {shape} was read"));
            let below = path.join("canary.rhai");
            assert!(names(&problems, &path) || names(&problems, &below), "{shape}: {problems:?}");
            let checked = tokio::task::spawn_blocking(move || check(&file)).await.unwrap();
            assert_eq!(checked.unwrap_err(), problems);
        }
    }
}

#[test]
fn a_folder_that_the_config_names_must_exist_and_the_usual_one_need_not() {
    for (config, place) in [
        ("policies: { dir: guards }\n", "policies.dir"),
        ("policies: { dir: policies }\n", "policies.dir"),
        ("policies: { dir: other/policies }\n", "policies.dir"),
        ("plugins: { dir: plugins }\n", "plugins.dir"),
    ] {
        let (folder, file) = folder(&format!("{CONFIG}{config}"), &[]);
        for usual in ["policies", "plugins"] {
            fs::remove_dir_all(folder.path().join(usual)).unwrap();
        }
        let problems = check(&file).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].path, place);
        fs::write(&file, CONFIG).unwrap();
        assert_eq!(check(&file), Ok(()));
    }
}

#[tokio::test]
async fn a_folder_of_own_copies_that_vanishes_is_a_problem() {
    let name = "redact-secrets";
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = format!("pipeline: [{{ policy: {name} }}]");
    let gateway = Gateway::with().upstream(up.address).config(config);
    let gateway = gateway.file(&format!("policies/library/{name}.rhai"), GUARD).start().await;
    let library = gateway.folder().join("policies/library");
    fs::remove_dir_all(&library).unwrap();
    let Reloaded::Refused(problems) = gateway.reload_now().await else {
        panic!("the shipped one runs")
    };
    assert_eq!(problems[0].path, library.display().to_string());
    assert_eq!(status(&gateway).await, 451);
    // an empty folder says that the shipped policy is wanted
    fs::create_dir(&library).unwrap();
    assert!(matches!(gateway.reload_now().await, Reloaded::Swapped(_)));
    assert_eq!(status(&gateway).await, 200);
}

#[test]
fn a_name_that_no_config_could_contain_is_a_problem() {
    use std::os::unix::ffi::OsStrExt;
    let (folder, file) = folder(CONFIG, &[]);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.rhai");
    fs::write(folder.path().join("policies").join(name), GUARD).unwrap();
    let problems = check(&file).unwrap_err();
    assert!(problems[0].message.starts_with("its name is no UTF-8"), "{problems:?}");
}

#[test]
fn editors_files_are_never_read() {
    let (folder, file) = folder(CONFIG, &[]);
    // emacs locks a file by a link that leads nowhere
    symlink("user@host.123", folder.path().join("policies/.#x.rhai")).unwrap();
    spoil(&folder.path().join("policies/notes"), "pipe", "file");
    assert_eq!(check(&file), Ok(()));
}

/// Runs a command as a user whom permissions bind, also if the tests run as root.
pub fn as_user(folder: &TempDir, file: &Path, command: &str) -> Command {
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    // the folder of the build may be closed to other users
    let binary = folder.path().join("tidegate");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_tidegate"), &binary).unwrap();
    }
    let closed = folder.path().join("closed");
    fs::write(&closed, "").unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o0)).unwrap();
    let mut process = Command::new(&binary);
    process.args([command, "--config"]).arg(file).current_dir(folder.path());
    if fs::read(&closed).is_ok() {
        process.uid(65534).gid(65534);
    }
    process
}

/// The path and mode of a file or folder.
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_and_folders_without_permission_are_problems_of_check() {
    let order = "pipeline: [{ policy: canary }]\n";
    let (folder, file) = folder(&format!("{CONFIG}{order}"), &[]);
    for name in ["policies/no.rhai", "policies/library/canary.rhai"] {
        fs::write(folder.path().join(name), GUARD).unwrap();
    }
    fs::write(folder.path().join("plugins/some.wasm"), "no plugin").unwrap();
    for (name, mode, usual) in [
        ("policies", 0o000, 0o755),
        // may be listed but not entered, and the other way round
        ("policies", 0o444, 0o755),
        ("policies", 0o111, 0o755),
        ("policies/no.rhai", 0o000, 0o644),
        ("policies/library", 0o000, 0o755),
        ("policies/library/canary.rhai", 0o000, 0o644),
        ("plugins", 0o000, 0o755),
        ("plugins/some.wasm", 0o000, 0o644),
    ] {
        let path = folder.path().join(name);
        set_mode(&path, mode);
        let output: Output = as_user(&folder, &file, "check").output().unwrap();
        set_mode(&path, usual);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name} {mode:o}: {said}");
        let found = said.lines().any(|line| {
            line.starts_with(&path.display().to_string())
                && line.contains("cannot be read: Permission denied")
        });
        assert!(found, "{name} {mode:o}: {said}");
    }
}

#[tokio::test]
async fn a_running_gateway_that_loses_permissions_keeps_its_guard() {
    let config = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\nlog: { format: json }\n";
    let (folder, file) = folder(&format!("{config}{CONFIG}"), &[]);
    let policies = folder.path().join("policies");
    fs::write(policies.join("no.rhai"), GUARD).unwrap();
    let mut process = as_user(&folder, &file, "serve").stderr(Stdio::piped()).spawn().unwrap();
    let log = process.stderr.take().unwrap();
    let _serving = Serving(process);
    let (lines, mut said) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        use std::io::BufRead;
        let mut read = std::io::BufReader::new(log).lines().map_while(Result::ok);
        read.try_for_each(|line| lines.send(line)).ok();
    });
    let mut line = async |text: &str| loop {
        let line = said.recv().await.expect("a log line");
        if line.contains(text) {
            return serde_json::from_str::<serde_json::Value>(&line).unwrap();
        }
    };
    let start = line("tidegate serves").await;
    let address = start["listen"].as_str().unwrap().parse().unwrap();
    assert_eq!(Ask::message(MESSAGE).send(address).await.status, 451);
    for path in [policies.clone(), policies.join("no.rhai")] {
        let usual = fs::metadata(&path).unwrap().permissions().mode();
        set_mode(&path, 0);
        let problem = line("reload failed").await;
        let expected = format!("{}: cannot be read: Permission denied", path.display());
        assert!(problem["problem"].as_str().unwrap().starts_with(&expected), "{problem}");
        assert_eq!(Ask::message(MESSAGE).send(address).await.status, 451);
        set_mode(&path, usual);
        line("new generation in use").await;
    }
}

#[tokio::test]
async fn a_pipe_in_every_place_stops_neither_admin_nor_the_end() {
    let (up, gateway) = guarded("").await;
    let pipe = |name: &str| {
        let path: PathBuf = gateway.folder().join(name);
        clear(&path);
        spoil(&path, "pipe", "file");
    };
    for name in ["policies/x.rhai", "policies/lib/x.rhai", "plugins/x.wasm", "tidegate.yaml"] {
        pipe(name);
    }
    gateway.until_metric(SUCCESSFUL, 0.0).await;
    assert!(matches!(gateway.reload_now().await, Reloaded::Refused(_)));
    assert_eq!(status(&gateway).await, 451);
    gateway.stop().await;
    drop(up);
}
