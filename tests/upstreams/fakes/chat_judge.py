"""The judge of Chat Completions requests: OpenAI's schema, the limits beside it, and the rules of each server."""

import copy
import json
import re

from .limits import Refused, breaks_strict, is_object_schema, matches, strings

# keys that a server takes beside OpenAI's; keys of OpenAI's that it refuses or silently ignores
MORE = {
    "vllm": {
        "top_k",
        "chat_template_kwargs",
        "thinking_token_budget",
        "include_reasoning",
        "continue_final_message",
        "add_generation_prompt",
        "min_p",
    },
    "openrouter": {
        "top_k",
        "reasoning",
        "provider",
        "models",
        "transforms",
        "plugins",
        "usage",
        "cache_control",
        "route",
    },
    "deepseek": {"thinking"},
    "groq": {"reasoning_format", "include_reasoning"},
    "ollama": set(),
    "openai": set(),
    "azure": set(),
    "generic": set(),
}
ONLY_OPENAI = {
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "store",
    "verbosity",
    "web_search_options",
    "prediction",
    "modalities",
    "audio",
}
LESS = {
    "vllm": ONLY_OPENAI,
    "groq": ONLY_OPENAI - {"verbosity"},
    "openrouter": ONLY_OPENAI - {"prompt_cache_key", "prompt_cache_options", "verbosity"},
    "deepseek": ONLY_OPENAI | {"max_completion_tokens", "parallel_tool_calls", "service_tier"},
    "ollama": ONLY_OPENAI | {"max_completion_tokens", "tool_choice", "parallel_tool_calls", "service_tier"},
    "generic": ONLY_OPENAI | {"max_completion_tokens", "service_tier"},
    "openai": set(),
    "azure": set(),
}
# fields of an assistant message that carry reasoning back
BACK = {
    "openrouter": {"reasoning", "reasoning_details"},
    "deepseek": {"reasoning_content", "prefix"},
    "vllm": {"reasoning", "reasoning_content"},
    "ollama": {"reasoning"},
}
EFFORTS = {
    "openai": {"none", "minimal", "low", "medium", "high", "xhigh"},
    "azure": {"none", "minimal", "low", "medium", "high", "xhigh"},
    "ollama": {"none", "minimal", "low", "medium", "high", "ultra"},
    "deepseek": {"low", "medium", "high", "max", "xhigh"},
}
REASONS = re.compile(r"^(gpt-5|gpt-6|o\d)")
PNG = re.compile(r"^data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$")


def judge(body, flavor, schemas, azure=None):
    """Raises the refusal of the server that `flavor` names."""
    if not body.get("model") and azure != "classic":
        raise Refused("you must provide a model parameter")
    if not isinstance(body.get("messages"), list):
        raise Refused("Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages")
    if not body["messages"]:
        raise Refused(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            code="empty_array",
            param="messages",
        )
    extras(body, flavor)
    shape(body, flavor, schemas)
    limits(body)
    tools(body)
    order(body["messages"])
    served(body, flavor)


def extras(body, flavor):
    for key in sorted(set(body) & LESS[flavor]):
        if key == "max_completion_tokens" or flavor in ("ollama", "deepseek"):
            raise Refused(
                f"this server ignores '{key}': it must not be sent ({flavor})", code="unsupported_parameter", param=key
            )
        raise Refused(f"Unrecognized request argument supplied: {key}", code="unknown_parameter", param=key)
    if (
        body.get("service_tier")
        and flavor == "groq"
        and body["service_tier"] not in ("auto", "on_demand", "flex", "performance")
    ):
        raise Refused(f"invalid service_tier {body['service_tier']!r}", param="service_tier")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Refused(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            code="invalid_parameter_combination",
        )
    if "stream_options" in body and not body.get("stream"):
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )


def shape(body, flavor, schemas):
    """What OpenAI's own types say, after the known extras of this server are taken out."""
    plain = copy.deepcopy(body)
    for key in MORE[flavor]:
        plain.pop(key, None)
    plain.setdefault("model", "x")
    for message in plain["messages"]:
        if isinstance(message, dict) and message.get("role") == "assistant":
            for key in BACK.get(flavor, ()):
                message.pop(key, None)
        if flavor == "openrouter" and isinstance(message, dict) and isinstance(message.get("content"), list):
            for part in message["content"]:
                isinstance(part, dict) and part.pop("cache_control", None)
    if fault := schemas.fault("chat_request", plain):
        if "Additional properties" in fault or "unexpected" in fault:
            raise Refused(f"Unknown parameter: {fault}", code="unknown_parameter")
        raise Refused(f"Invalid request: {fault}", code="invalid_type")


