"""What the gateway's tools reach: a site with pages of all kinds, search services, an images endpoint.

All of it is one HTTP server on loopback, which answers by the path of what it is asked for.
"""

import base64
import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from install import ROOT

SAMPLES = ROOT / "tests" / "it" / "web"
BRAVE_KEY = "brave-key-of-the-operator"
IMAGES_KEY = "images-key-of-the-operator"

GERMAN = """\
<!DOCTYPE html>
<html lang="de">
<head><meta charset="windows-1252"><title>Gezeiten am Anleger</title></head>
<body><h1>Hochwasser für Büsum</h1>
<p>Die Flut läuft sechs Stunden – „nicht kürzer“, sagt der Wärter, und 5 € kostet das Büchlein.</p></body>
</html>
"""
# so many characters that it has to be read in parts
BOOK = "\n\n".join(f"Paragraph {n} of a long book about the sea." for n in range(1000))
# more than is read of any page, however long the tool would wait
ENDLESS = "The sea goes on.\n" * (6 << 16)
# one transparent pixel
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FOUND = [
    ("Tides, part 0", "https://sea.example/page/0", "Part 0 &amp; what the <b>moon</b> does", "2026-01-02T00:00:00"),
    ("Tides, part 1", "https://news.moon.example/page/1", "Part 1, without a date", None),
    ("Tides, part 2", "https://sea.example/page/2", "Part 2, without a date", None),
]


def pages():
    """What each path answers: a content type, bytes, and perhaps further headers."""
    return {
        "/article": ("text/html", (SAMPLES / "article.html").read_bytes()),
        "/german": ("text/html", GERMAN.encode("cp1252")),
        "/table.pdf": ("application/pdf", (SAMPLES / "table.pdf").read_bytes()),
        "/data.json": ("application/json", b'{"pier": "north", "heights": [5.1, 5.4]}\n'),
        "/book.txt": ("text/plain", BOOK.encode()),
        "/endless.txt": ("text/plain", ENDLESS.encode()),
        "/bomb": ("text/html", bomb(), ("content-encoding", "gzip")),
        "/pixel.png": ("image/png", PIXEL),
    }


def bomb():
    """Bytes that are a thousand times as many once they are unpacked."""
    return gzip.compress(b"<p>boom</p>" * (2 << 20))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A gateway that has read enough breaks its connection off."""


class Outside:
    """The server, and what it has been asked for."""

    def __init__(self):
        self.pages = pages()
        self.asked = []
        # those who wait for the slow page go when the server does
        self.closing = threading.Event()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outside.get(self)

            def do_POST(self):
                outside.post(self)

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def get(self, request):
        target = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        self.asked.append(("GET", request.path))
        if target.path in self.pages:
            kind, body, *more = self.pages[target.path]
            answer(request, 200, kind, body, *more)
        elif target.path == "/searxng/search":
            searched(request, query["q"], {"query": query["q"], "results": list(map(searxng, FOUND))})
        elif target.path == "/brave/search" and request.headers["x-subscription-token"] == BRAVE_KEY:
            searched(request, query["q"], {"web": {"results": list(map(brave, FOUND))}})
        elif target.path == "/old":
            answer(request, 301, "text/plain", b"moved", ("location", "/article"))
        elif target.path == "/busy":
            answer(request, 429, "text/plain", b"later")
        elif target.path == "/slow":
            self.closing.wait(30)
            request.close_connection = True
        else:
            answer(request, 404, "text/html", b"<h1>There is no such page</h1>")

    def post(self, request):
        asked = json.loads(request.rfile.read(int(request.headers["content-length"])))
        self.asked.append(("POST", request.path))
        if request.headers["authorization"] != f"Bearer {IMAGES_KEY}":
            answer_json(request, 401, {"error": {"message": "who are you?"}})
        elif "forbidden" in asked["prompt"]:
            answer_json(request, 400, {"error": {"message": "that cannot be painted"}})
        else:
            made = {"b64_json": base64.b64encode(PIXEL).decode(), "revised_prompt": f"{asked['prompt']}, in oil"}
            answer_json(request, 200, {"data": [made]})


def searched(request, query, found):
    """The services have their bad days, which the query asks for."""
    if "busy" in query:
        answer_json(request, 429, {})
    elif "broken" in query:
        answer(request, 500, "text/html", b"<h1>Oops</h1>")
    else:
        answer_json(request, 200, found)


def searxng(found):
    title, url, text, date = found
    return {"title": title, "url": url, "content": text, "publishedDate": date, "engine": "wikipedia", "score": 1.0}


def brave(found):
    title, url, text, date = found
    return {"title": title, "url": url, "description": text, "page_age": date, "type": "search_result"}


def answer_json(request, status, value):
    answer(request, status, "application/json", json.dumps(value).encode())


def answer(request, status, kind, body, *headers):
    request.send_response(status)
    for name, value in [("content-type", kind), ("content-length", str(len(body))), *headers]:
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def outside():
    """Serves while it is needed."""
    server = Outside()
    try:
        yield server
    finally:
        server.close()
