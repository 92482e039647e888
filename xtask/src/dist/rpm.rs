//! The package for RHEL 9 and its relatives.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tidegate_builder::shell::run;

use crate::dist::tree::{Sources, Tree};
use crate::release::{VERSION, epoch};

/// Writes the package into a folder; returns `None` if `rpmbuild` is not installed.
pub fn write(from: &Sources<'_>, out: &Path) -> Result<Option<PathBuf>> {
    if Command::new("rpmbuild").arg("--version").output().is_err() {
        return Ok(None);
    }
    let tree = Tree::new(out.join("rpm"))?;
    let files = Tree::new(tree.path.join("files"))?;
    files.install(from)?;
    // the folder of zsh has another name there
    let own = files.path.join("usr/share/zsh");
    fs::create_dir_all(own.join("site-functions"))?;
    fs::rename(own.join("vendor-completions/_tidegate"), own.join("site-functions/_tidegate"))?;
    fs::remove_dir(own.join("vendor-completions"))?;
    files.copy(&from.root.join("LICENSE"), "usr/share/licenses/tidegate/LICENSE", 0o644)?;
    tree.write("tidegate.spec", spec(&files.path).as_bytes(), 0o644)?;
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--target", "x86_64", "--nodeps"]);
    for (name, value) in [
        ("_topdir", tree.path.join("top")),
        ("_rpmdir", out.to_owned()),
        // the same bytes for the same sources
        ("_buildhost", "localhost".into()),
        ("use_source_date_epoch_as_buildtime", "1".into()),
        ("clamp_mtime_to_source_date_epoch", "1".into()),
        ("_rpmfilename", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm".into()),
        ("_binary_payload", "w6.xzdio".into()),
    ] {
        build.arg("--define").arg(format!("{name} {}", value.display()));
    }
    build.arg(tree.path.join("tidegate.spec")).env("SOURCE_DATE_EPOCH", epoch());
    run(&mut build)?;
    fs::remove_dir_all(&tree.path)?;
    let package = out.join(format!("tidegate-{VERSION}-1.x86_64.rpm"));
    fs::metadata(&package).with_context(|| format!("rpmbuild wrote no {}", package.display()))?;
    Ok(Some(package))
}

fn spec(files: &Path) -> String {
    let files = files.display();
    // macros that exist on RHEL only are written out, since the package is built on Debian
    format!(
        r#"%global debug_package %{{nil}}
%global __strip /bin/true
%global __os_install_post %{{nil}}
Name: tidegate
Version: {VERSION}
Release: 1
Summary: Programmable gateway for the Anthropic Messages API
License: Apache-2.0
AutoReqProv: no
Requires: glibc >= 2.34, libgcc, ca-certificates
Requires(pre): systemd

%description
Requests of SDKs, applications and Claude Code pass through policies (Rhai
scripts) and plugins (WebAssembly), with limits, budgets, failover and a ledger.

%install
mkdir -p %{{buildroot}}
cp -a {files}/. %{{buildroot}}/

%pre
getent group tidegate >/dev/null || groupadd -r tidegate
getent passwd tidegate >/dev/null || useradd -r -g tidegate -d /var/lib/tidegate -s /sbin/nologin tidegate

%post
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # only a service that runs; open requests end first
    [ "$1" -lt 2 ] || systemctl try-restart tidegate.service
fi

%preun
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tidegate.service || :
fi

%files
%defattr(-,root,root,-)
/usr/bin/tidegate
/usr/lib/tidegate
/usr/lib/systemd/system/tidegate.service
/usr/lib/sysusers.d/tidegate.conf
/usr/share/man/man1/*
/usr/share/bash-completion/completions/tidegate
/usr/share/zsh/site-functions/_tidegate
/usr/share/fish/vendor_completions.d/tidegate.fish
/usr/share/doc/tidegate
/usr/share/licenses/tidegate
%dir /etc/tidegate
%dir /etc/tidegate/policies
%config(noreplace) /etc/tidegate/tidegate.yaml
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::tree::sample;

    #[test]
    fn the_package_has_the_files_and_keeps_the_config() {
        let folder = std::env::temp_dir().join(format!("xtask-rpm-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (root, binary) = sample(&folder);
        let Some(package) = write(&Sources { root: &root, binary: &binary }, &folder).unwrap()
        else {
            fs::remove_dir_all(&folder).unwrap();
            eprintln!("skipped: rpmbuild is not installed");
            return;
        };
        let query = |what: &[&str]| {
            let output = Command::new("rpm").arg("-qp").args(what).arg(&package).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(query(&["--configfiles"]), "/etc/tidegate/tidegate.yaml\n");
        let files = query(&["--list"]);
        for file in [
            "/usr/bin/tidegate",
            "/usr/lib/tidegate/plugins/datetime.wasm",
            "/usr/share/man/man1/tidegate.1",
        ] {
            assert!(files.lines().any(|line| line == file), "{file}:\n{files}");
        }
        assert!(query(&["--requires"]).contains("glibc >= 2.34"));
        assert!(query(&["--scripts"]).contains("useradd -r -g tidegate"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
