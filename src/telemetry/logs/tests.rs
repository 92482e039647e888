//! Tests of the logs: levels, and the text of a line.
use crate::telemetry::logs::{level_problem, on_one_line, one_line};

#[test]
fn a_word_that_is_no_level_is_refused() {
    for good in ["info", "WARN", "info,tidegate::policy=debug", "off"] {
        assert_eq!(level_problem(good), None, "{good}");
    }
    for bad in ["verbose", "info,loud", "tidegate=loud", ""] {
        assert!(level_problem(bad).is_some(), "{bad}");
    }
}

#[test]
fn nobody_can_make_a_line_of_the_log() {
    assert_eq!(one_line("a\nERROR b\u{1b}[31m"), "a\\nERROR b\\u{1b}[31m");
    assert_eq!(one_line("as it is: é"), "as it is: é");
}

#[test]
fn an_event_of_the_log_is_one_line_whatever_it_says() {
    let event = b"WARN a plugin said:\nERROR no more\r\nof it\n";
    assert_eq!(&on_one_line(event)[..], b"WARN a plugin said:\\nERROR no more\\r\\nof it\n");
    assert_eq!(&on_one_line("as it is: é\n".as_bytes())[..], "as it is: é\n".as_bytes());
}
