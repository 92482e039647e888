"""Reads the fakes with the providers' own SDKs and reduces their answers to neutral parts.

Each reader returns (blocks, stop, usage). It raises whatever the SDK raises.
"""

import json

import anthropic
import boto3
import openai
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from fakes import chat, claude, gemini, sigv4
from meaning import parsed

HI = [{"role": "user", "content": "Say hello."}]
STOPS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}


def chat_client(url, flavor, timeout):
    if flavor == "azure":
        return openai.OpenAI(
            base_url=f"{url}/azure/openai/v1",
            api_key="none",
            default_headers={"api-key": chat.KEY},
            max_retries=0,
            timeout=timeout,
        )
    return openai.OpenAI(base_url=f"{url}/{flavor}/v1", api_key=chat.KEY, max_retries=0, timeout=timeout)


def chat_usage(usage):
    if usage is None:
        return {}
    details = usage.prompt_tokens_details
    cached, written = ((details and getattr(details, name, 0)) or 0 for name in ("cached_tokens", "cache_write_tokens"))
    cached = cached or getattr(usage, "prompt_cache_hit_tokens", 0) or 0
    thoughts = (usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens) or 0
    beside = thoughts if usage.total_tokens == usage.prompt_tokens + usage.completion_tokens + thoughts else 0
    return {
        "input_tokens": max(0, usage.prompt_tokens - cached - written),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": usage.completion_tokens + beside,
        "thinking_tokens": thoughts,
    }


def chat_stop(finish, calls, refusal, extra):
    if refusal:
        return "refusal"
    if isinstance(extra, str):
        return "stop_sequence"
    stop = STOPS.get(finish, "end_turn")
    if stop in ("end_turn", "tool_use"):
        return "tool_use" if calls else "end_turn"
    return stop


def chat_whole(url, name, flavor, timeout):
    done = chat_client(url, flavor, timeout).chat.completions.create(model=f"scenario-{name}", messages=HI)
    choice = next(one for one in done.choices if one.index == 0)
    said = choice.message
    blocks = [("text", text) for text in (said.content, said.refusal) if text]
    calls = [("tool_use", call.function.name, parsed(call.function.arguments)) for call in said.tool_calls or []]
    return (
        blocks + calls,
        chat_stop(choice.finish_reason, calls, said.refusal, getattr(choice, "stop_reason", None)),
        chat_usage(done.usage),
    )


def chat_stream(url, name, flavor, timeout):
    opened = chat_client(url, flavor, timeout).chat.completions.create(
        model=f"scenario-{name}", messages=HI, stream=True
    )
    text, refusal, calls, finish, usage, extra = "", "", {}, None, None, None
    pieces = []
    for chunk in opened:
        usage = chunk.usage or usage
        for choice in chunk.choices or []:
            if choice.index != 0:
                continue
            pieces.append(choice.delta.content or "")
            refusal += choice.delta.refusal or ""
            finish = choice.finish_reason or finish
            extra = getattr(choice, "stop_reason", None) or extra
            for piece in choice.delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"name": "", "arguments": []})
                call["name"] += piece.function.name or ""
                call["arguments"].append(piece.function.arguments or "")
    text = "".join(pieces)
    blocks = [("text", one) for one in (text, refusal) if one]
    found = [("tool_use", call["name"], parsed("".join(call["arguments"]))) for call in calls.values()]
    return blocks + found, chat_stop(finish, found, refusal, extra), chat_usage(usage)


def responses_usage(usage):
    if usage is None:
        return {}
    details = usage.input_tokens_details
    written = getattr(details, "cache_write_tokens", 0) or 0
    return {
        "input_tokens": usage.input_tokens - details.cached_tokens - written,
        "cache_read_input_tokens": details.cached_tokens,
        "cache_creation_input_tokens": written,
        "output_tokens": usage.output_tokens,
        "thinking_tokens": usage.output_tokens_details.reasoning_tokens,
    }


def responses_items(output):
    blocks, refused = [], False
    for item in output:
        if item.type == "reasoning":
            texts = [part.text for part in item.summary] + [part.text for part in item.content or []]
            blocks.append(("thinking", "\n\n".join(texts)))
        elif item.type == "message":
            for part in item.content:
                refused |= part.type == "refusal"
                blocks.append(("text", part.refusal if part.type == "refusal" else part.text))
        elif item.type == "function_call":
            blocks.append(("tool_use", item.name, parsed(item.arguments)))
    return blocks, refused


