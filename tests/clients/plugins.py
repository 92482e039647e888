#!/usr/bin/env python3
"""Builds plugins in Rust, Python and JavaScript as a stranger would, and lets a model call them through a gateway.

    python3 tests/clients/plugins.py                           with target/debug/tidegate
    python3 tests/clients/plugins.py --only python --verbose

Each language: `tidegate plugin new`, its native test, `plugin build`, `inspect`, `call`; then the example of
`examples/plugins` is built, and called by the simulator through `tidegate serve`. The examples' components stay in
`target/foreign`, where the integration tests run them again. `page` runs `docs/plugins/first-tool.md`, command by
command, and the code of `docs/plugins/python-and-javascript.md`. A language whose tools are missing here is skipped, with the
reason; `--require` makes that a failure.

Languages run beside each other. To build a component of Python or JavaScript takes half a minute of a core: one is taken
from `target/foreign` if nothing has changed of what it is made of, or of what makes it; `--fresh` builds it in any case.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gateway as gateways
from install import DONE, ROOT, Missing, place_of, run, target_dir, virtualenv

EXAMPLES = ROOT / "examples" / "plugins"
BUILT = ROOT / "target" / "foreign"
# what makes components of Python and JavaScript, of the repository: a change of it builds them anew
MAKERS = ["builder", "sdk/wit", "src/cli/plugin_build.rs"]
# the first build of a Rust project on a slow machine
PATIENCE = 600

CONFIG = """\
listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:{admin} }}
providers:
  sim: {{ type: simulator }}
models:
  "*": {{ provider: sim }}
plugins: {{ dir: plugins }}
"""


class Failed(Exception):
    """A check; the text says what was seen."""


class Rust:
    # cargo knows by itself what it has built
    is_kept = False
    test = ["cargo", "test", "--quiet"]
    example = ("checksum", {"text": "Tidegate"}, "f1b8d99a")

    def path(self):
        if shutil.which("cargo") is None:
            raise Missing("cargo is missing (https://rustup.rs)")
        return []

    def prepare(self, project):
        # the versions that the plugins of the repository are built with, which are here already
        shutil.copy(ROOT / "plugins" / "Cargo.lock", project)


class Python:
    is_kept = True
    test = [sys.executable, "-m", "unittest"]
    example = ("roman", {"number": 1994}, "MCMXCIV")

    def path(self):
        return [virtualenv(EXAMPLES / "python" / "requirements.txt").parent]

    def prepare(self, project):
        pass


class JavaScript:
    is_kept = True
    test = ["node", "--test"]
    example = ("units", {"value": 5, "from": "km", "to": "mi"}, '{"value":3.107,"unit":"mi"}')

    def path(self):
        if shutil.which("node") is None:
            raise Missing("node is missing (apt-get install nodejs npm)")
        return [componentize_js()]

    def prepare(self, project):
        pass


def componentize_js():
    """The folder of its program, as the example's README installs it.

    There is no lock file: its optional packages are not in every registry, and `npm ci` then refuses.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is missing (apt-get install npm)")
    manifest = EXAMPLES / "js" / "package.json"
    place, is_there = place_of("componentize-js", [manifest], sys.platform)
    if not is_there:
        place.mkdir(parents=True)
        shutil.copy(manifest, place)
        install = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
        run(install, "npm could not install it (no package registry?)", cwd=place)
        (place / DONE).touch()
    return place / "node_modules" / ".bin"


LANGUAGES = {"rust": Rust(), "python": Python(), "js": JavaScript(), "page": Rust()}
# those of one lane follow each other: cargo has one build directory
LANES = [["python"], ["js"], ["rust", "page"]]
# what lies in a project's folder and is no part of it
LEFT_OUT = {".tidegate", "__pycache__", "node_modules", "target", ".venv"}


