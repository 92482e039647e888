"""Sends Messages requests through a gateway to the fakes and checks every answer.

    drive.py --gateway http://127.0.0.1:4000 --fakes http://127.0.0.1:9000 [--only FAMILY] [--verbose]

The gateway runs with the config of `make_config.py`. Families: chat, responses, gemini, bedrock, vertex, foundry.
Parts: scenarios (whole, streamed, and whole against streamed), requests (`corpus.py`), conversations, counting.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

from client import Client
from corpus import CASES, TOOLS, Seen, ask, fits, result
from fakes.claude import COUNT
from fakes.gemini_judge import SIGNATURES
from fakes.responses_parts import SEALED
from fakes.scenario import NO_USAGE
from grammar import Fault, check_error, check_message, neutral, partial, read
from make_config import TABLES, family_of
from meaning import block_fault, short, usage_fault
from report import Report, finish

# events that a native upstream may add
PASSING = ("vendor_note",)


class Upstreams:
    """The log of the fakes."""

    def __init__(self, url):
        self.client = Client(url)

    def reset(self, forget=False):
        self.client.post("/__forget" if forget else "/__reset", {})

    def log(self):
        return [entry for entry in self.client.get("/__log") if entry["family"] != "token"]


def standard(scenario):
    """The usual request: a question, tools that scenarios call, whatever the scenario adds."""
    extra = {"stop_sequences": ["END"]} if scenario.name == "stop-string" else {}
    return {**ask(max_tokens=1000), "tools": TOOLS, **extra, **scenario.request}


def header_fault(headers, wanted):
    for name, value in wanted.items():
        found = headers.get(name)
        right = found is not None if value is ... else found in value if isinstance(value, tuple) else found == value
        if not right:
            return f"header {name}: expected {'any value' if value is ... else value!r}, found {found!r}"
    return None


def error_fault(error, wanted):
    if error["type"] not in wanted.error:
        return f"expected an error of type {' or '.join(wanted.error)}, found {error['type']}: {error['message'][:300]}"
    missing = [word for word in wanted.words if word not in error["message"]]
    return f"the error lacks {missing[0]!r}: {error['message'][:300]!r}" if missing else None


def status_fault(answer, wanted):
    """Why an HTTP error is not the expected one, or nothing."""
    if answer.status not in wanted.status:
        return f"expected status {' or '.join(map(str, wanted.status))}, found {answer.status}: {answer.data[:300]!r}"
    value = answer.json()
    check_error(value)
    return error_fault(value["error"], wanted) or header_fault(answer.headers, wanted.headers)


def message_fault(message, wanted, headers):
    fault = block_fault(neutral(message["content"]), list(wanted.blocks))
    if fault:
        return fault
    if message["stop_reason"] not in wanted.stop:
        return f"stop_reason: expected {' or '.join(wanted.stop)}, found {message['stop_reason']}"
    if message.get("stop_sequence") != wanted.stop_sequence:
        return f"stop_sequence: expected {wanted.stop_sequence!r}, found {message.get('stop_sequence')!r}"
    if wanted.usage == NO_USAGE and not message["usage"].get("input_tokens"):
        return f"the upstream reports no usage: expected an estimate of input_tokens, found {message['usage']}"
    return usage_fault(message["usage"], wanted.usage) or header_fault(headers, wanted.headers)


def stream_fault(answer, wanted, family):
    """Why a streamed answer is not the expected one, or nothing."""
    if wanted.status:
        if answer.status == 200:
            stream = read(answer.data, PASSING)
            return f"expected status {wanted.status}, found a stream with {'the error ' + str(stream.error) if stream.error else 'the message ' + short(stream.message)}"
        return status_fault(answer, wanted)
    if answer.status != 200:
        return f"status {answer.status}: {answer.data[:300]!r}"
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        return f"content-type {answer.headers.get('content-type')!r}"
    if wanted.breaks:
        return broken_fault(answer, wanted)
    if answer.is_cut:
        return "the connection broke"
    stream = read(answer.data, PASSING)
    if stream.error:
        return f"unexpected error event {stream.error}"
    return message_fault(stream.message, wanted, answer.headers)


def broken_fault(answer, wanted):
    stream = read(answer.data, PASSING)
    if not stream.error:
        return f"expected an error event, found a complete message {short(stream.message)}"
    return error_fault(stream.error, wanted) or block_fault(partial(stream), list(wanted.blocks))


def whole_fault(answer, wanted, _):
    if wanted.error:
        return status_fault(answer, wanted) if wanted.status else "a whole answer cannot break"
    if answer.status != 200:
        return f"status {answer.status}: {answer.data[:300]!r}"
    return message_fault(check_message(answer.json()), wanted, answer.headers)


def judged_fault(log):
    """Why a judge refused, or nothing."""
    for entry in log:
        if entry["verdict"] != "accepted":
            return (
                f"the upstream refuses the request: {entry['verdict']['message']}; it received {short(entry['text'])}"
            )
    return None if log else "the upstream received nothing"


def alias_fault(answer, alias, family, form):
    """The answer of a translated upstream names the caller's model."""
    if family not in ("chat", "responses", "gemini") or answer.status != 200:
        return None
    message = read(answer.data).message if form == "stream" else answer.json()
    return (
        None
        if message is None or message["model"] == alias
        else f"model: expected {alias!r}, found {message['model']!r}"
    )


