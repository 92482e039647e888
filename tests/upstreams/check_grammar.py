"""Feeds good and bad streams to the grammar: each bad one must be found, with words of its fault."""

import json

from grammar import Fault, check_message, neutral, read
from report import Report, finish

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
}
DELTA = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 5},
}
STOP = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "api_error", "message": "broken"}}
PING = {"type": "ping"}


def begin(index, block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index, kind, **fields):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def end(index):
    return {"type": "content_block_stop", "index": index}


def text(index, *pieces):
    return [
        begin(index, {"type": "text", "text": ""}),
        *(delta(index, "text_delta", text=piece) for piece in pieces),
        end(index),
    ]


def tool(index, *pieces, id="toolu_1", name="f", input=None):
    opened = begin(index, {"type": "tool_use", "id": id, "name": name, "input": {} if input is None else input})
    return [opened, *(delta(index, "input_json_delta", partial_json=piece) for piece in pieces), end(index)]


def thought(index, *deltas):
    return [begin(index, {"type": "thinking", "thinking": "", "signature": ""}), *deltas, end(index)]


SIGNED = [delta(0, "thinking_delta", thinking="so"), delta(0, "signature_delta", signature="s")]
GOOD = [
    ("no blocks", [START, DELTA, STOP], []),
    ("a text", [START, PING, *text(0, "a", "b"), DELTA, STOP], [("text", "ab")]),
    (
        "thinking, text, a call",
        [START, *thought(0, *SIGNED), *text(1, "a"), *tool(2, '{"a":', "1}"), DELTA, STOP],
        [("thinking", "so"), ("text", "a"), ("tool_use", "f", {"a": 1})],
    ),
    ("a call without arguments", [START, *tool(0), DELTA, STOP], [("tool_use", "f", {})]),
    ("an error first", [ERROR], []),
    ("an error inside a block", [START, *text(0, "a")[:2], ERROR], []),
]
BAD = [
    ("nothing", [], "no end"),
    ("no message_start", [*text(0, "a"), DELTA, STOP], "content_block_start in state start"),
    ("two message_starts", [START, START, DELTA, STOP], "second message_start"),
    ("an index from 1", [START, *text(1, "a"), DELTA, STOP], "block index 1, expected 0"),
    ("a gap", [START, *text(0, "a"), *text(2, "b"), DELTA, STOP], "block index 2"),
    ("a block inside another", [START, *text(0, "a")[:2], *text(1, "b"), DELTA, STOP], "inside another"),
    ("an open block at the end", [START, *text(0, "a")[:2], DELTA, STOP], "message_delta inside a block"),
    ("a stop without a start", [START, end(0), DELTA, STOP], "without a block"),
    ("a delta without a start", [START, delta(0, "text_delta", text="a"), DELTA, STOP], "outside of a block"),
    (
        "a delta of another index",
        [START, text(0, "a")[0], delta(1, "text_delta", text="a"), end(0), DELTA, STOP],
        "delta of block 1",
    ),
    (
        "a wrong delta",
        [START, text(0, "a")[0], delta(0, "input_json_delta", partial_json="{}"), end(0), DELTA, STOP],
        "input_json_delta in a block of type text",
    ),
    ("no message_delta", [START, *text(0, "a"), STOP], "message_stop in state blocks"),
    ("no message_stop", [START, *text(0, "a"), DELTA], "state delta"),
    ("two message_deltas", [START, DELTA, DELTA, STOP], "message_delta in state delta"),
    ("something after the end", [START, DELTA, STOP, PING], "after message_stop"),
    ("something after an error", [START, ERROR, DELTA], "after an error"),
    ("an error without its envelope", [START, {"type": "error", "message": "x"}], "without its envelope"),
    (
        "an unknown error type",
        [START, {"type": "error", "error": {"type": "throttlingException", "message": "x"}}],
        "throttlingException",
    ),
    ("no stop_reason", [START, {**DELTA, "delta": {"stop_reason": None}}, STOP], "stop_reason None"),
    ("an unknown stop_reason", [START, {**DELTA, "delta": {"stop_reason": "stop"}}, STOP], "stop_reason 'stop'"),
    ("no usage", [START, {"type": "message_delta", "delta": DELTA["delta"]}, STOP], "no usage"),
    ("a negative count", [START, {**DELTA, "usage": {"output_tokens": -1}}, STOP], "-1"),
    ("a number that is no integer", [START, {**DELTA, "usage": {"output_tokens": 2.5}}, STOP], "2.5"),
    (
        "a call without input",
        [START, begin(0, {"type": "tool_use", "id": "t", "name": "f"}), end(0), DELTA, STOP],
        "starts with input None",
    ),
    ("a call with input at its start", [START, *tool(0, input={"a": 1}), DELTA, STOP], "starts with input"),
    ("a call without a name", [START, *tool(0, name=""), DELTA, STOP], "the name ''"),
    ("a call without an id", [START, *tool(0, id=""), DELTA, STOP], "the id ''"),
    ("an id with a colon", [START, *tool(0, id="a:b"), DELTA, STOP], "the id 'a:b'"),
    ("two calls with one id", [START, *tool(0), *tool(1), DELTA, STOP], "two calls have the id"),
    ("arguments that are no JSON", [START, *tool(0, '{"a":'), DELTA, STOP], "no JSON"),
    ("arguments that are no object", [START, *tool(0, "[1]"), DELTA, STOP], "no object"),
    ("two signatures", [START, *thought(0, *SIGNED, SIGNED[1]), DELTA, STOP], "second signature_delta"),
    ("thinking after the signature", [START, *thought(0, *SIGNED, SIGNED[0]), DELTA, STOP], "after its signature"),
    (
        "a thinking block without a signature field",
        [START, begin(0, {"type": "thinking", "thinking": ""}), end(0), DELTA, STOP],
        "without an empty thinking",
    ),
    ("an unknown block", [START, begin(0, {"type": "future_block"}), end(0), DELTA, STOP], "unknown type future_block"),
    ("an unknown event", [START, {"type": "response.created"}, DELTA, STOP], "unknown event"),
    (
        "a start that has content",
        [
            {"type": "message_start", "message": {**START["message"], "content": [{"type": "text", "text": "x"}]}},
            DELTA,
            STOP,
        ],
        "content is",
    ),
]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "a"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
WHOLE = [
    ("a message", {}, None),
    ("no id", {"id": ""}, "id is ''"),
    ("a null stop_reason", {"stop_reason": None}, "stop_reason"),
    ("no usage", {"usage": None}, "no usage"),
    ("input as text", {"content": [{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}]}, "input of f"),
    ("thinking without a signature", {"content": [{"type": "thinking", "thinking": "a"}]}, "no signature"),
    ("a float", {"usage": {"input_tokens": 1.0, "output_tokens": 1}}, "input_tokens"),
]
RAW = [
    ("no event: line", b'data: {"type":"ping"}\n\n', "expected an event: line"),
    ("no last blank line", b'event: ping\ndata: {"type":"ping"}\n', "blank line"),
    ("another name", b'event: ping\ndata: {"type":"error"}\n\n', "has data of type"),
    ("no JSON", b"event: ping\ndata: {\n\n", "no JSON"),
    ("a [DONE]", b"event: done\ndata: [DONE]\n\n", "no JSON"),
]


def written(events):
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def found(function, words):
    """Nothing if the function raises a fault with these words."""
    try:
        value = function()
    except Fault as fault:
        return None if words is not None and words in str(fault) else f"another fault: {fault}"
    return None if words is None else f"no fault, expected {words!r}: {value}"


def main():
    report = Report("grammar")
    for name, events, blocks in GOOD:
        report.check(
            "good",
            f"accepts {name}",
            lambda: (
                None if (s := read(written(events))).error or neutral(s.message["content"]) == blocks else s.message
            ),
        )
    for name, events, words in BAD:
        report.check("bad", f"refuses {name}", found, lambda: read(written(events)).message, words)
    for name, data, words in RAW:
        report.check("raw", f"refuses {name}", found, lambda: read(data), words)
    for name, changes, words in WHOLE:
        report.check("whole", f"judges {name}", found, lambda: check_message({**MESSAGE, **changes}), words)
    finish(report)


if __name__ == "__main__":
    main()
