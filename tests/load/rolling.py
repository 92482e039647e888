"""A rolling update: two gateways after a balancer are replaced one after the other, and no client notices."""

import asyncio

import setting
from balancer import Balancer
from callers import Load, message
from process import until
from upstream import Plan, Upstream, usage

# longer than the balancer needs to notice; both are far from the patience of the callers
DRAIN = {"delay": "4s", "deadline": "60s"}
# streams of about 8 s: each one that is open when a gateway leaves outlives the delay
BEAT, BEATS = 0.2, 40
LONG = 1_000_000
FURTHER = 100


def plan(number):
    if number < LONG:
        return Plan(number, turns=[usage()])
    return Plan(number, turns=[usage()], texts=["hello "] * BEATS, beat=BEAT)


async def suite(report, options, place):
    async with Upstream(default=plan) as upstream:
        gateways = [setting.gateway(options, place / name, upstream, drain=DRAIN, ledger="off") for name in "ab"]
        with gateways[0], gateways[1]:
            async with Balancer(gateways) as balancer:
                short = Load(balancer, size=8, pause=0.005)
                make = lambda number: ("dev", message(number, stream=True))
                # the balancer sends connections, not requests: kept ones stay where they are
                long = Load(balancer, size=6, first=LONG, make=make, fresh=True)
                async with short, long:
                    await short.more(FURTHER)
                    open_streams = [await replaced(report, balancer, gateway, short) for gateway in gateways]
                check(report, balancer, short, long)
                print(
                    f"     rolling: {len(short.answers)} short exchanges and {len(long.answers)} streams beside two "
                    f"replacements; open when a gateway left: {open_streams}; connections: "
                    f"{[backend.taken for backend in balancer.backends]}",
                    flush=True,
                )


async def replaced(report, balancer, gateway, short):
    """Stops a gateway and starts it again, as an update does; the requests that were open on it."""
    backend = balancer.backend(gateway)
    await until("streams run on the gateway", lambda: gateway.metric("tidegate_active_requests") >= 2)
    is_open = int(gateway.metric("tidegate_active_requests"))
    status = await asyncio.to_thread(gateway.stop)
    report.add("rolling", "a replaced gateway ends with status 0", None if status == 0 else f"{status}")
    report.add("rolling", "the balancer had removed it before it ended", "it is in" if backend.is_in else None)
    await short.more(FURTHER)
    taken = backend.taken
    await asyncio.to_thread(gateway.start)
    await until("the balancer sends connections to the new gateway", lambda: backend.taken > taken)
    await short.more(FURTHER)
    return is_open


def check(report, balancer, short, long):
    report.add("rolling", "no request fails", short.failed())
    report.add("rolling", "no stream is cut", long.failed())
    refused = sum(backend.refused for backend in balancer.backends)
    fault = None if refused + balancer.lost == 0 else f"{refused} refused, {balancer.lost} without a gateway"
    report.add("rolling", "each connection finds a gateway", fault)