class Drive:
    def __init__(self, gateway, fakes, report):
        self.gateway, self.upstreams, self.report = gateway, Upstreams(fakes), report

    def ask(self, model, body, stream=False, headers=None, path="/v1/messages"):
        """Sends one request; returns the answer and what the upstreams received for it."""
        self.upstreams.reset()
        answer = self.send(model, body, stream, headers or {}, path)
        return answer, self.upstreams.log()

    def send(self, model, body, stream, headers, path="/v1/messages"):
        if isinstance(body, bytes):
            extra = f'"model":{json.dumps(model)},' + ('"stream":true,' if stream else "")
            return self.gateway.post(path, b"{" + extra.encode() + body[1:], **headers)
        return self.gateway.post(path, {"model": model, **body, **({"stream": True} if stream else {})}, **headers)

    # scenarios

    def scenarios(self, family):
        for scenario in TABLES[family].values():
            answers = {
                form: self.scenario(family, scenario, form) for form in ("whole", "stream") if getattr(scenario, form)
            }
            if len(answers) == 2 and scenario.streamed is None and not scenario.expect.error:
                self.report.check(
                    f"{family} scenarios",
                    f"{scenario.name}: the stream folds to the whole answer",
                    self.fold_fault,
                    answers,
                    scenario.expect.usage,
                )
        self.report.check(
            f"{family} scenarios",
            "an error that the gateway words has one request id in body and header",
            self.request_id_fault,
            ERRORS[family],
        )

    def scenario(self, family, scenario, form):
        alias, wanted, kept = f"{family}/{scenario.name}", scenario.wanted(form), {}

        def check():
            answer, log = self.ask(alias, standard(scenario), form == "stream")
            kept["answer"] = answer
            judged = judged_fault(log)
            if judged and "has no" not in judged:
                return judged
            fault = (stream_fault if form == "stream" else whole_fault)(answer, wanted, family)
            return fault or judged or alias_fault(answer, alias, family, form)

        self.report.check(
            f"{family} scenarios",
            f"{scenario.name}, {'streamed' if form == 'stream' else 'whole'}: {scenario.says} (upstreams.md {scenario.row})",
            check,
        )
        return kept.get("answer")

    def request_id_fault(self, alias):
        answer, _ = self.ask(alias, ask())
        body, header = answer.json().get("request_id"), answer.headers.get("request-id")
        return None if body and body == header else f"{body!r} in the body, {header!r} in the header"

    @staticmethod
    def fold_fault(answers, usage):
        if not all(answer and answer.status == 200 for answer in answers.values()):
            return "one of the two failed"
        whole, stream = answers["whole"].json(), read(answers["stream"].data, PASSING).message
        for key in ("stop_reason", "stop_sequence", "stop_details"):
            if whole.get(key) != stream.get(key):
                return f"{key}: whole {whole.get(key)!r}, streamed {stream.get(key)!r}"
        # an estimate counts the bytes of the request, `stream` among them
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        for name in names if usage != NO_USAGE else ():
            if (whole["usage"].get(name) or 0) != (stream["usage"].get(name) or 0):
                return f"usage.{name}: whole {whole['usage'].get(name)}, streamed {stream['usage'].get(name)}"
        return block_fault(neutral(stream["content"]), neutral(whole["content"]))

    # requests

    def corpus(self, family):
        for case in CASES:
            for target in dict.fromkeys(case.targets):
                if family_of(target) == family or target.startswith("claude-") and family == "bedrock":
                    self.case(case, target, family)

    def case(self, case, target, family):
        group, kept = f"{family} requests", {}

        def accepted():
            answer, log = self.ask(target, case.body, headers=case.headers)
            kept["log"], kept["answer"] = log, answer
            if answer.status != 200:
                return judged_fault(log) or f"status {answer.status}: {answer.data[:300]!r}"
            check_message(answer.json())
            return judged_fault(log)

        self.report.check(
            group, f"{case.name} to {target}: the upstream accepts the request (upstreams.md {case.row})", accepted
        )
        checks = [(sentence, predicate) for patterns, sentence, predicate in case.checks if fits(patterns, target)]
        if checks and not kept.get("log"):
            return self.report.add(group, f"{case.name} to {target}: {checks[0][0]}", "the upstream received nothing")
        for sentence, predicate in checks:
            entry, headers = kept["log"][0], kept["answer"].headers
            dropped = [name.strip() for name in headers.get("x-tidegate-dropped", "").split(",") if name.strip()]
            seen = Seen(entry["body"], entry["text"], entry["headers"], dropped, entry)
            self.report.check(
                group,
                f"{case.name} to {target}: {sentence}",
                lambda: None if predicate(seen) else f"dropped {dropped}, sent {short(entry['text'])}",
            )

    # conversations

    def conversations(self, family):
        group = f"{family} conversations"
        for alias, payload, sentence in PAYLOADS:
            if family_of(alias) != family:
                continue
            for stream in (False, True):
                form = "streamed" if stream else "whole"
                self.report.check(group, f"{alias}, {form}: {sentence}", self.returns, alias, payload, stream)
                self.report.check(
                    group,
                    f"{alias}, {form}: an altered signature counts as absent",
                    self.altered,
                    alias,
                    payload,
                    stream,
                )
            for other in ("chat/text", "responses/text", "gemini/text", "bedrock/text", "vertex/text", "foundry/text"):
                if family_of(other) != family and self.knows(other):
                    self.report.check(
                        group, f"{alias}: its reasoning is not sent to {other}", self.foreign, alias, payload, other
                    )
            if family != "chat":
                self.report.check(
                    group,
                    f"{alias}: an upstream that refuses its own reasoning gets the request once more without it",
                    self.forgotten,
                    alias,
                    payload,
                )
        if family in ("chat", "responses", "gemini"):
            self.report.check(group, "a long tool name comes back as the caller's", self.renamed, family, False)
            self.report.check(
                group, "a long tool name comes back as the caller's, streamed", self.renamed, family, True
            )

    def knows(self, alias):
        return alias in self.aliases

    def first(self, alias, stream):
        """A first turn; the blocks as a client keeps them."""
        answer, _ = self.ask(alias, {**ask(max_tokens=1000), "tools": TOOLS}, stream)
        assert answer.status == 200, f"first turn: status {answer.status}: {answer.data[:300]!r}"
        return read(answer.data).message["content"] if stream else answer.json()["content"]

    @staticmethod
    def next(content):
        results = [result("sun", id=block["id"]) for block in content if block["type"] == "tool_use"]
        return ask(
            "Say hello.", {"role": "assistant", "content": content}, results or "And?", max_tokens=1000, tools=TOOLS
        )

    def returns(self, alias, payload, stream):
        answer, log = self.ask(alias, self.next(self.first(alias, stream)), stream)
        if fault := judged_fault(log):
            return fault
        if answer.status != 200:
            return f"status {answer.status}: {answer.data[:300]!r}"
        return (
            None
            if payload in log[0]["text"]
            else f"the upstream's own reasoning {payload!r} does not come back: {short(log[0]['text'])}"
        )

    def altered(self, alias, payload, stream):
        content = self.first(alias, stream)
        for block in content:
            if block["type"] == "thinking" and len(block["signature"]) > 20:
                at = len(block["signature"]) // 2
                block["signature"] = (
                    block["signature"][:at]
                    + ("A" if block["signature"][at] != "A" else "B")
                    + block["signature"][at + 1 :]
                )
        _, log = self.ask(alias, self.next(content), stream)
        return judged_fault(log) or (f"{payload!r} is sent" if payload in log[0]["text"] else None)

    def foreign(self, alias, payload, other):
        content = self.first(alias, False)
        _, log = self.ask(other, self.next(content))
        if fault := judged_fault(log):
            return fault
        return (
            f"{payload!r} or its envelope is sent"
            if payload in log[0]["text"] or "tidegate." in log[0]["text"]
            else None
        )

    def forgotten(self, alias, payload):
        content = self.first(alias, False)
        self.upstreams.reset(forget=True)
        answer = self.send(alias, self.next(content), False, {})
        log = self.upstreams.log()
        self.upstreams.reset()
        if answer.status != 200:
            return f"status {answer.status}: {answer.data[:300]!r}"
        if len(log) != 2 or payload not in log[0]["text"]:
            return f"expected 2 requests, the first one with its reasoning; found {len(log)}"
        return (
            f"the second request has it as well: {short(log[1]['text'])}"
            if payload in log[1]["text"]
            else judged_fault(log[1:])
        )

    def renamed(self, family, stream):
        name = "tool_" + "b" * 90
        body = {**ask(max_tokens=1000), "tools": [{**TOOLS[0], "name": name}]}
        answer, log = self.ask(f"{family}/first-tool", body, stream)
        if fault := judged_fault(log):
            return fault
        content = read(answer.data).message["content"] if stream else answer.json()["content"]
        return block_fault(neutral(content), [("tool_use", name, {"city": "Paris"})])

    # counting

    def counts(self, family):
        for target, is_exact in COUNTERS:
            if family_of(target) == family:
                self.report.check(
                    f"{family} counting",
                    f"count_tokens of {target} is {NATIVE if is_exact else ESTIMATE}",
                    self.count,
                    target,
                    is_exact,
                )

    def count(self, target, is_exact):
        body = {"messages": ask()["messages"], "system": "Be brief.", "tools": TOOLS}
        answer, log = self.ask(target, body, path="/v1/messages/count_tokens")
        if answer.status != 200:
            return f"status {answer.status}: {answer.data[:300]!r}, {judged_fault(log)}"
        found, mark = answer.json(), answer.headers.get("x-tidegate-estimated")
        if is_exact:
            return judged_fault(log) or (
                None
                if found == {"input_tokens": COUNT} and mark is None
                else f"found {found}, x-tidegate-estimated {mark!r}"
            )
        return (
            None if found["input_tokens"] > 5 and mark is not None else f"found {found}, x-tidegate-estimated {mark!r}"
        )

    def together(self, family):
        """Many streams at once do not mix."""
        aliases = [name for name in ("text", "tool", "parallel-tools") if name in TABLES[family]]

        def one(n):
            scenario = TABLES[family][aliases[n % len(aliases)]]
            answer = self.send(f"{family}/{scenario.name}", standard(scenario), True, {})
            try:
                return stream_fault(answer, scenario.wanted("stream"), family)
            except Fault as fault:
                return str(fault)

        with ThreadPoolExecutor(16) as pool:
            faults = [fault for fault in pool.map(one, range(96)) if fault]
        self.report.add(
            f"{family} scenarios",
            "96 streams at once, 16 at a time, each get their own answer",
            faults[0] if faults else None,
        )


