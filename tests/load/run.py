#!/usr/bin/env python3
"""Puts a gateway under load, breaks what it depends on, and compares its records with those of its surroundings.

    python3 tests/load/run.py                              every suite in its small form, with target/debug/tidegate
    python3 tests/load/run.py --only book --exchanges 10000
    python3 tests/load/run.py --binary PATH --only redis --verbose

A suite whose tools are missing here is skipped, with the reason; `--require` makes that a failure.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "upstreams"), str(HERE.parent / "clients")]

import book
import clock
import database
import full
import killed
import reloads
import rolling
import shared
from gateways import Broken
from install import ROOT, Missing, target_dir
from report import Report

SUITES = {
    "book": book.suite,
    "redis": shared.suite,
    "postgres": database.suite,
    "kill": killed.suite,
    "full": full.suite,
    "reload": reloads.suite,
    "rolling": rolling.suite,
    "clock": clock.suite,
}


def share_cache(home):
    """Compiled plugins are known by content: the gateways of all suites share them."""
    compiled = target_dir() / "clients" / "compiled"
    compiled.mkdir(parents=True, exist_ok=True)
    (home / ".tidegate").mkdir(parents=True, exist_ok=True)
    (home / ".tidegate" / "cache").symlink_to(compiled)


def guarded(report, name, options, place):
    """Runs a suite; one that cannot run here is skipped, one that breaks is a failure."""
    print(f"---- {name}", flush=True)
    begun = time.monotonic()
    place.mkdir()
    try:
        asyncio.run(asyncio.wait_for(SUITES[name](report, options, place), options.patience))
    except Missing as error:
        if options.require:
            report.add(name, "the suite can run", error)
        else:
            report.skip(name, error)
    except (AssertionError, Broken, subprocess.SubprocessError, OSError) as error:
        report.add(name, "the suite runs to its end", f"{type(error).__name__}: {error}")
    print(f"     {name}: {time.monotonic() - begun:.1f} s", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--binary", type=Path, default=target_dir() / "debug" / "tidegate", help="the gateway (target/debug/tidegate)")
    add("--only", action="append", choices=list(SUITES), metavar="NAME", help=f"this suite: {', '.join(SUITES)}")
    add("--plugins", type=Path, default=ROOT / "plugins", help="the folder with datetime.wasm (plugins)")
    add("--exchanges", type=int, default=2000, help="exchanges of `book` (2000)")
    add("--seed", type=int, default=15, help="the seed of the exchanges of `book` (15)")
    add("--callers", type=int, default=16, help="callers at the same time (16)")
    add("--rounds", type=int, default=3, help="kills of `kill`, faults of `redis` and `postgres` (3)")
    add("--reloads", type=int, default=40, help="reloads of `reload` (40)")
    add("--patience", type=float, default=900, help="the longest time of a suite in seconds (900)")
    add(
        "--require",
        action="store_true",
        default=os.environ.get("TIDEGATE_CLIENTS") == "require",
        help="a suite that cannot run here is a failure (or TIDEGATE_CLIENTS=require)",
    )
    add("--verbose", action="store_true", help="the checks that pass as well")
    return parser.parse_args()


def main():
    options = arguments()
    options.binary, options.plugins = options.binary.resolve(), options.plugins.resolve()
    options.share_cache = share_cache
    if not options.binary.is_file():
        raise SystemExit(f"there is no {options.binary}: `cargo build` makes it, or name one with --binary")
    report = Report("load", options.verbose)
    with tempfile.TemporaryDirectory(prefix="tidegate-load-") as place:
        for name in options.only or SUITES:
            guarded(report, name, options, Path(place) / name)
    sys.exit(report.end())


if __name__ == "__main__":
    main()
