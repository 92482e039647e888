//! The servers of a run: nginx and the gateway with generated configs, and their upstream.
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::process::Process;

/// The core of the measured server.
pub const SERVER_CORE: usize = 0;
/// The core of the upstream and the load.
pub const LOAD_CORE: usize = 1;
/// The time limit of a start. Plugins are compiled on the first start.
const START_LIMIT: Duration = Duration::from_secs(120);
/// The delay before the idle memory is measured.
const SETTLE: Duration = Duration::from_millis(300);

/// The files of a run.
pub struct Place {
    /// The folder for configs, logs and copies of the binaries.
    pub dir: PathBuf,
    /// The program for the upstream and the load.
    pub tool: PathBuf,
    /// The installed nginx.
    pub nginx: PathBuf,
    /// The gateway, unless nginx runs alone.
    pub gateway: Option<PathBuf>,
}

/// A kind of server.
pub enum Kind {
    /// nginx as a plain reverse proxy.
    Nginx,
    /// The gateway with the stages in these folders.
    Gateway {
        /// The name in the tables.
        name: String,
        /// `policies.dir`
        policies: PathBuf,
        /// `plugins.dir`
        plugins: PathBuf,
    },
    /// The gateway without stages, with more keys in its config.
    Team {
        /// The name in the tables.
        name: &'static str,
        /// Lines of the config.
        more: &'static str,
    },
    /// The gateway without stages, with an upstream of another API.
    Translated {
        /// The name in the tables.
        name: &'static str,
        /// The provider's keys beside its address.
        provider: &'static str,
        /// The path in the provider's `base_url`.
        path: &'static str,
    },
}

impl Kind {
    /// Makes a gateway with these stages.
    pub fn gateway(name: &str, policies: &Path, plugins: &Path) -> Self {
        let (policies, plugins) = (policies.to_path_buf(), plugins.to_path_buf());
        Self::Gateway { name: name.to_owned(), policies, plugins }
    }

    /// The name in the tables.
    pub fn name(&self) -> &str {
        match self {
            Self::Nginx => "nginx",
            Self::Gateway { name, .. } => name,
            Self::Translated { name, .. } | Self::Team { name, .. } => name,
        }
    }
}

/// A running server.
pub struct Server {
    /// The process, which stops when this value is dropped.
    pub process: Process,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The time from the start of the process to the end of its first answer.
    pub first_answer: Duration,
    /// The resident memory a moment later, in MiB.
    pub idle_mib: f64,
}

/// Starts the upstream on a port that it chooses itself.
pub fn start_upstream(place: &Place) -> Result<Server, String> {
    let log = place.dir.join("upstream.log");
    let port = free_port()?;
    let command = [text(&place.tool)?, "upstream", "--port", &port.to_string()];
    start(LOAD_CORE, &command, &log, port)
}

/// Starts a server with the upstream and waits for its first answer.
pub fn start_server(place: &Place, kind: &Kind, upstream: u16) -> Result<Server, String> {
    let port = free_port()?;
    match kind {
        Kind::Nginx => {
            let config = place.dir.join("nginx.conf");
            write(&config, &nginx_config(&place.dir.join("nginx"), port, upstream))?;
            let dir = place.dir.join("nginx");
            let error_log = dir.join("error.log");
            let command = [text(&place.nginx)?, "-p", text(&dir)?, "-c", text(&config)?];
            let command = [&command[..], &["-e", text(&error_log)?]].concat();
            start(SERVER_CORE, &command, &place.dir.join("nginx.log"), port)
        }
        Kind::Gateway { policies, plugins, .. } => {
            let provider = format!("type: anthropic, base_url: \"http://127.0.0.1:{upstream}\"");
            start_gateway(place, port, &[&provider, ""], [policies, plugins])
        }
        Kind::Team { more, .. } => {
            let none = place.dir.join("none");
            let provider = format!("type: anthropic, base_url: \"http://127.0.0.1:{upstream}\"");
            start_gateway(place, port, &[&provider, more], [&none, &none])
        }
        Kind::Translated { provider, path, .. } => {
            let none = place.dir.join("none");
            let provider = format!("{provider}, base_url: \"http://127.0.0.1:{upstream}{path}\"");
            start_gateway(place, port, &[&provider, ""], [&none, &none])
        }
    }
}

