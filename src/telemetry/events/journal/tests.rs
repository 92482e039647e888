//! Tests of the files of a sink.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Journal;

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| format!("{text}\n").into_bytes()).collect()
}

fn read(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_full_file_becomes_an_older_one_and_the_oldest_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(&folder.path().join("e"), 8, 3);
    journal.append(lines(&["aaa", "bbb", "ccc"])).unwrap();
    assert_eq!(read(folder.path()), pairs(&[("e", "ccc\n"), ("e.1", "aaa\nbbb\n")]));
    journal.append(lines(&["ddd", "longer than a file", "eee"])).unwrap();
    let left = [("e", "eee\n"), ("e.1", "longer than a file\n"), ("e.2", "ccc\nddd\n")];
    assert_eq!(read(folder.path()), pairs(&left));
}

#[test]
fn a_single_file_starts_again_when_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(&folder.path().join("e"), 8, 1);
    journal.append(lines(&["aaa", "bbb", "ccc"])).unwrap();
    assert_eq!(read(folder.path()), pairs(&[("e", "ccc\n")]));
}

#[test]
fn only_the_owner_may_read_new_files_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/e");
    Journal::new(&path, 100, 1).create().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_line_that_was_torn_before_is_ended_and_the_file_may_be_moved_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e");
    fs::write(&path, "torn").unwrap();
    let journal = Journal::new(&path, 100, 2);
    journal.append(lines(&["a"])).unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    journal.append(lines(&["b"])).unwrap();
    assert_eq!(read(folder.path()), pairs(&[("e", "b\n"), ("moved", "torn\na\n")]));
}

#[test]
fn lines_that_cannot_be_written_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path(), 100, 2);
    let (left, _) = journal.append(lines(&["a", "b"])).unwrap_err();
    assert_eq!(left, lines(&["a", "b"]));
    // the first file fits, and the folder in the place of the older one prevents the next
    let path = folder.path().join("e");
    fs::create_dir_all(folder.path().join("e.1/x")).unwrap();
    let (left, _) = Journal::new(&path, 4, 2).append(lines(&["aaa", "b"])).unwrap_err();
    assert_eq!((left, fs::read_to_string(path).unwrap()), (lines(&["b"]), "aaa\n".to_owned()));
}
