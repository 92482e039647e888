"""Exchanges of every kind before an upstream with a book of its own: ledger, metrics and budgets must equal it."""

import asyncio
import json
import random
from collections import Counter
from functools import partial

import charges
from callers import crowd, message
from process import Gateway, keys, settled, until
from upstream import Plan, Upstream, usage

KEYS = ("ci", "dev", "ml", "early", "narrow")
TEAMS = {"ci": "web", "dev": "web", "ml": "science"}
ALIASES = {"large": "book-large", "small": "book-small", "free": "book-free", "unpriced": "book-unpriced"}
# kind of an exchange: its share
SHARES = {
    "whole": 26,
    "stream": 26,
    "retried": 7,
    "second": 5,
    "failed": 2,
    "refused": 3,
    "cut": 6,
    "cut_late": 3,
    "error": 4,
    "left": 6,
    "early": 1,
    "tools": 4,
    "tools_cut": 2,
    "count": 4,
    "denied": 1,
    "stranger": 1,
}
TOOL = {"type": "gateway:datetime"}


def config(upstream, plugins):
    """The gateway of this suite."""
    provider = lambda name: {"type": "anthropic", "base_url": f"{upstream.url}/{name}", "api_key": "sk-upstream"}
    retry = {"attempts": 3, "backoff": "1ms", "max_backoff": "5ms"}
    models = {
        alias: {"targets": [{"provider": "first", "model": model}], "retry": retry} for alias, model in ALIASES.items()
    }
    targets = [{"provider": "first", "model": "book-large"}, {"provider": "second", "model": "book-small"}]
    models["pair"] = {"targets": targets, "cooldown": "1ms"}
    tagged = {key: {"tags": {"team": team}} for key, team in TEAMS.items()}
    return {
        "providers": {"first": provider("first"), "second": provider("second")},
        "models": models,
        "keys": keys(*KEYS, **tagged | {"narrow": {"models": ["small"]}}),
        "prices_file": "prices.yaml",
        "budgets": {"unpriced": "free", "rules": [{"per": "key", "usd": 100000, "every": "month"}]},
        "plugins": {"dir": str(plugins)},
        "log": {"level": "error"},
    }


def plans(count, has_tools, seed):
    """Exchanges by number and kind."""
    chance = random.Random(seed)
    shares = {kind: share for kind, share in SHARES.items() if has_tools or not kind.startswith("tools")}
    kinds = chance.choices(list(shares), list(shares.values()), k=count)
    return [planned(number, kind, chance) for number, kind in enumerate(kinds, start=1)]


def planned(number, kind, chance):
    plan = Plan(number, chance.choice(("ci", "dev", "ml")), chance.choice(list(ALIASES)))
    plan.kind = kind
    plan.stream = kind in ("stream", "cut", "cut_late", "error", "left", "tools_cut") or (
        kind not in ("whole", "early") and chance.random() < 0.5
    )
    rounds = chance.choice((2, 3)) if kind.startswith("tools") else 1
    plan.turns = [any_usage(chance) for _ in range(rounds)]
    plan.texts = ["word" * chance.randint(1, 40) for _ in range(chance.randint(1, 8))]
    if kind in ("cut", "cut_late", "error", "left", "early", "refused", "count"):
        plan.ending = kind
    match kind:
        case "retried":
            failures = ["500", "529", "429", "drop"] + (["event"] if plan.stream else [])
            plan.fails = chance.choices(failures, k=chance.randint(1, 2))
        case "failed":
            plan.fails = ["529"] * 20
        case "second":
            plan.alias, plan.fails_at = "pair", "first"
        case "tools_cut":
            plan.ending = chance.choice(("cut", "left", "error"))
        case "early":
            plan.key = "early"
        case "denied":
            plan.key = "narrow"
        case "stranger":
            plan.key = "of-nobody"
    return plan


