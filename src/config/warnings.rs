//! Settings that work, and are probably not meant.
use crate::config::Config;
use crate::error::Problem;
use crate::ledger::config::LedgerUrl;
use crate::limits::config::StoreUrl;

impl Config {
    /// Returns the settings to think about again, each with its path.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        let is_shared = self.limits.store != StoreUrl::Memory;
        let is_own_file = matches!(self.ledger.url, LedgerUrl::Sqlite(_));
        let mut found = Vec::new();
        if self.key_store.is_on() && is_own_file && is_shared {
            let message = "the keys are in this gateway's own SQLite file, and `limits.store` is shared with other gateways: \
                 their keys differ; a PostgreSQL database as `ledger.url` is shared as well";
            found.push(Problem::new("key_store", message));
        }
        found.extend(self.otlp.warning().map(|message| Problem::new("otlp", message)));
        found
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn keys_in_an_own_file_beside_shared_limits_are_worth_a_warning() {
        let config = |more: &str| {
            let text = format!(
                "providers: {{ s: {{ type: simulator }} }}\nmodels: {{ m: {{ provider: s }} }}\n{more}"
            );
            Config::parse(&text, Path::new("")).unwrap_or_else(|found| panic!("{found:?}"))
        };
        let shared = "limits: { store: \"redis://h\" }";
        for (more, limits, count) in [
            ("key_store: ledger", shared, 1),
            ("key_store: { place: ledger }\nledger: sqlite:l.db", shared, 1),
            ("key_store: ledger", "limits: { store: memory }", 0),
            ("key_store: off", shared, 0),
            ("", shared, 0),
            ("key_store: ledger\nledger: \"postgres://u@h/db\"", shared, 0),
        ] {
            let config = config(&format!("{more}\n{limits}"));
            let paths: Vec<_> = config.warnings().into_iter().map(|found| found.path).collect();
            assert_eq!(paths, vec!["key_store"; count], "{more}");
        }
    }

    #[test]
    fn a_key_store_without_a_ledger_is_a_problem() {
        let text = "providers: { s: { type: simulator } }\nmodels: { m: { provider: s } }\nkey_store: ledger\nledger: off";
        let problems = Config::parse(text, Path::new("")).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].path == "key_store" && problems[0].message.contains("no ledger"));
    }
}
