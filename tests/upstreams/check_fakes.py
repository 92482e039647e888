"""Reads every scenario of the fakes with the provider's own SDK, and tries the judges: `check_fakes.py SCHEMAS`.

A fake that its own SDK cannot read is wrong. A scenario that is marked as odd must really be odd: the SDK fails, reads
another meaning, or the provider's schema refuses the answer. Runs inside the virtualenv of the SDKs.
"""

import argparse
import json
import threading
import urllib.error
import urllib.request

from google.genai.types import FinishReason

from fakes import chat, claude, claude_scenarios, gemini, responses, sigv4
from fakes.server import Fakes, Server, handler
from judge_cases import CASES, CLAUDE, GEMINI, RESPONSES, body_text, inner
from meaning import block_fault, joined, short, usage_fault
from report import Report, finish
from sdk_readers import READERS, bedrock_by_boto

TABLES = {
    "chat": chat.SCENARIOS,
    "responses": responses.SCENARIOS,
    "gemini": gemini.SCENARIOS,
    "bedrock": claude_scenarios.BEDROCK,
    "vertex": claude_scenarios.VERTEX,
    "foundry": claude_scenarios.FOUNDRY,
}
SCHEMAS = {
    ("chat", "whole"): "chat_answer",
    ("chat", "stream"): "chat_chunk",
    ("responses", "whole"): "responses_answer",
    ("responses", "stream"): "responses_event",
    ("gemini", "whole"): "gemini_GenerateContentResponse",
    ("gemini", "stream"): "gemini_GenerateContentResponse",
}


def flavor_of(family, scenario):
    return scenario.flavor or {"chat": "openai", "gemini": "studio"}.get(family, family)


def schema_fault(schemas, family, form, reply):
    """Why the provider's own schema refuses the answer, or nothing."""
    name = SCHEMAS.get((family, form))
    if name is None or len(reply.body) > 1_000_000:
        return None
    text = reply.body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if form == "stream" and "data:" in text:
        datas = [
            "\n".join(line[5:].strip() for line in part.split("\n") if line.startswith("data:"))
            for part in text.split("\n\n")
        ]
        values = [json.loads(data) for data in datas if data and data != "[DONE]"][:40]
    else:
        values = [json.loads(text)]
    for value in values:
        if fault := schemas.fault(name, cleaned(value, family)):
            return f"{fault} in {short(value)}"
    return None


def cleaned(value, family):
    """The answer with finish reasons that the SDK knows and Vertex has not: Google's document describes Vertex."""
    if family == "gemini" and isinstance(value, dict):
        for candidate in value.get("candidates", []):
            if candidate.get("finishReason") in FinishReason.__members__:
                candidate["finishReason"] = "STOP"
    return value


def sdk_fault(url, family, form, scenario):
    """Why the SDK does not read the scenario's meaning, or nothing."""
    wanted = scenario.wanted(form)
    timeout = 2 if "silence" in scenario.oddity(form) else 20
    flavor = family if family in ("bedrock", "vertex", "foundry") else flavor_of(family, scenario)
    try:
        blocks, stop, usage = READERS[family, form](url, scenario.name, flavor, timeout)
    except Exception as error:  # an SDK may fail in any way
        if wanted.error and not wanted.breaks:
            status = getattr(error, "status_code", None) or getattr(error, "code", None)
            if isinstance(status, int) and status >= 400:
                said = f"{error} {getattr(getattr(error, 'response', None), 'text', '')}"
                # the gateway puts these words before the upstream's own
                words = [word for word in wanted.words if not word.startswith("prompt is too long")]
                return None if all(word in said for word in words) else f"the SDK says {said}"
        return f"the SDK raises {type(error).__name__}: {error}"
    if wanted.error:
        return f"the SDK reads {short(blocks)}, expected an error"
    reader = joined if family == "gemini" else list
    expected = [block for block in reader(list(wanted.blocks)) if family != "gemini" or block[:2] != ("thinking", "")]
    if family == "chat":
        # the SDK keeps no order between text and calls, nor borders between texts
        expected = [block for kind in ("text", "tool_use") for block in joined(expected) if block[0] == kind] + [
            block for block in expected if block[0] == "thinking"
        ]
    fault = block_fault(reader(blocks), expected)
    if fault is None and stop not in wanted.stop:
        fault = f"stop: expected {wanted.stop}, found {stop}"
    return fault or usage_fault(usage, wanted.usage)


