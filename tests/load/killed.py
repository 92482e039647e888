"""`kill -9` of the gateway under load, and a start on the same folder: at most the last second is missing."""

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
        kills = Kills(report, gateway, upstream)
        try:
            gateway.start()
            await used_up(report, gateway, upstream)
            for round in range(1, options.rounds + 1):
                await kills.kill(round)
            await last(report, gateway)
        finally:
            gateway.stop()


class Kills:
    """Kills of one gateway, one after the other."""

    def __init__(self, report, gateway, upstream):
        self.report, self.gateway, self.upstream = report, gateway, upstream
        # the rows that earlier rounds left, which must stay, and the sum of the budget at the last kill
        self.kept, self.spent = {}, 0

    def check(self, sentence, fault):
        self.report.add("kill", sentence, fault or None)

    async def kill(self, round):
        rows = lambda: self.gateway.metric("tidegate_ledger_written_total")
        before = rows()
        async with Load(self.gateway, size=8, pause=0.005, first=1 + round * 100_000, sessions=True) as load:
            await load.more(200)
            await until("rows are written", lambda: rows() > before + 100)
            written = rows() - before
            self.gateway.kill()
            at = time.time()
            load.is_over = True
        good = {f"e{number}": answer.at for number, answer in load.answers.items() if answer.is_good}
        kept = dict(self.gateway.rows("SELECT session, cost_nano FROM exchange WHERE session LIKE 'e%'"))
        lost = {session: when for session, when in good.items() if session not in kept}
        old = sum(when < at - SECOND for when in lost.values())
        self.check("only rows of the last second are lost", f"{old} of {len(lost)} lost are older" if old else None)
        new = len(kept) - len(self.kept)
        self.check(
            "no row is lost that counted as written", f"{new} rows, {written} written" if new < written else None
        )
        gone = len(self.kept.keys() - kept.keys())
        self.check("rows of earlier rounds are there", f"{gone} are missing" if gone else None)
        self.kept = kept
        self.intact()
        self.money(load, at, round)
        self.gateway.start()
        oldest = max((at - when for when in lost.values()), default=0) * 1000
        print(
            f"     kill {round}: {len(good)} whole answers, {len(lost)} rows lost, ended up to {oldest:.0f} ms before",
            flush=True,
        )

    def intact(self):
        """The file, and the sums that are written with the rows."""
        state = self.gateway.rows("PRAGMA integrity_check")[0][0]
        self.check("the database is intact", None if state == "ok" else state)
        (count, nano), total = (
            self.gateway.rows("SELECT count(*), sum(cost_nano) FROM exchange")[0],
            self.gateway.ledger()["total"],
        )
        found, expected = (total["requests"], total["cost_usd"]), (count, charges.text(nano))
        self.check("the sums are those of the rows", None if found == expected else f"{found}, rows {expected}")

    def money(self, load, at, round):
        """The sum of the budget: everything that ended before the last second, and no more than was spent."""
        found, charged = self.gateway.budget("ci"), self.upstream.charged()
        sure = {number for number, answer in load.answers.items() if answer.is_good and answer.at < at - SECOND}
        most = {number for number in charged if number > round * 100_000}
        least, limit = (self.spent + sum(charged[number].nano for number in numbers) for numbers in (sure, most))
        fault = None if least <= found <= limit else f"{found}, expected {least} to {limit}"
        self.check("the sum of the budget lacks the last second at most", fault)
        self.spent = found


async def used_up(report, gateway, upstream):
    """A budget that is used up before the kill."""
    upstream.plans = {number: Plan(number, "dev", turns=[DEAR]) for number in range(1, 6)}
    caller = Caller(gateway.port)
    answers = [await caller.ask("dev", message(number)) for number in upstream.plans]
    caller.close()
    bad = [answer.status for answer in answers if not answer.is_good]
    report.add("kill", "a budget is used up", f"statuses {bad}" if bad else None)
    await settled(gateway, 5)
    await until("the sum of the budget is on the disk", lambda: gateway.budget("dev") >= charges.NANO)


async def last(report, gateway):
    """After all kills: the used up budget still refuses, and the other key is served and recorded."""
    caller = Caller(gateway.port)
    refused = await caller.ask("dev", message(90))
    found = (refused.status, refused.error["type"], refused.headers.get("x-should-retry"))
    fault = None if found == (429, "billing_error", "false") else f"{found}: {refused.error}"
    report.add("kill", "a budget that was used up is used up after the kills", fault)
    served = await caller.ask("ci", message(91))
    caller.close()
    report.add(
        "kill",
        "requests are served after the kills",
        None if served.is_good else f"{served.status}: {served.body[:200]}",
    )
    await settled(gateway, 2)
