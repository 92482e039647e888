"""The judge of Gemini requests: Google's schema, and the rules beside it (upstreams.md 3.1, 3.2, 3.4)."""

import base64
import re

from .limits import Refused, matches

# signatures that the two backends of the fake give out; each takes back its own only
SIGNATURES = {"studio": "c3R1ZGlvLXNpZ25hdHVyZS0x", "vertex": "dmVydGV4LXNpZ25hdHVyZS0x"}
PLACEHOLDERS = {"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"}
PLACEHOLDERS |= {base64.b64encode(text.encode()).decode() for text in PLACEHOLDERS}
FAMILY = re.compile(r"gemini-(\d)(?:\.(\d))?(?:-(\w+))?(-lite)?")
STUDIO_ONLY = {"serviceTier", "store"}
VERTEX_ONLY = {"labels", "modelArmorConfig"}
STUDIO_PART = {"toolCall", "toolResponse", "partMetadata"}


def invalid(message, status=400, kind="INVALID_ARGUMENT"):
    return Refused(message, status, type=kind)


def judge(body, backend, model, schemas):
    keys(body, backend)
    schema(body, schemas, backend)
    contents(body["contents"], backend)
    system(body)
    tools(body)
    if generation(model) >= 3:
        signatures(body["contents"], backend)
    settings(body, model)


