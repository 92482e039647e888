"""Good and bad requests for the judges: each bad one with words of the refusal that it must get."""

import base64
import copy
import json

from fakes.gemini_judge import SIGNATURES
from fakes.responses_parts import SEALED

PNG = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}'}}]
HISTORY = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": CALLS}, {"role": "tool", "tool_call_id": "call_1", "content": "done"}]
CHAT = {"model": "gpt-4.1", "max_completion_tokens": 100, "messages": [{"role": "system", "content": "Be brief."}, *HISTORY], "tools": [FUNCTION], "tool_choice": "auto"}
PLAIN = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}

FLAT = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": False}
CALLED = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
REASONED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED}
RESPONSES = {
    "model": "gpt-6.1-sol", "store": False, "instructions": "Be brief.", "max_output_tokens": 100, "include": ["reasoning.encrypted_content"], "tools": [FLAT],
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, REASONED, CALLED,
              {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": PNG, "detail": "auto"}]}],
}

DECLARED = {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {}}}
GEMINI_CALL = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": SIGNATURES["studio"]}
GEMINI_ANSWER = {"functionResponse": {"name": "f", "response": {"output": "x"}}}
GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "so", "thought": True}, GEMINI_CALL]}, {"role": "user", "parts": [GEMINI_ANSWER]}],
    "systemInstruction": {"parts": [{"text": "Be brief."}]}, "tools": [{"functionDeclarations": [DECLARED]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {"maxOutputTokens": 100, "stopSequences": ["a", "b", "c", "d", "e"], "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}},
}
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "anthropic_beta": ["effort-2025-11-24"]}


def edited(body, **changes):
    """A copy with other values at paths such as `messages__0__content`; `...` removes."""
    found = copy.deepcopy(body)
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("__")]
        place = found
        for step in steps:
            place = place[step]
        if value is ...:
            del place[last]
        elif isinstance(last, int) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return found


IMAGE = {"type": "image_url", "image_url": {"url": PNG}}
TOOL_IMAGE = [{"type": "text", "text": "see"}, IMAGE]
STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}