# an alias, what of its reasoning the upstream must get back, and a sentence
PAYLOADS = [
    ("gemini/tool", SIGNATURES["studio"], "the signature of a call comes back"),
    ("gemini/thought-tool", SIGNATURES["studio"], "the signature after a thought comes back"),
    ("gemini/parallel-tools", SIGNATURES["studio"], "the signature of the first of two calls comes back"),
    ("gemini/signed-text", SIGNATURES["studio"], "the signature of a text comes back"),
    ("gemini/signed-empty-text", SIGNATURES["studio"], "the signature of an empty text comes back"),
    ("responses/reasoning-text-tool", SEALED, "encrypted reasoning comes back"),
    ("responses/reasoning-empty", SEALED, "encrypted reasoning without a summary comes back"),
    ("chat/reasoning-details", "c2ln", "OpenRouter's reasoning_details come back"),
]
COUNTERS = [
    ("chat-openai", True),
    ("chat-generic", False),
    ("chat-groq", False),
    ("responses-openai", True),
    ("gemini-3.5-flash", True),
    ("gemini-vertex", True),
    ("bedrock-haiku", True),
    ("bedrock", False),
    ("vertex", True),
    ("foundry", True),
]
# an error of each family that is not in the API's envelope
ERRORS = {
    "chat": "chat/status-400",
    "responses": "responses/status-400",
    "gemini": "gemini/status-invalid-argument",
    "bedrock": "bedrock/http-validation",
    "vertex": "vertex/google-denied",
    "foundry": "foundry/azure-auth",
}
NATIVE, ESTIMATE = "the number of the upstream", "an estimate, and marked as one"
PARTS = ("scenarios", "requests", "conversations", "counting")


def run(gateway, fakes, families, parts, verbose, key=None):
    report = Report("drive", verbose)
    drive = Drive(Client(gateway, key), fakes, report)
    drive.aliases = {f"{family}/{name}" for family in families for name in TABLES[family]}
    for family in families:
        if "scenarios" in parts:
            drive.scenarios(family)
            drive.together(family)
        if "requests" in parts:
            drive.corpus(family)
        if "conversations" in parts:
            drive.conversations(family)
        if "counting" in parts:
            drive.counts(family)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--fakes", required=True)
    parser.add_argument("--key")
    parser.add_argument("--only", action="append", choices=TABLES)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    finish(
        run(
            options.gateway,
            options.fakes,
            options.only or list(TABLES),
            options.part or PARTS,
            options.verbose,
            options.key,
        )
    )


if __name__ == "__main__":
    main()
