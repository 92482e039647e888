//! `cargo xtask bench`: measures nginx and Tidegate with the same upstream, alternating, on one
//! core.
mod measure;
mod options;
mod process;
mod report;
mod scenario;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::{self, Profile};
use crate::plugins::{self, Set};
use options::Options;
use report::Report;
use scenario::{Scenario, Sort};
use servers::{Kind, Place};

/// The batches of `tidegate-bench` for a layer by itself.
const LAYER_BATCHES: usize = 30;
/// The benchmark's own plugins, as `cargo xtask plugins` builds them.
const GUESTS: &str = "target/guests";
/// A plugin with a request hook that reads a field and sets another, and one with a tool that does
/// nothing.
const OWN_GUESTS: [&str; 2] = ["brief", "idle"];

/// Builds, measures and prints. `--write` puts the tables into `benches/README.md`.
pub fn run(given: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(given)? else {
        println!("{}", options::USAGE);
        return Ok(());
    };
    process::require_linux()?;
    let nginx = servers::find_or_install_nginx()?;
    let place = place(&options, nginx)?;
    let upstream = servers::start_upstream(&place)?;
    let mut report = Report::default();
    for scenario in scenario::ALL.iter().filter(|scenario| options.wants(scenario.name)) {
        let contenders = contenders(&options, &place, scenario)?;
        if contenders.is_empty() {
            continue;
        }
        eprintln!("{} …", scenario.name);
        let rows = measure::measure(&place, &options, scenario, (&contenders, upstream.port))?;
        for row in &rows {
            eprintln!("  {}", row.line());
        }
        report.rows.extend(rows);
    }
    let mut text = format!("{}\n{}", report::machine(&place.nginx, &options), report.markdown());
    let is_gateway_here = place.gateway.is_some();
    if options.wants("layer") && is_gateway_here {
        let title = "The policy layer by itself";
        text.push_str(&layer(&place.tool, title, &["policies"])?);
    }
    if options.wants("plugins") && is_gateway_here {
        let [guests, bundled] = [GUESTS, "plugins"].map(|folder| root().join(folder));
        let [guests, bundled] = [&guests, &bundled].map(|folder| folder.to_string_lossy());
        let arguments = ["plugins", "--guests", &guests, "--plugins", &bundled];
        text.push_str(&layer(&place.tool, "Plugins by themselves", &arguments)?);
    }
    println!("{text}");
    if options.is_written {
        let readme = root().join("benches/README.md");
        let old = fs::read_to_string(&readme).map_err(|error| error.to_string())?;
        let new = report::between_markers(&old, &text)?;
        fs::write(&readme, new).map_err(|error| error.to_string())?;
        eprintln!("benches/README.md has the new figures");
    }
    Ok(())
}

/// Builds the measured programs and copies them to a place where no later build can replace them.
fn place(options: &Options, nginx: PathBuf) -> Result<Place, String> {
    let target = target_dir()?;
    let dir = target.join("bench");
    let policies = dir.join("policies");
    for needed in ["policies", "nginx", "none"].into_iter().chain(OWN_GUESTS) {
        let needed = dir.join(needed);
        fs::create_dir_all(&needed).map_err(|error| format!("{}: {error}", needed.display()))?;
    }
    if !options.is_nginx_alone {
        let gateway = || match &options.gateway {
            Some(gateway) => Ok(gateway.clone()),
            None => gateway::build(Profile::Release),
        };
        let built = plugins::build_stale(gateway, Set::WithTests);
        built.map_err(|error| format!("{error:#}"))?;
        for name in OWN_GUESTS {
            let guest = root().join(GUESTS).join(format!("{name}.wasm"));
            fs::copy(&guest, dir.join(format!("{name}/{name}.wasm")))
                .map_err(|error| format!("{}: {error}", guest.display()))?;
        }
    }
    for (name, text) in scenario::POLICIES {
        fs::write(policies.join(name), text).map_err(|error| error.to_string())?;
    }
    let is_gateway_built = options.gateway.is_none() && !options.is_nginx_alone;
    build(options, &target, is_gateway_built.then_some("tidegate"))?;
    let built = target.join(options.profile());
    let tool = lay_aside(&built.join("tidegate-bench"), &dir)?;
    let built = built.join("tidegate");
    let gateway = options.gateway.as_ref().or(is_gateway_built.then_some(&built));
    let gateway = gateway.map(|gateway| lay_aside(gateway, &dir)).transpose()?;
    Ok(Place { dir, tool, nginx, gateway })
}

