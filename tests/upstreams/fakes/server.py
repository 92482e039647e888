"""The HTTP server of all fakes: finds the dialect by path, judges, plays a scenario, records everything.

    python -m fakes PORT SCHEMAS [PUBLIC_KEY]

`GET /__log` returns the requests since `POST /__reset`; `GET /__verdicts` returns them without their bodies. After
`POST /__forget` the upstream refuses all reasoning that it sealed, until the reset. A request's scenario stands in its
model's name (`scenario-NAME`, anywhere in it); other names play `text`. `scenario-directed` follows the user's text.
"""

import itertools
import json
import re
import socket
import struct
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from . import directed
from .dialogues import DIALECTS
from .gemini_judge import SIGNATURES
from .limits import Refused, Schemas
from .responses_parts import SEALED
from .wire import Reply, whole

NAME = re.compile(r"scenario-([a-z0-9-]+)")
# stands for the name of the request's first tool
FIRST = b"@first@"
SEALS = [
    (
        "responses",
        SEALED,
        f"The encrypted content {SEALED[:8]}... could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
        "invalid_encrypted_content",
    ),
    ("gemini", SIGNATURES["studio"], "Corrupted thought signature.", None),
    ("gemini", SIGNATURES["vertex"], "Invalid thought signature.", None),
]
# a silent scenario holds its connection no longer than this
SILENCE = 120


@dataclass
class Request:
    """What a fake received."""

    method: str
    path: str
    query: dict
    headers: dict
    raw: bytes
    # everything below is filled while it is judged
    body: object = None
    raw_path: str = ""
    family: str = ""
    flavor: str = ""
    scenario: str = ""
    form: str = ""
    verdict: object = "accepted"
    notes: dict = field(default_factory=dict)
    # whether the upstream has lost the key of the reasoning that it sealed
    forgets: bool = False
    # counts the answers of each directed model
    turns: dict | None = None

    def verdict_only(self):
        """The record without the bytes and the body, which may be large."""
        return {name: value for name, value in self.record().items() if name not in ("text", "body")}

    def record(self):
        return {
            "method": self.method,
            "path": self.path,
            "raw_path": self.raw_path,
            "query": self.query,
            "headers": self.headers,
            "text": self.raw.decode("utf-8", "replace"),
            "body": self.body,
            "family": self.family,
            "flavor": self.flavor,
            "scenario": self.scenario,
            "form": self.form,
            "verdict": self.verdict,
            "notes": self.notes,
        }


class Unplayable(Exception):
    """The scenario has no answer of the requested form."""


class Fakes:
    """All dialects, and the log of what they received."""

    def __init__(self, schemas, public_key=None):
        from . import chat, claude, gemini, responses

        self.schemas = Schemas(schemas)
        self.log, self.lock = [], threading.Lock()
        self.turns = defaultdict(itertools.count)
        self.forgets = False
        dialects = [
            chat.Chat,
            responses.Responses,
            gemini.Gemini,
            claude.Bedrock,
            claude.Vertex,
            claude.Foundry,
            claude.Mantle,
            claude.Google,
        ]
        self.dialects = [dialect(self.schemas, public_key) for dialect in dialects]

    def answer(self, request):
        reply = self.judged(request)
        with self.lock:
            self.log.append(request)
        return reply

    def judged(self, request):
        for dialect in self.dialects:
            if dialect.takes(request):
                break
        else:
            request.verdict = {"status": 404, "message": f"no fake has the path {request.path}"}
            return whole({"error": {"message": f"unknown path {request.path}", "type": "invalid_request_error"}}, 404)
        request.family, request.forgets, request.turns = dialect.name, self.forgets, self.turns
        try:
            request.body = json.loads(request.raw) if request.raw and dialect.is_json(request) else None
            request.scenario = named(request)
            return dialect.answer(request)
        except Refused as refusal:
            request.verdict = {"status": refusal.status, "message": str(refusal)}
            return dialect.refusal(refusal)
        except Unplayable as error:
            request.verdict = {"status": 501, "message": str(error)}
            return whole({"error": {"message": str(error)}}, 501)
        except ValueError as error:
            request.verdict = {"status": 400, "message": f"no JSON: {error}"}
            return dialect.refusal(Refused("We could not parse the JSON body of your request."))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            request.verdict = {
                "status": 400,
                "message": f"a shape that the judge does not know: {type(error).__name__} {error}",
            }
            return dialect.refusal(Refused("Invalid request"))


