"""What the suites of the Python SDK share: a client as users make it, requests, and what answers must be like."""

import json
import os
import sys
import traceback

import anthropic

URL = os.environ["TIDEGATE_URL"].rstrip("/")
KEY = os.environ["TIDEGATE_KEY"]
MODEL = os.environ["TIDEGATE_MODEL"]
MAJOR = int(anthropic.__version__.split(".")[0])

DATETIME = {"type": "gateway:datetime"}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL_WEATHER = '[sim: call get_weather {"city": "Kiel"}]'
CALL_DATETIME = '[sim: call datetime {"timezones": ["Asia/Tokyo"]}]'

# the checks that the upstream cannot carry, and why
LACKS = json.loads(os.environ.get("TIDEGATE_LACKS", "{}"))
CHECKS = []


def check(name):
    """Registers a function as a check; it fails by raising."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


class Log:
    """The requests that a client really sent."""

    def __init__(self):
        self.requests = []

    def __call__(self, request):
        body = json.loads(request.content) if request.content else None
        self.requests.append((request, body))

    @property
    def bodies(self):
        return [body for _, body in self.requests]

    @property
    def headers(self):
        return self.requests[-1][0].headers


def new_client(log=None, **options):
    """A client as a user makes it; `log` sees what it sends."""
    hooks = {"request": [log]} if log else {}
    http = anthropic.DefaultHttpxClient(event_hooks=hooks)
    options = {"base_url": URL, "api_key": KEY, "timeout": 20.0, **options}
    return anthropic.Anthropic(http_client=http, **options)


def ask(text, **more):
    """The parameters of a request that asks this."""
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


def follow(message, first, text):
    """The parameters of the request behind `message`: the whole conversation, and a new question."""
    history = first["messages"] + [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": text},
    ]
    return {**first, "messages": history}


def results(message, answer):
    """What a client sends back for every call of its own tools."""
    calls = [block for block in message.content if block.type == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": call.id, "content": answer} for call in calls]


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def kinds(message):
    """The types of the blocks. A thinking block without text only carries an upstream's signature, and is left out."""
    return [block.type for block in message.content if block.type != "thinking" or block.thinking]


def call_of(message):
    """The first call of a tool of the client."""
    return next(block for block in message.content if block.type == "tool_use")


def same(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def has(text, part):
    assert part in text, f"found {text!r}, without {part!r}"


def raises(kind, function):
    """The error of this class that the function must raise."""
    try:
        done = function()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {done!r}")


def well_ordered(events):
    """The order of events in a stream that the API promises."""
    names = [event.type for event in events if event.type != "ping"]
    same((names[0], names[-2:]), ("message_start", ["message_delta", "message_stop"]))
    same(names.count("message_start"), 1)
    expected, is_open = 0, False
    for event in events:
        if event.type == "content_block_start":
            assert not is_open, f"block {event.index} starts inside another"
            same(event.index, expected)
            is_open = True
        elif event.type == "content_block_delta":
            assert is_open, "a delta outside of a block"
            same(event.index, expected)
        elif event.type == "content_block_stop":
            same(event.index, expected)
            expected, is_open = expected + 1, False


def stream(client, first):
    """The events as the server sent them, and the message that the SDK put together."""
    return streamed_by(client.messages, first)


def beta_stream(client, first):
    """The same in the namespace that knows `mcp_tool_use`."""
    return streamed_by(client.beta.messages, first)


def streamed_by(messages, first):
    raw = list(messages.create(stream=True, **first))
    well_ordered(raw)
    with messages.stream(**first) as opened:
        for _ in opened:
            pass
        return raw, opened.get_final_message()


def lacking(name, function):
    """The line of a check that must fail, because the upstream does not carry it."""
    try:
        function()
    except Exception:  # in which way is no matter
        return f"skip {name}: {LACKS[name]}"
    return f"FAIL {name}: it passes, so the upstream carries it: {LACKS[name]}"


def run_checks():
    for name in LACKS.keys() - {name for name, _ in CHECKS}:
        print(f"FAIL {name}: there is no such check", flush=True)
    for name, function in CHECKS:
        if name in LACKS:
            print(lacking(name, function), flush=True)
            continue
        if function.__module__ == "python_tools" and "TIDEGATE_OUTSIDE" not in os.environ:
            print(f"skip {name}: the gateway was not started here", flush=True)
            continue
        try:
            function()
        except Exception as error:  # a check may fail in any way
            told = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL {name}: {told[:600]}", flush=True)
            traceback.print_exc(file=sys.stderr)
        else:
            print(f"ok {name}", flush=True)
    print("end")
