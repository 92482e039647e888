"""How each dialect says a conversation: reads a request into a `Talk`, and writes an `Answer` of `directed.py`."""

import json

from . import chat_parts, claude_parts, responses_parts
from .directed import Answer, Talk, halves
from .gemini_judge import SIGNATURES
from .scenario import Scenario, means
from .wire import chunk_frame, compact, event, exception_frame, frames, sse, whole

THOUGHT = "The user gave directions."
# the type that a status has in the Messages API, and in Google's
KINDS = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    403: ("permission_error", "PERMISSION_DENIED"),
    404: ("not_found_error", "NOT_FOUND"),
    413: ("request_too_large", "INVALID_ARGUMENT"),
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("api_error", "INTERNAL"),
    503: ("overloaded_error", "UNAVAILABLE"),
    529: ("overloaded_error", "UNAVAILABLE"),
}
AWS = {
    400: "validationException",
    403: "accessDeniedException",
    404: "resourceNotFoundException",
    413: "validationException",
    429: "throttlingException",
    500: "internalServerException",
    503: "serviceUnavailableException",
    529: "serviceUnavailableException",
}


def words_of(status):
    return f"the upstream returns {status} by direction"


def texts(content, *kinds):
    """The texts of a content that is a string or a list of parts."""
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or [] if part.get("type", "text") in kinds]


def names_of(entries, id):
    """The name of the call with this id."""
    return next((entry[2] for entry in reversed(entries) if entry[0] == "call" and entry[1] == id), "")


def schema_in(text):
    """The JSON schema that stands in a prompt, for servers that only know "a JSON object"."""
    for at in (at for at, letter in enumerate(text) if letter == "{"):
        try:
            found, _ = json.JSONDecoder().raw_decode(text[at:])
        except ValueError:
            continue
        if "properties" in found:
            return found
    return None


class Chat:
    BEGUN = 2

    @staticmethod
    def read(body):
        talk = Talk([])
        for message in body["messages"]:
            role = message["role"]
            said = texts(message.get("content"), "text")
            if role == "user":
                talk.entries += [("user", text) for text in said]
            elif role == "tool":
                id = message["tool_call_id"]
                talk.entries.append(("result", id, names_of(talk.entries, id), "\n".join(said), False))
            elif role == "assistant":
                talk.entries += [("said", text) for text in said if text]
                talk.sealed += any(message.get(key) for key in ("reasoning", "reasoning_content", "reasoning_details"))
                for call in message.get("tool_calls") or []:
                    function = call["function"]
                    talk.entries.append(("call", call["id"], function["name"], json.loads(function["arguments"])))
        functions = [tool["function"] for tool in body.get("tools") or []]
        talk.tools = {function["name"]: function.get("parameters", {}) for function in functions}
        choice = body.get("tool_choice", "auto")
        talk.choice = choice["function"]["name"] if isinstance(choice, dict) else {"required": "any"}.get(choice, choice)
        format = body.get("response_format") or {}
        talk.schema = (format.get("json_schema") or {}).get("schema")
        if format.get("type") == "json_object":
            talk.schema = schema_in("\n".join(text for one in body["messages"] for text in texts(one.get("content"), "text")))
        reasoning = body.get("reasoning") or {}
        talk.thinks = (
            (body.get("chat_template_kwargs") or {}).get("enable_thinking") is True
            or (body.get("thinking") or {}).get("type") == "enabled"
            or bool(reasoning) and reasoning.get("effort") != "none" and reasoning.get("enabled") is not False
        )
        return talk

    @staticmethod
    def calls(answer):
        return [chat_parts.tool(f"call_{id}", name, compact(given)) for id, name, given in answer.calls]

    @staticmethod
    def thought(answer, text):
        """The fields of reasoning, as each server spells them."""
        found = {"reasoning_content" if answer.flavor == "deepseek" else "reasoning": text}
        if answer.flavor == "openrouter":
            found["reasoning_details"] = [{"type": "reasoning.text", "text": text, "format": "x", "id": "r1", "index": 0}]
        return found

    @classmethod
    def whole(cls, answer):
        thought = cls.thought(answer, THOUGHT) if answer.thinks else {}
        message = chat_parts.message(answer.text or None, cls.calls(answer), **thought)
        return whole(chat_parts.completion(message, "tool_calls" if answer.calls else "stop"))

    @classmethod
    def stream(cls, answer):
        chunks = [chat_parts.chunk(cls.thought(answer, half)) for half in halves(THOUGHT) if answer.thinks]
        chunks += [chat_parts.said(half) for half in halves(answer.text)]
        for n, call in enumerate(cls.calls(answer)):
            chunks.append(chat_parts.call(n, call["id"], call["function"]["name"]))
            chunks += [chat_parts.piece(n, half) for half in halves(call["function"]["arguments"])]
        return chat_parts.stream(*chunks, chat_parts.ended("tool_calls" if answer.calls else "stop"), **answer.form)

    @staticmethod
    def error(status):
        kind, _ = KINDS[status]
        return whole({"error": {"message": words_of(status), "type": kind, "param": None, "code": None}}, status)

    @staticmethod
    def error_event(status):
        return event({"error": {"message": words_of(status), "type": KINDS[status][0], "code": status}})


