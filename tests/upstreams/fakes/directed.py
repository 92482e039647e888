"""The model `scenario-directed`: follows the directives in the user's text, as the gateway's simulator does.

The conversation in the request says which step is next, so the model needs no memory. Each dialect reads a request
into a `Talk` and writes an `Answer` (`dialogues.py`); the rest of the script is the same for all dialects. A model
`scenario-directed-529-3` returns this status from its third request on, `scenario-directed-cut-3` closes the stream
before its first event. A last part `-runN` makes the name unique. The directives are a part of
`docs/reference/simulator-directives.md`.
"""

import hashlib
import json
import re
import time
from dataclasses import dataclass, field, replace

from .limits import Refused
from .wire import EVENTS

NAME = re.compile(r"directed(?:-(\d{3}|cut)-(\d+))?(?:-run\d+)?")
MARK = "[sim: "
# texts that clients and the gateway add to a user's message, also inside a longer text
ADDED = re.compile(r"<(system-reminder|system-message|system)>.*?</\1>", re.DOTALL)
PADDED = re.compile(rb"(\}\r?\n\r?\n)$")
WORDS = ("the", "tide", "comes", "in", "and", "goes", "out", "again")


@dataclass
class Talk:
    """A request in neutral parts."""

    # in order: ("user", text), ("call", id, name, input), ("result", id, name, text, is_error), ("said", text)
    entries: list
    # the schemas of the tools, by the upstream's name
    tools: dict = field(default_factory=dict)
    # the name of a tool, "any", "none" or "auto"
    choice: str = "auto"
    # whether the request wants reasoning, and how many sealed pieces of it came back
    thinks: bool = False
    sealed: int = 0
    # the schema of the answer
    schema: dict | None = None


@dataclass
class Answer:
    text: str = ""
    # clients take two messages with one id for one
    id: str = "0"
    # of (id, name, input)
    calls: list = field(default_factory=list)
    thinks: bool = False
    # the server, which decides how reasoning is spelt
    flavor: str = ""
    # what comes between two pieces of the stream, in seconds
    pace: float = 0
    # blanks before the end of each event's JSON
    is_padded: bool = False
    # of the SSE: arguments of `wire.sse`
    form: dict = field(default_factory=dict)


@dataclass
class Fault:
    """`error`: a status; `event`: an error in the stream; `cut`, `end`: the stream breaks, or ends too early."""

    kind: str
    status: int = 500
    is_late: bool = False
    headers: dict = field(default_factory=dict)


def is_directed(scenario):
    return NAME.fullmatch(scenario) is not None


def perform(request, dialect):
    """The reply to a judged request."""
    talk = dialect.read(request.body)
    text, steps, rounds = plan(talk)
    request.notes["talk"] = {"text": text, "entries": talk.entries, "sealed": talk.sealed, "rounds": rounds}
    fault = doom(request)
    if fault is None:
        step = steps[rounds] if rounds < len(steps) else []
        answer, fault = acted(talk, step, text, whole_script=[word for step in steps for word in step])
        answer.flavor = request.flavor
        request.notes["calls"] = answer.calls
    else:
        request.notes["fault"] = fault.kind
        answer = Answer("This never arrives.")
    if fault and fault.kind == "error":
        return replace(dialect.error(fault.status), headers={**dialect.error(fault.status).headers, **fault.headers})
    if request.form == "whole":
        return broken_whole(dialect, answer, fault)
    reply = dialect.stream(answer)
    if answer.is_padded and reply.kind == EVENTS:
        reply = replace(reply, pieces=tuple(PADDED.sub(b"   \\1", piece) for piece in reply.pieces))
    return paced(reply, answer.pace) if fault is None else broken(dialect, reply, fault)


def doom(request):
    """The failure that the model's name plans for this request, or nothing."""
    kind, first = NAME.fullmatch(request.scenario).groups()
    number = next(request.turns[request.family, request.flavor, request.scenario])
    if kind is None or number < int(first) - 1:
        return None
    return Fault("cut") if kind == "cut" else Fault("error", int(kind))


def broken_whole(dialect, answer, fault):
    if fault is None:
        return dialect.whole(answer)
    if fault.kind == "event":
        return dialect.error(fault.status)
    reply = dialect.whole(answer)
    return replace(reply, pieces=(reply.body[:20],), ending="cut")


def broken(dialect, reply, fault):
    """The beginning of a stream, and how it ends. `BEGUN` counts the pieces up to the first text."""
    begun = reply.pieces[: dialect.BEGUN] if fault.is_late else ()
    if fault.kind == "event":
        return replace(reply, pieces=(*begun, dialect.error_event(fault.status)))
    return replace(reply, pieces=tuple(begun), ending="cut" if fault.kind == "cut" else "end")


def paced(reply, pace):
    if not pace:
        return reply
    return replace(reply, pieces=tuple(part for piece in reply.pieces for part in (piece, pace))[:-1])


# the script


def plan(talk):
    """The user's text without directives, the steps, and how many rounds of results came after the text."""
    at = max((n for n, entry in enumerate(talk.entries) if is_own(entry)), default=None)
    if at is None:
        return "", [[]], 0
    # adjacent texts are one message of the user
    first = at
    while first > 0 and talk.entries[first - 1][0] == "user":
        first -= 1
    text = "\n".join(own(entry) for entry in talk.entries[first : at + 1] if is_own(entry))
    rounds, last = 0, None
    for entry in talk.entries[at + 1 :]:
        if entry[0] in ("result", "call"):
            rounds += entry[0] == "result" != last
            last = entry[0]
    text, words = parsed(text)
    steps = [[]]
    for word in words:
        if word == "then":
            steps.append([])
        else:
            steps[-1].append(word)
    return text, [again for step in steps for again in [step] * turns(step)], rounds


