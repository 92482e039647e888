//! `models_file:`, the operator's additions to the table of models.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::catalogue::table::Table;
use crate::config::check;
use crate::config::expand::{Expansion, Lookup};
use crate::config::read::{self, Reader};
use crate::disk;
use crate::error::Problem;

/// The catalogue of a config.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) catalogue: Arc<Catalogue>,
    /// The files that the operator's file names in `${file:…}`.
    pub(super) files: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// Reads the bundled table of models and the operator's file, if there is one. With a mistake, the catalogue is empty.
pub(super) fn load(file: Option<&Path>, lookup: &Lookup) -> Loaded {
    let Some(file) = file else {
        return built(&Table::default(), Vec::new(), Expansion::default());
    };
    let read = disk::text(file)
        .map_err(|unread| unread.at(file))
        .and_then(|text| read::yaml(&text, "`models`").map_err(|problem| within(file, problem)));
    let root = match read {
        Ok(root) => root,
        Err(problem) => return Loaded { problems: vec![problem], ..Loaded::default() },
    };
    let mut reader = Reader::new(root, file.parent().unwrap_or(Path::new("")), lookup);
    let table = Table {
        read: reader.take("read"),
        tokenizers: reader.entries("tokenizers").into_iter().collect(),
        images: reader.entries("images").into_iter().collect(),
        models: reader.items("models").unwrap_or_default(),
    };
    let (problems, expansion) = reader.finish();
    let loaded = built(&table, problems, expansion);
    let problems = loaded.problems.into_iter().map(|problem| within(file, problem)).collect();
    Loaded { problems, ..loaded }
}

/// Makes the catalogue. No problem quotes the value of a variable.
fn built(table: &Table, mut problems: Vec<Problem>, expansion: Expansion) -> Loaded {
    let catalogue = Catalogue::build(table).unwrap_or_else(|found| {
        problems.extend(found);
        Catalogue::default()
    });
    // the value of an unset variable is unknown: its field is not reported as well
    let unset = &expansion.problems;
    problems.retain(|problem| unset.iter().all(|unset| unset.path != problem.path));
    problems.splice(0..0, unset.iter().cloned());
    let problems = problems.into_iter().map(|problem| check::redact(problem, &expansion));
    Loaded { catalogue: Arc::new(catalogue), problems: problems.collect(), files: expansion.files }
}

/// Adds the name of the file to the place of a problem.
fn within(file: &Path, problem: Problem) -> Problem {
    let file = file.display();
    let path = match problem.path.as_str() {
        "" => file.to_string(),
        path => format!("{file}: {path}"),
    };
    Problem::new(path, problem.message)
}
