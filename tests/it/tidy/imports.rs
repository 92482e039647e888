//! Which file of a crate uses which: names are followed to the file that defines them.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::outline::{Import, Names, Outline};

/// A re-export of a re-export is followed this far.
const MAX_HOPS: usize = 8;

/// The modules of a crate that have a file, from its root on.
pub struct Imports {
    modules: BTreeMap<Names, Outline>,
}

/// From a module to those that it uses, each with the paths by which it does.
pub type Edges<'a> = BTreeMap<&'a Names, BTreeMap<&'a Names, BTreeSet<String>>>;

impl Imports {
    /// Reads a crate from its root file, and every file that a `mod` leads to.
    pub fn of_crate(root: &Path) -> Self {
        Self::read(root, &|path| std::fs::read_to_string(path).ok())
    }

    /// The same from anything that has the text of files.
    pub fn read(root: &Path, text_of: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut modules = BTreeMap::new();
        let mut queue = VecDeque::from([(vec!["crate".to_owned()], root.to_owned())]);
        while let Some((module, file)) = queue.pop_front() {
            let text = text_of(&file).unwrap_or_else(|| panic!("{} is missing", file.display()));
            let outline = Outline::parse(&module, &text)
                .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for (child, own) in &outline.children {
                let name = [&module[..], std::slice::from_ref(child)].concat();
                let file = file_of_child(&file, child, own.as_deref(), text_of);
                queue.push_back((name, file));
            }
            modules.insert(module, outline);
        }
        Self { modules }
    }

    /// The modules that the crate's root declares, in its order.
    pub fn top(&self) -> Vec<&str> {
        let root = self.modules.get(&["crate".to_owned()][..]);
        let children = root.map(|root| &*root.children).unwrap_or_default();
        children.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Every path from `crate` on that a module writes, followed nowhere.
    pub fn written(&self) -> impl Iterator<Item = (&Names, Names)> {
        self.modules.iter().flat_map(|(module, outline)| {
            let imports = outline.imports.iter().map(|import| &import.path);
            let paths = imports.chain(&outline.mentions);
            paths.filter_map(|path| self.absolute(module, path, 0)).map(move |path| (module, path))
        })
    }

    /// Whether a path leads to a module or an item, from whichever module it begins at. A type stands for
    /// all that it has.
    pub fn has_name(&self, path: &[&str]) -> bool {
        self.modules.keys().any(|start| {
            let start = start.iter().map(String::as_str);
            let path: Names = start.chain(path.iter().copied()).map(str::to_owned).collect();
            self.leads_somewhere(&path)
        })
    }

    fn leads_somewhere(&self, path: &Names) -> bool {
        self.owner(path, 0).is_some_and(|(module, found)| {
            let item = found.get(module.len());
            item.is_none_or(|item| self.modules[module].items.contains(item))
        })
    }

    /// Who uses whom. A module that re-exports a name of its own descendant does not use it by that:
    /// whoever takes the name from there uses the descendant.
    pub fn edges(&self) -> Edges<'_> {
        let mut edges = Edges::new();
        for (module, outline) in &self.modules {
            let imports = outline.imports.iter().filter_map(|import| self.imported(module, import));
            let mentions = outline.mentions.iter().filter_map(|path| self.mentioned(module, path));
            for (target, path) in imports.chain(mentions).filter(|(target, _)| *target != module) {
                let used = edges.entry(module).or_default().entry(target).or_default();
                used.insert(path.join("::"));
            }
        }
        edges
    }

    fn imported(&self, module: &Names, import: &Import) -> Option<(&Names, Names)> {
        let path = self.absolute(module, &import.path, 0)?;
        let (target, path) = self.owner(&path, 0)?;
        // a module's name alone uses nothing of it: the paths that begin with it do
        let is_namespace = import.name.is_some() && *target == path;
        let is_own = import.is_reexport && target.starts_with(module);
        (!is_namespace && !is_own).then_some((target, path))
    }

    fn mentioned(&self, module: &Names, path: &Names) -> Option<(&Names, Names)> {
        let absolute = self.absolute(module, path, 0)?;
        let (target, found) = self.owner(&absolute, 0)?;
        // a variable may have the name of a module
        (path.len() > 1 || *target != found).then_some((target, found))
    }

    /// From `crate` on, if the path leads to anything of this crate.
    fn absolute(&self, module: &Names, path: &[String], hops: usize) -> Option<Names> {
        let first = path.first()?;
        if first == "crate" {
            return Some(path.to_vec());
        }
        let outline = self.modules.get(module).filter(|_| hops < MAX_HOPS)?;
        if outline.children.iter().any(|(child, _)| child == first) {
            return Some([module, path].concat());
        }
        let import = outline.imports.iter().find(|import| import.name.as_ref() == Some(first))?;
        // `use url::url;` is of another crate
        let is_foreign = import.path.first() == Some(first);
        let start = (!is_foreign).then(|| self.absolute(module, &import.path, hops + 1))??;
        Some([&start, &path[1..]].concat())
    }

    /// The module that defines what a path from `crate` on leads to, and the path to it there.
    fn owner(&self, path: &[String], hops: usize) -> Option<(&Names, Names)> {
        if hops > MAX_HOPS {
            return None;
        }
        let known = (1..=path.len()).rev().find_map(|end| self.modules.get_key_value(&path[..end]));
        let (module, outline) = known?;
        let Some(name) = path.get(module.len()) else { return Some((module, module.clone())) };
        let here = Some((module, path[..=module.len()].to_vec()));
        if outline.items.contains(name) {
            return here;
        }
        let rest = &path[module.len() + 1..];
        let named = outline.imports.iter().find(|import| import.name.as_ref() == Some(name));
        if let Some(import) = named {
            let start = self.absolute(module, &import.path, 0);
            // a name of another crate, re-exported here
            let Some(start) = start else { return here };
            return self.owner(&[&start, rest].concat(), hops + 1);
        }
        let globs = outline.imports.iter().filter(|import| import.name.is_none());
        for glob in globs.filter(|glob| glob.is_reexport) {
            let Some(start) = self.absolute(module, &glob.path, 0) else { continue };
            let found = self.owner(&[&start[..], &path[module.len()..]].concat(), hops + 1);
            if found.as_ref().is_some_and(|(owner, _)| self.defines(owner, name)) {
                return found;
            }
        }
        here
    }

    fn defines(&self, module: &Names, name: &String) -> bool {
        self.modules.get(module).is_some_and(|outline| outline.items.contains(name))
    }
}

/// `a.rs` and `a/mod.rs` both have their children in `a/`.
fn file_of_child(
    parent: &Path,
    child: &str,
    own: Option<&str>,
    text_of: &dyn Fn(&Path) -> Option<String>,
) -> PathBuf {
    let dir = parent.parent().unwrap_or(Path::new(""));
    if let Some(own) = own {
        return dir.join(own);
    }
    let stem = parent.file_stem().unwrap_or_default();
    let dir = match stem == "mod" || stem == "lib" || stem == "main" {
        true => dir.to_owned(),
        false => dir.join(stem),
    };
    let flat = dir.join(format!("{child}.rs"));
    if text_of(&flat).is_some() { flat } else { dir.join(child).join("mod.rs") }
}
