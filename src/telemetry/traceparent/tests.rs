//! Tests of W3C Trace Context.
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Parent, SpanId, Trace, TraceId, is_within};
use crate::telemetry::story::Story;

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(*name).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn trace(pairs: &[(&str, &str)]) -> Trace {
    Trace::of(&headers(pairs), 1.0)
}

fn continues(traceparents: &[&str]) -> bool {
    let pairs: Vec<_> = traceparents.iter().map(|value| ("traceparent", *value)).collect();
    let trace = trace(&pairs);
    let is_same = trace.id.to_string() == "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(is_same, trace.parent.is_some());
    is_same
}

#[test]
fn a_valid_traceparent_is_continued() {
    for valid in [
        VALID,
        " \t00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
    ] {
        assert!(continues(&[valid]), "{valid}");
    }
}

#[test]
fn a_malformed_traceparent_starts_a_new_trace() {
    for wrong in [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1x",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01c",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
        "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert!(!continues(&[wrong]), "{wrong}");
    }
    assert!(!continues(&[VALID, VALID]));
    assert!(!continues(&[]));
}

#[test]
fn an_upstream_gets_the_span_of_its_attempt_as_the_parent() {
    let trace = trace(&[("traceparent", VALID)]);
    assert_eq!(trace.parent, Some(Parent::Remote(SpanId(0xb7ad_6b71_6920_3331))));
    let mut sent = headers(&[("traceparent", VALID), ("tracestate", "a=1")]);
    trace.propagation(SpanId(0xabc)).apply(&mut sent);
    let expected = "00-0af7651916cd43dd8448eb211c80319c-0000000000000abc-01";
    assert_eq!(sent.get_all("traceparent").iter().collect::<Vec<_>>(), [expected]);
}

#[test]
fn unknown_flags_are_not_sent() {
    for (flags, sent) in [("ff", "03"), ("02", "02"), ("fc", "00"), ("00", "00"), ("09", "01")] {
        let client = format!("{}{flags}", VALID.strip_suffix("01").unwrap());
        let trace = trace(&[("traceparent", &client)]);
        let mut headers = HeaderMap::new();
        trace.propagation(SpanId(1)).apply(&mut headers);
        let value = headers["traceparent"].to_str().unwrap();
        assert!(value.ends_with(&format!("-{sent}")), "{flags}: {value}");
        assert_eq!(trace.is_sampled, sent.ends_with(['1', '3']));
    }
}

/// Returns the `tracestate` that an upstream receives.
fn state_sent(pairs: &[(&str, &str)]) -> Vec<String> {
    let mut sent = headers(pairs);
    trace(pairs).propagation(SpanId(1)).apply(&mut sent);
    sent.get_all("tracestate").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_tracestate_passes_with_a_valid_traceparent_only() {
    let state = ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    let parent = ("traceparent", VALID);
    assert_eq!(state_sent(&[parent, state]), [state.1]);
    assert_eq!(state_sent(&[parent, state, ("tracestate", "a=1")]), [state.1, "a=1"]);
    assert!(state_sent(&[state]).is_empty());
    assert!(state_sent(&[("traceparent", "00-0-0-01"), state]).is_empty());
    let both = trace(&[parent, state, ("tracestate", " a=1 ,, b=2")]);
    assert_eq!(&*both.state, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,a=1,b=2");
}

#[test]
fn a_malformed_tracestate_is_not_sent() {
    let parent = ("traceparent", VALID);
    let long = |length: usize| "z".repeat(length);
    let members = |number: usize| {
        let members: Vec<_> = (0..number).map(|n| format!("k{n}=1")).collect();
        members.join(",")
    };
    for valid in [
        "foo@bar=1".to_owned(),
        "0foo=1".to_owned(),
        "a-_*/9=!#$%&'()*+-./:;<>?@[]^_`{|}~".to_owned(),
        "a= 1".to_owned(),
        format!("{}=1", long(256)),
        format!("a={}", long(256)),
        format!("{}@{}=1", long(241), long(14)),
        "foo=1,\t bar=2 ,".to_owned(),
        "foo=1,foo=2".to_owned(),
        members(32),
    ] {
        assert_eq!(state_sent(&[parent, ("tracestate", &valid)]), [valid.as_str()]);
    }
    for wrong in [
        "foo".to_owned(),
        "foo=".to_owned(),
        "=1".to_owned(),
        "Foo=1".to_owned(),
        "foo =1".to_owned(),
        "foo=1=2".to_owned(),
        "foo@=1".to_owned(),
        "@bar=1".to_owned(),
        "foo@1bar=1".to_owned(),
        "foo@bar@baz=1".to_owned(),
        "_foo=1".to_owned(),
        format!("{}=1", long(257)),
        format!("a={}", long(257)),
        format!("{}@{}=1", long(242), long(1)),
        format!("{}@{}=1", long(1), long(15)),
        members(33),
    ] {
        assert!(state_sent(&[parent, ("tracestate", &wrong)]).is_empty(), "{wrong}");
    }
}

#[test]
fn the_ratio_decides_about_new_traces_and_the_client_about_its_own() {
    let sampled = |ratio: f64| {
        let traces = (0..1000).map(|_| Trace::of(&HeaderMap::new(), ratio));
        traces.filter(|trace| trace.is_sampled).count()
    };
    assert_eq!((sampled(0.0), sampled(1.0)), (0, 1000));
    let unsampled = format!("{}00", VALID.strip_suffix("01").unwrap());
    for (client, is_sampled) in [(VALID, true), (&*unsampled, false)] {
        for ratio in [0.0, 1.0] {
            let trace = Trace::of(&headers(&[("traceparent", client)]), ratio);
            assert_eq!(trace.is_sampled, is_sampled, "{client} {ratio}");
        }
    }
    // the low 56 bits decide, and the highest values are sampled first
    let all = (1_u128 << 56) - 1;
    for (id, ratio, expected) in [
        (all, 0.000_1, true),
        (all / 2, 0.4, false),
        (all / 2, 0.6, true),
        (1 << 56, 0.99, false),
        ((1 << 56) | all, 0.01, true),
        (1 << 100, 1.0, true),
        (all, 0.0, false),
    ] {
        assert_eq!(is_within(TraceId(id), ratio), expected, "{id:x} {ratio}");
    }
}

#[test]
fn an_inner_exchange_is_a_child_in_the_same_trace() {
    let outer = trace(&[("traceparent", VALID)]);
    let inner = outer.within();
    assert_eq!(inner.id, outer.id);
    assert_eq!(inner.parent, Some(Parent::Exchange(outer.span)));
    assert!(inner.span != outer.span && inner.is_sampled);
}

#[test]
fn a_client_that_is_not_known_forces_no_sampling() {
    let sampled = |ratio: f64, is_known: bool| {
        let story = Story::default();
        story.trace_as(Some(Trace::of(&headers(&[("traceparent", VALID)]), ratio)));
        if is_known {
            story.identify("ci");
        }
        story.read(|record| record.sampled().is_some())
    };
    assert_eq!([sampled(0.0, false), sampled(0.0, true)], [false, true]);
    assert_eq!([sampled(1.0, false), sampled(1.0, true)], [true, true]);
    // a client that wants no spans gets none
    let unsampled = format!("{}00", VALID.strip_suffix("01").unwrap());
    let trace = Trace::of(&headers(&[("traceparent", &unsampled)]), 1.0);
    assert!(!trace.is_sampled && !trace.is_sampled_unknown);
}
