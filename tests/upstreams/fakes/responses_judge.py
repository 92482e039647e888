"""The judge of Responses requests: OpenAI's schema, the order of items, and encrypted reasoning."""

import json

from .limits import Refused, breaks_strict, is_object_schema, matches
from .responses_parts import SEALED


def judge(body, schemas):
    top(body, schemas)
    if body.get("store") is not False:
        raise Refused("this fake belongs to a gateway: 'store' must be false", param="store")
    for key in ("previous_response_id", "conversation"):
        if body.get(key):
            raise Refused(
                f"Previous response with id '{body[key]}' not found.", code="previous_response_not_found", param=key
            )
    if "max_output_tokens" in body and body["max_output_tokens"] is not None and body["max_output_tokens"] < 16:
        raise Refused(
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {body['max_output_tokens']} instead.",
            code="integer_below_min_value",
            param="max_output_tokens",
        )
    if body.get("stream_options") and not body.get("stream"):
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    tools(body)
    if isinstance(body.get("input"), list):
        order(body["input"])
        reasoning(body)
    for key in ("safety_identifier", "prompt_cache_key"):
        if len(body.get(key) or "") > 64:
            raise Refused(
                f"Invalid '{key}': string too long. Expected a string with maximum length 64.",
                code="string_above_max_length",
                param=key,
            )
    model = body["model"]
    if model.startswith(("gpt-5", "gpt-6", "o3", "o4")) and (body.get("reasoning") or {}).get("effort") != "none":
        for key in ("temperature", "top_p"):
            if body.get(key, 1) not in (1, None):
                raise Refused(
                    f"Unsupported parameter: '{key}' is not supported with this model.",
                    code="unsupported_parameter",
                    param=key,
                )


def top(body, schemas):
    if not body.get("model"):
        raise Refused("Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
    if not body.get("input"):
        raise Refused("Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    if "stop" in body:
        raise Refused("Unknown parameter: 'stop'.", code="unknown_parameter", param="stop")
    if fault := schemas.fault("responses_request", body):
        raise Refused(f"Invalid request: {fault}", code="invalid_type")


def judge_count(body, schemas):
    """The counting endpoint takes no limits on the answer."""
    for key in (
        "max_output_tokens",
        "stream",
        "store",
        "include",
        "temperature",
        "top_p",
        "stream_options",
        "safety_identifier",
    ):
        if key in body:
            raise Refused(f"Unknown parameter: '{key}'.", code="unknown_parameter", param=key)
    top(body, schemas)
    tools(body)


def tools(body):
    found = body.get("tools")
    names = set()
    for n, tool in enumerate(found or []):
        if tool["type"] != "function":
            continue
        names.add(tool["name"])
        if not matches(r"[a-zA-Z0-9_-]{1,128}", tool["name"]):
            raise Refused(f"Invalid 'tools[{n}].name'", code="invalid_value", param=f"tools[{n}].name")
        schema = tool.get("parameters")
        if schema is not None and not is_object_schema(schema):
            raise Refused(
                f"Invalid schema for function '{tool['name']}': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.",
                code="invalid_function_parameters",
                param=f"tools[{n}].parameters",
            )
        for key in ("anyOf", "oneOf", "allOf", "$ref"):
            if key in (schema or {}):
                raise Refused(
                    f"Invalid schema for function '{tool['name']}': '{key}' at the top level.",
                    code="invalid_function_parameters",
                )
        # left out, `strict` is turned on by the server
        if "strict" not in tool:
            raise Refused(f"this fake belongs to a gateway: 'tools[{n}].strict' must be given, else the server decides")
        if tool["strict"] and (fault := breaks_strict(schema, "()")):
            raise Refused(
                f"Invalid schema for function '{tool['name']}': {fault}",
                code="invalid_function_parameters",
                param=f"tools[{n}].parameters",
            )
    for key in ("tool_choice", "parallel_tool_calls"):
        if body.get(key) not in (None, "auto", "none", True) and not found:
            raise Refused(f"Invalid value for '{key}': it is only allowed when 'tools' are specified.", param=key)
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function" and choice["name"] not in names:
        raise Refused(
            f"Tool choice 'function' with name '{choice['name']}' not found in 'tools' parameter.", param="tool_choice"
        )
    format = (body.get("text") or {}).get("format") or {}
    if (
        format.get("type") == "json_schema"
        and format.get("strict")
        and (fault := breaks_strict(format["schema"], "()"))
    ):
        raise Refused(f"Invalid schema for response_format '{format['name']}': {fault}", param="text.format.schema")


def order(items):
    """The rules of a flat list: every call has an output, every output a call, reasoning leads to something."""
    calls, outputs = set(), set()
    for n, item in enumerate(items):
        kind = item.get("type", "message")
        if kind == "function_call":
            if len(item["call_id"]) > 64 or item["call_id"] in calls:
                raise Refused(f"Invalid 'input[{n}].call_id'", code="invalid_value")
            if item.get("id") is not None and not item["id"].startswith("fc"):
                raise Refused(
                    f"Invalid 'input[{n}].id': '{item['id']}'. Expected an ID that begins with 'fc'.",
                    code="invalid_value",
                    param=f"input[{n}].id",
                )
            calls.add(item["call_id"])
            if not isinstance(json.loads(item["arguments"]), dict):
                raise Refused(f"Invalid 'input[{n}].arguments'")
        elif kind == "function_call_output":
            if item["call_id"] not in calls:
                raise Refused(
                    f"No tool call found for function call output with call_id {item['call_id']}.", param="input"
                )
            if item["call_id"] in outputs:
                raise Refused(f"Duplicate function call output with call_id {item['call_id']}.", param="input")
            outputs.add(item["call_id"])
        elif kind == "reasoning":
            if item.get("id") and not (item["id"].startswith("rs") and len(item["id"]) <= 64):
                raise Refused(
                    f"Invalid 'input[{n}].id': '{item['id']}'. Expected an ID that begins with 'rs'.",
                    code="invalid_value",
                    param=f"input[{n}].id",
                )
            after = items[n + 1] if n + 1 < len(items) else {}
            led = (
                after.get("type") in ("reasoning", "function_call", "web_search_call")
                or after.get("role") == "assistant"
            )
            if not led:
                raise Refused(
                    f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item.",
                    param="input",
                )
        elif kind == "message" and item.get("id") is not None and not item["id"].startswith("msg"):
            raise Refused(
                f"Invalid 'input[{n}].id': '{item['id']}'. Expected an ID that begins with 'msg'.",
                code="invalid_value",
                param=f"input[{n}].id",
            )
    if calls - outputs:
        raise Refused(f"No tool output found for function call {sorted(calls - outputs)[0]}.", param="input")


def reasoning(body):
    for n, item in enumerate(body["input"]):
        if item.get("type") != "reasoning":
            continue
        sealed = item.get("encrypted_content")
        if sealed is None:
            raise Refused(
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false. Try again with `store` "
                "set to true, or remove this item from your input.",
                404,
                param="input",
            )
        if sealed != SEALED:
            raise Refused(
                f"The encrypted content {sealed[:8]}... could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
                code="invalid_encrypted_content",
                param="input",
            )
