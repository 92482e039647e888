#!/usr/bin/env python3
"""Runs the dashboard in Chromium, before a real gateway with the simulator behind it.

    python3 tests/browser/run.py            starts target/debug/tidegate
    python3 tests/browser/run.py --only requests,editor --screenshots docs/operate/images

Without Node or Chromium the suite is skipped, with the reason; `--require` makes that a failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "clients"))

from install import ROOT, Missing, node_modules, target_dir  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PARTS = ("sign", "pages", "requests", "keys", "playground", "editor", "rows")


def browser():
    """The program of Chromium, or the one that TIDEGATE_CHROMIUM names."""
    named = os.environ.get("TIDEGATE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or not Path(found).exists():
        raise Missing("chromium is missing (apt-get install --no-install-recommends chromium fonts-dejavu-core)")
    return found


def node():
    found = shutil.which("node")
    if found is None:
        raise Missing("node is missing (apt-get install nodejs npm)")
    return found


def binary(options):
    found = Path(options.binary or target_dir() / "debug" / "tidegate").resolve()
    if not found.is_file():
        raise SystemExit(f"there is no {found}: `cargo build` makes it, or name one with --binary")
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the gateway to start (target/debug/tidegate)")
    parser.add_argument("--only", help=f"parts of the suite, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--rows", default="100000", help="the number of exchanges in the large ledger")
    parser.add_argument("--pages", choices=("gateway", "disk"), default="gateway", help="`disk`: those of `dashboard/` as they are now")
    parser.add_argument("--screenshots", metavar="DIR", help="writes the pictures of the docs there")
    parser.add_argument(
        "--require",
        action="store_true",
        default=os.environ.get("TIDEGATE_CLIENTS") == "require",
        help="a suite that cannot run here is a failure (or TIDEGATE_CLIENTS=require)",
    )
    return parser.parse_args()


def command(options, program):
    words = [program, HERE / "suite.mjs", "--binary", binary(options), "--chromium", browser(), "--rows", options.rows]
    words += ["--pages", options.pages]
    if options.only:
        unknown = set(options.only.split(",")) - set(PARTS)
        if unknown:
            raise SystemExit(f"--only: expected some of {', '.join(PARTS)}, found {', '.join(sorted(unknown))}")
        words += ["--only", options.only]
    if options.screenshots:
        words += ["--screenshots", Path(options.screenshots).resolve()]
    return words


def units(program):
    """Whether the tests of the pure modules pass; they need no browser."""
    command = [program, "--test", "--test-reporter=spec", *sorted(HERE.glob("*.test.mjs"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} tests of modules without a browser", flush=True)
    return done.returncode == 0


def main():
    options = arguments()
    try:
        program = node()
        words = command(options, program)
        manifest = node_modules(HERE, "playwright-core/package.json")
    except Missing as error:
        print(f"{'FAIL' if options.require else 'skip'} browser: {error}")
        sys.exit(1 if options.require else 0)
    has_units = bool(options.only) or units(program)
    environment = os.environ | {"TIDEGATE_NODE_MODULES": str(manifest.parents[2])}
    suite = subprocess.run(words, env=environment, cwd=ROOT, check=False).returncode
    sys.exit(0 if has_units and suite == 0 else 1)


if __name__ == "__main__":
    main()