/// Measures a layer by itself and returns a table.
fn layer(tool: &Path, title: &str, arguments: &[&str]) -> Result<String, String> {
    eprintln!("{} …", arguments[0]);
    let wrong = |error: std::io::Error| format!("{}: {error}", tool.display());
    let done = Command::new(tool).args(arguments).output().map_err(wrong)?;
    if !done.status.success() {
        return Err(format!("{title}: {}", String::from_utf8_lossy(&done.stderr)));
    }
    let table = String::from_utf8_lossy(&done.stdout).into_owned();
    Ok(format!("\n{title}, best of {LAYER_BATCHES} batches:\n\n{table}"))
}

fn build(options: &Options, target: &Path, gateway: Option<&str>) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--package", "tidegate-bench"]).current_dir(root());
    cargo.arg("--target-dir").arg(target);
    if !options.is_debug {
        cargo.arg("--release");
        eprintln!("building in release mode; the first time takes minutes …");
    }
    if let Some(package) = gateway {
        cargo.args(["--package", package]);
    }
    let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the build failed".to_owned()) }
}

fn lay_aside(binary: &Path, dir: &Path) -> Result<PathBuf, String> {
    let name = binary.file_name().ok_or_else(|| format!("`{}` is no file", binary.display()))?;
    let copy = dir.join(name);
    // a running binary cannot be overwritten, but its name can be given to another file
    let fresh = copy.with_extension("new");
    fs::copy(binary, &fresh).map_err(|error| format!("{}: {error}", binary.display()))?;
    fs::rename(&fresh, &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    Ok(copy)
}

/// Returns the contenders of a scenario. The others are compared with the first one.
fn contenders(options: &Options, place: &Place, scenario: &Scenario) -> Result<Vec<Kind>, String> {
    let none = place.dir.join("none");
    let plain = Kind::gateway("tidegate", &none, &none);
    let is_gateway_here = place.gateway.is_some();
    match scenario.sort {
        Sort::Proxy if is_gateway_here => Ok(vec![Kind::Nginx, plain]),
        Sort::Proxy => Ok(vec![Kind::Nginx]),
        Sort::Stages | Sort::Translated | Sort::Team | Sort::Loop { .. } if !is_gateway_here => {
            Ok(Vec::new())
        }
        Sort::Team => Ok(TEAM.iter().map(|(name, more)| Kind::Team { name, more }).collect()),
        Sort::Translated => Ok(vec![
            plain,
            translated("Chat Completions", "type: openai, api: chat", "/v1"),
            translated("Responses", "type: openai, api: responses", "/v1"),
            translated("Gemini", "type: gemini", "/v1beta"),
        ]),
        Sort::Loop { .. } => {
            Ok(vec![Kind::gateway("tidegate with a tool", &none, &place.dir.join("idle"))])
        }
        Sort::Stages => {
            let own = [place.dir.join("policies"), place.dir.join("brief")];
            let policies = options.policies.as_ref().unwrap_or(&own[0]);
            let plugins = options.plugins.as_ref().unwrap_or(&own[1]);
            let scripts = names(policies, "rhai")?;
            let mut all = vec![plain];
            let name = format!("tidegate, {} policies", scripts.len());
            all.push(Kind::gateway(&name, policies, &none));
            let guests = names(plugins, "wasm")?;
            if !guests.is_empty() {
                let name = format!("{name} and {}", guests.join(", "));
                all.push(Kind::gateway(&name, policies, plugins));
            }
            all.push(Kind::Nginx);
            Ok(all)
        }
    }
}

/// The gateways of `team`: names, and what each adds to the config.
const TEAM: [(&str, &str); 3] = [
    ("tidegate without a ledger", "ledger: off\n"),
    ("with the ledger", ""),
    (
        "with ledger, key, limit, budget",
        "keys: [{ name: bench, key: bench }]\n\
         limits: { rules: [{ per: key, requests: 100000000/1m }] }\n\
         budgets: { rules: [{ per: key, usd: 1000000000, every: day }] }\n",
    ),
];

fn translated(name: &'static str, provider: &'static str, path: &'static str) -> Kind {
    Kind::Translated { name, provider, path }
}

/// Returns the names of the files with this ending in a folder, without the ending.
fn names(dir: &Path, ending: &str) -> Result<Vec<String>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut found = Vec::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the target directory of this program: `TARGET/PROFILE/xtask`.
fn target_dir() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = program.ancestors().nth(2).map(Path::to_path_buf);
    target.ok_or_else(|| "cannot tell the target directory".to_owned())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
