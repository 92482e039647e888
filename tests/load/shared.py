"""Two gateways with one Redis: shared limits, and Redis killed, hung and back, for each mode of `limits.away`."""

import asyncio
import contextlib
from collections import Counter

import setting
from callers import Caller, Load, crowd, message
from process import keys
from servers import Redis
from upstream import Plan, Upstream, usage

REQUESTS, TOKENS, PLACES, HALF = 100, 20_000, 6, 60
CALLERS = 16
# what an answer uses: more than the estimate that is reserved for it
HEAVY = usage(300, 100)
ANSWER = 400
# 20 searches for 0.20 dollars
DEAR = usage(server_tool_use={"web_search_requests": 20})
NAMES = ("ci", "dev", "ml", "half", "rich")


async def suite(report, options, place):
    with Redis(place / "redis") as server:
        async with Upstream() as upstream:
            bed = Bed(report, options, place, server, upstream)
            async with bed.pair("local") as gateways:
                await together(bed, gateways)
                await apart(bed, gateways)
            for away in ("local", "open"):
                async with bed.pair(away) as gateways:
                    await faults(bed, gateways, away)
            async with bed.pair("closed") as gateways:
                await closed(bed, gateways)


class Bed:
    """What all parts need."""

    def __init__(self, report, options, place, server, upstream):
        self.report, self.options, self.place, self.server, self.upstream = report, options, place, server, upstream
        self.pairs, self.next = 0, 0

    def check(self, sentence, fault=None):
        self.report.add("redis", sentence, fault or None)

    @contextlib.asynccontextmanager
    async def pair(self, away):
        """Two gateways that share the server."""
        self.server.say("FLUSHALL")
        self.pairs += 1
        rule = lambda key, **more: {"per": "key", "when": {"key": key}} | more
        limits = {
            "store": self.server.url,
            "away": away,
            "rules": [
                rule("ci", requests=f"{REQUESTS}/1h"),
                rule("dev", concurrent=PLACES),
                rule("ml", tokens=f"{TOKENS}/1h"),
                rule("half", requests=f"{HALF}/1h"),
                rule("free", requests="1000000/1h"),
            ],
        }
        budgets = {"rules": [{"per": "key", "usd": 1, "every": "month", "when": {"key": "rich"}}]}
        more = {"limits": limits, "budgets": budgets, "keys": keys(*NAMES, "free")}
        with contextlib.ExitStack() as stack:
            made = [
                setting.gateway(self.options, self.place / f"{self.pairs}-{name}", self.upstream, **more)
                for name in "ab"
            ]
            gateways = [stack.enter_context(gateway) for gateway in made]
            for gateway in gateways:
                await mode(gateway, "shared")
            yield gateways

    async def send(self, gateways, key, count, **plan):
        """Sends requests of a key through all gateways at once; the answers by gateway."""
        plan = {"turns": [usage()]} | plan

        def piece(number):
            self.upstream.plans[number] = Plan(number, key, **plan)
            return lambda caller: caller.ask(key, message(number))

        async def one(gateway):
            numbers = range(self.next + 1, self.next + count + 1)
            self.next += count
            return await crowd(gateway.port, [piece(number) for number in numbers], CALLERS // len(gateways))

        return await asyncio.gather(*(one(gateway) for gateway in gateways))


def alone(gateways):
    """Decisions of gateways without Redis: on a busy machine some of its answers come later than after 50 ms."""
    return int(sum(gateway.metric("tidegate_limiter_unreachable_total") for gateway in gateways))


def statuses(answers):
    return Counter(answer.status for part in answers for answer in part)


async def mode(gateway, name, nudge=None):
    """Waits until a gateway counts in this mode. Only requests find out that Redis is away."""
    caller = Caller(gateway.port)
    for _ in range(600):
        if gateway.metric("tidegate_limiter_mode", mode=name) == 1:
            return caller.close()
        if nudge:
            await caller.ask(nudge, message(1))
        await asyncio.sleep(0.05)
    raise AssertionError(f"the limiter does not come to the mode `{name}`: {gateway.log_end()}")


async def together(bed, gateways):
    """Limits hold for both gateways together, but for decisions that a gateway had to make alone."""
    before = alone(gateways)
    answers = statuses(await bed.send(gateways, "ci", 2 * REQUESTS))
    more = alone(gateways) - before
    is_kept = REQUESTS <= answers[200] <= REQUESTS + more and answers[200] + answers[429] == 4 * REQUESTS
    fault = None if is_kept else f"{dict(answers)}, {more} decisions alone"
    bed.check("two gateways admit the number of a limit of requests", fault)

    before, bed.upstream.most_open = alone(gateways), 0
    answers = statuses(await bed.send(gateways, "dev", 60, pause=0.02))
    most, more, odd = bed.upstream.most_open, alone(gateways) - before, set(answers) - {200, 429}
    is_kept = 0 < most <= PLACES + more and not odd and answers[200] >= PLACES
    fault = None if is_kept else f"{most} at once, {dict(answers)}, {more} decisions alone"
    bed.check("two gateways keep a limit of requests at the same time", fault)
    again = statuses(await bed.send(gateways, "dev", 1))
    bed.check("places are free again at the end", None if again == {200: 2} else f"{dict(again)}")

    before, served = alone(gateways), bed.upstream.served
    await bed.send(gateways, "ml", 80, turns=[HEAVY])
    used, more = (bed.upstream.served - served) * ANSWER, alone(gateways) - before
    is_kept = TOKENS - ANSWER < used <= TOKENS + (CALLERS + more) * ANSWER
    fault = None if is_kept else f"{used} tokens, {more} decisions alone"
    bed.check("two gateways exceed a limit of tokens by no more than what is in flight", fault)

    before = alone(gateways)
    rounds = [await bed.send(gateways, "rich", 1, turns=[DEAR]) for _ in range(5)]
    answers = [answer for parts in rounds for part in parts for answer in part]
    good, more, last = sum(answer.status == 200 for answer in answers), alone(gateways) - before, answers[-1]
    is_kept = 5 <= good <= 6 + more and (more or last.error["type"] == "billing_error")
    bed.check("two gateways share a budget", None if is_kept else f"{good} of 10, then {last.status} {last.error}")
    print(f"     redis: limit of {TOKENS} tokens, {used} used by two gateways", flush=True)


async def apart(bed, gateways):
    """A hung Redis: each gateway applies the full limit to its own requests; later Redis's counts hold again."""
    before = alone(gateways)
    first = statuses(await bed.send(gateways, "half", HALF // 4))
    more = alone(gateways) - before
    bed.server.pause()
    try:
        for gateway in gateways:
            await mode(gateway, "local", "free")
        own = await bed.send(gateways, "half", 2 * HALF)
    finally:
        bed.server.resume()
    for gateway in gateways:
        await mode(gateway, "shared", "free")
    before = alone(gateways)
    last = statuses(await bed.send(gateways, "half", 2 * HALF))
    more += alone(gateways) - before
    left = HALF - HALF // 4
    found = [statuses([part])[200] for part in own]
    bed.check("before the fault the requests pass", None if first == {200: HALF // 2} else f"{dict(first)}")
    fault = None if found == [left, left] else f"{found}, expected {left} each"
    bed.check("with `local` each gateway admits the rest of the limit by its own count", fault)
    fault = (
        None if abs(last[200] - HALF // 2) <= more else f"{dict(last)}, expected {HALF // 2}, {more} decisions alone"
    )
    bed.check("back again, the count of Redis holds", fault)
    print(f"     redis: limit of {HALF}: {first[200]} before, {found} while hung, {last[200]} after", flush=True)


async def faults(bed, gateways, away):
    """Kill and hang in turns, under load."""
    load = Load(
        gateways,
        size=8,
        pause=0.005,
        make=lambda number: ("free", message(number, stream=bool(number % 2))),
        first=500_000,
    )
    async with load:
        await load.more(50)
        for round in range(bed.options.rounds):
            begin, end = (
                (bed.server.kill, bed.server.start) if round % 2 == 0 else (bed.server.pause, bed.server.resume)
            )
            begin()
            for gateway in gateways:
                await mode(gateway, away)
            await load.more(100)
            await asyncio.to_thread(end)
            for gateway in gateways:
                await mode(gateway, "shared")
            await load.more(50)
    bed.check(f"with `{away}` no request fails while Redis is killed and hangs", load.failed())
    print(f"     redis, {away}: {len(load.answers)} exchanges, {bed.options.rounds} faults", flush=True)


async def closed(bed, gateways):
    """`closed` refuses in a way of its own, and ends with the fault."""
    bed.server.kill()
    for gateway in gateways:
        await mode(gateway, "closed", "free")
    answers = [answer for part in await bed.send(gateways, "free", 5) for answer in part]
    bad = [answer for answer in answers if (answer.status, answer.error["type"]) != (503, "overloaded_error")]
    bad += [answer for answer in answers if not answer.headers.get("retry-after", "").isdigit()]
    bed.check(
        "with `closed` requests are refused with 503 and `retry-after`",
        f"{bad[0].status} {bad[0].error}" if bad else None,
    )
    await asyncio.to_thread(bed.server.start)
    for gateway in gateways:
        await mode(gateway, "shared", "free")
    back = statuses(await bed.send(gateways, "free", 5))
    bed.check("with `closed` requests are served when Redis is back", None if back == {200: 10} else f"{dict(back)}")
