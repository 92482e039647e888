"""Prices of the suites' own models, and what an answer costs, in exact fractions of a dollar."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod

MILLION = 10**6
NANO = 10**9
KINDS = ("uncached", "write_5m", "write_1h", "read", "output")
# dollars for a thousand searches
SEARCHES = 10


@dataclass(frozen=True)
class Rates:
    """Dollars for a million tokens, as texts."""

    uncached: str
    write_5m: str
    write_1h: str
    read: str
    output: str

    def of(self, tokens):
        return sum((Fraction(getattr(self, kind)) * tokens[kind] / MILLION for kind in KINDS), Fraction(0))

    def as_config(self):
        names = {
            "uncached": "input",
            "write_5m": "cache_write",
            "write_1h": "cache_write_1h",
            "read": "cache_read",
            "output": "output",
        }
        return {name: float(getattr(self, kind)) for kind, name in names.items()}


@dataclass(frozen=True)
class Model:
    rates: Rates
    # the rates of a prompt with more than `above` tokens
    above: int = 0
    larger: Rates | None = None
    factors: dict = field(default_factory=dict)


# half a nano-dollar a token: sums show whether each exchange is rounded once
LARGE = Model(
    Rates("1.2345", "1.543125", "2.469", "0.12345", "6.1725"),
    8000,
    Rates("2.469", "3.08625", "4.938", "0.2469", "9.25875"),
    {"fast": "2", "us": "1.1", "batch": "0.5"},
)
SMALL = Model(Rates("0.04", "0.05", "0.08", "0.004", "0.2"), factors={"batch": "0.5"})
FREE = Model(Rates("0", "0", "0", "0", "0"))
# `book-unpriced` is in no table
MODELS = {"book-large": LARGE, "book-small": SMALL, "book-free": FREE}


def prices_file():
    """The content of `prices_file`."""
    rows = []
    for name, model in MODELS.items():
        price = model.rates.as_config()
        if model.larger:
            price[f"above_{model.above // 1000}k"] = model.larger.as_config()
        factors = {name: float(value) for name, value in model.factors.items()}
        rows.append({"id": name, "provider": "anthropic", "price": price} | ({"factors": factors} if factors else {}))
    return {"models": rows, "billing": {"anthropic": {"fees": {"web_search": SEARCHES}}}}


def counted(usage):
    """The tokens of one report, or of one iteration in it, by kind."""
    hour = usage["cache_creation"]["ephemeral_1h_input_tokens"]
    return {
        "uncached": usage["input_tokens"],
        "write_5m": usage["cache_creation_input_tokens"] - hour,
        "write_1h": hour,
        "read": usage["cache_read_input_tokens"],
        "output": usage["output_tokens"],
    }


def tokens_of(usage):
    """Tokens by kind, as the API's `usage` reports them: iterations replace the sum at the top."""
    return sum((Counter(counted(one)) for one in usage.get("iterations", [usage])), Counter())


def charge(model, usage):
    """What an answer costs in dollars, and the number of its tokens without a price."""
    tier, speed = usage.get("service_tier"), usage.get("speed")
    # fast mode is never part of a batch
    modes = (None if tier == "batch" else speed, usage.get("inference_geo"), tier)
    cost, unpriced = Fraction(0), 0
    for one in usage.get("iterations", [usage]):
        tokens, found = counted(one), MODELS.get(one.get("model", model))
        if found is None:
            unpriced += sum(tokens.values())
            continue
        prompt = sum(tokens.values()) - tokens["output"]
        rates = found.larger if found.larger and prompt > found.above else found.rates
        cost += rates.of(tokens) * prod(Fraction(found.factors.get(mode, "1")) for mode in modes)
    # the fees are those of the model's provider
    searches = usage.get("server_tool_use", {}).get("web_search_requests", 0) if model in MODELS else 0
    return cost + Fraction(SEARCHES, 1000) * searches, unpriced


def nano(amount):
    """Whole nano-dollars, a half rounded up."""
    return int(amount * NANO + Fraction(1, 2))


def text(nano_dollars):
    """Nano-dollars as the ledger prints them."""
    whole, rest = divmod(nano_dollars, NANO)
    return f"{whole}.{rest:09}".rstrip("0").rstrip(".")
