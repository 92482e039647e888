//! The package for Debian and Ubuntu.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tidegate_builder::shell::run;

use crate::dist::tree::{Sources, Tree};
use crate::release::{VERSION, epoch};

/// Runs after the files are in place. The service is started by hand, since it needs keys first; an update restarts it.
const POSTINST: &str = r#"#!/bin/sh
set -e
# in another root there is no system to change
if [ "$1" = configure ] && [ -z "$DPKG_ROOT" ]; then
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers tidegate.conf
    elif ! getent passwd tidegate >/dev/null; then
        useradd --system --user-group --home-dir /var/lib/tidegate --shell /usr/sbin/nologin tidegate
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload
        # only a service that runs; open requests end first
        [ -z "$2" ] || systemctl try-restart tidegate.service
    fi
fi
"#;

const PRERM: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tidegate.service || true
fi
"#;

const POSTRM: &str = r#"#!/bin/sh
set -e
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload
fi
# the ledger belongs to the operator until the package is purged
if [ "$1" = purge ]; then
    rm -rf "$DPKG_ROOT/var/lib/tidegate"
fi
"#;

/// Writes the package into a folder.
pub fn write(from: &Sources<'_>, out: &Path) -> Result<PathBuf> {
    let tree = Tree::new(out.join("deb"))?;
    tree.install(from)?;
    tree.copy(&from.root.join("LICENSE"), "usr/share/doc/tidegate/copyright", 0o644)?;
    let size = kilobytes(&tree.path)?;
    tree.write("DEBIAN/control", control(size).as_bytes(), 0o644)?;
    tree.write("DEBIAN/conffiles", b"/etc/tidegate/tidegate.yaml\n", 0o644)?;
    for (name, script) in [("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)] {
        tree.write(&format!("DEBIAN/{name}"), script.as_bytes(), 0o755)?;
    }
    let package = out.join(format!("tidegate_{VERSION}_amd64.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree.path).arg(&package);
    run(build.env("SOURCE_DATE_EPOCH", epoch()))?;
    fs::remove_dir_all(&tree.path)?;
    Ok(package)
}

fn control(size: u64) -> String {
    format!(
        "\
Package: tidegate
Version: {VERSION}
Architecture: amd64
Maintainer: Tidegate <tidegate@localhost>
Installed-Size: {size}
Depends: libc6 (>= 2.34), libgcc-s1
Recommends: ca-certificates, systemd
Section: net
Priority: optional
Description: programmable gateway for the Anthropic Messages API
 Requests of SDKs, applications and Claude Code pass through policies (Rhai
 scripts) and plugins (WebAssembly), with limits, budgets, failover and a ledger.
"
    )
}

/// Returns the size of the files below a folder, as the control file wants it.
fn kilobytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { kilobytes(&entry.path())? } else { meta.len().div_ceil(1024) };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::tree::sample;

    /// Runs a program; `None` if it is not installed.
    fn said(command: &mut Command) -> Option<String> {
        let output = command.output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_package_installs_into_an_empty_root_and_leaves_it() {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            eprintln!("skipped: dpkg is not installed");
            return;
        }
        let folder = std::env::temp_dir().join(format!("xtask-deb-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (root, binary) = sample(&folder);
        let package = write(&Sources { root: &root, binary: &binary }, &folder).unwrap();
        let listed = said(Command::new("dpkg-deb").arg("--contents").arg(&package)).unwrap();
        assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
        assert!(
            listed
                .lines()
                .any(|l| l.starts_with("-rwxr-xr-x") && l.ends_with("./usr/bin/tidegate")),
            "{listed}"
        );

        let system = folder.join("system");
        for name in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
            fs::create_dir_all(system.join(name)).unwrap();
        }
        fs::write(system.join("var/lib/dpkg/status"), "").unwrap();
        let dpkg = || {
            let mut dpkg = Command::new("dpkg");
            // an empty root has no shell, no libc6 and perhaps another owner
            let forces = [
                "--force-script-chrootless",
                "--force-depends",
                "--force-not-root",
                "--force-bad-path",
            ];
            dpkg.args(forces).arg(format!("--root={}", system.display()));
            dpkg
        };
        said(dpkg().arg("--install").arg(&package)).unwrap();
        for file in [
            "usr/bin/tidegate",
            "usr/lib/tidegate/plugins/datetime.wasm",
            "usr/lib/systemd/system/tidegate.service",
            "usr/lib/sysusers.d/tidegate.conf",
            "usr/share/man/man1/tidegate.1",
            "usr/share/bash-completion/completions/tidegate",
            "usr/share/doc/tidegate/copyright",
            "etc/tidegate/tidegate.yaml",
            "etc/tidegate/policies",
        ] {
            assert!(system.join(file).exists(), "{file}");
        }
        let state = said(dpkg().args(["--status", "tidegate"])).unwrap();
        assert!(state.contains("Status: install ok installed"), "{state}");
        assert!(state.contains("/etc/tidegate/tidegate.yaml "), "no conffile: {state}");

        // an operator's config outlives the package, and goes with a purge
        fs::write(system.join("etc/tidegate/tidegate.yaml"), "listen: 127.0.0.1:1\n").unwrap();
        said(dpkg().args(["--remove", "tidegate"])).unwrap();
        assert!(
            system.join("etc/tidegate/tidegate.yaml").exists()
                && !system.join("usr/bin/tidegate").exists()
        );
        said(dpkg().args(["--purge", "tidegate"])).unwrap();
        assert!(!system.join("etc/tidegate/tidegate.yaml").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
