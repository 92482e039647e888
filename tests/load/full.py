"""A full disk, and a full file: requests go on, losses are counted, and rows are written again when there is room."""

import contextlib
import os
import subprocess

import setting
from callers import Load, crowd, message
from process import settled, until
from upstream import Upstream

DROPPED = "tidegate_ledger_dropped_total"
WRITTEN = "tidegate_ledger_written_total"
DISK = "16m"
FILE = 8 << 20


async def suite(report, options, place):
    async with Upstream() as upstream:
        with small_disk(place / "disk") as disk:
            await full_disk(report, options, place, upstream, disk)
        await full_file(report, options, place, upstream)


@contextlib.contextmanager
def small_disk(place):
    """A file system in memory; `None` if this user may not make one."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", place], capture_output=True)
    try:
        yield place if done.returncode == 0 else None
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", place], check=True, timeout=60)


async def full_disk(report, options, place, upstream, disk):
    if disk is None:
        return report.skip("full", "a full disk: only root can mount a small one")
    ledger = {"url": f"sqlite:{disk}/ledger.sqlite", "queue": {"entries": 100}}
    with setting.gateway(options, place / "on-disk", upstream, ledger=ledger) as gateway:
        async with Load(gateway, size=4, pause=0.005) as load:
            await load.more(100)
            fill(disk / "filler")
            await until("rows are dropped", lambda: gateway.metric(DROPPED) > 20)
            await load.more(50)
            dropped = gateway.metric(DROPPED)
            (disk / "filler").unlink()
            written = gateway.metric(WRITTEN)
            await until("rows are written again", lambda: gateway.metric(WRITTEN) > written + 100)
        report.add("full", "no request fails while the disk is full", load.failed())
        report.add("full", "exchanges without a row are counted", None if dropped > 20 else f"{dropped}")
        sent = len(load.answers)
        await settled(gateway, sent)
        rows, dropped = gateway.ledger()["total"]["requests"], int(gateway.metric(DROPPED))
        fault = None if rows + dropped == sent else f"{rows} rows and {dropped} dropped of {sent}"
        report.add("full", "each exchange is a row or counted as dropped", fault)
        state = gateway.rows("PRAGMA integrity_check", disk / "ledger.sqlite")[0][0]
        report.add("full", "the database is intact", None if state == "ok" else state)
        print(f"     full, a disk of {DISK}: {sent} exchanges, {rows} rows, {dropped} dropped and counted", flush=True)


def fill(path):
    """Takes the rest of a disk."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def tags(number):
    """Many long tags, so that a few hundred rows fill a file."""
    text = f"{number}-".ljust(200, "x")
    return ",".join(f"t{n}={text}{n}" for n in range(12))


async def full_file(report, options, place, upstream):
    """A file at `max_size`: the oldest rows go."""
    ledger = {"max_size": "8MiB"}
    with setting.gateway(options, place / "in-file", upstream, ledger=ledger) as gateway:
        sent = 0

        def piece(number):
            return lambda caller: caller.ask(
                "ci", message(number), headers=[f"x-tidegate-session-id: e{number}", f"x-tidegate-tags: {tags(number)}"]
            )

        # portions, until the first rows are gone
        while sent < 20_000:
            answers = await crowd(gateway.port, [piece(sent + n) for n in range(1, 201)], options.callers)
            sent += 200
            bad = [answer for answer in answers if not answer.is_good]
            if bad:
                return report.add(
                    "full", "no request fails while the file is full", f"{bad[0].status} {bad[0].body[:200]}"
                )
            await settled(gateway, sent)
            if gateway.rows("SELECT count(*) FROM exchange")[0][0] < sent:
                break
        report.add("full", "no request fails while the file is full")
        await until("the file has room again", lambda: used(gateway) <= FILE * 9 // 10)
        kept = sorted(int(row[0][1:]) for row in gateway.rows("SELECT session FROM exchange"))
        fault = None if 0 < len(kept) < sent else f"{len(kept)} rows of {sent}"
        report.add("full", "the oldest rows make room", fault)
        # callers work side by side, so neighbours may end in another order
        newest = set(range(sent - len(kept) + 1 + 2 * options.callers, sent + 1))
        report.add(
            "full",
            "the newest rows are kept",
            f"{sorted(newest - set(kept))[:5]} are gone" if newest - set(kept) else None,
        )
        lost = gateway.metric(DROPPED)
        report.add("full", "no exchange is dropped", f"{lost} were" if lost else None)
        size = os.path.getsize(gateway.place / ".tidegate" / "ledger.sqlite")
        report.add("full", "the file stays below `max_size`", f"{size}" if size > FILE else None)
        print(
            f"     full, a file of 8 MiB: {sent} exchanges, the newest {len(kept)} kept, {size / (1 << 20):.1f} MiB",
            flush=True,
        )


def used(gateway):
    pages, free = (gateway.rows(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count"))
    return (pages - free) * 4096
