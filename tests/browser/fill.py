"""Puts a week of exchanges into the SQLite ledger of a gateway that does not run: fill.py LEDGER NUMBER [--plain]

With `--plain` no name of a model is written to do harm.
"""

import math
import os
import random
import sqlite3
import sys
import time

KEYS = ("ci", "dev", "nightly", "")
MODELS = ("claude-opus-4-8", "claude-sonnet-5", "claude-haiku-4-5", "<script>window.harmed=1</script>")
STATUSES = ((200, None),) * 47 + ((429, "rate_limit_error"), (500, "api_error"), (529, "overloaded_error"))
DAY = 86_400_000

EXCHANGE = """INSERT INTO exchange (id, at, operation, key, session, request_id, model, target, is_stream, status, ending, error,
  uncached, write_5m, write_1h, read, output, cost_nano, cost_state, unpriced_tokens, ttft_ms, ms, attempts, stop,
  upstream_request_id, prefix, broken_at, broken_by, broken_stage, lost_tokens, lost_nano)
  VALUES (?,?,'messages',?,?,?,?,?,1,?,'whole',?,?,?,0,?,?,?,'priced',0,?,?,1,'end_turn',?,?,?,?,?,?,?)"""

ATTEMPT = """INSERT INTO attempt (exchange, n, turn, model, target, status, outcome, error, begun_ms, ttft_ms, ms, uncached,
  write_5m, write_1h, read, output, cost_nano, unpriced_tokens) VALUES (?,0,1,?,?,?,?,?,1,?,?,?,?,0,?,?,?,0)"""

STAGE = "INSERT INTO stage (exchange, n, name, hook, runs, us, outcome) VALUES (?,0,'redact','on_request',1,40,'ran')"

QUARTER = """INSERT INTO quarter (at, key, model, target, requests, errors, uncached, write_5m, write_1h, read, output,
  cost_nano, unpriced, unpriced_tokens, ms)
  SELECT at / 900000 * 900000, key, model, target, count(*), sum(status >= 400), sum(uncached), sum(write_5m), 0, sum(read),
  sum(output), sum(cost_nano), 0, 0, sum(ms) FROM exchange WHERE request_id LIKE 'req_filled_%' GROUP BY 1, 2, 3, 4
  ON CONFLICT DO NOTHING"""


def times(number, now, chance):
    """Moments of the last week, newest first; most of them in the hours of work."""
    found = []
    while len(found) < number:
        at = now - chance.randrange(7 * DAY)
        hour = at % DAY / 3_600_000
        if chance.random() < 0.08 + math.exp(-(((hour - 12.5) / 3.2) ** 2)):
            found.append(at)
    return sorted(found, reverse=True)


def rows(number, now, models):
    chance = random.Random(1)
    for n, at in enumerate(times(number, now, chance)):
        # an id of version 7: its order is that of time
        id_ = at.to_bytes(6, "big") + bytes([0x70 | n >> 16 & 15, n >> 8 & 255, 0x80 | n >> 2 & 63, n & 255]) + chance.randbytes(6)
        model, key = chance.choice(models), chance.choice(KEYS)
        status, error = chance.choice(STATUSES)
        tokens = [chance.randrange(limit) for limit in (900, 4000, 60_000, 1500)]
        cost = sum(tokens) * chance.randrange(200, 9000)
        first, whole = chance.randrange(90, 2500), chance.randrange(2500, 40_000)
        session = f"session-{n // 40}"
        is_broken = n % 40 == 7
        broken = ("broken", "system", "stage", "redact", tokens[2], cost // 3) if is_broken else ("continues",) + (None,) * 5
        target = f"sim/{model}"
        exchange = (id_, at, key, session, f"req_filled_{n}", model, target, status, error, *tokens, cost, first, whole)
        yield exchange + (f"req_up_{n}", *broken)


def attempt(row):
    id_, model, target, status, error = row[0], row[5], row[6], row[7], row[8]
    outcome = "success" if status == 200 else "refused"
    tokens, cost, first, whole = row[9:13], row[13], row[14], row[15]
    return (id_, model, target, status, outcome, error, first, whole, *tokens, cost)


def main():
    path, number = sys.argv[1], int(sys.argv[2])
    models = MODELS[:-1] if "--plain" in sys.argv else MODELS
    if not os.path.exists(path):
        raise SystemExit(f"there is no {path}")
    with sqlite3.connect(path) as ledger:
        all_ = list(rows(number, int(time.time() * 1000), models))
        ledger.executemany(EXCHANGE, all_)
        ledger.executemany(ATTEMPT, map(attempt, all_))
        ledger.executemany(STAGE, ((row[0],) for row in all_))
        ledger.execute(QUARTER)
    ledger.close()


if __name__ == "__main__":
    main()