def responses_end(response, blocks, refused):
    if response.status not in ("completed", "incomplete"):
        raise RuntimeError(f"status {response.status}: {response.error}")
    stop = "tool_use" if any(block[0] == "tool_use" for block in blocks) else "refusal" if refused else "end_turn"
    if response.incomplete_details:
        stop = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}.get(
            response.incomplete_details.reason, "end_turn"
        )
    return blocks, stop, responses_usage(response.usage)


def responses_call(url, name, timeout, **more):
    client = openai.OpenAI(base_url=f"{url}/openai/v1", api_key=chat.KEY, max_retries=0, timeout=timeout)
    return client.responses.create(model=f"scenario-{name}", input="Say hello.", store=False, **more)


def responses_whole(url, name, _, timeout):
    done = responses_call(url, name, timeout)
    blocks, refused = responses_items(done.output)
    return responses_end(done, blocks, refused)


def responses_stream(url, name, _, timeout):
    """Builds every item from its deltas, and compares it with the item that comes at the end."""
    last, texts, calls = None, {}, {}
    for event in responses_call(url, name, timeout, stream=True):
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            last = event.response
        elif event.type in ("response.output_text.delta", "response.refusal.delta"):
            texts.setdefault((event.output_index, event.content_index), []).append(event.delta)
        elif event.type == "response.output_item.added" and event.item.type == "function_call":
            calls[event.output_index] = []
        elif event.type == "response.function_call_arguments.delta":
            calls[event.output_index].append(event.delta)
        elif event.type == "response.function_call_arguments.done":
            calls[event.output_index] = [event.arguments]
        elif event.type == "error":
            raise RuntimeError(event.message)
    if last is None:
        raise RuntimeError("the stream has no end")
    blocks, refused = responses_items(last.output)
    seen = ["".join(text) for _, text in sorted(texts.items())]
    assert seen == [block[1] for block in blocks if block[0] == "text"], f"deltas {seen!r} differ from the end"
    arguments = [parsed("".join(pieces)) for _, pieces in sorted(calls.items())]
    assert arguments == [block[2] for block in blocks if block[0] == "tool_use"], "arguments differ from the end"
    return responses_end(last, blocks, refused)


def gemini_client(url, backend, timeout):
    options = types.HttpOptions(
        base_url=f"{url}/{'studio' if backend != 'vertex' else 'vertexai'}",
        api_version="v1beta",
        timeout=int(timeout * 1000),
    )
    if backend == "vertex":
        return genai.Client(
            vertexai=True,
            project="p",
            location="us-central1",
            credentials=Credentials(token=gemini.TOKEN),
            http_options=options,
        )
    return genai.Client(api_key=gemini.KEY, http_options=options)


REFUSALS = set(gemini.FILTERS)


def gemini_parts(chunks):
    blocks, finish, usage, blocked = [], None, None, None
    for chunk in chunks:
        usage = chunk.usage_metadata or usage
        blocked = blocked or (chunk.prompt_feedback and chunk.prompt_feedback.block_reason)
        for candidate in (chunk.candidates or [])[:1]:
            finish = candidate.finish_reason or finish
            for part in (candidate.content and candidate.content.parts) or []:
                if part.function_call:
                    blocks.append(("tool_use", part.function_call.name, part.function_call.args or {}))
                elif part.text:
                    blocks.append(("thinking" if part.thought else "text", part.text))
    return blocks, finish, usage, blocked


def gemini_read(chunks):
    blocks, finish, usage, blocked = gemini_parts(chunks)
    value = finish.value if finish else None
    calls = any(block[0] == "tool_use" for block in blocks)
    if blocked or value in REFUSALS:
        stop = "refusal"
    elif value in ("MAX_TOKENS", "CONTINUATION"):
        stop = "max_tokens"
    elif value in ("STOP", "OTHER"):
        stop = "tool_use" if calls else "end_turn"
    else:
        raise RuntimeError(f"finish reason {value}")
    counts = {}
    if usage:
        prompt, cached, said, thought, tools = (
            (getattr(usage, name) or 0)
            for name in (
                "prompt_token_count",
                "cached_content_token_count",
                "candidates_token_count",
                "thoughts_token_count",
                "tool_use_prompt_token_count",
            )
        )
        counts = {
            "input_tokens": prompt - cached + tools,
            "cache_read_input_tokens": cached,
            "output_tokens": said + thought,
            "thinking_tokens": thought,
        }
    return blocks, stop, counts


