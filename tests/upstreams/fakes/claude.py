"""The fakes of Claude on clouds: Bedrock InvokeModel, Vertex rawPredict, Foundry, and Google's token endpoint."""

import base64
import json
import re
import time
from urllib.parse import parse_qs

from .claude_judge import allowed, messages, native, vertex_version
from .claude_parts import *
from .claude_scenarios import BEDROCK, FOUNDRY, VERTEX
from .gemini import TOKEN
from .limits import Refused
from .server import counted, play
from .sigv4 import verify
from .wire import whole

REGION = "us-east-1"
FOUNDRY_KEY = "foundry-fake-upstream"
COUNT = 4242
INVOKE = re.compile(r"/bedrock/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)")
PREDICT = re.compile(
    r"/claude/v1/projects/([^/]+)/locations/([^/]+)/publishers/anthropic/models/([^/]+):(rawPredict|streamRawPredict)"
)
# a path that bedrock-runtime does not know answers like this, with 200
UNKNOWN = {"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}


class Bedrock:
    name = "bedrock"

    def __init__(self, schemas, _):
        self.schemas = schemas

    def takes(self, request):
        return request.path.startswith("/bedrock/")

    def is_json(self, _):
        return True

    @staticmethod
    def refusal(error):
        kind = error.type if error.type.endswith("Exception") else "ValidationException"
        return whole(
            {"message": str(error)},
            error.status,
            headers={"x-amzn-errortype": f"{kind}:http://internal.amazon.com/", "x-amzn-requestid": "r-1"},
        )

    def answer(self, request):
        # matched before decoding: the `/` of an ARN stays %2F
        found = INVOKE.fullmatch(request.raw_path.partition("?")[0])
        if not found:
            request.verdict = {"status": 200, "message": f"bedrock-runtime knows no path {request.path}"}
            return whole(UNKNOWN)
        request.notes["auth"] = verify(request, REGION)
        if request.query:
            raise Refused(f"unexpected query {request.query}")
        model, verb = found[1].replace("%3A", ":").replace("%2F", "/"), found[2]
        request.notes["model"] = model
        if verb == "count-tokens":
            return self.count(request, model)
        request.form = "stream" if verb.endswith("stream") else "whole"
        allowed(request, model, self.schemas)
        return play(request, BEDROCK, model)

    def count(self, request, model):
        request.form = "count"
        if set(request.body) != {"input"} or set(request.body["input"]) != {"invokeModel"}:
            raise Refused("1 validation error detected: expected input.invokeModel")
        if re.match(r"(us|eu|apac|au|jp|global|us-gov)\.", model) or ":application-inference-profile/" in model:
            raise Refused("The provided model doesn't support counting tokens.")
        inner = json.loads(base64.b64decode(request.body["input"]["invokeModel"]["body"], validate=True))
        request.notes["inner"] = inner
        if "max_tokens" not in inner or "anthropic_version" not in inner:
            raise Refused(
                "max_tokens: Field required" if "max_tokens" not in inner else "anthropic_version: Field required"
            )
        messages(inner, self.schemas)
        return whole({"inputTokens": counted(request, model, COUNT)})


class Vertex:
    name = "vertex"

    def __init__(self, schemas, _):
        self.schemas = schemas

    def takes(self, request):
        return PREDICT.fullmatch(request.path)

    def is_json(self, _):
        return True

    @staticmethod
    def refusal(error):
        if error.type.isupper():
            return whole({"error": {"code": error.status, "message": str(error), "status": error.type}}, error.status)
        return whole(
            {"type": "error", "error": {"type": error.type, "message": str(error)}, "request_id": "req_vrtx_1"},
            error.status,
        )

    def answer(self, request):
        project, location, model, verb = PREDICT.fullmatch(request.path).groups()
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(
                "Request had invalid authentication credentials. Expected OAuth 2 access token.",
                401,
                type="UNAUTHENTICATED",
            )
        body = request.body
        if model == "count-tokens":
            request.form = "count"
            if "model" not in body:
                raise Refused("model: Field required")
            vertex_version(body)
            messages({**body, "max_tokens": 1}, self.schemas)
            return whole({"input_tokens": counted(request, body["model"], COUNT)})
        request.form = "stream" if verb == "streamRawPredict" else "whole"
        if bool(body.get("stream")) != (request.form == "stream"):
            raise Refused(f"stream: {body.get('stream')!r} does not fit {verb}")
        if "model" in body:
            raise Refused("model: Extra inputs are not permitted")
        if "anthropic_beta" in body:
            raise Refused("anthropic_beta: Extra inputs are not permitted")
        if "output_format" in body:
            raise Refused("output_format: This field is deprecated. Use 'output_config.format' instead.")
        vertex_version(body)
        for beta in filter(None, (name.strip() for name in request.headers.get("anthropic-beta", "").split(","))):
            if beta in (
                "advisor-tool-2026-03-01",
                "prompt-caching-scope-2026-01-05",
                "files-api-2025-04-14",
                "compact-2026-09-04",
            ):
                raise Refused(f"Unexpected value(s) `{beta}` for the `anthropic-beta` header.")
        messages(
            {key: value for key, value in body.items() if key not in ("anthropic_version", "stream")}, self.schemas
        )
        return play(request, VERTEX, model)


class Foundry:
    name = "foundry"

    def __init__(self, schemas, _):
        self.schemas = schemas

    def takes(self, request):
        return re.fullmatch(r"/foundry/anthropic/v1/messages(/count_tokens)?", request.path)

    def is_json(self, _):
        return True

    @staticmethod
    def refusal(error):
        if error.status == 401:
            return whole({"error": {"code": "Unauthorized", "message": str(error)}}, 401)
        details = {"details": {"error_code": error.code}} if error.code else {}
        found = {"type": error.type, "message": str(error), **details}
        return whole({"type": "error", "error": found, "request_id": "req_1"}, error.status)

    def authorized(self, request):
        if FOUNDRY_KEY not in (request.headers.get("x-api-key"), request.headers.get("api-key")):
            raise Refused("Access token is invalid", 401)
        if "thread" in request.body:
            raise Refused("thread: this resource has no threads", code="thread_unsupported_request")

    def answer(self, request):
        self.authorized(request)
        native(request)
        if request.path.endswith("/count_tokens"):
            request.form = "count"
            messages({**request.body, "max_tokens": 1}, self.schemas)
            return whole({"input_tokens": counted(request, request.body["model"], COUNT)})
        request.form = "stream" if request.body.get("stream") else "whole"
        messages(
            {key: value for key, value in request.body.items() if key != "stream"},
            self.schemas,
            request.headers["anthropic-version"],
        )
        return play(request, FOUNDRY, request.body["model"])


class Mantle(Foundry):
    """The Messages API of Bedrock: SigV4 for a service of its own, and no structured outputs (4.9)."""

    name = "mantle"

    def takes(self, request):
        return re.fullmatch(r"/mantle/anthropic/v1/messages(/count_tokens)?", request.path)

    @staticmethod
    def refusal(error):
        kind = error.type if error.type.endswith("_error") else "permission_error"
        return whole({"type": "error", "error": {"type": kind, "message": str(error)}}, error.status)

    def authorized(self, request):
        request.notes["auth"] = verify(request, REGION, "bedrock-mantle")
        if "format" in (request.body.get("output_config") or {}):
            raise Refused("output_config.format: Extra inputs are not permitted")


class Google:
    """Gives a token for the assertion of the service account whose public key this fake has."""

    name = "token"

    def __init__(self, _, public_key):
        self.public_key = public_key

    def takes(self, request):
        return request.path == "/token"

    def is_json(self, _):
        return False

    @staticmethod
    def refusal(error):
        return whole({"error": "invalid_grant", "error_description": str(error)}, 400)

    def answer(self, request):
        form = parse_qs(request.raw.decode())
        if form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            raise Refused(f"Unsupported grant_type: {form.get('grant_type')}")
        head, claims, signature = form["assertion"][0].split(".")
        header, claim = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims))
        now = time.time()
        if (
            header["alg"] != "RS256"
            or not claim["iat"] - 60 <= now <= claim["exp"]
            or claim["exp"] - claim["iat"] > 3600
        ):
            raise Refused("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
        if "https://www.googleapis.com/auth/cloud-platform" not in claim["scope"].split():
            raise Refused("Invalid OAuth scope or ID token audience provided.")
        if not claim["aud"].endswith("/token") or not claim["iss"]:
            raise Refused("Invalid JWT: Failed audience check.")
        if self.public_key:
            self.check(f"{head}.{claims}".encode(), base64.urlsafe_b64decode(signature + "=="))
        return whole({"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})

    def check(self, signed, signature):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            load_pem_public_key(self.public_key.encode()).verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise Refused("Invalid JWT Signature.") from None
