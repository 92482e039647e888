//! `Folder`: the operator's policies as files, which the dashboard reads and writes.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::Problem;
use crate::policy::config::StageConfig;
use crate::policy::files::sources;
use crate::policy::library::{self, Shipped};

/// The longest name of a policy.
const LONGEST: usize = 64;
/// The end of the name of a file of cases.
const CASES: &str = "cases.yaml";

/// The folder of policies.
pub(crate) struct Folder<'a> {
    /// Its path.
    pub(crate) dir: &'a Path,
    /// The order of the stages; `None` if every policy in the folder runs.
    pub(crate) order: Option<&'a [StageConfig]>,
}

/// A policy in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The name.
    pub(crate) name: String,
    /// Whether it is a shipped one, which has no file.
    pub(crate) is_library: bool,
    /// Whether there are cases beside it.
    pub(crate) has_cases: bool,
    /// Whether the pipeline runs it.
    pub(crate) in_pipeline: bool,
}

/// A policy with its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    /// The policy.
    pub(crate) policy: String,
    /// Its cases.
    pub(crate) cases: Option<String>,
}

/// The place of a policy.
#[derive(Debug)]
pub(crate) enum Place {
    /// A file.
    Own(PathBuf),
    /// A shipped policy.
    Shipped(&'static Shipped),
}

/// The reason why a policy cannot be written.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The name is not one of a policy.
    Name(String),
    /// The policy is a shipped one that the pipeline does not run by this name.
    ReadOnly(String),
    /// The disk refuses.
    Disk(Problem),
}

/// Checks the name of a new policy.
///
/// Fails with a message.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins_well && name.chars().all(is_good) && name.len() <= LONGEST {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a valid policy name: use up to {LONGEST} of a-z, 0-9, `-` and `_`, a letter or digit first"
    ))
}

impl Folder<'_> {
    /// Returns every policy: those with a file, then the shipped ones without one.
    pub(crate) fn list(&self) -> Result<Vec<Listed>, Vec<Problem>> {
        let own = sources(self.dir, "rhai")?;
        let copies = sources(&self.dir.join("library"), "rhai")?;
        let mut all: Vec<Listed> = Vec::new();
        for (name, path) in &own {
            let runs = self.order.is_none() || self.is_named(name);
            all.push(Listed::own(name, path, runs));
        }
        for (name, path) in copies.iter().filter(|(name, _)| !own.contains_key(*name)) {
            all.push(Listed::own(name, path, self.is_named(name)));
        }
        let has_file = |name: &str| {
            own.contains_key(name) || copies.contains_key(name) || self.copy(name).is_some()
        };
        for shipped in library::all() {
            all.push(match has_file(shipped.name) {
                true if shipped.name.contains('/') => {
                    let path = self.copied(shipped.name);
                    Listed::own(shipped.name, &path, self.is_named(shipped.name))
                }
                true => continue,
                false => Listed {
                    name: shipped.name.to_owned(),
                    is_library: true,
                    has_cases: shipped.cases.is_some(),
                    in_pipeline: self.is_named(shipped.name),
                },
            });
        }
        Ok(all)
    }

    /// Returns the place of a policy, as the pipeline finds it; `None` if there is none. A name is compared with the
    /// names of the folder, so it cannot lead out of it.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Place>, Vec<Problem>> {
        if let Some(path) = sources(self.dir, "rhai")?.remove(name) {
            return Ok(Some(Place::Own(path)));
        }
        if let Some(path) = sources(&self.dir.join("library"), "rhai")?.remove(name) {
            return Ok(Some(Place::Own(path)));
        }
        let Some(shipped) = library::find(name) else { return Ok(None) };
        Ok(Some(match self.copy(name) {
            Some(path) => Place::Own(path),
            None => Place::Shipped(shipped),
        }))
    }

    /// Writes a policy, and its cases if there are some. A shipped policy becomes a file in the folder if the pipeline
    /// runs it.
    pub(crate) fn write(&self, name: &str, texts: &Texts) -> Result<PathBuf, Refused> {
        let disk = |found: Vec<Problem>| {
            let first = found.into_iter().next();
            Refused::Disk(first.unwrap_or_else(|| Problem::new("", "the folder cannot be read")))
        };
        let path = match self.find(name).map_err(disk)? {
            Some(Place::Own(path)) => path,
            Some(Place::Shipped(_)) => self.place_of_copy(name)?,
            None => {
                check_name(name).map_err(Refused::Name)?;
                self.dir.join(format!("{name}.rhai"))
            }
        };
        let unwritten = |path: &Path, e: &io::Error| {
            let message = format!("cannot be written: {e}");
            Refused::Disk(Problem::new(path.display().to_string(), message))
        };
        fs::create_dir_all(self.dir).map_err(|e| unwritten(self.dir, &e))?;
        // a policy without its new cases is better than cases without their policy
        replace(&path, &texts.policy).map_err(|e| unwritten(&path, &e))?;
        if let Some(cases) = &texts.cases {
            let beside = path.with_extension(CASES);
            replace(&beside, cases).map_err(|e| unwritten(&beside, &e))?;
        }
        Ok(path)
    }

    /// Returns the file that a shipped policy becomes.
    fn place_of_copy(&self, name: &str) -> Result<PathBuf, Refused> {
        if self.is_named(name) && check_name(name).is_ok() {
            return Ok(self.dir.join(format!("{name}.rhai")));
        }
        let message = format!(
            "the shipped policy `{name}` is read-only, and `pipeline:` does not run it by this name: save it under another name, or copy it by `tidegate policy add {name}`"
        );
        Err(Refused::ReadOnly(message))
    }

    fn is_named(&self, name: &str) -> bool {
        let mut named = self.order.unwrap_or_default().iter();
        named.any(|stage| stage.policy.as_deref() == Some(name))
    }

    /// Returns the own copy of a shipped policy.
    fn copy(&self, name: &str) -> Option<PathBuf> {
        Some(self.copied(name)).filter(|path| disk::exists(path) == Ok(true))
    }

    fn copied(&self, name: &str) -> PathBuf {
        self.dir.join("library").join(format!("{name}.rhai"))
    }
}