def any_usage(chance):
    """Usage with every kind of token, in sizes on both sides of a threshold."""
    some = lambda most, share=0.5: chance.randint(1, most) if chance.random() < share else 0
    own = usage(some(6000, 0.95), chance.randint(2, 900), some(3000, 0.2), some(3000, 0.2), some(9000, 0.3))
    own["service_tier"] = chance.choice(("standard", "standard", "batch"))
    if chance.random() < 0.1:
        own["speed"] = "fast"
    if chance.random() < 0.1:
        own["inference_geo"] = "us"
    if chance.random() < 0.1:
        own["server_tool_use"] = {"web_search_requests": chance.randint(1, 4)}
    if chance.random() < 0.1:
        own["iterations"] = [iteration(chance) for _ in range(chance.randint(1, 3))]
    return own


def iteration(chance):
    """One run of an answer that has several, of the request's model or of another."""
    own = usage(chance.randint(1, 9000), chance.randint(1, 300), read=chance.randint(0, 2000))
    del own["service_tier"]
    model = chance.choice((None, None, "book-large", "book-small", "book-unpriced"))
    return {"type": "message"} | own | ({"model": model} if model else {})


async def exchange(upstream, plan, caller):
    """One piece of work for a caller."""
    more = {"tools": [TOOL]} if plan.kind.startswith("tools") else {}
    body = message(plan.id, "large" if plan.kind == "denied" else plan.alias, plan.stream, **more)
    path = "/v1/messages/count_tokens" if plan.kind == "count" else "/v1/messages"
    if plan.kind == "count":
        del body["max_tokens"]
        body.pop("stream", None)
    leave = None
    if plan.ending == "left":
        # the calls of tools are deltas as well, but a caller sees whole blocks of them: it leaves after the text
        leave = len(plan.texts)
    elif plan.ending == "early":
        leave = upstream.arrivals[plan.id].wait
    return await caller.ask(plan.key, body, path, leave, [f"x-tidegate-session-id: e{plan.id}"])


class Sums:
    """Sums of the book by any property of an exchange, in the shape of `tidegate ledger`."""

    def __init__(self):
        self.rows = {}

    def add(self, name, charged):
        row = self.rows.setdefault(name, Counter())
        row["requests"] += 1
        if charged:
            row.update(charged.tokens)
            row["nano"] += charged.nano
            row["unpriced_tokens"] += charged.unpriced
            row["unpriced"] += 1 if charged.unpriced else 0

    def shown(self):
        return {name: shown(row) for name, row in self.rows.items()}

    def total(self):
        return shown(sum(self.rows.values(), Counter()))


def shown(row):
    names = ("requests", *charges.KINDS, "unpriced", "unpriced_tokens")
    return {name: row[name] for name in names} | {"cost_usd": charges.text(row["nano"])}


def reported(rows, by):
    return {row[by]: {name: row[name] for name in shown(Counter())} for row in rows}


def difference(found, expected):
    """The first differences of two tables; `None` if they are equal."""
    if found == expected:
        return None
    lines = []
    for name in sorted(set(found) | set(expected), key=str):
        ours, theirs = found.get(name, {}), expected.get(name, {})
        for column in sorted(set(ours) | set(theirs)):
            if ours.get(column) != theirs.get(column):
                lines.append(f"{name} {column}: found {ours.get(column)}, the book has {theirs.get(column)}")
    return f"{len(lines)} differences: " + "; ".join(lines[:8])


