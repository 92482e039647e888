//! `Tag`: the `ETag` of a resource, and the `If-Match` of a write.
use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use crate::admin::failure::Failure;

/// The bytes of a digest that a tag shows.
const SHOWN: usize = 12;

/// The version of a resource. Equal tags mean equal resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    /// Returns the tag of a resource that these texts describe completely.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(format!("\"{}\"", hex::encode(&hasher.finalize()[..SHOWN])))
    }

    /// Returns the tag of a file.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self(format!("\"{}\"", hex::encode(&Sha256::digest(bytes)[..SHOWN])))
    }

    /// Returns whether `If-None-Match` of a read names this version.
    pub(crate) fn is_known<'a>(&self, sent: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
        let mut texts = sent.into_iter().filter_map(|value| value.to_str().ok());
        // the bytes are the same, even if a proxy has made the tag weak
        let fits = |one: &str| one == "*" || one.trim_start_matches("W/") == self.0;
        texts.any(|text| text.split(',').any(|one| fits(one.trim())))
    }

    /// Returns the value of the header `etag`.
    pub(crate) fn header(&self) -> HeaderValue {
        // digits and letters in quotes are a valid value
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
    }

    /// Checks `If-Match` of a write.
    ///
    /// Fails with a 428 if the request has none, and with a 412 if it names another version. `*` is any version.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let mut sent = headers.get_all(IF_MATCH).iter().peekable();
        if sent.peek().is_none() {
            return Err(missing());
        }
        let mut texts = sent.filter_map(|value| value.to_str().ok());
        let fits = |one: &str| one == "*" || one == self.0;
        if texts.any(|text| text.split(',').any(|one| fits(one.trim()))) {
            return Ok(());
        }
        let message = "the resource has changed since it was read: read it again, then write";
        let failure = Failure::new(StatusCode::PRECONDITION_FAILED, message);
        Err(failure.about("if-match", self.0.clone(), "another version"))
    }
}

/// Returns the error of a write without `If-Match`.
pub(crate) fn missing() -> Failure {
    let message = "a write needs `if-match` with the `etag` of the resource, or `*`";
    let failure = Failure::new(StatusCode::PRECONDITION_REQUIRED, message);
    failure.about("if-match", "the `etag` of the resource, or `*`", "nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(values: &[&str]) -> HeaderMap {
        let header = |value: &&str| (IF_MATCH, HeaderValue::from_str(value).unwrap());
        values.iter().map(header).collect()
    }

    #[test]
    fn a_write_needs_the_version_that_was_read() {
        let tag = Tag::of(&["a", "b"]);
        let own = tag.header().to_str().unwrap().to_owned();
        let status = |values: &[&str]| tag.check(&sent(values)).map_err(|it| it.status.as_u16());
        assert_eq!(status(&[&own]), Ok(()));
        assert_eq!(status(&["*"]), Ok(()));
        assert_eq!(status(&[&format!("\"x\", {own}")]), Ok(()));
        assert_eq!(status(&["\"x\"", &own]), Ok(()));
        assert_eq!(status(&[]), Err(428));
        // a weak tag never matches
        for wrong in ["\"x\"", "", own.trim_matches('"'), &format!("W/{own}")] {
            assert_eq!(status(&[wrong]), Err(412), "{wrong}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Tag::of(&["ab", "c"]), Tag::of(&["a", "bc"]));
        assert_eq!(Tag::of(&["ab", "c"]), Tag::of(&["ab", "c"]));
    }
}
