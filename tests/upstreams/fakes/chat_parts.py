"""Pieces of Chat Completions answers, as OpenAI's types have them."""

from .scenario import Scenario, means
from .wire import sse, whole

PROMPT, COMPLETION = 20, 9
USAGE = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION, "total_tokens": PROMPT + COMPLETION}
SPENT = {"input_tokens": PROMPT, "output_tokens": COMPLETION}
DONE = "data: [DONE]"
HEAD = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1796000000, "model": "the-model"}
WEATHER = ("tool_use", "get_weather", {"city": "Paris"})
TIME = ("tool_use", "get_time", {"zone": "UTC"})
NOW = ("tool_use", "ring", {})
PARIS, UTC = '{"city":"Paris"}', '{"zone":"UTC"}'


def chunk(delta=None, finish=None, index=0, choice=None, **more):
    """A chunk with one choice."""
    one = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish, **(choice or {})}
    return {**HEAD, "choices": [one], **more}


def said(text, **more):
    return chunk({"content": text}, **more)


def call(index, id, name, arguments="", **more):
    """The first piece of a call. `...` leaves a key out."""
    function = {k: v for k, v in {"name": name, "arguments": arguments}.items() if v is not ...}
    one = {"index": index, "id": id, "type": "function", "function": function}
    return chunk({"tool_calls": [{k: v for k, v in one.items() if v is not ...}]}, **more)


def piece(index, arguments, **more):
    """A later piece of a call."""
    one = {"index": index, **more, "function": {"arguments": arguments}}
    return chunk({"tool_calls": [{k: v for k, v in one.items() if v is not ...}]})


ROLE = chunk({"role": "assistant", "content": None})
USED = {**HEAD, "choices": [], "usage": USAGE}


def ended(finish, **more):
    return chunk({}, finish, **more)


def stream(*chunks, used=USED, done=True, **more):
    """Chunks between the role and the usage."""
    tail = ([used] if used else []) + ([DONE] if done else [])
    return sse([ROLE, *chunks, *tail], **more)


def raw(*events, **more):
    """Exactly these events."""
    return sse(events, **more)


def tool(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def message(content="Hello there.", calls=None, **more):
    found = {"role": "assistant", "content": content, "refusal": None, "annotations": [], **more}
    return {**found, "tool_calls": calls} if calls else found


def completion(body=None, finish="stop", usage=USAGE, choice=None, **more):
    one = {"index": 0, "finish_reason": finish, "logprobs": None, "message": body or message(), **(choice or {})}
    found = {**HEAD, "object": "chat.completion", "choices": [one], "usage": usage, **more}
    return {key: value for key, value in found.items() if value is not ...}


def answer(*args, **more):
    return whole(completion(*args, **more))


HELLO = ("text", "Hello there.")
TEXT = (said("Hello"), said(" there."))


def finished(name, value, stop, says, choice=None, chat=False, **more):
    """A text with this finish reason, in both forms."""
    odd = {} if chat else {"odd": "not in OpenAI's list of finish reasons"}
    return Scenario(
        name,
        "1.7",
        says,
        means(HELLO, stop=stop, usage=SPENT, **more),
        answer(finish=value, choice=choice),
        stream(*TEXT, ended(value, choice=choice)),
        **odd,
    )


__all__ = [name for name in dir() if not name.startswith("__")]