class Check:
    """Compares what the gateway says with the book."""

    def __init__(self, report, gateway, upstream, all_plans, answers):
        self.report, self.gateway, self.upstream = report, gateway, upstream
        self.plans, self.answers = all_plans, answers
        self.charged = upstream.charged()
        # exchanges of which the upstream reports nothing are looked at apart
        self.early = {plan.id for plan in all_plans if plan.kind == "early"}
        # a wrong key is in the metrics only
        self.recorded = [plan for plan in all_plans if plan.kind != "stranger"]

    def sums(self, name_of):
        sums = Sums()
        for plan in self.recorded:
            if plan.id not in self.early:
                sums.add(name_of(plan), self.charged.get(plan.id))
        return sums

    def ledger(self):
        names = {
            "key": lambda plan: plan.key,
            "model": lambda plan: "large" if plan.kind == "denied" else plan.alias,
            "tag:team": lambda plan: TEAMS.get(plan.key),
        }
        for by, name_of in names.items():
            found = self.gateway.ledger("--by", by)
            rows = {
                name: row for name, row in reported(found["rows"], "value" if by == "tag:team" else by).items() if name
            }
            rows.pop("early", None)
            expected = self.sums(name_of).shown()
            expected.pop(None, None)
            if by == "model":
                rows = self.without_early(rows)
            self.report.add("book", f"the ledger by {by} equals the book", difference(rows, expected))

    def without_early(self, rows):
        """Takes the exchanges away whose caller left before the answer: the gateway estimates them."""
        own = self.gateway.rows("SELECT model, uncached, cost_nano, unpriced_tokens FROM exchange WHERE key = 'early'")
        for model, uncached, nano, unpriced in own:
            row = rows[model]
            row["requests"] -= 1
            row["uncached"] -= uncached
            row["cost_usd"] = charges.text(to_nano(row["cost_usd"]) - (nano or 0))
            row["unpriced"] -= 1 if unpriced else 0
            row["unpriced_tokens"] -= unpriced
        return {name: row for name, row in rows.items() if row["requests"]}

    def total(self):
        """Sum of days = total of the range = sum of keys, in a zone with a quarter of an hour."""
        days = self.gateway.ledger("--by", "day", "--zone", "Asia/Kathmandu")
        by_key = self.gateway.ledger("--by", "key")
        for name, found in (("days", days), ("keys", by_key)):
            rows = sum((Counter(numbers(row)) for row in found["rows"]), Counter())
            total = Counter(numbers(found["total"]))
            fault = None if +rows == +total else f"sum {dict(rows)}, total {dict(total)}"
            self.report.add("book", f"the sum of {name} is the total of the range", fault)
        early = {row["key"]: row for row in by_key["rows"]}.get("early")
        total = Counter(numbers(by_key["total"]))
        total.subtract(numbers(early) if early else {})
        book = Counter(numbers(self.sums(lambda plan: "all").total()))
        self.report.add(
            "book",
            "the total equals the book",
            None if +total == +book else f"{dict(+total)}, the book has {dict(+book)}",
        )
        return by_key["total"]

    def exchanges(self):
        """Each exchange by itself, by the session that it names."""
        rows = self.gateway.rows(
            "SELECT request_id, key, session, attempts, uncached, output, cost_state, uncached, write_5m, write_1h, "
            "read, output, coalesce(cost_nano, 0), unpriced_tokens FROM exchange"
        )
        wanted = len(self.recorded)
        self.report.add("book", "each exchange is one row", None if len(rows) == wanted else f"{len(rows)} of {wanted}")
        ids = {row[0] for row in rows}
        written = self.gateway.metric("tidegate_ledger_written_total")
        self.report.add("book", "the metric counts each row", None if written == wanted else f"{written} of {wanted}")
        self.report.add("book", "each row has an id of its own", None if len(ids) == len(rows) else f"{len(ids)} ids")
        attempts = sum(row[3] for row in rows)
        book = len(self.upstream.book)
        self.report.add(
            "book", "attempts are the requests in the book", None if attempts == book else f"{attempts} of {book}"
        )
        early = [row for row in rows if row[1] == "early"]
        odd = [row for row in early if not (0 < row[4] < 500 and row[5] == 0 and row[6] in ("estimated", "unpriced"))]
        self.report.add(
            "book", "a caller that leaves before the answer pays for an estimate of its prompt", odd[0] if odd else None
        )
        self.each({row[2]: row[6:] for row in rows if row[1] != "early"})

    def each(self, rows):
        """Each row for itself, with its state: sums could hide two errors."""
        bad = []
        for plan in self.recorded:
            charged, row = self.charged.get(plan.id), rows.get(f"e{plan.id}")
            if row is None or plan.id in self.early:
                continue
            tokens = charged.tokens if charged else Counter()
            own = [
                *(tokens[kind] for kind in charges.KINDS),
                charged.nano if charged else 0,
                charged.unpriced if charged else 0,
            ]
            # without a price the state is `unpriced`, estimated or not
            state = "priced"
            if charged and charged.unpriced:
                state = "unpriced"
            elif charged and charged.is_estimated:
                state = "estimated"
            if [state, *own] != list(row):
                bad.append(f"exchange {plan.id} ({plan.kind}, {plan.ending}): {row}, the book has {[state, *own]}")
        self.report.add("book", "each row equals the book", f"{len(bad)}: {'; '.join(bad[:4])}" if bad else None)

    def headers(self):
        """The price of whole answers, in their header."""
        bad = []
        for plan, answer in zip(self.plans, self.answers):
            charged = self.charged.get(plan.id)
            if not (answer.is_good and charged and "content-length" in answer.headers):
                continue
            expected = None if charged.unpriced else charges.text(charged.nano)
            found = answer.headers.get("x-tidegate-cost-usd")
            if found != expected:
                bad.append(f"exchange {plan.id} ({plan.kind}): header {found}, the book has {expected}")
        self.report.add("book", "whole answers name their price", f"{len(bad)}: {bad[0]}" if bad else None)

    def budgets(self):
        """The sums of budgets, which do not come from the ledger."""
        expected = {name: to_nano(row["cost_usd"]) for name, row in self.sums(lambda plan: plan.key).shown().items()}
        expected = {name: {"nano": nano} for name, nano in expected.items() if nano}

        def found():
            return {name: {"nano": nano} for name, nano in self.gateway.budget().items() if nano and name != "early"}

        return found, expected

    def metrics(self):
        samples = self.gateway.samples()
        tokens, requests = Counter(), Counter()
        outcomes, endings = Counter(), Counter()
        money = {}
        for name, labels, value in samples:
            match name:
                case "tidegate_gen_ai_client_token_usage_sum":
                    tokens[labels["gen_ai_request_model"], labels["gen_ai_token_type"]] += int(value)
                case "tidegate_requests_total":
                    requests[labels["model"], labels["status"]] += int(value)
                case "tidegate_attempts_total":
                    outcomes[labels["outcome"]] += int(value)
                case "tidegate_streams_ended_total":
                    endings[labels["ending"]] += int(value)
                case "tidegate_cost_usd_total":
                    money[labels["model"]] = money.get(labels["model"], 0) + value
        return tokens, requests, outcomes, endings, money

    def measured(self):
        """`/metrics` against the book and against what callers saw."""
        tokens, requests, outcomes, endings, money = self.metrics()
        sums = self.sums(lambda plan: "large" if plan.kind == "denied" else plan.alias).shown()
        early = Counter()
        early_money = Counter()
        for model, uncached, nano in self.gateway.rows(
            "SELECT model, uncached, cost_nano FROM exchange WHERE key = 'early'"
        ):
            early[model] += uncached
            early_money[model] += nano or 0
        found, expected = {}, {}
        for alias, row in sums.items():
            found[alias] = {
                "input": tokens[alias, "input"] - early[alias],
                "output": tokens[alias, "output"],
                "cache_creation": tokens[alias, "cache_creation"],
                "cache_read": tokens[alias, "cache_read"],
                "nano": round(money.get(alias, 0) * charges.NANO) - early_money[alias],
            }
            expected[alias] = {
                "input": row["uncached"],
                "output": row["output"],
                "cache_creation": row["write_5m"] + row["write_1h"],
                "cache_read": row["read"],
                "nano": to_nano(row["cost_usd"]),
            }
        self.report.add("book", "`/metrics` equals the book", difference(found, expected))
        seen = Counter(answer.status if answer.status else 499 for answer in self.answers)
        counted = Counter()
        for (_, status), number in requests.items():
            counted[int(status)] += number
        # a stream that its caller leaves had a status
        self.report.add(
            "book",
            "requests by status are those that callers saw",
            None if counted == seen else f"{dict(counted)}, callers saw {dict(seen)}",
        )
        book = Counter(entry.outcome for entry in self.upstream.book)
        own = {name: outcomes[name] for name in ("success", "refused", "failed")}
        rest = {name: book[name] for name in own}
        self.report.add(
            "book", "attempts by outcome are those of the book", None if own == rest else f"{own}, book {rest}"
        )
        streams = Counter(
            "caller_left" if answer.ending == "left" else answer.ending
            for plan, answer in zip(self.plans, self.answers)
            if answer.status == 200 and "content-length" not in answer.headers
        )
        self.report.add(
            "book",
            "streams by ending are those that callers saw",
            None if +endings == +streams else f"{dict(endings)}, callers saw {dict(streams)}",
        )

    def story(self):
        """Each kind of exchange ended as planned, so that the book has all of them."""
        seen = {}
        for plan, answer in zip(self.plans, self.answers):
            ending = "left" if answer.ending == "left" else answer.ending
            seen.setdefault(plan.kind, Counter())[answer.status, ending] += 1
        return seen


