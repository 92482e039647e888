"""Writes the providers' own schemas, from their SDKs, into a folder: `schemas.py OUTDIR [AIPLATFORM.json]`.

It runs inside the virtualenv of the SDKs. The schemas are not in git: openai and google-api-python-client are under
Apache-2.0, anthropic under MIT, and whoever runs the tests fetches them from PyPI.
"""

import json
import sys
from pathlib import Path

PREFIX = "GoogleCloudAiplatformV1"


def closed(value):
    """The SDKs' types allow unknown keys; the APIs do not."""
    if isinstance(value, dict):
        if value.get("type") == "object" and "properties" in value:
            value.setdefault("additionalProperties", False)
        for inner in value.values():
            closed(inner)
    elif isinstance(value, list):
        for inner in value:
            closed(inner)
    return value


def openai_schemas():
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from openai.types.responses import Response, ResponseStreamEvent
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
    from pydantic import TypeAdapter

    for name, kind in [
        ("chat_request", CompletionCreateParamsNonStreaming),
        ("responses_request", ResponseCreateParamsNonStreaming),
    ]:
        schema = closed(TypeAdapter(kind).json_schema())
        schema["properties"]["stream"] = {"type": "boolean"}
        yield name, schema
    answers = {
        "chat_answer": ChatCompletion,
        "chat_chunk": ChatCompletionChunk,
        "responses_answer": Response,
        "responses_event": ResponseStreamEvent,
    }
    for name, kind in answers.items():
        yield name, TypeAdapter(kind).json_schema()


def anthropic_schemas():
    from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming
    from pydantic import TypeAdapter

    yield "messages_request", closed(TypeAdapter(MessageCreateParamsNonStreaming).json_schema())


def gemini_schemas(document):
    """The request and answer of generateContent and countTokens, from Google's discovery document."""
    found = {name: converted(schema) for name, schema in json.loads(Path(document).read_text())["schemas"].items()}
    for wanted in ("GenerateContentRequest", "GenerateContentResponse", "CountTokensRequest", "CountTokensResponse"):
        root = wanted if wanted in found else PREFIX + wanted
        needed, waiting = {}, [root]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = found[name]
                waiting += references(found[name])
        yield f"gemini_{wanted}", {"$ref": f"#/$defs/{root}", "$defs": needed}


def references(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner.rpartition("/")[2]] if key == "$ref" and isinstance(inner, str) else references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def converted(value):
    """Google's dialect of JSON Schema as the standard one; objects with properties are closed."""
    if isinstance(value, list):
        return [converted(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "string" and value.get("format") in ("int64", "uint64"):
        return {}
    found = {}
    for key, inner in value.items():
        if key == "$ref":
            found[key] = f"#/$defs/{inner}"
        elif key == "properties":
            found[key] = {name: converted(schema) for name, schema in inner.items()}
        elif key == "type" and inner == "any" or key == "required" and isinstance(inner, bool):
            continue
        elif key in ("type", "items", "additionalProperties", "enum", "required"):
            found[key] = converted(inner)
    if found.get("type") == "object" and "properties" in found:
        found["additionalProperties"] = False
    return found


def main():
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    sources = [openai_schemas(), anthropic_schemas(), *(gemini_schemas(path) for path in sys.argv[2:])]
    for source in sources:
        for name, schema in source:
            (place / f"{name}.schema.json").write_text(json.dumps(schema))


if __name__ == "__main__":
    main()