def check_scenario(report, url, schemas, family, form, scenario):
    reply = scenario.stream if form == "stream" else scenario.whole
    fault = sdk_fault(url, family, form, scenario)
    oddity = scenario.oddity(form)
    is_failure = reply.status >= 400
    if not oddity:
        fault = fault or schema_fault(schemas, family, form, reply)
        return report.add(f"{family} {form}", f"the SDK reads `{scenario.name}` ({scenario.says})", fault)
    if is_failure:
        return report.add(f"{family} {form}", f"the SDK raises the error `{scenario.name}` ({scenario.says})", fault)
    if fault is None:
        try:
            fault = schema_fault(schemas, family, form, reply)
        except ValueError as error:
            fault = str(error)
    sentence = f"`{scenario.name}` is really odd: {oddity}"
    report.add(f"{family} {form}", sentence, None if fault else "the SDK and the schema accept it: remove the mark")


def address(url, family, model):
    """Where a request of this family goes, and the headers it needs."""
    return {
        "chat": (f"{url}/{model}/v1/chat/completions", {"authorization": f"Bearer {chat.KEY}"}),
        "responses": (f"{url}/openai/v1/responses", {"authorization": f"Bearer {chat.KEY}"}),
        "gemini": (f"{url}/studio/v1beta/models/{model}:generateContent", {"x-goog-api-key": gemini.KEY}),
        "gemini-vertex": (
            f"{url}/vertexai/v1beta1/projects/p/locations/global/publishers/google/models/{model}:generateContent",
            {"authorization": f"Bearer {gemini.TOKEN}"},
        ),
        "bedrock": (f"{url}/bedrock/model/{model}/invoke", {"authorization": f"Bearer {sigv4.BEARER}"}),
        "vertex": (
            f"{url}/claude/v1/projects/p/locations/global/publishers/anthropic/models/{model}:rawPredict",
            {"authorization": f"Bearer {gemini.TOKEN}"},
        ),
        "foundry": (
            f"{url}/foundry/anthropic/v1/messages",
            {"x-api-key": claude.FOUNDRY_KEY, "anthropic-version": "2023-06-01"},
        ),
    }[family]