EXPECTED = {
    "whole": {(200, "whole")},
    "stream": {(200, "whole")},
    "retried": {(200, "whole")},
    # each of these is a failover: the retry budget prevents some
    "second": {(200, "whole"), (529, "whole")},
    "failed": {(529, "whole")},
    "refused": {(400, "whole")},
    "cut": {(200, "broken")},
    "cut_late": {(200, "broken"), (200, "whole")},
    "error": {(200, "broken")},
    "left": {(200, "left")},
    "early": {(0, "left")},
    "tools": {(200, "whole")},
    "tools_cut": {(200, "broken"), (200, "left")},
    "count": {(200, "whole")},
    "denied": {(403, "whole")},
    "stranger": {(401, "whole")},
}


def to_nano(dollars):
    whole, _, rest = dollars.partition(".")
    return int(whole) * charges.NANO + int(rest.ljust(9, "0") or 0)


def numbers(row):
    return {name: row[name] for name in shown(Counter()) if name != "cost_usd"} | {"nano": to_nano(row["cost_usd"])}


def plugins_of(options, place):
    """A folder with the plugin of the tool turns, if it is built."""
    folder = place / "plugins"
    folder.mkdir(parents=True)
    plugin = options.plugins / "datetime.wasm"
    if plugin.is_file():
        (folder / plugin.name).symlink_to(plugin)
    return folder, plugin.is_file()


