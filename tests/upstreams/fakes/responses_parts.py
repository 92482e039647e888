"""Pieces of Responses answers, and the events that lead to them."""

import itertools

from .wire import sse, whole

USAGE = {
    "input_tokens": 90,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 6},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 22},
    "total_tokens": 130,
}
SPENT = {
    "input_tokens": 20,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 6,
    "output_tokens": 40,
    "thinking_tokens": 22,
}
# what the fake gives out as encrypted reasoning, and the only thing that it takes back
SEALED = "gAAAAABfake-reasoning-of-this-upstream"
HELLO = ("text", "Hello there.")
WEATHER = ("tool_use", "get_weather", {"city": "Paris"})
TIME = ("tool_use", "get_time", {"zone": "UTC"})
PARIS, UTC = '{"city":"Paris"}', '{"zone":"UTC"}'
ABSENT = "absent"


def text_part(text, annotations=()):
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def refusal_part(text):
    return {"type": "refusal", "refusal": text}


def message(*parts, id="msg_1", **more):
    return {"type": "message", "id": id, "role": "assistant", "status": "completed", "content": list(parts), **more}


def call(call_id="call_1", name="get_weather", arguments=PARIS, id="fc_1", status="completed"):
    return {
        "type": "function_call",
        "id": id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def reasoning(*summary, id="rs_1", sealed=SEALED, content=None):
    item = {"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": text} for text in summary]}
    if content is not None:
        item["content"] = [{"type": "reasoning_text", "text": content}]
    return {**item, "encrypted_content": sealed} if sealed else item


def search(id="ws_1"):
    return {
        "type": "web_search_call",
        "id": id,
        "status": "completed",
        "action": {
            "type": "search",
            "query": "tides",
            "queries": ["tides"],
            "sources": [{"type": "url", "url": "https://sea.example/"}],
        },
    }


def response(*output, status="completed", usage=USAGE, **more):
    found = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1796000000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "the-model",
        "output": list(output),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage,
        **more,
    }
    return {key: value for key, value in found.items() if value != ABSENT}


def answer(*output, **more):
    return whole(response(*output, **more))


def halves(text):
    middle = (len(text) + 1) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


def item_events(item, at, names_item=True):
    """The events of one item of the output, without their numbers."""
    where = {"output_index": at}
    inside = {**where, "item_id": item["id"]}
    kind = item["type"]
    start = dict(item)
    if kind == "message":
        start = {**item, "content": [], "status": "in_progress"}
    elif kind == "function_call":
        start = {**item, "arguments": "", "status": "in_progress"}
    elif kind == "reasoning":
        start = {**item, "summary": []}
        start.pop("content", None)
        start.pop("encrypted_content", None)
    elif kind == "web_search_call":
        start = {"type": kind, "id": item["id"], "status": "in_progress", "action": item["action"]}
    yield {"type": "response.output_item.added", **where, "item": start}
    if kind == "reasoning":
        yield from reasoning_events(item, inside)
    elif kind == "message":
        for n, part in enumerate(item["content"]):
            yield from part_events(part, {**inside, "content_index": n})
    elif kind == "function_call":
        for half in halves(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", **inside, "delta": half}
        yield {
            "type": "response.function_call_arguments.done",
            **inside,
            "arguments": item["arguments"],
            "name": item["name"],
        }
    elif kind == "web_search_call":
        for state in ("in_progress", "searching", "completed"):
            yield {"type": f"response.web_search_call.{state}", **inside}
    yield {"type": "response.output_item.done", **where, "item": item}


def reasoning_events(item, inside):
    for n, part in enumerate(item["summary"]):
        at = {**inside, "summary_index": n}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": ""}}
        for half in halves(part["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **at, "delta": half}
        yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
    for n, part in enumerate(item.get("content") or []):
        for half in halves(part["text"]):
            yield {"type": "response.reasoning_text.delta", **inside, "content_index": n, "delta": half}
        yield {"type": "response.reasoning_text.done", **inside, "content_index": n, "text": part["text"]}


def part_events(part, inside):
    is_text = part["type"] == "output_text"
    empty = text_part("") if is_text else refusal_part("")
    yield {"type": "response.content_part.added", **inside, "part": empty}
    for half in halves(part["text" if is_text else "refusal"]):
        if is_text:
            yield {"type": "response.output_text.delta", **inside, "delta": half, "logprobs": []}
        else:
            yield {"type": "response.refusal.delta", **inside, "delta": half}
    for n, note in enumerate(part.get("annotations", [])):
        yield {"type": "response.output_text.annotation.added", **inside, "annotation_index": n, "annotation": note}
    if is_text:
        yield {"type": "response.output_text.done", **inside, "text": part["text"], "logprobs": []}
    else:
        yield {"type": "response.refusal.done", **inside, "refusal": part["refusal"]}
    yield {"type": "response.content_part.done", **inside, "part": part}


def begun():
    open_one = response(status="in_progress", usage=None)
    return [{"type": "response.created", "response": open_one}, {"type": "response.in_progress", "response": open_one}]


def events_of(*output, status="completed", **more):
    """All events of an answer."""
    found = begun()
    for at, item in enumerate(output):
        found += item_events(item, at)
    return [*found, {"type": f"response.{status}", "response": response(*output, status=status, **more)}]


def numbered(events):
    """Pairs of a name and its data, with sequence numbers."""
    count = itertools.count()
    return [
        (e["type"], {"type": e["type"], "sequence_number": next(count), **e}) if isinstance(e, dict) else e
        for e in events
    ]


def stream(*output, status="completed", transport=None, **more):
    return raw(*events_of(*output, status=status, **more), **(transport or {}))


def raw(*events, **more):
    return sse(numbered(events), **more)


__all__ = [name for name in dir() if not name.startswith("__")]
