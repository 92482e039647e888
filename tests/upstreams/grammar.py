"""The grammar of Messages streams (messages-api.md 7): splits bytes into events, finds every fault, folds a message.

It knows nothing of the gateway or of the fakes; `check_grammar.py` feeds it good and bad streams.
"""

import json
import re

STOPS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}
ERRORS = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
    "conflict_error",
    "request_too_large",
}
ID = re.compile(r"[a-zA-Z0-9_-]+")
DELTAS = {
    "text": {"text_delta": "text", "citations_delta": "citation"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
    "server_tool_use": {"input_json_delta": "partial_json"},
}
RESULTS = {"web_search_tool_result", "web_fetch_tool_result"}


class Fault(Exception):
    """The stream breaks the grammar."""


def expect(condition, message):
    if not condition:
        raise Fault(message)


def events(data):
    """Pairs of a name and its data; every event needs an `event:` line, one line of data and a blank line."""
    # the bytes of native upstreams pass, and clients take both ends of lines
    text = data.decode("utf-8").replace("\r\n", "\n")
    expect(not text or text.endswith("\n\n"), "the stream does not end with a blank line")
    found = []
    for part in text.split("\n\n")[:-1]:
        lines = [line for line in part.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        expect(len(lines) == 2, f"expected an event: line and a data: line, found {part[:200]!r}")
        expect(lines[0].startswith("event: "), f"expected an event: line, found {lines[0][:80]!r}")
        expect(lines[1].startswith("data:"), f"expected a data: line, found {lines[1][:80]!r}")
        try:
            value = json.loads(lines[1][5:])
        except ValueError as error:
            raise Fault(f"the data of an event is no JSON ({error}): {lines[1][:200]}") from None
        name = lines[0][7:].strip()
        expect(
            isinstance(value, dict) and value.get("type") == name,
            f"event: {name} has data of type {value.get('type') if isinstance(value, dict) else value!r}",
        )
        found.append((name, value))
    return found


class Stream:
    """Checks events one by one and builds the message."""

    def __init__(self, allowed=(), bare_calls=False):
        # names of events that an upstream of the same dialect may add; whether its calls may start without an input
        self.allowed, self.bare_calls = allowed, bare_calls
        self.message, self.error, self.state = None, None, "start"
        self.open, self.pieces, self.has_signature = None, [], False
        # the text of each tool's input, as it was spelled
        self.spellings, self.pings, self.first_usage = [], 0, None

    def take(self, name, value):
        expect(self.state != "error", f"{name} after an error")
        expect(self.state != "end", f"{name} after message_stop")
        if name == "ping":
            self.pings += 1
            return
        if name in self.allowed:
            return
        step = getattr(self, f"on_{name}", None)
        expect(step is not None, f"unknown event {name}")
        step(value)

    def on_error(self, value):
        check_error(value)
        self.error, self.state = value["error"], "error"

    def on_message_start(self, value):
        expect(self.state == "start", "a second message_start")
        message = value.get("message")
        expect(isinstance(message, dict), "message_start has no message")
        for key, wanted in (
            ("type", "message"),
            ("role", "assistant"),
            ("content", []),
            ("stop_reason", None),
            ("stop_sequence", None),
        ):
            expect(
                key in message and message[key] == wanted,
                f"message_start: {key} is {message.get(key)!r}, expected {wanted!r}",
            )
        for key in ("id", "model"):
            expect(isinstance(message.get(key), str) and message[key], f"message_start: {key} is {message.get(key)!r}")
        check_usage(message.get("usage"), "message_start", ("input_tokens", "output_tokens"))
        self.first_usage = dict(message["usage"])
        self.message, self.state = {**message, "content": []}, "blocks"

    def on_content_block_start(self, value):
        expect(self.state == "blocks", f"content_block_start in state {self.state}")
        expect(self.open is None, "a block starts inside another")
        expect(
            value.get("index") == len(self.message["content"]),
            f"block index {value.get('index')}, expected {len(self.message['content'])}",
        )
        block = value.get("content_block")
        expect(isinstance(block, dict), "content_block_start has no content_block")
        kind = block.get("type")
        expect(kind in DELTAS or kind in RESULTS, f"a block of unknown type {kind}")
        if kind == "text":
            expect(block.get("text") == "", f"a text block starts with {block.get('text')!r}")
        elif kind == "thinking":
            expect(
                block.get("thinking") == "" and block.get("signature") == "",
                "a thinking block starts without an empty thinking and signature",
            )
        elif kind == "tool_use":
            expect(
                block.get("input") == {} or self.bare_calls and "input" not in block,
                f"a tool_use starts with input {block.get('input')!r}",
            )
            check_call(block, self.message["content"])
        self.open, self.pieces, self.has_signature = dict(block), [], False

    def on_content_block_delta(self, value):
        expect(self.open is not None, "a delta outside of a block")
        expect(
            value.get("index") == len(self.message["content"]),
            f"a delta of block {value.get('index')} in block {len(self.message['content'])}",
        )
        delta, kind = value.get("delta", {}), self.open["type"]
        field = DELTAS.get(kind, {}).get(delta.get("type"))
        expect(field is not None, f"a {delta.get('type')} in a block of type {kind}")
        expect(field == "citation" or isinstance(delta.get(field), str), f"{delta['type']} has no {field}")
        if field == "signature":
            expect(not self.has_signature, "a second signature_delta")
            self.has_signature, self.open["signature"] = True, delta["signature"]
        elif field == "citation":
            self.open.setdefault("citations", []).append(delta["citation"])
        else:
            expect(not self.has_signature, "thinking after its signature")
            self.pieces.append(delta[field])

    def on_content_block_stop(self, value):
        expect(self.open is not None, "content_block_stop without a block")
        expect(value.get("index") == len(self.message["content"]), f"content_block_stop of block {value.get('index')}")
        self.message["content"].append(self.closed())
        self.open = None

    def closed(self):
        block, text = self.open, "".join(self.pieces)
        if block["type"] in ("tool_use", "server_tool_use"):
            try:
                block["input"] = json.loads(text) if text else {}
            except ValueError:
                raise Fault(f"the input of {block['name']} is no JSON: {text[:200]!r}") from None
            expect(isinstance(block["input"], dict), f"the input of {block['name']} is no object: {text[:200]!r}")
            self.spellings.append(text)
        elif block["type"] in ("text", "thinking"):
            block[block["type"]] = text
        return block

    def on_message_delta(self, value):
        expect(self.state == "blocks", f"message_delta in state {self.state}")
        expect(self.open is None, "message_delta inside a block")
        delta = value.get("delta", {})
        expect(delta.get("stop_reason") in STOPS, f"stop_reason {delta.get('stop_reason')!r}")
        check_usage(value.get("usage"), "message_delta", ("output_tokens",))
        self.message["usage"].update({key: number for key, number in value["usage"].items() if number is not None})
        self.message.update(delta)
        self.state = "delta"

    def on_message_stop(self, _):
        expect(self.state == "delta", f"message_stop in state {self.state}")
        self.state = "end"


def check_call(block, earlier):
    expect(isinstance(block.get("id"), str) and ID.fullmatch(block["id"]), f"a tool_use has the id {block.get('id')!r}")
    expect(isinstance(block.get("name"), str) and block["name"], f"a tool_use has the name {block.get('name')!r}")
    expect(block["id"] not in [other.get("id") for other in earlier], f"two calls have the id {block['id']}")


def check_usage(usage, where, needed):
    expect(isinstance(usage, dict), f"{where} has no usage")
    for key in needed:
        expect(isinstance(usage.get(key), int), f"{where}: usage.{key} is {usage.get(key)!r}")
    for key, number in usage.items():
        if key.endswith("_tokens") and number is not None:
            expect(isinstance(number, int) and number >= 0, f"{where}: usage.{key} is {number!r}")


def check_error(value):
    expect(
        value.get("type") == "error" and isinstance(value.get("error"), dict),
        f"an error without its envelope: {json.dumps(value)[:200]}",
    )
    expect(value["error"].get("type") in ERRORS, f"an error of type {value['error'].get('type')!r}")
    expect(isinstance(value["error"].get("message"), str) and value["error"]["message"], "an error without a message")


def read(data, allowed=(), bare_calls=False):
    """The stream that these bytes are; raises `Fault` at the first fault."""
    stream = Stream(allowed, bare_calls)
    for name, value in events(data):
        stream.take(name, value)
    expect(
        stream.state in ("end", "error"),
        f"the stream ends in state {stream.state}: {'an open block' if stream.open else 'no end'}",
    )
    return stream


def check_message(message):
    """The shape of a whole answer."""
    expect(isinstance(message, dict), f"the answer is no object: {message!r}")
    for key, wanted in (("type", "message"), ("role", "assistant")):
        expect(message.get(key) == wanted, f"{key} is {message.get(key)!r}, expected {wanted!r}")
    for key in ("id", "model"):
        expect(isinstance(message.get(key), str) and message[key], f"{key} is {message.get(key)!r}")
    expect(message.get("stop_reason") in STOPS, f"stop_reason is {message.get('stop_reason')!r}")
    expect("stop_sequence" in message, "stop_sequence is missing")
    expect(isinstance(message.get("content"), list), "content is no list")
    check_usage(message.get("usage"), "the answer", ("input_tokens", "output_tokens"))
    earlier = []
    for block in message["content"]:
        kind = block.get("type")
        expect(kind in DELTAS or kind in RESULTS, f"a block of unknown type {kind}")
        if kind in ("text", "thinking"):
            expect(isinstance(block.get(kind), str), f"a {kind} block has {block.get(kind)!r}")
        if kind == "thinking":
            expect(isinstance(block.get("signature"), str), "a thinking block has no signature")
        if kind == "tool_use":
            check_call(block, earlier)
            expect(isinstance(block.get("input"), dict), f"the input of {block['name']} is {block.get('input')!r}")
        earlier.append(block)
    return message


def neutral(content):
    """Blocks as (type, value …), without ids and signatures."""
    return [
        ("tool_use", block["name"], block["input"])
        if block["type"] == "tool_use"
        else (block["type"], block[block["type"]])
        if block["type"] in ("text", "thinking")
        else (block["type"], ...)
        for block in content
    ]


def partial(stream):
    """The blocks of a stream that broke, the open one included."""
    found = neutral(stream.message["content"]) if stream.message else []
    if stream.open is not None:
        kind = stream.open["type"]
        found.append(("tool_use", stream.open["name"], ...) if kind == "tool_use" else (kind, "".join(stream.pieces)))
    return found
