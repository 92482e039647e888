//! The body of an export: spans with their resource, as protobuf, and compressed.
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use crate::telemetry::ids::instance;
use crate::telemetry::otlp::messages::{
    Attributes, ExportRequest, Resource, ResourceSpans, Scope, ScopeSpans, Span,
};

const NAME: &str = "tidegate";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the resource: this process, and the attributes that the environment names, which come first.
pub(super) fn resource(own: &[(String, String)]) -> Resource {
    let usual = [
        ("service.name", NAME),
        ("service.version", VERSION),
        ("service.instance.id", instance()),
        ("telemetry.sdk.name", NAME),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", VERSION),
    ];
    let usual = usual.into_iter().filter(|(key, _)| own.iter().all(|(name, _)| name != key));
    let own = own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let all = own.chain(usual);
    let attributes = all.fold(Attributes::default(), |all, (key, value)| all.text(key, value));
    Resource { attributes: attributes.into_vec() }
}

/// Returns the body of an export.
pub(super) fn body(resource: &Resource, spans: Vec<Span>) -> Bytes {
    let scope = Scope { name: NAME.to_owned(), version: VERSION.to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource.clone()), scope_spans }];
    ExportRequest { resource_spans }.encode_to_vec().into()
}

/// Returns a body compressed by gzip.
pub(super) fn gzip(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    Ok(encoder.finish()?.into())
}
