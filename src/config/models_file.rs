//! `models_file:` and `prices_file:`, the operator's additions to the table of models.
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
    /// The files that the operator's files name in `${file:…}`.
    pub(super) files: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// One of the operator's files.
struct Own<'a> {
    file: &'a Path,
    table: Table,
    problems: Vec<Problem>,
    expansion: Expansion,
}

/// Reads the bundled table of models and the operator's files that there are; a later one overrides an earlier one. With a
/// mistake, the catalogue is empty.
pub(super) fn load(files: &[Option<&Path>], lookup: &Lookup) -> Loaded {
    let mut problems = Vec::new();
    let mut own = Vec::new();
    for file in files.iter().flatten() {
        match read(file, lookup) {
            Ok(read) => own.push(read),
            Err(problem) => problems.push(problem),
        }
    }
    let tables: Vec<&Table> = own.iter().map(|own| &own.table).collect();
    let catalogue = match Catalogue::stack(&tables) {
        Ok(catalogue) => catalogue,
        Err(mut found) => {
            // without files of the operator the mistake is in the bundled table
            problems.extend(found.split_off(own.len().min(found.len())).into_iter().flatten());
            own.iter_mut().zip(found).for_each(|(own, found)| own.problems.extend(found));
            Catalogue::default()
        }
    };
    problems.extend(own.iter().flat_map(Own::problems));
    let files = own.into_iter().flat_map(|own| own.expansion.files).collect();
    Loaded { catalogue: Arc::new(catalogue), files, problems }
}

fn read<'a>(file: &'a Path, lookup: &Lookup) -> Result<Own<'a>, Problem> {
    let text = disk::text(file).map_err(|unread| unread.at(file))?;
    let root = read::yaml(&text, "`models`").map_err(|problem| within(file, problem))?;
    let mut reader = Reader::new(root, file.parent().unwrap_or(Path::new("")), lookup);
    let table = Table {
        read: reader.take("read"),
        tokenizers: reader.entries("tokenizers").into_iter().collect(),
        images: reader.entries("images").into_iter().collect(),
        billing: reader.entries("billing").into_iter().collect(),
        models: reader.items("models").unwrap_or_default(),
    };
    let (problems, expansion) = reader.finish();
    Ok(Own { file, table, problems, expansion })
}

impl Own<'_> {
    /// Returns the problems of the file. No problem quotes the value of a variable.
    fn problems(&self) -> Vec<Problem> {
        // the value of an unset variable is unknown: its field is not reported as well
        let unset = &self.expansion.problems;
        let is_other = |problem: &&Problem| unset.iter().all(|unset| unset.path != problem.path);
        let problems = unset.iter().chain(self.problems.iter().filter(is_other)).cloned();
        let redacted = problems.map(|problem| check::redact(problem, &self.expansion));
        redacted.map(|problem| within(self.file, problem)).collect()
    }
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