def play(request, table, model):
    """The reply of the scenario that the model's name holds."""
    found = NAME.search(model)
    request.scenario = found[1] if found else "text"
    if directed.is_directed(request.scenario):
        return directed.perform(request, DIALECTS[request.family])
    scenario = table.get(request.scenario)
    if scenario is None:
        raise Unplayable(f"{request.family} has no scenario {request.scenario}")
    reply = scenario.stream if request.form == "stream" else scenario.whole
    if reply is None:
        raise Unplayable(f"the scenario {request.scenario} has no {request.form} form")
    if request.forgets:
        refuse_sealed(request)
    if FIRST in reply.body[:100_000]:
        reply = replace(
            reply,
            pieces=tuple(
                piece.replace(FIRST, first_tool(request.body)) if isinstance(piece, bytes) else piece
                for piece in reply.pieces
            ),
        )
    return reply


def named(request):
    """The scenario in the path or in the body's model; known before the judge can refuse."""
    model = request.body.get("model") if isinstance(request.body, dict) else None
    found = NAME.search(request.raw_path) or NAME.search(model if isinstance(model, str) else "")
    return found[1] if found else ""


def counted(request, model, usual):
    """The tokens of a counted request: the same number always, or more for a longer request to a directed model."""
    found = NAME.search(model)
    if found is None or not directed.is_directed(found[1]):
        return usual
    return 50 + len(request.raw) // 20


def refuse_sealed(request):
    """The provider's words for reasoning that it cannot read any more."""
    for family, seal, message, code in SEALS:
        if request.family == family and seal.encode() in request.raw:
            raise Refused(message, code=code, type="invalid_request_error" if code else "INVALID_ARGUMENT")


def first_tool(body):
    """The upstream's name of the request's first tool."""
    tool = next(iter(body.get("tools") or []), {"name": "get_weather"})
    tool = next(iter(tool.get("functionDeclarations") or []), tool)
    return tool.get("function", tool)["name"].encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client may close its connection at any time."""


def handler(fakes):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path in ("/__log", "/__verdicts"):
                record = Request.record if self.path == "/__log" else Request.verdict_only
                with fakes.lock:
                    found = list(fakes.log)
                return self.send(whole(json.dumps([record(request) for request in found])))
            self.do_POST()

        def do_POST(self):
            raw = self.read_body()
            if self.path in ("/__reset", "/__forget"):
                with fakes.lock:
                    fakes.log.clear()
                    fakes.forgets = self.path == "/__forget"
                return self.send(whole({}))
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, unquote(parts.path), query, headers, raw, raw_path=self.path)
            self.send(fakes.answer(request))

        def read_body(self):
            if "chunked" in self.headers.get("transfer-encoding", ""):
                data = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def send(self, reply: Reply):
            if reply.ending == "reset" and not reply.pieces:
                return self.reset()
            self.send_response(reply.status)
            self.send_header("content-type", reply.kind)
            for name, value in reply.headers.items():
                if name != "connection":
                    self.send_header(name, value)
            simple = len(reply.pieces) == 1 and reply.ending == "end"
            if simple:
                self.send_header("content-length", str(len(reply.pieces[0])))
            else:
                self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in reply.pieces:
                self.write(piece, simple)
            self.finish_body(reply.ending, simple)

        def write(self, piece, simple):
            if isinstance(piece, (int, float)):
                return time.sleep(piece)
            if piece:
                self.wfile.write(piece if simple else b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()

        def finish_body(self, ending, simple):
            if ending == "end" and not simple:
                self.wfile.write(b"0\r\n\r\n")
            elif ending == "cut":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif ending == "reset":
                self.reset()
            elif ending == "stall":
                self.close_connection = True
                self.connection.settimeout(SILENCE)
                try:
                    self.connection.recv(1)
                except OSError:
                    pass

        def reset(self):
            self.close_connection = True
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        do_PUT = do_DELETE = do_POST

        def log_message(self, *_):
            """The log is read at /__log."""

    return Handler


def serve(port, schemas, public_key=None):
    server = Server(("127.0.0.1", port), handler(Fakes(schemas, public_key)))
    print(f"listening {server.server_address[1]}", flush=True)
    server.serve_forever()


def main():
    public_key = open(sys.argv[3]).read() if len(sys.argv) > 3 else None
    serve(int(sys.argv[1]), sys.argv[2], public_key)
