"""Counts checks by group, prints the failures and a table of the rest."""

import sys
from collections import Counter, defaultdict


class Report:
    def __init__(self, title, verbose=False):
        self.title, self.verbose = title, verbose
        self.counts = defaultdict(Counter)

    def add(self, group, sentence, fault=None):
        """One check: a sentence in plain English, and why it does not hold."""
        self.counts[group]["FAIL" if fault else "ok"] += 1
        if fault:
            print(f"FAIL {group}: {sentence}: {' '.join(str(fault).split())[:700]}", flush=True)
        elif self.verbose:
            print(f"ok   {group}: {sentence}", flush=True)

    def skip(self, group, reason):
        self.counts[group]["skip"] += 1
        print(f"skip {group}: {reason}", flush=True)

    def check(self, group, sentence, function, *args):
        """Runs a check that fails by raising AssertionError, or in any other way."""
        try:
            self.add(group, sentence, function(*args))
        except Exception as error:  # a check may fail in any way
            self.add(group, sentence, f"{type(error).__name__}: {error}")

    @property
    def failed(self):
        return sum(count["FAIL"] for count in self.counts.values())

    def end(self):
        print(f"\n{self.title:24} {'passed':>7} {'failed':>7} {'skipped':>8}")
        for group, count in self.counts.items():
            print(f"{group:24} {count['ok']:7} {count['FAIL']:7} {count['skip']:8}")
        total = sum(self.counts.values(), Counter())
        print(f"{'all':24} {total['ok']:7} {total['FAIL']:7} {total['skip']:8}", flush=True)
        return 1 if self.failed else 0


def finish(report):
    sys.exit(report.end())
