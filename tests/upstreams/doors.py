"""The doors that the suites of real clients go through: a provider each, and the directed model behind it."""

import itertools
import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gateways
from install import ROOT, target_dir

HERE = Path(__file__).resolve().parent
CLAUDE = "anthropic.claude-sonnet-5-"
# a door: the provider of `make_config.py`, and how the model's name begins
DOORS = {
    "chat-openai": ("chat-openai", ""),
    "vllm": ("chat-vllm", ""),
    "openrouter": ("chat-openrouter", ""),
    "deepseek": ("chat-deepseek", ""),
    "responses": ("responses", ""),
    "gemini": ("gemini", "gemini-3.5-flash-"),
    "gemini-vertex": ("gemini-vertex", "gemini-3.5-flash-"),
    "bedrock": ("bedrock", CLAUDE),
    "bedrock-mantle": ("bedrock-mantle", CLAUDE),
    "vertex": ("vertex", "claude-sonnet-5-"),
    "foundry": ("foundry", "claude-sonnet-5-"),
}
FAMILIES = ("chat", "responses", "gemini", "bedrock", "vertex", "foundry")


@dataclass
class Target:
    """One directed model. Its scenario's name is unique, so the log of the fakes can be read by it."""

    door: str
    scenario: str

    def config(self):
        provider, prefix = DOORS[self.door]
        return {"provider": provider, "model": f"{prefix}scenario-{self.scenario}"}


class Stage:
    """The fakes, and gateways in front of them."""

    def __init__(self, binary, place, url, providers):
        self.binary, self.place, self.url, self.providers = binary, place, url, providers
        self.numbers = itertools.count(1)
        # compiled plugins are known by content: what has not changed is not compiled again
        self.compiled = target_dir() / "clients" / "compiled"
        self.compiled.mkdir(parents=True, exist_ok=True)

    def target(self, door, fault=""):
        """`fault`: `529-3` is dead with this status from its third request on, `cut-3` closes its streams."""
        return Target(door, f"directed{'-' if fault else ''}{fault}-run{next(self.numbers)}")

    @contextmanager
    def gateway(self, name, targets, alias="*", strictness="warn", **more):
        """A gateway with this alias of these targets, and the bundled plugins; its address and its folder."""
        place = self.place / name
        place.mkdir()
        (place / ".tidegate").symlink_to(self.compiled)
        found = [target.config() for target in targets]
        config = {
            "providers": {one["provider"]: self.providers[one["provider"]] for one in found},
            "models": {alias: {"targets": found, "strictness": strictness}},
            "plugins": {"dir": str(ROOT / "plugins")},
            **more,
        }
        with gateways.gateway(self.binary, place, config) as url:
            yield url, place

    def seen(self, log, target):
        """The requests of a log that reached this target."""
        return [entry for entry in log if entry["scenario"] == target.scenario]


@contextmanager
def stage(binary, place, sdks):
    """Starts the fakes. `sdks`: the interpreter with the providers' SDKs, and the folder of the schemas."""
    python, schemas = sdks
    place.mkdir()
    (port,) = gateways.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    write = "import sys, make_config; make_config.write(sys.argv[1], sys.argv[2], 0, 0, tuple(sys.argv[3:]))"
    subprocess.run([python, "-c", write, url, place, *FAMILIES], cwd=HERE, check=True, timeout=60)
    providers = json.loads((place / "tidegate.yaml").read_text())["providers"]
    for provider in providers.values():
        for part in (provider, provider.get("vertex") or {}):
            if part.get("credentials") == "account.json":
                part["credentials"] = str(place / "account.json")
    command = [python, "-m", "fakes", port, schemas, place / "public.pem"]
    with gateways.program(command, place / "fakes.log", gateways.answers(f"{url}/__verdicts"), cwd=HERE):
        yield Stage(binary, place, url, providers)
