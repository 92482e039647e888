"""Callers: exchanges over HTTP/1.1 connections that stay open, alone or as a load that runs beside a fault."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

from process import secret

PATIENCE = 120


@dataclass
class Answered:
    """What a caller got."""

    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    # whole, broken (an `error` event, or a connection that closed), left
    ending: str = "whole"
    # the time of its end
    at: float = 0

    @property
    def is_good(self):
        return self.status == 200 and self.ending == "whole"

    @property
    def error(self):
        try:
            return json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return {"type": "", "message": repr(self.body[:200])}


def message(number, alias="large", stream=False, **more):
    """A request of the Messages API that names its exchange."""
    text = f"exchange {number}. " + "Please answer. " * (number % 7)
    body = {"model": alias, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    return body | ({"stream": True} if stream else {}) | more


class Caller:
    """One connection to a gateway, opened again when it was closed."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    def close(self):
        if self.writer:
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def ask(self, key, body, path="/v1/messages", leave=None, headers=()):
        """One exchange. `leave`: the deltas of text after which the caller leaves, or what it awaits before."""
        answered = Answered()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.exchange(answered, key, body, path, leave, headers)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            answered.ending = "broken"
            answered.body += f" [{type(error).__name__}: {error}]".encode()
            self.close()
        answered.at = time.time()
        return answered

    async def exchange(self, answered, key, body, path, leave, headers):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        data = json.dumps(body).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: 127.0.0.1:{self.port}",
            "content-type: application/json",
            "anthropic-version: 2023-06-01",
            f"x-api-key: {secret(key)}",
            f"content-length: {len(data)}",
            *headers,
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await self.writer.drain()
        if callable(leave):
            await leave()
            answered.ending = "left"
            return self.close()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answered.status = int(head[0].split(" ")[1])
        answered.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        if "content-length" in answered.headers:
            answered.body = await self.reader.readexactly(int(answered.headers["content-length"]))
        else:
            await self.chunks(answered, leave)
        if answered.headers.get("connection") == "close":
            self.close()

    async def chunks(self, answered, leave):
        while size := int(await self.reader.readline(), 16):
            answered.body += await self.reader.readexactly(size)
            await self.reader.readline()
            if leave and answered.body.count(b"text_delta") >= leave:
                answered.ending = "left"
                return self.close()
        await self.reader.readline()
        if b"event: error" in answered.body or b"message_stop" not in answered.body:
            answered.ending = "broken"


async def crowd(port, work, size):
    """Has `size` callers do all pieces of work, each a function of a caller; their results in order of the work."""
    todo, results = iter(enumerate(work)), {}

    async def one():
        caller = Caller(port)
        for number, piece in todo:
            results[number] = await piece(caller)
        caller.close()

    await asyncio.gather(*(one() for _ in range(size)))
    return [results[number] for number in sorted(results)]


class Load:
    """Callers that send one request after the other until the block ends, or until `most` requests were sent.

    `fresh`: on a new connection each time.
    """

    def __init__(self, gateways, size=4, most=50_000, pause=0.0, first=1, make=None, sessions=False, fresh=False):
        self.gateways = gateways if isinstance(gateways, list) else [gateways]
        self.size, self.most, self.pause, self.next = size, most, pause, first
        self.make = make or (lambda number: ("ci", message(number, stream=bool(number % 2))))
        self.sessions, self.fresh = sessions, fresh
        # by number
        self.answers = {}
        self.is_over = False

    async def __aenter__(self):
        self.tasks = [
            asyncio.create_task(self.run(self.gateways[place % len(self.gateways)])) for place in range(self.size)
        ]
        return self

    async def __aexit__(self, *_):
        await self.end()

    async def end(self):
        """Lets open requests end."""
        self.is_over = True
        await asyncio.gather(*self.tasks)

    async def run(self, gateway):
        caller = Caller(gateway.port)
        while not self.is_over and len(self.answers) < self.most:
            number, self.next = self.next, self.next + 1
            key, body = self.make(number)
            headers = [f"x-tidegate-session-id: e{number}"] if self.sessions else []
            self.answers[number] = await caller.ask(key, body, headers=headers)
            if self.fresh:
                caller.close()
            await asyncio.sleep(self.pause)
        caller.close()

    async def more(self, count, patience=PATIENCE):
        """Waits until this many further requests have ended."""
        wanted, deadline = len(self.answers) + count, time.monotonic() + patience
        while len(self.answers) < min(wanted, self.most):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{count} requests did not end within {patience} s: {len(self.answers)} of {wanted}"
                )
            await asyncio.sleep(0.01)

    def counts(self):
        return Counter((answer.status, answer.ending) for answer in self.answers.values())

    def failed(self):
        """Those that are no good answer, as a text; empty if there is none."""
        bad = {number: answer for number, answer in self.answers.items() if not answer.is_good}
        if not bad:
            return None
        number, first = next(iter(bad.items()))
        return f"{len(bad)} of {len(self.answers)} failed; {number}: {first.status} {first.ending} {first.body[:300]!r}"