async def suite(report, options, place):
    plugins, has_tools = plugins_of(options, place)
    if not has_tools:
        report.skip("book", f"turns with tools: there is no {options.plugins}/datetime.wasm (cargo xtask plugins)")
    async with Upstream() as upstream:
        home = place / "gateway"
        home.mkdir()
        (home / "prices.yaml").write_text(json.dumps(charges.prices_file()))
        options.share_cache(home)
        all_plans = plans(options.exchanges, has_tools, options.seed)
        upstream.plans = {plan.id: plan for plan in all_plans}
        with Gateway(options.binary, home, config(upstream, plugins)) as gateway:
            work = [partial(exchange, upstream, plan) for plan in all_plans]
            answers = await crowd(gateway.port, work, options.callers)
            await settled(gateway, sum(plan.kind != "stranger" for plan in all_plans))
            await verdict(report, Check(report, gateway, upstream, all_plans, answers))


async def verdict(report, check):
    seen = check.story()
    for kind, counts in seen.items():
        odd = {end: number for end, number in counts.items() if end not in EXPECTED[kind]}
        report.add("book", f"exchanges of the kind `{kind}` end as planned", odd or None)
    prevented = check.gateway.metric("tidegate_retry_budget_refusals_total", model="pair")
    wanted = seen.get("second", Counter())[529, "whole"]
    report.add(
        "book",
        "each failover that did not happen was prevented by the retry budget",
        None if prevented == wanted else f"{prevented} of {wanted}",
    )
    dropped = check.gateway.metric("tidegate_ledger_dropped_total")
    report.add("book", "no row is dropped", f"{dropped} were" if dropped else None)
    for step in (check.ledger, check.exchanges, check.headers, check.measured):
        await asyncio.to_thread(step)
    total = await asyncio.to_thread(check.total)
    found, expected = check.budgets()
    try:
        await until("the sums of budgets equal the book", lambda: found() == expected, 15)
    except AssertionError:
        report.add("book", "the sums of budgets equal the book", difference(found(), expected))
    else:
        report.add("book", "the sums of budgets equal the book")
    figures = {kind: sum(counts.values()) for kind, counts in seen.items()}
    print(f"     book: {len(check.plans)} exchanges {figures}, {len(check.upstream.book)} requests to the upstream")
    print(f"     book: {total}", flush=True)
