"""Jumps of the system's clock under load, by libfaketime: no request fails, no row is lost, and no limit is stuck."""

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import charges
import setting
from callers import Caller, Load, message
from install import Missing
from process import Gateway, settled, until
from upstream import Upstream

# offsets from the true time, in days
JUMPS = (0, 1, -1, 40, 0)
LIMIT = 5
HOUR = 3600


async def suite(report, options, place):
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise Missing("libfaketime is missing (apt-get install faketime)")
    async with Upstream() as upstream:
        home = setting.home(options, place / "gateway")
        offset = home / "offset"
        offset.write_text("+0\n")
        environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        rules = {
            "limits": {"rules": [{"per": "key", "requests": f"{LIMIT}/1h", "when": {"key": "dev"}}]},
            "budgets": {"rules": [{"per": "key", "usd": 1000, "every": "day"}]},
            "ledger": {"keep": "3650d"},
        }
        with Gateway(options.binary, home, setting.config(upstream, **rules), environment) as gateway:
            await jumps(report, gateway, upstream, offset)


def shown(gateway, days):
    """The rows whose time is that of a jump."""
    at = (time.time() + days * 24 * HOUR) * 1000
    return gateway.rows(
        f"SELECT count(*) FROM exchange WHERE at BETWEEN {at - HOUR * 1000:.0f} AND {at + HOUR * 1000:.0f}"
    )[0][0]


async def jumped(gateway, days, before):
    """Waits until rows have the time of a jump."""
    try:
        await until("rows have the time of the jump", lambda: shown(gateway, days) > before + 20, 30)
    except AssertionError as error:
        raise Missing(f"libfaketime does not move the clock of this binary by {days} days: {error}") from None


async def jumps(report, gateway, upstream, offset):
    caller, passed, waits = Caller(gateway.port), 0, []
    async with Load(gateway, size=4, pause=0.005) as load:
        for days in JUMPS:
            before = shown(gateway, days)
            new = offset.with_suffix(".new")
            new.write_text(f"{days * 24 * HOUR:+d}\n")
            os.rename(new, offset)
            await load.more(50)
            await jumped(gateway, days, before)
            for number in range(LIMIT + 1):
                answer = await caller.ask("dev", message(1_000_000 + number))
                passed += answer.status == 200
                waits += [int(answer.headers["retry-after"])] if answer.status == 429 else []
            await load.more(50)
    caller.close()
    report.add("clock", "no request fails while the clock jumps", load.failed())
    most = LIMIT * len(JUMPS)
    report.add(
        "clock",
        "a limit admits no more than its number for each jump",
        None if LIMIT <= passed <= most else f"{passed}",
    )
    stuck = [wait for wait in waits if wait > HOUR + 1]
    report.add("clock", "no limit is stuck for longer than its window", f"retry-after {stuck}" if stuck else None)
    await records(report, gateway, upstream, len(load.answers) + len(JUMPS) * (LIMIT + 1))
    print(
        f"     clock: {len(load.answers)} exchanges, jumps by {JUMPS} days, {passed} passed a limit of {LIMIT}",
        flush=True,
    )


async def records(report, gateway, upstream, sent):
    await settled(gateway, sent)
    first, last = (datetime.now(timezone.utc) + timedelta(days=days) for days in (-10, 60))
    found = gateway.ledger("--from", f"{first:%Y-%m-%d}", "--to", f"{last:%Y-%m-%d}")
    total, days = found["total"], found["rows"]
    book = sum(charged.nano for charged in upstream.charged().values())
    own, expected = (total["requests"], total["cost_usd"]), (sent, charges.text(book))
    report.add(
        "clock",
        "the ledger has every exchange and its cost",
        None if own == expected else f"{own}, expected {expected}",
    )
    by_day = sum(row["requests"] for row in days)
    report.add("clock", "the sum of days is the total", None if by_day == sent else f"{by_day} of {sent}")
    report.add(
        "clock", "exchanges are on the days that the clock showed", None if len(days) >= len(set(JUMPS)) else f"{days}"
    )
