//! The bill of materials: every crate in the binary with its licence, in CycloneDX's JSON.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tidegate_builder::shell::say;

use crate::release::{TARGET, VERSION};
use crate::shell::{cargo, root};

/// Writes the file into a folder.
pub fn write(out: &Path) -> Result<PathBuf> {
    let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET];
    let listed = cargo(&args).output().context("cannot start cargo")?;
    if !listed.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&listed.stderr));
    }
    let metadata: Value = serde_json::from_slice(&listed.stdout)?;
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let bill = bill(&metadata, &checksums(&lock))?;
    let file = out.join(format!("tidegate-{VERSION}.cdx.json"));
    fs::write(&file, format!("{bill:#}\n"))?;
    let number = bill["components"].as_array().map_or(0, Vec::len);
    say(&format!("bill of materials: {number} components"));
    Ok(file)
}

/// Returns the checksums of a lock file by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            let start = format!("{name} = \"");
            let line = package.lines().find_map(|line| line.strip_prefix(&start))?;
            line.strip_suffix('"').map(str::to_owned)
        };
        if let (Some(name), Some(version), Some(sum)) =
            (field("name"), field("version"), field("checksum"))
        {
            found.insert((name, version), sum);
        }
    }
    found
}

/// Makes the bill for the package `tidegate` and all that it needs at run time.
fn bill(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> Result<Value> {
    let list = |node: &Value| node.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let needs: BTreeMap<String, BTreeSet<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            (
                text(&node["id"]),
                list(&node["deps"]).iter().filter(is_normal).map(|dep| text(&dep["pkg"])).collect(),
            )
        })
        .collect();
    let top = packages
        .values()
        .find(|package| package["name"] == "tidegate")
        .context("no package `tidegate`")?;
    let mut reached = BTreeSet::new();
    let mut open = vec![text(&top["id"])];
    while let Some(id) = open.pop() {
        if reached.insert(id.clone()) {
            open.extend(needs.get(&id).into_iter().flatten().cloned());
        }
    }
    let of = |id: &String| packages.get(id).with_context(|| format!("no package `{id}`"));
    let (mut components, mut dependencies) = (Vec::new(), Vec::new());
    for id in &reached {
        let package = of(id)?;
        if package["name"] != "tidegate" {
            components.push(component(package, "library", checksums)?);
        }
        let inner = needs.get(id).into_iter().flatten().map(|id| Ok(purl(of(id)?)));
        dependencies.push(
            json!({ "ref": purl(package), "dependsOn": inner.collect::<Result<BTreeSet<_>>>()? }),
        );
    }
    components.sort_by_key(|component| text(&component["purl"]));
    dependencies.sort_by_key(|dependency| text(&dependency["ref"]));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(top, "application", checksums)? },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn is_normal(dependency: &&Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
}

fn component(
    package: &Value,
    kind: &str,
    checksums: &BTreeMap<(String, String), String>,
) -> Result<Value> {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let Some(licence) = package["license"].as_str() else {
        bail!("`{name}` {version} names no licence");
    };
    let mut made = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
        // an older form of `OR`
        "licenses": [{ "expression": licence.replace('/', " OR ") }],
    });
    let targets = package["targets"].as_array().into_iter().flatten();
    if targets
        .flat_map(|target| target["kind"].as_array())
        .flatten()
        .any(|kind| kind == "proc-macro")
    {
        // it runs in the compiler
        made["scope"] = "excluded".into();
    }
    if let Some(sum) = checksums.get(&(name, version)) {
        made["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    if let Some(url) = package["repository"].as_str() {
        made["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    Ok(made)
}

fn purl(package: &Value) -> String {
    // a version with build metadata has a `+`
    let version = text(&package["version"]).replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", text(&package["name"]))
}

fn text(node: &Value) -> String {
    node.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_the_binary_has_a_licence_and_a_checksum() {
        let folder = std::env::temp_dir().join(format!("xtask-sbom-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = write(&folder).unwrap();
        let bill: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            (&bill["bomFormat"], &bill["specVersion"]),
            (&json!("CycloneDX"), &json!("1.5"))
        );
        assert_eq!(bill["metadata"]["component"]["purl"], format!("pkg:cargo/tidegate@{VERSION}"));
        let components = bill["components"].as_array().unwrap();
        let names: BTreeSet<_> = components.iter().map(|one| text(&one["name"])).collect();
        assert!(names.contains("hyper") && names.contains("libsqlite3-sys"), "{names:?}");
        // for tests, and for other systems
        assert!(!names.contains("proptest") && !names.contains("windows-sys"), "{names:?}");
        let refs: BTreeSet<_> =
            bill["dependencies"].as_array().unwrap().iter().map(|one| text(&one["ref"])).collect();
        for one in components {
            let expression = one["licenses"][0]["expression"].as_str().unwrap();
            assert!(!expression.is_empty() && !expression.contains('/'), "{one}");
            assert!(refs.contains(one["purl"].as_str().unwrap()), "{one}");
            let is_own = one["name"].as_str().unwrap().starts_with("tidegate");
            assert!(is_own || one["hashes"][0]["content"].as_str().unwrap().len() == 64, "{one}");
        }
        assert_eq!(refs.len(), components.len() + 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
