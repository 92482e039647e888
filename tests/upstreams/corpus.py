"""Requests for every row of upstreams.md 1.2 to 1.5, 2.1 and 3.2, and for lines 1 to 31 of section 7.

A case is sent to each of its targets. The judges must accept what arrives; the checks of the case look into it.
"""

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch

from make_config import TARGETS

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
IMAGE_URL = {"type": "image", "source": {"type": "url", "url": "https://sea.example/pier.png"}}
DOCUMENT = {"type": "document", "title": "Tides.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
TEXT_DOCUMENT = {"type": "document", "title": "Tide table", "context": "of the north pier", "source": {"type": "text", "media_type": "text/plain", "data": "High water at noon."}}
SEARCH = {"type": "search_result", "title": "Sea and moon", "source": "https://sea.example/moon", "content": [{"type": "text", "text": "The moon pulls."}]}
WEATHER = {"name": "get_weather", "description": "The weather in a city.", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "number"}}, "required": ["city"]}}
TIME = {"name": "get_time", "description": "The time.", "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}}}
RING = {"name": "ring", "description": "Rings a bell.", "input_schema": {"type": "object"}}
TOOLS = [WEATHER, TIME, RING]
TRANSLATED = ("chat-openai", "chat-generic", "responses-openai", "gemini-3.5-flash")
CHATS = tuple(f"chat-{name}" for name in ("openai", "azure", "vllm", "ollama", "openrouter", "deepseek", "groq", "generic"))
CLOUDS = ("bedrock", "vertex", "foundry")
EVERYWHERE = (*TRANSLATED, "chat-vllm", "chat-openrouter", "chat-deepseek", "gemini-vertex", *CLOUDS)


@dataclass
class Seen:
    """What one upstream received, and what the gateway said of it."""

    body: dict
    text: str
    headers: dict
    dropped: list = field(default_factory=list)
    record: dict = field(default_factory=dict)

    def roles(self, role):
        return [message for message in self.body.get("messages", []) if message["role"] == role]

    def items(self, kind):
        return [item for item in self.body.get("input", []) if item.get("type", "message") == kind] if isinstance(self.body.get("input"), list) else []

    def parts(self, key):
        return [part[key] for content in self.body.get("contents", []) for part in content["parts"] if key in part]

    def has(self, *words):
        return all(json.dumps(word, ensure_ascii=False)[1:-1] in self.text or word in self.text for word in words)

    def drops(self, name):
        return any(name == one or one.startswith((f"{name}.", f"{name}[")) or one.endswith(f".{name}") for one in self.dropped)


@dataclass
class Case:
    name: str
    row: str
    body: object
    # patterns of targets, a sentence, a predicate over `Seen`
    checks: list = field(default_factory=list)
    targets: tuple = EVERYWHERE
    headers: dict = field(default_factory=dict)


def ask(*messages, **more):
    """A request; a string stands for a user's message."""
    found = [{"role": "user", "content": one} if isinstance(one, (str, list)) else one for one in messages or ["Say hello."]]
    return {"max_tokens": 100, "messages": found, **more}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(value):
    return {"type": "text", "text": value}


def call(id="toolu_1", name="get_weather", input=None):
    return {"type": "tool_use", "id": id, "name": name, "input": {"city": "Paris"} if input is None else input}


def result(*content, id="toolu_1", **more):
    return {"type": "tool_result", "tool_use_id": id, **({"content": content[0] if len(content) == 1 and isinstance(content[0], str) else list(content)} if content else {}), **more}


def turn(*results, calls=None, after=(), **more):
    """A question, a call, its results."""
    return ask("Weather?", assistant(*(calls or [call()])), [*results, *after], tools=TOOLS, **more)


def answer_text(seen):
    """The text of the first tool result, whatever the dialect."""
    if "contents" in seen.body:
        return json.dumps([part["response"] for part in seen.parts("functionResponse")][0], ensure_ascii=False)
    if "input" in seen.body:
        output = seen.items("function_call_output")[0]["output"]
        return output if isinstance(output, str) else "\n".join(part.get("text", "") for part in output)
    content = seen.roles("tool")[0]["content"]
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def options(seen):
    return seen.body.get("generationConfig", {})


def function(seen, n=0):
    """A declared function: its name, schema and flags, whatever the dialect."""
    tool = seen.body["tools"][0]["functionDeclarations"][n] if "contents" in seen.body else seen.body["tools"][n]
    tool = tool.get("function", tool)
    return {"name": tool["name"], "schema": tool.get("parameters", tool.get("parametersJsonSchema", {})), "strict": tool.get("strict"), "keys": set(tool)}


def gemini_mode(seen):
    return seen.body["toolConfig"]["functionCallingConfig"]


def schema_tool(schema, **more):
    return {"name": "get_weather", "description": "d", "input_schema": schema, **more}


LONG_ID, LONG_NAME, MCP = "toolu_" + "a" * 54, "tool_" + "b" * 90, "mcp__server__do.it"
OPTIONAL = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer", "minimum": 1}}, "required": ["a"], "additionalProperties": False}
STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
REFERENCES = {"type": "object", "properties": {"p": {"$ref": "#/$defs/place"}}, "$defs": {"place": {"type": "object", "properties": {"x": {"type": "integer", "enum": [1, 2]}}}}}
SERVER = [{"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "tides"}},
          {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
              {"type": "web_search_result", "title": "Tide tables", "url": "https://sea.example/tables", "encrypted_content": "ENCRYPTED-CONTENT", "page_age": None}]},
          {"type": "text", "text": "Noon.", "citations": [{"type": "web_search_result_location", "url": "https://sea.example/tables", "title": "Tide tables",
                                                          "encrypted_index": "ENCRYPTED-INDEX", "cited_text": "noon"}]}]
CLAUDE_THOUGHT = {"type": "thinking", "thinking": "PRIVATE-THOUGHT", "signature": "ErUBCkYIBxgCIkDclaude"}
CACHED = {"type": "ephemeral", "ttl": "1h"}
SPELLED = '{"max_tokens":100,"tools":%s,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"get_weather",' \
          '"input":{"city":"Paris","n":1.50,"m":12345678901234567890}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"ok"}]}]}' % json.dumps(TOOLS)

MESSAGES = [
    Case("system string", "1.2", ask(system="Be brief."), [
        ("chat-*", "the system prompt is the first message", lambda s: s.body["messages"][0]["role"] in ("system", "developer") and s.has("Be brief.")),
        ("responses-*", "the system prompt is in instructions, or leads the input", lambda s: s.body.get("instructions") == "Be brief." or s.body["input"][0]["role"] == "developer"),
        ("gemini-*", "the system prompt is the systemInstruction", lambda s: s.body["systemInstruction"]["parts"] == [{"text": "Be brief."}])]),
    Case("system blocks", "1.2, line 6", ask(system=[text("ALPHA"), text("BETA")]), [
        ("*", "both blocks arrive, and are not glued together", lambda s: s.has("ALPHA", "BETA") and "ALPHABETA" not in s.text),
        ("gemini-*", "each block is a part", lambda s: len(s.body["systemInstruction"]["parts"]) == 2),
        ("chat-generic", "a strict server gets one string", lambda s: isinstance(s.body["messages"][0]["content"], str))]),
    Case("billing header", "1.2", ask(system=[text("x-anthropic-billing-header: cc_version=2.1.328.a1"), text("You are Claude Code.")]), [
        (TRANSLATED, "the billing header of Claude Code does not arrive", lambda s: "billing-header" not in s.text and s.has("You are Claude Code."))]),
    Case("system inside", "1.2, line 17", ask("One", assistant(text("Two")), "Three", {"role": "system", "content": "Speak French."}, assistant(text("Quatre")), "Five"), [
        ("chat-openai", "the message keeps its role and place", lambda s: [m["role"] for m in s.body["messages"]].index("system") == 3),
        ("chat-generic", "it becomes a marked user message", lambda s: not s.roles("system") and s.has("<system-message>", "Speak French.")),
        ("responses-*", "it becomes a developer item", lambda s: any(item.get("role") in ("developer", "system") and "Speak French." in json.dumps(item) for item in s.body["input"])),
        ("gemini-*", "it becomes text at its place", lambda s: s.has("Speak French.") and "systemInstruction" not in s.body)],
        targets=(*TRANSLATED, "chat-vllm", "chat-deepseek", "gemini-vertex", "bedrock", "foundry")),
    Case("system after tool results", "1.2", ask("Weather?", assistant(call(), call("toolu_2", "get_time", {})), [result("sun"), result("noon", id="toolu_2")],
                                                {"role": "system", "content": "Speak French."}, "Go on.", tools=TOOLS), [
        ("*", "the text arrives", lambda s: s.has("Speak French."))], targets=(*TRANSLATED, "chat-vllm", "gemini-vertex")),
    Case("one text", "1.2", ask([text("hi")]), [("chat-generic", "a message of text only is a string", lambda s: s.body["messages"][-1]["content"] == "hi")]),
    Case("two texts", "1.2, line 6", ask([text("ALPHA"), text("BETA")]), [("*", "both texts arrive, and are not glued together", lambda s: s.has("ALPHA", "BETA") and "ALPHABETA" not in s.text)]),
    Case("image", "1.2", ask([text("see"), IMAGE]), [
        ("chat-*", "the image is a data URL", lambda s: f"data:image/png;base64,{PNG}" in s.text),
        ("responses-*", "the image's URL is a string", lambda s: any(part.get("image_url") == f"data:image/png;base64,{PNG}" for item in s.body["input"] for part in item["content"])),
        ("gemini-*", "the image is inlineData", lambda s: s.parts("inlineData") == [{"mimeType": "image/png", "data": PNG}])]),
    Case("image by URL", "1.2", ask([IMAGE_URL, text("see")]), [
        (("chat-openai", "responses-*"), "the URL arrives", lambda s: s.has("https://sea.example/pier.png")),
        ("gemini-*", "a fileData part has its type", lambda s: all(part.get("mimeType") for part in s.parts("fileData")))],
        targets=(*TRANSLATED, "chat-vllm", "bedrock", "foundry")),
    Case("image by file id", "1.2", ask([{"type": "image", "source": {"type": "file", "file_id": "file_1"}}, text("see")]), [
        ("*", "another account's id is not sent", lambda s: "file_id" not in s.text), ("*", "the loss is named", lambda s: bool(s.dropped))], targets=TRANSLATED),
    Case("PDF", "1.2", ask([DOCUMENT, text("read")]), [
        ("chat-openai", "the PDF is a file part with its name", lambda s: f"data:application/pdf;base64,{PDF}" in s.text and "Tides.pdf" in s.text),
        ("responses-*", "the PDF is an input_file", lambda s: any(part["type"] == "input_file" for item in s.body["input"] for part in item["content"])),
        ("gemini-*", "the PDF is inlineData", lambda s: {"mimeType": "application/pdf", "data": PDF} in s.parts("inlineData")),
        ("chat-generic", "a server without files: the loss is named", lambda s: bool(s.dropped) and PDF not in s.text)]),
    Case("PDF by URL", "1.2, line 3", ask([{"type": "document", "source": {"type": "url", "url": "https://sea.example/tides.pdf"}}, text("read")]), [
        ("chat-*", "a PDF is never an image", lambda s: '"image_url"' not in s.text),
        ("responses-*", "the PDF is a file_url", lambda s: any(part.get("file_url") == "https://sea.example/tides.pdf" for item in s.body["input"] for part in item["content"]))],
        targets=("responses-openai", "chat-openrouter", "gemini-3.5-flash", "bedrock")),
    Case("text document", "1.2, line 4", ask([TEXT_DOCUMENT, text("read")]), [
        (TRANSLATED, "title, context and text arrive", lambda s: s.has("Tide table", "of the north pier") and (s.has("High water at noon.") or bool(s.parts("inlineData"))))]),
    Case("content document", "1.2", ask([{"type": "document", "title": "Pieces", "source": {"type": "content", "content": [text("PIECE-ONE"), IMAGE]}}, text("read")]), [
        ("*", "its blocks arrive, after the title", lambda s: s.has("Pieces", "PIECE-ONE", PNG))], targets=TRANSLATED),
    Case("search result", "1.2, line 5", ask([SEARCH, text("so?")]), [("*", "title, source and text arrive", lambda s: s.has("Sea and moon", "https://sea.example/moon", "The moon pulls."))]),
    Case("assistant text", "1.2", ask("One", assistant(text("Two")), "Three"), [
        ("responses-*", "history of the assistant is output_text, or a string", lambda s: any(item.get("role") == "assistant" for item in s.body["input"]) and '"input_text","text":"Two"' not in s.text),
        ("gemini-*", "the assistant is called model", lambda s: [c["role"] for c in s.body["contents"]] == ["user", "model", "user"])]),
    Case("two assistant texts", "1.2", ask("One", assistant(text("ALPHA"), text("BETA")), "Three"), [("*", "both texts arrive, and are not glued together", lambda s: s.has("ALPHA", "BETA") and "ALPHABETA" not in s.text)]),
    Case("call and result", "1.2", turn(result("sun")), [
        ("chat-*", "content is null or empty beside calls alone", lambda s: not s.roles("assistant")[0].get("content")),
        ("chat-*", "arguments are a string of JSON", lambda s: json.loads(s.roles("assistant")[0]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}),
        ("gemini-3*", "the result is an output", lambda s: s.parts("functionResponse")[0]["response"] == {"output": "sun"}),
        ("gemini-3*", "a call without our signature has the placeholder", lambda s: "thoughtSignature" in s.text),
        (TRANSLATED, "the result arrives", lambda s: "sun" in answer_text(s))]),
    Case("no input", "1.2, line 28", turn(result("rung"), calls=[call(name="ring", input={})]), [
        (("chat-*", "responses-*"), "input {} is {}", lambda s: '"arguments":"{}"' in s.text.replace(" ", ""))]),
    Case("numbers", "1.2", SPELLED.encode(), [
        ("chat-*", "numbers keep their spelling", lambda s: "1.50" in s.text and "12345678901234567890" in s.text),
        (("responses-*", "gemini-*"), "numbers keep their spelling", lambda s: "1.50" in s.text and "12345678901234567890" in s.text)], targets=TRANSLATED),
    Case("text after a call", "1.2, line 16", ask("Weather?", assistant(call(), text("Looking.")), [result("sun")], tools=TOOLS), [("*", "the text arrives", lambda s: s.has("Looking."))], targets=(*TRANSLATED, "gemini-vertex")),
    Case("text before a result", "1.2, line 16", ask("Weather?", assistant(call()), [text("By the way"), result("sun")], tools=TOOLS), [
        ("*", "text and result arrive", lambda s: s.has("By the way") and "sun" in answer_text(s))], targets=(*TRANSLATED, "gemini-vertex", "chat-deepseek")),
    Case("results in another order", "1.2", turn(result("noon", id="toolu_2"), result("sun"), calls=[call(), call("toolu_2", "get_time", {})], after=[text("And?")]), [
        ("chat-*", "results stand in the order of the calls", lambda s: [m["content"] for m in s.roles("tool")] == ["sun", "noon"]),
        ("chat-*", "other content of the turn follows", lambda s: s.body["messages"][-1]["role"] == "user"),
        ("gemini-*", "results stand in the order of the calls", lambda s: [part["response"] for part in s.parts("functionResponse")] == [{"output": "sun"}, {"output": "noon"}])],
        targets=(*TRANSLATED, "gemini-vertex")),
    Case("a missing result", "1.2", turn(result("sun"), calls=[call(), call("toolu_2", "get_time", {})]), [
        ("chat-*", "the gap is filled", lambda s: len(s.roles("tool")) == 2), ("gemini-*", "the gap is filled", lambda s: len(s.parts("functionResponse")) == 2)], targets=(*TRANSLATED, "gemini-vertex")),
    Case("no results at all", "1.2", ask("Weather?", assistant(call()), "Never mind.", tools=TOOLS), [("*", "the user's text arrives", lambda s: s.has("Never mind."))], targets=TRANSLATED),
    Case("result of two texts", "1.2, line 6", turn(result(text("ALPHA"), text("BETA"))), [("*", "both texts arrive, and are not glued together", lambda s: s.has("ALPHA", "BETA") and "ALPHABETA" not in s.text)]),
    Case("failed result", "1.2, line 1", turn(result("no such city", is_error=True)), [
        (("chat-*", "responses-*"), "the text says that it is an error", lambda s: answer_text(s) == "Error: no such city"),
        ("gemini-*", "the response is an error", lambda s: s.parts("functionResponse")[0]["response"] == {"error": "no such city"})]),
    Case("failed result that says so", "1.2", turn(result("Error: no such city", is_error=True)), [(("chat-*", "responses-*"), "the prefix is not doubled", lambda s: answer_text(s) == "Error: no such city")], targets=TRANSLATED),
    Case("result without content", "1.2, line 22", turn(result()), [("chat-*", "the message exists", lambda s: len(s.roles("tool")) == 1), ("gemini-*", "the response exists", lambda s: "output" in s.parts("functionResponse")[0]["response"])]),
    Case("empty result", "1.2", turn(result("")), [("chat-*", "the message exists", lambda s: len(s.roles("tool")) == 1)], targets=(*TRANSLATED, "gemini-vertex")),
    Case("image in a result", "1.2, line 2", turn(result(text("a map"), IMAGE), after=[text("And?")]), [
        ("chat-*", "the image follows in a user message", lambda s: PNG in json.dumps(s.roles("user")[-1]) and PNG not in json.dumps(s.roles("tool"))),
        ("responses-*", "the image stays in the output", lambda s: PNG in json.dumps(s.items("function_call_output")[0])),
        ("gemini-3*", "the image is a part of the response", lambda s: PNG in json.dumps(s.parts("functionResponse")[0])),
        ("gemini-2*", "the image follows the responses", lambda s: PNG not in json.dumps(s.parts("functionResponse")) and len(s.parts("inlineData")) == 1)],
        targets=("chat-openai", "chat-vllm", "responses-openai", "gemini-3.5-flash", "gemini-2.5-flash", *CLOUDS)),
    Case("images in two results", "1.2", turn(result(IMAGE), result(IMAGE, id="toolu_2"), calls=[call(), call("toolu_2", "get_time", {})]), [
        ("chat-*", "all tool messages stand before the images", lambda s: [m["role"] for m in s.body["messages"]][-3:] == ["tool", "tool", "user"])],
        targets=("chat-openai", "responses-openai", "gemini-3.5-flash", "gemini-2.5-flash")),
    Case("PDF in a result", "1.2", turn(result(DOCUMENT)), [(("chat-openai", "responses-*", "gemini-*"), "the PDF arrives", lambda s: PDF in s.text)], targets=("chat-openai", "responses-openai", "gemini-3.5-flash", "gemini-2.5-flash")),
    Case("search result in a result", "line 5", turn(result(SEARCH)), [("*", "it arrives as text", lambda s: s.has("Sea and moon", "The moon pulls."))], targets=TRANSLATED),
    Case("text document in a result", "1.2", turn(result(TEXT_DOCUMENT)), [("*", "it arrives", lambda s: s.has("High water at noon.") or bool(s.parts("functionResponse")[0].get("parts")))], targets=TRANSLATED),
    Case("Claude's thinking", "1.2, 1.5", ask("Weather?", assistant(CLAUDE_THOUGHT, call()), [result("sun")], tools=TOOLS), [
        (TRANSLATED, "Claude's thinking and its signature are not sent to others", lambda s: "ErUBCkYIBxgCIkDclaude" not in s.text),
        (CLOUDS, "Claude's thinking arrives as it was", lambda s: s.has("PRIVATE-THOUGHT", "ErUBCkYIBxgCIkDclaude"))]),
    Case("redacted thinking", "1.2", ask("Hi", assistant({"type": "redacted_thinking", "data": "REDACTED-DATA"}, text("Yes.")), "So?"), [
        (TRANSLATED, "redacted thinking is not sent to others", lambda s: "REDACTED-DATA" not in s.text), (CLOUDS, "it arrives at Claude", lambda s: s.has("REDACTED-DATA"))]),
    Case("unsigned thinking", "line 24", ask("Hi", assistant({"type": "thinking", "thinking": "FOREIGN", "signature": ""}, text("Yes.")), "So?"), [
        (CLOUDS, "thinking without a signature is not sent to Claude", lambda s: "FOREIGN" not in s.text)], targets=CLOUDS),
    Case("foreign envelope", "2.3, line 24", ask("Hi", assistant({"type": "thinking", "thinking": "FOREIGN", "signature": "tidegate.eyJ2IjoxfQ"}, call()), [result("sun")], tools=TOOLS), [
        ("*", "a foreign envelope is sent to no upstream", lambda s: "tidegate.eyJ2IjoxfQ" not in s.text)]),
    Case("interleaved thinking", "line 23", ask("Hi", assistant(CLAUDE_THOUGHT, call(), {**CLAUDE_THOUGHT, "signature": "ErSECOND"}, call("toolu_2", "get_time", {})),
                                               [result("sun"), result("noon", id="toolu_2")], tools=TOOLS), [
        (CLOUDS, "blocks keep their order", lambda s: [b["type"] for b in s.body["messages"][1]["content"]] == ["thinking", "tool_use", "thinking", "tool_use"])], targets=(*TRANSLATED, *CLOUDS)),
    Case("server tools in history", "1.2, line 15", ask("Tides?", assistant(*SERVER), "Thanks."), [
        (TRANSLATED, "title, address and text arrive", lambda s: s.has("Tide tables", "https://sea.example/tables", "Noon.")),
        (TRANSLATED, "what only Anthropic can read does not", lambda s: "ENCRYPTED" not in s.text)], targets=(*TRANSLATED, "chat-vllm", "gemini-vertex", "vertex", "foundry")),
    Case("cache_control", "1.2, line 18", ask([{**text("hi"), "cache_control": CACHED}], system=[{**text("Be brief."), "cache_control": CACHED}], tools=[{**WEATHER, "cache_control": CACHED}]), [
        (("chat-generic", "chat-vllm", "chat-deepseek", "gemini-*"), "cache_control is not sent", lambda s: "cache_control" not in s.text),
        (TRANSLATED, "a lost hint is not named to the caller", lambda s: not s.drops("cache_control"))]),
    Case("prefill", "1.2", ask("Count.", assistant(text("One,"))), [("chat-vllm", "vLLM continues the message", lambda s: s.body.get("continue_final_message") is True and s.body.get("add_generation_prompt") is False)],
         targets=("chat-openai", "chat-vllm", "chat-generic")),
    Case("two user messages", "1.2", ask("ALPHA", "BETA"), [("gemini-*", "equal roles are merged", lambda s: len(s.body["contents"]) == 1), ("*", "both arrive", lambda s: s.has("ALPHA", "BETA"))]),
    Case("long id", "1.2, line 14", turn(result("sun", id=LONG_ID), calls=[call(LONG_ID)]), [(("chat-*", "responses-*"), "the result answers the call", lambda s: "sun" in answer_text(s))]),
    Case("long name", "1.2", ask("Go", assistant(call(name=LONG_NAME)), [result("sun")], tools=[{**WEATHER, "name": LONG_NAME}], tool_choice={"type": "tool", "name": LONG_NAME}), [
        ("chat-*", "the name has one short form in tools and history", lambda s: s.roles("assistant")[0]["tool_calls"][0]["function"]["name"] == function(s)["name"])], targets=TRANSLATED),
    Case("empty text", "3.2", ask([text("hi"), text(" ")], assistant(text("yes")), "more"), [], targets=(*TRANSLATED, "gemini-vertex")),
]

PARAMETERS = [
    Case("max_tokens", "1.3", ask(), [
        (("chat-openai", "chat-azure"), "it is max_completion_tokens", lambda s: s.body.get("max_completion_tokens") == 100),
        (("chat-vllm", "chat-ollama", "chat-deepseek", "chat-generic"), "it is max_tokens", lambda s: s.body.get("max_tokens") == 100),
        ("responses-*", "it is max_output_tokens", lambda s: s.body["max_output_tokens"] == 100), ("gemini-*", "it is maxOutputTokens", lambda s: options(s)["maxOutputTokens"] == 100)],
        targets=(*EVERYWHERE, *CHATS, "chat-azure-classic", "responses-azure", "bedrock-key", "bedrock-arn")),
    Case("few tokens", "2.1", ask(max_tokens=5), [("responses-*", "fewer than 16 are raised", lambda s: s.body["max_output_tokens"] >= 16)], targets=TRANSLATED),
    Case("4 stop sequences", "1.3", ask(stop_sequences=list("wxyz")), [
        (("chat-openai", "chat-generic"), "all arrive", lambda s: s.body["stop"] == list("wxyz")), ("gemini-*", "all arrive", lambda s: options(s)["stopSequences"] == list("wxyz"))]),
    Case("5 stop sequences", "1.3, line 9", ask(stop_sequences=list("vwxyz")), [("gemini-*", "all arrive", lambda s: options(s)["stopSequences"] == list("vwxyz"))], targets=(*TRANSLATED, *CHATS)),
    Case("6 stop sequences", "1.3", ask(stop_sequences=list("uvwxyz")), [], targets=TRANSLATED),
    Case("stop on a reasoning model", "1.3", ask(stop_sequences=["END"]), [], targets=("chat-gpt-5.4-mini", "responses-gpt-5.4-mini")),
    Case("sampling", "1.3", ask(temperature=0.5, top_p=0.9, top_k=5), [
        (("chat-openai", "chat-azure"), "top_k is not sent, and named", lambda s: "top_k" not in s.body and s.drops("top_k")),
        (("chat-openai", "chat-vllm", "chat-generic"), "temperature and top_p arrive", lambda s: (s.body["temperature"], s.body["top_p"]) == (0.5, 0.9)),
        (("chat-vllm", "chat-openrouter"), "top_k arrives", lambda s: s.body["top_k"] == 5),
        ("responses-openai", "top_k is not sent, and named", lambda s: s.drops("top_k")),
        ("gemini-*", "all arrive", lambda s: (options(s)["temperature"], options(s)["topP"], options(s)["topK"]) == (0.5, 0.9, 5))],
        targets=(*TRANSLATED, *CHATS, "gemini-2.5-flash", "gemini-vertex")),
    Case("sampling on a reasoning model", "1.3", ask(temperature=0.5, top_p=0.9), [("*", "what is not sent is named", lambda s: "temperature" in s.body or options(s).get("temperature") or s.drops("temperature"))],
         targets=("chat-gpt-5.4-mini", "responses-gpt-6.1-sol", "responses-gpt-5.4-mini", "gemini-3.8-flash")),
    Case("user id", "1.3, line 13", ask(metadata={"user_id": "user_" + "u" * 595}), [
        ("*-openai", "it is a hash of at most 64 characters", lambda s: re.fullmatch(r"[0-9a-zA-Z_-]{1,64}", s.body.get("safety_identifier", ""))), ("gemini-*", "it is not sent", lambda s: "uuuu" not in s.text)],
        targets=(*TRANSLATED, *CHATS, "gemini-vertex")),
    Case("schema, as OpenAI wants it", "1.3", ask(output_config={"format": {"type": "json_schema", "schema": STRICT}}), [
        ("chat-openai", "strict is on", lambda s: s.body["response_format"]["json_schema"]["strict"] is True), ("responses-*", "strict is on", lambda s: s.body["text"]["format"]["strict"] is True),
        ("gemini-*", "the schema is JSON Schema", lambda s: options(s).get("responseJsonSchema") == STRICT or "responseFormat" in options(s))], targets=(*TRANSLATED, *CHATS, "gemini-vertex", *CLOUDS)),
    Case("schema with optional properties", "1.3, line 12", ask(output_config={"format": {"type": "json_schema", "schema": OPTIONAL}}), [
        ("chat-openai", "the schema is untouched, strict is off", lambda s: s.body["response_format"]["json_schema"]["schema"] == OPTIONAL and not s.body["response_format"]["json_schema"].get("strict")),
        ("responses-*", "the schema is untouched, strict is off", lambda s: s.body["text"]["format"]["schema"] == OPTIONAL and not s.body["text"]["format"].get("strict"))], targets=TRANSLATED),
    Case("JSON on DeepSeek", "1.3", ask("Give me JSON", output_config={"format": {"type": "json_schema", "schema": OPTIONAL}}), [], targets=("chat-deepseek",)),
    Case("service tier auto", "1.3", ask(service_tier="auto"), [], targets=(*TRANSLATED, *CHATS, "bedrock")),
    Case("service tier standard_only", "1.3", ask(service_tier="standard_only"), [("chat-openai", "it is default", lambda s: s.body["service_tier"] == "default")], targets=TRANSLATED),
    Case("Anthropic's own fields", "1.3, line 19", ask(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}, container="c1", inference_geo="eu", mcp_servers=[
        {"type": "url", "name": "m", "url": "https://mcp.example/"}]), [
        (TRANSLATED, "they are not sent", lambda s: "context_management" not in s.body and "mcp.example" not in s.text),
        (TRANSLATED, "they are named", lambda s: all(s.drops(name) for name in ("context_management", "container", "mcp_servers")))], targets=TRANSLATED,
        headers={"anthropic_beta": "mcp-client-2025-11-20,context-management-2025-06-27"}),
    # 1.5
    *(Case(f"effort {effort}", "1.5, line 20", ask(output_config={"effort": effort}), [], targets=(*TRANSLATED, "chat-openai", "chat-gpt-5.6-sol", "chat-gpt-5.4-mini", "chat-ollama", "chat-deepseek",
        "chat-openrouter", "responses-gpt-6.1-sol", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-3.8-flash", "gemini-4-hydrogen", "gemini-vertex")) for effort in ("low", "medium", "high", "xhigh", "max")),
    *(Case(f"thinking {name}", "1.5", ask(thinking=thinking, max_tokens=40000), [], targets=(*TRANSLATED, *CHATS, "chat-gpt-5.6-sol", "chat-gpt-5.4-mini", "responses-gpt-6.1-sol", "gemini-2.5-pro",
        "gemini-2.5-flash", "gemini-3.8-flash", "gemini-4-hydrogen", "gemini-vertex")) for name, thinking in [
            ("disabled", {"type": "disabled"}), ("adaptive", {"type": "adaptive"}), ("of 1024", {"type": "enabled", "budget_tokens": 1024}), ("of 30000", {"type": "enabled", "budget_tokens": 30000})]),
    Case("thinking with tools", "1.5, line 21", ask(thinking={"type": "adaptive"}, output_config={"effort": "high"}, tools=TOOLS), [("responses-*", "the effort arrives", lambda s: s.body["reasoning"]["effort"] == "high"),
        ("responses-*", "encrypted reasoning is requested", lambda s: "reasoning.encrypted_content" in s.body.get("include", []))],
        targets=(*TRANSLATED, "chat-gpt-5.6-sol", "chat-gpt-5.4-mini", "responses-gpt-6.1-sol", "gemini-2.5-flash", "chat-deepseek")),
    Case("thinking is shown", "3.2", ask(thinking={"type": "enabled", "budget_tokens": 2048}, max_tokens=4000), [("gemini-*", "thoughts are requested", lambda s: options(s)["thinkingConfig"]["includeThoughts"] is True)], targets=("gemini-3.5-flash", "gemini-2.5-flash")),
    Case("history of DeepSeek", "1.5, line 25", ask("Weather?", assistant(call()), [result("sun")], tools=TOOLS, thinking={"type": "enabled", "budget_tokens": 2048}, max_tokens=4000), [
        ("chat-deepseek", "thinking is not turned off in silence", lambda s: (s.body.get("thinking") or {}).get("type") != "disabled")], targets=("chat-deepseek",)),
]

TOOL_CASES = [
    Case("tools", "1.4", ask(tools=TOOLS), [("*", "all three arrive", lambda s: s.has("get_weather", "get_time", "ring")), ("responses-*", "strict is given", lambda s: function(s)["strict"] is False)], targets=(*EVERYWHERE, *CHATS)),
    Case("schema without type", "1.4, line 11", ask(tools=[schema_tool({"properties": {"a": {"type": "string"}}})]), [("*", "type object is added", lambda s: function(s)["schema"]["type"] == "object")], targets=(*TRANSLATED, "chat-vllm", "gemini-vertex")),
    Case("schema without properties", "1.4", ask(tools=[RING]), [("chat-*", "properties are added", lambda s: function(s)["schema"].get("properties") == {})], targets=(*TRANSLATED, "gemini-vertex")),
    Case("$defs and $ref", "1.4, line 69", ask(tools=[schema_tool(REFERENCES)]), [(("chat-*", "responses-*"), "the schema arrives as it is", lambda s: function(s)["schema"] == REFERENCES),
        ("gemini-*", "numbers of an enum and references survive", lambda s: '"enum":[1,2]' in s.text.replace(" ", ""))], targets=(*TRANSLATED, "gemini-vertex")),
    Case("limits in a schema", "line 74", ask(tools=[schema_tool(OPTIONAL)]), [("gemini-*", "minimum and additionalProperties stay", lambda s: function(s)["schema"] == OPTIONAL)], targets=TRANSLATED),
    Case("strict, as OpenAI wants it", "1.4", ask(tools=[schema_tool(STRICT, strict=True)]), [("*-openai", "strict is on", lambda s: function(s)["strict"] is True)], targets=TRANSLATED),
    Case("strict with optional properties", "1.4", ask(tools=[schema_tool(OPTIONAL, strict=True)]), [("*-openai", "strict is off, the schema untouched, the loss named", lambda s: not function(s)["strict"] and function(s)["schema"] == OPTIONAL and bool(s.dropped))],
         targets=("chat-openai", "responses-openai")),
    Case("fields of tools", "1.4, line 10", ask(tools=[schema_tool(STRICT, type="custom", defer_loading=False, input_examples=[{"a": "x"}], allowed_callers=["direct"], eager_input_streaming=True)]), [
        ("*", "the schema is untouched", lambda s: function(s)["schema"] == STRICT), ("*", "they are not sent", lambda s: not {"input_examples", "allowed_callers", "eager_input_streaming"} & function(s)["keys"])], targets=TRANSLATED),
    Case("a tool with a version", "1.4, line 29", ask(tools=[{"type": "bash_20250124", "name": "bash"}, WEATHER]), [("*", "it arrives with a schema, or its loss is named", lambda s: '"bash"' in s.text or bool(s.dropped))], targets=TRANSLATED),
    Case("a server tool", "1.4, line 29", ask(tools=[{"type": "code_execution_20250825", "name": "code_execution"}, WEATHER]), [("*", "its loss is named", lambda s: bool(s.dropped)), ("*", "the others arrive", lambda s: s.has("get_weather"))], targets=TRANSLATED),
    Case("no tool is left", "1.4", ask(tools=[{"type": "code_execution_20250825", "name": "code_execution"}], tool_choice={"type": "auto", "disable_parallel_tool_use": True}), [
        (("chat-*", "responses-*"), "tools, tool_choice and parallel_tool_calls are left out", lambda s: not {"tools", "tool_choice", "parallel_tool_calls"} & set(s.body))], targets=TRANSLATED),
    Case("empty tools", "1.4", ask(tools=[]), [], targets=(*TRANSLATED, *CHATS)),
    Case("tool_choice auto", "1.4", ask(tools=TOOLS, tool_choice={"type": "auto"}), [("gemini-*", "it is AUTO", lambda s: "toolConfig" not in s.body or gemini_mode(s)["mode"] == "AUTO")], targets=(*TRANSLATED, *CHATS)),
    Case("tool_choice any", "1.4, line 8", ask(tools=TOOLS, tool_choice={"type": "any"}), [(("chat-openai", "chat-vllm", "responses-*"), "it is required", lambda s: s.body["tool_choice"] == "required"),
        ("gemini-*", "it is ANY", lambda s: gemini_mode(s)["mode"] == "ANY")], targets=(*TRANSLATED, *CHATS)),
    Case("tool_choice tool", "1.4", ask(tools=TOOLS, tool_choice={"type": "tool", "name": "get_time"}), [
        ("chat-openai", "it names the function", lambda s: s.body["tool_choice"] == {"type": "function", "function": {"name": "get_time"}}),
        ("responses-*", "it is flat", lambda s: s.body["tool_choice"] == {"type": "function", "name": "get_time"}),
        ("gemini-*", "it is ANY of one name", lambda s: (gemini_mode(s)["mode"], gemini_mode(s)["allowedFunctionNames"]) == ("ANY", ["get_time"]))], targets=(*TRANSLATED, *CHATS)),
    Case("tool_choice none", "1.4", turn(result("sun"), tool_choice={"type": "none"}), [(("chat-openai", "responses-*"), "tools stay, the choice is none", lambda s: s.body["tool_choice"] == "none" and s.body["tools"]),
        ("gemini-*", "it is NONE", lambda s: gemini_mode(s)["mode"] == "NONE")], targets=TRANSLATED),
    Case("a forced strict tool", "3.2, line 68", ask(tools=[schema_tool(STRICT, strict=True)], tool_choice={"type": "any"}), [("gemini-*", "ANY stays", lambda s: gemini_mode(s)["mode"] == "ANY")], targets=("gemini-3.5-flash", "gemini-vertex")),
    Case("no parallel calls", "1.4, line 7", ask(tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True}), [(("chat-openai", "responses-*"), "parallel_tool_calls is false", lambda s: s.body["parallel_tool_calls"] is False),
        (("gemini-*", "chat-deepseek", "chat-ollama"), "the loss is named", lambda s: s.drops("disable_parallel_tool_use"))], targets=(*TRANSLATED, "chat-deepseek", "chat-ollama", "gemini-vertex")),
    Case("history of tools without tools", "line 30", ask("Weather?", assistant(call()), [result("sun")], "Thanks."), [("*", "the result arrives", lambda s: "sun" in s.text)], targets=(*TRANSLATED, "gemini-vertex", *CLOUDS)),
    Case("a name of 128 characters", "2.1, 3.2", ask(tools=[{**WEATHER, "name": "n" * 128}]), [(("responses-*", "gemini-*"), "it needs no short form", lambda s: function(s)["name"] == "n" * 128)], targets=TRANSLATED),
]

CLOUD_CASES = [
    Case("body of Bedrock", "4.2", ask(system="Be brief.", temperature=0.5, metadata={"user_id": "u"}), [
        ("bedrock*", "the version is in the body", lambda s: s.body["anthropic_version"] == "bedrock-2023-05-31"), ("bedrock", "it is signed", lambda s: s.record["notes"]["auth"] == "sigv4"),
        ("bedrock-key", "the key is a bearer token", lambda s: s.record["notes"]["auth"] == "bearer")], targets=("bedrock", "bedrock-key", "bedrock-haiku", "bedrock-arn")),
    Case("an ARN", "4.2, line 77", ask(), [("bedrock-arn", "its slash is encoded on the wire", lambda s: "application-inference-profile%2Fabc123/" in s.record["raw_path"])], targets=("bedrock-arn",)),
    Case("the table's name", "4.8", ask(), [("claude-haiku-4-5-20251001", "the cloud's own name is used", lambda s: "claude-haiku-4-5" in s.record["raw_path"] and "anthropic." in s.record["raw_path"])], targets=("claude-haiku-4-5-20251001",)),
    Case("the new version", "4.1", ask(), [("bedrock", "the body has it", lambda s: s.body["anthropic_version"] == "2026-10-21"), ("vertex", "the body has it", lambda s: s.body["anthropic_version"] == "2026-10-21"),
        ("bedrock-haiku", "an old model gets the old one", lambda s: s.body["anthropic_version"] == "bedrock-2023-05-31")], targets=("bedrock", "bedrock-haiku", "vertex"), headers={"anthropic_version": "2026-10-21"}),
    Case("the old version", "4.1", ask(), [("vertex*", "the body has Vertex's own", lambda s: s.body["anthropic_version"] == "vertex-2023-10-16")], targets=("vertex", "vertex-haiku")),
    Case("betas", "4.2, line 76", ask(), [("bedrock", "they are in the body", lambda s: "effort-2025-11-24" in s.body["anthropic_beta"]), (("vertex", "foundry"), "they are in the header", lambda s: "effort-2025-11-24" in s.headers["anthropic-beta"])],
         targets=CLOUDS, headers={"anthropic_beta": "effort-2025-11-24, fine-grained-tool-streaming-2025-05-14"}),
    Case("betas that a cloud lacks", "4.7", ask(), [("bedrock", "they are not sent", lambda s: "interleaved-thinking-2025-05-14" not in s.text), ("bedrock", "they are named", lambda s: "interleaved-thinking-2025-05-14" in s.dropped),
        ("vertex", "they are named", lambda s: "advisor-tool-2026-03-01" in s.dropped)], targets=("bedrock", "vertex"),
        headers={"anthropic_beta": "interleaved-thinking-2025-05-14,advisor-tool-2026-03-01,effort-2025-11-24"}),
    Case("fields that Bedrock lacks", "4.2", ask(service_tier="auto", inference_geo="eu", container="c1"), [("bedrock", "they are not sent", lambda s: not {"inference_geo", "container", "service_tier"} & set(s.body)),
        ("bedrock", "they are named", lambda s: s.drops("inference_geo") and s.drops("container"))], targets=("bedrock",)),
    Case("cache scope", "4.2", ask(system=[{**text("Be brief."), "cache_control": {"type": "ephemeral", "scope": "global"}}]), [("*", "the breakpoint stays", lambda s: s.body["system"][0].get("cache_control", {}).get("type") == "ephemeral")],
         targets=("bedrock", "vertex"), headers={"anthropic_beta": "prompt-caching-scope-2026-01-05"}),
    Case("context management of Claude Code", "4.2", ask(context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}), [], targets=("bedrock",), headers={"anthropic_beta": "context-management-2025-06-27"}),
    Case("output_config on Vertex", "line 81", ask(output_config={"effort": "high"}), [("vertex", "it arrives", lambda s: s.body["output_config"]["effort"] == "high")], targets=("vertex", "foundry", "bedrock"), headers={"anthropic_beta": "effort-2025-11-24"}),
    Case("keys of Foundry", "4.6", ask(), [("foundry", "both headers have the key", lambda s: s.headers.get("x-api-key") == s.headers.get("api-key"))], targets=("foundry",)),
    Case("thinking without display", "line 27", ask(thinking={"type": "adaptive"}), [(CLOUDS, "display is not added", lambda s: s.body["thinking"] == {"type": "adaptive"})], targets=CLOUDS),
    Case("path of Vertex", "4.5", ask(), [("vertex-haiku", "the @ of the model stays", lambda s: "/models/claude-haiku-4-5@20251001:" in s.record["path"])], targets=("vertex-haiku",)),
]
CASES = [*MESSAGES, *PARAMETERS, *TOOL_CASES, *CLOUD_CASES]


def fits(patterns, target):
    return any(fnmatch(target, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def problems():
    """Targets of cases that do not exist, and checks that no target of their case meets."""
    for case in CASES:
        known = {*TARGETS, "claude-haiku-4-5-20251001"}
        yield from (f"{case.name}: unknown target {target}" for target in case.targets if target not in known)
        yield from (f"{case.name}: no target meets {patterns}" for patterns, *_ in case.checks if not any(fits(patterns, target) for target in case.targets))
