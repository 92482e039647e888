"""Messages answers and their events, as the clouds send them."""

from .wire import compact, sse

USAGE = {"input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 10, "output_tokens": 12}
SPENT = {"input_tokens": 25, "cache_read_input_tokens": 10, "output_tokens": 12}
HELLO = ("text", "Hello there.")
WEATHER = ("tool_use", "get_weather", {"city": "Paris"})
SIGNATURE = "ErUBCkYIBxgCIkD-real-signature-of-claude"


def text(value="Hello there."):
    return {"type": "text", "text": value}


def tool(input=None, id="toolu_bdrk_1", name="get_weather"):
    return {"type": "tool_use", "id": id, "name": name, "input": {"city": "Paris"} if input is None else input}


def thinking(value="Let me see."):
    return {"type": "thinking", "thinking": value, "signature": SIGNATURE}


def message(*content, stop="end_turn", usage=USAGE, **more):
    return {
        "id": "msg_bdrk_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


def events(*content, stop="end_turn", usage=USAGE, start=None, last=None):
    """The stream of an answer."""
    begun = message(stop=None, usage=start or {**usage, "output_tokens": 1})
    found = [{"type": "message_start", "message": begun}]
    for at, block in enumerate(content):
        found += block_events(block, at)
    found += [{"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}]
    return [*found, {"type": "message_stop", **(last or {})}]


def block_events(block, at):
    kind = block["type"]
    empty = {
        "text": {"type": "text", "text": ""},
        "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    }.get(kind, {**block, "input": {}})
    yield {"type": "content_block_start", "index": at, "content_block": empty}
    if kind == "text":
        deltas = [{"type": "text_delta", "text": half} for half in (block["text"][:5], block["text"][5:]) if half]
    elif kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block["thinking"] else []
        deltas += [{"type": "signature_delta", "signature": block["signature"]}]
    else:
        deltas = (
            [{"type": "input_json_delta", "partial_json": half} for half in ("", compact(block["input"]))]
            if block["input"]
            else []
        )
    for delta in deltas:
        yield {"type": "content_block_delta", "index": at, "delta": delta}
    yield {"type": "content_block_stop", "index": at}


def named(found, **more):
    return sse([(event["type"], event) for event in found], **more)


__all__ = [name for name in dir() if not name.startswith("__")]
