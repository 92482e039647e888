"""Reloads of config and policies under load, bad ones among them: no request fails, and memory stays at its level."""

import asyncio
import time

import setting
from callers import Load
from process import Gateway, until
from upstream import Upstream

POLICY = '// version {number}\nfn on_request(request, ctx) {{ tag("version", "{version}"); }}\n'
WARM = 20
MOST_MIB = 10
REST = 60
# samples half a second apart that must be equal
LEVEL = 6


async def suite(report, options, place):
    async with Upstream() as upstream:
        home = setting.home(options, place / "gateway")
        (home / "policies").mkdir()
        (home / "policies" / "versions.rhai").write_text(POLICY.format(number=0, version=0))
        with Gateway(options.binary, home, setting.config(upstream)) as gateway:
            reloads = Reloads(gateway, upstream)
            async with Load(gateway, size=4, pause=0.005) as load:
                await reloads.run(WARM)
            failed = load.failed()
            idle = await at_rest(gateway)
            async with Load(gateway, size=4, pause=0.005) as load:
                await reloads.run(options.reloads)
            report.add("reload", "no request fails during reloads", failed or load.failed())
            counts = {
                result: gateway.metric("tidegate_config_reloads_total", result=result) for result in ("ok", "error")
            }
            fault = None if counts["ok"] == reloads.good + 1 and counts["error"] >= reloads.bad else f"{counts}"
            report.add("reload", "each change is a reload, and each mistake a failed one", fault)
            rest = await at_rest(gateway, idle + MOST_MIB)
            fault = None if rest <= idle + MOST_MIB else f"{rest:.1f} MiB, idle before: {idle:.1f} MiB"
            report.add("reload", f"after a rest memory is within {MOST_MIB} MiB of idle", fault)
            print(
                f"     reload: {reloads.good} good and {reloads.bad} bad reloads, {len(load.answers)} exchanges "
                f"beside the last {options.reloads}; idle {idle:.1f} MiB, at the end {rest:.1f} MiB",
                flush=True,
            )


class Reloads:
    """Changes of config and policy in turns; each is awaited."""

    def __init__(self, gateway, upstream):
        self.gateway, self.upstream = gateway, upstream
        self.number, self.good, self.bad = 0, 0, 0

    async def run(self, count):
        for _ in range(count):
            self.number += 1
            if self.number % 10 == 0:
                await self.mistake()
            else:
                self.change()
                self.good += 1
                await self.counted("ok", self.good + 1)

    def change(self):
        if self.number % 2:
            self.policy(POLICY.format(number=self.number, version=self.number % 7))
        else:
            models = {
                "large": {"targets": [{"provider": "first", "model": "book-large"}], "cooldown": f"{self.number}s"}
            }
            self.gateway.configure(setting.config(self.upstream, models=models))

    def policy(self, text):
        new = self.gateway.place / ".new"
        new.write_text(text)
        new.rename(self.gateway.place / "policies" / "versions.rhai")

    async def mistake(self):
        """A policy that does not compile: the last good generation serves on. The next change mends it."""
        failed = self.gateway.metric("tidegate_config_reloads_total", result="error")
        self.policy(f"// version {self.number}\nfn on_request(request, ctx) {{")
        self.bad += 1
        await self.counted("error", failed + 1)

    async def counted(self, result, wanted):
        await until(
            f"{wanted} reloads are `{result}`",
            lambda: self.gateway.metric("tidegate_config_reloads_total", result=result) >= wanted,
        )


async def at_rest(gateway, most=0):
    """Resident memory once nothing is under way: when it stays the same or is at most `most`, or after a minute."""
    await until(
        "no request and no old generation is left",
        lambda: gateway.metric("tidegate_active_requests") == 0 and gateway.metric("tidegate_generations_live") == 1,
    )
    deadline, seen = time.monotonic() + REST, []
    while time.monotonic() < deadline:
        seen.append(gateway.resident())
        is_level = len(seen) >= LEVEL and max(seen[-LEVEL:]) - min(seen[-LEVEL:]) < 0.1
        if seen[-1] <= most or (is_level and not most):
            break
        await asyncio.sleep(0.5)
    return seen[-1]
