"""The judge of Messages requests that go to a cloud: Anthropic's schema and the fields that each door takes."""

from .limits import Refused

INVOKE = {
    "anthropic_version",
    "anthropic_beta",
    "max_tokens",
    "messages",
    "system",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "tools",
    "tool_choice",
    "thinking",
    "metadata",
    "output_config",
    "safeguards",
    "context_management",
    "compaction",
    "user_profile_id",
}
# betas that InvokeModel refuses (4.7)
NOT_ON_BEDROCK = {
    "advisor-tool-2026-03-01",
    "code-execution-2025-08-25",
    "files-api-2025-04-14",
    "skills-2025-10-02",
    "fast-mode-2026-02-01",
    "mcp-client-2025-04-04",
    "mcp-client-2025-11-20",
    "web-fetch-2025-09-10",
    "interleaved-thinking-2025-05-14",
    "token-efficient-tools-2025-02-19",
    "output-128k-2025-02-19",
    "per-turn-control-2026-07-01",
    "prompt-caching-scope-2026-01-05",
    "structured-outputs-2025-11-13",
    "web-search-2025-03-05",
    "advanced-tool-use-2025-11-20",
}
SAMPLING = ("temperature", "top_p", "top_k")


def allowed(request, model, schemas):
    """InvokeModel: an allow-list, the version and the betas in the body."""
    body = request.body
    if extra := sorted(set(body) - INVOKE):
        raise Refused(f"{extra[0]}: Extra inputs are not permitted")
    version = body.get("anthropic_version")
    if version not in ("bedrock-2023-05-31", "2026-10-21"):
        raise Refused(f"anthropic_version: {version!r} is not valid")
    if version == "2026-10-21" and (
        model.endswith(("-v1:0", "-v2:0")) or "claude-opus-4-6" in model or "claude-3" in model
    ):
        raise Refused("anthropic_version: this model does not support 2026-10-21")
    for name in ("anthropic-version", "anthropic-beta"):
        if name in request.headers:
            raise Refused(f"this fake belongs to a gateway: the header {name} goes into the body")
    betas = body.get("anthropic_beta", [])
    if not isinstance(betas, list) or not all(
        isinstance(beta, str) and beta == beta.strip() and "," not in beta for beta in betas
    ):
        raise Refused("anthropic_beta: Input should be a valid list")
    if wrong := [beta for beta in betas if beta in NOT_ON_BEDROCK]:
        raise Refused(f"invalid beta flag: {wrong[0]}")
    if any(
        "clear_thinking" in edit.get("type", "") for edit in (body.get("context_management") or {}).get("edits", [])
    ):
        raise Refused("context_management: Extra inputs are not permitted")
    for tool in body.get("tools", []):
        if tool.get("type", "custom").startswith(("web_search", "web_fetch", "code_execution")):
            raise Refused("The provided request is not valid")
    messages(
        {key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")},
        schemas,
        version,
    )


def vertex_version(body):
    if body.get("anthropic_version") not in ("vertex-2023-10-16", "2026-10-21"):
        raise Refused(f"anthropic_version: {body.get('anthropic_version')!r} is not valid")


def native(request):
    if not request.headers.get("anthropic-version"):
        raise Refused("anthropic-version: header is required")
    if "anthropic_version" in request.body or "anthropic_beta" in request.body:
        raise Refused("anthropic_version: Extra inputs are not permitted")


def messages(body, schemas, version="bedrock-2023-05-31"):
    """The Messages body itself."""
    found = dict(body)
    for key in SAMPLING:
        if key in found and version == "2026-10-21":
            raise Refused(f"{key}: Extra inputs are not permitted")
        found.pop(key, None)
    found.pop("anthropic_version", None)
    found.pop("anthropic_beta", None)
    found.setdefault("model", "claude")
    found.setdefault("max_tokens", 1)
    scoped = [1 for place in walk(found) if "cache_control" in place and "scope" in (place["cache_control"] or {})]
    if scoped:
        raise Refused("cache_control.scope: Extra inputs are not permitted")
    if fault := schemas.fault("messages_request", found):
        raise Refused(f"messages: {fault}")
    waiting = set()
    for n, message in enumerate(found["messages"]):
        blocks = message["content"] if isinstance(message["content"], list) else []
        answers = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if message["role"] != "system" and waiting - answers:
            raise Refused(
                f"messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(sorted(waiting))}."
            )
        if message["role"] != "system":
            waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        for block in blocks:
            if block["type"] in ("thinking",) and (
                not block.get("signature") or block["signature"].startswith("tidegate.")
            ):
                raise Refused(f"messages.{n}.content: Invalid `signature` in `thinking` block")


def walk(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)
