"""The ledger in PostgreSQL while the server is killed, hangs, and comes back: each row is there or counted."""

import asyncio
from itertools import cycle, islice

import charges
import setting
from callers import Load
from process import settled, until
from servers import Postgres
from upstream import Upstream

FAILURES = "tidegate_ledger_failures_total"
DROPPED = "tidegate_ledger_dropped_total"


async def suite(report, options, place):
    with Postgres(place / "server") as server:
        async with Upstream() as upstream:
            ledger = {"url": server.url}
            with setting.gateway(options, place / "whole", upstream, ledger=ledger) as gateway:
                await faults(report, options, server, gateway, upstream)
            server.query("TRUNCATE exchange, quarter CASCADE")
            ledger = {"url": server.url, "queue": {"entries": 50}}
            with setting.gateway(options, place / "bounded", upstream, ledger=ledger) as gateway:
                await bounded(report, server, gateway)


async def faults(report, options, server, gateway, upstream):
    """Kill, hang, loss of the connection, in turns, under load."""
    upstream.book.clear()
    async with Load(gateway, size=4, pause=0.01) as load:
        await load.more(50)
        for fault in islice(cycle((killed, hung, cut)), options.rounds):
            await fault(server, gateway, load)
            await load.more(50)
    report.add("postgres", "no request fails while the database is killed, hangs, or loses connections", load.failed())
    sent = len(load.answers)
    await settled(gateway, sent)
    dropped = gateway.metric(DROPPED)
    report.add("postgres", "no row is dropped within the bounds of the queue", f"{dropped} were" if dropped else None)
    compare(report, server, gateway, upstream, sent)
    print(
        f"     postgres: {sent} exchanges, {gateway.metric(FAILURES)} failed writes, {options.rounds} faults",
        flush=True,
    )


def compare(report, server, gateway, upstream, sent):
    rows, ids, cost = server.query("SELECT count(*), count(DISTINCT request_id), sum(cost_nano) FROM exchange").split(
        "|"
    )
    fault = None if int(rows) == int(ids) == sent else f"{rows} rows, {ids} ids, {sent} exchanges"
    report.add("postgres", "each exchange is one row", fault)
    book = sum(charged.nano for charged in upstream.charged().values())
    report.add(
        "postgres",
        "the cost of the rows equals the book",
        None if int(cost) == book else f"{cost}, the book has {book}",
    )
    total = gateway.ledger()["total"]
    found = (total["requests"], total["cost_usd"])
    expected = (sent, charges.text(book))
    report.add(
        "postgres", "the sums equal the book", None if found == expected else f"{found}, the book has {expected}"
    )


async def failed_more(gateway, load):
    """Waits for a failed write, with requests going on."""
    before = gateway.metric(FAILURES)
    await until("a write of the ledger fails", lambda: gateway.metric(FAILURES) > before)
    await load.more(50)


async def killed(server, gateway, load):
    server.kill()
    await failed_more(gateway, load)
    await asyncio.to_thread(server.start)


async def hung(server, gateway, load):
    server.pause()
    try:
        await failed_more(gateway, load)
    finally:
        server.resume()


async def cut(server, gateway, load):
    """Ends the gateway's connection on the server's side."""
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'tidegate'"
    before = gateway.metric(FAILURES)

    def is_cut():
        server.query(end)
        return gateway.metric(FAILURES) > before

    await until("the gateway misses its connection", is_cut)
    await load.more(50)


async def bounded(report, server, gateway):
    """Beyond the bounds of the queue rows are dropped and counted, requests are not."""
    async with Load(gateway, size=4, pause=0.005) as load:
        await load.more(30)
        server.kill()
        await until("rows are dropped", lambda: gateway.metric(DROPPED) > 20)
        await load.more(30)
        await asyncio.to_thread(server.start)
        written = gateway.metric("tidegate_ledger_written_total")
        await until("rows are written again", lambda: gateway.metric("tidegate_ledger_written_total") > written + 50)
    report.add("postgres", "no request fails while rows are dropped", load.failed())
    sent = len(load.answers)
    await settled(gateway, sent)
    rows, dropped = int(server.query("SELECT count(*) FROM exchange")), int(gateway.metric(DROPPED))
    fault = None if rows + dropped == sent else f"{rows} rows and {dropped} dropped of {sent}"
    report.add("postgres", "each exchange is a row or counted as dropped", fault)
    print(f"     postgres, a queue of 50: {sent} exchanges, {rows} rows, {dropped} dropped and counted", flush=True)
