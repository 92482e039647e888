"""Writes the config of a gateway whose upstreams are the fakes: `make_config.py FAKES_URL FOLDER PORT ADMIN_PORT`.

The folder gets `tidegate.yaml` (JSON, which YAML contains), a service account, and `public.pem` for the fakes. Aliases:
`FAMILY/SCENARIO` for each scenario, and `TARGET` (table below) for the corpus of requests.
"""

import json
import sys
from pathlib import Path

from fakes import chat, claude, claude_scenarios, gemini, responses, sigv4

TABLES = {
    "chat": chat.SCENARIOS,
    "responses": responses.SCENARIOS,
    "gemini": gemini.SCENARIOS,
    "bedrock": claude_scenarios.BEDROCK,
    "vertex": claude_scenarios.VERTEX,
    "foundry": claude_scenarios.FOUNDRY,
}
# how a target of a family calls the model that plays a scenario
MODELS = {
    "chat": "scenario-{}",
    "responses": "scenario-{}",
    "gemini": "gemini-3.5-flash-scenario-{}",
    "bedrock": "anthropic.claude-sonnet-5-scenario-{}",
    "vertex": "claude-sonnet-5-scenario-{}",
    "foundry": "claude-sonnet-5-scenario-{}",
}
# targets of the corpus: a provider and the model's real name, which decides what the encoder must know
TARGETS = {
    **{
        f"chat-{flavor}": (f"chat-{flavor}", "scenario-text")
        for flavor in ("openai", "azure", "vllm", "ollama", "openrouter", "deepseek", "groq", "generic")
    },
    "chat-azure-classic": ("chat-azure-classic", None),
    "chat-gpt-5.4-mini": ("chat-openai", "gpt-5.4-mini"),
    "chat-gpt-5.6-sol": ("chat-openai", "gpt-5.6-sol"),
    "chat-gpt-4.1": ("chat-openai", "gpt-4.1"),
    "responses-openai": ("responses", "scenario-text"),
    "responses-gpt-6.1-sol": ("responses", "gpt-6.1-sol"),
    "responses-gpt-5.4-mini": ("responses", "gpt-5.4-mini"),
    "responses-azure": ("responses-azure", "scenario-text"),
    "gemini-3.5-flash": ("gemini", "gemini-3.5-flash"),
    "gemini-2.5-flash": ("gemini", "gemini-2.5-flash"),
    "gemini-2.5-pro": ("gemini", "gemini-2.5-pro"),
    "gemini-3.8-flash": ("gemini", "gemini-3.8-flash"),
    "gemini-4-hydrogen": ("gemini", "gemini-4-hydrogen"),
    "gemini-vertex": ("gemini-vertex", "gemini-3.5-flash"),
    "bedrock": ("bedrock", "anthropic.claude-sonnet-5"),
    "bedrock-key": ("bedrock-key", "anthropic.claude-sonnet-5"),
    "bedrock-haiku": ("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0"),
    "bedrock-arn": ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"),
    "bedrock-renamed": ("bedrock", None),
    "vertex": ("vertex", "claude-sonnet-5"),
    "vertex-haiku": ("vertex", "claude-haiku-4-5@20251001"),
    "foundry": ("foundry", "claude-sonnet-5"),
}
# of aliases whose upstream falls silent
SHORT = {"first_event": "3s", "idle": "3s", "total": "20s"}


def service_account(url):
    """A public key for the fake, and the JSON of a service account whose token comes from the fake."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    return public, {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "fake",
        "private_key": private,
        "client_id": "1",
        "client_email": "fake@p.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }


def providers(url, families):
    """The providers of these families."""
    own = {"access_key_id": sigv4.ACCESS, "secret_access_key": sigv4.SECRET, "session_token": sigv4.SESSION}
    google = {"project": "p", "location": "us-central1", "credentials": "account.json"}
    openai = {"type": "openai", "api_key": chat.KEY}
    found = {
        f"chat-{flavor}": {**openai, "base_url": f"{url}/{flavor}/v1", "api": "chat", "flavor": flavor}
        for flavor in chat.FLAVORS
        if flavor != "azure"
    }
    found |= {
        "chat-azure": {**openai, "base_url": f"{url}/azure/openai/v1", "api": "chat", "flavor": "azure"},
        "chat-azure-classic": {
            **openai,
            "base_url": f"{url}/azure/openai/deployments/scenario-text",
            "api": "chat",
            "flavor": "azure",
            "api_version": "2025-04-01-preview",
        },
        "responses": {**openai, "base_url": f"{url}/openai/v1", "api": "responses", "flavor": "openai"},
        "responses-azure": {**openai, "base_url": f"{url}/azure/openai/v1", "api": "responses", "flavor": "azure"},
        "gemini": {"type": "gemini", "api_key": gemini.KEY, "base_url": f"{url}/studio/v1beta"},
        "gemini-vertex": {"type": "gemini", "base_url": f"{url}/vertexai/v1beta1", "vertex": google},
        "bedrock": {"type": "bedrock", "region": claude.REGION, "credentials": own, "base_url": f"{url}/bedrock"},
        "bedrock-key": {
            "type": "bedrock",
            "region": claude.REGION,
            "api_key": sigv4.BEARER,
            "base_url": f"{url}/bedrock",
        },
        "bedrock-mantle": {
            "type": "bedrock",
            "api": "mantle",
            "region": claude.REGION,
            "credentials": own,
            "base_url": f"{url}/mantle",
        },
        "vertex": {"type": "vertex", **google, "location": "global", "base_url": f"{url}/claude/v1"},
        "foundry": {"type": "foundry", "base_url": f"{url}/foundry/anthropic", "api_key": claude.FOUNDRY_KEY},
    }
    return {name: value for name, value in found.items() if family_of(name) in families}


def family_of(name):
    """The family of a provider, a target or an alias."""
    return name.split("/")[0].split("-")[0]


def provider_of(family, scenario):
    return f"chat-{scenario.flavor or 'openai'}" if family == "chat" else family


def models(families):
    found = {}
    for family in families:
        for name, scenario in TABLES[family].items():
            target = {"provider": provider_of(family, scenario), "model": MODELS[family].format(name)}
            found[f"{family}/{name}"] = (
                {"targets": [target], "timeouts": SHORT} if name.startswith("stall") else {"targets": [target]}
            )
    for alias, (provider, model) in TARGETS.items():
        if family_of(alias) in families:
            found[alias] = {"targets": [{"provider": provider, **({"model": model} if model else {})}]}
    if "bedrock" in families:
        # without `model` the bundled table gives the cloud's own name
        del found["bedrock-renamed"]
        found["claude-haiku-4-5-20251001"] = {"provider": "bedrock"}
    if "vertex" in families and "bedrock" not in families:
        found["claude-haiku-4-5-20251001"] = {"provider": "vertex"}
    if "chat" in families:
        # Azure's classic path names the deployment, so any model will do
        found["chat-azure-classic"]["targets"][0]["model"] = "scenario-text"
    return found


def config(url, port, admin, families):
    return {
        "listen": f"127.0.0.1:{port}",
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "providers": providers(url, families),
        "models": models(families),
    }


def write(url, place, port, admin, families=tuple(TABLES)):
    """Writes everything into `place`; returns the public key's path."""
    place = Path(place)
    public, account = service_account(url)
    (place / "account.json").write_text(json.dumps(account))
    (place / "public.pem").write_text(public)
    (place / "tidegate.yaml").write_text(json.dumps(config(url, port, admin, families), indent=1))
    return place / "public.pem"


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]))