class Responses:
    BEGUN = 5
    error = staticmethod(Chat.error)

    @staticmethod
    def read(body):
        talk = Talk([])
        for item in body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]:
            kind = item.get("type", "message")
            if kind == "message" and item["role"] in ("user", "assistant"):
                said = texts(item["content"], "input_text", "output_text")
                talk.entries += [("user" if item["role"] == "user" else "said", text) for text in said]
            elif kind == "function_call":
                talk.entries.append(("call", item["call_id"], item["name"], json.loads(item["arguments"])))
            elif kind == "function_call_output":
                text = "\n".join(texts(item["output"], "input_text"))
                talk.entries.append(("result", item["call_id"], names_of(talk.entries, item["call_id"]), text, False))
            elif kind == "reasoning":
                talk.sealed += 1
        talk.tools = {tool["name"]: tool.get("parameters") or {} for tool in body.get("tools") or [] if tool["type"] == "function"}
        choice = body.get("tool_choice") or "auto"
        talk.choice = choice["name"] if isinstance(choice, dict) else {"required": "any"}.get(choice, choice)
        talk.schema = ((body.get("text") or {}).get("format") or {}).get("schema")
        talk.thinks = (body.get("reasoning") or {}).get("effort", "none") != "none"
        return talk

    @staticmethod
    def output(answer):
        items = [responses_parts.reasoning(THOUGHT)] if answer.thinks else []
        if answer.text:
            items.append(responses_parts.message(responses_parts.text_part(answer.text)))
        for id, name, given in answer.calls:
            items.append(responses_parts.call(f"call_{id}", name, compact(given), f"fc_{id}"))
        return items

    @classmethod
    def whole(cls, answer):
        return responses_parts.answer(*cls.output(answer))

    @classmethod
    def stream(cls, answer):
        return responses_parts.stream(*cls.output(answer), transport=answer.form)

    @staticmethod
    def error_event(status):
        code = {429: "rate_limit_exceeded", 503: "engine_overloaded", 529: "engine_overloaded"}.get(status, "server_error")
        found = {"type": "error", "sequence_number": 9, "code": code, "message": words_of(status), "param": None}
        return event(("error", found))


class Gemini:
    BEGUN = 1

    @staticmethod
    def read(body):
        talk, waiting = Talk([]), []
        for content in body["contents"]:
            for part in content["parts"]:
                talk.sealed += "thoughtSignature" in part and part["thoughtSignature"] in SIGNATURES.values()
                if "functionCall" in part:
                    call = part["functionCall"]
                    # without ids the order counts
                    waiting.append(call.get("id", f"call {sum(entry[0] == 'call' for entry in talk.entries)}"))
                    talk.entries.append(("call", waiting[-1], call["name"], call.get("args", {})))
                elif "functionResponse" in part:
                    found = part["functionResponse"]
                    talk.entries.append(("result", waiting.pop(0), found["name"], said_by(found["response"]), "error" in found["response"]))
                elif part.get("text") and not part.get("thought"):
                    talk.entries.append(("user" if content["role"] == "user" else "said", part["text"]))
        functions = [function for tool in body.get("tools") or [] for function in tool.get("functionDeclarations", [])]
        talk.tools = {one["name"]: one.get("parametersJsonSchema") or one.get("parameters") or {} for one in functions}
        config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        allowed = config.get("allowedFunctionNames")
        mode = {"ANY": "any", "NONE": "none"}.get(config.get("mode"), "auto")
        talk.choice = allowed[0] if allowed and mode == "any" else mode
        settings = body.get("generationConfig") or {}
        talk.schema = settings.get("responseJsonSchema") or settings.get("responseSchema")
        talk.thinks = (settings.get("thinkingConfig") or {}).get("includeThoughts") is True
        return talk

    @staticmethod
    def parts(answer):
        parts = [{"text": THOUGHT, "thought": True}] if answer.thinks else []
        parts += [{"text": half} for half in halves(answer.text)]
        for n, (_, name, given) in enumerate(answer.calls):
            # the first call of a step is signed
            parts.append({"functionCall": {"name": name, "args": given}, **({} if n else {"thoughtSignature": SIGNATURES["studio"]})})
        return parts

    @classmethod
    def whole(cls, answer):
        from . import gemini

        return gemini.answer(*cls.parts(answer))

    @classmethod
    def stream(cls, answer):
        from . import gemini

        parts = cls.parts(answer) or [{"text": ""}]
        return sse([*(gemini.part(part) for part in parts), gemini.body()], **answer.form)

    @staticmethod
    def body_of(status):
        return {"error": {"code": status, "message": words_of(status), "status": KINDS[status][1]}}

    @classmethod
    def error(cls, status):
        return whole(cls.body_of(status), status)

    @classmethod
    def error_event(cls, status):
        return event(cls.body_of(status))


