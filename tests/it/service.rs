//! The gateway as a service: the messages to a service manager, `healthcheck`, and the files that packages install.
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate::cli::check::check;

use crate::commands::{CONFIG, Serving, folder, tidegate};
use crate::support::gateway::Gateway;
use crate::support::repository::{root, text};

/// The longest wait for a message. Only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service manager with a gateway.
struct Managed {
    folder: TempDir,
    socket: UnixDatagram,
    gateway: Serving,
}

impl Managed {
    /// Starts a gateway that reports to the socket of this address.
    fn start(address: &UnixAddr, variable: &str) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let config =
            format!("listen: 127.0.0.1:0\nledger: off\nserver: {{ workers: 2 }}\n{CONFIG}");
        let (folder, file) = folder(&config, &[]);
        let mut serve = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        serve.args(["serve", "--config"]).arg(&file).stderr(Stdio::null());
        serve.env("NOTIFY_SOCKET", variable).env("WATCHDOG_USEC", "1000000");
        let gateway = Serving(serve.spawn().unwrap());
        Self { folder, socket, gateway }
    }

    /// The next message that is no sign of life.
    fn message(&self) -> Vec<String> {
        loop {
            let lines = self.any_message();
            if lines != ["WATCHDOG=1"] {
                return lines;
            }
        }
    }

    fn any_message(&self) -> Vec<String> {
        let mut room = [0; 1024];
        let length = self.socket.recv(&mut room).expect("a message");
        let text = std::str::from_utf8(&room[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.gateway.0.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn a_service_manager_hears_of_the_start_of_reloads_of_life_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let address = UnixAddr::from_pathname(&path).unwrap();
    let mut managed = Managed::start(&address, path.to_str().unwrap());
    assert_eq!(managed.message(), ["READY=1"]);
    assert_eq!(managed.any_message(), ["WATCHDOG=1"]);

    let reloaded = |managed: &Managed, end: &str| {
        managed.signal("HUP");
        let begun = managed.message();
        assert_eq!(begun[0], "RELOADING=1");
        let time = begun[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
        let ended = managed.message();
        assert_eq!(ended[0], "READY=1");
        assert!(ended[1].starts_with("STATUS=") && ended[1].contains(end), "{ended:?}");
    };
    reloaded(&managed, "generation 2 serves");
    fs::write(managed.folder.path().join("policies/wrong.rhai"), "fn on_request(").unwrap();
    reloaded(&managed, "the last reload failed");

    managed.signal("TERM");
    let stopping = managed.message();
    assert_eq!(stopping[0], "STOPPING=1");
    // the deadline of a drain is 30 s by default
    let time: u64 = stopping[1].strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap().parse().unwrap();
    assert!(time >= 30_000_000, "{time}");
    assert_eq!(wait(&mut managed.gateway.0), Some(0));
}

#[test]
fn the_socket_of_a_service_manager_may_have_an_abstract_name() {
    let name = format!("tidegate-service-{}", std::process::id());
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    let managed = Managed::start(&address, &format!("@{name}"));
    assert_eq!(managed.message(), ["READY=1"]);
}

fn healthcheck(file: &Path, url: Option<&str>) -> (Option<i32>, String) {
    let args = [
        &["healthcheck"][..],
        &url.map(|url| ["--url", url]).into_iter().flatten().collect::<Vec<_>>(),
    ];
    let Output { status, stdout, stderr } = tidegate(file, &args.concat());
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_asks_the_admin_listener_of_the_config_or_else_the_public_one() {
    let gateway = Gateway::start(CONFIG).await;
    let of = |addresses: &str| folder(&format!("{addresses}{CONFIG}"), &[]);
    let (_with, with_admin) = of(&format!("admin: {{ listen: {} }}\n", gateway.admin));
    assert_eq!(healthcheck(&with_admin, None), (Some(0), String::new()));
    // all addresses of the machine, one of which is loopback
    let any = SocketAddr::from(([0, 0, 0, 0], gateway.address.port()));
    let (_any, public) =
        of(&format!("listen: {any}\nkeys: [{{ name: a, key: a-key-of-a-client }}]\n"));
    assert_eq!(healthcheck(&public, None), (Some(0), String::new()));
    // a mistake in the file is no sign of an ill gateway, which serves its last good generation
    let (_wrong, wrong) = of(&format!("lisen: x\nadmin: {{ listen: {} }}\n", gateway.admin));
    assert_eq!(healthcheck(&wrong, None), (Some(0), String::new()));
    let ready = format!("http://{}/readyz", gateway.admin);
    assert_eq!(healthcheck(Path::new("nowhere.yaml"), Some(&ready)), (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_fails_with_a_reason() {
    let gateway = Gateway::start(CONFIG).await;
    let (code, said) = healthcheck(Path::new("nowhere.yaml"), None);
    assert!(code == Some(1) && said.contains("nowhere.yaml"), "{said}");
    let missing = format!("http://{}/v1/none", gateway.address);
    let (code, said) = healthcheck(Path::new("nowhere.yaml"), Some(&missing));
    assert!(
        code == Some(1) && said.contains("expected a status of 200 to 299, found 404"),
        "{said}"
    );
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, file) = folder(&format!("admin: {{ listen: {closed} }}\n{CONFIG}"), &[]);
    let (code, said) = healthcheck(&file, None);
    assert!(code == Some(1) && said.contains("cannot be reached"), "{said}");
    let tls = "server: { tls: { cert: c.pem, key: k.pem } }\n";
    let (_folder, file) = folder(&format!("{tls}{CONFIG}"), &[]);
    let (code, said) = healthcheck(&file, None);
    assert!(code == Some(1) && said.contains("`--url`"), "{said}");
    // no URL is a mistake of the command line
    assert_eq!(healthcheck(&file, Some("127.0.0.1:4001")).0, Some(2));
}

/// Checks a config of `deploy/` with its folders in a scratch folder, and the variables that it needs.
fn checked(config: &str, places: &[(&str, &str)], files: &[(&str, &str)]) {
    let scratch = tempfile::tempdir().unwrap();
    for (_, own) in places {
        fs::create_dir_all(scratch.path().join(own)).unwrap();
    }
    for (name, text) in files {
        fs::write(scratch.path().join(name), text).unwrap();
    }
    let mut config = config.to_owned();
    for (place, own) in places {
        assert!(config.contains(place), "{place}");
        config = config.replace(place, scratch.path().join(own).to_str().unwrap());
    }
    for variable in ["ANTHROPIC_API_KEY", "TIDEGATE_KEY", "TIDEGATE_ADMIN_TOKEN"] {
        config = config.replace(&format!("${{{variable}}}"), "a-value-of-the-environment");
    }
    let file = scratch.path().join("tidegate.yaml");
    fs::write(&file, config).unwrap();
    assert!(check(&file).is_ok(), "{:?}", check(&file).err());
}

/// The documents of a manifest, as JSON.
struct Manifest(Vec<Value>);

impl Manifest {
    fn read(name: &str) -> Self {
        let text = text(&format!("deploy/kubernetes/{name}.yaml"));
        Self(text.split("\n---\n").map(tree).collect())
    }

    fn of(&self, kind: &str, name: &str) -> &Value {
        let fits = |one: &&Value| one["kind"] == kind && one["metadata"]["name"] == name;
        self.0.iter().find(fits).unwrap_or_else(|| panic!("no {kind} `{name}`"))
    }

    /// The gateway's config.
    fn config(&self) -> &str {
        self.of("ConfigMap", "tidegate")["data"]["tidegate.yaml"].as_str().unwrap()
    }
}

#[test]
fn the_configs_of_package_and_image_are_accepted() {
    let system = [
        ("/etc/tidegate/policies", "policies"),
        ("/usr/lib/tidegate/plugins", "plugins"),
        ("/var/lib/tidegate", "state"),
    ];
    checked(&text("deploy/systemd/tidegate.yaml"), &system, &[]);
    checked(&text("deploy/docker/tidegate.yaml"), &system, &[]);
}

#[test]
fn the_config_for_kubernetes_is_accepted_with_its_policies() {
    let all = Manifest::read("tidegate");
    let policies = all.of("ConfigMap", "tidegate-policies")["data"].as_object().unwrap();
    let files =
        policies.iter().map(|(name, text)| (format!("policies/{name}"), text.as_str().unwrap()));
    let files: Vec<(String, &str)> = files.collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let places = [
        ("/etc/tidegate-policies", "policies"),
        ("/usr/lib/tidegate/plugins", "plugins"),
        ("/var/lib/tidegate", "state"),
    ];
    checked(all.config(), &places, &files);
    // the store of the limits is the service of the other file
    let redis = Manifest::read("redis");
    let service = redis.of("Service", "tidegate-redis");
    let store = format!("redis://{}:6379/0", service["metadata"]["name"].as_str().unwrap());
    assert_eq!(tree(all.config())["limits"]["store"], store);
    // each variable of the config is in the example of the secret
    let secret = Manifest::read("secret.example");
    let secret = secret.of("Secret", "tidegate");
    for part in all.config().split("${").skip(1) {
        let name = part.split([':', '}']).next().unwrap();
        assert!(secret["stringData"][name].is_string(), "{name}");
    }
}

#[test]
fn the_manifests_for_kubernetes_agree_with_themselves_and_the_schema() {
    let all = Manifest::read("tidegate");
    let spec = &all.of("Deployment", "tidegate")["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    let budget = &all.of("PodDisruptionBudget", "tidegate")["spec"];
    assert_eq!(&budget["selector"]["matchLabels"], labels);
    assert_eq!(&all.of("Service", "tidegate")["spec"]["selector"], labels);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    // every mount has its volume, every volume its ConfigMap, and none is a `subPath`
    let pod = &spec["template"]["spec"];
    for mount in pod["containers"][0]["volumeMounts"].as_array().unwrap() {
        assert!(mount.get("subPath").is_none(), "{mount}");
        let mut volumes = pod["volumes"].as_array().unwrap().iter();
        let volume = volumes.find(|volume| volume["name"] == mount["name"]).unwrap();
        if let Some(name) = volume["configMap"]["name"].as_str() {
            all.of("ConfigMap", name);
        }
    }
    for name in ["tidegate", "redis", "secret.example"] {
        let file = format!("deploy/kubernetes/{name}.yaml");
        if let Some(checked) = tool("kubernetes-validate", &["--strict", &file]) {
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        }
    }
}

#[test]
fn in_kubernetes_a_drain_outlasts_the_probe_and_ends_before_the_pod_is_killed() {
    let all = Manifest::read("tidegate");
    let pod = &all.of("Deployment", "tidegate")["spec"]["template"]["spec"];
    let drain = tree(all.config())["drain"].clone();
    let seconds = |key: &str| {
        let text = drain[key].as_str().unwrap();
        let number: u64 = text[..text.len() - 1].parse().unwrap();
        if text.ends_with('m') { 60 * number } else { number }
    };
    let number = |node: &Value| node.as_u64().unwrap();
    let probe = &pod["containers"][0]["readinessProbe"];
    assert!(
        seconds("delay") > number(&probe["periodSeconds"]) * number(&probe["failureThreshold"])
    );
    let killed = number(&pod["terminationGracePeriodSeconds"]);
    assert!(seconds("delay") + seconds("deadline") < killed);
}

fn tree(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Runs a program in the repository; `None`, with a line that says so, if it is not installed.
fn tool(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).current_dir(root()).output() {
        Ok(output) => Some(output),
        Err(_) => {
            eprintln!("skipped: {program} is not installed");
            None
        }
    }
}

#[test]
fn systemd_accepts_the_unit_and_the_user() {
    let unit = text("deploy/systemd/tidegate.service");
    let set = |key: &str| {
        unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")).map(str::to_owned))
    };
    assert_eq!(set("Type").as_deref(), Some("notify"));
    // plugins are compiled to machine code
    assert_eq!(set("MemoryDenyWriteExecute"), None);
    // the unit names a program that is not installed here: this one stands in
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("tidegate.service");
    fs::write(&file, unit.replace("/usr/bin/tidegate", env!("CARGO_BIN_EXE_tidegate"))).unwrap();
    if let Some(checked) = tool("systemd-analyze", &["verify", "--man=no", file.to_str().unwrap()])
    {
        let said = String::from_utf8_lossy(&checked.stderr);
        // other units of the machine are none of this test
        let own: Vec<&str> = said.lines().filter(|line| line.contains("tidegate")).collect();
        assert!(own.is_empty(), "{own:?}");
    }
    let places = ["usr/lib/sysusers.d", "etc"].map(|place| scratch.path().join(place));
    places.iter().for_each(|place| fs::create_dir_all(place).unwrap());
    fs::copy(root().join("deploy/systemd/sysusers.conf"), places[0].join("tidegate.conf")).unwrap();
    if let Some(made) = tool("systemd-sysusers", &["--root", scratch.path().to_str().unwrap()]) {
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let users = fs::read_to_string(places[1].join("passwd")).unwrap();
        assert!(users.lines().any(|line| line.starts_with("tidegate:")), "{users}");
    }
}

#[test]
fn the_dockerfile_copies_files_that_exist_and_a_linter_accepts_it() {
    let file = text("deploy/docker/Dockerfile");
    let copies = file.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from="));
    for line in copies {
        let sources: Vec<&str> = line.split_whitespace().skip(1).collect();
        for source in &sources[..sources.len() - 1] {
            assert!(root().join(source).exists(), "{line}");
        }
    }
    // the commands of the image are commands of the binary
    for list in file.lines().filter_map(|line| line.trim().strip_prefix("CMD ")) {
        let words: Vec<String> = serde_json::from_str(list).unwrap();
        let name = words.iter().find(|word| !word.starts_with('/')).unwrap();
        let help = tidegate(Path::new("nowhere.yaml"), &[name, "--help"]);
        assert!(help.status.success(), "{list}");
    }
    let ignored = text(".dockerignore");
    assert!(
        ignored.lines().any(|line| line == "**/target"),
        "the context of the build is gigabytes"
    );
    if let Some(linted) = tool("hadolint", &["deploy/docker/Dockerfile"]) {
        assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
    }
}