def post(target, headers, data):
    request = urllib.request.Request(target, data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check_judge(url, family, model, body, words):
    target, headers = address(url, family, model)
    status, text = post(target, headers, body_text(body))
    if words is None:
        return None if status == 200 else f"status {status}: {text}"
    return (
        None
        if status in (400, 404, 422) and words in text.replace('\\"', '"')
        else f"expected a refusal with {words!r}, found {status}: {text}"
    )


def check_judges(report, url):
    for family, model, sentence, body, words in CASES:
        verb = "accepts" if words is None else "refuses"
        report.check(
            "judges",
            f"the judge of {family} ({model}) {verb}: {sentence}",
            check_judge,
            url,
            family,
            model,
            body,
            words,
        )
    for family, model in [
        ("chat", "openai"),
        ("responses", "openai"),
        ("gemini", "gemini-3.5-flash"),
        ("bedrock", "x"),
        ("vertex", "x"),
        ("foundry", "x"),
    ]:
        target, _ = address(url, family, model)
        status, text = post(target, {"authorization": "Bearer wrong", "x-goog-api-key": "wrong"}, b"{}")
        report.add(
            "judges", f"{family} refuses a wrong key", None if status in (400, 401, 403) else f"{status}: {text}"
        )


def check_counts(report, url):
    studio = f"{url}/studio/v1beta/models/gemini-3.5-flash:countTokens", {"x-goog-api-key": gemini.KEY}
    requests = [
        (
            "Responses",
            f"{url}/openai/v1/responses/input_tokens",
            {"authorization": f"Bearer {chat.KEY}"},
            {k: RESPONSES[k] for k in ("model", "input", "instructions", "tools")},
            "input_tokens",
        ),
        ("Gemini, contents alone", *studio, {"contents": GEMINI["contents"]}, "totalTokens"),
        (
            "Gemini, a whole request",
            *studio,
            {"generateContentRequest": {"model": "models/gemini-3.5-flash", **GEMINI}},
            "totalTokens",
        ),
        (
            "Bedrock",
            f"{url}/bedrock/model/anthropic.claude-sonnet-4-5-20250929-v1:0/count-tokens",
            {"authorization": f"Bearer {sigv4.BEARER}"},
            inner(CLAUDE),
            "inputTokens",
        ),
        (
            "Vertex",
            f"{url}/claude/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict",
            {"authorization": f"Bearer {gemini.TOKEN}"},
            {"anthropic_version": "vertex-2023-10-16", "model": "claude-sonnet-5", "messages": CLAUDE["messages"]},
            "input_tokens",
        ),
        (
            "Foundry",
            f"{url}/foundry/anthropic/v1/messages/count_tokens",
            {"x-api-key": claude.FOUNDRY_KEY, "anthropic-version": "2023-06-01"},
            {"model": "claude-sonnet-5", "messages": CLAUDE["messages"]},
            "input_tokens",
        ),
    ]
    for name, target, headers, body, key in requests:
        status, text = post(target, headers, body_text(body))
        report.add(
            "counting",
            f"{name} counts",
            None if status == 200 and json.loads(text)[key] == 4242 else f"{status}: {text}",
        )
    status, text = post(*studio, body_text({k: GEMINI[k] for k in ("contents", "systemInstruction")}))
    report.add(
        "counting",
        "AI Studio refuses a system instruction beside contents",
        None if status == 400 else f"{status}: {text}",
    )
    report.check(
        "counting",
        "AWS's client counts",
        lambda: None if bedrock_by_boto(url, "text", "count") == 4242 else "another number",
    )


def check_aws(report, url):
    def reads(name, form, wanted):
        found = bedrock_by_boto(url, name, form)
        return None if wanted(found) else f"found {found}"

    report.check(
        "aws",
        "AWS's client signs and reads a whole answer",
        reads,
        "text",
        "whole",
        lambda found: found["content"][0]["text"] == "Hello there.",
    )
    report.check(
        "aws",
        "AWS's client reads the frames",
        reads,
        "tool",
        "stream",
        lambda found: found[-1]["type"] == "message_stop",
    )
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    report.check("aws", "AWS's client signs an ARN", reads, arn, "whole", lambda found: found["type"] == "message")
    report.check(
        "aws",
        "AWS's client signs an id with a colon",
        reads,
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "whole",
        lambda found: found["type"] == "message",
    )
    for name, wanted in [("throttling-exception-later", "words of"), ("checksum", "hecksum")]:
        try:
            bedrock_by_boto(url, name, "stream")
            fault = "no error"
        except Exception as error:  # any class of botocore's
            fault = None if wanted in f"{type(error).__name__} {error}" else error
        report.add("aws", f"AWS's client raises `{name}`", fault)


def check_token(report, url, key, account):
    from google.auth.transport.requests import Request
    from google.oauth2.service_account import Credentials

    def token(found):
        credentials = Credentials.from_service_account_info(
            found, scopes=["https://www.googleapis.com/auth/cloud-platform"]
        )
        credentials.refresh(Request())
        return None if credentials.token == gemini.TOKEN else credentials.token

    report.check("token", "Google's client gets a token for a service account", token, account)
    from make_config import service_account

    _, other = service_account(url)
    try:
        token(other)
        fault = "a token"
    except Exception as error:  # google.auth's own classes
        fault = None if "Invalid JWT Signature" in str(error) else error
    report.add("token", "a service account with another key gets no token", fault)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schemas")
    parser.add_argument("--only", choices=[*TABLES, "judges"])
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    from make_config import service_account

    report = Report("fakes", options.verbose)
    server = Server(("127.0.0.1", 0), None)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    public, account = service_account(url)
    fakes = Fakes(options.schemas, public)
    server.RequestHandlerClass = handler(fakes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for family, table in TABLES.items():
        if options.only not in (None, family):
            continue
        for scenario in table.values():
            for form in ("whole", "stream"):
                if getattr(scenario, form) is not None:
                    check_scenario(report, url, fakes.schemas, family, form, scenario)
    if options.only in (None, "judges"):
        check_judges(report, url)
        check_counts(report, url)
        check_aws(report, url)
        check_token(report, url, public, account)
    finish(report)


if __name__ == "__main__":
    main()
