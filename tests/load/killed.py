"""`kill -9` of the gateway under load, and a start on the same folder: at most the rows of the last second are missing."""

import json
import time

import charges
import setting
from callers import Caller, Load, message
from process import settled, until
from upstream import Plan, Upstream, usage

SECOND = 1.0
# the price of one answer: 20 searches, 0.20 dollars and some
DEAR = usage(server_tool_use={"web_search_requests": 20})
BUDGETS = {
    "rules": [
        {"per": "key", "usd": 100000, "every": "month", "when": {"key": "ci"}},
        {"per": "key", "usd": 1, "every": "month", "when": {"key": "dev"}},
    ]
}


async def suite(report, options, place):
    async with Upstream() as upstream:
        gateway = setting.gateway(options, place / "gateway", upstream, budgets=BUDGETS)
        try:
            gateway.start()
            await used_up(report, gateway, upstream)
            ended = {}
            for round in range(1, options.rounds + 1):
                await kill(report, gateway, upstream, ended, round)
            await last(report, gateway)
        finally:
            gateway.stop()


def rows(gateway):
    return dict(gateway.rows("SELECT session, cost_nano FROM exchange WHERE session LIKE 'e%'"))


async def kill(report, gateway, upstream, ended, round):
    """One kill. `ended`: the exchanges of earlier rounds that must be there."""
    first = 1 + round * 100_000
    async with Load(gateway, size=8, first=first, sessions=True) as load:
        await load.more(200)
        written = int(gateway.metric("tidegate_ledger_written_total"))
        gateway.kill()
        at = time.time()
        load.is_over = True
    good = {f"e{number}": answer.at for number, answer in load.answers.items() if answer.is_good}
    kept = rows(gateway)
    lost = {session: when for session, when in good.items() if session not in kept}
    old = [when for when in lost.values() if when < at - SECOND]
    group = "kill"
    report.add(group, "only rows of the last second are lost", f"{len(old)} of {len(lost)} lost are older" if old else None)
    here = sum(session in good or int(session[1:]) >= first for session in kept)
    # the gateway of this round counts from its start
    fault = None if here + (5 if round == 1 else 0) >= written else f"{here} rows, {written} were written"
    report.add(group, "no row is lost that counted as written", fault)
    gone = [session for session in ended if session not in kept]
    report.add(group, "rows of earlier rounds are there", f"{len(gone)} are missing" if gone else None)
    whole = gateway.rows("PRAGMA integrity_check")[0][0]
    report.add(group, "the database is intact", None if whole == "ok" else whole)
    total, sums = gateway.rows("SELECT count(*), sum(cost_nano) FROM exchange")[0], gateway.ledger()["total"]
    found, expected = (sums["requests"], sums["cost_usd"]), (total[0], charges.text(total[1]))
    report.add(group, "the sums are those of the rows", None if found == expected else f"{found}, rows {expected}")
    money(report, gateway, upstream, load, at, round)
    ended.update(kept)
    gateway.start()
    oldest = max((at - when for when in lost.values()), default=0)
    print(f"     kill {round}: {len(good)} whole answers, {len(lost)} rows lost, the oldest ended {oldest * 1000:.0f} ms before", flush=True)


SPENT = []


def money(report, gateway, upstream, load, at, round):
    """The sum of the budget: all that ended before the last second, and no more than was spent."""
    saved = budget(gateway, "ci")
    charged = upstream.charged()
    nano = lambda number: charged[number].nano if number in charged else 0
    sure = sum(nano(number) for number, answer in load.answers.items() if answer.is_good and answer.at < at - SECOND)
    most = sum(charged[number].nano for number in charged if number >= 1 + round * 100_000)
    before = SPENT[-1] if SPENT else 0
    fault = None if before + sure <= saved <= before + most else f"{saved}, expected {before + sure} to {before + most}"
    report.add("kill", "the sum of the budget lacks the last second at most", fault)
    SPENT.append(saved)


def budget(gateway, owner):
    sums = json.loads((gateway.place / ".tidegate" / "budgets.json").read_text())
    return sum(row["spent"] for row in (sums["sums"] if isinstance(sums, dict) else sums) if row["owner"] == owner)


async def used_up(report, gateway, upstream):
    """A budget that is used up before the kill."""
    upstream.plans = {number: Plan(number, "dev", turns=[DEAR]) for number in range(1, 6)}
    caller = Caller(gateway.port)
    answers = [await caller.ask("dev", message(number)) for number in upstream.plans]
    caller.close()
    bad = [answer.status for answer in answers if not answer.is_good]
    report.add("kill", "a budget is used up", f"statuses {bad}" if bad else None)
    await settled(gateway, 5)
    await until("the sum of the budget is on the disk", lambda: budget(gateway, "dev") >= charges.NANO)


async def last(report, gateway):
    """After all kills: the used up budget still refuses, and the other key is served and recorded."""
    caller = Caller(gateway.port)
    refused = await caller.ask("dev", message(90))
    found = (refused.status, refused.error["type"], refused.headers.get("x-should-retry"))
    fault = None if found == (429, "billing_error", "false") else f"{found}: {refused.error}"
    report.add("kill", "a budget that was used up is used up after the kills", fault)
    served = await caller.ask("ci", message(91))
    caller.close()
    report.add("kill", "requests are served after the kills", None if served.is_good else f"{served.status}: {served.body[:200]}")
    await settled(gateway, 2)