impl Listed {
    fn own(name: &str, path: &Path, in_pipeline: bool) -> Self {
        let has_cases = disk::exists(&path.with_extension(CASES)) == Ok(true);
        Self { name: name.to_owned(), is_library: false, has_cases, in_pipeline }
    }
}

impl Place {
    /// Reads the policy and its cases.
    pub(crate) fn read(&self) -> Result<Texts, Problem> {
        let path = match self {
            Self::Own(path) => path,
            Self::Shipped(shipped) => {
                let cases = shipped.cases.map(str::to_owned);
                return Ok(Texts { policy: shipped.source.to_owned(), cases });
            }
        };
        let beside = path.with_extension(CASES);
        let cases = match disk::exists(&beside).map_err(|unread| unread.at(&beside))? {
            true => Some(disk::text(&beside).map_err(|unread| unread.at(&beside))?),
            false => None,
        };
        Ok(Texts { policy: disk::text(path).map_err(|unread| unread.at(path))?, cases })
    }
}

/// Replaces a file at once: a reader finds the old text or the new one. The file keeps its mode. A link is refused,
/// since its target may be the file of others.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mode = match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Some(found.permissions()),
        Ok(_) => return Err(io::Error::other("it is a link, or no regular file")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // hidden files are no policies
    let new = path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..)));
    let written = write_new(&new, text).and_then(|()| {
        mode.map_or(Ok(()), |mode| fs::set_permissions(&new, mode))?;
        fs::rename(&new, path)
    });
    if written.is_err() {
        // the error matters more than the file
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn texts(policy: &str) -> Texts {
        Texts { policy: policy.to_owned(), cases: None }
    }

    fn order(names: &[&str]) -> Vec<StageConfig> {
        let stage = |name: &&str| serde_json::json!({ "policy": name });
        names.iter().map(|name| serde_json::from_value(stage(name)).unwrap()).collect()
    }

    fn all_files(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_at_once_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rhai");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let own = Folder { dir: folder.path(), order: None };
        own.write("a", &texts("new")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let both = Texts { policy: "x".to_owned(), cases: Some("[]".to_owned()) };
        own.write("b", &both).unwrap();
        assert_eq!(own.find("b").unwrap().unwrap().read().unwrap(), both);
        assert_eq!(all_files(folder.path()), ["a.rhai", "b.cases.yaml", "b.rhai"]);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("policies");
        fs::create_dir(&dir).unwrap();
        fs::write(outer.path().join("secret.rhai"), "secret").unwrap();
        let own = Folder { dir: &dir, order: None };
        for name in [
            "../secret",
            "..",
            ".",
            "",
            "/etc/passwd",
            "a/b",
            "a\\b",
            ".hidden",
            "a.rhai",
            "a\0b",
            "a\nb",
            "library/../../secret",
            "Upper",
            "é",
            &"x".repeat(65),
        ] {
            assert!(own.find(name).unwrap().is_none(), "{name:?}");
            assert!(matches!(own.write(name, &texts("x")), Err(Refused::Name(_))), "{name:?}");
        }
        assert_eq!(all_files(&dir), Vec::<String>::new());
        assert_eq!(all_files(outer.path()), ["policies", "secret.rhai"]);
    }

    #[test]
    fn a_link_and_a_folder_are_not_replaced() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("policies");
        fs::create_dir_all(dir.join("b.rhai")).unwrap();
        fs::write(outer.path().join("other"), "other").unwrap();
        symlink(outer.path().join("other"), dir.join("a.rhai")).unwrap();
        let own = Folder { dir: &dir, order: None };
        for name in ["a", "b"] {
            assert!(matches!(own.write(name, &texts("x")), Err(Refused::Disk(_))), "{name}");
        }
        assert_eq!(fs::read_to_string(outer.path().join("other")).unwrap(), "other");
        assert_eq!(all_files(&dir), ["a.rhai", "b.rhai"]);
    }

    #[test]
    fn a_shipped_policy_becomes_a_file_only_if_the_pipeline_runs_it() {
        let shipped = library::all().iter().find(|it| !it.name.contains('/')).unwrap().name;
        let inner = library::all().iter().find(|it| it.name.contains('/')).unwrap().name;
        let folder = tempfile::tempdir().unwrap();
        let unused = Folder { dir: folder.path(), order: None };
        assert!(matches!(unused.write(shipped, &texts("x")), Err(Refused::ReadOnly(_))));
        let order = order(&[shipped, inner]);
        let used = Folder { dir: folder.path(), order: Some(&order) };
        assert!(matches!(used.write(inner, &texts("x")), Err(Refused::ReadOnly(_))));
        used.write(shipped, &texts("own")).unwrap();
        assert_eq!(used.find(shipped).unwrap().unwrap().read().unwrap().policy, "own");
        // an own copy in `library/` is a file like another
        let copy = folder.path().join("library").join(format!("{inner}.rhai"));
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(&copy, "copy").unwrap();
        used.write(inner, &texts("edited")).unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), "edited");
        let list = used.list().unwrap();
        let row = |name: &str| list.iter().find(|row| row.name == name).unwrap();
        assert!(!row(shipped).is_library && row(shipped).in_pipeline);
        assert!(!row(inner).is_library && row(inner).in_pipeline);
        let names: Vec<&str> = list.iter().map(|row| row.name.as_str()).collect();
        let shipped_names = library::all().len();
        assert_eq!(names.len(), shipped_names);
        assert_eq!(list.iter().filter(|row| row.is_library).count(), shipped_names - 2);
    }

    #[test]
    fn without_an_order_every_file_of_the_folder_runs() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("library")).unwrap();
        for name in ["a.rhai", "library/b.rhai", ".hidden.rhai", "c.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let own = Folder { dir: folder.path(), order: None };
        let list = own.list().unwrap();
        let files: Vec<_> = list
            .iter()
            .filter(|row| !row.is_library)
            .map(|row| (&*row.name, row.in_pipeline))
            .collect();
        assert_eq!(files, [("a", true), ("b", false)]);
    }
}