def limits(body):
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        raise Refused(
            f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length {len(stop)} instead.",
            code="array_above_max_length",
            param="stop",
        )
    if len(body.get("tools") or []) > 128:
        raise Refused(
            f"Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length {len(body['tools'])} instead.",
            code="array_above_max_length",
            param="tools",
        )
    for key in ("max_tokens", "max_completion_tokens"):
        if key in body and not (isinstance(body[key], int) and body[key] >= 1):
            raise Refused(
                f"Invalid '{key}': integer below minimum value. Expected a value >= 1, but got {body[key]} instead.",
                code="integer_below_min_value",
                param=key,
            )
    if not 0 <= (body.get("temperature") or 0) <= 2:
        raise Refused("Invalid 'temperature'", code="decimal_above_max_value", param="temperature")
    for key in ("user", "safety_identifier"):
        if len(body.get(key) or "") > 64:
            raise Refused(
                f"Invalid '{key}': string too long. Expected a string with maximum length 64.",
                code="string_above_max_length",
                param=key,
            )
    for n, message in enumerate(body["messages"]):
        for text in strings(
            message.get("content")
            if isinstance(message.get("content"), str)
            else [part.get("text") for part in message.get("content") or [] if isinstance(part, dict)]
        ):
            if len(text) > 1_048_576:
                raise Refused(
                    f"Invalid 'messages[{n}].content': string too long. Expected a string with maximum length 1048576.",
                    code="string_above_max_length",
                )
        for m, call in enumerate(message.get("tool_calls") or []):
            if len(call["id"]) > 40:
                raise Refused(
                    f"Invalid 'messages[{n}].tool_calls[{m}].id': string too long. Expected a string with maximum length 40, "
                    f"but got a string with length {len(call['id'])} instead.",
                    code="string_above_max_length",
                )
            named(call["function"]["name"], f"messages[{n}].tool_calls[{m}].function.name")
            try:
                value = json.loads(call["function"]["arguments"])
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise Refused(
                    f"messages[{n}].tool_calls[{m}].function.arguments is no JSON object: {call['function']['arguments']!r}"
                )


def named(name, where):
    if len(name) > 64:
        raise Refused(
            f"Invalid '{where}': string too long. Expected a string with maximum length 64, but got a string with length {len(name)} instead.",
            code="string_above_max_length",
            param=where,
        )
    if not matches(r"[a-zA-Z0-9_-]+", name):
        raise Refused(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            code="invalid_value",
            param=where,
        )


def tools(body):
    found = body.get("tools")
    for key in ("tool_choice", "parallel_tool_calls"):
        if key in body and not found:
            raise Refused(f"Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified.", param=key)
    if found == []:
        raise Refused(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            code="empty_array",
            param="tools",
        )
    names = []
    for n, tool in enumerate(found or []):
        function = tool["function"]
        names.append(function["name"])
        named(function["name"], f"tools[{n}].function.name")
        schema = function.get("parameters", {"type": "object"})
        parameters(function["name"], schema)
        if function.get("strict") and (fault := breaks_strict(schema, "()")):
            raise Refused(
                f"Invalid schema for function '{function['name']}': {fault}",
                code="invalid_function_parameters",
                param="tools",
            )
    if len(set(names)) != len(names):
        raise Refused("tools contain function names that are not unique", param="tools")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("function", {}).get("name") not in names:
        raise Refused(f"Tool choice '{choice}' not found in 'tools' parameter.", param="tool_choice")
    format = body.get("response_format") or {}
    if format.get("type") == "json_schema":
        inner = format["json_schema"]
        if not matches(r"[a-zA-Z0-9_-]{1,64}", inner["name"]):
            raise Refused("Invalid 'response_format.json_schema.name'", param="response_format")
        if inner.get("strict") and (fault := breaks_strict(inner.get("schema"), "()")):
            raise Refused(f"Invalid schema for response_format '{inner['name']}': {fault}", param="response_format")


def parameters(name, schema):
    if not is_object_schema(schema):
        kind = schema.get("type") if isinstance(schema, dict) else None
        raise Refused(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.",
            code="invalid_function_parameters",
            param="tools",
        )
    if "properties" not in schema and schema.get("additionalProperties") is None and len(schema) == 1:
        raise Refused(
            f"Invalid schema for function '{name}': In context=(), object schema missing properties.",
            code="invalid_function_parameters",
            param="tools",
        )
    for key in ("anyOf", "oneOf", "allOf", "$ref", "enum", "not"):
        if key in schema:
            raise Refused(
                f"Invalid schema for function '{name}': schema must have type 'object' and not have '{key}' at the top level.",
                code="invalid_function_parameters",
                param="tools",
            )
    for key in ("cache_control", "defer_loading", "input_examples", "allowed_callers", "eager_input_streaming"):
        if key in schema:
            raise Refused(f"'{key}' of a Messages tool stands inside the schema of '{name}'", param="tools")


