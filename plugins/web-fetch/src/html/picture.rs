//! The address of a picture: pages that load pictures late name it in other attributes.
use crate::html::tokens::Tag;

/// The attributes with the address of a picture that is loaded late.
const LATE: [&str; 12] = [
    "data-src",
    "data-lazy-src",
    "data-original",
    "data-original-src",
    "data-full-src",
    "data-hi-res-src",
    "data-actualsrc",
    "data-lazy",
    "data-echo",
    "data-image",
    "data-srcset",
    "data-lazy-srcset",
];
/// The attributes with several sizes of a picture.
pub(super) const LISTS: [&str; 3] = ["data-srcset", "data-lazy-srcset", "srcset"];
/// The names of pictures that only keep a place, without their endings.
const PLACEHOLDERS: [&str; 14] = [
    "1x1",
    "blank",
    "clear",
    "empty",
    "gray",
    "grey",
    "lazy",
    "lazyload",
    "loader",
    "loading",
    "pixel",
    "placeholder",
    "spacer",
    "transparent",
];

/// Returns the address of a picture, as the page writes it. `list` has the sizes of the `picture`
/// around it.
pub(super) fn source(tag: &Tag, list: Option<&str>) -> Option<String> {
    let is_tiny = |name| tag.get(name).is_some_and(|size| matches!(size.trim(), "0" | "1"));
    if is_tiny("width") && is_tiny("height") {
        return None;
    }
    let late = LATE.iter().find_map(|name| {
        let value = tag.get(name)?;
        if name.ends_with("srcset") { largest(&value) } else { real(&value) }
    });
    let own = || tag.get("src").and_then(|value| real(&value)).filter(|url| !is_placeholder(url));
    let sized = || LISTS.iter().find_map(|name| largest(&tag.get(name)?));
    let around = || list.and_then(largest);
    late.or_else(own).or_else(sized).or_else(around)
}

fn is_placeholder(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let stem = name.rsplit_once('.').map_or(&name[..], |(stem, _)| stem);
    PLACEHOLDERS.contains(&stem) || stem.starts_with("placeholder")
}

/// Returns an address that is not embedded.
fn real(value: &str) -> Option<String> {
    let value = value.trim();
    let scheme = value.split(':').next().unwrap_or_default();
    let is_embedded =
        ["data", "blob", "about", "javascript"].iter().any(|no| scheme.eq_ignore_ascii_case(no));
    (!value.is_empty() && !is_embedded).then(|| value.to_owned())
}

/// Returns the address of the largest picture of a `srcset`.
fn largest(list: &str) -> Option<String> {
    let mut best: Option<(f64, &str)> = None;
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            break;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, behind) = rest.split_at(end);
        let bare = url.trim_end_matches(',');
        // an address that ends with a comma has no size
        let (size, next) = match bare.len() == url.len() {
            true => {
                let end = behind.find(',').unwrap_or(behind.len());
                (behind[..end].trim(), &behind[end..])
            }
            false => ("", behind),
        };
        rest = next;
        let factor = size.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse();
        let factor = factor.unwrap_or(1.0);
        if real(bare).is_some() && best.is_none_or(|(largest, _)| factor > largest) {
            best = Some((factor, bare));
        }
    }
    best.map(|(_, url)| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_picture_of_a_list_is_taken() {
        for (list, expect) in [
            ("a.jpg 320w, b.jpg 1280w, c.jpg 640w", Some("b.jpg")),
            ("a.jpg, b.jpg 2x", Some("b.jpg")),
            ("a.jpg?w=1,2 1x,b.jpg 1.5x", Some("b.jpg")),
            ("data:image/gif;base64,AA== 3x, a.jpg 1x", Some("a.jpg")),
            ("a.jpg", Some("a.jpg")),
            (" , ", None),
        ] {
            assert_eq!(largest(list).as_deref(), expect, "{list}");
        }
    }
}
