//! The profiles of `~/.aws/config` and `~/.aws/credentials`.
use std::collections::BTreeMap;

/// The settings of one profile from both files; the credentials file has precedence.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Returns a setting.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns whether neither file has the profile.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the profile from the texts of the two files.
    pub(super) fn of(profile: &str, config: &str, credentials: &str) -> Self {
        let in_config = |section: &str| match section.strip_prefix("profile") {
            Some(name) if name.starts_with([' ', '\t']) => name.trim() == profile,
            _ => section == profile && profile == "default",
        };
        let mut found = BTreeMap::new();
        collect(config, in_config, &mut found);
        collect(credentials, |section| section == profile, &mut found);
        Self(found)
    }

    /// Reads a session of the sign-on from the config file.
    pub(super) fn of_session(session: &str, config: &str) -> Self {
        let is_it = |section: &str| match section.strip_prefix("sso-session") {
            Some(name) => name.starts_with([' ', '\t']) && name.trim() == session,
            None => false,
        };
        let mut found = BTreeMap::new();
        collect(config, is_it, &mut found);
        Self(found)
    }
}

/// Adds the settings of the sections that `is_wanted` accepts. Indented lines belong to the setting
/// before them and are no settings of the profile.
fn collect(text: &str, is_wanted: impl Fn(&str) -> bool, found: &mut BTreeMap<String, String>) {
    let mut is_inside = false;
    for line in text.lines() {
        let is_comment = line.trim_start().starts_with(['#', ';']);
        if line.trim().is_empty() || is_comment || line.starts_with([' ', '\t']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let section = section.split(']').next().unwrap_or_default();
            is_inside = is_wanted(section.trim());
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_inside) {
            found.insert(name.trim().to_ascii_lowercase(), without_comment(value).to_owned());
        }
    }
}

/// Removes a comment, which begins with a blank and `#` or `;` outside of quotes.
fn without_comment(value: &str) -> &str {
    let (mut quote, mut is_after_blank) = (None, false);
    for (at, character) in value.char_indices() {
        match (character, quote) {
            ('#' | ';', None) if is_after_blank => return value[..at].trim(),
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            _ => {}
        }
        is_after_blank = matches!(character, ' ' | '\t');
    }
    value.trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
[default]
region = eu-west-1
# a comment
[profile work]
aws_access_key_id = FROM_CONFIG
role_arn=arn:aws:iam::1:role/x ; why
s3 =
    aws_secret_access_key = nested
[work]
region = not this section
[services work]
region = nor this
";
    const CREDENTIALS: &str = "[work]\r\nAWS_ACCESS_KEY_ID = AKID\r\naws_secret_access_key = a/b+c=\r\n\r\n[default]\naws_access_key_id = D\n";

    #[test]
    fn a_profile_is_read_from_both_files() {
        let work = Settings::of("work", CONFIG, CREDENTIALS);
        assert_eq!(work.get("aws_access_key_id"), Some("AKID"));
        assert_eq!(work.get("aws_secret_access_key"), Some("a/b+c="));
        assert_eq!(work.get("role_arn"), Some("arn:aws:iam::1:role/x"));
        assert_eq!(work.get("region"), None);
        let default = Settings::of("default", CONFIG, CREDENTIALS);
        assert_eq!(
            (default.get("region"), default.get("aws_access_key_id")),
            (Some("eu-west-1"), Some("D"))
        );
        assert!(Settings::of("other", CONFIG, CREDENTIALS).is_empty());
    }
}
