//! Reading the operator's files: anything but a regular file in UTF-8 is an error that says why.
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use super::limit::Patience;
use super::text::decoded;
use super::{Unread, bytes, entries, exists, pem, text};

fn folder() -> (TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, move |name| path.join(name))
}

fn said<T: std::fmt::Debug>(result: Result<T, Unread>) -> String {
    result.expect_err("an error").to_string()
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_file_is_read_through_links() {
    let (_folder, at) = folder();
    fs::write(at("file"), "text").unwrap();
    symlink("file", at("first")).unwrap();
    symlink("first", at("second")).unwrap();
    assert_eq!(bytes(&at("second")).unwrap(), b"text");
    assert_eq!(exists(&at("second")), Ok(true));
}

#[test]
fn anything_but_a_regular_file_is_an_error_and_is_not_opened() {
    let (_folder, at) = folder();
    fs::create_dir(at("inner")).unwrap();
    pipe(&at("pipe"));
    symlink("pipe", at("to-pipe")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    for (name, kind) in [
        ("inner", "a folder"),
        ("pipe", "a named pipe"),
        ("to-pipe", "a named pipe"),
        ("socket", "a socket"),
        ("zero", "a device"),
    ] {
        let expected = format!("cannot be read: it is {kind}, not a regular file");
        assert_eq!(said(bytes(&at(name))), expected);
        assert_eq!(said(text(&at(name))), expected);
        assert_eq!(said(pem(&at(name))), expected);
    }
    assert_eq!(said(entries(&at("pipe"))), "cannot be read: it is a named pipe, not a folder");
}

#[test]
fn only_a_path_without_anything_is_absent() {
    let (_folder, at) = folder();
    fs::write(at("file"), "").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    for absent in ["none", "none/below"] {
        assert_eq!(exists(&at(absent)), Ok(false));
        assert_eq!(entries(&at(absent)), Ok(None));
        assert!(said(bytes(&at(absent))).starts_with("cannot be read: No such file"));
    }
    let long = "x".repeat(300);
    for (name, why) in [
        ("dangling", "leads nowhere"),
        ("dangling/below/it", "dangling` leads nowhere"),
        ("file/below", "Not a directory"),
        ("loop", "symbolic links"),
        (long.as_str(), "File name too long"),
    ] {
        assert!(said(exists(&at(name))).contains(why), "{}", said(exists(&at(name))));
        assert!(said(bytes(&at(name))).contains(why), "{}", said(bytes(&at(name))));
        assert!(said(entries(&at(name))).contains(why), "{}", said(entries(&at(name))));
    }
}

#[test]
fn a_missing_permission_is_an_error_with_its_path() {
    let unread = Unread::from(io::Error::from(io::ErrorKind::PermissionDenied));
    let problem = unread.at(Path::new("policies/guard.rhai"));
    assert_eq!(problem.to_string(), "policies/guard.rhai: cannot be read: permission denied");
}

#[test]
fn a_reading_that_hangs_ends_after_the_limit_and_is_not_begun_twice() {
    let patience = Patience::new(Duration::from_millis(20));
    let (release, hang) = mpsc::channel::<()>();
    let path = Path::new("mount/x.rhai");
    let hangs = patience.read(path, move |_| {
        // ends when the test drops the other end
        let _ = hang.recv();
        Ok(())
    });
    assert_eq!(said(hangs), "cannot be read: it did not answer within 20ms");
    let again = patience.read(path, |_| -> Result<(), Unread> { panic!("it is read again") });
    assert_eq!(said(again), "cannot be read: an earlier attempt still hangs");
    drop(release);
    while patience.read(path, |_| Ok(())).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn a_reading_that_panics_is_an_error() {
    let patience = Patience::new(Duration::from_secs(60));
    let panics = patience.read(Path::new("x"), |_| -> Result<(), Unread> { panic!("a test") });
    assert_eq!(said(panics), "cannot be read: the reading panicked");
}

#[test]
fn a_byte_order_mark_of_utf8_is_no_part_of_the_text() {
    assert_eq!(decoded(b"\xef\xbb\xbffn x() {}".to_vec()).unwrap(), "fn x() {}");
    assert_eq!(decoded(b"\xef\xbb\xbf".to_vec()).unwrap(), "");
    // inside of a text it is a character like others
    assert_eq!(decoded("a\u{feff}b".into()).unwrap(), "a\u{feff}b");
}

#[test]
fn other_encodings_are_named() {
    let wide = |text: &str, swap: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(swap).collect()
    };
    let tail = ": expected UTF-8, save it as UTF-8";
    for (content, name) in [
        (wide("\u{feff}fn x", u16::to_le_bytes), "UTF-16 (little-endian)"),
        (wide("\u{feff}fn x", u16::to_be_bytes), "UTF-16 (big-endian)"),
        (wide("fn x", u16::to_le_bytes), "UTF-16 (little-endian, without a byte-order mark)"),
        (wide("fn x", u16::to_be_bytes), "UTF-16 (big-endian, without a byte-order mark)"),
        (b"\xff\xfe\0\0f\0\0\0".to_vec(), "UTF-32 (little-endian)"),
        (b"\0\0\xfe\xff\0\0\0f".to_vec(), "UTF-32 (big-endian)"),
    ] {
        assert_eq!(said(decoded(content)), format!("is encoded as {name}{tail}"));
    }
}

#[test]
fn text_that_is_no_utf8_is_an_error_at_its_line() {
    let unread = decoded(b"first\nsecond\ncaf\xe9\n".to_vec()).unwrap_err();
    let problem = unread.at(Path::new("lib/x.rhai"));
    assert_eq!(problem.path, "lib/x.rhai:3");
    assert!(problem.message.starts_with("is no UTF-8 text"), "{problem}");
    assert!(problem.message.contains("expected UTF-8"), "{problem}");
}

#[test]
fn every_byte_order_mark_of_joined_pem_files_is_dropped() {
    let (_folder, at) = folder();
    fs::write(at("joined.pem"), b"\xef\xbb\xbf-----A\n\xef\xbb\xbf-----B\n# caf\xe9\n").unwrap();
    assert_eq!(pem(&at("joined.pem")).unwrap(), b"-----A\n-----B\n# caf\xe9\n");
    fs::write(at("wide.pem"), b"\xff\xfe-\0-\0").unwrap();
    assert!(said(pem(&at("wide.pem"))).contains("UTF-16 (little-endian)"));
}
