//! The spellings of a model's name: dates, `-latest`, and the prefixes and suffixes of clouds and routers.

/// The regions of Bedrock's inference profiles.
const REGIONS: &[&str] = &["us-gov.", "us.", "eu.", "apac.", "au.", "jp.", "global."];
/// The vendors of Bedrock's model ids.
const VENDORS: &[&str] = &[
    "anthropic.",
    "openai.",
    "mistral.",
    "deepseek.",
    "moonshot.",
    "moonshotai.",
    "xai.",
    "zai.",
    "google.",
];
/// The endings that name a version of the same model.
const VERSIONS: &[&str] = &["@default", "-latest", "-fast", "-v1"];

/// Returns the form in which names are compared: lower case, and `-` for `.`.
pub(super) fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('.', "-")
}

/// Returns the possible names of a model, the most exact one first.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let name = name.trim().to_ascii_lowercase();
    let mut found = Vec::new();
    let mut add = |name: &str| {
        let name = folded(name);
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
    };
    // `publishers/anthropic/models/x`, `openai/x`, an ARN: the parts before each `/`
    let starts = std::iter::once(0).chain(name.match_indices('/').map(|(at, _)| at + 1));
    for start in starts {
        let own = &name[start..];
        let unprefixed = without_vendor(own);
        for form in [own, unprefixed] {
            add(form);
            let plain = without_version(form);
            add(plain);
            if let Some((model, date)) = plain.split_once('@') {
                add(&format!("{model}-{date}"));
            }
        }
    }
    found
}

/// Returns a folded name without its date, and the date as eight digits.
pub(super) fn split_date(name: &str) -> Option<(&str, String)> {
    let digits =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let (rest, last) = name.rsplit_once(['-', '@'])?;
    if digits(last, 8) && last.starts_with("20") {
        return Some((rest, last.to_owned()));
    }
    let (rest, month) =
        rest.rsplit_once('-').filter(|(_, month)| digits(month, 2) && digits(last, 2))?;
    let (rest, year) =
        rest.rsplit_once('-').filter(|(_, year)| digits(year, 4) && year.starts_with("20"))?;
    Some((rest, format!("{year}{month}{last}")))
}

fn without_vendor(name: &str) -> &str {
    let name = REGIONS.iter().find_map(|region| name.strip_prefix(region)).unwrap_or(name);
    VENDORS.iter().find_map(|vendor| name.strip_prefix(vendor)).unwrap_or(name)
}

/// Removes `[1m]`, `:free`, `-v1:0`, `@default` and the like.
fn without_version(name: &str) -> &str {
    let name = name.split_once('[').map_or(name, |(model, _)| model);
    let name = name.split_once(':').map_or(name, |(model, _)| model);
    VERSIONS.iter().fold(name, |name, version| name.strip_suffix(version).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_split_off_in_both_spellings() {
        assert_eq!(
            split_date("claude-haiku-4-5-20251001"),
            Some(("claude-haiku-4-5", "20251001".into()))
        );
        assert_eq!(
            split_date("claude-haiku-4-5@20251001"),
            Some(("claude-haiku-4-5", "20251001".into()))
        );
        assert_eq!(split_date("gpt-5-4-2026-03-05"), Some(("gpt-5-4", "20260305".into())));
        for name in
            ["claude-opus-4-8", "gpt-4o", "mistral-large-2411", "x-12345678", "2026-03-05", ""]
        {
            assert_eq!(split_date(name), None, "{name}");
        }
    }

    #[test]
    fn the_most_exact_spelling_comes_first() {
        let found = spellings("us.anthropic.claude-opus-4-6-v1");
        assert_eq!(found[0], "us-anthropic-claude-opus-4-6-v1");
        assert!(found.contains(&"claude-opus-4-6".to_owned()), "{found:?}");
        assert_eq!(spellings("  "), [""; 0]);
    }
}
