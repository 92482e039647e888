"""Answers as bytes: SSE, JSON and AWS frames, and the ways in which a connection can misbehave."""

import base64
import json
import struct
import zlib
from dataclasses import dataclass, field

EVENTS = "text/event-stream"
JSON = "application/json"
FRAMES = "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. `pieces` are written one by one; a number among them is a pause in seconds."""

    pieces: tuple
    status: int = 200
    kind: str = JSON
    headers: dict = field(default_factory=dict)
    # end: complete; cut: closed inside the body; reset: a TCP reset; stall: open and silent
    ending: str = "end"

    @property
    def body(self):
        return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def whole(value, status=200, **more):
    """A JSON answer."""
    text = value if isinstance(value, (str, bytes)) else compact(value)
    data = text if isinstance(text, bytes) else text.encode()
    return Reply((data,), status, **more)


def event(value, newline="\n", space=" "):
    """One SSE event. A string is taken as lines that are written as they are; a pair is a name and its data."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        lines = [value]
    elif isinstance(value, tuple):
        name, value = value
        lines = [f"event:{space}{name}", f"data:{space}{value if isinstance(value, str) else compact(value)}"]
    else:
        lines = [f"data:{space}{compact(value)}"]
    return (newline.join(lines) + newline * 2).encode()


def sse(values, cutting="events", newline="\n", space=" ", before=b"", **more):
    """A stream of SSE events. `cutting`: a write for each event, for each byte, or one write for everything."""
    pieces = [value if isinstance(value, (int, float)) else event(value, newline, space) for value in values]
    if before:
        pieces.insert(0, before)
    return Reply(tuple(cut(pieces, cutting)), kind=more.pop("kind", EVENTS), **more)


def cut(pieces, cutting):
    """The same bytes in other writes."""
    if cutting == "events":
        return pieces
    data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    size = {"bytes": 1, "one": len(data)}.get(cutting, cutting)
    return [data[at : at + size] for at in range(0, len(data), size)]


def frame(headers, payload):
    """One frame of AWS's event stream; every header is a string."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return data + struct.pack(">I", zlib.crc32(data))


def chunk_frame(value, padding="abcd"):
    """A Messages event in the frame that InvokeModelWithResponseStream uses."""
    inner = base64.b64encode(value if isinstance(value, bytes) else compact(value).encode()).decode()
    payload = {"bytes": inner, "p": padding} if padding else {"bytes": inner}
    headers = {":event-type": "chunk", ":content-type": JSON, ":message-type": "event"}
    return frame(headers, compact(payload).encode())


def exception_frame(kind, payload):
    headers = {":exception-type": kind, ":content-type": JSON, ":message-type": "exception"}
    return frame(headers, compact(payload).encode())


def error_frame(code, message):
    return frame({":error-code": code, ":error-message": message, ":message-type": "error"}, b"")


def frames(pieces, cutting="events", **more):
    headers = {"X-Amzn-Bedrock-Content-Type": JSON, **more.pop("headers", {})}
    return Reply(tuple(cut(list(pieces), cutting)), kind=more.pop("kind", FRAMES), headers=headers, **more)
