//! The text of `/metrics`: OpenMetrics with exemplars for scrapers that accept it, Prometheus text for all others.
use std::borrow::Cow;

/// A format of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4, which has no exemplars.
    Prometheus,
}

impl Format {
    /// Returns the format for the values of `accept`. Only a scraper that names OpenMetrics 1.0.0 gets it.
    pub(crate) fn accepted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let ranges: Vec<Range<'_>> =
            accept.flat_map(|list| list.split(',')).map(Range::read).collect();
        let best = |is_of: fn(&Range<'_>) -> bool| {
            ranges.iter().filter(|range| is_of(range)).map(|range| range.weight).fold(0.0, f64::max)
        };
        let open =
            best(|range| range.kind == "application/openmetrics-text" && range.is_version("1.0.0"));
        let plain = best(|range| range.kind == "text/plain" && range.is_version("0.0.4"));
        match open > 0.0 && open >= plain {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// Returns the content type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Returns a text of OpenMetrics in this format.
    pub(super) fn of(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => plain(&text),
        }
    }
}

/// A media range of `accept`.
struct Range<'a> {
    kind: String,
    version: Option<&'a str>,
    weight: f64,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut range = Self { kind, version: None, weight: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => range.version = Some(value),
                // a weight that is no number is none
                "q" => range.weight = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        range
    }

    fn is_version(&self, known: &str) -> bool {
        self.version.is_none_or(|version| version == known)
    }
}

/// Returns a text of OpenMetrics as Prometheus text.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kind = "";
    // the type of a family is on the line after its help
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let described = line.strip_prefix("# HELP ");
        if let Some(next) = lines.peek().filter(|_| described.is_some()) {
            kind = next.rsplit(' ').next().unwrap_or_default();
        }
        let line = match (described, line.strip_prefix("# TYPE ")) {
            (Some(rest), _) => Cow::Owned(format!("# HELP {}", of_family(rest, kind))),
            (_, Some(rest)) => Cow::Owned(format!("# TYPE {}", of_family(rest, kind))),
            _ if line.starts_with('#') => continue,
            _ => Cow::Borrowed(without_exemplar(line)),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Returns the name of a family and a text about it. In Prometheus text a counter's family has the name of its
/// samples.
fn of_family<'a>(rest: &'a str, kind: &str) -> Cow<'a, str> {
    match (kind, rest.split_once(' ')) {
        ("counter", Some((name, text))) => format!("{name}_total {text}").into(),
        _ => rest.into(),
    }
}

/// Returns a sample without its exemplar. The value of a label may look like the start of one.
fn without_exemplar(line: &str) -> &str {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let is_start = *c == '#' && !is_quoted;
        match c {
            '"' if !is_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        is_escaped = *c == '\\' && !is_escaped;
        is_start
    });
    end.map_or(line, |(at, _)| line[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn accepts(accept: &str, expected: Format) {
        assert_eq!(Format::accepted([accept].into_iter()), expected, "{accept}");
    }

    #[test]
    fn only_a_scraper_that_names_openmetrics_gets_it() {
        for plain in [
            "",
            "*/*",
            "text/plain",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.5",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        ] {
            accepts(plain, Format::Prometheus);
        }
        for open in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"",
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // Prometheus 2.42 and 3
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            accepts(open, Format::OpenMetrics);
        }
        let both = ["text/plain;q=0.2", "application/openmetrics-text;q=0.3"];
        assert_eq!(Format::accepted(both.into_iter()), Format::OpenMetrics);
    }

    #[test]
    fn prometheus_text_has_names_of_samples_and_no_exemplars() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total{x=\"1 # {y=\\\"\"} 1 # {trace_id=\"t\"} 1.0 5\n\
                    # HELP b_seconds Times.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
                    b_seconds_bucket{le=\"1.0\",m=\"a\\\\\"} 2 # {trace_id=\"t\"} 0.5\nb_seconds_count 2\n\
                    # HELP c A gauge.\n# TYPE c gauge\nc 3\n# EOF\n";
        let expected = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1 # {y=\\\"\"} 1\n\
                        # HELP b_seconds Times.\n# TYPE b_seconds histogram\n\
                        b_seconds_bucket{le=\"1.0\",m=\"a\\\\\"} 2\nb_seconds_count 2\n\
                        # HELP c A gauge.\n# TYPE c gauge\nc 3\n";
        assert_eq!(plain(open), expected);
    }
}