# a family, a flavor or model, a sentence, a body, words of the refusal (None: accepted)
CASES = [
    ("chat", "openai", "a good request", CHAT, None),
    ("chat", "openai", "parts, an image and a file", edited(CHAT, messages__1__content=[{"type": "text", "text": "hi"}, IMAGE, {"type": "file", "file": {
        "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}]), None),
    ("chat", "openai", "an image in a tool message", edited(CHAT, messages__3__content=TOOL_IMAGE), "nvalid"),
    ("chat", "openai", "an unknown key", edited(CHAT, top_k=5), "top_k"),
    ("chat", "openai", "cache_control of a part", edited(CHAT, messages__1__content=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]), "cache_control"),
    ("chat", "openai", "tool_choice any", edited(CHAT, tool_choice="any"), "any"),
    ("chat", "openai", "arguments as an object", edited(CHAT, messages__2__tool_calls__0__function__arguments={}), "not of type 'string'"),
    ("chat", "openai", "arguments \"\"", edited(CHAT, messages__2__tool_calls__0__function__arguments=""), "no JSON object"),
    ("chat", "openai", "5 stops", edited(CHAT, stop=list("abcde")), "maximum length 4"),
    ("chat", "openai", "an id of 41 characters", edited(CHAT, messages__2__tool_calls__0__id="c" * 41), "maximum length 40"),
    ("chat", "openai", "a name of 65 characters", edited(CHAT, tools__0__function__name="f" * 65), "maximum length 64"),
    ("chat", "openai", "a name with a dot", edited(CHAT, tools__0__function__name="f.g"), "does not match pattern"),
    ("chat", "openai", "129 tools", edited(CHAT, tools=[edited(FUNCTION, function__name=f"f{n}") for n in range(129)]), "maximum length 128"),
    ("chat", "openai", "a call without its answer", edited(CHAT, messages__3=...), "must be followed by tool messages"),
    ("chat", "openai", "a user message between call and answer", edited(CHAT, messages__3={"role": "user", "content": "x"}), "must be followed by tool messages"),
    ("chat", "openai", "an answer without a call", edited(CHAT, messages__3__tool_call_id="call_2"), "preceeding message"),
    ("chat", "openai", "tool_choice without tools", edited(CHAT, tools=...), "only allowed when 'tools'"),
    ("chat", "openai", "no messages", edited(CHAT, messages=[]), "empty array"),
    ("chat", "openai", "a schema without type", edited(CHAT, tools__0__function__parameters={"properties": {}}), "got 'type: \"None\"'"),
    ("chat", "openai", "a schema with anyOf at the root", edited(CHAT, tools__0__function__parameters={"type": "object", "anyOf": []}), "anyOf"),
    ("chat", "openai", "input_examples inside the schema", edited(CHAT, tools__0__function__parameters={"type": "object", "properties": {}, "input_examples": []}), "input_examples"),
    ("chat", "openai", "strict with an optional property", edited(CHAT, tools__0__function__strict=True, tools__0__function__parameters=STRICT), "Missing 'a'"),
    ("chat", "openai", "strict as OpenAI wants it", edited(CHAT, tools__0__function__strict=True, tools__0__function__parameters={**STRICT, "required": ["a"]}), None),
    ("chat", "openai", "both limits", edited(CHAT, max_tokens=5), "at the same time"),
    ("chat", "openai", "max_tokens", edited(CHAT, max_tokens=5, max_completion_tokens=...), "max_completion_tokens"),
    ("chat", "openai", "stream_options without a stream", edited(CHAT, stream_options={"include_usage": True}), "stream_options"),
    ("chat", "openai", "effort max", edited(CHAT, reasoning_effort="max"), "Supported values"),
    ("chat", "openai", "effort with tools on a new model", edited(CHAT, model="gpt-5.6-sol", reasoning_effort="high"), "Function tools with reasoning_effort"),
    ("chat", "openai", "stop on a reasoning model", edited(CHAT, model="gpt-5.4-mini", stop=["x"]), "'stop' is not supported"),
    ("chat", "openai", "a temperature on a reasoning model", edited(CHAT, model="gpt-5.4-mini", temperature=0.5), "does not support 0.5"),
    ("chat", "openai", "a user of 65 characters", edited(CHAT, safety_identifier="x" * 65), "maximum length 64"),
    ("chat", "openai", "an assistant message without content", edited(CHAT, messages__2={"role": "assistant", "content": None}, messages__3=...), "expected a string, got null"),
    ("chat", "openai", "an image of a wrong kind", edited(CHAT, messages__1__content=[edited(IMAGE, image_url__url="data:image/bmp;base64,AAAA")]), "Invalid base64 image_url"),
    ("chat", "openai", "Anthropic's fields", edited(CHAT, thinking={"type": "adaptive"}), "thinking"),
    ("chat", "generic", "a plain request", PLAIN, None),
    ("chat", "generic", "max_completion_tokens", edited(PLAIN, max_tokens=..., max_completion_tokens=5), "max_completion_tokens"),
    ("chat", "generic", "system in the middle", edited(PLAIN, messages__1={"role": "system", "content": "x"}), "must be at the beginning"),
    ("chat", "generic", "system as parts", edited(PLAIN, messages=[{"role": "system", "content": [{"type": "text", "text": "x"}]}, {"role": "user", "content": "x"}]), "expected a string"),
    ("chat", "generic", "metadata of OpenAI", edited(PLAIN, safety_identifier="x"), "safety_identifier"),
    ("chat", "vllm", "fields of vLLM", edited(PLAIN, top_k=5, chat_template_kwargs={"enable_thinking": True}), None),
    ("chat", "ollama", "an image by URL", edited(PLAIN, messages__0__content=[edited(IMAGE, image_url__url="https://x/y.png")]), "invalid image input"),
    ("chat", "ollama", "a tool_choice", edited(PLAIN, tools=[FUNCTION], tool_choice="auto"), "tool_choice"),
    ("chat", "deepseek", "a call without its reasoning", edited(PLAIN, messages=HISTORY, tools=[FUNCTION]), "must be passed back"),
    ("chat", "deepseek", "a call with its reasoning", edited(PLAIN, messages=[HISTORY[0], {**HISTORY[1], "reasoning_content": ""}, HISTORY[2]], tools=[FUNCTION]), None),
    ("chat", "deepseek", "a JSON schema", edited(PLAIN, response_format={"type": "json_schema", "json_schema": {"name": "o", "schema": {}}}), "unavailable"),
    ("chat", "deepseek", "json_object without the word", edited(PLAIN, response_format={"type": "json_object"}), "must contain the word"),
    ("chat", "openrouter", "reasoning and its details", edited(PLAIN, reasoning={"effort": "high"}, messages__1={"role": "assistant", "content": "x", "reasoning_details": []}), None),
    ("responses", "openai", "a good request", RESPONSES, None),
    ("responses", "openai", "a stop", edited(RESPONSES, stop=["x"]), "Unknown parameter: 'stop'"),
    ("responses", "openai", "a tool as Chat has it", edited(RESPONSES, tools__0=FUNCTION), "Invalid request"),
    ("responses", "openai", "a tool without strict", edited(RESPONSES, tools__0__strict=...), "strict"),
    ("responses", "openai", "an image as an object", edited(RESPONSES, input__0__content__0={"type": "input_image", "image_url": {"url": PNG}}), "Invalid request"),
    ("responses", "openai", "max_output_tokens 15", edited(RESPONSES, max_output_tokens=15), ">= 16"),
    ("responses", "openai", "reasoning that leads to nothing", edited(RESPONSES, input=[RESPONSES["input"][0], REASONED]), "required following item"),
    ("responses", "openai", "a call without output", edited(RESPONSES, input__3=...), "No tool output found"),
    ("responses", "openai", "an output without a call", edited(RESPONSES, input=[RESPONSES["input"][0], RESPONSES["input"][3]]), "No tool call found"),
    ("responses", "openai", "foreign reasoning", edited(RESPONSES, input__1__encrypted_content="gAAAforeign"), "could not be verified"),
    ("responses", "openai", "reasoning without its content", edited(RESPONSES, input__1__encrypted_content=...), "not found"),
    ("responses", "openai", "a wrong id of reasoning", edited(RESPONSES, input__1__id="x1"), "begins with 'rs'"),
    ("responses", "openai", "store left out", edited(RESPONSES, store=...), "store"),
    ("responses", "openai", "cache_control", edited(RESPONSES, input__0__content__0__cache_control={"type": "ephemeral"}), "Invalid request"),
    ("responses", "openai", "a temperature on a reasoning model", edited(RESPONSES, temperature=0.3), "temperature"),
    ("gemini", "gemini-3.5-flash", "a good request", GEMINI, None),
    ("gemini", "gemini-3.5-flash", "args as a string", edited(GEMINI, contents__1__parts__1__functionCall__args="{}"), "not of type 'object'"),
    ("gemini", "gemini-3.5-flash", "an unknown key", edited(GEMINI, maxTokens=1), "maxTokens"),
    ("gemini", "gemini-3.5-flash", "a mode in lower case", edited(GEMINI, toolConfig__functionCallingConfig__mode="any"), "any"),
    ("gemini", "gemini-3.5-flash", "snake case", edited(GEMINI, generationConfig__max_output_tokens=1), "camelCase"),
    ("gemini", "gemini-3.5-flash", "oneOf in parameters", edited(GEMINI, tools__0__functionDeclarations__0={"name": "f", "parameters": {"type": "OBJECT", "oneOf": []}}), "oneOf"),
    ("gemini", "gemini-3.5-flash", "two user contents", edited(GEMINI, contents__1={"role": "user", "parts": [{"text": "x"}]}), "alternate"),
    ("gemini", "gemini-3.5-flash", "two answers to one call", edited(GEMINI, contents__2__parts=[GEMINI_ANSWER, GEMINI_ANSWER]), "number of function response parts"),
    ("gemini", "gemini-3.5-flash", "an answer with another name", edited(GEMINI, contents__2__parts__0__functionResponse__name="g"), "order of the function calls"),
    ("gemini", "gemini-3.5-flash", "an answer without a response", edited(GEMINI, contents__2__parts__0__functionResponse__response=...), "response"),
    ("gemini", "gemini-3.5-flash", "a call without its signature", edited(GEMINI, contents__1__parts__1__thoughtSignature=...), "missing a thought_signature"),
    ("gemini", "gemini-2.5-flash", "2.5 needs no signature", edited(GEMINI, contents__1__parts__1__thoughtSignature=..., generationConfig__thinkingConfig={"thinkingBudget": 0}), None),
    ("gemini", "gemini-3.5-flash", "a call of an earlier turn needs no signature", edited(GEMINI, contents__1__parts__1__thoughtSignature=..., contents__3={"role": "model", "parts": [{"text": "x"}]},
                                                                                      contents__4={"role": "user", "parts": [{"text": "y"}]}), None),
    ("gemini", "gemini-3.5-flash", "the placeholder", edited(GEMINI, contents__1__parts__1__thoughtSignature="skip_thought_signature_validator"), None),
    ("gemini", "gemini-3.5-flash", "the other backend's signature", edited(GEMINI, contents__1__parts__1__thoughtSignature=SIGNATURES["vertex"]), "Corrupted thought signature"),
    ("gemini", "gemini-3.5-flash", "an empty text", edited(GEMINI, contents__0__parts__1={"text": ""}), "text parameter"),
    ("gemini", "gemini-3.5-flash", "6 stop sequences", edited(GEMINI, generationConfig__stopSequences=list("abcdef")), "at most 5"),
    ("gemini", "gemini-3.5-flash", "a budget on 3.x", edited(GEMINI, generationConfig__thinkingConfig={"thinkingBudget": 1024}), "budget is not supported"),
    ("gemini", "gemini-2.5-pro", "a level on 2.5", edited(GEMINI), "level is not supported"),
    ("gemini", "gemini-2.5-pro", "a budget of 0 on 2.5 Pro", edited(GEMINI, generationConfig__thinkingConfig={"thinkingBudget": 0}), "budget 0 is invalid"),
    ("gemini", "gemini-3.8-flash", "MINIMAL on 3.8", edited(GEMINI, generationConfig__thinkingConfig={"thinkingLevel": "MINIMAL"}), "MINIMAL"),
    ("gemini", "gemini-3.5-flash", "two Tools of functions", edited(GEMINI, tools__1={"functionDeclarations": [{**DECLARED, "name": "g"}]}), "Multiple tools"),
    ("gemini", "gemini-3.5-flash", "a function and a search in one Tool", edited(GEMINI, tools__0__googleSearch={}), "one type per Tool"),
    ("gemini", "gemini-3.5-flash", "a name with a space", edited(GEMINI, tools__0__functionDeclarations__0__name="f g"), "Invalid function name"),
    ("gemini", "gemini-3.5-flash", "a file without its type", edited(GEMINI, contents__0__parts__1={"fileData": {"fileUri": "https://x/y.pdf"}}), "mimeType"),
    ("gemini", "gemini-3.5-flash", "labels on AI Studio", edited(GEMINI, labels={"a": "b"}), "labels"),
    ("gemini-vertex", "gemini-3.5-flash", "an id on Vertex", edited(GEMINI, contents__1__parts__1={"functionCall": {"name": "f", "args": {}, "id": "1"}}), "id"),
    ("gemini-vertex", "gemini-2.5-flash", "labels on Vertex", edited(GEMINI, labels={"a": "b"}, generationConfig__thinkingConfig=..., contents__1__parts__1__thoughtSignature=...), None),
    ("bedrock", "anthropic.claude-sonnet-5", "a good request", CLAUDE, None),
    ("bedrock", "anthropic.claude-sonnet-5", "model in the body", edited(CLAUDE, model="x"), "model: Extra inputs"),
    ("bedrock", "anthropic.claude-sonnet-5", "stream in the body", edited(CLAUDE, stream=True), "stream: Extra inputs"),
    ("bedrock", "anthropic.claude-sonnet-5", "no version", edited(CLAUDE, anthropic_version=...), "anthropic_version"),
    ("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", "the new version on an old model", edited(CLAUDE, anthropic_version="2026-10-21", temperature=...), "does not support"),
    ("bedrock", "anthropic.claude-sonnet-5", "a temperature with the new version", edited(CLAUDE, anthropic_version="2026-10-21"), "temperature"),
    ("bedrock", "anthropic.claude-sonnet-5", "a beta that Bedrock lacks", edited(CLAUDE, anthropic_beta=["interleaved-thinking-2025-05-14"]), "invalid beta flag"),
    ("bedrock", "anthropic.claude-sonnet-5", "betas as one string", edited(CLAUDE, anthropic_beta=["a,b"]), "valid list"),
    ("bedrock", "anthropic.claude-sonnet-5", "a scope of the cache", edited(CLAUDE, system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "global"}}]), "scope"),
    ("bedrock", "anthropic.claude-sonnet-5", "thinking of another upstream", edited(CLAUDE, messages__1={"role": "assistant", "content": [
        {"type": "thinking", "thinking": "x", "signature": "tidegate.abc"}]}), "Invalid `signature`"),
    ("vertex", "claude-sonnet-5", "a good request", edited(CLAUDE, anthropic_version="vertex-2023-10-16", anthropic_beta=...), None),
    ("vertex", "claude-sonnet-5", "betas in the body", edited(CLAUDE, anthropic_version="vertex-2023-10-16"), "anthropic_beta"),
    ("vertex", "claude-sonnet-5", "Bedrock's version", edited(CLAUDE, anthropic_beta=...), "anthropic_version"),
    ("vertex", "claude-sonnet-5", "model in the body", edited(CLAUDE, anthropic_version="vertex-2023-10-16", anthropic_beta=..., model="x"), "model"),
    ("foundry", "claude-sonnet-5", "a good request", {"model": "claude-sonnet-5", "max_tokens": 5, "messages": CLAUDE["messages"]}, None),
    ("foundry", "claude-sonnet-5", "an unknown field", {"model": "claude-sonnet-5", "max_tokens": 5, "messages": CLAUDE["messages"], "wat": 1}, "wat"),
]


def body_text(body):
    return json.dumps(body).encode()


def inner(body):
    return {"input": {"invokeModel": {"body": base64.b64encode(body_text(body)).decode()}}}
