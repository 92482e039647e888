//! `deploy/man` and `deploy/completions`: made from the definition of the command line.
use std::collections::BTreeMap;
use std::fs;

use clap_complete::{Shell, generate};
use tidegate::cli;

use crate::shown::root;

/// The files of a folder that are made, by name.
type Made = BTreeMap<String, Vec<u8>>;

fn pages() -> Made {
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(cli::definition(), folder.path()).unwrap();
    let pages = fs::read_dir(folder.path()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
    });
    pages.collect()
}

fn completions() -> Made {
    let of = |shell| {
        let mut text = Vec::new();
        generate(shell, &mut cli::definition(), "tidegate", &mut text);
        text
    };
    let files =
        [("tidegate.bash", Shell::Bash), ("_tidegate", Shell::Zsh), ("tidegate.fish", Shell::Fish)];
    files.map(|(name, shell)| (name.to_owned(), of(shell))).into()
}

#[test]
fn the_manual_and_the_completions_are_made_from_the_command_line() {
    for (name, made) in [("deploy/man", pages()), ("deploy/completions", completions())] {
        assert!(made.len() >= 3, "{name}");
        let folder = root().join(name);
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            made.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
        }
        let is = fs::read_dir(&folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        });
        assert!(is.collect::<Made>() == made, "{name} is old: run the test with UPDATE_FIXTURES=1");
    }
}