def said_by(response):
    """The text of a function's response, in whichever key it stands."""
    return "\n".join(value if isinstance(value, str) else compact(value) for value in response.values())


class Claude:
    """The Messages API itself, over SSE."""

    BEGUN = 4

    @staticmethod
    def read(body):
        talk = Talk([])
        for message in body["messages"]:
            content = message["content"]
            blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
            if message["role"] == "system":
                continue
            is_inside = False
            for block in blocks:
                if block["type"] == "text":
                    # Vertex gets a system message as texts between two marks
                    is_inside = block["text"] == "<system>" or is_inside and block["text"] != "</system>"
                    if not is_inside and block["text"] != "</system>":
                        talk.entries.append(("user" if message["role"] == "user" else "said", block["text"]))
                elif block["type"] == "tool_use":
                    talk.entries.append(("call", block["id"], block["name"], block["input"]))
                elif block["type"] == "tool_result":
                    id = block["tool_use_id"]
                    said = "\n".join(texts(block.get("content"), "text"))
                    talk.entries.append(("result", id, names_of(talk.entries, id), said, block.get("is_error") is True))
                elif block["type"] == "thinking":
                    talk.sealed += 1
        talk.tools = {tool["name"]: tool.get("input_schema") or {} for tool in body.get("tools") or []}
        choice = body.get("tool_choice") or {}
        talk.choice = choice.get("name") or choice.get("type", "auto")
        talk.schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        talk.thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        return talk

    @staticmethod
    def content(answer):
        blocks = [claude_parts.thinking(THOUGHT)] if answer.thinks else []
        blocks += [claude_parts.text(answer.text)] if answer.text else []
        return [*blocks, *(claude_parts.tool(given, f"toolu_{id}", name) for id, name, given in answer.calls)]

    @staticmethod
    def stop(answer):
        return "tool_use" if answer.calls else "end_turn"

    @classmethod
    def message(cls, answer):
        return claude_parts.message(*cls.content(answer), stop=cls.stop(answer), id=f"msg_{answer.id}")

    @classmethod
    def events(cls, answer):
        found = claude_parts.events(*cls.content(answer), stop=cls.stop(answer))
        found[0]["message"]["id"] = f"msg_{answer.id}"
        return found

    @classmethod
    def whole(cls, answer):
        return whole(cls.message(answer))

    @classmethod
    def stream(cls, answer):
        return claude_parts.named(cls.events(answer), **answer.form)

    @staticmethod
    def body_of(status):
        return {"type": "error", "error": {"type": KINDS[status][0], "message": words_of(status)}, "request_id": "req_fake"}

    @classmethod
    def error(cls, status):
        return whole(cls.body_of(status), status)

    @classmethod
    def error_event(cls, status):
        return event(("error", cls.body_of(status)))


class Invoke(Claude):
    """The same in AWS's frames; the form of SSE has no meaning here."""

    @classmethod
    def stream(cls, answer):
        return frames([chunk_frame(one) for one in cls.events(answer)])

    @staticmethod
    def error(status):
        kind = AWS.get(status, "internalServerException")
        headers = {"x-amzn-errortype": kind[0].upper() + kind[1:], "x-amzn-requestid": "r-1"}
        return whole({"message": words_of(status)}, status, headers=headers)

    @staticmethod
    def error_event(status):
        return exception_frame(AWS.get(status, "internalServerException"), {"message": words_of(status)})


DIALECTS = {
    "chat": Chat,
    "responses": Responses,
    "gemini": Gemini,
    "bedrock": Invoke,
    "mantle": Claude,
    "vertex": Claude,
    "foundry": Claude,
}


def sample(family):
    """An answer of the directed model as a scenario, so that the provider's SDK reads this dialect too."""
    calls = [("a1_0", "get_weather", {"city": "Paris"}), ("a1_1", "get_time", {"zone": "UTC"})]
    answer = Answer("I will use get_weather and get_time.", "a1_2", calls)
    blocks = [("text", answer.text), *(("tool_use", name, given) for _, name, given in calls)]
    dialect = DIALECTS[family]
    says = "a text and two calls, as the directed model writes them"
    return Scenario("from-directed", "8.2", says, means(*blocks, stop="tool_use"), dialect.whole(answer), dialect.stream(answer))
