"""An upstream that answers the Messages API with exact usage, fails as planned, and keeps a book of its own.

A request names its exchange in its text (`exchange 17.`), and the plan of that exchange says what happens. Plans belong
to the load; the book is written here, from what was really sent.
"""

import asyncio
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import charges

NAMED = re.compile(rb"exchange (\d+)\.")
START_OUTPUT = 1
BYTES_A_TOKEN = 4
# failures of an attempt before its answer begins
STATUSES = {"500": (500, "api_error"), "529": (529, "overloaded_error"), "429": (429, "rate_limit_error")}


@dataclass
class Plan:
    """One exchange: who sends it, and how its attempts end."""

    id: int
    key: str = "ci"
    alias: str = "large"
    stream: bool = False
    # whole, cut, cut_late, error, left, early, refused, count
    ending: str = "whole"
    # how its first attempts fail
    fails: list = field(default_factory=list)
    # the provider whose attempts all fail
    fails_at: str = ""
    # the usage of each turn; all but the last call the gateway's tool
    turns: list = field(default_factory=list)
    texts: list = field(default_factory=lambda: ["hello"])
    # how long the answer waits, in seconds
    pause: float = 0
    # how long each piece of its text waits, in seconds
    beat: float = 0


@dataclass
class Entry:
    """What one request of the gateway got."""

    exchange: int
    provider: str
    model: str
    # success, refused, failed, given_up
    outcome: str
    ending: str
    usage: dict | None = None
    is_estimated: bool = False
    is_count: bool = False


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def frame(event):
    return b"event: " + event["type"].encode() + b"\ndata: " + compact(event) + b"\n\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def usage(uncached=10, output=5, write_5m=0, write_1h=0, read=0, **more):
    """A `usage` of the API."""
    return {
        "input_tokens": uncached,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
        "output_tokens": output,
        "service_tier": "standard",
    } | more


