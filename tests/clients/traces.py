"""Traces and metrics as other programs read them: OpenTelemetry's own protobuf classes, and Prometheus's own parsers.

Starts a collector stand-in and a gateway that exports to it; prints a line a check, and `end`.
"""

import gzip
import json
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gateway as gateways
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import parser as plain
from prometheus_client.openmetrics import parser as openmetrics

# of one condition on a busy machine
PATIENCE = 60
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

CONFIG = """\
listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:{admin} }}
providers:
  sim: {{ type: simulator }}
models:
  sim: {{ provider: sim, model: sim-1 }}
keys: [{{ name: team, key: a-secret-key, tags: {{ team: blue }} }}]
plugins: {{ dir: "{plugins}" }}
pipeline: [{{ policy: tagger }}]
ledger: off
otlp: {{ endpoint: "http://127.0.0.1:{collector}", headers: {{ x-token: t }} }}
"""
POLICY = 'fn on_request(request, ctx) { tag("tier", "gold"); }\n'


class Collector(BaseHTTPRequestHandler):
    """Decodes each export; refuses the first one."""

    protocol_version = "HTTP/1.1"
    exports = []
    heads = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).heads.append((self.path, dict(self.headers.items())))
        if len(self.heads) == 1:
            self.send_response(503)
            self.send_header("retry-after", "0")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        # a field that the schema does not know would be lost here
        assert request.SerializeToString() and len(request.SerializeToString()) == len(body)
        type(self).exports.append(request)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def spans():
    return [
        span
        for export in Collector.exports
        for resource in export.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(span):
    return {pair.key: value(pair.value) for pair in span.attributes}


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {PATIENCE} s: {[span.name for span in spans()]}")


def ask(url, text, **more):
    body = {"model": "sim", "max_tokens": 200, "messages": [{"role": "user", "content": text}], **more}
    headers = {
        "content-type": "application/json",
        "x-api-key": "a-secret-key",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
        "tracestate": "vendor=1",
        "x-claude-code-session-id": "session-1",
    }
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def scrape(metrics, accept):
    request = urllib.request.Request(metrics, headers={"accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.headers["content-type"], answer.read().decode()


def exchange_of(text, url, **more):
    """The spans of one exchange that streams."""
    before = {span.span_id for span in spans()}
    status, _ = ask(url, text, stream=True, **more)
    assert status == 200, status

    def found():
        new = [span for span in spans() if span.span_id not in before]
        return new if any(span.kind == Span.SPAN_KIND_SERVER for span in new) else None

    return until("spans of an exchange", found)


def the_tree(url, _):
    new = exchange_of("secret words", url, metadata={"user_id": "secret-user"})
    server = next(span for span in new if span.kind == Span.SPAN_KIND_SERVER)
    assert server.name == "chat sim", server.name
    assert server.trace_id.hex() == TRACE and server.parent_span_id.hex() == PARENT
    assert server.trace_state == "vendor=1"
    children = [span for span in new if span is not server]
    assert {span.parent_span_id for span in children} == {server.span_id}
    names = sorted(span.name for span in children)
    assert names == ["chat sim-1", "stage tagger"], names
    for span in new:
        assert len(span.trace_id) == 16 and len(span.span_id) == 8
        assert server.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= server.end_time_unix_nano
        assert abs(span.end_time_unix_nano / 1e9 - time.time()) < 600
        assert span.status.code == Status.STATUS_CODE_UNSET
    seen = attributes(server)
    assert seen["tidegate.key"] == "team" and seen["tidegate.tag.team"] == "blue"
    assert seen["tidegate.tag.tier"] == "gold" and seen["gen_ai.conversation.id"] == "session-1"
    text = "".join(str(export) for export in Collector.exports)
    assert "secret" not in text, "a secret is in a span"


def the_names(url, _):
    new = exchange_of("hello", url, temperature=0.5)
    client = attributes(next(span for span in new if span.kind == Span.SPAN_KIND_CLIENT))
    for name, kind in {
        "gen_ai.operation.name": str,
        "gen_ai.provider.name": str,
        "gen_ai.request.model": str,
        "gen_ai.request.max_tokens": int,
        "gen_ai.request.temperature": float,
        "gen_ai.request.stream": bool,
        "gen_ai.response.id": str,
        "gen_ai.response.model": str,
        "gen_ai.response.finish_reasons": list,
        "gen_ai.response.time_to_first_chunk": float,
        "gen_ai.usage.input_tokens": int,
        "gen_ai.usage.output_tokens": int,
        "gen_ai.usage.cache_read.input_tokens": int,
        "gen_ai.usage.cache_write.input_tokens": int,
    }.items():
        assert type(client.get(name)) is kind, f"{name}: {client.get(name)!r}"


def the_tools(url, _):
    text = '[sim: call datetime {"timezones": ["Asia/Tokyo"]}]'
    new = exchange_of(text, url, tools=[{"type": "gateway:datetime"}])
    tool = next(span for span in new if span.name == "execute_tool datetime")
    assert tool.kind == Span.SPAN_KIND_INTERNAL
    assert attributes(tool)["gen_ai.tool.name"] == "datetime"
    assert len([span for span in new if span.kind == Span.SPAN_KIND_CLIENT]) == 2


def the_resource(_, __):
    resource = {pair.key: value(pair.value) for pair in Collector.exports[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "tidegate" and resource["service.instance.id"]


def the_request(_, __):
    assert len(Collector.heads) > len(Collector.exports), "the first export was refused"
    for path, headers in Collector.heads:
        headers = {name.lower(): text for name, text in headers.items()}
        assert path == "/v1/traces" and headers["x-token"] == "t"
        assert headers["content-type"] == "application/x-protobuf"


def the_plain_text(_, metrics):
    kind, text = scrape(metrics, None)
    assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
    families = {family.name: family for family in plain.text_string_to_metric_families(text)}
    assert families["tidegate_requests"].type == "counter"
    assert families["tidegate_gen_ai_server_request_duration_seconds"].type == "histogram"
    assert all(family.samples or family.documentation for family in families.values())
    names = [sample.name for family in families.values() for sample in family.samples]
    assert "tidegate_otlp_exported_total" in names


def the_openmetrics_text(_, metrics):
    kind, text = scrape(metrics, f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5")
    assert kind == f"{OPENMETRICS}; charset=utf-8", kind
    # the parser rejects every exemplar that is too long, or not on a bucket or a counter
    families = list(openmetrics.text_string_to_metric_families(text))
    exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert exemplars and all(exemplar.labels == {"trace_id": TRACE} for exemplar in exemplars)


CHECKS = {
    "OpenTelemetry's classes read a trace as a tree": the_tree,
    "attempts have the attributes of the conventions with their types": the_names,
    "calls of server tools are spans": the_tools,
    "the resource names the service": the_resource,
    "an export that was refused comes again, with the operator's headers": the_request,
    "Prometheus's parser reads the plain text": the_plain_text,
    "the parser of OpenMetrics reads the text with exemplars": the_openmetrics_text,
}


def main():
    binary = sys.argv[1]
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="tidegate-traces-") as place:
        place = Path(place)
        for name in ("policies", ".tidegate", "plugins"):
            (place / name).mkdir()
        (place / "policies" / "tagger.rhai").write_text(POLICY)
        (place / "plugins" / "datetime.wasm").symlink_to(gateways.ROOT / "plugins" / "datetime.wasm")
        terms = {"collector": collector.server_port, "plugins": place / "plugins"}
        with gateways.running(binary, place, CONFIG, **terms) as (url, metrics):
            for name, check in CHECKS.items():
                try:
                    check(url, metrics)
                    print("ok", name, flush=True)
                except Exception as error:
                    traceback.print_exc()
                    print("FAIL", f"{name}: {str(error) or type(error).__name__}".replace("\n", " "), flush=True)
    print("end", flush=True)


if __name__ == "__main__":
    main()
