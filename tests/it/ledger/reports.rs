//! `tidegate ledger`: its formats, and its answers to bad input.
use super::{report, written};
use crate::commands::{CONFIG, folder, tidegate};
use crate::support::client::Ask;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Behaviour, Upstream, json};
use crate::support::{ANSWER, MESSAGE};

#[tokio::test]
async fn a_report_is_a_table_csv_or_json() {
    let up = Upstream::always(Behaviour::Answer(json(200, ANSWER))).await;
    let gateway = Gateway::with()
        .upstream(up.address)
        .model("m", "{ provider: up, model: claude-opus-5-5 }")
        .config("ledger: {}\nkeys: [{ name: ci, key: ci-key-0123456789 }]")
        .start()
        .await;
    for _ in 0..2 {
        let ask = Ask::message(MESSAGE).header("x-api-key", "ci-key-0123456789");
        ask.send(gateway.address).await.message();
    }
    written(&gateway, 2).await;
    let said = |args: &[&str]| {
        let output = tidegate(&gateway.file(), &[&["ledger"], args].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        said(&["--by", "key"]),
        "KEY    REQUESTS  UNCACHED  WRITE_5M  WRITE_1H  READ  OUTPUT  COST_USD  UNPRICED  UNPRICED_TOKENS\n\
         ci            2         6         0         0     0       4  0.000104         0                0\n\
         total         2         6         0         0     0       4  0.000104         0                0\n"
    );
    assert_eq!(
        said(&["--by", "target", "--format", "csv"]),
        "target,requests,uncached,write_5m,write_1h,read,output,cost_usd,unpriced,unpriced_tokens\r\n\
         up/claude-opus-5-5,2,6,0,0,0,4,0.000104,0,0\r\n"
    );
    let found = report(&gateway.file(), &["--by", "tag:team"]);
    assert_eq!(
        (&found["rows"][0]["tag"], &found["rows"][0]["value"]),
        (&"team".into(), &"".into())
    );
    let found = report(&gateway.file(), &["--by", "day", "--zone", "Asia/Kolkata"]);
    let day = found["rows"][0]["day"].as_str().unwrap();
    assert_eq!(found["rows"].as_array().unwrap().len(), 1, "{found}");
    let alone = report(&gateway.file(), &["--zone", "Asia/Kolkata", "--from", day, "--to", day]);
    assert_eq!(alone, found);
    let before = report(&gateway.file(), &["--to", "2020-01-01"]);
    assert_eq!(
        (before["rows"].as_array().unwrap().len(), &before["total"]["requests"]),
        (0, &0.into())
    );
    assert_eq!(before["total"]["cost_usd"], "0");
}

#[test]
fn bad_input_gets_a_clear_error() {
    let (_folder, file) = folder(CONFIG, &[]);
    for (args, expected) in [
        (&["--by", "team"][..], "expected `key`, `model`, `target`, `day`, `tag` or `tag:NAME`"),
        (&["--by", "tag:"], "expected `key`"),
        (&["--from", "yesterday"], "expected a day such as `2026-11-29`"),
        (&["--to", "2026-02-30"], "expected a day such as"),
        (&["--from", "2026-11-29T10:00"], "expected a day such as"),
        (&["--zone", "Mars/Olympus"], "expected the name of a time zone"),
        (&["--format", "xml"], "table, csv, json"),
        (
            &["--from", "2026-11-29", "--to", "2026-11-28"],
            "`--from 2026-11-29` is after `--to 2026-11-28`",
        ),
        (&["--to", "9999-12-31"], "the range of days"),
        (&[], "no gateway has written a ledger yet"),
    ] {
        let output = tidegate(&file, &[&["ledger"], args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{args:?}: {said}");
    }
    for config in ["ledger: off", "ledger: { url: off }"] {
        let (_folder, file) = folder(&format!("{CONFIG}{config}\n"), &[]);
        let said = String::from_utf8(tidegate(&file, &["ledger"]).stderr).unwrap();
        assert_eq!(said, "ledger.url: the ledger is `off`: nothing is recorded\n");
    }
}

#[test]
fn the_config_of_the_ledger_is_checked() {
    for (config, expected) in [
        ("url: mysql://u:hunter2@h/db", "ledger.url: expected `sqlite`"),
        ("url: \"postgres://u:hunter2@h:port/db\"", "ledger.url: expected `postgres://"),
        ("keep: forever", "ledger.keep: `forever` is no duration"),
        ("keep: 0d", "ledger.keep: must be more than 0"),
        ("max_size: 2", "ledger.max_size: "),
        ("max_size: 10KiB", "ledger.max_size: must be at least `8MiB`"),
        ("queue: { entries: 0 }", "ledger.queue.entries: must be more than 0"),
        ("queue: { bytes: 1MB }", "ledger.queue.bytes: `1MB` is no size"),
        ("kep: 1d", "ledger.kep: unknown key"),
    ] {
        let (_folder, file) = folder(&format!("{CONFIG}ledger: {{ {config} }}\n"), &[]);
        let output = tidegate(&file, &["check"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(expected) && !said.contains("hunter2"), "{config}: {said}");
    }
}