def gemini_whole(url, name, backend, timeout):
    client = gemini_client(url, backend, timeout)
    return gemini_read(
        [client.models.generate_content(model=f"gemini-3.5-flash-scenario-{name}", contents="Say hello.")]
    )


def gemini_stream(url, name, backend, timeout):
    client = gemini_client(url, backend, timeout)
    return gemini_read(
        list(client.models.generate_content_stream(model=f"gemini-3.5-flash-scenario-{name}", contents="Say hello."))
    )


def claude_client(url, family, timeout):
    if family == "bedrock":
        return anthropic.AnthropicBedrock(
            aws_access_key=sigv4.ACCESS,
            aws_secret_key=sigv4.SECRET,
            aws_session_token=sigv4.SESSION,
            aws_region=claude.REGION,
            base_url=f"{url}/bedrock",
            max_retries=0,
            timeout=timeout,
        )
    if family == "vertex":
        return anthropic.AnthropicVertex(
            region="global",
            project_id="p",
            access_token=gemini.TOKEN,
            base_url=f"{url}/claude/v1",
            max_retries=0,
            timeout=timeout,
        )
    return anthropic.AnthropicFoundry(
        api_key=claude.FOUNDRY_KEY, base_url=f"{url}/foundry/anthropic/", max_retries=0, timeout=timeout
    )


def claude_model(family, name):
    return f"anthropic.claude-sonnet-5-scenario-{name}" if family == "bedrock" else f"claude-sonnet-5-scenario-{name}"


def claude_message(message):
    blocks = []
    for block in message.content:
        blocks.append(
            ("tool_use", block.name, block.input)
            if block.type == "tool_use"
            else (block.type, getattr(block, block.type))
        )
    if message.stop_reason is None:
        raise RuntimeError("the message has no stop_reason")
    return blocks, message.stop_reason, message.usage.model_dump()


def claude_whole(url, name, family, timeout):
    with claude_client(url, family, timeout) as client:
        return claude_message(client.messages.create(model=claude_model(family, name), max_tokens=100, messages=HI))


def claude_stream(url, name, family, timeout):
    with claude_client(url, family, timeout) as client:
        with client.messages.stream(model=claude_model(family, name), max_tokens=100, messages=HI) as opened:
            names = [event.type for event in opened]
            assert names[-1] == "message_stop", f"the stream ends with {names[-1]}"
            return claude_message(opened.get_final_message())


def bedrock_by_boto(url, name, form):
    """AWS's own client: signs, and reads frames with botocore's parser."""
    client = boto3.client(
        "bedrock-runtime",
        region_name=claude.REGION,
        endpoint_url=f"{url}/bedrock",
        aws_access_key_id=sigv4.ACCESS,
        aws_secret_access_key=sigv4.SECRET,
        aws_session_token=sigv4.SESSION,
    )
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": HI})
    if form == "count":
        return client.count_tokens(
            modelId="anthropic.claude-sonnet-4-5-20250929-v1:0", input={"invokeModel": {"body": body}}
        )["inputTokens"]
    model = name if name.startswith(("arn:", "anthropic.")) else claude_model("bedrock", name)
    if form == "whole":
        return json.loads(client.invoke_model(modelId=model, body=body)["body"].read())
    opened = client.invoke_model_with_response_stream(modelId=model, body=body)["body"]
    return [json.loads(event["chunk"]["bytes"]) for event in opened]


READERS = {
    ("chat", "whole"): chat_whole,
    ("chat", "stream"): chat_stream,
    ("responses", "whole"): responses_whole,
    ("responses", "stream"): responses_stream,
    ("gemini", "whole"): gemini_whole,
    ("gemini", "stream"): gemini_stream,
    **{
        (family, form): reader
        for family in ("bedrock", "vertex", "foundry")
        for form, reader in (("whole", claude_whole), ("stream", claude_stream))
    },
}
