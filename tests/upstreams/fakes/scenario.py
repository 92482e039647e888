"""A scenario: an upstream's answer, whole and streamed, and the Messages answer that it means."""

from dataclasses import dataclass, field

from .wire import Reply

NO_USAGE = "estimated"


@dataclass(frozen=True)
class Expect:
    """The Messages answer that a client must receive."""

    # ("text", text), ("thinking", text), ("tool_use", name, input)
    blocks: tuple = ()
    stop: tuple = ("end_turn",)
    stop_sequence: str | None = None
    # fields of `usage` that must have these values; `NO_USAGE` if the upstream reports none
    usage: dict | str | None = None
    # of an error: the types that are right, the statuses (an error before the first content), words of the message
    error: tuple = ()
    status: tuple = ()
    words: tuple = ()
    headers: dict = field(default_factory=dict)

    @property
    def breaks(self):
        """Whether the error comes after content has been sent, as an event."""
        return bool(self.error) and not self.status


def many(value):
    return value if isinstance(value, tuple) else (value,)


def means(*blocks, stop="end_turn", usage=None, **more):
    return Expect(tuple(blocks), many(stop), usage=usage, **more)


def refused(status, error, *words, **headers):
    """An error before the first content: a status."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Expect(error=many(error), status=many(status), words=words, headers=names)


def breaks(error, *words, blocks=()):
    """An error after these blocks: an event, and nothing after it."""
    return Expect(tuple(blocks), error=many(error), words=words)


@dataclass(frozen=True)
class Scenario:
    name: str
    # the section of upstreams.md, and a sentence
    row: str
    says: str
    expect: Expect
    whole: Reply | None = None
    stream: Reply | None = None
    # of the streamed answer, if it differs
    streamed: Expect | None = None
    # the server that answers like this
    flavor: str = ""
    # why the provider's own SDK reads another meaning, or none; empty: the SDK must read this one
    odd: str = ""
    # the same for one form only
    odd_whole: str = ""
    odd_stream: str = ""
    # what the client's request has beside the usual
    request: dict = field(default_factory=dict)

    def wanted(self, form):
        return (self.streamed or self.expect) if form == "stream" else self.expect

    def oddity(self, form):
        return self.odd or (self.odd_stream if form == "stream" else self.odd_whole)


def table(*scenarios):
    found = {}
    for scenario in scenarios:
        assert scenario.name not in found, f"two scenarios are named {scenario.name}"
        found[scenario.name] = scenario
    return found