class Upstream:
    """The server. `plans` by id; an exchange without a plan gets a small whole answer."""

    def __init__(self, default=None):
        self.plans, self.book, self.tries = {}, [], Counter()
        self.default = default or (lambda number: Plan(number, turns=[usage()]))
        self.open, self.most_open = 0, 0
        self.served = 0
        self.arrivals = defaultdict(asyncio.Event)

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.connection, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        self.tasks = set()
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connection(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # the gateway closed the connection, or the suite ends
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def exchange(self, reader, writer):
        """One request; whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else await chunked(reader)
        named = NAMED.search(body)
        number = int(named[1]) if named else 0
        plan = self.plans.get(number) or self.default(number)
        request = json.loads(body)
        entry = Entry(number, path.split("/")[1], request["model"], "given_up", plan.ending)
        self.book.append(entry)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if plan.pause:
                await asyncio.sleep(plan.pause)
            return await Answer(self, plan, entry, request, reader, writer).run(path)
        finally:
            self.open -= 1

    def charged(self):
        """What the book says of each exchange that was charged, by its number."""
        found = {}
        for entry in self.book:
            if entry.usage is None:
                continue
            own = found.setdefault(entry.exchange, Charged())
            own.add(entry)
        return found


class Charged:
    """What the upstream charges for one exchange: all of its turns."""

    def __init__(self):
        self.tokens, self.dollars, self.unpriced, self.is_estimated = Counter(), 0, 0, False
        self.target = ""

    def add(self, entry):
        self.tokens.update(charges.tokens_of(entry.usage))
        cost, unpriced = charges.charge(entry.model, entry.usage)
        self.dollars += cost
        self.unpriced += unpriced
        self.is_estimated |= entry.is_estimated
        self.target = f"{entry.provider}/{entry.model}"

    @property
    def nano(self):
        return charges.nano(self.dollars)


class Answer:
    """The answer to one request."""

    def __init__(self, upstream, plan, entry, request, reader, writer):
        self.upstream, self.plan, self.entry, self.request = upstream, plan, entry, request
        self.reader, self.writer = reader, writer

    async def run(self, path):
        if path.endswith("/count_tokens"):
            self.entry.outcome, self.entry.is_count = "success", True
            return await self.whole(200, {"input_tokens": 77})
        failure = self.failure()
        if failure:
            return await self.fail(failure)
        if self.plan.ending == "refused":
            self.entry.outcome = "refused"
            error = {"type": "invalid_request_error", "message": "as planned"}
            return await self.whole(400, {"type": "error", "error": error})
        if self.plan.ending == "early":
            self.upstream.arrivals[self.plan.id].set()
            # a caller that leaves before the answer begins; nothing is reported
            await self.gone()
            return False
        turn = sum(message["role"] == "assistant" for message in self.request["messages"])
        own = self.plan.turns[min(turn, len(self.plan.turns) - 1)]
        is_last = turn >= len(self.plan.turns) - 1
        self.upstream.served += 1
        self.entry.outcome = "success"
        if self.request.get("stream"):
            return await self.stream(own, turn, is_last)
        self.entry.usage = own
        return await self.whole(200, self.message(own, self.content(turn, is_last), is_last))

    def failure(self):
        if self.plan.fails_at and self.plan.fails_at == self.entry.provider:
            return "529"
        tries = self.upstream.tries
        number = tries[self.plan.id]
        if number < len(self.plan.fails):
            tries[self.plan.id] += 1
            return self.plan.fails[number]
        return None

    async def fail(self, failure):
        """An attempt that fails before its answer begins costs nothing."""
        self.entry.outcome, self.entry.ending = "refused" if failure == "429" else "failed", failure
        if failure == "drop":
            return False
        if failure == "event":
            await self.head()
            error = {"type": "overloaded_error", "message": "as planned"}
            await self.send(frame({"type": "error", "error": error}))
            await self.end()
            return True
        status, kind = STATUSES[failure]
        return await self.whole(status, {"type": "error", "error": {"type": kind, "message": "as planned"}})

    async def whole(self, status, value):
        body = compact(value)
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        return True

    def content(self, turn, is_last):
        if is_last:
            return [{"type": "text", "text": "".join(self.plan.texts)}]
        return [{"type": "tool_use", "id": self.call(turn), "name": "gateway_datetime", "input": {}}]

    def call(self, turn):
        return f"toolu_{self.plan.id}_{turn}"

    def message(self, own, content, is_last):
        return {
            "id": f"msg_{self.plan.id}",
            "type": "message",
            "role": "assistant",
            "model": self.request["model"],
            "content": content,
            "stop_reason": "end_turn" if is_last else "tool_use",
            "stop_sequence": None,
            "usage": own,
        }

    async def stream(self, own, turn, is_last):
        first = {name: value for name, value in own.items() if name != "iterations"} | {"output_tokens": START_OUTPUT}
        # without a later report the input is known, and the output is estimated by the text
        self.entry.usage, self.entry.is_estimated = first, True
        await self.head()
        start = self.message(first, [], True) | {"stop_reason": None}
        await self.send(frame({"type": "message_start", "message": start}))
        block = self.content(turn, is_last)[0]
        empty = block | ({"text": ""} if is_last else {"input": {}})
        await self.send(frame({"type": "content_block_start", "index": 0, "content_block": empty}))
        await self.deltas(is_last)
        if is_last and self.plan.ending in ("cut", "left", "error"):
            return await self.broken()
        last = {"stop_reason": "end_turn" if is_last else "tool_use", "stop_sequence": None}
        rest = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": last, "usage": own},
        ]
        self.entry.usage, self.entry.is_estimated = own, False
        await self.send(b"".join(map(frame, rest)))
        if is_last and self.plan.ending == "cut_late":
            return False
        await self.send(frame({"type": "message_stop"}))
        await self.end()
        return True

    async def deltas(self, is_last):
        sent = 0
        for text in self.plan.texts if is_last else ["{}"]:
            if self.plan.beat:
                await asyncio.sleep(self.plan.beat)
            delta = (
                {"type": "text_delta", "text": text} if is_last else {"type": "input_json_delta", "partial_json": text}
            )
            await self.send(frame({"type": "content_block_delta", "index": 0, "delta": delta}))
            sent += len(text)
            if is_last:
                output = max(START_OUTPUT, sent // BYTES_A_TOKEN)
                self.entry.usage = self.entry.usage | {"output_tokens": output}

    async def broken(self):
        if self.plan.ending == "left":
            await self.gone()
            return False
        if self.plan.ending == "error":
            error = {"type": "api_error", "message": "as planned"}
            await self.send(frame({"type": "error", "error": error}))
            await self.end()
            return True
        return False

    async def gone(self):
        """Waits until the gateway closes the connection."""
        while await self.reader.read(1024):
            pass

    async def head(self):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self.writer.write(head)

    async def send(self, data):
        self.writer.write(chunk(data))
        await self.writer.drain()

    async def end(self):
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()


async def chunked(reader):
    """A body in chunks."""
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