def keys(body, backend):
    for key in set(body) & (VERTEX_ONLY if backend == "studio" else STUDIO_ONLY):
        raise invalid(f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.')
    for path in snake(body):
        raise invalid(f"this fake belongs to a gateway: fields are written in camelCase, not {path}")
    if not body.get("contents"):
        raise invalid("* GenerateContentRequest.contents: contents is not specified\n")


def snake(value, path=""):
    """Paths of keys with an underscore, outside of the callers' own objects."""
    if isinstance(value, list):
        for n, item in enumerate(value):
            yield from snake(item, f"{path}/{n}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if "_" in key:
                yield f"{path}/{key}"
            if key not in (
                "args",
                "response",
                "parametersJsonSchema",
                "responseJsonSchema",
                "parameters",
                "responseSchema",
                "labels",
            ):
                yield from snake(item, f"{path}/{key}")


def schema(body, schemas, backend):
    plain = {key: value for key, value in body.items() if key not in STUDIO_ONLY}
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    if thinking.get("thinkingLevel") == "XHIGH" and backend == "studio":
        # google-genai 3.6.1 has the value; Google's discovery document describes Vertex AI, and lacks it
        plain["generationConfig"] = {**config, "thinkingConfig": {**thinking, "thinkingLevel": "HIGH"}}
    if fault := schemas.fault("gemini_GenerateContentRequest", plain):
        raise invalid(f"Invalid JSON payload received. {fault}")


def contents(found, backend):
    waiting, last = [], None
    for n, content in enumerate(found):
        role, parts = content.get("role"), content.get("parts") or []
        if role not in ("user", "model"):
            raise invalid("Please use a valid role: user, model.")
        # upstreams.md 3.2: an instruction never stands in a content of responses, so its content follows that one
        follows_answers = n > 0 and any("functionResponse" in part for part in found[n - 1].get("parts") or [])
        if role == last and not (follows_answers and not any("functionResponse" in part for part in parts)):
            raise invalid("Please ensure that multiturn requests alternate between user and model.")
        if n == 0 and role != "user":
            raise invalid("Please ensure that the first content is of role user.")
        if not parts:
            raise invalid(f"* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty.\n")
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        answers = [part["functionResponse"] for part in parts if "functionResponse" in part]
        for m, part in enumerate(parts):
            one_part(part, f"contents[{n}].parts[{m}]", backend)
        if waiting and len(answers) != len(waiting):
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."
            )
        if answers and not waiting:
            raise invalid("Please ensure that function response turn comes immediately after a function call turn.")
        if [answer["name"] for answer in answers] != [call["name"] for call in waiting]:
            raise invalid(
                "Please ensure that the function responses stand in the order of the function calls, with their names."
            )
        if answers and any("functionResponse" in part for part in parts[len(answers) :]):
            raise invalid("Please ensure that function responses stand before all other parts.")
        for call, answer in zip(waiting, answers):
            if call.get("id") != answer.get("id"):
                raise invalid("The id of a function response must be the id of its call.")
        if calls and role != "model" or answers and role != "user":
            raise invalid("Please ensure that function calls are of role model and function responses of role user.")
        waiting, last = calls, role
    if waiting:
        raise invalid("Please ensure that function call turn is followed by a function response turn.")


def one_part(part, where, backend):
    kinds = [
        key
        for key in (
            "text",
            "inlineData",
            "fileData",
            "functionCall",
            "functionResponse",
            "executableCode",
            "codeExecutionResult",
        )
        if key in part
    ]
    if len(kinds) != 1:
        raise invalid(
            f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field\n"
        )
    if part.get("text") == "" and "thoughtSignature" not in part:
        raise invalid("Unable to submit request because it must have a text parameter.")
    if backend == "vertex" and set(part) & STUDIO_PART:
        raise invalid(f"Invalid JSON payload received. Unknown name at '{where}'")
    media = part.get("inlineData") or part.get("fileData")
    if media is not None and not media.get("mimeType"):
        raise invalid("Unable to submit request because it must have a mimeType parameter.")
    if "inlineData" in part and not matches(r"[A-Za-z0-9+/]*={0,2}", part["inlineData"].get("data")):
        raise invalid(f"Invalid value at '{where}.inline_data.data' (TYPE_BYTES), Base64 decoding failed")
    inner = part.get("functionCall") or part.get("functionResponse")
    if inner is not None:
        if backend == "vertex" and "id" in inner:
            raise invalid(f"Invalid JSON payload received. Unknown name \"id\" at '{where}'")
        if not inner.get("name"):
            raise invalid(f"* GenerateContentRequest.{where}.name: Name cannot be empty.\n")
    if "functionResponse" in part and not isinstance(part["functionResponse"].get("response"), dict):
        raise invalid(f"Unable to submit request because the function response at {where} has no response.")


def system(body):
    for part in (body.get("systemInstruction") or {}).get("parts", []):
        if set(part) != {"text"} or not part["text"]:
            raise invalid("System instruction takes text only.")


def tools(body):
    found = body.get("tools") or []
    if sum("functionDeclarations" in tool for tool in found) > 1:
        raise invalid("Multiple tools are supported only when they are all search tools.")
    names = set()
    for tool in found:
        if len(tool) != 1:
            raise invalid("exactly one type per Tool")
        for function in tool.get("functionDeclarations", []):
            name = function.get("name", "")
            if not matches(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", name):
                raise invalid(
                    "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), underscores (_), "
                    "dots (.), colons (:), or dashes (-), with a maximum length of 128."
                )
            if name in names:
                raise invalid(f"Duplicate function declaration found: {name}")
            names.add(name)
            if "parameters" in function and "parametersJsonSchema" in function:
                raise invalid("parameters and parameters_json_schema are mutually exclusive")
            declared(function)
    config = (body.get("toolConfig") or {}).get("functionCallingConfig")
    if config:
        if not names:
            raise invalid("Function calling config is set without function_declarations.")
        allowed = config.get("allowedFunctionNames")
        if allowed and config.get("mode") not in ("ANY", "VALIDATED"):
            raise invalid("Allowed function names can only be set when the function calling mode is ANY.")
        if set(allowed or []) - names:
            raise invalid(f"Allowed function names are not declared: {sorted(set(allowed) - names)}")


def declared(function):
    subset = function.get("parameters")
    if subset is not None:
        if subset.get("type", "").upper() == "OBJECT" and not subset.get("properties"):
            raise invalid(f"* parameters.properties: should be non-empty for OBJECT type ({function['name']})")
        if "additionalProperties" in subset:
            raise invalid("Unknown name \"additionalProperties\" at 'parameters'")
    whole = function.get("parametersJsonSchema")
    if whole is not None and (not isinstance(whole, dict) or whole.get("type") != "object"):
        raise invalid(f"parametersJsonSchema of {function['name']} must be of type object")
    for key in ("cache_control", "defer_loading", "input_examples", "allowed_callers"):
        if key in (whole or subset or {}):
            raise invalid(f"'{key}' of a Messages tool stands inside the schema")


def generation(model):
    found = FAMILY.search(model)
    return float(f"{found[1]}.{found[2] or 0}") if found else 0


def signatures(found, backend):
    """The first call of every step of the current turn carries the signature that this backend made."""
    begins = max(
        (
            n
            for n, content in enumerate(found)
            if content["role"] == "user" and not any("functionResponse" in part for part in content["parts"])
        ),
        default=0,
    )
    for n, content in enumerate(found):
        calls = [part for part in content["parts"] if "functionCall" in part]
        for m, part in enumerate(calls):
            signature = part.get("thoughtSignature")
            if n > begins and m == 0 and not signature:
                raise invalid(
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing "
                    "thought_signature may lead to degraded model performance."
                )
            if m > 0 and signature in PLACEHOLDERS:
                raise invalid("this fake belongs to a gateway: only the first call of a step has the placeholder")
        for part in content["parts"]:
            signature = part.get("thoughtSignature")
            if signature and signature not in PLACEHOLDERS and signature != SIGNATURES[backend]:
                raise invalid("Corrupted thought signature." if backend == "studio" else "Invalid thought signature.")


def settings(body, model):
    config = body.get("generationConfig") or {}
    if len(config.get("stopSequences") or []) > 5:
        raise invalid("Unable to submit request because the number of stop sequences must be at most 5.")
    if "" in (config.get("stopSequences") or []):
        raise invalid("Unable to submit request because a stop sequence is empty.")
    if config.get("maxOutputTokens", 1) < 1:
        raise invalid(
            "Unable to submit request because it has a maxOutputTokens value of 0 but the supported range is from 1 (inclusive)."
        )
    if "responseJsonSchema" in config and "responseSchema" in config:
        raise invalid("responseSchema and responseJsonSchema are mutually exclusive")
    if ("responseJsonSchema" in config or "responseSchema" in config) and config.get(
        "responseMimeType"
    ) != "application/json":
        raise invalid("responseSchema requires responseMimeType application/json")
    version = generation(model)
    if version in (3.6, 3.7, 3.8) and set(config) & {"temperature", "topP", "topK"}:
        raise invalid(f"sampling parameters are not supported by {model}")
    thinking(config.get("thinkingConfig"), model, version)


def thinking(config, model, version):
    if not config:
        return
    budget, level = config.get("thinkingBudget"), config.get("thinkingLevel")
    if budget is not None and level is not None:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    if 2.5 <= version < 3:
        if level is not None:
            raise invalid("Thinking level is not supported for this model.")
        if budget is not None and budget != -1:
            low, high = (128, 32768) if "pro" in model else (512, 24576) if "lite" in model else (0, 24576)
            if not (low <= budget <= high or budget == 0 and "pro" not in model):
                raise invalid(
                    f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
                )
    elif version >= 3:
        if budget is not None and not (version >= 4 and budget == 0):
            raise invalid("Thinking budget is not supported for this model.")
        refused = set()
        if version in (3.7, 3.8) or version >= 4 or "pro" in model:
            refused.add("MINIMAL")
        if "hydrogen" not in model:
            refused.add("XHIGH")
        if level in refused:
            raise invalid(
                f"Thinking level {level} is not supported for this model. Please retry with other thinking level."
            )
    elif version and version < 2.5:
        raise invalid("Thinking is not enabled for this model.")


def judge_count(body, backend, model, schemas):
    """AI Studio takes contents alone, or everything inside generateContentRequest."""
    if backend == "vertex":
        if extra := set(body) - {"contents", "systemInstruction", "tools", "generationConfig", "instances", "model"}:
            raise invalid(f'Invalid JSON payload received. Unknown name "{sorted(extra)[0]}": Cannot find field.')
        return judge(body, backend, model, schemas)
    inner = body.get("generateContentRequest")
    if inner is None:
        if set(body) != {"contents"}:
            raise invalid('Invalid JSON payload received. Unknown name "systemInstruction": Cannot find field.')
        return judge(body, backend, model, schemas)
    if "contents" in body:
        raise invalid("contents and generateContentRequest are mutually exclusive")
    if inner.get("model") != f"models/{model}":
        raise invalid(f"* CountTokensRequest.generate_content_request.model: expected models/{model}")
    judge({key: value for key, value in inner.items() if key != "model"}, backend, model, schemas)
