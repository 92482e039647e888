"""The content blocks of the SDK, compared with the gateway's list of places that hold text.

`tests/fixtures/places.json` lists every content block of the API with its fields; `src/wire/content/places.rs` decides
which of them guards read. A newer SDK with another block or field fails here, and asks for a decision.
"""

import json
import pathlib
import typing

import typing_extensions

import anthropic.types as stable
import anthropic.types.beta as beta

LIST = pathlib.Path(__file__).parents[1] / "fixtures" / "places.json"
# fields that hold no text of their own in any block
COMMON = {"type", "cache_control"}
# fields that hold settings, or tools: these have a table of their own
SETTINGS = {"cache_control", "caller", "definition"}


def parts(kind):
    """The members of unions, lists and the like, at any depth."""
    if typing.get_origin(kind) is typing.Literal or not typing.get_args(kind):
        yield kind
        return
    for inner in typing.get_args(kind):
        yield from parts(inner)


def holds_text(kind):
    """Whether a field may hold anything but numbers and switches."""
    return any(part not in (int, float, bool, type(None)) for part in parts(kind))


def words(kind):
    """The values of a literal."""
    return [word for part in parts(kind) for word in typing.get_args(part)]


def blocks(message):
    """Every content block below a message: its `type` and its fields."""
    found, todo, seen = {}, [message], set()
    while todo:
        for part in parts(todo.pop()):
            if not typing_extensions.is_typeddict(part) or part in seen:
                continue
            seen.add(part)
            fields = typing_extensions.get_type_hints(part)
            todo.extend(kind for name, kind in fields.items() if name not in SETTINGS)
            names = {name for name, kind in fields.items() if name not in COMMON and holds_text(kind)}
            for word in words(fields.get("type", type(None))):
                found.setdefault(word, set()).update(names)
    return found


def missing():
    """The blocks and fields of this SDK that the list does not have."""
    families = json.loads(LIST.read_text())["families"]
    known = {}
    for family in families.values():
        for kind, fields in family.items():
            known.setdefault(kind, set()).update(fields)
    gone = []
    for message in (stable.MessageParam, beta.BetaMessageParam):
        for kind, fields in sorted(blocks(message).items()):
            gone += [f"{kind}.{field}" for field in sorted(fields - known.get(kind, set()))]
            gone += [kind] if kind not in known else []
    return gone