def order(messages):
    """A tool message answers each call, directly after the assistant message that made it."""
    waiting = []
    for n, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in waiting:
                raise Refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                    param=f"messages.[{n}].role",
                )
            waiting.remove(message["tool_call_id"])
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part.get("type") != "text":
                    raise Refused(
                        f"Invalid 'messages[{n}]'. Image URLs are only allowed for messages with role 'user', but this message "
                        "with role 'tool' contains an image URL.",
                        code="invalid_value",
                    )
        elif waiting:
            raise Refused(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
                f"The following tool_call_ids did not have response messages: {', '.join(waiting)}",
                param=f"messages.[{n}].role",
            )
        if role == "assistant":
            waiting = [call["id"] for call in message.get("tool_calls") or []]
            if len(set(waiting)) != len(waiting):
                raise Refused(f"messages[{n}] has two calls with one id")
            if not waiting and message.get("content") in (None, "", []):
                raise Refused(
                    f"Invalid value for 'content': expected a string, got null. (messages[{n}])",
                    param=f"messages.[{n}].content",
                )
    if waiting:
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
            f"The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            param="messages",
        )


def served(body, flavor):
    """The rules of single servers and models."""
    model = body.get("model") or ""
    effort = body.get("reasoning_effort")
    if flavor in EFFORTS and effort and effort not in EFFORTS[flavor]:
        raise Refused(
            f"Unsupported value: '{effort}' is not supported with the '{model}' model. Supported values are: 'none','low','medium','high','xhigh'.",
            code="unsupported_value",
            param="reasoning_effort",
        )
    if flavor in ("openai", "azure"):
        hosted(body, model, effort)
    parts = [
        (n, message, part)
        for n, message in enumerate(body["messages"])
        if isinstance(message.get("content"), list)
        for part in message["content"]
    ]
    for n, message, part in parts:
        if part["type"] == "image_url" and flavor == "ollama" and not part["image_url"]["url"].startswith("data:"):
            raise Refused("invalid image input")
        if (
            part["type"] == "image_url"
            and part["image_url"]["url"].startswith("data:")
            and not PNG.match(part["image_url"]["url"])
        ):
            raise Refused(f"Invalid base64 image_url. (messages[{n}])", code="invalid_base64")
        if part["type"] == "file":
            if flavor not in ("openai", "azure", "openrouter"):
                raise Refused(f"messages[{n}]: this server takes no files ({flavor})")
            data = part["file"].get("file_data", "")
            if not data.startswith("data:application/pdf;base64,") and not (
                flavor == "openrouter" and data.startswith("http")
            ):
                raise Refused(
                    f"Invalid 'messages[{n}].content.file.file_data': expected a base64 data URL", code="invalid_value"
                )
    for n, message in enumerate(body["messages"]):
        if flavor in ("vllm", "ollama", "generic", "deepseek") and message["role"] == "system" and n > 0:
            raise Refused("System message must be at the beginning.")
        if (
            flavor in ("deepseek", "generic", "ollama")
            and message["role"] in ("system", "tool", "assistant")
            and isinstance(message.get("content"), list)
        ):
            raise Refused(f"invalid type: sequence, expected a string (messages[{n}].content)", 422)
        if (
            flavor == "deepseek"
            and message["role"] == "assistant"
            and message.get("tool_calls")
            and message.get("reasoning_content") is None
        ):
            if (body.get("thinking") or {}).get("type") != "disabled":
                raise Refused("The `reasoning_content` in the thinking mode must be passed back to the API.")
    if flavor == "deepseek" and (body.get("response_format") or {}).get("type") == "json_schema":
        raise Refused("This response_format type is unavailable now")
    if flavor == "deepseek" and (body.get("response_format") or {}).get("type") == "json_object":
        if not any("json" in text.lower() for text in strings(body["messages"])):
            raise Refused(
                "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
            )
    if (
        flavor == "deepseek"
        and isinstance(body.get("tool_choice"), dict)
        and (body.get("thinking") or {}).get("type") == "enabled"
    ):
        raise Refused("deepseek-reasoner does not support this tool_choice")


def hosted(body, model, effort):
    """OpenAI's own models."""
    if "max_tokens" in body:
        raise Refused(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
            param="max_tokens",
        )
    if not REASONS.match(model):
        return
    if "stop" in body:
        raise Refused(
            "Unsupported parameter: 'stop' is not supported with this model.",
            code="unsupported_parameter",
            param="stop",
        )
    always = model.startswith(("gpt-6-astra", "gpt-6.1-sol"))
    if always and effort == "none":
        raise Refused(
            f"Unsupported value: 'none' is not supported with the '{model}' model.",
            code="unsupported_value",
            param="reasoning_effort",
        )
    if effort == "minimal":
        raise Refused(
            f"Unsupported value: 'minimal' is not supported with the '{model}' model.",
            code="unsupported_value",
            param="reasoning_effort",
        )
    for key in ("temperature", "top_p"):
        if body.get(key, 1) != 1 and effort != "none":
            raise Refused(
                f"Unsupported value: '{key}' does not support {body[key]} with this model. Only the default (1) value is supported.",
                code="unsupported_value",
                param=key,
            )
    if body.get("tools") and (always or effort not in (None, "none")):
        raise Refused(
            f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. "
            "To use function tools, use /v1/responses or set reasoning_effort to 'none'.",
            param="reasoning_effort",
        )