def own(entry):
    """The user's own text in this entry."""
    return ADDED.sub("", entry[1]).strip() if entry[0] == "user" else ""


def is_own(entry):
    return own(entry) != ""


def turns(step):
    return next((int(word[6:]) for word in step if word.startswith("turns ")), 1)


def parsed(text):
    """The text without its directives, and the directives."""
    kept, words = "", []
    while (at := text.find(MARK)) >= 0:
        kept, inside = kept + text[:at], text[at + len(MARK) :]
        end = end_of(inside)
        words.append(inside[:end].strip())
        text = inside[end + 1 :]
    return (kept + text).strip(), words


def end_of(inside):
    """The closing bracket; the JSON of a call may have any brackets."""
    begin = 0
    brace = inside.find("{")
    if inside.startswith("call ") and -1 < brace < inside.find("]"):
        begin = brace + json.JSONDecoder().raw_decode(inside[brace:])[1]
    depth = 0
    for at, letter in enumerate(inside[begin:], begin):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth < 0:
            return at
    raise Refused(f"[sim: {inside[:40]}: no closing bracket")


def acted(talk, step, text, whole_script):
    """The answer to this step, and its fault."""
    answer, fault, parallel, calls, say = Answer(thinks=talk.thinks), None, 0, [], None
    for word in step:
        name, _, rest = word.partition(" ")
        if name == "call":
            tool, _, given = rest.partition(" ")
            calls.append((offered(talk, tool), json.loads(given) if given else None))
        elif name == "parallel":
            parallel = int(rest)
        elif name == "say":
            say = rest
        elif name == "words":
            say = " ".join(WORDS[n % len(WORDS)] for n in range(int(rest)))
        elif name == "thinking":
            answer.thinks = True
        elif name == "wait":
            time.sleep(seconds(rest))
        elif name in ("error", "error-event", "break", "end"):
            fault = failure(name, rest)
        elif name not in ("turns", "pace", "padded", "crlf"):
            raise Refused(f"[sim: {word}] is no directive of the fakes")
    for word in whole_script:
        if word == "crlf":
            answer.form["newline"] = "\r\n"
        elif word == "padded":
            answer.is_padded = True
        elif word.startswith("pace "):
            answer.pace = seconds(word[5:])
    calls = chosen(talk, calls, parallel)
    answer.id = identity(talk, text, 0)
    answer.calls = [(identity(talk, text, n), name, made(talk.tools[name], given)) for n, (name, given) in enumerate(calls)]
    answer.text = spoken(talk, answer.calls, text, say)
    return answer, fault


def offered(talk, name):
    for found in (name, f"gateway_{name}"):
        if found in talk.tools:
            return found
    raise Refused(f"[sim: call {name}]: the request offers no such tool, but {sorted(talk.tools)}")


def chosen(talk, calls, parallel):
    """The calls that `tool_choice` leaves or forces."""
    if talk.choice == "none":
        return []
    if talk.choice not in ("auto", "any"):
        calls = [call for call in calls if call[0] == talk.choice] or [(talk.choice, None)]
    elif talk.choice == "any" and not calls:
        calls = [(next(iter(talk.tools)), None)]
    if calls and parallel > len(calls):
        calls = [calls[n % len(calls)] for n in range(parallel)]
    return calls


def identity(talk, text, n):
    """An id that no other call of the conversation has."""
    made = sum(entry[0] == "call" for entry in talk.entries) + n
    return f"{hashlib.sha256(text.encode()).hexdigest()[:6]}_{made}"


def made(schema, given):
    """The input of a call: the directive's, or one that fits the schema."""
    return sample(schema) if given is None else given


def sample(schema):
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), None) if isinstance(kind, list) else kind
    if kind is None and (many := schema.get("anyOf") or schema.get("oneOf")):
        return sample(many[0])
    if kind == "object":
        return {name: sample(schema["properties"][name]) for name in schema.get("required", [])}
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}))] * schema.get("minItems", 1)
    return {"integer": 7, "number": 7.5, "boolean": True, "null": None}.get(kind, "sea")


def spoken(talk, calls, text, say):
    if say is not None:
        return say
    if calls:
        names = list(dict.fromkeys(name for _, name, _ in calls))
        return "" if talk.choice not in ("auto", "none") else f"I will use {' and '.join(names)}."
    if talk.schema:
        return json.dumps(sample(talk.schema))
    last = []
    for entry in reversed(talk.entries):
        if entry[0] == "user" and not is_own(entry):
            continue
        if entry[0] != "result":
            break
        last.insert(0, f"{entry[2]} {'failed' if entry[4] else 'answered'}: {entry[3]}")
    return "\n".join(last) or f"You said: {text}"


def failure(name, rest):
    words = rest.split()
    late = "after" in words or (name in ("break", "end") and not words)
    headers = {}
    for key, header in (("retry-after-ms", "retry-after-ms"), ("retry-after", "retry-after"), ("should-retry", "x-should-retry")):
        if key in words:
            headers[header] = words[words.index(key) + 1]
    kind = {"error": "error", "error-event": "event", "break": "cut", "end": "end"}[name]
    status = int(words[0]) if words and words[0].isdigit() else 500
    return Fault(kind, status, late, headers)


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s)", text).groups()
    return int(number) / (1000 if unit == "ms" else 1)


def halves(text):
    """A text in pieces of about 40 characters, two at least."""
    size = min(40, (len(text) + 1) // 2) or 1
    return [text[at : at + size] for at in range(0, len(text), size)]
