"""What `llm-comply` finds, a public checker of the Messages API: a line of output a check.

Runs inside a virtualenv that `run.py` made. The gateway is in `TIDEGATE_URL`; `TIDEGATE_KEY` is a key whose requests the
simulator answers. The keys of `TIDEGATE_ANSWERED_KEY` and `TIDEGATE_LOOPED_KEY` belong to callers whose requests a policy
answers, or sends through a turn of a hidden tool first. `TIDEGATE_MODEL` is a model that a simulator answers.

The checker holds whole answers against the schemas that the API publishes, but no stream. Here each of its cases runs a
second time as a stream, every event is held against its schema, and so is the message that the events stand for.
"""

import dataclasses
import importlib.resources
import json
import os
import urllib.request

from llm_comply.config import ComplianceConfig
from llm_comply.result import TestStatus
from llm_comply.runner import TestRunner
from llm_comply.schema import SpecLoader
from llm_comply.test_case import TestCase, TestCategory, ValidatorContext
from llm_comply.tests import get_tests
from llm_comply.validators import anth_has_content, anth_has_usage, anth_stop_reason

URL = os.environ["TIDEGATE_URL"].rstrip("/")
# the checker skips what it believes that other models cannot do
THINKER = "claude-sonnet-4"
VERSION = {"anthropic-version": "2023-06-01"}
# the blocks of a tool loop are those of this beta
BETA = {**VERSION, "anthropic-beta": "mcp-client-2025-11-20"}
SPEC = SpecLoader(str(importlib.resources.files("llm_comply") / "specs" / "anthropic.json"))
EVENTS = {
    "message_start": "MessageStartEvent",
    "content_block_start": "ContentBlockStartEvent",
    "content_block_delta": "ContentBlockDeltaEvent",
    "content_block_stop": "ContentBlockStopEvent",
    "message_delta": "MessageDeltaEvent",
    "message_stop": "MessageStopEvent",
}


def folded(events):
    """The message that the events of a stream stand for."""
    message = {}
    for event in (event["data"] for event in events):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append({**event["content_block"], "partial": ""})
            case "content_block_delta":
                add(message["content"][-1], event["delta"])
            case "content_block_stop":
                close(message["content"][-1])
            case "message_delta":
                message.update(event["delta"])
                known = {name: value for name, value in event["usage"].items() if value is not None}
                message["usage"].update(known)
                message.update({name: event[name] for name in event if name not in ("type", "delta", "usage")})
    return message


def add(block, delta):
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "citations_delta":
            block["citations"].append(delta["citation"])
        case "input_json_delta":
            block["partial"] += delta["partial_json"]


def close(block):
    partial = block.pop("partial")
    if partial:
        block["input"] = json.loads(partial)


def streamed(case):
    """The same case as a stream, each event and the message held against their schemas."""
    schema, validators = case.schema_name, case.validators
    prefix = "Beta" if schema.startswith("Beta") else ""

    def fits(_, context):
        errors = []
        for event in context.sse_events:
            if event["type"] == "ping":
                continue
            wrong = SPEC.validate(event["data"], prefix + EVENTS[event["type"]])
            errors += [f"{event['type']}: {error}" for error in wrong]
        message = folded(context.sse_events)
        errors += SPEC.validate(message, schema)
        for validator in validators:
            errors += validator(message, ValidatorContext())
        return errors

    return dataclasses.replace(
        case,
        id=f"{case.id}-streamed",
        name=f"{case.name}, streamed",
        streaming=True,
        schema_name=None,
        validate_stream_events=False,
        validators=[fits],
    )


def tool_loop():
    """A request that declares a tool of the gateway, and has the simulator call it."""

    def request(config):
        text = 'what time is it? [sim: call datetime {"timezones": ["Asia/Tokyo"]}]'
        messages = [{"role": "user", "content": text}]
        return {"model": config.model, "max_tokens": 1024, "messages": messages, "tools": [{"type": "gateway:datetime"}]}

    def has_blocks(message, _):
        found = [block["type"] for block in message["content"]]
        wanted = ["text", "mcp_tool_use", "mcp_tool_result", "text"]
        return [] if found == wanted else [f"the blocks are {found}, not {wanted}"]

    return TestCase(
        id="tool-loop",
        name="Tool Loop",
        description="a tool of the gateway that the caller declares",
        category=TestCategory.TOOLS,
        endpoint="/messages",
        schema_name="BetaMessage",
        build_request=request,
        validators=[anth_has_content, has_blocks, anth_stop_reason("end_turn"), anth_has_usage],
    )


def stable_loop():
    """The same without the beta: all but the blocks that only the beta has is as without it."""

    def fits(message, _):
        loop = [block for block in message["content"] if block["type"].startswith("mcp_")]
        rest = [block for block in message["content"] if not block["type"].startswith("mcp_")]
        errors = SPEC.validate({**message, "content": rest}, "Message")
        for block in loop:
            errors += SPEC.validate(block, "BetaContentBlock")
        return errors

    case = tool_loop()
    return dataclasses.replace(
        case, id="tool-loop-stable", name="Tool Loop without the beta", schema_name=None, validators=[*case.validators, fits]
    )


def config(key, model, headers=VERSION):
    return ComplianceConfig(
        base_url=f"{URL}/v1",
        api_key=key,
        model=model,
        auth_header="x-api-key",
        use_bearer_prefix=False,
        extra_headers=headers,
        # the runner keeps answers only then
        verbose=True,
    )


def run(who, settings, cases):
    runner = TestRunner(settings, cases, SPEC)
    for case in cases:
        result = runner.run_one(case)
        refusal = result.response.get("error") if isinstance(result.response, dict) else None
        errors = result.errors + result.warnings + ([refusal["message"]] if refusal and result.errors else [])
        told = " ".join("; ".join(errors).split())
        outcome = {TestStatus.PASSED: "ok", TestStatus.FAILED: "FAIL", TestStatus.SKIPPED: "skip"}[result.status]
        print(f"{outcome} {who}: {case.name}{': ' if told else ''}{told[:600]}", flush=True)


def models(settings):
    """The list of models, and each of them alone."""
    errors = []
    for path in ("/models", f"/models/{settings.model}"):
        headers = {settings.auth_header: settings.auth_value, **settings.extra_headers}
        request = urllib.request.Request(settings.base_url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found = json.load(answer)
        errors += SPEC.validate(found, "ListResponse_ModelInfo_" if path == "/models" else "ModelInfo")
    print("FAIL models: " + "; ".join(errors) if errors else "ok models", flush=True)


def main():
    key, model = os.environ["TIDEGATE_KEY"], os.environ["TIDEGATE_MODEL"]
    # a gateway that was started here knows every name
    thinker = THINKER if "TIDEGATE_ANSWERED_KEY" in os.environ else model
    cases = list(get_tests("anthropic"))
    cases += [streamed(case) for case in cases if case.schema_name]
    run("simulator", config(key, thinker), cases)
    for who, name in (("a policy that answers", "TIDEGATE_ANSWERED_KEY"), ("a hidden tool", "TIDEGATE_LOOPED_KEY")):
        if name in os.environ:
            run(who, config(os.environ[name], thinker), cases)
        else:
            print(f"skip {who}: the gateway was not started here", flush=True)
    loop = tool_loop()
    run("a declared tool", config(key, model, BETA), [loop, streamed(loop)])
    run("a declared tool", config(key, model), [stable_loop()])
    models(config(key, model))
    print("end")


main()
