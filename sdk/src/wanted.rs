//! The checks of the mock host: like the gateway, it rejects everything that the manifest does not
//! request.
use crate::plugin::Wants;
use crate::problem::{Problem, Result};

impl Wants {
    pub(crate) fn check_host(&self, url: &str) -> Result<()> {
        let host = host_of(url);
        // an entry with a port is for that port only, but tests rarely depend on the port
        let name = |entry: &&'static str| entry.rsplit_once(':').map_or(*entry, |(name, _)| name);
        match self.hosts.iter().any(|entry| fits(name(entry), &host)) {
            true => Ok(()),
            false => Err(unwanted(&host, "hosts")),
        }
    }

    pub(crate) fn check_model(&self, alias: &str) -> Result<()> {
        match self.models.iter().any(|entry| fits(entry, alias)) {
            true => Ok(()),
            false => Err(unwanted(alias, "models")),
        }
    }

    /// `used` is the size of the store in bytes, with the new entry.
    pub(crate) fn check_kv(&self, used: usize) -> Result<()> {
        match self.kv_bytes {
            0 => Err(unwanted("kv_set", "kv_bytes")),
            most if used > most as usize => {
                let message = format!("the store would take {used} bytes of {most}");
                Err(Problem::new("too_large", message))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_publish(&self) -> Result<()> {
        if self.publish { Ok(()) } else { Err(unwanted("publish", "publish")) }
    }
}

fn unwanted(what: &str, member: &str) -> Problem {
    let message = format!("`{what}` is not wanted by this plugin's manifest (`wants.{member}`)");
    Problem::new("not_granted", message)
}

fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.to_ascii_lowercase()
}

/// `*` matches any text, dots included.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(text),
        Some((before, behind)) => {
            let Some(head) = text.get(..before.len()) else { return false };
            let rest = &text[before.len()..];
            head.eq_ignore_ascii_case(before)
                && (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| fits(behind, rest))
        }
    }
}