fn start_gateway(
    place: &Place,
    port: u16,
    [provider, more]: &[&str; 2],
    stages: [&PathBuf; 2],
) -> Result<Server, String> {
    // one folder per gateway, because a gateway reloads when a config in its folder changes
    let home = place.dir.join(format!("gateway-{port}"));
    fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let config = home.join("tidegate.yaml");
    let yaml = gateway_config([port, free_port()?], provider, stages);
    write(&config, &format!("{yaml}{more}"))?;
    let gateway = place.gateway.as_ref().ok_or("no gateway to measure")?;
    let command = [text(gateway)?, "serve", "--config", text(&config)?];
    start(SERVER_CORE, &command, &home.join("tidegate.log"), port)
}

fn start(core: usize, command: &[&str], log: &Path, port: u16) -> Result<Server, String> {
    let begin = Instant::now();
    let mut process = Process::start(core, command, log)?;
    let mut last = String::new();
    loop {
        match ask(port) {
            Ok(200) => break,
            Ok(status) => last = format!("its first answer has the status {status}"),
            Err(error) => last = if last.is_empty() { error.to_string() } else { last },
        }
        let is_over = process.ended()?.is_some();
        if is_over || begin.elapsed() > START_LIMIT {
            let said = fs::read_to_string(log).unwrap_or_default();
            return Err(format!("`{}` does not serve ({last}); it said:\n{said}", command[0]));
        }
        sleep(Duration::from_micros(500));
    }
    let first_answer = begin.elapsed();
    sleep(SETTLE);
    let idle_mib = process.memory("VmRSS");
    Ok(Server { process, port, first_answer, idle_mib })
}

/// Sends one small message and returns the status of the answer.
fn ask(port: u16) -> std::io::Result<u16> {
    const BODY: &str =
        r#"{"model":"bench","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}"#;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
         anthropic-version: 2023-06-01\r\nx-api-key: bench\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    stream.write_all(&[head.as_bytes(), BODY.as_bytes()].concat())?;
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer)?;
    let digits = answer[..read].get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    let status = digits.and_then(|digits| digits.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer has no status"))
}

/// Returns the config of nginx. Bodies stay in memory and responses are not buffered: the least
/// work for nginx.
fn nginx_config(dir: &Path, port: u16, upstream: u16) -> String {
    let user = if is_root() { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path \"{}/{name}\";\n", dir.display()))
        .concat();
    format!(
        r#"{user}worker_processes 1;
daemon off;
pid "{dir}/nginx.pid";
error_log "{dir}/error.log" warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_max_body_size 64m;
    client_body_buffer_size 2m;
    keepalive_requests 1000000000;
{temporary}    upstream messages {{
        server 127.0.0.1:{upstream};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://messages;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"#,
        dir = dir.display()
    )
}

fn gateway_config(ports: [u16; 2], provider: &str, [policies, plugins]: [&PathBuf; 2]) -> String {
    format!(
        r#"listen: 127.0.0.1:{}
admin: {{ listen: "127.0.0.1:{}" }}
providers:
  upstream: {{ {provider}, api_key: bench }}
models:
  "*": {{ provider: upstream }}
policies: {{ dir: "{}" }}
plugins: {{ dir: "{}" }}
"#,
        ports[0],
        ports[1],
        policies.display(),
        plugins.display()
    )
}

/// Returns the nginx of this machine. If the user is root, a missing nginx is installed.
pub fn find_or_install_nginx() -> Result<PathBuf, String> {
    if let Some(found) = find_nginx() {
        return Ok(found);
    }
    let missing = "nginx is missing; install it: `apt-get install nginx-light`";
    if !is_root() {
        return Err(missing.to_owned());
    }
    eprintln!("nginx is missing; installing the package nginx-light …");
    let script = "export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light
        installed=$?
        service nginx stop >/dev/null 2>&1 # the package starts a server of its own
        exit $installed";
    let status = Command::new("sh").args(["-c", script]).status();
    match status {
        Ok(status) if status.success() => find_nginx().ok_or_else(|| missing.to_owned()),
        _ => Err(missing.to_owned()),
    }
}

fn find_nginx() -> Option<PathBuf> {
    // not every `PATH` has the folder for system programs
    let known =
        ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"];
    known.into_iter().map(PathBuf::from).find(|path| path.exists())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Returns a port that is free now. The server opens it next.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| error.to_string())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("`{}` is not UTF-8", path.display()))
}