class Run:
    """One language's checks in a folder of its own."""

    def __init__(self, binary, name, place, options):
        self.binary, self.name, self.place = binary, name, place
        self.is_verbose, self.is_fresh = options.verbose, options.fresh
        self.language = LANGUAGES[name]
        # a build directory of another project would be neither found nor wanted
        kept = {key: value for key, value in os.environ.items() if key != "CARGO_TARGET_DIR"}
        found = [str(path) for path in self.language.path()]
        path = os.pathsep.join([*found, kept["PATH"]])
        # what strangers compile once is compiled once here, too
        self.environment = {**kept, "PATH": path, "CARGO_BUILD_TARGET_DIR": str(BUILT / "build")}
        self.toolchain = found
        (place / "plugins").mkdir()
        # `call` and `serve` compile once between them
        for home in (place, place / "plugins"):
            self.share_compiled(home)

    def share_compiled(self, home):
        compiled = BUILT / "compiled"
        compiled.mkdir(parents=True, exist_ok=True)
        (home / ".tidegate").mkdir()
        (home / ".tidegate" / "cache").symlink_to(compiled)

    def checks(self):
        """What is checked, as pairs of a sentence and a function."""
        yield "a new project passes its native test", self.new
        yield "a new project becomes a component that tells what it is", self.build
        yield "its tool runs by hand, and refuses what its options do not allow", self.call
        yield "the example passes its native test and becomes a component", self.example
        yield "a model calls the example through the gateway", self.serve

    def do(self, *command, cwd=None, fails=False):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.place,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if self.is_verbose:
            sys.stderr.write(done.stdout + done.stderr)
        if (done.returncode != 0) != fails:
            raise Failed(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-600:]}")
        return done.stderr if fails else done.stdout

    def tidegate(self, *arguments, **options):
        return self.do(self.binary, "plugin", *arguments, **options)

    def tell(self, what):
        print(f"     plugin-{self.name}: {what}", flush=True)

    def built(self, project, name):
        """The component of this project, in the folder of plugins; from an earlier run if it would be the same."""
        kept, here = BUILT / f"{name}.wasm", self.place / "plugins" / f"{name.removesuffix(f'-{self.name}')}.wasm"
        mark, now = BUILT / f"{name}.made-of", self.made_of(project)
        if self.language.is_kept and not self.is_fresh and kept.is_file() and mark.is_file() and mark.read_text() == now:
            self.tell(f"{kept.name} is there, and nothing has changed")
        else:
            mark.unlink(missing_ok=True)
            self.tell(self.tidegate("build", project, "--out", kept).splitlines()[-1])
            mark.write_text(now)
        shutil.copy(kept, here)

    def made_of(self, project):
        """A digest over a project, its toolchain, and what builds it."""
        # which versions npm has installed: its packages have no lock file
        files = [Path(folder).parent / ".package-lock.json" for folder in self.toolchain]
        for place in (project, *(ROOT / maker for maker in MAKERS)):
            found = [place] if place.is_file() else sorted(place.rglob("*"))
            files += [path for path in found if not LEFT_OUT & set(path.relative_to(place).parts)]
        digest = hashlib.sha256(" ".join(self.toolchain).encode())
        for file in filter(Path.is_file, files):
            digest.update(f"\n{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
        return digest.hexdigest()

    def new(self):
        self.tidegate("new", "dice", "--lang", self.name)
        self.language.prepare(self.place / "dice")
        self.share_compiled(self.place / "dice")
        self.do(*self.language.test, cwd=self.place / "dice")

    def build(self):
        self.built(self.place / "dice", f"dice-{self.name}")
        shown = self.tidegate("inspect", "plugins/dice.wasm")
        expect(shown, "dice 0.1.0", "gateway:dice  Throws a die", "input    sides: integer", "options  max_sides?: integer")
        if "was run to read it" in shown:
            raise Failed(f"there is no manifest in it:\n{shown}")

    def call(self):
        dice = ["call", "plugins/dice.wasm", "dice"]
        begun = time.monotonic()
        thrown = [int(self.tidegate(*dice, '{"sides": 6}')) for _ in range(2)]
        if not all(1 <= number <= 6 for number in thrown):
            raise Failed(f"a die of six sides shows {thrown}")
        self.tell(f"two calls: {time.monotonic() - begun:.1f} s")
        told = self.tidegate(*dice, '{"sides": 9}', "--options", '{"max_sides": 6}', fails=True)
        expect(told, "invalid_input: `sides` must be from 1 to 6")

    def example(self):
        tool, given, result = self.language.example
        self.do(*self.language.test, cwd=EXAMPLES / self.name)
        self.built(EXAMPLES / self.name, tool)
        told = self.tidegate("call", f"plugins/{tool}.wasm", tool, json.dumps(given)).strip()
        if told != result:
            raise Failed(f"`{told}` instead of `{result}`")

    def serve(self):
        tool, given, result = self.language.example
        with self.served() as url:
            for is_streamed in (False, True):
                told = asked(url, tool, given, is_streamed)
                if result not in told.replace("\\", ""):
                    raise Failed(f"`{result}` is not in {told}")

    @contextmanager
    def served(self):
        port, admin = gateways.free_ports(2)
        (self.place / "tidegate.yaml").write_text(CONFIG.format(port=port, admin=admin))
        with serving(self.binary, self.place, admin, self.environment):
            yield f"http://127.0.0.1:{port}/v1/messages"


@contextmanager
def serving(binary, place, admin, environment):
    """A gateway with the config in a folder, while it is needed."""
    log = place / "log"
    with log.open("wb") as out:
        child = subprocess.Popen([binary, "serve"], cwd=place, stdout=out, stderr=out, env=environment)
    try:
        gateways.wait_until_ready(child, f"http://127.0.0.1:{admin}/readyz", log)
        yield
    finally:
        child.terminate()
        child.wait(timeout=60)


class Page(Run):
    """The pages for authors of plugins, command by command."""

    def __init__(self, binary, name, place, options):
        super().__init__(binary, name, place, options)
        programs = place / "bin"
        programs.mkdir()
        (programs / "tidegate").symlink_to(binary)
        self.environment["PATH"] = os.pathsep.join([str(programs), self.environment["PATH"]])
        pages = ROOT / "docs" / "plugins"
        self.text = (pages / "first-tool.md").read_text()
        self.other = (pages / "python-and-javascript.md").read_text()

    def checks(self):
        yield "what a stranger does in ten minutes goes as the page says", self.walk
        yield "the page's plugin in Python does what it says", self.python
        yield "the page's plugin in JavaScript does what it says", self.javascript

    def walk(self):
        port, admin = gateways.free_ports(2)
        where, told, begun = self.place, None, time.monotonic()
        shown = 0
        with ExitStack() as stack:
            for info, block in blocks(self.text):
                block = block.replace("4000", str(port)).replace("4001", str(admin))
                kind, _, file = info.rpartition(" ") if info.startswith("yaml") else (info, "", "")
                if file:
                    (where / file).write_text(block)
                elif block.startswith("tidegate serve"):
                    stack.enter_context(serving(self.binary, where, admin, self.environment))
                elif kind == "sh":
                    told = self.do("bash", "-ec", f"exec 2>&1\n{block}\npwd > {self.place}/where", cwd=where)
                    where = Path((self.place / "where").read_text().strip())
                elif kind == "text":
                    if not sizeless(told).endswith(sizeless(block)):
                        raise Failed(f"the page says\n{block}and the commands\n{told}")
                    shown += 1
                elif kind == "json":
                    if not holds(json.loads(told), json.loads(block)):
                        raise Failed(f"the page says\n{block}and the gateway\n{told}")
                    shown += 1
        if shown < 4:
            raise Failed("the examples are gone")
        self.tell(f"all of it: {time.monotonic() - begun:.0f} s")

    def code(self, language):
        code = [block for info, block in blocks(self.other) if info == language]
        if len(code) != 1:
            raise Failed(f"{len(code)} blocks of `{language}`")
        return code[0]

    def python(self):
        place = self.place / "python"
        place.mkdir()
        shutil.copy(ROOT / "sdk" / "python" / "tidegate.py", place)
        (place / "app.py").write_text(self.code("python"))
        (place / "check.py").write_text(
            "from app import plugin\nfrom tidegate import MockHost, Problem, Response\n"
            "host = MockHost(on_fetch=lambda method, url: Response(200, b'{\"sky\": \"clear\"}'))\n"
            "assert host.call_tool(plugin, 'weather', {'city': 'Oslo'}) == 'clear'\n"
            "body = {'stream': True}\nassert host.on_request(plugin, body) == ('next',) and body == {}\n"
        )
        self.do(sys.executable, "check.py", cwd=place)

    def javascript(self):
        if shutil.which("node") is None:
            raise Missing("node is missing (apt-get install nodejs npm)")
        place = self.place / "js"
        place.mkdir()
        shutil.copy(ROOT / "sdk" / "js" / "tidegate.js", place)
        (place / "package.json").write_text('{"type": "module"}')
        (place / "plugin.js").write_text(self.code("js"))
        (place / "check.js").write_text(
            'import assert from "node:assert/strict";\nimport plugin from "./plugin.js";\n'
            'import { MockHost } from "./tidegate.js";\n'
            "const onFetch = () => ({ status: 200, body: new TextEncoder().encode('{\"sky\": \"clear\"}') });\n"
            'const host = new MockHost({ onFetch, context: { key: "guest" } });\n'
            'assert.equal(host.callTool(plugin, "weather", { city: "Oslo" }), "clear");\n'
            "assert.equal(host.onRequest(plugin, {}).val.status, 403);\n"
        )
        self.do("node", "check.js", cwd=place)


def blocks(page):
    """The fenced blocks, as pairs of what stands behind the fence and what is in it."""
    return re.findall(r"^```(\S[^\n]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def sizeless(text):
    return re.sub(r"\d+ KiB", "N KiB", text).strip()


def holds(found, expected):
    """Whether what is found has at least what is expected."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and holds(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(holds, found, expected))
    return found == expected


def asked(url, tool, given, is_streamed):
    """All that comes back when the simulator is told to call a tool."""
    body = {
        "model": "sim",
        "max_tokens": 400,
        "stream": is_streamed,
        "tools": [{"type": f"gateway:{tool}"}],
        "messages": [{"role": "user", "content": f"[sim: call {tool} {json.dumps(given)}]"}],
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def expect(text, *parts):
    for part in parts:
        if part not in text:
            raise Failed(f"no `{part}` in:\n{text}")


def run_language(binary, name, options):
    counts = Counter()

    def tell(outcome, what):
        counts[outcome] += 1
        print(f"{outcome:4} plugin-{name}: {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="tidegate-plugins-") as place:
        try:
            kind = Page if name == "page" else Run
            run = kind(binary, name, Path(place), options)
        except Missing as error:
            tell("FAIL" if options.require else "skip", error)
            return counts
        for what, check in run.checks():
            try:
                check()
            except Missing as error:
                tell("FAIL" if options.require else "skip", error)
                continue
            except (Failed, OSError, SystemExit, subprocess.TimeoutExpired) as error:
                tell("FAIL", f"{what}: {error}")
                break  # each rests on those before it
            tell("ok", what)
    return counts


def run_lane(binary, lane, options):
    counts = Counter()
    for name in lane:
        if name in (options.only or LANGUAGES):
            counts += run_language(binary, name, options)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the gateway to use (target/debug/tidegate)")
    parser.add_argument("--only", action="append", choices=LANGUAGES, help="this language; may be repeated")
    is_required = os.environ.get("TIDEGATE_CLIENTS") == "require"
    parser.add_argument("--require", action="store_true", default=is_required, help="what is missing is a failure")
    parser.add_argument("--fresh", action="store_true", help="build what has not changed, too")
    parser.add_argument("--verbose", action="store_true", help="what the commands print as well")
    options = parser.parse_args()
    binary = Path(options.binary or target_dir() / "debug" / "tidegate").absolute()
    if not binary.is_file():
        raise SystemExit(f"there is no {binary}: `cargo build` makes it, or name one with --binary")
    counts = Counter()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for count in threads.map(lambda lane: run_lane(binary, lane, options), LANES):
            counts += count
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    sys.exit(1 if counts["FAIL"] else 0)


if __name__ == "__main__":
    main()
